//! The output folder: a journal of finished recordings while the work runs, the published files when it is done.
//!
//! A recording's line is written, and synced, when all its files are whole. An interrupted run keeps the journal; the same command
//! with `--resume` skips what it lists. At the end `clips.jsonl`, `other.jsonl`, `summary.json` and `SHA256SUMS` are made from
//! it and it is removed.

use std::{
    collections::HashSet,
    fs::{self, File, OpenOptions},
    io::{BufRead, BufReader, BufWriter, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use daleel_core::{Findings, Recording};
use serde::{Deserialize, Serialize};

use super::{
    folder::absolute,
    hashed::HashedFile,
    records::{ClipJson, FileJson, OtherJson},
};
use crate::{
    exit::{Exit, Failure},
    output::{FindingJson, counts, findings},
};

/// The working folder inside the output folder.
pub const WORK: &str = ".daleel-work";

/// What became of one recording.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RecordingDone {
    /// Its id.
    pub recording: String,
    /// Video frames written, playable or not.
    pub frames: u64,
    /// Lines of `clips.jsonl`.
    pub clips: Vec<ClipJson>,
    /// Lines of `other.jsonl`.
    pub other: Vec<OtherJson>,
    /// All its files.
    pub files: Vec<FileJson>,
    /// What was noticed.
    pub findings: Vec<FindingJson>,
    /// How often, by kind.
    pub finding_counts: std::collections::BTreeMap<String, u64>,
}

impl RecordingDone {
    /// Nothing yet.
    pub fn new(recording: &Recording) -> Self {
        Self {
            recording: recording.id.clone(),
            frames: 0,
            clips: Vec::new(),
            other: Vec::new(),
            files: Vec::new(),
            findings: Vec::new(),
            finding_counts: Default::default(),
        }
    }

    /// Sets what was noticed.
    pub fn set_findings(&mut self, noticed: &Findings) {
        self.findings = findings(noticed);
        self.finding_counts = counts(noticed);
    }
}

/// The journal of an output folder.
pub struct Journal {
    out: PathBuf,
    file: File,
    done: HashSet<String>,
}

impl Journal {
    /// Refuses an output folder that is in use: by something else, or by an unfinished run that is not to be resumed.
    ///
    /// # Errors
    /// When it is in use.
    pub fn check(out: &Path, resume: bool) -> Result<(), Failure> {
        let unfinished = out.join(WORK).join("journal.jsonl").exists();
        let in_use = fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_some())
            || (out.exists() && !out.is_dir());
        if unfinished && !resume {
            return Err(Failure::new(
                Exit::Input,
                format!("{} holds an unfinished run", out.display()),
            )
            .hint("go on with --resume, or give another folder"));
        }
        if in_use && !unfinished {
            return Err(Failure::new(Exit::Input, format!("{} is not empty", out.display()))
                .hint("nothing is overwritten: give a folder that does not exist"));
        }
        Ok(())
    }

    /// Makes the output folder and its journal, or takes up an unfinished one. `recipe` is what must be the same for that.
    ///
    /// # Errors
    /// As [`Journal::check`], or when the unfinished run had another recipe.
    pub fn open(out: &Path, recipe: &str, resume: bool) -> Result<Self> {
        Self::check(out, resume)?;
        let work = out.join(WORK);
        if work.join("journal.jsonl").exists() {
            return Self::take_up(out, recipe);
        }
        fs::create_dir_all(&work).with_context(|| work.display().to_string())?;
        fs::create_dir(out.join("clips")).with_context(|| out.display().to_string())?;
        fs::write(work.join("recipe.json"), recipe)?;
        let file =
            OpenOptions::new().append(true).create_new(true).open(work.join("journal.jsonl"))?;
        Ok(Self { out: out.to_owned(), file, done: HashSet::new() })
    }

    fn take_up(out: &Path, recipe: &str) -> Result<Self> {
        let work = out.join(WORK);
        let before = fs::read_to_string(work.join("recipe.json")).unwrap_or_default();
        if before != recipe {
            return Err(Failure::new(
                Exit::Input,
                "the unfinished run had another source or other options",
            )
            .hint(format!("it was: {before}"))
            .into());
        }
        let path = work.join("journal.jsonl");
        let mut done = HashSet::new();
        let mut known = std::collections::BTreeSet::new();
        let mut whole = 0u64;
        let mut reader = BufReader::new(File::open(&path)?);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line)? > 0 {
            // A last line that was cut short belongs to a recording that is done again.
            let entry = line.strip_suffix(b"\n").and_then(|line| serde_json::from_slice(line).ok());
            let Some(RecordingDone { recording, files, .. }) = entry else { break };
            whole = whole.saturating_add(line.len() as u64);
            known.extend(files.into_iter().map(|file| file.path));
            done.insert(recording);
            line.clear();
        }
        let file = OpenOptions::new().append(true).open(&path)?;
        file.set_len(whole)?;
        remove_strays(out, &known)?;
        Ok(Self { out: out.to_owned(), file, done })
    }

    /// True when a recording was finished by an earlier run.
    pub fn is_done(&self, recording: &str) -> bool {
        self.done.contains(recording)
    }

    /// Notes a finished recording.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn add(&mut self, done: &RecordingDone) -> Result<()> {
        let mut line = serde_json::to_vec(done)?;
        line.push(b'\n');
        self.file.write_all(&line)?;
        self.file.sync_data()?;
        Ok(())
    }

    /// The finished recordings, one by one.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn entries(&self) -> Result<impl Iterator<Item = Result<RecordingDone>>> {
        let file = File::open(self.out.join(WORK).join("journal.jsonl"))?;
        Ok(BufReader::new(file).lines().map(|line| Ok(serde_json::from_str(&line?)?)))
    }
}

/// Removes files of recordings that an interrupted run did not finish.
fn remove_strays(out: &Path, known: &std::collections::BTreeSet<String>) -> Result<()> {
    for entry in fs::read_dir(out.join("clips"))?.flatten() {
        let name = format!("clips/{}", entry.file_name().to_string_lossy());
        if !known.contains(&name) {
            fs::remove_file(entry.path())?;
        }
    }
    for entry in fs::read_dir(out.join(WORK))?.flatten() {
        if entry.path().extension().is_some_and(|ending| ending == "part") {
            fs::remove_file(entry.path())?;
        }
    }
    for name in ["summary.json", "clips.jsonl", "other.jsonl", "SHA256SUMS"] {
        let path = out.join(name);
        if path.exists() {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Counts of a finished run.
#[derive(Clone, Debug, Default, Serialize, PartialEq, Eq)]
pub struct Counts {
    /// Recordings taken.
    pub recordings: u64,
    /// Playable clips.
    pub clips: u64,
    /// Entries of `other.jsonl`.
    pub other: u64,
    /// Frames in playable clips.
    pub frames: u64,
    /// Frames in `other.jsonl`.
    pub other_frames: u64,
}

/// Writes the published files from the journal and removes the working folder. `summary` makes `summary.json` from the counts and the
/// findings of all recordings.
///
/// # Errors
/// When the output cannot be written.
pub fn finish_folder(
    journal: Journal,
    summary: impl FnOnce(
        &Counts,
        Vec<FindingJson>,
        std::collections::BTreeMap<String, u64>,
    ) -> serde_json::Value,
) -> Result<Counts> {
    let out = journal.out.clone();
    let mut counts = Counts::default();
    let mut all_findings = Vec::new();
    let mut finding_counts = std::collections::BTreeMap::new();
    let mut sums: Vec<(String, String)> = Vec::new();
    let mut clips = BufWriter::new(create(&out, "clips.jsonl")?);
    let mut other = BufWriter::new(create(&out, "other.jsonl")?);
    for entry in journal.entries()? {
        let entry = entry?;
        counts.recordings = counts.recordings.saturating_add(1);
        for clip in &entry.clips {
            counts.clips = counts.clips.saturating_add(1);
            counts.frames = counts.frames.saturating_add(clip.frames);
            serde_json::to_writer(&mut clips, clip)?;
            clips.write_all(b"\n")?;
        }
        for line in &entry.other {
            counts.other = counts.other.saturating_add(1);
            counts.other_frames = counts.other_frames.saturating_add(line.frames);
            serde_json::to_writer(&mut other, line)?;
            other.write_all(b"\n")?;
        }
        for (kind, count) in entry.finding_counts {
            let own = finding_counts.entry(kind).or_insert(0u64);
            *own = own.saturating_add(count);
        }
        let room = usize::try_from(Findings::KEPT_PER_KIND)
            .unwrap_or(0)
            .saturating_mul(4)
            .saturating_sub(all_findings.len());
        all_findings.extend(entry.findings.into_iter().take(room));
        sums.extend(entry.files.into_iter().map(|file| (file.path, file.sha256)));
    }
    for (name, file) in [("clips.jsonl", clips), ("other.jsonl", other)] {
        let file = file.into_inner().map_err(|error| error.into_error())?;
        sums.push((name.to_owned(), file.finish()?.sha256));
    }
    let mut file = create(&out, "summary.json")?;
    serde_json::to_writer_pretty(&mut file, &summary(&counts, all_findings, finding_counts))?;
    file.write_all(b"\n")?;
    sums.push(("summary.json".to_owned(), file.finish()?.sha256));
    sums.sort();
    let mut list = create(&out, "SHA256SUMS")?;
    for (path, sha256) in &sums {
        writeln!(list, "{sha256}  {path}")?;
    }
    list.finish()?;
    drop(journal);
    fs::remove_dir_all(out.join(WORK))?;
    Ok(counts)
}

fn create(out: &Path, name: &str) -> Result<HashedFile> {
    let path = absolute(out, name);
    if path.exists() {
        bail!("{} exists already", path.display());
    }
    HashedFile::create(&path).with_context(|| path.display().to_string())
}
