//! A take: the plan of what one camera delivers, before it is placed on a disk or in a file.

use crate::audio::AudioCodec;
use crate::civil::Moment;
use crate::footage::Footage;
use crate::rng::Rng;

/// The plan of one stream. Fill the fields that differ from [`Take::new`].
#[derive(Debug, Clone)]
pub struct Take {
    /// The recorder's clock at the first video frame.
    pub start: Moment,
    /// Where the pictures come from.
    pub footage: Footage,
    /// First access unit of the footage; not a key frame when the head is cut.
    pub first_unit: usize,
    /// Number of video frames.
    pub frames: usize,
    /// Time from frame to frame.
    pub pace: Pace,
    /// Channel byte of the frames, from 0.
    pub dhav_channel: u8,
    /// Number of the first video frame.
    pub first_number: u32,
    /// Millisecond counter at the first video frame: its phase to the second is arbitrary.
    pub counter: u16,
    /// Codec number in tag 81; one of [`crate::dhav::codec_numbers`].
    pub codec_number: u8,
    /// Tags of video frames.
    pub tags: Tags,
    /// Sound.
    pub audio: Option<Audio>,
    /// A JPEG still before every so many video frames.
    pub stills_every: Option<usize>,
    /// Auxiliary frames.
    pub auxiliary: Option<Auxiliary>,
    /// Splitting of long frames.
    pub split: Option<Split>,
    /// Bytes of 0xFF between frames.
    pub filler: usize,
    /// Encryption.
    pub cipher: Cipher,
    /// What happens before which video frame, in order of the frame.
    pub events: Vec<(usize, Event)>,
    /// Seed of everything random in the stream.
    pub seed: u64,
}

/// Time from frame to frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Evenly, this many frames a second.
    Steady(u32),
    /// This many frames a second, each step up to `spread` milliseconds off.
    Jitter {
        /// Frames a second.
        fps: u32,
        /// Largest deviation of a step in milliseconds.
        spread: i64,
    },
    /// The rate changes every `every` frames between two values.
    Alternating {
        /// The two rates in frames a second.
        fps: [u32; 2],
        /// Frames before the rate changes.
        every: usize,
    },
}

/// Tags of video frames besides playback (81).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tags {
    /// Size in tag 80.
    pub size_80: bool,
    /// Size in tag 82.
    pub size_82: bool,
    /// Payload check in tag 88.
    pub check: Check,
    /// Temporal layers in tag 94.
    pub layers: bool,
    /// Milliseconds in tag A0.
    pub milliseconds: bool,
}

/// Which video frames carry tag 88, and of which kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// None.
    Absent,
    /// Key frames, kind 0.
    SumOnKeys,
    /// All frames, kind 0.
    Sum,
    /// All frames, kind 2.
    Crc,
}

/// Sound of a take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Audio {
    /// Coding.
    pub codec: AudioCodec,
    /// Start of the sound minus start of the video, in milliseconds.
    pub offset_ms: i64,
}

/// Auxiliary frames of a take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auxiliary {
    /// Channel title, in a TEXT block at the start.
    pub title: String,
    /// A JSON frame before every so many video frames.
    pub json_every: usize,
}

/// Splitting of long frames into pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Split {
    /// Largest payload of a piece in bytes.
    pub piece_bytes: usize,
    /// True where only the first piece of a frame carries tags.
    pub first_tags_only: bool,
}

/// Encryption of a take. The key stream is random and kept nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cipher {
    /// None.
    Clear,
    /// All video frames from the first payload byte, announced by tag B5.
    All,
    /// Key frames from payload byte 64, announced by tag B5.
    KeyFrames,
    /// All video frames, announced by tag 95.
    CloudMode,
    /// All video frames, announced by nothing: only the lack of a start code shows it.
    Unannounced,
}

/// Something that happens before a video frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The clock is set by this many milliseconds.
    ClockStep(i64),
    /// Nothing is recorded for this many milliseconds; then a key frame comes.
    Gap(i64),
    /// The picture comes from other footage from here, starting with a key frame.
    Switch(Footage),
    /// This many bytes of garbage in the stream.
    Garbage(usize),
}

impl Tags {
    /// The tags of the frames of Disk A.
    pub const DISK_A: Tags = Tags {
        size_80: true,
        size_82: false,
        check: Check::SumOnKeys,
        layers: true,
        milliseconds: false,
    };
    /// Only size and playback.
    pub const PLAIN: Tags = Tags { check: Check::Absent, layers: false, ..Tags::DISK_A };
    /// Size in tag 82.
    pub const LARGE_SIZE: Tags = Tags { size_80: false, size_82: true, ..Tags::PLAIN };
}

impl Take {
    /// A plain take at 25 frames a second: no sound, no events, tags as on Disk A.
    pub fn new(footage: Footage, start: Moment, frames: usize, seed: u64) -> Take {
        let mut rng = Rng::new(seed, u64::from(footage.camera()));
        // Numbers and counter run on from one recording of a camera to the next.
        let (ticks, phase) = (start.millis(), rng.below(65_536) as i64);
        Take {
            start,
            footage,
            first_unit: 0,
            frames,
            pace: Pace::Steady(25),
            dhav_channel: footage.camera() - 1,
            first_number: (rng.below(500_000) as i64 + ticks / 40 % 1_000_000) as u32,
            counter: (phase + ticks).rem_euclid(65_536) as u16,
            codec_number: crate::dhav::codec_numbers(footage.codec())[0],
            tags: Tags::DISK_A,
            audio: None,
            stills_every: None,
            auxiliary: None,
            split: None,
            filler: 0,
            cipher: Cipher::Clear,
            events: Vec::new(),
            seed: rng.next_u64() ^ ticks as u64,
        }
    }

    /// The same take with sound.
    #[must_use]
    pub fn with_audio(mut self, codec: AudioCodec, offset_ms: i64) -> Take {
        self.audio = Some(Audio { codec, offset_ms });
        self
    }

    /// The same take with events before video frames.
    #[must_use]
    pub fn with_events(mut self, events: &[(usize, Event)]) -> Take {
        self.events = events.to_vec();
        self
    }
}

impl Pace {
    /// Frames a second that tag 81 claims.
    pub fn nominal(self) -> u8 {
        match self {
            Pace::Steady(fps) | Pace::Jitter { fps, .. } => fps as u8,
            Pace::Alternating { fps, .. } => fps[0] as u8,
        }
    }
}
