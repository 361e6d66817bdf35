//! `.dav` files.

use super::{Plan, Scenario, day};
use crate::audio::AudioCodec;
use crate::dav::{DavPlan, Prefix};
use crate::dhfs::IndexStyle;
use crate::footage::Footage;
use crate::take::{Cipher, Event, Split, Take};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "dav-plain-h264", summary: "H.264, nothing special", plan: plain_h264 },
    Scenario { name: "dav-plain-h265", summary: "H.265, nothing special", plan: plain_h265 },
    Scenario { name: "dav-audio-alaw", summary: "H.264 with G.711 A-law", plan: audio_alaw },
    Scenario { name: "dav-audio-ulaw", summary: "H.264 with G.711 mu-law", plan: audio_ulaw },
    Scenario { name: "dav-audio-aac", summary: "H.265 with AAC", plan: audio_aac },
    Scenario { name: "dav-audio-pcm16", summary: "H.264 with 16-bit PCM", plan: audio_pcm16 },
    Scenario { name: "dav-split", summary: "key frames split into pieces of 32 KiB", plan: split },
    Scenario {
        name: "dav-dahua-header",
        summary: "0x400 bytes that start with DAHUA before the first frame",
        plan: dahua_header,
    },
    Scenario {
        name: "dav-dhii-first",
        summary: "the index of the recording left before the first frame",
        plan: dhii_first,
    },
    Scenario { name: "dav-head-cut", summary: "starts in the middle of a frame", plan: head_cut },
    Scenario {
        name: "dav-old-mpeg",
        summary: "old start-code form: to be recognised; no recordings in the truth",
        plan: |_| Plan::OldMpeg(day(9, 0, 0)),
    },
    Scenario {
        name: "dav-two-channels",
        summary: "frames of two channel bytes interleaved",
        plan: two_channels,
    },
    Scenario { name: "dav-ff-filler", summary: "0xFF bytes between frames", plan: ff_filler },
    Scenario {
        name: "dav-clock-jump",
        summary: "the clock is set one hour forward and later half an hour back",
        plan: clock_jump,
    },
    Scenario {
        name: "dav-encrypted",
        summary: "every picture encrypted (tag B5)",
        plan: encrypted,
    },
];

fn take(footage: Footage, seed: u64) -> Take {
    Take { dhav_channel: 0, ..Take::new(footage, day(13, 5, 42).plus_ms(370), 200, seed) }
}

fn dav(prefix: Prefix, take: Take) -> Plan {
    Plan::Dav(DavPlan { prefix, takes: vec![take], cut: 0 })
}

fn plain_h264(seed: u64) -> Plan {
    dav(Prefix::None, take(Footage::Cam1, seed))
}

fn plain_h265(seed: u64) -> Plan {
    dav(Prefix::None, take(Footage::Cam5, seed))
}

fn audio_alaw(seed: u64) -> Plan {
    dav(Prefix::None, take(Footage::Cam2, seed).with_audio(AudioCodec::ALaw, -96))
}

fn audio_ulaw(seed: u64) -> Plan {
    dav(Prefix::None, take(Footage::Cam3, seed).with_audio(AudioCodec::MuLaw, 130))
}

fn audio_aac(seed: u64) -> Plan {
    dav(Prefix::None, take(Footage::Cam6, seed).with_audio(AudioCodec::Aac, 15))
}

fn audio_pcm16(seed: u64) -> Plan {
    dav(Prefix::None, take(Footage::Cam4, seed).with_audio(AudioCodec::Pcm16, 0))
}

fn split(seed: u64) -> Plan {
    let split = Some(Split { piece_bytes: 0x8000, first_tags_only: false });
    dav(Prefix::None, Take { frames: 60, split, ..take(Footage::Large, seed) })
}

fn dahua_header(seed: u64) -> Plan {
    dav(Prefix::Dahua, take(Footage::Cam1, seed))
}

fn dhii_first(seed: u64) -> Plan {
    let style = IndexStyle { length: 0x2000, written: 0x2000, stride: 84, spare: 40 };
    dav(Prefix::Index(style), take(Footage::Cam2, seed))
}

fn head_cut(seed: u64) -> Plan {
    Plan::Dav(DavPlan { prefix: Prefix::None, takes: vec![take(Footage::Cam1, seed)], cut: 17_777 })
}

fn two_channels(seed: u64) -> Plan {
    let first = take(Footage::Cam3, seed);
    let second =
        Take { dhav_channel: 1, start: first.start.plus_ms(13), ..take(Footage::Cam4, seed) };
    Plan::Dav(DavPlan { prefix: Prefix::None, takes: vec![first, second], cut: 0 })
}

fn ff_filler(seed: u64) -> Plan {
    dav(Prefix::None, Take { filler: 37, ..take(Footage::Cam5, seed) })
}

fn clock_jump(seed: u64) -> Plan {
    let events = [(80, Event::ClockStep(3_600_000)), (140, Event::ClockStep(-1_800_000))];
    dav(Prefix::None, take(Footage::Cam1, seed).with_events(&events))
}

fn encrypted(seed: u64) -> Plan {
    dav(Prefix::None, Take { cipher: Cipher::All, ..take(Footage::Cam1, seed) })
}
