//! Entries of both copies of the tree as one list.
//!
//! Facts: `docs/formats/hikvision.md` sections 3.4, 3.6 and 5. An entry that both copies hold is one entry; two versions of the same entry are
//! one entry with a conflict; an entry that only one copy holds says something only where the other copy could hold it.

use std::collections::{BTreeMap, HashMap};

use daleel_core::Reason;

use crate::hikvision::{
    entry::{Entry, EntryState, Key},
    tree::{Slot, Tree},
};

/// Entries of all copies, and how many of them never were in use.
pub struct Merged {
    /// All but the never used, by start and block.
    pub entries: Vec<Entry>,
    /// Blocks that never were in use.
    pub unused: u64,
}

/// An entry under way, with the copies that hold it.
struct Item {
    entry: Entry,
    key: Key,
    /// Bit per copy.
    copies: u8,
}

/// Merges the slots of the copies, in the order of the copies.
pub fn merge(copies: &[(Tree, Vec<Slot>)]) -> Merged {
    let mut items: Vec<Item> = Vec::new();
    let mut places: HashMap<Key, usize> = HashMap::new();
    for (number, (_, slots)) in copies.iter().enumerate() {
        let bit = 1u8.checked_shl(u32::try_from(number).unwrap_or(0)).unwrap_or(0);
        for slot in slots.iter().filter(|slot| slot.listed) {
            let key = slot.raw.key();
            match places.get(&key).and_then(|place| items.get_mut(*place)) {
                Some(item) => item.join(slot, bit),
                None => {
                    places.insert(key, items.len());
                    items.push(Item { entry: slot.raw.decode(slot.at), key, copies: bit });
                }
            }
        }
    }
    if let [(first, _), (second, _)] = copies {
        pair_versions(&mut items);
        for item in &mut items {
            item.note_single_copy([first, second]);
        }
    }
    let unused = items.iter().filter(|item| item.entry.state == EntryState::Unused).count() as u64;
    let stale = stale(copies, &items, &places);
    let mut entries: Vec<Entry> = items
        .into_iter()
        .map(|item| item.entry)
        .filter(|entry| entry.state != EntryState::Unused)
        .chain(stale)
        .collect();
    entries.sort_by_key(|entry| (entry.raw_start, entry.block, entry.stale, entry.at.offset()));
    Merged { entries, unused }
}

impl Item {
    /// Takes in another place that holds the same entry.
    fn join(&mut self, slot: &Slot, bit: u8) {
        self.copies |= bit;
        self.entry.copies.push(slot.at);
        let state = slot.raw.entry_state();
        if state == self.entry.state {
            return;
        }
        let rank = |state: &EntryState| match state {
            EntryState::Closed => 3,
            EntryState::Open => 2,
            EntryState::Reserved => 1,
            EntryState::Unused | EntryState::Damaged(_) => 0,
        };
        let mut other = slot.raw.decode(slot.at);
        if rank(&state) > rank(&self.entry.state) {
            std::mem::swap(&mut self.entry, &mut other);
            self.entry.copies = std::mem::take(&mut other.copies);
        }
        self.entry.disagree(&other);
    }

    /// Says what it means that only one of two copies holds this entry.
    fn note_single_copy(&mut self, trees: [&Tree; 2]) {
        let (other, name) = match (self.copies, trees) {
            (1, [_, second]) => (second, "second"),
            (2, [first, _]) => (first, "first"),
            _ => return,
        };
        // A copy without a page is missing: that is said once, not with every entry.
        if self.entry.state == EntryState::Unused || other.leaves.is_empty() {
            return;
        }
        let at = self.entry.at;
        let is_damaged = matches!(self.entry.state, EntryState::Damaged(_));
        if !is_damaged && other.covers(self.entry.raw_start) {
            self.entry.conflict = true;
            let text =
                format!("the {name} copy of the index can be read and does not hold this entry");
            self.entry.reasons.push(Reason::against(text, at));
        } else {
            let text = match is_damaged {
                true => format!("the {name} copy of the index does not hold this damaged entry"),
                false => format!(
                    "the {name} copy of the index is damaged where this entry would be: only the other one holds it"
                ),
            };
            self.entry.reasons.push(Reason::against(text, at));
        }
    }
}

impl Entry {
    /// Marks that another copy holds another version.
    fn disagree(&mut self, other: &Self) {
        self.conflict = true;
        let text = format!("another copy of the index holds this entry as: {}", other.summary());
        self.reasons.push(Reason::against(text, other.at));
    }

    /// True for two versions of what is one entry: same block and channel, and one was not closed yet or they begin alike.
    fn is_version_of(&self, other: &Self) -> bool {
        let is_open = |entry: &Self| entry.state == EntryState::Open;
        let in_use = |entry: &Self| {
            entry.channel.is_some()
                && !matches!(entry.state, EntryState::Unused | EntryState::Reserved)
        };
        in_use(self)
            && in_use(other)
            && self.block == other.block
            && self.channel == other.channel
            && (self.raw_start == other.raw_start || is_open(self) || is_open(other))
    }

    /// Which of two versions is the later one: closed before open, then the later end.
    fn version_rank(&self) -> (bool, u32) {
        (self.state == EntryState::Closed, if self.end.is_some() { self.raw_end } else { 0 })
    }
}

/// Joins the entries that one copy holds in an earlier version than the other.
fn pair_versions(items: &mut Vec<Item>) {
    let mut by_block: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for (place, item) in items.iter().enumerate().filter(|(_, item)| item.copies == 2) {
        by_block.entry(item.entry.block).or_default().push(place);
    }
    if by_block.is_empty() {
        return;
    }
    let mut gone = vec![false; items.len()];
    for place in 0..items.len() {
        let Some(one) = items.get(place).filter(|item| item.copies == 1) else { continue };
        let candidates = by_block.get(&one.entry.block).map_or(&[][..], Vec::as_slice);
        let partner = candidates.iter().copied().find(|other| {
            let free = gone.get(*other) == Some(&false);
            free && items.get(*other).is_some_and(|two| one.entry.is_version_of(&two.entry))
        });
        let Some(partner) = partner else { continue };
        let Some(mut two) = items.get(partner).map(|item| item.entry.clone()) else { continue };
        if let Some(one) = items.get_mut(place) {
            if two.version_rank() > one.entry.version_rank() {
                std::mem::swap(&mut one.entry, &mut two);
            }
            one.entry.copies.extend(two.copies.iter().copied());
            one.entry.disagree(&two);
            one.copies = 3;
        }
        if let Some(mark) = gone.get_mut(partner) {
            *mark = true;
        }
    }
    let mut gone = gone.into_iter();
    items.retain(|_| !gone.next().unwrap_or(false));
}

/// Entries that are no longer listed and are no earlier form of one that is.
fn stale(copies: &[(Tree, Vec<Slot>)], items: &[Item], listed: &HashMap<Key, usize>) -> Vec<Entry> {
    let mut blocks: HashMap<(u64, Option<u32>), Vec<&Item>> = HashMap::new();
    let mut out: Vec<Entry> = Vec::new();
    let mut seen: HashMap<Key, usize> = HashMap::new();
    for slot in copies.iter().flat_map(|(_, slots)| slots).filter(|slot| !slot.listed) {
        if blocks.is_empty() {
            for item in items {
                blocks.entry((item.entry.block, item.entry.channel)).or_default().push(item);
            }
        }
        let key = slot.raw.key();
        if listed.contains_key(&key) || !slot.raw.is_in_use() {
            continue;
        }
        if let Some(known) = seen.get(&key).and_then(|place| out.get_mut(*place)) {
            known.copies.push(slot.at);
            continue;
        }
        let mut entry = slot.raw.decode(slot.at);
        let same = blocks.get(&(entry.block, entry.channel)).map_or(&[][..], Vec::as_slice);
        if entry.state == EntryState::Open || same.iter().any(|item| item.key.1 == entry.raw_start)
        {
            continue;
        }
        entry.stale = true;
        let text = "no longer listed: an entry left behind in a page of the index";
        entry.reasons.push(Reason::against(text, slot.at));
        seen.insert(key, out.len());
        out.push(entry);
    }
    out
}
