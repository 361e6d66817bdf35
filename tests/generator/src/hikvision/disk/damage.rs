//! Deliberate damage, done to a disk after it was written.

use super::blocks::Fragment;
use super::geometry::{Geometry, LOG_AREAS, MASTER_AT, MASTER_BYTES};
use super::trees::TreeCopy;
use crate::Error;
use crate::hikvision::RECORD_BYTES;
use crate::image::Image;
use crate::rng::Rng;
use crate::truth::{Damage as Fact, FrameKind};

/// One damage. Recordings and their video frames are numbered as in the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// A master sector is zeroed: 0 the primary, 1 the backup.
    Master(usize),
    /// A copy of the tree is zeroed, 1 or 2.
    Tree(u8),
    /// A node of a copy of the tree is zeroed.
    TreeNode {
        /// Number of the copy, 1 or 2.
        tree: u8,
        /// The node.
        node: Node,
    },
    /// Both log areas are zeroed.
    Logs,
    /// The image ends early.
    Truncate(CutAt),
    /// Random bytes lie over a video frame from its middle on.
    Garbage {
        /// Number of the recording.
        recording: usize,
        /// Number of the video frame within it.
        frame: usize,
        /// How many bytes.
        bytes: usize,
    },
    /// Records of the key-frame index of a recording are changed.
    Keys {
        /// Number of the recording.
        recording: usize,
        /// Every so many records.
        every: usize,
        /// The change.
        edit: KeyEdit,
    },
}

/// A node of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Node {
    /// The header.
    Header,
    /// The root.
    Root,
    /// A leaf, from 0.
    Leaf(usize),
    /// The footer.
    Footer,
}

/// Where an image ends early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CutAt {
    /// Right behind the last data block.
    BeforeTrees,
    /// In the middle of the second tree.
    SecondTree,
    /// In a data block, so many bytes from its start.
    Block(u32, u64),
}

/// A change of a record of the key-frame index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyEdit {
    /// All bytes become zero.
    Zero,
    /// The signature is destroyed.
    Signature,
    /// The offset becomes this value.
    Offset(u32),
    /// The time moves by this many seconds.
    Time(u32),
}

/// A disk that is being damaged.
pub(super) struct Target<'a> {
    pub image: &'a mut Image,
    pub geometry: &'a Geometry,
    pub trees: &'a [TreeCopy],
    pub fragments: &'a [Fragment],
    pub done: Vec<Fact>,
}

impl Target<'_> {
    /// Does one damage and notes it.
    pub fn apply(&mut self, damage: &Damage) -> Result<(), Error> {
        match *damage {
            Damage::Master(0) => self.zero(MASTER_AT, MASTER_BYTES as u64, "master sector zeroed"),
            Damage::Master(_) => {
                self.zero(self.geometry.backup, MASTER_BYTES as u64, "backup master zeroed")
            }
            Damage::Tree(tree) => {
                let copy = &self.trees[usize::from(tree) - 1];
                self.zero(copy.origin, copy.tree.bytes.len() as u64, "tree zeroed")
            }
            Damage::TreeNode { tree, node } => self.zero_node(tree, node),
            Damage::Logs => LOG_AREAS
                .into_iter()
                .try_for_each(|area| self.zero(area.offset, area.length, "log area zeroed")),
            Damage::Truncate(at) => {
                self.truncate(at);
                Ok(())
            }
            Damage::Garbage { recording, frame, bytes } => self.garbage(recording, frame, bytes),
            Damage::Keys { recording, every, edit } => self.keys(recording, every, edit),
        }
    }

    fn zero_node(&mut self, tree: u8, node: Node) -> Result<(), Error> {
        let copy = &self.trees[usize::from(tree) - 1];
        let nodes = &copy.tree.nodes;
        let first_leaf = copy.tree.entries[0].start / nodes[0].len();
        let number = match node {
            Node::Header => 0,
            Node::Root => 1,
            Node::Leaf(leaf) => first_leaf + leaf,
            Node::Footer => nodes.len() - 1,
        };
        let range = &nodes[number];
        self.zero(copy.origin + range.start as u64, range.len() as u64, "tree node zeroed")
    }

    fn truncate(&mut self, at: CutAt) {
        let end = match at {
            CutAt::BeforeTrees => self.geometry.block(self.geometry.blocks),
            CutAt::SecondTree => self.geometry.trees[1] + self.geometry.tree_bytes / 2,
            CutAt::Block(block, bytes) => self.geometry.block(block) + bytes,
        };
        let length = self.image.len() - end;
        self.image.truncate(end);
        self.done.push(Fact { offset: end, length, what: "image cut off".into() });
    }

    fn garbage(&mut self, recording: usize, frame: usize, bytes: usize) -> Result<(), Error> {
        let units = self.fragments.iter().filter(|f| f.recording == recording);
        let mut video =
            units.flat_map(|f| &f.units).filter(|(_, unit)| unit.kind == FrameKind::Video);
        let (at, unit) = video
            .nth(frame)
            .ok_or_else(|| Error::Plan(format!("recording {recording} has no frame {frame}")))?;
        let at = at + unit.bytes.len() as u64 / 2;
        // No zero bytes, so that nothing in it looks like a start code.
        let random: Vec<u8> =
            Rng::new(at, 5).bytes(bytes).into_iter().map(|byte| byte | 1).collect();
        self.write(at, &random, "random bytes over frames")
    }

    fn keys(&mut self, recording: usize, every: usize, edit: KeyEdit) -> Result<(), Error> {
        let fragments = self.fragments.iter().filter(|f| f.recording == recording);
        let keys: Vec<_> = fragments.flat_map(|f| &f.keys).step_by(every).cloned().collect();
        for key in keys {
            let mut bytes = key.bytes;
            let mut put = |at: usize, value: u32| {
                bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
            };
            match edit {
                KeyEdit::Zero => bytes = [0; RECORD_BYTES],
                KeyEdit::Signature => put(0, 0x5555_AAAA),
                KeyEdit::Offset(offset) => put(0x24, offset),
                KeyEdit::Time(seconds) => put(0x18, key.record.time.unix_seconds() + seconds),
            }
            self.write(key.at, &bytes, "key-frame index record changed")?;
        }
        Ok(())
    }

    /// Zeroes a range; of a large one only what is not zero already.
    fn zero(&mut self, offset: u64, length: u64, what: &str) -> Result<(), Error> {
        self.image.clear(offset, length)?;
        self.done.push(Fact { offset, length, what: what.into() });
        Ok(())
    }

    fn write(&mut self, offset: u64, bytes: &[u8], what: &str) -> Result<(), Error> {
        self.image.write(offset, bytes)?;
        self.done.push(Fact { offset, length: bytes.len() as u64, what: what.into() });
        Ok(())
    }
}
