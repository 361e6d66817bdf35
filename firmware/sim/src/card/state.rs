//! What the model card is in the middle of, byte by byte.

use std::collections::{BTreeMap, VecDeque};

use crc::{CRC_7_MMC, CRC_16_XMODEM, Crc};
use sha2::{Digest, Sha256};

use super::{CardConfig, Damage, Faults, content, registers};

const CRC7: Crc<u8> = Crc::<u8>::new(&CRC_7_MMC);
const CRC16: Crc<u16> = Crc::<u16>::new(&CRC_16_XMODEM);
/// Clocks with chip select high after power-up, in bytes (74 clocks).
const WAKE_BYTES: u32 = 10;

/// R1 bits (SD specification, 7.3.2.1).
pub(super) const IDLE: u8 = 0x01;
pub(super) const ILLEGAL: u8 = 0x04;
pub(super) const CRC_ERROR: u8 = 0x08;
pub(super) const ADDRESS_ERROR: u8 = 0x20;
pub(super) const PARAMETER_ERROR: u8 = 0x40;

/// What the card took and did since the model was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Commands that the card carried out or answered with an error of their argument, by index.
    pub commands: [u32; 64],
    /// The same for application commands.
    pub applications: [u32; 64],
    /// Commands that were illegal in the card's state.
    pub illegal: u32,
    /// Commands answered with a CRC error.
    pub crc_errors: u32,
    /// Blocks of data that it sent from its memory.
    pub blocks_sent: u64,
    /// Write tokens that it obeyed.
    pub write_tokens: u32,
    /// Times that content or a register changed, or would have if it had not been the same before.
    pub changes: u32,
    /// Frames that came on a fast clock before the card was initialised, and were ignored.
    pub too_fast: u32,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            commands: [0; 64],
            applications: [0; 64],
            illegal: 0,
            crc_errors: 0,
            blocks_sent: 0,
            write_tokens: 0,
            changes: 0,
            too_fast: 0,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// No supply.
    Off,
    /// After power-up: CMD0 with chip select low makes it SPI.
    Native,
    Spi,
}

/// What a block of data from the host is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Block(u64),
    Blocks(u64),
    Csd,
    Cid,
    Lock,
    Extension(u32),
    General,
}

#[derive(Clone, Debug)]
pub(super) enum Intake {
    None,
    Token(Target),
    Data(Target, Vec<u8>),
}

pub(super) struct Core {
    pub(super) config: Option<CardConfig>,
    pub(super) faults: Faults,
    pub(super) fast: bool,
    pub(super) carried: u64,
    pub(super) counts: Counts,
    pub(super) log: Option<Vec<(bool, u8)>>,
    selected: bool,
    pub(super) mode: Mode,
    pub(super) idle: bool,
    pub(super) crc_on: bool,
    pub(super) awaits_application: bool,
    pub(super) starts: u32,
    pub(super) silent: bool,
    wake: u32,
    frame: Vec<u8>,
    pub(super) out: VecDeque<u8>,
    /// Next block of a read of several blocks.
    pub(super) sending: Option<u64>,
    pub(super) intake: Intake,
    /// Bytes for which it goes on to be busy, selected or not.
    pub(super) busy: u32,
    pub(super) block_length: u32,
    pub(super) status: u8,
    pub(super) erase: (Option<u64>, Option<u64>),
    // What a write can change.
    pub(super) written: BTreeMap<u64, Vec<u8>>,
    pub(super) cid: [u8; 16],
    pub(super) csd: [u8; 16],
    pub(super) password: Vec<u8>,
    pub(super) locked: bool,
    pub(super) protected: BTreeMap<u64, bool>,
    pub(super) extension: BTreeMap<u32, Vec<u8>>,
    pub(super) other: Vec<(u8, u32)>,
}

impl Core {
    pub(super) fn new(config: Option<CardConfig>) -> Self {
        let mut core = Self {
            config: None,
            faults: Faults::default(),
            fast: false,
            carried: 0,
            counts: Counts::default(),
            log: None,
            selected: false,
            mode: Mode::Native,
            idle: true,
            crc_on: false,
            awaits_application: false,
            starts: 0,
            silent: false,
            wake: 0,
            frame: Vec::new(),
            out: VecDeque::new(),
            sending: None,
            intake: Intake::None,
            busy: 0,
            block_length: 512,
            status: 0,
            erase: (None, None),
            written: BTreeMap::new(),
            cid: registers::CID,
            csd: [0; 16],
            password: Vec::new(),
            locked: false,
            protected: BTreeMap::new(),
            extension: BTreeMap::new(),
            other: Vec::new(),
        };
        core.exchange(config);
        core
    }

    pub(super) fn exchange(&mut self, config: Option<CardConfig>) {
        self.written.clear();
        self.protected.clear();
        self.extension.clear();
        self.other.clear();
        self.password.clear();
        if let Some(config) = &config {
            self.cid = config.cid;
            self.csd = registers::csd(config.family, config.blocks);
            self.locked = config.locked;
            if config.locked {
                self.password = b"secret".to_vec();
            }
        }
        self.config = config;
        self.power_up();
    }

    pub(super) fn set_locked(&mut self) {
        self.locked = true;
        self.password = b"secret".to_vec();
    }

    pub(super) fn is_inserted(&self) -> bool {
        self.config.is_some()
    }

    fn power_up(&mut self) {
        self.mode = Mode::Native;
        self.idle = true;
        self.crc_on = false;
        self.awaits_application = false;
        self.starts = 0;
        self.silent = false;
        self.wake = 0;
        self.frame.clear();
        self.out.clear();
        self.sending = None;
        self.intake = Intake::None;
        self.busy = 0;
        self.block_length = 512;
        self.status = 0;
        self.erase = (None, None);
        if !self.password.is_empty() {
            self.locked = true;
        }
    }

    pub(super) fn select(&mut self, selected: bool) {
        if self.selected && !selected {
            self.frame.clear();
            self.out.clear();
        }
        self.selected = selected;
    }

    /// One byte each way.
    pub(super) fn carry(&mut self, sent: u8) -> u8 {
        let number = self.carried;
        self.carried = self.carried.wrapping_add(1);
        if let Some(log) = self.log.as_mut() {
            log.push((self.selected, sent));
        }
        self.follow_supply(number);
        let flips = |list: &[super::Flip]| {
            list.iter().filter(|flip| flip.byte == number).fold(0, |mask, flip| mask ^ flip.mask)
        };
        let heard = sent ^ flips(&self.faults.to_card);
        let noise = flips(&self.faults.from_card);
        self.turn(heard) ^ noise
    }

    fn follow_supply(&mut self, number: u64) {
        if self.faults.power.is_empty() {
            return;
        }
        let off = self
            .faults
            .power
            .iter()
            .any(|loss| number >= loss.byte && number < loss.byte.saturating_add(loss.bytes));
        match (off, self.mode) {
            (true, Mode::Off) | (false, Mode::Native | Mode::Spi) => {}
            (true, _) => {
                self.power_up();
                self.mode = Mode::Off;
            }
            (false, Mode::Off) => self.power_up(),
        }
    }

    fn turn(&mut self, heard: u8) -> u8 {
        if self.config.is_none() || self.mode == Mode::Off || self.silent {
            return 0xFF;
        }
        if self.out.is_empty() && self.busy > 0 {
            self.busy = self.busy.saturating_sub(1);
            return if self.selected { 0x00 } else { 0xFF };
        }
        if !self.selected {
            self.wake = self.wake.saturating_add(1);
            return 0xFF;
        }
        let answer = self.next_out();
        self.listen(heard);
        answer
    }

    /// The byte on the card's line: what is waiting, or more of an endless read.
    fn next_out(&mut self) -> u8 {
        if self.out.is_empty()
            && let Some(lba) = self.sending
        {
            self.sending = Some(lba.wrapping_add(1));
            self.send_block(lba);
        }
        self.out.pop_front().unwrap_or(0xFF)
    }

    fn listen(&mut self, heard: u8) {
        if self.frame.is_empty() && self.take_data(heard) {
            return;
        }
        if self.frame.is_empty() && heard & 0xC0 != 0x40 {
            return;
        }
        self.frame.push(heard);
        if let [first, a, b, c, d, last] = *self.frame.as_slice() {
            self.frame.clear();
            self.take_frame(first, [a, b, c, d], last);
        }
    }

    fn take_frame(&mut self, first: u8, argument: [u8; 4], last: u8) {
        let index = first & 0x3F;
        let [a, b, c, d] = argument;
        let right = last == (CRC7.checksum(&[first, a, b, c, d]) << 1) | 1;
        if self.mode == Mode::Native {
            // In its native mode a card always checks, and this host's lines carry nothing but CMD0 to it.
            if index == 0 && right && self.wake >= WAKE_BYTES && !self.fast {
                self.mode = Mode::Spi;
                self.counts.count(index, false);
                self.execute_reset();
            }
            return;
        }
        if self.idle && self.fast {
            self.counts.too_fast = self.counts.too_fast.saturating_add(1);
            return;
        }
        if (self.crc_on || index == 8) && !right {
            self.counts.crc_errors = self.counts.crc_errors.saturating_add(1);
            self.respond(CRC_ERROR, &[]);
            return;
        }
        self.execute(index, u32::from_be_bytes(argument));
    }

    /// R1 after one idle byte, then more bytes. What was being sent waits.
    pub(super) fn respond(&mut self, r1: u8, more: &[u8]) {
        let r1 = r1 | if self.idle { IDLE } else { 0 };
        for byte in more.iter().rev() {
            self.out.push_front(*byte);
        }
        self.out.push_front(r1);
        self.out.push_front(0xFF);
    }

    /// A block of data after the time it takes to fetch it.
    pub(super) fn send(&mut self, data: &[u8]) {
        self.pause();
        self.out.push_back(0xFE);
        self.out.extend(data);
        self.out.extend(CRC16.checksum(data).to_be_bytes());
    }

    fn pause(&mut self) {
        let bytes = self.config.as_ref().map_or(0, |config| config.access_bytes);
        for _ in 0..bytes {
            self.out.push_back(0xFF);
        }
    }

    /// A block of the memory, or what stands for it.
    pub(super) fn send_block(&mut self, lba: u64) {
        let Some(config) = &self.config else { return };
        if lba >= config.blocks {
            self.status |= 0x80;
            self.sending = None;
            self.pause();
            self.out.push_back(0x08);
            return;
        }
        match config.damage.get(&lba).copied() {
            None => {
                let block = self.block(lba);
                self.counts.blocks_sent = self.counts.blocks_sent.saturating_add(1);
                self.send(&block);
            }
            Some(Damage::Token(token)) => {
                self.sending = None;
                self.pause();
                self.out.push_back(token);
            }
            Some(Damage::NoTokenEccFailed) => {
                self.sending = None;
                self.status |= 0x10;
            }
            Some(Damage::NoToken) => self.sending = None,
            Some(Damage::WrongCrc) => {
                let block = self.block(lba);
                self.send(&block);
                if let Some(last) = self.out.back_mut() {
                    *last ^= 0x01;
                }
            }
            Some(Damage::Silence) => self.silent = true,
        }
    }

    pub(super) fn block(&self, lba: u64) -> Vec<u8> {
        self.written.get(&lba).cloned().unwrap_or_else(|| content(lba).to_vec())
    }

    /// Write tokens and what follows them; `false` for a byte that may begin a command.
    fn take_data(&mut self, heard: u8) -> bool {
        match std::mem::replace(&mut self.intake, Intake::None) {
            Intake::None => false,
            Intake::Token(target) => {
                let stop = matches!(target, Target::Blocks(_)) && heard == 0xFD;
                if stop {
                    return true;
                }
                if matches!(heard, 0xFE | 0xFC) {
                    self.counts.write_tokens = self.counts.write_tokens.saturating_add(1);
                    self.intake = Intake::Data(target, Vec::new());
                    return true;
                }
                self.intake = Intake::Token(target);
                false
            }
            Intake::Data(target, mut data) => {
                data.push(heard);
                if data.len() < self.intake_bytes(target).saturating_add(2) {
                    self.intake = Intake::Data(target, data);
                } else {
                    self.finish_intake(target, &data);
                }
                true
            }
        }
    }

    fn intake_bytes(&self, target: Target) -> usize {
        match target {
            Target::Csd | Target::Cid => 16,
            Target::Lock => usize::try_from(self.block_length).unwrap_or(512),
            Target::Block(_) | Target::Blocks(_) | Target::Extension(_) | Target::General => 512,
        }
    }

    /// Data response token, then busy.
    fn finish_intake(&mut self, target: Target, data: &[u8]) {
        let (block, crc) = data.split_at(data.len().saturating_sub(2));
        let right = crc == CRC16.checksum(block).to_be_bytes();
        if self.crc_on && !right {
            self.out.extend([0x0B]);
            return;
        }
        self.store(target, block);
        self.out.extend([0x05, 0x00, 0x00]);
    }

    pub(super) fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for (lba, block) in &self.written {
            hash.update(lba.to_be_bytes());
            hash.update(block);
        }
        hash.update(self.cid);
        hash.update(self.csd);
        hash.update([u8::from(self.locked)]);
        hash.update(&self.password);
        for (group, protected) in &self.protected {
            hash.update(group.to_be_bytes());
            hash.update([u8::from(*protected)]);
        }
        for (address, data) in &self.extension {
            hash.update(address.to_be_bytes());
            hash.update(data);
        }
        for (index, argument) in &self.other {
            hash.update([*index]);
            hash.update(argument.to_be_bytes());
        }
        hash.finalize().into()
    }
}

impl Counts {
    pub(super) fn count(&mut self, index: u8, application: bool) {
        let by_index = if application { &mut self.applications } else { &mut self.commands };
        if let Some(count) = by_index.get_mut(usize::from(index)) {
            *count = count.saturating_add(1);
        }
    }
}
