//! The audio track: what becomes a sample, and when it sounds.
//!
//! A payload of G.711 is one sample of the track, an ADTS frame of AAC is one; the track counts in audio samples. The
//! recorder's times jitter by a frame or so and its sample clock runs a little fast or slow, so audio within
//! [`SLACK_PER_SECOND`] of the end of the audio before it is joined to it; beyond that the recorder's time holds,
//! and the sample before it becomes longer (a gap) or shorter.

use daleel_core::Codec;

use super::{AudioSamples, MuxError, table::SampleTable};
use crate::adts::{self, AdtsHeader, SAMPLES_PER_BLOCK};

/// Audio this part of a second off is joined: a tenth.
const SLACK_PER_SECOND: i64 = 10;

/// The audio track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioTrack {
    /// G.711 A-law, G.711 µ-law, or AAC in ADTS frames.
    pub codec: Codec,
    /// Samples per second. AAC: its own header counts.
    pub sample_rate: u32,
    /// Channels, at least 1. AAC: its own header counts.
    pub channels: u8,
}

/// State of the audio track.
#[derive(Debug)]
pub(super) struct AudioState {
    track: AudioTrack,
    video_timescale: u32,
    /// Sample times in audio samples; 0 is the first one.
    table: SampleTable,
    header: Option<AdtsHeader>,
    /// `tick` of the first payload.
    start: i64,
    /// Where the audio so far ends, in audio samples from the start.
    end: i64,
}

impl AudioState {
    pub(super) fn new(track: AudioTrack, video_timescale: u32) -> Result<Self, MuxError> {
        match track.codec {
            Codec::G711A | Codec::G711U => {
                let rate_fits = (1..=u32::from(u16::MAX)).contains(&track.sample_rate);
                if !rate_fits || track.channels == 0 {
                    return Err(MuxError::Timescale(track.sample_rate));
                }
            }
            Codec::AacAdts => {}
            other => return Err(MuxError::Codec(other)),
        }
        let table = SampleTable::default();
        Ok(Self { track, video_timescale, table, header: None, start: 0, end: 0 })
    }

    pub(super) const fn track(&self) -> &AudioTrack {
        &self.track
    }

    pub(super) const fn table(&self) -> &SampleTable {
        &self.table
    }

    /// Header of the AAC frames.
    pub(super) const fn header(&self) -> Option<&AdtsHeader> {
        self.header.as_ref()
    }

    /// Ticks of the video timescale at which the first sample sounds.
    pub(super) const fn start(&self) -> i64 {
        self.start
    }

    /// Samples per second.
    pub(super) fn sample_rate(&self) -> u32 {
        self.header.and_then(|header| header.sample_rate()).unwrap_or(self.track.sample_rate)
    }

    pub(super) fn close_chunk(&mut self, offset: u64) {
        self.table.close_chunk(offset);
    }

    /// Gives the last sample the duration of its own audio.
    pub(super) fn end(&mut self) {
        let last = self.end.saturating_sub(self.table.last_tick());
        self.table.end(u32::try_from(last).unwrap_or(1).max(1));
    }

    /// Adds a payload that sounds at `tick` of the video timescale; `to` is untouched on an error.
    pub(super) fn append(
        &mut self,
        to: &mut Vec<u8>,
        payload: &[u8],
        tick: i64,
    ) -> Result<AudioSamples, MuxError> {
        if self.track.codec == Codec::AacAdts {
            return self.append_adts(to, payload, tick);
        }
        let frames = payload.len().checked_div(usize::from(self.track.channels)).unwrap_or(0);
        let gap = self.place(tick)?;
        self.push(to, payload, i64::try_from(frames).unwrap_or(i64::MAX).max(1))?;
        Ok(AudioSamples { samples: 1, stray_bytes: 0, gap })
    }

    fn append_adts(
        &mut self,
        to: &mut Vec<u8>,
        payload: &[u8],
        tick: i64,
    ) -> Result<AudioSamples, MuxError> {
        let mut frames = adts::frames(payload);
        let (first, _) = frames.clone().next().ok_or(MuxError::NoAdtsFrame(payload.len()))?;
        let header = *self.header.get_or_insert(first);
        // Several raw data blocks in one frame cannot be told apart without decoding; a sample holds one.
        let one_stream = |(h, _): (AdtsHeader, &[u8])| h.same_stream(&header) && h.blocks == 1;
        if !frames.clone().all(one_stream) {
            return Err(MuxError::AudioChanged);
        }
        let gap = self.place(tick)?;
        let mut samples = 0u32;
        for (_, block) in frames.by_ref() {
            self.push(to, block, i64::from(SAMPLES_PER_BLOCK))?;
            samples = samples.saturating_add(1);
        }
        Ok(AudioSamples { samples, stray_bytes: frames.rest().len(), gap })
    }

    /// Moves the end of the audio so far to where a payload at `tick` begins; gives the difference.
    fn place(&mut self, tick: i64) -> Result<i64, MuxError> {
        if self.table.len() == 0 {
            self.start = tick;
            return Ok(0);
        }
        let rate = self.sample_rate();
        let wanted = rescale(tick.saturating_sub(self.start), self.video_timescale, rate);
        let gap = wanted.saturating_sub(self.end);
        if gap.saturating_abs() <= i64::from(rate).checked_div(SLACK_PER_SECOND).unwrap_or(0) {
            return Ok(0);
        }
        let at = wanted.max(self.table.last_tick().saturating_add(1));
        self.table.check_time(at)?;
        let moved = at.saturating_sub(self.end);
        self.end = at;
        Ok(moved)
    }

    fn push(&mut self, to: &mut Vec<u8>, sample: &[u8], duration: i64) -> Result<(), MuxError> {
        let size = u32::try_from(sample.len()).map_err(|_| MuxError::TooLarge(sample.len()))?;
        self.table.push(size, true, self.end)?;
        to.extend_from_slice(sample);
        self.end = self.end.saturating_add(duration);
        Ok(())
    }
}

/// `ticks` of a clock of `from` ticks a second, in ticks of a clock of `to`, to the nearest.
pub(super) fn rescale(ticks: i64, from: u32, to: u32) -> i64 {
    let from = i128::from(from.max(1));
    let scaled = i128::from(ticks).saturating_mul(i128::from(to));
    let half = from / 2;
    let nearest = scaled.saturating_add(half).div_euclid(from);
    i64::try_from(nearest).unwrap_or(if ticks < 0 { i64::MIN } else { i64::MAX })
}
