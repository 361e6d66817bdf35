//! What INFO says in words, and the self-test.

use daleel::bridge::{describe::InfoJson, port::Port as _, selftest};
use wb_sim::{bridge::Setup as SimSetup, drive::DriveConfig};

use crate::rig::{Bridge, START, bridge, bridge_with, write};

fn words(bridge: &mut Bridge) -> (String, bool) {
    let info = bridge.info().unwrap();
    let rendered = InfoJson::new(bridge.port().identity(), &info);
    let mut text = Vec::new();
    rendered.write(&mut text).unwrap();
    (String::from_utf8(text).unwrap(), rendered.has_findings(&info))
}

/// A-2, 5.2: what the bridge says of itself, of a drive and of a session, word for word.
#[test]
fn info_in_words() {
    let mut bridge = bridge();
    bridge.start(&START).unwrap();
    write(&mut bridge);
    write(&mut bridge);
    let (text, has_findings) = words(&mut bridge);
    assert!(!has_findings);
    let policy = daleel::export::hashed::hex(&wb_policy::tables::POLICY_DIGEST);
    insta::assert_snapshot!(text.replace(&policy, "[this release's policy]"));
}

/// 5.2, policy 4.4: hidden areas, steps that were not run and a missing key are explained.
#[test]
fn odd_states_are_explained() {
    let config = DriveConfig { native_blocks: 70_000, ..DriveConfig::default() };
    let mut setup = SimSetup { seed: None, ..SimSetup::default() };
    setup.profiles.ident = true;
    let mut bridge = bridge_with(&setup, config);
    let (text, _) = words(&mut bridge);
    assert!(text.contains("no key: the bridge blocks writes all the same"), "{text}");
    assert!(text.contains("profiles   core, ident"), "{text}");
    assert!(text.contains("prototype USB product id"), "{text}");
    let info = bridge.info().unwrap();
    let shown = InfoJson::new(bridge.port().identity(), &info);
    let drive = shown.drive.unwrap();
    assert_eq!(drive.hidden_area, text.contains("hidden area or disagreeing figures"));
    assert_eq!(drive.steps_not_run, text.contains("steps of the attach script were not run"));
    assert!(drive.hidden_area || drive.steps_not_run, "one of them is so: {text}");
}

/// Another policy than the one this program was built with is said and counts as a finding.
#[test]
fn another_policy_is_a_finding() {
    let mut bridge = bridge();
    let mut info = bridge.info().unwrap();
    info.policy = [1; 32];
    let shown = InfoJson::new(bridge.port().identity(), &info);
    assert!(shown.has_findings(&info) && !shown.firmware.policy_known);
    assert!(shown.notes[0].contains("not the one of this release"));
}

/// every modifying command is refused in front of a drive that would obey.
#[test]
fn the_self_test_passes() {
    let found = selftest::run(&mut |_| {}).unwrap();
    assert!(found.passed, "{found:#?}");
    let names: Vec<_> = found.checks.iter().map(|check| check.name).collect();
    assert_eq!(names.len(), 9, "{names:?}");
    let tried: u64 = found.checks.iter().map(|check| check.tried).sum();
    assert!(tried > 20_000, "{tried}");
}
