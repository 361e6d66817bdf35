//! The files of an image as destinations of a pass.

use std::{io, path::Path};

use super::settings::{Format, Start};
use crate::{
    ewf::{self, chunk::Batch, writer::EwfWriter},
    pipeline::{Commit, Encoding, Sink, Slab},
    raw::{Layout, RawCheckpoint, RawWriter, Storing},
};

/// First part of the names of an image's files.
pub const STEM: &str = "image";

/// A destination.
pub enum ImageSink {
    /// An E01 set.
    Ewf(Box<EwfWriter>),
    /// Raw, in one file or in pieces.
    Raw(Box<RawWriter>),
}

impl ImageSink {
    /// Begins the image in a folder, or goes on where a checkpoint says.
    ///
    /// # Errors
    /// When its files are there already or cannot be written, or the kept state is damaged.
    pub fn open(
        folder: &Path,
        start: &Start,
        state: Option<&serde_json::Value>,
    ) -> io::Result<Self> {
        match (&start.settings.format, &start.plan, &start.container) {
            (Format::E01 { .. }, Some(plan), Some(container)) => {
                let (case, facts) = (&container.case, &container.facts);
                let writer = match state {
                    None => EwfWriter::create(folder, STEM, plan, case, facts),
                    Some(state) => {
                        let checkpoint: ewf::writer::Checkpoint = kept(state)?;
                        EwfWriter::resume(folder, STEM, plan, case, facts, &checkpoint)
                    }
                };
                writer.map(|writer| Self::Ewf(Box::new(writer))).map_err(io::Error::other)
            }
            (Format::E01 { .. }, ..) => {
                Err(io::Error::other("the journal has no plan of the E01 set"))
            }
            (Format::Raw, ..) => Self::open_raw(folder, start.media_bytes, None, state),
            (Format::SplitRaw { piece_bytes }, ..) => {
                Self::open_raw(folder, start.media_bytes, Some(*piece_bytes), state)
            }
        }
    }

    fn open_raw(
        folder: &Path,
        media_bytes: u64,
        piece_bytes: Option<u64>,
        state: Option<&serde_json::Value>,
    ) -> io::Result<Self> {
        let layout =
            Layout::new(folder, STEM, media_bytes, piece_bytes).map_err(io::Error::other)?;
        let writer = match state {
            None => RawWriter::create(layout, Storing::default()),
            Some(state) => {
                let checkpoint: RawCheckpoint = kept(state)?;
                RawWriter::resume(layout, Storing::default(), checkpoint)
            }
        };
        writer.map(|writer| Self::Raw(Box::new(writer))).map_err(io::Error::other)
    }

    /// How the chunks of this image are made; none for raw forms.
    pub fn encoding(start: &Start) -> Option<Encoding> {
        let Format::E01 { compression, .. } = start.settings.format else { return None };
        start.plan.clone().map(|plan| Encoding { compression, plan })
    }
}

fn kept<T: serde::de::DeserializeOwned>(state: &serde_json::Value) -> io::Result<T> {
    serde_json::from_value(state.clone()).map_err(io::Error::other)
}

impl Sink for ImageSink {
    fn write(&mut self, slab: &Slab, batch: Option<&Batch>) -> io::Result<()> {
        match self {
            Self::Ewf(writer) => {
                let batch = batch.ok_or_else(|| io::Error::other("chunks were not encoded"))?;
                writer.push(batch).map_err(io::Error::other)
            }
            Self::Raw(writer) => writer.push(slab.bytes()).map_err(io::Error::other),
        }
    }

    fn end_group(&mut self) -> io::Result<Commit> {
        let (state, file) = match self {
            Self::Ewf(writer) => {
                let checkpoint = writer.end_group().map_err(io::Error::other)?;
                (serde_json::to_value(checkpoint)?, writer.sync_handle()?)
            }
            Self::Raw(writer) => {
                let checkpoint = writer.checkpoint().map_err(io::Error::other)?;
                (serde_json::to_value(checkpoint)?, writer.sync_handle()?)
            }
        };
        Ok(Commit { state, files: vec![file] })
    }
}
