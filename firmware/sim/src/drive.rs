//! A model of a USB-attached disk that obeys every write and modifying command, so that a hole in the
//! write blocker in front of it shows.
//!
//! The model is an independent judge: it is written from the standards (SPC-5, SBC-4, ZBC-2, SAT-4,
//! ACS-4, ZAC-2) and the command names of the published policy, sections 2-4, and shares neither code
//! nor tables with the blocker. [`ModelDrive::state_digest`] covers everything a modifying command
//! can change; reading changes nothing of it.
//!
//! A command that the judge calls modifying changes the digest even if it fails or writes what is
//! there already, because the drive counts it. [`ModelDrive::effects_digest`] leaves that count out.
//!
//! Simplifications: commands complete at once, a volatile setting lasts until
//! [`ModelDrive::power_cycle`], a checksum or password in a parameter list is not required to obey it.

mod ata;
mod ata_change;
mod ata_data;
mod bytes;
mod config;
mod judge;
mod medium;
mod names;
mod passthrough;
mod scsi;
mod scsi_change;
mod scsi_info;
mod scsi_write;
mod sense;
mod state;
mod zones;

use std::collections::{BTreeMap, VecDeque};
use std::hash::Hash;
use std::ops::Range;

use sha2::{Digest, Sha256};

pub use config::{
    Announced, BadBlocks, BadKind, DriveConfig, Faults, FeaturesQuirk, Identity, Integrity,
    Readiness, Sat,
};
pub use judge::{AtaFields, Verdict, ata as judge_ata, scsi as judge_scsi};
pub use medium::{Base, Image};
pub use sense::{RegisterFormat, Registers, Sense};
pub use state::Capacity;

use bytes::u8_at;
use passthrough::Task;
use state::{ShaHasher, State};

/// Direction of a command's data, as the transport declares it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// No data.
    None,
    /// From the drive.
    In,
    /// To the drive.
    Out,
}

/// One command, as the transport delivers it.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Command descriptor block; missing bytes read as zero.
    pub cdb: &'a [u8],
    /// Direction of the data.
    pub direction: Direction,
    /// Data to the drive.
    pub data_out: &'a [u8],
}

impl<'a> Request<'a> {
    /// A command without data to the drive.
    pub fn new(cdb: &'a [u8]) -> Self {
        Self { cdb, direction: Direction::In, data_out: &[] }
    }

    /// A command with data to the drive.
    pub fn out(cdb: &'a [u8], data_out: &'a [u8]) -> Self {
        Self { cdb, direction: Direction::Out, data_out }
    }
}

/// Status of a finished command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// GOOD.
    Good,
    /// CHECK CONDITION: REQUEST SENSE says why.
    CheckCondition,
}

/// Answer to a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Data from the drive, already cut to the allocation length of the command.
    pub data_in: Vec<u8>,
    /// Status.
    pub status: Status,
    /// With CHECK CONDITION: what REQUEST SENSE will give.
    pub sense: Option<Sense>,
}

/// One command that reached the drive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// Command descriptor block as received.
    pub cdb: Vec<u8>,
    /// COMMAND and FEATURES of the ATA command that was carried, as the drive got them.
    pub ata: Option<(u8, u16)>,
    /// Direction.
    pub direction: Direction,
    /// Bytes sent to the drive.
    pub data_out_len: usize,
    /// Name by the standards.
    pub name: &'static str,
    /// The model's judgement: it can change the medium or any lasting state.
    pub modifying: bool,
}

/// Why a command ended with CHECK CONDITION, and the data that came before.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    sense: Sense,
    data: Vec<u8>,
}

impl From<Sense> for Failure {
    fn from(sense: Sense) -> Self {
        Self { sense, data: Vec::new() }
    }
}

/// Data towards the host, or the reason for a CHECK CONDITION.
pub(crate) type Outcome = Result<Vec<u8>, Failure>;

/// Nothing to return.
pub(crate) fn done() -> Outcome {
    Ok(Vec::new())
}

/// The model drive: one logical unit.
#[derive(Clone, Debug)]
pub struct ModelDrive {
    config: DriveConfig,
    state: State,
    /// Modifying commands by name: how many arrived.
    obeyed: BTreeMap<&'static str, u64>,
    log: Vec<Logged>,
    commands: u64,
    sense: Option<Sense>,
    attentions: VecDeque<(u8, u8)>,
    readiness: Readiness,
    /// Registers of the last ATA command.
    registers: Registers,
    /// FEATURES of the last pass-through command, for a bridge that does not clear it.
    stale_features: u16,
    /// Upper register halves preset by F8h/23h.
    preset: Task,
    /// COUNT that CHECK POWER MODE gives: FFh active, 00h standby.
    power_mode: u8,
}

impl ModelDrive {
    /// A drive just powered up.
    pub fn new(config: DriveConfig) -> Self {
        let state = State::new(&config);
        Self {
            state,
            obeyed: BTreeMap::new(),
            log: Vec::new(),
            commands: 0,
            sense: None,
            attentions: config.faults.unit_attentions.iter().copied().collect(),
            readiness: config.faults.readiness,
            registers: Registers::good(false),
            stale_features: 0,
            preset: Task::default(),
            power_mode: 0xFF,
            config,
        }
    }

    /// What the drive was made as.
    pub fn config(&self) -> &DriveConfig {
        &self.config
    }

    /// Faults, to be changed while the drive runs.
    pub fn faults_mut(&mut self) -> &mut Faults {
        &mut self.config.faults
    }

    /// Reports 06h with this ASC and ASCQ on the next command that may report it.
    pub fn raise_unit_attention(&mut self, asc: u8, ascq: u8) {
        self.attentions.push_back((asc, ascq));
    }

    /// Exchanges the medium: content, capacity and everything recorded about it are those of
    /// `config`; the log goes on, and 06h/28h/00h is reported.
    pub fn exchange_medium(&mut self, config: DriveConfig) {
        self.state = State::new(&config);
        self.readiness = config.faults.readiness;
        self.config = config;
        self.raise_unit_attention(0x28, 0x00);
    }

    /// Takes the power away and gives it back.
    pub fn power_cycle(&mut self) {
        self.state.power_cycle();
        self.readiness = self.config.faults.readiness;
        self.attentions = self.config.faults.unit_attentions.iter().copied().collect();
        self.sense = None;
        self.registers = Registers::good(false);
        self.power_mode = 0xFF;
    }

    /// Commands executed since power-up or the last [`Self::clear_log`], in order.
    pub fn log(&self) -> &[Logged] {
        &self.log
    }

    /// Forgets the log; the digest is not touched.
    pub fn clear_log(&mut self) {
        self.log.clear();
    }

    /// Modifying commands that arrived, in order.
    pub fn violations(&self) -> impl Iterator<Item = &Logged> {
        self.log.iter().filter(|entry| entry.modifying)
    }

    /// Block counts.
    pub fn capacity(&self) -> Capacity {
        self.state.capacity
    }

    /// Bytes a block.
    pub fn block_bytes(&self) -> u32 {
        self.config.block_bytes
    }

    /// Content of blocks as a fault-free read gives it, without a command. Blocks marked
    /// uncorrectable are zero.
    pub fn peek(&self, lba: u64, blocks: u64) -> Vec<u8> {
        let zero = || vec![0; self.state.medium.block_bytes()];
        (lba..lba.saturating_add(blocks))
            .flat_map(|at| self.state.medium.read(at).unwrap_or_else(|_| zero()))
            .collect()
    }

    /// SHA-256 over everything a modifying command can change, and over the count of such commands.
    pub fn state_digest(&self) -> [u8; 32] {
        let mut hasher = ShaHasher(Sha256::new());
        self.state.hash(&mut hasher);
        self.obeyed.hash(&mut hasher);
        hasher.0.finalize().into()
    }

    /// As [`Self::state_digest`], without the count: only effects.
    pub fn effects_digest(&self) -> [u8; 32] {
        self.state.digest()
    }

    /// SHA-256 of the content of these blocks, hidden areas included.
    pub fn medium_digest(&self, blocks: Range<u64>) -> [u8; 32] {
        self.state.medium.digest(blocks)
    }

    /// Executes one command.
    pub fn execute(&mut self, request: &Request<'_>) -> Reply {
        let task = self.carried(request.cdb);
        self.record(request, task.as_ref());
        self.commands = self.commands.saturating_add(1);
        let opcode = u8_at(request.cdb, 0);
        if opcode != 0x03 {
            self.sense = None;
        }
        let outcome = match self.admit(opcode) {
            Ok(()) => self.dispatch(request, task),
            Err(sense) => Err(sense.into()),
        };
        let outcome = outcome.map(|data| self.invented(request.cdb).unwrap_or(data));
        match outcome {
            Ok(data_in) => Reply { data_in, status: Status::Good, sense: None },
            Err(Failure { sense, data }) => {
                self.sense = Some(sense);
                Reply { data_in: data, status: Status::CheckCondition, sense: Some(sense) }
            }
        }
    }

    /// Logs and judges, before anything is executed.
    fn record(&mut self, request: &Request<'_>, task: Option<&Task>) {
        let of_cdb = judge::scsi(request.cdb, self.config.device_type);
        let verdict = match task.map(|task| judge::ata(task.fields)) {
            Some(carried) if carried.modifying || !of_cdb.modifying => carried,
            _ => of_cdb,
        };
        if verdict.modifying {
            let count = self.obeyed.entry(verdict.name).or_default();
            *count = count.saturating_add(1);
        }
        self.log.push(Logged {
            cdb: request.cdb.to_vec(),
            ata: task.map(|task| (task.fields.command, task.fields.features)),
            direction: request.direction,
            data_out_len: request.data_out.len(),
            name: verdict.name,
            modifying: verdict.modifying,
        });
    }

    /// Unit attention and readiness (SPC-5 5.14, SAM-5 5.14): what may answer before the command.
    fn admit(&mut self, opcode: u8) -> Result<(), Sense> {
        if self.config.faults.refused.contains(&opcode) {
            return Err(Sense::INVALID_OPCODE);
        }
        if matches!(opcode, 0x03 | 0x12 | 0xA0) {
            return Ok(());
        }
        if let Some((asc, ascq)) = self.attentions.pop_front() {
            return Err(Sense::new(0x06, asc, ascq));
        }
        let needs_medium = matches!(
            opcode,
            0x00 | 0x08 | 0x0A | 0x23 | 0x25 | 0x28 | 0x2A | 0x2E | 0x2F | 0x41 | 0x42 | 0x88
                ..=0x8B | 0x8E | 0x8F | 0x93 | 0x9E | 0xA8 | 0xAA | 0xAE | 0xAF
        );
        if !needs_medium {
            return Ok(());
        }
        match self.readiness {
            Readiness::Ready => Ok(()),
            Readiness::NeedsStart => Err(Sense::new(0x02, 0x04, 0x02)),
            Readiness::NoMedium => Err(Sense::new(0x02, 0x3A, 0x00)),
            Readiness::Becoming(left) => {
                if opcode == 0x00 {
                    self.readiness = match left.checked_sub(1) {
                        None | Some(0) => Readiness::Ready,
                        Some(less) => Readiness::Becoming(less),
                    };
                }
                Err(Sense::new(0x02, 0x04, 0x01))
            }
        }
    }

    /// Data that the drive is configured to return to this command.
    fn invented(&self, cdb: &[u8]) -> Option<Vec<u8>> {
        let replies = &self.config.faults.replies;
        replies.iter().find(|(start, _)| cdb.starts_with(start)).map(|(_, data)| data.clone())
    }

    /// Blocks that READ CAPACITY admits to.
    fn reported_blocks(&self) -> u64 {
        let faults = &self.config.faults;
        match faults.capacity_change {
            Some((from, blocks)) if self.commands > from => blocks,
            _ => faults.capacity_lie.unwrap_or(self.state.capacity.visible),
        }
    }
}

#[cfg(test)]
mod tests;
