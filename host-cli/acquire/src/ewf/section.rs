//! The bytes of sections, but for those of case text and chunks.
//!
//! Facts: Expert Witness Compression Format (libyal), sections "section descriptor", "volume", "table", "error2", "digest", "hash";
//! compared with files of `ewfacquire` 20140813. All integers are little-endian; every checksum is Adler-32.

use super::{chunk::Compression, header::SetFacts, plan::Plan};

/// Bytes of a section descriptor.
pub const DESCRIPTOR_BYTES: u64 = 76;
/// Bytes at the start of a segment file.
pub const FILE_HEADER_BYTES: u64 = 13;
/// Bytes of a volume or data section.
const VOLUME_SECTION_BYTES: u64 = DESCRIPTOR_BYTES + 1052;
/// Bytes of a table or table2 section around its entries.
const TABLE_FRAME_BYTES: u64 = DESCRIPTOR_BYTES + 24 + 4;
/// Bytes of a group around its chunks and entries.
pub const GROUP_BYTES: u64 = DESCRIPTOR_BYTES + 2 * TABLE_FRAME_BYTES;
/// Where the first group of a later segment begins.
pub const LATER_START: u64 = FILE_HEADER_BYTES + VOLUME_SECTION_BYTES;
/// A bound of where the first group of the first segment begins: seven texts of 2,999 characters, twice in two bytes, once in one.
pub const FIRST_START_MAX: u64 = LATER_START + (112 << 10);

/// The entry of a compressed chunk in a table.
pub const COMPRESSED: u32 = 1 << 31;

/// Bytes of the sections after the last group, with `errors` entries in the error list.
pub const fn tail_bytes(errors: u32) -> u64 {
    VOLUME_SECTION_BYTES
        .saturating_add(error2_bytes(errors))
        .saturating_add(DESCRIPTOR_BYTES + 80)
        .saturating_add(DESCRIPTOR_BYTES + 36)
        .saturating_add(DESCRIPTOR_BYTES)
}

const fn error2_bytes(errors: u32) -> u64 {
    (DESCRIPTOR_BYTES + 520 + 4).saturating_add((errors as u64).saturating_mul(8))
}

/// Bytes of a table section with `entries`.
pub const fn table_bytes(entries: u64) -> u64 {
    TABLE_FRAME_BYTES.saturating_add(entries.saturating_mul(4))
}

/// Kinds of sections that are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Case text in UTF-16.
    Header2,
    /// Case text in 8 bits.
    Header,
    /// Geometry, in the first segment.
    Volume,
    /// Chunks.
    Sectors,
    /// Offsets of the chunks before it.
    Table,
    /// The same again.
    Table2,
    /// The volume section again.
    Data,
    /// Unreadable sectors.
    Error2,
    /// MD5 and SHA-1.
    Digest,
    /// MD5.
    Hash,
    /// The set goes on in another file.
    Next,
    /// The set ends.
    Done,
}

impl Kind {
    const fn name(self) -> &'static [u8] {
        match self {
            Self::Header2 => b"header2",
            Self::Header => b"header",
            Self::Volume => b"volume",
            Self::Sectors => b"sectors",
            Self::Table => b"table",
            Self::Table2 => b"table2",
            Self::Data => b"data",
            Self::Error2 => b"error2",
            Self::Digest => b"digest",
            Self::Hash => b"hash",
            Self::Next => b"next",
            Self::Done => b"done",
        }
    }
}

/// Adler-32 with the ordinary start value.
pub fn adler(bytes: &[u8]) -> u32 {
    simd_adler32::adler32(&bytes)
}

/// `bytes` and their checksum.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let sum = adler(&bytes);
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes
}

/// The 13 bytes at the start of segment `number`.
pub fn file_header(number: u16) -> Vec<u8> {
    let mut bytes = b"EVF\t\r\n\xFF\0\x01".to_vec();
    bytes.extend_from_slice(&number.to_le_bytes());
    bytes.extend_from_slice(&[0; 2]);
    bytes
}

/// The descriptor of a section of `size` bytes, descriptor included, at `start`.
pub fn descriptor(kind: Kind, start: u64, size: u64) -> Vec<u8> {
    described(kind, start.saturating_add(size), size)
}

/// The descriptor that ends a segment at `start`: it points to itself and has no size.
pub fn terminal(kind: Kind, start: u64) -> Vec<u8> {
    described(kind, start, 0)
}

fn described(kind: Kind, next: u64, size: u64) -> Vec<u8> {
    let mut bytes = kind.name().to_vec();
    bytes.resize(16, 0);
    bytes.extend_from_slice(&next.to_le_bytes());
    bytes.extend_from_slice(&size.to_le_bytes());
    bytes.resize(72, 0);
    sealed(bytes)
}

/// A whole section of `payload` at `start`, after `bytes`.
pub fn append(bytes: &mut Vec<u8>, kind: Kind, start: u64, payload: &[u8]) {
    let at = start.saturating_add(bytes.len() as u64);
    let size = DESCRIPTOR_BYTES.saturating_add(payload.len() as u64);
    bytes.extend_from_slice(&descriptor(kind, at, size));
    bytes.extend_from_slice(payload);
}

/// The 1052 bytes of the volume section, and of its copies.
pub fn volume(plan: &Plan, facts: &SetFacts) -> Vec<u8> {
    let mut bytes = u32::from(MEDIA_FIXED).to_le_bytes().to_vec();
    bytes.extend_from_slice(&plan.chunks().to_le_bytes());
    bytes.extend_from_slice(&plan.chunk_sectors().to_le_bytes());
    bytes.extend_from_slice(&plan.sector_bytes().to_le_bytes());
    bytes.extend_from_slice(&plan.sectors().to_le_bytes());
    bytes.resize(36, 0);
    bytes.push(FLAG_IMAGE | FLAG_PHYSICAL);
    bytes.resize(52, 0);
    bytes.push(match facts.compression {
        Compression::Never => 0,
        Compression::Adaptive => 1,
        Compression::Best => 2,
    });
    bytes.resize(56, 0);
    // Error granularity: errors are known to the sector.
    bytes.extend_from_slice(&1u32.to_le_bytes());
    bytes.resize(64, 0);
    bytes.extend_from_slice(&facts.guid);
    bytes.resize(1048, 0);
    sealed(bytes)
}

const MEDIA_FIXED: u8 = 1;
const FLAG_IMAGE: u8 = 1;
const FLAG_PHYSICAL: u8 = 2;

/// The table entry of a chunk at `offset` from the base, which is below 2^31.
pub fn entry(offset: u64, compressed: bool) -> u32 {
    let offset = u32::try_from(offset).unwrap_or(u32::MAX);
    if compressed { offset | COMPRESSED } else { offset & !COMPRESSED }
}

/// The payload of a table: `entries` counted from `base`.
pub fn table(base: u64, entries: &[u32]) -> Vec<u8> {
    let count = u32::try_from(entries.len()).unwrap_or(u32::MAX);
    let mut head = count.to_le_bytes().to_vec();
    head.resize(8, 0);
    head.extend_from_slice(&base.to_le_bytes());
    head.resize(20, 0);
    let mut bytes = sealed(head);
    bytes.extend_from_slice(&sealed(entries.iter().flat_map(|e| e.to_le_bytes()).collect()));
    bytes
}

/// The payload of the error list: first sector and number of sectors of each unreadable range.
pub fn error2(ranges: &[(u32, u32)]) -> Vec<u8> {
    let mut head = u32::try_from(ranges.len()).unwrap_or(u32::MAX).to_le_bytes().to_vec();
    head.resize(516, 0);
    let mut bytes = sealed(head);
    let entries = ranges.iter().flat_map(|(first, count)| [*first, *count]);
    bytes.extend_from_slice(&sealed(entries.flat_map(u32::to_le_bytes).collect()));
    bytes
}

/// The payload of the digest section.
pub fn digest(md5: &[u8; 16], sha1: &[u8; 20]) -> Vec<u8> {
    let mut bytes = md5.to_vec();
    bytes.extend_from_slice(sha1);
    bytes.resize(76, 0);
    sealed(bytes)
}

/// The payload of the hash section.
pub fn hash(md5: &[u8; 16]) -> Vec<u8> {
    let mut bytes = md5.to_vec();
    bytes.resize(32, 0);
    sealed(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ewf::SegmentSize;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        let pairs = digits.chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
        pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
    }

    fn zeros(count: usize) -> Vec<u8> {
        vec![0; count]
    }

    /// the first 89 bytes of a file of `ewfacquire` 20140813, whose header2 section has 257 bytes.
    #[test]
    fn file_header_and_descriptor_are_those_of_ewfacquire() {
        let ours = [file_header(1), descriptor(Kind::Header2, 13, 257)].concat();
        let theirs = [
            hex("455646090d0aff00 01 0100 0000"),
            hex("68656164657232 000000000000000000 0e01000000000000 0101000000000000"),
            zeros(40),
            hex("ad0239b8"),
        ];
        assert_eq!(ours, theirs.concat());
        assert_eq!(file_header(0x1234)[8..], hex("01 3412 0000"));
    }

    /// the last section points to itself and has no size.
    #[test]
    fn the_end_points_to_itself() {
        let done = terminal(Kind::Done, 0x0102_0304_0506);
        assert_eq!(
            done[..32],
            hex("646f6e65 000000000000000000000000 0605040302010000 0000000000000000")
        );
        assert_eq!(done[32..72], zeros(40));
        assert_eq!(done.len(), 76);
        assert_eq!(done[72..], adler(&done[..72]).to_le_bytes());
    }

    /// a 4 TB disk in the volume section, field by field.
    #[test]
    fn volume_says_how_the_medium_is_cut() {
        let plan = Plan::new(4_000_787_030_016, 512, SegmentSize::Auto, None).unwrap();
        let facts = SetFacts {
            guid: std::array::from_fn(|n| n as u8 + 1),
            acquired: 0,
            system: 0,
            model: String::new(),
            serial: String::new(),
            software: String::new(),
            os: String::new(),
            compression: Compression::Best,
        };
        let bytes = volume(&plan, &facts);
        let expected = [
            hex("01000000 fb024707 40000000 00020000 b0bec0d101000000"),
            zeros(12),
            hex("03000000"),
            zeros(12),
            hex("02000000 01000000 00000000 0102030405060708090a0b0c0d0e0f10"),
            zeros(963 + 5),
        ]
        .concat();
        assert_eq!(bytes[..1048], expected);
        assert_eq!(bytes[1048..], adler(&expected).to_le_bytes());
        assert_eq!(bytes.len(), 1052);
    }

    /// a table of three chunks, the second compressed; the checksums are those of another zlib.
    #[test]
    fn a_table_has_two_checksums() {
        let entries = [entry(0x4C, false), entry(0x8050, true), entry(0x8100, false)];
        let bytes = table(0x072D, &entries);
        let head = "03000000 00000000 2d07000000000000 00000000 3800b902";
        let rest = "4c000000 50800080 00810000 1e029f0d";
        assert_eq!(bytes, [hex(head), hex(rest)].concat());
        assert_eq!(table_bytes(95), 484);
        assert_eq!(table_bytes(3), 76 + bytes.len() as u64);
    }

    #[test]
    fn offsets_keep_out_of_the_flag() {
        assert_eq!(entry(0x7FFF_FFFF, false), 0x7FFF_FFFF);
        assert_eq!(entry(0x7FFF_FFFF, true), 0xFFFF_FFFF);
    }

    #[test]
    fn errors_and_hashes_have_their_lengths() {
        let list = error2(&[(100, 3), (7, 1)]);
        assert_eq!(list.len() as u64, error2_bytes(2) - 76);
        assert_eq!(list[..4], hex("02000000"));
        assert_eq!(list[4..516], zeros(512));
        assert_eq!(list[520..536], hex("64000000 03000000 07000000 01000000"));
        let both = digest(&[0xAA; 16], &[0xBB; 20]);
        assert_eq!((both.len(), &both[36..76]), (80, &zeros(40)[..]));
        assert_eq!((both[15], both[16], both[35]), (0xAA, 0xBB, 0xBB));
        let one = hash(&[0xAA; 16]);
        assert_eq!((one.len(), &one[16..32]), (36, &zeros(16)[..]));
        let tail = VOLUME_SECTION_BYTES + error2_bytes(2) + 156 + 112 + 76;
        assert_eq!(tail_bytes(2), tail);
    }
}
