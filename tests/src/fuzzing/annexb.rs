//! NAL units, parameter sets, and the other headers that coded media begin with.

use daleel_core::Codec;
use daleel_media::{
    Change, ParameterSets,
    adts::{self, AdtsHeader},
    annexb::{nal_units, starts_with_start_code},
    h264, h265, jpeg, mpeg4,
    params::{self, MAX_SETS},
};

/// The bytes are an access unit of any codec.
pub fn annexb(payload: &[u8]) -> u64 {
    let units = check_units(payload);
    let mut reached = units;
    for codec in [Codec::H264, Codec::H265, Codec::Mpeg4, Codec::Mjpeg] {
        reached += check_sets(codec, payload);
        reached += u64::from(params::is_key(codec, payload).is_some());
    }
    assert_eq!(params::is_key(Codec::Pcm16, payload), None);
    reached + u64::from(AdtsHeader::parse(payload).is_some()) + u64::from(adts::sniff(payload))
}

/// Units ascend, stand behind a start code, hold none, and end in no zero.
fn check_units(payload: &[u8]) -> u64 {
    let mut count = 0;
    let mut from = 0;
    for range in nal_units(payload) {
        assert!(from <= range.start && range.start < range.end && range.end <= payload.len());
        assert_eq!(payload[range.start - 3..range.start], [0, 0, 1]);
        let unit = &payload[range.clone()];
        assert!(unit.windows(3).all(|bytes| bytes != [0, 0, 1]) && unit.last() != Some(&0));
        check_headers(unit);
        from = range.end;
        count += 1;
    }
    let stray = nal_units(payload).stray_bytes();
    assert!(stray <= payload.len());
    if starts_with_start_code(payload) {
        assert_eq!(stray, 0);
    }
    count
}

fn check_headers(unit: &[u8]) {
    for size in
        [h264::Sps::parse(unit).map(|sps| sps.size), h265::Sps::parse(unit).map(|sps| sps.size)]
            .into_iter()
            .flatten()
    {
        assert!((1..=65_535).contains(&size.width) && (1..=65_535).contains(&size.height));
        assert!(size.width <= size.coded_width && size.height <= size.coded_height);
    }
    assert!(h264::nal_unit_type(unit).is_none_or(|kind| kind < 32));
    assert!(h265::nal_unit_type(unit).is_none_or(|kind| kind < 64));
}

/// Sets are taken in once, and looking is the same as taking.
fn check_sets(codec: Codec, payload: &[u8]) -> u64 {
    let mut sets = ParameterSets::new(codec);
    let by_nal = matches!(codec, Codec::H264 | Codec::H265);
    let whole = 0..payload.len();
    let ranges: Vec<_> = if by_nal { nal_units(payload).collect() } else { vec![whole] };
    let mut taken = 0;
    for unit in ranges.into_iter().map(|range| &payload[range]) {
        let seen = sets.check(unit);
        let before = sets.identity();
        assert_eq!(sets.observe(unit), seen, "check and observe differ");
        assert_eq!(before == sets.identity(), seen == Change::None);
        assert_eq!(sets.observe(unit), Change::None, "taken in twice");
        taken += u64::from(seen != Change::None);
    }
    let kept = (0..=u8::MAX).map(|kind| sets.of_kind(kind).count()).sum::<usize>();
    assert!(kept <= MAX_SETS);
    assert!(!sets.is_complete() || sets.size().is_some());
    if let Some(configuration) = sets.configuration() {
        assert!(mpeg4::size(configuration).is_none_or(|(width, height)| width > 0 && height > 0));
        assert!(jpeg::size(configuration).is_none_or(|(width, height)| width > 0 && height > 0));
    }
    let mut at_once = ParameterSets::new(codec);
    at_once.observe_unit(payload);
    if at_once.check_unit(payload) == Change::None {
        assert_eq!(at_once.observe_unit(payload), Change::None, "new without being seen");
    }
    taken
}
