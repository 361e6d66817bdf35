//! The Pico's release image in an emulator, as a [`UsbDevice`]: a scripted host can use it, and so can a real kernel behind
//! [`wb_sim::usbredir::Server`].
//!
//! `firmware/emulation` has the emulator and what it adds: the chip's USB controller down to data toggles, the boot ROM's flash functions, a
//! memory card that obeys every write. Time stands still between two calls, so a run is the same every time.

#![allow(dead_code)] // each test binary takes what it needs

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Map, Value, json};
use wb_attest::key::KeyPage;
use wb_sim::usb::{InResult, OutResult, Speed, Stall, UsbDevice};

/// Where the key page lies, and the boot counter before it.
pub const KEY_PAGE: u64 = 0x101F_F000;
pub const BOOT_COUNTER: u64 = 0x101F_E000;
pub const FLASH: u64 = 0x1000_0000;
/// Emulated time that passes while nothing is asked, and how often at most.
const TICK_US: u64 = 500;
const TICK_EVERY: Duration = Duration::from_millis(4);
/// Transfers in a row that find nothing, each after 5 ms of emulated time: beyond that the board has hung.
const SILENCE: u32 = 2_000;

/// What it takes to emulate the board.
#[derive(Clone, Debug)]
pub struct Tools {
    /// The release image.
    pub image: PathBuf,
    harness: PathBuf,
}

impl Tools {
    /// The image and the emulator, if they are here.
    ///
    /// # Errors
    /// What is missing.
    pub fn find() -> Result<Self, String> {
        let home = Path::new(env!("CARGO_MANIFEST_DIR"));
        let target = home.join("../../target");
        let place = |variable: &str, folder: &str| {
            std::env::var_os(variable).map_or_else(|| target.join(folder), PathBuf::from)
        };
        let image = place("DALEEL_FIRMWARE", "firmware").join("pico.elf");
        let package = place("DALEEL_EMULATION", "emulation").join("node_modules/rp2040js");
        let node = Command::new("node").arg("--version").output();
        if !node.is_ok_and(|output| output.status.success()) {
            return Err("no node".into());
        }
        if !package.exists() {
            return Err("no emulator: firmware/emulation/prepare.sh installs it".into());
        }
        if !image.exists() {
            return Err("no pico.elf: `cargo xtask firmware`".into());
        }
        Ok(Self { image, harness: home.join("../emulation/harness.mjs") })
    }
}

/// How the board is powered up.
#[derive(Clone, Debug, Default)]
pub struct PowerUp {
    /// Seed of the key of a board that was provisioned.
    pub seed: Option<[u8; 32]>,
    /// Bytes in flash, by address.
    pub flash: Vec<(u64, Vec<u8>)>,
    /// The strap is set.
    pub smart: bool,
    /// What goes over a wire takes its time.
    pub timed: bool,
}

/// The emulated board.
pub struct Emulated {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    connected: bool,
    ticked: Instant,
    silent: u32,
}

impl Emulated {
    /// Powers up a board; whether it is on the bus says [`UsbDevice::connected`].
    ///
    /// # Panics
    /// If the emulator cannot be started.
    pub fn start(tools: &Tools, power_up: &PowerUp) -> Self {
        let mut process = Command::new("node")
            .arg(&tools.harness)
            .arg(&tools.image)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node");
        let input = process.stdin.take().expect("stdin");
        let output = BufReader::new(process.stdout.take().expect("stdout"));
        let ticked = Instant::now();
        let mut board = Self { process, input, output, connected: false, ticked, silent: 0 };
        let key =
            power_up.seed.map(|seed| (KEY_PAGE, KeyPage::from_seed(seed).to_bytes().to_vec()));
        let flash: Map<String, Value> = power_up
            .flash
            .iter()
            .cloned()
            .chain(key)
            .map(|(address, bytes)| (address.to_string(), hex(&bytes).into()))
            .collect();
        let (smart, timed) = (power_up.smart, power_up.timed);
        let answer =
            board.ask(&json!({"do": "boot", "smart": smart, "timed": timed, "flash": flash}));
        board.connected = answer["attached"] == true;
        board
    }

    /// A command of the harness, and its answer.
    ///
    /// # Panics
    /// If the emulator failed: the program ran into what is none, or the command is not known.
    pub fn ask(&mut self, command: &Value) -> Value {
        writeln!(self.input, "{command}").expect("the harness ended");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("the harness ended");
        let answer: Value = serde_json::from_str(&line).unwrap_or_default();
        assert!(answer.is_object() && answer["error"].is_null(), "{command}: {line}");
        answer
    }

    /// Lets so many microseconds pass.
    pub fn run(&mut self, us: u64) {
        self.ask(&json!({"do": "run", "us": us}));
    }

    /// Waits until the board is on the bus, a few seconds at most; whether it came.
    pub fn wait_connected(&mut self) -> bool {
        self.connected = self.ask(&json!({"do": "wait_attached"}))["attached"] == true;
        self.connected
    }

    /// The supply off and on again.
    pub fn power_cycle(&mut self) -> bool {
        self.connected = self.ask(&json!({"do": "power_cycle"}))["attached"] == true;
        self.connected
    }

    /// Puts a card with this content into the slot; `options` as in `card.mjs`, for example `{"crc": "rejects"}`.
    ///
    /// # Panics
    /// If `options` is no object.
    pub fn insert(&mut self, content: &Path, options: &Value) {
        let mut command = json!({"do": "card", "image": content});
        let known = command.as_object_mut().expect("an object");
        known.extend(options.as_object().expect("an object").clone());
        self.ask(&command);
    }

    /// Takes the card out.
    pub fn remove(&mut self) {
        self.ask(&json!({"do": "card"}));
    }

    /// Everything that can be told of the board.
    pub fn state(&mut self) -> Value {
        self.ask(&json!({"do": "state"}))
    }

    /// Bytes of the flash.
    pub fn flash(&mut self, address: u64, length: usize) -> Vec<u8> {
        let answer = self.ask(&json!({"do": "flash", "address": address, "length": length}));
        unhex(&answer["data"])
    }

    fn heard(&mut self, answer: &Value) -> String {
        let end = answer["end"].as_str().unwrap_or_default().to_owned();
        self.connected = end != "gone";
        self.silent = if end == "nak" { self.silent.saturating_add(1) } else { 0 };
        assert!(self.silent < SILENCE, "the board is silent: {}", self.state());
        end
    }
}

impl Drop for Emulated {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl UsbDevice for Emulated {
    fn control(&mut self, setup: [u8; 8], data_out: &[u8]) -> Result<Vec<u8>, Stall> {
        let answer =
            self.ask(&json!({"do": "control", "setup": hex(&setup), "data": hex(data_out)}));
        if self.heard(&answer) == "ack" { Ok(unhex(&answer["data"])) } else { Err(Stall) }
    }

    fn bulk_out(&mut self, endpoint: u8, data: &[u8]) -> OutResult {
        let answer = self.ask(&json!({"do": "out", "endpoint": endpoint, "data": hex(data)}));
        let taken = answer["taken"].as_u64().and_then(|taken| usize::try_from(taken).ok());
        match (self.heard(&answer).as_str(), taken.unwrap_or(0)) {
            ("ack", taken) => OutResult::Ack(taken),
            ("stall", 0) => OutResult::Stall,
            (_, 0) => OutResult::Nak,
            (_, taken) => OutResult::Ack(taken),
        }
    }

    fn bulk_in(&mut self, endpoint: u8, max: usize) -> InResult {
        let answer = self.ask(&json!({"do": "in", "endpoint": endpoint, "max": max}));
        let end = self.heard(&answer);
        match (answer["packets"].as_u64().unwrap_or(0), end.as_str()) {
            (0, "stall") => InResult::Stall,
            (0, _) => InResult::Nak,
            _ => InResult::Data(unhex(&answer["data"])),
        }
    }

    fn reset(&mut self) {
        self.connected = self.ask(&json!({"do": "reset"}))["answered"] == true;
    }

    fn speed(&self) -> Speed {
        Speed::Full
    }

    fn connected(&self) -> bool {
        self.connected
    }

    /// Emulated time costs real time, of which a guest beside the emulator needs its share.
    fn tick(&mut self) {
        if self.ticked.elapsed() >= TICK_EVERY {
            self.run(TICK_US);
            self.ticked = Instant::now();
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &Value) -> Vec<u8> {
    let digits = text.as_str().unwrap_or_default().as_bytes();
    let value = |pair: &[u8; 2]| {
        std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok())
    };
    digits.as_chunks::<2>().0.iter().filter_map(value).collect()
}
