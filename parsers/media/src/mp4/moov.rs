//! The movie box: ISO/IEC 14496-12 clause 8.2.
//!
//! The containers are laid out here, the leaf boxes come from `mp4-atom`: its sample table box takes neither `mp4v`
//! nor `alaw`, and would want the compact tables copied.

use mp4_atom::{
    BufMut as _, Dinf, Dref, Edts, Elst, ElstEntry, Encode as _, Hdlr, Mdhd, Mvhd, Smhd, Tkhd, Url,
    Vmhd,
};

use super::{
    MuxError,
    audio::{AudioState, rescale},
    entry,
    table::SampleTable,
};
use crate::ParameterSets;

const VIDEO_TRACK: u32 = 1;
const AUDIO_TRACK: u32 = 2;

/// Everything the movie box is made from. The movie's clock is the video track's.
pub(super) struct Movie<'a> {
    pub(super) timescale: u32,
    pub(super) video: &'a SampleTable,
    /// Time of the first video sample.
    pub(super) start: i64,
    pub(super) sets: &'a ParameterSets,
    pub(super) audio: Option<&'a AudioState>,
}

impl Movie<'_> {
    pub(super) fn encode(&self) -> Result<Vec<u8>, MuxError> {
        let mut video_entry = Vec::new();
        entry::encode_video(self.sets, &mut video_entry)?;
        let audio = match self.audio {
            Some(state) => {
                let mut audio_entry = Vec::new();
                entry::encode_audio(state, &mut audio_entry)?;
                Some((state, audio_entry, AudioEdit::new(self, state)))
            }
            None => None,
        };
        let audio_end = audio.as_ref().map_or(0, |(_, _, edit)| edit.movie_duration);
        let mvhd = Mvhd {
            timescale: self.timescale,
            duration: self.video.duration().max(audio_end),
            rate: 1.into(),
            volume: 1.into(),
            next_track_id: AUDIO_TRACK.saturating_add(1),
            ..Mvhd::default()
        };
        let mut out = Vec::new();
        out.encode_atom(b"moov", |out| {
            mvhd.encode(out)?;
            self.encode_video(&video_entry, out)?;
            match &audio {
                Some((state, entry, edit)) => encode_audio(state, entry, edit, out),
                None => Ok(()),
            }
        })?;
        Ok(out)
    }

    fn encode_video(&self, sample_entry: &[u8], out: &mut Vec<u8>) -> mp4_atom::Result<()> {
        let (width, height) = self.sets.size().unwrap_or_default();
        let side = |length: u32| u16::try_from(length).unwrap_or(u16::MAX).into();
        let tkhd = Tkhd {
            track_id: VIDEO_TRACK,
            duration: self.video.duration(),
            enabled: true,
            in_movie: true,
            width: side(width),
            height: side(height),
            ..Tkhd::default()
        };
        out.encode_atom(b"trak", |out| {
            tkhd.encode(out)?;
            Media {
                timescale: self.timescale,
                handler: b"vide",
                name: "Video",
                table: self.video,
                sample_entry,
            }
            .encode(out, |out| Vmhd::default().encode(out))
        })
    }
}

fn encode_audio(
    state: &AudioState,
    sample_entry: &[u8],
    edit: &AudioEdit,
    out: &mut Vec<u8>,
) -> mp4_atom::Result<()> {
    let tkhd = Tkhd {
        track_id: AUDIO_TRACK,
        duration: edit.movie_duration,
        enabled: true,
        in_movie: true,
        volume: 1.into(),
        ..Tkhd::default()
    };
    out.encode_atom(b"trak", |out| {
        tkhd.encode(out)?;
        if let Some(entries) = &edit.entries {
            Edts { elst: Some(Elst { entries: entries.clone() }) }.encode(out)?;
        }
        Media {
            timescale: state.sample_rate(),
            handler: b"soun",
            name: "Audio",
            table: state.table(),
            sample_entry,
        }
        .encode(out, |out| Smhd::default().encode(out))
    })
}

/// Where the audio lies against the first video sample. Only an edit list can say it: sample times begin at 0.
struct AudioEdit {
    entries: Option<Vec<ElstEntry>>,
    /// From the first video sample to the end of the audio, in ticks of the movie.
    movie_duration: u64,
}

impl AudioEdit {
    fn new(movie: &Movie<'_>, audio: &AudioState) -> Self {
        let offset = audio.start().saturating_sub(movie.start);
        let rate = audio.sample_rate();
        let length = i64::try_from(audio.table().duration()).unwrap_or(i64::MAX);
        let edit = |ticks: i64, media_time: Option<u64>| ElstEntry {
            segment_duration: u64::try_from(ticks).unwrap_or(0),
            media_time,
            media_rate: 1.into(),
        };
        let skipped = if offset < 0 {
            rescale(offset.saturating_neg(), movie.timescale, rate).min(length)
        } else {
            0
        };
        let heard = rescale_up(length.saturating_sub(skipped), rate, movie.timescale);
        let delay = offset.max(0);
        let entries = match offset.signum() {
            0 => None,
            1 => Some(vec![edit(delay, None), edit(heard, Some(0))]),
            // All of the audio lies before the video: kept in the file, never heard.
            _ if skipped == length => {
                Some(vec![edit(i64::try_from(movie.video.duration()).unwrap_or(i64::MAX), None)])
            }
            _ => Some(vec![edit(heard, u64::try_from(skipped).ok())]),
        };
        Self { entries, movie_duration: u64::try_from(delay.saturating_add(heard)).unwrap_or(0) }
    }
}

/// As [`rescale`], to the next whole tick, so that an edit covers the last sample.
fn rescale_up(ticks: i64, from: u32, to: u32) -> i64 {
    let scaled = rescale(ticks, from, to);
    if rescale(scaled, to, from) < ticks { scaled.saturating_add(1) } else { scaled }
}

/// The media box of a track.
struct Media<'a> {
    timescale: u32,
    handler: &'static [u8; 4],
    name: &'static str,
    table: &'a SampleTable,
    sample_entry: &'a [u8],
}

impl Media<'_> {
    /// `header` writes the media header of the track's kind.
    fn encode(
        &self,
        out: &mut Vec<u8>,
        header: impl FnOnce(&mut Vec<u8>) -> mp4_atom::Result<()>,
    ) -> mp4_atom::Result<()> {
        let mdhd = Mdhd {
            timescale: self.timescale,
            duration: self.table.duration(),
            language: "und".into(),
            ..Mdhd::default()
        };
        let hdlr = Hdlr { handler: self.handler.into(), name: self.name.into() };
        // An empty location: the samples are in this file.
        let dinf = Dinf { dref: Dref { entries: vec![Url::default().into()] } };
        out.encode_atom(b"mdia", |out| {
            mdhd.encode(out)?;
            hdlr.encode(out)?;
            out.encode_atom(b"minf", |out| {
                header(out)?;
                dinf.encode(out)?;
                out.encode_atom(b"stbl", |out| {
                    out.encode_atom(b"stsd", |out| {
                        [0u8, 0, 0, 0, 0, 0, 0, 1].encode(out)?; // version, flags, one entry
                        out.extend_from_slice(self.sample_entry);
                        Ok(())
                    })?;
                    self.table.encode(out)
                })
            })
        })
    }
}
