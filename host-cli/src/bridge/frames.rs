//! Log frames of interface 1, decoded with the ELF file of the firmware that sends them.
//!
//! Facts: published requirements, section 5.1 (defmt frames as they are, dropped when nobody reads); defmt's rzCOBS encoding, in which
//! a zero byte ends each frame, so that one that was cut costs only itself.

use std::{collections::BTreeMap, path::Path};

use anyhow::Result;
use defmt_decoder::{DecodeError, Encoding, Location, StreamDecoder, Table};
use serde::Serialize;

use crate::exit::{Exit, Failure};

/// Longest frame: the bridge's own ring holds 1024 bytes. What is longer is no frame.
const FRAME_BYTES_MAX: usize = 4096;

/// A decoded frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FrameJson {
    /// The bridge's own time stamp, as it formats it; null when it has none.
    pub uptime: Option<String>,
    /// Level; null for output without one.
    pub level: Option<&'static str>,
    /// The message.
    pub text: String,
    /// Source file; null where the ELF has no debug information.
    pub file: Option<String>,
    /// Line in it.
    pub line: Option<u64>,
    /// Module path.
    pub module: Option<String>,
}

/// Frames read in one go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogJson {
    /// Name and version of this document.
    pub schema: &'static str,
    /// The frames, in the order in which they came.
    pub frames: Vec<FrameJson>,
    /// Frames that could not be decoded.
    pub dropped: u64,
}

/// What a piece of the stream brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A frame.
    Frame(FrameJson),
    /// A frame that cannot be decoded: cut by the ring, or of another firmware.
    Dropped,
}

/// The interned strings of a firmware and where they stand in its source.
pub struct Firmware {
    table: Table,
    locations: BTreeMap<u64, Location>,
}

impl Firmware {
    /// Reads them from an ELF file.
    ///
    /// # Errors
    /// When it is no ELF file, or one without defmt logging.
    pub fn parse(elf: &[u8], name: &Path) -> Result<Self> {
        let fault = |text: String| {
            Failure::new(Exit::Unsupported, format!("{}: {text}", name.display()))
                .hint("give the ELF file that the firmware on the bridge was made from")
        };
        let table = Table::parse(elf).map_err(|error| fault(format!("{error:#}")))?;
        let table =
            table.ok_or_else(|| fault("this firmware has no defmt log strings".to_owned()))?;
        if !matches!(table.encoding(), Encoding::Rzcobs) {
            return Err(
                fault("its log frames are not in rzCOBS, as a bridge's are".to_owned()).into()
            );
        }
        // Without debug information the messages are there all the same.
        let locations = table.get_locations(elf).unwrap_or_default();
        Ok(Self { table, locations })
    }

    /// A decoder at the beginning of a stream.
    pub fn decoder(&self) -> Decoder<'_> {
        let stream = self.table.new_stream_decoder();
        Decoder { firmware: self, stream, waiting: 0, is_first: true }
    }

    fn frame(&self, frame: &defmt_decoder::Frame<'_>) -> FrameJson {
        let location = self.locations.get(&frame.index());
        FrameJson {
            uptime: frame.display_timestamp().map(|time| time.to_string()),
            level: frame.level().map(|level| level.as_str()),
            text: frame.display_message().to_string(),
            file: location.map(|at| at.file.display().to_string()),
            line: location.map(|at| at.line),
            module: location.map(|at| at.module.clone()),
        }
    }
}

/// A stream of frames.
pub struct Decoder<'f> {
    firmware: &'f Firmware,
    stream: Box<dyn StreamDecoder + Send + Sync + 'f>,
    /// Bytes behind the last frame's end.
    waiting: usize,
    is_first: bool,
}

impl Decoder<'_> {
    /// Takes bytes and hands over what they complete.
    pub fn take(&mut self, bytes: &[u8], give: &mut dyn FnMut(Item)) {
        for piece in bytes.split_inclusive(|byte| *byte == 0) {
            self.waiting = self.waiting.saturating_add(piece.len());
            if self.waiting > FRAME_BYTES_MAX {
                // Not the stream that this firmware makes: begin anew behind it.
                self.stream = self.firmware.table.new_stream_decoder();
                self.waiting = 0;
                give(Item::Dropped);
                continue;
            }
            self.stream.received(piece);
            if piece.ends_with(&[0]) {
                self.waiting = 0;
                self.decode(give);
            }
        }
    }

    fn decode(&mut self, give: &mut dyn FnMut(Item)) {
        let was_first = std::mem::replace(&mut self.is_first, false);
        loop {
            match self.stream.decode() {
                Ok(frame) => give(Item::Frame(self.firmware.frame(&frame))),
                Err(DecodeError::UnexpectedEof) => break,
                // Reading begins anywhere: the rest of a frame that went by is none that was dropped.
                Err(DecodeError::Malformed) if was_first => {}
                Err(DecodeError::Malformed) => give(Item::Dropped),
            }
        }
    }
}
