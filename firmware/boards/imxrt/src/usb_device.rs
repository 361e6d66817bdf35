//! USB1, the examiner's side: a bus for `usb-device` over `imxrt-usbd`, with what that driver leaves to others.
//!
//! - It enables the endpoints only when it is told that the device is configured, and until then it could hand out the length of a transfer that was flushed by a
//!   bus reset as if it were a packet. So nothing is read or written on them before.
//! - CLEAR FEATURE(ENDPOINT_HALT), on a halted endpoint or not, and a new configuration begin with DATA0 (USB 2.0, sections 5.8.5, 9.1.1.5 and 9.4.5). The
//!   controller starts the toggle again only when it is told by TXR or RXR of the endpoint's ENDPTCTRL, and the driver tells it so with a new configuration
//!   alone. Without that the host would throw away the status of the first refused data-in command, and the bridge the first command after a reset
//!   recovery, in which the host clears endpoints that are not halted. What is queued on the endpoint is dropped with it, as that recovery wants it.
//! - A bus reset ends every halt; the driver leaves the stall bits as they were.
//! - It cannot leave the bus: USBCMD.RS does that.
//! - A transfer that ended in an error blocks its endpoint for ever. [`is_stuck`](Bus::is_stuck) says so.
//!
//! Facts: i.MX RT1060 reference manual, chapter "Universal Serial Bus Controller", register names as in `imxrt-ral`; the source of `imxrt-usbd` 0.4.3.

use core::cell::Cell;

use cortex_m::interrupt::Mutex;
use imxrt_ral::{self as ral, modify_reg, read_reg, usb::USB1};
use imxrt_usbd::{BusAdapter, EndpointMemory, EndpointState, Instances, Speed};
use usb_device::{
    UsbDirection, UsbError,
    bus::{PollResult, UsbBus},
    endpoint::{EndpointAddress, EndpointType},
};
use wb_bridge::pipes::Pipes;

/// Packet size of the bulk endpoints at high speed.
pub const PACKET: u16 = 512;

/// Two packets of endpoint 0 and three of 512 bytes, with room to spare. The driver takes them as multiples of 64 from the end, and the core likes
/// data on double words better than others (`chipidea::Memory`).
#[repr(align(64))]
struct Packets(EndpointMemory<2048>);

static MEMORY: Packets = Packets(EndpointMemory::new());
static STATE: EndpointState = EndpointState::max_endpoints();

/// ENDPTCTRL: reset of the data toggle, IN and OUT.
const TXR: u32 = 1 << 22;
const RXR: u32 = 1 << 6;
/// ENDPTCTRL: stall, IN and OUT.
const STALLS: u32 = 1 << 16 | 1;
/// bmRequestType and bRequest of SET_CONFIGURATION.
const SET_CONFIGURATION: [u8; 2] = [0x00, 0x09];
/// Endpoints of the core, endpoint 0 among them.
const ENDPOINTS: usize = 8;
/// Tries of a flush, and polls of each; it takes as long as a packet.
const FLUSHES: usize = 8;
const POLLS: usize = 10_000;
/// PORTSC1, PSPD.
const HIGH_SPEED: u32 = 2;

/// The bus.
pub struct Bus {
    driver: BusAdapter,
    registers: Mutex<USB1>,
    is_configured: Mutex<Cell<bool>>,
    is_stuck: Mutex<Cell<bool>>,
    /// The next packet of endpoint 0 is a SETUP.
    is_setup: Mutex<Cell<bool>>,
    /// IN endpoints whose packet was dropped: the class is told as if it had left.
    dropped: Mutex<Cell<u16>>,
}

impl Bus {
    /// Takes the first USB core; its clock runs. It does not appear on the bus yet.
    ///
    /// # Safety
    /// Nothing else uses the registers of the first USB core.
    pub unsafe fn new(instances: Instances<1>) -> Self {
        // SAFETY: by the contract of this function; the driver and this share them in one thread, and this writes only what the driver does not keep.
        let registers = unsafe { USB1::instance() };
        Self {
            driver: BusAdapter::with_speed(instances, &MEMORY.0, &STATE, Speed::High),
            registers: Mutex::new(registers),
            is_configured: Mutex::new(Cell::new(false)),
            is_stuck: Mutex::new(Cell::new(false)),
            is_setup: Mutex::new(Cell::new(false)),
            dropped: Mutex::new(Cell::new(0)),
        }
    }

    /// Tells the driver once that the host has configured the device.
    pub fn configure(&self) {
        cortex_m::interrupt::free(|section| {
            if !self.is_configured.borrow(section).replace(true) {
                self.driver.configure();
            }
        });
    }

    /// Whether the endpoints can be used.
    pub fn is_configured(&self) -> bool {
        cortex_m::interrupt::free(|section| self.is_configured.borrow(section).get())
    }

    /// An endpoint has ended in an error, from which only a reset of the chip leads out.
    pub fn is_stuck(&self) -> bool {
        cortex_m::interrupt::free(|section| self.is_stuck.borrow(section).get())
    }

    /// Whether the host's port has high speed, which the descriptors are for.
    pub fn is_high_speed(&self) -> bool {
        self.with(|usb| read_reg!(ral::usb, usb, PORTSC1, PSPD == HIGH_SPEED))
    }

    /// Appears on the host's bus, or leaves it.
    pub fn set_attached(&self, attached: bool) {
        self.with(|usb| modify_reg!(ral::usb, usb, USBCMD, RS: u32::from(attached)));
        if !attached {
            self.unconfigure();
        }
    }

    fn unconfigure(&self) {
        cortex_m::interrupt::free(|section| self.is_configured.borrow(section).set(false));
    }

    fn with<T>(&self, work: impl FnOnce(&USB1) -> T) -> T {
        cortex_m::interrupt::free(|section| work(self.registers.borrow(section)))
    }

    /// Notes a transfer that ended in an error, on any endpoint but 0, which begins anew with each request.
    fn noted<T>(
        &self,
        endpoint: EndpointAddress,
        result: usb_device::Result<T>,
    ) -> usb_device::Result<T> {
        if endpoint.index() != 0 && matches!(result, Err(UsbError::InvalidState)) {
            cortex_m::interrupt::free(|section| self.is_stuck.borrow(section).set(true));
        }
        result
    }

    /// Drops what is queued on an endpoint, and begins it with DATA0.
    fn begin_anew(&self, endpoint: EndpointAddress) {
        let is_in = endpoint.direction() == UsbDirection::In;
        let (shift, toggle) = if is_in { (16, TXR) } else { (0, RXR) };
        let bit = 1_u32.checked_shl(u32::try_from(endpoint.index()).unwrap_or(0)).unwrap_or(0);
        let mask = bit << shift;
        let was_queued = self.with(|usb| {
            let was_queued = usb.ENDPTSTAT.read() & mask != 0;
            flush(usb, mask);
            let control =
                endpoint.index().checked_sub(1).and_then(|index| usb.ENDPTCTRL.get(index));
            if let Some(control) = control {
                control.write(control.read() | toggle);
            }
            was_queued
        });
        if is_in && was_queued {
            let bit = u16::try_from(bit).unwrap_or(0);
            cortex_m::interrupt::free(|section| {
                let dropped = self.dropped.borrow(section);
                dropped.set(dropped.get() | bit);
            });
        }
    }

    /// A SETUP packet that begins a new configuration: the main loop configures the driver again.
    fn note_setup(&self, packet: &[u8]) {
        let is_setup =
            cortex_m::interrupt::free(|section| self.is_setup.borrow(section).replace(false));
        if is_setup && packet.starts_with(&SET_CONFIGURATION) && self.is_configured() {
            for index in 1..ENDPOINTS {
                for direction in [UsbDirection::In, UsbDirection::Out] {
                    self.begin_anew(EndpointAddress::from_parts(index, direction));
                }
            }
            self.unconfigure();
        }
    }
}

/// ENDPTFLUSH, until nothing is primed; a packet that is on the wire makes the controller ask for more than one try.
fn flush(usb: &USB1, mask: u32) {
    for _ in 0..FLUSHES {
        usb.ENDPTFLUSH.write(mask);
        for _ in 0..POLLS {
            if usb.ENDPTFLUSH.read() & mask == 0 {
                break;
            }
        }
        if usb.ENDPTSTAT.read() & mask == 0 {
            return;
        }
    }
}

impl UsbBus for Bus {
    const QUIRK_SET_ADDRESS_BEFORE_STATUS: bool = BusAdapter::QUIRK_SET_ADDRESS_BEFORE_STATUS;

    fn alloc_ep(
        &mut self,
        direction: UsbDirection,
        address: Option<EndpointAddress>,
        kind: EndpointType,
        max_packet: u16,
        interval: u8,
    ) -> usb_device::Result<EndpointAddress> {
        self.driver.alloc_ep(direction, address, kind, max_packet, interval)
    }

    fn enable(&mut self) {
        self.driver.enable();
    }

    fn reset(&self) {
        self.unconfigure();
        self.driver.reset();
        // A reset ends every halt (USB 2.0, 9.1.1.5), which the driver leaves as it was.
        self.with(|usb| {
            for control in &usb.ENDPTCTRL {
                control.write(control.read() & !STALLS);
            }
        });
    }

    fn set_device_address(&self, address: u8) {
        self.driver.set_device_address(address);
    }

    fn write(&self, endpoint: EndpointAddress, packet: &[u8]) -> usb_device::Result<usize> {
        if endpoint.index() != 0 && !self.is_configured() {
            return Err(UsbError::WouldBlock);
        }
        self.noted(endpoint, self.driver.write(endpoint, packet))
    }

    fn read(&self, endpoint: EndpointAddress, packet: &mut [u8]) -> usb_device::Result<usize> {
        if endpoint.index() != 0 && !self.is_configured() {
            return Err(UsbError::WouldBlock);
        }
        let length = self.noted(endpoint, self.driver.read(endpoint, packet))?;
        if endpoint.index() == 0 {
            self.note_setup(packet.get(..length).unwrap_or_default());
        }
        Ok(length)
    }

    fn set_stalled(&self, endpoint: EndpointAddress, stalled: bool) {
        // The stack clears a halt on endpoints other than 0 for the host's request alone.
        if !stalled && endpoint.index() != 0 {
            self.begin_anew(endpoint);
        }
        self.driver.set_stalled(endpoint, stalled);
    }

    fn is_stalled(&self, endpoint: EndpointAddress) -> bool {
        self.driver.is_stalled(endpoint)
    }

    fn suspend(&self) {
        self.driver.suspend();
    }

    fn resume(&self) {
        self.driver.resume();
    }

    fn poll(&self) -> PollResult {
        let result = self.driver.poll();
        let dropped = cortex_m::interrupt::free(|section| self.dropped.borrow(section).take());
        match result {
            PollResult::Data { ep_out, ep_in_complete, ep_setup } => {
                let is_setup = ep_setup & 1 != 0;
                cortex_m::interrupt::free(|section| self.is_setup.borrow(section).set(is_setup));
                PollResult::Data { ep_out, ep_in_complete: ep_in_complete | dropped, ep_setup }
            }
            PollResult::None if dropped != 0 => {
                PollResult::Data { ep_out: 0, ep_in_complete: dropped, ep_setup: 0 }
            }
            // A bus reset tells the class more than a packet that left.
            other => other,
        }
    }

    fn force_reset(&self) -> usb_device::Result<()> {
        self.set_attached(false);
        Ok(())
    }
}

/// The endpoints of a bridge that the host has not configured: nothing moves.
pub struct NoPipes;

impl Pipes for NoPipes {
    fn max_packet(&self) -> usize {
        usize::from(PACKET)
    }

    fn read(&mut self, _packet: &mut [u8]) -> Option<usize> {
        None
    }

    fn write(&mut self, _data: &[u8]) -> Option<usize> {
        None
    }

    fn is_flushed(&mut self) -> bool {
        false
    }

    fn stall_in(&mut self) {}

    fn stall_out(&mut self) {}

    fn is_in_stalled(&self) -> bool {
        true
    }

    fn is_out_stalled(&self) -> bool {
        true
    }
}
