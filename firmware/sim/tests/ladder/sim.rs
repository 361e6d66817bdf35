//! The bridge core, compiled for this computer, in front of the model drive.

use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use wb_bridge::usb::{Settings, UsbDrive};
use wb_sim::{
    bridge::{Setup, SimBridge},
    controller::ModelController,
    drive::{BadBlocks, BadKind, Base, DriveConfig, Faults, ModelDrive},
    usb::{ModelUsbDrive, UsbOptions},
    usbredir::{Options, Server},
};

/// Room of a slot, as on the product boards.
const SLOT_BYTES: usize = 32 << 10;

/// Seed of its key.
pub fn seed() -> [u8; 32] {
    Setup::default().seed.unwrap()
}

type Drive = UsbDrive<ModelController<ModelUsbDrive>>;

/// A bridge that serves guests on a socket.
pub struct Sim {
    server: Server<SimBridge<Drive>>,
    state: [u8; 32],
}

impl Sim {
    /// A bridge in front of a drive with this content; the first block of `bad` fails with INFORMATION, the second without.
    pub fn start(image: &[u8], bad: &[u64], socket: &Path) -> Self {
        let kinds = [BadKind::Medium, BadKind::MediumNoInformation];
        assert!(bad.len() <= kinds.len(), "{bad:?}");
        let bad = bad.iter().copied().zip(kinds);
        let bad = bad.map(|(lba, kind)| BadBlocks { blocks: lba..lba + 1, kind }).collect();
        let config = DriveConfig {
            blocks: image.len() as u64 / 512,
            base: Base::image(image.to_vec()),
            faults: Faults { bad, ..Faults::default() },
            ..DriveConfig::default()
        };
        let drive = ModelDrive::new(config);
        let state = drive.state_digest();
        let controller =
            ModelController::new(ModelUsbDrive::new(drive, UsbOptions::default()), SLOT_BYTES);
        let setup = Setup::default();
        let settings = Settings { profiles: setup.profiles, is_listed: |_, _, _| false };
        let mut bridge = SimBridge::new(&setup, UsbDrive::new(controller, settings));
        assert!(bridge.attach(), "no drive was attached");
        let bridge = Arc::new(Mutex::new(bridge));
        let server =
            Server::start(bridge, socket, Options { record: false, max_events: 0 }).unwrap();
        Self { server, state }
    }

    /// The content of the medium as it is now.
    pub fn medium(&self, blocks: u64) -> Vec<u8> {
        let bridge = self.server.device().lock().unwrap_or_else(PoisonError::into_inner);
        bridge.core().drive().host().device().drive(0).unwrap().peek(0, blocks)
    }

    /// Ends the peer, and judges what reached the drive; the number of command wrappers.
    pub fn judge(self) -> u64 {
        let bridge = Arc::clone(self.server.device());
        self.server.stop().unwrap();
        let bridge = bridge.lock().unwrap_or_else(PoisonError::into_inner);
        let controller = bridge.core().drive().host();
        assert!(controller.violations().is_empty(), "{:?}", controller.violations());
        for bytes in controller.bulk_out() {
            assert_eq!((bytes.len(), &bytes[..4]), (31, &b"USBC"[..]), "{bytes:02X?}");
            assert!(bytes[12] == 0x80 || bytes[8..12] == [0; 4], "data towards the drive");
        }
        assert!(controller.device().only_cbws());
        let drive = controller.device().drive(0).unwrap();
        assert_eq!(drive.violations().count(), 0, "{:?}", drive.violations().next());
        assert_eq!(drive.state_digest(), self.state);
        controller.bulk_out().len() as u64
    }
}

/// The bytes of an image made by `firmware/guest/image.sh`.
pub fn image(folder: &Path, mib: u32) -> (std::path::PathBuf, Vec<u8>) {
    let file = folder.join("evidence.img");
    wb_sim::guest::make_image(&file, mib).unwrap();
    let bytes = fs::read(&file).unwrap();
    (file, bytes)
}
