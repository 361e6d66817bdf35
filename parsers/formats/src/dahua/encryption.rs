//! Whether a frame's payload is encrypted.
//!
//! Facts: `docs/formats/dahua.md` section 3.4. Headers and tags stay clear. A tag says so, or a key frame whose payload has no start code. Recorders
//! can encrypt key frames only, so a video stream stays encrypted until its next key frame says otherwise.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use daleel_core::Codec;

use super::{
    payload::has_start_code,
    tags::{Tags, tag_name},
    unit::Header,
};

/// What is known of the channels of a stream.
#[derive(Default)]
pub struct Encryption {
    /// Channels that had a key frame in the clear.
    clear: BTreeSet<u8>,
    /// Channels whose last key frame was encrypted, and why that is thought.
    encrypted: BTreeMap<u8, Cow<'static, str>>,
}

/// What is known of one unit.
pub struct Evidence<'a> {
    /// Its header.
    pub header: &'a Header,
    /// Its tags.
    pub tags: &'a Tags<'a>,
    /// Its payload.
    pub payload: &'a [u8],
    /// Codec.
    pub codec: Codec,
    /// True for pictures, stills beside the video left out.
    pub is_video: bool,
    /// True where decoding can start.
    pub is_key: bool,
    /// True when earlier units of its frame have come.
    pub continues: bool,
}

/// The answer for one unit.
pub enum Answer {
    /// In the clear.
    Clear,
    /// Encrypted, and why that is thought.
    Encrypted(Cow<'static, str>),
    /// A split key frame of a channel in the clear whose first units are missing.
    LacksHead,
}

impl Encryption {
    /// Judges a unit.
    pub fn judge(&mut self, unit: &Evidence<'_>) -> Answer {
        let channel = unit.header.channel;
        let tag = unit.tags.encryption();
        let by_tag =
            tag.map(|id| Cow::Owned(format!("tag {id:02X}h ({}) is present", tag_name(id))));
        let coded = matches!(unit.codec, Codec::H264 | Codec::H265);
        // Only the first unit of a frame begins with a start code.
        let headless =
            unit.header.kind == 0xFD && coded && !unit.continues && !has_start_code(unit.payload);
        if by_tag.is_none()
            && headless
            && unit.header.sub_frame > 0
            && self.clear.contains(&channel)
        {
            return Answer::LacksHead;
        }
        let by_payload = headless
            .then_some(Cow::Borrowed("a key frame's payload does not begin with a start code"));
        let found = by_tag.or(by_payload);
        if unit.continues || !unit.is_video {
            return found.map_or(Answer::Clear, Answer::Encrypted);
        }
        if unit.is_key {
            match &found {
                Some(why) => {
                    self.encrypted.insert(channel, why.clone());
                }
                None => {
                    self.clear.insert(channel);
                    self.encrypted.remove(&channel);
                }
            }
        }
        let found = found.or_else(|| self.encrypted.get(&channel).cloned());
        found.map_or(Answer::Clear, Answer::Encrypted)
    }
}
