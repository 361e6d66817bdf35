//! The fixed records of the format, as bytes and what they mean.
//!
//! Facts: Expert Witness Compression Format (libyal); `docs/formats/ewf.md` sections 1 to 8. Integers are little-endian;
//! a checksum is the Adler-32 of zlib with start value 1.

/// Bytes of the header of a segment file.
pub(super) const FILE_HEADER_BYTES: u64 = 13;
/// Bytes of a section descriptor.
pub(super) const DESCRIPTOR_BYTES: u64 = 76;
/// Bytes of the header of a table, without its descriptor.
pub(super) const TABLE_HEADER_BYTES: u64 = 24;
/// Bytes of a volume section as EnCase writes it, without its descriptor.
const VOLUME_BYTES: usize = 1052;
/// Bytes of a volume section of the original format and of SMART.
const OLD_VOLUME_BYTES: usize = 94;
/// Bytes of the header of an error list.
pub(super) const ERROR_HEADER_BYTES: u64 = 520;

/// Signature of a segment of a physical image.
pub(super) const SIGNATURE: [u8; 8] = *b"EVF\x09\x0d\x0a\xff\x00";

/// The checksum of the format.
pub(super) fn adler32(bytes: &[u8]) -> u32 {
    simd_adler32::adler32(&bytes)
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|two| u16::from_le_bytes(*two))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|four| u32::from_le_bytes(*four))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|eight| u64::from_le_bytes(*eight))
}

/// Whether the four bytes at `at` are the checksum of all bytes before them.
fn sums_at(bytes: &[u8], at: usize) -> bool {
    bytes.get(..at).map(adler32).is_some_and(|sum| u32_at(bytes, at) == Some(sum))
}

/// What a section holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text about the case, 8 bits a character.
    Header,
    /// The same in UTF-16.
    Header2,
    /// The same as XML, by libewf alone.
    XHeader,
    /// Geometry (`volume`, `disk`).
    Volume,
    /// A copy of the geometry.
    Data,
    /// Chunks.
    Sectors,
    /// Where the chunks lie.
    Table,
    /// The copy of that.
    Table2,
    /// Sectors that could not be read from the medium.
    Error2,
    /// MD5 and SHA-1.
    Digest,
    /// MD5.
    Hash,
    /// The image goes on in the next file.
    Next,
    /// The image ends.
    Done,
    /// An acquisition that was not finished.
    Incomplete,
    /// Files of a logical evidence file.
    Logical,
    /// A section that nothing is needed of.
    Other,
    /// Bytes where a section should begin, and no descriptor can be read.
    Lost,
}

/// Section types by name.
const KINDS: [(&[u8], Kind); 20] = [
    (b"header", Kind::Header),
    (b"header2", Kind::Header2),
    (b"xheader", Kind::XHeader),
    (b"volume", Kind::Volume),
    (b"disk", Kind::Volume),
    (b"data", Kind::Data),
    (b"sectors", Kind::Sectors),
    (b"table", Kind::Table),
    (b"table2", Kind::Table2),
    (b"error2", Kind::Error2),
    (b"digest", Kind::Digest),
    (b"hash", Kind::Hash),
    (b"next", Kind::Next),
    (b"done", Kind::Done),
    (b"incomplete", Kind::Incomplete),
    (b"ltree", Kind::Logical),
    (b"ltypes", Kind::Logical),
    (b"session", Kind::Other),
    (b"xhash", Kind::Other),
    (b"error", Kind::Other),
];

/// The types that a search for lost sections looks for: names as they stand in a descriptor.
pub(super) fn type_fields() -> impl Iterator<Item = [u8; 16]> {
    KINDS.iter().map(|(name, _)| {
        let mut field = [0; 16];
        for (target, byte) in field.iter_mut().zip(name.iter()) {
            *target = *byte;
        }
        field
    })
}

/// The 76 bytes in front of every section.
#[derive(Clone, Debug)]
pub(super) struct Descriptor {
    /// 00 name of the type, zero padded.
    pub(super) name: String,
    /// What that is; `None` for a name that is not known.
    pub(super) kind: Option<Kind>,
    /// 10 offset of the next section in this file.
    pub(super) next: u64,
    /// 18 size, this descriptor included; 0 in old files.
    pub(super) size: u64,
    /// 48 whether the checksum of the bytes before it is right.
    pub(super) sums: bool,
}

impl Descriptor {
    pub(super) fn parse(bytes: &[u8; 76]) -> Self {
        let field = bytes.get(..16).unwrap_or_default();
        let name = field.split(|byte| *byte == 0).next().unwrap_or_default();
        Self {
            name: name.escape_ascii().to_string(),
            kind: KINDS.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind),
            next: u64_at(bytes, 16).unwrap_or(0),
            size: u64_at(bytes, 24).unwrap_or(0),
            sums: sums_at(bytes, 72),
        }
    }

    /// True when no section follows in this file.
    pub(super) fn is_last(&self) -> bool {
        matches!(self.kind, Some(Kind::Next | Kind::Done))
    }
}

/// Geometry of the medium, as `volume`, `disk` and `data` state it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Geometry {
    pub(super) chunks: u64,
    pub(super) sectors_per_chunk: u32,
    pub(super) sector_bytes: u32,
    pub(super) sectors: u64,
    pub(super) set_identifier: Option<[u8; 16]>,
    /// Type of the medium; `None` in the old form.
    pub(super) media_type: Option<u8>,
    /// The old form of 94 bytes, and whether SMART signed it.
    pub(super) old: Option<bool>,
    pub(super) sums: bool,
}

impl Geometry {
    /// Reads the payload of a section; longer payloads are taken as the form of EnCase.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        if let Some(bytes) = bytes.get(..VOLUME_BYTES) {
            return Self::parse_encase(bytes);
        }
        let bytes = bytes.get(..OLD_VOLUME_BYTES)?;
        Some(Self {
            chunks: u32_at(bytes, 4)?.into(),
            sectors_per_chunk: u32_at(bytes, 8)?,
            sector_bytes: u32_at(bytes, 12)?,
            sectors: u32_at(bytes, 16)?.into(),
            set_identifier: None,
            media_type: None,
            old: Some(bytes.get(85..90)? == b"SMART"),
            sums: sums_at(bytes, 90),
        })
    }

    fn parse_encase(bytes: &[u8]) -> Option<Self> {
        let identifier: [u8; 16] = bytes.get(64..80)?.try_into().ok()?;
        // Some Logicube devices leave the checksum of `data` zero.
        let sums = sums_at(bytes, 1048) || u32_at(bytes, 1048)? == 0;
        Some(Self {
            chunks: u32_at(bytes, 4)?.into(),
            sectors_per_chunk: u32_at(bytes, 8)?,
            sector_bytes: u32_at(bytes, 12)?,
            sectors: u64_at(bytes, 16)?,
            set_identifier: (identifier != [0; 16]).then_some(identifier),
            media_type: bytes.first().copied(),
            old: None,
            sums,
        })
    }

    /// True when both state one medium.
    pub(super) fn is_same_medium(&self, other: &Self) -> bool {
        let key = |one: &Self| (one.chunks, one.sectors_per_chunk, one.sector_bytes, one.sectors);
        key(self) == key(other)
    }
}

/// The 24 bytes in front of the entries of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TableHeader {
    /// 00 number of entries.
    pub(super) entries: u32,
    /// 08 what offsets count from.
    pub(super) base: u64,
    /// 14 whether the checksum of the bytes before it is right.
    pub(super) sums: bool,
}

impl TableHeader {
    pub(super) fn parse(bytes: &[u8; 24]) -> Self {
        Self {
            entries: u32_at(bytes, 0).unwrap_or(0),
            base: u64_at(bytes, 8).unwrap_or(0),
            sums: sums_at(bytes, 20),
        }
    }

    /// Bytes of the entries, without checksum.
    pub(super) fn entry_bytes(&self) -> u64 {
        u64::from(self.entries).saturating_mul(4)
    }
}

/// The number of ranges of an error list, and whether its header's checksum is right.
pub(super) fn error_count(header: &[u8]) -> Option<(u32, bool)> {
    Some((u32_at(header, 0)?, sums_at(header, 516)))
}

/// The MD5 of a `hash` section, when its checksum is right.
pub(super) fn hash_md5(bytes: &[u8]) -> Option<[u8; 16]> {
    sums_at(bytes, 32).then(|| bytes.first_chunk().copied()).flatten()
}

/// MD5 and SHA-1 of a `digest` section, when its checksum is right. Zeros mean that none was computed.
pub(super) fn digests(bytes: &[u8]) -> Option<([u8; 16], [u8; 20])> {
    let sha1 = bytes.get(16..)?.first_chunk().copied()?;
    sums_at(bytes, 76).then_some((bytes.first_chunk().copied()?, sha1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first descriptor of a file that ewfacquire 20140813 wrote.
    #[test]
    fn a_descriptor_of_another_program_is_read() {
        let mut bytes = [0; 76];
        bytes[..7].copy_from_slice(b"header2");
        bytes[16..18].copy_from_slice(&[0xf9, 0x00]);
        bytes[24..26].copy_from_slice(&[0xec, 0x00]);
        let sum = adler32(&bytes[..72]);
        assert!(!Descriptor::parse(&bytes).sums);
        bytes[72..].copy_from_slice(&sum.to_le_bytes());
        let descriptor = Descriptor::parse(&bytes);
        assert_eq!((descriptor.next, descriptor.size, descriptor.sums), (249, 236, true));
        assert_eq!(descriptor.kind, Some(Kind::Header2));
    }

    /// The known answer of RFC 1950 implementations, and of an empty input.
    #[test]
    fn the_checksum_is_that_of_zlib() {
        assert_eq!(adler32(b"Wikipedia"), 0x11E6_0398);
        assert_eq!(adler32(b""), 1);
    }
}
