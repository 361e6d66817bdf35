//! The write-ahead log of an SQLite database, applied to a private copy of it.
//!
//! Facts: SQLite file format, <https://sqlite.org/fileformat2.html>, section 4 (write-ahead log) and 1.3 (database header). The library would
//! need files it may write beside the database; evidence is never written to, so the few rules of section 4.3 are followed here: a frame counts
//! when its salts are the header's and the running checksum holds, and frames count up to the last that commits.

use std::fmt;

/// Length of the log's header.
const HEADER_BYTES: usize = 32;
/// Length of a frame's header.
const FRAME_HEADER_BYTES: usize = 24;
/// The log's magic number; its lowest bit says that checksums take the words big-endian.
const MAGIC: u32 = 0x377F_0682;
const FORMAT: u32 = 3_007_000;
/// Where the database header has the versions that stand for the journal mode.
const JOURNAL_MODE: std::ops::Range<usize> = 18..20;
/// Value of both for a rollback journal.
const ROLLBACK: u8 = 1;
/// Start of every database.
pub const DATABASE_MAGIC: &[u8] = b"SQLite format 3\0";

/// What a log held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Pages put into the copy.
    pub pages: u64,
    /// Valid frames behind the last commit: a change that was never finished.
    pub uncommitted: u64,
    /// Frames behind those: of earlier rounds of the log, or damaged.
    pub stale: u64,
}

/// Why a log is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// It is too short for a header: nothing was written to it.
    Empty,
    /// Magic number, version or page size are none a log has.
    Header,
    /// The header's checksum does not hold.
    Checksum,
    /// The pages are not as long as the database's.
    PageSize,
    /// The database would become longer than database and log together.
    Length,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "it is too short for a header",
            Self::Header => "its header is none of a write-ahead log",
            Self::Checksum => "the checksum of its header does not hold",
            Self::PageSize => "its pages are not as long as the database's",
            Self::Length => "it states a length of the database that its pages do not make up",
        })
    }
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk::<4>().map(|word| u32::from_be_bytes(*word))
}

/// Running checksum of section 4.2.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Checksum {
    first: u32,
    second: u32,
    is_big_endian: bool,
}

impl Checksum {
    fn add(mut self, bytes: &[u8]) -> Self {
        let word = |bytes: [u8; 4]| {
            if self.is_big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
        };
        for pair in bytes.chunks_exact(8) {
            let [a, b, c, d, e, f, g, h] = pair.first_chunk::<8>().copied().unwrap_or_default();
            self.first = self.first.wrapping_add(word([a, b, c, d])).wrapping_add(self.second);
            self.second = self.second.wrapping_add(word([e, f, g, h])).wrapping_add(self.first);
        }
        self
    }

    fn is_at(self, bytes: &[u8], at: usize) -> bool {
        be32(bytes, at) == Some(self.first)
            && at.checked_add(4).and_then(|at| be32(bytes, at)) == Some(self.second)
    }
}

/// The header of a log, checked.
struct Header {
    page_bytes: usize,
    salts: [u8; 8],
    checksum: Checksum,
}

impl Header {
    fn parse(log: &[u8]) -> Result<Self, Unusable> {
        let header = log.get(..HEADER_BYTES).ok_or(Unusable::Empty)?;
        let magic = be32(header, 0).filter(|magic| magic & !1 == MAGIC).ok_or(Unusable::Header)?;
        let page_bytes = be32(header, 8).and_then(|size| usize::try_from(size).ok());
        let page_bytes = page_bytes
            .filter(|size| size.is_power_of_two() && (512..=65_536).contains(size))
            .ok_or(Unusable::Header)?;
        if be32(header, 4) != Some(FORMAT) {
            return Err(Unusable::Header);
        }
        let start = Checksum { is_big_endian: magic & 1 == 1, ..Checksum::default() };
        let checksum = start.add(header.get(..24).unwrap_or(&[]));
        if !checksum.is_at(header, 24) {
            return Err(Unusable::Checksum);
        }
        let salts = header.get(16..).and_then(<[u8]>::first_chunk::<8>).copied();
        Ok(Self { page_bytes, salts: salts.unwrap_or_default(), checksum })
    }
}

/// Page size that a database states.
fn database_page_bytes(database: &[u8]) -> Option<usize> {
    let stated = database.get(16..)?.first_chunk::<2>().map(|word| u16::from_be_bytes(*word))?;
    Some(if stated == 1 { 65_536 } else { usize::from(stated) })
}

/// Puts the committed pages of a log into a copy of its database.
///
/// # Errors
/// When the log is not used; the copy is then as it was.
pub fn apply(database: &mut Vec<u8>, log: &[u8]) -> Result<Applied, Unusable> {
    let header = Header::parse(log)?;
    if database_page_bytes(database).is_some_and(|bytes| bytes != header.page_bytes) {
        return Err(Unusable::PageSize);
    }
    let frame_bytes = FRAME_HEADER_BYTES.saturating_add(header.page_bytes);
    let frames: Vec<&[u8]> =
        log.get(HEADER_BYTES..).unwrap_or(&[]).chunks_exact(frame_bytes).collect();
    let mut checksum = header.checksum;
    let (mut valid, mut committed, mut pages) = (0usize, 0usize, 0u32);
    for frame in &frames {
        let sum = checksum
            .add(frame.get(..8).unwrap_or(&[]))
            .add(frame.get(FRAME_HEADER_BYTES..).unwrap_or(&[]));
        if frame.get(8..16) != Some(&header.salts) || !sum.is_at(frame, 16) {
            break;
        }
        checksum = sum;
        valid = valid.saturating_add(1);
        if let Some(size) = be32(frame, 4).filter(|size| *size != 0) {
            (committed, pages) = (valid, size);
        }
    }
    let applied = Applied {
        pages: committed as u64,
        uncommitted: valid.saturating_sub(committed) as u64,
        stale: frames.len().saturating_sub(valid) as u64,
    };
    if committed == 0 {
        return Ok(applied);
    }
    let length = usize::try_from(pages).ok().and_then(|n| n.checked_mul(header.page_bytes));
    let most = database.len().saturating_add(committed.saturating_mul(header.page_bytes));
    let length = length.filter(|length| *length <= most).ok_or(Unusable::Length)?;
    database.resize(length, 0);
    for frame in frames.iter().take(committed) {
        let place = be32(frame, 0).and_then(|number| usize::try_from(number.checked_sub(1)?).ok());
        let place = place.and_then(|place| place.checked_mul(header.page_bytes));
        // A page behind the length of the last commit was cut off again.
        let target =
            place.and_then(|start| database.get_mut(start..start.checked_add(header.page_bytes)?));
        if let (Some(target), Some(page)) = (target, frame.get(FRAME_HEADER_BYTES..)) {
            target.copy_from_slice(page);
        }
    }
    Ok(applied)
}

/// Makes a copy one that can be opened without a log.
pub fn leave_wal_mode(database: &mut [u8]) {
    if let Some(mode) = database.get_mut(JOURNAL_MODE) {
        mode.fill(ROLLBACK);
    }
}

/// Pages that a database has freed; rows that were deleted may still be in them.
pub fn free_pages(database: &[u8]) -> u32 {
    be32(database, 36).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PAGE: usize = 512;

    fn database(pages: usize) -> Vec<u8> {
        let mut bytes = vec![0; pages * PAGE];
        bytes[..16].copy_from_slice(DATABASE_MAGIC);
        bytes[16..18].copy_from_slice(&512u16.to_be_bytes());
        bytes[18..20].fill(2);
        bytes
    }

    /// A log with frames of `(page number, commit size, fill byte)`.
    fn log(frames: &[(u32, u32, u8)], big_endian: bool) -> Vec<u8> {
        let words = [MAGIC | u32::from(big_endian), FORMAT, 512, 0, 0x1122_3344, 0x5566_7788];
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        let mut sum = Checksum { is_big_endian: big_endian, ..Checksum::default() }.add(&bytes);
        bytes.extend([sum.first, sum.second].iter().flat_map(|word| word.to_be_bytes()));
        for (page, commit, fill) in frames {
            let head: Vec<u8> = [*page, *commit].iter().flat_map(|w| w.to_be_bytes()).collect();
            sum = sum.add(&head).add(&[*fill; PAGE]);
            bytes.extend(&head);
            bytes.extend(
                [0x1122_3344u32, 0x5566_7788, sum.first, sum.second]
                    .iter()
                    .flat_map(|w| w.to_be_bytes()),
            );
            bytes.extend([*fill; PAGE]);
        }
        bytes
    }

    /// Section 4.3: the last committed version of each page counts, what was never committed does not.
    #[test]
    fn committed_pages_are_applied() {
        for big_endian in [false, true] {
            let mut copy = database(2);
            let log = log(&[(2, 0, 0xAA), (2, 2, 0xBB), (3, 3, 0xCC), (2, 0, 0xDD)], big_endian);
            let applied = apply(&mut copy, &log).unwrap();
            assert_eq!(applied, Applied { pages: 3, uncommitted: 1, stale: 0 });
            assert_eq!(copy.len(), 3 * PAGE);
            assert_eq!((copy[PAGE], copy[2 * PAGE]), (0xBB, 0xCC));
        }
    }

    /// frames of an earlier round are counted, never applied.
    #[test]
    fn frames_behind_a_broken_checksum_are_stale() {
        let mut log = log(&[(2, 2, 0xAA), (2, 2, 0xBB)], false);
        let end = log.len();
        log[end - 1] ^= 1;
        let mut copy = database(2);
        assert_eq!(apply(&mut copy, &log), Ok(Applied { pages: 1, uncommitted: 0, stale: 1 }));
        assert_eq!(copy[PAGE], 0xAA);
    }

    #[test]
    fn logs_that_do_not_fit_change_nothing() {
        let before = database(2);
        let mut copy = before.clone();
        assert_eq!(apply(&mut copy, &[]), Err(Unusable::Empty));
        assert_eq!(apply(&mut copy, &[0; 64]), Err(Unusable::Header));
        let mut broken = log(&[(1, 1, 1)], false);
        broken[20] ^= 1;
        assert_eq!(apply(&mut copy, &broken), Err(Unusable::Checksum));
        // A length from hell.
        assert_eq!(apply(&mut copy, &log(&[(1, u32::MAX, 1)], false)), Err(Unusable::Length));
        copy[16..18].copy_from_slice(&1024u16.to_be_bytes());
        assert_eq!(apply(&mut copy, &log(&[(1, 1, 1)], false)), Err(Unusable::PageSize));
        copy[16..18].copy_from_slice(&512u16.to_be_bytes());
        assert_eq!(copy, before);
    }

    #[test]
    fn a_copy_leaves_the_log_mode() {
        let mut copy = database(1);
        copy[36..40].copy_from_slice(&7u32.to_be_bytes());
        leave_wal_mode(&mut copy);
        assert_eq!((&copy[18..20], free_pages(&copy)), (&[1u8, 1][..], 7));
    }

    proptest! {
        ///
        #[test]
        fn no_log_makes_it_panic(log in prop::collection::vec(any::<u8>(), 0..2000), flip in 0usize..1200, value in any::<u8>()) {
            let mut copy = database(2);
            let _ = apply(&mut copy, &log);
            let mut sound = super::tests::log(&[(2, 2, 0xAA), (9, 1, 3)], false);
            if let Some(byte) = sound.get_mut(flip) { *byte = value; }
            let _ = apply(&mut copy, &sound);
            prop_assert!(copy.len() <= 6 * PAGE);
        }
    }
}
