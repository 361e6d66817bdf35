//! The CDDL and the code name the same keys.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![allow(clippy::cast_possible_truncation, clippy::float_arithmetic)]

use std::path::Path;
use wb_attest::KEY_COPY_NOTICE;
use wb_attest::statement::keys;

fn cddl() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path.join("../../docs/schemas/bridge-statement.cddl")).unwrap()
}

/// The fields of a map rule: key and the name in the comment, up to a colon.
fn fields(rule: &str) -> Vec<(i64, String)> {
    let inside = rule.lines().skip(1).take_while(|line| *line != "}");
    inside
        .map(|line| {
            let (key, rest) = line.trim().trim_start_matches("? ").split_once(" => ").unwrap();
            let name = rest.split_once("; ").unwrap().1.split(':').next().unwrap().trim();
            (key.parse().unwrap(), name.to_owned())
        })
        .collect()
}

/// 4.3: every table of keys stands in the CDDL with the same keys, names and order, and there are no
/// other maps but the COSE header.
#[test]
fn the_cddl_and_the_code_agree() {
    let text = cddl();
    for (name, table) in keys::TABLES {
        let generic = format!("\n{name}<entry> = {{\n");
        let plain = format!("\n{name} = {{\n");
        let start = text.find(&plain).or_else(|| text.find(&generic)).expect(name);
        let written: Vec<(i64, String)> =
            table.iter().map(|(key, name)| (*key, (*name).to_owned())).collect();
        assert_eq!(fields(&text[start + 1..]), written, "{name}");
    }
    assert_eq!(text.matches(" = {\n").count(), keys::TABLES.len() + 1);
    assert!(text.contains(keys::PROFILE_NAME));
    assert!(text.contains(&format!("-65537 => {},", keys::FORMAT_VERSION)));
    for limit in [keys::IDENTITY_LIMIT, keys::EDIT_LIMIT, keys::TEXT_LIMIT] {
        assert!(text.contains(&format!(".size (0..{limit})")), "{limit}");
    }
}

/// Keys stand in the order of their encodings, none twice.
#[test]
fn keys_ascend() {
    for (name, table) in keys::TABLES {
        let encoded: Vec<Vec<u8>> = table
            .iter()
            .map(|(key, _)| {
                let mut out = [0; 16];
                let mut encoder =
                    minicbor::Encoder::new(minicbor::encode::write::Cursor::new(&mut out[..]));
                encoder.i64(*key).unwrap();
                let len = encoder.writer().position();
                out[..len].to_vec()
            })
            .collect();
        assert!(encoded.is_sorted_by(|a, b| a < b), "{name}");
    }
}

/// 4.5: the sentence every report prints, word for word.
#[test]
fn the_notice_is_the_published_sentence() {
    assert_eq!(
        KEY_COPY_NOTICE,
        "A person who held the bridge could copy this key; firmware and drive identity are self-reported."
    );
}
