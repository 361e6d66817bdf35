//! A memory card on the bridge's own SPI bus.
//!
//! Facts: the published policy, sections 7.2 (CRC on before any read), 7.3 (attach script) and 7.4 (commands and sense); SD Physical
//! Layer Simplified Specification, chapter 7 (SPI mode).
//!
//! ```text
//!           no answer                     silent
//!  Absent -----------> Absent   Idle ----------------+
//!    |  CMD0 answered            ^ |  command        v
//!    +---> Attaching ------------+ +--> Working --> Recovering --> Idle, Changed or Detached
//!              |                           (CMD12, CMD13)
//!              +--> Refused (CMD0 now and then, nothing else)
//! ```
//!
//! A board without a detect switch needs a pull-up on the card's data-out line, so that an empty slot reads as FFh.

mod errors;
mod link;
mod read;
mod script;

use embedded_hal::{
    digital::{InputPin, OutputPin},
    spi::SpiBus,
};
use wb_policy::{
    capture::Capture,
    down::DownCommand,
    geometry::BlockRange,
    sd::CARD_BLOCK_BYTES,
    sense::{self, Code, Sense},
};

use self::{
    link::Link,
    read::{Operation, Turn},
    script::{Ended, Script},
};
use crate::{
    Micros,
    drive::{Completion, Drive, DriveEvent, Emitted, Identity, Report, Slot, Status},
};

pub use self::link::Clock;

/// Time from insertion to the first command: contacts bounce, and a card may take 1 ms after its supply is stable.
const SETTLE_AFTER_INSERTION: Micros = 250_000;
/// Time between two looks for a card where there is no detect switch.
const LOOK_FOR_CARD: Micros = 250_000;
/// Time between two questions whether an idle card is still there, where there is no detect switch.
const STILL_THERE: Micros = 1_000_000;
/// Time in which a card must answer a read with data (7.4; SD specification, 4.6.2.1).
const TOKEN_TIMEOUT: Micros = 100_000;
/// Time that a card may be busy (7.4).
const BUSY_TIMEOUT: Micros = 500_000;

/// Knows whether there is a card in the slot.
pub trait Detect {
    /// `None` if the board has no switch: the card is then asked.
    fn is_inserted(&mut self) -> Option<bool>;
}

/// A slot without a detect switch.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoDetect;

impl Detect for NoDetect {
    fn is_inserted(&mut self) -> Option<bool> {
        None
    }
}

/// A detect switch that connects the pin to ground while a card is inserted. A pin that cannot be read is no switch.
#[derive(Debug)]
pub struct DetectLow<P>(pub P);

impl<P: InputPin> Detect for DetectLow<P> {
    fn is_inserted(&mut self) -> Option<bool> {
        self.0.is_low().ok()
    }
}

/// A slot's bytes and how many of them are the last command's data.
struct Store<const BYTES: usize> {
    bytes: [u8; BYTES],
    filled: usize,
}

impl<const BYTES: usize> Store<BYTES> {
    const EMPTY: Self = Self { bytes: [0; BYTES], filled: 0 };

    fn set(&mut self, data: &[u8]) {
        for (own, byte) in self.bytes.iter_mut().zip(data) {
            *own = *byte;
        }
        self.filled = data.len().min(BYTES);
    }
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// Nothing answers; look again at this time.
    Absent(Micros),
    /// The attach script runs.
    Attaching,
    /// The card is ready; ask whether it is still there at this time.
    Idle(Micros),
    /// The card is not served; ask whether it is still there at this time.
    Refused(Micros),
    /// A command is in progress.
    Working,
    /// The card fell silent: one re-initialisation.
    Recovering,
}

/// A memory card over SPI, and the slot it stands in. `SLOT` is the size of each of the two data buffers in bytes, a multiple of 512.
pub struct Card<SPI, CS, D, const SLOT: usize> {
    link: Link<SPI, CS>,
    detect: D,
    stores: [Store<SLOT>; 2],
    phase: Phase,
    script: Script,
    report: Option<Report>,
    operation: Option<Operation>,
    queued: Option<(DownCommand, Slot)>,
    waiting: Option<DriveEvent>,
    /// What the detect switch said last.
    inserted: Option<bool>,
}

impl<SPI: SpiBus<u8>, CS: OutputPin, D: Detect, const SLOT: usize> Card<SPI, CS, D, SLOT> {
    /// A slot whose chip select is `cs`, active low. `set_clock` changes the bus clock: at most 400 kHz for
    /// [`Clock::Identification`], at most 25 MHz for [`Clock::Data`], SPI mode 0 for both.
    pub fn new(spi: SPI, cs: CS, detect: D, set_clock: fn(&mut SPI, Clock)) -> Self {
        Self {
            link: Link::new(spi, cs, set_clock),
            detect,
            stores: [const { Store::EMPTY }; 2],
            phase: Phase::Absent(0),
            script: Script::new(0),
            report: None,
            operation: None,
            queued: None,
            waiting: None,
            inserted: None,
        }
    }

    /// The bus, for a board that has to reach it.
    pub fn bus(&mut self) -> &mut SPI {
        self.link.bus()
    }

    fn advance(&mut self, now: Micros) -> Option<DriveEvent> {
        match self.phase {
            Phase::Absent(next) => {
                if now >= next {
                    self.begin_script(Phase::Attaching);
                }
                None
            }
            Phase::Attaching => self.attach(now),
            Phase::Idle(next) => self.idle(next, now),
            Phase::Refused(next) => self.refused(next, now),
            Phase::Working => self.work(now),
            Phase::Recovering => self.recover(now),
        }
    }

    fn begin_script(&mut self, phase: Phase) {
        self.script = Script::new(self.link.emitted().own);
        self.phase = phase;
    }

    fn attach(&mut self, now: Micros) -> Option<DriveEvent> {
        match self.script.poll(&mut self.link, now)? {
            Ended::Silent => {
                self.phase = Phase::Absent(now.saturating_add(LOOK_FOR_CARD));
                None
            }
            ended => {
                self.take_report(ended, now);
                Some(DriveEvent::Attached)
            }
        }
    }

    fn take_report(&mut self, ended: Ended, now: Micros) {
        let next = now.saturating_add(STILL_THERE);
        self.phase = if ended == Ended::Served { Phase::Idle(next) } else { Phase::Refused(next) };
        self.report = Some(self.script.report(ended));
    }

    fn idle(&mut self, next: Micros, now: Micros) -> Option<DriveEvent> {
        if let Some((command, slot)) = self.queued.take() {
            if !self.begin(&command, slot) {
                return Some(failed(sense::TARGET_FAILURE));
            }
            return None;
        }
        if now < next || self.detect.is_inserted().is_some() {
            return None;
        }
        self.phase = Phase::Idle(now.saturating_add(STILL_THERE));
        if self.link.is_alive() {
            return None;
        }
        self.begin_recovery();
        None
    }

    /// A refused card gets CMD0 only: it keeps the card in idle state, in which it knows no command that writes, and no command that
    /// differs from CMD0 in one bit writes.
    fn refused(&mut self, next: Micros, now: Micros) -> Option<DriveEvent> {
        if now < next || self.detect.is_inserted().is_some() {
            return None;
        }
        self.phase = Phase::Refused(now.saturating_add(STILL_THERE));
        if self.link.answers_reset() { None } else { self.removed(now) }
    }

    fn begin_recovery(&mut self) {
        self.link.count_recovery();
        self.begin_script(Phase::Recovering);
    }

    fn work(&mut self, now: Micros) -> Option<DriveEvent> {
        let Some(operation) = self.operation.as_mut() else {
            self.phase = Phase::Idle(now.saturating_add(STILL_THERE));
            return None;
        };
        let store = match operation.slot {
            Slot::A => self.stores.first_mut(),
            Slot::B => self.stores.last_mut(),
        };
        let room = store.map(|store| (&mut store.bytes[..], &mut store.filled));
        match operation.poll(&mut self.link, room, now) {
            Turn::Continue => None,
            Turn::Done => {
                self.phase = Phase::Idle(now.saturating_add(STILL_THERE));
                self.complete()
            }
            Turn::Recover => {
                self.begin_recovery();
                None
            }
        }
    }

    /// The event for the command that has ended, unless it was given up.
    fn complete(&mut self) -> Option<DriveEvent> {
        let operation = self.operation.take()?;
        operation.is_wanted().then(|| DriveEvent::Done(operation.completion()))
    }

    fn recover(&mut self, now: Micros) -> Option<DriveEvent> {
        match self.script.poll(&mut self.link, now)? {
            Ended::Silent => self.removed(now),
            Ended::Served if self.is_same_card() => {
                self.phase = Phase::Idle(now.saturating_add(STILL_THERE));
                self.complete()
            }
            ended => {
                self.take_report(ended, now);
                let done = self.complete().or_else(|| self.drop_queued(sense::TIMED_OUT));
                self.followed_by(done, DriveEvent::Changed)
            }
        }
    }

    /// Whether the script found the card that was attached before.
    fn is_same_card(&self) -> bool {
        match &self.report {
            Some(Report { identity: Identity::Card(card), .. }) => self.script.found(card),
            _ => false,
        }
    }

    /// The card has gone: the command in progress ends with NOT PRESENT first.
    fn removed(&mut self, now: Micros) -> Option<DriveEvent> {
        self.phase = Phase::Absent(now.saturating_add(SETTLE_AFTER_INSERTION));
        self.link.end();
        if let Some(operation) = self.operation.as_mut() {
            operation.card_has_gone();
        }
        let done = self.complete().or_else(|| self.drop_queued(sense::NOT_PRESENT));
        self.report.take()?;
        self.followed_by(done, DriveEvent::Detached)
    }

    fn drop_queued(&mut self, code: Code) -> Option<DriveEvent> {
        self.queued.take().map(|_| failed(code))
    }

    /// One event a call: the second one waits for the next poll.
    fn followed_by(&mut self, first: Option<DriveEvent>, second: DriveEvent) -> Option<DriveEvent> {
        if first.is_some() {
            self.waiting = Some(second);
            return first;
        }
        Some(second)
    }

    fn store(&mut self, slot: Slot) -> Option<&mut Store<SLOT>> {
        match slot {
            Slot::A => self.stores.first_mut(),
            Slot::B => self.stores.last_mut(),
        }
    }

    fn begin(&mut self, command: &DownCommand, slot: Slot) -> bool {
        match command {
            DownCommand::TestUnitReady => self.operate(Operation::status(slot)),
            DownCommand::Read(range) => self.begin_read(range, slot),
            DownCommand::ReadCapacity10 => {
                self.answer(slot, |capture| capacity10(capture).map(|raw| (pad(raw), 8)))
            }
            DownCommand::ReadCapacity16 => {
                self.answer(slot, |capture| capture.capacity16.map(|raw| (raw, 32)))
            }
            _ => false,
        }
    }

    fn operate(&mut self, operation: Operation) -> bool {
        self.operation = Some(operation);
        self.phase = Phase::Working;
        true
    }

    /// The range comes from a capture; it is compared with the present one, in case the card was exchanged in between.
    fn begin_read(&mut self, range: &BlockRange, slot: Slot) -> bool {
        let bytes = u64::from(range.blocks()).saturating_mul(u64::from(CARD_BLOCK_BYTES));
        let fits = usize::try_from(bytes).is_ok_and(|bytes| bytes <= SLOT);
        let geometry = self.report.as_ref().and_then(|report| report.capture.geometry);
        let exists = geometry.and_then(|own| own.range(range.lba(), range.blocks())).is_some();
        if !fits || !exists {
            return false;
        }
        let Some(operation) = Operation::read(range, self.link.is_block_addressed(), slot) else {
            return false;
        };
        if let Some(store) = self.store(slot) {
            store.filled = 0;
        }
        self.operate(operation)
    }

    /// Answers from the capture: nothing is sent to the card.
    fn answer(&mut self, slot: Slot, make: impl Fn(&Capture) -> Option<([u8; 32], usize)>) -> bool {
        let Some((raw, length)) = self.report.as_ref().and_then(|report| make(&report.capture))
        else {
            return false;
        };
        let Some(store) = self.store(slot) else { return false };
        store.set(raw.get(..length).unwrap_or(&raw));
        let delivered = u32::try_from(length).unwrap_or(0);
        self.waiting = Some(DriveEvent::Done(Completion { status: Status::Good, delivered }));
        true
    }
}

fn failed(code: Code) -> DriveEvent {
    DriveEvent::Done(Completion { status: Status::Check(Sense::new(code)), delivered: 0 })
}

/// Answer to READ CAPACITY(10): FFFFFFFFh where the last block does not fit.
fn capacity10(capture: &Capture) -> Option<[u8; 8]> {
    let geometry = capture.geometry?;
    let last = u32::try_from(geometry.blocks.saturating_sub(1)).unwrap_or(u32::MAX);
    let [a, b, c, d] = last.to_be_bytes();
    let [e, f, g, h] = geometry.block_bytes.to_be_bytes();
    Some([a, b, c, d, e, f, g, h])
}

fn pad(raw: [u8; 8]) -> [u8; 32] {
    let mut padded = [0; 32];
    for (own, byte) in padded.iter_mut().zip(raw) {
        *own = byte;
    }
    padded
}

impl<SPI: SpiBus<u8>, CS: OutputPin, D: Detect, const SLOT: usize> Drive
    for Card<SPI, CS, D, SLOT>
{
    fn slot_bytes(&self) -> usize {
        SLOT
    }

    fn poll(&mut self, now: Micros) -> Option<DriveEvent> {
        if let Some(event) = self.waiting.take() {
            return Some(event);
        }
        self.inserted = self.detect.is_inserted();
        if self.inserted == Some(false) {
            return self.removed(now);
        }
        self.advance(now)
    }

    fn start(&mut self, command: &DownCommand, slot: Slot, _now: Micros) -> bool {
        if self.waiting.is_some() || self.queued.is_some() {
            return false;
        }
        let recovering = match self.phase {
            Phase::Idle(_) => return self.begin(command, slot),
            Phase::Working => self.operation.as_ref().is_some_and(|own| !own.is_wanted()),
            Phase::Recovering => self.operation.as_ref().is_none_or(|own| !own.is_wanted()),
            Phase::Absent(_) | Phase::Attaching | Phase::Refused(_) => false,
        };
        let known = matches!(
            command,
            DownCommand::TestUnitReady
                | DownCommand::Read(_)
                | DownCommand::ReadCapacity10
                | DownCommand::ReadCapacity16
        );
        if !recovering || !known {
            return false;
        }
        self.queued = Some((*command, slot));
        true
    }

    fn data(&self, slot: Slot) -> &[u8] {
        let store = match slot {
            Slot::A => self.stores.first(),
            Slot::B => self.stores.last(),
        };
        store.and_then(|store| store.bytes.get(..store.filled)).unwrap_or(&[])
    }

    fn abandon(&mut self, now: Micros) {
        self.queued = None;
        if matches!(self.waiting, Some(DriveEvent::Done(_))) {
            self.waiting = None;
        }
        if let Some(operation) = self.operation.as_mut() {
            operation.abandon(&mut self.link, now);
        }
    }

    fn is_vacant(&self) -> bool {
        let is_silent = match self.phase {
            Phase::Absent(_) => true,
            // A slot without a switch is asked again and again; the answer to CMD0 is the first sign of a card.
            Phase::Attaching => !self.script.is_answered(),
            _ => false,
        };
        is_silent && self.inserted != Some(true)
    }

    fn report(&self) -> Option<&Report> {
        self.report.as_ref()
    }

    fn emitted(&self) -> &Emitted {
        self.link.emitted()
    }
}
