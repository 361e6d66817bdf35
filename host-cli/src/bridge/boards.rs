//! The boards, and how an image gets onto each.
//!
//! Facts: requirements 4.5 (no software path into a loader: button or probe); RP2040 data sheet, section 2.8.4 (the boot ROM's volume and its
//! INFO_UF2.TXT); i.MX RT1060 reference manual, memory map (FlexSPI at 6000_0000h).

use std::{
    fs::File,
    io::{Read, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

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

    /// The chip's name in the target database of probe-rs; `None` where a probe cannot be attached.
    pub const fn chip(self) -> Option<&'static str> {
        match self {
            Self::Pico => Some("RP2040"),
            Self::Mimxrt1060Evk => Some("MIMXRT1060"),
            Self::Teensy41 => None,
        }
    }
}

/// What a person does to load a Teensy.
pub const TEENSY_STEPS: [&str; 5] = [
    "A Teensy 4.1 has no pins for a debug probe and is loaded by its own loader, which only the button starts:",
    "  1. connect the Teensy's own USB port (not the host port) to this computer; attach no drive",
    "  2. press the white button on the board once",
    "  3. teensy_loader_cli --mcu=TEENSY41 -w -v FILE.hex      (or open FILE.hex in the Teensy Loader and press Program)",
    "  4. the board starts the firmware by itself; compare the digest below with `daleel bridge info`. Loading may have erased the key page: \
     if `info` shows no key, provision and enrol again, as a new identity",
];

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

/// Writes a UF2 file to the boot ROM's volume.
///
/// # Errors
/// When it cannot be written.
pub fn copy_uf2(volume: &Path, uf2: &[u8]) -> Result<()> {
    let path = volume.join(UF2_NAME);
    let mut file = File::create_new(&path).with_context(|| path.display().to_string())?;
    file.write_all(uf2).with_context(|| path.display().to_string())?;
    // The board restarts with the last block, so the volume may be gone before the system has closed the file.
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
