//! The SQLite index of newer cameras: `record_db_index00`, its write-ahead log and its mirror.
//!
//! Facts: `docs/formats/hikvision.md`, section 9.2: names of tables and columns, and which rows are valid.
//! Rows are lost in every way that SQLite has: deleted within a page, with a whole page, and only in
//! the log that nobody merged into the database.

use super::sqlite::{
    Leaf, Transaction, Value, body, interior, put_freelist, put_header, write_ahead_log,
};
use crate::Error;
use crate::civil::Moment;
use crate::image::Image;
use crate::rng::Rng;

const VERSION_TABLE: &str =
    "CREATE TABLE record_db_version_tb(version INTEGER, create_time INTEGER)";
const FILE_TABLE: &str = "CREATE TABLE record_file_idx_tb(file_no INTEGER PRIMARY KEY, \
    chan_no INTEGER, file_status INTEGER, start_time_tv_sec INTEGER, end_time_tv_sec INTEGER, \
    segment_num INTEGER)";
const SEGMENT_TABLE: &str = "CREATE TABLE record_segment_idx_tb(id INTEGER PRIMARY KEY, \
    file_no INTEGER, chan_no INTEGER, record_type INTEGER, start_time_tv_sec INTEGER, \
    start_time_tv_usec INTEGER, end_time_tv_sec INTEGER, end_time_tv_usec INTEGER, \
    start_offset INTEGER, end_offset INTEGER)";
const VERSION_PAGE: u32 = 2;
const FILE_PAGE: u32 = 3;
const SEGMENT_PAGE: u32 = 4;
const FIRST_LEAF: u32 = 5;
/// Rows that one leaf takes here; SQLite would put several times as many into it.
const LEAF_ROWS: usize = 8;

/// What became of the row of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowFate {
    /// In the database file.
    Kept,
    /// Deleted before the log was begun. Leaves whose rows are all deleted go to the freelist.
    Deleted,
    /// Its record type is 0: in the database, and not valid.
    Cleared,
    /// Written after the log was begun: only in the log.
    InLog,
    /// Deleted after the log was begun: still in the database file, gone in the log.
    DeletedInLog,
}

/// A row of `record_segment_idx_tb`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Number of the media file.
    pub file_no: u32,
    /// Channel from 1.
    pub channel: u32,
    /// Type; 0 is not valid.
    pub record_type: u32,
    /// First frame.
    pub start: Moment,
    /// Last frame.
    pub end: Moment,
    /// First byte in the media file.
    pub start_offset: u64,
    /// First byte behind it.
    pub end_offset: u64,
    /// What became of it.
    pub fate: RowFate,
}

impl Row {
    fn values(&self) -> [Value<'static>; 10] {
        let usec = |time: Moment| time.millis().rem_euclid(1000) * 1000;
        let kind = if self.fate == RowFate::Cleared { 0 } else { self.record_type };
        let numbers = [
            i64::from(self.file_no),
            i64::from(self.channel),
            i64::from(kind),
            i64::from(self.start.unix_seconds()),
            usec(self.start),
            i64::from(self.end.unix_seconds()),
            usec(self.end),
            self.start_offset as i64,
            self.end_offset as i64,
        ];
        let mut values = [Value::Null; 10];
        for (value, number) in values[1..].iter_mut().zip(numbers) {
            *value = Value::Integer(number);
        }
        values
    }

    /// The values as stored, without the header of the row: what is left of a deleted row when its
    /// first bytes have become the header of a free block.
    pub fn body(&self) -> Vec<u8> {
        body(&self.values())
    }
}

/// The files of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database {
    /// The database.
    pub main: Image,
    /// The write-ahead log, which is not merged.
    pub log: Image,
}

/// Writes the index of `rows`, which are numbered from 1.
///
/// # Errors
/// [`Error::Plan`] when the rows do not fit.
pub fn write_database(rows: &[Row], created: Moment, seed: u64) -> Result<Database, Error> {
    let mut leaves = leaves(rows)?;
    let empty = |(n, leaf): (u32, &Leaf)| leaf.is_empty().then_some(n);
    let removed: Vec<u32> = (FIRST_LEAF..).zip(&leaves).filter_map(empty).collect();
    let children = |leaves: &[Leaf]| -> Vec<(u32, i64)> {
        let numbered = leaves.iter().zip(FIRST_LEAF..).filter(|(leaf, _)| !leaf.is_empty());
        numbered.map(|(leaf, page)| (page, leaf.last_key())).collect()
    };
    let mut pages = vec![
        schema(FIRST_LEAF - 1 + leaves.len() as u32, &removed)?,
        single(&[(1, vec![Value::Integer(1), Value::Integer(created.unix_seconds().into())])])?,
        single(&file_rows(rows))?,
        interior(&children(&leaves)),
    ];
    pages.extend(leaves.iter().map(Leaf::encode));
    if let Some((trunk, others)) = removed.split_first() {
        put_freelist(&mut pages[*trunk as usize - 1], others);
    }
    let count = pages.len() as u32;
    let log = log(rows, &mut leaves)?;
    let salts = Rng::new(seed, 7001).next_u64();
    Ok(Database {
        main: image(&pages.concat())?,
        log: image(&write_ahead_log(&log, count, salts))?,
    })
}

fn image(bytes: &[u8]) -> Result<Image, Error> {
    let mut image = Image::new(bytes.len() as u64);
    image.write(0, bytes)?;
    Ok(image)
}

/// The leaves as they stand when the log begins.
fn leaves(rows: &[Row]) -> Result<Vec<Leaf>, Error> {
    let numbered: Vec<(i64, &Row)> = (1..).zip(rows).collect();
    let early: Vec<_> =
        numbered.into_iter().filter(|(_, row)| row.fate != RowFate::InLog).collect();
    let mut leaves = Vec::new();
    for part in early.chunks(LEAF_ROWS) {
        let mut leaf = Leaf::new(false);
        for (key, row) in part {
            insert(&mut leaf, *key, &row.values())?;
        }
        for (key, _) in part.iter().filter(|(_, row)| row.fate == RowFate::Deleted) {
            leaf.delete(*key);
        }
        leaves.push(leaf);
    }
    if leaves.last().is_none_or(Leaf::is_empty) {
        return Err(Error::Plan("the last leaf of the index needs a row".into()));
    }
    Ok(leaves)
}

fn insert(leaf: &mut Leaf, key: i64, values: &[Value<'_>]) -> Result<(), Error> {
    leaf.insert(key, values)
        .then_some(())
        .ok_or_else(|| Error::Plan(format!("no room for row {key}")))
}

fn single(rows: &[(i64, Vec<Value<'_>>)]) -> Result<Vec<u8>, Error> {
    let mut leaf = Leaf::new(false);
    for (key, values) in rows {
        insert(&mut leaf, *key, values)?;
    }
    Ok(leaf.encode())
}

/// Page 1: header and schema.
fn schema(pages: u32, free: &[u32]) -> Result<Vec<u8>, Error> {
    let tables = [
        ("record_db_version_tb", VERSION_PAGE, VERSION_TABLE),
        ("record_file_idx_tb", FILE_PAGE, FILE_TABLE),
        ("record_segment_idx_tb", SEGMENT_PAGE, SEGMENT_TABLE),
    ];
    let mut leaf = Leaf::new(true);
    for (key, (name, page, text)) in (1..).zip(tables) {
        let values = [
            Value::Text("table"),
            Value::Text(name),
            Value::Text(name),
            Value::Integer(page.into()),
            Value::Text(text),
        ];
        insert(&mut leaf, key, &values)?;
    }
    let mut page = leaf.encode();
    put_header(&mut page, pages, 41, free);
    Ok(page)
}

/// One row a media file, with the segments that are not deleted.
fn file_rows(rows: &[Row]) -> Vec<(i64, Vec<Value<'static>>)> {
    let mut numbers: Vec<u32> = rows.iter().map(|row| row.file_no).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let own = |number: u32| {
        let counts = |row: &&Row| {
            row.file_no == number && !matches!(row.fate, RowFate::InLog | RowFate::Deleted)
        };
        let own: Vec<&Row> = rows.iter().filter(counts).collect();
        let (first, last) = (own.first()?, own.last()?);
        let values = [
            i64::from(first.channel),
            0,
            i64::from(first.start.unix_seconds()),
            i64::from(last.end.unix_seconds()),
            own.len() as i64,
        ];
        let mut row = vec![Value::Null];
        row.extend(values.map(Value::Integer));
        Some((i64::from(number), row))
    };
    numbers.into_iter().filter_map(own).collect()
}

/// Transactions of the log: one a deleted row, then one a new row.
fn log(rows: &[Row], leaves: &mut [Leaf]) -> Result<Vec<Transaction>, Error> {
    let mut transactions = Vec::new();
    let numbered = || (1_i64..).zip(rows);
    for (key, _) in numbered().filter(|(_, row)| row.fate == RowFate::DeletedInLog) {
        for (leaf, page) in leaves.iter_mut().zip(FIRST_LEAF..) {
            let before = leaf.encode();
            leaf.delete(key);
            if leaf.encode() != before {
                transactions.push(vec![(page, leaf.encode())]);
            }
        }
    }
    let page = FIRST_LEAF + leaves.len() as u32 - 1;
    for (key, row) in numbered().filter(|(_, row)| row.fate == RowFate::InLog) {
        if let Some(leaf) = leaves.last_mut() {
            insert(leaf, key, &row.values())?;
            transactions.push(vec![(page, leaf.encode())]);
        }
    }
    Ok(transactions)
}

/// First bytes of every place where a part occurs in a file.
pub fn places(image: &Image, part: &[u8]) -> Vec<u64> {
    let bytes = image.read(0, image.len() as usize);
    (0..)
        .zip(bytes.windows(part.len()))
        .filter(|(_, window)| *window == part)
        .map(|(at, _)| at)
        .collect()
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;
    use crate::hikvision::files::sqlite::PAGE_BYTES;

    /// Thirty rows: the second and the third leaf are deleted whole.
    fn rows() -> Vec<Row> {
        let start = Moment::at((2024, 3, 14), (9, 0, 0));
        let fate = |n: usize| match n {
            2 | 5 | 6 | 8..=23 => RowFate::Deleted,
            3 => RowFate::Cleared,
            7 | 26 => RowFate::DeletedInLog,
            28.. => RowFate::InLog,
            _ => RowFate::Kept,
        };
        (0..30)
            .map(|n| Row {
                file_no: n as u32 / 10,
                channel: 1,
                record_type: 1,
                start: start.plus_ms(n as i64 * 60_123),
                end: start.plus_ms(n as i64 * 60_123 + 20_040),
                start_offset: n as u64 % 10 * 0x4_0000,
                end_offset: n as u64 % 10 * 0x4_0000 + 0x3_1234,
                fate: fate(n),
            })
            .collect()
    }

    fn keys(fates: &[RowFate]) -> Vec<i64> {
        (1..).zip(rows()).filter(|(_, row)| fates.contains(&row.fate)).map(|(n, _)| n).collect()
    }

    fn open(with_log: bool) -> (tempfile::TempDir, Connection) {
        let database = write_database(&rows(), rows()[0].start, 5).unwrap();
        let dir = tempfile::tempdir().unwrap();
        database.main.save(&dir.path().join("db")).unwrap();
        if with_log {
            database.log.save(&dir.path().join("db-wal")).unwrap();
        }
        let connection = Connection::open(dir.path().join("db")).unwrap();
        (dir, connection)
    }

    fn query(connection: &Connection, sql: &str) -> Vec<i64> {
        let mut statement = connection.prepare(sql).unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    /// SQLite finds nothing wrong with the files and sees what the fates say.
    #[test]
    fn sqlite_reads_the_database_with_and_without_its_log() {
        const ALL: &str = "SELECT id FROM record_segment_idx_tb ORDER BY id";
        for with_log in [true, false] {
            let (_dir, connection) = open(with_log);
            let check: String =
                connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
            assert_eq!(check, "ok");
            let late = if with_log { RowFate::InLog } else { RowFate::DeletedInLog };
            assert_eq!(query(&connection, ALL), keys(&[RowFate::Kept, RowFate::Cleared, late]));
            assert_eq!(query(&connection, "PRAGMA freelist_count"), [2]);
        }
        let (_dir, connection) = open(true);
        let valid = "SELECT start_time_tv_sec FROM record_segment_idx_tb \
                     WHERE record_type<>0 AND end_time_tv_sec>start_time_tv_sec ORDER BY id";
        let expected: Vec<i64> = rows()
            .iter()
            .filter(|row| matches!(row.fate, RowFate::Kept | RowFate::InLog))
            .map(|row| row.start.unix_seconds().into())
            .collect();
        assert_eq!(query(&connection, valid), expected);
        assert_eq!(query(&connection, "SELECT count(*) FROM record_file_idx_tb"), [2]);
    }

    #[test]
    fn deleted_rows_leave_their_values() {
        let database = write_database(&rows(), rows()[0].start, 5).unwrap();
        for row in rows() {
            let early = row.fate != RowFate::InLog;
            assert_eq!(places(&database.main, &row.body()).len(), usize::from(early), "{row:?}");
        }
        assert!(!places(&database.log, &rows()[29].body()).is_empty());
        assert_eq!(database.main.len() % PAGE_BYTES as u64, 0);
    }

    #[test]
    fn a_seed_gives_the_same_bytes() {
        let write = |seed| write_database(&rows(), rows()[0].start, seed).unwrap();
        assert_eq!(write(5), write(5));
        assert_ne!(write(5).log, write(6).log);
    }
}
