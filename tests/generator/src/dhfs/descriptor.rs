//! Cluster descriptors.
//!
//! Facts: `docs/formats/dahua.md`, section 1.4 and the second reading in section 12.

use super::put_u32;
use crate::civil::Moment;

/// Bytes of a descriptor.
pub const DESCRIPTOR_BYTES: usize = 32;

/// Descriptor of a reserved cluster.
pub const RESERVED: [u8; DESCRIPTOR_BYTES] = {
    let mut bytes = [0; DESCRIPTOR_BYTES];
    bytes[0] = 0xFE;
    bytes
};

/// A descriptor of a cluster in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptor {
    /// True for the first cluster of a recording.
    pub head: bool,
    /// Camera input, from 1.
    pub channel: u8,
    /// High nibble of the channel byte: 2 or 3.
    pub nibble: u8,
    /// True where byte 1F carries the channel.
    pub extended: bool,
    /// Head: number of continuations. Continuation: its place in the chain, from 1.
    pub count: u16,
    /// Packed begin; see [`Descriptor::date`].
    pub begin: u32,
    /// Packed end.
    pub end: u32,
    /// Next cluster, 0 for none.
    pub next: u32,
    /// Sectors used in the last cluster.
    pub tail_sectors: u32,
    /// Previous cluster, 0 in a head.
    pub previous: u32,
    /// Cluster of the head.
    pub own: u32,
}

impl Descriptor {
    /// A moment as it stands in a descriptor.
    pub fn date(moment: Option<Moment>) -> u32 {
        moment.map_or(0, Moment::packed)
    }

    /// The 32 bytes.
    pub fn encode(&self) -> [u8; DESCRIPTOR_BYTES] {
        let mut bytes = [0; DESCRIPTOR_BYTES];
        bytes[0] = if self.head { 1 } else { 2 };
        bytes[1] = self.nibble << 4 | (self.channel - 1) & 0xF;
        bytes[2..4].copy_from_slice(&self.count.to_le_bytes());
        put_u32(&mut bytes, 0x04, self.begin);
        put_u32(&mut bytes, 0x08, self.end);
        put_u32(&mut bytes, 0x0C, self.next);
        put_u32(&mut bytes, 0x10, self.tail_sectors);
        put_u32(&mut bytes, 0x14, self.previous);
        put_u32(&mut bytes, 0x18, self.own);
        if self.extended {
            bytes[0x1D] = 1;
            bytes[0x1F] = self.channel & 0x1F;
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hex_literal::hex;

    #[test]
    fn a_head_and_a_continuation_of_disk_a_are_byte_exact() {
        let head = Descriptor {
            head: true,
            channel: 4,
            nibble: 2,
            extended: false,
            count: 840,
            begin: Moment::at((2020, 4, 14), (22, 2, 57)).packed(),
            end: Moment::at((2020, 4, 14), (23, 0, 0)).packed(),
            next: 4162,
            tail_sectors: 3584,
            previous: 0,
            own: 4160,
        };
        assert_eq!(
            head.encode(),
            hex!("01234803b9601d5100701d5142100000 000e0000000000004010000000000000")
        );
        let continuation = Descriptor {
            head: false,
            channel: 2,
            count: 6,
            begin: 0x511D_60DC,
            end: 0x511D_60E1,
            next: 4178,
            tail_sectors: 0,
            previous: 4173,
            own: 4161,
            ..head
        };
        assert_eq!(
            continuation.encode(),
            hex!("02210600dc601d51e1601d5152100000 000000004d1000004110000000000000")
        );
    }

    #[test]
    fn an_extended_channel_is_stored_from_1() {
        let descriptor = Descriptor {
            head: true,
            channel: 20,
            nibble: 3,
            extended: true,
            count: 0,
            begin: 0,
            end: 0,
            next: 0,
            tail_sectors: 1,
            previous: 0,
            own: 9,
        };
        let bytes = descriptor.encode();
        assert_eq!((bytes[1], bytes[0x1D], bytes[0x1F]), (0x33, 1, 20));
    }
}
