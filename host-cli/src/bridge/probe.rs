//! Writing an image through a debug probe, with probe-rs.
//!
//! Probes that speak CMSIS-DAP version 2, J-Link or ST-Link work without a system library. Only the sectors that the image lies in are
//! erased, and what else they hold is written back; the key page lies in a sector of its own.

use anyhow::{Context, Result};
use probe_rs::{
    Permissions, Session,
    config::Registry,
    flashing::{DownloadOptions, FlashLoader, FlashProgress, ProgressEvent, ProgressOperation},
    probe::{DebugProbeInfo, list::Lister},
};

use super::{boards::Board, image::Image, port::shown};
use crate::exit::{Exit, Failure};

/// Writes the image and reads it back. `progress` hears how many bytes were written.
///
/// # Errors
/// When there is not exactly one probe (or none with that serial number), the chip does not answer, or the flash does not hold the image
/// afterwards.
pub fn flash(
    board: Board,
    image: &Image,
    serial: Option<&str>,
    progress: &mut dyn FnMut(u64),
) -> Result<String> {
    let chip = chip(board)?;
    let probe = choose(Lister::new().list_all(), serial)?;
    let name = shown(&probe.to_string());
    let opened = probe.open().with_context(|| name.clone()).map_err(input)?;
    let mut session = opened
        .attach(chip, Permissions::default())
        .with_context(|| format!("{name}: {chip} does not answer"))
        .map_err(input)?;
    write(&mut session, image, progress)?;
    let mut core = session.core(0).map_err(|error| input(error.into()))?;
    core.reset().map_err(|error| input(error.into()))?;
    Ok(name)
}

fn chip(board: Board) -> Result<&'static str, Failure> {
    let text = format!("{} has no pins for a debug probe", board.name());
    board.chip().ok_or_else(|| Failure::new(Exit::Unsupported, text))
}

fn input(error: anyhow::Error) -> anyhow::Error {
    Failure::new(Exit::Input, format!("{error:#}")).into()
}

fn choose(probes: Vec<DebugProbeInfo>, serial: Option<&str>) -> Result<DebugProbeInfo> {
    let is_wanted = |probe: &DebugProbeInfo| {
        serial.is_none_or(|serial| probe.serial_number.as_deref() == Some(serial))
    };
    let mut wanted: Vec<_> = probes.into_iter().filter(is_wanted).collect();
    match (wanted.pop(), wanted.is_empty()) {
        (Some(probe), true) => Ok(probe),
        (None, _) => Err(Failure::new(Exit::Input, "no debug probe is connected")
            .hint("CMSIS-DAP v2, J-Link and ST-Link probes are known; a Pico also takes UF2, see --help")
            .into()),
        (Some(_), false) => Err(Failure::new(Exit::Input, "several debug probes are connected")
            .hint("name one with --probe=SERIAL")
            .into()),
    }
}

/// The image staged for a chip, checked against its memory map.
///
/// # Errors
/// When the image does not lie in the chip's flash.
pub fn stage(board: Board, image: &Image) -> Result<FlashLoader> {
    let target = Registry::from_builtin_families()
        .get_target_by_name(chip(board)?)
        .map_err(|error| input(error.into()))?;
    fill(target.flash_loader(), image)
}

fn fill(mut loader: FlashLoader, image: &Image) -> Result<FlashLoader> {
    loader.add_data(image.start, &image.bytes).map_err(|error| {
        let text = format!("the image does not lie in the flash of this chip: {error}");
        Failure::new(Exit::Unsupported, text)
    })?;
    Ok(loader)
}

fn write(session: &mut Session, image: &Image, progress: &mut dyn FnMut(u64)) -> Result<()> {
    let loader = fill(session.target().flash_loader(), image)?;
    let mut done = 0_u64;
    let mut options = DownloadOptions::default();
    options.keep_unwritten_bytes = true;
    options.verify = true;
    options.progress = FlashProgress::new(|event| {
        if let ProgressEvent::Progress { operation: ProgressOperation::Program, size, .. } = event {
            done = done.saturating_add(size);
            progress(done);
        }
    });
    loader.commit(session, options).map_err(|error| input(error.into()))
}
