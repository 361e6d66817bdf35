//! A card driver in front of a model card, with a clock that moves at every poll.

use std::panic::{self, AssertUnwindSafe};

use wb_bridge::{
    Micros,
    card::{Card, Detect, NoDetect},
    drive::{Completion, Drive, DriveEvent, Identity, Report, Slot, Status},
};
use wb_policy::{down::DownCommand, geometry::Geometry, sense::Code};
use wb_sim::card::{CardConfig, Counts, ModelCard, ModelCs, ModelSpi, content};

/// Room of a slot: 16 blocks.
pub const SLOT: usize = 8192;
/// Commands that the driver may send at all (policy 7.3 and 7.4).
pub const PLAIN: [usize; 12] = [0, 8, 9, 10, 12, 13, 16, 17, 18, 55, 58, 59];
pub const APPLICATION: [usize; 3] = [13, 41, 51];

pub struct Rig<D> {
    pub card: Card<ModelSpi, ModelCs, D, SLOT>,
    pub model: ModelCard,
    pub now: Micros,
    pub tick: Micros,
}

impl Rig<NoDetect> {
    pub fn new(config: CardConfig) -> Self {
        Self::with_detect(ModelCard::new(config), NoDetect)
    }
}

impl<D: Detect> Rig<D> {
    pub fn with_detect(model: ModelCard, detect: D) -> Self {
        let card = Card::new(model.spi(), model.cs(), detect, ModelSpi::set_clock);
        Self { card, model, now: 0, tick: 5_000 }
    }

    pub fn poll(&mut self) -> Option<DriveEvent> {
        self.now += self.tick;
        self.card.poll(self.now)
    }

    /// The next event within `seconds`.
    pub fn wait(&mut self, seconds: u64) -> Option<DriveEvent> {
        let end = self.now + seconds * 1_000_000;
        while self.now < end {
            if let Some(event) = self.poll() {
                return Some(event);
            }
        }
        None
    }

    pub fn attach(&mut self) -> &Report {
        assert_eq!(self.wait(10), Some(DriveEvent::Attached));
        self.card.report().expect("an attached card has a report")
    }

    pub fn geometry(&self) -> Geometry {
        let report = self.card.report().expect("attached");
        report.capture.geometry.expect("a card that is served has a size")
    }

    pub fn start_read(&mut self, lba: u64, blocks: u32, slot: Slot) -> bool {
        let range = self.geometry().range(lba, blocks).expect("within the card");
        self.card.start(&DownCommand::Read(range), slot, self.now)
    }

    pub fn done(&mut self) -> Completion {
        match self.wait(30) {
            Some(DriveEvent::Done(completion)) => completion,
            other => panic!("the command ended with {other:?}"),
        }
    }

    /// Reads, checks that whatever came is the card's content, and returns how the command ended.
    pub fn read(&mut self, lba: u64, blocks: u32) -> Completion {
        assert!(self.start_read(lba, blocks, Slot::B));
        let completion = self.done();
        self.check_data(lba, blocks, completion);
        completion
    }

    pub fn check_data(&self, lba: u64, blocks: u32, completion: Completion) {
        let data = self.card.data(Slot::B);
        let delivered = usize::try_from(completion.delivered).expect("small");
        assert!(delivered.is_multiple_of(512) && delivered <= data.len());
        for (number, block) in (0..).zip(data[..delivered].chunks(512)) {
            assert!(block == content(lba + number), "wrong data for block {}", lba + number);
        }
        if completion.status == Status::Good {
            assert_eq!(completion.delivered, blocks * 512);
        } else {
            assert!(completion.delivered < blocks * 512);
        }
    }

    pub fn test_unit_ready(&mut self) -> Status {
        assert!(self.card.start(&DownCommand::TestUnitReady, Slot::A, self.now));
        self.done().status
    }
}

/// The sense of a failed command, and the block it names.
pub fn sense_of(completion: Completion) -> Option<(Code, Option<u64>)> {
    match completion.status {
        Status::Check(sense) => Some((sense.code(), sense.information())),
        Status::Good | Status::Fault(_) => None,
    }
}

/// B26a: nothing that the driver does not know was carried out, and nothing changed.
pub fn assert_only_reads(counts: &Counts) {
    for (index, count) in counts.commands.iter().enumerate() {
        assert!(*count == 0 || PLAIN.contains(&index), "CMD{index} was carried out");
    }
    for (index, count) in counts.applications.iter().enumerate() {
        assert!(*count == 0 || APPLICATION.contains(&index), "ACMD{index} was carried out");
    }
    assert_eq!(counts.write_tokens, 0);
    assert_eq!(counts.changes, 0);
}

/// The identity that a served card must have.
pub fn assert_identity(report: &Report, config: &CardConfig) {
    let Identity::Card(card) = &report.identity else { panic!("not a card") };
    assert_eq!(card.cid, config.cid);
    assert!(card.crc_checked);
    let geometry = report.capture.geometry.expect("served");
    assert_eq!((geometry.blocks, geometry.block_bytes), (config.blocks, 512));
}

/// Runs a case of a sweep and says which one it was if it fails.
pub fn case(name: impl FnOnce() -> String, run: impl FnOnce()) {
    if let Err(cause) = panic::catch_unwind(AssertUnwindSafe(run)) {
        panic!("{}: {}", name(), cause.downcast_ref::<String>().map_or("?", String::as_str));
    }
}
