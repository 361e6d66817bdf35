//! The chip's device controller as the bridge needs it: `rp2040-hal`'s driver, and what it leaves out.
//!
//! Facts: USB 2.0, sections 5.8.5, 9.1.1.5 and 9.4.5 (a cleared halt and a new configuration begin with DATA0); RP2040 datasheet, section
//! 4.1.2.7 (buffer control). The driver clears a halt without starting the data toggle again, so a host would throw away the status wrapper
//! that follows, and it can lose the report of a packet that leaves while the driver looks. Both are put right here:
//!
//! - A cleared halt, SET_CONFIGURATION and SET_INTERFACE drop what is queued on an endpoint and start its toggle at DATA0.
//! - A halted bulk-OUT endpoint gives out nothing that came before the halt.
//! - That a packet has left is told by its buffer, once for each packet.

use core::cell::Cell;

use critical_section::Mutex;
use rp2040_hal::{
    pac::{USBCTRL_DPRAM, USBCTRL_REGS, usbctrl_dpram::EP_BUFFER_CONTROL},
    usb::UsbBus as HalBus,
};
use usb_device::{
    Result, UsbDirection, UsbError,
    bus::{PollResult, UsbBus},
    endpoint::{EndpointAddress, EndpointType},
};

/// Packet size of the bulk endpoints at full speed.
pub const PACKET: u16 = 64;
/// Processor cycles after which the controller sees a change of a buffer's fields (datasheet, 4.1.2.7.1: at least 1 us at 48 MHz is safe).
const SETTLE: u32 = 12;

#[derive(Clone, Copy, Default)]
struct State {
    /// IN endpoints with a packet that has not left; endpoint 0 is left to the driver.
    in_flight: u16,
    /// The next packet of endpoint 0 is a SETUP.
    setup: bool,
}

/// The bus.
pub struct Bus {
    driver: HalBus,
    /// Endpoints that exist besides endpoint 0.
    ins: u16,
    outs: u16,
    state: Mutex<Cell<State>>,
}

fn bit(address: EndpointAddress) -> u16 {
    u32::try_from(address.index()).ok().and_then(|index| 1_u16.checked_shl(index)).unwrap_or(0)
}

/// Position of an endpoint among the buffers: IN and OUT of each number in turn.
fn number(address: EndpointAddress) -> usize {
    (address.index() & 15).wrapping_mul(2).wrapping_add(usize::from(address.is_out()))
}

/// The buffer control register of an endpoint.
fn buffer(address: EndpointAddress) -> &'static EP_BUFFER_CONTROL {
    // SAFETY: the register block lies there; what is changed is changed with interrupts off, as the driver does.
    let registers = unsafe { &*USBCTRL_DPRAM::PTR };
    registers.ep_buffer_control(number(address))
}

impl Bus {
    /// Takes over the driver.
    pub fn new(driver: HalBus) -> Self {
        Self { driver, ins: 0, outs: 0, state: Mutex::new(Cell::default()) }
    }

    /// Goes off the host's bus, or comes back: the pull-up by which a host knows of a device. Nothing else of the board changes.
    pub fn set_connected(&self, connected: bool) {
        critical_section::with(|_| {
            // SAFETY: the register block lies there; the field is changed with interrupts off, as the driver does.
            let registers = unsafe { &*USBCTRL_REGS::PTR };
            registers.sie_ctrl().modify(|_, w| w.pullup_en().bit(connected));
        });
    }

    fn exists(&self, address: EndpointAddress) -> bool {
        let all = if address.is_in() { self.ins } else { self.outs };
        all & bit(address) != 0
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        critical_section::with(|section| {
            let cell = self.state.borrow(section);
            let mut state = cell.get();
            let result = change(&mut state);
            cell.set(state);
            result
        })
    }

    /// Drops what is queued, starts the toggle at DATA0, and ends a halt. While the halt stands the controller leaves the buffer alone.
    fn restart(&self, address: EndpointAddress) {
        if !self.exists(address) {
            return;
        }
        critical_section::with(|_| {
            let control = buffer(address);
            control.modify(|_, w| w.stall().set_bit());
            cortex_m::asm::delay(SETTLE);
            if address.is_in() {
                // The driver turns the toggle before it sends.
                control.write(|w| w.stall().set_bit().pid_0().set_bit());
            } else {
                // SAFETY: the register block lies there.
                let registers = unsafe { &*USBCTRL_REGS::PTR };
                let arrived = 1 << number(address);
                // SAFETY: writing a one clears the endpoint's own flag and no other.
                registers.buff_status().write(|w| unsafe { w.bits(arrived) });
                // SAFETY: the length is that of the endpoint's buffer.
                control.write(|w| unsafe { w.stall().set_bit().length_0().bits(PACKET) });
                cortex_m::asm::delay(SETTLE);
                control.modify(|_, w| w.available_0().set_bit());
            }
            cortex_m::asm::delay(SETTLE);
        });
        self.driver.set_stalled(address, false);
    }

    fn restart_pair(&self, index: usize) {
        for direction in [UsbDirection::In, UsbDirection::Out] {
            self.restart(EndpointAddress::from_parts(index, direction));
        }
    }

    /// Requests that start endpoints anew. Interface n has the endpoints of number n + 1.
    fn on_setup(&self, packet: &[u8]) {
        match packet {
            [0x00, 0x09, ..] => (1..16).for_each(|index| self.restart_pair(index)),
            [0x01, 0x0B, _, _, interface, ..] if *interface < 15 => {
                self.restart_pair(usize::from(*interface).wrapping_add(1));
            }
            _ => {}
        }
    }

    /// IN endpoints whose packet has left since the last call.
    fn departed(&self) -> u16 {
        self.change(|state| {
            let mut gone = 0;
            for index in 1..16_usize {
                let address = EndpointAddress::from_parts(index, UsbDirection::In);
                let waits = state.in_flight & bit(address) != 0;
                if waits && buffer(address).read().available_0().bit_is_clear() {
                    gone |= bit(address);
                }
                if state.in_flight >> index <= 1 {
                    break;
                }
            }
            state.in_flight &= !gone;
            gone
        })
    }
}

impl UsbBus for Bus {
    fn alloc_ep(
        &mut self,
        direction: UsbDirection,
        address: Option<EndpointAddress>,
        kind: EndpointType,
        max_packet_size: u16,
        interval: u8,
    ) -> Result<EndpointAddress> {
        let address = self.driver.alloc_ep(direction, address, kind, max_packet_size, interval)?;
        if address.index() > 0 {
            let all = if address.is_in() { &mut self.ins } else { &mut self.outs };
            *all |= bit(address);
        }
        Ok(address)
    }

    fn enable(&mut self) {
        self.driver.enable();
    }

    fn reset(&self) {
        self.change(|state| *state = State::default());
        self.driver.reset();
    }

    fn set_device_address(&self, address: u8) {
        self.driver.set_device_address(address);
    }

    fn write(&self, address: EndpointAddress, packet: &[u8]) -> Result<usize> {
        let taken = self.driver.write(address, packet)?;
        if address.index() > 0 {
            self.change(|state| state.in_flight |= bit(address));
        }
        Ok(taken)
    }

    fn read(&self, address: EndpointAddress, packet: &mut [u8]) -> Result<usize> {
        if address.index() > 0 && self.driver.is_stalled(address) {
            return Err(UsbError::WouldBlock);
        }
        let length = self.driver.read(address, packet)?;
        if address.index() == 0 && self.change(|state| core::mem::take(&mut state.setup)) {
            self.on_setup(packet.get(..length).unwrap_or_default());
        }
        Ok(length)
    }

    fn set_stalled(&self, address: EndpointAddress, stalled: bool) {
        if address.index() == 0 || (stalled && self.exists(address)) {
            self.driver.set_stalled(address, stalled);
        } else if !stalled {
            self.restart(address);
        }
    }

    fn is_stalled(&self, address: EndpointAddress) -> bool {
        self.driver.is_stalled(address)
    }

    fn suspend(&self) {
        self.driver.suspend();
    }

    fn resume(&self) {
        self.driver.resume();
    }

    fn poll(&self) -> PollResult {
        match self.driver.poll() {
            PollResult::Data { ep_out, ep_in_complete, ep_setup } => {
                if ep_setup & 1 != 0 {
                    self.change(|state| state.setup = true);
                }
                let ep_in_complete = (ep_in_complete & 1) | self.departed();
                PollResult::Data { ep_out, ep_in_complete, ep_setup }
            }
            PollResult::None => match self.departed() {
                0 => PollResult::None,
                ep_in_complete => PollResult::Data { ep_out: 0, ep_in_complete, ep_setup: 0 },
            },
            other => other,
        }
    }
}
