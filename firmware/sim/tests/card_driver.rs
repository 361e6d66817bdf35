//! The card driver in front of a model card: attach, reads, errors, exchange of cards.
#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, dead_code)]

mod card_rig;

use card_rig::{APPLICATION, PLAIN, Rig, SLOT, assert_identity, assert_only_reads, sense_of};
use wb_attest::{
    sha256,
    statement::{Layer, Skip, StepOutcome},
};
use wb_bridge::{
    card::{DetectLow, NoDetect},
    drive::{Drive, DriveEvent, Identity, Refused, Slot, Status},
};
use wb_policy::{
    capture::Kind,
    down::{DownCommand, InquiryBytes, VpdPage},
    sense::{
        ACCESS_DENIED, CRC_ERROR, Code, LBA_OUT_OF_RANGE, NOT_PRESENT, TARGET_FAILURE, TIMED_OUT,
        UNRECOVERED_READ,
    },
};
use wb_sim::card::{CardConfig, CrcBehaviour, Damage, Family, ModelCard, content};

const SERVED: [(Family, u64); 5] = [
    (Family::StandardVersion1, 512 * 64),
    (Family::Standard, 4096 * 512),
    (Family::HighCapacity, 1024),
    (Family::HighCapacity, 1 << 25),
    // SDXC, the largest size of CSD version 2.
    (Family::HighCapacity, 1 << 32),
];

fn high_capacity() -> CardConfig {
    CardConfig::new(Family::HighCapacity, 4096)
}

/// Policy 7.3: the steps in their order, for cards with byte and with block addresses, and the identity that they bring.
#[test]
fn attach_script_runs_the_steps_of_7_3_in_order() {
    for (family, blocks) in SERVED {
        let config = CardConfig::new(family, blocks);
        let mut rig = Rig::new(config.clone());
        let report = rig.attach().clone();
        assert_eq!(report.refused, None);
        assert_identity(&report, &config);
        let by_byte = family != Family::HighCapacity;
        let steps: Vec<_> =
            report.steps.iter().map(|step| (step.command.layer, step.command.code)).collect();
        let mut expected = vec![
            (Layer::Sd, 0),
            (Layer::Sd, 8),
            (Layer::Sd, 59),
            (Layer::Sd, 58),
            (Layer::SdApplication, 41),
            (Layer::Sd, 58),
            (Layer::Sd, 9),
            (Layer::Sd, 10),
            (Layer::Sd, 16),
            (Layer::Sd, 13),
            (Layer::SdApplication, 51),
            (Layer::SdApplication, 13),
        ];
        expected.retain(|step| by_byte || *step != (Layer::Sd, 16));
        assert_eq!(steps, expected, "{family:?}");
        let not_run: Vec<_> = report.not_run.iter().map(|row| (row.step, row.reason)).collect();
        assert_eq!(not_run, if by_byte { vec![] } else { vec![(109, Skip::NotApplicable)] });
        assert_only_reads(&rig.model.counts());
    }
}

/// Policy 7.3: each step carries the digest of what it brought, ACMD41 the number of times it was asked.
#[test]
fn steps_carry_digests_and_counts() {
    let config = high_capacity();
    let mut rig = Rig::new(config.clone());
    let report = rig.attach().clone();
    let outcome =
        |step| report.steps.iter().find(|own| own.step == step).map(|own| (own.outcome, own.times));
    assert_eq!(outcome(101), Some((StepOutcome::Good(sha256(&[])), 1)));
    assert_eq!(outcome(102), Some((StepOutcome::Good(sha256(&[&[0, 0, 1, 0xAA]])), 1)));
    assert_eq!(outcome(105), Some((StepOutcome::Good(sha256(&[])), config.slow_start + 1)));
    assert_eq!(outcome(108), Some((StepOutcome::Good(sha256(&[&config.cid])), 1)));
}

/// Policy 7.4: the capture is that of a removable disk, so that the presentation needs no case for cards.
#[test]
fn capture_of_a_card_is_that_of_a_removable_disk() {
    let mut rig = Rig::new(high_capacity());
    let capture = &rig.attach().capture;
    assert_eq!(capture.kind, Kind::Card);
    assert!(capture.is_removable());
    assert_eq!(capture.inquiry.as_slice().get(8..36), Some(&b"SD03 SD MODEL           1.2 "[..]));
    assert_eq!(
        capture.vpd.serial.map(|page| page.as_slice()[4..].to_vec()),
        Some(b"CAFE0001".to_vec())
    );
    assert_eq!(
        capture.capacity16.map(|raw| raw[..12].to_vec()),
        Some(vec![0, 0, 0, 0, 0, 0, 0x0F, 0xFF, 0, 0, 2, 0])
    );
}

/// SD specification, 4.2.1: at most 400 kHz until the card is initialised. The model does not answer otherwise.
#[test]
fn clock_is_slow_until_the_card_is_initialised() {
    let mut rig = Rig::new(high_capacity());
    rig.attach();
    assert_eq!(rig.model.counts().too_fast, 0);
}

/// Policy 7.2: CMD59(1) before ACMD41 and before any read, then the probe with a wrong CRC.
#[test]
fn crc_is_on_before_anything_but_cmd0_and_cmd8() {
    let mut rig = Rig::new(high_capacity());
    rig.model.record();
    rig.attach();
    let frames = frames(&rig.model.recorded());
    let head: Vec<_> = frames.iter().take(4).copied().collect();
    assert_eq!(
        head,
        [
            [0x40, 0, 0, 0, 0, 0x95],
            [0x48, 0, 0, 1, 0xAA, 0x87],
            [0x7B, 0, 0, 0, 1, 0x83],
            [0x7A, 0, 0, 0, 0, 0x03],
        ]
    );
    assert_eq!(rig.model.counts().crc_errors, 1);
}

/// The frames on the data-in line. Panics on a byte that is neither of a frame on the list nor FFh, and on a frame that
/// chip select cuts.
fn frames(recorded: &[(bool, u8)]) -> Vec<[u8; 6]> {
    let mut frames = Vec::new();
    let mut rest = recorded;
    while let Some((first, tail)) = rest.split_first() {
        if first.1 == 0xFF {
            rest = tail;
            continue;
        }
        let (frame, tail) = rest.split_at(6);
        assert!(frame.iter().all(|(selected, _)| *selected), "a frame without chip select");
        let bytes: Vec<u8> = frame.iter().map(|(_, byte)| *byte).collect();
        let bytes: [u8; 6] = bytes.try_into().expect("six bytes");
        assert!(wb_policy::sd::frame_is_allowed(&bytes), "{bytes:02x?}");
        frames.push(bytes);
        rest = tail;
    }
    frames
}

/// Policy 7.2: the data-in line carries frames of the encoder and FFh, nothing else, and the driver's counters are what the card saw.
#[test]
fn data_in_line_carries_frames_and_idle_bytes_only() {
    for (family, blocks) in SERVED {
        let mut rig = Rig::new(CardConfig::new(family, blocks));
        rig.model.record();
        rig.attach();
        rig.read(0, 1);
        rig.read(3, 5);
        rig.test_unit_ready();
        let frames = frames(&rig.model.recorded());
        let emitted = *rig.card.emitted();
        assert_eq!(u64::try_from(frames.len()), Ok(emitted.wrappers));
        assert_eq!(emitted.bytes, emitted.wrappers * 6);
        let counts = rig.model.counts();
        for index in PLAIN {
            // The probe, which was refused by its CRC.
            let refused = u64::from(index == 58);
            assert_eq!(
                emitted.card[index],
                u64::from(counts.commands[index]) + refused,
                "CMD{index}"
            );
        }
        for index in APPLICATION {
            assert_eq!(
                emitted.card_application[index],
                u64::from(counts.applications[index]),
                "ACMD{index}"
            );
        }
        assert_only_reads(&counts);
    }
}

/// Policy 7.4: one block by CMD17, more by CMD18 and CMD12; equal to the content for every kind of card.
#[test]
fn reads_are_the_content() {
    for (family, blocks) in SERVED {
        let mut rig = Rig::new(CardConfig::new(family, blocks));
        let before = rig.model.digest();
        rig.attach();
        for (lba, count) in [(0, 1), (1, 2), (blocks / 2, 16), (blocks - 1, 1), (blocks - 9, 9)] {
            assert_eq!(rig.read(lba, count).status, Status::Good, "{family:?} {lba} {count}");
        }
        let counts = rig.model.counts();
        assert_eq!((counts.commands[17], counts.commands[18], counts.commands[12]), (2, 3, 3));
        assert_only_reads(&counts);
        assert_eq!(rig.model.digest(), before);
    }
}

/// Policy 3.1: never widened, no read-ahead beyond the range. A card may send on until CMD12 reaches it: nothing of that is kept.
#[test]
fn reads_are_not_widened() {
    let mut rig = Rig::new(high_capacity());
    rig.attach();
    rig.read(7, 1);
    assert_eq!(rig.model.counts().blocks_sent, 1);
    rig.read(7, 4);
    assert!(rig.model.counts().blocks_sent <= 6);
}

/// D-02, policy 7.4: the good blocks before the failing one are delivered, and the sense names the failing one; the next read works.
#[test]
fn failing_block_is_named_and_good_ones_before_it_are_delivered() {
    for (damage, expected) in [
        (Damage::Token(0x04), UNRECOVERED_READ),
        (Damage::Token(0x0C), LBA_OUT_OF_RANGE),
        (Damage::Token(0x08), LBA_OUT_OF_RANGE),
        (Damage::Token(0x02), TARGET_FAILURE),
        (Damage::Token(0x01), TARGET_FAILURE),
        (Damage::Token(0x55), CRC_ERROR),
        (Damage::WrongCrc, CRC_ERROR),
        (Damage::NoToken, TIMED_OUT),
        (Damage::NoTokenEccFailed, UNRECOVERED_READ),
    ] {
        for (first, blocks) in [(20_u64, 1_u32), (20, 16), (17, 4), (13, 8)] {
            let mut config = high_capacity();
            config.damage.insert(20, damage);
            let mut rig = Rig::new(config);
            rig.attach();
            let completion = rig.read(first, blocks);
            assert_eq!(sense_of(completion), Some((expected, Some(20))), "{damage:?} {first}");
            assert_eq!(u64::from(completion.delivered), (20 - first) * 512);
            assert_eq!(rig.read(21, 3).status, Status::Good);
            assert_eq!(rig.read(0, 1).status, Status::Good);
            assert_eq!(rig.card.emitted().recoveries, 0, "{damage:?}");
            assert_only_reads(&rig.model.counts());
        }
    }
}

/// D-02: the set of blocks that cannot be read is the card's, whatever the size of the reads.
#[test]
fn unreadable_set_is_the_cards() {
    let bad = [0_u64, 5, 6, 31, 32, 63];
    for size in [1_u32, 3, 16] {
        let mut config = CardConfig::new(Family::HighCapacity, 1024);
        config.damage.extend(bad.map(|lba| (lba, Damage::Token(0x04))));
        let mut rig = Rig::new(config);
        rig.attach();
        let mut found = Vec::new();
        let mut lba = 0;
        while lba < 64 {
            let blocks = size.min(u32::try_from(64 - lba).expect("small"));
            let completion = rig.read(lba, blocks);
            lba += u64::from(completion.delivered / 512);
            if let Some((code, failing)) = sense_of(completion) {
                assert_eq!((code, failing), (UNRECOVERED_READ, Some(lba)));
                found.push(lba);
                lba += 1;
            }
        }
        assert_eq!(found, bad);
    }
}

/// Policy 7.4: no retry: a block that cannot be read is asked for once.
#[test]
fn failing_reads_are_not_repeated() {
    let mut config = high_capacity();
    config.damage.insert(9, Damage::WrongCrc);
    let mut rig = Rig::new(config);
    rig.attach();
    rig.read(9, 1);
    assert_eq!(rig.model.counts().commands[17], 1);
}

/// Policies 7.2 and 7.3: cards that are refused, with the reason; no read ever reaches them.
#[test]
fn cards_that_are_refused() {
    let config = high_capacity();
    let with_crc = |crc| CardConfig { crc, ..config.clone() };
    for (config, reason) in [
        (with_crc(CrcBehaviour::Rejects), Refused::NoCrc),
        (with_crc(CrcBehaviour::AcceptsWithoutEffect), Refused::NoCrc),
        (CardConfig { locked: true, ..config.clone() }, Refused::Locked),
        (CardConfig::new(Family::SdioOnly, 1024), Refused::NoMemory),
        (CardConfig::new(Family::Mmc, 1024), Refused::CardKind),
        (CardConfig::new(Family::UltraCapacity, 1 << 33), Refused::CardKind),
        (CardConfig { slow_start: u32::MAX, ..config.clone() }, Refused::Enumeration),
    ] {
        let mut rig = Rig::new(config.clone());
        let before = rig.model.digest();
        let report = rig.attach().clone();
        assert_eq!(report.refused, Some(reason), "{config:?}");
        assert_eq!(report.capture.geometry, None);
        let Identity::Card(card) = &report.identity else { panic!("not a card") };
        assert_eq!(card.crc_checked, reason != Refused::NoCrc);
        for command in [DownCommand::TestUnitReady, DownCommand::ReadCapacity10] {
            assert!(!rig.card.start(&command, Slot::A, rig.now));
        }
        assert_eq!(rig.wait(10), None);
        let counts = rig.model.counts();
        assert_eq!((counts.commands[17], counts.commands[18], counts.blocks_sent), (0, 0, 0));
        assert_only_reads(&counts);
        assert_eq!(rig.model.digest(), before);
    }
}

/// Policy 7.3: the steps behind a refusal are reported as not run.
#[test]
fn steps_behind_a_refusal_are_not_run() {
    let mut rig = Rig::new(CardConfig { crc: CrcBehaviour::Rejects, ..high_capacity() });
    let report = rig.attach();
    assert_eq!(report.steps.len(), 3);
    assert_eq!(report.steps[2].outcome, StepOutcome::Sense(sha256(&[&[0x05]])));
    assert_eq!(report.not_run.len(), 9);
    assert!(report.not_run.iter().all(|row| row.reason == Skip::NotReady));
}

/// Policy 7.2: a card that does not check CRCs gets CMD0 and nothing else after it was refused.
#[test]
fn card_without_crc_gets_cmd0_only() {
    for crc in [CrcBehaviour::Rejects, CrcBehaviour::AcceptsWithoutEffect] {
        let mut rig = Rig::new(CardConfig { crc, ..high_capacity() });
        rig.attach();
        rig.model.record();
        assert_eq!(rig.wait(10), None);
        let frames = frames(&rig.model.recorded());
        assert!(frames.len() > 5);
        assert!(frames.iter().all(|frame| frame[0] == 0x40));
    }
}

/// Policy 7.3: SCR and SD status block nothing.
#[test]
fn card_without_scr_and_status_is_served() {
    let mut rig = Rig::new(CardConfig { without_status: true, ..high_capacity() });
    let report = rig.attach().clone();
    assert_eq!(report.refused, None);
    let Identity::Card(card) = &report.identity else { panic!("not a card") };
    assert_eq!((card.scr, card.status), (None, None));
    let last = report.steps.last().map(|step| step.outcome);
    assert_eq!(last, Some(StepOutcome::Sense(sha256(&[&[0x04]]))));
    assert_eq!(rig.read(0, 4).status, Status::Good);
}

/// SD specification, 4.2.3: initialisation may take up to a second.
#[test]
fn slow_card_is_waited_for() {
    let mut rig = Rig::new(CardConfig { slow_start: 150, ..high_capacity() });
    assert_eq!(rig.attach().refused, None);
}

/// Policy 7.4: TEST UNIT READY is CMD13; a card that was locked after it was attached says so.
#[test]
fn card_locked_after_attach_denies_access() {
    let mut rig = Rig::new(high_capacity());
    rig.attach();
    assert_eq!(rig.test_unit_ready(), Status::Good);
    rig.model.lock();
    let Status::Check(sense) = rig.test_unit_ready() else { panic!("ready") };
    assert_eq!(sense.code(), ACCESS_DENIED);
    assert_eq!(sense_of(rig.read(5, 1)), Some((ACCESS_DENIED, Some(5))));
    assert_eq!(sense_of(rig.read(5, 2)), Some((ACCESS_DENIED, Some(5))));
}

/// Policy 7.4: a card that stays busy after CMD12 is waited for; when it never ends, that is a removal. The data had come and were
/// right.
#[test]
fn long_busy_is_waited_for_and_endless_busy_is_a_removal() {
    let mut rig = Rig::new(CardConfig { busy_after_stop: 6_600, ..high_capacity() });
    rig.attach();
    assert_eq!(rig.read(5, 2).status, Status::Good);
    assert_eq!(rig.read(5, 1).status, Status::Good);
    assert_eq!(rig.card.emitted().recoveries, 0);
    let mut rig = Rig::new(CardConfig { busy_after_stop: u32::MAX, ..high_capacity() });
    rig.attach();
    let start = rig.now;
    assert_eq!(rig.read(5, 2).status, Status::Good);
    assert!(rig.now - start < 1_200_000);
    assert_eq!(rig.wait(1), Some(DriveEvent::Detached));
}

/// Policy 7.4: a card that falls silent and does not answer CMD13 nor one re-initialisation is gone; the command ends with
/// 02h/3Ah/00h first.
#[test]
fn silent_card_is_gone() {
    for blocks in [1, 4] {
        let mut config = high_capacity();
        config.damage.insert(8, Damage::Silence);
        let mut rig = Rig::new(config);
        rig.attach();
        let completion = rig.read(8, blocks);
        assert_eq!(sense_of(completion), Some((NOT_PRESENT, Some(8))));
        assert_eq!(rig.wait(1), Some(DriveEvent::Detached));
        assert!(rig.card.report().is_none());
        assert!(!rig.card.start(&DownCommand::TestUnitReady, Slot::A, rig.now));
    }
}

/// Policy 7.4, removal and insertion, with a detect switch.
#[test]
fn removal_and_insertion_with_a_switch() {
    let model = ModelCard::empty();
    let detect = DetectLow(model.detect());
    let mut rig = Rig::with_detect(model, detect);
    assert_eq!(rig.wait(5), None);
    assert_eq!(rig.card.emitted().wrappers, 0);
    rig.model.exchange(Some(high_capacity()));
    rig.attach();
    let sent = rig.card.emitted().wrappers;
    assert_eq!(rig.wait(5), None);
    assert_eq!(rig.card.emitted().wrappers, sent);
    assert!(rig.start_read(0, 4, Slot::A));
    rig.model.exchange(None);
    assert_eq!(sense_of(rig.done()), Some((NOT_PRESENT, Some(0))));
    assert_eq!(rig.wait(1), Some(DriveEvent::Detached));
    rig.model.exchange(Some(high_capacity()));
    rig.attach();
    rig.model.exchange(None);
    assert_eq!(rig.wait(1), Some(DriveEvent::Detached));
    assert_eq!(rig.wait(5), None);
}

/// Policy 7.4, removal and insertion, without a switch: idle cards are asked, empty slots too.
#[test]
fn removal_and_insertion_without_a_switch() {
    let mut rig = Rig::with_detect(ModelCard::empty(), NoDetect);
    assert_eq!(rig.wait(5), None);
    rig.model.exchange(Some(high_capacity()));
    rig.attach();
    assert_eq!(rig.wait(5), None);
    rig.model.exchange(None);
    assert_eq!(rig.wait(5), Some(DriveEvent::Detached));
    rig.model.exchange(Some(CardConfig { locked: true, ..high_capacity() }));
    assert_eq!(rig.attach().refused, Some(Refused::Locked));
    rig.model.exchange(None);
    assert_eq!(rig.wait(5), Some(DriveEvent::Detached));
    assert_only_reads(&rig.model.counts());
}

/// B23, policy 7.4: another card in the slot is another medium, whether it is served or not.
#[test]
fn exchanged_card_is_captured_anew() {
    let other = CardConfig { cid: [7; 16], ..CardConfig::new(Family::Standard, 512 * 8) };
    for next in [other.clone(), CardConfig { locked: true, ..other.clone() }] {
        let mut rig = Rig::new(high_capacity());
        rig.attach();
        rig.model.exchange(Some(next.clone()));
        assert_eq!(rig.wait(5), Some(DriveEvent::Changed));
        let report = rig.card.report().expect("another card").clone();
        assert_eq!(report.refused, next.locked.then_some(Refused::Locked));
        if !next.locked {
            assert_identity(&report, &next);
            assert_eq!(rig.read(0, 8).status, Status::Good);
        }
    }
    let mut rig = Rig::new(high_capacity());
    rig.attach();
    rig.model.exchange(Some(other));
    let completion = rig.read(100, 2);
    assert_eq!(sense_of(completion), Some((TIMED_OUT, Some(100))));
    assert_eq!(rig.wait(1), Some(DriveEvent::Changed));
}

/// Policy 7.2: a card that lost power in mid-session starts again at CMD0; if it then does not check CRCs it is refused.
#[test]
fn card_that_comes_back_without_crc_is_refused() {
    let mut rig = Rig::new(high_capacity());
    rig.attach();
    rig.model
        .exchange(Some(CardConfig { crc: CrcBehaviour::AcceptsWithoutEffect, ..high_capacity() }));
    assert_eq!(rig.wait(5), Some(DriveEvent::Changed));
    assert_eq!(rig.card.report().and_then(|report| report.refused), Some(Refused::NoCrc));
    assert!(!rig.card.start(&DownCommand::TestUnitReady, Slot::A, rig.now));
}

/// HWB-AM: a card has READ CAPACITY from its capture, READ and TEST UNIT READY; every other command is refused by the driver.
#[test]
fn other_commands_do_not_exist_for_a_card() {
    let mut rig = Rig::new(high_capacity());
    rig.attach();
    let sent = rig.card.emitted().wrappers;
    let vpd = VpdPage::new(0).expect("a page");
    let inquiry = InquiryBytes::new(36).expect("a length");
    for command in [
        DownCommand::RequestSense,
        DownCommand::Inquiry(inquiry),
        DownCommand::Vpd(vpd),
        DownCommand::StartUnit,
        DownCommand::ModeSense,
        DownCommand::AtaIdentify16,
        DownCommand::CheckPowerMode,
        DownCommand::SmartReadData,
    ] {
        assert!(!rig.card.start(&command, Slot::A, rig.now), "{command:?}");
    }
    assert!(rig.card.start(&DownCommand::ReadCapacity10, Slot::A, rig.now));
    assert_eq!(rig.done().delivered, 8);
    assert_eq!(rig.card.data(Slot::A), [0, 0, 0x0F, 0xFF, 0, 0, 2, 0]);
    assert!(rig.card.start(&DownCommand::ReadCapacity16, Slot::B, rig.now));
    assert_eq!(rig.done().delivered, 32);
    assert_eq!(rig.card.data(Slot::B)[..12], [0, 0, 0, 0, 0, 0, 0x0F, 0xFF, 0, 0, 2, 0]);
    assert_eq!(rig.card.emitted().wrappers, sent);
}

/// A range that no slot holds, or that the card has not, is not started.
#[test]
fn reads_beyond_slot_or_card_are_not_started() {
    let mut rig = Rig::new(high_capacity());
    rig.attach();
    assert_eq!(rig.card.slot_bytes(), SLOT);
    assert!(!rig.start_read(0, 17, Slot::A));
    let larger = wb_policy::geometry::Geometry { blocks: 8192, block_bytes: 512 };
    let range = larger.range(4096, 1).expect("within the larger one");
    assert!(!rig.card.start(&DownCommand::Read(range), Slot::A, rig.now));
}

/// Policy 6.1: a host reset in mid-command: CMD12, and the next command waits until the card is in step.
#[test]
fn abandoned_read_is_stopped_and_the_next_one_is_served() {
    for polls in 0..12 {
        for blocks in [1, 16] {
            let mut rig = Rig::new(high_capacity());
            rig.attach();
            assert!(rig.start_read(100, blocks, Slot::A));
            let ended = (0..polls).any(|_| rig.poll().is_some());
            rig.card.abandon(rig.now);
            assert!(rig.start_read(300, 4, Slot::B), "after {polls} polls");
            let completion = rig.done();
            rig.check_data(300, 4, completion);
            assert_eq!(completion.status, Status::Good, "after {polls} polls, ended: {ended}");
            assert_only_reads(&rig.model.counts());
        }
    }
}

/// Counters of the statement: commands of the host by kind, all others as the bridge's own.
#[test]
fn emitted_counts_tell_host_commands_from_own_ones() {
    let mut rig = Rig::new(high_capacity());
    rig.attach();
    let script = *rig.card.emitted();
    assert_eq!(script.own, script.wrappers);
    rig.read(0, 1);
    rig.read(0, 2);
    rig.test_unit_ready();
    let emitted = *rig.card.emitted();
    assert_eq!(emitted.commands[0], 1);
    assert_eq!(emitted.commands[9], 2);
    // CMD12 and CMD13 after the read of two blocks.
    assert_eq!(emitted.own, script.own + 2);
    assert_eq!(emitted.wrappers, script.wrappers + 5);
    assert_eq!((emitted.controls, emitted.recoveries), (0, 0));
}

/// The two slots are independent.
#[test]
fn slots_hold_their_own_data() {
    let mut rig = Rig::new(high_capacity());
    rig.attach();
    assert!(rig.start_read(4, 1, Slot::A));
    rig.done();
    assert!(rig.start_read(5, 1, Slot::B));
    rig.done();
    assert_eq!(rig.card.data(Slot::A), content(4));
    assert_eq!(rig.card.data(Slot::B), content(5));
}

/// Policy 7.4: sense of a refused address: a card that is smaller than its CSD says.
#[test]
fn card_smaller_than_it_says_answers_out_of_range() {
    let mut config = high_capacity();
    for lba in 2048..4096 {
        config.damage.insert(lba, Damage::Token(0x08));
    }
    let mut rig = Rig::new(config);
    rig.attach();
    let found: Option<(Code, Option<u64>)> = sense_of(rig.read(2040, 16));
    assert_eq!(found, Some((LBA_OUT_OF_RANGE, Some(2048))));
}
