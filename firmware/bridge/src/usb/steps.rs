//! What each step of the attach script asks of the ATA side, and what its answer means.
//!
//! Facts: the published policy, section 3.2 (steps 2 to 4 and 6 to 12), 4.1b and 4.4; SPC-4 (vital product data header); SBC-3 (READ CAPACITY);
//! SAT-3, section 12.2.2.6 (registers); ATA/ATAPI-8 ACS, sections 7.32 (native maximum) and 7.10.3 (device configuration data).

use sha2::{Digest, Sha256};
use wb_attest::statement::StepOutcome;
use wb_policy::{
    capture::{Asked, Bytes, Capture, Identify, IdentifyData, NotRun},
    down::{AtaLog, DownCommand, LogPages},
    geometry::Geometry,
    sense::{AtaRegisters, Code, SENSE_BYTES, Sense, TARGET_FAILURE, TIMED_OUT},
};

use crate::drive::Fault;

use super::script::{Answer, Plan, Script, Stage};

/// Last block address of READ CAPACITY(10) that says "more than fits".
const MORE_THAN_FITS: u32 = u32::MAX;
/// INQUIRY version from which READ CAPACITY(16) is asked as well.
const SPC3: u8 = 0x05;
/// Least of READ CAPACITY(16): address and block length, all that the first standard with this command gave.
const CAPACITY16_LEAST: usize = 12;
const SMALLEST_BLOCK: u32 = 512;

/// Error and device fault bits of the STATUS register.
const FAILED: u8 = 0x21;

/// Conditions of steps 9 to 12.
pub(super) fn plan_ata(script: &Script, stage: Stage, capture: &Capture) -> Plan {
    match stage {
        Stage::Identify16 => match identify_condition(script, capture) {
            None => Plan::Send(DownCommand::AtaIdentify16),
            Some(reason) => Plan::NotRun(reason),
        },
        Stage::Identify12 if script.refused16 && capture.device_type() == 0 => {
            Plan::Send(DownCommand::AtaIdentify12)
        }
        Stage::NativeMax => match announced(capture, capture.announced().hpa) {
            None if capture.announced().lba48 => Plan::Send(DownCommand::ReadNativeMaxExt),
            None => Plan::Send(DownCommand::ReadNativeMax),
            Some(reason) => Plan::NotRun(reason),
        },
        Stage::LogDirectory => {
            let features = capture.announced();
            match announced(capture, features.gpl && features.lba48) {
                None => read_log(0x00),
                Some(reason) => Plan::NotRun(reason),
            }
        }
        Stage::LogIdentify if capture.log_pages(0x30) > 0 => read_log(0x30),
        Stage::Dco => match announced(capture, capture.announced().dco) {
            None if capture.listed_bridge => Plan::Send(DownCommand::DcoIdentify),
            None => Plan::NotRun(NotRun::BridgeNotListed),
            Some(reason) => Plan::NotRun(reason),
        },
        _ => Plan::Absent,
    }
}

/// Step 9: profile `ident`, fixed medium, and a device type with a pass-through.
fn identify_condition(script: &Script, capture: &Capture) -> Option<NotRun> {
    if !script.ident {
        Some(NotRun::Profile)
    } else if capture.is_removable() {
        Some(NotRun::Removable)
    } else if !matches!(capture.device_type(), 0x00 | 0x14) {
        // The command set of the type has no pass-through to announce.
        Some(NotRun::NotAnnounced)
    } else {
        None
    }
}

/// Steps 10 to 12: valid IDENTIFY data that announce the feature.
fn announced(capture: &Capture, feature: bool) -> Option<NotRun> {
    match &capture.identify {
        Identify::NotAsked(reason) => Some(*reason),
        Identify::Failed(_) | Identify::Invalid(_) => Some(NotRun::IdentifyInvalid),
        Identify::Valid(_) if feature => None,
        Identify::Valid(_) => Some(NotRun::NotAnnounced),
    }
}

fn read_log(log: u8) -> Plan {
    match (AtaLog::new(log), LogPages::new(1)) {
        (Some(log), Some(pages)) => Plan::Send(DownCommand::ReadLogExt { log, page: 0, pages }),
        _ => Plan::Absent,
    }
}

/// Notes why a value was not asked for.
pub(super) fn not_run(stage: Stage, reason: NotRun, capture: &mut Capture) {
    match stage {
        Stage::Identify16 => capture.identify = Identify::NotAsked(reason),
        Stage::NativeMax => capture.native_max = Asked::NotAsked(reason),
        Stage::LogDirectory => capture.log_directory = Asked::NotAsked(reason),
        Stage::Dco => capture.dco_max = Asked::NotAsked(reason),
        _ => {}
    }
}

/// Puts an answer into the capture; an outcome where it differs from what the answer alone says.
pub(super) fn take(
    script: &mut Script,
    stage: Stage,
    capture: &mut Capture,
    answer: &Answer<'_>,
    block_limit: u32,
) -> Option<StepOutcome> {
    match stage {
        Stage::Identify16 | Stage::Identify12 => take_identify(script, stage, capture, answer),
        Stage::NativeMax => return Some(take_native_max(capture, answer)),
        Stage::LogDirectory => capture.log_directory = asked(answer, |data| data.try_into().ok()),
        Stage::Dco => capture.dco_max = asked(answer, dco_max),
        Stage::Capacity10 => take_capacity10(script, capture, answer, block_limit),
        Stage::Capacity16 => take_capacity16(capture, answer, block_limit),
        _ => take_information(stage, capture, answer),
    }
    None
}

fn take_information(stage: Stage, capture: &mut Capture, answer: &Answer<'_>) {
    let Answer::Data(data) = answer else { return };
    match stage {
        Stage::FullInquiry => keep_full_inquiry(capture, data),
        Stage::Pages => capture.vpd.supported = vpd(data, 0x00),
        Stage::Page80 => capture.vpd.serial = vpd(data, 0x80),
        Stage::Page83 => capture.vpd.identification = vpd(data, 0x83),
        Stage::PageB0 => capture.vpd.limits = vpd(data, 0xB0),
        Stage::PageB1 => capture.vpd.characteristics = vpd(data, 0xB1),
        Stage::PageB2 => capture.vpd.provisioning = vpd(data, 0xB2),
        Stage::Page89 => capture.vpd.ata = vpd(data, 0x89),
        Stage::Mode => capture.mode = Some(Bytes::new(data)),
        _ => {}
    }
}

pub(super) fn keep_inquiry(capture: &mut Capture, data: &[u8]) {
    capture.inquiry = Bytes::new(data);
}

/// The last unit's answer, so that a report can say what was refused.
pub(super) fn keep_refused_inquiry(capture: &mut Capture, answer: &Answer<'_>) {
    if let Answer::Data(data) = answer {
        keep_inquiry(capture, data);
    }
}

/// The long answer replaces the short one if it begins alike: a drive does not change its type between two questions.
fn keep_full_inquiry(capture: &mut Capture, data: &[u8]) {
    let short = capture.inquiry;
    if data.len() > short.as_slice().len() && data.get(..2) == short.as_slice().get(..2) {
        keep_inquiry(capture, data);
    }
}

/// A vital product data page cut to its own length; `None` if it is not the page that was asked for.
fn vpd<const N: usize>(data: &[u8], page: u8) -> Option<Bytes<N>> {
    let &[_, number, high, low] = data.first_chunk::<4>()?;
    let length = usize::from(u16::from_be_bytes([high, low])).saturating_add(4);
    (number == page).then(|| Bytes::new(data.get(..length).unwrap_or(data)))
}

/// Whether page 00h lists a page.
pub(super) fn lists_page(capture: &Capture, page: u8) -> bool {
    let supported = capture.vpd.supported.unwrap_or_default();
    supported.as_slice().iter().skip(4).any(|listed| *listed == page)
}

fn geometry(blocks: Option<u64>, block_bytes: u32, block_limit: u32) -> Option<Geometry> {
    let fits = (SMALLEST_BLOCK..=block_limit).contains(&block_bytes);
    blocks.filter(|_| fits).map(|blocks| Geometry { blocks, block_bytes })
}

fn u32_at(data: &[u8], index: usize) -> Option<u32> {
    data.get(index..)?.first_chunk::<4>().map(|bytes| u32::from_be_bytes(*bytes))
}

fn take_capacity10(
    script: &mut Script,
    capture: &mut Capture,
    answer: &Answer<'_>,
    block_limit: u32,
) {
    let version = capture.inquiry.as_slice().get(2).copied().unwrap_or(0);
    script.more_blocks = version >= SPC3;
    let Answer::Data(data) = answer else { return };
    let (Some(last), Some(bytes)) = (u32_at(data, 0), u32_at(data, 4)) else { return };
    if last == MORE_THAN_FITS {
        script.more_blocks = true;
    } else {
        capture.geometry = geometry(u64::from(last).checked_add(1), bytes, block_limit);
    }
}

fn take_capacity16(capture: &mut Capture, answer: &Answer<'_>, block_limit: u32) {
    let Answer::Data(data) = answer else { return };
    let (Some(last), Some(bytes)) =
        (data.first_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes)), u32_at(data, 8))
    else {
        return;
    };
    if data.len() < CAPACITY16_LEAST {
        return;
    }
    let mut whole = [0; 32];
    for (own, byte) in whole.iter_mut().zip(*data) {
        *own = *byte;
    }
    capture.capacity16 = Some(whole);
    if let Some(geometry) = geometry(last.checked_add(1), bytes, block_limit) {
        capture.geometry = Some(geometry);
    }
}

fn take_identify(script: &mut Script, stage: Stage, capture: &mut Capture, answer: &Answer<'_>) {
    let code = failure(answer);
    script.refused16 =
        stage == Stage::Identify16 && answer.code().is_some_and(|code| code.key == 0x5);
    capture.identify = match answer {
        Answer::Data(data) => match <[u8; 512]>::try_from(*data).map(IdentifyData) {
            Ok(data) if data.is_valid() => Identify::Valid(data),
            Ok(data) => Identify::Invalid(data),
            Err(_) => Identify::Failed(TARGET_FAILURE),
        },
        Answer::Sense(_) | Answer::Fault(_) => Identify::Failed(code),
    };
}

/// What stands for a failed answer where a sense code is due.
fn failure(answer: &Answer<'_>) -> Code {
    match answer {
        Answer::Sense(sense) => sense.code(),
        Answer::Fault(Fault::TimedOut) => TIMED_OUT,
        Answer::Fault(_) | Answer::Data(_) => TARGET_FAILURE,
    }
}

fn asked<T>(answer: &Answer<'_>, read: impl Fn(&[u8]) -> Option<T>) -> Asked<T> {
    match answer {
        Answer::Data(data) => read(data).map_or(Asked::Failed(TARGET_FAILURE), Asked::Value),
        Answer::Sense(_) | Answer::Fault(_) => Asked::Failed(failure(answer)),
    }
}

/// Step 10: the answer is in the registers, which come as sense data.
fn take_native_max(capture: &mut Capture, answer: &Answer<'_>) -> StepOutcome {
    let extended = capture.announced().lba48;
    if let Answer::Sense(sense) = answer
        && let Some(blocks) = sense.ata_registers().and_then(|found| native_max(&found, extended))
    {
        capture.native_max = Asked::Value(blocks);
        return StepOutcome::Good(digest(sense));
    }
    capture.native_max = Asked::Failed(failure(answer));
    match answer {
        // Good status without registers is no answer.
        Answer::Data(_) => StepOutcome::Failed,
        Answer::Sense(_) | Answer::Fault(_) => answer.outcome(),
    }
}

/// SHA-256 of sense data as they came.
pub(super) fn digest(sense: &Sense) -> [u8; 32] {
    let mut bytes = [0; SENSE_BYTES];
    let length = sense.render(true, &mut bytes);
    Sha256::digest(bytes.get(..length).unwrap_or(&bytes)).into()
}

/// The native maximum plus one. A 48-bit answer without EXTEND has no upper bytes and is none.
fn native_max(registers: &AtaRegisters, extended: bool) -> Option<u64> {
    let last = if extended {
        registers.extend.then_some(registers.lba & 0xFFFF_FFFF_FFFF)?
    } else {
        (u64::from(registers.device & 0x0F) << 24) | (registers.lba & 0xFF_FFFF)
    };
    (registers.status & FAILED == 0).then(|| last.saturating_add(1))
}

/// Words 3 to 6 of the device configuration data, plus one, if their checksum holds.
fn dco_max(data: &[u8]) -> Option<u64> {
    let data = IdentifyData(data.try_into().ok()?);
    let sum = data.0.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    let last = (3..=6).rev().fold(0_u64, |value, word| (value << 16) | u64::from(data.word(word)));
    let valid = data.word(255) & 0xFF == 0xA5 && sum == 0;
    valid.then(|| last.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registers(extend: bool, lba: u64, device: u8, status: u8) -> AtaRegisters {
        AtaRegisters { extend, lba, device, status, ..AtaRegisters::default() }
    }

    /// A maximum is a maximum only from a command that ended without an error, with all its bytes.
    #[test]
    fn native_maximum_of_registers() {
        let last = 0x1234_5678_9ABC;
        assert_eq!(native_max(&registers(true, last, 0x40, 0x50), true), Some(last + 1));
        assert_eq!(native_max(&registers(false, last, 0x40, 0x50), true), None);
        assert_eq!(native_max(&registers(true, last, 0x40, 0x51), true), None);
        assert_eq!(native_max(&registers(true, last, 0x40, 0x70), true), None);
        let short = registers(false, 0xAB_CDEF, 0x4F, 0x50);
        assert_eq!(native_max(&short, false), Some(0xFAB_CDF0));
        assert_eq!(native_max(&registers(false, 1, 0x40, 0x51), false), None);
    }

    /// The overlay's maximum counts only with its signature and checksum.
    #[test]
    fn overlay_maximum_needs_its_checksum() {
        let mut data = [0_u8; 512];
        for (index, value) in [(6, 0x0F), (7, 0x01), (510, 0xA5), (511, 0x4B)] {
            if let Some(byte) = data.get_mut(index) {
                *byte = value;
            }
        }
        assert_eq!(dco_max(&data), Some(0x0110));
        for index in [0, 511] {
            let mut other = data;
            if let Some(byte) = other.get_mut(index) {
                *byte ^= 1;
            }
            assert_eq!(dco_max(&other), None);
        }
        assert_eq!(dco_max(&[0; 512]), None);
        assert_eq!(dco_max(&[0; 511]), None);
    }

    /// A page counts only if it is the one that was asked for, and only as far as it says.
    #[test]
    fn pages_are_cut_to_their_own_length() {
        let answer = [0, 0x80, 0, 3, b'a', b'b', b'c', 0xEE];
        let page = vpd::<64>(&answer, 0x80).expect("page 80h");
        assert_eq!(page.as_slice(), [0, 0x80, 0, 3, b'a', b'b', b'c']);
        assert_eq!(vpd::<64>(&answer, 0x83), None);
        assert_eq!(vpd::<64>(&[0, 0x80, 0], 0x80), None);
    }
}
