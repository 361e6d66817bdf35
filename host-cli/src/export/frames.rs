//! The frames file of a clip, written while the clip is: a line a frame, as soon as the frame's time is settled.

use std::{collections::HashMap, collections::VecDeque, io, io::Write, sync::Arc};

use anyhow::Result;
use daleel_core::CivilTime;
use daleel_timeline::{Resolved, Resolver, Stamp};

use super::{
    hashed::{Digested, HashedFile},
    lane::FrameRecord,
    records::FrameJson,
};
use crate::output::{StoredJson, extent};

/// Times that are known already, by the frame's place in the stream: from the pass that planned what is wanted.
pub type KnownTimes = Arc<HashMap<u64, Resolved>>;

/// A frames file being written.
#[derive(Debug)]
pub struct FramesFile {
    out: HashedFile,
    resolver: Resolver,
    waiting: VecDeque<FrameRecord>,
    known: KnownTimes,
    lines: u64,
    first: Option<CivilTime>,
    last: Option<CivilTime>,
    line: Vec<u8>,
}

/// A finished frames file.
pub struct FramesDone {
    /// Of the file.
    pub digest: Digested,
    /// Time of the first frame.
    pub start: Option<CivilTime>,
    /// Time of the last frame.
    pub end: Option<CivilTime>,
}

impl FramesFile {
    /// Begins a frames file for frames of a clock with so many ticks a second.
    pub fn new(out: HashedFile, ticks_per_second: i64, known: KnownTimes) -> Self {
        Self {
            out,
            resolver: Resolver::new(ticks_per_second),
            waiting: VecDeque::new(),
            known,
            lines: 0,
            first: None,
            last: None,
            line: Vec::new(),
        }
    }

    /// Takes in the next frame.
    ///
    /// # Errors
    /// When the destination fails.
    pub fn add(&mut self, record: FrameRecord, stamp: Stamp) -> io::Result<()> {
        self.waiting.push_back(record);
        let settled = self.resolver.push(stamp);
        self.write(settled)
    }

    /// Writes what is left. `after` is as in [`Resolver::finish`].
    ///
    /// # Errors
    /// When the destination fails.
    pub fn finish(mut self, after: Option<Stamp>) -> Result<FramesDone> {
        let resolver = std::mem::replace(&mut self.resolver, Resolver::new(1));
        self.write(resolver.finish(after))?;
        Ok(FramesDone { digest: self.out.finish()?, start: self.first, end: self.last })
    }

    fn write(&mut self, settled: Vec<Resolved>) -> io::Result<()> {
        for time in settled {
            let Some(record) = self.waiting.pop_front() else { break };
            let time = self.known.get(&record.start).copied().unwrap_or(time);
            if self.lines == 0 {
                self.first = time.time;
            }
            self.last = time.time;
            // In one piece: the file takes a line faster than its words.
            self.line.clear();
            serde_json::to_writer(&mut self.line, &frame_json(self.lines, &record, &time))?;
            self.line.push(b'\n');
            self.out.write_all(&self.line)?;
            self.lines = self.lines.saturating_add(1);
        }
        Ok(())
    }
}

/// A line of a frames file.
pub fn frame_json(n: u64, record: &FrameRecord, time: &Resolved) -> FrameJson {
    FrameJson {
        n,
        time: time.time.map(|time| time.to_string()),
        stored: record
            .stored
            .iter()
            .map(|(value, offset)| StoredJson::new(value, *offset))
            .collect(),
        time_source: time.source.as_str().into(),
        uncertainty_ms: time.time.map(|_| time.uncertainty_ms),
        key: record.key,
        extents: record.extents.iter().map(|at| extent(*at)).collect(),
        state: record.state.into(),
        reason: record.reason.clone(),
    }
}
