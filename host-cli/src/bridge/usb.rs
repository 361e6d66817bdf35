//! A bridge on a USB port of this computer, through `nusb`: Linux, macOS and Windows.
//!
//! Facts: published requirements, section 5.1. The product id is shared with other people's prototypes, so the product string
//! decides. Interface 1 is claimed and nothing else: the kernel keeps mass storage, and reading goes on.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use nusb::{
    DeviceInfo, ErrorKind, Interface, MaybeFuture,
    transfer::{Buffer, Bulk, ControlIn, ControlOut, ControlType, In, Recipient, TransferError},
};
use wb_attest::interface::{BRIDGE_INTERFACE, PRODUCT_ID, Request, Setup, VENDOR_ID};

use super::{
    attached::Attached,
    port::{Identity, Port, PortError},
};

/// What the product string of every bridge begins with.
const PRODUCT_PREFIX: &str = "Daleel write blocker";
/// Longest wait for an answer; a bridge in the middle of a retry of a bad sector answers late.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes asked for at once from the log endpoint: a multiple of every packet size.
const LOG_BYTES: usize = 4096;
/// Where Linux lists USB devices.
const LINUX_DEVICES: &str = "/sys/bus/usb/devices";
/// Between two looks for a bridge that enumerates anew.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The bridges on this computer's ports.
///
/// # Errors
/// When the operating system does not list its devices.
pub fn find() -> Result<Vec<Found>, PortError> {
    match nusb::list_devices().wait() {
        Ok(devices) => Ok(devices.filter(is_bridge).map(Found).collect()),
        // A computer, or a container, without USB.
        Err(_) if cfg!(target_os = "linux") && !Path::new(LINUX_DEVICES).exists() => Ok(Vec::new()),
        Err(error) => Err(system(&error)),
    }
}

fn is_bridge(device: &DeviceInfo) -> bool {
    (device.vendor_id(), device.product_id()) == (VENDOR_ID, PRODUCT_ID)
        && device.product_string().is_some_and(|product| product.starts_with(PRODUCT_PREFIX))
}

/// A bridge that was found and is not open.
#[derive(Clone, Debug)]
pub struct Found(DeviceInfo);

impl Attached for Found {
    fn identity(&self) -> Identity {
        let device = &self.0;
        Identity {
            bus: device.bus_id().to_owned(),
            address: device.device_address(),
            product: device.product_string().unwrap_or_default().to_owned(),
            serial: device.serial_number().unwrap_or_default().to_owned(),
            release: device.device_version(),
            speed: device.speed().and_then(megabits),
        }
    }

    fn open(&self) -> Result<Box<dyn Port>, PortError> {
        Ok(Box::new(self.claim()?))
    }
}

impl Found {
    fn claim(&self) -> Result<UsbPort, PortError> {
        let device = self.0.open().wait().map_err(|error| system(&error))?;
        let interface =
            device.claim_interface(BRIDGE_INTERFACE).wait().map_err(|error| system(&error))?;
        Ok(UsbPort { found: self.clone(), identity: self.identity(), interface, log: None })
    }

    /// The socket it is plugged into, which stays the same when it enumerates anew.
    fn place(&self) -> (String, Vec<u8>) {
        (self.0.bus_id().to_owned(), self.0.port_chain().to_vec())
    }
}

fn megabits(speed: nusb::Speed) -> Option<u16> {
    match speed {
        nusb::Speed::Low => Some(1),
        nusb::Speed::Full => Some(12),
        nusb::Speed::High => Some(480),
        nusb::Speed::Super => Some(5_000),
        nusb::Speed::SuperPlus => Some(10_000),
        _ => None,
    }
}

fn system(error: &nusb::Error) -> PortError {
    match error.kind() {
        ErrorKind::Disconnected => PortError::Gone,
        ErrorKind::PermissionDenied => PortError::System(format!(
            "{error}; install hw-notes/60-daleel-bridge.rules as /etc/udev/rules.d/60-daleel-bridge.rules and plug the bridge in again"
        )),
        ErrorKind::Busy => PortError::System(format!(
            "{error}; another program, perhaps another daleel, uses this bridge"
        )),
        _ => PortError::System(error.to_string()),
    }
}

fn transfer(error: TransferError) -> PortError {
    match error {
        TransferError::Stall => PortError::Refused,
        TransferError::Disconnected => PortError::Gone,
        TransferError::Cancelled => PortError::Silent,
        other => PortError::System(other.to_string()),
    }
}

fn is_answering(port: &mut UsbPort) -> bool {
    Request::Info.setup().is_some_and(|setup| port.control_in(&setup).is_ok())
}

/// An open bridge.
pub struct UsbPort {
    found: Found,
    identity: Identity,
    interface: Interface,
    log: Option<nusb::Endpoint<Bulk, In>>,
}

impl UsbPort {
    fn open_log(&self) -> Result<nusb::Endpoint<Bulk, In>, PortError> {
        let descriptor = self.interface.descriptor();
        let address = descriptor.and_then(|descriptor| {
            descriptor.endpoints().map(|endpoint| endpoint.address()).find(|a| a & 0x80 != 0)
        });
        let missing = || PortError::System("interface 1 has no endpoint for log frames".to_owned());
        self.interface.endpoint(address.ok_or_else(missing)?).map_err(|error| system(&error))
    }
}

impl Port for UsbPort {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn control_in(&mut self, setup: &Setup) -> Result<Vec<u8>, PortError> {
        let request = ControlIn {
            control_type: ControlType::Vendor,
            recipient: Recipient::Interface,
            request: setup.request,
            value: setup.value,
            index: setup.index,
            length: setup.length,
        };
        self.interface.control_in(request, TIMEOUT).wait().map_err(transfer)
    }

    fn control_out(&mut self, setup: &Setup, data: &[u8]) -> Result<(), PortError> {
        let request = ControlOut {
            control_type: ControlType::Vendor,
            recipient: Recipient::Interface,
            request: setup.request,
            value: setup.value,
            index: setup.index,
            data,
        };
        self.interface.control_out(request, TIMEOUT).wait().map_err(transfer)
    }

    fn read_log(&mut self, wait: Duration) -> Result<Vec<u8>, PortError> {
        let mut endpoint = match self.log.take() {
            Some(endpoint) => endpoint,
            None => self.open_log()?,
        };
        if endpoint.pending() == 0 {
            endpoint.submit(Buffer::new(LOG_BYTES));
        }
        let done = endpoint.wait_next_complete(wait);
        self.log = Some(endpoint);
        match done {
            None => Ok(Vec::new()),
            Some(done) => {
                done.status.map_err(transfer)?;
                Ok(done.buffer.get(..done.actual_len).unwrap_or_default().to_vec())
            }
        }
    }

    fn pause(&mut self, time: Duration) {
        thread::sleep(time);
    }

    fn reconnect(&mut self, within: Duration) -> Result<(), PortError> {
        let (started, place) = (Instant::now(), self.found.place());
        self.log = None;
        while started.elapsed() < within {
            thread::sleep(LOOK_EVERY);
            let same = find()?.into_iter().find(|found| found.place() == place);
            let Some(Ok(mut port)) = same.map(|found| found.claim()) else { continue };
            // The enumeration that ends may still be listed; it does not answer any more.
            if is_answering(&mut port) {
                *self = port;
                return Ok(());
            }
        }
        Err(PortError::Gone)
    }
}
