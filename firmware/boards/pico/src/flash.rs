//! Writing the flash that the program runs from, through the functions of the boot ROM.
//!
//! Facts: RP2040 datasheet, sections 2.8.3 (ROM functions), 4.10 (flash interface); W25Q16JV datasheet (command 4Bh, unique id). While the
//! flash is written nothing may be fetched from it: the code between leaving and entering the mapped mode lies in RAM, calls nothing but the ROM,
//! and runs with interrupts off. The second core is never started.
//!
//! Only the last two sectors are ever written: the boot counter and the key page ([`crate::store`]).

use core::{
    hint::black_box,
    ops::Range,
    ptr::{read_volatile, write_volatile},
};

use rp2040_hal::rom_data;

/// Bytes that are programmed at once.
pub const PAGE: usize = 256;
/// Bytes that are erased at once.
pub const SECTOR: usize = 4096;
/// Where the flash is mapped.
const MAPPED: u32 = 0x1000_0000;
/// What is ever written: the last two sectors of 2 MiB. Both end with the flash, so a piece that begins in them ends in them.
const WRITABLE: Range<u32> = (2 << 20) - 2 * SECTOR as u32..2 << 20;
/// First bytes of the ROM behind its vectors, without its revision.
const ROM_MAGIC: [u8; 3] = *b"Mu\x01";
const ROM_MAGIC_AT: *const [u8; 3] = 0x10 as *const _;
/// Length of the boot block that sets up the mapped mode.
const BOOT_BLOCK: usize = 256;
/// Bytes of the unique id that are read. Chips with an id of 8 bytes repeat it or give ones.
pub const UNIQUE_ID: usize = 16;
/// READ UNIQUE ID and four dummy bytes come before it.
const ID_COMMAND: usize = 5;
const ID_EXCHANGE: usize = ID_COMMAND + UNIQUE_ID;

/// Registers of the flash interface.
const SSI_STATUS: *const u32 = 0x1800_0028 as *const _;
const SSI_DATA: *mut u32 = 0x1800_0060 as *mut _;
const CAN_SEND: u32 = 1 << 1;
const HAS_RECEIVED: u32 = 1 << 3;
/// Entries of its FIFO, less some for what is on the wire.
const IN_FLIGHT: usize = 14;
/// Control register of the chip select pin, its field for the output level, and the levels.
const SELECT_PIN: *mut u32 = 0x4001_800C as *mut _;
const SELECT_FIELD: u32 = 3 << 8;
const SELECT_LOW: u32 = 2 << 8;
const SELECT_HIGH: u32 = 3 << 8;

/// What the code in RAM calls.
///
/// # Safety
/// While the mapped mode is left, nothing reads the flash: interrupts are off, and the caller runs in RAM.
#[repr(C)]
struct Rom {
    connect: unsafe extern "C" fn(),
    exit_mapped: unsafe extern "C" fn(),
    erase: unsafe extern "C" fn(u32, usize, u32, u8),
    program: unsafe extern "C" fn(u32, *const u8, usize),
    flush: unsafe extern "C" fn(),
    enter_mapped: unsafe extern "C" fn(),
}

/// The ROM's flash functions. There is no value of this type where the ROM is not the one that is known: nothing is written then.
#[derive(Clone, Copy)]
pub struct Flash(());

impl Flash {
    /// Looks for the ROM.
    pub fn find() -> Option<Self> {
        // SAFETY: the ROM lies at address 0 and can always be read.
        let magic = unsafe { read_volatile(ROM_MAGIC_AT) };
        (magic == ROM_MAGIC).then_some(Self(()))
    }

    /// Makes a sector all ones. Outside the last two sectors nothing is done.
    pub fn erase(self, address: u32) {
        let Some(offset) = offset(address, SECTOR) else { return };
        // SAFETY: `with_rom` turned interrupts off, and no page is read.
        with_rom(|rom| unsafe {
            black_box(change as Change)(rom, offset, core::ptr::null());
        });
    }

    /// Turns ones into zeros: what is one in `page` stays as it is. Outside the last two sectors nothing is done.
    pub fn program(self, address: u32, page: &[u8; PAGE]) {
        let Some(offset) = offset(address, PAGE) else { return };
        // SAFETY: `with_rom` turned interrupts off; the page lies in RAM and is as long as a page.
        with_rom(|rom| unsafe {
            black_box(change as Change)(rom, offset, page.as_ptr());
        });
    }

    /// The id that the maker gave the flash.
    pub fn unique_id(self) -> [u8; UNIQUE_ID] {
        let mut bytes = [0; ID_EXCHANGE];
        bytes[0] = 0x4B;
        // SAFETY: `with_rom` turned interrupts off; the buffer lies in RAM and is as long as the exchange.
        with_rom(|rom| unsafe {
            black_box(exchange as Exchange)(rom, bytes.as_mut_ptr());
        });
        let mut id = [0; UNIQUE_ID];
        for (own, byte) in id.iter_mut().zip(bytes.iter().skip(ID_COMMAND)) {
            *own = *byte;
        }
        id
    }
}

// SAFETY: the contracts are those of `change` and `exchange`.
type Change = unsafe extern "C" fn(&Rom, u32, *const u8);
type Exchange = unsafe extern "C" fn(&Rom, *mut u8);

/// Where a piece lies in the flash, if it is whole and may be written.
fn offset(address: u32, unit: usize) -> Option<u32> {
    let offset = address.checked_sub(MAPPED)?;
    let is_whole = offset.checked_rem(unit as u32) == Some(0);
    (is_whole && WRITABLE.contains(&offset)).then_some(offset)
}

/// Calls `work` with interrupts off. The boot block, which sets up the mapped mode, is copied into RAM first.
fn with_rom(work: impl FnOnce(&Rom)) {
    let mut block = [0_u32; BOOT_BLOCK / 4];
    for (word, address) in block.iter_mut().zip((MAPPED..).step_by(4)) {
        // SAFETY: the boot block lies at the beginning of the flash, which is mapped.
        *word = unsafe { read_volatile(address as *const u32) };
    }
    let entry = black_box(block.as_ptr()).cast::<u8>().wrapping_add(1);
    // SAFETY: the block is a function without arguments in Thumb code that returns to its caller.
    let enter_mapped = unsafe { core::mem::transmute::<*const u8, unsafe extern "C" fn()>(entry) };
    let rom = Rom {
        connect: rom_data::connect_internal_flash::ptr(),
        exit_mapped: rom_data::flash_exit_xip::ptr(),
        erase: rom_data::flash_range_erase::ptr(),
        program: rom_data::flash_range_program::ptr(),
        flush: rom_data::flash_flush_cache::ptr(),
        enter_mapped,
    };
    critical_section::with(|_| work(&rom));
    black_box(&block);
}

/// Programs a page, or erases a sector where there is no page.
///
/// # Safety
///
/// Interrupts are off; `page` is null or a page in RAM.
// SAFETY: `.data` is copied into RAM before `main`, and the chip runs code there.
#[inline(never)]
#[unsafe(link_section = ".data.flash")]
unsafe extern "C" fn change(rom: &Rom, offset: u32, page: *const u8) {
    #[allow(clippy::multiple_unsafe_ops_per_block)] // one sequence
    // SAFETY: the ROM's functions in the order of the datasheet, 2.8.3.1.3; a block size of 2^31 makes it erase single sectors.
    unsafe {
        (rom.connect)();
        (rom.exit_mapped)();
        if page.is_null() {
            (rom.erase)(offset, SECTOR, 1 << 31, 0);
        } else {
            (rom.program)(offset, page, PAGE);
        }
        (rom.flush)();
        (rom.enter_mapped)();
    }
}

/// Exchanges [`ID_EXCHANGE`] bytes with the flash.
///
/// # Safety
///
/// Interrupts are off; `bytes` are so many bytes in RAM.
// SAFETY: `.data` is copied into RAM before `main`, and the chip runs code there.
#[inline(never)]
#[unsafe(link_section = ".data.flash")]
unsafe extern "C" fn exchange(rom: &Rom, bytes: *mut u8) {
    #[allow(clippy::multiple_unsafe_ops_per_block)] // one sequence
    // SAFETY: after leaving the mapped mode the interface exchanges plain bytes; the chip select pin is driven by hand and given back by
    // the flush; the indices stay below the length of the buffer.
    unsafe {
        (rom.connect)();
        (rom.exit_mapped)();
        let pin = read_volatile(SELECT_PIN) & !SELECT_FIELD;
        write_volatile(SELECT_PIN, pin | SELECT_LOW);
        let (mut sent, mut received) = (0_usize, 0_usize);
        while received < ID_EXCHANGE {
            let status = read_volatile(SSI_STATUS);
            let may_send = sent < ID_EXCHANGE && sent.wrapping_sub(received) < IN_FLIGHT;
            if may_send && status & CAN_SEND != 0 {
                write_volatile(SSI_DATA, u32::from(read_volatile(bytes.wrapping_add(sent))));
                sent = sent.wrapping_add(1);
            }
            if status & HAS_RECEIVED != 0 {
                write_volatile(
                    bytes.wrapping_add(received),
                    read_volatile(SSI_DATA).to_le_bytes()[0],
                );
                received = received.wrapping_add(1);
            }
        }
        write_volatile(SELECT_PIN, pin | SELECT_HIGH);
        (rom.flush)();
        (rom.enter_mapped)();
    }
}
