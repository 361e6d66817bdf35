//! Ctrl-C, termination and loss of power in the middle of `extract` (U-5).

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant, SystemTime},
};

use daleel::export::RecordingDone;
use daleel_generator::bench::{long_disk, sparse_disk};
use daleel_tests::judge::{Extracted, sha256};

use crate::run::{Ran, command, content, run, sums};

const WORK: &str = ".daleel-work";
/// One recording of about five minutes.
const LONG_BYTES: u64 = 160 << 20;
/// Recordings of a disk with many short ones.
const MANY: u64 = 120;

/// A running `extract disk.img --out out`.
struct Running {
    child: Child,
    folder: PathBuf,
    name: String,
}

impl Running {
    fn start(folder: &Path, more: &[&str]) -> Self {
        let mut arguments = vec!["extract", "disk.img", "--out", "out"];
        arguments.extend(more);
        let mut command = command(folder, &arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(Stdio::null());
        let name = format!("daleel {}", arguments.join(" "));
        Self { child: command.spawn().unwrap(), folder: folder.to_owned(), name }
    }

    /// Waits until the run has come so far.
    fn wait_until(&mut self, there: impl Fn(&Path) -> bool) {
        let started = Instant::now();
        while !there(&self.folder.join("out")) {
            assert!(started.elapsed() < Duration::from_secs(60), "{}: nothing happens", self.name);
            let ended = self.child.try_wait().unwrap();
            assert!(
                ended.is_none(),
                "{}: ended before it could be interrupted: {ended:?}",
                self.name
            );
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status().unwrap();
        assert!(sent.success());
    }

    fn end(self) -> Ran {
        Ran::new(self.name, self.child.wait_with_output().unwrap())
    }
}

fn journal(out: &Path) -> Vec<RecordingDone> {
    let text = fs::read_to_string(out.join(WORK).join("journal.jsonl")).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// A clip is being written and some of it is on the disk.
fn is_in_a_clip(out: &Path) -> bool {
    let Ok(entries) = fs::read_dir(out.join(WORK)) else { return false };
    entries.flatten().any(|entry| {
        entry.path().extension().is_some_and(|ending| ending == "part")
            && entry.metadata().is_ok_and(|metadata| metadata.len() > 4 << 20)
    })
}

/// Unfinished clips.
fn parts(out: &Path) -> usize {
    let entries = fs::read_dir(out.join(WORK)).unwrap().flatten();
    entries.filter(|entry| entry.path().extension().is_some_and(|e| e == "part")).count()
}

/// What is there after an interrupt is whole and in the journal; nothing says that the run was finished.
fn check_unfinished(out: &Path) {
    let done = journal(out);
    let mut files: Vec<_> = done.iter().flat_map(|done| &done.files).collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let mut there: Vec<_> = fs::read_dir(out.join("clips"))
        .unwrap()
        .map(|entry| format!("clips/{}", entry.unwrap().file_name().to_str().unwrap()))
        .collect();
    there.sort();
    assert_eq!(files.iter().map(|file| file.path.clone()).collect::<Vec<_>>(), there);
    for file in files {
        assert_eq!(sha256(&out.join(&file.path)), file.sha256, "{}", file.path);
    }
    for name in ["SHA256SUMS", "summary.json", "clips.jsonl", "other.jsonl"] {
        assert!(!out.join(name).exists(), "{name} looks finished");
    }
}

/// The interrupted run says what happened and how to go on.
fn check_interrupted(ran: Ran) {
    let ran = ran.is(7);
    assert!(
        ran.stderr.contains("interrupted") && ran.stderr.contains("--resume"),
        "{}",
        ran.stderr
    );
    assert_eq!(ran.stdout, "", "nothing is said to be done");
}

/// Takes the run up again and compares it with one that was never interrupted.
fn check_resumed(folder: &Path, more: &[&str]) {
    let mut arguments = vec!["extract", "disk.img", "--out", "out", "--resume"];
    arguments.extend(more);
    run(folder, &arguments).ends_with_any_of(&[0, 1]);
    let mut arguments = vec!["extract", "disk.img", "--out", "whole"];
    arguments.extend(more);
    let whole = run(folder, &arguments).ends_with_any_of(&[0, 1]);
    assert_eq!(sums(&folder.join("out")), sums(&folder.join("whole")));
    let out = Extracted::read(&folder.join("out"));
    out.check_contract();
    assert!(!out.clips.is_empty(), "{}", whole.stdout);
    assert!(!folder.join("out").join(WORK).exists());
}

fn long() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    long_disk(&folder.path().join("disk.img"), LONG_BYTES).unwrap();
    folder
}

fn many() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    sparse_disk(&folder.path().join("disk.img"), (MANY * 3) << 20, MANY).unwrap();
    folder
}

/// U-5: after Ctrl-C between recordings the finished ones are kept and not done again.
#[test]
fn an_interrupt_keeps_what_is_done_and_resume_finishes_the_same() {
    let folder = many();
    let mut running = Running::start(folder.path(), &[]);
    running.wait_until(|out| journal(out).len() >= 5);
    running.signal("INT");
    check_interrupted(running.end());
    let out = folder.path().join("out");
    check_unfinished(&out);
    assert_eq!(parts(&out), 0);
    let done = journal(&out);
    assert!(done.len() >= 5 && (done.len() as u64) < MANY, "{} are done", done.len());
    let kept = out.join(&done[0].files[0].path);
    let before = fs::metadata(&kept).unwrap().modified().unwrap();
    check_resumed(folder.path(), &[]);
    assert_eq!(fs::metadata(&kept).unwrap().modified().unwrap(), before, "done twice");
}

/// U-5: an interrupt in the middle of a clip leaves nothing of it behind.
#[test]
fn an_interrupt_in_a_clip_leaves_no_half_clip() {
    for (signal, more) in [("INT", &[][..]), ("TERM", &["--native"])] {
        let folder = long();
        let mut running = Running::start(folder.path(), more);
        running.wait_until(is_in_a_clip);
        running.signal(signal);
        check_interrupted(running.end());
        let out = folder.path().join("out");
        check_unfinished(&out);
        assert_eq!(parts(&out), 0);
        check_resumed(folder.path(), more);
    }
}

/// U-5: a run that was killed, as by a loss of power, is taken up as well.
#[test]
fn a_killed_run_is_taken_up() {
    let folder = long();
    let mut running = Running::start(folder.path(), &[]);
    running.wait_until(is_in_a_clip);
    running.signal("KILL");
    assert_eq!(running.end().code, None);
    check_resumed(folder.path(), &[]);

    let folder = many();
    let mut running = Running::start(folder.path(), &[]);
    running.wait_until(|out| journal(out).len() >= 3);
    running.signal("KILL");
    assert_eq!(running.end().code, None);
    // A line of the journal that was cut short is a recording that is done again.
    let path = folder.path().join("out").join(WORK).join("journal.jsonl");
    let mut text = fs::read(&path).unwrap();
    text.extend(b"{\"recording\": \"half a li");
    fs::write(&path, text).unwrap();
    check_resumed(folder.path(), &[]);
}

/// U-5: with `--from` and `--to` a first pass looks for the wanted frames; an interrupt there is one too.
#[test]
fn an_interrupt_while_the_wanted_frames_are_looked_for_loses_nothing() {
    let folder = long();
    let more = ["--from", "2024-03-01T00:04"];
    let mut running = Running::start(folder.path(), &more);
    running.wait_until(|out| out.join(WORK).join("journal.jsonl").exists());
    running.signal("INT");
    check_interrupted(running.end());
    check_unfinished(&folder.path().join("out"));
    check_resumed(folder.path(), &more);
}

/// U-5, U-6: an unfinished run is touched only with `--resume` and the options it was begun with.
#[test]
fn an_unfinished_run_is_taken_up_with_the_same_options_only() {
    let folder = many();
    let mut running = Running::start(folder.path(), &["--channel", "1"]);
    running.wait_until(|out| journal(out).len() >= 3);
    running.signal("INT");
    check_interrupted(running.end());
    fs::copy(folder.path().join("disk.img"), folder.path().join("other.img")).unwrap();
    let before = content(&folder.path().join("out"));
    let refused = |source: &str, more: &[&str], says: &str| {
        let mut arguments = vec!["extract", source, "--out", "out"];
        arguments.extend(more);
        let ran = run(folder.path(), &arguments).is(4);
        assert!(ran.stderr.contains(says), "`{}`: {}", ran.command, ran.stderr);
        assert!(content(&folder.path().join("out")) == before, "`{}` touched it", ran.command);
    };
    refused("disk.img", &["--channel", "1"], "--resume");
    for more in [
        &["--resume"][..],
        &["--resume", "--channel", "2"],
        &["--resume", "--channel", "1", "--native"],
        &["--resume", "--channel", "1", "--gap", "5000"],
        &["--resume", "--channel", "1", "--from", "2023-01-01"],
        &["--resume", "--channel", "1", "--clock-step", "exact"],
    ] {
        refused("disk.img", more, "other options");
    }
    refused("other.img", &["--resume", "--channel", "1"], "another source");
    check_resumed(folder.path(), &["--channel", "1"]);
}

/// Something that happens to an image.
type Change = fn(&Path);

fn grow(image: &Path) {
    let mut file = fs::OpenOptions::new().append(true).open(image).unwrap();
    file.write_all(b"more").unwrap();
}

fn touch(image: &Path) {
    let file = fs::OpenOptions::new().write(true).open(image).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
}

fn lose(image: &Path) {
    fs::remove_file(image).unwrap();
}

/// U-4, U-5: 6 when the source changes under a run: what was read meanwhile is not kept, and nothing says that the run was finished.
#[test]
fn a_source_that_changes_while_it_is_read_is_6() {
    for (what, change) in [("grows", grow as Change), ("is touched", touch), ("is gone", lose)] {
        let folder = long();
        let mut running = Running::start(folder.path(), &[]);
        running.wait_until(is_in_a_clip);
        running.signal("STOP");
        change(&folder.path().join("disk.img"));
        running.signal("CONT");
        let ran = running.end().is(6);
        assert!(ran.stderr.contains("disk.img changed or was lost"), "{what}: {}", ran.stderr);
        assert_eq!(ran.stdout, "", "{what}");
        let out = folder.path().join("out");
        assert!(journal(&out).is_empty(), "{what}: a recording counts as done");
        for name in ["SHA256SUMS", "summary.json", "clips.jsonl", "other.jsonl"] {
            assert!(!out.join(name).exists(), "{what}: {name} looks finished");
        }
    }
}
