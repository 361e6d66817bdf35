//! Parameter sets of real streams, and how they are kept. Known answers; no program is needed.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::unwrap_used
)] // A test program: a panic is the failure report.

use daleel_core::Codec;
use daleel_media::{Change, ParameterSets, PictureSize, h264, h265, mpeg4, params};
use h264_reader::{
    nal::sps::SeqParameterSet,
    rbsp::{BitReader, ByteReader},
};
use hex_literal::hex;

/// `ffmpeg -f lavfi -i testsrc2=s=352x288 -frames:v 1 -pix_fmt yuv420p -c:v libx264 -f h264`
const CIF_SPS: &[u8] = &hex!("6764000dacb202c12d80880000030008000003019078a15240");
const CIF_PPS: &[u8] = &hex!("68ebc3cb22c0");
/// The same with `testsrc2=s=1920x1080` and `-profile:v baseline`: cropped from 1088 lines.
const HD_SPS: &[u8] = &hex!("6742c028d900780227e5c044000003000400000300c83c60c920");
/// `ffmpeg -f lavfi -i testsrc2=s=1920x1080 -frames:v 1 -pix_fmt yuv420p -c:v libx264 -x264opts interlaced=1 -f h264`
const INTERLACED_SPS: &[u8] = &hex!("67640028acd94078044fdffe0016002020000003002000000643e2c5b2c0");

/// `ffmpeg -f lavfi -i testsrc2=s=1920x1080 -frames:v 1 -pix_fmt yuv420p -c:v libx265 -f hevc`
const VPS: &[u8] = &hex!("40010c01ffff016000000300900000030000030078959809");
const SPS: &[u8] =
    &hex!("420101016000000300900000030000030078a003c08010e596566924caf01680800000030080000 00c84");
const PPS: &[u8] = &hex!("4401c172b46240");

/// `ffmpeg -f lavfi -i testsrc2=s=352x288 -frames:v 1 -pix_fmt yuv420p -c:v mpeg4 -f m4v`: up to the first bytes of
/// the picture.
const VISUAL: &[u8] = &hex!(
    "000001b001 000001b58913 00000100 00000120 00c48d8800cd0b04241443"
    "000001b24c61766335392e33372e313030 000001b300100700 000001b610608d82"
);

fn size(width: u32, height: u32, coded_width: u32, coded_height: u32) -> PictureSize {
    PictureSize { width, height, coded_width, coded_height }
}

#[test]
fn h264_sequence_sets_give_profile_and_size() {
    let sps = h264::Sps::parse(CIF_SPS).unwrap();
    assert_eq!((sps.profile_idc, sps.constraint_flags, sps.level_idc, sps.id), (100, 0, 13, 0));
    assert_eq!((sps.chroma_format_idc, sps.bit_depth_luma, sps.bit_depth_chroma), (1, 8, 8));
    assert_eq!(sps.size, size(352, 288, 352, 288));
    let sps = h264::Sps::parse(HD_SPS).unwrap();
    assert_eq!((sps.profile_idc, sps.constraint_flags, sps.level_idc), (66, 0xc0, 40));
    assert_eq!((sps.size, sps.frames_only), (size(1920, 1080, 1920, 1088), true));
    let sps = h264::Sps::parse(INTERLACED_SPS).unwrap();
    assert_eq!((sps.size, sps.frames_only), (size(1920, 1080, 1920, 1088), false));
}

fn strict(sps: &[u8]) -> Option<SeqParameterSet> {
    SeqParameterSet::from_bits(BitReader::new(ByteReader::skipping_h264_header(sps))).ok()
}

#[test]
fn h264_sequence_sets_read_as_by_h264_reader() {
    for bytes in [CIF_SPS, HD_SPS, INTERLACED_SPS] {
        let ours = h264::Sps::parse(bytes).unwrap();
        let theirs = strict(bytes).unwrap();
        assert_eq!(theirs.pixel_dimensions().unwrap(), (ours.size.width, ours.size.height));
        assert_eq!(theirs.level_idc, ours.level_idc);
        assert_eq!(u8::from(theirs.profile_idc), ours.profile_idc);
    }
}

/// Recorders state levels that do not allow their pictures, and VUIs that break off; the picture is there all the same.
#[test]
fn a_wrong_level_or_a_broken_vui_does_not_lose_the_size() {
    let mut low_level = HD_SPS.to_vec();
    low_level[3] = 10;
    assert!(strict(&low_level).is_none());
    let cut = &HD_SPS[..10];
    assert!(strict(cut).is_none());
    for bytes in [low_level.as_slice(), cut] {
        assert_eq!(h264::Sps::parse(bytes).unwrap().size, size(1920, 1080, 1920, 1088));
    }
}

#[test]
fn h265_sequence_sets_give_profile_and_size() {
    let sps = h265::Sps::parse(SPS).unwrap();
    assert_eq!((sps.id, sps.temporal_layers, sps.temporal_id_nested), (0, 1, true));
    assert_eq!((sps.profile.profile_space, sps.profile.high_tier), (0, false));
    assert_eq!((sps.profile.profile_idc, sps.profile.level_idc), (1, 120));
    assert_eq!(sps.profile.compatibility, [0x60, 0, 0, 0]);
    assert_eq!(sps.profile.constraints, [0x90, 0, 0, 0, 0, 0]);
    assert_eq!((sps.chroma_format_idc, sps.bit_depth_luma, sps.bit_depth_chroma), (1, 8, 8));
    assert_eq!(sps.size, size(1920, 1080, 1920, 1088 - 8));
    assert_eq!(sps.min_spatial_segmentation_idc, 0);
    let parallelism = h265::Parallelism::parse(PPS).unwrap();
    assert_eq!((parallelism.tiles, parallelism.wavefronts), (false, true));
}

#[test]
fn kinds_and_numbers_of_nal_units() {
    assert_eq!(h264::parameter_set_id(CIF_SPS), Some(0));
    assert_eq!(h264::parameter_set_id(CIF_PPS), Some(0));
    assert_eq!(h264::parameter_set_id(&hex!("65888040")), None);
    assert!(h264::is_idr(&hex!("6588")) && h264::is_slice(&hex!("419a")));
    assert!(!h264::is_slice(&hex!("0605")) && !h264::is_idr(&hex!("419a")));
    assert_eq!([VPS, SPS, PPS].map(h265::parameter_set_id), [Some(0); 3]);
    assert!(h265::is_irap(&hex!("2801af")) && h265::is_irap(&hex!("2a01af")));
    assert!(h265::is_slice(&hex!("0201d0")) && !h265::is_irap(&hex!("0201d0")));
    assert!([&[][..], &[0x67], &[0x42, 1]].iter().all(|nal| h264::parameter_set_id(nal).is_none()));
    assert!([&[][..], &[0x42], &[0x42, 1]].iter().all(|nal| h265::parameter_set_id(nal).is_none()));
}

#[test]
fn mpeg4_configuration_ends_before_the_first_picture() {
    let configuration = mpeg4::configuration(VISUAL).unwrap();
    assert_eq!(configuration.len(), VISUAL.len() - 16);
    assert_eq!(mpeg4::size(configuration), Some((352, 288)));
    assert_eq!(mpeg4::is_intra(VISUAL), Some(true));
    assert_eq!(mpeg4::configuration(&hex!("000001b6506100")), None);
    assert_eq!(mpeg4::is_intra(&hex!("000001b6506100")), Some(false));
}

#[test]
fn jpeg_size_comes_from_the_frame_header() {
    let jpeg = hex!("ffd8 ffe00004aaaa ffdb0003ff ffff ffc0000b08012001600101 1100 ffda");
    let mut sets = ParameterSets::new(Codec::Mjpeg);
    assert_eq!(sets.observe_unit(&jpeg), Change::New);
    assert_eq!(sets.observe_unit(&jpeg), Change::None);
    assert_eq!(sets.size(), Some((352, 288)));
    assert!(sets.is_complete());
    let mut other = jpeg;
    other[22] = 0x90;
    assert_eq!(sets.observe_unit(&other), Change::Replaced);
    assert_eq!(params::is_key(Codec::Mjpeg, &jpeg), Some(true));
    assert_eq!(sets.observe_unit(&jpeg[..12]), Change::None);
}

fn unit(nals: &[&[u8]]) -> Vec<u8> {
    nals.iter().flat_map(|nal| [&[0, 0, 0, 1], *nal].concat()).collect()
}

#[test]
fn sets_are_complete_when_every_kind_is_there() {
    let mut sets = ParameterSets::new(Codec::H264);
    assert_eq!(sets.observe(CIF_SPS), Change::New);
    assert!(!sets.is_complete());
    assert_eq!(sets.observe(CIF_PPS), Change::New);
    assert!(sets.is_complete());
    assert_eq!(sets.size(), Some((352, 288)));

    let mut sets = ParameterSets::new(Codec::H265);
    let slice = &hex!("2801af");
    assert_eq!(sets.observe_unit(&unit(&[&hex!("460110"), VPS, SPS, slice, PPS])), Change::New);
    assert!(!sets.is_complete(), "sets after the first slice belong to no picture here");
    assert_eq!(sets.observe_unit(&unit(&[PPS, slice])), Change::New);
    assert!(sets.is_complete());
    assert_eq!(sets.picture_size().unwrap().height, 1080);
    assert_eq!(params::is_key(Codec::H265, &unit(&[VPS, SPS, PPS, slice])), Some(true));
    assert_eq!(params::is_key(Codec::H265, &unit(&[VPS, SPS, PPS])), None);
}

#[test]
fn a_replaced_set_changes_the_identity() {
    let mut sets = ParameterSets::new(Codec::H264);
    sets.observe_unit(&unit(&[CIF_SPS, CIF_PPS]));
    let before = sets.identity();
    assert_eq!(sets.observe_unit(&unit(&[CIF_SPS, CIF_PPS, &[0x65, 0x88]])), Change::None);
    assert_eq!((sets.identity(), sets.was_replaced()), (before.clone(), false));

    let untouched = sets.clone();
    assert_eq!(sets.check_unit(&unit(&[HD_SPS, CIF_PPS])), Change::Replaced);
    assert_eq!(sets, untouched);
    assert_eq!(sets.observe_unit(&unit(&[HD_SPS, CIF_PPS])), Change::Replaced);
    assert_ne!(sets.identity(), before);
    assert!(sets.was_replaced());
    assert_eq!(sets.size(), Some((1920, 1080)));
    let replaced = sets.identity();
    sets.begin_clip();
    assert_eq!((sets.was_replaced(), sets.identity()), (false, replaced));
}

/// A stream cannot make the tables grow without end.
#[test]
fn number_and_length_of_sets_are_bounded() {
    let mut sets = ParameterSets::new(Codec::H264);
    let mut long = CIF_PPS.to_vec();
    long.resize(params::MAX_SET_BYTES + 1, 1);
    assert_eq!(sets.observe(&long), Change::None);
    let mut taken = 0;
    for number in 0..256u32 {
        // ue(v) of `number`, seventeen bits at most.
        let code = u64::from(number + 1) << (63 - 2 * (number + 1).ilog2());
        let pps = [&[0x68][..], &code.to_be_bytes()].concat();
        assert_eq!(h264::parameter_set_id(&pps), u16::try_from(number).ok());
        taken += usize::from(sets.observe(&pps) == Change::New);
    }
    assert_eq!(taken, params::MAX_SETS);
}
