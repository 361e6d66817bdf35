//! From power-up to the main loop, and the main loop.
//!
//! ```text
//!  caches off, memory protection on, watchdog, clocks, lights on
//!  self-test, hash engine, key page, boot counter        a failure: flashes, and the host never sees a bridge
//!  drive side, device side
//!  loop: device, bridge, work that only the board can do, log, lights
//! ```
//!
//! Signing is done in the loop: counted, a signature takes 1.6 million instructions and 226 for each byte of the statement, which is read twice; that is
//! 9.0 million for 32 KiB, or 15 ms at one instruction in a cycle of 600 MHz (`hw-notes/throughput.md`). Meanwhile both controllers only wait. A new key takes
//! seconds, because the random numbers come slowly; they are taken as they come, so the loop goes on.

use core::{
    panic::PanicInfo,
    ptr::null_mut,
    sync::atomic::{AtomicPtr, Ordering},
};

use cortex_m::{
    asm::{dsb, isb},
    peripheral::{DWT, MPU, SCB},
};
use imxrt_ral::{self as ral, ccm::CCM, trng::TRNG};
use static_cell::{ConstStaticCell, StaticCell};
use usb_device::{
    bus::UsbBusAllocator,
    device::{UsbDevice, UsbDeviceState},
};
use wb_attest::{
    digest::HashEngine,
    key::{KeyPage, KeyPageError, key_id, usb_serial},
    sha256,
    statement::{Bounds, Protection, Signer},
};
use wb_bridge::{
    Micros,
    bridge::{Bridge, Config, Work},
    device::{Class, Endpoints, build},
    usb::{Settings, UsbDrive},
};
use wb_policy::{
    capture::Kind,
    judge::Profiles,
    sat,
    tables::{POLICY, POLICY_DIGEST},
};

use crate::{
    board::Board,
    clock::{self, Clock},
    dcp,
    drive_port::{self, Controller},
    entropy::Maker,
    flash::{self, Flash},
    large_stack,
    light::{self, Failure, On},
    packets::Chosen,
    pins::{self, Driver, Pins},
    protection, self_test, supply,
    usb_device::{Bus, NoPipes, PACKET},
    watchdog::Watchdog,
};

/// Log entries that wait for the host: 512 MiB of reads.
const RING: usize = 512;
/// bcdDevice: version 0.1.
const RELEASE: u16 = 0x0010;
/// Time off the bus, for the host to notice: 2.5 us of no pull-up are a disconnect (USB 2.0, 7.1.7.3), hubs take their time.
const AWAY: Micros = 300_000;
/// Time between a key that is stored and the restart, in which the host hears that there is one.
const FAREWELL: Micros = 500_000;

type Engine = Chosen<dcp::Hardware>;
type Drive = UsbDrive<Controller>;
type Core = Bridge<'static, Drive, Engine, RING>;

static DCP_MEMORY: ConstStaticCell<dcp::Memory> = ConstStaticCell::new(dcp::Memory::new());
static ALLOCATOR: StaticCell<UsbBusAllocator<Bus>> = StaticCell::new();
static BRIDGE: StaticCell<Core> = StaticCell::new();
static SERIAL: StaticCell<[u8; 24]> = StaticCell::new();
/// The board, once its lights are set up.
static BOARD: AtomicPtr<Board> = AtomicPtr::new(null_mut());

/// Runs the bridge on a board.
pub fn run(board: &'static Board) -> ! {
    // SAFETY: this is the only place that takes them, and it is reached once, from the reset handler.
    let chip = unsafe { ral::Instances::instances() };
    prepare_core();
    let (mut ccm, mut analog, mut dcdc) = (chip.CCM, chip.CCM_ANALOG, chip.DCDC);
    let watchdog = Watchdog::start(chip.WDOG1, &mut ccm);
    clock::start(&mut ccm, &mut analog, &mut dcdc);
    supply::start(&chip.PMU, &chip.USB_ANALOG, &chip.IOMUXC_GPR);
    let clock = Clock::new(chip.GPT1);
    let pins = Pins::new(&mut ccm);
    let lights = Lights { green: pins.output(board.green), red: pins.output(board.red) };
    lights.show(On { green: true, red: true });
    BOARD.store((&raw const *board).cast_mut(), Ordering::Relaxed);
    let strap = pins.input(board.strap);
    let vbus = board.vbus.map(|output| pins.output(output));
    log::init();

    let signs = Signs { clock, watchdog, lights };
    let mut flash = Flash::new(chip.FLEXSPI1);
    let firmware_digest = sha256(&[flash::image()]);
    if let Err(failure) = self_test::run() {
        signs.fail(failure);
    }
    let hardware = dcp::Hardware::new(chip.DCP, DCP_MEMORY.take(), &mut ccm);
    let engine = Chosen::by_test(hardware);
    dcp::forget();
    defmt::info!("hash engine {}", engine.engine().code());
    let signer = match read_key(&flash) {
        Ok(signer) => signer,
        Err(failure) => signs.fail(failure),
    };
    let boot_counter = match flash.count_power_up() {
        Ok(count) => count,
        Err(flash::Broken) => signs.fail(Failure::Flash),
    };
    // The pull-up has had the whole self-test to charge the line.
    let profiles = Profiles { ident: true, smart: strap.is_low() };
    let config = Config {
        policy: &POLICY,
        policy_digest: POLICY_DIGEST,
        profiles,
        hardware: board.hardware,
        build: env!("IMXRT_BUILD"),
        firmware_digest,
        protection: Protection::PlainFlash,
        public_key: signer.as_ref().map(Signer::public_key),
        boot_counter,
        kind: Kind::Usb,
        bounds: Bounds::LARGE,
    };
    let now = signs.clock.now();
    // SAFETY: the second USB core, its PHY and what is around it are used nowhere else.
    let controller =
        unsafe { drive_port::open(&mut ccm, &mut analog, chip.USBPHY2, &chip.USBNC2, vbus, now) };
    let drive = UsbDrive::new(controller, Settings { profiles, is_listed: sat::is_listed });
    let bridge = place(config, drive, engine);
    let instances =
        imxrt_usbd::Instances { usb: chip.USB1, usbnc: chip.USBNC1, usbphy: chip.USBPHY1 };
    let serial = signer.as_ref().map_or([b'0'; 24], |key| usb_serial(&key_id(&key.public_key())));
    let Some((device, endpoints)) = open_device(instances, SERIAL.init(serial)) else {
        signs.fail(Failure::Usb)
    };
    let trng = Some(chip.TRNG);
    Machine {
        signs,
        device,
        endpoints,
        bridge,
        signer,
        flash,
        trng,
        ccm,
        maker: None,
        away: None,
        restart: None,
    }
    .run()
}

/// Makes the bridge. On its way to its place it is moved over the stack twice, which is more than the stack in DTCM is for.
fn place(config: Config<'static>, drive: Drive, engine: Engine) -> &'static mut Core {
    let mut parts = Some((config, drive, engine));
    let mut placed = None;
    large_stack::call(|| {
        if let Some((config, drive, engine)) = parts.take() {
            // SAFETY: the parts are taken once.
            let room = unsafe { large_stack::statement_room() };
            placed = Some(BRIDGE.init_with(|| Bridge::new(config, drive, engine, room)));
        }
    });
    match placed {
        Some(bridge) => bridge,
        // The call above has placed it.
        None => restart(),
    }
}

/// Caches off, memory protection and cycle counter on.
fn prepare_core() {
    cortex_m::interrupt::disable();
    // SAFETY: before anything else runs; nobody else takes them.
    let mut core = unsafe { cortex_m::Peripherals::steal() };
    core.SCB.disable_dcache(&mut core.CPUID);
    core.SCB.disable_icache();
    protect(&core.MPU);
    core.DCB.enable_trace();
    DWT::unlock();
    core.DWT.enable_cycle_counter();
}

/// All regions of the protection unit, whatever the boot ROM left there.
fn protect(unit: &MPU) {
    // SAFETY: off, so that no half of a map counts.
    unsafe { unit.ctrl.write(0) };
    let words = protection::MAP.map(protection::Region::words).into_iter().chain([[0; 2]; 16]);
    for (number, [base, word]) in (0..).zip(words).take(protection::REGIONS) {
        // SAFETY: chooses a region.
        unsafe { unit.rnr.write(number) };
        // SAFETY: as above, of a unit that is off.
        unsafe { unit.rbar.write(base) };
        // SAFETY: as above.
        unsafe { unit.rasr.write(word) };
    }
    // SAFETY: the map has all that the program and its stack use; it runs from ITCM since the reset handler has called `main`.
    unsafe { unit.ctrl.write(protection::ON) };
    dsb();
    isb();
}

/// The device key, if there is one.
fn read_key(flash: &Flash) -> Result<Option<Signer>, Failure> {
    match flash.key_page() {
        Ok(page) => {
            let signer = Signer::new(&page.seed);
            if signer.public_key() == page.public_key {
                Ok(Some(signer))
            } else {
                Err(Failure::Key)
            }
        }
        Err(KeyPageError::Blank) => Ok(None),
        Err(KeyPageError::Damaged) => Err(Failure::Key),
    }
}

/// The device side; `None` where the descriptors cannot be made. From here on the host sees the bridge.
fn open_device(
    instances: imxrt_usbd::Instances<1>,
    serial: &'static [u8; 24],
) -> Option<(UsbDevice<'static, Bus>, Endpoints<'static, Bus>)> {
    // SAFETY: called once; the first USB core is used nowhere else.
    let bus = unsafe { Bus::new(instances) };
    let allocator = ALLOCATOR.init(UsbBusAllocator::new(bus));
    let endpoints = Endpoints::new(allocator, PACKET);
    let device = build(allocator, core::str::from_utf8(serial).ok()?, RELEASE)?;
    Some((device, endpoints))
}

/// The two lights.
struct Lights {
    green: Driver,
    red: Driver,
}

impl Lights {
    fn show(&self, on: On) {
        self.green.set(on.green);
        self.red.set(on.red);
    }
}

/// What a bridge has that does not even start.
struct Signs {
    clock: Clock,
    watchdog: Watchdog,
    lights: Lights,
}

impl Signs {
    /// Tells a failure for ever. The host does not see a bridge.
    fn fail(&self, failure: Failure) -> ! {
        defmt::error!("failure {}", failure.flashes());
        loop {
            self.watchdog.feed();
            self.lights.show(light::failed(failure, self.clock.now()));
        }
    }
}

/// The running bridge.
struct Machine {
    signs: Signs,
    device: UsbDevice<'static, Bus>,
    endpoints: Endpoints<'static, Bus>,
    bridge: &'static mut Core,
    signer: Option<Signer>,
    flash: Flash,
    trng: Option<TRNG>,
    ccm: CCM,
    maker: Option<Maker>,
    /// Off the bus until then.
    away: Option<Micros>,
    /// Restarts then.
    restart: Option<Micros>,
}

impl Machine {
    fn run(mut self) -> ! {
        loop {
            self.signs.watchdog.feed();
            let now = self.signs.clock.now();
            self.poll(now);
            // What was hashed by a unit that failed must not leave; a stuck endpoint never moves again. The session is lost either way.
            if dcp::has_failed() || self.device.bus().is_stuck() {
                defmt::error!("restart: hash engine or endpoint failed");
                restart();
            }
            match self.bridge.take_work() {
                Some(Work::Provision(entropy)) => self.begin_key(&entropy, now),
                Some(Work::Sign) => self.sign(),
                Some(Work::Reconnect) => self.leave(now),
                None => {}
            }
            self.make_key(now);
            self.keep_time(now);
            while let Some(event) = self.bridge.next_event() {
                defmt::info!("{}", event);
            }
            self.show(now);
        }
    }

    /// Both sides, once.
    fn poll(&mut self, now: Micros) {
        let mut class = Class { endpoints: &mut self.endpoints, bridge: self.bridge };
        self.device.poll(&mut [&mut class]);
        self.endpoints.update(self.device.bus());
        if self.device.state() == UsbDeviceState::Configured && self.away.is_none() {
            self.device.bus().configure();
            self.bridge.poll(&mut self.endpoints, now);
            log::drain(|frames| self.endpoints.write_log(frames));
        } else {
            self.bridge.poll(&mut NoPipes, now);
        }
    }

    fn sign(&mut self) {
        let Some(signer) = &self.signer else { return };
        let bridge = &*self.bridge;
        let signature = signer.sign_in_chunks(|take| {
            let mut from = 0;
            while let Some(next) = bridge.to_sign(from, take) {
                from = next;
            }
        });
        if let Ok(signature) = signature {
            self.bridge.signed(&signature);
        }
    }

    fn begin_key(&mut self, entropy: &[u8; 32], now: Micros) {
        if let Some(trng) = self.trng.take() {
            self.maker = Some(Maker::new(trng, &mut self.ccm, entropy, now));
        }
    }

    fn make_key(&mut self, now: Micros) {
        let Some(maker) = &mut self.maker else { return };
        match maker.poll(now) {
            Ok(None) => {}
            Ok(Some(page)) => {
                self.maker = None;
                self.store(&page, now);
            }
            Err(_) => self.stop(Failure::Entropy),
        }
    }

    /// Writes the key, tells the host, and starts anew with the serial number that belongs to it.
    fn store(&mut self, page: &KeyPage, now: Micros) {
        if self.flash.write_key_page(page).is_err() {
            self.stop(Failure::Flash);
        }
        self.bridge.provisioned(page.public_key);
        self.restart = Some(now.saturating_add(FAREWELL));
    }

    /// Leaves the bus for a moment, so that the host looks anew. Before a restart there is no need to.
    fn leave(&mut self, now: Micros) {
        if self.restart.is_none() {
            self.device.bus().set_attached(false);
            self.away = Some(now.saturating_add(AWAY));
        }
    }

    fn keep_time(&mut self, now: Micros) {
        if self.away.is_some_and(|until| now >= until) {
            self.away = None;
            self.device.bus().set_attached(true);
        }
        if self.restart.is_some_and(|at| now >= at) {
            self.device.bus().set_attached(false);
            restart();
        }
    }

    fn stop(&self, failure: Failure) -> ! {
        self.device.bus().set_attached(false);
        self.signs.fail(failure)
    }

    fn show(&self, now: Micros) {
        let is_seen = self.device.state() != UsbDeviceState::Default && self.away.is_none();
        let is_slow = is_seen && !self.device.bus().is_high_speed();
        self.signs.lights.show(light::running(self.bridge.lights(), is_slow, now));
    }
}

/// Resets the chip.
fn restart() -> ! {
    SCB::sys_reset()
}

/// Stops, with the red light on and the green one off; the watchdog resets the chip within four seconds.
fn halt() -> ! {
    cortex_m::interrupt::disable();
    // SAFETY: null, or what `run` was given for ever.
    if let Some(board) = unsafe { BOARD.load(Ordering::Relaxed).as_ref() } {
        pins::force(board.green, false);
        pins::force(board.red, true);
    }
    loop {
        cortex_m::asm::nop();
    }
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    halt()
}

/// Faults. They are all hard faults, since none of the others is enabled.
// SAFETY: the name is the one that the linker script knows for the vector; there is one of it.
#[unsafe(export_name = "HardFault")]
extern "C" fn fault() -> ! {
    halt()
}

/// All other exceptions; none of them is enabled.
// SAFETY: as above.
#[unsafe(export_name = "DefaultHandler")]
extern "C" fn unexpected() -> ! {
    halt()
}
