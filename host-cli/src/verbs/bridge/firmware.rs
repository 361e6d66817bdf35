//! `daleel bridge flash` and `digest`.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use anyhow::{Context, Result};
use serde::Serialize;

use super::{answered, say};
use crate::{
    args::{OutputArgs, ProgressArgs},
    bridge::{
        attached::find,
        boards::{Board, KEY_STAYS, copy_uf2, one_volume, rp2040_volumes, teensy_steps},
        formats::{UF2_RP2040, intel_hex, read_uf2, uf2},
        image::Image,
        link::Link,
        record::write_new,
    },
    exit::{Exit, Failure},
    export::hashed::hex,
    output::{out, print_json},
};

/// Load firmware onto a board, and say which digest it then has to report
///
/// MIMXRT1060-EVK: through a debug probe. Pico: through a debug probe with --probe; otherwise as UF2, to the volume of its boot loader or to a file. Teensy 4.1:
/// writes a file for the Teensy Loader and says how to load it. A board gets into its loader by its button or by a probe only. The key page lies outside the image
/// and should stay; that has not been measured yet, so compare the serial before and after.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  daleel bridge flash --board pico pico.elf\n  daleel bridge flash --board pico pico.elf --uf2 pico.uf2\n  daleel bridge flash --board mimxrt1060-evk evk.elf\n  daleel bridge flash --board teensy41 teensy41.elf --hex teensy41.hex"
)]
pub struct Flash {
    /// The firmware: the ELF file, or the released .bin
    #[arg(value_name = "IMAGE")]
    image: PathBuf,
    /// The board
    #[arg(long, value_enum, value_name = "BOARD")]
    board: Board,
    /// Use a debug probe for a Pico too; with a serial number, that one
    #[arg(long, value_name = "SERIAL", num_args = 0..=1, require_equals = true, default_missing_value = "", group = "way")]
    probe: Option<String>,
    /// Write a UF2 file for a Pico instead of loading it
    #[arg(long, value_name = "FILE", group = "way")]
    uf2: Option<PathBuf>,
    /// Write an Intel HEX file for the Teensy Loader
    #[arg(long, value_name = "FILE", group = "way")]
    hex: Option<PathBuf>,
    /// Say what would be written and where, and write nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    progress: ProgressArgs,
}

/// Print the digest that a bridge with this firmware has to report
///
/// SHA-256 of the flash between __image_start and __image_end. Of a released .bin it is what `sha256sum` prints.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  daleel bridge digest teensy41.elf\n  daleel bridge digest teensy41.elf --bin teensy41.bin"
)]
pub struct Digest {
    /// The firmware: the ELF file, or the released .bin
    #[arg(value_name = "IMAGE")]
    image: PathBuf,
    /// Also write the bytes of the range to this new file
    #[arg(long, value_name = "FILE")]
    bin: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Serialize)]
struct FirmwareJson {
    schema: &'static str,
    image: String,
    digest: String,
    start: u64,
    bytes: usize,
    board: Option<&'static str>,
    written: Option<String>,
    confirmed: Option<bool>,
}

impl FirmwareJson {
    fn new(path: &std::path::Path, image: &Image) -> Self {
        Self {
            schema: "daleel.bridge-firmware/1",
            image: path.display().to_string(),
            digest: hex(&image.digest()),
            start: image.start,
            bytes: image.bytes.len(),
            board: None,
            written: None,
            confirmed: None,
        }
    }
}

impl Digest {
    /// Runs the action.
    pub fn run(self) -> Result<Exit> {
        let image = Image::read(&self.image, None)?;
        if let Some(path) = &self.bin {
            write_new(path, &image.bytes)?;
        }
        let mut answer = FirmwareJson::new(&self.image, &image);
        answer.written = self.bin.as_ref().map(|path| path.display().to_string());
        let line = || -> Result<()> {
            let mut out = out();
            writeln!(out, "{}  {}", answer.digest, answer.image)?;
            out.flush()?;
            Ok(())
        };
        answered(if self.output.json { print_json(&answer) } else { line() }, Exit::Success)
    }
}

impl Flash {
    /// Runs the action.
    pub fn run(self) -> Result<Exit> {
        self.check_way()?;
        let image = Image::read(&self.image, Some(self.board.flash_base()))?;
        self.board.check(&image)?;
        let to_volume = self.board == Board::Pico
            && self.uf2.is_none()
            && self.probe.is_none()
            && !self.dry_run;
        let before = if to_volume { reporting(&image.digest()) } else { Vec::new() };
        let written = self.load(&image)?;
        let mut answer = FirmwareJson::new(&self.image, &image);
        answer.board = Some(self.board.name());
        answer.written = written;
        answer.confirmed = to_volume.then(|| comes_back(&image.digest(), &before));
        let exit = if answer.confirmed == Some(false) { Exit::Findings } else { Exit::Success };
        let printed =
            if self.output.json { print_json(&answer) } else { self.print(&image, &answer) };
        answered(printed, exit)
    }

    fn print(&self, image: &Image, answer: &FirmwareJson) -> Result<()> {
        let mut out = out();
        let bytes = answer.bytes;
        match &answer.written {
            Some(place) => writeln!(out, "{bytes} bytes written to {place}")?,
            None => {
                let place = self.place().map(|place| format!(" for {place}")).unwrap_or_default();
                writeln!(
                    out,
                    "{bytes} bytes from 0x{:08x}{place}; nothing was written",
                    image.start
                )?;
            }
        }
        if self.board == Board::Teensy41 {
            let steps = teensy_steps(self.hex.as_deref());
            steps.iter().try_for_each(|step| writeln!(out, "{step}"))?;
        }
        if self.board == Board::Teensy41 || answer.written.is_some() {
            writeln!(out, "{KEY_STAYS}")?;
        }
        match answer.confirmed {
            Some(true) => writeln!(out, "a bridge came up and reports this firmware digest:")?,
            Some(false) => writeln!(
                out,
                "finding: no bridge has come up that reports this firmware digest; look with `daleel bridge info`:"
            )?,
            None => writeln!(
                out,
                "the bridge has to report this firmware digest (`daleel bridge info`):"
            )?,
        }
        writeln!(out, "  {}", answer.digest)?;
        out.flush()?;
        Ok(())
    }

    /// Where the image would go.
    fn place(&self) -> Option<String> {
        match self.board {
            Board::Teensy41 => self.hex.as_ref().map(|path| path.display().to_string()),
            Board::Pico if self.probe.is_none() => Some(self.uf2.as_ref().map_or_else(
                || match rp2040_volumes().as_slice() {
                    [volume] => volume.display().to_string(),
                    volumes => {
                        format!("the volume RPI-RP2, of which {} are mounted", volumes.len())
                    }
                },
                |path| path.display().to_string(),
            )),
            _ => Some("a debug probe".to_owned()),
        }
    }

    /// Refuses a way that the board does not have.
    fn check_way(&self) -> Result<(), Failure> {
        let wrong =
            |text: &str| Err(Failure::new(Exit::Usage, format!("{text} {}", self.board.name())));
        match self.board {
            _ if self.hex.is_some() && self.board != Board::Teensy41 => wrong("--hex is not for"),
            _ if self.uf2.is_some() && self.board != Board::Pico => wrong("--uf2 is not for"),
            Board::Teensy41 if self.probe.is_some() => wrong("--probe is not for"),
            _ => Ok(()),
        }
    }

    /// Where the image went; `None` when nowhere.
    fn load(&self, image: &Image) -> Result<Option<String>> {
        let is_probed = self.board == Board::Mimxrt1060Evk || self.probe.is_some();
        if is_probed {
            return self.probe(image);
        }
        let (path, bytes) = match self.board {
            Board::Teensy41 => (&self.hex, intel_hex(image).map(String::into_bytes)),
            _ => (&self.uf2, uf2(image, UF2_RP2040)),
        };
        let bytes = bytes.ok_or_else(|| {
            Failure::new(Exit::Unsupported, "the image lies where no loader can write it")
        })?;
        match path {
            Some(path) if self.dry_run && path.exists() => {
                let text = format!("{} exists already", path.display());
                Err(Failure::new(Exit::Input, text).hint("nothing is overwritten").into())
            }
            _ if self.dry_run => Ok(None),
            Some(path) => {
                write_new(path, &bytes)?;
                check_written(path, &bytes, self.board, image)?;
                Ok(Some(path.display().to_string()))
            }
            None if self.board == Board::Pico => {
                let volume = one_volume(rp2040_volumes())?;
                copy_uf2(&volume, &bytes)?;
                Ok(Some(volume.display().to_string()))
            }
            None => Ok(None),
        }
    }

    #[cfg(feature = "probe")]
    fn probe(&self, image: &Image) -> Result<Option<String>> {
        use crate::{bridge::probe, progress::Progress};
        if self.dry_run {
            probe::stage(self.board, image)?;
            return Ok(None);
        }
        let serial = self.probe.as_deref().filter(|serial| !serial.is_empty());
        let total = u64::try_from(image.bytes.len()).unwrap_or(u64::MAX);
        let mut progress = Progress::new(self.progress.progress, "flash", total);
        let name = probe::flash(self.board, image, serial, &mut |done| progress.at(done, 0))?;
        Ok(Some(format!("{} through {name}", self.board.name())))
    }

    #[cfg(not(feature = "probe"))]
    #[allow(clippy::unused_self)]
    fn probe(&self, _image: &Image) -> Result<Option<String>> {
        // The progress of a probe is the one thing it would be shown for.
        let _ = &self.progress;
        Err(Failure::new(Exit::Unsupported, "this daleel was built without debug probes")
            .hint("build it with the feature `probe`")
            .into())
    }
}

/// Reads a file back that a loader will take: its bytes, and for UF2 the image in it.
fn check_written(path: &Path, bytes: &[u8], board: Board, image: &Image) -> Result<()> {
    let held = fs::read(path).with_context(|| path.display().to_string())?;
    let has_image = board != Board::Pico
        || read_uf2(&held, UF2_RP2040)
            .is_ok_and(|read| read.start == image.start && read.bytes.starts_with(&image.bytes));
    if held == bytes && has_image {
        return Ok(());
    }
    let text = format!("{} does not hold what was written to it", path.display());
    Err(Failure::new(Exit::Verification, text).into())
}

/// Where bridges are that report a firmware digest.
fn reporting(digest: &wb_attest::Digest) -> Vec<(String, u8)> {
    let found = find().unwrap_or_default();
    let has = found.iter().filter(|one| {
        let port = one.open().ok();
        port.and_then(|port| Link::new(port).info().ok())
            .is_some_and(|info| info.firmware == *digest)
    });
    let places = has.map(|one| {
        let identity = one.identity();
        (identity.bus, identity.address)
    });
    places.collect()
}

/// Looks for a bridge that was not there before.
const LOOKS: u32 = 30;
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Whether a bridge comes up that reports a firmware digest, besides those that did before.
fn comes_back(digest: &wb_attest::Digest, before: &[(String, u8)]) -> bool {
    say("waiting for the board to start its new firmware");
    (0..LOOKS).any(|_| {
        thread::sleep(LOOK_EVERY);
        reporting(digest).iter().any(|place| !before.contains(place))
    })
}
