//! Hikvision disks, cards and files: program streams.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::Arc,
};

use daleel_core::{
    CounterKind, Extent, ExtentMap, Frame, FrameKind, FrameParser, Source, Stream, Walk, WalkItem,
};
use daleel_formats::hikvision::{Bounds, HikParser};
use daleel_generator::{
    Scenario, scenarios,
    truth::{Discontinuity, Frame as TrueFrame, FrameKind as Kind, Truth},
};
use daleel_image::RawSource;
use daleel_tests::{
    judge::{Extracted, Found, extract, sha256},
    oracle::{ffmpeg, ffprobe},
};

use crate::peer::{DALEEL, decode, run, size_of};

/// Bits of a time stamp of a program stream.
const STAMP_BITS: u32 = 33;

/// A scenario and what was made of it.
struct Case {
    folder: tempfile::TempDir,
    truth: Truth,
    extracted: Extracted,
}

impl Case {
    fn new(scenario: &Scenario, more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let truth = scenario.write(folder.path(), 11).unwrap();
        let image = truth.image_path(folder.path());
        let extracted = extract(DALEEL, &image, &folder.path().join("out"), more);
        Self { folder, truth, extracted }
    }

    fn named(name: &str, more: &[&str]) -> Self {
        Self::new(scenarios().iter().find(|scenario| scenario.name == name).unwrap(), more)
    }

    /// The exported program streams: beside clips, and of what is not playable; each with its codec.
    fn streams(&self) -> Vec<(PathBuf, &str)> {
        let beside = self.extracted.clips.iter().map(|clip| (clip.native.as_ref(), &clip.codec));
        let other = self.extracted.other.iter().filter(|other| other.kind != "audio");
        let other = other.map(|other| (Some(&other.file), &other.codec));
        let path = |file: Option<&String>| self.folder.path().join("out").join(file.unwrap());
        let all = beside.chain(other).map(|(file, codec)| (path(file), codec.as_str()));
        // Pictures of a card that are files of their own have no program stream.
        all.filter(|(file, _)| file.extension().is_some_and(|end| end == "mpg")).collect()
    }
}

/// Runs a check on every scenario of the family; tells of all that fail. The old form of file is recognised and named, not read.
fn check_all(more: &[&str], check: impl Fn(&'static str, &Case)) {
    let own = scenarios().iter().filter(|scenario| scenario.family() == "hikvision");
    let failed: Vec<&str> = own
        .filter(|scenario| scenario.name != "hik-4hkh")
        .filter(|scenario| {
            let check = AssertUnwindSafe(|| {
                check(scenario.name, &Case::new(scenario, more));
            });
            catch_unwind(check).is_err()
        })
        .map(|scenario| scenario.name)
        .collect();
    assert!(failed.is_empty(), "{failed:?}");
}

/// Pictures of the truth by file and first payload byte, each with its recording and its place in it.
type Places<'a> = BTreeMap<(Option<String>, u64), ((usize, usize), &'a TrueFrame)>;

fn places(truth: &Truth) -> Places<'_> {
    let mut places = BTreeMap::new();
    for (number, recording) in truth.recordings.iter().enumerate() {
        let is_picture = |frame: &&TrueFrame| matches!(frame.kind, Kind::Video | Kind::Still);
        for (n, frame) in recording.frames.iter().filter(is_picture).enumerate() {
            // Of a frame behind the end of the image nothing is left.
            if let Some([offset, _]) = frame.payload.first() {
                places.insert((recording.file.clone(), *offset), ((number, n), frame));
            }
        }
    }
    places
}

/// True for a clip that has every picture its pictures refer to: whatever FFmpeg has to say of it is about the .mp4.
fn is_whole(found: &Found, places: &Places<'_>) -> bool {
    let mut before = None;
    found.frames.iter().all(|line| {
        let place = (found.source_file.clone(), line.extents[0][0]);
        let Some((at, frame)) = places.get(&place) else { return false };
        let is_lost = |step: &Discontinuity| matches!(step, Discontinuity::Lost { .. });
        let follows = before.replace(*at).is_some_and(|(recording, n)| *at == (recording, n + 1))
            && !frame.discontinuity.iter().any(is_lost);
        frame.intact && (frame.key || follows)
    })
}

/// every clip decodes in FFmpeg without a word, to as many pictures as it has frames, and every picture carries the camera and the number
/// it should.
///
/// Left out are clips with a picture that is not whole, or refers to one that is not there, by the truth: the recorder dropped pictures
/// (`hikvision-gap`, `hik-gap`), the recording begins between key pictures (`hikvision-head-cut-gop`, `hik-mid-gop`), random bytes lie over
/// pictures (`hikvision-damaged-packs`, `-all-damage`), power was lost while the last one was written (`hik-sd-open`, `hik-nas-btree`),
/// the file ends in it (`hik-sd-truncated-media`), or newer footage lies over it (`hik-sd-index-gone`).
#[test]
fn every_clip_decodes_to_its_pictures() {
    if ffmpeg().is_none() {
        return;
    }
    let counts = Cell::new((0, 0));
    let left_out = RefCell::new(BTreeSet::new());
    // Many scenarios hold the same footage: a file that was judged is not decoded again.
    let judged = RefCell::new(BTreeMap::new());
    check_all(&[], |scenario, case| {
        let places = places(&case.truth);
        let (mut clips, mut pictures) = counts.get();
        for found in case.extracted.found.iter().filter(|found| found.playable) {
            if !is_whole(found, &places) {
                left_out.borrow_mut().insert(scenario);
                continue;
            }
            let name = format!("{scenario} {}", found.id);
            let mut judged = judged.borrow_mut();
            let decoded = judged
                .entry(sha256(&found.file))
                .or_insert_with(|| decode(&name, &found.file, size_of(&case.extracted, &found.id)));
            assert_eq!(decoded.len(), found.frames.len(), "{name}: decoded frames");
            for (picture, line) in decoded.iter().zip(&found.frames) {
                let (_, frame) = places[&(found.source_file.clone(), line.extents[0][0])];
                let mark = frame.mark.map(|mark| (u32::from(mark.camera), u32::from(mark.number)));
                assert!(mark.is_none() || *picture == mark, "{name} frame {}", line.n);
                pictures += usize::from(mark.is_some());
            }
            clips += 1;
        }
        counts.set((clips, pictures));
    });
    let expected = [
        "hik-gap",
        "hik-mid-gop",
        "hik-nas-btree",
        "hik-sd-index-gone",
        "hik-sd-open",
        "hik-sd-truncated-media",
        "hikvision-all-damage",
        "hikvision-damaged-packs",
        "hikvision-gap",
        "hikvision-head-cut-gop",
    ];
    assert_eq!(left_out.into_inner().into_iter().collect::<Vec<_>>(), expected);
    let (clips, pictures) = counts.get();
    assert!(clips > 600 && pictures > 100_000, "{clips} clips, {pictures} pictures");
}

/// X-7, T-7: times in the .mp4 are those of the stream, pauses included: not those of the clock that was set meanwhile, and not begun anew
/// where the recorder was. Stream time passes its 33 bits on the way.
#[test]
fn packet_times_follow_the_stream() {
    if ffprobe().is_none() {
        return;
    }
    for (name, clips) in [
        ("hikvision-gap", 2),
        ("hikvision-clock-change", 2),
        ("hikvision-reboot", 2),
        ("hikvision-pts-wrap", 2),
        ("hikvision-zero-ms", 2),
    ] {
        // With a long threshold the pauses of the recording stay inside one clip.
        let case = Case::named(name, &["--gap", "200000", "--clock-step", "through"]);
        assert_eq!(case.extracted.clips.len(), clips, "{name}");
        let places = places(&case.truth);
        for found in &case.extracted.found {
            let times = packets(&found.file, &["-select_streams", "v"], "pts");
            let times: Vec<i64> = times.iter().map(|fields| fields[0].parse().unwrap()).collect();
            // The tracks count in 1/90000 s, as the stream does.
            let truth: Vec<i64> = found
                .frames
                .iter()
                .map(|line| places[&(None, line.extents[0][0])].1.elapsed_ms * 90)
                .collect();
            let from_start =
                |times: &[i64]| times.iter().map(|time| time - times[0]).collect::<Vec<_>>();
            assert_eq!(from_start(&times), from_start(&truth), "{name} {}", found.id);
        }
    }
}

/// What FFmpeg tells of every packet; its complaints of the content are not asked for.
fn packets(file: &Path, options: &[&str], entries: &str) -> Vec<Vec<String>> {
    let output = run(ffprobe()
        .unwrap()
        .args(["-v", "fatal"])
        .args(options)
        .args(["-show_entries", &format!("packet={entries}"), "-of", "default=nw=1:nk=1"])
        .arg(file));
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let fields = entries.split(',').count();
    assert_eq!(lines.len() % fields, 0, "{}", file.display());
    lines.chunks(fields).map(|line| line.iter().map(ToString::to_string).collect()).collect()
}

/// What our parser makes of an exported stream.
fn ours(file: &Path) -> Vec<Frame> {
    let source: Arc<dyn Source> = Arc::new(RawSource::open(file).unwrap());
    let map = ExtentMap::of(Extent::new(0, source.len()));
    let stream = Stream { source, map, reasons: Vec::new(), conflict: None };
    let parser: Box<dyn FrameParser> = Box::new(HikParser::new(Bounds::default()));
    Walk::new(&stream, parser, 0..u64::MAX)
        .filter_map(|item| match item {
            WalkItem::Frame(frame) => Some(*frame),
            WalkItem::Skipped { .. } => None,
            other => panic!("{}: {other:?}", file.display()),
        })
        .collect()
}

/// A packet of the program stream: its time where it has one, and bytes of its payload.
type Pes = (Option<u64>, u64);

/// The packets of frames, in the order of the stream.
fn our_packets(frames: &[Frame]) -> Vec<Pes> {
    let carried = frames.iter().filter(|frame| frame.kind != FrameKind::Auxiliary);
    let mut packets: Vec<(u64, Pes)> = carried
        .flat_map(|frame| {
            let pts = frame.time.counter.filter(|counter| counter.kind == CounterKind::Pts);
            frame.payload.iter().enumerate().map(move |(n, range)| {
                // The stamp of a frame is that of its first packet.
                let pts = pts.filter(|_| n == 0).map(|pts| pts.value);
                (range.start, (pts, range.end - range.start))
            })
        })
        .collect();
    packets.sort_unstable();
    packets.into_iter().map(|(_, packet)| packet).collect()
}

/// Packets of pictures and sound as they stand in the stream: FFmpeg neither joins nor splits them, and makes no time stamps up.
fn their_packets(file: &Path) -> Vec<Pes> {
    let output = run(ffprobe()
        .unwrap()
        .args(["-v", "fatal", "-fflags", "+noparse+nofillin", "-f", "mpeg", "-of", "csv"])
        .args(["-show_entries", "packet=stream_index,pts,size:stream=index,id"])
        .arg(file));
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
    let lines_of = |section: &'static str| lines.iter().filter(move |line| line[0] == section);
    // Some private packets look to FFmpeg like subtitles; they are told by the start code of their stream.
    let is_carried = |id: &str| {
        let code = u32::from_str_radix(id.trim_start_matches("0x"), 16).unwrap();
        (0x1C0..0x1F0).contains(&code)
    };
    let carried: BTreeSet<&str> =
        lines_of("stream").filter(|line| is_carried(line[2])).map(|line| line[1]).collect();
    // Stamps shortly before they begin anew are given as negative numbers.
    let stamp = |text: &str| {
        let ticks: i64 = text.parse().ok()?;
        Some(ticks.rem_euclid(1 << STAMP_BITS).unsigned_abs())
    };
    lines_of("packet")
        .filter(|line| carried.contains(line[1]))
        .map(|line| (stamp(line[2]), line[3].parse().unwrap()))
        .collect()
}

/// Done 1: FFmpeg's `mpeg` demuxer and ours find the same packets, of pictures and of sound, with the same time stamps and sizes, in
/// every exported stream, of encrypted footage too.
///
/// Left out is `hik-sd-index-gone`: where newer footage lies over the end of a packet, ours ends with the next pack, FFmpeg reads on as far
/// as the packet says it goes.
#[test]
fn ffmpeg_finds_the_same_packets() {
    if ffprobe().is_none() {
        return;
    }
    let compared = Cell::new(0);
    let judged = RefCell::new(BTreeSet::new());
    check_all(&["--native"], |scenario, case| {
        if scenario == "hik-sd-index-gone" {
            return;
        }
        for (file, _) in case.streams() {
            if !judged.borrow_mut().insert(sha256(&file)) {
                continue;
            }
            let ours = our_packets(&ours(&file));
            assert_same(&ours, &their_packets(&file), &format!("{scenario} {}", file.display()));
            compared.set(compared.get() + ours.len());
        }
    });
    assert!(compared.get() > 30_000, "{} packets", compared.get());
}

/// Compares lists too long to be shown.
fn assert_same<T: PartialEq + std::fmt::Debug>(ours: &[T], theirs: &[T], name: &str) {
    let first = ours.iter().zip(theirs).position(|(ours, theirs)| ours != theirs);
    let at = first.unwrap_or(ours.len().min(theirs.len()));
    let (our, their) = (ours.get(at), theirs.get(at));
    let counts = (ours.len(), theirs.len());
    assert!(our.is_none() && their.is_none(), "{name}, {at} of {counts:?}: {our:?}, {their:?}");
}

/// Sizes of the pictures as FFmpeg's H.265 parser cuts them: the zero byte before the start code of a picture counts to the picture before it.
fn as_the_h265_parser_cuts(bytes: &[u8], frames: &[&Frame]) -> Vec<u64> {
    let starts_with_zero = |frame: &&Frame| {
        let start = frame.payload[0].start as usize;
        u64::from(bytes[start..].starts_with(&[0, 0, 0, 1]))
    };
    let zeros: Vec<u64> = frames.iter().map(starts_with_zero).collect();
    let sizes = frames.iter().enumerate().map(|(n, frame)| {
        let own = if n == 0 { 0 } else { zeros[n] };
        frame.payload_len() - own + zeros.get(n + 1).unwrap_or(&0)
    });
    sizes.collect()
}

/// Done 1: what FFmpeg's demuxer and parsers make of every exported stream are the same pictures, in number and size: packs and packets are
/// put together alike.
///
/// Left out are `hikvision-encrypted`: FFmpeg finds where a picture begins by its NAL units, which are hidden there; and `hik-sd-index-gone`:
/// what newer footage left of older one begins without a map, so that FFmpeg guesses its coding, and joins the pictures on both sides of
/// a place where footage of another coding begins.
#[test]
fn ffmpeg_puts_the_same_pictures_together() {
    if ffprobe().is_none() {
        return;
    }
    let compared = Cell::new(0);
    let judged = RefCell::new(BTreeSet::new());
    check_all(&["--native"], |scenario, case| {
        if ["hikvision-encrypted", "hik-sd-index-gone"].contains(&scenario) {
            return;
        }
        for (file, codec) in case.streams() {
            if !judged.borrow_mut().insert(sha256(&file)) {
                continue;
            }
            let frames = ours(&file);
            let pictures: Vec<_> =
                frames.iter().filter(|frame| frame.kind == FrameKind::Video).collect();
            let sizes = if codec == "h265" {
                as_the_h265_parser_cuts(&fs::read(&file).unwrap(), &pictures)
            } else {
                pictures.iter().map(|frame| frame.payload_len()).collect()
            };
            let told = packets(&file, &["-f", "mpeg"], "codec_type,size");
            let told: Vec<u64> = told
                .iter()
                .filter(|fields| fields[0] == "video")
                .map(|fields| fields[1].parse().unwrap())
                .collect();
            assert_same(&sizes, &told, &format!("{scenario} {}", file.display()));
            compared.set(compared.get() + sizes.len());
        }
    });
    assert!(compared.get() > 30_000, "{} pictures", compared.get());
}

/// Done 1, sound: FFmpeg knows A-law and µ-law by the codec in the map, but only behind an IMKH header; AAC always. G.722.1 and G.726 it
/// takes for MPEG audio: their packets are compared above, their coding cannot be.
#[test]
fn ffmpeg_knows_the_same_sound() {
    if ffprobe().is_none() {
        return;
    }
    let case = Case::named("hikvision-audio", &["--native"]);
    let mut seen = BTreeSet::new();
    for (file, _) in case.streams() {
        let mut bytes = b"IMKH".to_vec();
        bytes.resize(40, 0);
        bytes.extend(fs::read(&file).unwrap());
        let headed = case.folder.path().join("headed.mpg");
        fs::write(&headed, bytes).unwrap();
        let output = run(ffprobe()
            .unwrap()
            .args(["-v", "fatal", "-f", "mpeg", "-select_streams", "a"])
            .args(["-show_entries", "stream=codec_name", "-of", "default=nw=1:nk=1"])
            .arg(&headed));
        let codec = String::from_utf8(output.stdout).unwrap().trim().to_owned();
        let frames = ours(&file);
        let sounds: Vec<_> = frames.iter().filter(|frame| frame.kind == FrameKind::Audio).collect();
        let name = |frame: &&Frame| match frame.codec.as_str() {
            "g711a" => "pcm_alaw",
            "g711u" => "pcm_mulaw",
            other => other,
        };
        assert_eq!(sounds.iter().map(name).collect::<BTreeSet<_>>(), [&*codec].into());
        let sizes: Vec<u64> = sounds.iter().map(|frame| frame.payload_len()).collect();
        let told = packets(&headed, &["-f", "mpeg"], "codec_type,size");
        let told = told.iter().filter(|fields| fields[0] == "audio");
        let told: Vec<u64> = told.map(|fields| fields[1].parse().unwrap()).collect();
        assert_same(&sizes, &told, &codec);
        seen.insert(codec);
    }
    assert_eq!(seen, ["aac", "pcm_alaw", "pcm_mulaw"].map(str::to_owned).into());
}
