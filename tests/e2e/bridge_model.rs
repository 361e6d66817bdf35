//! The write blocker's verbs with a bridge of the simulator on the port: what people and scripts see, Ctrl-C, readers that go away.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use wb_attest::KEY_COPY_NOTICE;

use crate::{
    elf::Elf,
    run::{Ran, run},
};

const MODEL: &str = env!("CARGO_BIN_EXE_daleel-with-a-model");
const SESSION: &str = "boot00001-session0001";
/// What is waited for takes tenths of a second; a busy computer may take longer.
const PATIENCE: Duration = Duration::from_secs(60);

fn command(model: &str, folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(MODEL);
    command.args(arguments).current_dir(folder).env("DALEEL_MODEL", model);
    command
}

fn with(model: &str, folder: &Path, arguments: &[&str]) -> Ran {
    let output = command(model, folder, arguments).output().unwrap();
    Ran::new(arguments.join(" "), output)
}

/// Sends a signal as the shell does.
fn signal(child: &Child, name: &str) {
    let done = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(done.success());
}

/// Waits for an end; the exit code.
#[track_caller]
fn end(child: &mut Child) -> i32 {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code().expect("no end by a signal");
        }
        if began.elapsed() > PATIENCE {
            child.kill().unwrap();
            panic!("it does not end");
        }
        thread::sleep(Duration::from_millis(20));
    }
}

#[track_caller]
fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "{what} does not come");
        thread::sleep(Duration::from_millis(20));
    }
}

fn elf(folder: &Path) {
    let symbol = |tag: &str, text: &str| {
        format!(
            r#"{{"package":"p","tag":"{tag}","data":"{text}","disambiguator":"1","crate_name":"c"}}"#
        )
    };
    let elf = Elf {
        symbols: vec![
            ("_defmt_version_ = 4".to_owned(), 0, false),
            ("_defmt_encoding_ = rzcobs".to_owned(), 0, false),
            (symbol("defmt_warn", "refused"), 2, true),
        ],
        defmt: Some(16),
        ..Elf::default()
    };
    fs::write(folder.join("fw.elf"), elf.write()).unwrap();
}

fn entries(folder: &Path) -> usize {
    let log = fs::read_to_string(folder.join(format!("bridge/{SESSION}.log")));
    log.map(|text| text.lines().count()).unwrap_or(0)
}

/// U-5, A-3: `attest run` beside a reader: refusals show as they come, Ctrl-C takes the last statement, and it verifies.
#[cfg(unix)]
#[test]
fn a_run_that_is_interrupted_ends_with_its_statement() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let arguments = ["bridge", "attest", "run", "--out", "bridge"];
    let mut child = command("reading", path, &arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for("an entry", || entries(path) > 3);
    signal(&child, "-INT");
    let code = end(&mut child);
    let (mut stdout, mut stderr) = (String::new(), String::new());
    child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert!(stdout.starts_with("REFUSED: 1 modifying commands"), "{stdout}");
    assert!(stdout.contains("final statement boot00001-session0001: verified and stored"));
    assert!(stdout.contains(KEY_COPY_NOTICE) && stdout.contains("openssl pkeyutl"));
    assert!(stderr.contains("interrupted: taking the last statement"), "{stderr}");
    fs::copy(path.join("bridge/key.pem"), path.join("key.pem")).unwrap();
    let ran = run(path, &["bridge", "verify", "bridge", "--key", "key.pem"]);
    assert_eq!(ran.code, Some(if entries(path) < 32 { 1 } else { 0 }), "{}", ran.stdout);
    assert!(ran.stdout.contains("verified. A person who held the bridge"));
}

/// U-5: a reader of the output that goes away (`| head -1`) gives up no session.
#[cfg(unix)]
#[test]
fn a_run_whose_output_nobody_reads_keeps_its_session() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let arguments = ["bridge", "attest", "run", "--out", "bridge", "--every", "1s"];
    let mut child = command("reading", path, &arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    let checkpoint = path.join(format!("bridge/{SESSION}.checkpoint0000.json"));
    wait_for("a checkpoint", || checkpoint.exists());
    assert!(child.try_wait().unwrap().is_none(), "it goes on");
    signal(&child, "-TERM");
    assert_eq!(end(&mut child), 0);
    assert!(path.join(format!("bridge/{SESSION}.cbor")).exists());
}

/// U-5: a disk with no more room ends the run, leaves no half file, and says how to go on: the session is open on the bridge still.
#[cfg(unix)]
#[test]
fn a_full_disk_ends_a_run_and_not_the_session() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    // No file may have more than two or four kilobytes, as the shell counts: the log fits, a statement does not.
    let script = format!(
        "trap '' XFSZ; ulimit -f 4; exec {MODEL} bridge attest run --out bridge --every 1s"
    );
    let output = Command::new("sh")
        .args(["-c", &script])
        .current_dir(path)
        .env("DALEEL_MODEL", "reading")
        .output()
        .unwrap();
    let ran = Ran::new(script, output).is(4);
    assert!(ran.stderr.contains("attest run --out bridge --resume"), "{}", ran.stderr);
    let key = fs::read_to_string(path.join("bridge/key.pem")).unwrap();
    assert!(key.ends_with("-----END PUBLIC KEY-----\n"));
    for entry in fs::read_dir(path.join("bridge")).unwrap() {
        let entry = entry.unwrap();
        let text = fs::read(entry.path()).unwrap();
        let name = entry.file_name().into_string().unwrap();
        let is_text = name.ends_with(".log") || name.ends_with("l");
        assert!(!is_text || text.last() == Some(&b'\n'), "{name} ends in half a line");
        assert!(!name.ends_with(".json"), "{name} did not fit and is there");
    }
    let journal = fs::read_to_string(path.join(format!("bridge/{SESSION}.session.jsonl"))).unwrap();
    assert!(!journal.contains("\"broken\"") && !journal.contains("\"statement\""), "{journal}");
}

/// U-2, U-5: with --json the document stays alone on standard output; what shows while it runs goes to standard error.
#[cfg(unix)]
#[test]
fn a_run_with_json_prints_one_document() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let arguments = ["bridge", "attest", "run", "--out", "bridge", "--json"];
    let mut child = command("reading", path, &arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for("an entry", || entries(path) > 3);
    signal(&child, "-INT");
    assert_eq!(end(&mut child), 0);
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    let document: serde_json::Value =
        serde_json::from_reader(child.stdout.take().unwrap()).unwrap();
    assert_eq!(document["schema"], "daleel.bridge-attest/1");
    assert_eq!(document["notice"], KEY_COPY_NOTICE);
    assert!(stderr.contains("REFUSED: 1 modifying commands"), "{stderr}");
}

/// 5.3: a bridge that leaves the bus ends a run with 6, and its journal says so.
#[test]
fn a_bridge_that_dies_ends_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let ran = with("dies", path, &["bridge", "attest", "run", "--out", "bridge"]).is(6);
    assert!(ran.stderr.contains("the session broke off"), "{}", ran.stderr);
    let journal = fs::read_to_string(path.join(format!("bridge/{SESSION}.session.jsonl"))).unwrap();
    assert!(journal.contains("\"broken\""), "{journal}");
    fs::copy(path.join("bridge/key.pem"), path.join("key.pem")).unwrap();
    run(path, &["bridge", "verify", "bridge", "--key", "key.pem"]).is(4);
}

/// 4.5: every report has the sentence about the key.
#[test]
fn every_report_has_the_sentence_about_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    for arguments in [
        vec!["bridge", "info"],
        vec!["bridge", "info", "--json"],
        vec!["bridge", "attest", "start", "--out", "text"],
        vec!["bridge", "attest", "start", "--out", "json", "--json"],
    ] {
        let ran = with("reading", path, &arguments).is(0);
        assert!(ran.stdout.contains(KEY_COPY_NOTICE), "{arguments:?}: {}", ran.stdout);
    }
    for arguments in [vec!["--out", "enrolled"], vec!["--out", "again", "--json"]] {
        let ran = with("keyless", path, &[&["bridge", "provision"], &arguments[..]].concat()).is(0);
        assert!(ran.stdout.contains(KEY_COPY_NOTICE), "{arguments:?}: {}", ran.stdout);
    }
}

/// A device that calls itself escape sequences moves no cursor, in answers and in errors.
#[test]
fn a_device_writes_nothing_but_text_to_the_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let runs = [
        with("liar", path, &["bridge", "list"]),
        with("liar", path, &["bridge", "info"]),
        with("liar", path, &["bridge", "info", "--bridge", "nobody"]),
        with("liar", path, &["bridge", "attest", "run", "--out", "x", "--every", "0"]),
    ];
    for ran in &runs {
        let all = format!("{}{}", ran.stdout, ran.stderr);
        let bad = all.chars().find(|c| c.is_control() && *c != '\n' || *c == '\u{202e}');
        assert_eq!(bad, None, "{}: {all}", ran.command);
        assert!(!all.lines().any(|line| line.starts_with("FAKE")), "{all}");
    }
    let [list, info, other, _] = runs;
    list.is(0);
    assert!(info.stdout.contains("the serial is not that of the key"), "{}", info.stdout);
    info.is(1);
    assert!(other.stderr.contains("FE81\\u{1b}]0;owned"), "{}", other.stderr);
    other.is(4);
}

/// Exit codes and words where there is no bridge, none that may be opened, or more than one.
#[test]
fn no_bridge_or_the_wrong_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    elf(path);
    let verbs: [&[&str]; 5] = [
        &["bridge", "info"],
        &["bridge", "log", "--elf", "fw.elf"],
        &["bridge", "attest", "start", "--out", "o"],
        &["bridge", "attest", "finish", "--out", "o"],
        &["bridge", "provision", "--out", "o"],
    ];
    for arguments in verbs {
        let says = |model: &str, text: &str| {
            let ran = with(model, path, arguments).is(4);
            assert!(ran.stderr.contains(text), "{arguments:?}: {}", ran.stderr);
            assert_eq!(ran.stdout, "");
        };
        says("none", "no bridge is connected");
        says("twins", "several bridges are connected");
        says("denied", "permission denied");
    }
    assert!(!path.join("o").exists());
    let ran = with("denied", path, &["bridge", "list"]).is(1);
    assert!(ran.stdout.contains("cannot be asked: permission denied"), "{}", ran.stdout);
    with("twins", path, &["bridge", "info", "--bridge", "daleel:2"]).is(0);
    with("keyless", path, &["bridge", "attest", "start", "--out", "o"]).is(4);
    let both = ["bridge", "attest", "run", "--out", "o", "--resume", "--nonce", &"ab".repeat(32)];
    assert!(with("reading", path, &both).is(2).stderr.contains("--nonce begins a session"));
}

/// U-5: `info --watch` shows refusals as they come and ends at Ctrl-C.
#[cfg(unix)]
#[test]
fn watching_shows_refusals_and_ends() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = command("reading", folder.path(), &["bridge", "info", "--watch"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let refused = lines.find(|line| line.starts_with("REFUSED"));
    assert_eq!(refused.unwrap(), "REFUSED: 1 more modifying commands, 1 since attach");
    signal(&child, "-INT");
    assert_eq!(end(&mut child), 0);
}

/// `log --follow | head` ends with its reader; without --follow a bridge that sends for ever is left.
#[test]
fn a_log_without_end_ends() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    elf(path);
    let follow = ["bridge", "log", "--elf", "fw.elf", "--follow"];
    let mut child = command("chatty", path, &follow).stdout(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert_eq!(first, "- warn  refused\n");
    assert_eq!(end(&mut child), 0);
    let ran = with("chatty", path, &["bridge", "log", "--elf", "fw.elf", "--json"]).is(0);
    let document: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert!(document["frames"].as_array().unwrap().len() > 100_000);
    assert!(ran.stderr.contains("--follow reads on"), "{}", ran.stderr);
    with("reading", path, &["bridge", "log", "--elf", "fw.elf", "--json"]).is(0);
}

/// U-5: `log --follow` ends at Ctrl-C, with what came before.
#[cfg(unix)]
#[test]
fn a_log_that_is_followed_ends_at_an_interrupt() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    elf(path);
    let out = path.join("bridge.jsonl");
    let follow = ["bridge", "log", "--elf", "fw.elf", "--follow", "--jsonl"];
    let mut child = command("chatty", path, &follow)
        .stdout(Stdio::from(fs::File::create(&out).unwrap()))
        .spawn()
        .unwrap();
    wait_for("a frame", || fs::metadata(&out).unwrap().len() > 0);
    signal(&child, "-INT");
    assert_eq!(end(&mut child), 0);
    let text = fs::read_to_string(&out).unwrap();
    assert!(text.ends_with("}\n") && text.contains("\"text\":\"refused\""));
}

/// What came before a bridge went away is shown all the same.
#[test]
fn a_log_that_breaks_off_is_shown_up_to_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    elf(path);
    let ran = with("dies", path, &["bridge", "log", "--elf", "fw.elf", "--json"]).is(6);
    let document: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(document["frames"].as_array().unwrap().len(), 400);
}

/// U-4: to a script the exit code is the answer: a reader that goes away does not turn 5 into 0.
#[cfg(unix)]
#[test]
fn a_failed_check_stays_failed_when_nobody_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    crate::bridge::evidence(path);
    let sig = path.join(format!("bridge/{SESSION}.sig"));
    let mut bytes = fs::read(&sig).unwrap();
    bytes[0] ^= 1;
    fs::write(&sig, bytes).unwrap();
    for more in [vec![], vec!["--json"]] {
        let arguments = [&["bridge", "verify", "bridge", "--key", "key.pem"], &more[..]].concat();
        let mut child = command("none", path, &arguments).stdout(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        assert_eq!(end(&mut child), 5, "{more:?}");
    }
}

/// A file name is no command: what is printed to be copied holds plain names only.
#[test]
fn a_strange_name_is_not_printed_as_a_command() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    crate::bridge::evidence(path);
    for ending in ["cbor", "tbs", "sig", "json"] {
        let from = path.join(format!("bridge/{SESSION}.{ending}"));
        fs::create_dir_all(path.join("other")).unwrap();
        fs::copy(from, path.join(format!("other/$(touch x) \u{1b}[2J.{ending}"))).unwrap();
    }
    let json = path.join("other/$(touch x) \u{1b}[2J.json");
    let mut held: serde_json::Value = serde_json::from_slice(&fs::read(&json).unwrap()).unwrap();
    held["name"] = "$(touch x) \u{1b}[2J".into();
    fs::write(&json, serde_json::to_vec(&held).unwrap()).unwrap();
    let ran = run(path, &["bridge", "verify", "other", "--key", "key.pem"]).is(1);
    assert!(!ran.stdout.contains("openssl") && !ran.stdout.contains('\u{1b}'), "{}", ran.stdout);
}

/// 4.4: where nothing is known to be covered, no list of what is not is written: an empty one would say that all is.
#[test]
fn no_list_is_written_where_nothing_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    crate::bridge::evidence(path);
    fs::write(path.join("other.pem"), wb_attest::verify::pem(&[9; 32])).unwrap();
    let arguments =
        ["bridge", "verify", "bridge", "--key", "other.pem", "--uncovered", "uncovered.txt"];
    let ran = run(path, &arguments).is(5);
    assert!(!path.join("uncovered.txt").exists());
    assert!(ran.stderr.contains("uncovered.txt is not written"), "{}", ran.stderr);
}

/// A-3: the key beside the statements is no enrolled key, and that is said.
#[test]
fn the_key_beside_the_statements_is_a_finding() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    crate::bridge::evidence(path);
    let ran = run(path, &["bridge", "verify", "bridge", "--key", "bridge/key.pem"]).is(1);
    assert!(ran.stdout.contains("finding: the key is the one beside the statements"));
    let ran = run(path, &["bridge", "verify", "bridge", "--key", "key.pem"]).is(1);
    assert!(!ran.stdout.contains("the one beside the statements"), "{}", ran.stdout);
}

/// A-4: an image that is longer or shorter than the medium is said to be.
#[test]
fn an_image_of_another_size_is_a_finding() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    crate::bridge::evidence(path);
    fs::write(path.join("short.raw"), vec![0; 1 << 20]).unwrap();
    let arguments = ["bridge", "verify", "bridge", "--key", "key.pem", "--image", "short.raw"];
    let ran = run(path, &arguments).is(5);
    let text = "finding: the image has 1048576 bytes, the medium 33554432";
    assert!(ran.stdout.contains(text), "{}", ran.stdout);
}
