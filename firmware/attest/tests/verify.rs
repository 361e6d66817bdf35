//! What the host finds in a statement, in the log and about the image.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![allow(clippy::cast_possible_truncation, clippy::float_arithmetic)]

mod common;

use common::{Sample, answers, entries, expected, scsi, sign};
use proptest::prelude::*;
use wb_attest::log::{CHUNK, Entry, Frontier};
use wb_attest::sha256;
use wb_attest::statement::{
    Asked, Bounds, Claims, Counter, Emission, EndReason, ErrorExtent, Extent, Kind, Skip,
};
use wb_attest::verify::{
    Finding, Image, ImageError, LogVerdict, Signed, Statement, log_agrees, proven_entries,
};

fn statement(claims: &Claims<'_>) -> Statement {
    Signed::parse(&sign(claims, &Bounds::LARGE)).unwrap().unverified().clone()
}

/// What is found after a change to the lists and a change to the claims.
fn found(lists: impl FnOnce(&mut Sample), change: impl FnOnce(&mut Claims<'_>)) -> Vec<Finding> {
    let mut sample = Sample::new();
    lists(&mut sample);
    let mut claims = sample.claims();
    change(&mut claims);
    statement(&claims).findings(&expected())
}

/// Every claim arrives as it was given.
#[test]
fn claims_arrive() {
    let sample = Sample::new();
    let claims = sample.claims();
    let read = statement(&claims);
    assert_eq!(read.findings(&expected()), []);
    assert_eq!((read.start_nonce, read.end_nonce), (claims.start_nonce, claims.end_nonce));
    assert_eq!((read.boot_counter, read.session, read.audit), (17, claims.session, claims.audit));
    assert_eq!(
        (read.device.hardware.as_str(), read.firmware.build.as_str()),
        ("teensy41", "0.1.0")
    );
    assert_eq!(read.drive.capacity, claims.drive.capacity);
    assert_eq!(read.drive.dco_max, Asked::NotAsked(Skip::BridgeNotListed));
    assert_eq!(read.drive.amax, Asked::Failed);
    assert_eq!((read.originated.total, &read.originated.steps.first), (5, &sample.steps));
    assert_eq!(read.originated.not_run.first, sample.not_run);
    assert_eq!(read.counters.total, claims.counters.total);
    assert_eq!(read.counters.rows.first, sample.rows);
    assert_eq!(read.emitted.commands.first, sample.commands);
    assert_eq!((&read.refusals.first, &read.refusals.last), (&sample.first, &sample.last));
    assert_eq!(read.coverage.extents.first, sample.extents);
    assert_eq!(read.coverage.errors.first, sample.errors);
    assert_eq!((read.log.entries, read.log.root), (13, claims.log.root));
    assert_eq!(read.edits.first.len(), 2);
}

/// 4.3, policy section 1: bytes sent to the drive are 31 for each command block, or it is reported.
#[test]
fn bulk_out_bytes_are_31_for_each_command() {
    let fine = found(|_| (), |claims| claims.emitted.cbws += 0);
    assert_eq!(fine, []);
    let more = found(|_| (), |claims| claims.emitted.bulk_out_bytes += 512);
    assert_eq!(more, [Finding::BulkOut]);
    let huge = found(
        |_| (),
        |claims| {
            claims.emitted.cbws = u64::MAX;
            claims.emitted.bulk_out_bytes = u64::MAX.wrapping_mul(31);
        },
    );
    assert_eq!(huge, [Finding::BulkOut, Finding::EmittedSum]);
    let hidden = found(
        |sample| sample.commands.push(Emission { command: scsi(0x2F, 1), count: 1, at_start: 0 }),
        |claims| {
            claims.emitted.cbws -= 1;
            claims.emitted.bulk_out_bytes -= 31;
        },
    );
    assert_eq!(hidden, [Finding::EmittedSum]);
    let backwards = found(|sample| sample.commands[0].at_start = 4, |_| ());
    assert_eq!(backwards, [Finding::EmittedSum]);
}

/// 4.3: the sum check of the counters, row by row and in total.
#[test]
fn counters_add_up() {
    let row = scsi(0x28, 0);
    assert_eq!(
        found(|sample| sample.rows[1].answers.forwarded += 1, |_| ()),
        [Finding::CounterSum(row), Finding::CounterTotal]
    );
    assert_eq!(
        found(|sample| sample.rows[1].at_start = answers(5001, 0, 0, 0, 0), |_| ()),
        [Finding::CounterStart(row)]
    );
    assert_eq!(found(|sample| sample.rows.swap(1, 2), |_| ()), [Finding::CounterOrder(row)]);
    let again =
        Counter { command: row, answers: answers(1, 0, 0, 0, 0), at_start: answers(0, 0, 0, 0, 0) };
    assert_eq!(found(|sample| sample.rows.insert(2, again), |_| ()), [Finding::CounterOrder(row)]);
    assert_eq!(
        found(|_| (), |claims| claims.counters.total = answers(5001, 4, 2, 0, 2)),
        [Finding::CounterTotal]
    );
    assert_eq!(
        found(|_| (), |claims| claims.counters.total_at_start.received += 1),
        [Finding::CounterTotal]
    );
}

/// The refused commands are those of the counters, and the first and last 32 are all there.
#[test]
fn refusals_fit_the_counters() {
    let count = [Finding::RefusalCount];
    assert_eq!(found(|_| (), |claims| claims.refusals.total = 5), count);
    assert_eq!(found(|_| (), |claims| claims.refusals.total = 3), count);
    assert_eq!(found(|_| (), |claims| claims.refusals.modifying = 5), count);
    assert_eq!(found(|sample| sample.first.truncate(3), |claims| claims.refusals.total = 4), count);
    let many = |sample: &mut Sample| {
        let refusal = sample.first[0];
        sample.first = vec![refusal; 32];
        sample.last = vec![refusal; 32];
        sample.rows[2].answers = answers(0, 0, 1000, 0, 0);
    };
    assert_eq!(found(many, |claims| claims.refusals.total = 1002), []);
    assert_eq!(found(many, |claims| claims.refusals.total = 64), count);
}

/// Session, attach script, coverage and log are looked at too.
#[test]
fn the_other_claims_are_checked() {
    let session = [Finding::Session];
    assert_eq!(found(|_| (), |c| c.session.kind = Kind::Checkpoint), session);
    assert_eq!(found(|_| (), |c| c.session.reason = EndReason::Detached), session);
    assert_eq!(found(|_| (), |c| c.session.end_us = 0), session);
    assert_eq!(found(|_| (), |c| c.session.number = 0), session);
    assert_eq!(found(|_| (), |c| c.originated.total = 4), [Finding::Originated]);
    assert_eq!(found(|_| (), |c| c.originated.total = 6), []);
    let coverage = [Finding::Coverage];
    assert_eq!(found(|_| (), |c| c.coverage.blocks += 1), coverage);
    assert_eq!(found(|_| (), |c| c.drive.capacity = 4095), coverage);
    let extents = |extents: &[(u64, u64)]| {
        let list = extents.iter().map(|(lba, blocks)| Extent { lba: *lba, blocks: *blocks });
        found(|sample| sample.extents = list.collect(), |_| ())
    };
    assert_eq!(extents(&[(0, 10), (11, 5)]), []);
    assert_eq!(extents(&[(0, 10), (10, 5)]), coverage, "touching");
    assert_eq!(extents(&[(20, 10), (0, 5)]), coverage);
    assert_eq!(extents(&[(0, 0)]), coverage);
    assert_eq!(extents(&[(u64::MAX, 2)]), coverage);
    let error = ErrorExtent { lba: u64::MAX, blocks: 1, sense: [3, 0x11, 0] };
    assert_eq!(found(|sample| sample.errors.push(error), |_| ()), coverage);
    let log = [Finding::Log];
    assert_eq!(found(|_| (), |c| c.log.lost = 1), log);
    assert_eq!(found(|_| (), |c| c.log.entries = 0), log);
    let lost = Extent { lba: 3, blocks: 2 };
    assert_eq!(found(|sample| sample.lost.push(lost), |_| ()), []);
    assert_eq!(found(|sample| sample.lost.push(Extent { lba: 12, blocks: 2 }), |_| ()), log);
}

/// 4.4: the streamed entries are checked against the root; a changed, missing, exchanged or added
/// entry is noticed.
#[test]
fn the_root_is_checked_against_the_entries() {
    let sample = Sample::new();
    let read = statement(&sample.claims());
    let all = entries(20);
    assert_eq!(log_agrees(&read, &all[..13]), LogVerdict::Agrees);
    assert_eq!(log_agrees(&read, &all), LogVerdict::Agrees, "later entries do not matter");
    for have in 0..13_u64 {
        let part = &all[..have as usize];
        assert_eq!(log_agrees(&read, part), LogVerdict::Missing { have });
        let mut changed = all.clone();
        changed[have as usize].digest[31] ^= 1;
        assert_eq!(log_agrees(&read, &changed), LogVerdict::Differs);
        let mut moved = all.clone();
        moved[have as usize].chunk += 1;
        assert_eq!(log_agrees(&read, &moved), LogVerdict::Differs);
    }
    let mut swapped = all;
    swapped.swap(3, 4);
    assert_eq!(log_agrees(&read, &swapped), LogVerdict::Missing { have: 3 });
}

/// 4.4: entries count up to the last statement whose root they make; a lost entry put back wrongly
/// leaves what lies before the checkpoint.
#[test]
fn entries_are_proven_up_to_the_last_agreeing_statement() {
    let statements: Vec<Statement> = [5, 9, 13]
        .into_iter()
        .map(|count| {
            let mut sample = Sample::new();
            sample.entries.truncate(count);
            statement(&sample.claims())
        })
        .collect();
    let all = entries(13);
    assert_eq!(proven_entries(&statements, &all), 13);
    assert_eq!(proven_entries(statements.iter().rev(), &all), 13);
    assert_eq!(proven_entries(&statements, &all[..12]), 9);
    assert_eq!(proven_entries(&statements, &[]), 0);
    assert_eq!(proven_entries([], &all), 0);
    for (wrong, proven) in [(12, 9), (9, 9), (8, 5), (5, 5), (4, 0), (0, 0)] {
        let mut put_back = all.clone();
        put_back[wrong].digest = [0; 32];
        assert_eq!(proven_entries(&statements, &put_back), proven, "{wrong}");
    }
}

fn entry(seq: u64, chunk: u64, len: u32, data: u8) -> Entry {
    Entry { seq, chunk, len, digest: [data; 32] }
}

/// 4.4: image chunk -> first complete entry over all sessions; other contents later are reported
/// with both values; chunks without an entry are named.
#[test]
fn the_first_entry_stands_for_a_chunk() {
    let mut image = Image::new(10 * u64::from(CHUNK) + 5);
    assert_eq!((image.chunks(), image.chunk_len(10), image.chunk_len(11)), (11, Some(5), None));
    assert_eq!(image.uncovered(), std::slice::from_ref(&(0..11)));
    image
        .add_session(1, &[entry(0, 4, CHUNK, 1), entry(1, 2, CHUNK, 2), entry(2, 4, CHUNK, 1)])
        .unwrap();
    image.add_session(2, &[entry(0, 10, 5, 3), entry(1, 4, CHUNK, 9)]).unwrap();
    let first = image.covered(4).unwrap();
    assert_eq!((first.session, first.seq, first.digest), (1, 0, [1; 32]));
    assert_eq!(image.covered(3), None);
    assert_eq!((image.covered_chunks(), image.covered_bytes()), (3, 2 * u64::from(CHUNK) + 5));
    assert_eq!(image.uncovered(), [0..2, 3..4, 5..10]);
    let [unstable] = image.unstable() else { panic!() };
    assert_eq!((unstable.chunk, unstable.first, unstable.later.digest), (4, *first, [9; 32]));
    assert_eq!((unstable.later.session, unstable.later.seq), (2, 1));
}

/// Entries that cannot be of the medium are refused.
#[test]
fn entries_of_another_medium_are_refused() {
    let mut image = Image::new(u64::from(CHUNK) + 5);
    let behind = Err(ImageError::BehindEnd { seq: 7 });
    assert_eq!(image.add_session(1, &[entry(7, 2, 5, 0)]), behind);
    assert_eq!(image.add_session(1, &[entry(7, u64::MAX, 5, 0)]), behind);
    let length = Err(ImageError::Length { seq: 7 });
    assert_eq!(image.add_session(1, &[entry(7, 0, 5, 0)]), length);
    assert_eq!(image.add_session(1, &[entry(7, 1, CHUNK, 0)]), length);
    assert_eq!(image.covered_chunks(), 0);
    assert_eq!((Image::new(0).chunks(), Image::new(0).uncovered()), (0, vec![]));
}

proptest! {
    /// Covered and uncovered chunks are the whole medium, whatever the order of the entries.
    #[test]
    fn covered_and_uncovered_are_everything(
        chunks in 0_u64..60, picks in proptest::collection::vec(0_u64..60, 0..80)
    ) {
        let mut image = Image::new(chunks * u64::from(CHUNK));
        let list: Vec<Entry> = picks
            .iter()
            .filter(|pick| **pick < chunks)
            .enumerate()
            .map(|(seq, pick)| entry(seq as u64, *pick, CHUNK, *pick as u8))
            .collect();
        image.add_session(0, &list).unwrap();
        let bare: u64 = image.uncovered().iter().map(|range| range.end - range.start).sum();
        prop_assert_eq!(bare + image.covered_chunks(), chunks);
        for chunk in 0..chunks {
            let open = image.uncovered().iter().any(|range| range.contains(&chunk));
            prop_assert_eq!(open, image.covered(chunk).is_none());
            prop_assert_eq!(open, !picks.contains(&chunk));
        }
        prop_assert!(image.unstable().is_empty());
    }
}

/// A clip's chunk is proven by its entry and a path to the signed root, without the rest of the log.
#[test]
fn a_chunk_is_proven_without_the_others() {
    let sample = Sample::new();
    let read = statement(&sample.claims());
    let tree = wb_attest::verify::Tree::of(&sample.entries).unwrap();
    let entry = sample.entries[6];
    assert_eq!(entry.digest, sha256(&[&6_u64.to_be_bytes()]));
    let path = tree.inclusion(6, read.log.entries).unwrap();
    let proven = |entry: &Entry| {
        let (size, root) = (read.log.entries, &read.log.root);
        wb_attest::proof::check_inclusion(&entry.leaf(), entry.seq, size, &path, root)
    };
    assert!(proven(&entry));
    assert!(!proven(&Entry { chunk: entry.chunk + 1, ..entry }));
    assert!(!proven(&sample.entries[7]));
}

/// The rendering is complete JSON with hex digits and names.
#[test]
fn a_statement_is_rendered_as_json() {
    let sample = Sample::new();
    let json = serde_json::to_value(statement(&sample.claims())).unwrap();
    assert_eq!(json["start_nonce"], "11".repeat(32));
    assert_eq!(json["device"]["key_protection"], "plain-flash");
    assert_eq!(json["firmware"]["hash_engine"], "software");
    assert_eq!(json["session"]["kind"], "final");
    assert_eq!(json["session"]["previous"], "superseded");
    assert_eq!(json["drive"]["native_max"]["value"], 234_441_648);
    assert_eq!(json["drive"]["dco_max"]["not-asked"], "bridge-not-listed");
    assert_eq!(json["drive"]["amax"], "failed");
    let inquiry = &json["drive"]["medium"]["usb"]["scsi"]["inquiry"];
    assert_eq!(inquiry["text"], "........Acme    Diskette..      0001");
    assert_eq!(inquiry["hex"].as_str().unwrap().len(), 72);
    assert_eq!(json["drive"]["medium"]["usb"]["ata"]["wwn"], "50014ee200000001");
    assert_eq!(json["originated"]["steps"]["first"][1]["outcome"]["sense"], "02".repeat(32));
    assert_eq!(json["originated"]["not_run"]["first"][0]["reason"], "bridge-not-listed");
    assert_eq!(json["counters"]["rows"]["first"][2]["answers"]["refused_wp"], 2);
    assert_eq!(json["counters"]["rows"]["first"][2]["command"]["layer"], "scsi");
    assert_eq!(json["refusals"]["first"][0]["cdb"], "2a000000000000000100");
    assert_eq!(json["coverage"]["errors"]["first"][0]["sense"], "031100");
    assert_eq!(json["edits"]["first"][1]["original"]["len"], 40);
    assert_eq!(json["log"]["root"].as_str().unwrap().len(), 64);
    let mut log = Frontier::new();
    sample.entries.iter().for_each(|entry| log.append(entry).unwrap());
    assert_eq!(json["log"]["entries"], log.size());
}
