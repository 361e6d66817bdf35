//! UART1, polled: the line to the examiner's side. QEMU takes every byte at once, so there is no rate to set and no room to wait for,
//! and hands over one byte at a time. Each byte costs QEMU a system call, which bounds the speed of this board; so what is sent can go
//! to a named pipe instead, by semihosting and in whole pieces.
//!
//! Facts: i.MX 6UltraLite reference manual, chapter "Universal Asynchronous Receiver/Transmitter".

use core::ptr::{read_volatile, write_volatile};

use wb_bridge::Micros;

use crate::{clock::Clock, redir::Wire, semihosting::File};

const UART1: usize = 0x0202_0000;
/// URXD: received character.
const RECEIVE: usize = 0x00;
/// UTXD: character to send.
const TRANSMIT: usize = 0x40;
/// UCR1, with bit 0 to enable the unit.
const CONTROL_1: usize = 0x80;
const ENABLE: u32 = 1;
/// UCR2: no reset, receiver, transmitter, eight bits, RTS ignored.
const CONTROL_2: usize = 0x84;
const LINE: u32 = 0x4027;
/// USR2, with bit 0 when a character has come.
const STATUS_2: usize = 0x98;
const DATA_READY: u32 = 1;

/// The line.
pub struct Uart {
    clock: Clock,
    /// Where to send, if not on the line itself.
    pipe: Option<File>,
}

impl Uart {
    /// Switches the unit on; it sends to `pipe` if that is given.
    ///
    /// # Safety
    /// Nothing else uses UART1.
    pub unsafe fn new(clock: Clock, pipe: Option<File>) -> Self {
        let mut uart = Self { clock, pipe };
        uart.write(CONTROL_1, ENABLE);
        uart.write(CONTROL_2, LINE);
        uart
    }

    fn read(&self, offset: usize) -> u32 {
        let register = core::ptr::with_exposed_provenance::<u32>(UART1.wrapping_add(offset));
        // SAFETY: a register of UART1, which is this value's own by the contract of `new`.
        unsafe { read_volatile(register) }
    }

    fn write(&mut self, offset: usize, value: u32) {
        let register = core::ptr::with_exposed_provenance_mut::<u32>(UART1.wrapping_add(offset));
        // SAFETY: a register of UART1, which is this value's own by the contract of `new`.
        unsafe { write_volatile(register, value) }
    }
}

impl Wire for Uart {
    fn send(&mut self, bytes: &[u8]) {
        if let Some(pipe) = &mut self.pipe {
            return pipe.write(bytes);
        }
        for byte in bytes {
            self.write(TRANSMIT, u32::from(*byte));
        }
    }

    fn receive(&mut self) -> Option<u8> {
        if self.read(STATUS_2) & DATA_READY == 0 {
            return None;
        }
        let [byte, ..] = self.read(RECEIVE).to_le_bytes();
        Some(byte)
    }

    fn now(&self) -> Micros {
        self.clock.now()
    }
}
