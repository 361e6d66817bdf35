//! A controller for the tests: walks the asynchronous list in the driver's memory and answers as it is told, also in ways that
//! no emulator offers. Written from EHCI 1.0, sections 3.5, 3.6 and 4.10, by itself: it shares no constant with the driver.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::Rc,
    vec::Vec,
};

use crate::Hardware;

/// What the device, or the bus, does with one transfer descriptor.
#[derive(Clone, Debug)]
pub enum Reaction {
    /// IN: sends these bytes, one packet after the other.
    Data(Vec<u8>),
    /// OUT or SETUP: takes everything. IN: an empty packet.
    Accept,
    /// Not now; asked again at the next step.
    Nak,
    Stall,
    /// Sends these bytes, then a STALL.
    DataThenStall(Vec<u8>),
    /// No valid answer on three tries.
    NoAnswer,
    /// More than was asked for.
    Babble,
    /// The controller's memory was too slow: it tries again, and does not count that.
    Overrun,
}

/// A transaction that the device saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub pid: u32,
    pub address: u32,
    pub endpoint: u32,
    pub toggle: u32,
    pub bytes: Vec<u8>,
}

/// State of the model.
#[derive(Default)]
pub struct Model {
    pub command: u32,
    pub status: u32,
    pub list: u32,
    pub mode: u32,
    /// SBUSCFG.
    pub bursts: u32,
    pub port: u32,
    /// The port ends a reset by itself, as the chips do.
    pub ends_reset: bool,
    /// The port ends a reset between the driver's last look at it and the driver's write.
    pub ends_reset_at_the_last_moment: bool,
    /// Port resets that the device misses.
    pub missed_resets: u32,
    /// Port resets that were begun.
    pub port_resets: u32,
    /// What the port shows when a reset has ended.
    pub after_reset: u32,
    /// The controller never stops resetting itself.
    pub stays_in_reset: bool,
    /// The doorbell is not answered.
    pub deaf: bool,
    /// The doorbell is answered without the status bit.
    pub mumbles: bool,
    pub vbus: bool,
    pub high_speed: bool,
    pub resets: u32,
    pub reactions: VecDeque<Reaction>,
    pub seen: Vec<Seen>,
    memory: Cell<usize>,
}

/// The model as the driver has it; the test keeps a clone.
#[derive(Clone, Default)]
pub struct Board(pub Rc<RefCell<Model>>);

/// Address of the memory on the model's bus.
const BUS: u32 = 0x2020_0000;

// SAFETY: there are no registers; memory is reached by the pointer given to `bus_address`, in the same thread.
unsafe impl Hardware for Board {
    fn read(&self, offset: usize) -> u32 {
        let mut model = self.0.borrow_mut();
        match offset {
            0x140 => model.command,
            0x144 => model.status,
            0x184 => {
                if model.ends_reset && model.port & (1 << 8) != 0 {
                    model.end_reset();
                }
                model.port
            }
            _ => 0,
        }
    }

    fn write(&mut self, offset: usize, value: u32) {
        let mut model = self.0.borrow_mut();
        match offset {
            0x140 => model.write_command(value),
            0x144 => model.status &= !(value & 0x3F),
            0x158 => model.list = value,
            0x184 => model.write_port(value),
            0x090 => model.bursts = value,
            0x1A8 => model.mode = value,
            _ => {}
        }
    }

    fn bus_address(&self, memory: *const u8) -> u32 {
        self.0.borrow().memory.set(memory.expose_provenance());
        BUS
    }

    fn barrier(&self) {}

    fn set_vbus(&mut self, on: bool) {
        self.0.borrow_mut().vbus = on;
    }

    fn set_high_speed(&mut self, attached: bool) {
        self.0.borrow_mut().high_speed = attached;
    }
}

impl Model {
    fn write_command(&mut self, value: u32) {
        self.command = value;
        if value & 2 != 0 && !self.stays_in_reset {
            self.command = 0;
            self.status = 1 << 12;
            self.bursts = 2;
            self.resets += 1;
        } else if value & 1 != 0 {
            self.status &= !(1 << 12);
            self.status |= (value & (1 << 5)) << 10;
        } else {
            self.status |= 1 << 12;
        }
    }

    fn write_port(&mut self, value: u32) {
        if self.ends_reset_at_the_last_moment && self.port & (1 << 8) != 0 {
            self.end_reset();
        }
        let was = self.port;
        self.port_resets += u32::from(was & (1 << 8) == 0 && value & (1 << 8) != 0);
        self.port &= !(value & 0b10_1010);
        if value & (1 << 2) == 0 {
            self.port &= !(1 << 2);
        }
        self.port = (self.port & !0x1100) | (value & 0x1100);
        if was & (1 << 8) != 0 && value & (1 << 8) == 0 {
            self.end_reset();
        }
    }

    fn end_reset(&mut self) {
        self.port &= !(1 << 8);
        match self.missed_resets.checked_sub(1) {
            Some(left) => self.missed_resets = left,
            None => self.port |= self.after_reset,
        }
    }

    /// A device appears.
    pub fn attach(&mut self) {
        self.port |= 0b11;
    }

    /// It is taken away.
    pub fn detach(&mut self) {
        self.port &= !0b101;
        self.port |= 0b10;
    }

    fn word(&self, address: u32) -> *mut u32 {
        let offset = usize::try_from(address.checked_sub(BUS).unwrap()).unwrap();
        core::ptr::with_exposed_provenance_mut(self.memory.get() + offset)
    }

    fn get(&self, address: u32) -> u32 {
        // SAFETY: the address lies in the memory given by the driver, which is leaked and has interior mutability.
        unsafe { self.word(address).read_volatile() }
    }

    fn set(&self, address: u32, value: u32) {
        // SAFETY: as above.
        unsafe { self.word(address).write_volatile(value) }
    }

    fn byte(&self, address: u32) -> *mut u8 {
        let word = self.word(address & !3);
        word.cast::<u8>().wrapping_add(usize::try_from(address & 3).unwrap())
    }

    /// One round of the schedule, then the answer to the doorbell.
    pub fn step(&mut self) {
        if self.status & (1 << 12) != 0 || self.command & (1 << 5) == 0 {
            return;
        }
        assert_eq!((self.mode & 3, self.bursts), (3, 0), "not set up after a reset");
        let mut head = self.list;
        loop {
            self.visit(head);
            let next = self.get(head);
            assert_eq!(next & 0b111, 0b10, "a link to something that is no queue head");
            head = next & !0x1F;
            if head == self.list {
                break;
            }
        }
        if self.command & (1 << 6) != 0 && !self.deaf {
            self.command &= !(1 << 6);
            self.status |= u32::from(!self.mumbles) << 5;
        }
    }

    /// A queue head: takes descriptors as long as there are any that end well.
    fn visit(&mut self, head: u32) {
        while self.get(head + 24) & 0x40 == 0 {
            let token = self.get(head + 24);
            if token & 0x80 == 0 {
                let short = (token >> 16) & 0x7FFF != 0 && self.get(head + 20) & 1 == 0;
                let next = if short { self.get(head + 20) } else { self.get(head + 16) };
                if next & 1 != 0 || self.get((next & !0x1F) + 8) & 0x80 == 0 {
                    return;
                }
                self.load(head, next & !0x1F);
            }
            if !self.transact(head) {
                return;
            }
            let element = self.get(head + 12);
            self.set(element + 8, self.get(head + 24));
        }
    }

    fn load(&mut self, head: u32, element: u32) {
        let toggle_in_element = self.get(head + 4) & (1 << 14) != 0;
        let toggle = self.get(if toggle_in_element { element + 8 } else { head + 24 }) & (1 << 31);
        self.set(head + 12, element);
        self.set(head + 16, self.get(element));
        self.set(head + 20, self.get(element + 4));
        self.set(head + 24, (self.get(element + 8) & !(1 << 31)) | toggle);
        for page in 0..5 {
            self.set(head + 28 + 4 * page, self.get(element + 12 + 4 * page));
        }
    }

    /// Place of the `at`th byte of the overlay's buffer.
    fn place(&self, head: u32, at: u32) -> u32 {
        let offset = (self.get(head + 28) & 0xFFF) + at;
        assert!(offset >> 12 < 5, "a sixth page");
        (self.get(head + 28 + 4 * (offset >> 12)) & !0xFFF) | (offset & 0xFFF)
    }

    /// Whether something came of it.
    fn transact(&mut self, head: u32) -> bool {
        let token = self.get(head + 24);
        let (pid, total) = ((token >> 8) & 3, (token >> 16) & 0x7FFF);
        let endpoint = self.get(head + 4);
        let packet = (endpoint >> 16) & 0x7FF;
        let bytes: Vec<u8> = if pid == 1 {
            Vec::new()
        } else {
            // SAFETY: the buffer lies in the driver's memory.
            (0..total).map(|at| unsafe { self.byte(self.place(head, at)).read() }).collect()
        };
        let seen = Seen {
            pid,
            address: endpoint & 0x7F,
            endpoint: (endpoint >> 8) & 15,
            toggle: token >> 31,
            bytes,
        };
        let reaction = self.reactions.front().cloned().unwrap_or(Reaction::Nak);
        if matches!(reaction, Reaction::Nak) {
            return false;
        }
        // Not asked for by EHCI, but by errata of the chips.
        assert!(total == 0 || self.get(head + 28).is_multiple_of(8), "data on an odd address");
        if matches!(reaction, Reaction::Overrun) {
            self.reactions.pop_front();
            self.set(head + 24, token | 0x20);
            return true;
        }
        self.seen.push(seen);
        let (moved, end) = match &reaction {
            Reaction::Data(data) => (self.send(head, data, total), 0),
            Reaction::DataThenStall(data) => (self.send(head, data, total), 0x40),
            Reaction::Accept => (if pid == 1 { 0 } else { total }, 0),
            Reaction::Stall => (0, 0x40),
            Reaction::NoAnswer => (0, 0x48),
            Reaction::Babble => (0, 0x50),
            Reaction::Overrun | Reaction::Nak => (0, 0),
        };
        // What is left of the data is for the next descriptor of the chain.
        match self.reactions.front_mut() {
            Some(Reaction::Data(data)) if data.len() > moved as usize => {
                data.drain(..moved as usize);
            }
            _ => drop(self.reactions.pop_front()),
        }
        let packets = if moved == 0 { u32::from(end == 0) } else { moved.div_ceil(packet) };
        let tries = if end == 0x48 { 0 } else { 3 << 10 };
        let toggle = (token ^ (packets << 31)) & (1 << 31);
        self.set(head + 24, toggle | ((total - moved) << 16) | (token & 0x8320) | tries | end);
        true
    }

    fn send(&self, head: u32, data: &[u8], total: u32) -> u32 {
        let moved = u32::try_from(data.len()).unwrap().min(total);
        for (at, byte) in (0..moved).zip(data) {
            // SAFETY: the buffer lies in the driver's memory.
            unsafe { self.byte(self.place(head, at)).write(*byte) };
        }
        moved
    }
}
