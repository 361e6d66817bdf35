//! The chip's device controller as the bridge needs it: `rp2040-hal`'s driver, and what it leaves out.
//!
//! Facts: USB 2.0, sections 5.8.5, 9.1.1.5 and 9.4.5 (a cleared halt and a new configuration begin with DATA0); RP2040 datasheet, section
//! 4.1.2.7 (buffer control). The driver clears a halt without starting the data toggle again, so a host would throw away the status wrapper
//! that follows; it can lose the report of a packet that leaves while the driver looks; and it leaves endpoint 0 open for data between two
//! requests: data that follow their request before the driver has looked at it are then acknowledged and thrown away, and the host
//! waits for a status that never comes. All three are put right here:
//!
//! - A cleared halt, SET_CONFIGURATION and SET_INTERFACE drop what is queued on an endpoint and start its toggle at DATA0.
//! - A halted bulk-OUT endpoint gives out nothing that came before the halt.
//! - That a packet has left is told by its buffer, once for each packet.
//! - Endpoint 0 takes data only when a request is known to have some. Where the host gave up a request and the endpoint is still open, the
//!   next one with data is stalled, so that it may be sent again.
//! - No bulk packet is handed to the controller while a frame is ending ([`crate::frames`]).

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

use crate::{frames::Frames, microseconds};

/// Packet size of the bulk endpoints at full speed.
pub const PACKET: u16 = 64;
/// Processor cycles after which the controller sees a change of a buffer's fields: it has to settle for one cycle of the controller's 48 MHz
/// (datasheet, 4.1.2.5.1), and four pass in as many.
const SETTLE: u32 = 12;

#[derive(Clone, Copy, Default)]
struct State {
    /// IN endpoints with a packet that has not left.
    in_flight: u16,
    /// The next packet of endpoint 0 is a SETUP.
    setup: bool,
    frames: Frames,
}

/// The bus.
pub struct Bus {
    driver: HalBus,
    /// Endpoints that exist besides endpoint 0.
    ins: u16,
    outs: u16,
    state: Mutex<Cell<State>>,
}

/// Where a host sends requests and their data.
fn control_out() -> EndpointAddress {
    EndpointAddress::from_parts(0, UsbDirection::Out)
}

/// Where it gets answers, and the status of what it sent.
fn control_in() -> EndpointAddress {
    EndpointAddress::from_parts(0, UsbDirection::In)
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

/// Forgets that a packet came in on an OUT endpoint.
fn clear_arrived(address: EndpointAddress) {
    // SAFETY: the register block lies there.
    let registers = unsafe { &*USBCTRL_REGS::PTR };
    let arrived = 1 << number(address);
    // SAFETY: writing a one clears the endpoint's own flag and no other.
    registers.buff_status().write(|w| unsafe { w.bits(arrived) });
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
                clear_arrived(address);
                // SAFETY: the length is that of the endpoint's buffer.
                control.write(|w| unsafe { w.stall().set_bit().length_0().bits(PACKET) });
                cortex_m::asm::delay(SETTLE);
                control.modify(|_, w| w.available_0().set_bit());
            }
            cortex_m::asm::delay(SETTLE);
        });
        self.driver.set_stalled(address, false);
    }

    /// Drops the data that wait on endpoint 0, and takes none until the driver opens it for a request.
    fn close_control(&self) {
        critical_section::with(|_| {
            let control = buffer(control_out());
            control.modify(|_, w| w.available_0().clear_bit().full_0().clear_bit());
            clear_arrived(control_out());
        });
    }

    /// Stalls a request: `usb-device` does not where its data do not fit.
    fn refuse_request(&self) {
        self.driver.set_stalled(control_in(), true);
        self.set_stalled(control_out(), true);
    }

    /// Whether data came in on endpoint 0 that nobody has fetched.
    fn has_control_data(&self) -> bool {
        let control = buffer(control_out()).read();
        control.full_0().bit_is_set() && control.length_0().bits() > 0
    }

    /// Takes over whether a frame has begun.
    fn look_at_frames(&self) {
        // SAFETY: the register block lies there; reading the frame's number ends the report of its beginning, which nobody else looks at.
        let registers = unsafe { &*USBCTRL_REGS::PTR };
        let has_begun = registers.intr().read().dev_sof().bit_is_set();
        if has_begun {
            let _ = registers.sof_rd().read();
        }
        let now = microseconds();
        self.change(|state| state.frames.look(now, has_begun));
    }

    fn restart_pair(&self, index: usize) {
        for direction in [UsbDirection::In, UsbDirection::Out] {
            self.restart(EndpointAddress::from_parts(index, direction));
        }
    }

    /// Requests that start endpoints anew, and those whose first data were thrown away with what was there before them. Interface n has the
    /// endpoints of number n + 1.
    fn on_setup(&self, packet: &[u8], is_data_lost: bool) {
        match packet {
            [kind, _, _, _, _, _, low, high]
                if is_data_lost && kind & 0x80 == 0 && (*low, *high) != (0, 0) =>
            {
                self.refuse_request();
            }
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
            for index in 0..16_usize {
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
        self.close_control();
    }

    fn set_device_address(&self, address: u8) {
        self.driver.set_device_address(address);
    }

    fn write(&self, address: EndpointAddress, packet: &[u8]) -> Result<usize> {
        if address.index() > 0 {
            let is_waiting = buffer(address).read().available_0().bit_is_set();
            if is_waiting || self.change(|state| state.frames.is_ending(microseconds())) {
                return Err(UsbError::WouldBlock);
            }
        }
        let taken = self.driver.write(address, packet)?;
        self.change(|state| state.in_flight |= bit(address));
        Ok(taken)
    }

    fn read(&self, address: EndpointAddress, packet: &mut [u8]) -> Result<usize> {
        if address.index() > 0 && self.driver.is_stalled(address) {
            return Err(UsbError::WouldBlock);
        }
        let is_setup =
            address.index() == 0 && self.change(|state| core::mem::take(&mut state.setup));
        let is_data_lost = is_setup && self.has_control_data();
        let length = self.driver.read(address, packet).inspect_err(|error| {
            if address.index() == 0 && *error == UsbError::BufferOverflow {
                self.refuse_request();
            }
        })?;
        if is_setup {
            self.on_setup(packet.get(..length).unwrap_or_default(), is_data_lost);
        }
        Ok(length)
    }

    fn set_stalled(&self, address: EndpointAddress, stalled: bool) {
        if address.index() == 0 || (stalled && self.exists(address)) {
            self.driver.set_stalled(address, stalled);
        } else if !stalled {
            self.restart(address);
        }
        if stalled && address == control_out() {
            self.close_control();
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
        self.look_at_frames();
        match self.driver.poll() {
            PollResult::Data { ep_out, ep_setup, .. } => {
                if ep_setup & 1 != 0 {
                    // A new request ends the one before it, with what it had queued.
                    self.change(|state| {
                        state.setup = true;
                        state.in_flight &= !bit(control_in());
                    });
                }
                PollResult::Data { ep_out, ep_in_complete: self.departed(), ep_setup }
            }
            PollResult::None => match self.departed() {
                0 => PollResult::None,
                ep_in_complete => PollResult::Data { ep_out: 0, ep_in_complete, ep_setup: 0 },
            },
            other => other,
        }
    }
}
