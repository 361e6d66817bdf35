//! The model drive as a bulk-only mass storage device, with faults of the transport.
//!
//! Facts: USB Mass Storage Class, Bulk-Only Transport 1.0 (CBW, CSW, thirteen cases, reset recovery);
//! USB 2.0 chapter 9.
//!
//! The device obeys what it is sent: a command whose direction does not fit is executed all the same
//! with the data there is, and answered with a phase error where the transport demands one.

use std::mem::take;

use super::descriptors::{self, ENDPOINT_IN, ENDPOINT_OUT};
use super::options::{FaultKind, ShortEnd, Trigger, UsbFault, UsbOptions};
use super::{InResult, OutResult, Speed, Stall, UsbDevice};
use crate::drive::{Direction, ModelDrive, Request, Status};

/// Bytes of a command block wrapper.
const CBW_BYTES: usize = 31;
/// Data to the drive that is kept; a longer transfer is taken and its rest dropped.
const MAX_DATA_OUT: usize = 64 << 20;
/// Bytes kept of each logged transfer.
const LOG_HEAD_BYTES: usize = 4096;

/// One bulk-OUT transfer that the device took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BulkOutTransfer {
    /// Endpoint number.
    pub endpoint: u8,
    /// Bytes taken.
    pub length: usize,
    /// The first of them, at most 4096.
    pub head: Vec<u8>,
}

impl BulkOutTransfer {
    /// 31 bytes with the signature of a command block wrapper.
    pub fn is_cbw(&self) -> bool {
        self.length == CBW_BYTES && self.head.starts_with(b"USBC")
    }
}

/// One control request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlRequest {
    /// SETUP packet.
    pub setup: [u8; 8],
    /// Data stage towards the device.
    pub data_out: Vec<u8>,
    /// The device refused it.
    pub stalled: bool,
}

/// A command block wrapper that was accepted.
#[derive(Clone, Debug)]
struct Cbw {
    tag: [u8; 4],
    length: u32,
    to_host: bool,
    lun: u8,
    cdb: Vec<u8>,
    fault: Option<FaultKind>,
}

impl Cbw {
    /// Valid and meaningful (6.2.1, 6.2.2), for a device with so many units.
    fn parse(bytes: &[u8], units: usize) -> Option<Self> {
        let bytes: &[u8; CBW_BYTES] = bytes.try_into().ok()?;
        let [b'U', b'S', b'B', b'C', t0, t1, t2, t3, l0, l1, l2, l3, flags, lun, length, cdb @ ..] =
            bytes
        else {
            return None;
        };
        let known = usize::from(*lun) < units;
        if flags & 0x7F != 0 || !known || !(1..=16).contains(length) {
            return None;
        }
        Some(Self {
            tag: [*t0, *t1, *t2, *t3],
            length: u32::from_le_bytes([*l0, *l1, *l2, *l3]),
            to_host: flags & 0x80 != 0,
            lun: *lun,
            cdb: cdb.get(..usize::from(*length))?.to_vec(),
            fault: None,
        })
    }

    fn length(&self) -> usize {
        usize::try_from(self.length).unwrap_or(usize::MAX)
    }

    fn direction(&self) -> Direction {
        match (self.length, self.to_host) {
            (0, _) => Direction::None,
            (_, true) => Direction::In,
            (_, false) => Direction::Out,
        }
    }

    fn csw(&self, residue: u32, status: u8) -> Csw {
        let mut bytes = b"USBS".to_vec();
        bytes.extend(self.tag);
        bytes.extend(residue.to_le_bytes());
        bytes.push(status);
        self.spoil(&mut bytes);
        Csw { bytes, stall_first: self.fault == Some(FaultKind::StallCsw) }
    }

    fn spoil(&self, csw: &mut Vec<u8>) {
        let mut flip = |at: usize| {
            if let Some(byte) = csw.get_mut(at) {
                *byte = !*byte;
            }
        };
        match self.fault {
            Some(FaultKind::WrongTag) => flip(4),
            Some(FaultKind::WrongSignature) => flip(0),
            _ => {}
        }
        match self.fault {
            Some(FaultKind::ResidueTooLarge) => {
                let residue = self.length.saturating_add(1).to_le_bytes();
                csw.splice(8..12, residue);
            }
            Some(FaultKind::PhaseError) => {
                csw.splice(12..13, [2]);
            }
            Some(FaultKind::ReservedStatus(status)) => {
                csw.splice(12..13, [status]);
            }
            Some(FaultKind::ShortCsw) => csw.truncate(12),
            _ => {}
        }
    }
}

/// The status that is due.
#[derive(Clone, Debug)]
struct Csw {
    bytes: Vec<u8>,
    stall_first: bool,
}

#[derive(Clone, Debug)]
enum Phase {
    Idle,
    /// Data from the host.
    Out {
        cbw: Cbw,
        data: Vec<u8>,
        taken: usize,
    },
    /// Data to the host.
    In {
        data: Vec<u8>,
        sent: usize,
        wanted: usize,
        end: ShortEnd,
        csw: Csw,
    },
    Csw(Csw),
    /// Silent until a reset.
    Hung,
}

/// A model drive, or several units of one, on the bus.
#[derive(Clone, Debug)]
pub struct ModelUsbDrive {
    drives: Vec<ModelDrive>,
    options: UsbOptions,
    phase: Phase,
    configuration: u8,
    alternate: u8,
    halted_in: bool,
    halted_out: bool,
    /// An invalid CBW was seen: both endpoints stay halted until Reset Recovery (6.6.1).
    needs_reset: bool,
    connected: bool,
    commands: u64,
    bulk_out: Vec<BulkOutTransfer>,
    control: Vec<ControlRequest>,
}

impl ModelUsbDrive {
    /// A device with one unit.
    pub fn new(drive: ModelDrive, options: UsbOptions) -> Self {
        Self::with_units(vec![drive], options)
    }

    /// A device with several units, unit 0 first; those past the sixteenth are unreachable.
    pub fn with_units(drives: Vec<ModelDrive>, options: UsbOptions) -> Self {
        Self {
            drives,
            options,
            phase: Phase::Idle,
            configuration: 0,
            alternate: 0,
            halted_in: false,
            halted_out: false,
            needs_reset: false,
            connected: true,
            commands: 0,
            bulk_out: Vec::new(),
            control: Vec::new(),
        }
    }

    /// Unit `lun`.
    pub fn drive(&self, lun: u8) -> Option<&ModelDrive> {
        self.drives.get(usize::from(lun))
    }

    /// Unit `lun`, to change it.
    pub fn drive_mut(&mut self, lun: u8) -> Option<&mut ModelDrive> {
        self.drives.get_mut(usize::from(lun))
    }

    /// How the device presents itself, faults included, to be changed while it runs.
    pub fn options_mut(&mut self) -> &mut UsbOptions {
        &mut self.options
    }

    /// Every bulk-OUT transfer that was taken, in order.
    pub fn bulk_out_log(&self) -> &[BulkOutTransfer] {
        &self.bulk_out
    }

    /// Every control request, in order.
    pub fn control_log(&self) -> &[ControlRequest] {
        &self.control
    }

    /// Every bulk-OUT transfer was a command block wrapper: nothing else was ever sent to the drive.
    pub fn only_cbws(&self) -> bool {
        self.bulk_out.iter().all(BulkOutTransfer::is_cbw)
    }

    /// Commands accepted over the life of the device.
    pub fn commands(&self) -> u64 {
        self.commands
    }

    /// Alternate setting of interface 0; 1 is UAS.
    pub fn alternate_setting(&self) -> u8 {
        self.alternate
    }

    /// Value of the last SET_CONFIGURATION.
    pub fn configuration_value(&self) -> u8 {
        self.configuration
    }

    /// Plugs the device in again after it left the bus; the drive was without power.
    pub fn reconnect(&mut self) {
        for drive in &mut self.drives {
            drive.power_cycle();
        }
        self.connected = true;
        self.enter_default_state();
    }

    /// Pulls the device off the bus.
    pub fn disconnect(&mut self) {
        self.connected = false;
    }

    fn enter_default_state(&mut self) {
        self.phase = Phase::Idle;
        self.configuration = 0;
        self.alternate = 0;
        self.halted_in = false;
        self.halted_out = false;
        self.needs_reset = false;
    }

    fn fault_for(&self, opcode: u8) -> Option<FaultKind> {
        let due = |fault: &&UsbFault| match fault.trigger {
            Trigger::Command(number) => number == self.commands,
            Trigger::Opcode(code) => code == opcode,
        };
        self.options.faults.iter().find(due).map(|fault| fault.kind)
    }

    fn take_cbw(&mut self, bytes: &[u8]) -> OutResult {
        let Some(mut cbw) = Cbw::parse(bytes, self.drives.len()) else {
            self.needs_reset = true;
            self.halted_in = true;
            self.halted_out = true;
            return OutResult::Stall;
        };
        cbw.fault = self.fault_for(cbw.cdb.first().copied().unwrap_or(0));
        self.commands = self.commands.saturating_add(1);
        match cbw.fault {
            Some(FaultKind::Disconnect) => self.connected = false,
            Some(FaultKind::Hang) => self.phase = Phase::Hung,
            _ if cbw.direction() == Direction::Out => {
                self.phase = Phase::Out { cbw, data: Vec::new(), taken: 0 };
            }
            _ => self.phase = self.run(&cbw, &[]),
        }
        OutResult::Ack(CBW_BYTES)
    }

    /// Executes the command and prepares what the host is to be sent.
    fn run(&mut self, cbw: &Cbw, data_out: &[u8]) -> Phase {
        let direction = cbw.direction();
        let request = Request { cdb: &cbw.cdb, direction, data_out };
        let units = self.drives.len();
        let Some(drive) = self.drives.get_mut(usize::from(cbw.lun)) else { return Phase::Hung };
        let reply = drive.execute(&request);
        let mut data = reply.data_in;
        if cbw.cdb.first() == Some(&0xA0) && units > 1 {
            data = report_luns(units, &cbw.cdb);
        }
        let failed = reply.status == Status::CheckCondition;
        let wanted = if direction == Direction::In { cbw.length() } else { 0 };
        let mismatch = data.len() > wanted;
        data.truncate(wanted);
        let sent = u32::try_from(data.len()).unwrap_or(u32::MAX);
        let mut residue = match direction {
            Direction::Out if failed => cbw.length,
            Direction::Out => 0,
            Direction::None | Direction::In => cbw.length.saturating_sub(sent),
        };
        if let Some(FaultKind::ShortData(missing)) = cbw.fault {
            data.truncate(data.len().saturating_sub(missing));
            residue = 0;
        }
        let mut end = self.options.short_end;
        if cbw.fault == Some(FaultKind::StallData) {
            data.clear();
            end = ShortEnd::Stall;
        }
        let status = if mismatch { 2 } else { u8::from(failed) };
        let csw = cbw.csw(residue, status);
        if wanted == 0 { Phase::Csw(csw) } else { Phase::In { data, sent: 0, wanted, end, csw } }
    }

    fn take_data(&mut self, bytes: &[u8]) -> OutResult {
        let Phase::Out { cbw, data, taken } = &mut self.phase else { return OutResult::Stall };
        if cbw.fault == Some(FaultKind::StallOut) {
            self.halted_out = true;
            let csw = cbw.csw(cbw.length, 1);
            self.phase = Phase::Csw(csw);
            return OutResult::Stall;
        }
        let part = bytes.len().min(cbw.length().saturating_sub(*taken));
        *taken = taken.saturating_add(part);
        let room = MAX_DATA_OUT.saturating_sub(data.len());
        data.extend(bytes.iter().take(part.min(room)));
        if *taken >= cbw.length() {
            let (cbw, data) = (cbw.clone(), take(data));
            self.phase = self.run(&cbw, &data);
        }
        OutResult::Ack(part)
    }

    /// Next part of the data-IN phase, or its end.
    fn give_data(&mut self, max: usize) -> InResult {
        let packet = self.options.speed.bulk_packet_bytes();
        let Phase::In { data, sent, wanted, end, csw } = &mut self.phase else {
            return InResult::Nak;
        };
        let end = *end;
        let rest = data.get(*sent..).unwrap_or_default();
        let part: Vec<u8> = rest.iter().take(max).copied().collect();
        *sent = sent.saturating_add(part.len());
        let over = *sent >= data.len();
        let csw = csw.clone();
        if over && *sent == *wanted {
            self.phase = Phase::Csw(csw);
            return InResult::Data(part);
        }
        // A part that fills `max` leaves the end of short data for the next call.
        let ended = over && (part.len() < max || part.is_empty());
        if !ended {
            return InResult::Data(part);
        }
        let whole_packets = part.len().checked_rem(packet) == Some(0);
        // Whole packets do not end the transfer: the host asks on.
        if part.is_empty() || !whole_packets {
            self.phase = Phase::Csw(csw);
            self.halted_in = end == ShortEnd::Stall;
        }
        if part.is_empty() && end == ShortEnd::Stall {
            return InResult::Stall;
        }
        InResult::Data(part)
    }

    fn give_csw(&mut self) -> InResult {
        let Phase::Csw(csw) = &mut self.phase else { return InResult::Nak };
        if take(&mut csw.stall_first) {
            self.halted_in = true;
            return InResult::Stall;
        }
        let csw = take(&mut csw.bytes);
        self.phase = Phase::Idle;
        InResult::Data(csw)
    }

    fn answer(&mut self, setup: [u8; 8]) -> Result<Vec<u8>, Stall> {
        let [kind, request, value_low, value_high, index, ..] = setup;
        match (kind, request) {
            (0x80, 0x06) => self.descriptor(value_high, value_low),
            (0x80, 0x08) => Ok(vec![self.configuration]),
            (0x00, 0x09) if value_low <= 1 => {
                self.enter_default_state();
                self.configuration = value_low;
                Ok(Vec::new())
            }
            (0x00, 0x05) => Ok(Vec::new()),
            (0x81, 0x0A) if index == 0 => Ok(vec![self.alternate]),
            (0x01, 0x0B)
                if index == 0 && (value_low == 0 || (value_low == 1 && self.options.uas)) =>
            {
                self.alternate = value_low;
                self.phase = Phase::Idle;
                (self.halted_in, self.halted_out) = (false, false);
                Ok(Vec::new())
            }
            (0x80..=0x82, 0x00) => Ok(vec![self.status(kind, index), 0]),
            (0x02, 0x01) if value_low == 0 => Ok(self.clear_halt(index)),
            (0x02, 0x03) if value_low == 0 => Ok(self.set_halt(index)),
            (0xA1, 0xFE) if self.storage() && !self.options.max_lun_stalls => {
                Ok(vec![u8::try_from(self.drives.len().saturating_sub(1)).unwrap_or(15).min(15)])
            }
            (0x21, 0xFF) if self.storage() => {
                self.phase = Phase::Idle;
                self.needs_reset = false;
                Ok(Vec::new())
            }
            _ => Err(Stall),
        }
    }

    fn storage(&self) -> bool {
        !self.options.hub
    }

    fn descriptor(&self, kind: u8, index: u8) -> Result<Vec<u8>, Stall> {
        let options = &self.options;
        let given = options.descriptors.iter().find(|(which, _)| *which == (kind, index));
        if let Some((_, bytes)) = given {
            return Ok(bytes.clone());
        }
        match kind {
            0x01 => Ok(descriptors::device(options)),
            0x02 if index == 0 => Ok(descriptors::configuration(options)),
            0x03 => descriptors::string(options, self.drives.first(), index).ok_or(Stall),
            0x06 => descriptors::qualifier(options).ok_or(Stall),
            _ => Err(Stall),
        }
    }

    fn status(&self, kind: u8, index: u8) -> u8 {
        let halted = match index {
            _ if kind != 0x82 => false,
            index if index == 0x80 | ENDPOINT_IN => self.halted_in,
            ENDPOINT_OUT => self.halted_out,
            _ => false,
        };
        // Device status bit 0: self powered.
        u8::from(halted || kind == 0x80)
    }

    /// CLEAR_FEATURE(ENDPOINT_HALT): without effect while Reset Recovery is due.
    fn clear_halt(&mut self, index: u8) -> Vec<u8> {
        if !self.needs_reset {
            match index {
                index if index == 0x80 | ENDPOINT_IN => self.halted_in = false,
                ENDPOINT_OUT => self.halted_out = false,
                _ => {}
            }
        }
        Vec::new()
    }

    fn set_halt(&mut self, index: u8) -> Vec<u8> {
        match index {
            index if index == 0x80 | ENDPOINT_IN => self.halted_in = true,
            ENDPOINT_OUT => self.halted_out = true,
            _ => {}
        }
        Vec::new()
    }

    fn bulk_only(&self) -> bool {
        self.storage() && self.alternate == 0
    }
}

/// REPORT LUNS of a device with several units (SPC-5 6.35), cut to the allocation length.
fn report_luns(units: usize, cdb: &[u8]) -> Vec<u8> {
    let mut data = Vec::new();
    let bytes = u32::try_from(units.saturating_mul(8)).unwrap_or(0);
    data.extend(bytes.to_be_bytes());
    data.extend([0; 4]);
    for lun in (0u8..=15).take(units) {
        data.extend([0, lun, 0, 0, 0, 0, 0, 0]);
    }
    let allocation = cdb.get(6..10).and_then(|field| field.try_into().ok()).map(u32::from_be_bytes);
    data.truncate(usize::try_from(allocation.unwrap_or(0)).unwrap_or(usize::MAX));
    data
}

impl UsbDevice for ModelUsbDrive {
    fn control(&mut self, setup: [u8; 8], data_out: &[u8]) -> Result<Vec<u8>, Stall> {
        if !self.connected {
            return Err(Stall);
        }
        let [.., length_low, length_high] = setup;
        let answer = self.answer(setup).map(|mut data| {
            data.truncate(u16::from_le_bytes([length_low, length_high]).into());
            data
        });
        self.control.push(ControlRequest {
            setup,
            data_out: data_out.to_vec(),
            stalled: answer.is_err(),
        });
        answer
    }

    fn bulk_out(&mut self, endpoint: u8, data: &[u8]) -> OutResult {
        if !self.connected || matches!(self.phase, Phase::Hung) {
            return OutResult::Nak;
        }
        if endpoint != ENDPOINT_OUT || !self.bulk_only() || self.halted_out {
            return OutResult::Stall;
        }
        let result = match self.phase {
            Phase::Idle => self.take_cbw(data),
            Phase::Out { .. } => self.take_data(data),
            Phase::In { .. } | Phase::Csw(_) | Phase::Hung => OutResult::Nak,
        };
        let length = match result {
            OutResult::Ack(length) => length,
            // Refused bytes were on the bus all the same.
            OutResult::Stall => data.len(),
            OutResult::Nak => return result,
        };
        let head = data.iter().take(length.min(LOG_HEAD_BYTES)).copied().collect();
        self.bulk_out.push(BulkOutTransfer { endpoint, length, head });
        result
    }

    fn bulk_in(&mut self, endpoint: u8, max: usize) -> InResult {
        if !self.connected || matches!(self.phase, Phase::Hung) {
            return InResult::Nak;
        }
        if endpoint != ENDPOINT_IN || !self.bulk_only() || self.halted_in {
            return InResult::Stall;
        }
        match self.phase {
            Phase::In { .. } => self.give_data(max),
            Phase::Csw(_) => self.give_csw(),
            Phase::Idle | Phase::Out { .. } | Phase::Hung => InResult::Nak,
        }
    }

    fn reset(&mut self) {
        self.enter_default_state();
    }

    fn speed(&self) -> Speed {
        self.options.speed
    }

    fn connected(&self) -> bool {
        self.connected
    }
}
