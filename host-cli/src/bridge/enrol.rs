//! Giving a bridge its key, and the record a laboratory keeps of that.
//!
//! Facts: published requirements, sections 4.5 and 5.4. The device makes the key; the host gives 32 random bytes that are mixed in and not
//! kept. A bridge that has a key, or a drive, refuses, and so does this.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result};
use serde::Serialize;
use wb_attest::{
    KEY_COPY_NOTICE,
    interface::{Info, NO_KEY_SERIAL, flag},
    key::{key_id, usb_serial},
    verify::pem,
};

use super::{
    link::{Link, LinkError},
    port::{Port, PortError},
    record::{Folder, KEY_FILE, now},
    session::failure,
};
use crate::{
    exit::{Exit, Failure},
    export::hashed::hex,
};

/// File name of the record.
pub const ENROLMENT_FILE: &str = "enrolment.json";
/// Room for both files and more.
const ROOM_BYTES: usize = 16 << 10;
/// Looks after which a person is told what is waited for (U-3).
const QUIET_LOOKS: u32 = 4;
/// Looks whether the key is there: an RP2040 gathers entropy first.
const LOOKS: u32 = 120;
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Between the key and the new enumeration.
const SETTLE: Duration = Duration::from_secs(2);
/// Longest wait for the new enumeration.
const RECONNECT: Duration = Duration::from_secs(20);

/// What the operator says.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// Board, as labelled.
    pub board: Option<String>,
    /// Number of the seal on the case.
    pub seal: Option<String>,
    /// Who enrols.
    pub operator: Option<String>,
}

/// The enrolment record, to be signed by the laboratory with its own key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EnrolmentJson {
    /// Name and version of this document.
    pub schema: &'static str,
    /// When, by this computer's clock, UTC.
    pub when: String,
    /// SHA-256 of the public key.
    pub key_id: String,
    /// USB serial: the first 24 digits of the key id, upper case. To be compared with the label on the case.
    pub serial: String,
    /// The public key.
    pub public_key: String,
    /// `plain-flash` or `locked`.
    pub key_protection: &'static str,
    /// Board as the operator named it.
    pub board: Option<String>,
    /// Digest that the firmware reports of itself.
    pub firmware: String,
    /// Digest of the policy that it reports.
    pub policy: String,
    /// Seal number as the operator gave it.
    pub seal: Option<String>,
    /// Who enrolled.
    pub operator: Option<String>,
    /// What every report says.
    pub notice: &'static str,
}

/// Has the bridge make its key, and writes `key.pem` and `enrolment.json` into a folder that has neither.
///
/// # Errors
/// When the bridge has a key or a drive, when a file exists, or when no key appears.
pub fn provision<P: Port>(
    link: &mut Link<P>,
    path: &Path,
    given: Given,
    entropy: &[u8; 32],
) -> Result<EnrolmentJson> {
    let info = link.info().map_err(failure)?;
    check(&info)?;
    let folder = Folder::open(path)?;
    for name in [KEY_FILE, ENROLMENT_FILE] {
        if folder.file(name).exists() {
            let text = format!("{} exists already", folder.file(name).display());
            let failure = Failure::new(Exit::Input, text);
            return Err(failure.hint("nothing is overwritten: give another folder").into());
        }
    }
    // The key is made once: what cannot be stored is better known before.
    folder.check_room(ROOM_BYTES)?;
    link.provision(entropy).map_err(failure)?;
    let info = await_key(link)?;
    let serial = String::from_utf8_lossy(&usb_serial(&key_id(&info.public_key))).into_owned();
    let enrolment = EnrolmentJson {
        schema: "daleel.bridge-enrolment/1",
        when: now(),
        key_id: hex(&key_id(&info.public_key)),
        serial,
        public_key: hex(&info.public_key),
        key_protection: info.protection.map_or("unknown", |protection| protection.name()),
        board: given.board,
        firmware: hex(&info.firmware),
        policy: hex(&info.policy),
        seal: given.seal,
        operator: given.operator,
        notice: KEY_COPY_NOTICE,
    };
    folder.write(KEY_FILE, pem(&info.public_key).as_bytes()).context(
        "the bridge has made its key; `daleel bridge info --json` shows the public key, which is not stored",
    )?;
    let mut json = serde_json::to_vec_pretty(&enrolment)?;
    json.push(b'\n');
    folder
        .write(ENROLMENT_FILE, &json)
        .context("the key is made and stored; only the record is not")?;
    Ok(enrolment)
}

fn check(info: &Info) -> Result<(), Failure> {
    if info.has(flag::KEY) {
        let hint = "a bridge is provisioned once; another key means wiping the key page with the board's loader: a new identity";
        return Err(Failure::new(Exit::Input, "the bridge has a key already").hint(hint));
    }
    if info.has(flag::DRIVE) {
        let hint = "detach it: no key is made while a drive is attached";
        return Err(Failure::new(Exit::Input, "a drive is attached to the bridge").hint(hint));
    }
    Ok(())
}

/// Waits for the key; the bridge leaves the bus once in between and comes back with its serial.
fn await_key<P: Port>(link: &mut Link<P>) -> Result<Info> {
    for look in 0..LOOKS {
        if look == QUIET_LOOKS {
            link.tell("waiting for the bridge to make its key");
        }
        link.port_mut().pause(LOOK_EVERY);
        match link.info() {
            Ok(info) if info.has(flag::KEY) => return with_serial(link, info),
            Ok(_) => {}
            Err(LinkError::Port { source: PortError::Gone | PortError::System(_), .. }) => {
                link.port_mut().reconnect(RECONNECT).map_err(|error| {
                    let text = format!("the bridge made its key and did not come back: {error}");
                    Failure::new(Exit::SourceLost, text)
                        .hint("plug it in again; `daleel bridge info` shows whether it has a key")
                })?;
            }
            // Refused or late: it is busy making the key, or about to leave the bus.
            Err(LinkError::Port { .. }) => {}
            Err(error) => return Err(failure(error)),
        }
    }
    Err(Failure::new(Exit::Input, "the bridge did not make a key")
        .hint("its entropy may have failed the health tests; plug it in again and try once more")
        .into())
}

/// The key can show before the bridge has enumerated anew.
fn with_serial<P: Port>(link: &mut Link<P>, info: Info) -> Result<Info> {
    if link.port().identity().serial == NO_KEY_SERIAL {
        link.port_mut().pause(SETTLE);
        // A bridge that stays as it is gets its serial when it is plugged in again; the key is what counts.
        let _ = link.port_mut().reconnect(RECONNECT);
    }
    let again = link.info().map_err(failure)?;
    if again.public_key == info.public_key {
        return Ok(again);
    }
    Err(Failure::new(Exit::Verification, "another bridge came back than the one that left").into())
}
