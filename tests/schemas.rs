//! The published output formats (`docs/schemas/`): the schemas judge the test vectors as their folders say, the documents name
//! the keys that the schemas do, and every line that the program prints or writes is valid (U-2, X-4, X-9).

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use daleel_generator::{
    scenarios,
    truth::{Frame, FrameKind, Truth},
};
use daleel_tests::judge::daleel;
use jsonschema::Validator;
use serde_json::{Map, Value};

#[path = "schemas/acquire.rs"]
mod acquire;
#[path = "schemas/bridge.rs"]
mod bridge;
#[path = "schemas/image.rs"]
mod image;

const DALEEL: &str = env!("CARGO_BIN_EXE_daleel-under-test");

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/schemas")
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn file_name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap())
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every schema by its name: `clip` for `clip.schema.json`.
fn schemas() -> BTreeMap<String, Value> {
    entries(&folder())
        .iter()
        .filter_map(|path| {
            let name = file_name(path).strip_suffix(".schema.json")?.to_owned();
            Some((name, read_json(path)))
        })
        .collect()
}

/// Definitions of a schema.
fn definitions(schema: &Value) -> Map<String, Value> {
    schema
        .get("$defs")
        .map_or_else(Map::new, |definitions| definitions.as_object().unwrap().clone())
}

/// The schemas, ready to judge.
struct Judge(BTreeMap<String, Validator>);

impl Judge {
    fn new() -> Self {
        let compile = |schema: &Value| jsonschema::draft202012::new(schema).unwrap();
        Self(schemas().iter().map(|(name, schema)| (name.clone(), compile(schema))).collect())
    }

    fn faults(&self, schema: &str, document: &Value) -> Vec<String> {
        let validator = &self.0.get(schema).unwrap_or_else(|| panic!("no schema `{schema}`"));
        let faults = validator.iter_errors(document);
        faults.map(|fault| format!("{}: {fault}", fault.instance_path())).collect()
    }

    fn check(&self, schema: &str, document: &Value, whence: &str) {
        let faults = self.faults(schema, document);
        assert!(faults.is_empty(), "{whence} against {schema}: {faults:#?}\n{document:#}");
    }

    /// Checks every line; gives how many there were.
    fn check_lines(&self, schema: &str, text: &str, whence: &str) -> Vec<Value> {
        let lines = text.lines().map(|line| {
            let document = serde_json::from_str(line).unwrap();
            self.check(schema, &document, whence);
            document
        });
        lines.collect()
    }
}

/// Schemas stand alone, so what they share is repeated; it must not drift apart.
#[test]
fn schemas_are_sound_and_their_shared_definitions_equal() {
    let all = schemas();
    let mut shared: BTreeMap<String, Value> = BTreeMap::new();
    for (name, schema) in &all {
        assert!(jsonschema::draft202012::meta::is_valid(schema), "{name}");
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema", "{name}");
        for (definition, body) in definitions(schema) {
            let first = shared.entry(definition.clone()).or_insert_with(|| body.clone());
            assert_eq!(*first, body, "`{definition}` of {name}");
        }
    }
    for line in ["recording", "event"] {
        for part in ["properties", "required", "additionalProperties", "if", "then", "else"] {
            assert_eq!(all[line].get(part), shared[line].get(part), "`{part}` of {line}");
        }
    }
}

/// A strict schema lets no unknown key through, in any object of a form of ours.
#[test]
fn every_object_is_closed() {
    for (name, schema) in schemas() {
        let own = definitions(&schema);
        for (part, body) in own.iter().chain([(&name, &schema)]) {
            if body.get("properties").is_some() {
                assert_eq!(body["additionalProperties"], false, "`{part}` of {name}");
            }
        }
    }
}

/// The schema whose name a vector's begins with: the longest, since `bridge-log` is one and `bridge-log-empty` is not.
fn schema_of(vector: &str) -> String {
    let is_own = |schema: &String| {
        vector.strip_prefix(schema.as_str()).is_some_and(|rest| rest.starts_with(['-', '.']))
    };
    schemas()
        .into_keys()
        .filter(is_own)
        .max_by_key(String::len)
        .unwrap_or_else(|| panic!("{vector}"))
}

#[test]
fn vectors_are_judged_as_their_folder_says() {
    let judge = Judge::new();
    let mut seen = BTreeSet::new();
    for kind in ["valid", "invalid"] {
        for path in entries(&folder().join("vectors").join(kind)) {
            let name = file_name(&path);
            let schema = schema_of(name);
            let schema = schema.as_str();
            let faults = judge.faults(schema, &read_json(&path));
            // One fault each: what is refused is refused for the reason in the name.
            assert_eq!(faults.len(), usize::from(kind == "invalid"), "{name}: {faults:#?}");
            seen.insert((kind, schema.to_owned()));
        }
    }
    for schema in schemas().keys() {
        for kind in ["valid", "invalid"] {
            assert!(seen.contains(&(kind, schema.clone())), "{schema} has no {kind} vector");
        }
    }
}

/// A row of a table of keys.
struct Row {
    key: String,
    /// What the third column says of null and absence.
    missing: String,
}

/// The tables of keys of a document, each with the schema and definition that the line above names.
fn tables(text: &str) -> Vec<(String, Option<String>, Vec<Row>)> {
    let mut tables = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some((_, place)) = line.split_once("Schema: [`") else { continue };
        let schema = place.split(".schema.json").next().unwrap().to_owned();
        let definition =
            place.split_once("`$defs/").map(|(_, name)| name.trim_end_matches('`').to_owned());
        let rows = lines.by_ref().skip(3).take_while(|line| line.starts_with('|')).map(|line| {
            let cells: Vec<_> = line.trim_matches('|').split(" | ").map(str::trim).collect();
            assert_eq!(cells.len(), 4, "{line}");
            Row { key: cells[0].trim_matches('`').to_owned(), missing: cells[2].to_owned() }
        });
        let rows = rows.collect();
        tables.push((schema, definition, rows));
    }
    tables
}

fn is_nullable(property: &Value) -> bool {
    let has_null = |kinds: &Value| {
        kinds.as_array().is_some_and(|kinds| {
            kinds.iter().any(|kind| kind == "null" || kind.get("type") == Some(&"null".into()))
        })
    };
    has_null(&property["type"])
        || has_null(&property["anyOf"])
        || property["$ref"] == "#/$defs/channel"
}

/// Tables and schemas name the same keys, and agree on which may be null and which absent.
#[test]
fn documents_and_schemas_name_the_same_keys() {
    let all = schemas();
    let mut documented = BTreeSet::new();
    for path in entries(&folder()).iter().filter(|path| path.extension().is_some_and(|e| e == "md"))
    {
        for (schema, definition, rows) in tables(&fs::read_to_string(path).unwrap()) {
            let name = format!("{}: {schema} {definition:?}", file_name(path));
            let root = &all[&schema];
            let object = definition.as_ref().map_or(root, |part| &root["$defs"][part]);
            let properties = object["properties"].as_object().unwrap();
            let keys: Vec<_> = rows.iter().map(|row| row.key.as_str()).collect();
            let expected: Vec<_> = properties.keys().map(String::as_str).collect();
            assert_eq!(
                keys.iter().collect::<BTreeSet<_>>(),
                expected.iter().collect::<BTreeSet<_>>(),
                "{name}"
            );
            let required = object["required"].as_array().unwrap();
            for row in rows {
                let property = &properties[&row.key];
                let is_required = required.iter().any(|key| *key == row.key.as_str());
                let said = row.missing.split([':', ';']).next().unwrap();
                let expected = match (is_required, is_nullable(property)) {
                    (false, _) => "absent",
                    (true, true) => "null",
                    (true, false) => "never",
                };
                assert_eq!(said, expected, "{name}: `{}`", row.key);
            }
            documented.insert(definition.unwrap_or(schema));
        }
    }
    for (name, schema) in all {
        let own = definitions(&schema);
        for (part, body) in own.iter().chain([(&name, &schema)]) {
            if body.get("properties").is_some() {
                assert!(documented.contains(part), "`{part}` of {name} is in no document");
            }
        }
    }
}

/// Runs every verb on a source and checks all that it prints and writes.
/// Gives the lines of `clips.jsonl` and `other.jsonl`.
fn check_source(source: &Path, more: &[&str]) -> (Vec<Value>, Vec<Value>) {
    let judge = Judge::new();
    let source_text = source.to_str().unwrap();
    let run = |verb: &str, arguments: &[&str]| {
        let mut all = vec![verb, source_text];
        all.extend(more);
        all.extend(arguments);
        let output = daleel(DALEEL, &all);
        assert!(
            matches!(output.status.code(), Some(0 | 1 | 3)),
            "{all:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    };
    let document = |schema: &str, text: &str| {
        let document = serde_json::from_str(text).unwrap();
        judge.check(schema, &document, source_text);
        document
    };
    document("identify", &run("identify", &["--json"]));
    let list: Value = document("list", &run("list", &["--json"]));
    let lines = judge.check_lines("recording", &run("list", &["--jsonl"]), source_text);
    assert_eq!(list["recordings"].as_array().unwrap(), &lines);
    let logs: Value = document("logs", &run("logs", &["--json"]));
    let lines = judge.check_lines("event", &run("logs", &["--jsonl"]), source_text);
    assert_eq!(logs["events"].as_array().unwrap(), &lines);
    for recording in list["recordings"].as_array().unwrap() {
        let places = [
            (false, &recording["first_byte"], &recording["source_file"]),
            (true, &recording["index_entry"][0], &recording["index_file"]),
        ];
        for (is_entry, at, file) in places {
            let Some(at) = at.as_u64().map(|at| at.to_string()) else { continue };
            let mut arguments = vec!["--at", &at, "--json"];
            arguments.extend(file.as_str().map(|_| "--file"));
            arguments.extend(file.as_str());
            let text = run("show", &arguments);
            // The first byte of footage that is gone may be of nothing; an entry that was read can be shown.
            assert!(!text.is_empty() || !is_entry, "{source_text}: {arguments:?}");
            if !text.is_empty() {
                document("show", &text);
            }
        }
    }
    let out = tempfile::tempdir().unwrap();
    let folder = out.path().join("footage");
    let printed = run("extract", &["--out", folder.to_str().unwrap(), "--native", "--json"]);
    assert_eq!(document("summary", &printed), read_json(&folder.join("summary.json")));
    check_folder(&judge, &folder, source_text)
}

fn check_folder(judge: &Judge, folder: &Path, whence: &str) -> (Vec<Value>, Vec<Value>) {
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let clips = judge.check_lines("clip", &read("clips.jsonl"), whence);
    let other = judge.check_lines("other", &read("other.jsonl"), whence);
    let summary = read_json(&folder.join("summary.json"));
    judge.check("summary", &summary, whence);
    for (key, lines) in [("clips", &clips), ("other", &other)] {
        assert_eq!(summary["counts"][key], lines.len(), "{whence}: {key}");
    }
    for line in clips.iter().chain(&other) {
        let frames_file = line["frames_file"].as_str().unwrap();
        let frames = judge.check_lines("frame", &read(frames_file), frames_file);
        assert_eq!(line["frames"], frames.len(), "{frames_file}");
    }
    let named: BTreeSet<String> = read("SHA256SUMS")
        .lines()
        .map(|line| line.split_once("  ").unwrap().1.to_owned())
        .collect();
    for path in entries(&folder.join("clips")) {
        assert!(named.contains(&format!("clips/{}", file_name(&path))), "{}", path.display());
    }
    (clips, other)
}

fn write_scenario(name: &str, folder: &Path) -> Truth {
    let scenario = scenarios().iter().find(|scenario| scenario.name == name).unwrap();
    scenario.write(folder, 11).unwrap()
}

fn check_scenario(name: &str) -> (Vec<Value>, Vec<Value>) {
    let folder = tempfile::tempdir().unwrap();
    let truth = write_scenario(name, folder.path());
    check_source(&truth.image_path(folder.path()), &[])
}

macro_rules! scenarios {
    ($($test:ident $name:literal,)*) => {
        $(#[test] fn $test() { check_scenario($name); })*
    };
}

scenarios! {
    sound "dahua-audio",
    stills "dahua-stills",
    clock_jump "dahua-clock-jump",
    damaged_descriptors "dahua-damaged-descriptors",
    damaged_frames "dahua-damaged-frames",
    open_recording "dahua-open-recording",
    overwritten "dahua-overwritten",
    long_frames "dahua-long-frames",
    own_milliseconds "dahua-a0",
    mpeg4 "dahua-mpeg4",
    missing_partition_table "dahua-missing-partition-table",
    two_channels "dav-two-channels",
    old_mpeg "dav-old-mpeg",
    hikvision_blocks "hikvision-several-entries",
    hikvision_open_blocks "hikvision-open-block",
    hikvision_residual_footage "hikvision-residual",
    hikvision_trees_that_differ "hikvision-trees-differ",
    hikvision_pages_gone "hikvision-tree-page-gone",
    hikvision_all_damage "hikvision-all-damage",
    hikvision_truncated "hikvision-truncated",
    hikvision_sound "hikvision-audio",
    hikvision_sound_beside "hikvision-g722-g726",
    hikvision_clock_change "hikvision-clock-change",
    hikvision_zero_milliseconds "hikvision-zero-ms",
    hikvision_encrypted "hikvision-encrypted",
    hikvision_log "hikvision-logs",
    hikvision_file "hik-imkh-h265",
    hikvision_file_of_the_old_form "hik-4hkh",
    hikvision_card "hik-sd-card",
    hikvision_card_pictures "hik-sd-pictures",
    hikvision_card_without_index "hik-sd-index-gone",
    hikvision_card_media_missing "hik-sd-media-missing",
    hikvision_camera_database "hik-camera-sqlite",
    hikvision_share "hik-nas",
    hikvision_recorder_on_a_share "hik-nas-btree",
}

/// Footage of earlier passes is listed as residual, and extracted when it is asked for.
#[test]
fn hikvision_residual_entries_extracted() {
    let folder = tempfile::tempdir().unwrap();
    let truth = write_scenario("hik-sd-card", folder.path());
    let (card, out) = (truth.image_path(folder.path()), folder.path().join("out"));
    let listed = daleel(DALEEL, &["list", card.to_str().unwrap(), "--jsonl"]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.contains("\"state\":\"residual\""));
    let mut arguments = vec!["extract", card.to_str().unwrap(), "--out", out.to_str().unwrap()];
    arguments.extend(["--state", "residual", "--native"]);
    let output = daleel(DALEEL, &arguments);
    assert!(output.status.code().is_some_and(|code| code < 2));
    let (clips, _) = check_folder(&Judge::new(), &out, "residual");
    assert!(!clips.is_empty() && clips.iter().all(|clip| clip["grade"] == "slack"));
}

#[test]
fn encrypted() {
    let (_, other) = check_scenario("dahua-encrypted");
    assert!(other.iter().any(|line| line["kind"] == "encrypted"));
}

/// Offsets count in the files of a folder; `source_file` names them.
#[test]
fn a_folder_of_stream_files() {
    let folder = tempfile::tempdir().unwrap();
    let truth = write_scenario("dav-plain-h265", folder.path());
    let files = folder.path().join("files");
    fs::create_dir_all(files.join("2024")).unwrap();
    fs::copy(truth.image_path(folder.path()), files.join("2024/recording 1.dav")).unwrap();
    let (clips, _) = check_source(&files, &[]);
    assert_eq!(clips[0]["source_file"], "2024/recording 1.dav");
}

/// Holes, and a time that is asked for.
#[test]
fn a_disk_that_could_not_be_read_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let truth = write_scenario("dahua-intact", folder.path());
    let frames = truth.recordings.iter().flat_map(|recording| &recording.frames);
    let [from, length] = frames.clone().nth(20).unwrap().payload[0];
    let end = from + length;
    let rest = truth.bytes - end;
    let map = folder.path().join("map");
    let text = format!("0x0 + 1\n0x0 {from:#x} +\n{from:#x} {length:#x} -\n{end:#x} {rest:#x} +\n");
    fs::write(&map, text).unwrap();
    let (clips, _) =
        check_source(&truth.image_path(folder.path()), &["--map", map.to_str().unwrap()]);
    assert!(!clips.is_empty());
}

/// A disk inside a partition of the medium.
#[test]
fn a_partitioned_medium() {
    const START_SECTOR: u32 = 2048;
    let folder = tempfile::tempdir().unwrap();
    let truth = write_scenario("dahua-one-partition", folder.path());
    let disk = fs::read(truth.image_path(folder.path())).unwrap();
    let sectors = u32::try_from(disk.len() / 512).unwrap();
    let mut medium = vec![0; 512 * 2048];
    medium[450] = 0x83;
    medium[454..458].copy_from_slice(&START_SECTOR.to_le_bytes());
    medium[458..462].copy_from_slice(&sectors.to_le_bytes());
    medium[510..512].copy_from_slice(&[0x55, 0xAA]);
    medium.extend(disk);
    let path = folder.path().join("medium.img");
    fs::write(&path, medium).unwrap();
    let identified = daleel(DALEEL, &["identify", path.to_str().unwrap(), "--json"]);
    let identified: Value = serde_json::from_slice(&identified.stdout).unwrap();
    assert_eq!(identified["partitions"][0]["number"], 1);
    check_source(&path, &[]);
}

/// The columns of a log as a table are the keys of its lines, without what was stored.
#[test]
fn csv_columns_of_a_log_are_its_keys() {
    let folder = tempfile::tempdir().unwrap();
    let truth = write_scenario("hikvision-several-entries", folder.path());
    let image = truth.image_path(folder.path());
    let output = daleel(DALEEL, &["logs", image.to_str().unwrap(), "--csv"]);
    let printed = String::from_utf8(output.stdout).unwrap();
    let columns: BTreeSet<&str> = printed.lines().next().unwrap().split(',').collect();
    let schema = &schemas()["event"]["properties"];
    let keys = schema.as_object().unwrap().keys().map(String::as_str);
    assert_eq!(columns, keys.filter(|key| *key != "stored").collect());
}

/// Units of a stream file, changed one by one, as a stream of its own.
fn changed_stream(
    scenario: &str,
    change: impl Fn(&Frame, &mut Vec<u8>) -> bool,
) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let truth = write_scenario(scenario, folder.path());
    let stored = fs::read(truth.image_path(folder.path())).unwrap();
    let mut stream = Vec::new();
    for frame in truth.recordings[0].frames.iter().take(200) {
        let bytes = |&[offset, length]: &[u64; 2]| {
            let start = usize::try_from(offset).unwrap();
            stored[start..start + usize::try_from(length).unwrap()].to_vec()
        };
        let mut unit: Vec<u8> = frame.extents.iter().flat_map(bytes).collect();
        if change(frame, &mut unit) {
            stream.extend(unit);
        }
    }
    let path = folder.path().join("changed.dav");
    fs::write(&path, stream).unwrap();
    (folder, path)
}

#[test]
fn sound_alone() {
    let (_folder, path) =
        changed_stream("dav-audio-alaw", |frame, _| frame.kind == FrameKind::Audio);
    let (clips, other) = check_source(&path, &[]);
    assert!(clips.is_empty());
    assert_eq!(other[0]["kind"], "audio");
}

#[test]
fn sound_of_a_coding_that_is_not_carried() {
    const TAG_AUDIO: u8 = 0x83;
    const G729: u8 = 8;
    let (_folder, path) = changed_stream("dav-audio-alaw", |frame, unit| {
        if frame.kind == FrameKind::Audio {
            assert_eq!(unit[24], TAG_AUDIO);
            unit[26] = G729;
        }
        true
    });
    let (clips, _) = check_source(&path, &[]);
    assert_eq!(clips[0]["audio"][0]["codec"], "g729");
}

#[test]
fn pictures_that_nothing_describes() {
    let (_folder, path) = changed_stream("dav-plain-h264", |frame, _| !frame.key);
    let (_, other) = check_source(&path, &[]);
    assert_eq!(other[0]["kind"], "no-parameter-sets");
}

/// T-5: no date, no time; and no guess.
#[test]
fn footage_without_a_date() {
    let (_folder, path) = changed_stream("dav-plain-h264", |_, unit| {
        unit[0x10..0x14].fill(0);
        unit[0x17] = unit[..0x17].iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
        true
    });
    let (clips, _) = check_source(&path, &[]);
    assert_eq!((&clips[0]["start"], &clips[0]["end"]), (&Value::Null, &Value::Null));
}

/// The wanted times and cameras are in the summary.
#[test]
fn wanted_footage_only() {
    let folder = tempfile::tempdir().unwrap();
    let truth = write_scenario("dahua-intact", folder.path());
    let first = &truth.recordings[0];
    let (channel, from) = (first.channel.unwrap().to_string(), first.frames[60].true_time.as_str());
    let image = truth.image_path(folder.path());
    let out = folder.path().join("out");
    let output = daleel(
        DALEEL,
        &[
            "extract",
            image.to_str().unwrap(),
            "--out",
            out.to_str().unwrap(),
            "--channel",
            &channel,
            "--from",
            from,
            "--clock-step",
            "exact",
        ],
    );
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    check_folder(&Judge::new(), &out, "wanted footage");
    let summary = read_json(&out.join("summary.json"));
    assert_eq!(summary["parameters"]["from"], from);
    assert_eq!(summary["parameters"]["clock_step"], "exact");
}

/// Nothing known: the document is printed all the same.
#[test]
fn a_source_of_no_known_format() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("zeros");
    fs::write(&path, [0; 4096]).unwrap();
    let output = daleel(DALEEL, &["identify", path.to_str().unwrap(), "--json"]);
    assert_eq!(output.status.code(), Some(3));
    let document = serde_json::from_slice(&output.stdout).unwrap();
    Judge::new().check("identify", &document, "zeros");
}

/// The header line of the table is the one in the document.
#[test]
fn csv_columns_are_as_documented() {
    let folder = tempfile::tempdir().unwrap();
    let truth = write_scenario("dav-plain-h264", folder.path());
    let image = truth.image_path(folder.path());
    let output = daleel(DALEEL, &["list", image.to_str().unwrap(), "--csv"]);
    let printed = String::from_utf8(output.stdout).unwrap();
    let document = fs::read_to_string(self::folder().join("list.md")).unwrap();
    let (_, table) = document.split_once("| Column | What it is |\n|---|---|\n").unwrap();
    let columns: Vec<_> = table
        .lines()
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.split('`').nth(1).unwrap())
        .collect();
    assert_eq!(printed.lines().next().unwrap(), columns.join(","));
}
