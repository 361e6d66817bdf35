//! The drive's visible size, and ranges of blocks that lie within it.
//!
//! A [`BlockRange`] can only be made by [`Geometry::range`], so an address that reaches a drive has been compared
//! with the captured capacity (the published policy, section 3.1).

/// Visible size as the drive gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Number of logical blocks.
    pub blocks: u64,
    /// Bytes in a logical block.
    pub block_bytes: u32,
}

impl Geometry {
    /// The range, if it is not empty and lies wholly within the drive.
    #[must_use]
    pub fn range(&self, lba: u64, blocks: u32) -> Option<BlockRange> {
        let room = self.blocks.checked_sub(lba)?;
        (blocks > 0 && u64::from(blocks) <= room).then_some(BlockRange { lba, blocks })
    }

    /// Size in bytes.
    #[must_use]
    pub fn bytes(&self) -> u128 {
        u128::from(self.blocks).saturating_mul(u128::from(self.block_bytes))
    }
}

/// Consecutive logical blocks within the drive's visible size; never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockRange {
    lba: u64,
    blocks: u32,
}

impl BlockRange {
    /// First block.
    #[must_use]
    pub fn lba(&self) -> u64 {
        self.lba
    }

    /// Number of blocks.
    #[must_use]
    pub fn blocks(&self) -> u32 {
        self.blocks
    }

    /// The first blocks, at most `at_most` (at least one) of them, and what is left.
    #[must_use]
    pub fn split(&self, at_most: u32) -> (Self, Option<Self>) {
        let first = self.blocks.min(at_most.max(1));
        let left = self.blocks.saturating_sub(first);
        let rest = Self { lba: self.lba.saturating_add(u64::from(first)), blocks: left };
        (Self { lba: self.lba, blocks: first }, (left > 0).then_some(rest))
    }
}
