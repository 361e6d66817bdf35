//! Known answers from real bytes.
//!
//! Disk A is a 250 GB disk; its bytes are transcribed from the figures of D. Wullen, "Forensic analysis of the filesystem Dahua DHFS 4.1"
//! (BSD-3-Clause repository). Other headers are those printed in the vendor's web player, in an SDK demo, and captured from an Imou camera.

use daleel_core::{Extent, ExtentMap};
use hex_literal::hex;
use zerocopy::FromBytes;

use super::disk::Disk;
use crate::dahua::{
    decode_date,
    layout::{
        Boot, Descriptor, DescriptorType, IndexEntry, IndexHead, SUPERBLOCK_SIGNATURE,
        parse_index_entries, parse_table,
    },
    stream::{Header, sample_rate, trailer_length},
    tags::Tags,
};

/// Disk A, byte 12588810240: a key frame's header, its tags, and the begin of its payload.
const KEY: [u8; 128] = hex!(
    "44484156fd00020086a20400be0b000000701d51e5111 4ff"
    "80007448811a081988df66e63b00000094020000"
    "000000016764 0028ace80e8126c04400000300640000138810"
    "0000000168ee3cb0"
    "00000001658881c00ccc6fc2e0526ff1402a862137eff79d3f74f5388f0d3408e3e53c1089eb00000300000300000300000300"
);
/// Disk A, byte 12588813232: the end of that frame, and the P frame behind it.
const TRAILER_AND_P: [u8; 80] = hex!(
    "28aa01c004bc 64686176be0b0000"
    "44484156fc00020087a20400a700000000701d5106120cf7"
    "80007448811a0819 94020100"
    "00000001019a2443331bfdf1000fd9c3f5f69e2253bd1ad906db64c20ba5"
);
/// The vendor's web player: an audio frame's header and tags.
const WEB_AUDIO: [u8; 36] =
    hex!("44484156f0000100020000002c020000ade7765140000ceb 83010e02 8800cecdcd000000");
/// An SDK demo: a key frame's header and tags.
const SDK_KEY: [u8; 40] =
    hex!("44484156fd000000771000005ccf00008030595 9 7c010578 000f0878 1320c19 88df7bf656000000 00");
