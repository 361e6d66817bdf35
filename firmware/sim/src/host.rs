//! A host that speaks bulk-only transport by the book, command by command, and keeps to the rules about stalls and recovery.
//!
//! Facts: USB Mass Storage Class, Bulk-Only Transport, revision 1.0, sections 5.3, 6.3 to 6.7.

use crate::usb::{InResult, OutResult, UsbDevice};

/// Endpoint numbers of the bridge's interface 0.
const BULK_IN: u8 = 1;
const BULK_OUT: u8 = 1;
/// How often a transfer that is not ready is tried again.
const PATIENCE: usize = 20_000;

/// What a command brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Data of a data-in phase.
    pub data: Vec<u8>,
    /// Bytes of a data-out phase that the device took.
    pub taken: usize,
    /// Status: 0 passed, 1 failed, 2 phase error.
    pub status: u8,
    /// Residue of the status wrapper.
    pub residue: u32,
    /// Whether the data phase ended in a stall.
    pub stalled: bool,
}

/// What went wrong in transport itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The command wrapper was not taken.
    CommandRefused,
    /// The device did not go on.
    Silent(&'static str),
    /// The status wrapper is not valid.
    BadStatus(Vec<u8>),
}

/// Data phase that the host announces.
#[derive(Clone, Copy, Debug)]
pub enum Phase<'a> {
    /// None.
    None,
    /// So many bytes to the host.
    In(u32),
    /// These bytes to the device.
    Out(&'a [u8]),
    /// So many zero bytes to the device.
    Zeros(u32),
}

/// The host.
#[derive(Debug)]
pub struct Host<U> {
    device: U,
    tag: u32,
}

impl<U: UsbDevice> Host<U> {
    /// A host that has not talked to the device yet.
    pub fn new(device: U) -> Self {
        Self { device, tag: 0x1000 }
    }

    /// The device.
    pub fn device(&self) -> &U {
        &self.device
    }

    /// The device.
    pub fn device_mut(&mut self) -> &mut U {
        &mut self.device
    }

    /// Resets the bus and configures the device; `false` if it does not answer.
    pub fn enumerate(&mut self) -> bool {
        self.device.reset();
        let descriptor = self.device.control([0x80, 6, 0, 1, 0, 0, 18, 0], &[]);
        let addressed = self.device.control([0x00, 5, 1, 0, 0, 0, 0, 0], &[]);
        let configured = self.device.control([0x00, 9, 1, 0, 0, 0, 0, 0], &[]);
        descriptor.is_ok_and(|bytes| bytes.len() == 18) && addressed.is_ok() && configured.is_ok()
    }

    /// Sends a command wrapper made by hand.
    pub fn raw(&mut self, bytes: &[u8]) -> OutResult {
        self.out(bytes)
    }

    fn out(&mut self, bytes: &[u8]) -> OutResult {
        for _ in 0..PATIENCE {
            match self.device.bulk_out(BULK_OUT, bytes) {
                OutResult::Nak => self.device.tick(),
                done => return done,
            }
        }
        OutResult::Nak
    }

    fn input(&mut self, max: usize) -> InResult {
        for _ in 0..PATIENCE {
            match self.device.bulk_in(BULK_IN, max) {
                InResult::Nak => self.device.tick(),
                done => return done,
            }
        }
        InResult::Nak
    }

    /// Clears the halt of an endpoint, by its address.
    pub fn clear_halt(&mut self, endpoint: u8) {
        // A device that refuses this shows in the transfer that follows.
        let _ = self.device.control([0x02, 1, 0, 0, endpoint, 0, 0, 0], &[]);
    }

    /// Reset recovery: Bulk-Only Mass Storage Reset, then both halts cleared (5.3.4).
    pub fn recover(&mut self) -> bool {
        let done = self.device.control([0x21, 0xFF, 0, 0, 0, 0, 0, 0], &[]).is_ok();
        self.clear_halt(0x80 | BULK_IN);
        self.clear_halt(BULK_OUT);
        done
    }

    /// A command with its data phase and status.
    ///
    /// # Errors
    ///
    /// [`Broken`] when the device does not keep to the transport.
    pub fn command(&mut self, cdb: &[u8], phase: Phase<'_>) -> Result<Outcome, Broken> {
        self.tag = self.tag.wrapping_add(1);
        let (length, flags) = match phase {
            Phase::None => (0, 0x00),
            Phase::In(length) => (length, 0x80),
            Phase::Out(data) => (u32::try_from(data.len()).unwrap_or(u32::MAX), 0x00),
            Phase::Zeros(length) => (length, 0x00),
        };
        let wrapper = wrapper(self.tag, length, flags, cdb);
        if self.out(&wrapper) != OutResult::Ack(wrapper.len()) {
            return Err(Broken::CommandRefused);
        }
        let mut outcome =
            Outcome { data: Vec::new(), taken: 0, status: 0, residue: 0, stalled: false };
        match phase {
            Phase::None => {}
            Phase::In(length) => self.data_in(length, &mut outcome)?,
            Phase::Out(data) => self.data_out(data, &mut outcome)?,
            Phase::Zeros(mut left) => {
                let zeros = vec![0; 1 << 20];
                while left > 0 && !outcome.stalled {
                    let piece = usize::try_from(left).unwrap_or(0).min(zeros.len());
                    self.data_out(zeros.get(..piece).unwrap_or_default(), &mut outcome)?;
                    left = left.saturating_sub(u32::try_from(piece).unwrap_or(u32::MAX));
                }
            }
        }
        let (residue, status) = self.status()?;
        Ok(Outcome { residue, status, ..outcome })
    }

    fn data_in(&mut self, length: u32, outcome: &mut Outcome) -> Result<(), Broken> {
        let packet = self.device.speed().bulk_packet_bytes();
        let wanted = usize::try_from(length).unwrap_or(usize::MAX);
        while outcome.data.len() < wanted {
            match self.input(wanted.saturating_sub(outcome.data.len())) {
                InResult::Data(bytes) => {
                    let is_short = bytes.is_empty() || bytes.len().checked_rem(packet) != Some(0);
                    outcome.data.extend(bytes);
                    if is_short {
                        break;
                    }
                }
                InResult::Stall => {
                    outcome.stalled = true;
                    self.clear_halt(0x80 | BULK_IN);
                    break;
                }
                InResult::Nak => return Err(Broken::Silent("data in")),
            }
        }
        Ok(())
    }

    fn data_out(&mut self, data: &[u8], outcome: &mut Outcome) -> Result<(), Broken> {
        let mut sent = 0_usize;
        while sent < data.len() {
            match self.out(data.get(sent..).unwrap_or_default()) {
                OutResult::Ack(taken) => {
                    sent = sent.saturating_add(taken);
                    outcome.taken = outcome.taken.saturating_add(taken);
                }
                OutResult::Stall => {
                    outcome.stalled = true;
                    self.clear_halt(BULK_OUT);
                    break;
                }
                OutResult::Nak => return Err(Broken::Silent("data out")),
            }
        }
        Ok(())
    }

    /// Status: a stall is cleared once and asked again (6.7.2).
    fn status(&mut self) -> Result<(u32, u8), Broken> {
        let mut answer = self.input(13);
        if answer == InResult::Stall {
            self.clear_halt(0x80 | BULK_IN);
            answer = self.input(13);
        }
        match answer {
            InResult::Data(bytes) => parse_status(&bytes, self.tag).ok_or(Broken::BadStatus(bytes)),
            InResult::Stall | InResult::Nak => Err(Broken::Silent("status")),
        }
    }

    /// Sense data of the last failure: key, additional sense code, qualifier, and the whole answer.
    ///
    /// # Errors
    ///
    /// [`Broken`] when the device does not keep to the transport.
    pub fn sense(&mut self) -> Result<([u8; 3], Vec<u8>), Broken> {
        let outcome = self.command(&[0x03, 0, 0, 0, 64, 0], Phase::In(64))?;
        let byte = |index: usize| outcome.data.get(index).copied().unwrap_or(0);
        let code = match byte(0) & 0x7F {
            0x72 | 0x73 => [byte(1) & 0x0F, byte(2), byte(3)],
            _ => [byte(2) & 0x0F, byte(12), byte(13)],
        };
        Ok((code, outcome.data))
    }
}

/// The 31 bytes of a command wrapper.
#[must_use]
pub fn wrapper(tag: u32, length: u32, flags: u8, cdb: &[u8]) -> Vec<u8> {
    let mut bytes = b"USBC".to_vec();
    bytes.extend(tag.to_le_bytes());
    bytes.extend(length.to_le_bytes());
    bytes.extend([flags, 0, u8::try_from(cdb.len()).unwrap_or(0xFF)]);
    bytes.extend(cdb);
    bytes.resize(31, 0);
    bytes
}

fn parse_status(bytes: &[u8], tag: u32) -> Option<(u32, u8)> {
    let bytes: &[u8; 13] = bytes.try_into().ok()?;
    let [s0, s1, s2, s3, t0, t1, t2, t3, r0, r1, r2, r3, status] = *bytes;
    let is_ours =
        [s0, s1, s2, s3] == *b"USBS" && u32::from_le_bytes([t0, t1, t2, t3]) == tag && status <= 2;
    is_ours.then(|| (u32::from_le_bytes([r0, r1, r2, r3]), status))
}
