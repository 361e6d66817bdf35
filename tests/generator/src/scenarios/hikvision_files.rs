//! Hikvision SD cards, cameras with a database, and network drives.

use super::{Plan, Scenario, day};
use crate::civil::Moment;
use crate::footage::Footage;
use crate::hikvision::files::{
    Begin, CardLogs, CardPlan, Ending, FilesPlan, FolderDamage, IndexForm, Info, Mirror,
    PicturePlan, PictureStore, RowFate, SegmentPlan, TreePlan,
};
use crate::hikvision::{Event, LogEvent, LogLine, Sound, SoundCodec, StreamPlan};
use crate::rng::Rng;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "hik-sd-card",
        summary: "SD card, index version 2: two channels, the ring has begun anew, system log",
        plan: sd_card,
    },
    Scenario {
        name: "hik-sd-v3",
        summary: "SD card, index version 3: motion segments that start with an IMKH header",
        plan: sd_v3,
    },
    Scenario {
        name: "hik-sd-mirror-differs",
        summary: "the mirror of the index is older, and each copy lacks a record",
        plan: mirror_differs,
    },
    Scenario {
        name: "hik-sd-index-damaged",
        summary: "the header of the index is damaged, its mirror is whole",
        plan: index_damaged,
    },
    Scenario {
        name: "hik-sd-index-gone",
        summary: "media files only: index and mirror are gone",
        plan: index_gone,
    },
    Scenario {
        name: "hik-sd-headers-gone",
        summary: "the headers of index and mirror are zero, their tables are whole",
        plan: headers_gone,
    },
    Scenario {
        name: "hik-sd-formatted",
        summary: "initialised a month ago: older footage without any record, then new footage",
        plan: formatted,
    },
    Scenario {
        name: "hik-sd-open",
        summary: "power was lost while two channels were recording",
        plan: open,
    },
    Scenario {
        name: "hik-sd-pictures",
        summary: "picture files with an index of their own, beside video",
        plan: pictures,
    },
    Scenario {
        name: "hik-sd-audio",
        summary: "A-law, mu-law, AAC and G.726, each on a channel",
        plan: audio,
    },
    Scenario {
        name: "hik-sd-media-missing",
        summary: "the index names media files that are not there",
        plan: media_missing,
    },
    Scenario {
        name: "hik-sd-truncated-media",
        summary: "two media files end early, one of them inside a frame",
        plan: truncated_media,
    },
    Scenario {
        name: "hik-camera-sqlite",
        summary: "SQLite index with a log that was not merged, and deleted rows",
        plan: sqlite,
    },
    Scenario {
        name: "hik-nas",
        summary: "network drive with info.bin and two data folders, four cameras",
        plan: nas,
    },
    Scenario {
        name: "hik-nas-btree",
        summary: "recorder on a network drive: tree in index00.bin, media files of 1 GiB",
        plan: nas_btree,
    },
];

/// Length of the media files.
const MEDIA_BYTES: u64 = 4 << 20;
const DAY_MS: i64 = 86_400_000;

/// A camera that records segments one after the other.
struct Camera {
    channel: u16,
    footage: Footage,
    clock: Moment,
    seed: u64,
    pauses: Rng,
}

impl Camera {
    fn new(channel: u16, footage: Footage, clock: Moment, seed: u64) -> Camera {
        let pauses = Rng::new(seed, 0x5EC + u64::from(channel));
        Camera { channel, footage, clock, seed, pauses }
    }

    /// The next segment, some seconds after the one before.
    fn segment(&mut self, frames: usize) -> SegmentPlan {
        let start = self.clock.plus_ms(self.pauses.below(30_000) as i64 + 4_000);
        self.clock = start.plus_ms(frames as i64 * 40);
        SegmentPlan::new(self.channel, StreamPlan::new(self.footage, start, frames, self.seed))
    }

    /// A media file with so many segments.
    fn file(&mut self, segments: usize) -> Vec<SegmentPlan> {
        let mut file: Vec<_> = (0..segments).map(|n| self.segment(75 + 25 * (n % 3))).collect();
        if let Some(last) = file.last_mut() {
            last.ending = Ending::ClosesFile;
        }
        file
    }

    /// The same, and the file stays in use.
    fn unfinished(&mut self, segments: usize) -> Vec<SegmentPlan> {
        let mut file = self.file(segments);
        if let Some(last) = file.last_mut() {
            last.ending = Ending::Closed;
        }
        file
    }

    fn wait(&mut self, ms: i64) {
        self.clock = self.clock.plus_ms(ms);
    }
}

/// Segments in the order of their start.
fn in_order(parts: Vec<Vec<SegmentPlan>>) -> Vec<SegmentPlan> {
    let mut all = parts.concat();
    all.sort_by_key(|segment| segment.stream.start);
    all
}

fn card(files: usize, segments: Vec<SegmentPlan>, seed: u64) -> CardPlan {
    CardPlan {
        folder: String::new(),
        index: IndexForm::Binary(2),
        mirror: Mirror::Same,
        files,
        media_bytes: MEDIA_BYTES,
        segments,
        formatted_before: None,
        pictures: None,
        seed,
    }
}

fn empty(seed: u64) -> FilesPlan {
    FilesPlan { info: None, cards: Vec::new(), tree: None, logs: None, damage: Vec::new(), seed }
}

fn one_card(card: CardPlan, damage: Vec<FolderDamage>) -> Plan {
    files(FilesPlan { damage, ..empty(card.seed) }, vec![card])
}

fn files(plan: FilesPlan, cards: Vec<CardPlan>) -> Plan {
    Plan::HikvisionFiles(Box::new(FilesPlan { cards, ..plan }))
}

/// Two channels on a card of six files. Both channels filled three files a week ago; then one closed a
/// file early, and both have a file in progress.
fn ring(seed: u64) -> CardPlan {
    let mut one = Camera::new(1, Footage::Cam1, day(7, 0, 0).plus_ms(-7 * DAY_MS), seed);
    let mut two = Camera::new(2, Footage::Cam5, day(7, 0, 1).plus_ms(-7 * DAY_MS), seed);
    let mut parts = Vec::new();
    for _ in 0..3 {
        parts.extend([one.file(5), two.file(5)]);
    }
    one.wait(7 * DAY_MS);
    two.wait(7 * DAY_MS);
    parts.extend([one.file(2), two.unfinished(3)]);
    parts.push(one.unfinished(2));
    card(6, in_order(parts), seed)
}

fn sd_card(seed: u64) -> Plan {
    files(FilesPlan { logs: Some(logs()), ..empty(seed) }, vec![ring(seed)])
}

fn logs() -> CardLogs {
    let at = |hour, minute| day(hour, minute, 12);
    let remote = |minor| LogEvent::Remote { minor, user: "admin", address: [192, 168, 1, 10] };
    let mut current: Vec<LogLine> = (0..40)
        .map(|n| LogLine::new(at(7, n), LogEvent::Motion { minor: 3 + n as u16 % 2, channel: 1 }))
        .collect();
    current.push(LogLine::new(at(8, 2), LogEvent::RecordStart { channel: 2 }));
    current
        .push(LogLine { chunk: 1, ..LogLine::new(at(8, 3), LogEvent::RecordStop { channel: 2 }) });
    let main = vec![
        LogLine::new(at(6, 58), LogEvent::PowerOn),
        LogLine::new(at(6, 59), LogEvent::Plain { major: 4, minor: 0xCB }),
        LogLine::new(at(8, 0), remote(0x70)),
        LogLine::new(at(8, 1), remote(0x80)),
        LogLine::new(at(8, 9), LogEvent::IllegalLogin { user: "guest", address: [10, 0, 0, 9] }),
        LogLine { old: true, ..LogLine::new(at(8, 11), remote(0x82)) },
    ];
    CardLogs { folder: String::new(), current, main }
}

fn sd_v3(seed: u64) -> Plan {
    let mut camera = Camera::new(1, Footage::Cam6, day(7, 0, 0), seed);
    let parts = vec![camera.file(6), camera.file(5), camera.unfinished(4)];
    let mut segments = in_order(parts);
    for segment in &mut segments {
        (segment.kind, segment.stream.imkh) = (3, true);
    }
    one_card(CardPlan { index: IndexForm::Binary(3), ..card(4, segments, seed) }, Vec::new())
}

fn single_pass(seed: u64) -> CardPlan {
    let mut one = Camera::new(1, Footage::Cam2, day(7, 0, 0), seed);
    let mut two = Camera::new(2, Footage::Cam6, day(7, 0, 1), seed);
    let parts = vec![one.file(5), two.file(5), one.unfinished(3), two.unfinished(2)];
    card(5, in_order(parts), seed)
}

fn mirror_differs(seed: u64) -> Plan {
    let lost = vec![(0, 0, 2), (1, 1, 3)];
    // The last segment is not in the mirror, and the one before it has no end there.
    let mirror = Mirror::Differs { behind: 3, lost };
    one_card(CardPlan { mirror, ..single_pass(seed) }, Vec::new())
}

fn index_damaged(seed: u64) -> Plan {
    one_card(ring(seed), vec![FolderDamage::Garbage("index00.bin".into(), [0, 0x500])])
}

fn headers_gone(seed: u64) -> Plan {
    let zeros = |name: &str| FolderDamage::Zeros(name.into(), [0, 0x500]);
    one_card(single_pass(seed), vec![zeros("index00.bin"), zeros("index01.bin")])
}

fn index_gone(seed: u64) -> Plan {
    let remove = |name: &str| FolderDamage::Remove(name.into());
    one_card(ring(seed), vec![remove("index00.bin"), remove("index01.bin")])
}

fn formatted(seed: u64) -> Plan {
    let mut one = Camera::new(1, Footage::Cam3, day(7, 0, 0).plus_ms(-40 * DAY_MS), seed);
    let before = [one.file(6), one.file(5), one.unfinished(3)].concat();
    one.wait(30 * DAY_MS);
    let formatted_before = Some(before.len());
    let segments = [before, one.unfinished(2)].concat();
    one_card(CardPlan { formatted_before, ..card(4, segments, seed) }, Vec::new())
}

/// Channel 1 was behind other segments of its file, channel 2 had just begun a file.
fn open(seed: u64) -> Plan {
    let mut one = Camera::new(1, Footage::Cam4, day(7, 0, 0).plus_ms(-2 * DAY_MS), seed);
    let mut two = Camera::new(2, Footage::Cam5, day(7, 0, 1).plus_ms(-2 * DAY_MS), seed);
    let mut parts = vec![one.file(5), two.file(5), one.file(5), two.file(5)];
    one.wait(2 * DAY_MS);
    two.wait(2 * DAY_MS);
    parts.push(one.unfinished(2));
    parts.push(vec![one.segment(110).ending(Ending::PowerLost)]);
    parts.push(vec![two.segment(130).ending(Ending::PowerLost)]);
    one_card(card(4, in_order(parts), seed), Vec::new())
}

fn pictures(seed: u64) -> Plan {
    let mut one = Camera::new(1, Footage::Cam1, day(7, 0, 0), seed);
    let segments = one.unfinished(3);
    let mut rng = Rng::new(seed, 0x50_4943);
    // A file takes 22 pictures, so the third file begins the ring anew.
    let picture = |n: usize| PicturePlan {
        channel: 1,
        clock: day(7, n as i64, 5).plus_ms(rng.below(1000) as i64),
        number: n,
    };
    let store =
        PictureStore { files: 2, file_bytes: 1 << 17, pictures: (0..53).map(picture).collect() };
    one_card(CardPlan { pictures: Some(store), ..card(2, segments, seed) }, Vec::new())
}

fn audio(seed: u64) -> Plan {
    let cameras = [
        (Footage::Cam1, SoundCodec::ALaw, 0),
        (Footage::Cam5, SoundCodec::MuLaw, 130),
        (Footage::Cam2, SoundCodec::Aac, 60),
        (Footage::Cam6, SoundCodec::G726, 20),
    ];
    let mut parts = Vec::new();
    for (channel, (footage, codec, offset_ms)) in (1..).zip(cameras) {
        let start = day(7, 0, i64::from(channel));
        let mut file = Camera::new(channel, footage, start, seed).unfinished(3);
        for (n, segment) in file.iter_mut().enumerate() {
            segment.stream.sound = Some(Sound { codec, offset_ms, own_packs: n == 1 });
        }
        parts.push(file);
    }
    one_card(card(5, in_order(parts), seed), Vec::new())
}

fn media_missing(seed: u64) -> Plan {
    let remove = |name: &str| FolderDamage::Remove(name.into());
    one_card(single_pass(seed), vec![remove("hiv00001.mp4"), remove("hiv00004.mp4")])
}

fn truncated_media(seed: u64) -> Plan {
    let cut = |name: &str, bytes| FolderDamage::Truncate(name.into(), bytes);
    one_card(single_pass(seed), vec![cut("hiv00000.mp4", 0x5_4321), cut("hiv00002.mp4", 0x1_8000)])
}

/// Four files were filled and two of them begun anew, so their rows were deleted; the last of
/// these deletions and the newest rows are only in the log.
fn sqlite(seed: u64) -> Plan {
    let mut one = Camera::new(1, Footage::Cam1, day(7, 0, 0).plus_ms(-3 * DAY_MS), seed);
    let mut parts = vec![one.file(7), one.file(7), one.file(7), one.file(7)];
    one.wait(3 * DAY_MS);
    parts.extend([one.file(3), one.unfinished(4)]);
    let segments = parts.concat();
    let mut fates = vec![(17, RowFate::Cleared), (19, RowFate::Deleted)];
    fates.extend((12..14).map(|n| (n, RowFate::DeletedInLog)));
    fates.extend((33..segments.len()).map(|n| (n, RowFate::InLog)));
    one_card(CardPlan { index: IndexForm::Database(fates), ..card(4, segments, seed) }, Vec::new())
}

fn nas(seed: u64) -> Plan {
    let camera =
        |channel: u16, footage, second| Camera::new(channel, footage, day(7, 0, second), seed);
    let mut cameras = [
        camera(1, Footage::Cam1, 0),
        camera(2, Footage::Cam2, 1),
        camera(3, Footage::Cam5, 2),
        camera(4, Footage::Cam6, 3),
    ];
    let first = cameras.iter_mut().map(|camera| camera.file(3)).collect();
    let second = cameras.iter_mut().map(|camera| camera.unfinished(2)).collect();
    let datadir = |number: u32, parts| CardPlan {
        folder: format!("datadir{number}/"),
        ..card(5, in_order(parts), seed.wrapping_add(number.into()))
    };
    let info = Info {
        serial: "DS-2CD2043G0-I20190312AAWRC89413221".into(),
        mac: [0x44, 0x19, 0xB6, 0x0A, 0x5C, 0x31],
        block_bytes: 4096,
        blocks: 0x0200_0000,
        datadirs: 2,
    };
    let cards = vec![datadir(0, first), datadir(1, second)];
    files(FilesPlan { info: Some(info), ..empty(seed) }, cards)
}

fn nas_btree(seed: u64) -> Plan {
    let camera = |channel: u16, footage, ago: i64| {
        Camera::new(channel, footage, day(7, 0, i64::from(channel)).plus_ms(-ago * DAY_MS), seed)
    };
    let mut old = camera(2, Footage::Cam2, 20);
    let [mut one, mut two, mut three] =
        [camera(1, Footage::Cam1, 0), camera(2, Footage::Cam5, 0), camera(3, Footage::Cam3, 0)];
    let reboot = Event::Reboot { off_ms: 93_000, pts: 4_500, counter: 1 };
    let mut rebooted = one.segment(200);
    rebooted.stream = rebooted.stream.with_events(&[(90, reboot)]);
    one.wait(93_000);
    let entries = vec![
        (0, Begin::Front, old.segment(300)),
        (1, Begin::Front, rebooted),
        (2, Begin::Front, two.segment(150)),
        // A pause within a block, then another channel in it.
        (2, Begin::Behind, two.segment(100)),
        (2, Begin::Behind, three.segment(120)),
        (3, Begin::Front, three.segment(175)),
        (0, Begin::Front, one.segment(125)),
        (4, Begin::Front, two.segment(140).ending(Ending::PowerLost)),
    ];
    let tree = TreePlan {
        folder: "datadir0/".into(),
        files: 7,
        entries,
        reserved: vec![5],
        created: day(6, 0, 0).plus_ms(-60 * DAY_MS),
    };
    let info = Info {
        serial: "0820230912CCWRE1234567WCVU".into(),
        mac: [0x24, 0x0F, 0x9B, 0x11, 0x22, 0x33],
        block_bytes: 4096,
        blocks: 0x0400_0000,
        datadirs: 1,
    };
    files(FilesPlan { info: Some(info), tree: Some(tree), ..empty(seed) }, Vec::new())
}
