//! What the model card does with a command whose CRC it did not find wrong.

use super::state::{ADDRESS_ERROR, Core, ILLEGAL, Intake, PARAMETER_ERROR, Target};
use super::{CrcBehaviour, Family, registers};

const HIGH_CAPACITY_HOST: u32 = 0x4000_0000;

impl Core {
    fn family(&self) -> Family {
        self.config.as_ref().map_or(Family::HighCapacity, |config| config.family)
    }

    fn blocks(&self) -> u64 {
        self.config.as_ref().map_or(0, |config| config.blocks)
    }

    fn is_block_addressed(&self) -> bool {
        matches!(self.family(), Family::HighCapacity | Family::UltraCapacity)
    }

    fn has_memory(&self) -> bool {
        self.family() != Family::SdioOnly
    }

    pub(super) fn execute_reset(&mut self) {
        self.idle = true;
        self.crc_on = false;
        self.awaits_application = false;
        self.starts = 0;
        self.sending = None;
        self.intake = Intake::None;
        self.out.clear();
        self.respond(0, &[]);
    }

    pub(super) fn execute(&mut self, index: u8, argument: u32) {
        if self.sending.is_some() && !matches!(index, 0 | 12) {
            self.illegal();
            return;
        }
        let application = std::mem::take(&mut self.awaits_application)
            && matches!(index, 6 | 13..=16 | 18 | 22 | 23 | 25 | 26 | 38 | 41..=49 | 51);
        if self.is_refused(index, application) {
            return self.illegal();
        }
        self.counts.count(index, application);
        if application {
            self.execute_application(index, argument);
        } else {
            self.execute_plain(index, argument);
        }
    }

    fn illegal(&mut self) {
        self.counts.illegal = self.counts.illegal.saturating_add(1);
        self.respond(ILLEGAL, &[]);
    }

    /// Commands that are illegal in the card's state (SD specification, 4.3.7 and 7.2.1): a card that is not initialised knows few, a
    /// locked one those of class 0 and the lock command.
    fn is_refused(&self, index: u8, application: bool) -> bool {
        let early =
            if application { index == 41 } else { matches!(index, 0 | 1 | 5 | 8 | 55 | 58 | 59) };
        let open = if application {
            matches!(index, 41 | 42)
        } else {
            matches!(index, 0 | 1 | 8..=10 | 12 | 13 | 16 | 42 | 55 | 58 | 59)
        };
        (self.idle && !early) || (self.locked && !open)
    }

    fn execute_plain(&mut self, index: u8, argument: u32) {
        match index {
            0 => self.execute_reset(),
            1 if self.has_memory() => self.start(argument),
            8 if !matches!(self.family(), Family::StandardVersion1 | Family::Mmc) => {
                let [_, _, voltage, pattern] = argument.to_be_bytes();
                self.respond(0, &[0, 0, voltage & 0x0F, pattern]);
            }
            9 => self.answer_register(&self.csd.clone()),
            10 => self.answer_register(&self.cid.clone()),
            12 => self.stop(),
            13 => {
                let status = self.take_status();
                self.respond(0, &[status]);
            }
            16 => self.set_block_length(argument),
            17 | 18 => self.read(index, argument),
            55 if !matches!(self.family(), Family::SdioOnly | Family::Mmc) => {
                self.awaits_application = true;
                self.respond(0, &[]);
            }
            58 => self.respond(0, &registers::ocr(self.family(), !self.idle)),
            59 => self.crc_on_off(argument),
            _ => self.execute_modifying(index, argument),
        }
    }

    fn answer_register(&mut self, data: &[u8]) {
        self.respond(0, &[]);
        self.send(data);
    }

    /// The second byte of R2; reading it clears what it reports.
    fn take_status(&mut self) -> u8 {
        std::mem::take(&mut self.status) | u8::from(self.locked)
    }

    fn start(&mut self, argument: u32) {
        self.starts = self.starts.saturating_add(1);
        let slow = self.config.as_ref().map_or(0, |config| config.slow_start);
        let supported = argument & HIGH_CAPACITY_HOST != 0 || !self.is_block_addressed();
        if supported && self.starts > slow {
            self.idle = false;
        }
        self.respond(0, &[]);
    }

    fn stop(&mut self) {
        if self.sending.is_none() && self.out.is_empty() {
            self.respond(ILLEGAL, &[]);
            return;
        }
        self.sending = None;
        self.out.clear();
        self.busy = self.config.as_ref().map_or(0, |config| config.busy_after_stop);
        self.respond(0, &[]);
        // The stuff byte, which must not be taken for a response.
        self.out.push_front(0x3F);
    }

    fn set_block_length(&mut self, length: u32) {
        if (1..=1024).contains(&length) {
            self.block_length = length;
            self.respond(0, &[]);
        } else {
            self.respond(PARAMETER_ERROR, &[]);
        }
    }

    /// The block that an argument addresses, or the error of the response.
    fn block_of(&self, argument: u32) -> Result<u64, u8> {
        let lba = if self.is_block_addressed() {
            u64::from(argument)
        } else if argument.is_multiple_of(512) {
            u64::from(argument / 512)
        } else {
            return Err(ADDRESS_ERROR);
        };
        if lba < self.blocks() { Ok(lba) } else { Err(PARAMETER_ERROR) }
    }

    fn read(&mut self, index: u8, argument: u32) {
        match self.block_of(argument) {
            Err(error) => self.respond(error, &[]),
            Ok(lba) => {
                self.out.clear();
                self.respond(0, &[]);
                if index == 18 {
                    self.sending = Some(lba);
                } else {
                    self.send_block(lba);
                }
            }
        }
    }

    fn crc_on_off(&mut self, argument: u32) {
        let behaviour = self.config.as_ref().map_or(CrcBehaviour::Honest, |config| config.crc);
        match behaviour {
            CrcBehaviour::Honest => self.crc_on = argument & 1 != 0,
            CrcBehaviour::AcceptsWithoutEffect => {}
            CrcBehaviour::Rejects => return self.respond(ILLEGAL, &[]),
        }
        self.respond(0, &[]);
    }

    /// Everything that changes content, protection or a register.
    fn execute_modifying(&mut self, index: u8, argument: u32) {
        let addressed = self.block_of(argument);
        match (index, addressed) {
            (24, Ok(lba)) => self.open(Target::Block(lba)),
            (25, Ok(lba)) => self.open(Target::Blocks(lba)),
            (24 | 25, Err(error)) => self.respond(error, &[]),
            (26, _) => self.open(Target::Cid),
            (27, _) => self.open(Target::Csd),
            (28 | 29, Ok(lba)) => {
                self.changed();
                self.protected.insert(lba / 1024, index == 28);
                self.respond(0, &[0x00]);
            }
            (30, Ok(lba)) => {
                let group = self.protected.get(&(lba / 1024)).copied().unwrap_or(false);
                self.answer_register(&[0, 0, 0, u8::from(group)]);
            }
            (32, Ok(lba)) => self.mark(Some(lba), None),
            (33, Ok(lba)) => self.mark(None, Some(lba)),
            (38, _) => self.erase(),
            (42, _) => self.open(Target::Lock),
            (48, _) => {
                let data = self.extension.get(&argument).cloned().unwrap_or(vec![0; 512]);
                self.answer_register(&data);
            }
            (49, _) => self.open(Target::Extension(argument)),
            (56, _) if argument & 1 == 0 => self.open(Target::General),
            (56, _) => self.answer_register(&[0; 512]),
            (6, _) => {
                if argument & 0x8000_0000 != 0 {
                    self.scribble(index, argument);
                }
                self.answer_register(&[0; 64]);
            }
            (4 | 20 | 40 | 43..=47 | 60..=63, _) => {
                self.scribble(index, argument);
                self.respond(0, &[]);
            }
            _ => self.illegal(),
        }
    }

    fn execute_application(&mut self, index: u8, argument: u32) {
        let without = self.config.as_ref().is_some_and(|config| config.without_status);
        match index {
            41 => self.start(argument),
            13 if !without => {
                let status = self.take_status();
                self.respond(0, &[status]);
                self.send(&registers::sd_status());
            }
            51 if !without => self.answer_register(&registers::SCR),
            22 => self.answer_register(&[0; 4]),
            13 | 51 => self.respond(ILLEGAL, &[]),
            _ => {
                self.scribble(index | 0x80, argument);
                self.respond(0, &[]);
            }
        }
    }

    fn open(&mut self, target: Target) {
        self.intake = Intake::Token(target);
        self.respond(0, &[]);
    }

    fn changed(&mut self) {
        self.counts.changes = self.counts.changes.saturating_add(1);
    }

    /// A command whose effect is not modelled in detail: something has changed.
    fn scribble(&mut self, index: u8, argument: u32) {
        self.changed();
        self.other.push((index, argument));
    }

    fn mark(&mut self, first: Option<u64>, last: Option<u64>) {
        self.erase = (first.or(self.erase.0), last.or(self.erase.1));
        self.respond(0, &[]);
    }

    fn erase(&mut self) {
        if let (Some(first), Some(last)) = self.erase {
            self.changed();
            // The model is asked to erase small ranges only; a large one is recorded as what it is.
            for lba in (first..=last).take(1024) {
                self.written.insert(lba, vec![0; 512]);
            }
            self.other.push((38, 0));
        }
        self.erase = (None, None);
        self.respond(0, &[0x00]);
    }

    pub(super) fn store(&mut self, target: Target, block: &[u8]) {
        self.changed();
        match target {
            Target::Block(lba) => {
                self.written.insert(lba, block.to_vec());
            }
            Target::Blocks(lba) => {
                self.written.insert(lba, block.to_vec());
                self.intake = Intake::Token(Target::Blocks(lba.wrapping_add(1)));
            }
            Target::Csd => self.csd = block.try_into().unwrap_or(self.csd),
            Target::Cid => self.cid = block.try_into().unwrap_or(self.cid),
            Target::Lock => self.store_lock(block),
            Target::Extension(address) => {
                self.extension.insert(address, block.to_vec());
            }
            Target::General => self.other.push((56, 0)),
        }
    }

    /// Lock card data structure (SD specification, 4.3.7): erase, lock, clear and set password.
    fn store_lock(&mut self, block: &[u8]) {
        let [flags, length, ref rest @ ..] = *block else { return };
        let password = rest.get(..usize::from(length)).unwrap_or(rest);
        if flags & 0x08 != 0 {
            self.password.clear();
            self.locked = false;
            self.other.push((42, 0x08));
        } else if flags & 0x02 != 0 {
            self.password.clear();
            self.locked = false;
        } else {
            if flags & 0x01 != 0 {
                self.password = password.to_vec();
            }
            self.locked = flags & 0x04 != 0;
        }
    }
}
