//! Drives a [`FrameParser`] over a [`Stream`]: windows, holes, and the bytes of the frames found.

use std::{
    borrow::Cow,
    num::NonZero,
    ops::{ControlFlow, Range},
};

use crate::{Extent, Frame, FrameParser, Hole, Passed, Ranges, ReadError, SkipKind, Step, Stream};

/// Window that is read ahead.
const WINDOW_BYTES: usize = 512 << 10;
/// Largest window a parser may ask for: more than the longest unit of any format (16 MiB) with its neighbours.
const WINDOW_LIMIT: usize = 40 << 20;
/// How finely a failing read is narrowed down; one physical sector of a large disk.
const FAILING_STEP_BYTES: u64 = 4096;

/// One item of a walk, in stream order.
#[derive(Debug)]
pub enum WalkItem {
    /// A frame.
    Frame(Box<Frame>),
    /// Bytes that belong to no frame.
    Skipped {
        /// Logical range.
        range: Range<u64>,
        /// Expected or damage.
        kind: SkipKind,
        /// What they are.
        why: Cow<'static, str>,
    },
    /// Bytes that are not from the medium.
    Hole {
        /// Logical range.
        range: Range<u64>,
        /// What kind of hole.
        hole: Hole,
    },
    /// A read failed; the walk goes on behind the range.
    Failed {
        /// Logical range that was not read.
        range: Range<u64>,
        /// The system's answer.
        error: ReadError,
    },
}

/// Iterates over the frames of a stream. Memory is bounded by the window.
pub struct Walk<'a> {
    stream: &'a Stream,
    parser: Box<dyn FrameParser>,
    buffer: Vec<u8>,
    /// Bytes of `buffer` in use.
    filled: usize,
    /// Logical offset of `buffer[0]`.
    base: u64,
    /// Position in `buffer` of the next byte to parse.
    at: usize,
    /// End of the readable segment in hand.
    segment_end: u64,
    end: u64,
    finishing: bool,
    /// A read that failed at `segment_end`, to be reported when the bytes before it are parsed.
    failure: Option<(Range<u64>, ReadError)>,
}

impl<'a> Walk<'a> {
    /// Walks the logical range `range` of a stream; what reaches past its end is left out.
    pub fn new(stream: &'a Stream, parser: Box<dyn FrameParser>, range: Range<u64>) -> Self {
        let end = range.end.min(stream.map.len());
        Self {
            stream,
            parser,
            buffer: Vec::new(),
            filled: 0,
            base: range.start,
            at: 0,
            segment_end: range.start,
            end,
            finishing: false,
            failure: None,
        }
    }

    /// Logical offset of the next byte to parse; for progress.
    pub fn offset(&self) -> u64 {
        self.base.saturating_add(self.at as u64)
    }

    /// The bytes of a frame's payload (or other ranges of it): borrowed from the window where they still are.
    ///
    /// # Errors
    /// When the bytes have left the window and cannot be read again.
    pub fn bytes(&self, ranges: &Ranges) -> Result<Cow<'_, [u8]>, ReadError> {
        if let [range] = ranges.as_slice()
            && let Some(bytes) = self.in_window(range)
        {
            return Ok(Cow::Borrowed(bytes));
        }
        let mut out = Vec::new();
        for range in ranges {
            match self.in_window(range) {
                Some(bytes) => out.extend_from_slice(bytes),
                None => self.read_again(range, &mut out)?,
            }
        }
        Ok(Cow::Owned(out))
    }

    fn in_window(&self, range: &Range<u64>) -> Option<&[u8]> {
        let from = usize::try_from(range.start.checked_sub(self.base)?).ok()?;
        let to = usize::try_from(range.end.checked_sub(self.base)?).ok()?;
        self.buffer.get(..self.filled)?.get(from..to)
    }

    fn read_again(&self, range: &Range<u64>, out: &mut Vec<u8>) -> Result<(), ReadError> {
        for extent in self.stream.map.map(range.clone()) {
            out.extend_from_slice(&self.stream.source.read(extent)?);
        }
        Ok(())
    }

    /// Moves what is not parsed yet to the front and reads on, until `wanted` bytes are there or the segment ends.
    /// A read that fails ends the segment there.
    fn fill(&mut self, wanted: usize) {
        self.buffer.copy_within(self.at..self.filled, 0);
        self.filled = self.filled.saturating_sub(self.at);
        self.base = self.base.saturating_add(self.at as u64);
        self.at = 0;
        // A window's worth beyond what was asked for: moving the unparsed bytes must always buy progress.
        let wanted = wanted.saturating_add(WINDOW_BYTES).min(WINDOW_LIMIT);
        let from = self.base.saturating_add(self.filled as u64);
        let to = self.base.saturating_add(wanted as u64).min(self.segment_end);
        if from >= to {
            return;
        }
        if self.buffer.len() < wanted {
            self.buffer.resize(wanted, 0);
        }
        for extent in self.stream.map.map(from..to) {
            if self.read(extent).is_break() {
                return;
            }
        }
    }

    /// Appends one extent to the window. When the system refuses it, it is read again in small steps, so that only the
    /// step that fails is lost.
    fn read(&mut self, extent: Extent) -> ControlFlow<()> {
        if self.read_step(extent).is_ok() {
            return ControlFlow::Continue(());
        }
        let mut done = 0;
        while let Some(length) =
            NonZero::new(extent.len().saturating_sub(done).min(FAILING_STEP_BYTES))
        {
            let Some(step) = extent.slice(done, length.get()) else { break };
            if let Err(error) = self.read_step(step) {
                let at = self.base.saturating_add(self.filled as u64);
                self.segment_end = at;
                self.failure = Some((at..at.saturating_add(step.len()), error));
                return ControlFlow::Break(());
            }
            done = done.saturating_add(length.get());
        }
        ControlFlow::Continue(())
    }

    fn read_step(&mut self, extent: Extent) -> Result<(), ReadError> {
        // A piece of the window, whose length is a usize.
        let length = usize::try_from(extent.len()).unwrap_or(0);
        let next = self.filled.saturating_add(length);
        if let Some(target) = self.buffer.get_mut(self.filled..next) {
            self.stream.source.read_exact_at(extent.offset(), target)?;
            self.filled = next;
        }
        Ok(())
    }

    /// The readable run of bytes at the walk's position, or the hole there.
    fn next_segment(&mut self) -> Option<WalkItem> {
        let position = self.segment_end;
        // Looking at the holes of a few windows at a time keeps this cheap on long recordings.
        let ahead = position.saturating_add(64 << 20).min(self.end);
        let mut logical = position;
        for extent in self.stream.map.map(position..ahead) {
            if let Some((at, hole)) = self.stream.source.holes(extent).into_iter().next() {
                let start = logical.saturating_add(at.offset().saturating_sub(extent.offset()));
                if start == position {
                    let range = start..start.saturating_add(at.len());
                    self.segment_end = range.end;
                    self.restart(range.end);
                    return Some(WalkItem::Hole { range, hole });
                }
                self.segment_end = start;
                return None;
            }
            logical = logical.saturating_add(extent.len());
        }
        self.segment_end = ahead;
        None
    }

    fn restart(&mut self, at: u64) {
        self.base = at;
        self.at = 0;
        self.filled = 0;
    }

    fn window_ends(&self) -> bool {
        self.base.saturating_add(self.filled as u64) >= self.segment_end
    }

    /// True when no byte follows the segment in hand: the end, or a hole right behind it.
    fn segment_is_last(&self) -> bool {
        if self.segment_end >= self.end || self.failure.is_some() {
            return true;
        }
        let next = self.stream.map.map(self.segment_end..self.segment_end.saturating_add(1));
        next.first().is_none_or(|extent| !self.stream.source.holes(*extent).is_empty())
    }
}

impl Iterator for Walk<'_> {
    type Item = WalkItem;

    fn next(&mut self) -> Option<WalkItem> {
        loop {
            if let Some(Passed { range, kind, why }) = self.parser.passed() {
                return Some(WalkItem::Skipped { range, kind, why });
            }
            if self.finishing {
                if let Some(frame) = self.parser.finish() {
                    return Some(WalkItem::Frame(frame));
                }
                self.finishing = false;
                continue;
            }
            if self.offset() >= self.segment_end {
                if let Some((range, error)) = self.failure.take() {
                    self.finishing = true;
                    self.segment_end = range.end;
                    self.restart(range.end);
                    return Some(WalkItem::Failed { range, error });
                }
                if self.segment_end >= self.end {
                    let frame = self.parser.finish().map(WalkItem::Frame);
                    return frame.or_else(|| {
                        let Passed { range, kind, why } = self.parser.passed()?;
                        Some(WalkItem::Skipped { range, kind, why })
                    });
                }
                match self.next_segment() {
                    Some(item) => {
                        self.finishing = true;
                        return Some(item);
                    }
                    None => continue,
                }
            }
            let unparsed = self.filled.saturating_sub(self.at);
            if unparsed == 0 {
                self.fill(0);
                if self.filled == 0 {
                    continue;
                }
            }
            let last = self.window_ends() && self.segment_is_last();
            let offset = self.offset();
            let window = self.buffer.get(self.at..self.filled).unwrap_or(&[]);
            match self.parser.step(offset, window, last) {
                Step::Frame { frame, used } => {
                    self.advance(used);
                    return Some(WalkItem::Frame(frame));
                }
                Step::Held { used } => self.advance(used.max(1)),
                Step::Skip { used, kind, why } => {
                    self.advance(used.max(1));
                    return Some(WalkItem::Skipped { range: offset..self.offset(), kind, why });
                }
                Step::NeedMore { at_least } => {
                    if let Some(item) = self.need_more(at_least, last) {
                        return Some(item);
                    }
                }
            }
        }
    }
}

impl Walk<'_> {
    fn advance(&mut self, used: usize) {
        self.at = self.at.saturating_add(used).min(self.filled);
    }

    fn need_more(&mut self, at_least: usize, last: bool) -> Option<WalkItem> {
        let before = self.filled.saturating_sub(self.at);
        if !last && at_least <= WINDOW_LIMIT {
            if self.window_ends() && self.segment_end < self.end {
                // Readable bytes follow this segment: grow it.
                let _ = self.next_segment();
            }
            self.fill(at_least);
            if self.filled > before || self.failure.is_some() {
                return None;
            }
        }
        // Nothing follows: what is left is no frame.
        let start = self.offset();
        self.advance(before);
        let why = Cow::Borrowed("the stream ends inside a unit");
        Some(WalkItem::Skipped { range: start..self.offset(), kind: SkipKind::Damage, why })
    }
}
