//! Finding pack headers in bytes.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::{PACK, pack};

static START: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(&[0, 0, 1, PACK]));

/// Offset of the first pack header whose marker bits are set. One that the end of the bytes cuts off counts if its start code is there: more
/// bytes may show that it is none. The last three bytes are not searched for a part of a start code.
pub fn find_pack(bytes: &[u8]) -> Option<usize> {
    START.find_iter(bytes).find(|at| bytes.get(*at..).is_some_and(pack::may_be))
}
