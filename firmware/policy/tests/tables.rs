//! The generated tables against the CSV text, and the policy digest (D-08).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)] // a wrong answer has to fail

#[path = "oracle/mod.rs"]
mod oracle;

use hex_literal::hex;
use oracle::Oracle;
use wb_policy::tables::{
    Class, Decision, POLICY, POLICY_DIGEST, Profile, Response, SubLayer, SubRow,
};

/// D-08: the digest that the published policy is known by.
#[test]
fn the_digest_is_that_of_the_published_policy() {
    assert_eq!(
        POLICY_DIGEST,
        hex!("37f06ab137d3a7c16629c316a038ca79813b1602674ece094e6c6c68d81d148e")
    );
}

fn class(word: &str) -> Class {
    match word {
        "READ" => Class::Read,
        "INFO" => Class::Info,
        "OTHER" => Class::Other,
        "MOD" => Class::Modifying,
        "UNK" => Class::Unknown,
        _ => panic!("{word}"),
    }
}

fn decision(word: &str) -> Decision {
    match word {
        "FWD" => Decision::Forward,
        "SYN" => Decision::Synthesise,
        "LOC" => Decision::Local,
        "SUB" => Decision::Sub,
        "ATA" => Decision::Ata,
        "DENY" => Decision::Deny,
        "EMIT" => Decision::Emit,
        "GUARD" => Decision::Guard,
        "NEVER" => Decision::Never,
        _ => panic!("{word}"),
    }
}

fn response(word: &str) -> Response {
    match word {
        "-" => Response::None,
        "drive" => Response::Drive,
        "regs" => Response::Registers,
        "GOOD" => Response::Good,
        "WP" => Response::WriteProtected,
        "OP" => Response::OpCode,
        "FLD" => Response::Field,
        "LBA" => Response::OutOfRange,
        "SPNS" => Response::SavingNotSupported,
        "NEVER" => Response::Never,
        _ => panic!("{word}"),
    }
}

fn layer(word: &str) -> SubLayer {
    match word {
        "scsi" => SubLayer::Scsi,
        "ata" => SubLayer::Ata,
        "sd" => SubLayer::Sd,
        "emmc" => SubLayer::Emmc,
        "spi" => SubLayer::Spi,
        "acmd" => SubLayer::Acmd,
        _ => panic!("{word}"),
    }
}

fn profile(word: &str) -> Profile {
    match word {
        "core" => Profile::Core,
        "ident" => Profile::Ident,
        "smart" => Profile::Smart,
        _ => panic!("{word}"),
    }
}

/// D-08, policy 9.6: every word of every row is in the tables, so a changed row is a failed test.
#[test]
fn every_row_is_in_the_tables() {
    let oracle = Oracle::read();
    assert_eq!((POLICY.scsi.len(), POLICY.ata.len()), (256, 256));
    assert_eq!((POLICY.sd.len(), POLICY.acmd.len()), (64, 64));
    for (row, text) in POLICY.scsi.iter().zip(&oracle.scsi) {
        assert_eq!(row.class, class(&text.class));
        assert_eq!(row.decision, decision(&text.decision));
        assert_eq!(row.response, response(&text.response));
    }
    for (row, text) in POLICY.ata.iter().zip(&oracle.ata) {
        assert_eq!(row.class, class(&text.class));
        assert_eq!(row.decision, decision(&text.decision));
        assert_eq!(row.response, response(&text.response));
    }
    assert_eq!(POLICY.sub.len(), oracle.sub.len());
    for (row, text) in POLICY.sub.iter().zip(&oracle.sub) {
        assert_eq!((row.layer, row.code), (layer(&text.layer), text.code));
        assert_eq!((row.class, row.decision), (class(&text.class), decision(&text.decision)));
        assert_eq!(row.response, response(&text.response));
        assert_eq!(row.profile, profile(&text.profile));
        let terms = if text.selector == "*" { 0 } else { text.selector.split(' ').count() };
        assert_eq!(row.select.len(), terms, "{}", text.selector);
        let guards: Vec<&str> = text.guard.split(';').filter(|term| !term.is_empty()).collect();
        assert_eq!(row.guards.len(), guards.len(), "{}", text.guard);
        for (guard, term) in row.guards.iter().zip(guards) {
            assert_eq!(guard.response, response(term.rsplit_once(':').unwrap().1));
        }
    }
}

/// D-08: card tables likewise, read with the two columns that matter.
#[test]
fn every_card_row_is_in_the_tables() {
    for (table, text) in [(POLICY.sd, oracle::FILES[2]), (POLICY.acmd, oracle::FILES[3])] {
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let head = reader.headers().unwrap().clone();
        let column = |name: &str| head.iter().position(|own| own == name).unwrap();
        for (row, record) in table.iter().zip(reader.records()) {
            let record = record.unwrap();
            assert_eq!(row.class, class(&record[column("class")]));
            assert_eq!(row.decision, decision(&record[column("decision")]));
        }
    }
}

/// HWB-AM-01: no modifying row lets anything through. The build refuses such a table as well.
#[test]
fn no_modifying_row_allows_anything() {
    let refuses = |row: &SubRow<'_>| matches!(row.decision, Decision::Deny | Decision::Never);
    for row in POLICY.sub.iter().filter(|row| row.class == Class::Modifying) {
        assert!(refuses(row), "{row:?}");
    }
    for row in POLICY.scsi.iter().filter(|row| row.class == Class::Modifying) {
        assert!(matches!(row.decision, Decision::Deny | Decision::Sub), "{row:?}");
    }
    for row in POLICY.ata.iter().filter(|row| row.class == Class::Modifying) {
        assert!(matches!(row.decision, Decision::Deny | Decision::Sub), "{row:?}");
    }
}

/// A row can be found by its code, and rows of one code stand together.
#[test]
fn rows_are_found_by_their_code() {
    for (place, row) in POLICY.sub.iter().enumerate() {
        let (start, rows) = POLICY.rows(row.layer, row.code);
        assert!((start..start + rows.len()).contains(&place));
        assert!(rows.iter().all(|own| (own.layer, own.code) == (row.layer, row.code)));
    }
    assert_eq!(POLICY.rows(SubLayer::Scsi, 0x2A).1, &[]);
}

/// Names for people have the same number of rows as the tables.
#[cfg(feature = "names")]
#[test]
fn every_row_has_a_name() {
    use wb_policy::tables::NAMES;
    assert_eq!(NAMES.scsi[0x42], "UNMAP");
    assert_eq!(NAMES.ata[0x37], "SET MAX ADDRESS EXT");
    assert_eq!((NAMES.sd.len(), NAMES.emmc.len(), NAMES.acmd.len()), (64, 64, 64));
    assert_eq!(NAMES.sub.len(), POLICY.sub.len());
}
