//! A disk in few bytes: the input of the disk target is a list of sectors, the rest of the disk is zeros.
//!
//! A record is a little-endian `u16` and 512 bytes: bits 0 to 12 are the number of the sector, counted from the begin of the
//! region that bits 13 and 14 choose; bit 15 says that it cannot be read. Recorder disks are mostly empty, and their structures
//! lie far apart; a plain image would spend most of the mutations on zeros, and one byte inserted anywhere would move
//! all that follows. The regions stand where disks have something ([`REGIONS`]); of a folder, each of them is a file.

use std::collections::BTreeMap;

use daleel_core::{Extent, Hole, ReadError, Source};

/// Bytes of a sector.
pub const SECTOR_BYTES: usize = 512;
/// Bytes of a record.
pub const RECORD_BYTES: usize = SECTOR_BYTES + 2;
/// Sectors of a region, which a record can name: 4 MiB.
pub const SECTORS: u16 = 1 << 13;
/// Where the regions begin on a disk: its front; the second log area, the copy of the master sector with the video area behind
/// it, and the end of a first block of 1 GiB with what follows it, where the Hikvision disks seen have them.
pub const REGIONS: [u64; 4] = [0, 0x3D1_3200, 0x4C5_6000, 0x4C5_E000 + (1 << 30) - (1 << 20)];
/// Marks a sector that cannot be read.
pub const UNREADABLE: u16 = 1 << 15;

/// A disk made of records. It ends behind the last sector named.
pub struct SectorDisk {
    sectors: BTreeMap<u64, Option<[u8; SECTOR_BYTES]>>,
    length: u64,
}

/// One record.
struct Record {
    region: usize,
    number: u64,
    content: Option<[u8; SECTOR_BYTES]>,
}

/// The records of an input; a short last one is filled with zeros.
fn parse(records: &[u8]) -> impl Iterator<Item = Record> {
    records.chunks(RECORD_BYTES).map_while(|record| {
        let [low, high, data @ ..] = record else { return None };
        let head = u16::from_le_bytes([*low, *high]);
        let mut sector = [0; SECTOR_BYTES];
        sector[..data.len()].copy_from_slice(data);
        Some(Record {
            region: usize::from(head / SECTORS) % REGIONS.len(),
            number: u64::from(head % SECTORS),
            content: (head & UNREADABLE == 0).then_some(sector),
        })
    })
}

impl SectorDisk {
    /// The disk of all records; a later one replaces an earlier one of the same place.
    pub fn new(records: &[u8]) -> Self {
        let at = |record: &Record| REGIONS[record.region] / SECTOR_BYTES as u64 + record.number;
        Self::of(parse(records).map(|record| (at(&record), record.content)).collect())
    }

    /// The records of some regions as a file: those of a later region replace those of an earlier one. `None` when there are
    /// none of the last region.
    pub fn file(records: &[u8], regions: &[usize]) -> Option<Self> {
        let of = |region: usize| parse(records).filter(move |record| record.region == region);
        of(*regions.last()?).next()?;
        let all = regions.iter().flat_map(|region| of(*region));
        Some(Self::of(all.map(|record| (record.number, record.content)).collect()))
    }

    fn of(sectors: BTreeMap<u64, Option<[u8; SECTOR_BYTES]>>) -> Self {
        let count = sectors.last_key_value().map_or(0, |(last, _)| last + 1);
        Self { sectors, length: count * SECTOR_BYTES as u64 }
    }

    /// First bytes of the sectors named.
    pub fn offsets(&self) -> impl Iterator<Item = u64> {
        self.sectors.keys().map(|number| number * SECTOR_BYTES as u64)
    }

    /// The records of an image of `length` bytes: its sectors that are not zero, as far as a record can name them.
    pub fn records(length: u64, read: impl Fn(u64, usize) -> Vec<u8>) -> Vec<u8> {
        let most = u64::from(SECTORS) * SECTOR_BYTES as u64;
        let regions = REGIONS.iter().enumerate().flat_map(|(region, start)| {
            let bytes = read(*start, length.saturating_sub(*start).min(most) as usize);
            Self::region_records(region, &bytes)
        });
        regions.collect()
    }

    /// The records of one region, or of a file that takes its place.
    pub fn region_records(region: usize, bytes: &[u8]) -> Vec<u8> {
        let mut records = Vec::new();
        for (number, sector) in (0..SECTORS).zip(bytes.chunks(SECTOR_BYTES)) {
            if sector.iter().any(|byte| *byte != 0) {
                records.extend((region as u16 * SECTORS + number).to_le_bytes());
                records.extend(sector);
                records.resize(records.len().next_multiple_of(RECORD_BYTES), 0);
            }
        }
        records
    }
}

impl Source for SectorDisk {
    fn len(&self) -> u64 {
        self.length
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        let at = Extent::new(offset, buf.len() as u64);
        if let Some((at, hole)) = self.holes(at).into_iter().next() {
            return Err(ReadError::Hole { at, hole });
        }
        buf.fill(0);
        for (start, sector) in self.within(at) {
            let Some(part) = Extent::new(start, SECTOR_BYTES as u64).intersection(at) else {
                continue;
            };
            let from = (part.offset() - start) as usize;
            let to = (part.offset() - offset) as usize;
            let count = part.len() as usize;
            if let Some(sector) = sector {
                buf[to..to + count].copy_from_slice(&sector[from..from + count]);
            }
        }
        Ok(())
    }

    fn holes(&self, within: Extent) -> Vec<(Extent, Hole)> {
        let mut holes: Vec<(Extent, Hole)> = Vec::new();
        for (start, _) in self.within(within).filter(|(_, sector)| sector.is_none()) {
            let sector = Extent::new(start, SECTOR_BYTES as u64);
            let Some(part) = sector.intersection(within) else { continue };
            match holes.last_mut() {
                Some((last, _)) if last.end() == part.offset() => {
                    *last = Extent::new(last.offset(), last.len() + part.len());
                }
                _ => holes.push((part, Hole::Unreadable)),
            }
        }
        if within.end() > self.length {
            let from = within.offset().max(self.length);
            holes.push((Extent::new(from, within.end() - from), Hole::BeyondEnd));
        }
        holes
    }
}

impl SectorDisk {
    fn within(&self, at: Extent) -> impl Iterator<Item = (u64, Option<&[u8; SECTOR_BYTES]>)> {
        let bytes = SECTOR_BYTES as u64;
        self.sectors
            .range(at.offset() / bytes..at.end().div_ceil(bytes).max(at.offset() / bytes))
            .map(move |(number, sector)| (number * bytes, sector.as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_comes_back_from_its_records() {
        let mut image = vec![0; 5 * SECTOR_BYTES];
        image[700] = 7;
        image[5 * SECTOR_BYTES - 1] = 9;
        let records = SectorDisk::region_records(0, &image);
        assert_eq!(records.len(), 2 * RECORD_BYTES);
        let disk = SectorDisk::new(&records);
        let mut read = vec![1; image.len() - 3];
        disk.read_exact_at(3, &mut read).unwrap();
        assert_eq!(read, image[3..]);
        assert!(disk.holes(Extent::new(0, disk.len())).is_empty());
    }

    #[test]
    fn far_sectors_come_back_too() {
        let far = REGIONS[2] + 3 * SECTOR_BYTES as u64;
        let read = |offset: u64, length: usize| {
            (offset..offset + length as u64).map(|at| u8::from(at == far || at == 5)).collect()
        };
        let records = SectorDisk::records(far + 10, read);
        let disk = SectorDisk::new(&records);
        assert_eq!((records.len(), disk.len()), (2 * RECORD_BYTES, far + 512));
        let mut bytes = [9; 3];
        disk.read_exact_at(far - 1, &mut bytes).unwrap();
        assert_eq!(bytes, [0, 1, 0]);
    }

    #[test]
    fn a_file_of_two_regions_is_the_first_changed_by_the_second() {
        let mut records = SectorDisk::region_records(0, &[1; 2 * SECTOR_BYTES]);
        assert!(SectorDisk::file(&records, &[0, 2]).is_none());
        records.extend(SectorDisk::region_records(2, &[2; SECTOR_BYTES]));
        let file = SectorDisk::file(&records, &[0, 2]).unwrap();
        let mut bytes = [0; 2];
        file.read_exact_at(511, &mut bytes).unwrap();
        assert_eq!((file.len(), bytes), (1024, [2, 1]));
    }

    #[test]
    fn unreadable_sectors_are_holes_and_nothing_else_is() {
        let mut records = SectorDisk::region_records(0, &[1; 4 * SECTOR_BYTES]);
        for number in [1usize, 2] {
            records[number * RECORD_BYTES + 1] |= (UNREADABLE >> 8) as u8;
        }
        let disk = SectorDisk::new(&records);
        let hole = (Extent::new(600, 936), Hole::Unreadable);
        let beyond = (Extent::new(2048, 152), Hole::BeyondEnd);
        assert_eq!(disk.holes(Extent::new(600, 1600)), [hole, beyond]);
        assert!(disk.read_exact_at(0, &mut [0; 512]).is_ok());
        assert!(disk.read_exact_at(511, &mut [0; 2]).is_err());
    }
}
