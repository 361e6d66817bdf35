//! Why a segment is listed as it is: channel, state, what is left of it.

use std::ops::Range;

use daleel_core::{Extent, FormatError, Reason, TreeFile, Volume};

use super::{RECORD, Segments};
use crate::hikvision::{
    files::{
        index::Held,
        judged::Judged,
        layout::{FILE_ENTRY_BYTES, HEADER_BYTES, Record, SLOT_BYTES, SLOTS_OFFSET},
        media::Kind,
        residual::{Front, Remains},
    },
    keyframes::{self, KeyFrame},
};

/// How far the dates of a segment's key frames may lie outside its record's times.
const DATE_SLACK_MS: i64 = 2000;

impl Segments {
    /// The channel of a record, and why. A record names none itself.
    pub(super) fn channel(&self, file: u32, is_residual: bool) -> (Option<u16>, Reason) {
        let entry_at =
            HEADER_BYTES.saturating_add(FILE_ENTRY_BYTES.saturating_mul(u64::from(file)));
        let at = self.index.copy.at(entry_at, FILE_ENTRY_BYTES);
        if is_residual {
            return match self.only_channel {
                Some(channel) => {
                    let text = format!("channel {channel}: the index names no other for any file");
                    (Some(channel), Reason::supporting(text, at))
                }
                None => {
                    let text = "channel unknown: the file's entry speaks of the current pass, a record names no channel";
                    (None, Reason::against(text, at))
                }
            };
        }
        match (self.index.header.slot_of(file), self.index.channel_of(file)) {
            (Some(slot), _) => {
                let start =
                    SLOTS_OFFSET.saturating_add(u64::from(slot.channel).saturating_mul(SLOT_BYTES));
                let at = self.index.copy.at(start, SLOT_BYTES);
                let text = format!(
                    "channel {}: its active slot names this file as being written; the file table still has the earlier pass",
                    slot.channel
                );
                (Some(slot.channel), Reason::supporting(text, at))
            }
            (None, Some(channel)) => {
                let text = format!("channel {channel} by the file table");
                (Some(channel), Reason::supporting(text, at))
            }
            (None, None) => {
                (None, Reason::against("the file table names no channel for this file", at))
            }
        }
    }

    pub(super) fn explain_current(
        &self,
        file: u32,
        held: &Held,
        judged: &Judged,
        reasons: &mut Vec<Reason>,
    ) {
        let record = &held.record;
        if let Some(fault) = record.fault() {
            let text = format!("the record contradicts itself: {fault}");
            reasons.push(Reason::against(text, held.at));
        } else if record.is_open() {
            let limit = self.open_limit(file, &judged.front);
            let active = self.index.header.slot_of(file).map(|slot| slot.segment);
            let by = if active == Some(held.slot) { " and its active slot says so" } else { "" };
            let text = format!(
                "was being written: the record has no end{by}. Its end time is in the stream only; `bytes` is the room up to byte {limit} of the \
                 media file, where older footage may follow"
            );
            reasons.push(Reason::against(text, held.at));
        } else if record.is_before_cameras() {
            let text =
                "dated before 2015: the recorder's clock was not set, or the record is damaged";
            reasons.push(Reason::against(text, held.at));
        }
    }

    pub(super) fn explain_media(
        &self,
        file: u32,
        record: &Record,
        reasons: &mut Vec<Reason>,
        at: Extent,
    ) {
        let path = self.media.path(Kind::Video, file);
        match self.media.get(Kind::Video, file) {
            Some(media) if u64::from(record.end_offset) > media.source.len() => {
                let text = format!(
                    "{path} ends at byte {}, the record says {}",
                    media.source.len(),
                    record.end_offset
                );
                reasons.push(Reason::against(text, at));
            }
            Some(_) => {}
            None => {
                // That only an index was given is said once, and says nothing against its records.
                reasons.push(if self.media.is_there() {
                    Reason::against(format!("{path} is not in the folder"), at)
                } else {
                    Reason::supporting(format!("{path} is not here: only the index was given"), at)
                });
            }
        }
    }
}

pub(super) fn explain_residual(
    held: &Held,
    remains: &Remains,
    front: &Front,
    reasons: &mut Vec<Reason>,
) {
    let record = &held.record;
    let at = held.at;
    reasons.push(Reason::supporting(
        "the record stands behind the last current one of its file: of an earlier pass, no longer shown by the recorder",
        at,
    ));
    let left = if remains.is_whole(record) {
        Reason::supporting(
            "intact: no record at an earlier place, which is of the same or a later pass, covers any of its bytes (inferred)",
            at,
        )
    } else if remains.bytes > 0 {
        let text = format!(
            "partly overwritten: a later pass has written up to byte {}; the last {} of {} bytes are left (inferred from the order of the records)",
            remains.from,
            remains.bytes,
            record.end_offset.saturating_sub(record.start_offset)
        );
        Reason::against(text, at)
    } else {
        Reason::against(
            "overwritten: records of later passes cover its last byte; that it existed is all that is left (inferred from the order of the records)",
            at,
        )
    };
    reasons.push(left);
    let front_text = format!(
        "begins {} the end of what the current pass has written (byte {}{})",
        if remains.is_beyond_current { "at or behind" } else { "before" },
        front.written,
        if front.is_open {
            ", where a segment without an end begins: it may reach further"
        } else {
            ""
        }
    );
    let run_text = match front.lowest_run {
        None => "its file has no key-frame run of the current pass".to_owned(),
        Some(low) if remains.is_run_kept => {
            format!(
                "its key-frame run ends at or below the current pass' lowest (byte {low}): kept"
            )
        }
        Some(low) => {
            format!(
                "its key-frame run reaches above the current pass' lowest (byte {low}): written over"
            )
        }
    };
    reasons.push(Reason { supports: remains.is_beyond_current, text: front_text, at: Some(at) });
    reasons.push(Reason { supports: remains.is_run_kept, text: run_text, at: Some(at) });
    if record.is_before_cameras() {
        let text = "dated before 2015: the recorder's clock was not set, or this is no record";
        reasons.push(Reason::against(text, at));
    }
}

/// What is left of a residual segment behind one that was being written: from its first key frame with a date of its own on.
///
/// # Errors
/// When all key frames there are of other times.
pub(super) fn behind_open(
    media: &TreeFile,
    held: &Held,
    range: Range<u64>,
    reasons: &mut Vec<Reason>,
) -> Result<Range<u64>, FormatError> {
    let volume = Volume::whole(media.source.clone());
    let extent = Extent::new(range.start, range.end.saturating_sub(range.start));
    let times = held.record.start.civil().zip(held.record.end.civil());
    let is_own = |key: &KeyFrame| {
        times.is_none_or(|(start, end)| {
            (start.plus_millis(-DATE_SLACK_MS)..=end.plus_millis(DATE_SLACK_MS)).contains(&key.time)
        })
    };
    if keyframes::at(&volume, extent, 0).is_some_and(|key| is_own(&key)) {
        let text = "a key frame of its own time still stands at its begin, behind the segment that was being written";
        reasons.push(Reason::supporting(text, Extent::new(range.start, 1)));
        return Ok(range);
    }
    let found = keyframes::by_search(&volume, extent, extent.len()).keys;
    if found.is_empty() {
        let text = "no dated key frame tells whether the segment that was being written before it came this far";
        reasons.push(Reason::against(text, extent));
        return Ok(range);
    }
    let first = found.iter().find(|key| is_own(key)).ok_or_else(|| {
        let found = "all of other times: the segment that was being written has come this far";
        FormatError::field(RECORD, held.at, "key frames", found, "one of the record's time")
    })?;
    let from = range.start.saturating_add(first.offset);
    let text = format!(
        "begins with its first key frame of its own time, {} bytes in: the segment that was being written may have come so far",
        first.offset
    );
    reasons.push(Reason::against(text, Extent::new(from, 1)));
    Ok(from..range.end)
}
