//! Known answers from real bytes.
//!
//! Disk A is a 250 GB disk with 488397168 sectors, formatted 2018, recordings of April 2020; its bytes are transcribed from the figures of
//! D. Wullen, "Forensic analysis of the filesystem Dahua DHFS 4.1" (BSD-3-Clause repository). The other headers are those
//! printed in the vendor's web player and in an SDK demo, and one captured from an Imou camera. Zeros at the end of a sector are left
//! out here and put back by [`sector`].

use daleel_core::{CivilTime, Extent};
use hex_literal::hex;
use zerocopy::FromBytes;

use super::disk::Disk;
use crate::dahua::{
    decode_date,
    layout::{
        Boot, Descriptor, DescriptorType, IndexHead, SUPERBLOCK_SIGNATURE, parse_index_entries,
        parse_table,
    },
    payload::sample_rate,
    tags::Tags,
    unit::{Header, next_header, trailer_length},
};

/// Disk A, byte 12588810240: a key frame's header, its tags, the begin of its payload.
const KEY: [u8; 128] = hex!(
    "44484156fd00020086a20400be0b000000701d51e51114ff80007448811a0819"
    "88df66e63b000000940200000000000167640028ace80e8126c0440000030064"
    "00001388100000000168ee3cb000000001658881c00ccc6fc2e0526ff1402a86"
    "2137eff79d3f74f5388f0d3408e3e53c1089eb00000300000300000300000300"
);
/// Disk A, byte 12588813232: the end of that frame and the begin of the P frame behind it.
const TRAILER_AND_P: [u8; 80] = hex!(
    "28aa01c004bc64686176be0b000044484156fc00020087a20400a70000000070"
    "1d5106120cf780007448811a08199402010000000001019a2443331bfdf1000f"
    "d9c3f5f69e2253bd1ad906db64c20ba5"
);
/// The vendor's web player: header and tags of an audio frame.
const WEB_AUDIO: [u8; 36] = hex!(
    "44484156f0000100020000002c020000ade7765140000ceb83010e028800cecd"
    "cd000000"
);
/// An SDK demo: header and tags of a key frame.
const SDK_KEY: [u8; 40] = hex!(
    "44484156fd000000771000005ccf00008030595557c010578000f08781320c19"
    "88df7bf656000000"
);
/// An Imou camera: header and tags of an audio frame.
const IMOU_AUDIO: [u8; 28] = hex!("44484156f0000000e6070000b0010000b969b769aa6d040e83011a04");
/// Disk A, sector 0.
const SUPERBLOCK: [u8; 7] = hex!("44484653342e31");
/// Disk A, sector 30.
const TABLE: [u8; 312] = hex!(
    "0000000000000000000000000000000000000000000000000000000000000000"
    "0000000000000000030000000100000003000000000000000000000000000000"
    "0000000000000000220000000000000000000000000000000000000001000000"
    "0000000000000000000000005c16470700000000000000000000000000000000"
    "0000000000000000220000000000000000000000000000000000000001000000"
    "000000000000480700000000b82c460700000000000000000000000000000000"
    "0000000000000000220000000000000000000000000000000000000001000000"
    "0000000000008f0e000000001443460700000000000000000000000000000000"
    "0000000000000000220000000000000000000000000000000000000001000000"
    "000000000000d615000000007059460700000000aa55aa55"
);
/// Disk A, sector 34.
const BOOT: [u8; 332] = hex!(
    "0000000000000000df00000055000000b9601d51c1b41e516e74000000000000"
    "0000000000000000000000000002000000100000000000004010000000190000"
    "22000000bb000000001a00006f7400000000000005000000001a000010000000"
    "000008000100000001000000000000006e7400006e740000785a8001d8578001"
    "0000000000000000000d000000000000005a0000001000000000000026000000"
    "000000000000000098fe800130ff81010000000000000000006a000000400000"
    "0000000000000000000000000000000000000000000000000000000000000000"
    "00000000000000000000000076a31851420000004600000000aa000000500000"
    "00fa00000040000000000000005a010000100000001a04000000000100100000"
    "0000000000000000000000000000000000000000000000000000000000000000"
    "0000000000000000aa55aa55"
);
/// Disk A, descriptors of clusters 0 and 1.
const DESCRIPTORS_0_1: [u8; 64] = hex!(
    "fe00000000000000000000000000000000000000000000000000000000000000"
    "fe00000000000000000000000000000000000000000000000000000000000000"
);
/// Disk A, descriptors of clusters 4160 and 4161.
const DESCRIPTORS_4160: [u8; 64] = hex!(
    "01234803b9601d5100701d5142100000000e0000000000004010000000000000"
    "01210a03bb601d5100701d5144100000e00f0000000000004110000000000000"
);
/// Disk A, descriptors of clusters 4176 and 4177.
const DESCRIPTORS_4176: [u8; 64] = hex!(
    "02210600dc601d51e1601d5152100000000000004d1000004110000000000000"
    "02230800df601d51e3601d5153100000000000004f1000004010000000000000"
);
/// Disk A, byte 9155379200: the begin of cluster 4364.
const INDEX: [u8; 496] = hex!(
    "4448494900000600010000000100000040000000c8be03000000000000000000"
    "0000000000000000000000000000000000000000000000000000000000000000"
    "80080600440b000055621d510000000000000000000000000000000000000000"
    "0000000000000000000000000000000000000000000000000000000000000000"
    "0000000000000000000000000000000000000000d31b06008f0b000056621d51"
    "0000000000000000000000000000000000000000000000000000000000000000"
    "0000000000000000000000000000000000000000000000000000000000000000"
    "0000000000000000163006009e0b000057621d51000000000000000000000000"
    "0000000000000000000000000000000000000000000000000000000000000000"
    "000000000000000000000000000000000000000000000000000000000e450600"
    "810b000058621d51000000000000000000000000000000000000000000000000"
    "0000000000000000000000000000000000000000000000000000000000000000"
    "00000000000000000000000000000000d8580600960b000059621d5100000000"
    "0000000000000000000000000000000000000000000000000000000000000000"
    "0000000000000000000000000000000000000000000000000000000000000000"
    "000000000c6d06009f0b00005b621d51"
);
/// Disk A, sector 43520: the begin of the log header; it ends with the marker.
const LOG_HEADER: [u8; 10] = hex!("1ffd050000000000e909");
/// Disk A: the text of the log behind its two headers.
const LOG_TEXT: &str = "\
[HDDLOG][0][18-6-6 16:0:34][Operation][0-0] format\n\
[HDDLOG][1][18-6-6 16:1:57][Info][0-0] Init dhfs, current 0-0, g_disk_num 1, [090922PB4201QSKT3LGB] Type: 0, error_flag 0, totol cluster 29807, current_cluster 0\n\
[HDDLOG][2][18-6-6 16:1:58][Operation][0-0] SetDriverType 5\n\
[HDDLOG][3][18-6-7 4:10:47][Info][0-0] ChangePart from [0-0] to [0-1] resean 0\n\
[HDDLOG][4][18-6-9 0:15:3][Info][0-0] ChangePart from [0-3] to [0-0] resean 0\n\
[HDDLOG][5][18-6-9 13:1:54][Info][0-0] ChangePart from [0-0] to [0-1] resean 0\n";

/// A sector whose bytes end with zeros.
fn sector(bytes: &[u8]) -> [u8; 512] {
    let mut sector = [0; 512];
    sector[..bytes.len()].copy_from_slice(bytes);
    sector
}

fn descriptors(bytes: &[u8; 64]) -> [Descriptor; 2] {
    [&bytes[..32], &bytes[32..]].map(|bytes| Descriptor::read_from_bytes(bytes).unwrap())
}

fn text(raw: u32) -> String {
    decode_date(raw).map_or("none".to_owned(), CivilTime::to_seconds_text)
}

/// The five real headers known, of four devices.
fn headers() -> [Header; 5] {
    let p = &TRAILER_AND_P[14..];
    [&KEY[..], p, &WEB_AUDIO, &SDK_KEY, &IMOU_AUDIO].map(|bytes| Header::parse(bytes).unwrap())
}

/// the header layout and its checksum hold on every real header.
#[test]
fn five_real_headers() {
    let facts = headers().map(|header| {
        assert!(header.checksum_holds(), "{header:?}");
        assert!(header.is_valid() && header.sub_frame == 0, "{header:?}");
        (
            header.kind,
            header.channel,
            header.number,
            header.length,
            text(header.date),
            header.tag_length,
        )
    });
    let expected = [
        (0xFD, 2, 0x4A286, 0xBBE, "2020-04-14 23:00:00", 20),
        (0xFC, 2, 0x4A287, 0xA7, "2020-04-14 23:00:00", 12),
        (0xF0, 1, 2, 0x22C, "2020-05-27 14:30:45", 12),
        (0xFD, 0, 0x1077, 0xCF5C, "2021-05-12 19:02:00", 16),
        (0xF0, 0, 0x7E6, 0x1B0, "2026-06-27 22:38:57", 4),
    ];
    for (found, expected) in facts.iter().zip(expected) {
        let (kind, channel, number, length, date, tag_length) = expected;
        assert_eq!(*found, (kind, channel, number, length, date.to_owned(), tag_length));
    }
    // One frame after the other: 33 ms by the counter.
    let [key, p, ..] = headers();
    assert_eq!(p.milliseconds - key.milliseconds, 33);
}

/// Any one byte changed in a real header breaks its checksum.
#[test]
fn a_changed_byte_breaks_the_checksum() {
    for at in 4..24 {
        let mut bytes = KEY;
        bytes[at] ^= 0x10;
        assert!(!Header::parse(&bytes).unwrap().checksum_holds(), "byte {at}");
    }
}

/// the tag areas of the real headers are taken apart without a rest.
#[test]
fn tags_of_the_five_headers() {
    let area = |bytes: &'static [u8]| {
        let end = 24 + usize::from(Header::parse(bytes).unwrap().tag_length);
        let tags = Tags::parse(&bytes[24..end]);
        assert_eq!(tags.opaque, None);
        assert_eq!(tags.encryption(), None);
        let ids: Vec<_> = tags.tags.iter().map(|tag| tag.id).collect();
        (tags, ids)
    };
    let (key, ids) = area(&KEY);
    assert_eq!(ids, [0x80, 0x81, 0x88, 0x94]);
    assert_eq!((key.size(), key.playback()), (Some((928, 576)), Some((26, 8, 25))));
    let (p, ids) = area(&TRAILER_AND_P[14..]);
    assert_eq!(ids, [0x80, 0x81, 0x94]);
    assert_eq!(p.playback(), Some((26, 8, 25)));
    let (web, ids) = area(&WEB_AUDIO);
    assert_eq!((ids, web.audio()), (vec![0x83, 0x88], Some((1, 14, 2))));
    let (sdk, ids) = area(&SDK_KEY);
    assert_eq!(ids, [0x80, 0x81, 0x88]);
    // 240 x 8 and 135 x 8; H.265.
    assert_eq!((sdk.size(), sdk.playback()), (Some((1920, 1080)), Some((50, 12, 25))));
    let (imou, ids) = area(&IMOU_AUDIO);
    assert_eq!((ids, imou.audio()), (vec![0x83], Some((1, 26, 4))));
    assert_eq!((sample_rate(2), sample_rate(4)), (Some(8000), Some(16_000)));
}

/// the trailer is `dhav` and the header's length again, and the next unit follows at once.
#[test]
fn a_real_trailer() {
    let [key, ..] = headers();
    assert_eq!(trailer_length(&TRAILER_AND_P[..14]), Some(key.length));
    assert_eq!(next_header(&TRAILER_AND_P, 0), Some(14));
    // By their places on the disk, the next unit begins where this one's length says.
    assert_eq!(12_588_813_232 + 14 - 12_588_810_240, u64::from(key.length));
}

#[test]
fn the_superblock() {
    assert!(sector(&SUPERBLOCK).starts_with(SUPERBLOCK_SIGNATURE));
}

/// four partitions, quarters of the disk.
#[test]
fn the_partition_table() {
    let entries = parse_table(&sector(&TABLE));
    let found: Vec<_> = entries
        .iter()
        .map(|(at, entry)| (*at, entry.boot_sector, entry.start, entry.length, entry.unknown_1c))
        .collect();
    assert_eq!(
        found,
        [
            (0x40, 34, 0, 122_099_292, 1),
            (0x80, 34, 122_159_104, 122_039_480, 1),
            (0xC0, 34, 244_252_672, 122_045_204, 1),
            (0x100, 34, 366_346_240, 122_050_928, 1),
        ]
    );
    assert!(entries.iter().all(|(_, entry)| entry.sectors() == u64::from(entry.length)));
    let (_, last) = entries[3];
    assert_eq!(last.start + last.sectors(), 488_397_168);
}

/// the boot sector of the first partition, and the sums that tie its fields together.
#[test]
fn the_boot_sector() {
    let boot = Boot::parse(&sector(&BOOT), Extent::new(34 * 512, 512)).unwrap();
    assert_eq!(text(boot.earliest), "2020-04-14 22:02:57");
    assert_eq!(text(boot.latest), "2020-04-15 11:19:01");
    assert_eq!(
        (boot.last_cluster, boot.sector_bytes, boot.cluster_sectors, boot.reserved_clusters),
        (29_806, 512, 4096, 4160)
    );
    assert_eq!(
        (boot.own_sector, boot.table_sector, boot.data_sector, boot.cluster_count),
        (34, 187, 6656, 29_807)
    );
    assert_eq!((boot.copy_sector, boot.log_sector, boot.log_sectors), (66, 43_520, 20_480));
    let room = (122_099_292 - boot.data_sector) / boot.cluster_sectors;
    assert_eq!(room, boot.cluster_count);
}

/// reserved, head and continuation descriptors.
#[test]
fn descriptors_of_disk_a() {
    for descriptor in descriptors(&DESCRIPTORS_0_1) {
        assert_eq!(descriptor.descriptor_type(), DescriptorType::Reserved);
        assert_eq!((descriptor.begin.get(), descriptor.next_cluster()), (0, None));
    }
    let facts = |descriptor: Descriptor| {
        (
            descriptor.descriptor_type(),
            descriptor.channel_number(),
            descriptor.count.get(),
            text(descriptor.begin.get()),
            text(descriptor.end.get()),
        )
    };
    let links = |descriptor: Descriptor| {
        (
            descriptor.next_cluster(),
            descriptor.last_sectors.get(),
            descriptor.previous.get(),
            descriptor.head.get(),
        )
    };
    let day = |time: &str| format!("2020-04-14 {time}");
    let [a, b] = descriptors(&DESCRIPTORS_4160);
    assert_eq!(facts(a), (DescriptorType::Head, Some(4), 840, day("22:02:57"), day("23:00:00")));
    assert_eq!(links(a), (Some(4162), 3584, 0, 4160));
    // The size that the vendor's player shows for this file, in KiB.
    assert_eq!(840 * 2048 + 3584 / 2, 1_722_112);
    assert_eq!(facts(b), (DescriptorType::Head, Some(2), 778, day("22:02:59"), day("23:00:00")));
    assert_eq!(links(b), (Some(4164), 4064, 0, 4161));
    let [c, d] = descriptors(&DESCRIPTORS_4176);
    assert_eq!(
        facts(c),
        (DescriptorType::Continuation, Some(2), 6, day("22:03:28"), day("22:03:33"))
    );
    assert_eq!(links(c), (Some(4178), 0, 4173, 4161));
    assert_eq!(
        facts(d),
        (DescriptorType::Continuation, Some(4), 8, day("22:03:31"), day("22:03:35"))
    );
    assert_eq!(links(d), (Some(4179), 0, 4175, 4160));
}

/// the index at the start of a recording: entries of 84 bytes with rising offsets and dates.
#[test]
fn the_index_of_cluster_4364() {
    let index = IndexHead::parse(&INDEX, Extent::new(9_155_379_200, 496)).unwrap();
    assert_eq!((index.length, index.arrays.as_slice()), (0x60000, &[(1, 0x40, 245_448)][..]));
    assert_eq!(index.key_frames(), Some((0x40, 84 * 2922)));
    let (stride, entries) = parse_index_entries(&INDEX[0x40..]);
    assert_eq!((stride, entries.len()), (84, 5));
    let (first, last) = (entries[0], entries[4]);
    assert_eq!((first.offset, first.length), (0x60880, 0xB44));
    assert_eq!(text(first.date), "2020-04-14 22:09:21");
    assert_eq!((last.offset, last.length), (0x658D8, 0xB96));
    assert_eq!(text(last.date), "2020-04-14 22:09:25");
    for pair in entries.windows(2) {
        assert!(pair[1].offset >= pair[0].offset + pair[0].length);
        assert_eq!(pair[1].date - pair[0].date, 1);
    }
    assert!(first.offset > index.length);
}

/// Section 4.
#[test]
fn dates() {
    for (raw, shown) in [
        (0x511D_60B9, "2020-04-14 22:02:57"),
        (0x5118_A376, "2020-04-12 10:13:54"),
        (0x511D_7000, "2020-04-14 23:00:00"),
        (0x511E_B4C1, "2020-04-15 11:19:01"),
    ] {
        assert_eq!(text(raw), shown);
    }
}

/// G-3: the log of a disk, with the real header and text in its place.
#[test]
fn the_log() {
    let mut disk = Disk::new(16, 2);
    let mut header = sector(&LOG_HEADER);
    header[0x1FC..].copy_from_slice(&[0xAA, 0x55, 0xAA, 0x55]);
    disk.log = [&header[..], &header[..], LOG_TEXT.as_bytes()].concat();
    let recorder = disk.open();
    let events: Vec<_> = recorder.events().map(Result::unwrap).collect();
    let shown: Vec<_> =
        events.iter().map(|event| (event.time.unwrap().to_seconds_text(), &*event.level)).collect();
    assert_eq!(
        shown,
        [
            ("2018-06-06 16:00:34".to_owned(), "Operation"),
            ("2018-06-06 16:01:57".to_owned(), "Info"),
            ("2018-06-06 16:01:58".to_owned(), "Operation"),
            ("2018-06-07 04:10:47".to_owned(), "Info"),
            ("2018-06-09 00:15:03".to_owned(), "Info"),
            ("2018-06-09 13:01:54".to_owned(), "Info"),
        ]
    );
    assert_eq!(events[0].text, "[0-0] format");
    assert!(events[1].text.contains("[090922PB4201QSKT3LGB]"));
    assert_eq!(events[2].text, "[0-0] SetDriverType 5");
    assert_eq!(events[5].text, "[0-0] ChangePart from [0-0] to [0-1] resean 0");
    let bytes = disk.bytes();
    for (event, line) in events.iter().zip(LOG_TEXT.lines()) {
        let from = usize::try_from(event.at.offset()).unwrap();
        assert_eq!(&bytes[from..from + line.len()], line.as_bytes());
        assert_eq!(event.at.len(), line.len() as u64);
    }
}
