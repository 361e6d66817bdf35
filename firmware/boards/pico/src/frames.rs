//! Frames of the host's bus, for erratum RP2040-E15: where something else than a handshake follows an IN packet, as a hub can bring it about at
//! the end of a frame, the device controller hangs until it is reset, and the session is lost. So no packet is handed to the controller in the
//! last fifth of a frame, which is also what the vendor's own device stack does.
//!
//! Facts: RP2040 datasheet, appendix B (RP2040-E15); USB 2.0, sections 7.1.12 (a frame is 1 ms, within 500 ppm) and 11.2.5 (the end of a frame
//! in a hub). Frames are seen by polling; while a block comes from the card nobody looks. So it is kept how exactly the last beginning is known, and the next
//! ones are reckoned from it.

/// Length of a frame in microseconds.
const FRAME: u32 = 1_000;
/// Beginning of its last fifth, less what it takes to hand over a packet.
const ENDING: u32 = 785;

/// The beginning of the present frame, reckoned from one that was seen. Times are in microseconds and may wrap.
#[derive(Clone, Copy)]
struct Beginning {
    at: u32,
    /// Time between the two looks that saw it.
    gap: u32,
    /// One for each frame since then: the host's 500 ppm, a crystal's, and some more.
    drift: u32,
}

impl Beginning {
    fn uncertainty(self) -> u32 {
        self.gap.saturating_add(self.drift)
    }

    /// That of the frame that is now. What tells nothing any more is forgotten.
    fn advance(mut self, now: u32) -> Option<Self> {
        while now.wrapping_sub(self.at) >= FRAME {
            self.at = self.at.wrapping_add(FRAME);
            self.drift = self.drift.saturating_add(1);
            if self.uncertainty() >= ENDING {
                return None;
            }
        }
        Some(self)
    }

    /// Whether the frame may be ending, or the one before it.
    fn is_ending(self, now: u32) -> bool {
        let age = now.wrapping_sub(self.at);
        let place = age.checked_sub(FRAME).unwrap_or(age);
        place.saturating_add(self.uncertainty()) >= ENDING || place < self.drift
    }
}

/// When frames begin, as far as that is known.
#[derive(Clone, Copy, Default)]
pub struct Frames {
    looked: u32,
    last: Option<Beginning>,
}

impl Frames {
    /// Takes over whether a frame has begun since the last look.
    pub fn look(&mut self, now: u32, has_begun: bool) {
        let gap = now.wrapping_sub(self.looked);
        self.looked = now;
        self.last = self.last.and_then(|last| last.advance(now));
        if has_begun && gap < self.last.map_or(ENDING, Beginning::uncertainty) {
            self.last = Some(Beginning { at: now, gap, drift: 0 });
        }
    }

    /// Whether a frame may be ending. A host whose frames are not seen sets no limit.
    pub fn is_ending(&self, now: u32) -> bool {
        self.last.is_some_and(|last| last.is_ending(now))
    }
}
