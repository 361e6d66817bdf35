//! The Pico's release image in an emulator (`firmware/emulation`), with a model SD card that obeys every write.
//!
//! The emulator is a program that takes one JSON object a line and answers with one; the time of its chip stands still in between. Here it is
//! a [`UsbDevice`], so the same peer serves it to the guest as any other.

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use wb_attest::interface::{Info, Request, flag};
use wb_sim::{
    guest::{Ended, has_program},
    usb::{InResult, OutResult, Speed, Stall, UsbDevice},
};

use crate::{board::firmware, statement::setup};

/// What the host contributes to the key.
const ENTROPY: [u8; 32] = [0x3C; 32];
/// Time of the chip for which a bulk transfer is tried at once, in microseconds.
const TRIED_US: u64 = 2_000;
/// Time of the chip that passes at once while nobody asks for anything.
const IDLE_US: u64 = 500;
/// Time of the chip between two looks at it before the guest comes, and how often it is looked at: a key takes it a second or more.
const STEP_US: u64 = 100_000;
const STEPS: usize = 150;
/// How long nobody has to ask for anything before it does.
const QUIET: Duration = Duration::from_millis(20);
/// Commands of the SD specification that identify, select and read, in SPI mode.
const READING: &[&str] = &[
    "CMD0", "CMD8", "CMD9", "CMD10", "CMD12", "CMD13", "CMD16", "CMD17", "CMD18", "CMD55", "CMD58",
    "CMD59", "ACMD13", "ACMD41", "ACMD51",
];

/// The emulator and the image, if they are here.
pub fn find() -> Result<(PathBuf, PathBuf), String> {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let packages = std::env::var_os("DALEEL_EMULATION")
        .map_or_else(|| home.join("../../target/emulation"), PathBuf::from);
    if !has_program("node") {
        return Err("no node".into());
    }
    if !packages.join("node_modules/rp2040js").exists() {
        return Err("no emulator of the Pico: firmware/emulation/prepare.sh installs it".into());
    }
    Ok((home.join("../emulation/harness.mjs"), firmware("pico.elf")?))
}

/// A running Pico.
pub struct Pico {
    _process: Ended,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    asked: Instant,
    digest: Value,
    restarts: Value,
}

impl Pico {
    /// Powers the board up without a card, gives it a key, and puts in a card with this content, whose blocks `bad` cannot be read.
    pub fn start((harness, image): &(PathBuf, PathBuf), content: &Path, bad: &[u64]) -> Self {
        let mut process = Command::new("node")
            .arg(harness)
            .arg(image)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let to = process.stdin.take().unwrap();
        let from = BufReader::new(process.stdout.take().unwrap());
        let asked = Instant::now();
        let process = Ended(process);
        let (digest, restarts) = (Value::Null, Value::Null);
        let mut pico = Self { _process: process, to, from, asked, digest, restarts };
        assert_eq!(pico.ask(&json!({ "do": "boot" }))["attached"], true, "not on the bus");
        pico.reset();
        pico.wait(0);
        pico.control(setup(&Request::Provision), &ENTROPY).unwrap();
        pico.wait(flag::KEY);
        // A data error token, bit 2: card ECC failed (SD specification, 7.3.3.3).
        let damage: serde_json::Map<String, Value> =
            bad.iter().map(|lba| (lba.to_string(), 4.into())).collect();
        pico.ask(&json!({ "do": "card", "image": content, "damage": damage }));
        pico.wait(flag::DRIVE);
        let state = pico.state();
        pico.digest = state["card"]["digest"].clone();
        // A new key restarts the board, by its watchdog.
        pico.restarts = state["watchdog_restarts"].clone();
        assert!(pico.digest.is_string());
        pico
    }

    fn ask(&mut self, request: &Value) -> Value {
        writeln!(self.to, "{request}").unwrap();
        self.to.flush().unwrap();
        let mut line = String::new();
        self.from.read_line(&mut line).unwrap();
        let answer: Value = serde_json::from_str(&line).unwrap();
        assert!(answer.get("error").is_none(), "{request}: {answer}");
        self.asked = Instant::now();
        answer
    }

    /// Lets the chip work until INFO has the flag; it may leave the bus and come back in between.
    fn wait(&mut self, flag: u32) {
        for _ in 0..STEPS {
            self.run(STEP_US);
            match self.control(setup(&Request::Info), &[]) {
                Ok(bytes) if Info::parse(&bytes).unwrap().has(flag) => return,
                Ok(_) => {}
                // Back on the bus, and not looked at yet.
                Err(Stall) => drop(self.ask(&json!({ "do": "reset" }))),
            }
        }
        panic!("no flag {flag:#x}: {}", self.state());
    }

    fn run(&mut self, us: u64) {
        self.ask(&json!({ "do": "run", "us": us }));
    }

    fn state(&mut self) -> Value {
        self.ask(&json!({ "do": "state" }))
    }

    /// Judges what reached the card, and the board's own health.
    pub fn judge(&mut self) {
        let state = self.state();
        let card = &state["card"];
        assert_eq!(card["digest"], self.digest, "the card changed");
        for count in ["changes", "writeTokens", "illegal", "tooFast"] {
            assert_eq!(card[count], 0, "{count}: {card}");
        }
        for name in card["commands"].as_object().unwrap().keys() {
            assert!(READING.contains(&name.as_str()), "command {name} reached the card: {card}");
        }
        assert_eq!(state["panic"], Value::Null);
        assert_eq!(state["watchdog_restarts"], self.restarts);
        assert_eq!(state["sequence_errors"], 0, "data toggles");
    }
}

impl UsbDevice for Pico {
    fn control(&mut self, setup: [u8; 8], data_out: &[u8]) -> Result<Vec<u8>, Stall> {
        let answer =
            self.ask(&json!({ "do": "control", "setup": hex(&setup), "data": hex(data_out) }));
        if answer["end"] == "ack" { Ok(bytes(&answer["data"])) } else { Err(Stall) }
    }

    fn bulk_out(&mut self, endpoint: u8, data: &[u8]) -> OutResult {
        let request =
            json!({ "do": "out", "endpoint": endpoint, "data": hex(data), "us": TRIED_US });
        let answer = self.ask(&request);
        let taken = usize::try_from(answer["taken"].as_u64().unwrap()).unwrap();
        match answer["end"].as_str().unwrap() {
            "stall" if taken == 0 => OutResult::Stall,
            "ack" => OutResult::Ack(taken),
            _ if taken == 0 => OutResult::Nak,
            _ => OutResult::Ack(taken),
        }
    }

    fn bulk_in(&mut self, endpoint: u8, max: usize) -> InResult {
        let request = json!({ "do": "in", "endpoint": endpoint, "max": max, "us": TRIED_US });
        let answer = self.ask(&request);
        let is_empty = answer["packets"] == 0;
        match answer["end"].as_str().unwrap() {
            "stall" if is_empty => InResult::Stall,
            "ack" => InResult::Data(bytes(&answer["data"])),
            _ if is_empty => InResult::Nak,
            _ => InResult::Data(bytes(&answer["data"])),
        }
    }

    fn reset(&mut self) {
        assert_eq!(
            self.ask(&json!({ "do": "reset" }))["answered"],
            true,
            "no answer after a reset"
        );
    }

    fn speed(&self) -> Speed {
        Speed::Full
    }

    fn tick(&mut self) {
        if self.asked.elapsed() > QUIET {
            let asked = self.asked;
            self.run(IDLE_US);
            self.asked = asked;
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn bytes(hex: &Value) -> Vec<u8> {
    let pairs = hex.as_str().unwrap().as_bytes().chunks(2);
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap() as u8;
    pairs.map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}
