//! The plan of what one camera delivers as a program stream.

use super::sound::{Sound, SoundCodec};
use crate::civil::Moment;
use crate::footage::Footage;
use crate::rng::Rng;
use crate::take::Pace;
use crate::truth::AudioFacts;

/// Presentation times have 33 bits.
pub(super) const PTS_MASK: u64 = (1 << 33) - 1;
/// Units of presentation time in a millisecond.
pub(super) const TICKS_PER_MS: u64 = 90;

/// The plan of one stream. Fill the fields that differ from [`StreamPlan::new`].
#[derive(Debug, Clone)]
pub struct StreamPlan {
    /// The recorder's clock at the first video frame.
    pub start: Moment,
    /// Where the pictures come from.
    pub footage: Footage,
    /// First access unit of the footage; not a key frame where the stream starts in mid-group.
    pub first_unit: usize,
    /// Number of video frames.
    pub frames: usize,
    /// Time from frame to frame.
    pub pace: Pace,
    /// Sound.
    pub sound: Option<Sound>,
    /// Presentation time of the first video frame, in units of 1/90000 s.
    pub pts_start: u64,
    /// Picture counter of the first video frame.
    pub counter_start: u32,
    /// False where descriptor 0x40 always has 0 milliseconds.
    pub milliseconds: bool,
    /// True where an IMKH header stands before the first pack.
    pub imkh: bool,
    /// Private packets.
    pub private: Option<Private>,
    /// Encryption, and what is said about it.
    pub encryption: Encryption,
    /// What happens before which video frame, in order of the frame.
    pub events: Vec<(usize, Event)>,
    /// Seed of everything random in the stream.
    pub seed: u64,
}

/// Private packets of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Private {
    /// A packet after every so many video frames.
    pub every: usize,
    /// Payload bytes behind its header of 12 bytes; a multiple of 4.
    pub body_bytes: usize,
}

/// Encryption of a stream. The key stream is random and kept nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encryption {
    /// What is encrypted.
    pub cipher: Cipher,
    /// Encryption type in descriptor 0x40.
    pub kind: u8,
    /// True where the map has descriptor 0x80.
    pub descriptor: bool,
    /// True where a private packet of type 0x4000 follows every key frame.
    pub info_packets: bool,
}

/// What is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cipher {
    /// Nothing.
    Clear,
    /// The first 4096 bytes behind the header of every NAL unit.
    Units,
    /// The same of slices only: parameter sets are readable.
    Slices,
}

/// Something that happens before a video frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The clock is set by this many milliseconds.
    ClockStep(i64),
    /// Nothing is recorded for this many milliseconds; then a key frame comes.
    Gap(i64),
    /// The recorder is off for some time; stream time and picture counter begin anew.
    Reboot {
        /// Milliseconds without recording.
        off_ms: i64,
        /// Presentation time of the next frame.
        pts: u64,
        /// Picture counter of the next frame.
        counter: u32,
    },
    /// This many pictures are missing from the stream.
    Lost(usize),
    /// The picture comes from other footage from here, starting with a key frame.
    Switch(Footage),
}

impl StreamPlan {
    /// A plain plan at 25 frames a second: no sound, no events, times to the millisecond.
    ///
    /// Stream time and picture counter run on from one plan of a camera to the next.
    pub fn new(footage: Footage, start: Moment, frames: usize, seed: u64) -> StreamPlan {
        let mut rng = Rng::new(seed, 0x4849_4B00 | u64::from(footage.camera()));
        let (ticks, phase) = (start.millis() as u64, rng.next_u64());
        StreamPlan {
            start,
            footage,
            first_unit: 0,
            frames,
            pace: Pace::Steady(25),
            sound: None,
            pts_start: ticks.wrapping_mul(TICKS_PER_MS).wrapping_add(phase) & PTS_MASK,
            counter_start: (ticks / 40 % 40_000_000 + rng.below(900_000)) as u32,
            milliseconds: true,
            imkh: false,
            private: None,
            encryption: Encryption::NONE,
            events: Vec::new(),
            seed: rng.next_u64() ^ ticks,
        }
    }

    /// The same plan with sound that shares the packs of the pictures.
    #[must_use]
    pub fn with_sound(mut self, codec: SoundCodec, offset_ms: i64) -> StreamPlan {
        self.sound = Some(Sound { codec, offset_ms, own_packs: false });
        self
    }

    /// The same plan with events before video frames.
    #[must_use]
    pub fn with_events(mut self, events: &[(usize, Event)]) -> StreamPlan {
        self.events = events.to_vec();
        self
    }

    /// Facts about the sound for the truth.
    pub fn audio_facts(&self) -> Option<AudioFacts> {
        self.sound.map(|sound| AudioFacts {
            codec: sound.codec.name().into(),
            sample_rate: sound.codec.sample_rate(),
            offset_ms: sound.offset_ms,
        })
    }
}

impl Encryption {
    /// Nothing encrypted, and nothing said about it.
    pub const NONE: Encryption =
        Encryption { cipher: Cipher::Clear, kind: 0, descriptor: false, info_packets: false };
}
