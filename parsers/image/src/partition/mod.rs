//! Partition tables of a medium: MBR with logical partitions, and GPT.
//!
//! Written here with binrw records, not with the crates `gptman` 3.1 and `mbrman` 0.6, which serve the tests as
//! independent writers: both are made for disks that are in order. `gptman` reserves memory for a number of entries
//! read from the disk, multiplies its fields unchecked and asserts an entry size of 128; `mbrman` adds sector numbers
//! unchecked and gives up the whole table for one odd boot flag or one damaged extended record. From a damaged disk
//! every entry that can be read is wanted, with the bytes it came from.

mod gpt;
mod kinds;
mod mbr;

use daleel_core::{Extent, FindingKind, Findings, FormatError, Source};

/// The kind of table an entry is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// One of the four entries of the master boot record.
    Mbr,
    /// A logical partition, from an extended boot record.
    MbrLogical,
    /// GUID partition table.
    Gpt,
}

impl Scheme {
    /// The published name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mbr => "mbr",
            Self::MbrLogical => "mbr-logical",
            Self::Gpt => "gpt",
        }
    }
}

/// One partition as its table states it; nothing is clipped to the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// The table it is from.
    pub scheme: Scheme,
    /// Its number as Linux counts: the slot from 1, logical partitions from 5 in the order of their chain.
    pub index: u32,
    /// Name in the table (GPT only), control characters escaped.
    pub name: String,
    /// Type as stored: `0x83`, or a GUID.
    pub kind: String,
    /// What the type is commonly used for, where it is known. Recorders do not keep to it.
    pub kind_name: Option<&'static str>,
    /// Its bytes.
    pub extent: Extent,
    /// The bytes of its table entry.
    pub entry: Extent,
    /// True for an extended partition that holds the chain of the logical ones.
    pub is_container: bool,
    /// Size of the sectors the table counts in, in bytes.
    pub sector_bytes: u32,
    /// What is odd about it.
    pub notes: Vec<String>,
}

/// Reads the partition tables of a medium, with the sector size the source states (and for GPT 512 and 4096 too).
///
/// A medium without a table gives no partitions. Entries are kept whatever their type says and wherever they point.
pub fn read_partitions(source: &dyn Source) -> (Vec<Partition>, Findings) {
    read_partitions_with(source, source.sector_bytes())
}

/// [`read_partitions`] for a medium whose sector size, in bytes, is known to be another than the source states.
pub fn read_partitions_with(source: &dyn Source, sector_bytes: u32) -> (Vec<Partition>, Findings) {
    let mut findings = Findings::default();
    let table = mbr::read(source, sector_bytes, &mut findings);
    let gpt = gpt::read(source, sector_bytes, table.has_protective(), &mut findings);
    let mut partitions = match gpt {
        Some(gpt) if table.has_protective() => {
            let mut partitions = gpt;
            partitions.extend(hybrid_entries(table.partitions, &partitions));
            partitions
        }
        Some(gpt) if table.partitions.is_empty() => {
            findings.note(
                FindingKind::Inferred,
                Extent::new(0, 512),
                "the GPT stands without the protective entry that UEFI asks for in sector 0; it may be older than what the disk holds now",
            );
            gpt
        }
        Some(gpt) => {
            findings.note(
                FindingKind::NotListed,
                gpt.first().map_or(Extent::new(0, 512), |partition| partition.entry),
                format!(
                    "a GPT with {} partitions is present, but the MBR has entries of its own and no protective one; the MBR's are listed",
                    gpt.len()
                ),
            );
            table.partitions
        }
        None => table.partitions,
    };
    note_past_end(&mut partitions, source.len());
    note_overlaps(&mut partitions, &mut findings);
    (partitions, findings)
}

/// Entries of a hybrid MBR that say something the GPT does not.
fn hybrid_entries(entries: Vec<Partition>, gpt: &[Partition]) -> Vec<Partition> {
    entries
        .into_iter()
        .filter(|entry| entry.kind != mbr::PROTECTIVE_KIND)
        .filter(|entry| gpt.iter().all(|partition| partition.extent != entry.extent))
        .map(|mut entry| {
            entry.notes.push("from the MBR beside the GPT; the GPT does not list it".to_owned());
            entry
        })
        .collect()
}

fn note_past_end(partitions: &mut [Partition], length: u64) {
    for partition in partitions {
        let extent = partition.extent;
        if extent.offset() >= length {
            partition.notes.push(format!("lies behind the end of the image ({length} bytes)"));
        } else if extent.end() > length {
            let missing = extent.end().saturating_sub(length);
            partition.notes.push(format!("reaches {missing} bytes past the end of the image"));
        }
    }
}

/// Notes partitions that share bytes. Containers hold their logical partitions, so they are left out.
fn note_overlaps(partitions: &mut [Partition], findings: &mut Findings) {
    let mut order: Vec<usize> = (0..partitions.len()).collect();
    order.retain(|i| partitions.get(*i).is_some_and(|p| !p.is_container && !p.extent.is_empty()));
    order.sort_by_key(|i| partitions.get(*i).map(|p| p.extent));
    // The partition among those already passed that reaches furthest.
    let mut furthest: Option<(u64, u32)> = None;
    for i in order {
        let Some(partition) = partitions.get_mut(i) else { continue };
        if let Some((end, index)) = furthest
            && partition.extent.offset() < end
        {
            let text = format!("shares bytes with partition {index}");
            findings.note(
                FindingKind::Interpretation,
                partition.entry,
                format!("partition {} {text}", partition.index),
            );
            partition.notes.push(text);
        }
        if furthest.is_none_or(|(end, _)| partition.extent.end() > end) {
            furthest = Some((partition.extent.end(), partition.index));
        }
    }
}

/// `count` sectors from sector `first`. Products that no medium can have are shortened by [`Extent`].
fn sectors(first: u64, count: u64, sector_bytes: u32) -> Extent {
    let bytes = u64::from(sector_bytes);
    Extent::new(first.saturating_mul(bytes), count.saturating_mul(bytes))
}

/// Reads a structure whole; a hole in it is a finding.
fn read_structure(
    source: &dyn Source,
    structure: &'static str,
    at: Extent,
    findings: &mut Findings,
) -> Option<Vec<u8>> {
    source.read(at).map_err(|error| findings.add(FormatError::read(structure, error).into())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(index: u32, extent: Extent) -> Partition {
        Partition {
            scheme: Scheme::Mbr,
            index,
            name: String::new(),
            kind: "0x83".to_owned(),
            kind_name: None,
            extent,
            entry: Extent::new(446, 16),
            is_container: false,
            sector_bytes: 512,
            notes: Vec::new(),
        }
    }

    #[test]
    fn overlaps_are_noted_and_neighbours_are_not() {
        let mut partitions = vec![
            partition(1, Extent::new(1000, 1000)),
            partition(2, Extent::new(2000, 500)),
            partition(3, Extent::new(0, 3000)),
            partition(4, Extent::new(3000, 10)),
        ];
        let mut findings = Findings::default();
        note_overlaps(&mut partitions, &mut findings);
        let noted: Vec<_> = partitions.iter().map(|p| !p.notes.is_empty()).collect();
        assert_eq!(noted, [true, true, false, false]);
        assert_eq!(partitions[1].notes, ["shares bytes with partition 3"]);
        assert_eq!(findings.counts()[&FindingKind::Interpretation], 2);
    }

    #[test]
    fn a_partition_past_the_end_keeps_its_stated_extent() {
        let mut partitions =
            vec![partition(1, Extent::new(100, 100)), partition(2, Extent::new(500, 1))];
        note_past_end(&mut partitions, 150);
        assert_eq!(partitions[0].notes, ["reaches 50 bytes past the end of the image"]);
        assert_eq!(partitions[0].extent, Extent::new(100, 100));
        assert!(partitions[1].notes[0].contains("behind the end"));
    }
}
