//! What the statements, the log and the journal of a session say together.
//!
//! Facts: published requirements, sections 4.3 (nonces, checkpoints), 4.4 (which entries a root proves), 5.3 (how a session ends). Each
//! statement is signed by itself; that one is missing, or that two tell of different pasts, shows only here. A journal is the host's own
//! word and not signed: it makes what it names missing, and it proves nothing.

use std::{collections::BTreeMap, path::Path};

use anyhow::Result;
use wb_attest::{
    log::{CHUNK, Entry},
    proof::Nodes as _,
    statement::{EndReason, Extent, Kind},
    verify::{LogVerdict, Statement, Tree},
};

use super::{
    judge,
    record::{Folder, Journal, Line, read_log},
    session::{log_finding, session_name, verdict_word},
    verify::{Tell, Verified, VerifyJson, offset_of},
};
use crate::export::hashed::hex;

/// The proven entries of each session, in the order of the sessions.
pub type SessionLogs = Vec<(u32, Vec<Entry>)>;

/// Statements of one session, ascending.
struct Group<'v> {
    name: String,
    statements: Vec<&'v Verified>,
}

impl Group<'_> {
    fn last(&self) -> Option<&Statement> {
        self.statements.last().map(|one| &one.statement)
    }

    fn has_final(&self) -> bool {
        self.last().is_some_and(|last| last.session.kind == Kind::Final)
    }
}

/// Checks the sessions. In a folder, what its journals name has to be there.
///
/// # Errors
/// When the folder cannot be read.
pub fn check(
    folder: &Path,
    right: &[Verified],
    report: &mut VerifyJson,
    is_folder: bool,
    tell: &mut Tell<'_>,
) -> Result<SessionLogs> {
    twins(right, report);
    let groups = groups(right);
    let folder_of = Folder::at(folder);
    let mut logs = Vec::new();
    for (number, group) in (0_u32..).zip(groups.values()) {
        succession(group, report);
        check_nonces(&folder_of, group, report);
        let log = folder.join(format!("{}.log", group.name));
        logs.push((number, check_log(&log, group, report, tell)));
    }
    power_ups(&groups, report);
    if is_folder {
        for group in groups.values() {
            numbers(group, report);
        }
        for name in folder_of.sessions()? {
            let group = groups.values().find(|group| group.name == name);
            check_journal(&folder_of, &name, group, report);
        }
        for group in groups.values().filter(|group| !group.has_final()) {
            let name = &group.name;
            report.findings.push(format!(
                "{name} has no final statement: what came after its last checkpoint is not stated"
            ));
        }
    }
    Ok(logs)
}

fn groups(right: &[Verified]) -> BTreeMap<(u32, u32), Group<'_>> {
    let mut groups: BTreeMap<(u32, u32), Group<'_>> = BTreeMap::new();
    for one in right {
        let place = (one.statement.boot_counter, one.statement.session.number);
        let group = groups.entry(place).or_insert_with(|| Group {
            name: session_name(place.0, place.1),
            statements: Vec::new(),
        });
        group.statements.push(one);
    }
    groups
}

fn file(report: &VerifyJson, of: &Verified) -> String {
    report.statements.get(of.index).map(|found| found.file.clone()).unwrap_or_default()
}

/// The same place in the same session twice: a copy, or two statements where the bridge makes one.
fn twins(right: &[Verified], report: &mut VerifyJson) {
    for pair in right.windows(2) {
        let [one, other] = pair else { continue };
        let place = |of: &Verified| {
            let session = &of.statement.session;
            (of.statement.boot_counter, session.number, session.checkpoint)
        };
        if place(one) != place(other) {
            continue;
        }
        let text = format!(
            "{} and {} are for the same place in one session",
            file(report, one),
            file(report, other)
        );
        if one.statement == other.statement {
            report.findings.push(format!("{text}: copies"));
        } else {
            report.failures.push(format!("{text}, and they differ"));
        }
    }
}

/// Figures that only grow, and what stays the same, from each statement to the next.
fn succession(group: &Group<'_>, report: &mut VerifyJson) {
    for pair in group.statements.windows(2) {
        let [earlier, later] = pair else { continue };
        if earlier.statement == later.statement {
            continue;
        }
        let wrong = judge::succession(&earlier.statement, &later.statement);
        let (one, other) = (file(report, earlier), file(report, later));
        report
            .failures
            .extend(wrong.iter().map(|what| format!("{other} does not follow {one}: {what}")));
    }
}

/// The same from each session to the next of the same power-up, and how the bridge says that the one before ended.
fn power_ups(groups: &BTreeMap<(u32, u32), Group<'_>>, report: &mut VerifyJson) {
    for ((boot, number), group) in groups {
        let (Some(next), Some((_, before))) =
            (group.statements.first(), groups.range((*boot, 0)..(*boot, *number)).next_back())
        else {
            continue;
        };
        let Some(last) = before.last() else { continue };
        let (one, other) = (&before.name, &group.name);
        let wrong = judge::power_up(last, &next.statement);
        report
            .failures
            .extend(wrong.iter().map(|what| format!("{other} does not follow {one}: {what}")));
        if last.session.number.checked_add(1) != Some(*number) {
            continue;
        }
        let was_finished = next.statement.session.previous == Some(EndReason::Finished);
        if was_finished && !before.has_final() {
            report.failures.push(format!(
                "{other} says that the session before it was finished, and the final statement of {one} is not here"
            ));
        }
        if !was_finished && before.has_final() {
            report.failures.push(format!(
                "{other} says that the session before it was not finished, and {one} has a final statement"
            ));
        }
    }
}

/// Statements of a session are numbered from 0 on.
fn numbers(group: &Group<'_>, report: &mut VerifyJson) {
    let mut next = 0_u32;
    for one in &group.statements {
        let number = one.statement.session.checkpoint;
        if number > next {
            let count = number.saturating_sub(next);
            report.findings.push(format!(
                "{}: {count} statements before {} are not here",
                group.name,
                file(report, one)
            ));
        }
        next = next.max(number.saturating_add(1));
    }
}

fn check_nonces(folder: &Folder, group: &Group<'_>, report: &mut VerifyJson) {
    let name = &group.name;
    if !folder.file(&format!("{name}{}", super::record::JOURNAL_ENDING)).exists() {
        report.findings.push(format!(
            "{name}: no journal here, so the nonces have to be compared with what they were made from"
        ));
        return;
    }
    let journal = match Journal::read(folder, name) {
        Ok(journal) => journal,
        Err(error) => {
            report.failures.push(format!("{error:#}"));
            return;
        }
    };
    for one in &group.statements {
        let Some(checked) = report.statements.get_mut(one.index) else { continue };
        let stated = (one.statement.start_nonce, one.statement.end_nonce);
        let stem = checked.file.strip_suffix(".cbor").unwrap_or(&checked.file);
        let is_ours = journal.nonces(stem) == Some(stated);
        checked.nonces = Some(is_ours);
        if !is_ours {
            let text = "its nonces are not those that were sent: a statement of another time or for another name";
            checked.failures.push(text.to_owned());
        }
        checked.failures.extend(start_fault(&journal, &one.statement));
        checked.failures.extend(journal.medium_fault(&one.statement));
    }
}

/// Whether the session began with another key, firmware or policy than a statement has.
fn start_fault(journal: &Journal, statement: &Statement) -> Option<String> {
    let Some(Line::Start { key_id, firmware, policy, .. }) = journal.lines().first() else {
        return None;
    };
    let digests = [
        (key_id, &statement.device.key_id, "key"),
        (firmware, &statement.firmware.digest, "firmware"),
        (policy, &statement.firmware.policy, "policy"),
    ];
    let other = digests.into_iter().find(|(noted, stated, _)| **noted != hex(*stated));
    other.map(|(.., what)| format!("the session began with another {what}"))
}

/// What a journal names has to be there, as it was.
fn check_journal(folder: &Folder, name: &str, group: Option<&Group<'_>>, report: &mut VerifyJson) {
    let journal = match Journal::read(folder, name) {
        Ok(journal) => journal,
        Err(error) => {
            // That of a session with statements was noted with them.
            if group.is_none() {
                report.failures.push(format!("{error:#}"));
            }
            return;
        }
    };
    if journal.session().map(|(boot, number)| session_name(boot, number)).as_deref() != Some(name) {
        report.failures.push(format!("{name}: the journal is that of another session"));
    }
    for line in journal.lines() {
        match line {
            Line::Statement { name, sha256, .. } => {
                let file = format!("{name}.cbor");
                let found = report.statements.iter().find(|one| one.file == file);
                match found {
                    Some(found) if found.sha256 == *sha256 => {}
                    Some(_) => report.failures.push(format!(
                        "{file} is not the one that was stored: the journal has another digest"
                    )),
                    None => report
                        .failures
                        .push(format!("{file} was stored, says the journal, and is not here")),
                }
            }
            Line::Rejected { name, why, .. } => {
                report.findings.push(format!("what came for {name} was no statement of it: {why}"));
            }
            Line::Broken { why, .. } => {
                report.findings.push(format!("{name} broke off: {why}"));
            }
            Line::Start { .. } | Line::Finish { .. } | Line::Refused { .. } => {}
        }
    }
    if let Some((waiting, ..)) = journal.pending() {
        report.findings.push(format!("{waiting} was asked for and never stored"));
    }
    if group.is_none() {
        report.findings.push(format!("{name} has a journal and no statement that is right"));
    }
}

/// The log of a session against its statements; the entries that a signed root proves.
fn check_log(
    path: &Path,
    group: &Group<'_>,
    report: &mut VerifyJson,
    tell: &mut Tell<'_>,
) -> Vec<Entry> {
    let name = &group.name;
    let most = group.statements.iter().map(|one| one.statement.log.entries).max().unwrap_or(0);
    let is_here = path.exists();
    let (mut entries, mut count) = (Vec::new(), 0_u64);
    if is_here {
        // What no statement covers is counted and not kept.
        let read = read_log(path, |entry| {
            count = count.saturating_add(1);
            tell.entry();
            if count <= most {
                entries.push(entry);
            }
        });
        if let Err(error) = read {
            report.failures.push(format!("{error:#}"));
        }
    } else if most > 0 {
        report.findings.push(format!("{name}.log is not here: nothing is covered by this session"));
    }
    if group.has_final() && count > most {
        report.failures.push(format!(
            "{name}.log has {count} entries; the final statement covers {most}, and no entry is made after it"
        ));
    }
    let tree = contiguous(&entries, tell);
    let mut proven: Option<&Verified> = None;
    for one in &group.statements {
        let verdict = log_verdict(&tree, &one.statement);
        if verdict == LogVerdict::Agrees {
            proven = Some(one);
        }
        let Some(checked) = report.statements.get_mut(one.index).filter(|_| is_here) else {
            continue;
        };
        checked.log = Some(verdict_word(verdict));
        let finding = log_finding(&one.statement, verdict);
        if is_explained(&one.statement, verdict) {
            checked.findings.extend(finding);
        } else {
            checked.failures.extend(finding);
        }
    }
    let size = proven.map_or(0, |one| one.statement.log.entries);
    entries.truncate(usize::try_from(size).unwrap_or(usize::MAX));
    if let Some(one) = proven
        && let Some(checked) = report.statements.get_mut(one.index)
    {
        checked.failures.extend(unread_fault(&one.statement, &entries));
    }
    entries
}

/// An entry for a megabyte that was not read whole, by the same statement.
fn unread_fault(statement: &Statement, entries: &[Entry]) -> Option<String> {
    let extents = &statement.coverage.extents;
    let block_size = u64::from(statement.drive.block_size);
    if !extents.is_whole() {
        return None;
    }
    let is_read = |entry: &Entry| {
        let from = offset_of(entry.chunk);
        let until = from.saturating_add(entry.len.into());
        let blocks = from.checked_div(block_size).zip(until.checked_next_multiple_of(block_size));
        blocks.is_some_and(|(lba, end)| {
            let end = end.checked_div(block_size).unwrap_or(0);
            judge::was_read(&extents.first, lba, end.saturating_sub(lba))
        })
    };
    let unread = entries.iter().find(|entry| !is_read(entry))?;
    Some(format!(
        "log entry {} is of megabyte {}, which by the same statement was not read whole",
        unread.seq, unread.chunk
    ))
}

/// The log over the entries as far as they follow each other from the first on. Its roots serve all statements of the session.
fn contiguous(entries: &[Entry], tell: &mut Tell<'_>) -> Tree {
    let mut tree = Tree::default();
    for entry in entries {
        tell.entry();
        if tree.append(entry).is_err() {
            break;
        }
    }
    tree
}

/// What the kept entries say of a statement's root.
fn log_verdict(tree: &Tree, statement: &Statement) -> LogVerdict {
    match tree.root_at(statement.log.entries) {
        Some(root) if root == statement.log.root => LogVerdict::Agrees,
        Some(_) => LogVerdict::Differs,
        None => LogVerdict::Missing { have: tree.size() },
    }
}

/// Whether what the log lacks is what the bridge says that it dropped. A bridge names so many ranges and no more.
fn is_explained(statement: &Statement, verdict: LogVerdict) -> bool {
    let ranges = &statement.log.lost_ranges;
    match verdict {
        LogVerdict::Agrees => true,
        LogVerdict::Differs => false,
        LogVerdict::Missing { have } => {
            let is_in = |range: &Extent| {
                have.checked_sub(range.lba).is_some_and(|into| into < range.blocks)
            };
            statement.log.lost > 0 && (ranges.first.iter().any(is_in) || !ranges.is_whole())
        }
    }
}

const _: () = assert!(CHUNK == 1 << 20, "a chunk is called a megabyte here");
