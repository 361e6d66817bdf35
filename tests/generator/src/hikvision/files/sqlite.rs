//! The little of the SQLite file format that the index of a camera needs: pages of rows with the
//! remains of deleted ones, and a write-ahead log.
//!
//! Facts: "Database File Format" of the SQLite project, sections 1.2 (header), 1.5 (freelist), 1.6
//! (b-tree pages), 2.1 (records), 2.6 (schema table) and 4 (write-ahead log). Deleted rows are treated as SQLite
//! treats them with `secure_delete` off: the cell becomes a free block, of which only the first
//! four bytes are written.

/// Bytes of a page.
pub const PAGE_BYTES: usize = 4096;
const DATABASE_HEADER_BYTES: usize = 100;
const LEAF_HEADER_BYTES: usize = 8;
const INTERIOR_HEADER_BYTES: usize = 12;
const LEAF: u8 = 0x0D;
const INTERIOR: u8 = 0x05;
/// Version of SQLite that the header names, 3.8.2.
const SQLITE_VERSION: u32 = 3_008_002;
/// Version of the log format.
const LOG_VERSION: u32 = 3_007_000;
/// The log whose sums are taken over little-endian words.
const LOG_MAGIC: u32 = 0x377F_0682;

/// A value of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// No value; also what a row stores for its key.
    Null,
    /// A number.
    Integer(i64),
    /// A text.
    Text(&'a str),
}

/// Type and bytes of an integer: the shortest of the widths; 0 and 1 take no bytes.
fn integer(value: i64) -> (u8, Vec<u8>) {
    if value == 0 || value == 1 {
        return (8 + value as u8, Vec::new());
    }
    let fits = |bytes: u32| (-(1_i64 << (8 * bytes - 1))..1 << (8 * bytes - 1)).contains(&value);
    let widths = [(1, 1), (2, 2), (3, 3), (4, 4), (5, 6)];
    let (kind, width) = widths.into_iter().find(|(_, bytes)| fits(*bytes)).unwrap_or((6, 8));
    (kind, value.to_be_bytes()[8 - width as usize..].to_vec())
}

/// The values of a record, without its header.
pub fn body(values: &[Value<'_>]) -> Vec<u8> {
    values.iter().flat_map(|value| encode(*value).1).collect()
}

fn encode(value: Value<'_>) -> (u64, Vec<u8>) {
    match value {
        Value::Null => (0, Vec::new()),
        Value::Integer(value) => {
            let (kind, bytes) = integer(value);
            (u64::from(kind), bytes)
        }
        Value::Text(text) => (13 + 2 * text.len() as u64, text.as_bytes().to_vec()),
    }
}

/// A variable-length integer; the values here stay below 2^56.
fn varint(value: u64) -> Vec<u8> {
    let mut bytes = vec![(value & 0x7F) as u8];
    let mut rest = value >> 7;
    while rest > 0 {
        bytes.insert(0, (rest & 0x7F) as u8 | 0x80);
        rest >>= 7;
    }
    bytes
}

/// A cell of a table leaf: length, key, record.
fn cell(key: i64, values: &[Value<'_>]) -> Vec<u8> {
    let kinds: Vec<u8> = values.iter().flat_map(|value| varint(encode(*value).0)).collect();
    let mut record = varint(kinds.len() as u64 + 1);
    record.extend(kinds);
    record.extend(body(values));
    let mut bytes = varint(record.len() as u64);
    bytes.extend(varint(key as u64));
    bytes.extend(record);
    bytes
}

/// A leaf of a table.
#[derive(Debug, Clone)]
pub struct Leaf {
    bytes: Vec<u8>,
    /// First byte of the header: behind the header of the database on page 1.
    base: usize,
    /// Key and place of each cell.
    cells: Vec<(i64, usize, usize)>,
    /// First byte of the cell area.
    content: usize,
    /// Free blocks by place.
    free: Vec<(usize, usize)>,
}

impl Leaf {
    /// An empty leaf; `first` is the page that starts with the header of the database.
    pub fn new(first: bool) -> Leaf {
        let base = if first { DATABASE_HEADER_BYTES } else { 0 };
        Leaf {
            bytes: vec![0; PAGE_BYTES],
            base,
            cells: Vec::new(),
            content: PAGE_BYTES,
            free: Vec::new(),
        }
    }

    /// Adds a row behind all others. False when it does not fit between pointers and cells.
    ///
    /// Free blocks are not used again: the remains of deleted rows stay.
    pub fn insert(&mut self, key: i64, values: &[Value<'_>]) -> bool {
        let cell = cell(key, values);
        let pointers = self.base + LEAF_HEADER_BYTES + 2 * (self.cells.len() + 1);
        if self.content < pointers + cell.len() {
            return false;
        }
        self.content -= cell.len();
        self.bytes[self.content..self.content + cell.len()].copy_from_slice(&cell);
        self.cells.push((key, self.content, cell.len()));
        true
    }

    /// Deletes a row: its cell becomes a free block, joined with its neighbours, or part of the gap
    /// where it is the lowest cell.
    pub fn delete(&mut self, key: i64) {
        let Some(at) = self.cells.iter().position(|(own, _, _)| *own == key) else { return };
        let (_, mut start, mut length) = self.cells.remove(at);
        if let Some(next) = self.free.iter().position(|(other, _)| *other == start + length) {
            length += self.free.remove(next).1;
        }
        if let Some(before) = self.free.iter().position(|(other, size)| other + size == start) {
            let (other, size) = self.free.remove(before);
            (start, length) = (other, length + size);
        }
        if start == self.content {
            self.content += length;
        } else {
            self.free.push((start, length));
            self.free.sort_unstable();
        }
    }

    /// True without rows.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// The largest key.
    pub fn last_key(&self) -> i64 {
        self.cells.last().map_or(0, |(key, _, _)| *key)
    }

    /// The page.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        let place = |at: usize| (at as u16).to_be_bytes();
        let head = &mut bytes[self.base..];
        head[0] = LEAF;
        head[1..3].copy_from_slice(&place(self.free.first().map_or(0, |(at, _)| *at)));
        head[3..5].copy_from_slice(&place(self.cells.len()));
        head[5..7].copy_from_slice(&place(self.content));
        for (n, (_, at, _)) in self.cells.iter().enumerate() {
            let pointer = LEAF_HEADER_BYTES + 2 * n;
            head[pointer..pointer + 2].copy_from_slice(&place(*at));
        }
        for (n, (at, length)) in self.free.iter().enumerate() {
            let next = self.free.get(n + 1).map_or(0, |(next, _)| *next);
            bytes[*at..at + 2].copy_from_slice(&place(next));
            bytes[at + 2..at + 4].copy_from_slice(&place(*length));
        }
        bytes
    }
}

/// The root of a table of several leaves: their page numbers with their largest keys.
pub fn interior(children: &[(u32, i64)]) -> Vec<u8> {
    let mut bytes = vec![0; PAGE_BYTES];
    let mut content = PAGE_BYTES;
    let Some((last, others)) = children.split_last() else { return bytes };
    for (n, (page, key)) in others.iter().enumerate() {
        let mut cell = page.to_be_bytes().to_vec();
        cell.extend(varint(*key as u64));
        content -= cell.len();
        bytes[content..content + cell.len()].copy_from_slice(&cell);
        let pointer = INTERIOR_HEADER_BYTES + 2 * n;
        bytes[pointer..pointer + 2].copy_from_slice(&(content as u16).to_be_bytes());
    }
    bytes[0] = INTERIOR;
    bytes[3..5].copy_from_slice(&(others.len() as u16).to_be_bytes());
    bytes[5..7].copy_from_slice(&(content as u16).to_be_bytes());
    bytes[8..12].copy_from_slice(&last.0.to_be_bytes());
    bytes
}

/// Makes a page the trunk of the freelist, with other free pages as its leaves. What the page held
/// behind the list stays, and the leaves stay whole.
pub fn put_freelist(page: &mut [u8], others: &[u32]) {
    let words = [0, others.len() as u32].into_iter().chain(others.iter().copied());
    for (place, word) in page.chunks_exact_mut(4).zip(words) {
        place.copy_from_slice(&word.to_be_bytes());
    }
}

/// Writes the header of the database into page 1.
pub fn put_header(page: &mut [u8], pages: u32, changes: u32, free: &[u32]) {
    page[..16].copy_from_slice(b"SQLite format 3\0");
    // Page size, both versions 2 for a database with a log, the fixed payload fractions.
    page[16..24].copy_from_slice(&[0x10, 0x00, 2, 2, 0, 64, 32, 32]);
    let mut put = |at: usize, value: u32| page[at..at + 4].copy_from_slice(&value.to_be_bytes());
    put(24, changes);
    put(28, pages);
    put(32, free.first().copied().unwrap_or(0));
    put(36, free.len() as u32);
    // Schema: third change, format 4; text in UTF-8.
    put(40, 3);
    put(44, 4);
    put(56, 1);
    put(92, changes);
    put(96, SQLITE_VERSION);
}

/// Pages that a transaction writes, by number.
pub type Transaction = Vec<(u32, Vec<u8>)>;

/// A write-ahead log of transactions that each write some pages.
///
/// The database has `pages` pages after each of them.
pub fn write_ahead_log(transactions: &[Transaction], pages: u32, salts: u64) -> Vec<u8> {
    let mut log = Vec::new();
    for word in [LOG_MAGIC, LOG_VERSION, PAGE_BYTES as u32, 1] {
        log.extend(word.to_be_bytes());
    }
    log.extend(salts.to_be_bytes());
    let mut sum = add((0, 0), &log);
    put_sum(&mut log, sum);
    for transaction in transactions {
        for (n, (page, bytes)) in transaction.iter().enumerate() {
            let last = n + 1 == transaction.len();
            let mut head = page.to_be_bytes().to_vec();
            head.extend(if last { pages } else { 0 }.to_be_bytes());
            sum = add(add(sum, &head), bytes);
            head.extend(salts.to_be_bytes());
            put_sum(&mut head, sum);
            log.extend(head);
            log.extend(bytes);
        }
    }
    log
}

fn add(sum: (u32, u32), bytes: &[u8]) -> (u32, u32) {
    let word = |bytes: &[u8]| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    bytes.chunks_exact(8).fold(sum, |(first, second), pair| {
        let first = first.wrapping_add(word(pair)).wrapping_add(second);
        (first, second.wrapping_add(word(&pair[4..])).wrapping_add(first))
    })
}

fn put_sum(bytes: &mut Vec<u8>, sum: (u32, u32)) {
    bytes.extend(sum.0.to_be_bytes());
    bytes.extend(sum.1.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use hex_literal::hex;

    use super::*;

    /// Section 2.1 of the format: header size, serial types, then the values.
    #[test]
    fn a_cell_has_length_key_header_and_values() {
        let values = [Value::Null, Value::Integer(1), Value::Integer(300), Value::Text("ab")];
        assert_eq!(cell(5, &values), hex!("09 05 05 00 09 02 11 012C 6162"));
        assert_eq!(varint(0x4000), hex!("81 80 00"));
    }

    #[test]
    fn deleted_cells_become_free_blocks_that_join() {
        let mut leaf = Leaf::new(false);
        for key in 1..=6 {
            assert!(leaf.insert(key, &[Value::Null, Value::Integer(0x1234_5600 + key)]));
        }
        let size = cell(1, &[Value::Null, Value::Integer(0x1234_5600)]).len();
        leaf.delete(2);
        leaf.delete(3);
        assert_eq!(leaf.free, [(PAGE_BYTES - 3 * size, 2 * size)]);
        leaf.delete(6);
        assert_eq!(leaf.content, PAGE_BYTES - 5 * size, "the lowest cell widens the gap");
        let page = leaf.encode();
        assert_eq!(page[3..5], [0, 3]);
        let remains = 0x1234_5602_u32.to_be_bytes();
        assert!(page.windows(4).any(|window| window == remains));
    }
}
