//! Disks that differ in what the cameras delivered.

use super::{Plan, Scenario, day, one_busy, recording};
use crate::audio::AudioCodec;
use crate::dhfs::{Damage, FrameEdit, RecordingPlan};
use crate::footage::Footage;
use crate::take::{Auxiliary, Check, Cipher, Event, Pace, Split, Tags, Take};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "dahua-audio",
        summary: "A-law, mu-law, AAC and PCM16, starting a little before or after the video",
        plan: audio,
    },
    Scenario {
        name: "dahua-long-frames",
        summary: "key frames split into pieces of 32 KiB, tags on every piece",
        plan: |seed| long_frames(seed, false),
    },
    Scenario {
        name: "dahua-long-frames-first-tags",
        summary: "key frames split into pieces of 32 KiB, tags on the first piece only",
        plan: |seed| long_frames(seed, true),
    },
    Scenario {
        name: "dahua-encrypted",
        summary: "tag B5 on all or on key frames, tag 95, unannounced, and a clear camera",
        plan: encrypted,
    },
    Scenario {
        name: "dahua-stills",
        summary: "JPEG stills (FB) and auxiliary frames beside video, and a Motion JPEG camera",
        plan: stills,
    },
    Scenario { name: "dahua-mpeg4", summary: "MPEG-4 part 2", plan: mpeg4 },
    Scenario {
        name: "dahua-parameter-change",
        summary: "picture size, and codec, change at a key frame inside a recording",
        plan: parameter_change,
    },
    Scenario {
        name: "dahua-head-cut-gop",
        summary: "recordings that start with predicted frames",
        plan: head_cut_gop,
    },
    Scenario {
        name: "dahua-a0",
        summary: "milliseconds of the second in tag A0, jittering frame times",
        plan: a0,
    },
    Scenario {
        name: "dahua-watermark",
        summary: "tag 88 on every frame (payload sum, CRC-32), one frame of each altered later",
        plan: watermark,
    },
];

fn audio(seed: u64) -> Plan {
    let sounds = [
        (Footage::Cam1, AudioCodec::ALaw, -180),
        (Footage::Cam2, AudioCodec::MuLaw, 240),
        (Footage::Cam3, AudioCodec::Aac, 35),
        (Footage::Cam5, AudioCodec::Pcm16, -40),
    ];
    let recordings = sounds.map(|(footage, codec, offset_ms)| {
        let mut plan = recording(footage, day(7, 58, 21).plus_ms(640), 200, seed);
        plan.take = plan.take.with_audio(codec, offset_ms);
        plan
    });
    one_busy(recordings.to_vec())
}

fn long_frames(seed: u64, first_tags_only: bool) -> Plan {
    let mut large = recording(Footage::Large, day(16, 10, 0), 60, seed);
    large.take.split = Some(Split { piece_bytes: 0x8000, first_tags_only });
    let beside = recording(Footage::Cam2, day(16, 10, 0), 150, seed);
    one_busy(vec![large, beside])
}

fn encrypted(seed: u64) -> Plan {
    let ciphers = [
        (Footage::Cam1, Cipher::All),
        (Footage::Cam2, Cipher::KeyFrames),
        (Footage::Cam3, Cipher::CloudMode),
        (Footage::Cam5, Cipher::Unannounced),
        (Footage::Cam4, Cipher::Clear),
    ];
    let recordings = ciphers.map(|(footage, cipher)| {
        let mut plan = recording(footage, day(11, 31, 5), 150, seed);
        plan.take.cipher = cipher;
        plan.take.tags = Tags::PLAIN;
        plan
    });
    one_busy(recordings.to_vec())
}

fn stills(seed: u64) -> Plan {
    let mut beside = recording(Footage::Cam1, day(9, 40, 0), 200, seed);
    beside.take.stills_every = Some(25);
    beside.take.auxiliary = Some(Auxiliary { title: "Yard gate".into(), json_every: 40 });
    let mut motion_jpeg = recording(Footage::Stills, day(9, 40, 1), 40, seed);
    motion_jpeg.take.pace = Pace::Steady(5);
    motion_jpeg.take.tags = Tags::PLAIN;
    one_busy(vec![beside, motion_jpeg])
}

fn mpeg4(seed: u64) -> Plan {
    let mut plan = recording(Footage::Mpeg4, day(3, 3, 3), 144, seed);
    plan.take.tags = Tags::PLAIN;
    one_busy(vec![plan])
}

fn parameter_change(seed: u64) -> Plan {
    let change = |footage, hour, events: &[(usize, Event)]| -> RecordingPlan {
        let mut plan = recording(footage, day(hour, 12, 30), 200, seed);
        plan.take = plan.take.with_events(events);
        plan
    };
    let size = [(75, Event::Switch(Footage::Cam7)), (125, Event::Switch(Footage::Cam1))];
    let codec = [(100, Event::Switch(Footage::Cam5))];
    one_busy(vec![change(Footage::Cam1, 14, &size), change(Footage::Cam2, 15, &codec)])
}

fn head_cut_gop(seed: u64) -> Plan {
    let recordings = [Footage::Cam1, Footage::Cam6].map(|footage| {
        let mut plan = recording(footage, day(18, 0, 0), 140, seed);
        plan.take.first_unit = 13;
        plan
    });
    one_busy(recordings.to_vec())
}

fn a0(seed: u64) -> Plan {
    let recordings = [Footage::Cam1, Footage::Cam5].map(|footage| {
        let mut plan = recording(footage, day(19, 25, 7).plus_ms(815), 200, seed);
        plan.take.tags = Tags { milliseconds: true, ..Tags::PLAIN };
        plan.take.pace = Pace::Jitter { fps: 25, spread: 9 };
        plan
    });
    one_busy(recordings.to_vec())
}

fn watermark(seed: u64) -> Plan {
    let checked = |footage, check| {
        let take = Take::new(footage, day(10, 10, 10), 150, seed);
        let tags = Tags { check, ..Tags::DISK_A };
        RecordingPlan::new(footage.camera(), Take { tags, ..take })
    };
    let plan =
        one_busy(vec![checked(Footage::Cam1, Check::Sum), checked(Footage::Cam5, Check::Crc)]);
    let Plan::Disk(mut disk) = plan else { return plan };
    let alter =
        |recording, frame| Damage::Frame { recording, frame, edit: FrameEdit::PayloadBit(300) };
    disk.damage = vec![alter(0, 60), alter(1, 87)];
    Plan::Disk(disk)
}
