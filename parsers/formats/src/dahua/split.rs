//! Split frames: the units of a very long frame, joined.
//!
//! Facts: `docs/formats/dahua.md` section 3.1, single source: the units share type, channel and frame number, and their sub-frame index counts
//! down to 0. Their payloads are joined in that order, whatever tags each unit carries.

use std::{collections::BTreeMap, ops::Range};

use daleel_core::{Frame, FrameState, Ranges, Step};

use super::unit::Header;

/// Joins units to frames.
#[derive(Default)]
pub struct Joiner {
    /// Frames whose further units have not come yet, by type and channel.
    open: BTreeMap<(u8, u8), Open>,
    /// Type, channel and number of the split frame that was last given out unfinished.
    unfinished: Option<(u8, u8, u32)>,
}

struct Open {
    number: u32,
    next_index: u8,
    frame: Box<Frame>,
}

impl Joiner {
    /// True when earlier units of this unit's frame are held, or were given out unfinished.
    pub fn continues(&self, header: &Header) -> bool {
        let open = self.open.get(&(header.kind, header.channel));
        open.is_some_and(|open| open.number == header.number)
            || self.unfinished == Some((header.kind, header.channel, header.number))
    }

    /// Takes a unit into the frame it belongs to. A header that is damaged does not begin a split frame, and continues one only where every
    /// field of it fits.
    pub fn join(&mut self, header: &Header, mut frame: Box<Frame>, used: usize) -> Step {
        let key = (header.kind, header.channel);
        let fits = self.open.get(&key).is_some_and(|open| {
            open.number == header.number && open.next_index == header.sub_frame
        });
        if !header.checksum_holds() && !fits {
            self.unfinished = Some((header.kind, header.channel, header.number));
            return Step::Frame { frame, used };
        }
        if let Some(stale) = self.stale(header) {
            // Consumes nothing: the unit in hand is looked at again when the unfinished frame is out of the way.
            return Step::Frame { frame: stale, used: 0 };
        }
        if let Some(open) = self.open.get_mut(&key) {
            open.append(&frame);
            if header.sub_frame > 0 {
                open.next_index = header.sub_frame.saturating_sub(1);
                return Step::Held { used };
            }
            return match self.open.remove(&key) {
                Some(open) => Step::Frame { frame: open.frame, used },
                None => Step::Held { used },
            };
        }
        if self.unfinished.take() == Some((header.kind, header.channel, header.number)) {
            frame.state =
                FrameState::Damaged("the sub-frames before it are given out apart".to_owned());
        }
        if header.sub_frame == 0 {
            return Step::Frame { frame, used };
        }
        frame.interpretation = Some(
            "split frame: the payloads of its units are joined in the order of the sub-frame index",
        );
        let next_index = header.sub_frame.saturating_sub(1);
        self.open.insert(key, Open { number: header.number, next_index, frame });
        Step::Held { used }
    }

    /// A split frame that this unit shows to be unfinished: its next sub-frame should stand here, or another picture of its channel does.
    fn stale(&mut self, header: &Header) -> Option<Box<Frame>> {
        let key = self.open.iter().find_map(|(key, open)| {
            let (kind, channel) = *key;
            let is_own = kind == header.kind;
            let are_pictures = kind >= 0xFC && header.kind >= 0xFC;
            let goes_on =
                is_own && open.number == header.number && open.next_index == header.sub_frame;
            (channel == header.channel && (is_own || are_pictures) && !goes_on).then_some(*key)
        })?;
        let open = self.open.remove(&key)?;
        self.unfinished = Some((key.0, key.1, open.number));
        Some(open.unfinished())
    }

    /// The next frame that will not be finished any more.
    pub fn finish(&mut self) -> Option<Box<Frame>> {
        let ((kind, channel), open) = self.open.pop_first()?;
        self.unfinished = Some((kind, channel, open.number));
        Some(open.unfinished())
    }
}

impl Open {
    fn append(&mut self, unit: &Frame) {
        // Whether the check of a split frame covers one unit or all is not known.
        self.frame.check = None;
        for range in &unit.units {
            push_joined(&mut self.frame.units, range);
        }
        for range in &unit.payload {
            push_joined(&mut self.frame.payload, range);
        }
        if let FrameState::Damaged(why) = &unit.state
            && self.frame.state == FrameState::Complete
        {
            self.frame.state = FrameState::Damaged(why.clone());
        }
    }

    fn unfinished(mut self) -> Box<Frame> {
        self.frame.state = FrameState::Damaged(format!(
            "sub-frame {} and what follows it are missing",
            self.next_index
        ));
        self.frame
    }
}

fn push_joined(ranges: &mut Ranges, range: &Range<u64>) {
    match ranges.last_mut() {
        Some(last) if last.end == range.start => last.end = range.end,
        _ => ranges.push(range.clone()),
    }
}
