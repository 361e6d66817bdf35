//! Exported Hikvision files.

use super::{Plan, Scenario, day};
use crate::footage::Footage;
use crate::hikvision::{Event, ExportPlan, SoundCodec, StreamPlan};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "hik-imkh-h264", summary: "IMKH header, H.264, no sound", plan: imkh_h264 },
    Scenario { name: "hik-imkh-h265", summary: "IMKH header, H.265, mu-law", plan: imkh_h265 },
    Scenario { name: "hik-bare-ps", summary: "a program stream without header", plan: bare },
    Scenario {
        name: "hik-gap",
        summary: "eleven minutes without recording, later seven pictures missing",
        plan: gap,
    },
    Scenario { name: "hik-mid-gop", summary: "starts with predicted pictures", plan: mid_gop },
    Scenario {
        name: "hik-4hkh",
        summary: "the old form of file: to be recognised; no recordings in the truth",
        plan: |seed| Plan::HikvisionExport(ExportPlan::Legacy { start: day(9, 0, 0), seed }),
    },
];

fn export(stream: StreamPlan) -> Plan {
    Plan::HikvisionExport(ExportPlan::Stream(Box::new(stream)))
}

fn plan(footage: Footage, seed: u64) -> StreamPlan {
    StreamPlan::new(footage, day(13, 5, 42).plus_ms(370), 200, seed)
}

fn imkh_h264(seed: u64) -> Plan {
    export(StreamPlan { imkh: true, ..plan(Footage::Cam1, seed) })
}

fn imkh_h265(seed: u64) -> Plan {
    let stream = plan(Footage::Cam5, seed).with_sound(SoundCodec::MuLaw, 130);
    export(StreamPlan { imkh: true, ..stream })
}

fn bare(seed: u64) -> Plan {
    export(plan(Footage::Cam2, seed))
}

fn gap(seed: u64) -> Plan {
    let events = [(60, Event::Gap(11 * 60_000)), (148, Event::Lost(7))];
    export(plan(Footage::Cam3, seed).with_events(&events))
}

fn mid_gop(seed: u64) -> Plan {
    export(StreamPlan { first_unit: 13, ..plan(Footage::Cam6, seed) })
}
