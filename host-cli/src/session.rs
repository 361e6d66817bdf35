//! From the command line's source to an opened recorder: open the image, ask the families, choose.

use std::{
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use anyhow::{Context, Result};
use daleel_core::{Family, Findings, Input, Recorder, Verdict};
use daleel_formats::{FAMILIES, identify};
use daleel_image::{Opened, Partition, RescueMap, volumes};

use crate::{
    args::SourceArgs,
    exit::{Exit, Failure},
};

/// An opened source with what the families say of it.
pub struct Session {
    /// The source.
    pub opened: Opened,
    /// Partitions of the medium, if it has a table.
    pub partitions: Vec<Partition>,
    /// What was odd about the partition tables.
    pub findings: Findings,
    /// All verdicts on all volumes, best first.
    pub layers: Vec<Layer>,
}

/// One layout found on the source.
pub struct Layer {
    /// The family that recognised it.
    pub family: &'static Family,
    /// What it says.
    pub verdict: Verdict,
    /// What it was offered.
    pub input: Input,
}

impl Session {
    /// Opens a source and identifies it.
    ///
    /// # Errors
    /// When the source or its map cannot be opened.
    pub fn open(args: &SourceArgs) -> Result<Self> {
        let open =
            |map| daleel_image::open(&args.source, map).context("the source cannot be opened");
        let mut opened = open(args.map.as_deref())?;
        if let Some(beside) = map_beside(args, opened.size) {
            opened = open(Some(&beside))?;
            let text = format!(
                "{} lies beside the image and covers it: it is used (--no-map to leave it)",
                beside.display()
            );
            opened.notes.push(text);
        }
        let (inputs, partitions, findings) = match &opened.input {
            Input::Volume(volume) => {
                let (volumes, partitions, findings) = volumes(volume.source.clone());
                (volumes.into_iter().map(Input::Volume).collect(), partitions, findings)
            }
            tree @ Input::Tree(_) => (vec![tree.clone()], Vec::new(), Findings::default()),
        };
        let mut layers: Vec<Layer> = inputs
            .into_iter()
            .flat_map(|input| {
                let found = identify(&input);
                found.into_iter().map(move |(family, verdict)| Layer {
                    family,
                    verdict,
                    input: input.clone(),
                })
            })
            .collect();
        layers.sort_by_key(|layer| std::cmp::Reverse(layer.verdict.score));
        drop_shadows(&mut layers);
        Ok(Self { opened, partitions, findings, layers })
    }

    /// Opens the layer that is asked for, or the best one.
    ///
    /// # Errors
    /// When nothing is recognised, the family is unknown or did not recognise the source, or the layer cannot be opened.
    pub fn recorder(&self, family: Option<&str>) -> Result<Box<dyn Recorder>> {
        check_family(family)?;
        let layer =
            self.layers.iter().find(|layer| family.is_none_or(|name| layer.family.name == name));
        let layer = layer.ok_or_else(|| match (family, self.layers.first()) {
            (Some(name), Some(best)) => {
                let text = format!("this source is not recognised as `{name}`");
                Failure::new(Exit::Unsupported, text)
                    .hint(format!("it looks like {}", best.verdict.layout))
            }
            _ => {
                let known: Vec<_> = FAMILIES.iter().map(|family| family.title).collect();
                Failure::new(Exit::Unsupported, "nothing in this source is of a known format")
                    .hint(format!("known: {}", known.join("; ")))
            }
        })?;
        let recorder =
            (layer.family.open)(layer.input.clone(), &layer.verdict).with_context(|| {
                format!("the source looks like {}, but cannot be read as it", layer.verdict.layout)
            })?;
        Ok(recorder)
    }
}

/// Largest sector: a container counts whole ones, so a medium may end that much before its image does.
const SECTOR_MAX: u64 = 4096;

/// The map beside an image of `size` bytes, if no other is asked for and it covers just this image.
fn map_beside(args: &SourceArgs, size: u64) -> Option<PathBuf> {
    if args.map.is_some() || args.no_map {
        return None;
    }
    let path = daleel_image::map_beside(&args.source)?;
    let length = RescueMap::read(&path).ok()?.len();
    (length <= size && size.saturating_sub(length) < SECTOR_MAX).then_some(path)
}

/// Notices when a source changes or goes away while it is read.
pub struct SourceWatch {
    files: Vec<(PathBuf, Option<FileState>)>,
}

/// Length and time of change of a regular file; of a device only that it is there.
type FileState = Option<(u64, Option<SystemTime>)>;

/// Files of a large folder are not watched one by one.
const WATCHED_MAX: usize = 1024;

impl SourceWatch {
    /// Watches the files of a source.
    pub fn new(opened: &Opened) -> Self {
        let files = opened.paths.iter().take(WATCHED_MAX);
        Self { files: files.map(|path| (path.clone(), state(path))).collect() }
    }

    /// Says when something is not as it was.
    ///
    /// # Errors
    /// [`Exit::SourceLost`].
    pub fn check(&self) -> Result<(), Failure> {
        match self.files.iter().find(|(path, before)| state(path) != *before) {
            Some((path, _)) => {
                let text = format!("{} changed or was lost while it was read", path.display());
                Err(Failure::new(Exit::SourceLost, text))
            }
            None => Ok(()),
        }
    }
}

fn state(path: &Path) -> Option<FileState> {
    let metadata = fs::metadata(path).ok()?;
    Some(metadata.is_file().then(|| (metadata.len(), metadata.modified().ok())))
}

/// Refuses a family that does not exist.
///
/// # Errors
/// When there is none of that name.
pub fn check_family(name: Option<&str>) -> Result<(), Failure> {
    match name.filter(|name| FAMILIES.iter().all(|family| family.name != *name)) {
        Some(name) => {
            let names: Vec<_> = FAMILIES.iter().map(|family| family.name).collect();
            let failure = Failure::new(Exit::Usage, format!("there is no family `{name}`"));
            Err(failure.hint(format!("families: {}", names.join(", "))))
        }
        None => Ok(()),
    }
}

/// A partition's file system is also seen, weakly, from the whole medium that holds it: that is no layer of its own.
fn drop_shadows(layers: &mut Vec<Layer>) {
    let strong: Vec<_> = layers
        .iter()
        .map(|layer| (layer.family.name, layer.verdict.extent, layer.verdict.score))
        .collect();
    layers.retain(|layer| {
        let own = layer.verdict.extent;
        !strong.iter().any(|(family, extent, score)| {
            *family == layer.family.name
                && *score > layer.verdict.score
                && *extent != own
                && own.intersection(*extent) == Some(*extent)
        })
    });
}

/// Opens a source and its best layer in one step.
///
/// # Errors
/// As [`Session::open`] and [`Session::recorder`].
pub fn open(args: &SourceArgs) -> Result<(Session, Box<dyn Recorder>)> {
    let session = Session::open(args)?;
    let recorder = session.recorder(args.family.as_deref())?;
    Ok((session, recorder))
}
