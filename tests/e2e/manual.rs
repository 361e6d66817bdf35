//! Manual pages and shell completions (U-8).

use std::{fs, path::Path};

use crate::run::{content, run, verbs};

/// U-8: the five shells get a script that knows every verb and the options.
#[test]
fn completions_know_every_verb() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let ran = run(Path::new("."), &["completions", shell]).is(0);
        for verb in verbs() {
            assert!(ran.stdout.contains(&verb), "{shell}: {verb} is missing");
        }
        for option in ["channel", "native", "clock-step", "dry-run", "jsonl"] {
            assert!(ran.stdout.contains(option), "{shell}: --{option} is missing");
        }
        assert_eq!(ran.stderr, "");
    }
}

/// U-8: bash takes the script.
#[cfg(unix)]
#[test]
fn the_bash_script_is_one() {
    let script = run(Path::new("."), &["completions", "bash"]).is(0).stdout;
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("script"), script).unwrap();
    let Ok(checked) =
        std::process::Command::new("bash").arg("-n").arg(folder.path().join("script")).output()
    else {
        return;
    };
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}

/// U-8: a page for the program and one for every verb, each with its options and the exit codes where they belong.
#[test]
fn man_writes_a_page_for_every_verb() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &["man", "--out", "share/man1"]).is(0);
    let page = |name: &str| {
        let path = folder.path().join("share/man1").join(name);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    let main = page("daleel.1");
    assert!(main.contains(".TH daleel 1") && main.contains("Exit codes"));
    for verb in verbs() {
        let page = page(&format!("daleel-{verb}.1"));
        assert!(page.contains(".SH SYNOPSIS"), "{verb}");
        assert!(main.contains(&verb), "{verb} is not in the main page");
    }
    assert!(page("daleel-extract.1").contains("clock\\-step"));
}

/// U-6: pages that are there already are not overwritten.
#[test]
fn man_overwrites_nothing() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &["man", "--out", "man1"]).is(0);
    fs::write(folder.path().join("man1/daleel-list.1"), "mine").unwrap();
    let before = content(folder.path());
    let ran = run(folder.path(), &["man", "--out", "man1"]).is(4);
    assert!(ran.stderr.contains("exists already"), "{}", ran.stderr);
    assert!(content(folder.path()) == before);
}

/// U-6: nor is the page of one verb, where the others are not there.
#[test]
fn man_overwrites_no_single_page() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("man1")).unwrap();
    fs::write(folder.path().join("man1/daleel-list.1"), "mine").unwrap();
    run(folder.path(), &["man", "--out", "man1"]).is(4);
    assert_eq!(fs::read_to_string(folder.path().join("man1/daleel-list.1")).unwrap(), "mine");
}
