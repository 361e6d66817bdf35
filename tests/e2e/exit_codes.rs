//! The documented exit codes (U-4), and what happens when nobody reads on.

use std::{
    io::{BufRead, BufReader, Read},
    process::{ChildStdout, Stdio},
};

use daleel_generator::bench::sparse_disk;

use crate::run::{Evidence, command, verbs};

/// U-4: 0 when there is nothing to report.
#[test]
fn success_is_0() {
    let evidence = Evidence::new("dahua-intact");
    let image = evidence.image();
    for arguments in [
        &["identify", image][..],
        &["list", image],
        &["show", image, "--at", "0"],
        &["logs", image],
        &["extract", image, "--out", "out"],
        &["extract", image, "--out", "plan", "--dry-run"],
        &["list", image, "--channel", "99"],
        &["completions", "bash"],
        &["man", "--out", "man1"],
    ] {
        let ran = evidence.run(arguments).is(0);
        assert_eq!(ran.stderr, "", "`{}`", ran.command);
    }
}

/// U-4: 1 when something was found that a person has to look at.
#[test]
fn findings_are_1() {
    for (scenario, verbs) in [
        ("dahua-nvr", &["identify", "list", "extract"][..]),
        ("dahua-damaged-descriptors", &["identify", "list", "extract"]),
        ("dahua-damaged-frames", &["extract"]),
        ("dahua-encrypted", &["extract"]),
        ("dav-old-mpeg", &["identify", "list"]),
    ] {
        let evidence = Evidence::new(scenario);
        for verb in verbs {
            let more = if *verb == "extract" { &["--out", "out"][..] } else { &[] };
            let ran = evidence.run(&[&[*verb, evidence.image()][..], more].concat()).is(1);
            assert_ne!(ran.stdout, "", "{scenario} {verb}: an answer all the same");
        }
    }
}

/// U-4: a finding about the medium itself counts for every verb that states it.
#[test]
fn findings_about_the_medium_are_1_for_every_verb() {
    let evidence = Evidence::new("dahua-intact");
    let image = evidence.image();
    let behind = evidence.truth.bytes - 512;
    let map = format!("0 + 1\n0 512 -\n512 {behind} +\n");
    std::fs::write(evidence.path().join("disk.map"), map).unwrap();
    for arguments in [
        &["identify", image, "--map", "disk.map"][..],
        &["list", image, "--map", "disk.map"],
        &["extract", image, "--map", "disk.map", "--out", "out"],
    ] {
        let ran = evidence.run(arguments).is(1);
        assert!(format!("{}{}", ran.stdout, ran.stderr).contains("finding"), "`{}`", ran.command);
    }
}

/// U-4: 2 when the command line is wrong; nothing is written then.
#[test]
fn a_wrong_command_line_is_2() {
    let evidence = Evidence::new("dahua-intact");
    let image = evidence.image();
    for arguments in [
        &[][..],
        &["frobnicate"],
        &["list"],
        &["list", image, "--json", "--csv"],
        &["list", image, "--channel", "front door"],
        &["list", image, "--channel", "-1"],
        &["list", image, "--family", "nobody"],
        &["show", image],
        &["show", image, "--at", "everywhere"],
        &["show", image, "--at", "99999999999"],
        &["show", image, "--at", "18446744073709551616"],
        &["extract", image],
        &["extract", image, "--out", "out", "--gap", "long"],
        &["extract", image, "--out", "out", "--from", "2024-03-14T08:00Z"],
        &["extract", image, "--out", "out", "--clock-step", "never"],
        &["completions", "tcsh"],
        &["man"],
    ] {
        let ran = evidence.run(arguments).is(2);
        assert_eq!(ran.stdout, "", "`{}`", ran.command);
    }
    assert!(!evidence.path().join("out").exists());
}

/// U-4: an unknown family is a wrong command line for every verb that takes one.
#[test]
fn an_unknown_family_is_2_for_every_verb() {
    let evidence = Evidence::new("dahua-intact");
    let image = evidence.image();
    for arguments in [
        &["identify", image][..],
        &["list", image],
        &["logs", image],
        &["show", image, "--at", "0"],
        &["extract", image, "--out", "out"],
    ] {
        evidence.run(&[arguments, &["--family", "nobody"]].concat()).is(2);
    }
}

/// U-4: 3 when nothing is of a known format, whatever the verb.
#[test]
fn an_unknown_format_is_3() {
    let evidence = Evidence::new("dav-plain-h264");
    std::fs::write(evidence.path().join("noise.bin"), vec![0x5A; 100_000]).unwrap();
    std::fs::write(evidence.path().join("zeros.bin"), vec![0; 100_000]).unwrap();
    std::fs::write(evidence.path().join("empty.bin"), b"").unwrap();
    std::fs::create_dir(evidence.path().join("empty")).unwrap();
    for source in ["noise.bin", "zeros.bin", "empty.bin", "empty"] {
        for arguments in [
            &["identify", source][..],
            &["list", source],
            &["logs", source],
            &["extract", source, "--out", "out"],
            &["extract", source, "--out", "out", "--dry-run"],
        ] {
            evidence.run(arguments).is(3);
        }
    }
    assert!(!evidence.path().join("out").exists());
}

/// U-4: 4 when source or output cannot be used, whatever the verb.
#[test]
fn a_source_or_output_that_cannot_be_used_is_4() {
    let evidence = Evidence::new("dav-plain-h264");
    std::fs::write(evidence.path().join("file"), b"in the way").unwrap();
    for source in ["gone.dd", "file/below"] {
        for arguments in [
            &["identify", source][..],
            &["list", source],
            &["logs", source],
            &["show", source, "--at", "0"],
            &["extract", source, "--out", "out"],
        ] {
            evidence.run(arguments).is(4);
        }
    }
    let image = evidence.image();
    evidence.run(&["extract", image, "--out", "file"]).is(4);
    evidence.run(&["extract", image, "--out", "file/below"]).is(4);
    evidence.run(&["man", "--out", "file/below"]).is(4);
    evidence.run(&["demo", "--out", "file"]).is(4);
    evidence.run(&["list", image, "--map", "gone.map"]).is(4);
}

/// Devices without an end are not images.
#[cfg(unix)]
#[test]
fn a_character_device_is_4() {
    let evidence = Evidence::new("dav-plain-h264");
    for device in ["/dev/null", "/dev/zero"] {
        evidence.run(&["identify", device]).is(4);
    }
}

/// Runs the program and gives its standard output to `read`, which drops it.
///
/// Returns what is wrong with its end: nothing, when it ends with 0 and without a word.
fn cut_short(
    evidence: &Evidence,
    arguments: &[&str],
    read: impl FnOnce(ChildStdout),
) -> Option<String> {
    let mut command = command(evidence.path(), arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    read(child.stdout.take().unwrap());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    let code = child.wait().unwrap().code();
    let quiet = code == Some(0) && said.is_empty();
    let said: Vec<&str> = said.lines().filter(|line| !line.is_empty()).take(2).collect();
    (!quiet).then(|| format!("{arguments:?}: {code:?} {said:?}"))
}

/// U-11: `daleel list disk --jsonl | head -1` is no error, in any form of output.
#[test]
fn a_reader_that_stops_reading_is_no_error() {
    let evidence = Evidence::new("dav-plain-h264");
    // Far more than a pipe holds.
    sparse_disk(&evidence.path().join("many.img"), 16 << 30, 4000).unwrap();
    let mut wrong = Vec::new();
    for form in [&["--jsonl"][..], &["--csv"], &["--json"], &[]] {
        let arguments = [&["list", "many.img"][..], form].concat();
        wrong.extend(cut_short(&evidence, &arguments, |stdout| {
            let mut line = String::new();
            BufReader::with_capacity(64, stdout).read_line(&mut line).unwrap();
            assert!(!line.is_empty());
        }));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// U-11: nor is a reader that never reads.
#[test]
fn a_reader_that_is_not_there_is_no_error() {
    let evidence = Evidence::new("dahua-intact");
    let image = evidence.image();
    let mut wrong = Vec::new();
    for arguments in [
        &["--help"][..],
        &["identify", image],
        &["identify", image, "--json"],
        &["list", image],
        &["list", image, "--json"],
        &["list", image, "--jsonl"],
        &["list", image, "--csv"],
        &["logs", image],
        &["logs", image, "--json"],
        &["logs", image, "--jsonl"],
        &["show", image, "--at", "0"],
        &["show", image, "--at", "0", "--json"],
        &["extract", image, "--out", "dry", "--dry-run"],
        &["extract", image, "--out", "out"],
        &["extract", image, "--out", "out-json", "--json"],
    ] {
        wrong.extend(cut_short(&evidence, arguments, drop));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    for out in ["out", "out-json"] {
        assert!(evidence.path().join(out).join("SHA256SUMS").exists(), "the work is done");
    }
}

/// U-11, U-8: completions end as quietly.
#[test]
fn completions_that_nobody_reads_are_no_error() {
    let evidence = Evidence::new("dav-plain-h264");
    let mut wrong = Vec::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        wrong.extend(cut_short(&evidence, &["completions", shell], drop));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// U-4: a full disk under standard output is an output that cannot be written, not a success.
#[cfg(target_os = "linux")]
#[test]
fn a_full_output_is_4() {
    let evidence = Evidence::new("dahua-intact");
    sparse_disk(&evidence.path().join("many.img"), 16 << 30, 4000).unwrap();
    let image = evidence.image();
    let mut wrong = Vec::new();
    for arguments in [
        &["identify", image][..],
        &["identify", image, "--json"],
        &["list", image],
        &["list", "many.img"],
        &["list", "many.img", "--json"],
        &["list", "many.img", "--jsonl"],
        &["list", "many.img", "--csv"],
        &["logs", image, "--jsonl"],
        &["show", image, "--at", "0", "--json"],
        &["completions", "zsh"],
    ] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = command(evidence.path(), arguments).stdout(full).output().unwrap();
        let code = output.status.code();
        if code != Some(4) {
            wrong.push(format!("{arguments:?}: {code:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Every verb is one that is tested here or says itself what it needs.
#[test]
fn every_verb_is_known_to_these_tests() {
    let known =
        ["identify", "list", "show", "extract", "logs", "bridge", "demo", "completions", "man"];
    // Imaging has a test binary of its own, `acquire`, and `devices` in this one.
    let elsewhere = ["devices", "doctor", "image", "verify"];
    for verb in verbs() {
        let verb = verb.as_str();
        assert!(
            known.contains(&verb) || elsewhere.contains(&verb),
            "{verb} needs tests of its own"
        );
    }
}
