//! The driver's side of the DCP against a unit that is as strict as the manual. What this cannot show is that the silicon is like it.

use std::{vec, vec::Vec};

use proptest::prelude::*;
use sha2::{Digest as _, Sha256};
use wb_attest::{
    digest::{Engine, HashEngine, Slot, known_answer_test},
    sha256,
};

use super::{BLOCK, Chosen, Dcp, Failed, Packet, Unit};

/// What the manual asks of a sequence of packets, and what it gives back.
#[derive(Default)]
struct Model {
    /// The hash state of each channel, while a message is open.
    open: [Option<Sha256>; 4],
    payload: [[u8; 32]; 4],
    packets: Vec<(usize, usize, bool, bool)>,
    /// Packets until it stops answering.
    dies_after: Option<usize>,
    died: bool,
    /// Channels share one state, as if context switching did not work.
    shares_context: bool,
    /// Channel that has a packet.
    busy: Option<usize>,
}

impl Unit for Model {
    fn begin(&mut self, channel: Slot, packet: &Packet<'_>) {
        assert_eq!(self.busy.replace(channel.index()), None, "two packets at once");
        let Packet { source, first, last } = *packet;
        assert!(!source.is_empty(), "a packet without data");
        assert!(last || source.len() % BLOCK == 0, "{} bytes that are not the last", source.len());
        self.died |= self.dies_after.is_some_and(|packets| self.packets.len() >= packets);
        if self.died {
            return;
        }
        let index = if self.shares_context { 0 } else { channel.index() };
        self.packets.push((channel.index(), source.len(), first, last));
        assert!(self.shares_context || first == self.open[index].is_none(), "HASH_INIT");
        if first {
            self.open[index] = Some(Sha256::new());
        }
        if let Some(hash) = &mut self.open[index] {
            hash.update(source);
        }
        if last {
            let hash = self.open[index].take().unwrap_or_default();
            let mut digest: [u8; 32] = hash.finalize().into();
            digest.reverse();
            self.payload[channel.index()] = digest;
        }
    }

    fn wait(&mut self, channel: Slot) -> Result<(), Failed> {
        assert_eq!(self.busy.take(), Some(channel.index()), "nothing to wait for");
        if self.died { Err(Failed) } else { Ok(()) }
    }

    fn payload(&self, channel: Slot) -> [u8; 32] {
        assert_eq!(self.busy, None, "read too early");
        self.payload[channel.index()]
    }
}

/// 4.4: the test by which a board takes its engine.
#[test]
fn a_unit_as_in_the_manual_passes_the_known_answer_test() {
    let mut engine = Dcp::new(Model::default());
    assert!(known_answer_test(&mut engine));
    assert_eq!(Chosen::by_test(Model::default()).engine(), Engine::Dcp);
}

/// 4.4: software otherwise.
#[test]
fn a_unit_that_fails_or_mixes_its_channels_is_not_taken() {
    for packets in 0..40 {
        let model = Model { dies_after: Some(packets), ..Model::default() };
        assert_eq!(Chosen::by_test(model).engine(), Engine::Software, "{packets}");
    }
    let model = Model { shares_context: true, ..Model::default() };
    assert_eq!(Chosen::by_test(model).engine(), Engine::Software);
}

#[test]
fn a_failure_in_the_midst_is_kept_and_gives_no_digest() {
    let mut engine = Dcp::new(Model { dies_after: Some(1), ..Model::default() });
    engine.start(Slot::A);
    engine.update(Slot::A, &[1; 1000]);
    engine.settle();
    assert!(engine.has_failed());
    assert_eq!(engine.finish(Slot::A), [0; 32]);
    engine.start(Slot::B);
    engine.update(Slot::B, &[1]);
    assert_eq!(engine.finish(Slot::B), [0; 32]);
}

/// The copies of a drive's data are hashed where they lie: 64 KiB pieces take two packets each, and one of them is large.
#[test]
fn large_aligned_pieces_are_handed_over_in_place() {
    let mut engine = Dcp::new(Model::default());
    let data = vec![5; 65_536];
    engine.start(Slot::C);
    for _ in 0..3 {
        engine.update(Slot::C, &data);
    }
    let packets = &engine.unit.packets;
    let lengths: Vec<usize> = packets.iter().map(|packet| packet.1).collect();
    // The first block is held, and goes by itself; then the bulk, but for the last block.
    assert_eq!(lengths, [64, 65_408, 64, 65_472, 64, 65_472]);
    assert_eq!(engine.finish(Slot::C), sha256(&[&data, &data, &data]));
}

/// 4.4: the unit works beside the processor: the bulk of a slot is still with it when `update` comes back.
#[test]
fn a_piece_is_hashed_beside_the_processor() {
    let mut engine = Dcp::new(Model::default());
    let data = vec![5; 65_536];
    engine.start(Slot::B);
    engine.update(Slot::B, &data);
    assert_eq!(engine.unit.busy, Some(Slot::B.index()));
    engine.settle();
    assert_eq!(engine.unit.busy, None);
    assert_eq!((engine.is_beside(), engine.finish(Slot::B)), (true, sha256(&[&data])));
}

/// i.MX RT1060 reference manual, work packet structure.
#[test]
fn a_packet_has_the_words_of_the_manual() {
    let data = [0; 64];
    let packet =
        |first, last| Packet { source: &data, first, last }.words(0x2000_0100, 0x2000_0200);
    assert_eq!(packet(true, false), [0, 0x1042, 0x2_0000, 0x2000_0100, 0, 64, 0x2000_0200, 0]);
    assert_eq!(packet(false, false)[1], 0x0042);
    assert_eq!(packet(false, true)[1], 0x2042);
    assert_eq!(packet(true, true)[1], 0x3042);
}

#[derive(Clone, Debug)]
enum Step {
    Start(Slot),
    Feed(Slot, Vec<u8>),
    Finish(Slot),
}

fn slots() -> impl Strategy<Value = Slot> {
    prop::sample::select(&Slot::ALL[..])
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let length = prop_oneof![0..70_usize, Just(64), Just(128), 500..600_usize];
    let data = length.prop_flat_map(|length| prop::collection::vec(any::<u8>(), length));
    let step = prop_oneof![
        1 => slots().prop_map(Step::Start),
        6 => (slots(), data).prop_map(|(slot, data)| Step::Feed(slot, data)),
        2 => slots().prop_map(Step::Finish),
    ];
    prop::collection::vec(step, 0..60)
}

proptest! {
    /// Any pieces, on any slots, in any order: the same digests as in software, and never a packet that the manual does not allow.
    #[test]
    fn all_pieces_give_the_digests_of_software(steps in steps()) {
        let mut engine = Dcp::new(Model::default());
        let mut messages: [Vec<u8>; 4] = Default::default();
        for step in steps {
            match step {
                Step::Start(slot) => {
                    engine.start(slot);
                    // A message thrown away is over for the unit too, with its next HASH_INIT.
                    engine.unit.open[slot.index()] = None;
                    messages[slot.index()].clear();
                }
                Step::Feed(slot, data) => {
                    engine.update(slot, &data);
                    engine.settle();
                    messages[slot.index()].extend(data);
                }
                Step::Finish(slot) => {
                    let message = std::mem::take(&mut messages[slot.index()]);
                    prop_assert_eq!(engine.finish(slot), sha256(&[&message]));
                }
            }
        }
        prop_assert!(!engine.has_failed());
    }
}
