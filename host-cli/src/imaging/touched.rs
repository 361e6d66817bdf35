//! Recordings that lie in given places of an image.

use std::path::Path;

use daleel_core::Extent;
use serde::Serialize;

use crate::{
    args::SourceArgs,
    output::{ExtentJson, extent},
    session,
};

/// Recordings that are named.
const NAMED_MAX: usize = 1000;

/// A recording that is touched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TouchedJson {
    /// Its name in `list`.
    pub id: String,
    /// Channel.
    pub channel: Option<u32>,
    /// Recorder time, without a zone.
    pub start: Option<String>,
    /// See `start`.
    pub end: Option<String>,
    /// Bytes of its stream in those places.
    pub bytes: u64,
    /// The first such place.
    pub first: ExtentJson,
}

impl TouchedJson {
    /// One line for people.
    pub fn line(&self) -> String {
        let channel = self
            .channel
            .map_or("channel unknown".to_owned(), |channel| format!("channel {channel}"));
        let time = |time: &Option<String>| time.clone().unwrap_or_else(|| "unknown".to_owned());
        format!(
            "{} ({channel}, {} to {}, recorder time): {} bytes from 0x{:x} on",
            self.id,
            time(&self.start),
            time(&self.end),
            self.bytes,
            self.first[0]
        )
    }
}

/// The recordings that lie in `places`, by the recorder's own index; `None` when no recorder's file system can be opened on the image.
pub fn touched(image: &Path, places: &[Extent]) -> Option<Vec<TouchedJson>> {
    let args = SourceArgs { source: image.to_owned(), map: None, no_map: false, family: None };
    let (_, recorder) = session::open(&args).ok()?;
    let mut places = places.to_vec();
    places.sort_unstable();
    let mut found = Vec::new();
    for recording in recorder.recordings().flatten() {
        let Ok(stream) = recorder.stream(&recording) else { continue };
        let parts: Vec<Extent> =
            stream.map.extents().flat_map(|extent| meeting(extent, &places)).collect();
        let Some(first) = parts.first() else { continue };
        found.push(TouchedJson {
            id: recording.id.clone(),
            channel: recording.channel,
            start: recording.start.map(|time| time.to_string()),
            end: recording.end.map(|time| time.to_string()),
            bytes: parts.iter().map(|part| part.len()).sum(),
            first: extent(*first),
        });
        if found.len() >= NAMED_MAX {
            break;
        }
    }
    Some(found)
}

/// Parts of an extent that lie in the places, which are sorted.
fn meeting(extent: Extent, places: &[Extent]) -> impl Iterator<Item = Extent> + '_ {
    let first = places.partition_point(|place| place.end() <= extent.offset());
    let places = places.iter().skip(first).take_while(move |place| place.offset() < extent.end());
    places.filter_map(move |place| extent.intersection(*place))
}
