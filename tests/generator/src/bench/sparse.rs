//! A disk of terabytes with a full descriptor table and hardly any data.

use std::path::Path;

use super::{BenchFacts, Sink, cluster_offset};
use crate::Error;
use crate::civil::Moment;
use crate::dhfs::{
    Descriptor, IndexStyle, Layout, SECTOR, Span, build_index, index_entries, partition_spans,
};
use crate::footage::Footage;
use crate::stream::build;
use crate::take::Take;

/// 2 MiB clusters.
const SECTORS_PER_CLUSTER: u32 = 4096;
/// Reserved clusters of Disk A; smaller disks get fewer.
const RESERVED_CLUSTERS: u32 = 4160;
/// Clusters of an hour on Disk A.
const LONGEST_CHAIN: u32 = 841;
const HOUR_MS: i64 = 3_600_000;
const FRAMES: usize = 5;
const CAMERAS: [Footage; 4] = [Footage::Cam1, Footage::Cam2, Footage::Cam3, Footage::Cam4];
const INDEX: IndexStyle = IndexStyle { length: 0x60000, written: 0x1000, stride: 84, spare: 40 };
/// Used sectors of the last cluster, as in a recording of Disk A.
const TAIL_SECTORS: u32 = 3584;

/// Writes a sparse disk of `total_bytes` with `recordings` recordings of an hour each.
///
/// Every recording has a complete chain of descriptors, up to 841 clusters long, but only its
/// index and its first five frames are on the disk; the rest of the chain is a hole in the file.
/// Four cameras take turns; four partitions, clusters of 2 MiB.
///
/// # Errors
/// The file exists already or cannot be written, or the recordings do not fit.
pub fn sparse_disk(path: &Path, total_bytes: u64, recordings: u64) -> Result<BenchFacts, Error> {
    let sectors = total_bytes / SECTOR as u64;
    let spans = partition_spans(sectors, 4, 0x800);
    let mut sink = Sink::create(path, sectors * SECTOR as u64)?;
    sink.write_disk_head(&spans)?;
    let share = |k: u64| (k + 1) * recordings / 4 - k * recordings / 4;
    let mut first = 0;
    for (k, span) in spans.into_iter().enumerate() {
        write_partition(&mut sink, span, first, share(k as u64))?;
        first += share(k as u64);
    }
    Ok(BenchFacts {
        path: path.to_path_buf(),
        bytes: sectors * SECTOR as u64,
        recordings,
        frames: recordings * FRAMES as u64,
        key_frames: recordings,
        milliseconds: recordings * FRAMES as u64 * 40,
    })
}

fn write_partition(sink: &mut Sink, span: Span, first: u64, count: u64) -> Result<(), Error> {
    let reserved = RESERVED_CLUSTERS.min(span.length / SECTORS_PER_CLUSTER / 8).max(1);
    let layout = Layout::new(span.length, SECTORS_PER_CLUSTER, reserved);
    let room = layout.clusters.saturating_sub(reserved);
    let chain =
        u64::from(room).checked_div(count).unwrap_or(0).min(u64::from(LONGEST_CHAIN)) as u32;
    if count > 0 && chain == 0 {
        return Err(Error::Plan(format!("{count} recordings need more than {room} clusters")));
    }
    let mut descriptors = Vec::with_capacity((count * u64::from(chain) * 32) as usize);
    for n in 0..count {
        let head = reserved + n as u32 * chain;
        let camera = CAMERAS[(first + n) as usize % CAMERAS.len()];
        let begin = begin_of(first + n);
        for k in 0..chain {
            descriptors.extend(descriptor(camera, begin, head, k, chain).encode());
        }
        write_head(sink, cluster_offset(span, &layout, head), camera, begin)?;
    }
    let dates =
        (count > 0).then(|| (begin_of(first), begin_of(first + count - 1).plus_ms(HOUR_MS)));
    sink.write_partition_head(span, &layout, dates, &descriptors)
}

/// The four cameras record the same hour, then the next.
fn begin_of(recording: u64) -> Moment {
    let hours = recording as i64 / CAMERAS.len() as i64;
    Moment::at((2023, 1, 1), (0, 0, 0)).plus_ms(hours * HOUR_MS)
}

fn descriptor(camera: Footage, begin: Moment, head: u32, k: u32, chain: u32) -> Descriptor {
    let part = |k: u32| begin.plus_ms(HOUR_MS * i64::from(k) / i64::from(chain));
    let last = k + 1 == chain;
    Descriptor {
        head: k == 0,
        channel: camera.camera(),
        nibble: 2,
        extended: false,
        count: if k == 0 { chain - 1 } else { k } as u16,
        begin: part(k).packed(),
        end: if k == 0 { part(chain) } else { part(k + 1) }.packed(),
        next: if last { 0 } else { head + k + 1 },
        tail_sectors: if k == 0 { TAIL_SECTORS } else { 0 },
        previous: if k == 0 { 0 } else { head + k - 1 },
        own: head,
    }
}

fn write_head(sink: &mut Sink, at: u64, camera: Footage, begin: Moment) -> Result<(), Error> {
    let frames = build(&Take::new(camera, begin, FRAMES, 1));
    let mut bytes = Vec::new();
    let mut offsets = Vec::new();
    for frame in &frames {
        offsets.push(INDEX.length as usize + bytes.len());
        bytes.extend(&frame.bytes);
    }
    let (keys, stills) = index_entries(&frames, &offsets);
    sink.write(at, &build_index(&INDEX, &keys, &stills)?)?;
    sink.write(at + u64::from(INDEX.length), &bytes)
}
