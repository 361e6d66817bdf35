//! The firmware digest: SHA-256 of the image from `__image_start` to `__image_end` (the published requirements, section 4.5).

use sha2::{Digest, Sha256};

// SAFETY: `link.ld` defines both. They are the ends of the image, and only their addresses are taken.
unsafe extern "C" {
    static __image_start: u8;
    static __image_end: u8;
}

/// Digest of the image. To be called first in `main`: the image runs where it was loaded, and initial data are part of it.
#[must_use]
pub fn digest() -> [u8; 32] {
    let start = &raw const __image_start;
    let end = &raw const __image_end;
    let length = end.addr().saturating_sub(start.addr());
    // SAFETY: the linker places the image there, contiguous; nothing writes to it before or during this call.
    let image = unsafe { core::slice::from_raw_parts(start, length) };
    Sha256::digest(image).into()
}
