//! `--channel`, `--from` and `--to`, on `list` and on `extract` (I-4).

use std::collections::{BTreeMap, BTreeSet};

use daleel_core::CivilTime;
use daleel_generator::truth;
use daleel_tests::judge::{Extracted, Found};

use crate::run::Evidence;

fn time(text: &str) -> CivilTime {
    text.parse().unwrap()
}

fn ids(evidence: &Evidence, more: &[&str]) -> Vec<String> {
    let arguments = [&["list", evidence.image(), "--json"][..], more].concat();
    let list = evidence.run(&arguments).ends_with_any_of(&[0, 1]).json();
    let recordings = list["recordings"].as_array().unwrap();
    assert_eq!(list["totals"]["recordings"], recordings.len());
    recordings.iter().map(|recording| recording["id"].as_str().unwrap().to_owned()).collect()
}

/// I-4: one channel, several, and one that is not there.
#[test]
fn a_channel_is_listed_and_extracted_alone() {
    let evidence = Evidence::new("dahua-four-partitions");
    let all = ids(&evidence, &[]);
    let one = ids(&evidence, &["--channel", "1"]);
    let two = ids(&evidence, &["--channel", "2"]);
    assert_eq!((all.len(), one.len(), two.len()), (16, 8, 8));
    assert!(one.iter().all(|id| !two.contains(id)));
    assert_eq!(ids(&evidence, &["--channel", "2", "--channel", "1"]), all, "in the index's order");
    assert!(ids(&evidence, &["--channel", "3"]).is_empty());

    let extracted = evidence.extract(evidence.image(), "two", &["--channel", "2"]);
    extracted.check_contract();
    let channel = |found: &Found| found.channel == Some(2);
    assert!(extracted.found.len() == 8 && extracted.found.iter().all(channel));
    let nothing = evidence.extract(evidence.image(), "none", &["--channel", "3"]);
    nothing.check_contract();
    assert!(nothing.found.is_empty());
}

/// What `--to` means: a date alone is the whole day.
fn until(moment: &str) -> daleel_core::CivilTime {
    let end = if moment.len() == "2024-03-14".len() { 24 * 3_600_000 - 1 } else { 0 };
    time(moment).plus_millis(end)
}

/// I-4: a recording is listed when a part of it lies in the wanted time; its last whole second counts to its end.
#[test]
fn times_select_the_recordings_that_touch_them() {
    let evidence = Evidence::new("dahua-intact");
    let recordings: Vec<&truth::Recording> = evidence.truth.listed().collect();
    let count = |more: &[&str]| ids(&evidence, more).len();
    let expected = |from: Option<&str>, to: Option<&str>| {
        let touches = |recording: &&&truth::Recording| {
            let begin = time(recording.descriptor_begin.as_ref().unwrap());
            let end = time(recording.descriptor_end.as_ref().unwrap()).plus_millis(999);
            from.is_none_or(|from| end >= time(from)) && to.is_none_or(|to| begin <= until(to))
        };
        recordings.iter().filter(touches).count()
    };
    for moment in [
        "2024-03-14",
        "2024-03-14T07:59:59.999",
        "2024-03-14T08:00",
        "2024-03-14T08:00:07.999",
        "2024-03-14T08:00:08",
        "2024-03-14T09:00:03",
        "2024-03-14 09:30",
        "2024-03-14T10:00:07",
        "2024-03-15",
    ] {
        assert_eq!(count(&["--from", moment]), expected(Some(moment), None), "from {moment}");
        assert_eq!(count(&["--to", moment]), expected(None, Some(moment)), "to {moment}");
        let hour = "2024-03-14T09:00";
        if until(moment) >= time(hour) {
            let expected = expected(Some(hour), Some(moment));
            assert_eq!(
                count(&["--from", hour, "--to", moment]),
                expected,
                "from {hour} to {moment}"
            );
        }
    }
    assert_eq!(count(&["--from", "2024-03-14T09:00", "--channel", "2"]), 2);
}

/// Payload offset, time and key of every picture, in order.
type Picture = (u64, CivilTime, bool);

fn pictures(found: &Found) -> Vec<Picture> {
    let line = |frame: &daleel::export::records::FrameJson| {
        (frame.extents[0][0], time(frame.time.as_ref().unwrap()), frame.key)
    };
    found.frames.iter().map(line).collect()
}

/// What a time filter has to leave of an extraction: frames in the range, and those before them from the key frame on.
fn expected(whole: &Extracted, from: CivilTime, to: CivilTime) -> BTreeSet<u64> {
    let mut wanted = BTreeSet::new();
    for found in &whole.found {
        let pictures = pictures(found);
        for (n, (at, time, _)) in pictures.iter().enumerate() {
            if (from..=to).contains(time) {
                wanted.insert(*at);
                let key = pictures[..=n].iter().rposition(|(_, _, key)| *key).unwrap_or(n);
                wanted.extend(pictures[key..n].iter().map(|(at, _, _)| *at));
            }
        }
    }
    wanted
}

/// I-4, X-4: the cut is at the key frame at or before the wanted time; every frame of the range is there, none is after it.
#[test]
fn an_extract_is_cut_at_the_key_frame_before_the_wanted_time() {
    for (scenario, windows) in [
        (
            "dahua-intact",
            &[
                ("2024-03-14T09:00:03.500", "2024-03-14T09:00:05.250"),
                ("2024-03-14T09:00:03.500", "2024-03-14T09:00:03.550"),
                ("2024-03-14T08:00:06", "2024-03-14T09:00:01"),
                ("2024-03-14T08:00:00", "2024-03-14T08:00:00"),
                ("2024-03-14T10:00:07.960", "2024-03-14T12:00:00"),
                ("2024-03-14T08:30", "2024-03-14T08:45"),
                ("2024-03-14", "2024-03-15"),
            ][..],
        ),
        ("dahua-interleaved", &[("2024-03-14T00:00", "2024-03-14T23:00")]),
        ("dahua-audio", &[("2024-03-14T00:00:02", "2024-03-14T23:00:04")]),
    ] {
        let evidence = Evidence::new(scenario);
        let whole = evidence.extract(evidence.image(), "whole", &[]);
        for (n, (from, to)) in windows.iter().enumerate() {
            let out = format!("part-{n}");
            let part = evidence.extract(evidence.image(), &out, &["--from", from, "--to", to]);
            part.check_contract();
            let got: Vec<Picture> = part.found.iter().flat_map(pictures).collect();
            let (from, to) = (time(from), time(to));
            let places: BTreeSet<u64> = got.iter().map(|(at, _, _)| *at).collect();
            assert_eq!(places.len(), got.len(), "{scenario} {out}: no frame twice");
            assert_eq!(places, expected(&whole, from, to), "{scenario} {from}..{to}");
            for found in part.found.iter().filter(|found| found.playable) {
                assert!(found.frames[0].key, "{scenario} {}: begins with no key frame", found.id);
                assert!(found.frames.iter().all(|frame| frame.state == "complete"));
            }
            check_truth(&evidence, &part, from, to);
        }
    }
}

/// Every frame whose true time lies in the range, with the uncertainty of times to spare, is there.
fn check_truth(evidence: &Evidence, part: &Extracted, from: CivilTime, to: CivilTime) {
    let places: BTreeSet<u64> = part.found.iter().flat_map(pictures).map(|(at, ..)| at).collect();
    let spare = 1000;
    for recording in evidence.truth.listed() {
        for frame in recording.video().filter(|frame| frame.intact) {
            let true_time = time(&frame.true_time);
            if true_time.plus_millis(-spare) >= from && true_time.plus_millis(spare) <= to {
                assert!(places.contains(&frame.payload[0][0]), "{} is missing", frame.true_time);
            }
        }
    }
}

/// T-3, I-4: a frame has one time, however much is asked for around it: what `--to` leaves does not end after it.
#[test]
fn a_frame_has_the_same_time_in_a_part_as_in_the_whole() {
    let evidence = Evidence::new("dahua-intact");
    let whole = evidence.extract(evidence.image(), "whole", &[]);
    let times: BTreeMap<u64, CivilTime> =
        whole.found.iter().flat_map(pictures).map(|(at, time, _)| (at, time)).collect();
    let (from, to) = ("2024-03-14T09:00:03.500", "2024-03-14T09:00:03.550");
    let part = evidence.extract(evidence.image(), "part", &["--from", from, "--to", to]);
    for (at, time, _) in part.found.iter().flat_map(pictures) {
        assert_eq!(time, times[&at], "the frame at {at}");
        assert!(time <= to.parse().unwrap());
    }
}

/// I-4, T-9: where the clock was set back, a time that comes twice is delivered twice.
#[test]
fn a_time_that_comes_twice_is_delivered_twice() {
    let evidence = Evidence::new("dahua-clock-jump");
    let whole = evidence.extract(evidence.image(), "whole", &["--clock-step", "exact"]);
    let moments: BTreeSet<String> = whole
        .found
        .iter()
        .flat_map(|found| &found.frames)
        .map(|frame| frame.time.clone().unwrap())
        .collect();
    let moments: Vec<&String> = moments.iter().collect();
    for n in [moments.len() / 5, moments.len() / 2, moments.len() * 4 / 5] {
        let (from, to) = (moments[n], moments[(n + 20).min(moments.len() - 1)]);
        let out = format!("part-{n}");
        let more = ["--from", from, "--to", to, "--clock-step", "exact"];
        let part = evidence.extract(evidence.image(), &out, &more);
        part.check_contract();
        let places: BTreeSet<u64> =
            part.found.iter().flat_map(pictures).map(|(at, ..)| at).collect();
        assert_eq!(places, expected(&whole, time(from), time(to)), "{from}..{to}");
    }
}

/// I-4: a filter that leaves nothing is no error, and says so.
#[test]
fn nothing_wanted_is_an_empty_answer() {
    let evidence = Evidence::new("dahua-intact");
    let more = ["--from", "2031-01-01", "--to", "2031-01-02"];
    assert!(ids(&evidence, &more).is_empty());
    let out = evidence.extract(evidence.image(), "out", &more);
    out.check_contract();
    assert!(out.found.is_empty());
    assert_eq!(out.summary["counts"]["recordings"], 0);
}

/// U-10: what was asked for is recorded with the answer.
#[test]
fn the_filter_is_in_the_summary() {
    let evidence = Evidence::new("dahua-intact");
    let more = ["--channel", "2", "--from", "2024-03-14T09:00", "--to", "2024-03-14T10:00:01.5"];
    let parameters = evidence.extract(evidence.image(), "out", &more).summary["parameters"].clone();
    assert_eq!(parameters["channel"], serde_json::json!([2]));
    assert_eq!(time(parameters["from"].as_str().unwrap()), time("2024-03-14T09:00"));
    assert_eq!(time(parameters["to"].as_str().unwrap()), time("2024-03-14T10:00:01.5"));
}
