//! Whether a stream's pictures are encrypted.
//!
//! Facts: `docs/formats/hikvision.md` section 7.6. The stream may state it: in the date's descriptor, by a descriptor of its own, by a private packet.
//! None of these is trusted alone, since they are set in streams that are clear and missing in streams that are not: parameter sets and slice
//! headers have to be unreadable as well. What was seen is summed up over the stream, so that one damaged picture does not count as a
//! cipher and one lucky block of ciphertext does not count as a picture.

use std::borrow::Cow;

use daleel_core::Codec;

use super::legible::{Legible, Seen};

/// Signs of encryption that the stream gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stated {
    /// Encryption type of the basic descriptor: 0 none, 7 not stated.
    pub kind: u8,
    /// Whether the map has an encryption descriptor.
    pub descriptor: bool,
    /// Whether a private packet of type 4000h was seen.
    pub private: bool,
}

impl Stated {
    /// The sign in words; `None` when the stream does not state encryption.
    fn sign(self) -> Option<Cow<'static, str>> {
        match self {
            Self { kind: 1, .. } => Some("type 1 (AES, 3 rounds) is stated".into()),
            Self { kind: 2, .. } => Some("type 2 (AES, 10 rounds) is stated".into()),
            Self { kind: kind @ 3..=6, .. } => Some(format!("type {kind} is stated").into()),
            Self { descriptor: true, .. } => Some("an encryption descriptor is there".into()),
            Self { private: true, .. } => Some("private encryption data are there".into()),
            _ => None,
        }
    }
}

/// The sum at which a stream that states nothing is taken to be encrypted: one unreadable key frame, or two others.
const UNSTATED: i8 = 6;
/// The sum at which the first pictures of a stream are taken to be clear.
const CLEAR: i8 = -12;
/// Pictures after which no more are waited for.
const JUDGED_MIN: u8 = 12;
/// The sum goes no further than this to either side.
const LIMIT: i8 = 16;

/// What is known of a stream's pictures.
#[derive(Debug, Default)]
pub struct Encryption {
    legible: Legible,
    stated: Stated,
    /// Above 0 the pictures seen so far look encrypted, below 0 clear.
    sum: i8,
    /// What was unreadable last.
    why: Option<&'static str>,
    /// Pictures judged since the stream's statement changed last.
    judged: u8,
}

/// Whether a picture is encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is not.
    Clear,
    /// It is taken to be, for this reason.
    Encrypted(Cow<'static, str>),
    /// Not enough pictures were seen; those that follow tell.
    Open,
}

impl Encryption {
    /// Judges an access unit by the beginnings of its packets' payloads.
    pub fn judge(&mut self, stated: Stated, codec: Codec, key: bool, pieces: &[&[u8]]) -> Verdict {
        if stated != self.stated {
            // The recorder says something else from here on: what was before does not count.
            self.stated = stated;
            self.sum = 0;
            self.judged = 0;
        }
        self.judged = self.judged.saturating_add(1);
        let sign = stated.sign();
        let seen = self.legible.look(codec, pieces);
        let weight = match seen {
            Seen::Unreadable(why) => {
                self.why = Some(why);
                if key { 6 } else { 3 }
            }
            Seen::Foreign(why) if sign.is_some() => {
                self.why = Some(why);
                3
            }
            // Random bytes pass for a slice header of a predicted picture in one of five cases, of a key frame in one of thirty.
            Seen::Readable { with_sets: true } => -8,
            Seen::Readable { with_sets: false } if key => -4,
            Seen::Readable { .. } => -1,
            Seen::Foreign(_) | Seen::Nothing => 0,
        };
        if key && seen == (Seen::Readable { with_sets: true }) {
            // It reads as clear whatever was before, or does so by chance: those that follow tell.
            if self.sum >= if sign.is_some() { 1 } else { UNSTATED } {
                self.judged = 0;
            }
            self.sum = self.sum.min(8);
        }
        self.sum = self.sum.saturating_add(weight).clamp(-LIMIT, LIMIT);
        let limit = if sign.is_some() { 1 } else { UNSTATED };
        let is_open =
            self.judged < JUDGED_MIN && self.sum > CLEAR && self.sum < limit.max(UNSTATED);
        match self.why.filter(|_| self.sum >= limit) {
            _ if is_open => Verdict::Open,
            None => Verdict::Clear,
            Some(why) => Verdict::Encrypted(match sign {
                Some(sign) => format!("{sign}, and {why}").into(),
                None => format!("{why}, though the stream does not state encryption").into(),
            }),
        }
    }
}
