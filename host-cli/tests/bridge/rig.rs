//! A bridge in front of a model drive, and a port that misbehaves on request.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use daleel::{
    bridge::{
        link::Link,
        port::{Identity, Port, PortError},
        sim::SimPort,
    },
    exit::{Exit, classify},
};
use wb_attest::interface::Setup;
use wb_sim::{bridge::Setup as SimSetup, drive::DriveConfig, host::Phase};

pub const START: [u8; 32] = [0x11; 32];
pub const END: [u8; 32] = [0x22; 32];
/// Blocks of a megabyte.
pub const MEGABYTE: u32 = 2048;

/// What happens to requests on their way.
#[derive(Default)]
pub struct Tricks {
    /// These bytes in place of the statement.
    pub replay: Option<Vec<u8>>,
    /// FINISH carries this nonce in place of the host's.
    pub nonce: Option<[u8; 32]>,
    /// STATEMENT finds the bridge gone, so many times.
    pub gone: u32,
    /// Somebody tries to write while the host waits, so many times.
    pub writes: u32,
    /// FINISH is lost on the way, so many times.
    pub deaf: u32,
    /// A bit of the last digest of an answer to LEAVES changes.
    pub flip_leaves: bool,
    /// LEAVES begins with this number.
    pub first_leaf: Option<u64>,
}

/// The bridge of the simulator, with tricks.
pub struct TrickPort {
    pub sim: SimPort,
    pub tricks: Tricks,
}

impl Port for TrickPort {
    fn identity(&self) -> &Identity {
        self.sim.identity()
    }

    fn control_in(&mut self, setup: &Setup) -> Result<Vec<u8>, PortError> {
        if setup.request == 5 && self.tricks.gone > 0 {
            self.tricks.gone -= 1;
            return Err(PortError::Gone);
        }
        let mut answer = self.sim.control_in(setup)?;
        if let Some(replay) = &self.tricks.replay {
            match setup.request {
                1 => answer[20..24].copy_from_slice(&(replay.len() as u32).to_be_bytes()),
                5 => {
                    let from = usize::from(setup.value) * 64;
                    let to = replay.len().min(from + usize::from(setup.length));
                    answer = replay[from..to].to_vec();
                }
                _ => {}
            }
        }
        if let Some(first) = self.tricks.first_leaf.filter(|_| setup.request == 3) {
            let head = [&first.to_be_bytes()[..], &[0; 4], &1_u32.to_be_bytes()].concat();
            let entry = [&first.to_be_bytes()[..], &[0; 44]].concat();
            answer = [head, entry].concat();
        }
        if self.tricks.flip_leaves && setup.request == 3 && answer.len() > 16 {
            *answer.last_mut().unwrap() ^= 1;
        }
        Ok(answer)
    }

    fn control_out(&mut self, setup: &Setup, data: &[u8]) -> Result<(), PortError> {
        if setup.request == 4 && self.tricks.deaf > 0 {
            self.tricks.deaf -= 1;
            return Err(PortError::Silent);
        }
        match self.tricks.nonce {
            Some(nonce) if setup.request == 4 => self.sim.control_out(setup, &nonce),
            _ => self.sim.control_out(setup, data),
        }
    }

    fn read_log(&mut self, wait: Duration) -> Result<Vec<u8>, PortError> {
        self.sim.read_log(wait)
    }

    fn pause(&mut self, time: Duration) {
        if self.tricks.writes > 0 {
            self.tricks.writes -= 1;
            assert!(self.sim.is_write_refused());
        }
        self.sim.pause(time);
    }

    fn reconnect(&mut self, within: Duration) -> Result<(), PortError> {
        self.sim.reconnect(within)
    }
}

pub type Bridge = Link<TrickPort>;

pub fn bridge() -> Bridge {
    bridge_with(&SimSetup::default(), DriveConfig::default())
}

/// A bridge with a drive, its unit attention taken.
pub fn bridge_with(setup: &SimSetup, config: DriveConfig) -> Bridge {
    let mut sim = SimPort::new(setup, config).unwrap();
    sim.host().command(&[0; 6], Phase::None).unwrap();
    Link::new(TrickPort { sim, tricks: Tricks::default() })
}

/// Unplugs the drive and plugs it in again, which ends a session.
pub fn replug(bridge: &mut Bridge) {
    let host = bridge.port_mut().sim.host();
    host.device_mut().drive_mut().host_mut().unplug();
    host.device_mut().idle(1_000_000);
    host.device_mut().drive_mut().host_mut().plug();
    assert!(host.device_mut().attach() && host.enumerate());
    host.command(&[0; 6], Phase::None).unwrap();
}

/// Reads a megabyte in one pass.
pub fn read_megabyte(bridge: &mut Bridge, megabyte: u32) -> Vec<u8> {
    read(bridge, megabyte * MEGABYTE, MEGABYTE as u16)
}

pub fn read(bridge: &mut Bridge, lba: u32, blocks: u16) -> Vec<u8> {
    let [a3, a2, a1, a0] = lba.to_be_bytes();
    let [n1, n0] = blocks.to_be_bytes();
    let cdb = [0x28, 0, a3, a2, a1, a0, 0, n1, n0, 0];
    let host = bridge.port_mut().sim.host();
    let outcome = host.command(&cdb, Phase::In(u32::from(blocks) * 512)).unwrap();
    assert_eq!(outcome.status, 0);
    outcome.data
}

/// WRITE(10) of a block, which has to be refused.
pub fn write(bridge: &mut Bridge) {
    let cdb = [0x2A, 0, 0, 0, 0, 0, 0, 0, 1, 0];
    let outcome = bridge.port_mut().sim.host().command(&cdb, Phase::Zeros(512)).unwrap();
    assert_eq!(outcome.status, 1);
}

/// The exit code and text of a failure.
pub fn failed<T>(result: anyhow::Result<T>) -> (Exit, String) {
    let Err(error) = result else { panic!("it went well") };
    (classify(&error).0, format!("{error:#}"))
}

/// File names of a folder, ascending.
pub fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// A folder that goes with the test, and a path in it that does not exist yet.
pub fn place() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bridge");
    (folder, path)
}
