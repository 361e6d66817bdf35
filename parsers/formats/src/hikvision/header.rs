//! The 40-byte headers of exported and camera files: `IMKH`, and the older `4HKH`.
//!
//! Facts: `docs/formats/hikvision.md` sections 8.1 and 8.2. `IMKH` is the 32-bit number "HKMI", media info, stored little-endian: it says nothing
//! of encryption. In front of a stream inside a disk or a card it may stand as well (section 17).

use daleel_core::Codec;

use super::codecs;

/// First bytes of a media-info header.
pub const MAGIC: &[u8] = b"IMKH";
/// First bytes of the older header, whose stream is not read.
pub const OLD_MAGIC: &[u8] = b"4HKH";
/// Bytes of both headers.
pub const HEADER_BYTES: usize = 40;

/// A media-info header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the header.
    pub length: usize,
    /// Version as the two bytes read little-endian: 0101h, or 0201h in files of 2022.
    pub version: u16,
    /// How the media are framed: 2 is an MPEG program stream.
    pub system: u16,
    /// Codec of the pictures, if the header names one that is known.
    pub video: Option<Codec>,
    /// Codec of the sound, if the header names one.
    pub audio: Option<Codec>,
}

impl Header {
    /// Whether the media behind it are a program stream, as far as the header says.
    pub const fn is_program_stream(&self) -> bool {
        matches!(self.system, 0 | 2)
    }
}

/// Reads a media-info header. `None` without its magic, without one of the two versions seen, or when the bytes end inside it.
pub fn parse(bytes: &[u8]) -> Option<Header> {
    let header = bytes.get(..HEADER_BYTES).filter(|header| header.starts_with(MAGIC))?;
    let field = |at: usize| {
        let bytes = header.get(at..at.checked_add(2)?)?;
        bytes.try_into().ok().map(u16::from_le_bytes)
    };
    let version = field(0x04)?;
    matches!(version, 0x0101 | 0x0201).then_some(())?;
    Some(Header {
        length: HEADER_BYTES,
        version,
        system: field(0x08)?,
        video: codecs::header_video(field(0x0A)?),
        audio: codecs::header_audio(field(0x0C)?),
    })
}

/// Whether the bytes begin with the older header.
pub fn is_old(bytes: &[u8]) -> bool {
    bytes.starts_with(OLD_MAGIC) && bytes.len() >= HEADER_BYTES
}

#[cfg(test)]
mod tests {
    use hex_literal::hex;

    use super::*;

    /// The header of a real camera's file, 2022.
    const REAL: [u8; 40] = hex!(
        "494d4b480102000002000500000000000000000000000000"
        "81000000000000000000000000000000"
    );

    #[test]
    fn the_header_of_a_real_file() {
        let expected = Header {
            length: 40,
            version: 0x0201,
            system: 2,
            video: Some(Codec::H265),
            audio: None,
        };
        assert_eq!(parse(&REAL), Some(expected));
        assert!(expected.is_program_stream());
        assert_eq!(parse(&REAL[..39]), None);
    }

    #[test]
    fn other_heads_are_not_taken() {
        let mut bytes = REAL;
        bytes[4] = 9;
        assert_eq!(parse(&bytes), None);
        bytes[..4].copy_from_slice(b"4HKH");
        assert!(is_old(&bytes) && !is_old(&bytes[..20]));
        assert_eq!(parse(&bytes), None);
    }
}
