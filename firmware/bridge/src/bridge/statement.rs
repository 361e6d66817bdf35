//! The statement: claims filled from the bridge's state, waiting to be signed, then to be fetched.
//!
//! Facts: the published requirements, sections 4.3 and 5.3. Signing takes up to seconds on a small chip, so the board does it beside the
//! reads: it takes the bytes in pieces and hands the signature back.

use heapless::Vec;
use wb_attest::{
    digest::HashEngine,
    key::key_id,
    statement::{
        Audit, Claims, Command, Counter, Counters, Coverage, Device, Edit, Emission,
        Emitted as EmittedClaim, EndReason, Firmware, Kind, Layer, List, LogState, Originated,
        Refusals, SIGNATURE, Session as SessionClaim, Source, Unsigned, encode, profile,
    },
};
use wb_policy::{
    capture::Capture,
    present::{self, Change},
};

use super::{Bridge, COMMANDS, Event, identity};
use crate::{
    counters,
    drive::{Drive, Emitted, Identity, Report},
};

/// How far the statement is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Statement {
    /// There is none.
    None,
    /// Encoded; the board has not been asked to sign it.
    Encoded(Unsigned, Kind),
    /// The board is signing.
    Signing(Unsigned, Kind),
    /// Signed, so many bytes.
    Ready(usize),
}

impl Statement {
    /// The signed statement.
    pub fn ready<'b>(&self, bytes: &'b [u8]) -> Option<&'b [u8]> {
        match self {
            Self::Ready(length) => bytes.get(..*length),
            Self::None | Self::Encoded(..) | Self::Signing(..) => None,
        }
    }

    pub fn is_in_the_making(&self) -> bool {
        matches!(self, Self::Encoded(..) | Self::Signing(..))
    }

    /// Hands the statement to the board, once.
    pub fn begin_signing(&mut self) -> bool {
        if let Self::Encoded(unsigned, kind) = *self {
            *self = Self::Signing(unsigned, kind);
            return true;
        }
        false
    }

    pub fn clear(&mut self) {
        *self = Self::None;
    }
}

impl<D: Drive, E: HashEngine, const RING: usize> Bridge<'_, D, E, RING> {
    /// Encodes a statement over the session so far. `None` where it cannot be made; the session goes on then.
    pub(super) fn make_statement(&mut self, kind: Kind, end_nonce: [u8; 32]) -> Option<()> {
        let public_key = self.config.public_key?;
        self.refusals.sort();
        let open = self.session.open.as_ref()?;
        let report = self.drive.report().filter(|report| report.refused.is_none())?;
        let capture = &report.capture;
        let emitted = self.drive.emitted();
        let config = &self.config;
        let reason = match kind {
            Kind::Checkpoint => EndReason::Open,
            Kind::Final => EndReason::Finished,
        };
        let flags =
            [(config.profiles.ident, profile::IDENT), (config.profiles.smart, profile::SMART)];
        let rows = Rows(&self.counters);
        let sent = Sent { now: emitted, before: &open.emitted };
        let edits = Edits::of(capture, config.profiles.ident);
        let edits = &edits;
        let identity = identity::Parts::of(report);
        let claims = Claims {
            start_nonce: open.nonce,
            end_nonce,
            boot_counter: config.boot_counter,
            device: Device {
                key_id: key_id(&public_key),
                protection: config.protection,
                hardware: config.hardware,
                tamper: u32::from(self.capacity_changed),
            },
            firmware: Firmware {
                digest: config.firmware_digest,
                policy: config.policy_digest,
                profiles: flags
                    .iter()
                    .filter(|(is_set, _)| *is_set)
                    .fold(0, |all, (_, bit)| all | bit),
                build: config.build,
                engine: self.session.chunks.engine().engine(),
            },
            session: SessionClaim {
                kind,
                number: self.session.number,
                checkpoint: open.statements,
                start_us: open.since,
                end_us: self.now,
                reason,
                previous: self.session.previous,
            },
            drive: identity.claim(report),
            originated: Originated {
                total: emitted.own.saturating_sub(report.own_before),
                steps: List::slice(&report.steps),
                not_run: List::slice(&report.not_run),
            },
            counters: Counters {
                total: self.counters.total(),
                total_at_start: self.counters.total_at_start(),
                rows: List::source(&rows),
            },
            emitted: EmittedClaim {
                cbws: Sent::on_bulk_out(report, emitted.wrappers),
                bulk_out_bytes: Sent::on_bulk_out(report, emitted.bytes),
                commands: List::source(&sent),
            },
            refusals: Refusals {
                total: self.refusals.total(),
                modifying: self.refusals.modifying().into(),
                first: self.refusals.first(),
                last: self.refusals.last(),
            },
            coverage: Coverage {
                blocks: self.session.coverage.blocks(),
                extents: List::slice(self.session.coverage.extents())
                    .with_unrecorded(self.session.coverage.unrecorded()),
                errors: List::slice(self.session.errors.extents())
                    .with_unrecorded(self.session.errors.unrecorded()),
            },
            log: LogState {
                entries: self.session.log.size(),
                root: self.session.log.root(),
                lost: self.session.ring.lost(),
                abandoned: self.session.chunks.abandoned(),
                lost_ranges: List::slice(self.session.ring.lost_ranges())
                    .with_unrecorded(self.session.ring.unrecorded()),
            },
            edits: List::source(&edits),
            audit: Audit { head: self.audit.head(), seq: self.audit.records() },
        };
        let unsigned = encode(&claims, &config.bounds, self.statement_bytes).ok()?;
        self.statement = Statement::Encoded(unsigned, kind);
        Some(())
    }

    /// Hands the bytes to be signed to `take`, piece by piece, from piece number `from` on; the number of the next one, or `None` at the
    /// end. A board may do other work between two pieces.
    pub fn to_sign(&self, from: usize, take: &mut dyn FnMut(&[u8])) -> Option<usize> {
        let Statement::Signing(unsigned, _) = self.statement else { return None };
        let mut left = from;
        for part in unsigned.parts(self.statement_bytes) {
            let pieces = part.chunks(PIECE);
            let count = pieces.len();
            if let Some(piece) = part.chunks(PIECE).nth(left) {
                take(piece);
                return from.checked_add(1);
            }
            left = left.saturating_sub(count);
        }
        None
    }

    /// Takes the signature; the statement can be fetched from now on. A final one closes the session.
    pub fn signed(&mut self, signature: &[u8; SIGNATURE]) {
        let Statement::Signing(unsigned, kind) = self.statement else { return };
        let whole = unsigned.attach(self.statement_bytes, signature).map(<[u8]>::len);
        self.statement = whole.map_or(Statement::None, Statement::Ready);
        if let Some(open) = &mut self.session.open {
            open.statements = open.statements.saturating_add(1);
        }
        let length = whole.and_then(|length| u32::try_from(length).ok()).unwrap_or(0);
        self.note(Event::StatementSigned(length));
        if kind == Kind::Final && self.session.end(EndReason::Finished) {
            self.note(Event::SessionEnded(self.session.number));
        }
    }
}

/// Bytes that a board takes at once for signing.
const PIECE: usize = 256;

/// The rows of the counters.
struct Rows<'a>(&'a counters::Counters<COMMANDS>);

impl Source<Counter> for Rows<'_> {
    fn each(&self, visit: &mut dyn FnMut(&Counter)) {
        self.0.rows().for_each(|row| visit(&row));
    }
}

/// What was sent to the drive side.
struct Sent<'a> {
    now: &'a Emitted,
    before: &'a Emitted,
}

impl Sent<'_> {
    /// A figure about the bulk-OUT endpoint, which a card does not have.
    fn on_bulk_out(report: &Report, figure: u64) -> u64 {
        match report.identity {
            Identity::Usb(_) => figure,
            Identity::Card(_) => 0,
        }
    }
}

impl Source<Emission> for Sent<'_> {
    fn each(&self, visit: &mut dyn FnMut(&Emission)) {
        self.now.rows(self.before, visit);
    }
}

/// What the host was shown otherwise than the drive gave it.
struct Edits<'a>(Vec<Change<'a>, { present::EDITS_MAX }>);

impl<'a> Edits<'a> {
    fn of(capture: &'a Capture, ident: bool) -> Self {
        let mut edits = Vec::new();
        for change in present::changes(capture, ident) {
            // There is room: no drive has more edits than EDITS_MAX.
            if edits.push(change).is_err() {
                break;
            }
        }
        Self(edits)
    }
}

impl<'a> Source<Edit<'a>> for &'a Edits<'a> {
    fn each(&self, visit: &mut dyn FnMut(&Edit<'a>)) {
        for change in &self.0 {
            let command = Command { layer: Layer::Scsi, code: change.opcode, sub: change.sub };
            visit(&Edit {
                command,
                offset: change.offset,
                original: change.original,
                presented: change.presented(),
            });
        }
    }
}
