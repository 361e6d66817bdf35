//! Disks that differ in their layout.

use super::{
    ALIGN_1_MIB, ALIGN_32_MIB, Plan, Scenario, day, later, log_lines, one_busy, recording,
    small_disk,
};
use crate::audio::AudioCodec;
use crate::dhfs::{
    DiskPlan, Generation, IndexStyle, LogLine, Open, Padding, PartitionPlan, RecordingPlan,
};
use crate::footage::Footage;
use crate::take::{Auxiliary, Pace, Tags};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "dahua-intact",
        summary: "healthy disk: one busy partition, two cameras, consecutive recordings",
        plan: intact,
    },
    Scenario {
        name: "dahua-four-partitions",
        summary: "32 MiB alignment, footage in all four partitions in ring order 4, 1, 2, 3",
        plan: four_partitions,
    },
    Scenario {
        name: "dahua-one-partition",
        summary: "a table with a single entry",
        plan: one_partition,
    },
    Scenario {
        name: "dahua-interleaved",
        summary: "four cameras at once, chains interleaved, DHAV channel byte always 0 (NVR)",
        plan: interleaved,
    },
    Scenario {
        name: "dahua-both-codecs",
        summary: "H.264 and H.265 cameras; steady, jittering and alternating rates; filler between frames",
        plan: both_codecs,
    },
    Scenario {
        name: "dahua-nvr",
        summary: "newer variant: uuid, index as long as a cluster, older footage behind the index",
        plan: nvr,
    },
    Scenario {
        name: "dahua-dhii-12",
        summary: "index entries of 12 bytes, zeros up to 32 sectors after the last frame",
        plan: dhii_12,
    },
    Scenario {
        name: "dahua-base-shift",
        summary: "boot sector names a data start 16 sectors after the true one",
        plan: base_shift,
    },
    Scenario {
        name: "dahua-open-recording",
        summary: "power lost: end equal to begin, before it, or zero; last frame cut",
        plan: open_recording,
    },
    Scenario {
        name: "dahua-overwritten",
        summary: "ring: newer recordings reused the heads of older ones; continuations and tails remain",
        plan: overwritten,
    },
    Scenario {
        name: "dahua-extended-channel",
        summary: "channels above 16 in byte 1F of the descriptors",
        plan: extended_channel,
    },
    Scenario {
        name: "dahua-full-cluster",
        summary: "clusters of 2 MiB and an index of 0x60000 bytes, as on real disks",
        plan: full_cluster,
    },
];

fn intact(seed: u64) -> Plan {
    let mut recordings = Vec::new();
    for hour in 8..11 {
        for footage in [Footage::Cam1, Footage::Cam2] {
            recordings.push(recording(footage, day(hour, 0, 0), 200, seed));
        }
    }
    one_busy(recordings)
}

fn four_partitions(seed: u64) -> Plan {
    let (camera_1, camera_2) = (Footage::Cam1, Footage::Cam2);
    let partition = |index: i64, begin: i64| PartitionPlan {
        restarts: 3,
        log: vec![LogLine::info(
            day(begin, 0, 0),
            format!("ChangePart from [0-{}] to [0-{index}] resean 0", (index + 3) % 4),
        )],
        recordings: (0..2)
            .flat_map(|n| [camera_1, camera_2].map(|camera| (camera, day(begin + n, 59, 30))))
            .map(|(camera, start)| recording(camera, start, 150, seed))
            .collect(),
        ..PartitionPlan::default()
    };
    let mut partitions =
        vec![partition(0, 10), partition(1, 12), partition(2, 14), partition(3, 8)];
    let switch = std::mem::take(&mut partitions[0].log);
    partitions[0].log = log_lines(day(10, 0, 0));
    partitions[0].log.extend(switch);
    Plan::Disk(DiskPlan {
        generation: Generation::Early,
        sectors: 280_003,
        alignment: ALIGN_32_MIB,
        partitions,
        damage: Vec::new(),
    })
}

fn one_partition(seed: u64) -> Plan {
    let recordings = vec![
        recording(Footage::Cam3, day(6, 30, 0), 120, seed),
        recording(Footage::Cam4, day(6, 30, 2), 120, seed),
    ];
    let log = log_lines(day(6, 30, 0));
    Plan::Disk(DiskPlan {
        generation: Generation::Early,
        sectors: 9_001,
        alignment: ALIGN_1_MIB,
        partitions: vec![PartitionPlan { recordings, log, ..PartitionPlan::default() }],
        damage: Vec::new(),
    })
}

/// Four cameras that run at the same time, as an NVR stores them.
fn interleaved(seed: u64) -> Plan {
    let cameras = [Footage::Cam1, Footage::Cam2, Footage::Cam3, Footage::Cam4];
    let recordings = cameras.map(|footage| {
        let start = day(17, 45, 0).plus_ms(i64::from(footage.camera()) * 317);
        let mut plan = recording(footage, start, 400, seed);
        plan.take.dhav_channel = 0;
        plan.take.tags = Tags::PLAIN;
        plan
    });
    let partition = PartitionPlan { recordings: recordings.to_vec(), ..PartitionPlan::default() };
    Plan::Disk(small_disk(later(seed), vec![partition]))
}

fn both_codecs(seed: u64) -> Plan {
    let cameras = [Footage::Cam1, Footage::Cam5, Footage::Cam6, Footage::Cam7];
    let paces = [
        Pace::Jitter { fps: 25, spread: 12 },
        Pace::Steady(15),
        Pace::Alternating { fps: [25, 6], every: 50 },
        Pace::Steady(12),
    ];
    let mut recordings = Vec::new();
    for (footage, pace) in cameras.into_iter().zip(paces) {
        let mut plan = recording(footage, day(12, 20, 11), 250, seed);
        plan.take.pace = pace;
        plan.take.tags = if footage == Footage::Cam7 { Tags::LARGE_SIZE } else { Tags::DISK_A };
        recordings.push(plan);
    }
    recordings[0].take.codec_number = 4;
    recordings[2].take.filler = 16;
    one_busy(recordings)
}

fn nvr(seed: u64) -> Plan {
    let cameras = [Footage::Cam1, Footage::Cam2, Footage::Cam5];
    let recordings = (0..4)
        .flat_map(|hour| cameras.map(|footage| (hour, footage)))
        .map(|(hour, footage)| {
            let mut plan = recording(footage, day(10 + hour, 0, 0), 175, seed);
            plan.take.dhav_channel = 0;
            plan.take.tags = Tags::PLAIN;
            plan.take.auxiliary =
                Some(Auxiliary { title: format!("IPCam{}", footage.camera()), json_every: 50 });
            plan.nibble = Some(3);
            plan
        })
        .collect();
    let partition = PartitionPlan {
        index: IndexStyle { length: 0x10000, written: 0x2000, stride: 84, spare: 20 },
        ring_clusters: Some(36),
        restarts: 2,
        recordings,
        ..PartitionPlan::default()
    };
    Plan::Disk(small_disk(later(seed), vec![partition]))
}

fn dhii_12(seed: u64) -> Plan {
    let recordings = [Footage::Cam1, Footage::Cam6]
        .map(|footage| recording(footage, day(9, 15, 0), 240, seed))
        .to_vec();
    let partition = PartitionPlan {
        index: IndexStyle { length: 0x1000, written: 0x1000, stride: 12, spare: 16 },
        padding: Padding::ZerosTo32Sectors,
        whole_dates: true,
        repeat_tail: true,
        recordings,
        ..PartitionPlan::default()
    };
    Plan::Disk(small_disk(Generation::Early, vec![partition]))
}

fn base_shift(seed: u64) -> Plan {
    let recordings = [Footage::Cam1, Footage::Cam2, Footage::Cam3]
        .map(|footage| recording(footage, day(4, 0, 0), 200, seed))
        .to_vec();
    let partition = PartitionPlan { data_start_shift: 16, recordings, ..PartitionPlan::default() };
    Plan::Disk(small_disk(later(seed), vec![partition]))
}

fn open_recording(seed: u64) -> Plan {
    let kinds = [
        (Footage::Cam1, Open::EndIsBegin),
        (Footage::Cam2, Open::EndBeforeBegin),
        (Footage::Cam3, Open::ZeroEnd),
    ];
    let mut recordings = vec![recording(Footage::Cam1, day(20, 0, 0), 150, seed)];
    for (footage, open) in kinds {
        let mut plan = recording(footage, day(21, 0, 0), 180, seed);
        plan.open = Some(open);
        recordings.push(plan);
    }
    one_busy(recordings)
}

fn overwritten(seed: u64) -> Plan {
    let mut recordings = Vec::new();
    for (hour, cameras) in [
        (1, [Footage::Cam1, Footage::Cam2]),
        (2, [Footage::Cam3, Footage::Cam4]),
        (3, [Footage::Cam1, Footage::Cam2]),
        (4, [Footage::Cam3, Footage::Cam5]),
    ] {
        for (n, footage) in cameras.into_iter().enumerate() {
            recordings.push(recording(footage, day(hour, 0, 0), 190 - 45 * n, seed));
        }
    }
    let partition = PartitionPlan {
        ring_clusters: Some(22),
        cursor: 3,
        restarts: 7,
        recordings,
        ..PartitionPlan::default()
    };
    Plan::Disk(small_disk(Generation::Early, vec![partition]))
}

fn extended_channel(seed: u64) -> Plan {
    let inputs =
        [(Footage::Cam1, 3), (Footage::Cam2, 17), (Footage::Cam3, 20), (Footage::Cam5, 31)];
    let recordings = inputs
        .into_iter()
        .map(|(footage, channel)| {
            let mut plan: RecordingPlan = recording(footage, day(15, 0, 0), 150, seed);
            plan.channel = channel;
            plan.extended = channel > 16;
            plan.take.dhav_channel = 0;
            plan
        })
        .collect();
    one_busy(recordings)
}

fn full_cluster(seed: u64) -> Plan {
    let recordings = [Footage::Cam1, Footage::Cam2]
        .map(|footage| {
            let mut plan = recording(footage, day(22, 2, 57), 1500, seed);
            plan.take = plan.take.with_audio(AudioCodec::ALaw, 20);
            plan
        })
        .to_vec();
    let busy = PartitionPlan {
        sectors_per_cluster: 4096,
        index: IndexStyle { length: 0x60000, written: 0x60000, stride: 84, spare: 2862 },
        padding: Padding::ZerosTo32Sectors,
        recordings,
        log: log_lines(day(22, 2, 57)),
        ..PartitionPlan::default()
    };
    let empty = PartitionPlan { recordings: Vec::new(), log: Vec::new(), ..busy.clone() };
    Plan::Disk(DiskPlan {
        generation: Generation::Early,
        sectors: 4 * 45_000,
        alignment: ALIGN_1_MIB,
        partitions: vec![busy, empty.clone(), empty.clone(), empty],
        damage: Vec::new(),
    })
}
