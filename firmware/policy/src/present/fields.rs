//! The fields of INQUIRY data and of vital product data that are shown as zero: the closed list of section 5.2.
//!
//! One table drives both the rewriting and the list of edits in a statement, so that neither can say what the other does
//! not do. Facts: SPC-4 6.6.2 (standard INQUIRY data); SBC-3 6.5.3 (Block Limits), 6.5.4 (Logical Block Provisioning); SBC-4
//! for the atomic write fields.

use super::vpd;

/// Bits that are shown as zero in every byte of a range.
pub(super) struct Cleared {
    pub(super) name: &'static str,
    pub(super) first: usize,
    pub(super) last: usize,
    pub(super) mask: u8,
}

impl Cleared {
    const fn bits(name: &'static str, byte: usize, mask: u8) -> Self {
        Self { name, first: byte, last: byte, mask }
    }

    const fn bytes(name: &'static str, first: usize, last: usize) -> Self {
        Self { name, first, last, mask: 0xFF }
    }

    /// Whether a byte string has one of the bits set.
    pub(super) fn is_set_in(&self, bytes: &[u8]) -> bool {
        let count = self.last.saturating_sub(self.first).saturating_add(1);
        bytes.iter().skip(self.first).take(count).any(|byte| byte & self.mask != 0)
    }
}

/// A byte as it is shown.
pub(super) fn shown(cleared: &[Cleared], index: usize, byte: u8) -> u8 {
    cleared
        .iter()
        .filter(|field| (field.first..=field.last).contains(&index))
        .fold(byte, |byte, field| byte & !field.mask)
}

/// Standard INQUIRY data.
pub(super) const INQUIRY: [Cleared; 10] = [
    Cleared::bits("INQUIRY peripheral qualifier", 0, 0xE0),
    Cleared::bits("INQUIRY NormACA", 3, 0x20),
    Cleared::bits("INQUIRY SCCS", 5, 0x80),
    Cleared::bits("INQUIRY ACC", 5, 0x40),
    Cleared::bits("INQUIRY TPGS", 5, 0x30),
    Cleared::bits("INQUIRY 3PC", 5, 0x08),
    Cleared::bits("INQUIRY PROTECT", 5, 0x01),
    Cleared::bits("INQUIRY EncServ", 6, 0x40),
    Cleared::bits("INQUIRY MultiP", 6, 0x10),
    Cleared::bits("INQUIRY CmdQue", 7, 0x02),
];

/// First byte of every vital product data page.
pub(super) const VPD_QUALIFIER: [Cleared; 1] = [Cleared::bits("VPD peripheral qualifier", 0, 0xE0)];

/// Block Limits.
const VPD_B0: [Cleared; 6] = [
    Cleared::bits("VPD B0h WSNZ", 4, 0x01),
    Cleared::bytes("VPD B0h maximum COMPARE AND WRITE length", 5, 5),
    Cleared::bytes("VPD B0h maximum UNMAP LBA count", 20, 23),
    Cleared::bytes("VPD B0h maximum UNMAP block descriptor count", 24, 27),
    Cleared::bytes("VPD B0h maximum WRITE SAME length", 36, 43),
    Cleared::bytes("VPD B0h atomic write fields", 44, 63),
];

/// Logical Block Provisioning.
const VPD_B2: [Cleared; 4] = [
    Cleared::bits("VPD B2h LBPU", 5, 0x80),
    Cleared::bits("VPD B2h LBPWS", 5, 0x40),
    Cleared::bits("VPD B2h LBPWS10", 5, 0x20),
    Cleared::bits("VPD B2h provisioning type", 6, 0x07),
];

/// READ CAPACITY(16), section 5.4 (SBC-3 5.16.2).
pub(super) const CAPACITY16: [Cleared; 4] = [
    Cleared::bits("READ CAPACITY(16) P_TYPE", 12, 0x0E),
    Cleared::bits("READ CAPACITY(16) PROT_EN", 12, 0x01),
    Cleared::bits("READ CAPACITY(16) LBPME", 14, 0x80),
    Cleared::bits("READ CAPACITY(16) LBPRZ", 14, 0x40),
];

/// The table of a page's contents.
pub(super) fn of_page(page: u8) -> &'static [Cleared] {
    match page {
        vpd::BLOCK_LIMITS => &VPD_B0,
        vpd::PROVISIONING => &VPD_B2,
        _ => &[],
    }
}
