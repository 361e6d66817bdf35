//! From strict CBOR to claims: every key known, in its place, of its type.

use super::Reject;
use super::statement::{
    Ata, Bytes, Card, Counters, Coverage, Device, Drive, Edit, Emitted, Firmware, Listed, Log,
    Medium, Originated, Refusals, Scsi, Statement, Usb,
};
use super::value::{self, Value};
use crate::digest::Engine;
use crate::statement::keys;
use crate::statement::{
    Answers, Asked, Audit, Command, Counter, Emission, EndReason, ErrorExtent, Extent, Kind, Layer,
    NotRun, Protection, Refusal, RefusalKind, Session, Skip, Step, StepOutcome,
};
use std::string::{String, ToString as _};
use std::vec::{IntoIter, Vec};

type Read<T> = Result<T, Reject>;

/// Reads the payload of a statement.
pub(super) fn statement(payload: &[u8]) -> Read<Statement> {
    let mut claims = Fields::of(value::parse(payload)?, "claims")?;
    let [start_nonce, end_nonce] = array(claims.need(keys::NONCES)?, "nonces")?;
    let (profile, boots) = (claims.need(keys::PROFILE)?, claims.need(keys::BOOTS)?);
    if profile != Value::Text(keys::PROFILE_NAME) {
        return Err(Reject::Claim("profile"));
    }
    if claims.need(keys::VERSION)? != Value::Uint(keys::FORMAT_VERSION) {
        return Err(Reject::Claim("version"));
    }
    let statement = Statement {
        start_nonce: fixed(start_nonce, "nonces")?,
        end_nonce: fixed(end_nonce, "nonces")?,
        boot_counter: uint(boots, "boot-counter")?,
        device: device(claims.need(keys::DEVICE_CLAIM)?)?,
        firmware: firmware(claims.need(keys::FIRMWARE_CLAIM)?)?,
        session: session(claims.need(keys::SESSION_CLAIM)?)?,
        drive: drive(claims.need(keys::DRIVE_CLAIM)?)?,
        originated: originated(claims.need(keys::ORIGINATED_CLAIM)?)?,
        counters: counters(claims.need(keys::COUNTERS_CLAIM)?)?,
        emitted: emitted(claims.need(keys::EMITTED_CLAIM)?)?,
        refusals: refusals(claims.need(keys::REFUSALS_CLAIM)?)?,
        coverage: coverage(claims.need(keys::COVERAGE_CLAIM)?)?,
        log: log(claims.need(keys::LOG_CLAIM)?)?,
        edits: listed(claims.need(keys::EDITS_CLAIM)?, "edits", edit)?,
        audit: audit(claims.need(keys::AUDIT_CLAIM)?)?,
    };
    claims.end()?;
    Ok(statement)
}

/// The pairs of a map, taken in the order of their keys.
struct Fields<'b> {
    claim: &'static str,
    pairs: core::iter::Peekable<IntoIter<(i64, Value<'b>)>>,
}

impl<'b> Fields<'b> {
    fn of(value: Value<'b>, claim: &'static str) -> Read<Self> {
        match value {
            Value::Map(pairs) => Ok(Self { claim, pairs: pairs.into_iter().peekable() }),
            _ => Err(Reject::Claim(claim)),
        }
    }

    fn option(&mut self, key: i64) -> Option<Value<'b>> {
        self.pairs.next_if(|(next, _)| *next == key).map(|(_, value)| value)
    }

    fn need(&mut self, key: i64) -> Read<Value<'b>> {
        self.option(key).ok_or(Reject::Claim(self.claim))
    }

    fn uint<T: TryFrom<u64>>(&mut self, key: i64) -> Read<T> {
        uint(self.need(key)?, self.claim)
    }

    fn fixed<const N: usize>(&mut self, key: i64) -> Read<[u8; N]> {
        fixed(self.need(key)?, self.claim)
    }

    fn bool(&mut self, key: i64) -> Read<bool> {
        match self.need(key)? {
            Value::Bool(value) => Ok(value),
            _ => Err(Reject::Claim(self.claim)),
        }
    }

    fn text(&mut self, key: i64) -> Read<String> {
        match self.need(key)? {
            Value::Text(text) if text.len() <= keys::TEXT_LIMIT => Ok(text.to_string()),
            _ => Err(Reject::Claim(self.claim)),
        }
    }

    fn code<T>(&mut self, key: i64, known: impl FnOnce(u64) -> Option<T>) -> Read<T> {
        known(self.uint(key)?).ok_or(Reject::Claim(self.claim))
    }

    fn outside(&mut self, key: i64) -> Read<Bytes> {
        outside(self.need(key)?, keys::IDENTITY_LIMIT, self.claim)
    }

    fn outside_or_null(&mut self, key: i64) -> Read<Option<Bytes>> {
        let value = self.need(key)?;
        or_null(value, |value| outside(value, keys::IDENTITY_LIMIT, self.claim))
    }

    fn end(mut self) -> Read<()> {
        if self.pairs.next().is_none() { Ok(()) } else { Err(Reject::Claim(self.claim)) }
    }
}

fn uint<T: TryFrom<u64>>(value: Value<'_>, claim: &'static str) -> Read<T> {
    match value {
        Value::Uint(number) => T::try_from(number).map_err(|_| Reject::Claim(claim)),
        _ => Err(Reject::Claim(claim)),
    }
}

fn fixed<const N: usize>(value: Value<'_>, claim: &'static str) -> Read<[u8; N]> {
    match value {
        Value::Bytes(bytes) => bytes.try_into().map_err(|_| Reject::Claim(claim)),
        _ => Err(Reject::Claim(claim)),
    }
}

fn array<'b, const N: usize>(value: Value<'b>, claim: &'static str) -> Read<[Value<'b>; N]> {
    match value {
        Value::Array(items) => items.try_into().map_err(|_| Reject::Claim(claim)),
        _ => Err(Reject::Claim(claim)),
    }
}

fn or_null<'b, T>(value: Value<'b>, read: impl FnOnce(Value<'b>) -> Read<T>) -> Read<Option<T>> {
    if value == Value::Null { Ok(None) } else { read(value).map(Some) }
}

fn outside(value: Value<'_>, limit: usize, claim: &'static str) -> Read<Bytes> {
    let length = |bytes: &[u8]| u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    match value {
        Value::Bytes(bytes) if bytes.len() <= limit => {
            Ok(Bytes { len: length(bytes), first: bytes.to_vec(), digest: None })
        }
        Value::Array(_) => {
            let [len, first, digest] = array(value, claim)?;
            let (len, digest) = (uint(len, claim)?, Some(fixed(digest, claim)?));
            match first {
                Value::Bytes(first) if first.len() == limit && len > length(first) => {
                    Ok(Bytes { len, first: first.to_vec(), digest })
                }
                _ => Err(Reject::Claim(claim)),
            }
        }
        _ => Err(Reject::Claim(claim)),
    }
}

/// A list, which is cut exactly when it says so.
fn listed<T>(
    value: Value<'_>,
    claim: &'static str,
    item: impl Fn(Value<'_>) -> Read<T>,
) -> Read<Listed<T>> {
    let mut fields = Fields::of(value, claim)?;
    let count: u64 = fields.uint(keys::LIST_COUNT)?;
    let Value::Array(items) = fields.need(keys::LIST_FIRST)? else {
        return Err(Reject::Claim(claim));
    };
    let first = items.into_iter().map(item).collect::<Read<Vec<T>>>()?;
    let digest = fields.option(keys::LIST_DIGEST).map(|value| fixed(value, claim)).transpose()?;
    let unrecorded = fields.option(keys::LIST_UNRECORDED);
    let unrecorded: Option<u64> = unrecorded.map(|value| uint(value, claim)).transpose()?;
    fields.end()?;
    let shown = u64::try_from(first.len()).map_err(|_| Reject::Claim(claim))?;
    let held = count.checked_sub(unrecorded.unwrap_or(0)).ok_or(Reject::Claim(claim))?;
    let cut = digest.is_some();
    if unrecorded == Some(0) || shown > held || cut != (shown < held) {
        return Err(Reject::Claim(claim));
    }
    Ok(Listed { count, first, digest, unrecorded: unrecorded.unwrap_or(0) })
}

fn device(value: Value<'_>) -> Read<Device> {
    let mut fields = Fields::of(value, "device")?;
    let device = Device {
        key_id: fields.fixed(keys::KEY_ID)?,
        key_protection: fields.code(keys::PROTECTION, Protection::from_code)?,
        hardware: fields.text(keys::HARDWARE)?,
        tamper: fields.uint(keys::TAMPER)?,
    };
    fields.end()?;
    Ok(device)
}

fn firmware(value: Value<'_>) -> Read<Firmware> {
    let mut fields = Fields::of(value, "firmware")?;
    let firmware = Firmware {
        digest: fields.fixed(keys::IMAGE)?,
        policy: fields.fixed(keys::POLICY)?,
        profiles: fields.uint(keys::PROFILES)?,
        build: fields.text(keys::BUILD)?,
        hash_engine: fields.code(keys::ENGINE, Engine::from_code)?,
    };
    fields.end()?;
    Ok(firmware)
}

fn session(value: Value<'_>) -> Read<Session> {
    let mut fields = Fields::of(value, "session")?;
    let session = Session {
        kind: fields.code(keys::KIND, Kind::from_code)?,
        number: fields.uint(keys::NUMBER)?,
        checkpoint: fields.uint(keys::CHECKPOINT)?,
        start_us: fields.uint(keys::START)?,
        end_us: fields.uint(keys::END)?,
        reason: fields.code(keys::REASON, EndReason::from_code)?,
        previous: match fields.option(keys::PREVIOUS) {
            Some(value) => {
                let code = uint(value, "session")?;
                Some(EndReason::from_code(code).ok_or(Reject::Claim("session"))?)
            }
            None => None,
        },
    };
    fields.end()?;
    Ok(session)
}

fn drive(value: Value<'_>) -> Read<Drive> {
    let mut fields = Fields::of(value, "drive")?;
    let drive = Drive {
        lun: fields.uint(keys::LUN)?,
        capacity: fields.uint(keys::CAPACITY)?,
        block_size: fields.uint(keys::BLOCK_SIZE)?,
        native_max: asked(fields.need(keys::NATIVE_MAX)?)?,
        dco_max: asked(fields.need(keys::DCO_MAX)?)?,
        amax: asked(fields.need(keys::AMAX)?)?,
        disagreement: fields.bool(keys::DISAGREEMENT)?,
        medium: match fields.option(keys::USB_PART) {
            Some(part) => Medium::Usb {
                usb: usb(part)?,
                scsi: scsi(fields.need(keys::SCSI_PART)?)?,
                ata: fields.option(keys::ATA_PART).map(ata).transpose()?,
            },
            None => Medium::Card(card(fields.need(keys::CARD_PART)?)?),
        },
    };
    fields.end()?;
    Ok(drive)
}

fn asked(value: Value<'_>) -> Read<Asked> {
    if let Value::Uint(number) = value {
        return Ok(Asked::Value(number));
    }
    let [reason] = array(value, "drive")?;
    match uint(reason, "drive")? {
        0 => Ok(Asked::Failed),
        code => Skip::from_code(code).map(Asked::NotAsked).ok_or(Reject::Claim("drive")),
    }
}

fn usb(value: Value<'_>) -> Read<Usb> {
    let mut fields = Fields::of(value, "usb")?;
    let usb = Usb {
        descriptors: fields.fixed(keys::DESCRIPTORS)?,
        vendor: fields.uint(keys::VENDOR)?,
        product: fields.uint(keys::PRODUCT)?,
        release: fields.uint(keys::RELEASE)?,
        serial: fields.outside(keys::USB_SERIAL)?,
        listed: fields.bool(keys::LISTED)?,
    };
    fields.end()?;
    Ok(usb)
}

fn scsi(value: Value<'_>) -> Read<Scsi> {
    let mut fields = Fields::of(value, "scsi")?;
    let scsi = Scsi {
        inquiry: fields.outside(keys::INQUIRY)?,
        vpd80: fields.outside_or_null(keys::VPD80)?,
        vpd83: fields.outside_or_null(keys::VPD83)?,
    };
    fields.end()?;
    Ok(scsi)
}

fn ata(value: Value<'_>) -> Read<Ata> {
    let mut fields = Fields::of(value, "ata")?;
    let ata = Ata {
        model: fields.outside(keys::MODEL)?,
        serial: fields.outside(keys::ATA_SERIAL)?,
        firmware: fields.outside(keys::ATA_FIRMWARE)?,
        wwn: or_null(fields.need(keys::WWN)?, |value| fixed(value, "ata"))?,
        identify: fields.fixed(keys::IDENTIFY)?,
        valid: fields.bool(keys::VALID)?,
    };
    fields.end()?;
    Ok(ata)
}

fn card(value: Value<'_>) -> Read<Card> {
    let mut fields = Fields::of(value, "card")?;
    let card = Card {
        cid: fields.fixed(keys::CID)?,
        csd: fields.fixed(keys::CSD)?,
        scr: or_null(fields.need(keys::SCR)?, |value| fixed(value, "card"))?,
        sd_status: fields.outside_or_null(keys::SD_STATUS)?,
        spi_crc: fields.bool(keys::SPI_CRC)?,
    };
    fields.end()?;
    Ok(card)
}

fn originated(value: Value<'_>) -> Read<Originated> {
    let mut fields = Fields::of(value, "originated")?;
    let originated = Originated {
        total: fields.uint(keys::TOTAL)?,
        steps: listed(fields.need(keys::STEPS)?, "originated", step)?,
        not_run: listed(fields.need(keys::NOT_RUN)?, "originated", not_run)?,
    };
    fields.end()?;
    Ok(originated)
}

fn counters(value: Value<'_>) -> Read<Counters> {
    let mut fields = Fields::of(value, "counters")?;
    let counters = Counters {
        total: answers(fields.need(keys::COUNTED)?)?,
        total_at_start: answers(fields.need(keys::COUNTED_AT_START)?)?,
        rows: listed(fields.need(keys::ROWS)?, "counters", counter)?,
    };
    fields.end()?;
    Ok(counters)
}

fn answers(value: Value<'_>) -> Read<Answers> {
    let items: [Value<'_>; 6] = array(value, "counters")?;
    let mut figures = [0; 6];
    for (figure, item) in figures.iter_mut().zip(items) {
        *figure = uint(item, "counters")?;
    }
    Ok(Answers::from_array(figures))
}

fn emitted(value: Value<'_>) -> Read<Emitted> {
    let mut fields = Fields::of(value, "emitted")?;
    let emitted = Emitted {
        cbws: fields.uint(keys::CBWS)?,
        bulk_out_bytes: fields.uint(keys::BULK_OUT)?,
        commands: listed(fields.need(keys::COMMANDS)?, "emitted", emission)?,
    };
    fields.end()?;
    Ok(emitted)
}

fn refusals(value: Value<'_>) -> Read<Refusals> {
    let mut fields = Fields::of(value, "refusals")?;
    let kept = |value: Value<'_>| match value {
        Value::Array(items) => items.into_iter().map(refusal).collect::<Read<Vec<Refusal>>>(),
        _ => Err(Reject::Claim("refusals")),
    };
    let refusals = Refusals {
        total: fields.uint(keys::REFUSED)?,
        modifying: fields.uint(keys::MODIFYING)?,
        first: kept(fields.need(keys::FIRST)?)?,
        last: kept(fields.need(keys::LAST)?)?,
    };
    fields.end()?;
    Ok(refusals)
}

fn coverage(value: Value<'_>) -> Read<Coverage> {
    let mut fields = Fields::of(value, "coverage")?;
    let coverage = Coverage {
        blocks: fields.uint(keys::BLOCKS)?,
        extents: listed(fields.need(keys::EXTENTS)?, "coverage", extent)?,
        errors: listed(fields.need(keys::ERRORS)?, "coverage", error_extent)?,
    };
    fields.end()?;
    Ok(coverage)
}

fn log(value: Value<'_>) -> Read<Log> {
    let mut fields = Fields::of(value, "log")?;
    let log = Log {
        entries: fields.uint(keys::ENTRIES)?,
        root: fields.fixed(keys::ROOT)?,
        lost: fields.uint(keys::LOST)?,
        abandoned: fields.uint(keys::ABANDONED)?,
        lost_ranges: listed(fields.need(keys::LOST_RANGES)?, "log", extent)?,
    };
    fields.end()?;
    Ok(log)
}

fn audit(value: Value<'_>) -> Read<Audit> {
    let mut fields = Fields::of(value, "audit")?;
    let audit = Audit { head: fields.fixed(keys::HEAD)?, seq: fields.uint(keys::SEQ)? };
    fields.end()?;
    Ok(audit)
}

fn command(layer: Value<'_>, code: Value<'_>, sub: Value<'_>) -> Read<Command> {
    let layer = Layer::from_code(uint(layer, "command")?).ok_or(Reject::Claim("command"))?;
    Ok(Command { layer, code: uint(code, "command")?, sub: uint(sub, "command")? })
}

fn step(value: Value<'_>) -> Read<Step> {
    let [step, layer, code, sub, times, outcome] = array(value, "originated")?;
    let outcome = match outcome {
        Value::Null => StepOutcome::Failed,
        Value::Array(_) => {
            let [digest] = array(outcome, "originated")?;
            StepOutcome::Sense(fixed(digest, "originated")?)
        }
        digest => StepOutcome::Good(fixed(digest, "originated")?),
    };
    Ok(Step {
        step: uint(step, "originated")?,
        command: command(layer, code, sub)?,
        times: uint(times, "originated")?,
        outcome,
    })
}

fn not_run(value: Value<'_>) -> Read<NotRun> {
    let [step, sub, reason] = array(value, "originated")?;
    let reason = uint(reason, "originated")?;
    Ok(NotRun {
        step: uint(step, "originated")?,
        sub: uint(sub, "originated")?,
        reason: Skip::from_code(reason).ok_or(Reject::Claim("originated"))?,
    })
}

fn counter(value: Value<'_>) -> Read<Counter> {
    let [layer, code, sub, now, at_start] = array(value, "counters")?;
    Ok(Counter {
        command: command(layer, code, sub)?,
        answers: answers(now)?,
        at_start: answers(at_start)?,
    })
}

fn emission(value: Value<'_>) -> Read<Emission> {
    let [layer, code, sub, count, at_start] = array(value, "emitted")?;
    Ok(Emission {
        command: command(layer, code, sub)?,
        count: uint(count, "emitted")?,
        at_start: uint(at_start, "emitted")?,
    })
}

fn refusal(value: Value<'_>) -> Read<Refusal> {
    let [uptime, kind, bytes] = array(value, "refusals")?;
    let kind = RefusalKind::from_code(uint(kind, "refusals")?).ok_or(Reject::Claim("refusals"))?;
    let Value::Bytes(bytes) = bytes else { return Err(Reject::Claim("refusals")) };
    let mut cdb = [0; 16];
    match cdb.get_mut(..bytes.len()) {
        Some(place) => place.copy_from_slice(bytes),
        None => return Err(Reject::Claim("refusals")),
    }
    let cdb_len = u8::try_from(bytes.len()).map_err(|_| Reject::Claim("refusals"))?;
    Ok(Refusal { uptime_us: uint(uptime, "refusals")?, kind, cdb, cdb_len })
}

fn extent(value: Value<'_>) -> Read<Extent> {
    let [lba, blocks] = array(value, "extent")?;
    Ok(Extent { lba: uint(lba, "extent")?, blocks: uint(blocks, "extent")? })
}

fn error_extent(value: Value<'_>) -> Read<ErrorExtent> {
    let [lba, blocks, sense] = array(value, "coverage")?;
    Ok(ErrorExtent {
        lba: uint(lba, "coverage")?,
        blocks: uint(blocks, "coverage")?,
        sense: fixed(sense, "coverage")?,
    })
}

fn edit(value: Value<'_>) -> Read<Edit> {
    let [layer, code, sub, offset, original, presented] = array(value, "edits")?;
    Ok(Edit {
        command: command(layer, code, sub)?,
        offset: uint(offset, "edits")?,
        original: outside(original, keys::EDIT_LIMIT, "edits")?,
        presented: outside(presented, keys::EDIT_LIMIT, "edits")?,
    })
}
