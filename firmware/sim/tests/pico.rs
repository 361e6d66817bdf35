//! The Pico's release image, run in an emulator: it enumerates, reads, refuses, states what it did, and no command that writes ever reaches
//! the card.
//!
//! The image is the one that `cargo xtask firmware` makes (`pico.elf` in `target/firmware`, or in the folder named by `DALEEL_FIRMWARE`), the
//! emulator the one that `firmware/emulation/prepare.sh` installs. What is missing is said as SKIPPED; with `DALEEL_REQUIRE_ORACLES` it fails.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used
)] // a check that cannot be made has to fail

mod emulated;
#[path = "pico/keys.rs"]
mod keys;

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use emulated::{BOOT_COUNTER, Emulated, FLASH, KEY_PAGE, PowerUp, Tools};
use serde_json::{Value, json};
use wb_attest::{
    interface::{self, Ending, Info, Leaves, Request, descriptors, flag},
    key::{KeyPage, key_id, usb_serial},
    log::Entry,
    sha256,
    statement::{Kind, Layer},
    verify::{Expected, LogVerdict, Medium, Signed, Statement, log_agrees},
};
use wb_policy::tables::POLICY_DIGEST;
use wb_sim::{
    card::content,
    host::{Host, Outcome, Phase, wrapper},
    usb::{InResult, OutResult, UsbDevice},
};

/// Seed of the key of a board that was provisioned.
const SEED: [u8; 32] = [0x42; 32];
const START: [u8; 32] = [0x11; 32];
const END: [u8; 32] = [0x22; 32];
/// Blocks of the card.
const BLOCKS: u32 = 8192;
/// Time in which a card is found and captured, in microseconds.
const ATTACH_US: u64 = 600_000;
/// Time after which a card that has gone is missed.
const MISSED_US: u64 = 1_600_000;

const NOT_PRESENT: [u8; 3] = [0x02, 0x3A, 0x00];
const INCOMPATIBLE: [u8; 3] = [0x02, 0x30, 0x00];
const MEDIUM_CHANGED: [u8; 3] = [0x06, 0x28, 0x00];
const POWER_ON: [u8; 3] = [0x06, 0x29, 0x00];

/// Everything that the driver may send to a card (published policy, section 7.3, and CMD13 for a locked card).
const ALLOWED: [&str; 14] = [
    "CMD0", "CMD8", "CMD9", "CMD10", "CMD12", "CMD13", "CMD16", "CMD17", "CMD18", "CMD55", "CMD58",
    "CMD59", "ACMD41", "ACMD13",
];

/// A host, the board, and the card's content in a file.
struct Bench {
    host: Host<Emulated>,
    file: PathBuf,
    _folder: tempfile::TempDir,
}

fn tools() -> Option<Tools> {
    match Tools::find() {
        Ok(tools) => Some(tools),
        Err(why) => {
            assert!(std::env::var_os("DALEEL_REQUIRE_ORACLES").is_none(), "required: {why}");
            println!("SKIPPED: {why}");
            None
        }
    }
}

fn image() -> Vec<u8> {
    (0..u64::from(BLOCKS)).flat_map(content).collect()
}

impl Bench {
    /// A board that was provisioned, on the bus, its slot empty.
    fn empty(tools: &Tools, power_up: &PowerUp) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("card");
        std::fs::File::create(&file).unwrap().write_all(&image()).unwrap();
        let mut host = Host::new(Emulated::start(tools, power_up));
        assert!(host.device().connected(), "not on the bus: {}", host.device_mut().state());
        assert!(host.enumerate());
        Self { host, file, _folder: folder }
    }

    /// The same with a card, whose unit attention is taken.
    fn with_card(tools: &Tools) -> Self {
        let power_up = PowerUp { seed: Some(SEED), ..PowerUp::default() };
        let mut bench = Self::empty(tools, &power_up);
        bench.insert(&json!({}));
        bench.sense_of(&[0; 6]);
        assert_eq!(bench.command(&[0; 6], Phase::None).status, 0, "ready");
        bench
    }

    fn board(&mut self) -> &mut Emulated {
        self.host.device_mut()
    }

    fn insert(&mut self, options: &Value) {
        let file = self.file.clone();
        self.board().insert(&file, options);
        self.board().run(ATTACH_US);
    }

    fn command(&mut self, cdb: &[u8], phase: Phase<'_>) -> Outcome {
        self.host.command(cdb, phase).unwrap()
    }

    /// Sense of a command that fails.
    fn sense_of(&mut self, cdb: &[u8]) -> [u8; 3] {
        assert_eq!(self.command(cdb, Phase::None).status, 1, "{cdb:02X?}");
        self.host.sense().unwrap().0
    }

    fn read(&mut self, lba: u32, blocks: u16) -> Outcome {
        let [a, b, c, d] = lba.to_be_bytes();
        let [n, m] = blocks.to_be_bytes();
        let cdb = [0x28, 0, a, b, c, d, 0, n, m, 0];
        self.command(&cdb, Phase::In(u32::from(blocks) * 512))
    }

    fn request(&mut self, request: &Request, data: &[u8]) -> Option<Vec<u8>> {
        self.board().control(setup(request), data).ok()
    }

    fn info(&mut self) -> Info {
        Info::parse(&self.request(&Request::Info, &[]).unwrap()).unwrap()
    }

    fn leaves(&mut self) -> Vec<Entry> {
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let room = self.info().answer;
            let request = Request::Leaves { first: entries.len() as u16, room };
            let answer = self.request(&request, &[]).unwrap();
            let leaves = Leaves::parse(&answer).unwrap();
            if leaves.is_empty() {
                return entries;
            }
            entries.extend(leaves.entries());
        }
    }

    /// Fetches the statement that is ready, and verifies it.
    fn statement(&mut self) -> Statement {
        let info = self.info();
        assert!(info.has(flag::STATEMENT));
        let mut bytes = Vec::new();
        while bytes.len() < info.statement as usize {
            let request = Request::Statement { offset: bytes.len() as u32, room: info.answer };
            bytes.extend(self.request(&request, &[]).unwrap());
        }
        let signed = Signed::parse(&bytes).unwrap();
        let statement = signed.verify(&KeyPage::from_seed(SEED).public_key).unwrap().clone();
        let expected = Expected {
            start_nonce: START,
            end_nonce: END,
            firmware: Some(info.firmware),
            policy: Some(POLICY_DIGEST),
        };
        assert_eq!(statement.findings(&expected), []);
        statement
    }

    /// What must hold at the end of every test: no write at the card, no packet out of sequence, nothing restarted by itself, room left on the
    /// stack, and the flash written where and as it may be.
    fn settle(mut self) -> Value {
        let state = self.board().state();
        assert_eq!(state["panic"], Value::Null);
        assert_eq!(state["sequence_errors"], 0);
        assert_eq!(state["late_packets"], 0, "erratum RP2040-E15");
        let number = |name: &str| state[name].as_i64().unwrap();
        assert!(number("lowest_stack") - number("stack_limit") > 16 << 10, "{state}");
        assert_eq!(state["rom"]["mistakes"], json!([]));
        assert_eq!(state["scratch"], json!(vec![0; 8]), "the boot ROM would look at these");
        if state["card"].is_object() {
            judge_card(&state["card"], &self.file);
        }
        state
    }
}

fn judge_card(card: &Value, file: &Path) {
    for command in card["commands"].as_object().unwrap().keys() {
        assert!(ALLOWED.contains(&command.as_str()) || command == "ACMD51", "{command}");
    }
    assert_eq!((&card["changes"], &card["writeTokens"]), (&json!(0), &json!(0)));
    assert_eq!(card["tooFast"], 0, "the clock before the card is initialised");
    assert!(std::fs::read(file).unwrap() == image());
}

fn setup(request: &Request) -> [u8; 8] {
    let setup = request.setup().unwrap();
    let [v0, v1] = setup.value.to_le_bytes();
    let [i0, i1] = setup.index.to_le_bytes();
    let [l0, l1] = setup.length.to_le_bytes();
    [setup.request_type, setup.request, v0, v1, i0, i1, l0, l1]
}

/// Requirements 5.1: descriptors, strings, and the tables that Windows asks for.
#[test]
fn the_board_enumerates() {
    let Some(tools) = tools() else { return };
    let power_up = PowerUp { seed: Some(SEED), ..PowerUp::default() };
    let mut bench = Bench::empty(&tools, &power_up);
    let mut get = |kind: u8, index: u8, length: u8| {
        let language = if kind == 3 { [0x09, 0x04] } else { [0, 0] };
        let setup = [0x80, 6, index, kind, language[0], language[1], length, 0];
        bench.board().control(setup, &[]).unwrap()
    };
    let device = get(1, 0, 18);
    assert_eq!(device[2..8], [0x10, 0x02, 0, 0, 0, 64]);
    assert_eq!(device[8..14], [0x09, 0x12, 0x01, 0x00, 0x10, 0x00]);
    assert_eq!(device[17], 1, "one configuration");
    let configuration = get(2, 0, 255);
    assert_eq!(usize::from(configuration[2]), configuration.len());
    assert_eq!(configuration[4], 2, "interfaces");
    let [storage, own] = [9, 9 + 9 + 7 + 7].map(|at| &configuration[at..at + 9]);
    assert_eq!(storage[5..8], interface::STORAGE_CLASS);
    assert_eq!(own[5..8], interface::BRIDGE_CLASS);
    let text = |number: u8, get: &mut dyn FnMut(u8, u8, u8) -> Vec<u8>| {
        let units: Vec<u16> =
            get(3, number, 255)[2..].chunks(2).map(|c| u16::from_le_bytes([c[0], c[1]])).collect();
        String::from_utf16(&units).unwrap()
    };
    assert_eq!(text(device[14], &mut get), interface::MANUFACTURER);
    assert_eq!(text(device[15], &mut get), interface::PRODUCT);
    let serial = usb_serial(&key_id(&KeyPage::from_seed(SEED).public_key));
    assert_eq!(text(device[16], &mut get).as_bytes(), serial);
    let bos = get(15, 0, 255);
    assert_eq!(usize::from(bos[2]), bos.len());
    let capability = [&[28, 0x10, 0x05][..], &descriptors::PLATFORM_CAPABILITY].concat();
    assert!(bos.windows(28).any(|window| window == capability));
    let set = bench.board().control([0xC0, 0x20, 0, 0, 7, 0, 178, 0], &[]).unwrap();
    assert_eq!(set, descriptors::MS_OS_20);
    bench.settle();
}

/// HWB-AM-02, D-01: every block by every kind of READ; the card gets reads and nothing else.
#[test]
fn the_card_is_read_identical() {
    let Some(tools) = tools() else { return };
    let mut bench = Bench::with_card(&tools);
    let image = image();
    for lba in (0..BLOCKS).step_by(128) {
        let outcome = bench.read(lba, 128);
        assert_eq!((outcome.status, outcome.residue), (0, 0));
        assert!(outcome.data == image[lba as usize * 512..][..128 * 512], "block {lba}");
    }
    for (cdb, lba, blocks) in [
        (vec![0x08, 0x00, 0x07, 0xD3, 3, 0], 0x7D3, 3_usize),
        (vec![0xA8, 0, 0, 0, 0x1F, 0xFE, 0, 0, 0, 2, 0, 0], 0x1FFE, 2),
        (vec![0x88, 0, 0, 0, 0, 0, 0, 0, 0x10, 0x01, 0, 0, 0, 17, 0, 0], 0x1001, 17),
    ] {
        let outcome = bench.command(&cdb, Phase::In(blocks as u32 * 512));
        assert_eq!(outcome.status, 0, "{cdb:02X?}");
        assert!(outcome.data == image[lba * 512..][..blocks * 512], "{cdb:02X?}");
    }
    // Beyond the end, and across it.
    assert_eq!(bench.sense_of(&[0x28, 0, 0, 0, 0x20, 0, 0, 0, 1, 0]), [0x05, 0x21, 0x00]);
    assert_eq!(bench.sense_of(&[0x28, 0, 0, 0, 0x1F, 0xFF, 0, 0, 2, 0]), [0x05, 0x21, 0x00]);
    let inquiry = bench.command(&[0x12, 0, 0, 0, 36, 0], Phase::In(36));
    assert_eq!(&inquiry.data[8..36], b"SD03 SD MODEL           1.2 ");
    let mode = bench.command(&[0x1A, 0, 0x3F, 0, 192, 0], Phase::In(192));
    assert_eq!(mode.data[2] & 0x80, 0x80, "write-protected");
    bench.settle();
}

/// Operation codes that change the medium or its accessibility, from the standards' lists (SPC-4 E.3, SBC-3, SSC, MMC).
const WRITES: [u8; 34] = [
    0x04, 0x07, 0x0A, 0x18, 0x19, 0x2A, 0x2C, 0x2E, 0x38, 0x3A, 0x3D, 0x3F, 0x41, 0x42, 0x48, 0x50,
    0x51, 0x53, 0x5B, 0x80, 0x81, 0x82, 0x83, 0x89, 0x8A, 0x8B, 0x8E, 0x93, 0x94, 0x9A, 0x9C, 0xAA,
    0xAC, 0xAE,
];
/// Operation codes that a card answers or gets passed.
const OFFERED: [u8; 20] = [
    0x00, 0x03, 0x08, 0x12, 0x1A, 0x1B, 0x1E, 0x23, 0x25, 0x28, 0x35, 0x4D, 0x5A, 0x88, 0x91, 0x95,
    0x9E, 0xA0, 0xA3, 0xA8,
];

fn length(opcode: u8) -> usize {
    match opcode >> 5 {
        1 | 2 => 10,
        4 => 16,
        5 => 12,
        _ => 6,
    }
}

/// HWB-01, HWB-02, HWB-AM-01, D-06: all 256 operation codes with data towards the card and without; what writes is refused as
/// write-protected, what is not offered as that, and the card notices nothing.
#[test]
fn everything_that_writes_is_refused() {
    let Some(tools) = tools() else { return };
    let mut bench = Bench::with_card(&tools);
    let before = bench.board().state()["card"].clone();
    let sector = [0xA5; 512];
    for opcode in (0..=255).filter(|opcode| !OFFERED.contains(opcode)) {
        let mut cdb = vec![0; length(opcode)];
        cdb[0] = opcode;
        for phase in [Phase::Out(&sector), Phase::None] {
            let outcome = bench.command(&cdb, phase);
            assert_eq!(outcome.status, 1, "{opcode:02X}");
            assert!(matches!(phase, Phase::None) || outcome.residue == 512, "{opcode:02X}");
            let (code, raw) = bench.host.sense().unwrap();
            let is_write = WRITES.contains(&opcode);
            // 9Fh and A2h are offered to disks with other service actions and protocols; a card has none of them.
            let expected: &[[u8; 3]] = match opcode {
                _ if is_write => &[[0x07, 0x27, 0x00]],
                0x9F | 0xA2 => &[[0x05, 0x24, 0x00], [0x05, 0x20, 0x00]],
                _ => &[[0x05, 0x20, 0x00]],
            };
            assert!(expected.contains(&code), "{opcode:02X} {code:02X?}");
            assert_eq!(raw[14], 0x57, "{opcode:02X}: a refusal of the bridge's own");
        }
    }
    let after = bench.board().state()["card"].clone();
    let only_status = |name: &str, now: &Value| name == "CMD13" || *now == before["commands"][name];
    for (name, now) in after["commands"].as_object().unwrap() {
        assert!(only_status(name, now), "{name} was sent");
    }
    assert!(bench.info().refused > 60);
    bench.settle();
}

/// Policy 6.1, D-06: a refused write's data are drained to the last byte and its status comes; beyond 16 MiB the endpoint is halted; what is
/// no command wrapper halts both endpoints until reset recovery. Toggles are right after each cleared halt.
#[test]
fn transport_goes_on_after_refusals_and_halts() {
    let Some(tools) = tools() else { return };
    let mut bench = Bench::with_card(&tools);
    let write = [0x2A, 0, 0, 0, 0, 0, 0, 0, 128, 0];
    for length in [1, 63, 64, 65, 512, 65_536] {
        let outcome = bench.command(&write, Phase::Zeros(length));
        assert_eq!((outcome.status, outcome.residue), (1, length));
        assert_eq!(outcome.taken, length as usize);
    }
    let too_much = wrapper(7, 17 << 20, 0, &write);
    assert_eq!(bench.host.raw(&too_much), OutResult::Ack(31));
    let mut sent = 0;
    while bench.board().bulk_out(1, &[0; 512]) != OutResult::Stall {
        sent += 1;
        assert!(sent < 10_000, "no halt");
    }
    bench.host.clear_halt(0x01);
    assert!(matches!(bench.board().bulk_in(1, 13), InResult::Data(status) if status[12] == 1));
    assert_eq!(bench.read(0, 1).data, image()[..512]);
    // A short answer ends in a halt, three times: the toggle is once this, once that.
    for _ in 0..3 {
        let outcome = bench.command(&[0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0], Phase::In(64));
        assert_eq!((outcome.status, outcome.residue, outcome.data.len()), (0, 56, 8));
        let outcome = bench.command(&[0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0], Phase::In(1024));
        assert_eq!((outcome.residue, outcome.data.len(), outcome.stalled), (512, 512, true));
    }
    for junk in [&b"junk"[..], &[0; 31], &[0x55; 64]] {
        assert_eq!(bench.host.raw(junk), OutResult::Ack(junk.len()));
        bench.board().run(1000);
        assert_eq!(bench.board().bulk_in(1, 13), InResult::Stall);
        assert_eq!(bench.board().bulk_out(1, &[0; 31]), OutResult::Stall);
        bench.host.clear_halt(0x81);
        bench.board().run(1000);
        assert_eq!(bench.board().bulk_in(1, 13), InResult::Stall, "only reset recovery ends it");
        assert!(bench.host.recover());
        assert_eq!(bench.read(100, 2).data, image()[100 * 512..102 * 512]);
    }
    assert!(bench.host.enumerate());
    assert_eq!(bench.sense_of(&[0; 6]), POWER_ON);
    assert_eq!(bench.read(5, 1).status, 0);
    bench.settle();
}

/// a session with its digest log, a checkpoint that is signed while reads go on, and the final statement; the firmware digest is
/// that of the flash range.
#[test]
fn a_session_is_stated_and_verified() {
    let Some(tools) = tools() else { return };
    let mut bench = Bench::with_card(&tools);
    let image = image();
    bench.request(&Request::Start, &START).unwrap();
    for lba in (0..4096).step_by(128) {
        assert_eq!(bench.read(lba, 128).status, 0);
    }
    let write = bench.command(&[0x2A, 0, 0, 0, 0, 0, 0, 0, 1, 0], Phase::Zeros(512));
    assert_eq!(write.status, 1);
    let entries = bench.leaves();
    let chunks: Vec<&[u8]> = image.chunks(1 << 20).take(2).collect();
    assert_eq!(entries.len(), 2);
    for (entry, chunk) in entries.iter().zip(chunks) {
        assert_eq!(entry.digest, sha256(&[chunk]));
    }
    bench.request(&Request::Finish(Ending::Checkpoint), &END).unwrap();
    let mut reads = 0_u32;
    while !bench.info().has(flag::STATEMENT) {
        let lba = 4096 + reads * 8;
        assert!(bench.read(lba, 8).data == image[lba as usize * 512..][..4096], "block {lba}");
        reads += 1;
        assert!(reads < 500, "signing does not get on");
    }
    println!("{reads} reads of 4 KiB while the checkpoint was signed");
    assert!(reads > 20, "reads waited for the signature");
    let checkpoint = bench.statement();
    assert_eq!((checkpoint.session.kind, checkpoint.log.entries), (Kind::Checkpoint, 2));
    bench.request(&Request::Finish(Ending::Final), &END).unwrap();
    while !bench.info().has(flag::STATEMENT) {
        bench.board().run(20_000);
    }
    let statement = bench.statement();
    assert_eq!(statement.session.kind, Kind::Final);
    assert_eq!(log_agrees(&statement, &entries), LogVerdict::Agrees);
    assert_eq!(statement.drive.capacity, u64::from(BLOCKS));
    assert_eq!(statement.coverage.blocks, u64::from(4096 + reads * 8));
    assert_eq!(statement.refusals.modifying, 1);
    let Medium::Card(card) = &statement.drive.medium else { panic!("no card") };
    assert!(card.spi_crc);
    assert_eq!(&card.cid[3..8], b"MODEL");
    let in_session = statement.counters.total.received - statement.counters.total_at_start.received;
    assert_eq!(in_session, u64::from(32 + 1 + reads));
    assert_eq!(statement.firmware.digest, sha256(&[&flash_range(&mut bench)]));
    let sent = bench.board().state()["card"]["commands"].clone();
    let stated = |index: u8| {
        let is_it = |layer, code| layer == Layer::Sd && code == index;
        let rows = &statement.emitted.commands.first;
        let row = rows.iter().find(|row| is_it(row.command.layer, row.command.code));
        row.map_or(0, |row| row.count)
    };
    for index in [9, 10, 12, 17, 18] {
        let carried = sent[&format!("CMD{index}")].as_u64().unwrap_or(0);
        assert_eq!(stated(index), carried, "CMD{index}");
    }
    bench.settle();
}

/// Requirements 5.3, D-05: a host that resets the transport in the midst of an answer and goes on without clearing the halts makes the board leave
/// its bus, and wipes nothing: session, log, refusals and the card's state live on, the chip does not restart.
#[test]
fn a_host_cannot_wipe_a_session_by_a_reset() {
    let Some(tools) = tools() else { return };
    let mut bench = Bench::with_card(&tools);
    bench.request(&Request::Start, &START).unwrap();
    for lba in (0..2048).step_by(128) {
        assert_eq!(bench.read(lba, 128).status, 0);
    }
    assert_eq!(bench.command(&[0x2A, 0, 0, 0, 0, 0, 0, 0, 1, 0], Phase::Zeros(512)).status, 1);
    let before = (bench.info(), bench.board().state()["card"]["commands"].clone());
    for round in 0..3 {
        // An answer whose first packet waits for the host, and is left there.
        let read = wrapper(round, 4096, 0x80, &[0x28, 0, 0, 0, 0, 0, 0, 0, 8, 0]);
        assert_eq!(bench.host.raw(&read), OutResult::Ack(31));
        bench.board().run(20_000);
        bench.board().control([0x21, 0xFF, 0, 0, 0, 0, 0, 0], &[]).unwrap();
        bench.board().run(1000);
        assert_eq!(bench.host.raw(&wrapper(7, 0, 0, &[0; 6])), OutResult::Ack(31));
        let away = time_off_the_bus(bench.board());
        assert!((100_000..300_000).contains(&away), "{away} us off the bus");
        assert!(bench.host.enumerate());
        assert_eq!(bench.sense_of(&[0; 6]), POWER_ON);
        assert_eq!(bench.read(9, 1).data, image()[9 * 512..10 * 512]);
    }
    let state = bench.board().state();
    assert_eq!((&state["power_ups"], &state["watchdog_restarts"]), (&json!(1), &json!(0)));
    assert_eq!(state["card"]["commands"]["CMD10"], before.1["CMD10"], "captured once");
    let info = bench.info();
    assert!(info.has(flag::SESSION));
    let kept = |info: &Info| (info.session, info.entries, info.refused, info.boot_counter);
    assert_eq!(kept(&info), kept(&before.0));
    assert_eq!(kept(&info), (1, 1, 1, 1));
    let entries = bench.leaves();
    bench.request(&Request::Finish(Ending::Final), &END).unwrap();
    while !bench.info().has(flag::STATEMENT) {
        bench.board().run(20_000);
    }
    let statement = bench.statement();
    assert_eq!(log_agrees(&statement, &entries), LogVerdict::Agrees);
    assert_eq!(statement.refusals.modifying, 1);
    assert_eq!(statement.coverage.blocks, 2048, "nothing but what left, once");
    bench.settle();
}

/// Waits until the board has left the bus and come back: how long it was away, in microseconds.
fn time_off_the_bus(board: &mut Emulated) -> u64 {
    let mut waited = 0;
    while board.state()["attached"] == true {
        board.run(1000);
        waited += 1;
        assert!(waited < 1000, "still on the bus");
    }
    let gone = board.state()["us"].as_u64().unwrap();
    assert!(board.wait_connected());
    board.state()["us"].as_u64().unwrap() - gone
}

/// Requirements 5.2: data that follow their request before the board has looked at it are taken, whatever was on endpoint 0 before: a reset of
/// the bus, a request that was stalled with its data or without. After one that the host gave up the next is stalled, not left waiting.
#[test]
fn data_that_follow_their_request_at_once_are_taken() {
    let Some(tools) = tools() else { return };
    let mut bench = Bench::with_card(&tools);
    bench.board().reset();
    bench.request(&Request::Start, &START).expect("the first request after a reset of the bus");
    assert!(bench.host.enumerate());
    assert!(bench.request(&Request::Statement { offset: 0, room: 192 }, &[]).is_none());
    bench.request(&Request::Start, &START).expect("after a request for data that was stalled");
    let too_long = [0x41, 0x02, 0, 0, 1, 0, 64, 0];
    assert!(bench.board().control(too_long, &[0; 64]).is_err());
    bench.request(&Request::Start, &START).expect("after data that were stalled");
    let unfitting = [0x41, 0x02, 0, 0, 1, 0, 0, 2];
    assert!(bench.board().control(unfitting, &[0; 512]).is_err());
    bench.request(&Request::Start, &START).expect("after data that do not fit");
    let mut sessions = bench.info().session;
    assert_eq!(sessions, 4);
    // The answer that nobody fetched is still there, and comes instead of the status.
    for (given_up, end) in [("c10100000100a000", "babble"), ("4102000001002000", "stall")] {
        bench.board().ask(&json!({"do": "control", "setup": given_up, "given_up": true}));
        let setup: String =
            setup(&Request::Start).iter().map(|byte| format!("{byte:02x}")).collect();
        let again = json!({"do": "control", "setup": setup, "data": "11".repeat(32)});
        let first = bench.board().ask(&again);
        assert_eq!(first["end"], end, "after {given_up}");
        bench.board().run(1000);
        assert_eq!(bench.board().ask(&again)["end"], "ack", "after {given_up}");
        sessions += 1;
        assert_eq!(bench.info().session, sessions);
    }
    assert_eq!(bench.sense_of(&[0; 6]), POWER_ON);
    assert!(bench.read(5, 3).data == image()[5 * 512..8 * 512]);
    bench.settle();
}

/// RP2040 datasheet, 4.1.2: the controller's reports of packets that left can get lost while its driver looks at them. Without any of them the
/// board enumerates, reads, refuses and answers all the same.
#[test]
fn packets_that_left_are_seen_without_a_report() {
    let Some(tools) = tools() else { return };
    let mut bench = Bench::with_card(&tools);
    bench.board().ask(&json!({"do": "deaf", "on": true}));
    assert!(bench.host.enumerate());
    assert_eq!(bench.sense_of(&[0; 6]), POWER_ON);
    let image = image();
    for lba in (0..1024).step_by(128) {
        assert!(bench.read(lba, 128).data == image[lba as usize * 512..][..128 * 512]);
    }
    assert_eq!(bench.command(&[0x2A, 0, 0, 0, 0, 0, 0, 0, 1, 0], Phase::Zeros(512)).status, 1);
    assert_eq!(bench.info().refused, 1);
    let set = bench.board().control([0xC0, 0x20, 0, 0, 7, 0, 178, 0], &[]).unwrap();
    assert_eq!(set, descriptors::MS_OS_20);
    bench.settle();
}

/// Erratum RP2040-E15: packets are handed over all the time, but not at the end of a frame, also where wires take their time.
#[test]
fn no_packet_is_handed_over_at_the_end_of_a_frame() {
    let Some(tools) = tools() else { return };
    let power_up = PowerUp { seed: Some(SEED), timed: true, ..PowerUp::default() };
    let mut bench = Bench::empty(&tools, &power_up);
    bench.insert(&json!({}));
    bench.sense_of(&[0; 6]);
    let start = bench.board().state();
    let image = image();
    for lba in (0..1024).step_by(128) {
        assert!(bench.read(lba, 128).data == image[lba as usize * 512..][..128 * 512]);
    }
    let end = bench.settle();
    let passed = |name: &str| end[name].as_u64().unwrap() - start[name].as_u64().unwrap();
    assert!(passed("usb_packets") > 8192 && passed("us") > 400_000, "many frames, many packets");
}

/// The bytes between the image's two symbols.
fn flash_range(bench: &mut Bench) -> Vec<u8> {
    let symbols = bench.board().ask(&json!({"do": "symbols", "contains": "__image_"}));
    let [start, end] =
        ["__image_start", "__image_end"].map(|name| symbols["symbols"][name].as_u64().unwrap());
    assert_eq!(start, FLASH);
    bench.board().flash(start, (end - start) as usize)
}

/// Policy 1.2: the strap is the profile's only switch.
#[test]
fn the_strap_selects_the_profile() {
    let Some(tools) = tools() else { return };
    for smart in [false, true] {
        let mut bench = Bench::empty(&tools, &PowerUp { smart, ..PowerUp::default() });
        let info = bench.info();
        assert!(info.has(flag::IDENT));
        assert_eq!(info.has(flag::SMART), smart);
        bench.settle();
    }
}

/// B23, D-07, policy 7.4: a card that is taken out is missed, and one that is put in is told once.
#[test]
fn a_card_is_taken_out_and_put_back() {
    let Some(tools) = tools() else { return };
    let mut bench = Bench::with_card(&tools);
    assert_eq!(bench.read(0, 4).data, image()[..2048]);
    bench.board().remove();
    let outcome = bench.command(&[0x28, 0, 0, 0, 0, 0, 0, 0, 8, 0], Phase::In(4096));
    assert_eq!((outcome.status, outcome.data.len()), (1, 0));
    bench.host.sense().unwrap();
    bench.board().run(MISSED_US);
    assert_eq!(bench.sense_of(&[0; 6]), NOT_PRESENT);
    assert!(!bench.info().has(flag::DRIVE));
    assert_eq!(bench.board().state()["lights"]["green"], 0);
    bench.insert(&json!({}));
    assert_eq!(bench.sense_of(&[0; 6]), MEDIUM_CHANGED);
    assert_eq!(bench.command(&[0; 6], Phase::None).status, 0);
    assert_eq!(bench.read(77, 8).data, image()[77 * 512..85 * 512]);
    // In the middle of a transfer.
    assert_eq!(
        bench.host.raw(&wrapper(9, 65_536, 0x80, &[0x28, 0, 0, 0, 0, 0, 0, 0, 128, 0])),
        OutResult::Ack(31)
    );
    assert!(
        matches!(bench.board().bulk_in(1, 16_384), InResult::Data(data) if data == image()[..16_384])
    );
    bench.board().remove();
    let mut rest = Vec::new();
    while rest.len() < 49_152 {
        match bench.board().bulk_in(1, 49_152 - rest.len()) {
            InResult::Data(data) => rest.extend(data),
            InResult::Nak => bench.board().run(10_000),
            InResult::Stall => break,
        }
    }
    assert_eq!(rest, image()[16_384..16_384 + rest.len()], "wrong data after the card had gone");
    assert!(rest.len() < 49_152);
    bench.host.clear_halt(0x81);
    assert!(matches!(bench.board().bulk_in(1, 13), InResult::Data(status) if status[12] == 1));
    bench.settle();
}

/// Policy 7.2, 7.3: cards that do not check CRCs, and locked ones, are refused, and the red light says so.
#[test]
fn cards_that_cannot_be_evidence_are_refused() {
    let Some(tools) = tools() else { return };
    let power_up = PowerUp { seed: Some(SEED), ..PowerUp::default() };
    let mut bench = Bench::empty(&tools, &power_up);
    for options in [json!({"crc": "rejects"}), json!({"crc": "ignores"}), json!({"locked": true})] {
        bench.insert(&options);
        let mut sense = bench.sense_of(&[0; 6]);
        if sense[0] == 0x06 {
            sense = bench.sense_of(&[0; 6]);
        }
        assert_eq!(sense, INCOMPATIBLE, "{options}");
        assert_eq!(bench.read(0, 1).status, 1);
        assert!(bench.request(&Request::Start, &START).is_none());
        bench.board().ask(&json!({"do": "lights"}));
        bench.board().run(1_600_000);
        let changes = bench.board().ask(&json!({"do": "lights"}));
        let red = changes["changes"].as_array().unwrap().iter().filter(|c| c[1] == "red").count();
        assert!((3..=4).contains(&red), "{changes}");
        let state = bench.board().state();
        assert_eq!(
            (&state["lights"]["green"], &state["card"]["blocksSent"]),
            (&json!(0), &json!(0))
        );
        judge_card(&state["card"], &bench.file);
        bench.board().remove();
        bench.board().run(MISSED_US);
    }
    bench.settle();
}

/// D-05, requirements 4.7: green follows reads, red follows refusals, and neither the other.
#[test]
fn lights_follow_reads_and_refusals() {
    let Some(tools) = tools() else { return };
    let mut bench = Bench::with_card(&tools);
    let seen = |bench: &mut Bench, light: &str| {
        let changes = bench.board().ask(&json!({"do": "lights"}));
        changes["changes"].as_array().unwrap().iter().filter(|c| c[1] == light).count()
    };
    bench.board().run(300_000);
    bench.board().ask(&json!({"do": "lights"}));
    for lba in (0..2048).step_by(128) {
        bench.read(lba, 128);
    }
    assert_eq!(seen(&mut bench, "red"), 0, "red while only reading");
    bench.board().run(300_000);
    assert_eq!(bench.board().state()["lights"], json!({"green": 1, "outer": 1, "red": 0}));
    bench.board().ask(&json!({"do": "lights"}));
    for _ in 0..3 {
        bench.command(&[0x2A, 0, 0, 0, 0, 0, 0, 0, 1, 0], Phase::Zeros(512));
        bench.board().run(1000);
        assert_eq!(bench.board().state()["lights"], json!({"green": 1, "outer": 1, "red": 1}));
        bench.board().run(300_000);
    }
    assert_eq!(seen(&mut bench, "green"), 0, "green without a read");
    bench.settle();
}

/// Policy 7.2 (B26a): single bits that flip on their way to the card, a sample of those of a read; the whole set runs against the driver itself in
/// another test. Never wrong data, never a write.
#[test]
fn flipped_bits_never_write_and_never_give_wrong_data() {
    let Some(tools) = tools() else { return };
    let mut bench = Bench::with_card(&tools);
    let image = image();
    let (mut good, mut failed) = (0, 0);
    for sample in 0..40_u64 {
        // The frame of CMD18 or CMD17 and what follows it; later ones fall on the idle bytes of the data phase and on CMD12.
        let at = if sample < 28 { 2 + sample / 2 } else { 17 + (sample - 28) * 67 };
        let masks = json!({at.to_string(): 1 << (sample % 8)});
        bench.board().ask(&json!({"do": "flips", "masks": masks}));
        let lba = 64 + sample as u32 * 3;
        let blocks = if sample % 3 == 0 { 1 } else { 2 };
        let outcome = bench.read(lba, blocks);
        let expected = &image[lba as usize * 512..][..outcome.data.len()];
        assert!(outcome.data == expected, "wrong data: byte {at}");
        match outcome.status {
            0 => good += 1,
            _ => {
                failed += 1;
                bench.host.sense().unwrap();
            }
        }
        // Whatever happened, the card is in step again.
        bench.board().ask(&json!({"do": "flips"}));
        bench.board().run(100_000);
        let mut tries = 0;
        while bench.read(9, 1).data != image[9 * 512..10 * 512] {
            bench.host.sense().unwrap();
            bench.board().run(100_000);
            tries += 1;
            assert!(tries < 20, "byte {at}: the card is lost");
        }
        judge_card(&bench.board().state()["card"].clone(), &bench.file.clone());
    }
    println!("{good} reads were good all the same, {failed} failed");
    assert!(failed > 0 && good > 0);
    bench.settle();
}

/// Requirements 4.5, policy 9.7: nothing in the image leads into a loader or encodes a write.
#[test]
fn no_loader_and_no_write_encoder_is_linked() {
    let Some(tools) = tools() else { return };
    let mut board = Emulated::start(&tools, &PowerUp::default());
    for name in ["reset_to_usb_boot", "usbd_storage", "embedded_sdmmc", "dfu"] {
        let found = board.ask(&json!({"do": "symbols", "contains": name}));
        assert_eq!(found["symbols"], json!({}), "{name}");
    }
}

/// A stack that grows too long meets no memory instead of the data.
#[test]
fn the_stack_lies_below_the_data() {
    let Some(tools) = tools() else { return };
    let mut board = Emulated::start(&tools, &PowerUp::default());
    let symbols = board.ask(&json!({"do": "symbols", "contains": "_s"}))["symbols"].clone();
    assert_eq!(symbols["_stack_end"], 0x2000_0000);
    assert_eq!(symbols["_stack_start"], symbols["__sdata"]);
}

/// Requirements 5.1: log frames leave over RTT and over interface 1, the same ones.
#[test]
fn log_frames_leave_over_both_ways() {
    let Some(tools) = tools() else { return };
    let mut bench = Bench::with_card(&tools);
    bench.command(&[0x2A, 0, 0, 0, 0, 0, 0, 0, 1, 0], Phase::Zeros(512));
    let mut over_usb = Vec::new();
    while let InResult::Data(data) = bench.board().bulk_in(2, 64) {
        over_usb.extend(data);
    }
    let digits = bench.board().ask(&json!({"do": "rtt"}))["data"].as_str().unwrap().to_owned();
    let hex: String = over_usb.iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(over_usb.len() > 40, "{hex}");
    assert_eq!(hex, digits);
    assert_eq!(over_usb.last(), Some(&0), "whole frames");
    bench.settle();
}
