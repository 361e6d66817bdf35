//! The session's statement: opened and fetched through interface 1, and compared with what the harness saw.
//!
//! Facts: the published requirements, sections 4.3, 4.4 and 5; the record of the link has every command between START and FINISH.

use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

use wb_attest::{
    interface::{Ending, Info, Leaves, Request, flag},
    log::Entry,
    sha256,
    statement::{Answers, Kind, Layer},
    verify::{Expected, LogVerdict, Signed, Statement, log_agrees},
};
use wb_policy::tables::POLICY_DIGEST;
use wb_sim::{
    usb::Stall,
    usbredir::{Event, Proxy, Trace},
};

use crate::{judge, wire::Command};

/// Nonce that goes with START.
const START: [u8; 32] = [0x5A; 32];
/// Nonce that goes with FINISH.
const END: [u8; 32] = [0xE7; 32];
/// A command that takes longer than this has hung.
const PATIENCE: Duration = Duration::from_secs(120);

/// The examiner's program, on the link.
pub struct Examiner<'p>(pub &'p Proxy);

impl Examiner<'_> {
    fn request(&self, request: &Request, data: &[u8]) -> Result<Vec<u8>, Stall> {
        self.0.control(setup(request), data, PATIENCE).unwrap()
    }

    /// Who the bridge is and how it stands.
    pub fn info(&self) -> Info {
        Info::parse(&self.request(&Request::Info, &[]).unwrap()).unwrap()
    }

    /// Waits until INFO says so.
    pub fn wait(&self, what: &str, is_met: impl Fn(&Info) -> bool) -> Info {
        let begun = Instant::now();
        loop {
            // A bridge that leaves the bus and comes back does not answer in between.
            self.0.wait_connected(PATIENCE).unwrap();
            let answer = self.0.control(setup(&Request::Info), &[], PATIENCE);
            if let Ok(Ok(bytes)) = answer
                && let Ok(info) = Info::parse(&bytes)
                && is_met(&info)
            {
                return info;
            }
            assert!(begun.elapsed() < PATIENCE, "{what}");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// START.
    pub fn start(&self) {
        self.request(&Request::Start, &START).unwrap();
    }

    fn leaves(&self) -> Vec<Entry> {
        let room = self.info().answer;
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let next = entries.len() as u64;
            let request = Request::Leaves { first: next as u16, room };
            let answer = self.request(&request, &[]).unwrap();
            let leaves = Leaves::parse(&answer).unwrap();
            assert_eq!((leaves.first, leaves.lost), (next, 0), "entries were lost");
            if leaves.is_empty() {
                return entries;
            }
            entries.extend(leaves.entries());
        }
    }

    /// Drains the log, FINISH, fetches the statement and verifies it with the key that INFO names.
    pub fn finish(&self) -> (Statement, Vec<Entry>) {
        let entries = self.leaves();
        self.request(&Request::Finish(Ending::Final), &END).unwrap();
        let info = self.wait("no statement", |info| info.has(flag::STATEMENT));
        let mut bytes = Vec::new();
        while bytes.len() < info.statement as usize {
            let request = Request::Statement { offset: bytes.len() as u32, room: info.answer };
            bytes.extend(self.request(&request, &[]).unwrap());
        }
        let signed = Signed::parse(&bytes).unwrap();
        let statement = signed.verify(&info.public_key).unwrap().clone();
        let expected = Expected {
            start_nonce: START,
            end_nonce: END,
            firmware: Some(info.firmware),
            policy: Some(POLICY_DIGEST),
        };
        assert_eq!(statement.findings(&expected), []);
        assert_eq!(statement.session.kind, Kind::Final);
        (statement, entries)
    }
}

/// The request as it goes over the wire.
pub fn setup(request: &Request) -> [u8; 8] {
    let setup = request.setup().unwrap();
    let [v0, v1] = setup.value.to_le_bytes();
    let [i0, i1] = setup.index.to_le_bytes();
    let [l0, l1] = setup.length.to_le_bytes();
    [setup.request_type, setup.request, v0, v1, i0, i1, l0, l1]
}

/// The digests in the log are those of the image, every chunk up to `whole_mib` is among them, and they make the signed root.
pub fn check_log(statement: &Statement, entries: &[Entry], image: &[u8], whole_mib: u64) {
    assert_eq!(log_agrees(statement, entries), LogVerdict::Agrees);
    assert_eq!(statement.log.entries, entries.len() as u64);
    for entry in entries {
        let from = (entry.chunk as usize) << 20;
        let chunk = &image[from..from + entry.len as usize];
        assert_eq!(entry.digest, sha256(&[chunk]), "entry {}, chunk {}", entry.seq, entry.chunk);
    }
    for chunk in 0..whole_mib {
        assert!(entries.iter().any(|entry| entry.chunk == chunk), "no digest of MiB {chunk}");
    }
}

/// A READ(10) over a bad block and `span` blocks on either side of it brought the blocks before it, and the status said how many are
/// missing.
pub fn check_good_blocks(trace: &Trace, lba: u64, span: u64) {
    let from = (lba - span) as u32;
    let [a3, a2, a1, a0] = from.to_be_bytes();
    let count = (2 * span + 1) as u8;
    let is_it = |event: &Event| matches!(event, Event::Cbw(cbw) if cbw[15..24] == [0x28, 0, a3, a2, a1, a0, 0, 0, count]);
    let at = trace.events.iter().position(is_it).expect("no READ over the bad block");
    let mut data = 0;
    for event in &trace.events[at + 1..] {
        match event {
            Event::DataIn(bytes) => data += *bytes as u64,
            Event::Csw([_, _, _, _, _, _, _, _, r0, r1, r2, r3, status]) => {
                let missing = u64::from(u32::from_le_bytes([*r0, *r1, *r2, *r3]));
                assert_eq!((data, missing, *status), (span * 512, (span + 1) * 512, 1));
                return;
            }
            Event::Cbw(_) => break,
            _ => {}
        }
    }
    panic!("the READ over block {lba} has no status");
}

/// The counters of the session are the commands that were carried.
pub fn check_counters(statement: &Statement, carried: &[Command], kind: judge::Kind) {
    let total = in_session(statement.counters.total, statement.counters.total_at_start);
    let mut expected: BTreeMap<(Layer, u8, u16), u64> = BTreeMap::new();
    for command in carried {
        *expected.entry(name(command.cdb(), kind)).or_default() += 1;
    }
    let (mut in_rows, mut wrong) = (0, Vec::new());
    for row in &statement.counters.rows.first {
        let counted = in_session(row.answers, row.at_start).received;
        let command = row.command;
        let key = (command.layer, command.code, command.sub);
        match command.layer {
            Layer::Scsi | Layer::Ata => {
                let carried = expected.remove(&key).unwrap_or(0);
                in_rows += counted;
                if counted != carried {
                    wrong.push(format!("{key:02X?}: {counted} counted, {carried} carried"));
                }
            }
            Layer::Other => {}
            // Requests to interface 1 are not on the bulk endpoints; those of this harness are all well-formed.
            _ if counted > 0 => wrong.push(format!("{key:02X?}: {counted} counted")),
            _ => {}
        }
    }
    // What is left found no row in the bridge's table, or the statement has no room for its row; it was counted all the same.
    let left = expected.values().sum::<u64>();
    let elsewhere = total.received - in_rows;
    if elsewhere != left {
        wrong.push(format!("{elsewhere} in no row, {left} carried: {expected:02X?}"));
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert_eq!(total.received, carried.len() as u64);
}

/// Figures between START and FINISH.
pub fn in_session(now: Answers, at_start: Answers) -> Answers {
    let mut figures = now.to_array();
    for (figure, before) in figures.iter_mut().zip(at_start.to_array()) {
        *figure -= before;
    }
    Answers::from_array(figures)
}

/// What a command is called in a statement (claims: a pass-through whose ATA command can be read counts under ATA). A bridge for cards does
/// not look into a pass-through.
fn name(cdb: &[u8], kind: judge::Kind) -> (Layer, u8, u16) {
    let at = |index: usize| cdb.get(index).copied().unwrap_or(0);
    let protocol = at(1) >> 1 & 0x0F;
    let ata = match at(0) {
        0x85 => Some((at(14), u16::from_be_bytes([at(3), at(4)]))),
        0xA1 => Some((at(9), u16::from(at(3)))),
        _ => None,
    };
    // Protocols 0 and 1 are resets, and 15 asks for the registers of the last command: no command is meant (SAT-3 12.2.2.2).
    let means_command = kind != judge::Kind::Card && !matches!(protocol, 0 | 1 | 15);
    if let Some((command, features)) = ata.filter(|_| means_command) {
        return (Layer::Ata, command, sub(command, features));
    }
    // Operation codes that have service actions (SPC-4 E.3).
    let has_actions = matches!(
        at(0),
        0x48 | 0x5E | 0x5F | 0x83 | 0x84 | 0x86 | 0x87 | 0x94 | 0x95 | 0x9D..=0x9F | 0xA3 | 0xA4
            | 0xA9 | 0xAB | 0xBA..=0xBF
    );
    (Layer::Scsi, at(0), if has_actions { u16::from(at(1) & 0x1F) } else { 0 })
}

/// FEATURES where it makes another command of it; those of some commands are eight bits wide (ACS-3).
fn sub(command: u8, features: u16) -> u16 {
    match command {
        0x78 | 0xB4 => features,
        0x92 | 0x93 | 0xB0 | 0xB1 | 0xB6 | 0xEF | 0xF9 => features & 0xFF,
        0x4A => features & 0x1F,
        _ => 0,
    }
}
