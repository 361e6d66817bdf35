//! A drive side on a model controller, with time that only the test advances.

use wb_bridge::{
    Micros,
    drive::{Completion, Drive, DriveEvent, Identity, Report, Slot, Status, UsbIdentity},
    usb::{Settings, UsbDrive},
};
use wb_policy::{capture::Capture, down::DownCommand, judge::Profiles};
use wb_sim::{
    controller::ModelController,
    drive::{DriveConfig, ModelDrive},
    usb::{ModelUsbDrive, UsbDevice, UsbOptions},
};

pub const SLOT_BYTES: usize = 64 << 10;
const STEP: Micros = 5_000;
pub const SECOND: Micros = 1_000_000;
/// Longer than any attach: thirty seconds of TEST UNIT READY, some time-outs of a minute.
const ATTACH_LIMIT: Micros = 900 * SECOND;
/// Longer than a command with its time-out and its recovery.
const COMMAND_LIMIT: Micros = 100 * SECOND;

pub fn settings() -> Settings {
    Settings { profiles: Profiles::default(), is_listed: wb_policy::sat::is_listed }
}

pub struct Rig<D: UsbDevice = ModelUsbDrive> {
    pub side: UsbDrive<ModelController<D>>,
    pub now: Micros,
}

/// A model drive behind a plain adapter.
pub fn device(config: DriveConfig) -> ModelUsbDrive {
    ModelUsbDrive::new(ModelDrive::new(config), UsbOptions::default())
}

impl Rig {
    pub fn of(config: DriveConfig) -> Self {
        Self::new(device(config), settings())
    }

    pub fn attached(config: DriveConfig) -> Self {
        let mut rig = Self::of(config);
        rig.attach();
        rig
    }

    pub fn model(&mut self) -> &mut ModelDrive {
        self.side.host_mut().device_mut().drive_mut(0).expect("unit 0")
    }

    pub fn usb(&mut self) -> &mut ModelUsbDrive {
        self.side.host_mut().device_mut()
    }

    pub fn digest(&mut self) -> [u8; 32] {
        self.model().state_digest()
    }

    /// HWB-AM-01, rule 3: nothing but wrappers went out, nothing modifying arrived.
    pub fn assert_clean(&mut self) {
        self.assert_rules();
        assert!(self.usb().only_cbws());
        let violations: Vec<_> = self.model().violations().map(|entry| entry.name).collect();
        assert_eq!(violations, Vec::<&str>::new());
    }

    /// Command blocks that reached unit 0, in order.
    pub fn log(&mut self) -> Vec<Vec<u8>> {
        self.model().log().iter().map(|entry| entry.cdb.clone()).collect()
    }

    /// ATA commands that reached the drive, with FEATURES as the drive got them.
    pub fn ata_log(&mut self) -> Vec<(u8, u16)> {
        self.model().log().iter().filter_map(|entry| entry.ata).collect()
    }
}

impl<D: UsbDevice> Rig<D> {
    pub fn new(device: D, settings: Settings) -> Self {
        Self { side: UsbDrive::new(ModelController::new(device, SLOT_BYTES), settings), now: 0 }
    }

    pub fn step(&mut self) -> Option<DriveEvent> {
        self.now += STEP;
        self.side.poll(self.now)
    }

    /// The next event.
    pub fn event(&mut self, limit: Micros) -> Option<DriveEvent> {
        let until = self.now + limit;
        while self.now < until {
            if let Some(event) = self.step() {
                return Some(event);
            }
        }
        None
    }

    pub fn attach(&mut self) {
        assert_eq!(self.event(ATTACH_LIMIT), Some(DriveEvent::Attached));
    }

    pub fn report(&self) -> &Report {
        self.side.report().expect("something is attached")
    }

    pub fn capture(&self) -> &Capture {
        &self.report().capture
    }

    pub fn identity(&self) -> &UsbIdentity {
        match &self.report().identity {
            Identity::Usb(identity) => identity,
            Identity::Card(_) => panic!("a card over USB"),
        }
    }

    /// Runs a command to its end, as soon as the drive side takes it.
    pub fn run(&mut self, command: DownCommand) -> Completion {
        let until = self.now + ATTACH_LIMIT;
        while !self.side.start(&command, Slot::A, self.now) {
            assert!(self.now < until && self.side.report().is_some(), "{command:?} was not taken");
            assert_eq!(self.step(), None);
        }
        match self.event(COMMAND_LIMIT) {
            Some(DriveEvent::Done(completion)) => completion,
            other => panic!("{command:?} ended in {other:?}"),
        }
    }

    pub fn read(&mut self, lba: u64, blocks: u32) -> Completion {
        let geometry = self.capture().geometry.expect("a size");
        self.run(DownCommand::Read(geometry.range(lba, blocks).expect("inside")))
    }

    /// Data of the last command, as far as they are valid.
    pub fn delivered(&self, completion: &Completion) -> Vec<u8> {
        let length = usize::try_from(completion.delivered).expect("fits");
        self.side.data(Slot::A).get(..length).expect("what was delivered is there").to_vec()
    }

    pub fn unplug(&mut self) {
        self.side.host_mut().unplug();
    }

    pub fn plug(&mut self) {
        self.side.host_mut().plug();
    }

    /// The rules of the controller, and rule 3 on the bytes themselves.
    pub fn assert_rules(&mut self) {
        let host = self.side.host();
        assert_eq!(host.violations(), Vec::<String>::new());
        for transfer in host.bulk_out() {
            assert_eq!(transfer.len(), 31, "{transfer:02X?}");
            assert!(transfer.starts_with(b"USBC"));
            let has_data = transfer.get(8..12).expect("length") != [0; 4];
            assert!(!has_data || transfer.get(12) == Some(&0x80), "data-out: {transfer:02X?}");
        }
        let wrappers = host.bulk_out().len();
        let emitted = self.side.emitted();
        assert_eq!(usize::try_from(emitted.wrappers).expect("fits"), wrappers);
        assert_eq!(emitted.bytes, 31 * emitted.wrappers);
        assert_eq!(emitted.commands.iter().sum::<u64>(), emitted.wrappers);
        let controls = self.side.host().requests().len();
        assert_eq!(usize::try_from(emitted.controls).expect("fits"), controls);
    }
}

pub fn is_good(completion: &Completion) -> bool {
    completion.status == Status::Good
}
