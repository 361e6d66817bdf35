//! The program `daleel` with a bridge of the simulator on its port, so that the verbs that need a bridge are met as people meet them.
//!
//! `DALEEL_MODEL` says which: `reading` (somebody reads the drive and tries to write once), `keyless`, `liar` (its strings hold escape
//! sequences), `chatty` (log frames without end), `denied`, `dies` (leaves the bus after a while), `twins` (two of them), `none`.

// A model that does not come up has to fail the test.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::{env, process::ExitCode, thread, time::Duration};

use daleel::bridge::{
    attached::{Attached, find_with},
    port::{Identity, Port, PortError},
    sim::SimPort,
};
use wb_attest::interface::Setup;

/// Blocks of a megabyte, and megabytes of the model drive.
const MEGABYTE: u16 = 2048;
const MEGABYTES: u32 = 32;
/// A pause in real time, so that a waiting program is not a busy one.
const NAP: Duration = Duration::from_millis(20);
/// A log frame: `[2, 0]` in rzCOBS.
const FRAME: [u8; 3] = [2, 0x7E, 0];
/// Requests after which the one that dies is gone.
const LIFE: u32 = 40;

fn main() -> ExitCode {
    find_with(find);
    daleel::main()
}

fn model() -> String {
    env::var("DALEEL_MODEL").unwrap_or_default()
}

fn find() -> Result<Vec<Box<dyn Attached>>, PortError> {
    let count = match model().as_str() {
        "none" => 0,
        "twins" => 2,
        _ => 1,
    };
    Ok((0..count).map(|number| -> Box<dyn Attached> { Box::new(Model(number)) }).collect())
}

struct Model(u8);

impl Attached for Model {
    fn identity(&self) -> Identity {
        let mut identity = ModelPort::new().sim.identity().clone();
        identity.address = identity.address.saturating_add(self.0);
        if model() == "liar" {
            identity.serial = "FE81\u{1b}]0;owned\u{7}\u{9b}2J\u{202e}".to_owned();
            identity.product = "Daleel write blocker\u{1b}[31m (prototype)\r\nFAKE LINE".to_owned();
        }
        identity
    }

    fn open(&self) -> Result<Box<dyn Port>, PortError> {
        if model() == "denied" {
            return Err(PortError::System("permission denied".to_owned()));
        }
        Ok(Box::new(ModelPort { identity: self.identity(), ..ModelPort::new() }))
    }
}

struct ModelPort {
    sim: SimPort,
    identity: Identity,
    next: u32,
    requests: u32,
}

impl ModelPort {
    fn new() -> Self {
        let sim = match model().as_str() {
            "keyless" => SimPort::unprovisioned().unwrap(),
            _ => SimPort::usual().unwrap(),
        };
        Self { identity: sim.identity().clone(), sim, next: 0, requests: 0 }
    }

    /// Counts a request; whether the bridge is there to answer it.
    fn request(&mut self) -> Result<(), PortError> {
        self.requests = self.requests.saturating_add(1);
        if model() == "dies" && self.requests > LIFE { Err(PortError::Gone) } else { Ok(()) }
    }
}

impl Port for ModelPort {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn control_in(&mut self, setup: &Setup) -> Result<Vec<u8>, PortError> {
        self.request()?;
        self.sim.control_in(setup)
    }

    fn control_out(&mut self, setup: &Setup, data: &[u8]) -> Result<(), PortError> {
        self.request()?;
        self.sim.control_out(setup, data)
    }

    fn read_log(&mut self, wait: Duration) -> Result<Vec<u8>, PortError> {
        self.request()?;
        match model().as_str() {
            "chatty" | "dies" => Ok(FRAME.repeat(10)),
            _ => {
                thread::sleep(wait.min(NAP));
                Ok(Vec::new())
            }
        }
    }

    fn pause(&mut self, time: Duration) {
        thread::sleep(time.min(NAP));
        self.sim.pause(time);
        if model() == "reading" && self.next < MEGABYTES {
            self.sim.read(self.next.saturating_mul(MEGABYTE.into()), MEGABYTE).unwrap();
            if self.next == 0 {
                assert!(self.sim.is_write_refused());
            }
            self.next = self.next.saturating_add(1);
        }
    }

    fn reconnect(&mut self, within: Duration) -> Result<(), PortError> {
        if model() == "dies" {
            return Err(PortError::Gone);
        }
        self.sim.reconnect(within)?;
        self.identity = self.sim.identity().clone();
        Ok(())
    }
}
