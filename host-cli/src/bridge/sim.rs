//! A bridge in this process, in front of a model drive that obeys every write: for `bridge self-test` and for tests.

use std::time::Duration;

use wb_attest::interface::{MANUFACTURER, NO_KEY_SERIAL, PRODUCT, Setup};
use wb_bridge::usb::{Settings, UsbDrive};
use wb_sim::{
    bridge::{Setup as SimSetup, SimBridge},
    controller::ModelController,
    drive::{DriveConfig, ModelDrive},
    host::{Host, Phase},
    usb::{InResult, ModelUsbDrive, UsbDevice, UsbOptions},
};

use super::port::{Identity, Port, PortError};

/// Room of a read buffer, as on the product boards.
const SLOT_BYTES: usize = 32 << 10;
/// Endpoint number of the log frames.
const LOG_ENDPOINT: u8 = 2;
/// Longest log transfer.
const LOG_BYTES: usize = 4096;
/// String descriptor 3, US English.
const GET_SERIAL: [u8; 8] = [0x80, 6, 3, 3, 0x09, 0x04, 255, 0];

/// What the bridge has on its drive side.
pub type Drive = UsbDrive<ModelController<ModelUsbDrive>>;

/// The bridge of the simulator as a port. Its clock moves when it is asked for something and in [`Port::pause`].
pub struct SimPort {
    host: Host<SimBridge<Drive>>,
    identity: Identity,
}

impl SimPort {
    /// A bridge with a model drive, attached and enumerated; `None` when it does not come up.
    pub fn new(setup: &SimSetup, config: DriveConfig) -> Option<Self> {
        let mut port = Self::unattached(setup, config);
        (port.host.device_mut().attach() && port.enumerate()).then_some(port)
    }

    /// A bridge of the usual kind in front of a drive of 32 MiB, its first unit attention taken.
    pub fn usual() -> Option<Self> {
        let mut port = Self::new(&SimSetup::default(), DriveConfig::default())?;
        port.host.command(&[0; 6], Phase::None).ok()?;
        Some(port)
    }

    /// A bridge that was not provisioned and has no drive.
    pub fn unprovisioned() -> Option<Self> {
        Self::without_drive(&SimSetup { seed: None, ..SimSetup::default() })
    }

    /// A bridge without a drive, enumerated.
    pub fn without_drive(setup: &SimSetup) -> Option<Self> {
        let mut port = Self::unattached(setup, DriveConfig::default());
        port.host.device_mut().drive_mut().host_mut().unplug();
        port.enumerate().then_some(port)
    }

    fn unattached(setup: &SimSetup, config: DriveConfig) -> Self {
        let drive = ModelUsbDrive::new(ModelDrive::new(config), UsbOptions::default());
        let controller = ModelController::new(drive, SLOT_BYTES);
        let settings = Settings { profiles: setup.profiles, is_listed: |_, _, _| false };
        let bridge = SimBridge::new(setup, UsbDrive::new(controller, settings));
        let identity = Identity {
            bus: MANUFACTURER.to_lowercase(),
            address: 1,
            product: PRODUCT.to_owned(),
            serial: NO_KEY_SERIAL.to_owned(),
            release: 0x0010,
            speed: Some(480),
        };
        Self { host: Host::new(bridge), identity }
    }

    fn enumerate(&mut self) -> bool {
        let is_up = self.host.enumerate();
        let serial = self.host.device_mut().control(GET_SERIAL, &[]).unwrap_or_default();
        let units = serial.get(2..).unwrap_or_default().as_chunks::<2>().0;
        let units: Vec<u16> = units.iter().map(|pair| u16::from_le_bytes(*pair)).collect();
        self.identity.serial = String::from_utf16_lossy(&units);
        is_up
    }

    /// The host in front, for mass storage commands.
    pub const fn host(&mut self) -> &mut Host<SimBridge<Drive>> {
        &mut self.host
    }

    /// The model drive behind.
    pub fn drive(&self) -> Option<&ModelDrive> {
        self.host.device().core().drive().host().device().drive(0)
    }

    /// READ(10) of blocks of 512 bytes; `None` when it fails.
    pub fn read(&mut self, lba: u32, blocks: u16) -> Option<Vec<u8>> {
        let [a3, a2, a1, a0] = lba.to_be_bytes();
        let [n1, n0] = blocks.to_be_bytes();
        let cdb = [0x28, 0, a3, a2, a1, a0, 0, n1, n0, 0];
        let length = u32::from(blocks).saturating_mul(512);
        let outcome = self.host.command(&cdb, Phase::In(length)).ok()?;
        (outcome.status == 0).then_some(outcome.data)
    }

    /// WRITE(10) of a block of zeros; whether it was refused.
    pub fn is_write_refused(&mut self) -> bool {
        let cdb = [0x2A, 0, 0, 0, 0, 0, 0, 0, 1, 0];
        self.host.command(&cdb, Phase::Zeros(512)).is_ok_and(|outcome| outcome.status == 1)
    }

    /// What was sent to the drive's bulk-OUT endpoint.
    pub fn bulk_out(&self) -> &[Vec<u8>] {
        self.host.device().core().drive().host().bulk_out()
    }
}

impl Port for SimPort {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn control_in(&mut self, setup: &Setup) -> Result<Vec<u8>, PortError> {
        self.host.device_mut().control(bytes(setup), &[]).map_err(|_| PortError::Refused)
    }

    fn control_out(&mut self, setup: &Setup, data: &[u8]) -> Result<(), PortError> {
        let done = self.host.device_mut().control(bytes(setup), data);
        done.map(|_| ()).map_err(|_| PortError::Refused)
    }

    fn read_log(&mut self, wait: Duration) -> Result<Vec<u8>, PortError> {
        match self.host.device_mut().bulk_in(LOG_ENDPOINT, LOG_BYTES) {
            InResult::Data(frames) => Ok(frames),
            InResult::Nak => {
                self.pause(wait);
                Ok(Vec::new())
            }
            InResult::Stall => Err(PortError::Refused),
        }
    }

    fn pause(&mut self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.host.device_mut().idle(micros);
    }

    fn reconnect(&mut self, within: Duration) -> Result<(), PortError> {
        self.pause(within.min(Duration::from_secs(1)));
        if self.enumerate() { Ok(()) } else { Err(PortError::Gone) }
    }
}

/// The eight bytes of a request.
fn bytes(setup: &Setup) -> [u8; 8] {
    let [v0, v1] = setup.value.to_le_bytes();
    let [i0, i1] = setup.index.to_le_bytes();
    let [l0, l1] = setup.length.to_le_bytes();
    [setup.request_type, setup.request, v0, v1, i0, i1, l0, l1]
}
