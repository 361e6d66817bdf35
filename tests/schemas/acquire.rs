//! What `devices` and `doctor` print on the computer that runs the tests, whatever is attached to it.

#![cfg(target_os = "linux")]

use daleel_tests::judge::daleel;
use serde_json::Value;

use super::{DALEEL, Judge};

fn printed(arguments: &[&str]) -> (Value, i32) {
    let output = daleel(DALEEL, arguments);
    let document = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{arguments:?}: {}", String::from_utf8_lossy(&output.stderr)));
    (document, output.status.code().unwrap())
}

#[test]
fn attached_disks() {
    let (document, code) = printed(&["devices", "--json"]);
    Judge::new().check("devices", &document, "devices");
    let is_clean = |device: &Value| {
        let is_empty = |key: &str| device[key].as_array().unwrap().is_empty();
        is_empty("warnings") && is_empty("findings")
    };
    let all_clean = document["devices"].as_array().unwrap().iter().all(is_clean);
    assert_eq!(code, i32::from(!all_clean));
}

#[test]
fn the_self_check() {
    let out = tempfile::tempdir().unwrap();
    let folder = out.path().to_str().unwrap();
    for arguments in [vec!["doctor", "--json"], vec!["doctor", "--json", "--out", folder]] {
        let (document, code) = printed(&arguments);
        Judge::new().check("doctor", &document, "doctor");
        assert_eq!(code, i32::from(document["verdict"] != "ok"));
        let names: Vec<_> = document["checks"]
            .as_array()
            .unwrap()
            .iter()
            .map(|check| check["name"].as_str().unwrap())
            .collect();
        assert_eq!(names.contains(&"free space"), arguments.len() > 2, "{names:?}");
        assert!(names.contains(&"write block") && names.contains(&"clock"), "{names:?}");
    }
}
