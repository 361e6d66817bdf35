//! `show` and the parsers read the same bytes: the values of the field tables are those that the parsers use.

use std::collections::BTreeMap;

use binrw::BinRead;
use daleel_core::{Extent, ExtentMap, Field};
use proptest::prelude::*;
use zerocopy::FromBytes;

use super::{
    disk::{CLUSTER_BYTES, CLUSTER_SECTORS, Disk, TABLE_SECTOR},
    units::{Unit, date, join},
};
use crate::dahua::{
    describe::{self, date_text},
    fields::{self, Spec},
    layout::{Boot, Descriptor, IndexHead, TableEntry},
    unit::Header,
};

/// The shown values of a structure, by field name.
fn shown(specs: &[Spec], bytes: &[u8]) -> BTreeMap<&'static str, String> {
    let at = Extent::new(1000, bytes.len() as u64);
    specs
        .iter()
        .filter_map(|spec| spec.read(bytes, at))
        .map(|field| {
            let from = (field.at.offset() - 1000) as usize;
            assert_eq!(field.raw, bytes[from..from + field.at.len() as usize]);
            (field.name, field.value)
        })
        .collect()
}

fn number(value: impl Into<u64>) -> String {
    let value = value.into();
    format!("{value} (0x{value:x})")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(" ")
}

/// Every value expected is shown, under its name.
fn assert_shows(found: &BTreeMap<&'static str, String>, expected: &[(&str, String)]) {
    for (name, value) in expected {
        assert_eq!(found.get(name), Some(value), "`{name}`");
    }
}

/// Each byte that a table explains is explained once.
fn assert_disjoint(specs: &[Spec], length: usize) {
    let bytes = vec![0; length];
    let mut fields: Vec<Field> =
        specs.iter().filter_map(|spec| spec.read(&bytes, Extent::new(0, length as u64))).collect();
    assert_eq!(fields.len(), specs.len(), "a field lies outside of its structure");
    fields.sort_by_key(|field| field.at.offset());
    for pair in fields.windows(2) {
        assert!(pair[0].at.end() <= pair[1].at.offset(), "{} and {}", pair[0].name, pair[1].name);
    }
}

#[test]
fn fields_do_not_overlap() {
    for (specs, length) in [
        (fields::SUPERBLOCK, 512),
        (fields::TABLE, 512),
        (fields::TABLE_ENTRY, 64),
        (fields::BOOT, 512),
        (fields::DESCRIPTOR, 32),
        (fields::LOG, 512),
        (fields::INDEX, 64),
        (fields::INDEX_ENTRY, 12),
        (fields::DHAV, 24),
    ] {
        assert_disjoint(specs, length);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn boot_sectors(bytes in prop::collection::vec(any::<u8>(), 512)) {
        let boot = Boot::read(&mut std::io::Cursor::new(&bytes)).unwrap();
        assert_shows(&shown(fields::BOOT, &bytes), &[
            ("earliest recording", date_text(boot.earliest)),
            ("latest recording", date_text(boot.latest)),
            ("last cluster", number(boot.last_cluster)),
            ("bytes per sector", number(boot.sector_bytes)),
            ("sectors per cluster", number(boot.cluster_sectors)),
            ("reserved clusters", number(boot.reserved_clusters)),
            ("own sector", number(boot.own_sector)),
            ("descriptor table", number(boot.table_sector)),
            ("data area", number(boot.data_sector)),
            ("clusters", number(boot.cluster_count)),
            ("boot sector copy", number(boot.copy_sector)),
            ("log area", number(boot.log_sector)),
            ("log area, sectors", number(boot.log_sectors)),
            ("marker", hex(&boot.marker)),
        ]);
    }

    #[test]
    fn table_entries(bytes in prop::collection::vec(any::<u8>(), 64)) {
        let entry = TableEntry::read(&mut std::io::Cursor::new(&bytes)).unwrap();
        assert_shows(&shown(fields::TABLE_ENTRY, &bytes), &[
            ("boot sector", number(entry.boot_sector)),
            ("unknown_1c", number(entry.unknown_1c)),
            ("start", number(entry.start)),
            ("length", number(entry.length)),
            ("length, high half", number(entry.length_high)),
        ]);
    }

    #[test]
    fn descriptors(bytes in any::<[u8; 32]>()) {
        let descriptor = Descriptor::read_from_bytes(&bytes).unwrap();
        assert_shows(&shown(fields::DESCRIPTOR, &bytes), &[
            ("type", number(descriptor.kind)),
            ("channel", hex(&[descriptor.channel])),
            ("count", number(descriptor.count.get())),
            ("begin", date_text(descriptor.begin.get())),
            ("end", date_text(descriptor.end.get())),
            ("next cluster", number(descriptor.next.get())),
            ("sectors used in the last cluster", number(descriptor.last_sectors.get())),
            ("previous cluster", number(descriptor.previous.get())),
            ("head", number(descriptor.head.get())),
            ("unknown_1c", number(descriptor.unknown_1c)),
            ("flags", hex(&[descriptor.flags])),
            ("unknown_1e", number(descriptor.unknown_1e)),
            ("extended channel", number(descriptor.extended_channel)),
        ]);
    }

    #[test]
    fn headers(rest in any::<[u8; 20]>()) {
        let bytes = [b"DHAV", &rest[..]].concat();
        let header = Header::parse(&bytes).unwrap();
        assert_shows(&shown(fields::DHAV, &bytes), &[
            ("magic", "DHAV".to_owned()),
            ("type", hex(&[header.kind])),
            ("subtype", number(header.subtype)),
            ("channel", number(header.channel)),
            ("sub-frame", number(header.sub_frame)),
            ("frame number", number(header.number)),
            ("length", number(header.length)),
            ("date", date_text(header.date)),
            ("milliseconds", number(header.milliseconds)),
            ("tag length", number(header.tag_length)),
            ("checksum", hex(&[header.checksum])),
        ]);
    }

    #[test]
    fn indexes(length in 64u32..16 << 20, (kind, offset, bytes) in any::<(u32, u32, u32)>()) {
        let mut head = b"DHII".to_vec();
        for word in [length, 1, kind, offset, bytes] {
            head.extend(word.to_le_bytes());
        }
        head.resize(64, 0);
        let index = IndexHead::parse(&head, Extent::new(0, 64)).unwrap();
        let (kind, offset, bytes) = index.arrays[0];
        assert_shows(&shown(fields::INDEX, &head), &[
            ("magic", "DHII".to_owned()),
            ("index length", number(index.length)),
            ("headers", number(index.arrays.len() as u64)),
            ("header 0, type", number(kind)),
            ("header 0, offset", number(offset)),
            ("header 0, bytes", number(bytes)),
        ]);
    }

    /// any offset of a unit, sound or damaged, has an answer.
    #[test]
    fn any_offset_of_any_stream(mut bytes in prop::collection::vec(any::<u8>(), 1..300), at in any::<u64>(), flip in any::<usize>()) {
        bytes.extend(join(&[Unit::key(1), Unit::p(2)]));
        let place = flip % bytes.len();
        bytes[place] ^= 0x55;
        let map = ExtentMap::of(Extent::new(0, bytes.len() as u64));
        let at = at % bytes.len() as u64;
        for structure in describe::stream(&bytes, &map, at) {
            prop_assert!(structure.at.contains(at));
        }
    }
}

/// A disk with one recording: an index in the first cluster, two units behind it, the second across the cluster boundary.
fn disk() -> (Disk, Vec<u8>) {
    let mut index = b"DHII".to_vec();
    for word in [4096u32, 1, 1, 0x40, 84, 0, 0] {
        index.extend(word.to_le_bytes());
    }
    index.resize(0x40, 0);
    for word in [4096u32, Unit::key(1).len() as u32, date(3, 10, 0, 0)] {
        index.extend(word.to_le_bytes());
    }
    index.resize(4096, 0);
    let big = Unit { payload: vec![0x33; CLUSTER_BYTES], ..Unit::p(2) };
    let key = Unit { date: date(3, 10, 0, 0), ..Unit::key(1) };
    let stream = [index, key.bytes(), big.bytes()].concat();
    let mut disk = Disk::new(32, 4);
    disk.record(2, date(3, 10, 0, 0), &[9, 20], 64);
    let (first, second) = stream.split_at(CLUSTER_BYTES);
    disk.clusters = vec![(9, first.to_vec()), (20, second.to_vec())];
    (disk, stream)
}

/// I-2: what lies at an offset of a disk, from the outside in.
#[test]
fn structures_of_a_disk() {
    let (disk, _) = disk();
    let recorder = disk.open();
    let at = |offset: usize| recorder.describe(offset as u64, None).unwrap();
    let names = |offset: usize| at(offset).into_iter().map(|found| found.name).collect::<Vec<_>>();
    let value = |offset: usize, structure: usize, name: &str| {
        let found = at(offset).swap_remove(structure);
        found.fields.into_iter().find(|field| field.name == name).map(|field| field.value)
    };
    assert_eq!(names(5), ["superblock"]);
    assert_eq!(value(0, 0, "signature").as_deref(), Some("DHFS4.1"));
    assert_eq!(names(30 * 512), ["partition table", "partition table entry 0"]);
    assert_eq!(names(62 * 512 + 511), ["partition table", "partition table entry 0"]);
    for boot in [34, 66] {
        assert_eq!(names(boot * 512 + 7), ["boot sector of partition 0"]);
        assert_eq!(value(boot * 512, 0, "sectors per cluster"), Some(number(CLUSTER_SECTORS)));
    }
    let descriptor = TABLE_SECTOR * 512 + 9 * 32;
    assert_eq!(names(descriptor + 31), ["descriptor of cluster 9, partition 0"]);
    assert_eq!(value(descriptor, 0, "next cluster"), Some(number(20u8)));
    let purpose = &at(descriptor)[0].purpose;
    assert!(purpose.contains("channel 3, 2 clusters, 98304 bytes"), "{purpose}");

    let cluster = |number: usize| disk.data_sector() * 512 + number * CLUSTER_BYTES;
    let inside = ["descriptor of cluster 9, partition 0", "recording dhfs-p0-c9"];
    let with = |last: &[&'static str]| [&inside[..], last].concat();
    assert_eq!(names(cluster(9)), with(&["DHII index"]));
    assert_eq!(names(cluster(9) + 0x42), with(&["DHII index", "DHII key frame entry 0 of 1"]));
    assert_eq!(names(cluster(9) + 4096), with(&["DHAV unit, key frame"]));
    assert_eq!(names(cluster(9) + CLUSTER_BYTES - 1), with(&["DHAV unit, P frame"]));
    // The same unit goes on in the next cluster of the chain.
    let behind = at(cluster(20) + 50);
    assert_eq!(behind.last().unwrap().name, "DHAV unit, P frame");
    assert_eq!(value(cluster(20) + 50, 2, "trailer"), Some((CLUSTER_BYTES + 32).to_string()));
    assert_eq!(names(cluster(25)), ["descriptor of cluster 25, partition 0"]);
    assert!(at(disk.bytes().len() + 5).is_empty());
}

/// The stream's extents lead to the bytes that were written, and its frames to the units.
#[test]
fn the_recording_is_the_stream_written() {
    use daleel_core::{Walk, WalkItem};
    let (disk, stream) = disk();
    let recorder = disk.open();
    let recording = recorder.recordings().next().unwrap().unwrap();
    assert_eq!((recording.channel, recording.id.as_str()), (Some(3), "dhfs-p0-c9"));
    let found = recorder.stream(&recording).unwrap();
    let mut bytes = Vec::new();
    for extent in found.map.extents() {
        bytes.extend(found.source.read(extent).unwrap());
    }
    assert_eq!(bytes[..stream.len()], stream);
    let frames: Vec<_> = Walk::new(&found, recorder.parser(&recording), 0..u64::MAX)
        .filter_map(|item| match item {
            WalkItem::Frame(frame) => frame.number,
            _ => None,
        })
        .collect();
    assert_eq!(frames, [1, 2]);
}
