//! Codec numbers: stream types of the program stream map, and the codes of the file header.
//!
//! Facts: `docs/formats/hikvision.md` sections 7.3 (stream types) and 8.1 (file header). Names of codecs that are not carried are the usual ones.

use daleel_core::Codec;

/// Codec of a video stream type. `None` for B0h, the vendor's extension of H.264, and for numbers that are not known: the payload has
/// to tell.
pub const fn video(stream_type: u8) -> Option<Codec> {
    match stream_type {
        0x01 => Some(Codec::Other("mpeg1")),
        0x02 => Some(Codec::Other("mpeg2")),
        0x10 => Some(Codec::Mpeg4),
        0x1B => Some(Codec::H264),
        0x24 => Some(Codec::H265),
        0x80 => Some(Codec::Other("svac")),
        0xB1 => Some(Codec::Mjpeg),
        _ => None,
    }
}

/// Codec of an audio stream type.
pub const fn audio(stream_type: u8) -> Codec {
    match stream_type {
        0x03 | 0x04 => Codec::Other("mpeg-audio"),
        0x0F => Codec::AacAdts,
        0x90 => Codec::G711A,
        0x91 => Codec::G711U,
        0x92 => Codec::Other("g722.1"),
        0x93 => Codec::Other("g723.1"),
        0x96 => Codec::Other("g726-32"),
        0x98 => Codec::Other("g726-16"),
        0x99 => Codec::Other("g729"),
        0x9A => Codec::Other("amr-nb"),
        0x9B => Codec::Other("amr-wb"),
        // The order of the two bytes of a sample is not known.
        0x9C => Codec::Other("l16"),
        0x9D => Codec::Other("l8"),
        0xA5 => Codec::Other("opus"),
        0xA6 => Codec::Other("aac-ld"),
        _ => Codec::Unknown,
    }
}

/// What a stream type of the map is called.
pub const fn stream_type_name(stream_type: u8) -> &'static str {
    match stream_type {
        0x05 | 0x06 => "private sections or data",
        0xB0 => "H.264, vendor-extended",
        0xBD | 0xBF => "vendor private data",
        0x9C => "16-bit PCM",
        0x9D => "8-bit PCM",
        _ => match (video(stream_type), audio(stream_type)) {
            (Some(codec), _) | (None, codec) => codec.as_str(),
        },
    }
}

/// Codec of the file header's video code.
pub const fn header_video(code: u16) -> Option<Codec> {
    match code {
        1 | 0x0100 => Some(Codec::H264),
        2 => Some(Codec::Other("mpeg2")),
        3 => Some(Codec::Mpeg4),
        4 => Some(Codec::Mjpeg),
        5 => Some(Codec::H265),
        _ => None,
    }
}

/// Codec of the file header's audio code; `None` when it names none.
pub const fn header_audio(code: u16) -> Option<Codec> {
    Some(match code {
        0 => return None,
        0x1000 => Codec::Other("adpcm"),
        0x2000 => Codec::Other("mpeg-audio"),
        0x2001 => Codec::AacAdts,
        0x3000 => Codec::Other("amr-nb"),
        0x7000 => Codec::Other("raw 8 kHz"),
        0x7001 => Codec::Other("raw 16 kHz"),
        0x7110 => Codec::G711U,
        0x7111 => Codec::G711A,
        0x7221 => Codec::Other("g722.1"),
        0x7231 => Codec::Other("g723.1"),
        0x7260 => Codec::Other("g726-u"),
        0x7261 => Codec::Other("g726-a"),
        0x7262 => Codec::Other("g726-16"),
        0x7290 => Codec::Other("g729"),
        _ => Codec::Unknown,
    })
}

/// Name of the file header's system code: how the media behind it are framed.
pub const fn system_name(code: u16) -> &'static str {
    match code {
        0 => "none",
        1 => "the vendor's own",
        2 => "MPEG program stream",
        3 => "MPEG transport stream",
        4 => "RTP",
        5 => "MP4 (unverified)",
        0x0401 => "RTP, the vendor's own",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stream_types_have_their_names() {
        assert_eq!(stream_type_name(0x24), "h265");
        assert_eq!(stream_type_name(0x96), "g726-32");
        assert_eq!(stream_type_name(0xB0), "H.264, vendor-extended");
        assert_eq!(stream_type_name(0xEE), "unknown");
        assert_eq!((video(0xB0), video(0xB1)), (None, Some(Codec::Mjpeg)));
    }

    /// The two lists of section 7.3 and 8.1 name the same codecs.
    #[test]
    fn the_file_header_and_the_map_agree() {
        for (code, kind) in [(0x7110, 0x91), (0x7111, 0x90), (0x7221, 0x92), (0x2001, 0x0F)] {
            assert_eq!(header_audio(code), Some(audio(kind)));
        }
        for (code, kind) in [(1, 0x1B), (5, 0x24), (3, 0x10), (4, 0xB1), (2, 0x02)] {
            assert_eq!(header_video(code), video(kind));
        }
        assert_eq!(header_audio(0), None);
    }
}
