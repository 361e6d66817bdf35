//! Files in memory, by their path within a folder.

use std::collections::BTreeMap;

use super::facts::{FileFacts, FileRole};
use crate::Error;
use crate::image::{Image, Medium};
use crate::truth::{Damage, Extent};

/// A folder in memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Folder {
    files: BTreeMap<String, (FileRole, Image)>,
    gone: BTreeMap<String, FileRole>,
    damage: BTreeMap<String, Vec<Damage>>,
}

/// What is done to a folder after writing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FolderDamage {
    /// The file is removed.
    Remove(String),
    /// The file ends here.
    Truncate(String, u64),
    /// Random bytes take the place of what was there.
    Garbage(String, Extent),
    /// Zeros take the place of what was there.
    Zeros(String, Extent),
}

impl Folder {
    /// Adds a file, or replaces it.
    pub fn insert(&mut self, name: impl Into<String>, role: FileRole, image: Image) {
        self.files.insert(name.into(), (role, image));
    }

    /// The files without the facts.
    pub fn into_medium(self) -> Medium {
        let files = self.files.into_iter().map(|(name, (_, image))| (name, image));
        Medium::Folder(files.collect())
    }

    /// A file by its path.
    pub fn get(&self, name: &str) -> Option<&Image> {
        self.files.get(name).map(|(_, image)| image)
    }

    /// Paths of all files.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// Sum of the lengths of all files.
    pub fn bytes(&self) -> u64 {
        self.files.values().map(|(_, image)| image.len()).sum()
    }

    /// The bytes of an extent; nothing where the file is gone or ends before.
    pub fn read(&self, name: &str, [offset, length]: Extent) -> Option<Vec<u8>> {
        let image = self.get(name).filter(|image| offset + length <= image.len())?;
        Some(image.read(offset, length as usize))
    }

    /// Facts about all files, those that were removed included.
    pub fn facts(&self) -> Vec<FileFacts> {
        let present =
            self.files.iter().map(|(name, (role, image))| (name, *role, Some(image.len())));
        let gone = self.gone.iter().map(|(name, role)| (name, *role, None));
        let mut facts: Vec<FileFacts> = present
            .chain(gone)
            .map(|(name, role, bytes)| FileFacts {
                name: name.clone(),
                bytes,
                role,
                damage: self.damage.get(name).cloned().unwrap_or_default(),
            })
            .collect();
        facts.sort_by(|one, other| one.name.cmp(&other.name));
        facts
    }

    /// Damages a file.
    ///
    /// # Errors
    /// [`Error::Plan`] when there is no such file, or the extent passes its end.
    pub fn damage(&mut self, damage: &FolderDamage, seed: u64) -> Result<(), Error> {
        let (name, (role, mut image)) = match damage {
            FolderDamage::Remove(name)
            | FolderDamage::Truncate(name, _)
            | FolderDamage::Garbage(name, _)
            | FolderDamage::Zeros(name, _) => self
                .files
                .remove_entry(name)
                .ok_or_else(|| Error::Plan(format!("there is no file {name}")))?,
        };
        let length = image.len();
        let (extent, what) = match damage {
            FolderDamage::Remove(_) => {
                let what = "the file was removed".into();
                self.damage.entry(name.clone()).or_default().push(Damage {
                    offset: 0,
                    length,
                    what,
                });
                self.gone.insert(name, role);
                return Ok(());
            }
            FolderDamage::Truncate(_, end) => {
                image.truncate(*end);
                ([*end, length.saturating_sub(*end)], "the file ends here")
            }
            FolderDamage::Garbage(_, [offset, count]) => {
                let mut rng = crate::rng::Rng::new(seed, *offset ^ 0xDA);
                image.write(*offset, &rng.bytes(*count as usize))?;
                ([*offset, *count], "random bytes were written over it")
            }
            FolderDamage::Zeros(_, [offset, count]) => {
                image.write(*offset, &vec![0; *count as usize])?;
                ([*offset, *count], "zeros were written over it")
            }
        };
        let [offset, length] = extent;
        let fact = Damage { offset, length, what: what.into() };
        self.damage.entry(name.clone()).or_default().push(fact);
        self.files.insert(name, (role, image));
        Ok(())
    }

    /// What was done to a part of a file, if anything.
    pub fn damage_at(&self, name: &str, extents: &[Extent]) -> Option<&str> {
        let touches = |damage: &&Damage| {
            extents.iter().any(|[offset, length]| {
                *offset < damage.offset + damage.length && damage.offset < offset + length
            })
        };
        self.damage.get(name)?.iter().find(touches).map(|damage| damage.what.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> Folder {
        let mut image = Image::new(200_000);
        image.write(100_000, b"in the middle").unwrap();
        let mut folder = Folder::default();
        folder.insert("a/media", FileRole::Media, image);
        folder
    }

    #[test]
    fn damage_is_on_the_file_and_in_its_facts() {
        let mut folder = folder();
        folder.damage(&FolderDamage::Garbage("a/media".into(), [100_000, 6]), 1).unwrap();
        folder.damage(&FolderDamage::Truncate("a/media".into(), 100_010), 1).unwrap();
        assert_eq!(folder.get("a/media").unwrap().len(), 100_010);
        assert_eq!(folder.read("a/media", [100_006, 4]).unwrap(), b" mid");
        assert_eq!(folder.read("a/media", [100_006, 5]), None);
        assert_eq!(folder.facts()[0].damage.len(), 2);
        assert!(folder.damage_at("a/media", &[[100_003, 1]]).unwrap().starts_with("random"));
        folder.damage(&FolderDamage::Remove("a/media".into()), 1).unwrap();
        assert_eq!((folder.get("a/media"), folder.facts()[0].bytes), (None, None));
        assert!(folder.damage(&FolderDamage::Remove("b".into()), 1).is_err());
    }
}
