//! Hikvision disks that differ in how recordings lie in their blocks, and what all of them share.

use super::{Plan, Scenario};
use crate::civil::Moment;
use crate::footage::Footage;
use crate::hikvision::disk::{DiskPlan, RecordingPlan, Tail, Variants};
use crate::hikvision::{LogEvent, LogLine, StreamPlan, TreeShape};

/// Bytes of the blocks of most disks.
pub(super) const BLOCK: u64 = 1 << 20;
/// Frames of camera 1 that fill about nine tenths of such a block.
pub(super) const BLOCK_FRAMES: usize = 650;
const SECOND_MS: i64 = 1000;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "hikvision-intact",
        summary: "four channels, H.264 and H.265, several blocks each, nothing special",
        plan: |seed| boxed(intact(seed)),
    },
    Scenario {
        name: "hikvision-sixteen-channels",
        summary: "sixteen channels at the same time, one block each",
        plan: sixteen,
    },
    Scenario {
        name: "hikvision-gib-blocks",
        summary: "blocks of 1 GiB with a few MiB of footage in each",
        plan: gib_blocks,
    },
    Scenario {
        name: "hikvision-open-block",
        summary: "the last blocks of two channels were never closed; one block is reserved",
        plan: open_block,
    },
    Scenario {
        name: "hikvision-several-entries",
        summary: "several entries in one block: after a pause, and after a switch of channel",
        plan: several_entries,
    },
    Scenario {
        name: "hikvision-residual",
        summary: "reused blocks: newer footage, then the rest of older footage of the same channel",
        plan: |seed| residual(seed, false),
    },
    Scenario {
        name: "hikvision-residual-other-channel",
        summary: "reused blocks: newer footage, then the rest of older footage of other channels",
        plan: |seed| residual(seed, true),
    },
    Scenario {
        name: "hikvision-before-format",
        summary: "initialised after use: old footage in blocks without entry, newer footage over some",
        plan: before_format,
    },
    Scenario {
        name: "hikvision-many-leaves",
        summary: "210 entries in half-full leaves, moved entries left behind the counts",
        plan: many_leaves,
    },
    Scenario {
        name: "hikvision-second-reading",
        summary: "every point on which the sources are read differently, in its second form",
        plan: second_reading,
    },
    Scenario {
        name: "hikvision-layout-b",
        summary: "a directory in the last MiB of the block, key-frame index below it",
        plan: |seed| layout_b(seed, false),
    },
    Scenario {
        name: "hikvision-layout-b-end",
        summary: "a directory in the last MiB of the block, key-frame index at the end of it",
        plan: |seed| layout_b(seed, true),
    },
    Scenario { name: "hikvision-no-ofni", summary: "no key-frame index at all", plan: no_ofni },
    Scenario {
        name: "hikvision-logs",
        summary: "both log areas in use, a ring that has wrapped, all known kinds of records",
        plan: logs,
    },
];

/// 14 March 2024 at a time of day, not on a whole second.
pub(super) const fn day(hour: i64, minute: i64, second: i64) -> Moment {
    Moment::at((2024, 3, 14), (hour, minute, second)).plus_ms(370)
}

pub(super) fn boxed(plan: DiskPlan) -> Plan {
    Plan::HikvisionDisk(Box::new(plan))
}

/// A disk of small blocks with the usual log.
pub(super) fn disk(blocks: u32, recordings: Vec<RecordingPlan>) -> DiskPlan {
    let initialised = Moment::at((2024, 2, 20), (10, 12, 30));
    let first = recordings.iter().filter(|r| !r.before_format).map(|r| r.stream.start).min();
    let mut plan = DiskPlan { recordings, ..DiskPlan::new(BLOCK, blocks, initialised) };
    plan.log[0] = vec![
        LogLine::new(initialised.plus_ms(-2000), LogEvent::Plain { major: 4, minor: 0xD8 }),
        LogLine::new(initialised, LogEvent::Local { minor: 0x5C, user: "admin" }),
        LogLine::new(initialised.plus_ms(4000), LogEvent::Plain { major: 4, minor: 0xD9 }),
        LogLine::new(initialised.plus_ms(61_000), LogEvent::DiskInfo),
    ];
    plan.log[1] = first
        .map(|first| LogLine::new(first.plus_ms(-80 * SECOND_MS), LogEvent::PowerOn))
        .into_iter()
        .collect();
    plan
}

/// A recording of `footage` on `channel`.
pub(super) fn recording(
    channel: u8,
    footage: Footage,
    start: Moment,
    frames: usize,
    blocks: &[u32],
    seed: u64,
) -> RecordingPlan {
    RecordingPlan::new(channel, StreamPlan::new(footage, start, frames, seed), blocks)
}

/// Four channels that take turns in getting blocks.
pub(super) fn intact(seed: u64) -> DiskPlan {
    let recordings = vec![
        recording(1, Footage::Cam1, day(8, 0, 0), 1600, &[0, 4, 8], seed),
        recording(2, Footage::Cam2, day(8, 0, 1), 1600, &[1, 5, 9], seed),
        recording(3, Footage::Cam5, day(8, 0, 2), 1500, &[2, 6], seed),
        recording(4, Footage::Cam6, day(8, 0, 2), 1500, &[3, 7], seed),
        recording(1, Footage::Cam1, day(19, 30, 0), 400, &[10], seed),
    ];
    disk(14, recordings)
}

fn sixteen(seed: u64) -> Plan {
    const CAMERAS: [Footage; 6] =
        [Footage::Cam1, Footage::Cam2, Footage::Cam3, Footage::Cam4, Footage::Cam5, Footage::Cam6];
    let recordings = (1..=16)
        .map(|channel: u8| {
            let block = u32::from(channel) - 1;
            // Seeds of their own: cameras with the same pictures still count differently.
            let seed = seed ^ u64::from(channel) << 32;
            let start = day(6, 30, 0).plus_ms(i64::from(channel) * 130);
            let footage = CAMERAS[block as usize % CAMERAS.len()];
            recording(channel, footage, start, 300, &[block], seed)
        })
        .collect();
    boxed(disk(20, recordings))
}

fn gib_blocks(seed: u64) -> Plan {
    let limited = |mut recording: RecordingPlan| {
        recording.block_limit = Some(900_000);
        recording
    };
    let recordings = vec![
        limited(recording(1, Footage::Cam1, day(8, 0, 0), 1200, &[0, 2, 4], seed)),
        limited(recording(2, Footage::Cam5, day(8, 0, 0), 1200, &[1, 3], seed)),
        recording(2, Footage::Cam5, day(9, 30, 0), 150, &[3], seed),
    ];
    boxed(DiskPlan { block_bytes: 1 << 30, ..disk(6, recordings) })
}

fn open_block(seed: u64) -> Plan {
    let recordings = vec![
        recording(1, Footage::Cam1, day(21, 0, 0), 1000, &[0, 2], seed).left_open(),
        recording(2, Footage::Cam5, day(21, 0, 0), 500, &[1], seed).left_open(),
        recording(3, Footage::Cam3, day(20, 0, 0), 500, &[3], seed),
    ];
    boxed(DiskPlan { reserved: vec![4], ..disk(8, recordings) })
}

fn several_entries(seed: u64) -> Plan {
    let recordings = vec![
        recording(1, Footage::Cam1, day(10, 0, 0), 200, &[0], seed),
        recording(1, Footage::Cam1, day(10, 15, 0), 225, &[0], seed),
        recording(1, Footage::Cam1, day(11, 40, 0), 175, &[0], seed),
        recording(2, Footage::Cam2, day(10, 0, 0), 250, &[1], seed),
        recording(3, Footage::Cam5, day(10, 5, 0), 375, &[1], seed),
        recording(4, Footage::Cam4, day(10, 30, 0), 200, &[1], seed),
    ];
    boxed(disk(4, recordings))
}

/// An older pass that fills its blocks, and a newer one that takes about half of them.
fn residual(seed: u64, other_channel: bool) -> Plan {
    const DAY_MS: i64 = 86_400_000;
    let old = |channel, footage, blocks: &[u32]| {
        let start = day(9, 0, 0).plus_ms(-9 * DAY_MS);
        let mut plan = recording(channel, footage, start, 2400, blocks, seed).until_full();
        // Out of step with the newer footage, so that no pack of it ends where an older one ends.
        plan.stream.first_unit = 75;
        plan
    };
    let (first, second) = if other_channel { (5, 6) } else { (1, 2) };
    let recordings = vec![
        old(first, if other_channel { Footage::Cam3 } else { Footage::Cam1 }, &[0, 1]),
        old(second, if other_channel { Footage::Cam6 } else { Footage::Cam5 }, &[2]),
        old(3, Footage::Cam4, &[3]),
        recording(1, Footage::Cam1, day(9, 0, 0), 340, &[0], seed).reusing(),
        recording(1, Footage::Cam1, day(12, 0, 0), 180, &[1], seed).reusing().left_open(),
        recording(2, Footage::Cam5, day(9, 0, 0), 510, &[2], seed).reusing(),
    ];
    boxed(disk(5, recordings))
}

fn before_format(seed: u64) -> Plan {
    let before = |channel, footage, blocks: &[u32]| {
        let start = Moment::at((2024, 2, 11), (7, 45, 0)).plus_ms(120);
        let mut plan = recording(channel, footage, start, 1000, blocks, seed).until_full();
        plan.before_format = true;
        plan.stream.first_unit = 75;
        plan
    };
    let recordings = vec![
        before(1, Footage::Cam1, &[0, 1]),
        before(2, Footage::Cam5, &[2]),
        recording(1, Footage::Cam1, day(8, 0, 0), 300, &[0], seed).reusing(),
    ];
    boxed(disk(5, recordings))
}

fn many_leaves(seed: u64) -> Plan {
    const BLOCKS: u32 = 212;
    let recordings = (0..BLOCKS - 2)
        .map(|n| {
            let (channel, hour) = (n % 2 + 1, i64::from(n / 2));
            let footage = if channel == 1 { Footage::Cam5 } else { Footage::Cam6 };
            let start = Moment::at((2024, 3, 1), (0, 0, 0)).plus_ms(hour * 3_600_000 + 250);
            recording(channel as u8, footage, start, 25, &[n], seed)
        })
        .collect();
    let tree = TreeShape { stale_slots: true, ..TreeShape::FIRST };
    boxed(DiskPlan {
        block_bytes: 1 << 16,
        variants: Variants { tree, ..Variants::FIRST },
        ..disk(BLOCKS, recordings)
    })
}

fn second_reading(seed: u64) -> Plan {
    let mut plan = intact(seed);
    plan.variants = Variants::SECOND;
    for recording in &mut plan.recordings {
        recording.stream.imkh = true;
    }
    plan.recordings[4].open = true;
    boxed(plan)
}

fn layout_b(seed: u64, records_at_end: bool) -> Plan {
    let recordings = vec![
        recording(1, Footage::Cam1, day(8, 0, 0), 2600, &[0, 2], seed),
        recording(2, Footage::Cam5, day(8, 0, 0), 1500, &[1], seed),
        recording(2, Footage::Cam5, day(9, 0, 0), 500, &[1], seed),
        recording(3, Footage::Cam3, day(9, 10, 0), 300, &[1], seed),
    ];
    boxed(DiskPlan {
        block_bytes: 4 << 20,
        tail: Tail::B { records_at_end },
        ..disk(4, recordings)
    })
}

fn no_ofni(seed: u64) -> Plan {
    let mut plan = intact(seed);
    plan.tail = Tail::Absent;
    plan.recordings[4].open = true;
    boxed(plan)
}

fn logs(seed: u64) -> Plan {
    let recordings = vec![
        recording(1, Footage::Cam1, day(8, 0, 0), 300, &[0], seed),
        recording(2, Footage::Cam5, day(8, 0, 0), 300, &[1], seed).left_open(),
    ];
    let mut plan = disk(3, recordings);
    let (start, address) = (day(8, 0, 0), [192, 168, 1, 64]);
    let local = |minor| LogEvent::Local { minor, user: "admin" };
    let remote = |minor| LogEvent::Remote { minor, user: "operator", address };
    let events = [
        local(0x50),
        local(0x59),
        local(0x5B),
        local(0x9F),
        local(0x51),
        remote(0x70),
        remote(0x80),
        remote(0x88),
        remote(0x405),
        remote(0x71),
        LogEvent::IllegalLogin { user: "root", address: [203, 0, 113, 9] },
        LogEvent::Motion { minor: 3, channel: 2 },
        LogEvent::Motion { minor: 4, channel: 2 },
        LogEvent::Plain { major: 2, minor: 0x21 },
        LogEvent::Plain { major: 4, minor: 0xCB },
        LogEvent::Plain { major: 4, minor: 0xA0 },
        LogEvent::Plain { major: 4, minor: 0xA5 },
        LogEvent::Plain { major: 3, minor: 0x42 },
        LogEvent::Plain { major: 3, minor: 0x43 },
        LogEvent::Smart,
        LogEvent::PowerOn,
    ];
    plan.log[0].extend(events.iter().enumerate().map(|(n, event)| {
        let time = start.plus_ms(-86_400_000 + n as i64 * 97_000);
        LogLine { old: n % 4 == 3, ..LogLine::new(time, event.clone()) }
    }));
    // The last chunks of the ring and, after it has wrapped, the first ones.
    plan.log[1].splice(
        0..0,
        (0..1400).map(|n| {
            let channel = (n % 4 + 1) as u8;
            let event = match n % 8 {
                0..4 => LogEvent::RecordStart { channel },
                _ => LogEvent::RecordStop { channel },
            };
            let time = start.plus_ms((n - 1500) * 450_000);
            LogLine { chunk: 248, ..LogLine::new(time, event) }
        }),
    );
    boxed(plan)
}
