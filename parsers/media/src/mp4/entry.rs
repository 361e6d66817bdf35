//! Sample entries: ISO/IEC 14496-12 clause 8.5.2, 14496-14 clause 6.7, 14496-15 clauses 5.4.2 and 8.4.1; QuickTime
//! File Format for `alaw` and `ulaw`.

use daleel_core::Codec;
use mp4_atom::{
    Audio, Avc1, Avc3, Avcc, AvccExt, BufMut as _, Encode as _, Esds, Hev1, Hvc1, HvcCArray, Hvcc,
    Mp4a, Visual,
    esds::{DecoderConfig, DecoderSpecific, EsDescriptor, SLConfig},
};

use super::{MuxError, audio::AudioState};
use crate::{
    ParameterSets, h264,
    h265::{self, Parallelism},
};

/// Objects types and stream types of ISO/IEC 14496-1 tables 5 and 6.
const OBJECT_MPEG4_VISUAL: u8 = 0x20;
const OBJECT_AAC: u8 = 0x40;
const OBJECT_JPEG: u8 = 0x6c;
const STREAM_VISUAL: u8 = 4;
const STREAM_AUDIO: u8 = 5;

/// The one sample entry of the video track.
pub(super) fn encode_video(sets: &ParameterSets, out: &mut Vec<u8>) -> Result<(), MuxError> {
    let codec = sets.codec();
    let incomplete = || MuxError::Incomplete(codec);
    let (width, height) = sets.size().ok_or_else(incomplete)?;
    let visual = Visual {
        data_reference_index: 1,
        width: u16::try_from(width).map_err(|_| incomplete())?,
        height: u16::try_from(height).map_err(|_| incomplete())?,
        ..Visual::default()
    };
    match codec {
        Codec::H264 => {
            let avcc = avc_configuration(sets).ok_or_else(incomplete)?;
            if sets.was_replaced() {
                Avc3 { visual, avcc, ..Avc3::default() }.encode(out)?;
            } else {
                Avc1 { visual, avcc, ..Avc1::default() }.encode(out)?;
            }
        }
        Codec::H265 => {
            let hvcc = hevc_configuration(sets).ok_or_else(incomplete)?;
            if sets.was_replaced() {
                Hev1 { visual, hvcc, ..Hev1::default() }.encode(out)?;
            } else {
                Hvc1 { visual, hvcc, ..Hvc1::default() }.encode(out)?;
            }
        }
        Codec::Mpeg4 => {
            let headers = sets.configuration().ok_or_else(incomplete)?.to_vec();
            encode_mp4v(&visual, OBJECT_MPEG4_VISUAL, Some(headers), out)?;
        }
        Codec::Mjpeg => encode_mp4v(&visual, OBJECT_JPEG, None, out)?,
        other => return Err(MuxError::Codec(other)),
    }
    Ok(())
}

/// The one sample entry of the audio track.
pub(super) fn encode_audio(state: &AudioState, out: &mut Vec<u8>) -> Result<(), MuxError> {
    let channels = match state.header().map_or(state.track().channels, |header| header.channels) {
        0 => 2, // AAC that states its channels in the stream
        7 => 8, // table 1.19 of ISO/IEC 14496-3
        channels => u16::from(channels),
    };
    // Rates over 16 bits are in the decoder configuration alone.
    let sample_rate = u16::try_from(state.sample_rate()).unwrap_or(0).into();
    let audio =
        Audio { data_reference_index: 1, channel_count: channels, sample_size: 16, sample_rate };
    match (state.track().codec, state.header()) {
        (Codec::G711A, _) => encode_g711(b"alaw", &audio, out)?,
        (Codec::G711U, _) => encode_g711(b"ulaw", &audio, out)?,
        (Codec::AacAdts, Some(header)) => {
            let config = header.audio_specific_config().to_vec();
            let esds = descriptors(OBJECT_AAC, STREAM_AUDIO, Some(config));
            Mp4a { audio, esds, btrt: None, taic: None }.encode(out)?;
        }
        (other, _) => return Err(MuxError::Codec(other)),
    }
    Ok(())
}

/// With the QuickTime channel layout where it is plain; without it FFmpeg warns that it guesses.
fn encode_g711(kind: &[u8; 4], audio: &Audio, out: &mut Vec<u8>) -> mp4_atom::Result<()> {
    const MONO: u32 = (100 << 16) | 1;
    const STEREO: u32 = (101 << 16) | 2;
    let layout = match audio.channel_count {
        1 => Some(MONO),
        2 => Some(STEREO),
        _ => None,
    };
    out.encode_atom(kind, |out| {
        audio.encode(out)?;
        let Some(layout) = layout else { return Ok(()) };
        out.encode_atom(b"chan", |out| {
            0u32.encode(out)?; // version and flags
            layout.encode(out)?;
            [0u8; 8].encode(out) // no bitmap, no descriptions
        })
    })
}

fn encode_mp4v(
    visual: &Visual,
    object: u8,
    config: Option<Vec<u8>>,
    out: &mut Vec<u8>,
) -> mp4_atom::Result<()> {
    out.encode_atom(b"mp4v", |out| {
        visual.encode(out)?;
        descriptors(object, STREAM_VISUAL, config).encode(out)
    })
}

fn descriptors(object: u8, stream: u8, config: Option<Vec<u8>>) -> Esds {
    let dec_specific = config.map(|raw| DecoderSpecific { raw, ..DecoderSpecific::default() });
    let dec_config = DecoderConfig {
        object_type_indication: object,
        stream_type: stream,
        dec_specific,
        ..DecoderConfig::default()
    };
    Esds { es_desc: EsDescriptor { dec_config, sl_config: SLConfig {}, ..EsDescriptor::default() } }
}

/// Decoder configuration record of ISO/IEC 14496-15 clause 5.3.3.1.
fn avc_configuration(sets: &ParameterSets) -> Option<Avcc> {
    const MAX_SPS: usize = 31;
    const MAX_PPS: usize = 255;
    let sps = h264::Sps::parse(sets.active_sequence()?)?;
    let ext = h264::has_chroma_fields(sps.profile_idc).then_some(AvccExt {
        chroma_format: sps.chroma_format_idc,
        bit_depth_luma: sps.bit_depth_luma,
        bit_depth_chroma: sps.bit_depth_chroma,
        sequence_parameter_sets_ext: Vec::new(),
    });
    Some(Avcc {
        configuration_version: 1,
        avc_profile_indication: sps.profile_idc,
        profile_compatibility: sps.constraint_flags,
        avc_level_indication: sps.level_idc,
        length_size: 4,
        sequence_parameter_sets: copies(sets, h264::SPS, MAX_SPS),
        picture_parameter_sets: copies(sets, h264::PPS, MAX_PPS),
        ext,
    })
}

/// Decoder configuration record of ISO/IEC 14496-15 clause 8.3.3.1.
fn hevc_configuration(sets: &ParameterSets) -> Option<Hvcc> {
    let sps = h265::Sps::parse(sets.active_sequence()?)?;
    let arrays = [h265::VPS, h265::SPS, h265::PPS].map(|kind| HvcCArray {
        // `hvc1` requires the flag, `hev1` says that the sets are in the stream.
        completeness: !sets.was_replaced(),
        nal_unit_type: kind,
        nalus: copies(sets, kind, usize::MAX),
    });
    // Without a stated segmentation the kind of parallelism tells a player nothing.
    let parallelism = sets.of_kind(h265::PPS).next().and_then(Parallelism::parse);
    let parallelism = parallelism.filter(|_| sps.min_spatial_segmentation_idc > 0);
    Some(Hvcc {
        configuration_version: 1,
        general_profile_space: sps.profile.profile_space,
        general_tier_flag: sps.profile.high_tier,
        general_profile_idc: sps.profile.profile_idc,
        general_profile_compatibility_flags: sps.profile.compatibility,
        general_constraint_indicator_flags: sps.profile.constraints,
        general_level_idc: sps.profile.level_idc,
        min_spatial_segmentation_idc: sps.min_spatial_segmentation_idc,
        parallelism_type: parallelism.map_or(0, Parallelism::code),
        chroma_format_idc: sps.chroma_format_idc,
        bit_depth_luma_minus8: sps.bit_depth_luma.saturating_sub(8),
        bit_depth_chroma_minus8: sps.bit_depth_chroma.saturating_sub(8),
        avg_frame_rate: 0,
        constant_frame_rate: 0,
        num_temporal_layers: sps.temporal_layers,
        temporal_id_nested: sps.temporal_id_nested,
        length_size_minus_one: 3,
        arrays: arrays.to_vec(),
    })
}

fn copies(sets: &ParameterSets, kind: u8, most: usize) -> Vec<Vec<u8>> {
    sets.of_kind(kind).take(most).map(<[u8]>::to_vec).collect()
}
