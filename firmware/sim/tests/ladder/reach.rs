//! What of the attack reached the bridge, by the record of the link.
//!
//! The guest's word is not enough: its kernel stops programs that would write, a program may be missing or give up before it sends
//! anything, and a status may come from the kernel. So every command that the guest says it sent is looked for on the link, with the
//! status it says it got, and every program is looked at between its marks.

use wb_sim::guest::Run;

use crate::{
    account::{Expected, Findings},
    judge,
    judge::Kind,
    oracle::{self, Data, Seen},
    programs::{self, Sent},
    wire::{Command, between_marks},
};

/// Attempts that the bridge got to see.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reached {
    /// Commands on the link that the bridge refused.
    pub refused: usize,
    /// Programs that made such a command.
    pub programs: usize,
}

/// Looks for everything the guest says that it sent.
pub fn check(
    run: &Run,
    expected: &Expected<'_>,
    commands: &[Command],
    findings: &mut Findings,
) -> Reached {
    raw(run, commands, findings);
    let programs = programs(run, expected, commands, findings);
    for command in commands {
        let is_right =
            command.status != Some(0) || judge::may_be_good(command.opcode(), expected.kind);
        findings.check(is_right, || format!("ended with GOOD: {:02X?}", command.cdb()));
    }
    Reached {
        refused: commands.iter().filter(|command| is_refused(command, expected.kind)).count(),
        programs,
    }
}

/// Refused, and for what it is: a command that no bridge carries out, or a pass-through that would change the drive.
fn is_refused(command: &Command, kind: Kind) -> bool {
    // IDENTIFY, logs, READ NATIVE MAX, CHECK POWER MODE and reads are refused by some bridges too.
    let harmless = [0x20, 0x24, 0x25, 0x27, 0x2F, 0x47, 0xA1, 0xC8, 0xE5, 0xEC, 0xF8];
    let changes = passed_through(command.cdb()).is_some_and(|ata| !harmless.contains(&ata));
    command.has_failed() && (!judge::may_be_good(command.opcode(), kind) || changes)
}

/// The ATA command in a pass-through (SAT-3 12.2).
fn passed_through(cdb: &[u8]) -> Option<u8> {
    match cdb.first()? {
        0x85 => cdb.get(14).copied(),
        0xA1 => cdb.get(9).copied(),
        _ => None,
    }
}

/// The commands through the sg node stand on the link in their order, between the marks of the programs before and after, each as often
/// as the guest sent it, and ended there as the guest says.
fn raw(run: &Run, commands: &[Command], findings: &mut Findings) {
    let mut from = 0;
    for line in run.all("CHECK") {
        if line.field("kind") != "raw" {
            let end = line.number("mark").map_or(0, |mark| mark as u32 + 1);
            let end = commands.iter().position(|command| command.mark() == Some(end));
            from = end.map_or(from, |end| end + 1);
            continue;
        }
        let times = 1 + line.number("ua").unwrap_or(0) as usize;
        let is_it = |command: &Command| hex(command.cdb()) == line.field("cdb");
        let rest = commands.iter().enumerate().skip(from);
        let mut found = rest
            .take_while(|(_, command)| command.mark().is_none())
            .filter(|(_, command)| is_it(command));
        let Some((at, command)) = found.nth(times - 1) else {
            findings.check(false, || format!("not on the link: {}", line.text));
            continue;
        };
        from = at + 1;
        let status = match line.field("status") {
            "good" => Some(0),
            "check" => Some(1),
            _ => None,
        };
        findings.check(command.status == status, || {
            format!("ended on the link with {:?}: {}", command.status, line.text)
        });
    }
}

/// Every program that its phase has ran, was in the guest, and made the bridge refuse what it is for; how many did.
fn programs(
    run: &Run,
    expected: &Expected<'_>,
    commands: &[Command],
    findings: &mut Findings,
) -> usize {
    let is_loud = std::env::var_os("DALEEL_GUEST_CONSOLE").is_some();
    let mut count = 0;
    for program in expected.phases.iter().flat_map(|phase| programs::of(phase)) {
        let name = program.0;
        let Some(line) = run.named("CHECK", name) else {
            findings.check(false, || format!("{name} was not run"));
            continue;
        };
        // The disk of the marks goes and comes in between.
        if name == "forced_rebind" {
            continue;
        }
        let mark = line.number("mark").unwrap_or(0) as u32;
        let Some(carried) = between_marks(commands, mark) else {
            findings.check(false, || format!("no marks on the link: {}", line.text));
            continue;
        };
        if is_loud {
            let all =
                carried.iter().skip(1).map(|one| format!("{:02x?} {:?}", one.cdb(), one.status));
            println!("WIRE {name}: {}", all.collect::<Vec<_>>().join("; "));
        }
        let wanted = programs::sent(&program, expected.kind);
        for sent in wanted {
            let is_it = |command: &&Command| match sent {
                Sent::Op(code) => command.opcode() == *code,
                Sent::Ata(code) => passed_through(command.cdb()) == Some(*code),
            };
            let ends: Vec<_> = carried.iter().filter(is_it).map(|one| one.status).collect();
            findings.check(!ends.is_empty(), || {
                format!("{sent:02X?} did not reach the bridge: {}", line.text)
            });
            findings.check(ends.iter().all(|status| *status == Some(1)), || {
                format!("{sent:02X?} ended with {ends:?}: {}", line.text)
            });
        }
        count += usize::from(!wanted.is_empty());
    }
    count
}

/// Every command of the record ended as the hand-written oracle of the in-process tests says, which speaks of a drive like that of the
/// core on this computer. A unit attention, one after each reset, stands in the place of any answer.
pub fn check_all(commands: &[Command], bad: &[u64], resets: usize, findings: &mut Findings) {
    let mut attentions = 0;
    for command in commands {
        let Some(status) = command.status else { continue };
        let seen = oracle::expect(command.cdb(), data(command), false).seen;
        let wanted = match seen {
            Seen::Good => 0,
            Seen::Drive => u8::from(bad.iter().any(|lba| covers(command.cdb(), *lba))),
            Seen::Phase => 2,
            _ => 1,
        };
        if status == 1 && wanted == 0 {
            attentions += 1;
        } else {
            findings.check(status == wanted, || {
                format!("ended with {status}, not {seen:?}: {:02X?}", command.cdb())
            });
        }
    }
    // One at first, and one after each reset.
    findings.check(attentions <= resets + 1, || format!("{attentions} failures without a reason"));
}

fn data(command: &Command) -> Data {
    let [_, _, _, _, _, _, _, _, l0, l1, l2, l3, flags, ..] = command.cbw;
    match (u32::from_le_bytes([l0, l1, l2, l3]), flags & 0x80) {
        (0, _) => Data::None,
        (length, 0) => Data::Out(length),
        (length, _) => Data::In(length),
    }
}

/// Whether a READ asks for a block.
fn covers(cdb: &[u8], lba: u64) -> bool {
    let number = |from: usize, count: usize| {
        cdb[from..from + count].iter().fold(0_u64, |value, byte| value << 8 | u64::from(*byte))
    };
    let (first, blocks) = match cdb[0] {
        0x08 => (number(1, 3), if cdb[4] == 0 { 256 } else { number(4, 1) }),
        0x28 => (number(2, 4), number(7, 2)),
        0xA8 => (number(2, 4), number(6, 4)),
        0x88 => (number(2, 8), number(10, 4)),
        _ => return false,
    };
    (first..first + blocks).contains(&lba)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
