//! A Hikvision disk cut in many places, and one whose index structures are lost in every combination.

use std::collections::BTreeSet;

use daleel_core::FindingKind;
use daleel_generator::{
    scenarios,
    truth::{Frame, FrameKind, Recording, Truth},
};

use crate::reading::{Damaged, Reading, SECTOR, read};

/// Cuts in front of the index: every so many sectors.
const COARSE: u64 = 64;

fn scenario(name: &str) -> (Damaged, Truth) {
    let scenario = scenarios().iter().find(|scenario| scenario.name == name).unwrap();
    let (image, truth) = scenario.build(1).unwrap();
    (Damaged::new(image.read(0, image.len() as usize)), truth)
}

fn pictures(recording: &Recording) -> impl Iterator<Item = &Frame> {
    recording.frames.iter().filter(|frame| frame.intact && frame.kind == FrameKind::Video)
}

/// Pages of the index that the truth knows, each with its bytes.
fn page_of(truth: &Truth, entry: [u64; 2]) -> [u64; 2] {
    let nodes = truth.hikvision.as_ref().unwrap().trees.iter().flat_map(|tree| &tree.nodes);
    let holds = |node: &[u64; 2]| node[0] <= entry[0] && entry[0] < node[0] + node[1];
    nodes.map(|node| node.extent).find(holds).unwrap()
}

/// First payload bytes of the pictures that some surviving page lists; `survives` says so of `[offset, length]`.
fn reachable(truth: &Truth, survives: impl Fn([u64; 2]) -> bool) -> BTreeSet<u64> {
    let is_listed = |recording: &&Recording| {
        let copies = &recording.entry.as_ref().unwrap().copies;
        copies.iter().any(|copy| survives(page_of(truth, copy.extent)))
    };
    let listed = truth.listed().filter(is_listed);
    let frames = listed.flat_map(pictures);
    frames
        .filter(|frame| frame.extents.iter().all(|extent| survives(*extent)))
        .map(|frame| frame.payload[0][0])
        .collect()
}

/// cut in every sector of the index and behind it, and in every 64th before it, a disk loses no picture that a surviving page of the index
/// lists. The trees lie behind all footage: without them nothing is listed, and that is said.
#[test]
fn a_disk_cut_anywhere_loses_nothing_that_a_surviving_page_lists() {
    let (image, truth) = scenario("hikvision-several-entries");
    let facts = truth.hikvision.as_ref().unwrap();
    let master_end = facts.masters[0].extent[0] + facts.masters[0].extent[1];
    let [trees, _] = facts.trees[0].extent;
    let (sectors, fine) = (truth.bytes / SECTOR, trees / SECTOR - 8);
    let (mut most, mut without_trees) = (0, 0);
    for cut in (0..fine).step_by(COARSE as usize).chain(fine..sectors) {
        let length = cut * SECTOR;
        let expected = reachable(&truth, |[offset, bytes]| offset + bytes <= length);
        let Some(reading) = read(&image.cut(length)) else {
            assert!(length < master_end, "cut at sector {cut}: nothing was recognised");
            continue;
        };
        let missing: Vec<_> = expected.difference(&reading.frames).collect();
        assert!(missing.is_empty(), "cut at sector {cut}: lost {missing:?}");
        assert!(reading.says_what_is_missing, "cut at sector {cut}: nothing said");
        if length <= trees {
            let says = |kind| reading.findings.iter().any(|finding| finding.kind == kind);
            assert!(says(FindingKind::DamagedIndex), "cut at sector {cut}: no index, nothing said");
            assert!(reading.frames.is_empty(), "cut at sector {cut}: listed by what?");
            without_trees += 1;
        }
        most = most.max(reading.frames.len());
    }
    let all = truth.listed().flat_map(pictures).count();
    assert!(most == all && without_trees > 1000, "{most} of {all}, {without_trees}");
}

/// What can be lost of a disk beside footage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Masters,
    FirstTree,
    SecondTree,
    /// One leaf, the same in both copies of the tree.
    Page,
    Logs,
}

const PARTS: [Part; 5] = [Part::Masters, Part::FirstTree, Part::SecondTree, Part::Page, Part::Logs];

/// Where a part lies.
fn places(truth: &Truth, part: Part) -> Vec<[u64; 2]> {
    let facts = truth.hikvision.as_ref().unwrap();
    let page = |tree: u8| {
        let entries =
            truth.listed().flat_map(|recording| &recording.entry.as_ref().unwrap().copies);
        let mut own = entries.filter(|copy| copy.tree == tree);
        page_of(truth, own.nth(truth.listed().count() / 2).unwrap().extent)
    };
    match part {
        Part::Masters => facts.masters.iter().map(|master| master.extent).collect(),
        Part::FirstTree => vec![facts.trees[0].extent],
        Part::SecondTree => vec![facts.trees[1].extent],
        Part::Page => vec![page(1), page(2)],
        Part::Logs => facts.logs.iter().map(|log| log.extent).collect(),
    }
}

fn overlap([a, a_bytes]: [u64; 2], [b, b_bytes]: [u64; 2]) -> bool {
    a < b + b_bytes && b < a + a_bytes
}

/// The disk without some parts; checks what must hold of every combination.
fn without(image: &Damaged, truth: &Truth, lost: &[Part]) -> Option<Reading> {
    let zeroed: Vec<_> = lost.iter().flat_map(|part| places(truth, *part)).collect();
    let survives = |extent: [u64; 2]| !zeroed.iter().any(|lost| overlap(*lost, extent));
    let expected = reachable(truth, survives);
    let reading = read(&image.zeroed(&zeroed));
    let Some(found) = &reading else {
        assert!(expected.is_empty(), "{lost:?}: nothing was recognised");
        return reading;
    };
    let missing = expected.difference(&found.frames).count();
    assert_eq!(missing, 0, "{lost:?}: pictures lost of {}", expected.len());
    let real: BTreeSet<u64> = truth.recordings.iter().flat_map(pictures).map(first_byte).collect();
    assert!(found.frames.is_subset(&real), "{lost:?}: pictures that nobody wrote");
    let says = |words: &[&str]| {
        let has = |text: &str| words.iter().any(|word| text.contains(word));
        found.findings.iter().any(|finding| has(&finding.text))
    };
    for part in lost {
        let is_said = match part {
            Part::Masters => says(&["master sector"]),
            Part::FirstTree | Part::SecondTree => {
                says(&["only one copy of the index", "no copy of the index"])
            }
            // Without the tree that it was a part of there is more to be said than that.
            Part::Page => says(&["are missing", "no copy of the index"]),
            Part::Logs => found.events == 0 && says(&["log area"]),
        };
        assert!(is_said, "{lost:?}: {part:?} is not said: {:#?}", found.findings);
    }
    reading
}

fn first_byte(frame: &Frame) -> u64 {
    frame.payload[0][0]
}

/// masters, trees, a page of both trees, and logs, lost in all 32 combinations: what a surviving page lists is delivered, nothing is
/// made up, and what is lost is said.
#[test]
fn what_survives_of_the_index_is_delivered_whatever_else_is_lost() {
    let (image, truth) = scenario("hikvision-many-leaves");
    let mut unreadable = Vec::new();
    for combination in 0..1_u32 << PARTS.len() {
        let is_lost = |n: &usize| combination >> n & 1 == 1;
        let lost: Vec<Part> = (0..PARTS.len()).filter(is_lost).map(|n| PARTS[n]).collect();
        if without(&image, &truth, &lost).is_none() {
            unreadable.push(lost);
        }
    }
    for lost in unreadable {
        let gone = |part| lost.contains(&part);
        assert!(gone(Part::Masters) && gone(Part::FirstTree) && gone(Part::SecondTree), "{lost:?}");
    }
}

/// The primary master alone, or its backup alone: the other one serves, and the loss is said.
#[test]
fn one_master_is_enough() {
    let (image, truth) = scenario("hikvision-several-entries");
    let all = reachable(&truth, |_| true);
    for master in &truth.hikvision.as_ref().unwrap().masters {
        let reading = read(&image.zeroed(&[master.extent])).unwrap();
        assert_eq!(reading.frames, all);
        let says = |kind| reading.findings.iter().any(|finding| finding.kind == kind);
        assert!(says(FindingKind::CopyMismatch), "{:#?}", reading.findings);
    }
}

/// Every page of a tree alone, header, root and footer included: the other copy has what it listed.
#[test]
fn every_page_of_one_tree_can_be_lost() {
    let (image, truth) = scenario("hikvision-several-entries");
    let all = reachable(&truth, |_| true);
    for tree in &truth.hikvision.as_ref().unwrap().trees {
        for node in &tree.nodes {
            let reading = read(&image.zeroed(&[node.extent])).unwrap();
            assert_eq!(reading.frames, all, "tree {}, page {:?}", tree.tree, node.extent);
        }
    }
}
