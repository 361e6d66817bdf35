//! A real Linux kernel against the write blocker: it reads the disk, it tries everything it has to change it, and nothing changes.
//!
//! Three bridges stand before the same guest (`firmware/guest`) and the same judge: the core on this computer before a model drive that
//! obeys every write; the emulated board `imx6ul-qemu` with its real EHCI driver before a disk of QEMU; the Pico's release image in an
//! emulator before a model SD card. Each session is stated, and the statement is compared with what the link carried.
//!
//! What is missing here (an emulator, the guest, an image of the firmware) is said as SKIPPED; with `DALEEL_REQUIRE_ORACLES` it fails.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used
)] // a check that cannot be made has to fail

#[path = "ladder/account.rs"]
mod account;
#[path = "ladder/board.rs"]
mod board;
mod common;
#[path = "ladder/judge.rs"]
mod judge;
mod oracle;
#[path = "ladder/pico.rs"]
mod pico;
#[path = "ladder/program.rs"]
mod program;
#[path = "ladder/programs.rs"]
mod programs;
#[path = "ladder/reach.rs"]
mod reach;
#[path = "ladder/session.rs"]
mod session;
#[path = "ladder/sim.rs"]
mod sim;
#[path = "ladder/statement.rs"]
mod statement;
#[path = "ladder/wire.rs"]
mod wire;

use std::{
    path::Path,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::Duration,
};

use account::{Bad, Expected, Findings, SPAN};
use judge::Kind;
use statement::Examiner;
use wb_attest::{interface::flag, verify::Statement};
use wb_sim::{
    guest::{Guest, Run},
    usbredir::{Event, Options, Proxy, Server},
};

/// Guests that run. Each of them and what it talks to take turns, so one more than there are cores would only make all slow.
static GUESTS: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());
/// A guest that runs longer has hung. On a quiet machine one takes a minute or two.
const LIMIT: Duration = Duration::from_secs(1500);
const PATIENCE: Duration = Duration::from_secs(60);
/// The phases of the guest's attack.
const ALL_PHASES: [&str; 4] = ["raw", "tools", "system", "forced"];

/// A place among the guests that run.
struct Turn;

impl Drop for Turn {
    fn drop(&mut self) {
        *GUESTS.0.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        GUESTS.1.notify_all();
    }
}

fn turn() -> Turn {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let guests = GUESTS.0.lock().unwrap_or_else(PoisonError::into_inner);
    let guests = GUESTS.1.wait_while(guests, |guests| *guests >= cores);
    *guests.unwrap_or_else(PoisonError::into_inner) += 1;
    Turn
}

fn skip(why: &str) {
    assert!(std::env::var_os("DALEEL_REQUIRE_ORACLES").is_none(), "required: {why}");
    println!("SKIPPED: {why}");
}

/// The guest, if it can be run here.
fn guest() -> Option<Guest> {
    Guest::find().map_err(|why| skip(&why)).ok()
}

/// Runs the guest on the link. A session begins with the read script; it is for the caller to end it.
fn attend(guest: &Guest, proxy: &Proxy, socket: &Path, words: &str, more: &[String]) -> Run {
    let examiner = Examiner(proxy);
    let mut arguments = vec![
        "-chardev".to_owned(),
        format!("socket,id=bridge,path={}", socket.display()),
        "-device".to_owned(),
        "usb-redir,chardev=bridge".to_owned(),
    ];
    arguments.extend_from_slice(more);
    let is_loud = std::env::var_os("DALEEL_GUEST_CONSOLE").is_some();
    let words = format!("{words} daleel.limit=1200 daleel.attack_limit=900 daleel.span={SPAN}");
    let run = guest.run(&words, &arguments, LIMIT, |line| {
        if is_loud {
            println!("{}", line.text);
        }
        if line.text.starts_with("BEGIN script=read") {
            examiner.start();
        }
    });
    let run = run.unwrap();
    if !run.is_whole() {
        let console: Vec<&str> = run.lines.iter().map(|line| line.text.as_str()).collect();
        panic!("the guest did not come to its end\n{}", console.join("\n"));
    }
    run
}

/// Judges a run, its session, and the medium as it is now; what there is to tell is printed.
fn settle(
    bridge: &str,
    run: &Run,
    proxy: Proxy,
    expected: &Expected<'_>,
    medium: &[u8],
) -> Statement {
    let (statement, entries) = Examiner(&proxy).finish();
    let trace = proxy.stop().unwrap();
    let commands = wire::commands(&trace);
    let sessions = session::sessions(&trace);
    let [session] = &sessions[..] else { panic!("{} sessions", sessions.len()) };
    let until = session.asked.last().unwrap().at;
    let is_in_session = |command: &&wire::Command| (session.at..until).contains(&command.at);
    let carried: Vec<_> = commands.iter().filter(is_in_session).copied().collect();
    for bad in expected.bad {
        statement::check_good_blocks(&trace, bad.lba, SPAN);
    }
    let mut findings = Findings::default();
    account::whole(run, expected, &mut findings);
    account::identity(run, expected, &mut findings);
    account::reads(run, expected, &mut findings);
    let attack = account::attack(run, expected, &mut findings);
    let reached = reach::check(run, expected, &commands, &mut findings);
    if expected.kind == Kind::Ata {
        let resets = trace.events.iter().filter(|event| matches!(event, Event::Reset)).count();
        let bad: Vec<u64> = expected.bad.iter().map(|bad| bad.lba).collect();
        reach::check_all(&commands, &bad, resets, &mut findings);
    }
    let counted =
        statement::in_session(statement.counters.total, statement.counters.total_at_start);
    let changed = medium.iter().zip(expected.image).filter(|(is, was)| is != was).count();
    account::tell(bridge, run, (&attack, reached), counted, changed);
    findings.check(changed == 0, || "the medium changed".into());
    findings.settle();
    statement::check_log(&statement, &entries, expected.image, expected.read_mib);
    statement::check_counters(&statement, &carried, expected.kind);
    assert_eq!(statement.drive.capacity, expected.image.len() as u64 / 512);
    // D-02: the error map has exactly the blocks that cannot be read.
    let mut failed: Vec<_> =
        statement.coverage.errors.first.iter().map(|error| (error.lba, error.blocks)).collect();
    failed.sort_unstable();
    let bad: Vec<_> = expected.bad.iter().map(|bad| (bad.lba, 1)).collect();
    assert_eq!(failed, bad, "the error map");
    statement
}

/// HWB-AM-01 to 05, HWB-03, HWB-04, D-01, D-02, A-2 to A-4: the core before a drive that obeys every write and has SAT.
#[test]
fn linux_and_the_core_on_this_computer() {
    let _turn = turn();
    let Some(guest) = guest() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (_, image) = sim::image(folder.path(), 32);
    let (device, link) = (folder.path().join("device"), folder.path().join("link"));
    let bad = [
        Bad { lba: 40_000, sense: "3/11/00", goes_on: true },
        Bad { lba: 44_000, sense: "3/11/00", goes_on: true },
    ];
    let bridge = sim::Sim::start(&image, &bad.map(|bad| bad.lba), &device);
    let proxy = Proxy::start(&device, &link, Options::default(), PATIENCE).unwrap();
    let words = "daleel.run=identity,read,attack daleel.sweep=40000,44000";
    let run = attend(&guest, &proxy, &link, words, &[]);
    let expected = Expected {
        kind: Kind::Ata,
        phases: &ALL_PHASES,
        image: &image,
        names: ["DALEEL", "MODEL DRIVE", "0001"],
        serial: Some("MODEL0000001"),
        bad: &bad,
        read_mib: 16,
        buffered_mib: 16,
        sg_mib: 1,
    };
    // The faulty blocks hold their bytes all the same.
    let medium = bridge.medium(image.len() as u64 / 512);
    let statement = settle("The core on this computer", &run, proxy, &expected, &medium);
    assert_eq!(statement.emitted.cbws, bridge.judge());
}

/// HWB-RM-04, HWB-09, D-01, D-02: the emulated board, whose EHCI driver is that of the product, before a disk of QEMU with a block that cannot
/// be read.
#[test]
fn linux_and_the_emulated_board() {
    let _turn = turn();
    let Some(guest) = guest() else { return };
    let firmware = match board::Board::find() {
        Ok(firmware) => firmware,
        Err(why) => return skip(&why),
    };
    let folder = tempfile::tempdir().unwrap();
    let (file, image) = sim::image(folder.path(), 24);
    // What QEMU makes of an error of the file behind its disk: ABORTED COMMAND, I/O PROCESS TERMINATED, without a block number.
    let bad = [Bad { lba: 40_001, sense: "b/00/06", goes_on: false }];
    let link = folder.path().join("link");
    let board = board::Board::start(&firmware, folder.path(), &file, &bad.map(|bad| bad.lba));
    let proxy = board.link(&link, PATIENCE);
    Examiner(&proxy).wait("no drive", |info| info.has(flag::DRIVE | flag::KEY));
    let words = "daleel.run=identity,read,attack daleel.sweep=40001";
    let run = attend(&guest, &proxy, &link, words, &[]);
    let expected = Expected {
        kind: Kind::Scsi,
        phases: &ALL_PHASES,
        image: &image,
        names: ["QEMU", "QEMU HARDDISK", board::REVISION],
        serial: Some(board::SERIAL),
        bad: &bad,
        read_mib: 16,
        buffered_mib: 16,
        sg_mib: 1,
    };
    let medium = std::fs::read(&file).unwrap();
    let statement = settle("The emulated board", &run, proxy, &expected, &medium);
    assert_eq!(statement.device.hardware, "imx6ul-qemu");
    assert_eq!(statement.emitted.cbws, board.judge());
    assert!(std::fs::read(&file).unwrap() == image, "the image changed");
}

/// HWB-AM-01, HWB-RM-02, D-02: the Pico's release image at full speed, in front of a card that obeys every write.
#[test]
fn linux_and_the_pico() {
    let _turn = turn();
    let Some(guest) = guest() else { return };
    let parts = match pico::find() {
        Ok(parts) => parts,
        Err(why) => return skip(&why),
    };
    let folder = tempfile::tempdir().unwrap();
    let (file, image) = sim::image(folder.path(), 24);
    let (device, link) = (folder.path().join("device"), folder.path().join("link"));
    let bad = [Bad { lba: 40_001, sense: "3/11/00", goes_on: true }];
    let pico = pico::Pico::start(&parts, &file, &bad.map(|bad| bad.lba));
    let pico = Arc::new(Mutex::new(pico));
    let options = Options { record: false, max_events: 0 };
    let server = Server::start(Arc::clone(&pico), &device, options).unwrap();
    let proxy = Proxy::start(&device, &link, Options::default(), PATIENCE).unwrap();
    Examiner(&proxy).wait("no card", |info| info.has(flag::DRIVE | flag::KEY));
    let words = "daleel.run=identity,read,attack daleel.sweep=40001 \
        daleel.buffered_mib=1 daleel.attack_mib=1";
    let run = attend(&guest, &proxy, &link, words, &[]);
    let expected = Expected {
        kind: Kind::Card,
        phases: &ALL_PHASES,
        image: &image,
        names: ["SD03 SD", "MODEL", "1.2"],
        serial: Some("CAFE0001"),
        bad: &bad,
        read_mib: 16,
        buffered_mib: 1,
        sg_mib: 1,
    };
    let judge = || pico.lock().unwrap_or_else(PoisonError::into_inner).judge();
    // Its digest, from which the card's content is known to be what it was.
    judge();
    let statement = settle("The Pico", &run, proxy, &expected, &image);
    assert_eq!(statement.emitted.cbws, 0, "a card has no bulk endpoint");
    server.stop().unwrap();
    judge();
}

/// HWB-07, A-2 to A-4: `daleel bridge` in the guest, in front of the core on this computer.
#[test]
fn daleel_and_the_core_on_this_computer() {
    let _turn = turn();
    let Some(laboratory) = program::Laboratory::find() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (file, image) = sim::image(folder.path(), 16);
    let (device, link) = (folder.path().join("device"), folder.path().join("link"));
    let bridge = sim::Sim::start(&image, &[], &device);
    let proxy = Proxy::start(&device, &link, Options::default(), PATIENCE).unwrap();
    let case = program::Case {
        name: "The core on this computer",
        kind: Kind::Ata,
        image: (&file, &image),
        public_key: program::public_key(&sim::seed()),
        read_mib: 16,
        elf: None,
    };
    let emitted = laboratory.work(&case, proxy, &link);
    let medium = bridge.medium(image.len() as u64 / 512);
    assert!(medium == image, "the medium changed");
    assert_eq!(emitted, bridge.judge());
}

/// `daleel image --bridge` in the guest, in front of the core on this computer.
#[test]
fn daleel_images_behind_the_core_on_this_computer() {
    let _turn = turn();
    let Some(laboratory) = program::Laboratory::find() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (file, image) = sim::image(folder.path(), 16);
    let (device, link) = (folder.path().join("device"), folder.path().join("link"));
    let bridge = sim::Sim::start(&image, &[], &device);
    let proxy = Proxy::start(&device, &link, Options::default(), PATIENCE).unwrap();
    let case = program::Case {
        name: "The core on this computer",
        kind: Kind::Ata,
        image: (&file, &image),
        public_key: program::public_key(&sim::seed()),
        read_mib: 16,
        elf: None,
    };
    laboratory.acquire(&case, proxy, &link);
    assert!(bridge.medium(image.len() as u64 / 512) == image, "the medium changed");
    bridge.judge();
}

/// HWB-07, A-2 to A-4: `daleel bridge` in front of the emulated board with the product's EHCI driver.
#[test]
fn daleel_and_the_emulated_board() {
    let _turn = turn();
    let Some(laboratory) = program::Laboratory::find() else { return };
    let firmware = match board::Board::find() {
        Ok(firmware) => firmware,
        Err(why) => return skip(&why),
    };
    let folder = tempfile::tempdir().unwrap();
    let (file, image) = sim::image(folder.path(), 16);
    let link = folder.path().join("link");
    let board = board::Board::start(&firmware, folder.path(), &file, &[]);
    let proxy = board.link(&link, PATIENCE);
    Examiner(&proxy).wait("no drive", |info| info.has(flag::DRIVE | flag::KEY));
    let case = program::Case {
        name: "The emulated board",
        kind: Kind::Scsi,
        image: (&file, &image),
        public_key: program::public_key(&board::SEED),
        read_mib: 16,
        elf: None,
    };
    let emitted = laboratory.work(&case, proxy, &link);
    assert_eq!(emitted, board.judge());
    assert!(std::fs::read(&file).unwrap() == image, "the image changed");
}

/// HWB-07, A-2 to A-4: the same in front of the Pico's release image, whose log frames are decoded too.
#[test]
fn daleel_and_the_pico() {
    let _turn = turn();
    let Some(laboratory) = program::Laboratory::find() else { return };
    let parts = match pico::find() {
        Ok(parts) => parts,
        Err(why) => return skip(&why),
    };
    let folder = tempfile::tempdir().unwrap();
    let (file, image) = sim::image(folder.path(), 16);
    let (device, link) = (folder.path().join("device"), folder.path().join("link"));
    let pico = Arc::new(Mutex::new(pico::Pico::start(&parts, &file, &[])));
    let options = Options { record: false, max_events: 0 };
    let server = Server::start(Arc::clone(&pico), &device, options).unwrap();
    let proxy = Proxy::start(&device, &link, Options::default(), PATIENCE).unwrap();
    let info = Examiner(&proxy).wait("no card", |info| info.has(flag::DRIVE | flag::KEY));
    let case = program::Case {
        name: "The Pico",
        kind: Kind::Card,
        image: (&file, &image),
        public_key: info.public_key,
        read_mib: 4,
        elf: Some(&parts.1),
    };
    assert_eq!(laboratory.work(&case, proxy, &link), 0, "a card has no bulk endpoint");
    server.stop().unwrap();
    pico.lock().unwrap_or_else(PoisonError::into_inner).judge();
}

/// `daleel image --bridge` in front of the emulated board with the product's EHCI driver.
#[test]
fn daleel_images_behind_the_emulated_board() {
    let _turn = turn();
    let Some(laboratory) = program::Laboratory::find() else { return };
    let firmware = match board::Board::find() {
        Ok(firmware) => firmware,
        Err(why) => return skip(&why),
    };
    let folder = tempfile::tempdir().unwrap();
    let (file, image) = sim::image(folder.path(), 16);
    let link = folder.path().join("link");
    let board = board::Board::start(&firmware, folder.path(), &file, &[]);
    let proxy = board.link(&link, PATIENCE);
    Examiner(&proxy).wait("no drive", |info| info.has(flag::DRIVE | flag::KEY));
    let case = program::Case {
        name: "The emulated board",
        kind: Kind::Scsi,
        image: (&file, &image),
        public_key: program::public_key(&board::SEED),
        read_mib: 16,
        elf: None,
    };
    laboratory.acquire(&case, proxy, &link);
    board.judge();
    assert!(std::fs::read(&file).unwrap() == image, "the image changed");
}

/// `daleel image --bridge` in front of the Pico's release image.
#[test]
fn daleel_images_behind_the_pico() {
    let _turn = turn();
    let Some(laboratory) = program::Laboratory::find() else { return };
    let parts = match pico::find() {
        Ok(parts) => parts,
        Err(why) => return skip(&why),
    };
    let folder = tempfile::tempdir().unwrap();
    let (file, image) = sim::image(folder.path(), 16);
    let (device, link) = (folder.path().join("device"), folder.path().join("link"));
    let pico = Arc::new(Mutex::new(pico::Pico::start(&parts, &file, &[])));
    let options = Options { record: false, max_events: 0 };
    let server = Server::start(Arc::clone(&pico), &device, options).unwrap();
    let proxy = Proxy::start(&device, &link, Options::default(), PATIENCE).unwrap();
    let info = Examiner(&proxy).wait("no card", |info| info.has(flag::DRIVE | flag::KEY));
    let case = program::Case {
        name: "The Pico",
        kind: Kind::Card,
        image: (&file, &image),
        public_key: info.public_key,
        read_mib: 16,
        elf: None,
    };
    laboratory.acquire(&case, proxy, &link);
    server.stop().unwrap();
    pico.lock().unwrap_or_else(PoisonError::into_inner).judge();
}

/// Every command that the guest's scripts name has an answer by hand, for every kind of drive, and no answer is for a name that they lack.
#[test]
fn every_command_of_the_guest_is_judged() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest");
    let script = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let attack = script("attack.sh");
    let is_list = |line: &str| line == "END" || line.ends_with("each <<END");
    let mut names = Vec::new();
    let mut is_inside = false;
    for line in attack.lines() {
        if is_list(line) {
            is_inside = line != "END";
        } else if is_inside && !line.starts_with('#') {
            names.extend(line.split(' ').next());
        }
    }
    assert!(names.len() > 200, "{}", names.len());
    for kind in [Kind::Ata, Kind::Scsi, Kind::Card] {
        for name in &names {
            assert!(judge::expect(name, kind).is_some(), "{name}");
        }
    }
    let others = [script("identity.sh"), script("read.sh"), attack.clone()].concat();
    for name in judge::expected_names() {
        let is_known = names.contains(&name) || others.contains(name);
        assert!(is_known, "no script has {name}");
    }
}
