//! One connection of the usbredir protocol, without input or output.

use std::collections::BTreeMap;
use std::fmt;

use super::packet::{self, Layout, Packet, TooLong, TransferStatus, capability, field, kind};
use super::trace::{Event, Trace};
use crate::usb::{InResult, OutResult, Speed, UsbDevice};

/// Transfers a guest may have under way.
const MAX_PENDING: usize = 1024;
/// Largest bulk-IN transfer.
const MAX_TRANSFER_BYTES: usize = 16 << 20;
/// Bytes of an OUT packet header in a bulk packet with a 32-bit length.
const LONG_BULK_HEADER: usize = 10;

/// The guest broke the protocol; the connection cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// A packet of this many bytes.
    TooLong(u32),
    /// The first packet was no hello, or hello came twice; packet type.
    Unexpected(u32),
    /// Too many transfers under way.
    TooManyTransfers,
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong(length) => write!(f, "usbredir packet of {length} bytes"),
            Self::Unexpected(kind) => write!(f, "usbredir packet of type {kind} out of turn"),
            Self::TooManyTransfers => f.write_str("too many usbredir transfers under way"),
        }
    }
}

impl std::error::Error for ProtocolError {}

/// A bulk transfer under way.
#[derive(Clone, Debug)]
struct Transfer {
    id: u64,
    endpoint: u8,
    stream: u32,
    /// Bytes asked for, or to be sent.
    wanted: usize,
    /// OUT: the bytes; IN: what has come.
    data: Vec<u8>,
    /// OUT: bytes taken.
    done: usize,
}

impl Transfer {
    fn is_in(&self) -> bool {
        self.endpoint & 0x80 != 0
    }
}

/// Protocol state of one connection.
#[derive(Debug)]
pub struct Session {
    input: Vec<u8>,
    output: Vec<u8>,
    /// Capabilities both sides have; `None` before the guest's hello.
    capabilities: Option<u32>,
    pending: Vec<Transfer>,
    alternates: BTreeMap<u8, u8>,
    packet_bytes: BTreeMap<u8, usize>,
    announced: bool,
}

impl Default for Session {
    fn default() -> Self {
        Self::new()
    }
}

impl Session {
    /// A new connection; the hello is ready to be sent.
    pub fn new() -> Self {
        let mut hello = b"daleel model device".to_vec();
        hello.resize(64, 0);
        hello.extend(capability::OURS.to_le_bytes());
        let mut output = Vec::new();
        packet::append(&mut output, kind::HELLO, 0, &hello, false);
        Self {
            input: Vec::new(),
            output,
            capabilities: None,
            pending: Vec::new(),
            alternates: BTreeMap::new(),
            packet_bytes: BTreeMap::new(),
            announced: false,
        }
    }

    /// Bytes for the guest since the last call.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// Transfers that wait for the device.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Takes bytes from the guest and carries out what they ask for.
    ///
    /// # Errors
    /// [`ProtocolError`]: close the connection.
    pub fn feed(
        &mut self,
        device: &mut dyn UsbDevice,
        bytes: &[u8],
        trace: &mut Trace,
    ) -> Result<(), ProtocolError> {
        self.input.extend(bytes);
        loop {
            let wide = self.has(capability::IDS_64_BITS);
            let packet = packet::take(&mut self.input, wide)
                .map_err(|TooLong(length)| ProtocolError::TooLong(length))?;
            match packet {
                Some(packet) => self.handle(device, &packet, trace)?,
                None => return Ok(()),
            }
        }
    }

    /// Moves the transfers on; true if one of them got further. Transfers of one endpoint are served in
    /// their order.
    pub fn poll(&mut self, device: &mut dyn UsbDevice, trace: &mut Trace) -> bool {
        if self.announced && !device.connected() {
            self.announced = false;
            self.pending.clear();
            self.send(kind::DEVICE_DISCONNECT, 0, &[]);
        }
        let mut progress = false;
        let mut busy = Vec::new();
        let mut at = 0usize;
        while let Some(transfer) = self.pending.get_mut(at) {
            if busy.contains(&transfer.endpoint) {
                at = at.saturating_add(1);
                continue;
            }
            let packet_bytes = self
                .packet_bytes
                .get(&transfer.endpoint)
                .copied()
                .unwrap_or(device.speed().bulk_packet_bytes());
            let (moved, status) = advance(transfer, device, packet_bytes);
            progress |= moved;
            match status {
                Some(status) => {
                    let transfer = self.pending.remove(at);
                    self.finish(transfer, status, trace);
                }
                None => {
                    busy.push(transfer.endpoint);
                    at = at.saturating_add(1);
                }
            }
        }
        progress
    }

    fn has(&self, bit: u32) -> bool {
        self.capabilities.is_some_and(|capabilities| capabilities & bit != 0)
    }

    fn send(&mut self, kind: u32, id: u64, body: &[u8]) {
        let wide = self.has(capability::IDS_64_BITS);
        packet::append(&mut self.output, kind, id, body, wide);
    }

    fn handle(
        &mut self,
        device: &mut dyn UsbDevice,
        packet: &Packet,
        trace: &mut Trace,
    ) -> Result<(), ProtocolError> {
        if (packet.kind == kind::HELLO) != self.capabilities.is_none() {
            return Err(ProtocolError::Unexpected(packet.kind));
        }
        let body = &packet.body;
        let first = body.first().copied().unwrap_or(0);
        match packet.kind {
            kind::HELLO => {
                let theirs = u32::from_le_bytes(field(body, 64));
                self.capabilities = Some(theirs & capability::OURS);
                self.announce(device);
            }
            kind::RESET => {
                self.pending.clear();
                self.alternates.clear();
                device.reset();
                trace.note(Event::Reset);
            }
            kind::SET_CONFIGURATION => self.set_configuration(device, packet.id, first, trace),
            kind::GET_CONFIGURATION => {
                let value = device.control([0x80, 0x08, 0, 0, 0, 0, 1, 0], &[]);
                let status = status_of(value.is_ok());
                let value = value.ok().and_then(|data| data.first().copied()).unwrap_or(0);
                self.send(kind::CONFIGURATION_STATUS, packet.id, &[status, value]);
            }
            kind::SET_ALT_SETTING => {
                let setting = body.get(1).copied().unwrap_or(0);
                self.set_alternate(device, packet.id, (first, setting), trace);
            }
            kind::GET_ALT_SETTING => {
                let setting = self.alternates.get(&first).copied().unwrap_or(0);
                self.send(kind::ALT_SETTING_STATUS, packet.id, &[0, first, setting]);
            }
            kind::START_INTERRUPT_RECEIVING | kind::STOP_INTERRUPT_RECEIVING => {
                self.send(kind::INTERRUPT_RECEIVING_STATUS, packet.id, &[0, first]);
            }
            kind::CANCEL_DATA_PACKET => self.cancel(packet.id, trace),
            kind::CONTROL_PACKET => self.control(device, packet, trace),
            kind::BULK_PACKET => self.start_bulk(packet)?,
            kind::INTERRUPT_PACKET => {
                let status = TransferStatus::Stall.code();
                self.send(kind::INTERRUPT_PACKET, packet.id, &[first, status, 0, 0]);
            }
            // Isochronous streams and filters: nothing here has them.
            _ => {}
        }
        Ok(())
    }

    /// Tells the guest what the device is: layout first, then the connection.
    fn announce(&mut self, device: &mut dyn UsbDevice) {
        device.reset();
        let descriptor = device.control([0x80, 0x06, 0, 0x01, 0, 0, 18, 0], &[]);
        let (Ok(descriptor), true) = (descriptor, device.connected()) else { return };
        self.send_layout(device, usize::from(field::<1>(&descriptor, 7)[0]));
        let speed = match device.speed() {
            Speed::Full => 1,
            Speed::High => 2,
        };
        let [class, sub_class, protocol] = field(&descriptor, 4);
        let mut body = vec![speed, class, sub_class, protocol];
        // idVendor and idProduct, then bcdDevice for a guest that wants it.
        body.extend(field::<4>(&descriptor, 8));
        if self.has(capability::CONNECT_DEVICE_VERSION) {
            body.extend(field::<2>(&descriptor, 12));
        }
        self.send(kind::DEVICE_CONNECT, 0, &body);
        self.announced = true;
    }

    fn send_layout(&mut self, device: &mut dyn UsbDevice, control_bytes: usize) {
        let mut get = |length: [u8; 2]| {
            let [low, high] = length;
            device.control([0x80, 0x06, 0, 0x02, 0, 0, low, high], &[]).unwrap_or_default()
        };
        let head = get([9, 0]);
        let whole = get(field(&head, 2));
        let alternates = self.alternates.clone();
        let layout = Layout::parse(&whole, |number| alternates.get(&number).copied().unwrap_or(0));
        self.packet_bytes =
            layout.endpoints.iter().map(|e| (e.address, e.packet_bytes.into())).collect();
        let control_bytes = u16::try_from(control_bytes).unwrap_or(64);
        let with_sizes = self.has(capability::EP_INFO_MAX_PACKET_SIZE);
        self.send(kind::INTERFACE_INFO, 0, &layout.interface_info());
        self.send(kind::EP_INFO, 0, &layout.ep_info(with_sizes, control_bytes));
    }

    fn set_configuration(
        &mut self,
        device: &mut dyn UsbDevice,
        id: u64,
        value: u8,
        trace: &mut Trace,
    ) {
        self.pending.clear();
        self.alternates.clear();
        let answer = device.control([0x00, 0x09, value, 0, 0, 0, 0, 0], &[]);
        trace.note(Event::Configuration(value));
        if answer.is_ok() {
            self.send_layout(device, 64);
        }
        self.send(kind::CONFIGURATION_STATUS, id, &[status_of(answer.is_ok()), value]);
    }

    fn set_alternate(
        &mut self,
        device: &mut dyn UsbDevice,
        id: u64,
        (interface, setting): (u8, u8),
        trace: &mut Trace,
    ) {
        let answer = device.control([0x01, 0x0B, setting, 0, interface, 0, 0, 0], &[]);
        trace.note(Event::AlternateSetting(interface, setting));
        if answer.is_ok() {
            self.alternates.insert(interface, setting);
            self.send_layout(device, 64);
        }
        let now = self.alternates.get(&interface).copied().unwrap_or(0);
        self.send(kind::ALT_SETTING_STATUS, id, &[status_of(answer.is_ok()), interface, now]);
    }

    fn cancel(&mut self, id: u64, trace: &mut Trace) {
        if let Some(at) = self.pending.iter().position(|transfer| transfer.id == id) {
            let transfer = self.pending.remove(at);
            trace.note(Event::Cancelled(transfer.endpoint));
            self.reply(&transfer, TransferStatus::Cancelled, 0, &[]);
        }
    }

    /// Header: endpoint, request, request type, status, value, index, length; the SETUP packet has
    /// request type and request the other way round.
    fn control(&mut self, device: &mut dyn UsbDevice, packet: &Packet, trace: &mut Trace) {
        let [endpoint, request, request_type, _, v0, v1, i0, i1, l0, l1] = field(&packet.body, 0);
        let setup = [request_type, request, v0, v1, i0, i1, l0, l1];
        let data_out = packet.body.get(10..).unwrap_or_default();
        let answer = device.control(setup, data_out);
        trace.note(Event::Control { setup, data_out: data_out.to_vec(), answer: answer.clone() });
        let to_host = request_type & 0x80 != 0;
        let (status, data, length) = match answer {
            Ok(data) if to_host => {
                let length = u16::try_from(data.len()).unwrap_or(u16::MAX).to_le_bytes();
                (TransferStatus::Success, data, length)
            }
            Ok(_) => (TransferStatus::Success, Vec::new(), [l0, l1]),
            Err(_) if device.connected() => (TransferStatus::Stall, Vec::new(), [0, 0]),
            Err(_) => (TransferStatus::IoError, Vec::new(), [0, 0]),
        };
        let [n0, n1] = length;
        let mut body = vec![endpoint, request, request_type, status.code(), v0, v1, i0, i1, n0, n1];
        body.extend(data);
        self.send(kind::CONTROL_PACKET, packet.id, &body);
    }

    /// Header: endpoint, status, length, stream id, upper half of the length if agreed.
    fn start_bulk(&mut self, packet: &Packet) -> Result<(), ProtocolError> {
        if self.pending.len() >= MAX_PENDING {
            return Err(ProtocolError::TooManyTransfers);
        }
        let [endpoint, _, l0, l1, s0, s1, s2, s3] = field(&packet.body, 0);
        let (header, [h0, h1]) = if self.has(capability::BULK_LENGTH_32_BITS) {
            (LONG_BULK_HEADER, field(&packet.body, 8))
        } else {
            (8, [0, 0])
        };
        let length = u32::from_le_bytes([l0, l1, h0, h1]);
        let mut transfer = Transfer {
            id: packet.id,
            endpoint,
            stream: u32::from_le_bytes([s0, s1, s2, s3]),
            wanted: usize::try_from(length).unwrap_or(usize::MAX),
            data: Vec::new(),
            done: 0,
        };
        if transfer.is_in() {
            if transfer.wanted > MAX_TRANSFER_BYTES {
                self.reply(&transfer, TransferStatus::Invalid, 0, &[]);
                return Ok(());
            }
        } else {
            transfer.data = packet.body.get(header..).unwrap_or_default().to_vec();
            transfer.wanted = transfer.data.len();
        }
        self.pending.push(transfer);
        Ok(())
    }

    fn finish(&mut self, transfer: Transfer, status: TransferStatus, trace: &mut Trace) {
        let stalled = status == TransferStatus::Stall;
        if transfer.is_in() {
            if !(stalled && transfer.data.is_empty()) {
                trace.bulk_in(&transfer.data);
            }
            self.reply(&transfer, status, transfer.data.len(), &transfer.data);
        } else {
            let taken = transfer.data.get(..transfer.done).unwrap_or_default();
            if !(stalled && taken.is_empty()) {
                trace.bulk_out(taken);
            }
            self.reply(&transfer, status, transfer.done, &[]);
        }
        if stalled {
            trace.note(Event::Stalled(transfer.endpoint));
        }
    }

    fn reply(&mut self, transfer: &Transfer, status: TransferStatus, done: usize, data: &[u8]) {
        let [l0, l1, h0, h1] = u32::try_from(done).unwrap_or(u32::MAX).to_le_bytes();
        let mut body = vec![transfer.endpoint, status.code(), l0, l1];
        body.extend(transfer.stream.to_le_bytes());
        if self.has(capability::BULK_LENGTH_32_BITS) {
            body.extend([h0, h1]);
        }
        body.extend(data);
        self.send(kind::BULK_PACKET, transfer.id, &body);
    }
}

/// 0 for success, STALL otherwise.
fn status_of(success: bool) -> u8 {
    if success { TransferStatus::Success.code() } else { TransferStatus::Stall.code() }
}

/// Moves one transfer on: whether it got further, and its end if it came.
fn advance(
    transfer: &mut Transfer,
    device: &mut dyn UsbDevice,
    packet_bytes: usize,
) -> (bool, Option<TransferStatus>) {
    let endpoint = transfer.endpoint & 0x0F;
    if transfer.is_in() {
        return advance_in(transfer, device, endpoint, packet_bytes);
    }
    let mut moved = false;
    loop {
        let rest = transfer.data.get(transfer.done..).unwrap_or_default();
        match device.bulk_out(endpoint, rest) {
            OutResult::Stall => return (true, Some(TransferStatus::Stall)),
            OutResult::Nak => return (moved, None),
            OutResult::Ack(taken) => {
                transfer.done = transfer.done.saturating_add(taken).min(transfer.data.len());
                if transfer.done >= transfer.data.len() {
                    return (true, Some(TransferStatus::Success));
                }
                if taken == 0 {
                    return (moved, None);
                }
                moved = true;
            }
        }
    }
}

fn advance_in(
    transfer: &mut Transfer,
    device: &mut dyn UsbDevice,
    endpoint: u8,
    packet_bytes: usize,
) -> (bool, Option<TransferStatus>) {
    let mut moved = false;
    loop {
        let room = transfer.wanted.saturating_sub(transfer.data.len());
        match device.bulk_in(endpoint, room) {
            InResult::Stall => return (true, Some(TransferStatus::Stall)),
            InResult::Nak => return (moved, None),
            InResult::Data(data) => {
                moved = true;
                let short = data.len().checked_rem(packet_bytes) != Some(0) || data.is_empty();
                transfer.data.extend(data.iter().take(room));
                if data.len() > room {
                    return (true, Some(TransferStatus::Babble));
                }
                if short || transfer.data.len() >= transfer.wanted {
                    return (true, Some(TransferStatus::Success));
                }
            }
        }
    }
}
