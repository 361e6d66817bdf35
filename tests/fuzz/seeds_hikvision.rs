//! Seeds of the Hikvision readers.

use daleel_generator::{
    civil::Moment,
    footage::Footage,
    hikvision::{
        Cipher, Encryption, Event, ExportPlan, LogEvent, LogLine, Private, Sound, SoundCodec,
        StreamPlan,
        disk::{
            CutAt, Damage, DiskPlan, KeyEdit, Node, RecordingPlan, Tail, TreeChange, TreeEdit,
            Variants, write_disk,
        },
        files::{
            Begin, CardPlan, Ending, FilesPlan, Folder, IndexForm, Mirror, PicturePlan,
            PictureStore, RowFate, SegmentPlan, TreePlan, write_files,
        },
        log_area, write_export,
    },
    image::Image,
};
use daleel_tests::fuzzing::{
    LENGTHS, LOG_CONTROL_BYTES,
    sectors::{RECORD_BYTES, SECTOR_BYTES, SectorDisk},
};

use super::{bytes, framing_control, noon, records, store, with_holes};

/// Smallest block that readers believe in.
const BLOCK: u64 = 64 << 10;

pub fn store_all() {
    for (name, plan) in disks() {
        store("hikvision_disk", name, &disk_records(&plan));
    }
    store("hikvision_disk", "unreadable", &with_holes(disk_records(&disk(vec![plain(1, 0)]))));
    for (name, bytes) in exports() {
        store("hikvision_stream", name, &bytes);
        if name == OLD {
            continue; // recognised by its header; it holds no program stream
        }
        // Bounded to twenty minutes about noon of 14 March 2024, which is minute 105 840 of the year.
        let [low, high] = ((105_840_u32 / 16) as u16 - 1).to_le_bytes();
        let control = framing_control([1, 20, low, high]);
        store("hik_framing", name, &[&control[..], &bytes].concat());
    }
    let (_, stream) = &exports()[0];
    let lengths: [u8; LENGTHS] = [0, 1, 3, 7, 10, 20, 100, 255];
    store("program_stream", "export", &[&lengths[..], stream].concat());
    for (name, records) in cards() {
        store("hikvision_files", name, &records);
    }
    for (name, bytes) in logs() {
        store("hik_log", name, &bytes);
    }
}

fn stream(footage: Footage, second: i64, frames: usize) -> StreamPlan {
    StreamPlan::new(footage, noon(second).plus_ms(370), frames, 1)
}

fn plain(channel: u8, block: u32) -> RecordingPlan {
    let second = i64::from(channel) * 60;
    RecordingPlan::new(channel, stream(Footage::Cam5, second, 6), &[block])
}

fn disk(recordings: Vec<RecordingPlan>) -> DiskPlan {
    DiskPlan { recordings, ..DiskPlan::new(BLOCK, 3, noon(-90_000)) }
}

fn disks() -> Vec<(&'static str, DiskPlan)> {
    let two = || disk(vec![plain(1, 0), plain(2, 1)]);
    let older = RecordingPlan { before_format: true, ..plain(3, 2) };
    let again = RecordingPlan::new(1, stream(Footage::Cam6, 9000, 3), &[0]).reusing();
    let loud = StreamPlan {
        sound: Some(Sound { codec: SoundCodec::ALaw, offset_ms: 20, own_packs: false }),
        private: Some(Private { every: 2, body_bytes: 32 }),
        ..stream(Footage::Cam5, 0, 5)
    };
    let edit = |change| TreeEdit { tree: 2, recording: 1, change };
    let tail_b = |records_at_end| DiskPlan {
        block_bytes: 2 << 20,
        blocks: 1,
        tail: Tail::B { records_at_end },
        ..disk(vec![plain(1, 0)])
    };
    vec![
        ("intact", DiskPlan { log: log_lines(), ..two() }),
        ("one-block", disk(vec![plain(1, 0), plain(2, 0), plain(3, 0).left_open()])),
        ("reused", disk(vec![plain(1, 0), again])),
        ("open", DiskPlan { reserved: vec![1], ..disk(vec![plain(1, 0).left_open()]) }),
        ("second-reading", DiskPlan { variants: Variants::SECOND, ..two() }),
        ("tail-b", tail_b(false)),
        ("tail-b-end", tail_b(true)),
        ("no-tail", DiskPlan { tail: Tail::Absent, ..two() }),
        ("gib", DiskPlan { block_bytes: 1 << 30, blocks: 1, ..disk(vec![plain(1, 0)]) }),
        ("before-format", disk(vec![older, RecordingPlan::new(1, loud, &[0])])),
        ("encrypted", disk(vec![RecordingPlan::new(1, encrypted(), &[0])])),
        ("trees-differ", DiskPlan { tree_edits: vec![edit(TreeChange::Absent)], ..two() }),
        ("one-master", damaged(vec![Damage::Master(0)])),
        ("no-masters", damaged(vec![Damage::Master(0), Damage::Master(1)])),
        ("no-root", damaged(vec![Damage::TreeNode { tree: 1, node: Node::Root }])),
        ("no-trees", damaged(vec![Damage::Truncate(CutAt::BeforeTrees)])),
        (
            "false-keys",
            damaged(vec![Damage::Keys { recording: 0, every: 1, edit: KeyEdit::Offset(99) }]),
        ),
    ]
}

fn damaged(damage: Vec<Damage>) -> DiskPlan {
    DiskPlan { damage, ..disk(vec![plain(1, 0)]) }
}

fn encrypted() -> StreamPlan {
    let encryption =
        Encryption { cipher: Cipher::Slices, kind: 2, descriptor: true, info_packets: true };
    StreamPlan { encryption, ..stream(Footage::Cam5, 0, 4) }
}

/// A disk whose master sectors state short logs, so that a run is not spent on reading zeros; the last sector is named.
fn disk_records(plan: &DiskPlan) -> Vec<u8> {
    let (mut image, truth) = write_disk(plan).unwrap();
    let masters = truth.hikvision.unwrap().masters;
    for master in masters.iter().filter(|master| master.intact) {
        for (at, length) in [(0x58, 0x4000_u64), (0x68, 0x2000)] {
            image.write(master.extent[0] + at, &length.to_le_bytes()).unwrap();
        }
    }
    records(&image)
}

const OLD: &str = "old";

fn exports() -> Vec<(&'static str, Vec<u8>)> {
    let plain = || stream(Footage::Cam5, 0, 5);
    let with = |codec, own_packs| {
        let sound = Some(Sound { codec, offset_ms: 30, own_packs });
        StreamPlan { sound, imkh: true, ..plain() }
    };
    let private = Some(Private { every: 2, body_bytes: 64 });
    let events = [(2, Event::ClockStep(-60_000)), (4, Event::Lost(3))];
    let write = |plan: &ExportPlan| bytes(&write_export(plan).unwrap().0);
    let mut old = write(&ExportPlan::Legacy { start: noon(0), seed: 1 });
    old.truncate(2048);
    let streams = vec![
        ("h264", stream(Footage::Cam1, 0, 3)),
        ("aac", with(SoundCodec::Aac, true)),
        ("mu-law", with(SoundCodec::MuLaw, false)),
        ("private", StreamPlan { private, ..plain() }),
        ("encrypted", encrypted()),
        ("events", StreamPlan { milliseconds: false, ..plain().with_events(&events) }),
        ("mid-group", StreamPlan { first_unit: 13, ..stream(Footage::Cam6, 0, 14) }),
    ];
    let files = streams
        .into_iter()
        .map(|(name, stream)| (name, write(&ExportPlan::Stream(Box::new(stream)))));
    files.chain([(OLD, old)]).collect()
}

fn segment(channel: u16, second: i64, ending: Ending) -> SegmentPlan {
    SegmentPlan::new(channel, stream(Footage::Cam5, second, 4)).ending(ending)
}

fn card(index: IndexForm, mirror: Mirror, segments: Vec<SegmentPlan>) -> CardPlan {
    CardPlan {
        folder: String::new(),
        index,
        mirror,
        files: 2,
        media_bytes: 0x1_8000,
        segments,
        formatted_before: None,
        pictures: None,
        seed: 1,
    }
}

fn folder(cards: Vec<CardPlan>, tree: Option<TreePlan>) -> Folder {
    let plan = FilesPlan { info: None, cards, tree, logs: None, damage: Vec::new(), seed: 1 };
    write_files(&plan).unwrap().0
}

/// The files that take the places of a card: index, media file, mirror or log, another media file.
fn cards() -> Vec<(&'static str, Vec<u8>)> {
    const BINARY: [&str; 4] = ["index00.bin", "hiv00000.mp4", "index01.bin", "hiv00001.mp4"];
    const TREE: [&str; 4] = ["index00.bin", "hiv00000.mp4", "", "hiv00001.mp4"];
    const DATABASE: [&str; 4] =
        ["record_db_index00", "hiv00000.mp4", "record_db_index00-wal", "hiv00001.mp4"];
    const PICTURES: [&str; 4] = ["index00p.bin", "hiv00000.pic", "", ""];
    let ring = vec![
        segment(1, 0, Ending::Closed),
        segment(1, 60, Ending::ClosesFile),
        segment(1, 120, Ending::ClosesFile),
        segment(1, 180, Ending::Closed),
    ];
    let lost = vec![segment(1, 0, Ending::Closed), segment(2, 60, Ending::PowerLost)];
    let differs = Mirror::Differs { behind: 1, lost: vec![(0, 0, 1)] };
    let binary = |version, mirror, segments| {
        folder(vec![card(IndexForm::Binary(version), mirror, segments)], None)
    };
    let rows = vec![(0, RowFate::Deleted), (2, RowFate::DeletedInLog), (3, RowFate::InLog)];
    let picture =
        |number: usize| PicturePlan { channel: 1, clock: noon(number as i64 * 60), number };
    let pictures =
        PictureStore { files: 2, file_bytes: 0x1_0000, pictures: (0..3).map(picture).collect() };
    let tree = TreePlan {
        folder: String::new(),
        files: 2,
        entries: vec![
            (0, Begin::Front, segment(1, 0, Ending::Closed)),
            (0, Begin::Behind, segment(2, 60, Ending::Closed)),
            (1, Begin::Front, segment(1, 120, Ending::PowerLost)),
        ],
        reserved: Vec::new(),
        created: noon(-3600),
    };
    let with_pictures = CardPlan {
        pictures: Some(pictures),
        ..card(IndexForm::Binary(2), Mirror::Same, lost.clone())
    };
    vec![
        ("ring", files(&binary(2, Mirror::Same, ring.clone()), BINARY)),
        ("power-lost", files(&binary(3, Mirror::Same, lost), BINARY)),
        ("mirror", files(&binary(2, differs, ring.clone()), BINARY)),
        ("pictures", files(&folder(vec![with_pictures], None), PICTURES)),
        ("tree", files(&folder(Vec::new(), Some(tree)), TREE)),
        (
            "database",
            files(
                &folder(vec![card(IndexForm::Database(rows), Mirror::Same, ring)], None),
                DATABASE,
            ),
        ),
    ]
}

/// Records of the files, each in its region; of a mirror only the sectors that differ from the index. The last sector of each is
/// named, so that the file keeps its length.
fn files(folder: &Folder, names: [&str; 4]) -> Vec<u8> {
    let read = |image: &Image| image.read(0, image.len().min(4 << 20) as usize);
    let index = read(folder.get(names[0]).unwrap());
    let mut records = Vec::new();
    for (region, name) in names.iter().enumerate() {
        let Some(image) = folder.get(name) else { continue };
        let mut own = read(image);
        if let Some(last) = own.last_mut().filter(|_| image.len() <= 4 << 20) {
            *last = (*last).max(1);
        }
        let mirror = region == 2 && name.ends_with(".bin");
        if mirror {
            for (sector, other) in own.chunks_mut(SECTOR_BYTES).zip(index.chunks(SECTOR_BYTES)) {
                if sector == other {
                    sector.fill(0);
                }
            }
        }
        records.extend(SectorDisk::region_records(region, &own));
    }
    assert!(records.len().is_multiple_of(RECORD_BYTES));
    records
}

fn log_lines() -> [Vec<LogLine>; 2] {
    let at = |second| noon(second);
    let remote = LogEvent::Remote { minor: 0x70, user: "admin", address: [192, 168, 1, 10] };
    let illegal = LogEvent::IllegalLogin { user: "guest", address: [10, 0, 0, 9] };
    let one: Vec<(Moment, LogEvent)> = vec![
        (at(-500), LogEvent::PowerOn),
        (at(-400), LogEvent::DiskInfo),
        (at(-300), LogEvent::Local { minor: 0x5C, user: "admin" }),
        (at(-200), LogEvent::Smart),
    ];
    let two = vec![
        (at(-100), remote),
        (at(-90), illegal),
        (at(-80), LogEvent::Motion { minor: 3, channel: 1 }),
        (at(-70), LogEvent::RecordStart { channel: 2 }),
        (at(-60), LogEvent::RecordStop { channel: 2 }),
        (at(-50), LogEvent::Plain { major: 4, minor: 0xCB }),
    ];
    [one, two]
        .map(|lines| lines.into_iter().map(|(time, event)| LogLine::new(time, event)).collect())
}

/// Records as they follow each other in an area, and as they lie in one with its head.
fn logs() -> Vec<(&'static str, Vec<u8>)> {
    let [mut one, two] = log_lines();
    one[1].old = true;
    let encoded = |lines: &[LogLine]| lines.iter().flat_map(LogLine::encode).collect::<Vec<u8>>();
    let [first, second] = [encoded(&one), encoded(&two)];
    let cut = (first.len() as u16).to_le_bytes();
    let control: [u8; LOG_CONTROL_BYTES] = [7, 0, cut[0], cut[1]];
    let mut area = vec![0; 0x1000];
    for (at, part) in log_area(0x400, 2, &two, true) {
        let at = at as usize;
        area[at..at + part.len()].copy_from_slice(&part);
    }
    vec![
        ("records", [&control[..], &first, &second].concat()),
        ("area", [&[0; LOG_CONTROL_BYTES][..], &area].concat()),
    ]
}
