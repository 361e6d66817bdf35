//! A card or share as one recorder: the indexes of its folders, and its logs.
//!
//! Facts: `docs/formats/hikvision.md` sections 9 and 10.

use daleel_core::{
    Extent, FileTree, FindingKind, Findings, FormatError, FrameParser, Input, LogEvent, Recorder,
    Recording, Stream, Structure, Verdict,
};

use super::{
    database::Database,
    folder::{self, Form, Group},
    gallery::Gallery,
    index::{Copy, Index},
    info::Info,
    logs::LogFile,
    media::Media,
    nas::Share,
    segment::Segments,
};

/// Bits of a handle that say which listing it belongs to.
const LISTING_SHIFT: u32 = 48;

/// The recordings that one index lists.
pub trait Listing: Send + Sync {
    /// What it is, for people.
    fn facts(&self) -> Vec<(String, String)>;

    /// What was noticed.
    fn findings(&self) -> &Findings;

    /// Its recordings; handles take the low 48 bits.
    fn recordings(&self) -> Box<dyn Iterator<Item = Result<Recording, FormatError>> + '_>;

    /// Where a recording's bytes lie.
    ///
    /// # Errors
    /// When nothing is left of them, or their file is not there.
    fn stream(&self, recording: &Recording) -> Result<Stream, FormatError>;

    /// File name extension of its streams.
    fn native_extension(&self) -> &'static str;

    /// File name extension of one stream.
    fn extension_of(&self, _recording: &Recording) -> &'static str {
        self.native_extension()
    }

    /// A parser for a stream.
    fn parser(&self, recording: &Recording) -> Box<dyn FrameParser>;

    /// The structures that hold a byte of a file.
    ///
    /// # Errors
    /// When they cannot be read.
    fn describe(&self, offset: u64, file: Option<&str>) -> Result<Vec<Structure>, FormatError>;
}

/// Opens a folder, or an index that was given alone.
///
/// # Errors
/// When no index can be read.
pub fn open(input: Input, verdict: &Verdict) -> Result<Box<dyn Recorder>, FormatError> {
    let mut card = Card {
        verdict: verdict.clone(),
        listings: Vec::new(),
        infos: Vec::new(),
        logs: Vec::new(),
        findings: Findings::default(),
    };
    let mut failed = None;
    match input {
        Input::Tree(tree) => {
            let groups = folder::groups(&tree);
            let several =
                groups.iter().any(|group| Some(&group.folder) != groups.first().map(|g| &g.folder));
            for group in groups {
                let prefix = match (several, group.folder.as_str()) {
                    (true, folder) if !folder.is_empty() => format!("{folder}/"),
                    _ => String::new(),
                };
                if let Err(error) = card.add(&tree, group, prefix) {
                    failed.get_or_insert(error);
                }
            }
            card.infos = Info::all(&tree);
            card.logs = LogFile::all(&tree);
            card.note_folders();
        }
        Input::Volume(volume) => {
            if let Some((copy, seen)) = folder::single(&volume.source, verdict.extent) {
                let empty = FileTree::default();
                let listing =
                    listing(seen.form, vec![copy], &empty, Media::default(), String::new());
                match listing {
                    Ok(listing) => card.push(listing),
                    Err(error) => failed = Some(error),
                }
            }
        }
    }
    if card.listings.is_empty() {
        let none =
            || FormatError::field("card or share", verdict.extent, "index", "none", "an index");
        return Err(failed.unwrap_or_else(none));
    }
    Ok(Box::new(card))
}

fn listing(
    form: Form,
    copies: Vec<Copy>,
    tree: &FileTree,
    media: Media,
    prefix: String,
) -> Result<Box<dyn Listing>, FormatError> {
    Ok(match form {
        Form::Video | Form::Pictures => {
            let index = Index::read(copies, form == Form::Pictures)?;
            if index.shape.is_pictures {
                Box::new(Gallery::new(index, media, prefix))
            } else {
                Box::new(Segments::new(index, media, prefix))
            }
        }
        Form::Tree => Box::new(Share::new(copies, media, prefix)?),
        Form::Database | Form::PictureDatabase => {
            Box::new(Database::new(copies, tree, media, prefix).ok_or_else(|| {
                FormatError::field("SQLite index", Extent::new(0, 0), "index", "none", "a database")
            })?)
        }
    })
}

/// A card, a share, or an index alone.
struct Card {
    verdict: Verdict,
    listings: Vec<Box<dyn Listing>>,
    infos: Vec<Info>,
    logs: Vec<LogFile>,
    findings: Findings,
}

impl Card {
    fn add(&mut self, tree: &FileTree, group: Group, prefix: String) -> Result<(), FormatError> {
        for path in &group.others {
            let text =
                format!("{path} is an index too, under a name that no device gives it: not used");
            self.findings.note(FindingKind::Interpretation, Extent::new(0, 0), text);
        }
        let names: Vec<_> = group.copies.iter().map(|copy| copy.name().to_owned()).collect();
        let media = Media::of_folder(tree, &group.folder);
        match listing(group.form, group.copies, tree, media, prefix) {
            Ok(listing) => self.push(listing),
            Err(error) => {
                let text = format!("{}: {error}", names.join(", "));
                self.findings.note(FindingKind::DamagedIndex, error.at, text);
                return Err(error);
            }
        }
        Ok(())
    }

    fn push(&mut self, listing: Box<dyn Listing>) {
        self.findings.extend(listing.findings());
        self.listings.push(listing);
    }

    /// Data folders that should be there.
    fn note_folders(&mut self) {
        for info in &self.infos {
            let stated = usize::try_from(info.data_folders).unwrap_or(usize::MAX);
            if stated > self.listings.len() {
                let text = format!(
                    "{} states {stated} data folders, {} indexes were found",
                    info.path(),
                    self.listings.len()
                );
                self.findings.note(FindingKind::NotCarried, Extent::new(0x40, 4), text);
            }
        }
    }

    fn of(&self, recording: &Recording) -> Result<(&dyn Listing, Recording), FormatError> {
        let number = usize::try_from(recording.handle >> LISTING_SHIFT).ok();
        let gone = || {
            let at = self.verdict.extent;
            FormatError::field("recording", at, "id", &recording.id, "a recording of this input")
        };
        let listing = number.and_then(|number| self.listings.get(number)).ok_or_else(gone)?;
        let low = recording.handle & (1u64 << LISTING_SHIFT).saturating_sub(1);
        Ok((&**listing, Recording { handle: low, ..recording.clone() }))
    }
}

impl Recorder for Card {
    fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    fn facts(&self) -> Vec<(String, String)> {
        let infos = self.infos.iter().flat_map(Info::facts);
        let listings = self.listings.iter().flat_map(|listing| listing.facts());
        let logs = self.logs.iter().map(|log| (log.path().to_owned(), "system log".to_owned()));
        infos.chain(listings).chain(logs).collect()
    }

    fn findings(&self) -> &Findings {
        &self.findings
    }

    fn recordings(&self) -> Box<dyn Iterator<Item = Result<Recording, FormatError>> + '_> {
        Box::new((0u64..).zip(&self.listings).flat_map(|(number, listing)| {
            let high = number.checked_shl(LISTING_SHIFT).unwrap_or(0);
            listing.recordings().map(move |recording| {
                recording
                    .map(|recording| Recording { handle: recording.handle | high, ..recording })
            })
        }))
    }

    fn stream(&self, recording: &Recording) -> Result<Stream, FormatError> {
        let (listing, recording) = self.of(recording)?;
        listing.stream(&recording)
    }

    fn native_extension(&self, recording: &Recording) -> &'static str {
        self.of(recording).map_or("mpg", |(listing, own)| listing.extension_of(&own))
    }

    fn parser(&self, recording: &Recording) -> Box<dyn FrameParser> {
        match self.of(recording) {
            Ok((listing, own)) => listing.parser(&own),
            // A recording of another input: a parser that finds nothing.
            Err(_) => Box::new(super::picture::PictureParser::new(Vec::new())),
        }
    }

    fn events(&self) -> Box<dyn Iterator<Item = Result<LogEvent, FormatError>> + '_> {
        Box::new(self.logs.iter().flat_map(LogFile::events))
    }

    fn describe(&self, offset: u64, file: Option<&str>) -> Result<Vec<Structure>, FormatError> {
        if let Some(info) = self.infos.iter().find(|info| Some(info.path()) == file) {
            return info.describe(offset);
        }
        if let Some(log) = self.logs.iter().find(|log| Some(log.path()) == file) {
            return Ok(log.describe(offset).into_iter().collect());
        }
        let mut found = Vec::new();
        for listing in &self.listings {
            found.extend(listing.describe(offset, file)?);
        }
        Ok(found)
    }
}
