//! The data co-processor (DCP): registers, and one packet at a time.
//!
//! Facts: i.MX RT1060 reference manual, chapter "Data Co-Processor", register names as in `imxrt-ral` (DCP_CTRL, DCP_CHANNELCTRL, DCP_CONTEXT, DCP_CHnCMDPTR,
//! DCP_CHnSEMA, DCP_CHnSTAT). One channel for each message: a channel's semaphore goes up by one and the unit fetches the packet that
//! CMDPTR points to, works on it, writes the context back and lets the semaphore down.
//!
//! No emulator has this unit. Only hardware can show that it reads DTCM, that the context of four channels survives being switched, that
//! HASH_TERM pads as the manual says, the order of the digest's bytes, and its speed. So it is taken only when it computes the known answers, as it is
//! used later (`packets::Chosen::by_test`), and a packet that does not end in time, or in an error, sets [`has_failed`].

use core::{
    ptr::{read_volatile, write_volatile},
    sync::atomic::{AtomicBool, Ordering},
};

use cortex_m::{asm::dsb, peripheral::DWT};
use imxrt_ral::{self as ral, ccm::CCM, dcp::DCP, modify_reg, read_reg, write_reg};
use wb_attest::digest::Slot;

use crate::{
    clock::CYCLES_PER_MICRO,
    packets::{CONTEXT, Failed, Packet, Unit, WORDS},
};

/// Cycles that a packet of 64 KiB may take at most: 50 ms, a tenth of a megabyte a second.
const LIMIT: u32 = 50_000 * CYCLES_PER_MICRO;
/// DCP_CTRL: SFTRST, CLKGATE.
const RESET: u32 = 1 << 31;
const GATE: u32 = 1 << 30;
/// DCP_CHnSTAT: the error bits, and the error code.
const ERRORS: u32 = 0x00FF_007E;
/// DCP_CHnSEMA: VALUE.
const SEMAPHORE: u32 = 0x00FF_0000;
/// DCP_CHANNELCTRL: all four channels.
const CHANNELS: u32 = 0xF;

/// What the unit reads and writes by itself.
#[repr(C, align(64))]
pub struct Memory {
    context: [u32; CONTEXT / 4],
    packets: [[u32; WORDS]; Slot::COUNT],
    payloads: [[u8; 32]; Slot::COUNT],
}

impl Memory {
    /// Empty memory.
    pub const fn new() -> Self {
        Self {
            context: [0; CONTEXT / 4],
            packets: [[0; WORDS]; Slot::COUNT],
            payloads: [[0; 32]; Slot::COUNT],
        }
    }
}

static FAILED: AtomicBool = AtomicBool::new(false);

/// Whether a packet has failed since the last [`forget`]. What was hashed since then is worthless.
pub fn has_failed() -> bool {
    FAILED.load(Ordering::Relaxed)
}

/// After the test at power-up: software is taken then.
pub fn forget() {
    FAILED.store(false, Ordering::Relaxed);
}

/// The unit.
pub struct Hardware {
    registers: DCP,
    memory: &'static mut Memory,
}

impl Hardware {
    /// Resets the unit and gives it its memory. The cycle counter runs.
    pub fn new(registers: DCP, memory: &'static mut Memory, ccm: &mut CCM) -> Self {
        modify_reg!(ral::ccm, ccm, CCGR0, CG5: 3);
        write_reg!(ral::dcp, registers, CTRL_SET, RESET);
        // Whether it is reset shows in the test; a loop without an end would not help.
        wait(LIMIT, || read_reg!(ral::dcp, registers, CTRL) & GATE != 0);
        write_reg!(ral::dcp, registers, CTRL_CLR, RESET | GATE);
        wait(LIMIT, || read_reg!(ral::dcp, registers, CTRL) & (RESET | GATE) == 0);
        write_reg!(
            ral::dcp,
            registers,
            CTRL,
            GATHER_RESIDUAL_WRITES: 1,
            ENABLE_CONTEXT_SWITCHING: 1
        );
        write_reg!(ral::dcp, registers, CONTEXT, address(memory.context.as_ptr().cast()));
        write_reg!(ral::dcp, registers, CHANNELCTRL, CHANNELS);
        Self { registers, memory }
    }

    /// Pointer, semaphore, status and status-clear of a channel.
    fn channel(&self, channel: Slot) -> [&ral::RWRegister<u32>; 4] {
        let all = &self.registers;
        match channel {
            Slot::A => [&all.CH0CMDPTR, &all.CH0SEMA, &all.CH0STAT, &all.CH0STAT_CLR],
            Slot::B => [&all.CH1CMDPTR, &all.CH1SEMA, &all.CH1STAT, &all.CH1STAT_CLR],
            Slot::C => [&all.CH2CMDPTR, &all.CH2SEMA, &all.CH2STAT, &all.CH2STAT_CLR],
            Slot::D => [&all.CH3CMDPTR, &all.CH3SEMA, &all.CH3STAT, &all.CH3STAT_CLR],
        }
    }

    fn begin_packet(&mut self, channel: Slot, packet: &Packet<'_>) -> Option<()> {
        let payload = address(self.memory.payloads.get(channel.index())?.as_ptr());
        let words = packet.words(address(packet.source.as_ptr()), payload);
        let own = self.memory.packets.get_mut(channel.index())?;
        let own = &raw mut *own;
        // SAFETY: the pointer is that of the packet, which the unit does not use: it was waited for.
        unsafe { write_volatile(own, words) };
        // Packet and data are in memory before the unit is told.
        dsb();
        let [pointer, semaphore, _, clear] = self.channel(channel);
        clear.write(u32::MAX);
        pointer.write(address(own.cast_const().cast()));
        semaphore.write(1);
        Some(())
    }

    fn wait_for(&self, channel: Slot) -> Option<()> {
        let [_, semaphore, status, _] = self.channel(channel);
        let is_over =
            wait(LIMIT, || semaphore.read() & SEMAPHORE == 0 || status.read() & ERRORS != 0);
        dsb();
        (is_over && status.read() & ERRORS == 0).then_some(())
    }
}

impl Unit for Hardware {
    fn begin(&mut self, channel: Slot, packet: &Packet<'_>) {
        if self.begin_packet(channel, packet).is_none() {
            FAILED.store(true, Ordering::Relaxed);
        }
    }

    fn wait(&mut self, channel: Slot) -> Result<(), Failed> {
        self.wait_for(channel).ok_or_else(|| {
            FAILED.store(true, Ordering::Relaxed);
            Failed
        })
    }

    fn payload(&self, channel: Slot) -> [u8; 32] {
        let payload = &raw const self.memory.payloads;
        let payload = payload.cast::<[u8; 32]>().wrapping_add(channel.index());
        // SAFETY: there is one for each slot; the unit has written it and is done.
        unsafe { read_volatile(payload) }
    }
}

/// Addresses of the processor are those of the bus, also in DTCM.
fn address(memory: *const u8) -> u32 {
    u32::try_from(memory.expose_provenance()).unwrap_or(0)
}

/// Waits so many cycles at most; whether it came to that.
fn wait(cycles: u32, mut done: impl FnMut() -> bool) -> bool {
    let start = DWT::cycle_count();
    while !done() {
        if DWT::cycle_count().wrapping_sub(start) > cycles {
            return done();
        }
    }
    true
}
