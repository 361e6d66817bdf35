//! The build refuses tables that are incomplete or say something unknown, and names the line (D-08).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)] // a wrong answer has to fail

#[path = "../build.rs"]
#[allow(dead_code, clippy::print_stdout)]
mod script;

use std::{fs, path::Path};

fn build(file: &str, change: impl FnOnce(&str) -> String) -> Result<String, String> {
    let published = Path::new(env!("CARGO_MANIFEST_DIR")).join("tables");
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(published).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    let path = folder.path().join(file);
    let before = fs::read_to_string(&path).unwrap();
    let after = change(&before);
    fs::write(&path, after).unwrap();
    let mut source = String::new();
    script::tables(folder.path(), &mut source).map_err(|error| error.to_string())?;
    Ok(source)
}

fn refused(file: &str, from: &str, to: &str, says: &str) {
    let error = build(file, |text| {
        assert!(text.contains(from), "{from}");
        text.replacen(from, to, 1)
    })
    .expect_err(to);
    assert!(error.starts_with(file) && error.contains(says), "{error}");
}

/// D-08: the published tables build.
#[test]
fn the_published_tables_are_accepted() {
    build("policy-scsi.csv", str::to_owned).unwrap();
}

/// D-08: each code once, in order, none missing.
#[test]
fn an_incomplete_table_is_refused() {
    refused("policy-scsi.csv", "0x2a,WRITE(10)", "0x2b,WRITE(10)", ":44: code 42");
    refused("policy-ata.csv", "0x37,SET MAX ADDRESS EXT", "0x36,SET MAX ADDRESS EXT", "code 55");
    refused("policy-acmd.csv", "63,reserved or not an ACMD,UNK,NEVER,\n", "", "63 rows");
    refused("policy-sdmmc.csv", "63,manufacturer", "64,manufacturer", "code 63");
    let error = build("policy-sub.csv", |text| {
        text.lines().filter(|line| !line.starts_with("scsi,0x9f,*")).collect::<Vec<_>>().join("\n")
    });
    assert!(error.unwrap_err().contains("no `*` row"));
}

/// D-08: an unknown word is no silent default.
#[test]
fn an_unknown_word_is_refused() {
    let sub = "policy-sub.csv";
    refused(sub, "pc=3,MODE", "pq=3,MODE", ":18: unknown word `pq`");
    refused(sub, "announced=hpa", "announced=hap", "unknown word `hap`");
    refused(sub, "lba<cap:LBA", "lba<size:LBA", "`lba<size`");
    refused(sub, "lba<cap:LBA", "lba<cap", "no response");
    refused(sub, "lba<cap:LBA", "lba<cap:LAB", "unknown word `LAB`");
    refused(sub, "arg[31:16]=0", "arg[16:31]=0", "bits out of order");
    refused(sub, "arg[15:11]=extcsd179[7:3]", "arg[15:11]=extcsd179[7:4]", "different width");
    refused(sub, "pcond=1-15", "pcond=15-1", "runs backwards");
    refused(sub, "INFO,FWD,regs,ident", "INFO,FWD,regs,idnet", "unknown profile");
    refused(
        "policy-scsi.csv",
        "WRITE(10),MOD,DENY,WP",
        "WRITE(10),MOD,DENI,WP",
        "unknown decision",
    );
    refused("policy-scsi.csv", "code,name", "code,title", "columns");
}

/// HWB-AM-01: no table lets a modifying command through.
#[test]
fn a_modifying_command_that_is_not_refused_is_refused() {
    for word in ["FWD", "SYN", "LOC"] {
        let to = format!("WRITE(10),MOD,{word},WP");
        refused("policy-scsi.csv", "WRITE(10),MOD,DENY,WP", &to, "modifying");
    }
    refused("policy-sdmmc.csv", "same,MOD,NEVER", "same,MOD,EMIT", "modifying");
}

/// 1.3: nothing after "everything left over", and the rows of a code together.
#[test]
fn rows_out_of_place_are_refused() {
    let row = "scsi,0x9f,sa=0x11,WRITE LONG(16),MOD,DENY,WP,core,,3.5\n";
    refused("policy-sub.csv", "scsi,0xa2,proto", &format!("{row}scsi,0xa2,proto"), "after `*`");
    refused("policy-sub.csv", "scsi,0xa3,*", &format!("{row}scsi,0xa3,*"), "stand apart");
}
