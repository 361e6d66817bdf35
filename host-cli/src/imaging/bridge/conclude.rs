//! What the bridge's statements say of a finished image: checked offline, compared with its block list, and put into words.

use std::{
    fs,
    io::{BufWriter, Write as _},
    path::Path,
};

use anyhow::{Context as _, Result};
use daleel_acquire::{
    digest::blocks::{BlockDigest, ListReader, block_name},
    job::Stated,
    record::{StatementJson, WriteBlocker},
    rescue::{Map, State},
};
use serde_json::{Value, json};
use wb_attest::{
    KEY_COPY_NOTICE,
    key::{key_id, usb_serial},
    log::CHUNK,
    statement::Kind,
    verify::{Signed, Statement},
};

use super::FOLDER;
use crate::{
    bridge::{
        coverage::{Agreement, Uncovered, Why, compare_listed, overlay, write_uncovered},
        session::session_name,
        verify::{CheckedJson, Outcome, verify},
    },
    exit::{Exit, Failure},
    export::hashed::hex,
};

/// The list of megabytes without a digest of the bridge.
const UNCOVERED_FILE: &str = "uncovered.txt";
/// Differing megabytes that are named; the count is of all.
const NAMED: usize = 20;

/// Checks the evidence in `image`/bridge against the image that it is of.
///
/// # Errors
/// When nothing can be read or the list cannot be written. What does not fit is in the answer.
pub(super) fn conclude(
    image: &Path,
    key: &[u8; 32],
    groups: &BlockDigest,
    map: &Map,
) -> Result<Stated> {
    let folder = image.join(FOLDER);
    let outcome = verify(&folder, key)?;
    let statements = held(&folder, key, &outcome.report.statements);
    let last = statements.last().map(|(_, statement)| statement);
    let own = known(map);
    let agreement = compare(image, &outcome, &own, map.len())?;
    let uncovered = overlay(&outcome.uncovered, &own);
    write_list(&folder, &uncovered)?;
    let mut faults = faults_of(&outcome);
    faults.extend(last_faults(last, groups, map.len()));
    faults.extend(difference(&agreement));
    let device = device(key, &outcome, last, &uncovered);
    let blocker = WriteBlocker::Bridge {
        device,
        covered_bytes: agreement.equal_bytes,
        differing_blocks: u64::try_from(agreement.differing.len()).unwrap_or(u64::MAX),
        notice: KEY_COPY_NOTICE.to_owned(),
    };
    let statements = statements.iter().map(|(one, statement)| recorded(one, statement)).collect();
    Ok(Stated { blocker, statements, faults })
}

/// The statements that are right, in order.
fn held<'c>(
    folder: &Path,
    key: &[u8; 32],
    checked: &'c [CheckedJson],
) -> Vec<(&'c CheckedJson, Statement)> {
    let read = |one: &CheckedJson| {
        let bytes = fs::read(folder.join(&one.file)).ok()?;
        Signed::parse(&bytes).ok()?.verify(key).ok().cloned()
    };
    let right = checked.iter().filter(|one| one.verified);
    right.filter_map(|one| Some((one, read(one)?))).collect()
}

fn recorded(one: &CheckedJson, statement: &Statement) -> StatementJson {
    let session = &statement.session;
    StatementJson {
        name: stem(&one.file).to_owned(),
        sha256: one.sha256.clone(),
        session: format!(
            "{}/{}",
            session_name(statement.boot_counter, session.number),
            session.checkpoint
        ),
        entries: statement.log.entries,
        root: hex(&statement.log.root),
    }
}

fn stem(file: &str) -> &str {
    file.strip_suffix(".cbor").unwrap_or(file)
}

/// What the offline check found wrong.
fn faults_of(outcome: &Outcome) -> Vec<String> {
    let report = &outcome.report;
    let of_statements = report
        .statements
        .iter()
        .flat_map(|one| one.failures.iter().map(move |why| format!("{}: {why}", one.file)));
    let mut faults: Vec<String> = of_statements.chain(report.failures.iter().cloned()).collect();
    if faults.is_empty() && !report.verified {
        faults.push("the bridge's statements cannot be verified".to_owned());
    }
    faults
}

/// The last statement has to be a final one, made after the whole block list was known, of a medium as long as the image.
fn last_faults(last: Option<&Statement>, groups: &BlockDigest, image_bytes: u64) -> Vec<String> {
    let Some(last) = last else { return vec!["there is no statement of the bridge".to_owned()] };
    let drive = &last.drive;
    let medium = drive.capacity.saturating_mul(drive.block_size.into());
    let all = [
        (
            last.session.kind != Kind::Final || last.end_nonce != *groups,
            "the bridge's last statement was not made over this block list".to_owned(),
        ),
        (
            medium != image_bytes,
            format!("the bridge's medium has {medium} bytes, the image {image_bytes}"),
        ),
    ];
    all.into_iter().filter(|(is_wrong, _)| *is_wrong).map(|(_, text)| text).collect()
}

/// Megabytes that the image does not hold as they are on the medium, by its map.
fn known(map: &Map) -> Vec<Uncovered> {
    let chunk = u64::from(CHUNK);
    let mut known: Vec<Uncovered> = Vec::new();
    for (extent, state) in map.iter().filter(|(_, state)| *state != State::Finished) {
        let first = extent.offset().div_euclid(chunk);
        let end = extent.end().div_ceil(chunk);
        if state != State::NonTried {
            add(&mut known, first..end, Why::ZeroFilled);
            continue;
        }
        // The last megabyte of the medium may be a short one.
        let is_last = extent.end() >= map.len();
        let whole_from = extent.offset().div_ceil(chunk);
        let whole_end = if is_last { end } else { extent.end().div_euclid(chunk) };
        let whole_end = whole_end.max(whole_from).min(end);
        add(&mut known, first..whole_from.min(end), Why::Partial);
        add(&mut known, whole_from.min(end)..whole_end, Why::NotRead);
        add(&mut known, whole_end..end, Why::Partial);
    }
    known
}

/// Adds megabytes behind those that are there. The first of them may be the last that is there: zeros are the graver reason.
fn add(known: &mut Vec<Uncovered>, chunks: std::ops::Range<u64>, why: Why) {
    let mut chunks = chunks;
    if let Some(last) = known.last_mut().filter(|last| last.chunks.end > chunks.start) {
        if why == Why::ZeroFilled && last.why != why {
            last.chunks.end = chunks.start;
            if last.chunks.is_empty() {
                known.pop();
            }
        } else {
            chunks.start = last.chunks.end;
        }
    }
    match known.last_mut() {
        _ if chunks.is_empty() => {}
        Some(last) if last.chunks.end == chunks.start && last.why == why => {
            last.chunks.end = chunks.end;
        }
        _ => known.push(Uncovered { chunks, why }),
    }
}

fn compare(image: &Path, outcome: &Outcome, own: &[Uncovered], bytes: u64) -> Result<Agreement> {
    let Some(covered) = &outcome.image else { return Ok(Agreement::default()) };
    let mut list = ListReader::open(image, bytes)?;
    compare_listed(covered, own, &mut |chunk| Ok(list.digest(chunk)?))
}

fn difference(agreement: &Agreement) -> Option<String> {
    let differing = &agreement.differing;
    let names: Vec<_> = differing.iter().take(NAMED).map(|chunk| block_name(*chunk)).collect();
    let more = if differing.len() > names.len() { ", ..." } else { "" };
    (!differing.is_empty()).then(|| {
        format!(
            "{} megabytes of the image are not what the bridge delivered: {}{more}",
            differing.len(),
            names.join(", ")
        )
    })
}

/// Writes the list whole; one of an earlier end of the same image is replaced.
fn write_list(folder: &Path, uncovered: &[Uncovered]) -> Result<()> {
    let path = folder.join(UNCOVERED_FILE);
    let write = || -> Result<()> {
        let mut file = BufWriter::new(tempfile::NamedTempFile::new_in(folder)?);
        write_uncovered(&mut file, uncovered)?;
        file.flush()?;
        let file = file.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        file.as_file().sync_all()?;
        make_readable(file.as_file())?;
        file.persist(&path)?;
        Ok(())
    };
    write().with_context(|| path.display().to_string())
}

/// Temporary files are readable by their owner alone; evidence is read by others.
fn make_readable(file: &fs::File) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        file.set_permissions(fs::Permissions::from_mode(0o644))
    }
    #[cfg(not(unix))]
    {
        let _ = file;
        Ok(())
    }
}

/// The bridge as `image.json` has it: what it says of itself in its last statement, what was found, and what has no digest.
fn device(
    key: &[u8; 32],
    outcome: &Outcome,
    last: Option<&Statement>,
    uncovered: &[Uncovered],
) -> Value {
    let report = &outcome.report;
    let count = |why: Why| {
        let of_it = uncovered.iter().filter(|one| one.why == why);
        of_it.map(Uncovered::count).fold(0, u64::saturating_add)
    };
    let of_statements = report.statements.iter().flat_map(|one| {
        one.findings.iter().map(move |text| format!("{}: {text}", stem(&one.file)))
    });
    let findings: Vec<String> = of_statements.chain(report.findings.iter().cloned()).collect();
    let id = key_id(key);
    json!({
        "key_id": hex(&id),
        "serial": String::from_utf8_lossy(&usb_serial(&id)),
        "verified": report.verified,
        "board": last.map(|last| &last.device),
        "firmware": last.map(|last| &last.firmware),
        "drive": last.map(|last| &last.drive),
        "refused_modifying": last.map(|last| last.refusals.modifying),
        "uncovered_blocks": {
            "zero_filled": count(Why::ZeroFilled),
            "partial": count(Why::Partial),
            "lost": count(Why::Lost),
            "not_read": count(Why::NotRead),
        },
        "unstable_blocks": report.coverage.as_ref().map_or(0, |coverage| coverage.unstable_count),
        "findings": findings,
    })
}

/// Copies the evidence, new files and those that an earlier end of the same image left.
pub(super) fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| to.display().to_string())?;
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        if !entry.file_type()?.is_file() {
            let text = format!("{} is no file", entry.path().display());
            return Err(Failure::new(Exit::Input, text).into());
        }
        let path = to.join(entry.file_name());
        fs::copy(entry.path(), &path).with_context(|| path.display().to_string())?;
        fs::File::open(&path)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use daleel_core::Extent;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn words(list: &[Uncovered]) -> Vec<(u64, u64, &'static str)> {
        list.iter().map(|one| (one.chunks.start, one.chunks.end, one.why.word())).collect()
    }

    /// 4.4: a megabyte with zeros in any part is zero-filled, one that was not asked for is not read, one in parts is partial.
    #[test]
    fn a_map_says_which_megabytes_have_no_digest() {
        let mut map = Map::new(16 * MIB + 512);
        map.mark(Extent::new(0, 9 * MIB), State::Finished);
        map.mark(Extent::new(3 * MIB + 512, 512), State::BadSector);
        map.mark(Extent::new(5 * MIB, 2 * MIB), State::NonTried);
        map.mark(Extent::new(7 * MIB - 512, 512), State::NonScraped);
        map.mark(Extent::new(9 * MIB, 512), State::Finished);
        assert_eq!(
            words(&known(&map)),
            [
                (3, 4, "zero-filled"),
                (5, 6, "not-read"),
                (6, 7, "zero-filled"),
                (9, 10, "partial"),
                (10, 17, "not-read")
            ]
        );
    }

    /// 4.4: what the imager knows goes before what the statements say; what it has and no statement tells of was lost with its session.
    #[test]
    fn the_map_goes_before_the_statements() {
        let one = |chunks, why| Uncovered { chunks, why };
        let stated = [one(2..8, Why::NotRead), one(8..9, Why::Partial), one(12..20, Why::NotRead)];
        let own = [one(0..1, Why::ZeroFilled), one(4..6, Why::NotRead), one(15..30, Why::NotRead)];
        assert_eq!(
            words(&overlay(&stated, &own)),
            [
                (0, 1, "zero-filled"),
                (2, 4, "lost"),
                (4, 6, "not-read"),
                (6, 8, "lost"),
                (8, 9, "partial"),
                (12, 15, "lost"),
                (15, 30, "not-read")
            ]
        );
    }
}
