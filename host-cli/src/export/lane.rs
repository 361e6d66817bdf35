//! One camera's frames within a recording: where a clip begins and ends, and what becomes of it.

use std::{borrow::Cow, ops::Range, path::PathBuf};

use daleel_core::{CivilTime, Codec, Extents, Frame, FrameState, Ranges, Reason, StoredValue};
use daleel_media::{Change, Mp4Options, Mp4Writer, MuxError, ParameterSets, VideoTrack};
use daleel_timeline::{Pace, Pacing, Stamp};
use smallvec::SmallVec;

use super::{
    frames::{FramesFile, KnownTimes},
    hashed::HashedFile,
};

/// Most frames of a clip: the tables of an .mp4 are held in memory until it ends. Ten thousand seconds at 25 frames a second.
pub const CLIP_FRAMES_MAX: usize = 250_000;

/// Where a clip ends when the recorder's clock is moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ClockStep {
    /// At the next key frame, so that every picture can be decoded.
    #[default]
    Key,
    /// At the very frame; pictures up to the next key frame cannot be decoded then.
    Exact,
    /// Not at all.
    Through,
}

/// Cutting rules that a person can set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cutting {
    /// A distance between frames of more than this many milliseconds ends a clip.
    pub gap_ms: u32,
    /// What a step of the recorder's clock does.
    pub clock_step: ClockStep,
}

impl Cutting {
    /// True when the counter is followed through a step of the clock.
    pub fn follows_through(self) -> bool {
        self.clock_step != ClockStep::Exact
    }
}

/// What is kept of a frame until its clip ends.
#[derive(Debug)]
pub struct FrameRecord {
    /// Where the frame begins in the stream.
    pub start: u64,
    /// The access unit on the medium.
    pub extents: Extents,
    /// Stored time values with their offsets on the medium.
    pub stored: SmallVec<[(StoredValue, u64); 2]>,
    /// True where decoding can start.
    pub key: bool,
    /// Published state.
    pub state: &'static str,
    /// Why.
    pub reason: Option<Cow<'static, str>>,
}

/// Sound that does not go into the .mp4.
#[derive(Debug)]
pub struct SideAudio {
    /// Where the samples lie in the stream.
    pub payload: Ranges,
    /// Codec.
    pub codec: Codec,
    /// Samples a second.
    pub sample_rate: Option<u32>,
    /// Channels.
    pub channels: u8,
    /// When, in ticks of the clip.
    pub tick: i64,
}

/// What a clip becomes.
#[derive(Debug)]
pub enum Target {
    /// A playable file.
    Playable(Box<Mp4Writer<HashedFile>>),
    /// A native file: the kind of `other.jsonl` and why.
    Other(&'static str, String),
}

/// A clip being written.
#[derive(Debug)]
pub struct Clip {
    /// What it becomes.
    pub target: Target,
    /// Codec.
    pub codec: Codec,
    /// Parameter sets seen in it.
    pub sets: ParameterSets,
    /// Size the stream's own headers state.
    pub stated_size: Option<(u16, u16)>,
    /// Its frames file.
    pub frames: FramesFile,
    /// How many frames it has.
    pub count: usize,
    /// Tick of its first frame.
    pub first_tick: i64,
    /// Stamp of its last frame.
    pub last_stamp: Option<Stamp>,
    /// Why it begins where it does.
    pub begins: Option<Reason>,
    /// Logical range of its frames and of the sound that goes with them.
    pub range: Range<u64>,
    /// Its own units, for stills, whose native file holds nothing else.
    pub units: Vec<Range<u64>>,
    /// Sound inside the .mp4: codec, sample rate, tick of the first sample.
    pub muxed_audio: Option<(Codec, Option<u32>, i64)>,
    /// Sound beside it.
    pub side_audio: Vec<SideAudio>,
    /// Tick of the last sample in the .mp4.
    pub last_tick: i64,
    /// Ticks a frame lasts, by the frames before.
    pub usual_ticks: i64,
}

/// Where the unfinished files of a clip go.
pub struct Parts {
    /// The .mp4.
    pub mp4: PathBuf,
    /// The frames file.
    pub frames: PathBuf,
    /// Times that are known already.
    pub known: KnownTimes,
}

/// Why a frame does not go on with the clip in hand.
#[derive(Debug)]
pub struct Cut {
    /// For the next clip's reasons.
    pub why: String,
    /// The stamp behind the end, when the counter ran on while the clock was moved.
    pub after: Option<Stamp>,
}

impl Cut {
    fn plain(why: impl Into<String>) -> Self {
        Self { why: why.into(), after: None }
    }
}

/// How a frame follows the clip in hand.
#[derive(Debug)]
pub struct Followed {
    /// Its time.
    pub stamp: Stamp,
    /// Set when a new clip begins with it.
    pub cut: Option<Cut>,
    /// By how many milliseconds the clock was moved before it, when it was.
    pub step_ms: Option<i64>,
}

/// The frames of one stream channel and kind in a recording.
#[derive(Debug)]
pub struct Lane {
    /// Cutting rules.
    cutting: Cutting,
    pace: Pace,
    ticks_per_second: u32,
    /// The clip in hand.
    pub clip: Option<Clip>,
    /// Parameter sets of the stream so far; a new clip inherits them, since its frames may refer to them.
    sets: ParameterSets,
    last_number: Option<u32>,
    /// Why frames cannot be decoded until the next key frame.
    reference_missing: Option<Cow<'static, str>>,
    /// The clock was moved by so many milliseconds, so many frames ago, and the clip goes on to the next key frame.
    moved: Option<(i64, u32)>,
    /// Stored counter of the last video frame, for placing sound.
    pub last_counter: Option<u64>,
    /// Stamp of the last picture.
    pub last_second: Option<CivilTime>,
    /// Whether the last picture had a stamp of its own.
    last_is_dated: bool,
    /// How often frame numbers jumped where no key frame explains it.
    pub jumps: u64,
}

impl Lane {
    /// A lane for frames whose counter has the given rate.
    pub fn new(cutting: Cutting, ticks_per_second: u32) -> Self {
        Self {
            cutting,
            pace: Pace::new(ticks_per_second, cutting.gap_ms, cutting.follows_through()),
            ticks_per_second,
            clip: None,
            sets: ParameterSets::new(Codec::Unknown),
            last_number: None,
            reference_missing: None,
            moved: None,
            last_counter: None,
            last_second: None,
            last_is_dated: true,
            jumps: 0,
        }
    }

    /// Ticks in a second.
    pub const fn ticks_per_second(&self) -> u32 {
        self.ticks_per_second
    }

    /// Follows the time of a frame and says whether a new clip has to begin with it.
    pub fn follow(&mut self, frame: &Frame, payload: &[u8]) -> Followed {
        let before = self.clip.as_ref().and_then(|clip| clip.last_stamp);
        let (pacing, stamp) = self.pace.next(&frame.time, frame.number, frame.rate);
        let mut cut = None;
        let mut step_ms = None;
        match pacing {
            Pacing::First | Pacing::Continues { .. } => {}
            Pacing::Gap { milliseconds } => {
                cut = Some(Cut::plain(format!("no frame for {milliseconds} ms before it")))
            }
            Pacing::Break => {
                cut = Some(Cut::plain(
                    "the time stamps start anew; nothing tells how long the pause was",
                ));
            }
            Pacing::Step { by_milliseconds, delta } => {
                step_ms = Some(by_milliseconds);
                let why =
                    format!("the recorder's clock was moved by {by_milliseconds} ms before it");
                let after = before.zip(delta).map(|(before, delta)| Stamp {
                    ticks: before.ticks.saturating_add(delta),
                    second: frame.time.second.map(|time| time.millis().div_euclid(1000)),
                    ..stamp
                });
                match self.cutting.clock_step {
                    ClockStep::Exact => cut = Some(Cut { why, after }),
                    // Where only key frames are dated, the clock may have been moved anywhere since the one before.
                    ClockStep::Key if frame.key && !self.last_is_dated => {
                        cut = Some(Cut { why, after })
                    }
                    ClockStep::Key => self.moved = Some((by_milliseconds, 0)),
                    ClockStep::Through => {}
                }
            }
        }
        if let Some((by, frames)) = &mut self.moved
            && cut.is_none()
        {
            if frame.key {
                let why = format!(
                    "the recorder's clock was moved by {by} ms, {frames} frames before this key frame"
                );
                cut = Some(Cut::plain(why));
            } else {
                *frames = frames.saturating_add(1);
            }
        }
        match self.content_cut(frame, payload) {
            Some(content) if cut.is_some() => {
                cut = cut.map(|cut| Cut { why: format!("{}; {}", cut.why, content.why), ..cut });
            }
            Some(content) => cut = Some(content),
            None => {}
        }
        if cut.is_some() {
            self.moved = None;
        }
        Followed { stamp, cut, step_ms }
    }

    fn content_cut(&self, frame: &Frame, payload: &[u8]) -> Option<Cut> {
        let clip = self.clip.as_ref()?;
        if clip.codec != frame.codec {
            return Some(Cut::plain(format!("the codec changes to {}", frame.codec.as_str())));
        }
        let was_encrypted = matches!(clip.target, Target::Other("encrypted", _));
        if was_encrypted != frame.encrypted.is_some() {
            return Some(Cut::plain(if was_encrypted {
                "encryption ends"
            } else {
                "encryption begins"
            }));
        }
        let sets = if clip.sets.is_complete() { &clip.sets } else { &self.sets };
        if frame.encrypted.is_none() && sets.check_unit(payload) == Change::Replaced {
            return Some(Cut::plain("the parameter sets change"));
        }
        if frame.codec == Codec::Mjpeg
            && let (Some(before), Some(now)) = (clip.stated_size, frame.size)
            && before != now
        {
            return Some(Cut::plain("the picture size changes"));
        }
        (clip.count >= CLIP_FRAMES_MAX
            && (frame.key || clip.count >= CLIP_FRAMES_MAX.saturating_mul(2)))
        .then(|| Cut::plain(format!("a clip ends after {CLIP_FRAMES_MAX} frames")))
    }

    /// Begins a clip with a frame.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn begin(
        &mut self,
        frame: &Frame,
        begins: Option<Reason>,
        parts: &Parts,
    ) -> anyhow::Result<()> {
        if self.sets.codec() != frame.codec {
            self.sets = ParameterSets::new(frame.codec);
        }
        let target = match (&frame.encrypted, frame.codec) {
            (Some(why), _) => {
                Target::Other("encrypted", format!("the payload is encrypted: {why}"))
            }
            (None, Codec::H264 | Codec::H265 | Codec::Mpeg4 | Codec::Mjpeg) => {
                let video = VideoTrack { codec: frame.codec, timescale: self.ticks_per_second };
                Target::Playable(Box::new(Mp4Writer::new(
                    HashedFile::create(&parts.mp4)?,
                    Mp4Options { video },
                )?))
            }
            (None, codec) => Target::Other(
                "codec",
                format!("video codec {} is not carried in MP4 here", codec.as_str()),
            ),
        };
        if self.clip.is_none() && self.reference_missing.is_none() && !frame.key {
            let why = if self.last_number.is_some() {
                "its key frame is in the clip before"
            } else {
                "its key frame is not in the recording"
            };
            self.reference_missing = Some(Cow::Borrowed(why));
        }
        // A replaced set must not be inherited: the clip's first frame brings its own.
        self.clip = Some(Clip {
            target,
            codec: frame.codec,
            sets: ParameterSets::new(frame.codec),
            stated_size: frame.size,
            frames: FramesFile::new(
                HashedFile::create(&parts.frames)?,
                i64::from(self.ticks_per_second),
                parts.known.clone(),
            ),
            count: 0,
            first_tick: 0,
            last_stamp: None,
            begins,
            range: frame.start()..frame.end(),
            units: Vec::new(),
            muxed_audio: None,
            side_audio: Vec::new(),
            last_tick: -1,
            usual_ticks: 0,
        });
        Ok(())
    }

    /// Takes a frame into the clip in hand.
    ///
    /// # Errors
    /// When the destination fails.
    pub fn add(
        &mut self,
        frame: &Frame,
        payload: &[u8],
        stamp: Stamp,
        record: FrameRecord,
    ) -> Result<Option<String>, MuxError> {
        let state = self.state(frame);
        let Some(clip) = self.clip.as_mut() else { return Ok(None) };
        let mut note = None;
        if let Target::Playable(writer) = &mut clip.target {
            let tick = if clip.count == 0 {
                stamp.ticks
            } else {
                stamp.ticks.max(clip.last_tick.saturating_add(1))
            };
            match writer.video(payload, frame.key, tick) {
                Ok(sample) if sample.stray_bytes > 0 => {
                    note = Some(format!(
                        "{} bytes before the first start code are not in the .mp4",
                        sample.stray_bytes
                    ));
                }
                Ok(_) => {}
                Err(error @ (MuxError::NoNalUnit(_) | MuxError::Empty | MuxError::TooLarge(_))) => {
                    return Ok(Some(format!("not in the clip: {error}")));
                }
                Err(error) => return Err(error),
            }
            if clip.count > 0 {
                clip.usual_ticks = tick.saturating_sub(clip.last_tick);
            }
            clip.last_tick = tick;
            self.sets.observe_unit(payload);
            clip.sets.observe_unit(payload);
        }
        clip.range.end = clip.range.end.max(frame.end());
        let (state, reason) = state;
        clip.frames.add(FrameRecord { key: frame.key, state, reason, ..record }, stamp)?;
        if clip.count == 0 {
            clip.first_tick = stamp.ticks;
        }
        clip.count = clip.count.saturating_add(1);
        clip.last_stamp = Some(stamp);
        self.last_number = frame.number;
        self.last_counter = frame.time.counter.map(|counter| counter.value);
        self.last_second = frame.time.second.or(self.last_second);
        self.last_is_dated = frame.time.second.is_some();
        Ok(note)
    }

    /// The published state of a frame, from its own and from what came before.
    fn state(&mut self, frame: &Frame) -> (&'static str, Option<Cow<'static, str>>) {
        if let Some((last, number)) = self.last_number.zip(frame.number)
            && number != last.wrapping_add(1)
            && !frame.key
            && self.reference_missing.is_none()
        {
            self.jumps = self.jumps.saturating_add(1);
            self.reference_missing = Some(Cow::Owned(format!(
                "frame number {number} follows {last}: frames are missing before it"
            )));
        }
        if frame.key {
            self.reference_missing = None;
        }
        match &frame.state {
            FrameState::Damaged(why) => {
                self.reference_missing = Some(Cow::Borrowed("a frame before it is damaged"));
                ("damaged", Some(Cow::Owned(why.clone())))
            }
            FrameState::Complete => match &self.reference_missing {
                Some(why) => ("reference-missing", Some(why.clone())),
                None if frame.check == Some(false) => (
                    "complete",
                    Some(Cow::Borrowed(
                        "the stream's own payload check does not match the payload",
                    )),
                ),
                None => ("complete", frame.interpretation.map(Cow::Borrowed)),
            },
        }
    }

    /// Tells the lane that frames were lost where the stream cannot be read.
    pub fn lost(&mut self) {
        if self.reference_missing.is_none() {
            self.reference_missing = Some(Cow::Borrowed("bytes before it cannot be read"));
        }
    }

    /// Takes the clip in hand out, to be closed. Its parameter sets are completed with those of the stream before it, which its frames
    /// may refer to.
    pub fn take(&mut self) -> Option<Clip> {
        let mut clip = self.clip.take()?;
        self.reference_missing = None;
        if !clip.sets.is_complete() && self.sets.codec() == clip.codec && self.sets.is_complete() {
            clip.sets = self.sets.clone();
        }
        Some(clip)
    }
}

/// A civil time that is `ticks` after another.
pub fn later(time: Option<CivilTime>, ticks: i64, ticks_per_second: u32) -> Option<CivilTime> {
    let milliseconds = ticks.saturating_mul(1000).checked_div(i64::from(ticks_per_second))?;
    time.map(|time| time.plus_millis(milliseconds))
}
