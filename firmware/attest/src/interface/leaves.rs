//! The answer to LEAVES: a header and log entries (published requirements, section 5.2).

use crate::log::Entry;

/// Bytes of the header: u64be first seq, u32be entries lost so far, u32be count.
const HEADER: usize = 16;

/// Why bytes are no answer to LEAVES.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeavesError {
    /// Shorter than the header, or not as long as its count says.
    Length,
    /// The entries are not numbered one after the other from the first seq.
    Sequence,
}

/// An answer to LEAVES.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leaves<'b> {
    /// Number of the first entry in this answer (of the next one to be made when it holds none).
    pub first: u64,
    /// Entries lost in this session so far.
    pub lost: u32,
    entries: &'b [[u8; Entry::SIZE]],
}

impl<'b> Leaves<'b> {
    /// Bytes of an answer with `count` entries.
    #[must_use]
    pub const fn size(count: usize) -> usize {
        HEADER.saturating_add(count.saturating_mul(Entry::SIZE))
    }

    /// How many entries fit into an answer of `room` bytes.
    #[must_use]
    pub const fn fitting(room: usize) -> usize {
        room.saturating_sub(HEADER) / Entry::SIZE
    }

    /// Reads an answer.
    ///
    /// # Errors
    /// [`LeavesError`].
    pub fn parse(bytes: &'b [u8]) -> Result<Self, LeavesError> {
        let (first, rest) = bytes.split_first_chunk::<8>().ok_or(LeavesError::Length)?;
        let (lost, rest) = rest.split_first_chunk::<4>().ok_or(LeavesError::Length)?;
        let (count, rest) = rest.split_first_chunk::<4>().ok_or(LeavesError::Length)?;
        let (entries, surplus) = rest.as_chunks::<{ Entry::SIZE }>();
        let counted = usize::try_from(u32::from_be_bytes(*count));
        if counted != Ok(entries.len()) || !surplus.is_empty() {
            return Err(LeavesError::Length);
        }
        let leaves =
            Self { first: u64::from_be_bytes(*first), lost: u32::from_be_bytes(*lost), entries };
        let mut seq = Some(leaves.first);
        for entry in leaves.entries() {
            if Some(entry.seq) != seq {
                return Err(LeavesError::Sequence);
            }
            seq = entry.seq.checked_add(1);
        }
        Ok(leaves)
    }

    /// The entries.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = Entry> + use<'b> {
        self.entries.iter().map(Entry::from_bytes)
    }

    /// How many entries it holds.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it holds no entry.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// Writes an answer with as many of `entries` as fit, and gives its length; `None` when not even
/// the header fits. `first` is the number of the first entry; `entries` follow it without a gap.
pub fn encode_leaves(
    first: u64,
    lost: u32,
    entries: impl IntoIterator<Item = Entry>,
    out: &mut [u8],
) -> Option<usize> {
    let (header, rest) = out.split_first_chunk_mut::<HEADER>()?;
    let (places, _) = rest.as_chunks_mut::<{ Entry::SIZE }>();
    let mut count = 0_u32;
    for (place, entry) in places.iter_mut().zip(entries) {
        *place = entry.to_bytes();
        count = count.saturating_add(1);
    }
    let fields =
        first.to_be_bytes().into_iter().chain(lost.to_be_bytes()).chain(count.to_be_bytes());
    for (to, from) in header.iter_mut().zip(fields) {
        *to = from;
    }
    Some(Leaves::size(usize::try_from(count).ok()?))
}

/// The seq that LEAVES asks for: the one from `oldest` to `next` (inclusive) with these low 16
/// bits. `oldest` is the first entry in the ring and `next` the number of the entry to be made, at
/// most [`MAX_RING`](super::MAX_RING) apart, so there is one at most.
#[must_use]
pub const fn resolve_seq(low: u16, oldest: u64, next: u64) -> Option<u64> {
    let [.., high, byte] = oldest.to_be_bytes();
    let step = low.wrapping_sub(u16::from_be_bytes([high, byte]));
    match oldest.checked_add(step as u64) {
        Some(seq) if seq <= next => Some(seq),
        _ => None,
    }
}
