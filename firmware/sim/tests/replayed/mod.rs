//! Traces of programs and systems, replayed against a fresh bridge. They were written by hand after the programs' documentation and sources' descriptions; none
//! is a capture. What real programs of a real Linux send is the matter of `ladder.rs`.
#![allow(dead_code)] // each test binary takes what it needs

use super::common::{Bridge, attached, controller, model};
use wb_sim::{
    bridge::Setup,
    drive::DriveConfig,
    replay::{Replayed, Trace},
};

/// Traces of programs that read.
pub const READERS: [(&str, &str); 3] = [
    ("imager", include_str!("../traces/imager.txt")),
    ("linux", include_str!("../traces/linux.txt")),
    ("smartctl", include_str!("../traces/smartctl.txt")),
];
/// Traces of programs and systems that try to modify.
pub const MODIFIERS: [(&str, &str); 4] = [
    ("windows", include_str!("../traces/windows.txt")),
    ("macos", include_str!("../traces/macos.txt")),
    ("hdparm", include_str!("../traces/hdparm.txt")),
    ("wiper", include_str!("../traces/wiper.txt")),
];
pub const DIRTY: &str = include_str!("../traces/linux_dirty.txt");
pub const DDRESCUE: &str = include_str!("../traces/ddrescue.txt");

/// A fresh bridge whose unit attention nobody has taken yet: the traces begin with it.
pub fn fresh(config: DriveConfig) -> Bridge {
    attached(&Setup::default(), config, |_, _, _| false)
}

/// Replays a trace; the bridge afterwards, and the digest before.
pub fn replayed(name: &str, text: &str, config: DriveConfig) -> (Bridge, [u8; 32], Vec<Replayed>) {
    let mut host = fresh(config);
    let digest = model(&host).state_digest();
    let trace = Trace::parse(text).unwrap_or_else(|why| panic!("{name}: {why}"));
    let steps = trace.replay(&mut host).unwrap_or_else(|why| panic!("{name}: {why:?}"));
    (host, digest, steps)
}

/// HWB-AM-01: nothing modifying arrived, and nothing changed.
pub fn untouched(host: &Bridge, digest: [u8; 32], what: &str) {
    let names: Vec<_> = model(host).violations().map(|entry| entry.name).collect();
    assert_eq!(names, Vec::<&str>::new(), "{what}");
    assert_eq!(model(host).state_digest(), digest, "{what}");
    assert!(controller(host).device().only_cbws(), "{what}");
    assert_eq!(controller(host).violations(), Vec::<String>::new(), "{what}");
}

/// READ(6), (10), (12), (16); the shorter ones within the first 32,768 blocks, which every medium has.
pub fn read_cdb(form: usize, lba: u64, blocks: u32) -> Vec<u8> {
    let lba = if form < 3 { lba & 0x7FFF } else { lba };
    let [a7, a6, a5, a4, a3, a2, a1, a0] = lba.to_be_bytes();
    let [n3, n2, n1, n0] = blocks.to_be_bytes();
    match form {
        0 => vec![0x08, 0, a1, a0, if blocks == 256 { 0 } else { n0 }, 0],
        1 => vec![0x28, 0, 0, 0, a1, a0, 0, n1, n0, 0],
        2 => vec![0xA8, 0, 0, 0, a1, a0, n3, n2, n1, n0, 0, 0],
        _ => vec![0x88, 0, a7, a6, a5, a4, a3, a2, a1, a0, n3, n2, n1, n0, 0, 0],
    }
}
