//! Hikvision disks that differ in what the cameras delivered, and in time.

use super::hikvision::{BLOCK_FRAMES, boxed, day, disk, recording};
use super::{Plan, Scenario};
use crate::footage::Footage;
use crate::hikvision::disk::{Damage, RecordingPlan};
use crate::hikvision::{Cipher, Encryption, Event, LogEvent, LogLine, Private, Sound, SoundCodec};
use crate::take::Pace;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "hikvision-audio",
        summary: "A-law, mu-law and AAC, starting a little before or after the video",
        plan: audio,
    },
    Scenario {
        name: "hikvision-g722-g726",
        summary: "G.722.1 and G.726 (opaque bytes), every sound packet in a pack of its own",
        plan: g722_g726,
    },
    Scenario {
        name: "hikvision-mpeg4-mjpeg",
        summary: "MPEG-4 part 2 and Motion JPEG",
        plan: mpeg4_mjpeg,
    },
    Scenario {
        name: "hikvision-smart-gop",
        summary: "key frames 40 to 170 pictures apart, and a rate that changes",
        plan: smart_gop,
    },
    Scenario {
        name: "hikvision-large-frames",
        summary: "key frames above 200 KiB and above 140 KiB, in several PES packets",
        plan: large_frames,
    },
    Scenario {
        name: "hikvision-private-data",
        summary: "private packets between the frames, some larger than a PES packet",
        plan: private_data,
    },
    Scenario {
        name: "hikvision-parameter-change",
        summary: "picture size, and codec, change at a key frame inside a recording",
        plan: parameter_change,
    },
    Scenario {
        name: "hikvision-head-cut-gop",
        summary: "recordings that start with predicted pictures",
        plan: head_cut_gop,
    },
    Scenario {
        name: "hikvision-encrypted",
        summary: "encrypted pictures, announced in several ways or not at all, and a clear camera",
        plan: encrypted,
    },
    Scenario {
        name: "hikvision-odd-encryption-flag",
        summary: "clear pictures whose date says encryption type 7 or 3",
        plan: odd_encryption_flag,
    },
    Scenario {
        name: "hikvision-reboot",
        summary: "stream time and picture counter begin anew in a block, the clock goes on",
        plan: reboot,
    },
    Scenario {
        name: "hikvision-clock-change",
        summary: "the clock is set forward on one channel and back on another",
        plan: clock_change,
    },
    Scenario {
        name: "hikvision-gap",
        summary: "minutes without recording, and missing pictures, inside an entry",
        plan: gap,
    },
    Scenario {
        name: "hikvision-zero-ms",
        summary: "the milliseconds of every stored date are 0; pictures come irregularly",
        plan: zero_ms,
    },
    Scenario {
        name: "hikvision-pts-wrap",
        summary: "stream time passes its 33 bits",
        plan: pts_wrap,
    },
    Scenario {
        name: "hikvision-damaged-packs",
        summary: "random bytes over frames in the middle of recordings",
        plan: damaged_packs,
    },
];

fn audio(seed: u64) -> Plan {
    let sounds = [
        (1, Footage::Cam1, SoundCodec::ALaw, -180),
        (2, Footage::Cam2, SoundCodec::MuLaw, 240),
        (3, Footage::Cam5, SoundCodec::Aac, 35),
        (4, Footage::Cam4, SoundCodec::ALaw, 0),
    ];
    let recordings = sounds.map(|(channel, footage, codec, offset_ms)| {
        let block = u32::from(channel) - 1;
        let mut plan = recording(channel, footage, day(7, 58, 21), 400, &[block], seed);
        let own_packs = channel == 4;
        plan.stream.sound = Some(Sound { codec, offset_ms, own_packs });
        plan
    });
    boxed(disk(6, recordings.to_vec()))
}

fn g722_g726(seed: u64) -> Plan {
    let recordings =
        [(1, Footage::Cam1, SoundCodec::G7221, 15), (2, Footage::Cam6, SoundCodec::G726, -40)].map(
            |(channel, footage, codec, offset_ms)| {
                let block = u32::from(channel) - 1;
                let mut plan = recording(channel, footage, day(7, 58, 21), 400, &[block], seed);
                plan.stream.sound = Some(Sound { codec, offset_ms, own_packs: true });
                plan
            },
        );
    boxed(disk(3, recordings.to_vec()))
}

fn mpeg4_mjpeg(seed: u64) -> Plan {
    let mut motion_jpeg = recording(2, Footage::Stills, day(9, 40, 0), 80, &[1], seed);
    motion_jpeg.stream.pace = Pace::Steady(5);
    boxed(disk(3, vec![recording(1, Footage::Mpeg4, day(3, 3, 3), 288, &[0], seed), motion_jpeg]))
}

fn smart_gop(seed: u64) -> Plan {
    let mut changing = recording(2, Footage::Smart, day(22, 10, 0), 800, &[1], seed);
    changing.stream.pace = Pace::Alternating { fps: [25, 6], every: 90 };
    boxed(disk(3, vec![recording(1, Footage::Smart, day(22, 0, 0), 800, &[0], seed), changing]))
}

fn large_frames(seed: u64) -> Plan {
    let recordings = vec![
        recording(1, Footage::Huge, day(16, 10, 0), 60, &[0, 1], seed),
        recording(2, Footage::Large, day(16, 10, 0), 100, &[2], seed),
    ];
    boxed(disk(4, recordings))
}

fn private_data(seed: u64) -> Plan {
    let with_private = |mut plan: RecordingPlan, every, body_bytes| {
        plan.stream.private = Some(Private { every, body_bytes });
        plan
    };
    let mut second = recording(2, Footage::Cam5, day(14, 0, 0), 300, &[1], seed);
    second.stream = second.stream.with_sound(SoundCodec::ALaw, 0);
    let recordings = vec![
        with_private(recording(1, Footage::Cam1, day(14, 0, 0), 300, &[0], seed), 5, 96),
        with_private(second, 40, 70_000),
    ];
    boxed(disk(3, recordings))
}

fn parameter_change(seed: u64) -> Plan {
    let change = |channel: u8, footage, events: &[(usize, Event)]| {
        let block = u32::from(channel) - 1;
        let mut plan = recording(channel, footage, day(14, 12, 30), 200, &[block], seed);
        plan.stream = plan.stream.with_events(events);
        plan
    };
    let size = [(75, Event::Switch(Footage::Cam7)), (125, Event::Switch(Footage::Cam1))];
    let codec = [(100, Event::Switch(Footage::Cam5))];
    let recordings = vec![change(1, Footage::Cam1, &size), change(2, Footage::Cam2, &codec)];
    boxed(disk(3, recordings))
}

fn head_cut_gop(seed: u64) -> Plan {
    let recordings = [(1, Footage::Cam1), (2, Footage::Cam6)].map(|(channel, footage)| {
        let block = u32::from(channel) - 1;
        let mut plan = recording(channel, footage, day(18, 0, 0), 140, &[block], seed);
        plan.stream.first_unit = 13;
        plan
    });
    boxed(disk(3, recordings.to_vec()))
}

fn encrypted(seed: u64) -> Plan {
    let announced = |cipher, kind| Encryption { cipher, kind, ..Encryption::NONE };
    let descriptor = Encryption { descriptor: true, ..announced(Cipher::Slices, 2) };
    let packets = Encryption { info_packets: true, ..announced(Cipher::Units, 1) };
    let ciphers = [
        (1, Footage::Cam1, announced(Cipher::Units, 2)),
        (2, Footage::Cam5, descriptor),
        (3, Footage::Cam3, announced(Cipher::Slices, 0)),
        (4, Footage::Cam6, announced(Cipher::Units, 7)),
        (5, Footage::Cam2, packets),
        (6, Footage::Cam4, Encryption::NONE),
    ];
    let recordings = ciphers.map(|(channel, footage, encryption)| {
        let block = u32::from(channel) - 1;
        let mut plan = recording(channel, footage, day(11, 31, 5), 150, &[block], seed);
        plan.stream.encryption = encryption;
        plan
    });
    boxed(disk(7, recordings.to_vec()))
}

fn odd_encryption_flag(seed: u64) -> Plan {
    let recordings =
        [(1, Footage::Cam1, 7), (2, Footage::Cam5, 3)].map(|(channel, footage, kind)| {
            let block = u32::from(channel) - 1;
            let mut plan = recording(channel, footage, day(11, 31, 5), 150, &[block], seed);
            plan.stream.encryption = Encryption { kind, ..Encryption::NONE };
            plan
        });
    boxed(disk(3, recordings.to_vec()))
}

fn reboot(seed: u64) -> Plan {
    let with_event = |mut plan: RecordingPlan, frame, event| {
        plan.stream = plan.stream.with_events(&[(frame, event)]);
        plan
    };
    let off = |off_ms| Event::Reboot { off_ms, pts: 90_000, counter: 1 };
    let recordings = vec![
        with_event(recording(1, Footage::Cam1, day(15, 0, 0), 500, &[0], seed), 212, off(74_000)),
        with_event(recording(2, Footage::Cam5, day(15, 0, 0), 500, &[1], seed), 260, off(76_040)),
    ];
    boxed(disk(3, recordings))
}

fn clock_change(seed: u64) -> Plan {
    let with_step = |mut plan: RecordingPlan, frame, step_ms| {
        plan.stream = plan.stream.with_events(&[(frame, Event::ClockStep(step_ms))]);
        plan
    };
    let first = recording(1, Footage::Cam1, day(2, 59, 50), 500, &[0], seed);
    let second = recording(2, Footage::Cam6, day(17, 0, 0), 500, &[1], seed);
    let recordings = vec![
        with_step(first, 240, 3_600_000),
        // Not at a key frame: the new time shows in the stream half a second later.
        with_step(second, 262, -1_800_000),
    ];
    let mut plan = disk(3, recordings);
    let set = |time| LogLine::new(time, LogEvent::Local { minor: 0x59, user: "admin" });
    plan.log[1].extend([set(day(3, 59, 59)), set(day(16, 30, 10))]);
    boxed(plan)
}

fn gap(seed: u64) -> Plan {
    let with_events = |mut plan: RecordingPlan, events: &[(usize, Event)]| {
        plan.stream = plan.stream.with_events(events);
        plan
    };
    let first = [(110, Event::Gap(95_000)), (300, Event::Gap(3_600))];
    let second = [(130, Event::Lost(5)), (260, Event::Lost(40))];
    let recordings = vec![
        with_events(recording(1, Footage::Cam1, day(10, 20, 0), 400, &[0], seed), &first),
        with_events(recording(2, Footage::Cam5, day(10, 20, 0), 400, &[1], seed), &second),
    ];
    boxed(disk(3, recordings))
}

fn zero_ms(seed: u64) -> Plan {
    let recordings =
        [(1, Footage::Cam1, 9), (2, Footage::Cam5, 0)].map(|(channel, footage, spread)| {
            let block = u32::from(channel) - 1;
            let mut plan =
                recording(channel, footage, day(12, 0, 0).plus_ms(500), 500, &[block], seed);
            plan.stream.milliseconds = false;
            plan.stream.pace = Pace::Jitter { fps: 25, spread };
            plan
        });
    boxed(disk(3, recordings.to_vec()))
}

fn pts_wrap(seed: u64) -> Plan {
    let mut plan = recording(1, Footage::Cam1, day(5, 0, 0), 1000, &[0, 1], seed);
    plan.stream.pts_start = (1 << 33) - 90 * 13_500;
    boxed(disk(3, vec![plan]))
}

fn damaged_packs(seed: u64) -> Plan {
    let recordings = vec![
        recording(1, Footage::Cam1, day(13, 0, 0), BLOCK_FRAMES, &[0], seed),
        recording(2, Footage::Cam5, day(13, 0, 0), BLOCK_FRAMES, &[1], seed),
        recording(3, Footage::Cam3, day(13, 0, 0), BLOCK_FRAMES, &[2], seed),
    ];
    let mut plan = disk(4, recordings);
    let garbage = |recording, frame, bytes| Damage::Garbage { recording, frame, bytes };
    plan.damage = vec![
        garbage(0, 60, 300),
        garbage(0, 300, 40_000),
        garbage(1, 75, 2000),
        garbage(1, 402, 9000),
        garbage(2, 640, 5000),
    ];
    boxed(plan)
}
