//! What is asked for, and what is chosen once for an image.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{
    devices::medium::Sample,
    digest::Algorithm,
    ewf::{
        chunk::Compression,
        header::{CaseText, SetFacts},
        plan::{Plan, SegmentSize},
    },
    record::Tool,
};

/// Name and version of `start.json`.
pub const START_SCHEMA: &str = "daleel.image-start/1";

/// The form of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "form", rename_all = "kebab-case")]
pub enum Format {
    /// E01, EnCase 6 profile.
    E01 {
        /// How hard to compress.
        compression: Compression,
        /// Size of the segment files.
        segment: SegmentSize,
    },
    /// One raw file, `image.raw`.
    Raw,
    /// Raw pieces, `image.001` on.
    SplitRaw {
        /// Bytes of a piece.
        piece_bytes: u64,
    },
}

impl Format {
    /// The word in records.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::E01 { .. } => "e01",
            Self::Raw => "raw",
            Self::SplitRaw { .. } => "split-raw",
        }
    }
}

/// Which way a medium is read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Read as a failing medium from the start: raw file and map first.
    pub rescue: bool,
    /// What is wanted first, as it was asked for.
    pub first: Vec<String>,
    /// What alone is wanted, as it was asked for.
    pub only: Vec<String>,
}

impl Order {
    /// Whether it is any other than front to back.
    pub fn is_out_of_order(&self) -> bool {
        self.rescue || !self.first.is_empty() || !self.only.is_empty()
    }
}

/// How patient the reading is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Patience {
    /// Passes that try bad sectors again.
    pub retries: u32,
    /// How long a lost device is waited for, in seconds.
    pub reconnect_seconds: u64,
    /// Longest time for each pass over a failing medium, in seconds; null is no limit.
    pub pass_seconds: Option<u64>,
    /// Most failed reads in a pass; null is no limit.
    pub pass_errors: Option<u64>,
}

impl Default for Patience {
    fn default() -> Self {
        Self { retries: 0, reconnect_seconds: 60, pass_seconds: None, pass_errors: None }
    }
}

/// Everything that shapes the image; the same for all its runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Form.
    pub format: Format,
    /// Whole-medium digests.
    pub hashes: Vec<Algorithm>,
    /// Way of reading.
    pub order: Order,
    /// Patience.
    pub patience: Patience,
    /// Read the disk's health, too: that can make a drive save its attributes, so it is a choice.
    pub smart: bool,
    /// Read all files again at the end.
    pub read_back: bool,
    /// Remove the raw file that the image was packed from, once the image was read back and is equal.
    pub remove_raw: bool,
    /// What the operator says of a write blocker that is not ours.
    pub blocker: Option<String>,
}

impl Settings {
    /// The digests that are made of the whole medium: none of a part of it, which would only be mistaken for them.
    pub fn whole_hashes(&self) -> Vec<Algorithm> {
        if self.order.only.is_empty() { self.hashes.clone() } else { Vec::new() }
    }
}

/// What one run is asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// Device or file.
    pub source: PathBuf,
    /// Folder of the image.
    pub out: PathBuf,
    /// A second folder that gets the same.
    pub also: Option<PathBuf>,
    /// The operator's words for the container.
    pub case: CaseText,
    /// Everything else.
    pub settings: Settings,
    /// Go on with an unfinished image.
    pub resume: bool,
    /// Threads beside those that hash the whole medium.
    pub workers: usize,
    /// The program.
    pub tool: Tool,
}

/// What is chosen once: `start.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// Name and version.
    pub schema: String,
    /// When the first run began, UTC.
    pub started: String,
    /// Everything that shapes the image.
    pub settings: Settings,
    /// The source as it was found.
    pub source: serde_json::Value,
    /// Size of the medium in bytes.
    pub media_bytes: u64,
    /// Bytes of its sectors.
    pub sector_bytes: u32,
    /// First and last bytes of it; none where they could not be read.
    pub samples: Vec<Sample>,
    /// The second folder, as it was given.
    pub also: Option<PathBuf>,
    /// How an E01 set is cut; null for raw forms.
    pub plan: Option<Plan>,
    /// What the container says; null for raw forms.
    pub container: Option<Container>,
}

/// Texts and identifiers of an E01 set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// The operator's words.
    pub case: CaseText,
    /// The program's.
    pub facts: SetFacts,
}
