//! Picture size of a JPEG file: ITU-T T.81 annex B, marker segments up to the frame header.

/// The frame header segment of a picture, from its marker's second byte to its end; `None` when the bytes are no
/// JPEG picture or the scan begins first.
pub fn frame_header(picture: &[u8]) -> Option<&[u8]> {
    if !picture.starts_with(&[0xff, 0xd8]) {
        return None;
    }
    let mut at = 2usize;
    loop {
        if *picture.get(at)? != 0xff {
            return None;
        }
        let marker_at = at.checked_add(1)?;
        let marker = *picture.get(marker_at)?;
        let segment = marker_at.checked_add(1)?;
        at = match marker {
            0xff => marker_at, // fill byte
            0x01 | 0xd0..=0xd7 => segment,
            0xd8..=0xda => return None,
            _ => {
                let length = picture.get(segment..segment.checked_add(2)?)?;
                let length = usize::from(u16::from_be_bytes(length.try_into().ok()?));
                let end = segment.checked_add(length.max(2))?;
                if is_frame_header(marker) {
                    return picture.get(marker_at..end);
                }
                end
            }
        };
    }
}

const fn is_frame_header(marker: u8) -> bool {
    matches!(marker, 0xc0..=0xcf) && !matches!(marker, 0xc4 | 0xc8 | 0xcc)
}

/// Width and height in pixels from a [`frame_header`]; `None` when one is zero (the height then follows the scan).
pub fn size(frame_header: &[u8]) -> Option<(u32, u32)> {
    let height = u16::from_be_bytes(frame_header.get(4..6)?.try_into().ok()?);
    let width = u16::from_be_bytes(frame_header.get(6..8)?.try_into().ok()?);
    (width > 0 && height > 0).then(|| (u32::from(width), u32::from(height)))
}
