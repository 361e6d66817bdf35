//! The serial flash: image, boot counter and key page; the commands that change the latter two.
//!
//! | Address | Content |
//! |---|---|
//! | 6000_0000h | image, from `__image_start` to `__image_end` |
//! | 607F_C000h, 607F_D000h | boot counter ([`counter`](crate::counter)) |
//! | 607F_E000h | key page, written once |
//!
//! These three sectors lie in the last of the range 607C_0000h to 607F_EFFFh that the Teensy's loader leaves alone when it erases the rest for a new image (it
//! is meant for the emulation of an EEPROM). The last sector of all belongs to that loader and is locked. The full restore, by holding the button for 15 seconds,
//! erases the key too: that is the loader's way of a new identity. The EVK uses the same addresses.
//!
//! Facts: i.MX RT1060 reference manual, chapter "FlexSPI" (IP commands, look-up table, TX FIFO), register names as in `imxrt-ral`; data sheets as in [`fcb`](crate::fcb).
//! Code lies in ITCM and constants in DTCM, so nothing reads the flash while a command runs; interrupts are off all the time. What FlexSPI has read ahead
//! is dropped by its software reset afterwards; the processor's caches are off.

use core::ptr::{read_volatile, write_volatile};

use imxrt_ral::{self as ral, flexspi, flexspi::FLEXSPI1, modify_reg, read_reg, write_reg};
use wb_attest::key::{KeyPage, KeyPageError};

use crate::{
    clock::wait,
    counter::{self, MARK, SECTOR, Sector, Step},
    watchdog,
};

/// Where the flash lies for reads.
const BASE: u32 = 0x6000_0000;
const COUNTER: [u32; 2] = [0x7F_C000, 0x7F_D000];
const KEY: u32 = 0x7F_E000;
const ERASED: u8 = 0xFF;

/// The sequence of the look-up table that is used, the last of 16; the others stay as the boot ROM left them.
const SEQUENCE: u32 = 15;
const FIRST_WORD: usize = 60;
const UNLOCK_KEY: u32 = 0x5AF0_5AF0;
/// Transmit FIFO (RM: TFDR0), which `imxrt-ral` leaves out.
const TFDR0: usize = 0x180;
/// Bytes that one pop of the transmit FIFO's window takes.
const WINDOW: usize = 8;

// Flash commands.
const WRITE_ENABLE: u8 = 0x06;
const READ_STATUS: u8 = 0x05;
const ERASE_SECTOR: u8 = 0x20;
const PAGE_PROGRAM: u8 = 0x02;
const BUSY: u8 = 1;

// Instructions of the look-up table: operation code, one pad, operand.
const CMD: u32 = 0x01;
const ADDRESS: u32 = 0x02;
const WRITE: u32 = 0x08;
const READ: u32 = 0x09;

// All that can be waited for in a row stays below the watchdog's 4 seconds, so that a broken flash is told and not restarted for ever.

/// Microseconds for FlexSPI itself; the longest command takes less than one millisecond on the wire.
const COMMAND_LIMIT: u32 = 20_000;
/// Microseconds for a page; both chips take less than 5 ms.
const PROGRAM_LIMIT: u32 = 100_000;
/// Microseconds for a sector; both chips take less than 0.5 s.
const ERASE_LIMIT: u32 = 1_500_000;
/// Commands of a power-up that begins a sector, each with what it waits for.
const COMMANDS: u32 = 30;
const _: () =
    assert!(ERASE_LIMIT + 2 * PROGRAM_LIMIT + COMMANDS * COMMAND_LIMIT < watchdog::MICROS / 4 * 3);

/// The flash does not answer, or does not keep what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

// SAFETY: the build script defines both. They are the ends of the image, and only their addresses are taken.
unsafe extern "C" {
    static __image_start: u8;
    static __image_end: u8;
}

/// The flash range whose SHA-256 is the firmware digest.
pub fn image() -> &'static [u8] {
    let (start, end) = (&raw const __image_start, &raw const __image_end);
    let length = end.addr().wrapping_sub(start.addr());
    // SAFETY: the linker script gives both ends of one piece of flash, which nobody writes.
    unsafe { core::slice::from_raw_parts(start, length) }
}

/// The flash.
pub struct Flash(FLEXSPI1);

impl Flash {
    /// Takes the controller as the boot ROM left it, with its FIFOs on the register bus, and opens the look-up table. The cycle counter runs.
    pub fn new(registers: FLEXSPI1) -> Self {
        modify_reg!(ral::flexspi, registers, MCR0, ARDFEN: 0, ATDFEN: 0);
        write_reg!(ral::flexspi, registers, LUTKEY, UNLOCK_KEY);
        write_reg!(ral::flexspi, registers, LUTCR, UNLOCK: 1);
        Self(registers)
    }

    /// The key page.
    ///
    /// # Errors
    /// [`KeyPageError`].
    pub fn key_page(&self) -> Result<KeyPage, KeyPageError> {
        KeyPage::parse(&read(KEY))
    }

    /// Writes the key page, if its whole sector is empty.
    ///
    /// # Errors
    /// [`Broken`], also if it was not empty.
    pub fn write_key_page(&mut self, page: &KeyPage) -> Result<(), Broken> {
        if read::<SECTOR>(KEY).iter().any(|byte| *byte != ERASED) {
            return Err(Broken);
        }
        self.program(KEY, &page.to_bytes())?;
        if self.key_page() == Ok(*page) { Ok(()) } else { Err(Broken) }
    }

    /// Counts this power-up, and gives its number.
    ///
    /// # Errors
    /// [`Broken`].
    pub fn count_power_up(&mut self) -> Result<u32, Broken> {
        let plan = self.plan();
        match plan.step {
            Step::Mark(sector, offset) => {
                let offset = u32::try_from(offset).map_err(|_| Broken)?;
                self.program(sector_address(sector).wrapping_add(offset), &MARK)?;
            }
            Step::Begin(sector, header) => {
                let address = sector_address(sector);
                self.erase(address)?;
                self.program(address, &header)?;
                let after = u32::try_from(header.len()).map_err(|_| Broken)?;
                self.program(address.wrapping_add(after), &MARK)?;
            }
        }
        let is_kept = self.plan().count == plan.count.wrapping_add(1);
        if is_kept { Ok(plan.count) } else { Err(Broken) }
    }

    fn plan(&self) -> counter::Plan {
        let [first, second] = COUNTER;
        counter::plan(&read::<SECTOR>(first), &read::<SECTOR>(second))
    }

    fn erase(&mut self, address: u32) -> Result<(), Broken> {
        self.enable()?;
        self.command(&[instruction(CMD, ERASE_SECTOR), instruction(ADDRESS, 24)], address, &[])?;
        self.finish(ERASE_LIMIT)
    }

    /// Programs bytes that lie in one page of 256.
    fn program(&mut self, address: u32, bytes: &[u8]) -> Result<(), Broken> {
        self.enable()?;
        let steps =
            [instruction(CMD, PAGE_PROGRAM), instruction(ADDRESS, 24), instruction(WRITE, 1)];
        self.command(&steps, address, bytes)?;
        self.finish(PROGRAM_LIMIT)
    }

    fn enable(&mut self) -> Result<(), Broken> {
        self.command(&[instruction(CMD, WRITE_ENABLE)], 0, &[])
    }

    /// Waits for the flash, and drops what was read ahead before it changed.
    fn finish(&mut self, limit: u32) -> Result<(), Broken> {
        let mut status = Ok(BUSY);
        wait(limit, || {
            status = self.status();
            status.map_or(true, |status| status & BUSY == 0)
        });
        if status? & BUSY != 0 {
            return Err(Broken);
        }
        modify_reg!(ral::flexspi, self.0, MCR0, SWRESET: 1);
        self.until(|registers| read_reg!(ral::flexspi, registers, MCR0, SWRESET == 0))
    }

    fn status(&mut self) -> Result<u8, Broken> {
        self.write_table(&[instruction(CMD, READ_STATUS), instruction(READ, 1)]);
        write_reg!(ral::flexspi, self.0, IPRXFCR, CLRIPRXF: 1);
        self.trigger(0, 1)?;
        self.until(|registers| read_reg!(ral::flexspi, registers, INTR, IPCMDDONE == 1))?;
        let [status, ..] = self.0.RFDR.first().map_or(0, ral::RORegister::read).to_le_bytes();
        Ok(status)
    }

    /// Runs a command with what it writes.
    fn command(&mut self, steps: &[u32], address: u32, bytes: &[u8]) -> Result<(), Broken> {
        self.write_table(steps);
        write_reg!(ral::flexspi, self.0, IPTXFCR, CLRIPTXF: 1, TXWMRK: 0);
        let length = u32::try_from(bytes.len()).map_err(|_| Broken)?;
        self.trigger(address, length)?;
        for window in bytes.chunks(WINDOW) {
            self.until(|registers| read_reg!(ral::flexspi, registers, INTR, IPTXWE == 1))?;
            let mut padded = [ERASED; WINDOW];
            for (own, byte) in padded.iter_mut().zip(window) {
                *own = *byte;
            }
            for (index, word) in padded.as_chunks::<4>().0.iter().enumerate() {
                push(index, u32::from_le_bytes(*word));
            }
            write_reg!(ral::flexspi, self.0, INTR, IPTXWE: 1);
        }
        self.until(|registers| read_reg!(ral::flexspi, registers, INTR, IPCMDDONE == 1))?;
        if read_reg!(ral::flexspi, self.0, INTR, IPCMDERR == 1) { Err(Broken) } else { Ok(()) }
    }

    fn trigger(&mut self, address: u32, length: u32) -> Result<(), Broken> {
        self.until(|registers| read_reg!(ral::flexspi, registers, STS0) & IDLE == IDLE)?;
        write_reg!(ral::flexspi, self.0, INTR, IPCMDDONE: 1, IPCMDERR: 1, IPCMDGE: 1);
        write_reg!(ral::flexspi, self.0, IPCR0, address);
        write_reg!(ral::flexspi, self.0, IPCR1, ISEQID: SEQUENCE, IDATSZ: length);
        write_reg!(ral::flexspi, self.0, IPCMD, TRG: 1);
        Ok(())
    }

    /// Two instructions in each word, the first in the lower half; the rest of the four words stops.
    fn write_table(&mut self, steps: &[u32]) {
        let mut pairs = steps.chunks(2);
        for word in self.0.LUT.iter().skip(FIRST_WORD) {
            let pair = pairs.next().unwrap_or_default();
            let (low, high) = (pair.first().copied(), pair.get(1).copied());
            word.write(low.unwrap_or(0) | high.unwrap_or(0) << 16);
        }
    }

    fn until(&self, mut done: impl FnMut(&FLEXSPI1) -> bool) -> Result<(), Broken> {
        wait(COMMAND_LIMIT, || done(&self.0)).then_some(()).ok_or(Broken)
    }
}

/// STS0: SEQIDLE and ARBIDLE.
const IDLE: u32 = 3;

fn instruction(operation: u32, operand: u8) -> u32 {
    operation << 10 | u32::from(operand)
}

fn push(index: usize, word: u32) {
    let fifo = flexspi::FLEXSPI1.cast::<u32>().cast_mut().wrapping_byte_add(TFDR0);
    // SAFETY: a word of the transmit FIFO; its owner is the one who calls.
    unsafe { write_volatile(fifo.wrapping_add(index), word) };
}

fn sector_address(sector: Sector) -> u32 {
    let [first, second] = COUNTER;
    match sector {
        Sector::First => first,
        Sector::Second => second,
    }
}

/// Reads from flash what may change while the program runs.
fn read<const N: usize>(offset: u32) -> [u8; N] {
    let mut bytes = [0; N];
    let from = usize::try_from(BASE.wrapping_add(offset)).unwrap_or(0);
    let from: *const u8 = core::ptr::with_exposed_provenance(from);
    for (index, own) in bytes.iter_mut().enumerate() {
        // SAFETY: all callers stay within one sector of the flash, which is mapped for reads.
        *own = unsafe { read_volatile(from.wrapping_add(index)) };
    }
    bytes
}
