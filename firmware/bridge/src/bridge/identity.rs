//! The drive's identity as a statement carries it.
//!
//! Facts: the published requirements, section 4.3 (drive); ACS-3, section 7.12 (IDENTIFY DEVICE words). All texts are the bytes the drive
//! gave; ATA strings are put into reading order, high byte of each word first.

use wb_attest::{
    sha256,
    statement::{Asked, Ata, Card, Drive, Medium, Scsi, Skip, Usb},
};
use wb_policy::capture::{self, Capture, IdentifyData, NotRun};

use crate::drive::{CardIdentity, Identity, Report, UsbIdentity};

/// Copies of what lies in another order in the capture.
pub(super) struct Parts {
    model: [u8; 40],
    serial: [u8; 20],
    firmware: [u8; 8],
}

impl Parts {
    pub fn of(report: &Report) -> Self {
        let data = identify(&report.capture);
        let empty = IdentifyData([0; 512]);
        let data = data.map_or(&empty, |(data, _)| data);
        Self { model: text(data, 27), serial: text(data, 10), firmware: text(data, 23) }
    }

    /// The claim over an attached drive.
    pub fn claim<'a>(&'a self, report: &'a Report) -> Drive<'a> {
        let capture = &report.capture;
        let geometry = capture.geometry;
        Drive {
            lun: match &report.identity {
                Identity::Usb(usb) => usb.unit,
                Identity::Card(_) => 0,
            },
            capacity: geometry.map_or(0, |geometry| geometry.blocks),
            block_size: geometry.map_or(0, |geometry| geometry.block_bytes),
            native_max: asked(&capture.native_max),
            dco_max: asked(&capture.dco_max),
            // The attach script has no step for it (3.2), and what a host asks later is not part of the capture.
            amax: Asked::NotAsked(Skip::NotApplicable),
            disagreement: capture.has_disagreement(),
            medium: match &report.identity {
                Identity::Usb(usb) => self.usb(capture, usb),
                Identity::Card(card) => Medium::Card(of_card(card)),
            },
        }
    }

    fn usb<'a>(&'a self, capture: &'a Capture, usb: &'a UsbIdentity) -> Medium<'a> {
        let vpd = &capture.vpd;
        Medium::Usb {
            usb: Usb {
                descriptors: usb.descriptors,
                vendor: usb.vendor,
                product: usb.product,
                release: usb.release,
                serial: usb.serial.as_slice(),
                listed: capture.listed_bridge,
            },
            scsi: Scsi {
                inquiry: capture.inquiry.as_slice(),
                vpd80: vpd.serial.as_ref().map(capture::Bytes::as_slice),
                vpd83: vpd.identification.as_ref().map(capture::Bytes::as_slice),
            },
            ata: identify(capture).map(|(data, valid)| Ata {
                model: &self.model,
                serial: &self.serial,
                firmware: &self.firmware,
                wwn: wwn(data),
                identify: sha256(&[&data.0]),
                valid,
            }),
        }
    }
}

fn identify(capture: &Capture) -> Option<(&IdentifyData, bool)> {
    match &capture.identify {
        capture::Identify::Valid(data) => Some((data, true)),
        capture::Identify::Invalid(data) => Some((data, false)),
        capture::Identify::NotAsked(_) | capture::Identify::Failed(_) => None,
    }
}

/// The text from a word on, in reading order.
fn text<const N: usize>(data: &IdentifyData, first: usize) -> [u8; N] {
    let mut text = [0; N];
    for (number, pair) in text.as_chunks_mut::<2>().0.iter_mut().enumerate() {
        *pair = data.word(first.saturating_add(number)).to_be_bytes();
    }
    text
}

/// World wide name, words 108 to 111, where word 87 announces it (ACS-3 7.12.7.44).
fn wwn(data: &IdentifyData) -> Option<u64> {
    let is_announced = data.word(87) >> 14 == 0b01 && data.word(87) & 0x0100 != 0;
    let name = (108..112).fold(0, |name, number| (name << 16) | u64::from(data.word(number)));
    is_announced.then_some(name)
}

fn of_card(card: &CardIdentity) -> Card<'_> {
    Card {
        cid: card.cid,
        csd: card.csd,
        scr: card.scr,
        sd_status: card.status.as_ref().map(<[u8; 64]>::as_slice),
        spi_crc: card.crc_checked,
    }
}

fn asked(value: &capture::Asked<u64>) -> Asked {
    match value {
        capture::Asked::Value(value) => Asked::Value(*value),
        capture::Asked::NotAsked(reason) => Asked::NotAsked(skip(*reason)),
        capture::Asked::Failed(_) => Asked::Failed,
    }
}

/// Why a step was not run, as a statement says it.
#[must_use]
pub fn skip(reason: NotRun) -> Skip {
    match reason {
        NotRun::NotReady => Skip::NotReady,
        NotRun::Removable => Skip::Removable,
        NotRun::Profile => Skip::Profile,
        NotRun::IdentifyInvalid => Skip::IdentifyInvalid,
        NotRun::NotAnnounced => Skip::NotAnnounced,
        NotRun::BridgeNotListed => Skip::BridgeNotListed,
    }
}
