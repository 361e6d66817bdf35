//! The bridge with its USB device, and how it goes on while something else is computed.
//!
//! One thread does all the work in a loop. What takes long, a signature or a new key, is computed by [`beside`]: meanwhile a timer interrupt
//! polls, so that reads go on being served.

use core::cell::RefCell;

use critical_section::Mutex;
use rp2040_hal::{
    Timer,
    fugit::MicrosDurationU32,
    pac::{self, interrupt},
    timer::{Alarm, Alarm0},
};
use usb_device::device::{UsbDevice, UsbDeviceState};
use wb_attest::digest::Software;
use wb_bridge::{
    Micros,
    bridge::{Bridge, Work},
    card::{Card, NoDetect},
    device::{Class, Endpoints},
    drive::{self, Drive, DriveEvent, Emitted, Report},
};
use wb_policy::down::DownCommand;

use crate::{
    card_bus::{CardBus, ChipSelect},
    lights::Lights,
    usb::Bus,
};

/// Bytes of each of the two data buffers.
pub const SLOT: usize = 8 * 1024;
/// Log entries that wait for the host: 256 MiB of reads, which take minutes.
pub const RING: usize = 256;
/// Room for a statement with [`wb_attest::statement::Bounds::SMALL`].
pub const STATEMENT: usize = 32 * 1024;

/// How long one interrupt polls while there is something to do; what is begun in that time is finished. The computation gets half as long until
/// the next: two thirds of the processor serve the host, whatever it asks for.
const SERVE: Micros = 400;
/// Least time until the next interrupt, in microseconds.
const COMPUTE: u32 = 200;
/// Rounds in which the host does nothing, after which the rest of the time is for the computation.
const IDLE_ROUNDS: u32 = 8;

/// The card's slot.
pub type Slot = Card<CardBus, ChipSelect, NoDetect, SLOT>;
/// The slot where it stands: by itself it is too large to be moved about.
pub struct SlotRef(pub &'static mut Slot);

impl Drive for SlotRef {
    fn slot_bytes(&self) -> usize {
        self.0.slot_bytes()
    }

    fn poll(&mut self, now: Micros) -> Option<DriveEvent> {
        self.0.poll(now)
    }

    fn start(&mut self, command: &DownCommand, slot: drive::Slot, now: Micros) -> bool {
        self.0.start(command, slot, now)
    }

    fn data(&self, slot: drive::Slot) -> &[u8] {
        self.0.data(slot)
    }

    fn abandon(&mut self, now: Micros) {
        self.0.abandon(now);
    }

    fn is_vacant(&self) -> bool {
        self.0.is_vacant()
    }

    fn report(&self) -> Option<&Report> {
        self.0.report()
    }

    fn emitted(&self) -> &Emitted {
        self.0.emitted()
    }
}

/// The bridge's core on this board.
pub type Core = Bridge<'static, SlotRef, Software, RING>;

/// Everything that is polled.
pub struct Machine {
    /// The bridge.
    pub bridge: &'static mut Core,
    device: UsbDevice<'static, Bus>,
    endpoints: Endpoints<'static, Bus>,
    lights: Lights,
    timer: Timer,
    alarm: Alarm0,
}

static MACHINE: Mutex<RefCell<Option<Machine>>> = Mutex::new(RefCell::new(None));

impl Machine {
    /// Goes off the host's bus, or comes back.
    pub fn set_connected(&self, connected: bool) {
        self.device.bus().set_connected(connected);
    }

    /// Puts the machine together.
    pub fn new(
        bridge: &'static mut Core,
        device: UsbDevice<'static, Bus>,
        endpoints: Endpoints<'static, Bus>,
        lights: Lights,
        timer: Timer,
        alarm: Alarm0,
    ) -> Self {
        Self { bridge, device, endpoints, lights, timer, alarm }
    }

    /// Whether a key may be written: nothing is in the slot.
    pub fn is_vacant(&self) -> bool {
        self.bridge.drive().is_vacant()
    }

    /// Hands the machine to the thread and the interrupt.
    pub fn start(self) {
        critical_section::with(|section| *MACHINE.borrow_ref_mut(section) = Some(self));
    }

    fn now(&self) -> Micros {
        self.timer.get_counter().ticks()
    }

    /// One round; whether the host did something.
    pub fn poll(&mut self) -> bool {
        let mut class = Class { endpoints: &mut self.endpoints, bridge: self.bridge };
        let is_busy = self.device.poll(&mut [&mut class]);
        self.endpoints.update(self.device.bus());
        let now = self.now();
        self.bridge.poll(&mut self.endpoints, now);
        while let Some(event) = self.bridge.next_event() {
            defmt::info!("{}", event);
        }
        // What is queued before the host has chosen the configuration would be dropped by its choice.
        if self.device.state() == UsbDeviceState::Configured {
            log::drain(|frames| self.endpoints.write_log(frames));
        }
        self.lights.show(self.bridge.lights(), now);
        is_busy
    }

    /// The interrupt's work: as long as there is something to do, within limits.
    fn serve(&mut self) {
        let begin = self.now();
        let mut served = 0;
        let mut idle = 0_u32;
        while idle < IDLE_ROUNDS && served < SERVE {
            idle = if self.poll() { 0 } else { idle.saturating_add(1) };
            served = self.now().saturating_sub(begin);
        }
        self.call_again(u32::try_from(served / 2).unwrap_or(u32::MAX));
    }

    /// Sets the alarm anew. One that went off meanwhile is forgotten: otherwise the interrupt would follow itself without a pause. The
    /// interval is short enough for the alarm.
    fn call_again(&mut self, interval: u32) {
        let _ = self.alarm.schedule(MicrosDurationU32::micros(interval.max(COMPUTE)));
        self.alarm.clear_interrupt();
    }
}

/// Ends the machine and gives back the lights.
pub fn stop() -> Option<Lights> {
    critical_section::with(|section| MACHINE.borrow_ref_mut(section).take())
        .map(|machine| machine.lights)
}

/// Runs `work` on the machine, if it has been started; interrupts are off meanwhile.
pub fn with<T>(work: impl FnOnce(&mut Machine) -> T) -> Option<T> {
    critical_section::with(|section| MACHINE.borrow_ref_mut(section).as_mut().map(work))
}

/// One round, and what only the board can do.
pub fn poll() -> Option<Work> {
    with(|machine| {
        machine.poll();
        machine.bridge.take_work()
    })
    .flatten()
}

/// Computes something while the interrupt serves the host.
pub fn beside<T>(work: impl FnOnce() -> T) -> T {
    with(|machine| {
        machine.alarm.enable_interrupt();
        machine.call_again(COMPUTE);
    });
    // SAFETY: the handler shares nothing with the thread but what a critical section guards.
    unsafe { pac::NVIC::unmask(pac::Interrupt::TIMER_IRQ_0) };
    let result = work();
    pac::NVIC::mask(pac::Interrupt::TIMER_IRQ_0);
    result
}

#[interrupt]
fn TIMER_IRQ_0() {
    with(Machine::serve);
}
