//! The boards, and how an image gets onto each.
//!
//! Facts: requirements 4.5 (no software path into a loader: button or probe); RP2040 data sheet, section 2.8.4 (the boot ROM's volume and its
//! INFO_UF2.TXT) and 2.8.1.3.1 (CRC of the second boot stage); i.MX RT1060 reference manual, memory map (FlexSPI at 6000_0000h) and section
//! 9.7 (FlexSPI configuration block, image vector table).

use std::{
    fs::File,
    io::{Read, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use super::{
    formats::{UF2_RP2040, read_uf2},
    image::Image,
};
use crate::exit::{Exit, Failure};

/// A board of the bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Board {
    /// Raspberry Pi Pico
    Pico,
    /// NXP MIMXRT1060-EVK
    #[value(name = "mimxrt1060-evk")]
    Mimxrt1060Evk,
    /// PJRC Teensy 4.1
    Teensy41,
}

impl Board {
    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pico => "pico",
            Self::Mimxrt1060Evk => "mimxrt1060-evk",
            Self::Teensy41 => "teensy41",
        }
    }

    /// Where its flash begins.
    pub const fn flash_base(self) -> u64 {
        match self {
            Self::Pico => 0x1000_0000,
            Self::Mimxrt1060Evk | Self::Teensy41 => 0x6000_0000,
        }
    }

    /// Bytes of flash for the image; behind them lie the boot counter and the key page (`firmware/boards`: memory maps).
    pub const fn room(self) -> u64 {
        match self {
            Self::Pico => (2048 - 8) << 10,
            Self::Mimxrt1060Evk | Self::Teensy41 => 0x7C_0000,
        }
    }

    /// Refuses what is no firmware of this board: for another place, too long, without what its boot ROM looks for, or of the other board
    /// with the same chip.
    ///
    /// # Errors
    /// [`Exit::Unsupported`].
    pub fn check(self, image: &Image) -> Result<(), Failure> {
        let wrong = |text: String| {
            let hint = "is it the firmware of another board? Give its ELF file or its .bin";
            Err(Failure::new(Exit::Unsupported, text).hint(hint))
        };
        let (name, base) = (self.name(), self.flash_base());
        if image.start != base {
            let start = image.start;
            return wrong(format!(
                "the image begins at 0x{start:08x}, the flash of {name} at 0x{base:08x}"
            ));
        }
        let length = u64::try_from(image.bytes.len()).unwrap_or(u64::MAX);
        if length > self.room() {
            let room = self.room();
            return wrong(format!(
                "the image has {length} bytes, {name} room for {room}: the key page lies behind"
            ));
        }
        let can_boot = match self {
            Self::Pico => is_rp2040_boot(&image.bytes),
            Self::Mimxrt1060Evk | Self::Teensy41 => is_imxrt_boot(&image.bytes),
        };
        if !can_boot {
            return wrong(format!("the image does not begin as a firmware of {name} does"));
        }
        let names = |board: Self| {
            let name = board.name().as_bytes();
            image.bytes.windows(name.len()).any(|bytes| bytes == name)
        };
        match self.twin().filter(|twin| names(*twin) && !names(self)) {
            Some(twin) => wrong(format!("the image is for {}, not for {name}", twin.name())),
            None => Ok(()),
        }
    }

    /// The other board with the same chip and memory map.
    const fn twin(self) -> Option<Self> {
        match self {
            Self::Pico => None,
            Self::Mimxrt1060Evk => Some(Self::Teensy41),
            Self::Teensy41 => Some(Self::Mimxrt1060Evk),
        }
    }

    /// The chip's name in the target database of probe-rs; `None` where a probe cannot be attached.
    pub const fn chip(self) -> Option<&'static str> {
        match self {
            Self::Pico => Some("RP2040"),
            Self::Mimxrt1060Evk => Some("MIMXRT1060"),
            Self::Teensy41 => None,
        }
    }
}

/// Bytes of the RP2040's second boot stage that its CRC is over; the CRC follows.
const BOOT2_BYTES: usize = 252;

/// Whether the boot ROM of an RP2040 would start it: the CRC of the second boot stage fits.
fn is_rp2040_boot(bytes: &[u8]) -> bool {
    let Some((boot, rest)) = bytes.split_at_checked(BOOT2_BYTES) else { return false };
    let crc = boot.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ (u32::from(*byte) << 24), |crc, _| {
            if crc >> 31 == 1 { (crc << 1) ^ 0x04C1_1DB7 } else { crc << 1 }
        })
    });
    rest.first_chunk().is_some_and(|stored| u32::from_le_bytes(*stored) == crc)
}

/// Whether the boot ROM of an i.MX RT1060 would start it: a FlexSPI configuration block, and an image vector table behind it.
fn is_imxrt_boot(bytes: &[u8]) -> bool {
    const CONFIGURATION: &[u8] = b"FCFB";
    const VECTOR_TABLE: [u8; 3] = [0xD1, 0x00, 0x20];
    const VECTOR_TABLE_AT: usize = 0x1000;
    let table = bytes.get(VECTOR_TABLE_AT..).unwrap_or_default();
    bytes.starts_with(CONFIGURATION) && table.starts_with(&VECTOR_TABLE)
}

/// What is known of the key when an image is loaded: where it lies, and that nobody has tried.
pub const KEY_STAYS: &str = "The key page lies outside the image and should stay as it is; that has not been measured on hardware yet \
     (hardware checklist, S-7). Compare the serial in `daleel bridge list` before and after: if it has become zeros, provision and enrol \
     again, as a new identity";

/// What a person does to load a Teensy with a file.
pub fn teensy_steps(file: Option<&Path>) -> Vec<String> {
    let name = file.map_or("FILE.hex".to_owned(), |file| file.display().to_string());
    let mut steps = vec![
        "A Teensy 4.1 has no pins for a debug probe and is loaded by its own loader, which only the button starts:".to_owned(),
        "  1. connect the Teensy's own USB port (not the host port) to this computer; attach no drive".to_owned(),
        "  2. press the white button on the board once".to_owned(),
        format!("  3. teensy_loader_cli --mcu=TEENSY41 -w -v {name}      (or open {name} in the Teensy Loader and press Program)"),
        "  4. the board starts the firmware by itself; compare the digest below with `daleel bridge info`".to_owned(),
    ];
    if file.is_none() {
        steps.push("--hex FILE.hex writes the file for step 3".to_owned());
    }
    steps
}

/// File by which the volume of the RP2040's boot ROM is known.
const INFO_FILE: &str = "INFO_UF2.TXT";
/// What stands in it.
const BOARD_ID: &str = "Board-ID: RPI-RP2";
/// It has two lines.
const INFO_BYTES_MAX: u64 = 4096;
/// Name of the file that is written; the boot ROM takes any.
const UF2_NAME: &str = "DALEEL.UF2";

/// Volumes of RP2040 boot ROMs that are mounted.
pub fn rp2040_volumes() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        mount_points().into_iter().filter(|folder| is_rp2040(folder)).collect();
    found.sort();
    found.dedup();
    found
}

/// Whether a folder is the volume of an RP2040's boot ROM.
pub fn is_rp2040(folder: &Path) -> bool {
    let mut text = String::new();
    File::open(folder.join(INFO_FILE))
        .and_then(|file| file.take(INFO_BYTES_MAX).read_to_string(&mut text))
        .is_ok_and(|_| text.lines().any(|line| line.trim() == BOARD_ID))
}

#[cfg(target_os = "linux")]
fn mount_points() -> Vec<PathBuf> {
    let table = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    // Fields are device, place, file system; a space in a place is written \040.
    let lines = table.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let (_, place, kind) = (words.next()?, words.next()?, words.next()?);
        (kind == "vfat").then(|| PathBuf::from(place.replace("\\040", " ")))
    });
    lines.collect()
}

#[cfg(target_os = "macos")]
fn mount_points() -> Vec<PathBuf> {
    let volumes = std::fs::read_dir("/Volumes").into_iter().flatten().flatten();
    volumes.map(|entry| entry.path()).collect()
}

#[cfg(windows)]
fn mount_points() -> Vec<PathBuf> {
    ('D'..='Z').map(|letter| PathBuf::from(format!("{letter}:\\"))).collect()
}

#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
fn mount_points() -> Vec<PathBuf> {
    Vec::new()
}

/// Hands a UF2 file to the boot ROM's volume. The board restarts with the last block, so nothing can be read back: whether it runs shows in
/// the digest that it reports.
///
/// # Errors
/// When the folder is no such volume, the file no UF2 of this chip, or it cannot be written.
pub fn copy_uf2(volume: &Path, uf2: &[u8]) -> Result<()> {
    if !is_rp2040(volume) {
        let text = format!("{} is not the volume of an RP2040's boot loader", volume.display());
        return Err(Failure::new(Exit::Input, text).into());
    }
    read_uf2(uf2, UF2_RP2040).map_err(|why| Failure::new(Exit::Internal, why))?;
    let path = volume.join(UF2_NAME);
    let mut file = File::create_new(&path).with_context(|| path.display().to_string())?;
    file.write_all(uf2).with_context(|| path.display().to_string())?;
    // The volume may be gone before the system has closed the file, which is an error then and no fault.
    let _ = file.sync_all();
    Ok(())
}

/// The one volume to write to.
///
/// # Errors
/// When there is none, or more than one.
pub fn one_volume(volumes: Vec<PathBuf>) -> Result<PathBuf, Failure> {
    match volumes.as_slice() {
        [volume] => Ok(volume.clone()),
        [] => Err(Failure::new(Exit::Input, "no volume RPI-RP2 is mounted").hint(
            "hold BOOTSEL while you plug the Pico in, mount its volume, and try again; or write the file with --uf2 FILE and copy it yourself",
        )),
        _ => Err(Failure::new(Exit::Input, "several volumes RPI-RP2 are mounted")
            .hint("leave only one Pico in its boot loader")),
    }
}
