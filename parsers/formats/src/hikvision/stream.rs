//! The stream of a recording or a file: program-stream packs as frames.
//!
//! Facts: `docs/formats/hikvision.md` sections 4, 5 and 7. Units are found by the generic reader (`daleel_media::ps`), put together in
//! [`assemble`](super::assemble), and what stands behind the end of a recording is told apart in [`generation`](super::generation).

use std::{borrow::Cow, collections::VecDeque};

use daleel_core::{Codec, Frame, FrameKind, FrameParser, Passed, SkipKind, Step};
use daleel_media::ps::{UnitAt, UnitKind, find_pack, unit_at};
use memchr::memmem;

use super::{
    assemble::{Assembled, Assembler, Given},
    encryption::{Encryption, Verdict},
    generation::{Count, Frames, Generation, Judged, Marks, Window},
    header,
    numbers::Numbers,
    tail::{RECORD_BYTES, RECORD_MAGIC},
};

/// What frames are called whose date never comes.
const UNDATED: &str = "footage behind a break that no date follows: whose it is is not known";
/// Frames that wait for the encryption to be judged.
const UNJUDGED_MAX: usize = 256;
/// Sound packets that wait for the first map.
const EARLY_MAX: usize = 4096;
/// What footage behind the end of a recording is called.
const OLDER: &str = "older footage behind the end of the recording, not listed";
/// Zero bytes in a row that are unused room, not part of something damaged.
const UNUSED: [u8; 512] = [0; 512];
/// Bytes at the end of a window that may be the start of a pack, a record or a header that is not whole yet.
const LOOK_BACK: usize = 64;

/// What bounds a recording inside its stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Times of the recording by the index, where its end in bytes is not known: older footage may follow it.
    pub window: Option<Window>,
    /// Camera of the recording by the index.
    pub channel: Option<u32>,
    /// Cameras that the block's tail index names for key frames, by their place in the stream.
    pub marks: Marks,
}

/// Parser of the vendor's program stream.
pub struct HikParser {
    assembler: Assembler,
    generation: Generation,
    encryption: Encryption,
    numbers: Numbers,
    ready: Frames,
    passed: VecDeque<Passed>,
    /// Frames of which it is not known yet whether their pictures are encrypted, with the pictures' counters.
    unjudged: Vec<(Box<Frame>, Count)>,
    /// Sound before the first map: the map names its codec.
    early: Frames,
    /// True once a date had milliseconds: the recorder fills them in.
    has_milliseconds: bool,
    /// Set behind bytes that are no packets: what looks like one there is only believed where a pack begins.
    lost: bool,
    /// Set once older footage begins.
    ended: bool,
}

impl HikParser {
    /// A parser for a stream with the given bounds.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            assembler: Assembler::default(),
            generation: Generation::new(bounds.window, bounds.marks, bounds.channel),
            encryption: Encryption::default(),
            numbers: Numbers::default(),
            ready: Frames::new(),
            passed: VecDeque::new(),
            unjudged: Vec::new(),
            early: Frames::new(),
            has_milliseconds: false,
            lost: false,
            ended: false,
        }
    }

    /// Puts what the assembler gave in its queue.
    fn settle(&mut self, given: Given) {
        match given {
            Given::Passed(passed) => self.passed.push_back(passed),
            Given::Frame(assembled) if self.ended => self.pass(&assembled.frame, OLDER),
            Given::Frame(assembled) => self.settle_frame(assembled),
        }
    }

    fn settle_frame(&mut self, assembled: Assembled) {
        let Assembled { mut frame, counter, stated, pieces } = assembled;
        self.has_milliseconds |= frame.time.millisecond.is_some_and(|ms| ms > 0);
        frame.time.millisecond_doubtful = !self.has_milliseconds;
        if frame.kind == FrameKind::Audio && self.waits_for_codec(&frame) {
            self.early.push_back(frame);
            return;
        }
        self.release_early();
        if frame.kind != FrameKind::Video {
            self.unjudged.push((frame, Count::default()));
            if self.unjudged.len() == 1 || self.unjudged.len() >= UNJUDGED_MAX {
                self.release_unjudged(&Verdict::Clear);
            }
            return;
        }
        // What the counter proved before this picture counts for it.
        let believed = counter.filter(|_| self.numbers.is_proven());
        frame.number = self.numbers.follow(counter, &frame);
        let verdict = self.encryption.judge(stated, frame.codec, frame.key, &pieces.as_slices());
        self.unjudged.push((frame, Count { stored: counter, believed }));
        if verdict != Verdict::Open || self.unjudged.len() >= UNJUDGED_MAX {
            self.release_unjudged(&verdict);
        }
    }

    /// Gives out the frames that waited to be judged.
    fn release_unjudged(&mut self, verdict: &Verdict) {
        for (mut frame, counter) in std::mem::take(&mut self.unjudged) {
            if self.ended {
                self.pass(&frame, OLDER);
                continue;
            }
            let judged = if frame.kind == FrameKind::Video {
                if let Verdict::Encrypted(why) = verdict {
                    frame.encrypted = Some(why.clone());
                }
                self.generation.judge(frame, counter)
            } else {
                self.generation.judge_beside(frame)
            };
            self.take_judged(judged);
        }
    }

    fn take_judged(&mut self, judged: Judged) {
        match judged {
            Judged::Own(frames) => self.ready.extend(frames),
            Judged::Doubted => {}
            Judged::Older(frames) => {
                self.ended = true;
                frames.iter().for_each(|frame| self.pass(frame, OLDER));
                for given in self.assembler.finish(None) {
                    self.settle(given);
                }
            }
        }
    }

    fn waits_for_codec(&self, frame: &Frame) -> bool {
        frame.codec == Codec::Unknown
            && self.assembler.audio_codec().is_none()
            && self.early.len() < EARLY_MAX
    }

    /// Gives out the sound that waited for its codec, once that is known, or will not be.
    fn release_early(&mut self) {
        let Some(codec) = self.assembler.audio_codec() else { return };
        for mut frame in std::mem::take(&mut self.early) {
            frame.codec = codec;
            frame.audio = Some(self.assembler.audio_format());
            self.ready.push_back(frame);
        }
    }

    /// Says of a frame that it is not the recording's.
    fn pass(&mut self, frame: &Frame, why: &'static str) {
        for range in &frame.units {
            match self.passed.back_mut() {
                Some(last) if last.range.end == range.start && last.why == why => {
                    last.range.end = range.end;
                }
                _ => self.passed.push_back(Passed {
                    range: range.clone(),
                    kind: SkipKind::OlderGeneration,
                    why: why.into(),
                }),
            }
        }
    }

    /// Bytes that are no unit of the stream.
    fn pass_over(&mut self, window: &[u8], last: bool) -> Step {
        let what = no_unit(window, last);
        if let NoUnit::NeedMore(at_least) = what {
            return Step::NeedMore { at_least };
        }
        let broken = "no other packet follows it: only its own length says where it ends";
        for given in self.assembler.finish(Some(broken)) {
            self.settle(given);
        }
        if let Some(frame) = self.ready.pop_front() {
            return Step::Frame { frame, used: 0 };
        }
        match what {
            NoUnit::Header(used, video, audio) => {
                self.assembler.expect(video, audio);
                Step::Skip { used, kind: SkipKind::Expected, why: Cow::Borrowed("file header") }
            }
            NoUnit::Skip(used, kind, why) => {
                self.lost = true;
                self.assembler.lose();
                Step::Skip { used, kind, why: Cow::Borrowed(why) }
            }
            NoUnit::NeedMore(at_least) => Step::NeedMore { at_least },
        }
    }
}

/// What stands where no unit does.
enum NoUnit {
    NeedMore(usize),
    Header(usize, Option<Codec>, Option<Codec>),
    Skip(usize, SkipKind, &'static str),
}

fn no_unit(window: &[u8], last: bool) -> NoUnit {
    if !last && window.len() < LOOK_BACK {
        return NoUnit::NeedMore(LOOK_BACK);
    }
    if let Some(header) = header::parse(window) {
        let used = header.length.min(window.len()).max(1);
        return NoUnit::Header(used, header.video, header.audio);
    }
    if window.starts_with(RECORD_MAGIC) {
        let run = window
            .chunks(usize::try_from(RECORD_BYTES).unwrap_or(usize::MAX))
            .take_while(|record| record.starts_with(RECORD_MAGIC))
            .fold(0usize, |sum, record| sum.saturating_add(record.len()));
        return NoUnit::Skip(run, SkipKind::Expected, "records of the block's tail index");
    }
    let zeros = window.iter().position(|byte| *byte != 0).unwrap_or(window.len());
    if zeros == window.len() && zeros < UNUSED.len() && !last {
        return NoUnit::NeedMore(UNUSED.len());
    }
    if zeros >= UNUSED.len() || zeros == window.len() {
        // A start code begins with zeros.
        let kept = if zeros == window.len() && last { 0 } else { 3 };
        let used = zeros.saturating_sub(kept).max(1);
        return NoUnit::Skip(used, SkipKind::Expected, "unused room");
    }
    let rest = window.get(1..).unwrap_or(&[]);
    let next = [
        find_pack(rest),
        memmem::find(rest, RECORD_MAGIC),
        memmem::find(rest, &UNUSED),
        memmem::find(rest, header::MAGIC),
    ];
    let found = next.into_iter().flatten().min().map(|at| at.saturating_add(1));
    let used = found.unwrap_or_else(|| {
        let kept = if last { 0 } else { LOOK_BACK };
        window.len().saturating_sub(kept).max(1)
    });
    NoUnit::Skip(used, SkipKind::Damage, "no packet of the program stream")
}

impl FrameParser for HikParser {
    fn step(&mut self, offset: u64, window: &[u8], last: bool) -> Step {
        if let Some(frame) = self.ready.pop_front() {
            return Step::Frame { frame, used: 0 };
        }
        if self.ended {
            let (kind, why) = (SkipKind::OlderGeneration, Cow::Borrowed(OLDER));
            return Step::Skip { used: window.len().max(1), kind, why };
        }
        let unit = match unit_at(window, last) {
            UnitAt::NeedMore(at_least) if !last => return Step::NeedMore { at_least },
            UnitAt::Unit(unit) if !self.lost || matches!(unit.kind, UnitKind::Pack(_)) => unit,
            _ => return self.pass_over(window, last),
        };
        self.lost = false;
        let bytes = window.get(..unit.length.min(window.len())).unwrap_or(window);
        let (frames, used) = self.assembler.take(offset, &unit, bytes);
        for frame in frames {
            self.settle(frame);
        }
        let used = used.max(1);
        match self.ready.pop_front() {
            Some(frame) => Step::Frame { frame, used },
            None => Step::Held { used },
        }
    }

    fn finish(&mut self) -> Option<Box<Frame>> {
        for given in self.assembler.finish(None) {
            self.settle(given);
        }
        self.release_unjudged(&Verdict::Clear);
        self.ready.extend(std::mem::take(&mut self.early));
        match self.generation.end() {
            Judged::Own(frames) => self.ready.extend(frames),
            Judged::Older(frames) => frames.iter().for_each(|frame| self.pass(frame, UNDATED)),
            Judged::Doubted => {}
        }
        self.ready.pop_front()
    }

    fn passed(&mut self) -> Option<Passed> {
        self.passed.pop_front()
    }
}
