//! `daleel image --bridge` with a bridge of the simulator between the disk and the program: what is proven, and what is said when something
//! happens on the way.

use std::{
    collections::BTreeMap,
    env, fs,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use wb_attest::KEY_COPY_NOTICE;

use crate::run::{DALEEL, Ran, content};

const PROGRAM: &str = env!("CARGO_BIN_EXE_daleel-behind-a-bridge");
/// Bytes of the model drive.
const MEDIUM: u64 = 32 << 20;
const PATIENCE: Duration = Duration::from_secs(60);

/// A folder with the source in it; what is read there comes from the model drive.
fn place() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("behind.bridge"), "the model drive is read in its place\n")
        .unwrap();
    folder
}

fn command(folder: &Path, fault: &str, boots: u32, arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(["image", "behind.bridge", "--out", "EV"]).args(arguments);
    command.current_dir(folder).env("DALEEL_FAULT", fault).env("DALEEL_BOOTS", boots.to_string());
    command
}

fn image(folder: &Path, fault: &str, arguments: &[&str]) -> Ran {
    let output = command(folder, fault, 1, arguments).output().unwrap();
    Ran::new(format!("image with {fault:?} {}", arguments.join(" ")), output)
}

fn record(folder: &Path) -> Value {
    serde_json::from_slice(&fs::read(folder.join("EV/image.json")).unwrap()).unwrap()
}

fn limitations(record: &Value) -> String {
    record["limitations"].to_string()
}

fn uncovered(folder: &Path) -> String {
    fs::read_to_string(folder.join("EV/bridge/uncovered.txt")).unwrap()
}

/// What `sha256sum` prints.
fn sha256sum(path: &Path) -> String {
    let output = Command::new("sha256sum").arg(path).output().unwrap();
    String::from_utf8(output.stdout).unwrap()[..64].to_owned()
}

fn verify(folder: &Path) -> Ran {
    fs::copy(folder.join("EV/bridge/key.pem"), folder.join("key.pem")).unwrap();
    let arguments =
        ["bridge", "verify", "EV/bridge", "--key", "key.pem", "--image", "EV/image.raw"];
    let output = Command::new(DALEEL).args(arguments).current_dir(folder).output().unwrap();
    Ran::new("bridge verify".to_owned(), output)
}

/// 4.3: every megabyte has the bridge's digest, and OpenSSL and `sha256sum` show that the last statement was made when the
/// whole list was known. The second folder has the same evidence.
#[test]
fn a_sound_run_is_covered_from_end_to_end() {
    let folder = place();
    let path = folder.path();
    let ran = image(path, "", &["--bridge", "--format", "raw", "--also", "second"]).is(0);
    assert!(ran.stdout.contains(KEY_COPY_NOTICE), "{}", ran.stdout);
    let record = record(path);
    let blocker = &record["write_blocker"];
    assert_eq!(blocker["kind"], "bridge");
    assert_eq!(blocker["covered_bytes"], MEDIUM);
    assert_eq!(blocker["differing_blocks"], 0);
    assert_eq!(blocker["notice"], KEY_COPY_NOTICE);
    assert_eq!(blocker["device"]["verified"], true);
    assert_eq!(blocker["device"]["board"]["key_protection"], "plain-flash");
    assert!(!limitations(&record).contains("NOT TRUSTED"));
    assert_eq!(uncovered(path), "");

    let statements = record["statements"].as_array().unwrap();
    assert_eq!(statements.len(), 1);
    let name = statements[0]["name"].as_str().unwrap();
    let bridge = path.join("EV/bridge");
    let cbor = bridge.join(format!("{name}.cbor"));
    assert_eq!(statements[0]["sha256"], sha256sum(&cbor));
    assert_eq!(statements[0]["entries"], 32);
    let groups = sha256sum(&path.join("EV/groups.sha256"));
    assert_eq!(record["blocks"]["groups_sha256"], groups);
    let rendered = fs::read(bridge.join(format!("{name}.json"))).unwrap();
    let rendered: Value = serde_json::from_slice(&rendered).unwrap();
    assert_eq!(rendered["statement"]["end_nonce"], groups);
    openssl(&bridge, name, &groups);
    let written = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();
    assert!(written(&path.join("EV/groups.sha256")) <= written(&cbor));
    assert!(written(&cbor) <= written(&path.join("EV/image.json")));
    assert_eq!(files(&bridge), files(&path.join("second/bridge")));
    verify(path).is(0);
}

/// Names and digests of a folder's files.
fn files(folder: &Path) -> BTreeMap<String, String> {
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    content(folder).into_iter().map(|(path, digest)| (name(&path), digest)).collect()
}

/// 4.3, "Checking with OpenSSL", as the commands stand there.
fn openssl(bridge: &Path, name: &str, end_nonce: &str) {
    if Command::new("openssl").arg("version").stdout(Stdio::null()).status().is_err() {
        assert!(env::var_os("DALEEL_REQUIRE_ORACLES").is_none(), "required: openssl");
        eprintln!("SKIPPED: openssl is not here");
        return;
    }
    let script = format!(
        "set -e
        openssl pkeyutl -verify -rawin -pubin -inkey key.pem -in {name}.tbs -sigfile {name}.sig
        tail -c 64 {name}.cbor | cmp - {name}.sig
        od -An -v -tx1 {name}.tbs | tr -d ' \\n' | grep -c {end_nonce}"
    );
    let output = Command::new("sh").args(["-c", &script]).current_dir(bridge).output().unwrap();
    Ran::new(script, output).is(0);
}

/// a byte that changes between bridge and host: the image is not trusted, and the megabyte is named.
#[test]
fn bytes_that_change_on_the_way_are_found() {
    let folder = place();
    let ran = image(folder.path(), "flip:5", &["--bridge"]).is(5);
    let text =
        "NOT TRUSTED: 1 megabytes of the image are not what the bridge delivered: block-0000005";
    assert!(ran.stdout.contains(text), "{}", ran.stdout);
    let record = record(folder.path());
    assert!(limitations(&record).contains(text));
    assert_eq!(record["write_blocker"]["differing_blocks"], 1);
    assert_eq!(record["write_blocker"]["covered_bytes"], MEDIUM - (1 << 20));
    assert_eq!(record["read_back"][0]["equal"], true, "the files are what was read");
}

/// A-2, U-5: a write from elsewhere during the run is refused, told at once, and stated.
#[test]
fn a_write_during_the_run_is_refused_and_stated() {
    let folder = place();
    let ran = image(folder.path(), "write:6", &["--bridge"]).is(0);
    let told = "REFUSED by the bridge: 1 modifying commands since the drive was attached";
    let log = fs::read_to_string(folder.path().join("EV/image.log")).unwrap();
    assert!(ran.stderr.contains(told) && log.contains(told), "{}{log}", ran.stderr);
    assert_eq!(record(folder.path())["write_blocker"]["device"]["refused_modifying"], 1);
}

/// 4.3, 4.4: a bridge that restarts loses its session; the next one begins by itself, and what was read in between has no digest.
#[test]
fn a_restart_of_the_bridge_leaves_megabytes_without_a_digest() {
    let folder = place();
    let path = folder.path();
    let ran = image(path, "reset:12", &["--bridge", "--format", "raw"]).is(1);
    // How it shows depends on what the bridge was asked last.
    assert!(ran.stderr.contains("has no digest of the bridge"), "{}", ran.stderr);
    let lines: Vec<_> = (0..16).map(|chunk| format!("block-{chunk:07} lost\n")).collect();
    assert_eq!(uncovered(path), lines.concat());
    let record = record(path);
    assert_eq!(record["write_blocker"]["covered_bytes"], MEDIUM / 2);
    assert!(limitations(&record).contains("16777216 bytes lie in megabytes without a digest"));
    assert!(!limitations(&record).contains("NOT TRUSTED"));
    let journal = path.join("EV/bridge/boot00001-session0001.session.jsonl");
    assert!(fs::read_to_string(journal).unwrap().contains("\"broken\""));
    verify(path).is(1);
}

/// A-7, 4.3: a bridge that is gone pauses the job; with the bridge back the image goes on behind it without being told again.
#[test]
fn a_bridge_that_is_gone_pauses_the_job() {
    let folder = place();
    let path = folder.path();
    image(path, "gone:20", &["--bridge", "--reconnect", "1"]).is(6);
    assert!(!path.join("EV/image.json").exists());
    let output = command(path, "", 2, &["--resume"]).output().unwrap();
    Ran::new("resume".to_owned(), output).is(0);
    let record = record(path);
    assert_eq!(record["write_blocker"]["covered_bytes"], MEDIUM);
    assert_eq!(record["statements"][0]["session"], "boot00002-session0001/0");
    assert!(record["write_blocker"]["device"]["findings"].to_string().contains("broke off"));
}

/// U-5, 4.3: Ctrl-C is a pause that leaves a checkpoint statement; both sessions are in the record.
#[cfg(unix)]
#[test]
fn a_pause_leaves_a_checkpoint() {
    let folder = place();
    let path = folder.path();
    let mut child = command(path, "slow", 1, &["--bridge"]).spawn().unwrap();
    let log = path.join("EV/bridge/boot00001-session0001.log");
    let began = Instant::now();
    while fs::read_to_string(&log).unwrap_or_default().lines().count() < 4 {
        assert!(began.elapsed() < PATIENCE, "no entry comes");
        thread::sleep(Duration::from_millis(20));
    }
    let done = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(done.success());
    assert_eq!(child.wait().unwrap().code(), Some(7));
    assert!(path.join("EV/bridge/boot00001-session0001.checkpoint0000.sig").exists());
    let output = command(path, "", 2, &["--resume"]).output().unwrap();
    Ran::new("resume".to_owned(), output).is(0);
    let record = record(path);
    let names: Vec<_> =
        record["statements"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["boot00001-session0001.checkpoint0000", "boot00002-session0001"]);
    assert_eq!(record["write_blocker"]["covered_bytes"], MEDIUM);
}

/// 4.4: a megabyte with an unreadable sector is zero-filled in the image and has no digest; that is no fault of anybody.
#[test]
fn an_unreadable_sector_leaves_its_megabyte_without_a_digest() {
    let folder = place();
    let path = folder.path();
    image(path, "bad:7", &["--bridge", "--format", "raw"]).is(1);
    let record = record(path);
    assert_eq!(record["acquisition"]["holes"]["unreadable_sectors"], 1);
    assert!(!limitations(&record).contains("NOT TRUSTED"), "{}", limitations(&record));
    let listed = uncovered(path);
    assert!(listed.contains("block-0000007 zero-filled\n"), "{listed}");
    assert!(listed.lines().count() <= 4, "{listed}");
    verify(path).is(1);
}

/// What cannot be had is refused before anything is written.
#[test]
fn a_source_that_is_not_behind_the_bridge_is_refused() {
    let folder = place();
    let path = folder.path();
    fs::write(path.join("other.img"), vec![0; 1 << 20]).unwrap();
    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).current_dir(path).output().unwrap();
        Ran::new(arguments.join(" "), output)
    };
    let ran = run(PROGRAM, &["image", "other.img", "--out", "EV", "--bridge"]).is(4);
    assert!(ran.stderr.contains("other.img is not read through this bridge"), "{}", ran.stderr);
    let ran = run(PROGRAM, &["image", "behind.bridge", "--out", "EV", "--bridge=ABC"]).is(4);
    assert!(ran.stderr.contains("this bridge is not connected"), "{}", ran.stderr);
    let both = ["image", "behind.bridge", "--out", "EV", "--bridge", "--write-blocker", "T8"];
    run(PROGRAM, &both).is(2);
    run(PROGRAM, &["image", "behind.bridge", "other.img", "--out", "EV", "--bridge"]).is(2);
    run(PROGRAM, &["image", "behind.bridge", "--out", "EV", "--supersede"]).is(2);
    run(DALEEL, &["image", "behind.bridge", "--out", "EV", "--bridge"]).is(4);
    assert!(!path.join("EV").exists());
}
