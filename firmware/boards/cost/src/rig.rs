//! A drive, pipes, a bus and a hash engine that do nothing, so that what is counted is the bridge.

use core::cell::Cell;

use cortex_m::interrupt::{Mutex, free};
use usb_device::{
    UsbDirection,
    bus::{PollResult, UsbBus},
    endpoint::{EndpointAddress, EndpointType},
};
use wb_attest::{
    Digest,
    digest::{Engine, HashEngine, Slot as HashSlot},
};
use wb_bridge::{
    Micros,
    drive::{Completion, Drive, DriveEvent, Emitted, Identity, Report, Slot, Status, UsbIdentity},
    pipes::Pipes,
};
use wb_policy::{
    capture::{Bytes, Capture, Kind},
    cbw::CBW_BYTES,
    down::DownCommand,
    geometry::Geometry,
};

/// Bytes of a slot, and of a READ.
pub const SLOT: usize = 65_536;
const BLOCK: u32 = 512;

static DATA: [u8; SLOT] = [0x5A; SLOT];

/// A disk that is attached at the first poll and answers each command at the next.
pub struct NullDrive {
    report: Report,
    emitted: Emitted,
    attached: bool,
    pending: Option<u32>,
}

impl NullDrive {
    pub fn new() -> Self {
        let mut capture = Capture::empty(Kind::Usb);
        capture.geometry = Some(Geometry { blocks: 1 << 32, block_bytes: BLOCK });
        let identity = Identity::Usb(UsbIdentity {
            vendor: 0,
            product: 0,
            release: 0,
            serial: Bytes::default(),
            descriptors: [0; 32],
            units: 1,
            unit: 0,
        });
        let report = Report {
            capture,
            identity,
            steps: Default::default(),
            not_run: Default::default(),
            refused: None,
            own_before: 0,
        };
        Self { report, emitted: Emitted::default(), attached: false, pending: None }
    }
}

impl Drive for NullDrive {
    fn slot_bytes(&self) -> usize {
        SLOT
    }

    fn poll(&mut self, _now: Micros) -> Option<DriveEvent> {
        if !core::mem::replace(&mut self.attached, true) {
            return Some(DriveEvent::Attached);
        }
        let delivered = self.pending.take()?;
        Some(DriveEvent::Done(Completion { status: Status::Good, delivered }))
    }

    fn start(&mut self, command: &DownCommand, _slot: Slot, _now: Micros) -> bool {
        let bytes = command.encode(BLOCK).data_in;
        self.pending.replace(bytes).is_none()
    }

    fn data(&self, _slot: Slot) -> &[u8] {
        &DATA
    }

    fn abandon(&mut self, _now: Micros) {
        self.pending = None;
    }

    fn is_vacant(&self) -> bool {
        !self.attached
    }

    fn report(&self) -> Option<&Report> {
        self.attached.then_some(&self.report)
    }

    fn emitted(&self) -> &Emitted {
        &self.emitted
    }
}

/// A hash engine that computes nothing.
pub struct NullEngine;

impl HashEngine for NullEngine {
    fn engine(&self) -> Engine {
        Engine::Software
    }

    fn start(&mut self, _slot: HashSlot) {}

    fn update(&mut self, _slot: HashSlot, _data: &[u8]) {}

    fn settle(&mut self) {}

    fn is_beside(&self) -> bool {
        false
    }

    fn finish(&mut self, _slot: HashSlot) -> Digest {
        [0; 32]
    }
}

/// Pipes with a command in them that take whatever comes.
pub struct NullPipes {
    pub max_packet: usize,
    pub command: Option<[u8; CBW_BYTES]>,
    pub sent: usize,
}

impl Pipes for NullPipes {
    fn max_packet(&self) -> usize {
        self.max_packet
    }

    fn read(&mut self, packet: &mut [u8]) -> Option<usize> {
        let command = self.command.take()?;
        packet.get_mut(..command.len())?.copy_from_slice(&command);
        Some(command.len())
    }

    fn write(&mut self, data: &[u8]) -> Option<usize> {
        let taken = data.len().min(self.max_packet);
        self.sent = self.sent.saturating_add(taken);
        Some(taken)
    }

    fn is_flushed(&mut self) -> bool {
        true
    }

    fn stall_in(&mut self) {}

    fn stall_out(&mut self) {}

    fn is_in_stalled(&self) -> bool {
        false
    }

    fn is_out_stalled(&self) -> bool {
        false
    }
}

/// A bus that takes one packet at a time and tells that it has left at the next poll, as the boards' controllers do with a fast host.
pub struct NullBus {
    allocated: Mutex<Cell<u8>>,
    in_flight: Mutex<Cell<bool>>,
    command: Mutex<Cell<Option<[u8; CBW_BYTES]>>>,
    pub sent: Mutex<Cell<usize>>,
}

impl NullBus {
    pub fn new() -> Self {
        Self {
            allocated: Mutex::new(Cell::new(0)),
            in_flight: Mutex::new(Cell::new(false)),
            command: Mutex::new(Cell::new(None)),
            sent: Mutex::new(Cell::new(0)),
        }
    }

    pub fn put(&self, command: [u8; CBW_BYTES]) {
        free(|section| {
            self.sent.borrow(section).set(0);
            self.command.borrow(section).set(Some(command));
        });
    }

    pub fn sent(&self) -> usize {
        free(|section| self.sent.borrow(section).get())
    }
}

impl UsbBus for NullBus {
    fn alloc_ep(
        &mut self,
        direction: UsbDirection,
        address: Option<EndpointAddress>,
        _kind: EndpointType,
        _max_packet: u16,
        _interval: u8,
    ) -> usb_device::Result<EndpointAddress> {
        let next = free(|section| {
            let cell = self.allocated.borrow(section);
            cell.set(cell.get().wrapping_add(1));
            cell.get()
        });
        Ok(address.unwrap_or_else(|| EndpointAddress::from_parts(usize::from(next), direction)))
    }

    fn enable(&mut self) {}

    fn reset(&self) {}

    fn set_device_address(&self, _address: u8) {}

    fn write(&self, _endpoint: EndpointAddress, packet: &[u8]) -> usb_device::Result<usize> {
        free(|section| {
            if self.in_flight.borrow(section).replace(true) {
                return Err(usb_device::UsbError::WouldBlock);
            }
            let sent = self.sent.borrow(section);
            sent.set(sent.get().wrapping_add(packet.len()));
            Ok(packet.len())
        })
    }

    fn read(&self, _endpoint: EndpointAddress, packet: &mut [u8]) -> usb_device::Result<usize> {
        let command = free(|section| self.command.borrow(section).take());
        let command = command.ok_or(usb_device::UsbError::WouldBlock)?;
        let room = packet.get_mut(..command.len()).ok_or(usb_device::UsbError::BufferOverflow)?;
        room.copy_from_slice(&command);
        Ok(command.len())
    }

    fn set_stalled(&self, _endpoint: EndpointAddress, _stalled: bool) {}

    fn is_stalled(&self, _endpoint: EndpointAddress) -> bool {
        false
    }

    fn suspend(&self) {}

    fn resume(&self) {}

    fn poll(&self) -> PollResult {
        free(|section| {
            if self.in_flight.borrow(section).replace(false) {
                // All IN endpoints but 0: the class asks for its own alone.
                PollResult::Data { ep_out: 0, ep_in_complete: 0xFFFE, ep_setup: 0 }
            } else {
                PollResult::None
            }
        })
    }
}
