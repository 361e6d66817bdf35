//! The write blocker on a Raspberry Pi Pico: memory cards over SPI, for an examiner's computer at full speed.
//!
//! Facts: the published policy, sections 1.2 (strap), 7.2 (clocks) and 7.3; the published requirements, sections 4.5 and 4.7; RP2040 datasheet.
//!
//! | Pin | |
//! |---|---|
//! | GP16, 17, 18, 19 | card: data out (with a pull-up), chip select, clock, data in |
//! | GP2 | strap to ground: profile `smart`; open: off. Read once, before the host can see the bridge |
//! | GP25, GP14 | green lights: on the board, on the case |
//! | GP15 | red light; chips of revision B0 and B1 hold its level weakly for a millisecond after a reset of the bus (erratum E5) |
//!
//! | Light | Meaning |
//! |---|---|
//! | all on at power-up | self-test; a light that stays dark is broken, all that stay on: the clocks do not start |
//! | green on | a card is attached and served |
//! | green blinks fast (ten times a second) | data are leaving for the host |
//! | green off | no card, or one that is not served |
//! | red lights up for 0.2 s | a command was refused |
//! | red blinks slowly (once a second) | what is attached is not served, or its size changed |
//! | red flashes n times, 3 s pause, again | fault n; the bridge is not on the bus |
//!
//! | Fault | |
//! |---|---|
//! | 1 | the hash computes something wrong |
//! | 2 | the policy is not the published one, or the classifier lets through what it refuses |
//! | 3 | the key page is damaged; nothing is written over it |
//! | 4 | the flash does not keep what is written: boot counter or key |
//! | 5 | the USB device cannot be set up |
//! | 6 | the ring oscillator gives no random samples: no key was made |
//!
//! The red light is driven by refusals and faults only, the green ones by reads and by a card that is ready for them; all of them by the
//! self-test. The watchdog restarts a bridge that stops.
#![no_std]
#![no_main]
// Counters of hardware and indices of registers; their ranges are in the datasheet.
#![allow(clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

mod card_bus;
mod entropy;
mod fault;
mod flash;
mod frames;
mod lights;
mod machine;
mod self_test;
mod store;
mod usb;

use cortex_m::singleton;
use embedded_hal::{digital::InputPin, spi::MODE_0};
use rp2040_hal::{
    Sio, Spi, Timer, Watchdog,
    clocks::{UsbClock, init_clocks_and_plls},
    fugit::MicrosDurationU32,
    gpio::{self, FunctionSpi, PinState, PullNone, PullUp},
    pac::{self, Peripherals, RESETS, ROSC},
    usb::UsbBus as HalBus,
};
use static_cell::StaticCell;
use usb_device::bus::UsbBusAllocator;
use wb_attest::{
    Digest,
    digest::Software,
    interface::NO_KEY_SERIAL,
    key::{KeyPage, KeyPageError, key_id, usb_serial},
    sha256,
    statement::{Bounds, Protection, Signer},
};
use wb_bridge::{
    bridge::{Bridge, Config, Work},
    card::NoDetect,
    device::{Endpoints, build},
};
use wb_policy::{
    capture::Kind,
    judge::Profiles,
    tables::{POLICY, POLICY_DIGEST},
};

use crate::{
    card_bus::{CardBus, ChipSelect, IDENTIFICATION, PERIPHERAL},
    fault::Fault,
    flash::Flash,
    lights::Lights,
    machine::{Core, Machine, STATEMENT, Slot, SlotRef},
    usb::{Bus, PACKET},
};

/// Set-up of the flash interface, called by the boot ROM.
// SAFETY: the name is this crate's own, which `memory.x` asks for; that script gives the section the first 256 bytes of the flash, where the
// boot ROM looks for it, and to nothing else. The array is only read.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".boot2")]
#[used]
static BOOT2_FIRMWARE: [u8; 256] = rp2040_boot2::BOOT_LOADER_W25Q080;

defmt::timestamp!("{=u32:us}", microseconds());

/// Frequency of the crystal in Hz.
const CRYSTAL: u32 = 12_000_000;
/// The firmware's version in BCD.
const RELEASE: u16 = 0x0010;
/// Time after which a bridge that stopped is restarted: the longest that the chip has, for a signature takes seconds.
const PATIENCE: MicrosDurationU32 = MicrosDurationU32::secs(8);
/// Processor cycles off the bus, 100 ms: a host debounces for as long (USB 2.0, 7.1.7.3).
const AWAY: u32 = 12_500_000;
/// Time in which the pull-up has charged the strap's wire, in processor cycles: 1 ms.
const STRAP_SETTLES: u32 = 125_000;

/// The low half of the timer, which needs no latch.
fn microseconds() -> u32 {
    // SAFETY: reading the register changes nothing.
    let timer = unsafe { &*pac::TIMER::PTR };
    timer.timerawl().read().bits()
}

/// Who the bridge is, once it has passed the self-test.
struct Identity {
    signer: Option<Signer>,
    boot_counter: u32,
    firmware: Digest,
}

impl Identity {
    fn establish(flash: Option<Flash>) -> Result<Self, Fault> {
        if !self_test::hash() {
            return Err(Fault::Hash);
        }
        if !self_test::policy() {
            return Err(Fault::Policy);
        }
        let signer = key()?;
        if flash.is_some_and(|flash| !store::count_power_up(flash)) {
            return Err(Fault::Flash);
        }
        let firmware = sha256(&[store::image()]);
        Ok(Self { signer, boot_counter: store::power_ups(), firmware })
    }

    fn public_key(&self) -> Option<[u8; 32]> {
        self.signer.as_ref().map(Signer::public_key)
    }

    fn serial(&self) -> Option<&'static str> {
        let Some(public_key) = self.public_key() else { return Some(NO_KEY_SERIAL) };
        let digits = singleton!(: [u8; 24] = usb_serial(&key_id(&public_key)))?;
        core::str::from_utf8(digits).ok()
    }

    fn config(&self, profiles: Profiles) -> Config<'static> {
        Config {
            policy: &POLICY,
            policy_digest: POLICY_DIGEST,
            profiles,
            hardware: "pico",
            build: env!("PICO_BUILD"),
            firmware_digest: self.firmware,
            protection: Protection::PlainFlash,
            public_key: self.public_key(),
            boot_counter: self.boot_counter,
            kind: Kind::Card,
            bounds: Bounds::SMALL,
        }
    }
}

/// The key, if there is one. That the public key belongs to the seed is computed anew.
fn key() -> Result<Option<Signer>, Fault> {
    match store::key_page() {
        Err(KeyPageError::Blank) => Ok(None),
        Err(KeyPageError::Damaged) => Err(Fault::KeyPage),
        Ok(page) => {
            let signer = Signer::new(&page.seed);
            if signer.public_key() == page.public_key {
                Ok(Some(signer))
            } else {
                Err(Fault::KeyPage)
            }
        }
    }
}

/// The USB device, which the host sees from here on, and its endpoints.
fn device(
    identity: &Identity,
    registers: (pac::USBCTRL_REGS, pac::USBCTRL_DPRAM),
    clock: UsbClock,
    resets: &mut RESETS,
) -> Option<(usb_device::device::UsbDevice<'static, Bus>, Endpoints<'static, Bus>)> {
    let serial = identity.serial()?;
    let driver = HalBus::new(registers.0, registers.1, clock, true, resets);
    let allocator: &'static UsbBusAllocator<Bus> =
        singleton!(: UsbBusAllocator<Bus> = UsbBusAllocator::new(Bus::new(driver)))?;
    let endpoints = Endpoints::new(allocator, PACKET);
    let device = build(allocator, serial, RELEASE)?;
    Some((device, endpoints))
}

/// The core, made where it stays. To be called once. What it takes to get there must not lie on the stack afterwards, hence a function of
/// its own.
#[inline(never)]
fn core(config: Config<'static>, slot: &'static mut Slot) -> &'static mut Core {
    static BYTES: StaticCell<[u8; STATEMENT]> = StaticCell::new();
    static CORE: StaticCell<Core> = StaticCell::new();
    let statement = BYTES.init_with(|| [0; STATEMENT]);
    CORE.init_with(|| Bridge::new(config, SlotRef(slot), Software::new(), statement))
}

/// The slot, likewise.
#[inline(never)]
fn slot(bus: CardBus, select: ChipSelect) -> &'static mut Slot {
    static SLOT: StaticCell<Slot> = StaticCell::new();
    SLOT.init_with(|| Slot::new(bus, select, NoDetect, CardBus::set_clock))
}

/// Signs the statement that is waiting. It stays without a signature where the session ended meanwhile.
fn sign(signer: &Signer) {
    let signature = machine::beside(|| {
        signer.sign_in_chunks(|take| {
            let mut next = Some(0);
            while let Some(piece) = next {
                next = machine::with(|machine| machine.bridge.to_sign(piece, take)).flatten();
            }
        })
    });
    if let Ok(signature) = signature {
        machine::with(|machine| machine.bridge.signed(&signature));
    }
}

/// Makes the key and writes it, once in the board's life; whether it did. A card that came into the slot meanwhile has the same say as one that was
/// there before.
fn provision(board: &Running, host: &[u8; 32]) -> Result<bool, Fault> {
    let flash = board.flash.ok_or(Fault::Flash)?;
    let id = flash.unique_id();
    let gather = || entropy::gather(&board.oscillator, || board.watchdog.feed());
    let seed = machine::beside(gather).ok_or(Fault::Oscillator)?;
    let page = machine::beside(|| KeyPage::from_seed(seed.finish(host, &id)));
    if machine::with(|machine| machine.is_vacant()) != Some(true) {
        defmt::warn!("no key: a card came in");
        return Ok(false);
    }
    if store::write_key_page(flash, &page) { Ok(true) } else { Err(Fault::Flash) }
}

/// Leaves the host's bus for long enough to be seen, and comes back. The session and the log live on: a host must not be able to wipe what it did.
fn reconnect() {
    machine::with(|machine| machine.set_connected(false));
    cortex_m::asm::delay(AWAY);
    machine::with(|machine| machine.set_connected(true));
}

/// The main loop, until something is wrong with the board.
fn run(board: &Running) -> Fault {
    loop {
        board.watchdog.feed();
        match machine::poll() {
            Some(Work::Sign) => {
                if let Some(signer) = &board.identity.signer {
                    sign(signer);
                }
            }
            Some(Work::Provision(host)) => match provision(board, &host) {
                // The board looks anew, with its serial number.
                Ok(true) => rp2040_hal::reset(),
                Ok(false) => {}
                Err(fault) => return fault,
            },
            Some(Work::Reconnect) => reconnect(),
            None => {}
        }
    }
}

/// Nothing can be shown any better: the lights stay as they are.
fn halt() -> ! {
    loop {
        cortex_m::asm::wfi();
    }
}

/// A board that runs.
struct Running {
    identity: Identity,
    flash: Option<Flash>,
    oscillator: ROSC,
    timer: Timer,
    watchdog: Watchdog,
    resets: RESETS,
}

/// A board that does not, with what it takes to show why.
struct Stopped {
    fault: Fault,
    lights: Lights,
    timer: Timer,
    watchdog: Watchdog,
}

/// Everything from power-up until the host sees the bridge.
#[inline(never)]
fn start(p: Peripherals) -> Result<Running, Stopped> {
    let mut resets = p.RESETS;
    let sio = Sio::new(p.SIO);
    let pins = gpio::Pins::new(p.IO_BANK0, p.PADS_BANK0, sio.gpio_bank0, &mut resets);
    // Before anything else takes its time: nothing on the wires is for the card.
    let select = pins.gpio17.into_push_pull_output_in_state(PinState::High);
    let mut lights = Lights {
        green: pins.gpio25.into_push_pull_output(),
        outer_green: pins.gpio14.into_push_pull_output(),
        red: pins.gpio15.into_push_pull_output(),
    };
    lights.test();
    let mut watchdog = Watchdog::new(p.WATCHDOG);
    let clocks = init_clocks_and_plls(
        CRYSTAL,
        p.XOSC,
        p.CLOCKS,
        p.PLL_SYS,
        p.PLL_USB,
        &mut resets,
        &mut watchdog,
    );
    let Ok(clocks) = clocks else { halt() };
    let mut timer = Timer::new(p.TIMER, &mut resets, &clocks);
    watchdog.start(PATIENCE);
    let mut strap = pins.gpio2.into_pull_up_input();
    cortex_m::asm::delay(STRAP_SETTLES);
    let smart = strap.is_low().unwrap_or(false);
    let flash = Flash::find();
    let identity = match Identity::establish(flash) {
        Ok(identity) => identity,
        Err(fault) => return Err(Stopped { fault, lights, timer, watchdog }),
    };
    let wires = (
        pins.gpio19.reconfigure::<FunctionSpi, PullNone>(),
        pins.gpio16.reconfigure::<FunctionSpi, PullUp>(),
        pins.gpio18.reconfigure::<FunctionSpi, PullNone>(),
    );
    let spi = Spi::<_, _, _, 8>::new(p.SPI0, wires);
    let bus = CardBus(spi.init(&mut resets, PERIPHERAL, IDENTIFICATION, MODE_0));
    let config = identity.config(Profiles { smart, ..Profiles::default() });
    let core = core(config, slot(bus, select));
    let registers = (p.USBCTRL_REGS, p.USBCTRL_DPRAM);
    let device = device(&identity, registers, clocks.usb_clock, &mut resets);
    let (Some((device, endpoints)), Some(alarm)) = (device, timer.alarm_0()) else {
        return Err(Stopped { fault: Fault::Usb, lights, timer, watchdog });
    };
    Machine::new(core, device, endpoints, lights, timer, alarm).start();
    Ok(Running { identity, flash, oscillator: p.ROSC, timer, watchdog, resets })
}

#[cortex_m_rt::entry]
fn main() -> ! {
    log::init();
    let Some(peripherals) = Peripherals::take() else { halt() };
    let board = match start(peripherals) {
        Ok(board) => board,
        Err(Stopped { fault, mut lights, timer, watchdog }) => {
            fault.show(&mut lights, &timer, &watchdog)
        }
    };
    defmt::info!("power-up {=u32}, build {=str}", board.identity.boot_counter, env!("PICO_BUILD"));
    let fault = run(&board);
    board.resets.reset().modify(|_, w| w.usbctrl().set_bit());
    match machine::stop() {
        Some(mut lights) => fault.show(&mut lights, &board.timer, &board.watchdog),
        None => halt(),
    }
}
