//! Coded frames and the contract of a pure stream parser.
//!
//! Ranges in a [`Frame`] count in the logical stream (the recording's clusters joined); the recording's
//! [`ExtentMap`](crate::ExtentMap) turns them into extents on the medium.

use std::{borrow::Cow, ops::Range};

use smallvec::SmallVec;

use crate::CivilTime;

/// Logical byte ranges of one frame, in order; one unless the format splits frames.
pub type Ranges = SmallVec<[Range<u64>; 2]>;

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FrameKind {
    /// One access unit of the video stream.
    Video,
    /// A still picture beside the video.
    Still,
    /// A run of audio samples.
    Audio,
    /// The vendor's own data: text, events, watermarks.
    Auxiliary,
}

/// Coding of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// ITU-T H.264.
    H264,
    /// ITU-T H.265.
    H265,
    /// ISO/IEC 14496-2.
    Mpeg4,
    /// JPEG pictures.
    Mjpeg,
    /// ITU-T G.711 A-law.
    G711A,
    /// ITU-T G.711 µ-law.
    G711U,
    /// AAC in ADTS frames.
    AacAdts,
    /// 16-bit signed little-endian PCM.
    Pcm16,
    /// 8-bit unsigned PCM.
    Pcm8,
    /// Recognised by its number, not carried: the name the vendor gives it.
    Other(&'static str),
    /// The stream does not say and the payload does not tell.
    Unknown,
}

impl Codec {
    /// The name used in output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::H264 => "h264",
            Self::H265 => "h265",
            Self::Mpeg4 => "mpeg4",
            Self::Mjpeg => "mjpeg",
            Self::G711A => "g711a",
            Self::G711U => "g711u",
            Self::AacAdts => "aac",
            Self::Pcm16 => "pcm16",
            Self::Pcm8 => "pcm8",
            Self::Other(name) => name,
            Self::Unknown => "unknown",
        }
    }
}

/// Sampling of an audio frame as its header states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AudioFormat {
    /// Samples per second; `None` when the header does not say.
    pub sample_rate: Option<u32>,
    /// Audio channels.
    pub channels: u8,
}

/// A stored value and where it lies in the logical stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredValue {
    /// Field name in the format document.
    pub name: &'static str,
    /// Logical offset of the first byte.
    pub offset: u64,
    /// The bytes as stored, in their order; only the first `len` count.
    pub bytes: [u8; 8],
    /// Number of bytes.
    pub len: u8,
}

impl StoredValue {
    /// A value of up to eight bytes.
    pub fn new(name: &'static str, offset: u64, stored: &[u8]) -> Self {
        let mut bytes = [0; 8];
        let len = stored.len().min(bytes.len());
        for (to, from) in bytes.iter_mut().zip(stored) {
            *to = *from;
        }
        // At most 8: fits.
        Self { name, offset, bytes, len: u8::try_from(len).unwrap_or(8) }
    }

    /// The bytes as hexadecimal digits in stored order.
    pub fn hex(&self) -> String {
        self.bytes.iter().take(usize::from(self.len)).map(|b| format!("{b:02x}")).collect()
    }
}

/// Which counter a format keeps beside its frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CounterKind {
    /// The vendor's own counter.
    Own,
    /// The presentation time stamp of the stream (ISO/IEC 13818-1 clause 2.4.3.7), or its system clock reference.
    Pts,
}

/// A counter that runs with the frames: a millisecond counter, a PTS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counter {
    /// Which one.
    pub kind: CounterKind,
    /// Value as stored.
    pub value: u64,
    /// The counter wraps to 0 here.
    pub modulus: u64,
    /// Ticks in a second.
    pub ticks_per_second: u32,
}

/// What the stream stores about the time of a frame: the first of the three layers of time (T-1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredTime {
    /// The frame's own civil stamp, to whole seconds; `None` when it has none or stores an impossible date.
    pub second: Option<CivilTime>,
    /// The counter beside it.
    pub counter: Option<Counter>,
    /// Milliseconds within the second, where the format stores them apart.
    pub millisecond: Option<u16>,
    /// True where nothing in the stream so far shows that the recorder fills its milliseconds in: they read 0. Holds for undated frames too,
    /// whose time is carried on from such stamps.
    pub millisecond_doubtful: bool,
    /// The bytes all this was read from.
    pub stored: SmallVec<[StoredValue; 2]>,
}

/// Whether a frame is as its stream says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FrameState {
    /// All bytes are there and every check of the format holds.
    Complete,
    /// Something is missing or contradicts itself; the text says what.
    Damaged(String),
}

/// One coded frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it carries.
    pub kind: FrameKind,
    /// Coding of the payload.
    pub codec: Codec,
    /// The framed units with their headers and trailers; several where the format splits a frame.
    pub units: Ranges,
    /// The payload alone, in order.
    pub payload: Ranges,
    /// Stored time.
    pub time: StoredTime,
    /// The stream's own frame number, one counter per kind.
    pub number: Option<u32>,
    /// Camera as the stream claims it; meaning depends on the format.
    pub stream_channel: Option<u32>,
    /// True where decoding can start.
    pub key: bool,
    /// Picture size the stream states.
    pub size: Option<(u16, u16)>,
    /// Frames per second the stream states.
    pub rate: Option<u8>,
    /// Sampling, for audio.
    pub audio: Option<AudioFormat>,
    /// Why the payload is taken to be encrypted, if it is.
    pub encrypted: Option<Cow<'static, str>>,
    /// State.
    pub state: FrameState,
    /// Whether the stream's own check of the payload holds; `None` where it has none, or one whose algorithm is not known.
    pub check: Option<bool>,
    /// How an open point of the specification was taken for this frame.
    pub interpretation: Option<&'static str>,
}

impl Frame {
    /// First byte of the frame in the logical stream.
    pub fn start(&self) -> u64 {
        self.units.first().map_or(0, |range| range.start)
    }

    /// One past the last byte of the frame in the logical stream.
    pub fn end(&self) -> u64 {
        self.units.last().map_or(0, |range| range.end)
    }

    /// Length of the payload in bytes.
    pub fn payload_len(&self) -> u64 {
        self.payload.iter().fold(0, |sum, r| sum.saturating_add(r.end.saturating_sub(r.start)))
    }
}

/// Why bytes of a stream are passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SkipKind {
    /// Filler, index blocks, file headers: expected there.
    Expected,
    /// Footage of an earlier recording in a reused block: not this recording's.
    OlderGeneration,
    /// Bytes that should be a frame and are not.
    Damage,
}

/// What a parser made of the start of its window.
#[derive(Debug)]
pub enum Step {
    /// A frame ended; the window moves on by `used` bytes.
    Frame {
        /// The frame.
        frame: Box<Frame>,
        /// Bytes consumed from the window, at least 1 unless the frame was held back before.
        used: usize,
    },
    /// A unit was taken in; the frame it belongs to needs further units.
    Held {
        /// Bytes consumed, at least 1.
        used: usize,
    },
    /// Bytes that belong to no frame.
    Skip {
        /// Bytes consumed, at least 1.
        used: usize,
        /// Expected or damage.
        kind: SkipKind,
        /// What they are.
        why: Cow<'static, str>,
    },
    /// The window is too short to decide.
    NeedMore {
        /// Window length needed; the caller bounds it.
        at_least: usize,
    },
}

/// A pure parser of a frame stream: no I/O, no clock; the same function serves disk, file and fuzzer.
pub trait FrameParser: Send {
    /// Looks at `window`, whose first byte is at logical `offset`. `last` says that no byte follows the window
    /// (end of the stream, or a hole); the parser then decides with what it has and never asks for more.
    fn step(&mut self, offset: u64, window: &[u8], last: bool) -> Step;

    /// The next frame that only the end of the bytes completes: a split frame whose last unit never came. Called until it gives
    /// `None`, at the end of the stream and at every hole.
    fn finish(&mut self) -> Option<Box<Frame>>;

    /// Bytes taken in before ([`Step::Held`]) that turn out to belong to no frame. Called before every step and after
    /// [`finish`](Self::finish), until it gives `None`: every byte taken in is in one frame or in one of these.
    fn passed(&mut self) -> Option<Passed> {
        None
    }
}

/// Bytes of a stream that belong to no frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    /// Logical range.
    pub range: Range<u64>,
    /// Expected or damage.
    pub kind: SkipKind,
    /// What they are.
    pub why: Cow<'static, str>,
}
