//! A card: media files with their index and its mirror, and the truth about each entry.

use super::card_facts::{Copy, recording};
use super::database::{Database, Row, RowFate, write_database};
use super::facts::FileRole;
use super::folder::Folder;
use super::index::{Index, Shape};
use super::item::{Item, PicturePlan, SegmentPlan};
use super::store::Store;
use crate::Error;
use crate::rng::Rng;
use crate::truth::Recording;

/// The plan of a card, or of one data folder.
#[derive(Debug, Clone)]
pub struct CardPlan {
    /// Folder of the files, with a `/` at its end; empty for the root.
    pub folder: String,
    /// Form of the video index.
    pub index: IndexForm,
    /// The mirror of the video index.
    pub mirror: Mirror,
    /// Number of media files.
    pub files: usize,
    /// Length of a media file.
    pub media_bytes: u64,
    /// Segments in the order of writing.
    pub segments: Vec<SegmentPlan>,
    /// Before this segment the card was initialised: its index began anew, its media stayed.
    pub formatted_before: Option<usize>,
    /// Pictures, with an index of their own.
    pub pictures: Option<PictureStore>,
    /// Seed of everything random.
    pub seed: u64,
}

/// Form of a video index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IndexForm {
    /// `index00.bin` of this version, 2 or 3.
    Binary(u32),
    /// `record_db_index00`. Rows of media files that were begun again are deleted, the others kept,
    /// unless the fate of a segment, by its number, is stated here.
    Database(Vec<(usize, RowFate)>),
}

/// The second copy of a binary index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mirror {
    /// The same bytes.
    Same,
    /// It lacks the last updates, and each copy lacks a record that the other has. `lost` holds
    /// copy (0 or 1), file and segment.
    Differs {
        /// Number of updates.
        behind: usize,
        /// Records that were never written in one copy.
        lost: Vec<(usize, u16, u16)>,
    },
}

/// Picture files of a card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PictureStore {
    /// Number of picture files.
    pub files: usize,
    /// Length of a picture file.
    pub file_bytes: u64,
    /// Pictures in the order of writing.
    pub pictures: Vec<PicturePlan>,
}

/// A card in memory.
pub(super) struct Card<'a> {
    plan: &'a CardPlan,
    video: Store,
    pictures: Option<Store>,
    copies: Copies,
    picture_copies: Vec<Copy>,
}

/// The index files.
enum Copies {
    Binary(Vec<Copy>),
    Database(Database, Vec<Row>),
}

impl<'a> Card<'a> {
    pub fn new(plan: &'a CardPlan) -> Result<Self, Error> {
        let counter = Rng::new(plan.seed, 0x4944_5830).below(900_000);
        let version = if let IndexForm::Binary(version) = plan.index { version } else { 2 };
        let index = Index::new(Shape::Video, version, plan.files, counter);
        let mut video = Store::new(index, plan.media_bytes);
        for (number, segment) in plan.segments.iter().enumerate() {
            if plan.formatted_before == Some(number) {
                video.format();
            }
            video.add(Item::segment(segment))?;
        }
        let copies = match &plan.index {
            IndexForm::Binary(_) => Copies::Binary(mirrored(plan, &video)?),
            IndexForm::Database(fates) => {
                let rows = rows(&video, fates);
                let created = plan.segments[0].stream.start.plus_ms(-86_400_000);
                Copies::Database(write_database(&rows, created, plan.seed)?, rows)
            }
        };
        let pictures = plan.pictures.as_ref().map(|store| pictures(store, counter)).transpose()?;
        let picture_copies = match &pictures {
            Some(store) => same(plan, &store.index, "p")?,
            None => Vec::new(),
        };
        Ok(Card { plan, video, pictures, copies, picture_copies })
    }

    /// Adds all files.
    pub fn put_into(&self, folder: &mut Folder) {
        self.put_media(folder, &self.video, "mp4", FileRole::Media);
        match &self.copies {
            Copies::Binary(copies) => put_copies(folder, copies, FileRole::Index),
            Copies::Database(database, _) => {
                let [name, log, mirror] = self.database_names();
                folder.insert(name, FileRole::Database, database.main.clone());
                folder.insert(log, FileRole::DatabaseLog, database.log.clone());
                folder.insert(mirror, FileRole::Database, database.main.clone());
            }
        }
        if let Some(store) = &self.pictures {
            self.put_media(folder, store, "pic", FileRole::Pictures);
            put_copies(folder, &self.picture_copies, FileRole::PictureIndex);
        }
    }

    fn put_media(&self, folder: &mut Folder, store: &Store, extension: &str, role: FileRole) {
        for (number, image) in (0..).zip(&store.media) {
            folder.insert(self.media_name(number, extension), role, image.clone());
        }
    }

    /// Name of a media file.
    fn media_name(&self, number: u16, extension: &str) -> String {
        format!("{}hiv{number:05}.{extension}", self.plan.folder)
    }

    fn database_names(&self) -> [String; 3] {
        ["record_db_index00", "record_db_index00-wal", "record_db_index01"]
            .map(|name| format!("{}{name}", self.plan.folder))
    }

    /// The truth about every entry that there ever was, as the folder is now.
    pub fn recordings(&self, folder: &Folder) -> Vec<Recording> {
        let prefix = self.plan.folder.replace('/', "-");
        let mut recordings = Vec::new();
        for (number, written) in self.video.written.iter().enumerate() {
            let media = self.media_name(written.file, "mp4");
            let mut one = recording(written, folder, &media, &format!("{prefix}f"));
            match &self.copies {
                Copies::Binary(copies) => one.list(copies, written, folder),
                Copies::Database(database, rows) => {
                    one.list_row(&rows[number], database, &self.database_names());
                }
            }
            recordings.push(one.finish());
        }
        let pictures = self.pictures.iter().flat_map(|store| &store.written);
        for written in pictures {
            let media = self.media_name(written.file, "pic");
            let mut one = recording(written, folder, &media, &format!("{prefix}p"));
            one.list(&self.picture_copies, written, folder);
            recordings.push(one.finish());
        }
        recordings
    }
}

fn put_copies(folder: &mut Folder, copies: &[Copy], role: FileRole) {
    for copy in copies {
        folder.insert(copy.name.clone(), role, copy.image.clone());
    }
}

/// Both copies of the video index.
fn mirrored(plan: &CardPlan, store: &Store) -> Result<Vec<Copy>, Error> {
    let Mirror::Differs { behind, lost } = &plan.mirror else {
        return same(plan, &store.index, "");
    };
    let at = store.history.len().checked_sub(1 + behind);
    let older = at.and_then(|at| store.history.get(at));
    let older = older.ok_or_else(|| Error::Plan("the mirror lacks more than all".into()))?;
    let mut indices = [store.index.clone(), older.clone()];
    for (copy, file, segment) in lost {
        indices[*copy].records.remove(&(*file, *segment));
    }
    indices.into_iter().zip(0..).map(|(index, n)| Copy::new(plan, index, "", n)).collect()
}

fn same(plan: &CardPlan, index: &Index, mark: &str) -> Result<Vec<Copy>, Error> {
    (0..2).map(|n| Copy::new(plan, index.clone(), mark, n)).collect()
}

fn pictures(plan: &PictureStore, counter: u64) -> Result<Store, Error> {
    let index = Index::new(Shape::Pictures, 2, plan.files, counter / 3);
    let mut store = Store::new(index, plan.file_bytes);
    for picture in &plan.pictures {
        store.add(Item::picture(picture))?;
    }
    Ok(store)
}

fn rows(store: &Store, fates: &[(usize, RowFate)]) -> Vec<Row> {
    let row = |(number, written): (usize, &super::store::Written)| {
        let stated = fates.iter().find(|(own, _)| *own == number).map(|(_, fate)| *fate);
        let current = written.pass + 1 == store.passes[usize::from(written.file)];
        let usual = if current { RowFate::Kept } else { RowFate::Deleted };
        Row {
            file_no: written.file.into(),
            channel: written.item.channel.into(),
            record_type: u32::from(written.item.kind),
            start: written.item.start,
            end: written.item.end,
            start_offset: written.offset,
            end_offset: written.offset + written.item.bytes.len() as u64,
            fate: stated.unwrap_or(usual),
        }
    };
    store.written.iter().enumerate().map(row).collect()
}
