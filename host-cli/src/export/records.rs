//! Lines of `clips.jsonl`, `other.jsonl` and the frames files. Published in `docs/schemas/extract.md`.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::output::{ExtentJson, ReasonJson, StoredJson};

/// A line of `clips.jsonl`: a playable clip.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClipJson {
    /// Stable name, from the recording and the first frame's place in it.
    pub id: String,
    /// The .mp4, relative to the output folder.
    pub file: String,
    /// Channel from 1, or null.
    pub channel: Option<u32>,
    /// 0 main, 1 sub.
    pub stream: u8,
    /// Time of the first frame; recorder time.
    pub start: Option<String>,
    /// Time of the last frame.
    pub end: Option<String>,
    /// `recorder`.
    pub time_basis: String,
    /// Video frames.
    pub frames: u64,
    /// Codec.
    pub codec: String,
    /// Width of the coded picture.
    pub width: u32,
    /// Height of the coded picture.
    pub height: u32,
    /// Grade.
    pub grade: String,
    /// Why this grade, channel and order, and why the clip begins where it does.
    pub reasons: Vec<ReasonJson>,
    /// The index entry it comes from.
    pub recording: Option<String>,
    /// Of the .mp4.
    pub sha256: String,
    /// Frames file, relative.
    pub frames_file: String,
    /// Native stream, relative.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub native: Option<String>,
    /// Of the native stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub native_sha256: Option<String>,
    /// The file of a folder that the extents count in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_file: Option<String>,
    /// The sound of the clip.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audio: Vec<AudioJson>,
}

/// Sound of a clip: inside the .mp4, or a file beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudioJson {
    /// Where the sound is: the .mp4, or a .wav or native file of its own.
    pub file: String,
    /// Codec in the stream.
    pub codec: String,
    /// Samples a second, where the stream says.
    pub sample_rate: Option<u32>,
    /// Time of its first sample.
    pub start: Option<String>,
    /// Of its own file; absent when the sound is in the .mp4.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// A line of `other.jsonl`: footage that could not become a playable clip.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OtherJson {
    /// Stable name.
    pub id: String,
    /// Native file, relative.
    pub file: String,
    /// `encrypted`, `audio`, `no-parameter-sets`, `codec`.
    pub kind: String,
    /// Why, in a sentence.
    pub reason: String,
    /// Channel from 1, or null.
    pub channel: Option<u32>,
    /// 0 main, 1 sub.
    pub stream: u8,
    /// Time of the first frame; recorder time.
    pub start: Option<String>,
    /// Time of the last frame.
    pub end: Option<String>,
    /// `recorder`.
    pub time_basis: String,
    /// Frames in the file.
    pub frames: u64,
    /// Codec as far as it is known.
    pub codec: String,
    /// Grade.
    pub grade: String,
    /// Why this grade, channel and order.
    pub reasons: Vec<ReasonJson>,
    /// The index entry it comes from.
    pub recording: Option<String>,
    /// Of the native file.
    pub sha256: String,
    /// Frames file, relative.
    pub frames_file: String,
    /// The file of a folder that the extents count in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_file: Option<String>,
}

/// A line of a frames file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FrameJson {
    /// From 0.
    pub n: u64,
    /// Recorder time, or null.
    pub time: Option<String>,
    /// What it was made from.
    pub stored: Vec<StoredJson>,
    /// Where the time comes from.
    pub time_source: Cow<'static, str>,
    /// How far it may be off.
    pub uncertainty_ms: Option<u64>,
    /// True where decoding can start.
    pub key: bool,
    /// The access unit on the medium.
    pub extents: Vec<ExtentJson>,
    /// `complete`, `reference-missing` or `damaged`.
    pub state: Cow<'static, str>,
    /// Why, when not complete; how an open point of the format was taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Cow<'static, str>>,
}

/// A file of the output folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileJson {
    /// Relative path with `/`.
    pub path: String,
    /// SHA-256.
    pub sha256: String,
    /// Length.
    pub bytes: u64,
}
