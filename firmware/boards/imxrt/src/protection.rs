//! The processor's memory protection unit: what the program may do where.
//!
//! | | | |
//! |---|---|---|
//! | ITCM, 192 KiB | code | read and executed, never written |
//! | DTCM, 320 KiB | constants, data, stack | never executed |
//! | OCRAM, 512 KiB | statement, second stack | never executed |
//! | flash, 8 MiB | image, key page, boot counter | only read; FlexSPI's registers write it |
//! | 4000_0000h, 4 MiB | registers | device memory, never executed |
//!
//! Everything else is out of reach. Both stacks begin at the lowest address of their memory, so one that overflows runs into a fault instead of into
//! data; a jump to anywhere but the code is a fault too, the boot ROM among it, and the processor reads nothing on suspicion from memory that is not fitted. A
//! fault ends in a restart. The unit does not bind the bus masters, whose addresses are made by the drivers alone, and it does not separate the two USB
//! sides from each other.
//!
//! Facts: ARMv7-M Architecture Reference Manual, B3.5 (MPU); i.MX RT1060 reference manual, chapter "Memory Maps".

/// Regions of the unit in this chip.
pub const REGIONS: usize = 16;

/// MPU_CTRL: on, without the default map, off within fault handlers.
pub const ON: u32 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Code,
    Constants,
    Data,
    Registers,
}

/// A region: a power of two of bytes, in eight equal parts of which the first ones are there.
#[derive(Clone, Copy, Debug)]
pub struct Region {
    base: u32,
    /// Binary logarithm of its size.
    log2: u32,
    parts: u32,
    usage: Use,
}

/// All of them.
pub const MAP: [Region; 5] = [
    Region { base: 0x0000_0000, log2: 18, parts: 6, usage: Use::Code },
    Region { base: 0x2000_0000, log2: 19, parts: 5, usage: Use::Data },
    Region { base: 0x2020_0000, log2: 19, parts: 8, usage: Use::Data },
    Region { base: 0x6000_0000, log2: 23, parts: 8, usage: Use::Constants },
    Region { base: 0x4000_0000, log2: 22, parts: 8, usage: Use::Registers },
];

const EXECUTE_NEVER: u32 = 1 << 28;
/// AP: privileged code writes and reads; reads.
const WRITES: u32 = 1 << 24;
const READS: u32 = 5 << 24;
/// TEX, C and B: normal memory without cache; shared device.
const NORMAL: u32 = 1 << 19;
const DEVICE: u32 = 1 << 16;
const SHARED: u32 = 1 << 18;

impl Region {
    /// MPU_RBAR and MPU_RASR.
    #[must_use]
    pub const fn words(self) -> [u32; 2] {
        let attributes = match self.usage {
            Use::Code => READS | NORMAL,
            Use::Constants => READS | NORMAL | EXECUTE_NEVER,
            Use::Data => WRITES | NORMAL | EXECUTE_NEVER,
            Use::Registers => WRITES | DEVICE | SHARED | EXECUTE_NEVER,
        };
        // A set bit takes its part out.
        let absent = (0xFF_u32 << self.parts) & 0xFF;
        [self.base, attributes | absent << 8 | self.log2.wrapping_sub(1) << 1 | 1]
    }
}

#[cfg(test)]
mod tests {
    use super::MAP;

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct May {
        read: bool,
        write: bool,
        execute: bool,
    }

    const NOTHING: May = May { read: false, write: false, execute: false };
    const CODE: May = May { read: true, write: false, execute: true };
    const CONSTANTS: May = May { read: true, write: false, execute: false };
    const DATA: May = May { read: true, write: true, execute: false };

    /// What the unit lets privileged code do at an address, from the words alone (ARMv7-M, B3.5.1 and tables B3-14 to B3-16).
    fn may(address: u32) -> May {
        let mut found = NOTHING;
        for region in MAP {
            let [base, word] = region.words();
            let bits = ((word >> 1) & 0x1F) + 1;
            assert!(bits >= 8, "parts need a region of 256 bytes");
            assert_eq!(base & ((1 << bits) - 1), 0, "a base is a multiple of the size");
            assert_eq!(word & 1, 1);
            if address >> bits != base >> bits {
                continue;
            }
            let part = (address >> (bits - 3)) & 7;
            if (word >> (8 + part)) & 1 == 1 {
                continue;
            }
            found = match ((word >> 24) & 7, (word >> 28) & 1) {
                (5, 0) => CODE,
                (5, 1) => CONSTANTS,
                (1, 1) => DATA,
                other => panic!("{other:?}"),
            };
        }
        found
    }

    /// First and last byte of each memory, and the bytes beside them.
    #[test]
    fn what_may_be_done_where() {
        for (first, bytes, wanted) in [
            (0x0000_0000_u32, 0x3_0000, CODE),
            (0x2000_0000, 0x5_0000, DATA),
            (0x2020_0000, 0x8_0000, DATA),
            (0x4000_0000, 0x40_0000, DATA),
            (0x6000_0000, 0x80_0000, CONSTANTS),
        ] {
            let last = first + (bytes - 1);
            assert_eq!((may(first), may(last)), (wanted, wanted), "{first:08x}");
            assert_eq!(may(first.wrapping_sub(1)), NOTHING, "before {first:08x}");
            assert_eq!(may(last + 1), NOTHING, "behind {last:08x}");
        }
        // Boot ROM, SEMC, fast ports.
        for address in [0x0020_0000, 0x8000_0000, 0x4200_0000] {
            assert_eq!(may(address), NOTHING);
        }
    }

    /// ARMv7-M, table B3-13: registers are device memory, all else is normal memory that no cache keeps.
    #[test]
    fn attributes() {
        for region in MAP {
            let [base, word] = region.words();
            let (tex, shared, cache, buffer) =
                ((word >> 19) & 7, (word >> 18) & 1, (word >> 17) & 1, (word >> 16) & 1);
            let wanted = if base == 0x4000_0000 { (0, 1, 0, 1) } else { (1, 0, 0, 0) };
            assert_eq!((tex, shared, cache, buffer), wanted, "{base:08x}");
        }
    }
}
