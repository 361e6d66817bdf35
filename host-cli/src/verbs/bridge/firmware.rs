//! `daleel bridge flash` and `digest`.

use std::{io::Write, path::PathBuf};

use anyhow::Result;
use serde::Serialize;

use crate::{
    args::{OutputArgs, ProgressArgs},
    bridge::{
        boards::{Board, TEENSY_STEPS, copy_uf2, one_volume, rp2040_volumes},
        formats::{UF2_RP2040, intel_hex, uf2},
        image::Image,
        record::write_new,
    },
    exit::{Exit, Failure},
    export::hashed::hex,
    output::{out, print_json},
};

/// Load firmware onto a board, and say which digest it then has to report
///
/// MIMXRT1060-EVK: through a debug probe. Pico: through a debug probe with --probe; otherwise as UF2, to the volume of its boot loader or to a file. Teensy 4.1:
/// writes a file for the Teensy Loader and says how to load it. A board gets into its loader by its button or by a probe only. Only the sectors of the image are
/// written, so the key of an EVK or Pico stays.
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
    #[arg(long, value_name = "SERIAL", num_args = 0..=1, default_missing_value = "", group = "way")]
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
        if self.output.json {
            print_json(&answer)?;
        } else {
            let mut out = out();
            writeln!(out, "{}  {}", answer.digest, answer.image)?;
            out.flush()?;
        }
        Ok(Exit::Success)
    }
}

impl Flash {
    /// Runs the action.
    pub fn run(self) -> Result<Exit> {
        self.check_way()?;
        let image = Image::read(&self.image, Some(self.board.flash_base()))?;
        check_range(self.board, &image)?;
        let written = self.load(&image)?;
        let mut answer = FirmwareJson::new(&self.image, &image);
        answer.board = Some(self.board.name());
        answer.written = written.clone();
        if self.output.json {
            print_json(&answer)?;
            return Ok(Exit::Success);
        }
        let mut out = out();
        let bytes = answer.bytes;
        match &written {
            Some(place) => writeln!(out, "{bytes} bytes written to {place}")?,
            None => writeln!(out, "{bytes} bytes from 0x{:08x}; nothing was written", image.start)?,
        }
        if self.board == Board::Teensy41 {
            TEENSY_STEPS.iter().try_for_each(|step| writeln!(out, "{step}"))?;
        }
        writeln!(out, "the bridge has to report this firmware digest (`daleel bridge info`):")?;
        writeln!(out, "  {}", answer.digest)?;
        out.flush()?;
        Ok(Exit::Success)
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
        let bytes = bytes.ok_or_else(|| misplaced(self.board, image))?;
        match path {
            _ if self.dry_run => Ok(None),
            Some(path) => {
                write_new(path, &bytes)?;
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

/// Refuses an image that is for another place than the board's flash.
fn check_range(board: Board, image: &Image) -> Result<(), Failure> {
    if image.start == board.flash_base() { Ok(()) } else { Err(misplaced(board, image)) }
}

fn misplaced(board: Board, image: &Image) -> Failure {
    let text = format!(
        "the image begins at 0x{:08x}, the flash of {} at 0x{:08x}",
        image.start,
        board.name(),
        board.flash_base()
    );
    Failure::new(Exit::Unsupported, text).hint("is it the firmware of another board?")
}
