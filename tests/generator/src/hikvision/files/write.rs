//! Writes all files of a plan and the truth about them.

use super::card::{Card, CardPlan};
use super::facts::FileRole;
use super::folder::{Folder, FolderDamage};
use super::info::Info;
use super::logs::CardLogs;
use super::nas::{TreeFolder, TreePlan};
use crate::Error;
use crate::truth::Truth;

/// The plan of a folder: a card, or a network drive of several data folders.
#[derive(Debug, Clone)]
pub struct FilesPlan {
    /// `info.bin` in the root.
    pub info: Option<Info>,
    /// Cards by their folder.
    pub cards: Vec<CardPlan>,
    /// A recorder's folder with a tree.
    pub tree: Option<TreePlan>,
    /// System logs.
    pub logs: Option<CardLogs>,
    /// What is damaged after writing.
    pub damage: Vec<FolderDamage>,
    /// Seed of everything random.
    pub seed: u64,
}

/// Writes the files.
///
/// # Errors
/// [`Error::Plan`] when the plan does not fit.
pub fn write_files(plan: &FilesPlan) -> Result<(Folder, Truth), Error> {
    let mut folder = Folder::default();
    if let Some(info) = &plan.info {
        folder.insert("info.bin", FileRole::Info, info.encode()?);
    }
    let cards = plan.cards.iter().map(Card::new).collect::<Result<Vec<_>, _>>()?;
    let tree = plan.tree.as_ref().map(TreeFolder::new).transpose()?;
    cards.iter().for_each(|card| card.put_into(&mut folder));
    tree.iter().for_each(|tree| tree.put_into(&mut folder));
    if let Some(logs) = &plan.logs {
        logs.put_into(&mut folder)?;
    }
    for damage in &plan.damage {
        folder.damage(damage, plan.seed)?;
    }
    let mut truth = Truth::empty("hikvision-files", folder.bytes());
    truth.recordings = cards.iter().flat_map(|card| card.recordings(&folder)).collect();
    truth.recordings.extend(tree.iter().flat_map(|tree| tree.recordings(&folder)));
    truth.hikvision = tree.map(|tree| tree.facts(&folder));
    truth.log = plan.logs.iter().flat_map(|logs| logs.facts(&folder)).collect();
    truth.files = folder.facts();
    Ok((folder, truth))
}
