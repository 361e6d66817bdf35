//! Rows of a recorder's own SQLite index, read from a private copy in memory.
//!
//! Facts: `docs/formats/hikvision.md` section 9.2: names of tables and columns are known, whole schemas are not, so columns are looked up in
//! the database itself. The database is hostile: it is opened read-only in memory, views and virtual tables are not asked, and the work it may
//! cause is bounded.

use rusqlite::{Connection, MAIN_DB, Statement, config::DbConfig, limits::Limit, types::ValueRef};

use super::database::{Contents, PictureRow, Row};

/// Longest value or statement.
const LENGTH_MAX: i32 = 16 << 20;
/// Steps of the library's machine between two looks at the bound.
const STEPS: i32 = 100_000;
/// Most such rounds: a thousand million steps read some ten million rows.
const ROUNDS_MAX: u32 = 10_000;
/// Columns of a segment that there have to be.
const SEGMENT_COLUMNS: [&str; 6] = [
    "file_no",
    "record_type",
    "start_time_tv_sec",
    "end_time_tv_sec",
    "start_offset",
    "end_offset",
];

/// Reads all tables that list footage or pictures.
///
/// # Errors
/// When the bytes are no database that the library reads; the text says why.
pub fn read(database: &[u8]) -> Result<Contents, String> {
    contents(database).map_err(|error| error.to_string())
}

fn contents(database: &[u8]) -> rusqlite::Result<Contents> {
    let mut connection = Connection::open_in_memory()?;
    connection.deserialize_read_exact(MAIN_DB, database, database.len(), true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, LENGTH_MAX)?;
    let mut rounds = 0u32;
    connection.progress_handler(
        STEPS,
        Some(move || {
            rounds = rounds.saturating_add(1);
            rounds > ROUNDS_MAX
        }),
    )?;
    // A row takes some bytes of the file, so no more rows are believed than it has room for.
    let room = database.len() / 8;
    let mut found = Contents::default();
    for table in tables(&connection)? {
        let columns = columns(&connection, &table)?;
        let result = if SEGMENT_COLUMNS.iter().all(|name| columns.iter().any(|own| own == name)) {
            segments(&connection, &table, &columns, room, &mut found)
        } else {
            pictures(&connection, &table, &columns, room, &mut found)
        };
        // One damaged table does not take the others with it.
        if let Err(error) = result {
            found.notes.push(format!("table {table} could be read in part only: {error}"));
        }
        found.tables.push(table);
    }
    Ok(found)
}

/// Names of the ordinary tables.
fn tables(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    const TABLES_MAX: usize = 1000;
    let mut statement = connection.prepare(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND sql LIKE 'CREATE TABLE%' AND name NOT LIKE 'sqlite_%' ORDER BY name",
    )?;
    let names = statement.query_map([], |row| row.get::<_, String>(0))?;
    names.take(TABLES_MAX).collect()
}

fn columns(connection: &Connection, table: &str) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare(&format!("PRAGMA table_info({})", quoted(table)))?;
    let names = statement.query_map([], |row| row.get::<_, String>(1))?;
    names.collect()
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A query for the named columns, `NULL` in place of those the table does not have; the row's number comes first.
fn query<'a>(
    connection: &'a Connection,
    table: &str,
    columns: &[Option<&str>],
) -> rusqlite::Result<Statement<'a>> {
    let wanted: Vec<_> =
        columns.iter().map(|column| column.map_or("NULL".to_owned(), quoted)).collect();
    let wanted = wanted.join(", ");
    let table = quoted(table);
    connection
        .prepare(&format!("SELECT rowid, {wanted} FROM {table}"))
        .or_else(|_| connection.prepare(&format!("SELECT NULL, {wanted} FROM {table}")))
}

fn number(row: &rusqlite::Row<'_>, index: usize) -> Option<i64> {
    match row.get_ref(index) {
        Ok(ValueRef::Integer(value)) => Some(value),
        _ => None,
    }
}

fn unsigned<T: TryFrom<i64>>(row: &rusqlite::Row<'_>, index: usize) -> Option<T> {
    number(row, index).and_then(|value| T::try_from(value).ok())
}

/// A column whose name is one of these.
fn one_of<'a>(columns: &'a [String], names: &[&str]) -> Option<&'a str> {
    names.iter().find_map(|name| columns.iter().find(|own| own == name)).map(String::as_str)
}

fn segments(
    connection: &Connection,
    table: &str,
    columns: &[String],
    room: usize,
    found: &mut Contents,
) -> rusqlite::Result<()> {
    let channel = one_of(columns, &["channel", "chan_no", "channel_no", "chan", "chan_num"]);
    let mut wanted: Vec<Option<&str>> = SEGMENT_COLUMNS.iter().map(|name| Some(*name)).collect();
    wanted.push(one_of(columns, &["start_time_tv_usec"]));
    wanted.push(one_of(columns, &["end_time_tv_usec"]));
    wanted.push(channel);
    let mut statement = query(connection, table, &wanted)?;
    let mut rows = statement.query([])?;
    let is_video = !table.starts_with("event");
    let mut count = 0i64;
    while let Some(row) = rows.next()? {
        count = count.saturating_add(1);
        if found.segments.len() >= room {
            found.notes.push(format!("table {table} has more rows than its file has room for"));
            break;
        }
        found.segments.push(Row {
            table: table.to_owned().into(),
            number: number(row, 0).unwrap_or(count),
            file: unsigned(row, 1),
            kind: number(row, 2).unwrap_or(0),
            start: unsigned(row, 3).unwrap_or(0),
            end: unsigned(row, 4).unwrap_or(0),
            start_offset: unsigned(row, 5),
            end_offset: unsigned(row, 6),
            start_microseconds: unsigned(row, 7),
            end_microseconds: unsigned(row, 8),
            channel: unsigned(row, 9),
            is_video,
        });
    }
    Ok(())
}

/// Tables of single pictures (single source): a store file, a time, offset and length.
fn pictures(
    connection: &Connection,
    table: &str,
    columns: &[String],
    room: usize,
    found: &mut Contents,
) -> rusqlite::Result<()> {
    let time = one_of(columns, &["trigger_time", "start_time_tv_sec"]);
    let wanted = [
        one_of(columns, &["file_no"]),
        one_of(columns, &["pic_offset_0"]),
        one_of(columns, &["pic_len_0"]),
    ];
    if wanted.iter().any(Option::is_none) {
        return Ok(());
    }
    let mut wanted = wanted.to_vec();
    wanted.push(time);
    wanted.push(one_of(columns, &["start_time_tv_usec"]));
    let mut statement = query(connection, table, &wanted)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        if found.pictures.len() >= room {
            found.notes.push(format!("table {table} has more rows than its file has room for"));
            break;
        }
        let (file, offset, length) = (unsigned(row, 1), unsigned(row, 2), unsigned(row, 3));
        if let (Some(file), Some(offset), Some(length)) = (file, offset, length)
            && length > 0u64
        {
            let seconds = unsigned(row, 4).unwrap_or(0);
            let microseconds = unsigned(row, 5).unwrap_or(0);
            found.pictures.push(PictureRow { file, offset, length, seconds, microseconds });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A database with one table of each kind that is read.
    pub fn sample() -> Vec<u8> {
        let mut connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch(
                "PRAGMA page_size = 1024;
                 CREATE TABLE record_segment_idx_tb(
                     id INTEGER PRIMARY KEY, file_no INTEGER, record_type INTEGER, start_time_tv_sec INTEGER, start_time_tv_usec INTEGER,
                     end_time_tv_sec INTEGER, start_offset INTEGER, end_offset INTEGER);
                 INSERT INTO record_segment_idx_tb VALUES
                     (1, 0, 3, 1748190748, 787000, 1748190831, 0, 5225036), (2, 0, 0, 0, 0, 0, 0, 0),
                     (3, 1, 13, 1748191117, NULL, 1748191160, 16384, 8247272);
                 CREATE TABLE MotionDetectTB(file_no INTEGER, trigger_time INTEGER, pic_offset_0 INTEGER, pic_len_0 INTEGER);
                 INSERT INTO MotionDetectTB VALUES (2, 1748190748, 4096, 100), (2, 1748190749, 8192, 0);
                 CREATE VIEW record_view AS SELECT * FROM record_segment_idx_tb;",
            )
            .unwrap();
        connection.serialize(MAIN_DB).unwrap().to_vec()
    }

    /// F-2: rows by the names of their columns; what a table does not have is left out.
    #[test]
    fn rows_are_read_by_the_names_of_their_columns() {
        let found = read(&sample()).unwrap();
        assert_eq!(found.tables, ["MotionDetectTB", "record_segment_idx_tb"]);
        assert_eq!(found.segments.len(), 3);
        let first = &found.segments[0];
        assert_eq!(
            (first.file, first.kind, first.start, first.end),
            (Some(0), 3, 1_748_190_748, 1_748_190_831)
        );
        assert_eq!(
            (first.start_microseconds, first.end_microseconds, first.channel),
            (Some(787_000), None, None)
        );
        assert_eq!(found.segments[2].end_offset, Some(8_247_272));
        let expected = PictureRow {
            file: 2,
            offset: 4096,
            length: 100,
            seconds: 1_748_190_748,
            microseconds: 0,
        };
        assert_eq!(found.pictures, [expected]);
        assert!(found.notes.is_empty());
    }

    #[test]
    fn bytes_that_are_no_database_are_an_error() {
        assert!(read(&[0x55; 4096]).is_err());
        assert!(read(&sample()[..100]).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        /// damage anywhere gives an error, a note or other rows, never a panic.
        #[test]
        fn damaged_databases_do_not_panic(place in 0usize..4096, bytes in prop::collection::vec(any::<u8>(), 1..40)) {
            let mut database = sample();
            let end = (place + bytes.len()).min(database.len());
            let start = place.min(end);
            database[start..end].copy_from_slice(&bytes[..end - start]);
            let _ = read(&database);
        }
    }
}
