//! Writes the seeds of the fuzz targets: `cargo run -p daleel-tests --example seeds`.
//!
//! Small inputs of every shape the readers know, made by the generator (which knows nothing of the readers) and by
//! crates that write partition tables. Seeds that are there already are replaced.

// A plan that does not fit is a mistake in this file.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation
)]

#[path = "seeds_ewf.rs"]
mod ewf;
#[path = "seeds_hikvision.rs"]
mod hikvision;

use std::{fs, io::Cursor, path::Path};

use daleel_generator::{
    audio::AudioCodec,
    civil::Moment,
    dav::{DavPlan, Prefix, write_dav, write_old_mpeg},
    dhfs::{
        Damage, DescriptorEdit, DiskPlan, FrameEdit, Generation, IndexStyle, LogLine, Open,
        PartitionPlan, RecordingPlan, write_disk,
    },
    footage::{AAC_STREAM, Footage},
    image::Image,
    take::{Auxiliary, Cipher, Event, Pace, Split, Take},
};
use daleel_tests::fuzzing::{
    CONTROL_BYTES, blocker,
    sectors::{RECORD_BYTES, SectorDisk},
};

fn main() {
    ewf::store_all();
    hikvision::store_all();
    for (name, image) in disks() {
        store("dahua_disk", name, &records(&image));
    }
    let (_, intact) = &disks()[0];
    store("dahua_disk", "unreadable", &with_holes(records(intact)));
    for (name, bytes) in dav_files() {
        store("dav_stream", name, &bytes);
        if name == OLD_MPEG {
            continue; // recognised by its start codes; it holds no DHAV unit
        }
        store("dhav_framing", name, &[&framing_control([0; 4])[..], &bytes].concat());
    }
    for (name, bytes) in access_units() {
        store("annexb", name, &bytes);
    }
    for sector in [512, 4096] {
        store("partitions", &format!("gpt-{sector}"), &gpt(sector));
        store("partitions", &format!("mbr-{sector}"), &mbr(sector));
    }
    for (name, text) in MAPS {
        store("rescue_map", name, text.as_bytes());
    }
    for (target, name, bytes) in blocker::seeds() {
        store(target, &name, &bytes);
    }
}

fn records(image: &Image) -> Vec<u8> {
    SectorDisk::records(image.len(), |offset, length| image.read(offset, length))
}

/// Makes every ninth sector behind the first twenty unreadable.
fn with_holes(mut records: Vec<u8>) -> Vec<u8> {
    for record in (20..records.len() / RECORD_BYTES).step_by(9) {
        records[record * RECORD_BYTES + 1] |= 0x80;
    }
    records
}

/// Windows of many lengths, and long ones.
fn framing_control([a, b, c, d]: [u8; 4]) -> [u8; CONTROL_BYTES] {
    [a, b, c, d, 0, 1, 2, 5, 8, 13, 255, 21, 34, 55, 89, 144]
}

fn store(target: &str, name: &str, bytes: &[u8]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(name), bytes).unwrap();
}

const fn noon(second: i64) -> Moment {
    Moment::at((2024, 3, 14), (12, 0, second))
}

fn take(footage: Footage, second: i64, frames: usize) -> Take {
    Take::new(footage, noon(second), frames, 1)
}

/// The index of a small recording: 1 KiB, room for four key frames.
const SHORT_INDEX: IndexStyle = IndexStyle { length: 0x400, written: 0x400, stride: 84, spare: 2 };
/// An index as long as a cluster, so that the frames lie in the second one.
const LONG_INDEX: IndexStyle =
    IndexStyle { length: 0x1_0000, written: 0x400, stride: 12, spare: 4 };

fn partition(index: IndexStyle, takes: Vec<Take>) -> PartitionPlan {
    let recordings =
        (1..).zip(takes).map(|(channel, take)| RecordingPlan::new(channel, take)).collect();
    let log = vec![
        LogLine::operation(noon(-9000), "format"),
        LogLine::info(noon(-8000), "ChangePart from [0-3] to [0-0] resean 0"),
    ];
    PartitionPlan { reserved: 1, index, log, recordings, ..PartitionPlan::default() }
}

fn disk(partitions: Vec<PartitionPlan>, damage: Vec<Damage>) -> DiskPlan {
    DiskPlan {
        generation: Generation::Early,
        sectors: 1500 * partitions.len() as u64,
        alignment: 0x800,
        partitions,
        damage,
    }
}

fn disks() -> Vec<(&'static str, Image)> {
    // Four frames a second: a recording within one second counts as not closed.
    let plain = |second| Take { pace: Pace::Steady(4), ..take(Footage::Cam5, second, 6) };
    let two = || partition(SHORT_INDEX, vec![plain(0).with_audio(AudioCodec::ALaw, 20), plain(1)]);
    let uuid = "01234567-89ab-cdef-0123-456789abcdef".to_owned();
    let chained = PartitionPlan {
        whole_dates: true,
        repeat_tail: true,
        ..partition(LONG_INDEX, vec![plain(0), take(Footage::Cam6, 2, 8)])
    };
    let mut split = plain(0);
    split.split = Some(Split { piece_bytes: 700, first_tags_only: true });
    split.stills_every = Some(5);
    split.auxiliary = Some(Auxiliary { title: "Yard".to_owned(), json_every: 3 });
    let encrypted = Take { cipher: Cipher::KeyFrames, ..plain(4) };
    let mut open = partition(SHORT_INDEX, vec![plain(0), take(Footage::Cam1, 1, 4)]);
    open.recordings[0].open = Some(Open::EndIsBegin);
    open.recordings[1].open = Some(Open::ZeroEnd);
    open.recordings[1].extended = true;
    let shifted = PartitionPlan { data_start_shift: 16, ..two() };
    let empty = || partition(SHORT_INDEX, Vec::new());
    let chain_damage = |position, edit| Damage::Descriptor { recording: 0, position, edit };
    let frame_damage = |frame, edit| Damage::Frame { recording: 0, frame, edit };
    let all: Vec<(&'static str, DiskPlan)> = vec![
        ("intact", disk(vec![two()], Vec::new())),
        (
            "chained",
            DiskPlan {
                generation: Generation::Later { uuid },
                ..disk(vec![chained.clone()], Vec::new())
            },
        ),
        ("split-encrypted", disk(vec![partition(SHORT_INDEX, vec![split, encrypted])], Vec::new())),
        ("open", disk(vec![open], Vec::new())),
        ("shifted", disk(vec![shifted], Vec::new())),
        ("two-partitions", disk(vec![two(), empty()], vec![Damage::Superblock])),
        ("no-tables", disk(vec![two(), two()], vec![Damage::PartitionTables])),
        ("no-boot", disk(vec![two(), two()], vec![Damage::BootSectors { partition: 0 }])),
        (
            "broken-chain",
            disk(
                vec![chained],
                vec![
                    chain_damage(0, DescriptorEdit::Next(77)),
                    chain_damage(0, DescriptorEdit::OwnNumber(3)),
                ],
            ),
        ),
        (
            "broken-frames",
            disk(
                vec![two()],
                vec![
                    frame_damage(1, FrameEdit::Checksum),
                    frame_damage(3, FrameEdit::Trailer),
                    frame_damage(5, FrameEdit::Length(99)),
                ],
            ),
        ),
    ];
    all.into_iter().map(|(name, plan)| (name, write_disk(&plan).unwrap().image)).collect()
}

fn bytes(image: &Image) -> Vec<u8> {
    image.read(0, image.len() as usize)
}

const OLD_MPEG: &str = "old-mpeg";

fn dav_files() -> Vec<(&'static str, Vec<u8>)> {
    let plain = || Take { dhav_channel: 0, ..take(Footage::Cam5, 0, 8) };
    let second = Take { dhav_channel: 1, start: noon(0).plus_ms(13), ..take(Footage::Cam6, 0, 6) };
    let split = Take { split: Some(Split { piece_bytes: 900, first_tags_only: false }), ..plain() };
    let garbled = plain().with_events(&[(3, Event::Garbage(77)), (5, Event::ClockStep(-60_000))]);
    let index = IndexStyle { length: 0x600, written: 0x600, stride: 84, spare: 6 };
    let dav = |prefix, takes: Vec<Take>, cut| {
        bytes(&write_dav(&DavPlan { prefix, takes, cut }).unwrap().0)
    };
    let mut a0 = plain();
    a0.tags.milliseconds = true;
    let mut old = bytes(&write_old_mpeg(noon(0)).unwrap().0);
    old.truncate(4096);
    vec![
        ("plain-h264", dav(Prefix::None, vec![take(Footage::Cam1, 0, 4)], 0)),
        ("audio-aac", dav(Prefix::None, vec![plain().with_audio(AudioCodec::Aac, 15)], 0)),
        ("header", dav(Prefix::Dahua, vec![a0], 0)),
        ("index", dav(Prefix::Index(index), vec![plain()], 0)),
        ("head-cut", dav(Prefix::None, vec![plain()], 777)),
        ("two-channels-split", dav(Prefix::None, vec![split, second], 0)),
        ("filler", dav(Prefix::None, vec![Take { filler: 37, ..plain() }], 0)),
        ("garbled", dav(Prefix::None, vec![garbled], 0)),
        ("encrypted", dav(Prefix::None, vec![Take { cipher: Cipher::All, ..plain() }], 0)),
        (OLD_MPEG, old),
    ]
}

fn access_units() -> Vec<(&'static str, Vec<u8>)> {
    let first = |footage: Footage| footage.units()[0].bytes.to_vec();
    vec![
        ("h264", first(Footage::Cam1)),
        ("h264-large", first(Footage::Cam7)),
        ("h265", first(Footage::Cam5)),
        ("mpeg4", first(Footage::Mpeg4)),
        ("jpeg", first(Footage::Stills)),
        ("aac", AAC_STREAM[..1000].to_vec()),
    ]
}

/// Two partitions on a disk with room for little more than the tables.
fn gpt(sector: u32) -> Vec<u8> {
    let sector = u64::from(sector);
    let sectors = if sector == 512 { 80 } else { 16 };
    let mut disk = Cursor::new(vec![0; (sectors * sector) as usize]);
    let mut gpt = gptman::GPT::new_from(&mut disk, sector, [3; 16]).unwrap();
    let first = gpt.header.first_usable_lba;
    for (slot, start) in [(1, first), (4, first + 2)] {
        gpt[slot] = gptman::GPTPartitionEntry {
            partition_type_guid: [0xAF; 16],
            unique_partition_guid: [slot as u8; 16],
            starting_lba: start,
            ending_lba: start + 1,
            attribute_bits: 0,
            partition_name: "footage".into(),
        };
    }
    gpt.write_into(&mut disk).unwrap();
    gptman::GPT::write_protective_mbr_into(&mut disk, sector).unwrap();
    disk.into_inner()
}

/// A primary and two logical partitions on a disk of 16 sectors.
fn mbr(sector: u32) -> Vec<u8> {
    let mut disk = Cursor::new(vec![0; 16 * sector as usize]);
    let mut mbr = mbrman::MBR::new_from(&mut disk, sector, [1, 2, 3, 4]).unwrap();
    let entry = |sys, starting_lba, sectors| mbrman::MBRPartitionEntry {
        boot: mbrman::BOOT_INACTIVE,
        first_chs: mbrman::CHS::empty(),
        sys,
        last_chs: mbrman::CHS::empty(),
        starting_lba,
        sectors,
    };
    mbr.align = 1;
    mbr[1] = entry(0x2D, 1, 3);
    mbr[2] = entry(0x05, 4, 12);
    mbr.push(0x83, 4, 4).unwrap();
    mbr.push(0x07, 9, 5).unwrap();
    mbr.write_into(&mut disk).unwrap();
    disk.into_inner()
}

const MAPS: [(&str, &str); 3] = [
    (
        "holes",
        "# Mapfile. Created by GNU ddrescue version 1.27\n# current_pos  current_status  current_pass\n\
         0x00000A00     +               1\n#      pos        size  status\n0x00000000  0x00000200  +\n\
         0x00000200  0x00000200  -\n0x00000400  0x00000100  *\n0x00000500  0x00000300  /\n\
         0x00000800  0x00000800  ?\n",
    ),
    ("gaps", "0 ?\n010 16 +\n100 50 -\n\n0xFFF 1 + # the last\n"),
    ("huge", "0x7fffffff0000 + 1\n0x0 0x3ff +\n0x3ff 0x7ffffffffffffc00 ?\n"),
];
