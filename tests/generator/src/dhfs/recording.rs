//! A recording laid out as one run of bytes, before it is cut into clusters.

use super::{IndexEntry, IndexStyle, Open, PartitionPlan, RecordingPlan, build_index};
use crate::Error;
use crate::civil::Moment;
use crate::stream::{StreamFrame, build};
use crate::truth::{Extent, Frame, FrameKind};

/// A recording as the run of bytes that a reader gets by joining its clusters.
pub(super) struct Laid {
    /// Frames in stream order.
    pub frames: Vec<StreamFrame>,
    /// Offset of each frame in the run.
    pub offsets: Vec<usize>,
    /// The run, index and padding included.
    pub bytes: Vec<u8>,
    /// End of the last frame.
    pub end: usize,
    /// Part of the index that is not written.
    pub hole: std::ops::Range<usize>,
    /// Start of the take without clock steps: orders the clusters of several cameras.
    pub base_ms: i64,
    /// Clusters, filled by allocation.
    pub chain: Vec<u32>,
}

impl Laid {
    pub fn new(partition: &PartitionPlan, plan: &RecordingPlan) -> Result<Laid, Error> {
        let frames = build(&plan.take);
        let style = partition.index;
        let mut bytes = vec![0; style.length as usize];
        let mut offsets = Vec::with_capacity(frames.len());
        for frame in &frames {
            bytes.extend(&frame.lead);
            offsets.push(bytes.len());
            bytes.extend(&frame.bytes);
        }
        if let (Some(_), Some(last)) = (plan.open, frames.last()) {
            bytes.truncate(bytes.len() - last.bytes.len() / 2);
        }
        let end = bytes.len();
        if plan.open.is_none() {
            let (fill, multiple) = partition.padding.rule();
            bytes.resize(end.next_multiple_of(multiple), fill);
        }
        let index = index_of(&style, plan.open, &frames, &offsets)?;
        bytes[..index.len()].copy_from_slice(&index);
        Ok(Laid {
            frames,
            offsets,
            bytes,
            end,
            hole: style.written as usize..style.length as usize,
            base_ms: plan.take.start.millis(),
            chain: Vec::new(),
        })
    }

    /// Number of clusters of `cluster_bytes` bytes.
    pub fn cluster_count(&self, cluster_bytes: usize) -> usize {
        self.bytes.len().div_ceil(cluster_bytes)
    }

    /// Index of the frame that holds or follows byte `at` of the run.
    pub fn frame_at(&self, at: usize) -> usize {
        let started = self.offsets.partition_point(|offset| *offset <= at);
        started.saturating_sub(1).min(self.frames.len().saturating_sub(1))
    }

    /// When byte `at` was written, on a clock that is never set.
    pub fn written_ms(&self, at: usize) -> i64 {
        self.base_ms + self.frames.get(self.frame_at(at)).map_or(0, |frame| frame.elapsed)
    }

    /// Clock of the first and the last frame.
    pub fn dates(&self) -> (Option<Moment>, Option<Moment>) {
        (self.frames.first().map(|f| f.clock), self.frames.last().map(|f| f.clock))
    }

    /// Clock of the first and the last frame that start in a part of the run.
    pub fn dates_within(&self, from: usize, to: usize) -> (Option<Moment>, Option<Moment>) {
        let first = self.offsets.partition_point(|offset| *offset < from);
        let past = self.offsets.partition_point(|offset| *offset < to);
        if first < past {
            (Some(self.frames[first].clock), Some(self.frames[past - 1].clock))
        } else {
            let covering = self.frames.get(self.frame_at(from)).map(|frame| frame.clock);
            (covering, covering)
        }
    }

    /// Places the frames on the image. `base` gives the first byte of a cluster.
    pub fn facts(&self, cluster_bytes: usize, base: impl Fn(u32) -> u64) -> Vec<Frame> {
        let extents = |from: usize, to: usize| {
            map_extents(&self.chain, cluster_bytes, &base, from, to.min(self.end))
        };
        let place = |(frame, &offset): (&StreamFrame, &usize)| {
            let mut fact = frame.fact.clone();
            let whole = offset + frame.bytes.len();
            fact.extents = extents(offset, whole);
            fact.payload = frame
                .payloads
                .iter()
                .flat_map(|part| extents(offset + part.start, offset + part.end))
                .collect();
            if whole > self.end {
                fact.intact = false;
                fact.reason = Some("power was lost while it was written".into());
            }
            fact
        };
        self.frames.iter().zip(&self.offsets).map(place).collect()
    }
}

/// Index entries of frames at their offsets: key frames, then stills.
pub fn index_entries(
    frames: &[StreamFrame],
    offsets: &[usize],
) -> (Vec<IndexEntry>, Vec<IndexEntry>) {
    let list = |kind: FrameKind| {
        frames
            .iter()
            .zip(offsets)
            .filter(|(frame, _)| frame.fact.kind == kind && frame.fact.key)
            .map(|(frame, offset)| IndexEntry {
                offset: *offset as u32,
                length: frame.first_piece as u32,
                clock: frame.clock,
            })
            .collect()
    };
    (list(FrameKind::Video), list(FrameKind::Still))
}

fn index_of(
    style: &IndexStyle,
    open: Option<Open>,
    frames: &[StreamFrame],
    offsets: &[usize],
) -> Result<Vec<u8>, Error> {
    let (mut keys, stills) = index_entries(frames, offsets);
    let mut style = *style;
    if open.is_some() {
        // The index of an open recording lags behind: its last entries are still empty.
        let kept = keys.len() / 2;
        style.spare += keys.len() - kept;
        keys.truncate(kept);
    }
    build_index(&style, &keys, &stills)
}

/// Maps a part of a run onto the image; neighbouring clusters give one extent.
fn map_extents(
    chain: &[u32],
    cluster_bytes: usize,
    base: impl Fn(u32) -> u64,
    from: usize,
    to: usize,
) -> Vec<Extent> {
    let mut extents: Vec<Extent> = Vec::new();
    let mut at = from;
    while at < to {
        let within = at % cluster_bytes;
        let count = (to - at).min(cluster_bytes - within);
        let offset = base(chain[at / cluster_bytes]) + within as u64;
        match extents.last_mut() {
            Some(last) if last[0] + last[1] == offset => last[1] += count as u64,
            _ => extents.push([offset, count as u64]),
        }
        at += count;
    }
    extents
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extents_follow_the_chain_and_join_neighbours() {
        let base = |cluster: u32| u64::from(cluster) * 100;
        let chain = [7, 8, 3];
        assert_eq!(map_extents(&chain, 100, base, 50, 150), [[750, 100]]);
        assert_eq!(map_extents(&chain, 100, base, 150, 250), [[850, 50], [300, 50]]);
        assert!(map_extents(&chain, 100, base, 250, 250).is_empty());
    }
}
