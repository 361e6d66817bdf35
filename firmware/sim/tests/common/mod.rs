//! A bridge in front of a model drive, for the tests of this folder.

#![allow(dead_code)] // each test binary takes what it needs

use wb_bridge::usb::{Settings, UsbDrive};
use wb_policy::judge::Profiles;
use wb_sim::{
    bridge::{Setup, SimBridge},
    controller::ModelController,
    drive::{DriveConfig, ModelDrive},
    host::{Host, Outcome, Phase},
    usb::{ModelUsbDrive, UsbOptions},
};

/// Room of a slot, as on the product boards.
pub const SLOT_BYTES: usize = 32 << 10;

/// The drive side of a simulated bridge.
pub type Drive = UsbDrive<ModelController<ModelUsbDrive>>;
/// A host with a bridge.
pub type Bridge = Host<SimBridge<Drive>>;

/// A bridge with the default set-up, attached and enumerated, its unit attention taken.
pub fn bridge(config: DriveConfig) -> Bridge {
    bridge_with(&Setup::default(), config)
}

/// A bridge, attached and enumerated, its unit attention taken.
pub fn bridge_with(setup: &Setup, config: DriveConfig) -> Bridge {
    let mut host = attached(setup, config, |_, _, _| false);
    let ready = host.command(&[0; 6], Phase::None).unwrap();
    assert_eq!(ready.status, 1, "the unit attention");
    assert_eq!(host.sense().unwrap().0, [0x06, 0x29, 0x00]);
    host
}

/// A bridge, attached and enumerated.
pub fn attached(
    setup: &Setup,
    config: DriveConfig,
    is_listed: fn(u16, u16, u16) -> bool,
) -> Bridge {
    let drive = ModelUsbDrive::new(ModelDrive::new(config), UsbOptions::default());
    let controller = ModelController::new(drive, SLOT_BYTES);
    let settings = Settings { profiles: setup.profiles, is_listed };
    let mut host = Host::new(SimBridge::new(setup, UsbDrive::new(controller, settings)));
    assert!(host.device_mut().attach());
    assert!(host.enumerate());
    host
}

/// Profiles `core` alone.
pub const CORE: Profiles = Profiles { ident: false, smart: false };

/// The model's side of the bus.
pub fn controller(host: &Bridge) -> &ModelController<ModelUsbDrive> {
    host.device().core().drive().host()
}

/// The model drive.
pub fn model(host: &Bridge) -> &ModelDrive {
    controller(host).device().drive(0).unwrap()
}

/// READ(10).
pub fn read10(host: &mut Bridge, lba: u32, blocks: u16) -> Outcome {
    let [a3, a2, a1, a0] = lba.to_be_bytes();
    let [n1, n0] = blocks.to_be_bytes();
    let length = u32::from(blocks) * model(host).block_bytes();
    host.command(&[0x28, 0, a3, a2, a1, a0, 0, n1, n0, 0], Phase::In(length)).unwrap()
}
