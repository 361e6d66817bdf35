//! Statements checked by programs that share no code with us.

use std::{
    env,
    io::{self, Write},
    path::Path,
    process::{Command, Stdio},
};

use daleel::bridge::session::{Session, Stored, openssl_commands};
use wb_attest::interface::Ending;

use crate::rig::{END, START, bridge, place, read_megabyte, write};

/// Set where no oracle may be missing: in continuous integration.
const REQUIRE: &str = "DALEEL_REQUIRE_ORACLES";

fn has_openssl() -> bool {
    let version = Command::new("openssl").arg("version").stdout(Stdio::null()).status();
    let is_here = cfg!(unix) && version.is_ok_and(|status| status.success());
    if !is_here {
        assert!(env::var_os(REQUIRE).is_none(), "openssl not found, and {REQUIRE} is set");
        let _ = writeln!(io::stderr(), "SKIPPED: openssl not found");
    }
    is_here
}

/// Runs one of the printed commands as a person would; whether it succeeded, and what it said.
fn shell(folder: &Path, command: &str) -> (bool, String) {
    let output = Command::new("sh").args(["-c", command]).current_dir(folder).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.success(), said)
}

fn statement(folder: &Path) -> Stored {
    let mut bridge = bridge();
    Session::start(&mut bridge, folder, START, false).unwrap();
    read_megabyte(&mut bridge, 3);
    write(&mut bridge);
    let mut session = Session::resume(&mut bridge, folder).unwrap();
    session.statement(Ending::Final, END).unwrap()
}

/// the four printed commands, run as they are printed, accept the files: signature, key id, end of the message, root in the signed bytes.
#[test]
fn openssl_accepts_the_stored_files() {
    if !has_openssl() {
        return;
    }
    let (_keep, folder) = place();
    let stored = statement(&folder);
    let [verify, key, compare, find] = openssl_commands(&stored.name, &stored.root);
    assert_eq!(shell(&folder, &verify), (true, "Signature Verified Successfully\n".to_owned()));
    let (is_ok, key_id) = shell(&folder, &key);
    let journal = std::fs::read_to_string(folder.join(format!("{}.session.jsonl", stored.name)));
    assert!(is_ok && journal.unwrap().contains(&key_id[..64]), "{key_id}");
    assert_eq!(shell(&folder, &compare), (true, String::new()));
    assert_eq!(shell(&folder, &find), (true, "1\n".to_owned()));
    let nonces = openssl_commands(&stored.name, &"22".repeat(32))[3].clone();
    assert_eq!(shell(&folder, &nonces), (true, "1\n".to_owned()));
}

/// and refuse them with one bit changed.
#[test]
fn openssl_refuses_changed_bytes() {
    if !has_openssl() {
        return;
    }
    let (_keep, folder) = place();
    let stored = statement(&folder);
    let [verify, ..] = openssl_commands(&stored.name, &stored.root);
    for ending in ["tbs", "sig"] {
        let path = folder.join(format!("{}.{ending}", stored.name));
        let held = std::fs::read(&path).unwrap();
        for at in [0, held.len() / 2, held.len() - 1] {
            let mut changed = held.clone();
            changed[at] ^= 0x10;
            std::fs::write(&path, changed).unwrap();
            assert!(!shell(&folder, &verify).0, "{ending} byte {at}");
        }
        std::fs::write(&path, held).unwrap();
    }
    assert!(shell(&folder, &verify).0);
}

/// 4.4: the kept log is text that coreutils can check: a line for each megabyte, with the digest that `sha256sum` gives.
#[test]
fn a_line_of_the_log_is_what_sha256sum_says() {
    if !has_openssl() {
        return;
    }
    let (_keep, folder) = place();
    let mut bridge = bridge();
    Session::start(&mut bridge, &folder, START, false).unwrap();
    let data = read_megabyte(&mut bridge, 7);
    let mut session = Session::resume(&mut bridge, &folder).unwrap();
    let stored = session.statement(Ending::Final, END).unwrap();
    std::fs::write(folder.join("megabyte"), data).unwrap();
    let (_, digest) = shell(&folder, "sha256sum megabyte | cut -c-64");
    let log = std::fs::read_to_string(folder.join(format!("{}.log", stored.name))).unwrap();
    assert_eq!(log, format!("0 7 1048576 {digest}"));
}
