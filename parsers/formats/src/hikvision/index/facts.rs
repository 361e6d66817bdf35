//! The structure of a disk in pairs of name and value, for people.

use daleel_core::{CivilTime, Volume};

use super::Index;
use crate::hikvision::{
    entry::EntryState,
    log,
    master::Master,
    tree::{NODE_BYTES, Tree},
};

/// What a person wants to know about the layout.
pub fn facts(index: &Index, volume: &Volume) -> Vec<(String, String)> {
    let mut out = Facts(Vec::new());
    if let Some(master) = &index.master {
        of_master(master, &mut out);
    }
    let geometry = &index.geometry;
    out.add(
        "blocks",
        format!(
            "{} of {} bytes from 0x{:x}",
            geometry.blocks, geometry.block_bytes, geometry.video_base
        ),
    );
    for reason in &geometry.reasons {
        out.add("block grid", reason.text.clone());
    }
    for (number, tree) in index.trees.iter().enumerate() {
        of_tree(&format!("tree {}", number.saturating_add(1)), tree, volume, &mut out);
    }
    of_copies(&index.trees, &mut out);
    of_entries(index, &mut out);
    let areas = log::areas(index, volume);
    out.0.extend(log::facts(volume, &areas));
    out.0
}

/// Facts of a tree alone, for one that is stored in a file.
pub fn of_file(tree: &Tree, volume: &Volume) -> Vec<(String, String)> {
    let mut out = Facts(Vec::new());
    of_tree("tree", tree, volume, &mut out);
    out.0
}

struct Facts(Vec<(String, String)>);

impl Facts {
    fn add(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.push((name.into(), value.into()));
    }
}

fn date(time: Option<CivilTime>) -> String {
    time.map_or("no time".to_owned(), |time| {
        format!("{} (whether local time or UTC is not settled)", time.to_seconds_text())
    })
}

fn of_master(master: &Master, out: &mut Facts) {
    out.add("version", master.version_text());
    out.add("master sector", format!("0x{:x}", master.at.offset()));
    out.add("capacity stated", format!("{} bytes", master.capacity));
    out.add("initialised", date(master.initialised_time()));
    for (number, area) in master.logs.iter().enumerate() {
        let name = format!("log area {}", number.saturating_add(1));
        let value = match area.size {
            0 => "not stated; its usual place is read".to_owned(),
            _ => format!("{} bytes at 0x{:x}", area.size, area.offset),
        };
        out.add(name, value);
    }
    let zero = match (master.unknown_70, master.video_bytes) {
        (0, 0) => "zero, as by the second reading (docs/formats/hikvision.md, section 17)",
        (0, _) | (_, 0) => "one of the two is zero",
        _ => "set, as by the first reading (docs/formats/hikvision.md, section 17)",
    };
    out.add("master fields +70h and +80h", zero);
}

fn of_tree(name: &str, tree: &Tree, volume: &Volume, out: &mut Facts) {
    let at = tree.at;
    out.add(
        name,
        format!("0x{:x}, {} bytes, found by: {}", at.offset(), at.len(), tree.found_by.as_text()),
    );
    let Some(header) = &tree.header else {
        out.add(format!("{name}, header"), "not usable; pages by a scan");
        return;
    };
    out.add(format!("{name}, version"), header.version_text());
    out.add(format!("{name}, created"), date(header.created_time()));
    out.add(
        format!("{name}, leaves"),
        format!("{} in {} page lists", tree.leaves.len(), tree.lists.len()),
    );
    out.add(format!("{name}, entries counted by its header"), header.entries.to_string());
    let base = match tree.pointer_base {
        Some(base) if base == volume.extent.offset() => "the start of the disk, or file",
        Some(base) if base == at.offset() => "the start of the tree",
        Some(_) => "the start of the medium",
        None => "nothing found: they lead nowhere",
    };
    out.add(format!("{name}, pointers count from"), base);
    let mut types: Vec<u32> = tree.leaves.iter().map(|leaf| leaf.node_type).collect();
    types.sort_unstable();
    types.dedup();
    out.add(format!("{name}, node type of leaves"), format!("{types:?}"));
    let stated = tree.stated_bytes.and_then(|bytes| at.offset().checked_add(bytes));
    let behind = [Some(at.end()), stated];
    let footer = match tree.footer {
        Some(footer) if behind.contains(&Some(footer.offset())) => {
            "at offset plus size of the tree, as by the second reading (docs/formats/hikvision.md, section 17)".to_owned()
        }
        Some(footer) if footer.end() == at.end() => {
            "last node inside the size of the tree, as by the first reading (docs/formats/hikvision.md, section 17)"
                .to_owned()
        }
        Some(footer) => format!("0x{:x}", footer.offset()),
        None => "not where the header says".to_owned(),
    };
    out.add(format!("{name}, footer"), footer);
}

fn of_copies(trees: &[Tree], out: &mut Facts) {
    let [first, second] = trees else { return };
    let gap = second.at.offset().saturating_sub(first.at.end());
    let text = match gap {
        0 => "the second follows the first directly".to_owned(),
        _ => format!("{gap} bytes ({} nodes) between them", gap / NODE_BYTES),
    };
    out.add("tree copies", text);
}

fn of_entries(index: &Index, out: &mut Facts) {
    let count = |wanted: fn(&super::Entry) -> bool| {
        index.entries.iter().filter(|entry| wanted(entry)).count().to_string()
    };
    out.add("entries closed", count(|entry| !entry.stale && entry.state == EntryState::Closed));
    out.add("entries not closed", count(|entry| !entry.stale && entry.state == EntryState::Open));
    out.add("entries reserved", count(|entry| !entry.stale && entry.state == EntryState::Reserved));
    let damaged =
        |entry: &super::Entry| !entry.stale && matches!(entry.state, EntryState::Damaged(_));
    out.add("entries damaged", count(damaged));
    out.add("entries no longer listed", count(|entry| entry.stale));
    out.add("entries in conflict", count(|entry| entry.conflict));
    out.add("blocks never used", index.unused_blocks.to_string());
}
