//! INFO in words, and as JSON (published requirements, section 5.2).

use std::io::Write;

use anyhow::Result;
use serde::Serialize;
use wb_attest::{
    KEY_COPY_NOTICE,
    interface::{Info, NO_KEY_SERIAL, flag},
    key::{key_id, usb_serial},
};
use wb_policy::tables::POLICY_DIGEST;

use super::port::{Identity, shown};
use crate::export::hashed::hex;

/// What the shared product id means.
pub const PROTOTYPE_NOTE: &str = "prototype USB product id 1209:0001, shared with other people's prototypes: not for distribution";
const HIDDEN_NOTE: &str = "hidden area or disagreeing figures: the drive may have more blocks than it shows (HPA, DCO or AMAX), or names its \
     capacity in ways that do not agree; the bridge reports this and changes nothing";
const NOT_RUN_NOTE: &str = "steps of the attach script were not run, so what they ask for is not known: nothing may be concluded about hidden \
     areas from their absence; the statement lists each step with its reason";
const LOST_NOTE: &str =
    "log entries were lost because nobody fetched them in time: their chunks have no bridge digest";
const TAMPER_NOTE: &str =
    "the bridge saw a tamper event, or the medium's capacity changed while it was attached";
const NO_KEY_NOTE: &str = "no key: the bridge blocks writes all the same, and cannot sign statements before `daleel bridge provision`";
const SERIAL_NOTE: &str =
    "the serial is not that of the key: this bridge is not what it calls itself";
const POLICY_NOTE: &str =
    "the policy is not the one of this release of daleel: compare both with the published tables";

/// How a bridge is connected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PortJson {
    /// Name of the bus.
    pub bus: String,
    /// Address on it.
    pub address: u8,
    /// Product string.
    pub product: String,
    /// Serial string.
    pub serial: String,
    /// Version of the firmware.
    pub release: String,
    /// Megabits per second.
    pub speed_mbit: Option<u16>,
}

impl From<&Identity> for PortJson {
    fn from(identity: &Identity) -> Self {
        Self {
            bus: identity.bus.clone(),
            address: identity.address,
            product: identity.product.clone(),
            serial: identity.serial.clone(),
            release: identity.release_text(),
            speed_mbit: identity.speed,
        }
    }
}

/// The bridges of this computer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ListJson {
    /// Name and version of this document.
    pub schema: &'static str,
    /// The bridges, as the operating system lists them.
    pub bridges: Vec<ListedJson>,
}

/// A bridge on a port; what it says of itself is null where it cannot be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ListedJson {
    /// How it is connected.
    pub port: PortJson,
    /// It has a key.
    pub key: Option<bool>,
    /// A drive is attached.
    pub drive: Option<bool>,
    /// A session is open.
    pub session: Option<bool>,
    /// Its product id is the shared one of prototypes.
    pub prototype_pid: Option<bool>,
    /// Why it cannot be asked.
    pub error: Option<String>,
}

/// The device key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyJson {
    /// SHA-256 of the public key.
    pub id: String,
    /// The public key.
    pub public_key: String,
    /// `plain-flash` or `locked`.
    pub protection: String,
}

/// The drive behind the bridge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DriveJson {
    /// Blocks.
    pub blocks: u64,
    /// Bytes of a block.
    pub block_size: u32,
    /// Bytes in all.
    pub bytes: u64,
    /// Native max + 1 in blocks; null when it was not asked for.
    pub native_blocks: Option<u64>,
    /// A hidden area, or figures that disagree.
    pub hidden_area: bool,
    /// Steps of the attach script were not run.
    pub steps_not_run: bool,
    /// Refused commands that would have changed it.
    pub refused_modifying: u32,
}

/// The session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SessionJson {
    /// Sessions since power-up.
    pub number: u32,
    /// It goes on.
    pub open: bool,
    /// Log entries made.
    pub entries: u64,
    /// Entries were lost.
    pub entries_lost: bool,
    /// Bytes of the statement that can be fetched; null when there is none.
    pub statement_bytes: Option<u32>,
}

/// What runs on the bridge, as it reports itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FirmwareJson {
    /// SHA-256 of the image.
    pub digest: String,
    /// SHA-256 of the policy tables.
    pub policy: String,
    /// The policy is the one that this program was built with.
    pub policy_known: bool,
    /// Profiles beside the core.
    pub profiles: Vec<&'static str>,
    /// What computes the digests: `software` or `hardware`.
    pub hash_engine: &'static str,
    /// Power-ups so far.
    pub boot_counter: u32,
}

/// INFO of a bridge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InfoJson {
    /// Name and version of this document.
    pub schema: &'static str,
    /// How it is connected.
    pub port: PortJson,
    /// The key; null without one.
    pub key: Option<KeyJson>,
    /// The drive; null without one.
    pub drive: Option<DriveJson>,
    /// The session; null when there was none since power-up.
    pub session: Option<SessionJson>,
    /// What runs.
    pub firmware: FirmwareJson,
    /// What a person should know.
    pub notes: Vec<&'static str>,
}

impl InfoJson {
    /// Renders INFO.
    pub fn new(identity: &Identity, info: &Info) -> Self {
        Self {
            schema: "daleel.bridge-info/1",
            port: PortJson::from(identity),
            key: info.has(flag::KEY).then(|| key(info)),
            drive: info.has(flag::DRIVE).then(|| drive(info)),
            session: (info.session > 0).then(|| SessionJson {
                number: info.session,
                open: info.has(flag::SESSION),
                entries: info.entries,
                entries_lost: info.has(flag::LOST),
                statement_bytes: info.has(flag::STATEMENT).then_some(info.statement),
            }),
            firmware: firmware(info),
            notes: notes(identity, info),
        }
    }

    /// Whether something has to be looked at by a person.
    pub fn has_findings(&self, info: &Info) -> bool {
        const ODD: [u32; 3] = [flag::LOST, flag::TAMPER, flag::HIDDEN];
        !self.firmware.policy_known
            || self.notes.contains(&SERIAL_NOTE)
            || ODD.iter().any(|odd| info.has(*odd))
    }

    /// Prints it for a person.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub fn write(&self, out: &mut impl Write) -> Result<()> {
        let port = &self.port;
        let speed = port.speed_mbit.map(|speed| format!(", {speed} Mbit/s")).unwrap_or_default();
        writeln!(
            out,
            "bridge {}: {}, release {} (bus {}, address {}{speed})",
            shown(&port.serial),
            shown(&port.product),
            port.release,
            shown(&port.bus),
            port.address
        )?;
        match &self.key {
            Some(key) => writeln!(out, "  key        {} ({})", key.id, key.protection)?,
            None => writeln!(out, "  key        none")?,
        }
        match &self.drive {
            Some(drive) => write_drive(out, drive)?,
            None => writeln!(out, "  drive      none attached")?,
        }
        match &self.session {
            Some(session) => writeln!(
                out,
                "  session    number {}, {}, {} log entries{}{}",
                session.number,
                if session.open { "open" } else { "closed" },
                session.entries,
                if session.entries_lost { ", some of them lost" } else { "" },
                session
                    .statement_bytes
                    .map(|bytes| format!(", a statement of {bytes} bytes is ready"))
                    .unwrap_or_default(),
            )?,
            None => writeln!(out, "  session    none since power-up")?,
        }
        let firmware = &self.firmware;
        writeln!(out, "  firmware   {} (as it reports itself)", firmware.digest)?;
        let known = if firmware.policy_known {
            "the one of this daleel"
        } else {
            "ANOTHER than this daleel's"
        };
        writeln!(out, "  policy     {} ({known})", firmware.policy)?;
        writeln!(
            out,
            "  profiles   {}; digests by {}; power-ups: {}",
            firmware.profiles.join(", "),
            firmware.hash_engine,
            firmware.boot_counter
        )?;
        for note in &self.notes {
            writeln!(out, "  note: {note}")?;
        }
        Ok(())
    }
}

fn write_drive(out: &mut impl Write, drive: &DriveJson) -> Result<()> {
    writeln!(
        out,
        "  drive      {} blocks of {} bytes ({} bytes)",
        drive.blocks, drive.block_size, drive.bytes
    )?;
    let native =
        drive.native_blocks.map_or("not asked for".to_owned(), |blocks| format!("{blocks} blocks"));
    writeln!(out, "             native capacity: {native}")?;
    writeln!(
        out,
        "             refused modifying commands since attach: {}",
        drive.refused_modifying
    )?;
    Ok(())
}

fn key(info: &Info) -> KeyJson {
    KeyJson {
        id: hex(&key_id(&info.public_key)),
        public_key: hex(&info.public_key),
        protection: info.protection.map_or("unknown", |protection| protection.name()).to_owned(),
    }
}

fn drive(info: &Info) -> DriveJson {
    DriveJson {
        blocks: info.capacity,
        block_size: info.block_size,
        bytes: info.capacity.saturating_mul(info.block_size.into()),
        native_blocks: Some(info.native_max).filter(|blocks| *blocks > 0),
        hidden_area: info.has(flag::HIDDEN),
        steps_not_run: info.has(flag::NOT_RUN),
        refused_modifying: info.refused,
    }
}

fn firmware(info: &Info) -> FirmwareJson {
    let profiles = [(flag::IDENT, "ident"), (flag::SMART, "smart")];
    let extra = profiles.iter().filter(|(bit, _)| info.has(*bit)).map(|(_, name)| *name);
    FirmwareJson {
        digest: hex(&info.firmware),
        policy: hex(&info.policy),
        policy_known: info.policy == POLICY_DIGEST,
        profiles: std::iter::once("core").chain(extra).collect(),
        hash_engine: if info.has(flag::HASH_ENGINE) { "hardware" } else { "software" },
        boot_counter: info.boot_counter,
    }
}

/// Whether the serial is the beginning of the key id, or zeros. A bridge that has just got its key has zeros until it enumerates anew.
fn is_own_serial(identity: &Identity, info: &Info) -> bool {
    let own = usb_serial(&key_id(&info.public_key));
    identity.serial == NO_KEY_SERIAL
        || info.has(flag::KEY) && identity.serial.as_bytes() == own.as_slice()
}

fn notes(identity: &Identity, info: &Info) -> Vec<&'static str> {
    let all = [
        (info.policy != POLICY_DIGEST, POLICY_NOTE),
        (!is_own_serial(identity, info), SERIAL_NOTE),
        (!info.has(flag::KEY), NO_KEY_NOTE),
        (info.has(flag::HIDDEN), HIDDEN_NOTE),
        (info.has(flag::DRIVE | flag::NOT_RUN), NOT_RUN_NOTE),
        (info.has(flag::LOST), LOST_NOTE),
        (info.has(flag::TAMPER), TAMPER_NOTE),
        (info.has(flag::PROTOTYPE_PID), PROTOTYPE_NOTE),
        (info.has(flag::KEY), KEY_COPY_NOTICE),
    ];
    all.into_iter().filter(|(is_so, _)| *is_so).map(|(_, note)| note).collect()
}
