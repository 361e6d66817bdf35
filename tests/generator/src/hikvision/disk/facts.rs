//! The truth about a written disk; every `intact` is a comparison with the bytes of the image.

use super::blocks::{Fragment, PlacedKey};
use super::trees::{Owner, TreeCopy, entry_facts};
use super::{DiskPlan, Geometry};
use crate::image::Image;
use crate::truth::{
    EntryFacts, EntryState, Extent, Frame, FrameKind, KeyIndexFact, Recording, StructureFact,
};

/// What the facts rest on.
pub(super) struct Facts<'a> {
    pub plan: &'a DiskPlan,
    pub geometry: &'a Geometry,
    pub image: &'a Image,
    pub trees: &'a [TreeCopy],
    pub fragments: &'a [Fragment],
}

impl Facts<'_> {
    /// True where `bytes` lie at `at` as they were written.
    pub fn is_on(&self, at: u64, bytes: &[u8]) -> bool {
        at + bytes.len() as u64 <= self.image.len() && self.image.read(at, bytes.len()) == bytes
    }

    /// Place of a structure, and whether it is still there.
    pub fn structure(&self, at: u64, bytes: &[u8]) -> StructureFact {
        StructureFact { extent: [at, bytes.len() as u64], intact: self.is_on(at, bytes) }
    }

    /// All parts of recordings, in the order in which they were written.
    pub fn recordings(&self) -> Vec<Recording> {
        (0..self.fragments.len()).map(|number| self.recording(number)).collect()
    }

    /// Entries of blocks without recording.
    pub fn idle_entries(&self) -> Vec<EntryFacts> {
        (0..self.plan.blocks)
            .map(|block| {
                entry_facts(self.trees, self.geometry, Owner::Block(block), block, self.image)
            })
            .filter(|entry| !entry.copies.is_empty())
            .collect()
    }

    fn id(&self, number: usize) -> String {
        let block = self.fragments[number].block;
        let before = self.fragments[..number].iter().filter(|f| f.block == block).count();
        format!("b{block:04}-{before}")
    }

    fn recording(&self, number: usize) -> Recording {
        let fragment = &self.fragments[number];
        let plan = &self.plan.recordings[fragment.recording];
        let owner = Owner::Fragment(number);
        let entry = entry_facts(self.trees, self.geometry, owner, fragment.block, self.image);
        let listed = entry.copies.iter().any(|copy| copy.intact);
        let first_video = fragment.units.iter().find_map(|(_, unit)| unit.fact.size);
        let frames = self.frames(number);
        Recording {
            listed,
            reason: self.reason(number, &entry, &frames, listed),
            channel: Some(u32::from(fragment.channel)),
            codec: Some(plan.stream.footage.codec().name().into()),
            size: first_video,
            audio: plan.stream.audio_facts(),
            header: fragment.head,
            continues: fragment.continues.map(|before| self.id(before)),
            entry: Some(entry).filter(|entry| !entry.copies.is_empty()),
            key_index: fragment.keys.iter().filter_map(|key| self.key(fragment, key)).collect(),
            frames,
            ..Recording::new(self.id(number))
        }
    }

    fn reason(
        &self,
        number: usize,
        entry: &EntryFacts,
        frames: &[Frame],
        listed: bool,
    ) -> Option<String> {
        let fragment = &self.fragments[number];
        let states: Vec<EntryState> = entry.copies.iter().map(|copy| copy.state).collect();
        let reason = if self.plan.recordings[fragment.recording].before_format {
            "recorded before the disk was initialised"
        } else if !fragment.live && frames.iter().any(|frame| frame.intact) {
            "its block was reused; a part of it is left"
        } else if !fragment.live {
            "its block was reused; nothing of it is left"
        } else if !listed {
            "its index entry is in no copy of the tree that is left"
        } else if states.len() == 1 {
            "its index entry is in one copy of the tree only"
        } else if states.windows(2).any(|pair| pair[0] != pair[1]) {
            "its index entry is open in one copy of the tree and closed in the other"
        } else if states.first() == Some(&EntryState::Open) {
            "left open by a power cut or while running"
        } else {
            return None;
        };
        Some(reason.into())
    }

    fn frames(&self, number: usize) -> Vec<Frame> {
        let fragment = &self.fragments[number];
        let origin = fragment.units.first().map_or(0, |(_, unit)| unit.elapsed);
        let mut key_is_left = true;
        let mut frames = Vec::with_capacity(fragment.units.len());
        for (at, unit) in &fragment.units {
            let mut fact = unit.fact_at(*at);
            fact.elapsed_ms = unit.elapsed - origin;
            fact.extents = self.clip(&fact.extents);
            fact.payload = self.clip(&fact.payload);
            fact.intact = self.is_on(*at, &unit.bytes);
            if !fact.intact {
                fact.reason = Some(self.loss(number, *at, unit.bytes.len() as u64).into());
            }
            if unit.kind == FrameKind::Video {
                key_is_left = if unit.key { fact.intact } else { key_is_left };
                if fact.intact && !key_is_left {
                    fact.note = Some("the key frame of its group is lost".into());
                }
            }
            frames.push(fact);
        }
        frames
    }

    /// The parts of extents that lie on the image.
    fn clip(&self, extents: &[Extent]) -> Vec<Extent> {
        extents
            .iter()
            .filter(|[at, _]| *at < self.image.len())
            .map(|[at, length]| [*at, (*length).min(self.image.len() - at)])
            .collect()
    }

    fn loss(&self, number: usize, at: u64, length: u64) -> &'static str {
        let fragment = &self.fragments[number];
        if at + length > self.image.len() {
            "the image ends before its end"
        } else if !fragment.live
            && self.fragments[number + 1..].iter().any(|f| f.block == fragment.block)
        {
            "overwritten by newer footage or its index"
        } else {
            "damaged on purpose"
        }
    }

    fn key(&self, fragment: &Fragment, key: &PlacedKey) -> Option<KeyIndexFact> {
        if key.at + key.bytes.len() as u64 > self.image.len() {
            return None;
        }
        let (at, unit) = &fragment.units[key.unit];
        Some(KeyIndexFact {
            extent: [key.at, key.bytes.len() as u64],
            time: key.record.time.second_text(),
            channel: key.record.channel,
            target: self.geometry.block(fragment.block) + u64::from(key.record.offset),
            number: key.record.number,
            intact: self.is_on(key.at, &key.bytes),
            target_intact: self.is_on(*at, &unit.bytes),
        })
    }
}
