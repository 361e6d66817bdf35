//! The claims as CBOR. One function for each claim, in the order of [`super::keys`].

use super::cbor::{Cbor, Count, Fill, digest_of};
use super::claims::{
    Answers, Claims, Command, Counter, Counters, Coverage, Device, Edit, Emission, Emitted,
    ErrorExtent, Extent, Firmware, LogState, NotRun, Originated, Refusal, Refusals, Session, Step,
    StepOutcome,
};
use super::cose::{MAX_STATEMENT, Unsigned};
use super::drive::{Asked, Ata, Card, Drive, Medium, Scsi, Usb};
use super::keys;
use super::list::{Bounds, List};
use crate::Digest;

/// Why there is no statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// The buffer is shorter than the statement.
    BufferTooSmall {
        /// Bytes it needs.
        needed: usize,
    },
    /// The statement would have 64 KiB or more: the bounds are too large.
    TooLong,
    /// A text of the bridge's own is longer than [`keys::TEXT_LIMIT`].
    TextTooLong,
    /// A list gave other entries the second time.
    Unstable,
}

/// Bytes of the whole signed statement.
///
/// # Errors
/// [`Error`], except for the buffer.
pub fn encoded_len(claims: &Claims<'_>, bounds: &Bounds) -> Result<usize, Error> {
    Ok(Unsigned::new(payload_len(claims, bounds)?).ok_or(Error::TooLong)?.len())
}

/// Writes the statement with an empty place for its signature to the start of `buffer`.
///
/// # Errors
/// [`Error`]; the buffer's content is worthless then.
pub fn encode(claims: &Claims<'_>, bounds: &Bounds, buffer: &mut [u8]) -> Result<Unsigned, Error> {
    let unsigned = Unsigned::new(payload_len(claims, bounds)?).ok_or(Error::TooLong)?;
    let needed = unsigned.len();
    let payload =
        unsigned.frame(&claims.device.key_id, buffer).ok_or(Error::BufferTooSmall { needed })?;
    let mut sink = Fill::new(payload);
    let mut out = Cbor::new(&mut sink);
    payload_to(&mut out, claims, bounds);
    let intact = out.intact();
    if intact && sink.is_full() { Ok(unsigned) } else { Err(Error::Unstable) }
}

fn payload_len(claims: &Claims<'_>, bounds: &Bounds) -> Result<usize, Error> {
    let texts = [claims.device.hardware, claims.firmware.build];
    if texts.iter().any(|text| text.len() > keys::TEXT_LIMIT) {
        return Err(Error::TextTooLong);
    }
    let mut count = Count::default();
    let mut out = Cbor::new(&mut count);
    payload_to(&mut out, claims, bounds);
    if !out.intact() {
        return Err(Error::Unstable);
    }
    if count.0 > MAX_STATEMENT { Err(Error::TooLong) } else { Ok(count.0) }
}

fn payload_to(out: &mut Cbor<'_>, claims: &Claims<'_>, bounds: &Bounds) {
    out.map(16);
    out.key(keys::NONCES).array(2).bytes(&claims.start_nonce).bytes(&claims.end_nonce);
    out.key(keys::PROFILE).text(keys::PROFILE_NAME);
    out.key(keys::BOOTS).uint(claims.boot_counter.into());
    out.key(keys::VERSION).uint(keys::FORMAT_VERSION);
    device(out.key(keys::DEVICE_CLAIM), &claims.device);
    firmware(out.key(keys::FIRMWARE_CLAIM), &claims.firmware);
    session(out.key(keys::SESSION_CLAIM), &claims.session);
    drive(out.key(keys::DRIVE_CLAIM), &claims.drive);
    originated(out.key(keys::ORIGINATED_CLAIM), &claims.originated, bounds);
    counters(out.key(keys::COUNTERS_CLAIM), &claims.counters, bounds);
    emitted(out.key(keys::EMITTED_CLAIM), &claims.emitted, bounds);
    refusals(out.key(keys::REFUSALS_CLAIM), &claims.refusals);
    coverage(out.key(keys::COVERAGE_CLAIM), &claims.coverage, bounds);
    log(out.key(keys::LOG_CLAIM), &claims.log, bounds);
    list(out.key(keys::EDITS_CLAIM), &claims.edits, bounds.edits);
    out.key(keys::AUDIT_CLAIM).map(2);
    out.key(keys::HEAD).bytes(&claims.audit.head);
    out.key(keys::SEQ).uint(claims.audit.seq);
}

fn device(out: &mut Cbor<'_>, device: &Device<'_>) {
    out.map(4);
    out.key(keys::KEY_ID).bytes(&device.key_id);
    out.key(keys::PROTECTION).uint(device.protection.code().into());
    out.key(keys::HARDWARE).text(device.hardware);
    out.key(keys::TAMPER).uint(device.tamper.into());
}

fn firmware(out: &mut Cbor<'_>, firmware: &Firmware<'_>) {
    out.map(5);
    out.key(keys::IMAGE).bytes(&firmware.digest);
    out.key(keys::POLICY).bytes(&firmware.policy);
    out.key(keys::PROFILES).uint(firmware.profiles.into());
    out.key(keys::BUILD).text(firmware.build);
    out.key(keys::ENGINE).uint(firmware.engine.code().into());
}

fn session(out: &mut Cbor<'_>, session: &Session) {
    out.map(if session.previous.is_some() { 7 } else { 6 });
    out.key(keys::KIND).uint(session.kind.code().into());
    out.key(keys::NUMBER).uint(session.number.into());
    out.key(keys::CHECKPOINT).uint(session.checkpoint.into());
    out.key(keys::START).uint(session.start_us);
    out.key(keys::END).uint(session.end_us);
    out.key(keys::REASON).uint(session.reason.code().into());
    if let Some(previous) = session.previous {
        out.key(keys::PREVIOUS).uint(previous.code().into());
    }
}

fn drive(out: &mut Cbor<'_>, drive: &Drive<'_>) {
    out.map(match drive.medium {
        Medium::Usb { ata: Some(_), .. } => 10,
        Medium::Usb { ata: None, .. } => 9,
        Medium::Card(_) => 8,
    });
    out.key(keys::LUN).uint(drive.lun.into());
    out.key(keys::CAPACITY).uint(drive.capacity);
    out.key(keys::BLOCK_SIZE).uint(drive.block_size.into());
    asked(out.key(keys::NATIVE_MAX), drive.native_max);
    asked(out.key(keys::DCO_MAX), drive.dco_max);
    asked(out.key(keys::AMAX), drive.amax);
    out.key(keys::DISAGREEMENT).bool(drive.disagreement);
    match &drive.medium {
        Medium::Usb { usb: device, scsi: unit, ata: behind } => {
            usb(out.key(keys::USB_PART), device);
            scsi(out.key(keys::SCSI_PART), unit);
            if let Some(behind) = behind {
                ata(out.key(keys::ATA_PART), behind);
            }
        }
        Medium::Card(inserted) => card(out.key(keys::CARD_PART), inserted),
    }
}

/// The value, or `[reason]`; reason 0 is "asked, and failed".
fn asked(out: &mut Cbor<'_>, asked: Asked) {
    match asked {
        Asked::Value(value) => out.uint(value),
        Asked::NotAsked(skip) => out.array(1).uint(skip.code().into()),
        Asked::Failed => out.array(1).uint(0),
    };
}

fn usb(out: &mut Cbor<'_>, usb: &Usb<'_>) {
    out.map(6);
    out.key(keys::DESCRIPTORS).bytes(&usb.descriptors);
    out.key(keys::VENDOR).uint(usb.vendor.into());
    out.key(keys::PRODUCT).uint(usb.product.into());
    out.key(keys::RELEASE).uint(usb.release.into());
    out.key(keys::USB_SERIAL).outside(usb.serial, keys::IDENTITY_LIMIT);
    out.key(keys::LISTED).bool(usb.listed);
}

fn scsi(out: &mut Cbor<'_>, scsi: &Scsi<'_>) {
    out.map(3);
    out.key(keys::INQUIRY).outside(scsi.inquiry, keys::IDENTITY_LIMIT);
    optional(out.key(keys::VPD80), scsi.vpd80);
    optional(out.key(keys::VPD83), scsi.vpd83);
}

fn optional(out: &mut Cbor<'_>, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => out.outside(bytes, keys::IDENTITY_LIMIT),
        None => out.null(),
    };
}

fn ata(out: &mut Cbor<'_>, ata: &Ata<'_>) {
    out.map(6);
    out.key(keys::MODEL).outside(ata.model, keys::IDENTITY_LIMIT);
    out.key(keys::ATA_SERIAL).outside(ata.serial, keys::IDENTITY_LIMIT);
    out.key(keys::ATA_FIRMWARE).outside(ata.firmware, keys::IDENTITY_LIMIT);
    match ata.wwn {
        Some(wwn) => out.key(keys::WWN).bytes(&wwn.to_be_bytes()),
        None => out.key(keys::WWN).null(),
    };
    out.key(keys::IDENTIFY).bytes(&ata.identify);
    out.key(keys::VALID).bool(ata.valid);
}

fn card(out: &mut Cbor<'_>, card: &Card<'_>) {
    out.map(5);
    out.key(keys::CID).bytes(&card.cid);
    out.key(keys::CSD).bytes(&card.csd);
    optional(out.key(keys::SCR), card.scr.as_ref().map(<[u8; 8]>::as_slice));
    optional(out.key(keys::SD_STATUS), card.sd_status);
    out.key(keys::SPI_CRC).bool(card.spi_crc);
}

fn originated(out: &mut Cbor<'_>, originated: &Originated<'_>, bounds: &Bounds) {
    out.map(3);
    out.key(keys::TOTAL).uint(originated.total);
    list(out.key(keys::STEPS), &originated.steps, bounds.originated);
    list(out.key(keys::NOT_RUN), &originated.not_run, bounds.not_run);
}

fn counters(out: &mut Cbor<'_>, counters: &Counters<'_>, bounds: &Bounds) {
    out.map(3);
    answers(out.key(keys::COUNTED), counters.total);
    answers(out.key(keys::COUNTED_AT_START), counters.total_at_start);
    list(out.key(keys::ROWS), &counters.rows, bounds.counters);
}

fn answers(out: &mut Cbor<'_>, answers: Answers) {
    out.array(6);
    for figure in answers.to_array() {
        out.uint(figure);
    }
}

fn emitted(out: &mut Cbor<'_>, emitted: &Emitted<'_>, bounds: &Bounds) {
    out.map(3);
    out.key(keys::CBWS).uint(emitted.cbws);
    out.key(keys::BULK_OUT).uint(emitted.bulk_out_bytes);
    list(out.key(keys::COMMANDS), &emitted.commands, bounds.emitted);
}

fn refusals(out: &mut Cbor<'_>, refusals: &Refusals<'_>) {
    out.map(4);
    out.key(keys::REFUSED).uint(refusals.total);
    out.key(keys::MODIFYING).uint(refusals.modifying);
    let first = refusals.first.get(..Refusals::KEPT).unwrap_or(refusals.first);
    let surplus = refusals.last.len().saturating_sub(Refusals::KEPT);
    let last = refusals.last.get(surplus..).unwrap_or_default();
    for (key, kept) in [(keys::FIRST, first), (keys::LAST, last)] {
        out.key(key).array(length(kept.len()));
        kept.iter().for_each(|refusal| refusal.write(out));
    }
}

fn length(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

fn coverage(out: &mut Cbor<'_>, coverage: &Coverage<'_>, bounds: &Bounds) {
    out.map(3);
    out.key(keys::BLOCKS).uint(coverage.blocks);
    list(out.key(keys::EXTENTS), &coverage.extents, bounds.coverage);
    list(out.key(keys::ERRORS), &coverage.errors, bounds.errors);
}

fn log(out: &mut Cbor<'_>, log: &LogState<'_>, bounds: &Bounds) {
    out.map(5);
    out.key(keys::ENTRIES).uint(log.entries);
    out.key(keys::ROOT).bytes(&log.root);
    out.key(keys::LOST).uint(log.lost);
    out.key(keys::ABANDONED).uint(log.abandoned);
    list(out.key(keys::LOST_RANGES), &log.lost_ranges, bounds.lost);
}

/// An entry of a list, encoded as an array. Implemented by the list entries of the claims.
pub trait Item {
    /// Writes the entry.
    #[doc(hidden)]
    fn write(&self, out: &mut Cbor<'_>);
}

/// SHA-256 of the deterministic encoding of a whole list, as a cut list carries it: with it, a host
/// that knows the list from its own record checks that it is the same.
#[must_use]
pub fn list_digest<T: Item>(entries: &[T]) -> Digest {
    let list = List::slice(entries);
    digest_of(|out| items(out, &list, list.held()))
}

/// Count, first entries, and what a cut list needs besides.
fn list<T: Item>(out: &mut Cbor<'_>, list: &List<'_, T>, bound: u64) {
    let held = list.held();
    let shown = held.min(bound);
    let (cut, unrecorded) = (shown < held, list.unrecorded);
    out.map(match (cut, unrecorded > 0) {
        (false, false) => 2,
        (true, true) => 4,
        _ => 3,
    });
    out.key(keys::LIST_COUNT).uint(held.saturating_add(unrecorded));
    items(out.key(keys::LIST_FIRST), list, shown);
    if cut {
        let whole = digest_of(|out| items(out, list, held));
        out.key(keys::LIST_DIGEST).bytes(&whole);
    }
    if unrecorded > 0 {
        out.key(keys::LIST_UNRECORDED).uint(unrecorded);
    }
}

/// The first `count` entries as an array.
fn items<T: Item>(out: &mut Cbor<'_>, list: &List<'_, T>, count: u64) {
    out.array(count);
    let mut left = count;
    list.each(&mut |item| {
        if let Some(rest) = left.checked_sub(1) {
            left = rest;
            item.write(out);
        }
    });
    if left > 0 {
        out.spoil();
    }
}

fn command(out: &mut Cbor<'_>, command: Command) {
    out.uint(command.layer.code().into()).uint(command.code.into()).uint(command.sub.into());
}

impl Item for Step {
    fn write(&self, out: &mut Cbor<'_>) {
        out.array(6).uint(self.step.into());
        command(out, self.command);
        out.uint(self.times.into());
        match &self.outcome {
            StepOutcome::Good(digest) => out.bytes(digest),
            StepOutcome::Sense(digest) => out.array(1).bytes(digest),
            StepOutcome::Failed => out.null(),
        };
    }
}

impl Item for NotRun {
    fn write(&self, out: &mut Cbor<'_>) {
        out.array(3).uint(self.step.into()).uint(self.sub.into()).uint(self.reason.code().into());
    }
}

impl Item for Counter {
    fn write(&self, out: &mut Cbor<'_>) {
        out.array(5);
        command(out, self.command);
        answers(out, self.answers);
        answers(out, self.at_start);
    }
}

impl Item for Emission {
    fn write(&self, out: &mut Cbor<'_>) {
        out.array(5);
        command(out, self.command);
        out.uint(self.count).uint(self.at_start);
    }
}

impl Item for Refusal {
    fn write(&self, out: &mut Cbor<'_>) {
        out.array(3).uint(self.uptime_us).uint(self.kind.code().into());
        out.bytes(self.command_block());
    }
}

impl Item for Extent {
    fn write(&self, out: &mut Cbor<'_>) {
        out.array(2).uint(self.lba).uint(self.blocks);
    }
}

impl Item for ErrorExtent {
    fn write(&self, out: &mut Cbor<'_>) {
        out.array(3).uint(self.lba).uint(self.blocks).bytes(&self.sense);
    }
}

impl Item for Edit<'_> {
    fn write(&self, out: &mut Cbor<'_>) {
        out.array(6);
        command(out, self.command);
        out.uint(self.offset.into());
        out.outside(self.original, keys::EDIT_LIMIT).outside(self.presented, keys::EDIT_LIMIT);
    }
}
