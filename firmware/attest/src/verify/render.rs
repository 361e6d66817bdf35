//! Bytes as a person reads them, in the JSON rendering.

use serde::Serializer;
use std::string::String;

/// Lower-case hex digits.
pub(crate) fn hex_digits(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(value.into(), 16).unwrap_or('?');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Printable ASCII as it is, everything else as a dot.
pub(crate) fn printable(bytes: &[u8]) -> String {
    let show = |byte: &u8| if (0x20..0x7F).contains(byte) { char::from(*byte) } else { '.' };
    bytes.iter().map(show).collect()
}

/// Serialises bytes as hex digits.
pub(crate) fn hex<S: Serializer>(
    bytes: &impl AsRef<[u8]>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&hex_digits(bytes.as_ref()))
}

/// Serialises bytes that may be missing as hex digits or null.
pub(crate) fn hex_option<S: Serializer>(
    bytes: &Option<impl AsRef<[u8]>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match bytes {
        Some(bytes) => hex(bytes, serializer),
        None => serializer.serialize_none(),
    }
}
