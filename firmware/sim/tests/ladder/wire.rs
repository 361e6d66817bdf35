//! What the link carried, command by command, and between which marks of the guest.
//!
//! A mark is a READ(10) of no blocks, whose address is its number (`firmware/guest/lib.sh`): Linux itself never sends one.

use wb_sim::usbredir::{Event, Trace};

/// A command on the link.
#[derive(Clone, Copy, Debug)]
pub struct Command {
    /// Its wrapper.
    pub cbw: [u8; 31],
    /// Where it stands in the record.
    pub at: usize,
    /// What its status said; `None` where none came, because of a reset.
    pub status: Option<u8>,
}

impl Command {
    /// The command block.
    pub fn cdb(&self) -> &[u8] {
        &self.cbw[15..15 + usize::from(self.cbw[14].min(16))]
    }

    /// The operation code.
    pub fn opcode(&self) -> u8 {
        self.cbw[15]
    }

    /// Ended with CHECK CONDITION.
    pub fn has_failed(&self) -> bool {
        self.status == Some(1)
    }

    /// The number of a mark.
    pub fn mark(&self) -> Option<u32> {
        let [0x28, 0, a3, a2, a1, a0, 0, 0, 0, 0] = *self.cdb() else { return None };
        Some(u32::from_be_bytes([a3, a2, a1, a0])).filter(|number| *number > 0)
    }
}

/// All commands of a record.
pub fn commands(trace: &Trace) -> Vec<Command> {
    assert_eq!(trace.dropped, 0, "the record is not whole");
    let mut commands: Vec<Command> = Vec::new();
    let mut is_open = false;
    for (at, event) in trace.events.iter().enumerate() {
        match event {
            Event::Cbw(cbw) => {
                commands.push(Command { cbw: *cbw, at, status: None });
                is_open = true;
            }
            Event::Csw(csw) if is_open => {
                if let Some(last) = commands.last_mut() {
                    let tag = &last.cbw[4..8];
                    assert_eq!(&csw[4..8], tag, "the status of another command: {last:02X?}");
                    last.status = Some(csw[12]);
                }
                is_open = false;
            }
            Event::Reset | Event::Control { setup: [0x21, 0xFF, ..], .. } => is_open = false,
            _ => {}
        }
    }
    commands
}

/// The commands from a mark to the next one, both of which are there once.
pub fn between_marks(commands: &[Command], mark: u32) -> Option<&[Command]> {
    let once = |number: u32| {
        let mut found = commands.iter().enumerate().filter(|(_, one)| one.mark() == Some(number));
        found.next().map(|(at, _)| at).filter(|_| found.next().is_none())
    };
    commands.get(once(mark)?..once(mark + 1)?)
}
