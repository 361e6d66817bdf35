//! Disks on which time does not run evenly.

use super::{Plan, Scenario, day, one_busy, recording};
use crate::audio::AudioCodec;
use crate::dhfs::RecordingPlan;
use crate::footage::Footage;
use crate::take::Event;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "dahua-clock-jump",
        summary: "the clock is set +1 h, -1 h and +2 s inside recordings; counter and numbers go on",
        plan: clock_jump,
    },
    Scenario {
        name: "dahua-gap",
        summary: "motion recording: 10 s and 90 s without frames inside a recording",
        plan: gap,
    },
];

fn with_events(footage: Footage, hour: i64, seed: u64, events: &[(usize, Event)]) -> RecordingPlan {
    let mut plan = recording(footage, day(hour, 29, 50), 225, seed);
    plan.take = plan.take.with_events(events);
    plan
}

fn clock_jump(seed: u64) -> Plan {
    let hour = 3_600_000;
    let mut sound = with_events(Footage::Cam4, 2, seed, &[(90, Event::ClockStep(hour))]);
    sound.take = sound.take.with_audio(AudioCodec::ALaw, 0);
    one_busy(vec![
        with_events(Footage::Cam1, 0, seed, &[(110, Event::ClockStep(hour))]),
        with_events(Footage::Cam2, 5, seed, &[(110, Event::ClockStep(-hour))]),
        with_events(Footage::Cam3, 8, seed, &[(137, Event::ClockStep(2000))]),
        with_events(
            Footage::Cam5,
            12,
            seed,
            &[(60, Event::ClockStep(hour)), (160, Event::ClockStep(-hour))],
        ),
        sound,
    ])
}

fn gap(seed: u64) -> Plan {
    let mut sound = with_events(Footage::Cam6, 13, seed, &[(83, Event::Gap(10_000))]);
    sound.take = sound.take.with_audio(AudioCodec::MuLaw, 0);
    let both = [(60, Event::Gap(10_000)), (140, Event::Gap(90_000))];
    one_busy(vec![
        with_events(Footage::Cam1, 13, seed, &both),
        with_events(Footage::Cam2, 14, seed, &[(112, Event::Gap(90_000))]),
        sound,
    ])
}
