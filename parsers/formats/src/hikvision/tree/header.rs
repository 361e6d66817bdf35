//! The header node of a tree.
//!
//! Facts: `docs/formats/hikvision.md` section 3.1.

use std::io::Cursor;

use binrw::BinRead;
use daleel_core::{CivilTime, Extent, FindingKind, Findings, FormatError};

use super::{SIGNATURE, STRUCTURE, node::NODE_BYTES};
use crate::hikvision::{
    entry,
    index::bytes::{Patched, text},
};

/// Bytes of the header that are in use.
const HEADER_BYTES: u64 = 0x70;
/// Most nodes of a tree (section 12).
const NODES_MAX: u32 = 16_384;

/// Header of a tree (section 3.1).
#[derive(BinRead, Clone, Debug, PartialEq, Eq)]
#[br(little)]
pub struct TreeHeader {
    /// 00  1 on the trees seen.
    pub node_type: u32,
    /// 04  Not understood.
    pub unknown_04: u32,
    /// 08  Probably the number of free blocks.
    #[br(pad_after = 4)]
    pub unknown_08: u32,
    /// 10  `HIKBTREE`.
    pub signature: [u8; 8],
    /// 20  Version text.
    #[br(pad_before = 8)]
    pub version: [u8; 16],
    /// 34  Bytes of a node.
    #[br(pad_before = 4)]
    pub node_bytes: u32,
    /// 38  2 on the trees seen.
    pub unknown_38: u32,
    /// 3C  Creation time, seconds.
    pub created: u32,
    /// 40  Footer.
    pub footer: u64,
    /// 48  The same value on the trees seen.
    pub unknown_48: u64,
    /// 50  Page list.
    pub root: u64,
    /// 58  First leaf.
    pub first_leaf: u64,
    /// 60  Nodes, header, page list and footer included.
    #[br(pad_after = 4)]
    pub nodes: u32,
    /// 68  Entries.
    pub entries: u32,
}

impl TreeHeader {
    /// The header in these bytes, if its signature stands there.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let header = Self::read_le(&mut Cursor::new(bytes)).ok()?;
        (&header.signature == SIGNATURE).then_some(header)
    }

    /// Reads the header of a tree and says what is wrong with it.
    pub(super) fn read(bytes: &Patched, findings: &mut Findings) -> Option<Self> {
        let at = Extent::new(bytes.at.offset(), HEADER_BYTES);
        let Some(stored) = bytes.get(0, HEADER_BYTES) else {
            findings.note(FindingKind::Hole, at, "the header of this tree could not be read");
            return None;
        };
        let Some(header) = Self::parse(stored) else {
            let found = text(stored.get(0x10..0x18).unwrap_or(&[]));
            let error = FormatError::field(STRUCTURE, at, "signature", found, "HIKBTREE");
            findings.add(error.into());
            return None;
        };
        if u64::from(header.node_bytes) != NODE_BYTES {
            let text = format!(
                "this tree states nodes of {} bytes; read as nodes of 4096",
                header.node_bytes
            );
            findings.note(FindingKind::Interpretation, at, text);
        }
        Some(header)
    }

    /// Version as text.
    pub fn version_text(&self) -> String {
        text(&self.version)
    }

    /// Creation time; whether it is local time is not settled.
    pub fn created_time(&self) -> Option<CivilTime> {
        entry::time(self.created)
    }

    /// True when its page list or its first leaf lies inside the tree under this base.
    pub(super) fn leads_inside(&self, base: u64, tree: Extent) -> bool {
        [self.root, self.first_leaf].into_iter().any(|pointer| {
            let place = base.checked_add(pointer).unwrap_or(0);
            place > tree.offset() && tree.contains(place)
        })
    }

    /// Bytes of the tree by its own numbers: nodes, or the footer.
    pub(super) fn area_bytes(&self, offset: u64) -> Option<u64> {
        let by_nodes = (3..=NODES_MAX)
            .contains(&self.nodes)
            .then(|| u64::from(self.nodes).saturating_mul(NODE_BYTES));
        by_nodes.or_else(|| {
            let footer = self.footer.checked_sub(offset).or(Some(self.footer))?;
            footer.checked_add(NODE_BYTES).filter(|bytes| super::TREE_BYTES_RANGE.contains(bytes))
        })
    }

    /// True for a copy of the same tree: made at about the same time.
    pub fn is_copy_of(&self, other: &Self) -> bool {
        const SAME_TIME_SECONDS: u32 = 60;
        self.created.abs_diff(other.created) <= SAME_TIME_SECONDS
    }
}

#[cfg(test)]
mod tests {
    use hex_literal::hex;

    use super::*;

    /// First 0x70 bytes of the `index00.bin` of an NVR that writes to a NAS (iDS-7208, firmware V4.71.100), as printed field by field in issue 7
    /// of the project libHikvision.
    const REAL: [u8; 0x70] = hex!(
        "01000000a9040000c501000000000000 48494b42545245450000000000000000"
        "48494b2e323031302e31312e30390000 00000000001000000200000095 95536a"
        "00d000000000000000d0000000000000 00100000000000000020000000000000"
        "0e00000000000000c901000000000000"
    );

    /// G-3: a real header.
    #[test]
    fn a_real_header_is_understood() {
        let header = TreeHeader::parse(&REAL).unwrap();
        assert_eq!(header.version_text(), "HIK.2010.11.09");
        assert_eq!((header.node_bytes, header.nodes, header.entries), (0x1000, 14, 457));
        assert_eq!((header.root, header.first_leaf, header.footer), (0x1000, 0x2000, 0xD000));
        assert_eq!(header.unknown_08, 453);
        assert_eq!(header.created_time().unwrap().to_string(), "2026-07-12T13:24:37.000");
        assert_eq!(header.area_bytes(0), Some(0xE000));
        assert!(header.leads_inside(0, Extent::new(0, 0xE000)));
        assert!(!header.leads_inside(0x10_0000, Extent::new(0, 0xE000)));
    }
}
