//! Streaming MP4 writer: ISO/IEC 14496-12 (boxes), 14496-14 (`mp4v`, `mp4a`), 14496-15 (H.264 and H.265 in MP4).
//!
//! The file is written front to back and nothing in it is patched, so it can be hashed as it is written:
//! `ftyp`, then `mdat` boxes of about 256 KiB, each of known size, then `moov`. Samples are the access units as stored:
//! every NAL unit byte for byte and in order, its start code replaced by its length; parameter sets stay in
//! the samples as well. A gap in time is a long sample, times are what the caller gives (T-7). Creation times
//! are 0: no zone is invented.

mod audio;
mod entry;
mod moov;
mod table;

use std::io::{self, Write};

use daleel_core::Codec;
use mp4_atom::{Encode as _, Ftyp};

use crate::{ParameterSets, annexb};
use audio::AudioState;
pub use audio::AudioTrack;
use table::SampleTable;

/// Samples are collected to about this many bytes before they are written as one `mdat` box.
pub const CHUNK_BYTES: usize = 256 << 10;
/// Bytes of a box header.
const HEADER_BYTES: usize = 8;
/// Largest sample, in bytes. Larger payloads are no frames.
pub const MAX_SAMPLE_BYTES: usize = 1 << 30;
/// Longest time from one sample to the next, in ticks; players read the value as signed.
pub const MAX_DELTA_TICKS: u32 = i32::MAX as u32;

/// Why a clip cannot be written on. The writer is as it was before the call, except after [`MuxError::Io`].
#[derive(Debug, thiserror::Error)]
pub enum MuxError {
    /// The destination failed; the file is lost.
    #[error("writing the MP4 file: {0}")]
    Io(#[from] io::Error),
    /// A codec this writer has no sample entry for.
    #[error("{} has no place in an MP4 file here", .0.as_str())]
    Codec(Codec),
    /// The timescale or sample rate is 0 or too large.
    #[error("a clock of {0} ticks a second cannot be written")]
    Timescale(u32),
    /// An H.264 or H.265 access unit without a NAL unit.
    #[error("no NAL unit in an access unit of {0} bytes")]
    NoNalUnit(usize),
    /// A sample without a byte.
    #[error("an empty sample")]
    Empty,
    /// A sample over [`MAX_SAMPLE_BYTES`].
    #[error("a sample of {0} bytes")]
    TooLarge(usize),
    /// Sample times must grow.
    #[error("a sample at tick {tick} after one at tick {previous}: times must grow")]
    Time {
        /// Time given.
        tick: i64,
        /// Time of the sample before it.
        previous: i64,
    },
    /// A step over [`MAX_DELTA_TICKS`].
    #[error("{0} ticks from one sample to the next cannot be written")]
    Gap(i64),
    /// More samples than the tables can say.
    #[error("too many samples for one file")]
    TooMany,
    /// The parameter sets at the end are not those of a decodable stream of the track's codec.
    #[error("no complete parameter sets for {}", .0.as_str())]
    Incomplete(Codec),
    /// A clip without a video sample.
    #[error("no video sample")]
    NoVideo,
    /// Audio was given before its track was described.
    #[error("audio without an audio track")]
    NoAudioTrack,
    /// The coding or sampling of the audio changed; one file has one audio track.
    #[error("the coding or sampling of the audio changed")]
    AudioChanged,
    /// No whole ADTS frame in the payload.
    #[error("no ADTS frame in an audio payload of {0} bytes")]
    NoAdtsFrame(usize),
    /// A box could not be encoded.
    #[error("encoding the movie box: {0}")]
    Box(#[from] mp4_atom::Error),
}

/// The video track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VideoTrack {
    /// H.264, H.265, MPEG-4 part 2 or JPEG.
    pub codec: Codec,
    /// Ticks in a second.
    pub timescale: u32,
}

/// What is fixed when a file is begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mp4Options {
    /// The video track.
    pub video: VideoTrack,
}

/// What became of one video payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VideoSample {
    /// NAL units in the sample; 1 for MPEG-4 and JPEG.
    pub nal_units: u32,
    /// Bytes before the first start code, which belong to no NAL unit and are not in the file. A finding when not 0.
    pub stray_bytes: usize,
}

/// What became of one audio payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioSamples {
    /// Samples of the track it became: 1 for G.711, the number of frames for AAC.
    pub samples: u32,
    /// Bytes after the last whole ADTS frame, which are not in the file. A finding when not 0.
    pub stray_bytes: usize,
    /// Ticks (of the sample rate) by which this audio follows the end of the audio before it: a gap when positive;
    /// negative when its time lies so far before that end that the audio before it is shortened.
    pub gap: i64,
}

/// Where a file goes. A destination that hands blocks on to another thread takes them over instead of copying them.
pub trait Output: Write {
    /// Writes a block and gives an empty one back for the next.
    ///
    /// # Errors
    /// The destination's error.
    fn write_block(&mut self, mut block: Vec<u8>) -> io::Result<Vec<u8>> {
        self.write_all(&block)?;
        block.clear();
        Ok(block)
    }
}

impl Output for Vec<u8> {}
impl Output for io::Sink {}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mp4Summary {
    /// Length of the file in bytes.
    pub bytes: u64,
    /// Samples of the video track.
    pub video_samples: u32,
    /// Samples of the audio track; 0 without one.
    pub audio_samples: u32,
    /// From the first video sample to the end of the last, in ticks.
    pub duration: u64,
}

/// Writes one MP4 file; see the [module documentation](self).
#[derive(Debug)]
pub struct Mp4Writer<W: Output> {
    out: W,
    position: u64,
    options: Mp4Options,
    video: SampleTable,
    /// The header of the `mdat` box to come, then its video samples.
    video_bytes: Vec<u8>,
    audio: Option<AudioState>,
    audio_bytes: Vec<u8>,
}

impl<W: Output> Mp4Writer<W> {
    /// Begins a file and writes its `ftyp`.
    ///
    /// # Errors
    /// A codec or timescale that cannot be written, or the destination's error.
    pub fn new(mut out: W, options: Mp4Options) -> Result<Self, MuxError> {
        let VideoTrack { codec, timescale } = options.video;
        if !matches!(codec, Codec::H264 | Codec::H265 | Codec::Mpeg4 | Codec::Mjpeg) {
            return Err(MuxError::Codec(codec));
        }
        if timescale == 0 || timescale > MAX_DELTA_TICKS {
            return Err(MuxError::Timescale(timescale));
        }
        let mut ftyp = Vec::new();
        file_type(codec).encode(&mut ftyp)?;
        out.write_all(&ftyp)?;
        Ok(Self {
            out,
            position: length(ftyp.len()),
            options,
            video: SampleTable::default(),
            video_bytes: vec![0; HEADER_BYTES],
            audio: None,
            audio_bytes: Vec::new(),
        })
    }

    /// Describes the audio track. May be called before or after the first video sample, and again with the same
    /// description. Without a call the file has no audio track.
    ///
    /// # Errors
    /// [`MuxError::Codec`] for other than G.711 and AAC, [`MuxError::Timescale`] for a sample rate the sample entry
    /// cannot say (G.711: 1 to 65 535), [`MuxError::AudioChanged`] when another track was described before.
    pub fn audio_track(&mut self, track: AudioTrack) -> Result<(), MuxError> {
        match &self.audio {
            Some(state) if *state.track() == track => Ok(()),
            Some(_) => Err(MuxError::AudioChanged),
            None => {
                self.audio = Some(AudioState::new(track, self.options.video.timescale)?);
                Ok(())
            }
        }
    }

    /// Writes one video sample: a whole access unit as stored, at `tick` (ticks of the track's timescale from any
    /// origin, growing from sample to sample). `key`: decoding can start here.
    ///
    /// # Errors
    /// No NAL unit, an empty or too large payload, a time that does not grow or steps too far, or the destination's
    /// error.
    pub fn video(&mut self, payload: &[u8], key: bool, tick: i64) -> Result<VideoSample, MuxError> {
        check_size(payload)?;
        self.video.check_time(tick)?;
        self.make_room(payload.len())?;
        let start = self.video_bytes.len();
        let sample = match self.options.video.codec {
            Codec::H264 | Codec::H265 => append_nal_units(&mut self.video_bytes, payload)?,
            _ => {
                self.video_bytes.extend_from_slice(payload);
                VideoSample { nal_units: 1, stray_bytes: 0 }
            }
        };
        let size = self.video_bytes.len().saturating_sub(start);
        self.video.push(u32::try_from(size).map_err(|_| MuxError::TooLarge(size))?, key, tick)?;
        Ok(sample)
    }

    /// Writes audio whose first sample sounds at `tick` of the *video* timescale, same origin. Audio that follows the
    /// audio before it within a tenth of a second is joined to it; otherwise the time given holds, and a gap stays.
    ///
    /// # Errors
    /// No audio track, an empty or too large payload, no ADTS frame, changed sampling, a gap that is too long, or the
    /// destination's error.
    pub fn audio(&mut self, payload: &[u8], tick: i64) -> Result<AudioSamples, MuxError> {
        check_size(payload)?;
        if self.audio.is_none() {
            return Err(MuxError::NoAudioTrack);
        }
        self.make_room(payload.len())?;
        let state = self.audio.as_mut().ok_or(MuxError::NoAudioTrack)?;
        state.append(&mut self.audio_bytes, payload, tick)
    }

    /// Writes what is left and the `moov`. `sets` are the parameter sets of the clip (with
    /// [`was_replaced`](ParameterSets::was_replaced) the sample entry says that they change in the stream);
    /// `last_duration` is how long the last video sample lasts, in ticks, at least 1.
    ///
    /// # Errors
    /// No video sample, incomplete parameter sets, or the destination's error.
    pub fn finish(self, sets: &ParameterSets, last_duration: u32) -> Result<Mp4Summary, MuxError> {
        self.finish_into(sets, last_duration).map(|(summary, _)| summary)
    }

    /// [`finish`](Self::finish) that gives the destination back.
    ///
    /// # Errors
    /// As [`finish`](Self::finish).
    pub fn finish_into(
        mut self,
        sets: &ParameterSets,
        last_duration: u32,
    ) -> Result<(Mp4Summary, W), MuxError> {
        let codec = self.options.video.codec;
        if sets.codec() != codec || !sets.is_complete() {
            return Err(MuxError::Incomplete(codec));
        }
        self.flush_chunk()?;
        self.video.end(last_duration.clamp(1, MAX_DELTA_TICKS));
        let start = self.video.first_tick().ok_or(MuxError::NoVideo)?;
        if let Some(audio) = &mut self.audio {
            audio.end();
        }
        let audio = self.audio.as_ref().filter(|audio| audio.table().len() > 0);
        let timescale = self.options.video.timescale;
        let movie = moov::Movie { timescale, video: &self.video, start, sets, audio };
        let moov = movie.encode()?;
        self.out.write_all(&moov)?;
        self.out.flush()?;
        let summary = Mp4Summary {
            bytes: self.position.saturating_add(length(moov.len())),
            video_samples: self.video.len(),
            audio_samples: audio.map_or(0, |audio| audio.table().len()),
            duration: self.video.duration(),
        };
        Ok((summary, self.out))
    }

    /// Writes the chunk out when `bytes` more would make it too large.
    fn make_room(&mut self, bytes: usize) -> Result<(), MuxError> {
        let held = self.held();
        if held > 0 && held.saturating_add(bytes) > CHUNK_BYTES {
            self.flush_chunk()?;
        }
        Ok(())
    }

    /// Bytes of samples that are not written yet.
    fn held(&self) -> usize {
        let video = self.video_bytes.len().saturating_sub(HEADER_BYTES);
        video.saturating_add(self.audio_bytes.len())
    }

    /// One `mdat` box: a chunk of video samples, then a chunk of audio samples.
    fn flush_chunk(&mut self) -> Result<(), MuxError> {
        let held = self.held();
        if held == 0 {
            return Ok(());
        }
        // At most one sample over CHUNK_BYTES in each half, each under MAX_SAMPLE_BYTES plus lengths: fits.
        let size = u32::try_from(held.saturating_add(HEADER_BYTES));
        let size = size.map_err(|_| MuxError::TooLarge(held))?;
        for (to, from) in self.video_bytes.iter_mut().zip(size.to_be_bytes().iter().chain(b"mdat"))
        {
            *to = *from;
        }
        let video_at = self.position.saturating_add(length(HEADER_BYTES));
        let audio_at = self.position.saturating_add(length(self.video_bytes.len()));
        self.position = audio_at.saturating_add(length(self.audio_bytes.len()));
        let block = std::mem::take(&mut self.video_bytes);
        self.video_bytes = self.out.write_block(block)?;
        self.video_bytes.resize(HEADER_BYTES, 0);
        self.video_bytes.shrink_to(CHUNK_BYTES.saturating_mul(2));
        self.out.write_all(&self.audio_bytes)?;
        self.audio_bytes.clear();
        self.audio_bytes.shrink_to(CHUNK_BYTES);
        self.video.close_chunk(video_at);
        if let Some(audio) = &mut self.audio {
            audio.close_chunk(audio_at);
        }
        Ok(())
    }
}

fn check_size(payload: &[u8]) -> Result<(), MuxError> {
    match payload.len() {
        0 => Err(MuxError::Empty),
        len if len > MAX_SAMPLE_BYTES => Err(MuxError::TooLarge(len)),
        _ => Ok(()),
    }
}

/// Appends each NAL unit with its length before it; nothing when there is none.
fn append_nal_units(to: &mut Vec<u8>, payload: &[u8]) -> Result<VideoSample, MuxError> {
    let mut nals = annexb::nal_units(payload);
    let stray_bytes = nals.stray_bytes();
    let mut nal_units = 0u32;
    while let Some(nal) = nals.next_unit() {
        let len = u32::try_from(nal.len()).map_err(|_| MuxError::TooLarge(nal.len()))?;
        to.extend_from_slice(&len.to_be_bytes());
        to.extend_from_slice(nal);
        nal_units = nal_units.saturating_add(1);
    }
    if nal_units == 0 {
        return Err(MuxError::NoNalUnit(payload.len()));
    }
    Ok(VideoSample { nal_units, stray_bytes })
}

fn file_type(codec: Codec) -> Ftyp {
    let mut compatible_brands = vec![b"isom".into(), b"iso2".into(), b"mp41".into()];
    if codec == Codec::H264 {
        compatible_brands.push(b"avc1".into());
    }
    Ftyp { major_brand: b"isom".into(), minor_version: 512, compatible_brands }
}

/// A length in memory as a file length.
fn length(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
