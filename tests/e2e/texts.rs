//! What a person reads, word for word: help, answers, and messages when something is wrong. Kept in `tests/golden`.

use crate::run::{Evidence, Ran, run, verbs};

/// Compares what a run printed with `tests/golden/NAME.snap`.
pub fn golden(name: &str, ran: &Ran) {
    let mut text = format!("$ {}\n{}", ran.command, ran.stdout);
    if !ran.stderr.is_empty() {
        text.push_str(&format!("--- standard error\n{}", ran.stderr));
    }
    text.push_str(&format!("--- exit code {}\n", ran.code.unwrap()));
    // What the operating system says is its own business.
    for missing in ["No such file or directory", "The system cannot find the file specified."] {
        text = text.replace(missing, "[not found]");
    }
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../golden");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

/// U-8: the help of the program and of every verb, with examples.
#[test]
fn help() {
    let here = std::path::Path::new(".");
    let ran = run(here, &["--help"]).is(0);
    for code in ["0 ", "1 ", "2 ", "3 ", "4 ", "5 ", "6 ", "7 ", "70"] {
        let line = format!("\n  {code} ");
        assert!(ran.stdout.contains(&line), "exit code {code} is not documented");
    }
    golden("help", &ran);
    for verb in verbs() {
        let ran = run(here, &[&verb, "--help"]).is(0);
        assert!(ran.stdout.contains("Example"), "{verb} shows no example");
        golden(&format!("help-{verb}"), &ran);
    }
    assert_eq!(run(here, &["help"]).is(0).stdout, ran.stdout);
}

/// U-8: `--help` of a verb explains it; `-h` names it. What the explanation says matters: that the source is only read, whose clock times are.
#[test]
fn the_help_of_a_verb_explains_it() {
    let here = std::path::Path::new(".");
    for (verb, sentence) in [
        ("identify", "A layout is not a brand"),
        ("list", "Recordings that no index mentions are not here"),
        ("show", "outermost first"),
        ("extract", "The source is only read"),
        ("logs", "in stored order"),
        ("bridge", "The disk behind it is the business of the operating system"),
        ("demo", "Needs no other program"),
    ] {
        let words = |flag: &str| -> String {
            let help = run(here, &[verb, flag]).is(0).stdout;
            help.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        assert!(words("--help").contains(sentence), "{verb} --help does not say: {sentence}");
        assert!(!words("-h").contains(sentence), "{verb} -h is as long as --help");
    }
}

/// The version is that of the package, and nothing else is printed.
#[test]
fn version() {
    let ran = run(std::path::Path::new("."), &["--version"]).is(0);
    assert_eq!(ran.stdout, format!("daleel {}\n", env!("CARGO_PKG_VERSION")));
}

/// I-1: layouts are named with the facts for and against them.
#[test]
fn identify() {
    for (scenario, code) in [
        ("dahua-intact", 0),
        ("dahua-nvr", 1),
        ("dahua-missing-superblock", 0),
        ("dav-dahua-header", 0),
        ("dav-old-mpeg", 1),
    ] {
        let evidence = Evidence::new(scenario);
        let ran = evidence.run(&["identify", evidence.image()]).is(code);
        golden(&format!("identify-{scenario}"), &ran);
    }
}

/// I-2, U-10: recordings with their times, sizes and places; times without a zone, offsets in hexadecimal.
#[test]
fn list() {
    for (scenario, code) in [("dahua-four-partitions", 0), ("dahua-damaged-descriptors", 1)] {
        let evidence = Evidence::new(scenario);
        let ran = evidence.run(&["list", evidence.image()]).is(code);
        golden(&format!("list-{scenario}"), &ran);
        let ran = evidence.run(&["list", evidence.image(), "--csv"]).is(code);
        golden(&format!("list-csv-{scenario}"), &ran);
    }
}

/// every structure is explained field by field, with the evidence for each meaning.
#[test]
fn show() {
    let evidence = Evidence::new("dahua-intact");
    let partition = &evidence.truth.partitions[0];
    let recording = &evidence.truth.recordings[0];
    let head = u64::from(recording.head_cluster.unwrap());
    let [index, _] = recording.index.unwrap();
    let [frame, _] = recording.frames[0].extents[0];
    let [line, _] = evidence.truth.events[1].extent;
    for (name, offset) in [
        ("superblock", 0),
        ("partition-table", 30 * 512 + 0x40),
        ("boot-sector", partition.start + 34 * 512 + 0x30),
        ("descriptor", partition.descriptors + head * 32 + 8),
        ("dhii-entry", index + 0x40 + 4),
        ("dhav-unit", frame + 12),
        ("log-line", line + 1),
    ] {
        // Both notations name the same byte.
        let decimal = evidence.run(&["show", evidence.image(), "--at", &offset.to_string()]).is(0);
        let hexadecimal = format!("0x{offset:x}");
        let ran = evidence.run(&["show", evidence.image(), "--at", &hexadecimal]).is(0);
        assert_eq!(ran.stdout, decimal.stdout);
        golden(&format!("show-{name}"), &ran);
    }
}

/// G-3: the recorder's own log, in stored order, with offsets.
#[test]
fn logs() {
    let evidence = Evidence::new("dahua-intact");
    golden("logs", &evidence.run(&["logs", evidence.image()]).is(0));
}

/// What went wrong, in one sentence, and what to do about it.
#[test]
fn errors() {
    let evidence = Evidence::new("dahua-intact");
    let image = evidence.image();
    std::fs::write(evidence.path().join("holiday.jpg"), b"\xff\xd8\xff\xe0 nothing of interest")
        .unwrap();
    std::fs::write(evidence.path().join("bad.map"), "0x0 +\n0x0 0x200 ?\n0x100 0x200 +\n").unwrap();
    std::fs::create_dir(evidence.path().join("full")).unwrap();
    std::fs::write(evidence.path().join("full/notes.txt"), "mine").unwrap();
    let cases: [(&str, &[&str], i32); 16] = [
        ("no-verb", &["frobnicate"], 2),
        ("no-source", &["list"], 2),
        ("no-out", &["extract", image], 2),
        ("missing-file", &["list", "gone.dd"], 4),
        ("unknown-format", &["list", "holiday.jpg"], 3),
        ("unknown-format-identify", &["identify", "holiday.jpg"], 3),
        ("bad-offset", &["show", image, "--at", "12cafe"], 2),
        ("offset-behind-the-end", &["show", image, "--at", "0x2000000"], 2),
        ("offset-of-nothing", &["show", image, "--at", "0x200"], 3),
        ("time-with-a-zone", &["list", image, "--from", "2024-03-14T08:00:00Z"], 2),
        ("time-with-an-offset", &["list", image, "--to", "2024-03-14T08:00:00+03:00"], 2),
        ("time-that-is-none", &["list", image, "--from", "2024-02-30"], 2),
        ("unknown-family", &["list", image, "--family", "hikvision"], 2),
        ("bad-map", &["list", image, "--map", "bad.map"], 4),
        ("out-in-use", &["extract", image, "--out", "full"], 4),
        ("out-on-the-source", &["extract", image, "--out", image], 4),
    ];
    for (name, arguments, code) in cases {
        let ran = evidence.run(arguments).is(code);
        assert!(!ran.stderr.is_empty(), "{name} says nothing");
        golden(&format!("error-{name}"), &ran);
    }
}
