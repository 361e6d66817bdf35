//! What a person reads of Hikvision disks, cards and files, word for word. Kept in `tests/golden`.

use crate::{run::Evidence, texts::golden};

/// I-1: layouts are named with the facts for and against them, also where parts are gone.
#[test]
fn identify() {
    for (scenario, code) in [
        ("hikvision-intact", 0),
        ("hikvision-both-masters-gone", 1),
        ("hikvision-second-reading", 0),
        ("hikvision-truncated", 1),
        ("hik-imkh-h265", 0),
        ("hik-4hkh", 1),
        ("hik-sd-card", 1),
        ("hik-nas-btree", 1),
    ] {
        let evidence = Evidence::new(scenario);
        let ran = evidence.run(&["identify", evidence.image()]).is(code);
        golden(&format!("identify-{scenario}"), &ran);
    }
}

/// I-2: recordings with states, and what the copies of the index disagree about.
#[test]
fn list() {
    for (scenario, code) in [
        ("hikvision-trees-differ", 1),
        ("hikvision-open-block", 1),
        ("hikvision-several-entries", 0),
        ("hikvision-both-trees-gone", 1),
        ("hik-sd-card", 1),
        ("hik-sd-pictures", 1),
    ] {
        let evidence = Evidence::new(scenario);
        let ran = evidence.run(&["list", evidence.image()]).is(code);
        golden(&format!("list-{scenario}"), &ran);
    }
    let evidence = Evidence::new("hikvision-trees-differ");
    golden("list-json-hikvision", &evidence.run(&["list", evidence.image(), "--json"]).is(1));
    golden("list-csv-hikvision", &evidence.run(&["list", evidence.image(), "--csv"]).is(1));
}

/// G-3: both log areas in every form, and what the filters let through.
#[test]
fn logs() {
    let evidence = Evidence::new("hikvision-logs");
    let image = evidence.image();
    for (name, filters) in [
        ("text", &["--to", "2024-03-13T23:59:59", "--level", "operation"][..]),
        ("codes", &["--code", "3:70", "--code", "3:71"]),
        ("user", &["--user", "root"]),
        ("channel", &["--from", "2024-03-13T18:00", "--channel", "2"]),
        ("time", &["--from", "2024-03-13T08:20", "--to", "2024-03-13T08:40"]),
        ("words", &["--text", "EXPORT"]),
        ("json", &["--text", "login", "--json"]),
        ("jsonl", &["--code", "2:22", "--jsonl"]),
        ("csv", &["--from", "2024-03-13", "--user", "operator", "--csv"]),
        ("nothing", &["--user", "nobody"]),
    ] {
        let arguments = [&["logs", image][..], filters].concat();
        golden(&format!("logs-hikvision-{name}"), &evidence.run(&arguments).is(0));
    }
}

/// every structure of a disk is explained field by field, with the evidence for each meaning.
#[test]
fn show() {
    let evidence = Evidence::new("hikvision-intact");
    let facts = evidence.truth.hikvision.as_ref().unwrap();
    let recording = &evidence.truth.recordings[0];
    let copy = &recording.entry.as_ref().unwrap().copies[0];
    let tree = &facts.trees[0];
    let leaf = tree.nodes.iter().map(|node| node.extent[0]);
    let leaf = leaf.filter(|start| *start < copy.extent[0]).max().unwrap();
    let frames = &recording.frames;
    for (name, offset) in [
        ("master", facts.masters[0].extent[0] + 0x48),
        ("backup-master", facts.masters[1].extent[0]),
        ("log-area", facts.logs[1].extent[0]),
        ("log-record", evidence.truth.log[5].extent[0] + 8),
        ("block-end", facts.video_offset + facts.block_bytes / 2 + 1000 * 512),
        ("pack", frames[0].extents[0][0]),
        ("map-date", frames[0].stored.as_ref().unwrap().time_at.unwrap()),
        ("packet", frames[1].payload[0][0] - 4),
        ("picture", frames[1].payload[0][0] + 100),
        ("key-index", recording.key_index[0].extent[0] + 0x24),
        ("unused-block", facts.video_offset + 12 * facts.block_bytes + 77),
        ("tree-header", tree.extent[0] + 0x10),
        ("root", tree.nodes[1].extent[0] + 0x20),
        ("leaf", leaf + 0x10),
        ("entry", copy.extent[0] + 0x18),
        ("footer", tree.nodes.last().unwrap().extent[0]),
    ] {
        let at = format!("0x{offset:x}");
        let ran = evidence.run(&["show", evidence.image(), "--at", &at]).is(0);
        golden(&format!("show-hikvision-{name}"), &ran);
    }
}

/// and those of a card, where an offset counts in a file.
#[test]
fn show_on_a_card() {
    let evidence = Evidence::new("hik-sd-card");
    let recording = evidence.truth.listed().next().unwrap();
    let segment = recording.segment.as_ref().unwrap();
    let copy = &segment.copies[0];
    let media = recording.file.as_ref().unwrap();
    for (name, file, offset) in [
        ("index-header", &*copy.file, 8),
        ("record", &copy.file, copy.extent[0] + 16),
        ("pack", media, recording.frames[0].extents[0][0]),
        ("key-index", media, recording.key_index[0].extent[0]),
    ] {
        let at = offset.to_string();
        let ran = evidence.run(&["show", evidence.image(), "--file", file, "--at", &at]).is(0);
        golden(&format!("show-hikvision-card-{name}"), &ran);
    }
}
