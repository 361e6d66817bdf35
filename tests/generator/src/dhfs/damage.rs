//! Deliberate damage, done to a disk after it was written.

use super::write::WrittenDisk;
use super::{BOOT_COPY, BOOT_SECTOR, DESCRIPTOR_BYTES, SECTOR, TABLE_SECTORS, put_u32};
use crate::Error;
use crate::dhav::{HEADER_BYTES, header_checksum};
use crate::truth::{Damage as Fact, Extent, SectorZero};

/// One damage. Recordings are numbered through all partitions, in order of the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// Sector 0 is zeroed.
    Superblock,
    /// Both partition tables are zeroed.
    PartitionTables,
    /// Both boot sectors of a partition are zeroed.
    BootSectors {
        /// Index of the partition.
        partition: usize,
    },
    /// A descriptor is changed.
    Descriptor {
        /// Number of the recording.
        recording: usize,
        /// Place in its chain.
        position: usize,
        /// The change.
        edit: DescriptorEdit,
    },
    /// A frame is changed.
    Frame {
        /// Number of the recording.
        recording: usize,
        /// Number of the frame within it.
        frame: usize,
        /// The change.
        edit: FrameEdit,
    },
}

/// A change of a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DescriptorEdit {
    /// All 32 bytes become zero. A head is no longer listed then.
    Zero,
    /// The next cluster becomes this number.
    Next(u32),
    /// The next cluster becomes one of a chain.
    NextInto {
        /// Number of the recording that owns the target.
        recording: usize,
        /// Place in that chain.
        position: usize,
    },
    /// The own number becomes this one.
    OwnNumber(u32),
    /// The number of used sectors becomes this one.
    TailSectors(u32),
    /// The number of continuations, or the sequence number, becomes this one.
    Count(u16),
    /// The end becomes the begin.
    EndIsBegin,
}

/// A change of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameEdit {
    /// One bit of the header checksum is flipped.
    Checksum,
    /// The length in the trailer is wrong.
    Trailer,
    /// The length in the header is wrong, and its checksum is right again.
    Length(u32),
    /// One payload bit is flipped, at this byte.
    PayloadBit(u64),
}

/// Does one damage and records it in the truth.
pub(super) fn apply(damage: &Damage, disk: &mut WrittenDisk) -> Result<(), Error> {
    match *damage {
        Damage::Superblock => {
            let gone = SectorZero { signature: None, uuid: None, marker: false };
            disk.truth.sector_zero = Some(gone);
            zero(disk, 0, SECTOR, "superblock zeroed")
        }
        Damage::PartitionTables => TABLE_SECTORS.into_iter().try_for_each(|sector| {
            zero(disk, sector * SECTOR as u64, SECTOR, "partition table zeroed")
        }),
        Damage::BootSectors { partition } => {
            let start = disk.truth.partitions[partition].start;
            [BOOT_SECTOR, BOOT_COPY].into_iter().try_for_each(|sector| {
                let at = start + u64::from(sector) * SECTOR as u64;
                zero(disk, at, SECTOR, "partition boot sector zeroed")
            })
        }
        Damage::Descriptor { recording, position, edit } => {
            edit_descriptor(disk, recording, position, edit)
        }
        Damage::Frame { recording, frame, edit } => edit_frame(disk, recording, frame, edit),
    }
}

fn zero(disk: &mut WrittenDisk, offset: u64, length: usize, what: &str) -> Result<(), Error> {
    write(disk, offset, &vec![0; length], what)
}

fn write(disk: &mut WrittenDisk, offset: u64, bytes: &[u8], what: &str) -> Result<(), Error> {
    disk.image.write(offset, bytes)?;
    let length = bytes.len() as u64;
    disk.truth.damage.push(Fact { offset, length, what: what.into() });
    Ok(())
}

fn edit_descriptor(
    disk: &mut WrittenDisk,
    recording: usize,
    position: usize,
    edit: DescriptorEdit,
) -> Result<(), Error> {
    let owner = &disk.truth.recordings[recording];
    let cluster = owner.chain[position];
    let partition = &disk.truth.partitions[owner.partition.unwrap_or(0) as usize];
    let at = partition.descriptors + u64::from(cluster) * DESCRIPTOR_BYTES as u64;
    let from = partition.data_start + u64::from(cluster) * partition.cluster_bytes;
    let data = [from, partition.cluster_bytes];
    let (field, bytes, what) = match edit {
        DescriptorEdit::Zero => {
            lose_descriptor(disk, recording, position, data);
            (0, vec![0; DESCRIPTOR_BYTES], "descriptor zeroed")
        }
        DescriptorEdit::Next(next) => (0x0C, next.to_le_bytes().to_vec(), "next cluster wrong"),
        DescriptorEdit::NextInto { recording, position } => {
            let next = disk.truth.recordings[recording].chain[position];
            (0x0C, next.to_le_bytes().to_vec(), "next cluster leads into a chain")
        }
        DescriptorEdit::OwnNumber(own) => (0x18, own.to_le_bytes().to_vec(), "own number wrong"),
        DescriptorEdit::TailSectors(sectors) => {
            (0x10, sectors.to_le_bytes().to_vec(), "number of used sectors wrong")
        }
        DescriptorEdit::Count(count) => (2, count.to_le_bytes().to_vec(), "count wrong"),
        DescriptorEdit::EndIsBegin => {
            let begin = disk.truth.recordings[recording].descriptor_begin.clone();
            disk.truth.recordings[recording].descriptor_end = begin;
            (8, disk.image.read(at + 4, 4), "end set to begin")
        }
    };
    let what = format!("{what}: {}, cluster {position} of its chain", {
        &disk.truth.recordings[recording].id
    });
    write(disk, at + field, &bytes, &what)
}

/// Without its head descriptor a recording is not listed; without a continuation it still is, but
/// a part of it is reachable only through the neighbours in the chain.
fn lose_descriptor(disk: &mut WrittenDisk, recording: usize, position: usize, data: Extent) {
    let recording = &mut disk.truth.recordings[recording];
    if position == 0 {
        recording.listed = false;
        recording.reason = Some("its head descriptor was destroyed".into());
        return;
    }
    let touched = recording.frames.iter_mut().filter(|frame| {
        frame.extents.iter().any(|[at, length]| *at < data[0] + data[1] && data[0] < at + length)
    });
    for frame in touched {
        frame.note = Some("its cluster has no descriptor; both neighbours point at it".into());
    }
}

fn edit_frame(
    disk: &mut WrittenDisk,
    recording: usize,
    frame: usize,
    edit: FrameEdit,
) -> Result<(), Error> {
    let fact = disk.truth.recordings[recording].frames[frame].clone();
    let whole = disk.originals[recording][frame].clone();
    let length = whole.len() as u64;
    match edit {
        FrameEdit::Checksum => {
            let wrong = whole[HEADER_BYTES - 1] ^ 0x10;
            scatter(disk, &fact.extents, HEADER_BYTES as u64 - 1, &[wrong], "header checksum wrong")
        }
        FrameEdit::Trailer => {
            let wrong = (length as u32 ^ 0x5A).to_le_bytes();
            scatter(disk, &fact.extents, length - 4, &wrong, "length in the trailer wrong")
        }
        FrameEdit::Length(wrong) => {
            let mut header = whole[..HEADER_BYTES].to_vec();
            put_u32(&mut header, 12, wrong);
            header[HEADER_BYTES - 1] = header_checksum(&header);
            scatter(disk, &fact.extents, 0, &header, "length in the header wrong")
        }
        FrameEdit::PayloadBit(at) => {
            let [offset, _] = fact.payload[0];
            let byte = disk.image.read(offset + at, 1)[0] ^ 1;
            scatter(disk, &fact.payload, at, &[byte], "payload altered after recording")
        }
    }
}

/// Writes bytes at an offset within a list of extents.
fn scatter(
    disk: &mut WrittenDisk,
    extents: &[Extent],
    at: u64,
    bytes: &[u8],
    what: &str,
) -> Result<(), Error> {
    let (mut skip, mut rest) = (at, bytes);
    for [offset, length] in extents {
        if skip >= *length {
            skip -= length;
            continue;
        }
        let (part, tail) = rest.split_at(rest.len().min((length - skip) as usize));
        if !part.is_empty() {
            write(disk, offset + skip, part, what)?;
        }
        (skip, rest) = (0, tail);
    }
    Ok(())
}
