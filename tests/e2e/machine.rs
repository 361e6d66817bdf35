//! What a program reads: one JSON document or one object a line on standard output, and progress on standard error (U-2, U-3).

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use daleel_generator::bench::long_disk;
use serde_json::Value;

use crate::run::{Evidence, Ran, command};

/// Standard error holds nothing that could be taken for the answer.
fn check_stderr(ran: &Ran) {
    for line in ran.stderr.lines() {
        let json = serde_json::from_str::<Value>(line);
        assert!(json.is_err(), "`{}`: JSON on standard error: {line}", ran.command);
    }
}

/// U-2: `--json` is one document with a schema and its version, whatever the verb and the source.
#[test]
fn json_is_one_document_on_standard_output() {
    for scenario in
        ["dahua-intact", "dahua-damaged-descriptors", "dav-plain-h264", "dahua-encrypted"]
    {
        let evidence = Evidence::new(scenario);
        let image = evidence.image();
        let frame = evidence.truth.recordings[0].frames[0].extents[0][0].to_string();
        for arguments in [
            &["identify", image, "--json"][..],
            &["list", image, "--json"],
            &["show", image, "--at", &frame, "--json"],
            &["logs", image, "--json"],
            &["extract", image, "--out", "out", "--json"],
        ] {
            let ran = evidence.run(arguments).ends_with_any_of(&[0, 1]);
            let schema = format!("daleel.{}/1", arguments[0]);
            assert_eq!(ran.json()["schema"], Value::String(schema), "`{}`", ran.command);
            check_stderr(&ran);
        }
    }
}

/// U-2: without `--json` the findings of `extract` go to standard error, with it they are in the document; both end alike.
#[test]
fn json_and_text_end_alike() {
    let evidence = Evidence::new("dahua-damaged-frames");
    let text = evidence.run(&["extract", evidence.image(), "--out", "text"]).is(1);
    let json = evidence.run(&["extract", evidence.image(), "--out", "json", "--json"]).is(1);
    assert!(text.stderr.contains("findings ("), "{}", text.stderr);
    let kinds = json.json()["finding_counts"].as_object().unwrap().clone();
    assert!(!kinds.is_empty());
    for (kind, count) in kinds {
        assert!(text.stderr.contains(&format!("findings ({kind}): {count}")), "{}", text.stderr);
    }
    let summary = std::fs::read_to_string(evidence.path().join("json/summary.json")).unwrap();
    assert_eq!(json.stdout, summary, "the document is the one in the folder");
}

/// U-2: an error leaves standard output empty.
#[test]
fn an_error_is_not_on_standard_output() {
    let evidence = Evidence::new("dahua-intact");
    for arguments in [
        &["list", "gone", "--json"][..],
        &["logs", "gone", "--json"],
        &["identify", "gone", "--json"],
        &["extract", "gone", "--out", "out", "--json"],
        &["show", evidence.image(), "--at", "0x200", "--json"],
    ] {
        let ran = evidence.run(arguments);
        assert_ne!(ran.code, Some(0));
        assert_eq!(ran.stdout, "", "`{}`", ran.command);
        assert_ne!(ran.stderr, "");
        check_stderr(&ran);
    }
}

/// U-2: every line of `--jsonl` is an object of its own, and the same as in `--json`; `--csv` has the same recordings.
#[test]
fn jsonl_and_csv_say_what_json_says() {
    let evidence = Evidence::new("dahua-damaged-descriptors");
    let image = evidence.image();
    let lines = |text: &str| -> Vec<Value> {
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let list = evidence.run(&["list", image, "--json"]).is(1).json();
    let stream = evidence.run(&["list", image, "--jsonl"]).is(1);
    assert_eq!(list["recordings"], Value::Array(lines(&stream.stdout)));
    let totals = &list["totals"];
    let recordings = list["recordings"].as_array().unwrap();
    assert_eq!(totals["recordings"], Value::from(recordings.len()));
    let bytes: u64 = recordings.iter().map(|recording| recording["bytes"].as_u64().unwrap()).sum();
    assert_eq!(totals["bytes"], Value::from(bytes));

    let csv = evidence.run(&["list", image, "--csv"]).is(1).stdout;
    let mut rows = csv.lines().map(|row| row.split(',').collect::<Vec<_>>());
    let header = rows.next().unwrap();
    let column = |name: &str| header.iter().position(|column| *column == name).unwrap();
    for (row, recording) in rows.clone().zip(recordings) {
        assert_eq!(row.len(), header.len());
        for name in ["id", "start", "state", "grade"] {
            assert_eq!(row[column(name)], recording[name].as_str().unwrap());
        }
        assert_eq!(row[column("bytes")], recording["bytes"].to_string());
        assert_eq!(row[column("first_byte")], recording["first_byte"].to_string());
    }
    assert_eq!(rows.count(), recordings.len());

    let logs = evidence.run(&["logs", image, "--json"]).is(0).json();
    let stream = evidence.run(&["logs", image, "--jsonl"]).is(0);
    assert_eq!(logs["events"], Value::Array(lines(&stream.stdout)));
}

/// I-2, G-3: what is listed is what the truth lists.
#[test]
fn list_and_logs_say_what_is_on_the_disk() {
    let evidence = Evidence::new("dahua-four-partitions");
    let list = evidence.run(&["list", evidence.image(), "--json"]).is(0).json();
    let recordings = list["recordings"].as_array().unwrap();
    let listed: Vec<_> = evidence.truth.listed().collect();
    assert_eq!(recordings.len(), listed.len());
    for recording in listed {
        let [first, _] = recording.index.unwrap();
        let found = recordings.iter().find(|found| found["first_byte"] == first).unwrap();
        assert_eq!(found["channel"], Value::from(recording.channel));
        let second = |name: &str| Some(found[name].as_str()?.split('.').next()?.to_owned());
        assert_eq!(second("start"), recording.descriptor_begin);
        assert_eq!(second("end"), recording.descriptor_end);
    }
    let logs = evidence.run(&["logs", evidence.image(), "--json"]).is(0).json();
    let events = logs["events"].as_array().unwrap();
    assert_eq!(events.len(), evidence.truth.events.len());
    for (event, truth) in events.iter().zip(&evidence.truth.events) {
        assert_eq!(event["offset"], truth.extent[0]);
        assert_eq!(event["level"], truth.level);
        assert!(event["text"].as_str().unwrap().ends_with(&truth.text));
        assert!(event["time"].as_str().unwrap().starts_with(&truth.time));
    }
}

/// Runs `extract` on a disk of some size and holds it for a while in its middle, so that it has progress to show.
#[cfg(unix)]
fn slow_extract(mode: &str) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    long_disk(&folder.path().join("disk.img"), 96 << 20).unwrap();
    let arguments =
        ["extract", "disk.img", "--out", "out", "--json", "--progress", mode].map(str::to_owned);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut command = command(folder.path(), &arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let work = folder.path().join("out/.daleel-work");
    let started = Instant::now();
    while !work.join("journal.jsonl").exists() {
        assert!(started.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(2));
    }
    let signal = |name: &str| {
        let mut kill = std::process::Command::new("kill");
        assert!(kill.args(["-s", name, &child.id().to_string()]).status().unwrap().success());
    };
    signal("STOP");
    std::thread::sleep(Duration::from_millis(2200));
    signal("CONT");
    Ran::new(arguments.join(" "), child.wait_with_output().unwrap()).ends_with_any_of(&[0, 1])
}

/// U-3: machine-readable progress is one object a line on standard error, with bytes, rates, time left and findings.
#[cfg(unix)]
#[test]
fn progress_as_json_is_parsed_line_by_line() {
    let ran = slow_extract("json");
    assert_eq!(ran.json()["schema"], "daleel.extract/1");
    let lines: Vec<Value> =
        ran.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!lines.is_empty(), "no progress in two seconds");
    for line in lines {
        assert_eq!(line["phase"], "extract");
        let number = |name: &str| line[name].as_u64().unwrap_or_else(|| panic!("{name} in {line}"));
        assert!(number("done_bytes") <= number("total_bytes"));
        for name in ["bytes_per_second", "mean_bytes_per_second", "findings"] {
            number(name);
        }
        assert!(line.get("eta_seconds").is_some());
    }
}

/// U-3: plain lines where there is no terminal; none when none are wanted.
#[cfg(unix)]
#[test]
fn progress_is_plain_without_a_terminal_and_can_be_silenced() {
    for mode in ["auto", "plain"] {
        let ran = slow_extract(mode);
        ran.json();
        let line = ran.stderr.lines().next().expect("no progress in two seconds");
        for part in ["extract: ", "% ", " of ", "MB/s now", "MB/s mean", "ETA ", "findings"] {
            assert!(line.contains(part), "{part} in {line}");
        }
        assert!(!ran.stderr.contains(['\r', '\u{1b}']), "control characters in a log");
    }
    let ran = slow_extract("none");
    ran.json();
    assert_eq!(ran.stderr, "");
}
