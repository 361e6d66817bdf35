//! The 48-byte entry of a leaf: what a block holds, for which camera, from when to when.
//!
//! Facts: `docs/formats/hikvision.md` sections 3.4, 12 and 17. Values that mean "no time" never become dates.

use daleel_core::{CivilTime, Extent, Reason};
use zerocopy::{
    FromBytes, Immutable, KnownLayout, Unaligned,
    little_endian::{U32, U64},
};

/// Bytes of an entry.
pub const ENTRY_BYTES: u64 = 48;
/// No child, never used, no further leaf: all bits set.
pub const NOTHING: u64 = u64::MAX;
/// No recorder is older.
const YEAR_2000: u32 = 946_684_800;
/// Start of an entry that has none.
pub const NO_START: u32 = 0x7FFF_FFFF;
/// Channel of blocks that belong to no camera.
const NO_CHANNEL: u8 = 0xFF;
/// Channels above this have not been seen.
const USUAL_CHANNELS: u32 = 64;
/// Longer footage in one block has not been seen.
const LONG_SECONDS: u32 = 30 * 86_400;

/// An entry as it is stored (section 3.4).
#[derive(FromBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct RawEntry {
    /// 00  All bits set in a leaf; the child in a page list.
    pub link: U64,
    /// 08  0 in use, all bits set never used.
    pub state: U64,
    /// 10  0; two readers take it for the high byte of the channel.
    pub channel_high: u8,
    /// 11  Channel from 1; FF belongs to no camera.
    pub channel: u8,
    /// 12  Not understood.
    pub unknown_12: u8,
    /// 13  Record type by a single source; coding unknown.
    pub record_type: u8,
    /// 14  Not understood.
    pub unknown_14: U32,
    /// 18  Start, seconds of the recorder's clock.
    pub start: U32,
    /// 1C  End.
    pub end: U32,
    /// 20  Block, offset in the volume.
    pub block: U64,
    /// 28  Not understood; 10h and 20h seen.
    pub unknown_28: U32,
    /// 2C  A small counter; not understood.
    pub unknown_2c: U32,
}

/// What makes two stored entries the same one: channel bytes, start, end, block.
pub type Key = ([u8; 2], u32, u32, u64);

impl RawEntry {
    /// The entry at the start of `bytes`.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        Self::read_from_prefix(bytes).ok().map(|(entry, _)| entry)
    }

    /// What makes it the same entry as another copy's.
    pub fn key(&self) -> Key {
        ([self.channel_high, self.channel], self.start.get(), self.end.get(), self.block.get())
    }

    /// True when it has the shape of a leaf entry that was in use: what may be believed behind a page's entry count.
    pub fn is_in_use(&self) -> bool {
        self.link.get() == NOTHING
            && self.state.get() == 0
            && !matches!(self.channel, 0 | NO_CHANNEL)
            && self.block.get() != 0
            && self.block.get() != NOTHING
    }

    /// True when the bytes cannot be an entry of a leaf: something else was written over it.
    pub fn is_broken(&self) -> bool {
        self.link.get() != NOTHING || !matches!(self.state.get(), 0 | NOTHING)
    }

    /// Camera from 1, or `None` where it names none.
    pub fn channel_number(&self) -> Option<u32> {
        match (self.channel_high, self.channel) {
            (0 | NO_CHANNEL, 0 | NO_CHANNEL) => None,
            (0 | NO_CHANNEL, channel) => Some(u32::from(channel)),
            (high, low) => Some(u32::from(u16::from_be_bytes([high, low]))),
        }
    }

    /// State by the table of section 3.4.
    pub fn entry_state(&self) -> EntryState {
        let damaged = |text: &str| EntryState::Damaged(text.to_owned());
        let (start, end) = (self.start.get(), self.end.get());
        if self.link.get() != NOTHING {
            return damaged("its first eight bytes are not FF");
        }
        match self.state.get() {
            NOTHING if self.channel == NO_CHANNEL && (start == NO_START || start == 0) => {
                EntryState::Unused
            }
            NOTHING => damaged("marked as never used, and yet it names a channel or a time"),
            0 if self.channel == NO_CHANNEL => EntryState::Reserved,
            0 if self.channel_number().is_none() && !self.has_plausible_times() => {
                damaged("channel 0")
            }
            0 if start == NO_START || end == 0 || end == NO_START => EntryState::Open,
            0 => EntryState::Closed,
            _ if self.channel_number().is_some() && self.has_plausible_times() => {
                EntryState::Closed
            }
            _ => damaged("its state is neither 0 nor FF"),
        }
    }

    /// True when both times are there, in order, and later than any recorder was made.
    fn has_plausible_times(&self) -> bool {
        let (start, end) = (self.start.get(), self.end.get());
        (YEAR_2000..NO_START).contains(&start) && (start..NO_START).contains(&end)
    }

    /// What the entry says, at the place it was read from.
    pub fn decode(&self, at: Extent) -> Entry {
        let (start, end) = (self.start.get(), self.end.get());
        let mut entry = Entry {
            at,
            copies: vec![at],
            channel: self.channel_number(),
            start: time(start),
            end: time(end),
            raw_start: start,
            raw_end: end,
            block: self.block.get(),
            state: self.entry_state(),
            stale: false,
            conflict: false,
            self_conflict: false,
            reasons: Vec::new(),
        };
        if matches!(entry.state, EntryState::Closed) {
            entry.note_conflicts(self.state.get());
        }
        entry.note_oddities(self.channel_high);
        entry
    }
}

/// A stored time, unless it says that there is none.
pub fn time(seconds: u32) -> Option<CivilTime> {
    (seconds != 0 && seconds != NO_START && seconds != u32::MAX)
        .then(|| CivilTime::from_millis(i64::from(seconds).saturating_mul(1000)))
}

/// State of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryState {
    /// The block was completed, or the recording in it.
    Closed,
    /// Being recorded, or never closed: no start or no end is stored.
    Open,
    /// In use without a camera: reserved by the recorder.
    Reserved,
    /// Never used since the disk was initialised.
    Unused,
    /// It contradicts itself or the disk; the text says how.
    Damaged(String),
}

/// One entry of the index, from all copies that hold it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its bytes in the copy it is taken from.
    pub at: Extent,
    /// Every place that holds it, or another version of it.
    pub copies: Vec<Extent>,
    /// Camera from 1.
    pub channel: Option<u32>,
    /// Start, where one is stored.
    pub start: Option<CivilTime>,
    /// End, where one is stored.
    pub end: Option<CivilTime>,
    /// Start as stored.
    pub raw_start: u32,
    /// End as stored.
    pub raw_end: u32,
    /// Block as stored: offset in the volume; in a file of a share, on the recorder's imagined disk.
    pub block: u64,
    /// State.
    pub state: EntryState,
    /// True for an entry that no copy lists any longer: behind the entry count of its page, or on a page that nothing leads to.
    pub stale: bool,
    /// True where copies disagree about it.
    pub conflict: bool,
    /// It contradicts itself; its footage is delivered all the same.
    pub self_conflict: bool,
    /// What speaks against it, and what copies say differently.
    pub reasons: Vec<Reason>,
}

impl Entry {
    /// What a closed entry says against itself; its footage is delivered all the same.
    fn note_conflicts(&mut self, state: u64) {
        let against = [
            (self.raw_end < self.raw_start).then_some(
                "it ends before it starts: the clock was set back, or a time is damaged",
            ),
            (state != 0).then_some("its state is neither 0 nor FF"),
            self.channel.is_none().then_some("it names channel 0"),
        ];
        for text in against.into_iter().flatten() {
            self.self_conflict = true;
            self.reasons.push(Reason::against(text, self.at));
        }
    }

    /// Adds what is unusual in the entry itself. Nothing here drops it.
    fn note_oddities(&mut self, channel_high: u8) {
        let mut against = Vec::new();
        if let EntryState::Damaged(why) = &self.state {
            against.push(format!("damaged entry: {why}"));
        }
        if matches!(self.state, EntryState::Unused | EntryState::Reserved) {
            return;
        }
        if !matches!(channel_high, 0 | NO_CHANNEL) {
            against
                .push(format!("byte +10h is {channel_high}: read as the high byte of the channel"));
        }
        if let Some(channel) = self.channel.filter(|channel| *channel > USUAL_CHANNELS) {
            against.push(format!("channel {channel}: more than {USUAL_CHANNELS} were never seen"));
        }
        if self.state == EntryState::Open && (self.start.is_some() || self.end.is_some()) {
            against.push("not closed, and yet one of its two times is stored".to_owned());
        }
        if self.state == EntryState::Closed
            && self.raw_end.saturating_sub(self.raw_start) > LONG_SECONDS
        {
            against.push("spans more than 30 days".to_owned());
        }
        let at = self.at;
        self.reasons.extend(against.into_iter().map(|text| Reason::against(text, at)));
    }

    /// Marks it as damaged; it stays in the index with what it says.
    pub fn damage(&mut self, why: String) {
        self.reasons.push(Reason::against(format!("damaged entry: {why}"), self.at));
        if !matches!(self.state, EntryState::Damaged(_)) {
            self.state = EntryState::Damaged(why);
        }
    }

    /// State and times in a few words, for reasons.
    pub fn summary(&self) -> String {
        let time =
            |time: Option<CivilTime>| time.map_or("no time".to_owned(), CivilTime::to_seconds_text);
        let channel = self.channel.map_or("no channel".to_owned(), |n| format!("channel {n}"));
        match &self.state {
            EntryState::Unused => "never used".to_owned(),
            EntryState::Reserved => "reserved without a camera".to_owned(),
            EntryState::Open => format!("{channel}, not closed, start {}", time(self.start)),
            EntryState::Closed => format!("{channel}, {} to {}", time(self.start), time(self.end)),
            EntryState::Damaged(why) => format!("{channel}, damaged ({why})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use hex_literal::hex;

    use super::*;

    fn decode(bytes: &[u8]) -> Entry {
        RawEntry::parse(bytes).unwrap().decode(Extent::new(0x1000, ENTRY_BYTES))
    }

    /// T-2: the sentinel times of unused and open blocks are never dates.
    #[test]
    fn sentinels_are_not_dates() {
        let unused = decode(&hex!(
            "ffffffffffffffff ffffffffffffffff ffffffffffffffff ffffff7f00000000"
            "00e0c50400000000 1000000000000000"
        ));
        assert_eq!((unused.state, unused.start, unused.end), (EntryState::Unused, None, None));
        let open = decode(&hex!(
            "ffffffffffffffff 0000000000000000 0003000000000000 ffffff7f00000000"
            "00e0c50400000000 1000000000000000"
        ));
        assert_eq!((open.channel, open.start, open.end), (Some(3), None, None));
        assert_eq!((open.state, open.block), (EntryState::Open, 0x4C5_E000));
        assert!(open.reasons.is_empty());
    }

    /// The reading of section 17 fills fewer bytes of an unused entry.
    #[test]
    fn both_readings_of_an_unused_entry_are_unused() {
        let entry = decode(&hex!(
            "ffffffffffffffff ffffffffffffffff 00ff000000000000 ffffff7f00000000"
            "00e0c50400000000 0000000000000000"
        ));
        assert_eq!(entry.state, EntryState::Unused);
    }

    #[test]
    fn a_closed_entry_has_its_times() {
        let entry = decode(&hex!(
            "ffffffffffffffff 0000000000000000 0005000000000000 002d5a5e 803b5a5e"
            "00e0c54400000000 2000000001000000"
        ));
        assert_eq!(entry.state, EntryState::Closed);
        assert_eq!(entry.start.unwrap().to_string(), "2020-02-29T09:21:04.000");
        assert_eq!(entry.summary(), "channel 5, 2020-02-29 09:21:04 to 2020-02-29 10:22:56");
    }

    #[test]
    fn contradictions_are_said_and_nothing_is_dropped() {
        let mut bytes = hex!(
            "ffffffffffffffff 0000000000000000 0005000000000000 803b5a5e 002d5a5e"
            "00e0c54400000000 2000000001000000"
        );
        let entry = decode(&bytes);
        assert!(entry.state == EntryState::Closed && entry.self_conflict);
        assert!(entry.start.is_some() && entry.channel == Some(5) && entry.reasons.len() == 1);
        bytes[8] = 7;
        assert_eq!(
            decode(&bytes).state,
            EntryState::Damaged("its state is neither 0 nor FF".into())
        );
        bytes[0] = 0;
        assert_eq!(
            decode(&bytes).state,
            EntryState::Damaged("its first eight bytes are not FF".into())
        );
    }
}
