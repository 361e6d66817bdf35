//! Disks that were damaged after writing.

use super::{Plan, Scenario, day, later, recording, small_disk};
use crate::audio::AudioCodec;
use crate::dhfs::{
    Damage, DescriptorEdit, DiskPlan, FrameEdit, Generation, PartitionPlan, RecordingPlan,
};
use crate::footage::Footage;
use crate::take::Event;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "dahua-missing-superblock",
        summary: "sector 0 zeroed",
        plan: |seed| with_damage(seed, &[Damage::Superblock]),
    },
    Scenario {
        name: "dahua-missing-partition-table",
        summary: "both partition tables zeroed",
        plan: |seed| with_damage(seed, &[Damage::PartitionTables]),
    },
    Scenario {
        name: "dahua-missing-boot-sectors",
        summary: "both boot sectors of partition 1 zeroed",
        plan: |seed| with_damage(seed, &[Damage::BootSectors { partition: 1 }]),
    },
    Scenario {
        name: "dahua-damaged-descriptors",
        summary: "zeroed, wild, looping and crossed chain links, wrong numbers, a lost head",
        plan: damaged_descriptors,
    },
    Scenario {
        name: "dahua-damaged-frames",
        summary: "wrong checksums, trailers and lengths, altered payload, garbage between frames",
        plan: damaged_frames,
    },
];

/// Two partitions with two cameras each.
fn base(seed: u64) -> DiskPlan {
    let partition = |hour: i64, cameras: [Footage; 2]| PartitionPlan {
        recordings: (0..2)
            .flat_map(|n| cameras.map(|camera| (camera, day(hour + n, 0, 0))))
            .map(|(camera, start)| recording(camera, start, 170, seed))
            .collect(),
        ..PartitionPlan::default()
    };
    let busy = vec![
        partition(9, [Footage::Cam1, Footage::Cam2]),
        partition(11, [Footage::Cam3, Footage::Cam5]),
    ];
    small_disk(later(seed), busy)
}

fn with_damage(seed: u64, damage: &[Damage]) -> Plan {
    Plan::Disk(DiskPlan { damage: damage.to_vec(), ..base(seed) })
}

/// One kind of damage per recording; recording 0 is healthy.
fn damaged_descriptors(seed: u64) -> Plan {
    let cameras = [Footage::Cam1, Footage::Cam2, Footage::Cam3, Footage::Cam4];
    let recordings = |numbers: std::ops::Range<i64>| -> Vec<RecordingPlan> {
        numbers
            .map(|n| {
                // Two cameras at a time, so that chains are interleaved.
                let start = day(n / 2, 0, n % 2);
                recording(cameras[n as usize % 4], start, 210, seed)
            })
            .collect()
    };
    let partition =
        |numbers| PartitionPlan { recordings: recordings(numbers), ..PartitionPlan::default() };
    let mut disk = small_disk(Generation::Early, vec![partition(0..6), partition(6..11)]);
    let edit = |recording, position, edit| Damage::Descriptor { recording, position, edit };
    disk.damage = vec![
        edit(1, 2, DescriptorEdit::Zero),
        edit(2, 1, DescriptorEdit::Next(0x00FF_FFF0)),
        edit(3, 3, DescriptorEdit::NextInto { recording: 3, position: 1 }),
        edit(4, 1, DescriptorEdit::NextInto { recording: 0, position: 2 }),
        edit(5, 0, DescriptorEdit::OwnNumber(9999)),
        edit(5, 2, DescriptorEdit::OwnNumber(9999)),
        edit(6, 0, DescriptorEdit::TailSectors(0)),
        edit(7, 0, DescriptorEdit::TailSectors(5000)),
        edit(8, 0, DescriptorEdit::Count(1)),
        edit(9, 0, DescriptorEdit::EndIsBegin),
        edit(10, 0, DescriptorEdit::Zero),
    ];
    Plan::Disk(disk)
}

fn damaged_frames(seed: u64) -> Plan {
    let mut garbage = recording(Footage::Cam2, day(20, 0, 0), 200, seed);
    garbage.take = garbage.take.with_events(&[
        (30, Event::Garbage(700)),
        (75, Event::Garbage(5000)),
        (120, Event::Garbage(33)),
    ]);
    let mut sound = recording(Footage::Cam5, day(20, 0, 1), 150, seed);
    sound.take = sound.take.with_audio(AudioCodec::ALaw, 0);
    let recordings = vec![recording(Footage::Cam1, day(20, 0, 0), 200, seed), garbage, sound];
    let partition = PartitionPlan { recordings, ..PartitionPlan::default() };
    let mut disk = small_disk(Generation::Early, vec![partition]);
    let edit = |recording, frame, edit| Damage::Frame { recording, frame, edit };
    disk.damage = vec![
        edit(0, 10, FrameEdit::Checksum),
        edit(0, 50, FrameEdit::Checksum),
        edit(0, 62, FrameEdit::Trailer),
        edit(0, 88, FrameEdit::Length(0xFFFF_FFF0)),
        edit(0, 103, FrameEdit::Length(0)),
        edit(0, 131, FrameEdit::Length(6000)),
        edit(0, 164, FrameEdit::Length(33)),
        edit(2, 40, FrameEdit::Checksum),
        edit(2, 90, FrameEdit::Trailer),
        edit(2, 91, FrameEdit::Length(0x7FFF_FFFF)),
        edit(2, 120, FrameEdit::PayloadBit(5)),
    ];
    Plan::Disk(disk)
}
