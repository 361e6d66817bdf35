//! The bridge as a class of the `usb-device` crate: both interfaces, their endpoints, and the requests to them.
//!
//! Facts: the published requirements, section 5.1 (descriptors); USB 2.0, sections 9.3 and 9.6. A board builds [`Endpoints`] once, and hands
//! [`Class`] to the device's `poll`; afterwards it polls the bridge with the endpoints as its pipes.

use usb_device::{
    LangID,
    class_prelude::{
        BosWriter, ControlIn, ControlOut, DescriptorWriter, EndpointAddress, EndpointIn,
        EndpointOut, InterfaceNumber, UsbBus, UsbBusAllocator, UsbClass,
    },
    control::{Recipient, Request, RequestType},
    device::{StringDescriptors, UsbDevice, UsbDeviceBuilder, UsbRev, UsbVidPid},
};
use wb_attest::{
    digest::HashEngine,
    interface::{self, Setup, descriptors},
};

use crate::{bridge::Bridge, drive::Drive, pipes::Pipes};

/// Largest current that the bridge asks for, in mA; what a drive needs comes from its own supply.
const MILLIAMPERES: usize = 500;
/// Packet size of endpoint 0.
const CONTROL_PACKET: u8 = 64;

/// Endpoints of both interfaces.
pub struct Endpoints<'a, B: UsbBus> {
    storage: InterfaceNumber,
    own: InterfaceNumber,
    bulk_in: EndpointIn<'a, B>,
    bulk_out: EndpointOut<'a, B>,
    log_in: EndpointIn<'a, B>,
    /// A packet is queued on the bulk-IN endpoint and has not left.
    in_flight: bool,
    in_halted: bool,
    out_halted: bool,
}

impl<'a, B: UsbBus> Endpoints<'a, B> {
    /// Allocates interface 0 and 1 in this order; `max_packet` is 64 at full speed and 512 at high speed.
    pub fn new(allocator: &'a UsbBusAllocator<B>, max_packet: u16) -> Self {
        Self {
            storage: allocator.interface(),
            own: allocator.interface(),
            bulk_in: allocator.bulk(max_packet),
            bulk_out: allocator.bulk(max_packet),
            log_in: allocator.bulk(max_packet),
            in_flight: false,
            in_halted: false,
            out_halted: false,
        }
    }

    /// Takes over from the bus which endpoints are halted: `usb-device` clears a halt for the host without telling the class. To be called
    /// after each poll of the device.
    pub fn update(&mut self, bus: &B) {
        self.in_halted = bus.is_stalled(self.bulk_in.address());
        self.out_halted = bus.is_stalled(self.bulk_out.address());
    }

    /// Queues log frames on interface 1: a whole packet at most, the number of bytes taken; 0 when nobody reads.
    pub fn write_log(&mut self, frames: &[u8]) -> usize {
        let room = usize::from(self.log_in.max_packet_size());
        self.log_in.write(frames.get(..room).unwrap_or(frames)).unwrap_or(0)
    }
}

/// The device with the bridge's descriptors. `serial` are 24 hex digits, `release` the firmware's version in BCD. `None` is not met:
/// the strings and the packet size are in order.
pub fn build<'a, B: UsbBus>(
    allocator: &'a UsbBusAllocator<B>,
    serial: &'a str,
    release: u16,
) -> Option<UsbDevice<'a, B>> {
    let strings = StringDescriptors::new(LangID::EN_US)
        .manufacturer(interface::MANUFACTURER)
        .product(interface::PRODUCT)
        .serial_number(serial);
    let device =
        UsbDeviceBuilder::new(allocator, UsbVidPid(interface::VENDOR_ID, interface::PRODUCT_ID))
            .usb_rev(UsbRev::Usb210)
            .device_release(release)
            .strings(&[strings])
            .ok()?
            .max_packet_size_0(CONTROL_PACKET)
            .ok()?
            .max_power(MILLIAMPERES)
            .ok()?
            .build();
    Some(device)
}

impl<B: UsbBus> Pipes for Endpoints<'_, B> {
    fn max_packet(&self) -> usize {
        usize::from(self.bulk_in.max_packet_size())
    }

    fn read(&mut self, packet: &mut [u8]) -> Option<usize> {
        self.bulk_out.read(packet).ok()
    }

    fn write(&mut self, data: &[u8]) -> Option<usize> {
        let packet = data.get(..self.max_packet()).unwrap_or(data);
        let taken = self.bulk_in.write(packet).ok()?;
        self.in_flight = true;
        Some(taken)
    }

    fn is_flushed(&mut self) -> bool {
        !self.in_flight
    }

    fn stall_in(&mut self) {
        self.bulk_in.stall();
        self.in_halted = true;
    }

    fn stall_out(&mut self) {
        self.bulk_out.stall();
        self.out_halted = true;
    }

    fn is_in_stalled(&self) -> bool {
        self.in_halted
    }

    fn is_out_stalled(&self) -> bool {
        self.out_halted
    }
}

/// The endpoints together with the bridge, for the time of one poll of the device.
pub struct Class<'x, 'a, 'p, B: UsbBus, D, E, const RING: usize> {
    /// The endpoints.
    pub endpoints: &'x mut Endpoints<'a, B>,
    /// The bridge.
    pub bridge: &'x mut Bridge<'p, D, E, RING>,
}

impl<B: UsbBus, D: Drive, E: HashEngine, const RING: usize> Class<'_, '_, '_, B, D, E, RING> {
    /// Whether a request is for one of the two interfaces, or asks for the Microsoft descriptors.
    fn is_ours(&self, request: &Request) -> bool {
        let interfaces = [self.endpoints.storage, self.endpoints.own].map(u8::from);
        let is_interface = request.recipient == Recipient::Interface
            && request.request_type != RequestType::Standard
            && interfaces.iter().any(|number| u16::from(*number) == request.index);
        let is_microsoft = request.recipient == Recipient::Device
            && request.request_type == RequestType::Vendor
            && request.request == descriptors::MS_VENDOR_CODE;
        is_interface || is_microsoft
    }

    /// Whether `usb-device` answers a request by emptying the bulk-IN endpoint: CLEAR_FEATURE of its halt, a new configuration or setting
    /// (USB 2.0, sections 9.4.1, 9.4.7, 9.4.10).
    fn empties_bulk_in(&self, request: &Request) -> bool {
        if request.request_type != RequestType::Standard {
            return false;
        }
        let endpoint = u16::from(u8::from(self.endpoints.bulk_in.address()));
        match request.request {
            Request::CLEAR_FEATURE => {
                request.recipient == Recipient::Endpoint && request.index == endpoint
            }
            Request::SET_CONFIGURATION | Request::SET_INTERFACE => true,
            _ => false,
        }
    }
}

fn setup(request: &Request) -> Setup {
    let direction = if request.direction == usb_device::UsbDirection::In { 0x80 } else { 0x00 };
    let kind = match request.request_type {
        RequestType::Standard => 0x00,
        RequestType::Class => 0x20,
        RequestType::Vendor => 0x40,
        RequestType::Reserved => 0x60,
    };
    let recipient = match request.recipient {
        Recipient::Device => 0,
        Recipient::Interface => 1,
        Recipient::Endpoint => 2,
        Recipient::Other | Recipient::Reserved => 3,
    };
    Setup {
        request_type: direction | kind | recipient,
        request: request.request,
        value: request.value,
        index: request.index,
        length: request.length,
    }
}

impl<B: UsbBus, D: Drive, E: HashEngine, const RING: usize> UsbClass<B>
    for Class<'_, '_, '_, B, D, E, RING>
{
    fn get_configuration_descriptors(
        &self,
        writer: &mut DescriptorWriter<'_>,
    ) -> usb_device::Result<()> {
        let [class, subclass, protocol] = interface::STORAGE_CLASS;
        writer.interface(self.endpoints.storage, class, subclass, protocol)?;
        writer.endpoint(&self.endpoints.bulk_in)?;
        writer.endpoint(&self.endpoints.bulk_out)?;
        let [class, subclass, protocol] = interface::BRIDGE_CLASS;
        writer.interface(self.endpoints.own, class, subclass, protocol)?;
        writer.endpoint(&self.endpoints.log_in)
    }

    fn get_bos_descriptors(&self, writer: &mut BosWriter<'_, '_>) -> usb_device::Result<()> {
        writer.capability(descriptors::PLATFORM_CAPABILITY_TYPE, &descriptors::PLATFORM_CAPABILITY)
    }

    fn reset(&mut self) {
        self.endpoints.in_flight = false;
        self.endpoints.in_halted = false;
        self.endpoints.out_halted = false;
        self.bridge.bus_reset();
    }

    fn control_in(&mut self, transfer: ControlIn<'_, '_, '_, B>) {
        if !self.is_ours(transfer.request()) {
            return;
        }
        let setup = setup(transfer.request());
        // An error means that the host has begun another request, which ends this one.
        let _ = transfer.accept(|buffer| {
            self.bridge.control_in(&setup, buffer).ok_or(usb_device::UsbError::Unsupported)
        });
    }

    fn control_out(&mut self, transfer: ControlOut<'_, '_, '_, B>) {
        if self.endpoints.in_flight && self.empties_bulk_in(transfer.request()) {
            self.bridge.packets_dropped();
        }
        if !self.is_ours(transfer.request()) {
            return;
        }
        let setup = setup(transfer.request());
        let is_done = self.bridge.control_out(&setup, transfer.data());
        let _ = if is_done { transfer.accept() } else { transfer.reject() };
    }

    fn endpoint_in_complete(&mut self, address: EndpointAddress) {
        if address == self.endpoints.bulk_in.address() {
            self.endpoints.in_flight = false;
        }
    }
}
