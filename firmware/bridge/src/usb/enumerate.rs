//! Enumeration: from address 0 to a configured interface with bulk-only transport.
//!
//! Facts: USB 2.0, sections 9.1.2, 9.2.6.3 (2 ms after SET_ADDRESS) and 9.4; Bulk-Only Transport, section 3.2 (GET MAX LUN, whose STALL means
//! one unit); the published policy, sections 3.2 and 6.3: this list of requests and no other.

use sha2::{Digest, Sha256};
use wb_policy::capture::Bytes;

use crate::{
    Micros,
    drive::{Refused, UsbIdentity},
    host::{Endpoints, HostController, PipeFault, Request, Speed},
};

use super::{
    descriptors::{self, BulkOnly, Device, Unfit},
    transport::Link,
    wire::Wire,
};

/// The only device on the bus gets this address.
const ADDRESS: u8 = 1;
const ADDRESS_SETTLES: Micros = 10_000;
/// Highest unit number that a wrapper can hold.
const LAST_UNIT: u8 = 15;

/// Why enumeration ended without a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// Worth another port reset.
    Again,
    /// A device that is not served.
    Refused(Refused),
}

impl From<Unfit> for Failure {
    fn from(unfit: Unfit) -> Self {
        match unfit {
            Unfit::Malformed => Self::Again,
            Unfit::Hub => Self::Refused(Refused::Hub),
            Unfit::Composite => Self::Refused(Refused::Composite),
            Unfit::NoBulkOnly => Self::Refused(Refused::NoBulkOnly),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Start,
    FirstBytes,
    SetAddress,
    AddressSettles(Micros),
    Device,
    Head,
    Configuration,
    Languages,
    Serial,
    SetConfiguration,
    SetInterface,
    MaxLun,
}

/// An enumeration in progress.
pub(super) struct Enumeration {
    phase: Phase,
    speed: Speed,
    packet0: u8,
    serial_index: u8,
    chosen: Option<BulkOnly>,
    identity: UsbIdentity,
    hash: Sha256,
}

/// Nobody: before a device has named itself.
pub(super) fn nobody() -> UsbIdentity {
    UsbIdentity {
        vendor: 0,
        product: 0,
        release: 0,
        serial: Bytes::default(),
        descriptors: [0; 32],
        units: 0,
        unit: 0,
    }
}

impl Enumeration {
    pub(super) fn new(speed: Speed) -> Self {
        let packet0 = match speed {
            Speed::Full => 8,
            Speed::High => 64,
        };
        Self {
            phase: Phase::Start,
            speed,
            packet0,
            serial_index: 0,
            chosen: None,
            identity: nobody(),
            hash: Sha256::new(),
        }
    }

    /// What the device has said of itself so far.
    pub(super) fn identity(&self) -> UsbIdentity {
        let mut identity = self.identity.clone();
        identity.descriptors = self.hash.clone().finalize().into();
        identity
    }

    /// Advances; at the end how to reach the drive.
    pub(super) fn poll<H: HostController>(
        &mut self,
        wire: &mut Wire<H>,
        now: Micros,
    ) -> Option<Result<Link, Failure>> {
        match self.phase {
            Phase::Start => {
                let request = Request::DeviceDescriptor { length: 8 };
                wire.control(0, self.packet0, &request, now);
                self.phase = Phase::FirstBytes;
                None
            }
            Phase::AddressSettles(until) if now < until => None,
            Phase::AddressSettles(_) => {
                self.ask(wire, Phase::Device, &Request::DeviceDescriptor { length: 18 }, now);
                None
            }
            _ => {
                let ended = wire.poll(now)?;
                self.after(wire, ended, now).transpose()
            }
        }
    }

    /// Goes on after a request.
    fn after<H: HostController>(
        &mut self,
        wire: &mut Wire<H>,
        ended: Result<usize, PipeFault>,
        now: Micros,
    ) -> Result<Option<Link>, Failure> {
        let optional = matches!(self.phase, Phase::Languages | Phase::Serial | Phase::MaxLun);
        let length = match ended {
            Ok(length) => length,
            Err(PipeFault::Stall) if optional => 0,
            Err(_) => return Err(Failure::Again),
        };
        let bytes = wire.host.control_data();
        let bytes = bytes.get(..length).unwrap_or(bytes);
        match self.phase {
            Phase::FirstBytes => {
                self.packet0 = descriptors::endpoint0_packet(bytes, self.speed)?;
                wire.control(0, self.packet0, &Request::SetAddress(ADDRESS), now);
                self.phase = Phase::SetAddress;
            }
            Phase::SetAddress => {
                self.phase = Phase::AddressSettles(now.saturating_add(ADDRESS_SETTLES));
            }
            Phase::Device => {
                self.device(descriptors::device(bytes)?, bytes);
                self.ask_configuration(wire, Phase::Head, 9, now);
            }
            Phase::Head => {
                let length = descriptors::configuration_length(bytes)?;
                self.ask_configuration(wire, Phase::Configuration, length, now);
            }
            Phase::Configuration => {
                self.chosen = Some(descriptors::bulk_only(bytes, self.speed)?);
                self.hash.update(bytes);
                self.after_configuration(wire, now)?;
            }
            Phase::Languages => {
                let language = descriptors::first_language(bytes);
                self.after_languages(wire, language, now)?;
            }
            Phase::Serial => {
                self.serial(bytes);
                self.configure(wire, now)?;
            }
            Phase::SetConfiguration => self.after_set_configuration(wire, now)?,
            Phase::SetInterface => self.ask_max_lun(wire, now)?,
            Phase::MaxLun => {
                self.identity.units = units(bytes);
                return self.finish(wire).map(Some);
            }
            Phase::Start | Phase::AddressSettles(_) => {}
        }
        Ok(None)
    }

    fn ask<H: HostController>(
        &mut self,
        wire: &mut Wire<H>,
        phase: Phase,
        request: &Request,
        now: Micros,
    ) {
        self.phase = phase;
        wire.control(ADDRESS, self.packet0, request, now);
    }

    fn ask_configuration<H: HostController>(
        &mut self,
        wire: &mut Wire<H>,
        phase: Phase,
        length: u16,
        now: Micros,
    ) {
        self.ask(wire, phase, &Request::ConfigurationDescriptor { length }, now);
    }

    fn device(&mut self, device: Device, bytes: &[u8]) {
        self.identity.vendor = device.vendor;
        self.identity.product = device.product;
        self.identity.release = device.release;
        self.serial_index = device.serial_index;
        self.hash.update(bytes);
    }

    fn after_configuration<H: HostController>(
        &mut self,
        wire: &mut Wire<H>,
        now: Micros,
    ) -> Result<(), Failure> {
        if self.serial_index == 0 {
            return self.configure(wire, now);
        }
        let request = Request::StringDescriptor { index: 0, language: 0 };
        self.ask(wire, Phase::Languages, &request, now);
        Ok(())
    }

    fn after_languages<H: HostController>(
        &mut self,
        wire: &mut Wire<H>,
        language: Option<u16>,
        now: Micros,
    ) -> Result<(), Failure> {
        let Some(language) = language else { return self.configure(wire, now) };
        let request = Request::StringDescriptor { index: self.serial_index, language };
        self.ask(wire, Phase::Serial, &request, now);
        Ok(())
    }

    fn serial(&mut self, bytes: &[u8]) {
        if let Some(serial) = descriptors::serial(bytes) {
            self.identity.serial = serial;
            let length = bytes.first().map_or(0, |length| usize::from(*length));
            self.hash.update(bytes.get(..length).unwrap_or(bytes));
        }
    }

    fn choice(&self) -> Result<BulkOnly, Failure> {
        self.chosen.ok_or(Failure::Again)
    }

    fn configure<H: HostController>(
        &mut self,
        wire: &mut Wire<H>,
        now: Micros,
    ) -> Result<(), Failure> {
        let request = Request::SetConfiguration(self.choice()?.configuration);
        self.ask(wire, Phase::SetConfiguration, &request, now);
        Ok(())
    }

    fn after_set_configuration<H: HostController>(
        &mut self,
        wire: &mut Wire<H>,
        now: Micros,
    ) -> Result<(), Failure> {
        let chosen = self.choice()?;
        if !chosen.has_alternates {
            return self.ask_max_lun(wire, now);
        }
        let request =
            Request::SetInterface { interface: chosen.interface, alternate: chosen.alternate };
        self.ask(wire, Phase::SetInterface, &request, now);
        Ok(())
    }

    fn ask_max_lun<H: HostController>(
        &mut self,
        wire: &mut Wire<H>,
        now: Micros,
    ) -> Result<(), Failure> {
        let request = Request::GetMaxLun { interface: self.choice()?.interface };
        self.ask(wire, Phase::MaxLun, &request, now);
        Ok(())
    }

    fn finish<H: HostController>(&self, wire: &mut Wire<H>) -> Result<Link, Failure> {
        let chosen = self.choice()?;
        let endpoints = Endpoints {
            address: ADDRESS,
            bulk_in: chosen.bulk_in,
            bulk_out: chosen.bulk_out,
            max_packet_in: chosen.max_packet_in,
            max_packet_out: chosen.max_packet_out,
        };
        wire.host.set_endpoints(endpoints);
        Ok(Link { packet0: self.packet0, interface: chosen.interface, endpoints })
    }
}

/// Number of logical units; an answer that the standard does not know counts as one.
fn units(answer: &[u8]) -> u8 {
    match answer {
        [last] if *last <= LAST_UNIT => last.saturating_add(1),
        _ => 1,
    }
}
