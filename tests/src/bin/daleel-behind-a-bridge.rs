//! The program `daleel` with a bridge of the simulator on its port, and a source that is read through it: `daleel image --bridge` as people
//! meet it. Every path that ends in `behind.bridge` is that source: the model drive of 32 MiB, by the bridge's READ commands.
//!
//! `DALEEL_FAULT` says what happens, each once, separated by commas: `flip:N` (a byte of megabyte N changes between bridge and host),
//! `write:N` (somebody else tries to write when megabyte N is read), `reset:N` (the bridge restarts before megabyte N; from megabyte
//! N + 4 on a session is waited for), `gone:N` (it leaves its port for good before megabyte N), `bad:N` (the first sector of megabyte N
//! is unreadable), `slow` (a megabyte takes a tenth of a second). `DALEEL_BOOTS` is how often the bridge was powered up.

// A model that does not come up has to fail the test.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::{
    env, io,
    path::Path,
    process::ExitCode,
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use daleel::bridge::{
    attached::{Attached, find_with},
    port::{Identity, Port, PortError},
    sim::SimPort,
};
use daleel_acquire::devices::{
    Disk,
    elsewhere::{Elsewhere, read_with},
};
use wb_attest::interface::{Info, Request, Setup, flag};
use wb_sim::{
    bridge::Setup as SimSetup,
    drive::{BadBlocks, BadKind, DriveConfig},
    host::Phase,
};

const MEGABYTE: usize = 1 << 20;
const SECTOR: usize = 512;
/// EIO on every Unix.
const EIO: i32 = 5;
/// A pause in real time, so that a waiting program is not a busy one.
const NAP: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(60);
/// Megabytes that are read after a restart before a session is waited for.
const BETWEEN: u64 = 4;

/// The serial is that of the key, which outlives a restart.
static IDENTITY: LazyLock<Identity> = LazyLock::new(|| power_up(1, None).identity().clone());
static BRIDGE: Mutex<Option<Model>> = Mutex::new(None);

/// The bridge, and the faults that are still to come.
struct Model {
    sim: Option<SimPort>,
    boots: u32,
    faults: Vec<(String, u64)>,
    is_slow: bool,
    wait_from: Option<u64>,
}

fn main() -> ExitCode {
    find_with(|| Ok(vec![Box::new(OnPort)]));
    read_with(|path| {
        path.ends_with("behind.bridge").then(|| Arc::new(Behind) as Arc<dyn Elsewhere>)
    });
    daleel::main()
}

/// A bridge after its power-up, with the drive attached and its first unit attention taken.
fn power_up(boots: u32, bad: Option<u64>) -> SimPort {
    let setup = SimSetup { boot_counter: boots, ..SimSetup::default() };
    let mut config = DriveConfig::default();
    if let Some(megabyte) = bad {
        let first = megabyte * (MEGABYTE / SECTOR) as u64;
        config.faults.bad.push(BadBlocks { blocks: first..first + 1, kind: BadKind::Medium });
    }
    let mut sim = SimPort::new(&setup, config).unwrap();
    sim.host().command(&[0; 6], Phase::None).ok().unwrap();
    sim
}

impl Model {
    fn new() -> Self {
        let boots = env::var("DALEEL_BOOTS").map_or(1, |boots| boots.parse().unwrap());
        let text = env::var("DALEEL_FAULT").unwrap_or_default();
        let faults = text.split(',').filter_map(|fault| fault.split_once(':'));
        let faults = faults.map(|(what, where_)| (what.to_owned(), where_.parse().unwrap()));
        let faults: Vec<(String, u64)> = faults.collect();
        let bad = faults.iter().find(|(what, _)| what == "bad").map(|(_, place)| *place);
        let sim = Some(power_up(boots, bad));
        Self { sim, boots, faults, is_slow: text.contains("slow"), wait_from: None }
    }

    /// Whether a fault is due, once.
    fn takes(&mut self, what: &str, megabyte: u64) -> bool {
        let place =
            self.faults.iter().position(|fault| (fault.0.as_str(), fault.1) == (what, megabyte));
        place.map(|place| self.faults.remove(place)).is_some()
    }

    fn sim(&mut self) -> Result<&mut SimPort, PortError> {
        self.sim.as_mut().ok_or(PortError::Gone)
    }

    fn has_session(&mut self) -> bool {
        let Some(sim) = &mut self.sim else { return false };
        let answer = sim.control_in(&Request::Info.setup().unwrap()).unwrap();
        Info::parse(&answer).unwrap().has(flag::SESSION)
    }

    /// What happens before a megabyte is read; whether it can be read now.
    fn before(&mut self, megabyte: u64) -> bool {
        if self.wait_from.is_some_and(|from| megabyte >= from) {
            if !self.has_session() {
                return false;
            }
            self.wait_from = None;
        }
        if self.takes("reset", megabyte) {
            self.boots += 1;
            self.sim = Some(power_up(self.boots, None));
            self.wait_from = Some(megabyte + BETWEEN);
        }
        if self.takes("gone", megabyte) {
            self.sim = None;
        }
        if self.takes("write", megabyte) {
            assert!(self.sim().unwrap().is_write_refused());
        }
        true
    }

    fn read(&mut self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let lba = u32::try_from(offset / SECTOR as u64).unwrap();
        let blocks = u16::try_from(buf.len() / SECTOR).unwrap();
        let no_device = || io::Error::from_raw_os_error(19);
        let bytes = self.sim().map_err(|_| no_device())?.read(lba, blocks);
        buf.copy_from_slice(&bytes.ok_or_else(|| io::Error::from_raw_os_error(EIO))?);
        if self.takes("flip", offset / MEGABYTE as u64) {
            buf[1000] ^= 1;
        }
        Ok(())
    }
}

fn model() -> Access {
    let mut guard = BRIDGE.lock().unwrap_or_else(PoisonError::into_inner);
    guard.get_or_insert_with(Model::new);
    Access(guard)
}

struct Access(MutexGuard<'static, Option<Model>>);

impl Access {
    fn with<T>(&mut self, act: impl FnOnce(&mut Model) -> T) -> T {
        act(self.0.as_mut().unwrap())
    }
}

/// The source.
struct Behind;

impl Elsewhere for Behind {
    fn len(&self) -> u64 {
        let config = DriveConfig::default();
        config.blocks * u64::from(config.block_bytes)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let mut at = offset;
        for piece in buf.chunks_mut(MEGABYTE) {
            let began = Instant::now();
            while !model().with(|model| model.before(at / MEGABYTE as u64)) {
                assert!(began.elapsed() < PATIENCE, "no session is opened again");
                thread::sleep(NAP);
            }
            if model().with(|model| model.is_slow) {
                thread::sleep(NAP * 5);
            }
            model().with(|model| model.read(at, piece))?;
            at += piece.len() as u64;
        }
        Ok(())
    }
}

/// The bridge on the port.
struct OnPort;

impl Attached for OnPort {
    fn identity(&self) -> Identity {
        IDENTITY.clone()
    }

    fn open(&self) -> Result<Box<dyn Port>, PortError> {
        model().with(|model| model.sim().map(|_| ()))?;
        Ok(Box::new(Shared(self.identity())))
    }

    fn carries(&self, source: &Path, _: Option<&Disk>) -> bool {
        source.ends_with("behind.bridge")
    }
}

/// Its interface 1, which shares the bridge with the source.
struct Shared(Identity);

impl Port for Shared {
    fn identity(&self) -> &Identity {
        &self.0
    }

    fn control_in(&mut self, setup: &Setup) -> Result<Vec<u8>, PortError> {
        model().with(|model| model.sim()?.control_in(setup))
    }

    fn control_out(&mut self, setup: &Setup, data: &[u8]) -> Result<(), PortError> {
        model().with(|model| model.sim()?.control_out(setup, data))
    }

    fn read_log(&mut self, wait: Duration) -> Result<Vec<u8>, PortError> {
        thread::sleep(wait.min(NAP));
        Ok(Vec::new())
    }

    fn pause(&mut self, time: Duration) {
        thread::sleep(time.min(NAP));
        let _ = model().with(|model| model.sim().map(|sim| sim.pause(time)));
    }

    fn reconnect(&mut self, _: Duration) -> Result<(), PortError> {
        model().with(|model| model.sim().map(|_| ()))
    }
}
