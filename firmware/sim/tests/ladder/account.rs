//! Judging a run of the guest line by line, and telling a reader what happened.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};
use wb_attest::statement::Answers;
use wb_sim::guest::{Line, Run};

use crate::{
    judge::{self, Expect, Kind},
    programs::{self, Exit},
    reach::Reached,
};

/// What a run must show.
pub struct Expected<'a> {
    /// What is on the drive side.
    pub kind: Kind,
    /// The phases of the attack.
    pub phases: &'a [&'a str],
    /// The medium.
    pub image: &'a [u8],
    /// INQUIRY vendor, product and revision of the drive.
    pub names: [&'a str; 3],
    /// Serial number, where the drive has one.
    pub serial: Option<&'a str>,
    /// Blocks that cannot be read, 512 bytes each.
    pub bad: &'a [Bad],
    /// MiB that `dd` reads, past the cache.
    pub read_mib: u64,
    /// MiB that it reads through the cache.
    pub buffered_mib: u64,
    /// MiB that each of READ(6), (10), (12), (16) reads.
    pub sg_mib: u64,
}

/// A block that cannot be read.
#[derive(Clone, Copy, Debug)]
pub struct Bad {
    /// Its number.
    pub lba: u64,
    /// What the drive says.
    pub sense: &'static str,
    /// The failing block's number stands in a medium error, so that `sg_dd` goes on behind it.
    pub goes_on: bool,
}

/// Blocks on either side of a bad one.
pub const SPAN: u64 = 8;
const BLOCK: u64 = 512;

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn blocks(image: &[u8], from: u64, count: u64) -> &[u8] {
    &image[(from * BLOCK) as usize..((from + count) * BLOCK) as usize]
}

/// Faults found, so that one run shows all of them.
#[derive(Debug, Default)]
pub struct Findings(Vec<String>);

impl Findings {
    /// Notes what is not as it has to be.
    pub fn check(&mut self, is_right: bool, text: impl FnOnce() -> String) {
        if !is_right {
            self.0.push(text());
        }
    }

    fn equal<T: PartialEq + std::fmt::Debug>(&mut self, what: &str, is: T, wanted: T) {
        self.check(is == wanted, || format!("{what}: {is:?}, not {wanted:?}"));
    }

    /// Panics with all of them.
    pub fn settle(self) {
        assert!(self.0.is_empty(), "\n{}", self.0.join("\n"));
    }
}

/// The scripts of the guest.
const SCRIPTS: [&str; 3] = ["identity", "read", "attack"];

/// Everything that was to run did, to its end.
pub fn whole(run: &Run, expected: &Expected<'_>, findings: &mut Findings) {
    for script in SCRIPTS {
        let is_it = |line: &&Line| line.text.split(' ').nth(1) == Some(&format!("script={script}"));
        findings.equal(script, run.all("BEGIN").filter(is_it).count(), 1);
        let ends: Vec<_> = run.all("END").filter(is_it).map(|line| line.field("exit")).collect();
        findings.equal(script, ends, vec!["0"]);
    }
    let begun: Vec<_> = run.all("PHASE").filter_map(|line| line.text.split(' ').nth(1)).collect();
    findings.equal("phases", begun.as_slice(), expected.phases);
    for line in &run.lines {
        // A script or a driver that is not there, a disk that went away, a part that was left out.
        let is_note = line.is("NOTE")
            && !line.text.starts_with("NOTE system_mount")
            && !line.text.starts_with("NOTE forced_mount");
        findings.check(!is_note && line.field("status") != "skipped", || line.text.clone());
        // Not found, or cannot be run: what was tried was nothing.
        let is_missing = line.is("CHECK") && matches!(line.field("exit"), "126" | "127");
        findings.check(!is_missing, || format!("not in the guest: {}", line.text));
    }
}

/// The disk that Linux sees is write-protected and is the drive.
pub fn identity(run: &Run, expected: &Expected<'_>, findings: &mut Findings) {
    let [vendor, product, revision] = expected.names;
    let sectors = expected.image.len() as u64 / BLOCK;
    let protected: Vec<_> = run.all("DISK").map(|disk| disk.field("ro")).collect();
    // Bound anew with the quirk, the driver has to take the disk for one that can be written, or phase `forced` says nothing.
    let is_forced = expected.phases.contains(&"forced");
    findings.equal("ro", protected, if is_forced { vec!["1", "0"] } else { vec!["1"] });
    for disk in run.all("DISK") {
        findings.equal("vendor", disk.field("vendor").trim(), vendor);
        findings.equal("model", disk.field("model").trim(), product);
        findings.equal("revision", disk.field("rev").trim(), revision);
        findings.equal("sectors", disk.number("sectors"), Some(sectors));
        findings.equal("block", disk.number("block"), Some(BLOCK));
    }
    let inquiry = run.text("sg_inq");
    for text in [vendor, product, revision].into_iter().chain(expected.serial) {
        findings.check(inquiry.contains(text), || format!("sg_inq does not show `{text}`"));
    }
    if let Some(serial) = expected.serial {
        let vpd = run.text("sg_vpd_all");
        findings.check(vpd.contains(serial), || format!("sg_vpd does not show `{serial}`"));
    }
    for (name, text) in [
        ("sg_readcap_10", format!("Number of logical blocks={sectors}")),
        ("sg_readcap_16", format!("Number of logical blocks={sectors}")),
        ("sg_modes_6", "WP=1".into()),
        ("sg_modes_10", "WP=1".into()),
    ] {
        findings.check(run.text(name).contains(&text), || format!("{name} does not show `{text}`"));
    }
    findings.equal("ro", run.sysfs("ro"), Some("1"));
    for attribute in ["queue/discard_max_bytes", "queue/write_zeroes_max_bytes"] {
        findings.equal(attribute, run.sysfs(attribute), Some("0"));
    }
    findings.equal("provisioning", run.sysfs("scsi_disk/provisioning_mode"), Some("full"));
    let says = run.all("DMESG").any(|line| line.text.contains("Write Protect is on"));
    findings.check(says, || "the kernel did not say `Write Protect is on`".into());
    // Device-specific parameter, byte 2 of the 6-byte form and byte 3 of the 10-byte form (SPC-4 7.5.5).
    for (name, byte) in [("mode_sense_6", 2), ("mode_sense_6_dbd", 2), ("mode_sense_10", 3)] {
        let hex = run.named("CHECK", name).map_or("", |line| line.field("hex"));
        let parameter = hex.get(byte * 2..byte * 2 + 2);
        findings.equal(name, parameter, Some("80"));
    }
    let capacity = format!("{:08x}{BLOCK:08x}", sectors - 1);
    let shown = run.named("CHECK", "read_capacity_10").map_or("", |line| line.field("hex"));
    findings.equal("READ CAPACITY(10)", shown, capacity.as_str());
}

/// What was read is what lies on the medium.
pub fn reads(run: &Run, expected: &Expected<'_>, findings: &mut Findings) {
    let image = expected.image;
    let sectors = image.len() as u64 / BLOCK;
    let dd = sha256(blocks(image, 0, expected.read_mib << 11));
    let buffered = sha256(blocks(image, 0, expected.buffered_mib << 11));
    let sg = sha256(blocks(image, 0, expected.sg_mib << 11));
    let first = sha256(blocks(image, 0, 1));
    let last = sha256(blocks(image, sectors - 1, 1));
    let nothing = sha256(&[]);
    let many = sha256(blocks(image, 0, 256));
    for (name, bytes, digest) in [
        ("dd_direct", expected.read_mib << 20, &dd),
        ("dd_buffered", expected.buffered_mib << 20, &buffered),
        ("read_6", expected.sg_mib << 20, &sg),
        ("read_10", expected.sg_mib << 20, &sg),
        ("read_12", expected.sg_mib << 20, &sg),
        ("read_16", expected.sg_mib << 20, &sg),
        ("read_6_first", BLOCK, &first),
        ("read_6_256", 256 * BLOCK, &many),
        ("read_10_first", BLOCK, &first),
        ("read_12_first", BLOCK, &first),
        ("read_16_first", BLOCK, &first),
        ("read_16_last", BLOCK, &last),
        ("read_16_beyond", 0, &nothing),
        ("read_10_none", 0, &nothing),
    ] {
        let Some(line) = run.named("READ", name) else {
            findings.check(false, || format!("READ {name} is missing"));
            continue;
        };
        findings.equal(name, line.number("bytes"), Some(bytes));
        findings.equal(name, line.field("sha256"), digest);
        findings.check(name == "read_16_beyond" || line.field("exit") == "0", || line.text.clone());
    }
    for bad in expected.bad {
        sweep(run, expected, bad, findings);
    }
}

/// One unreadable block: found alone, named by a READ over its neighbours, and nothing else is lost.
fn sweep(run: &Run, expected: &Expected<'_>, bad: &Bad, findings: &mut Findings) {
    let image = expected.image;
    let (lba, from) = (bad.lba, bad.lba - SPAN);
    let before = blocks(image, from, SPAN);
    let after = blocks(image, lba + 1, SPAN);
    let good = sha256(&[before, after].concat());
    let of = |word: &'static str, field: &'static str, value: u64| {
        run.all(word).filter(move |line| line.number(field) == Some(value))
    };
    for by in ["sg", "dd"] {
        let Some(line) = of("SWEPT", "from", from).find(|line| line.field("by") == by) else {
            findings.check(false, || format!("SWEPT {lba} by {by} is missing"));
            continue;
        };
        findings.equal("SWEPT", line.field("failed"), lba.to_string().as_str());
        findings.equal("SWEPT", line.number("read"), Some(2 * SPAN));
        findings.equal("SWEPT", line.field("sha256"), &good);
    }
    let alone = of("SWEEP", "lba", lba).find(|line| line.field("by") == "sg");
    let several = of("MULTI", "lba", from).next();
    for line in [alone, several] {
        let Some(line) = line else {
            findings.check(false, || format!("SWEEP or MULTI {lba} is missing"));
            continue;
        };
        findings.equal(&line.text, line.field("sense"), bad.sense);
        findings.equal(&line.text, line.field("info"), format!("{lba:08x}").as_str());
        findings.check(line.field("fru") != "57", || format!("as a refusal: {}", line.text));
    }
    if bad.goes_on {
        let whole = sha256(&[before, &[0; BLOCK as usize], after].concat());
        let line = of("COE", "lba", from).next();
        findings.equal("COE", line.map(|line| line.field("sha256")), Some(whole.as_str()));
    }
}

/// How the attack ended.
#[derive(Debug, Default)]
pub struct Attack {
    /// Commands through the sg node by how they ended.
    pub raw: BTreeMap<&'static str, u64>,
    /// Programs by how they ended.
    pub programs: BTreeMap<String, u64>,
    /// Attempts to change the disk.
    pub attempts: u64,
}

/// Every command ended as the judge says, every program as it must, and the guest found nothing changed.
pub fn attack(run: &Run, expected: &Expected<'_>, findings: &mut Findings) -> Attack {
    let mut attack = Attack::default();
    let mut is_attack = false;
    for line in &run.lines {
        if line.is("BEGIN") || line.is("END") {
            is_attack = line.text.starts_with("BEGIN script=attack");
        }
        if !line.is("CHECK") {
            continue;
        }
        let name = line.field("name");
        if is_attack && !judge::is_harmless(name) {
            attack.attempts += 1;
        }
        if line.field("kind") == "raw" {
            let outcome = raw(line, expected.kind, findings);
            if is_attack {
                *attack.raw.entry(outcome).or_default() += 1;
            }
        } else {
            program(line, expected, findings);
            if is_attack {
                *attack.programs.entry(line.field("status").to_owned()).or_default() += 1;
            }
        }
    }
    for name in judge::expected_names() {
        findings.check(run.named("CHECK", name).is_some(), || format!("{name} was not tried"));
    }
    let verdict = run.all("UNCHANGED").next();
    findings.check(verdict.is_some(), || "the guest does not say UNCHANGED".into());
    let mib = verdict.and_then(|line| line.number("mib")).unwrap_or(0);
    let digest = sha256(blocks(expected.image, 0, mib << 11));
    findings.equal("after the attack", verdict.map(|line| line.field("after")), Some(&digest));
    attack
}

/// One command through the sg node; how it ended, in words.
fn raw(line: &Line, kind: Kind, findings: &mut Findings) -> &'static str {
    let name = line.field("name");
    let Some(expect) = judge::expect(name, kind) else {
        findings.check(false, || format!("unknown command: {}", line.text));
        return "unknown";
    };
    let refused = |sense: &'static str, sks: String| ("check", sense, "57", sks);
    let (status, sense, fru, sks) = match expect {
        Expect::Good => ("good", "-", "-", "-".to_owned()),
        Expect::Wp => refused("7/27/00", "000000".into()),
        Expect::Op => refused("5/20/00", "c00000".into()),
        Expect::Fld(byte) => refused("5/24/00", format!("c000{byte:02x}")),
        Expect::Saving => refused("5/39/00", "000000".into()),
        Expect::Lba => refused("5/21/00", "000000".into()),
        Expect::Registers => ("check", "1/00/1d", line.field("fru"), line.field("sks").to_owned()),
    };
    let is_right = line.field("status") == status
        && line.field("sense") == sense
        && line.field("fru") == fru
        && line.field("sks") == sks;
    findings.check(is_right, || format!("not {expect:?}: {}", line.text));
    match expect {
        Expect::Good => "GOOD, and nothing was done (flush, start and stop, lock, mode sense)",
        Expect::Wp => "DATA PROTECT, WRITE PROTECTED (07/27/00)",
        Expect::Op => "INVALID COMMAND OPERATION CODE (05/20/00)",
        Expect::Fld(_) => "INVALID FIELD IN CDB (05/24/00)",
        Expect::Registers => "answered by the drive: an information command",
        Expect::Saving | Expect::Lba => "another refusal",
    }
}

fn program(line: &Line, expected: &Expected<'_>, findings: &mut Findings) {
    let name = line.field("name");
    let status = line.field("status");
    // Making a file system, write by refused write, may take longer than the guest waits on a busy machine.
    let is_slow = status == "timeout" && name.ends_with("_mkfs");
    findings.check(matches!(status, "ok" | "failed") || is_slow, || line.text.clone());
    let mut all = expected.phases.iter().flat_map(|phase| programs::of(phase));
    match all.find(|(own, ..)| *own == name) {
        Some((_, Exit::Fails, _)) => {
            findings.check(status != "ok", || format!("succeeded: {}", line.text));
        }
        Some((_, Exit::Succeeds, _)) => {
            findings.check(status == "ok", || format!("did not succeed: {}", line.text));
        }
        Some((_, Exit::Any, _)) | None => {}
    }
}

/// What a visitor is shown.
pub fn tell(
    bridge: &str,
    run: &Run,
    (attack, reached): (&Attack, Reached),
    session: Answers,
    changed: usize,
) {
    println!("\n{bridge}");
    println!(
        "  Linux tried {} ways to write; {changed} bytes changed. ({} s)",
        attack.attempts,
        run.took.as_secs()
    );
    println!(
        "  {} commands reached the bridge and were refused, {} programs among their senders.",
        reached.refused, reached.programs
    );
    println!("  {} commands through the sg node:", attack.raw.values().sum::<u64>());
    for (outcome, count) in &attack.raw {
        println!("    {count:4}  {outcome}");
    }
    println!(
        "  {} programs, by what they said of themselves:",
        attack.programs.values().sum::<u64>()
    );
    for (status, count) in &attack.programs {
        println!("    {count:4}  {status}");
    }
    println!(
        "  The signed statement counts {} commands in the session, as many as were carried:",
        session.received
    );
    for (what, count) in [
        ("answered by the drive", session.forwarded),
        ("answered by the bridge", session.synthesised),
        ("refused, WRITE PROTECTED", session.refused_wp),
        ("refused, operation code", session.refused_op),
        ("refused, field", session.refused_fld),
    ] {
        println!("    {count:4}  {what}");
    }
}
