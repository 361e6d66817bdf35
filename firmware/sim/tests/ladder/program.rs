//! The examiner's own program, `daleel bridge`, at its work in the guest (`firmware/guest/bridge.sh`): a real kernel between it and a bridge.
//!
//! What it stored and what it printed is carried out of the guest and held against what the link carried, against the image, and against
//! programs that share no code with it: the statements are those that the bridge gave, byte for byte; their counters are the commands
//! that the link carried; their refusals those that the guest got; the log the digests of the image; the signatures are OpenSSL's to judge.

#[path = "acquired.rs"]
mod acquired;

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use serde_json::Value;
use wb_attest::{
    KEY_COPY_NOTICE,
    key::{key_id, usb_serial},
    log::Entry,
    sha256,
    statement::{Answers, Kind as Ending},
    verify::{Expected, LogVerdict, Signed, Statement, log_agrees},
};
use wb_policy::tables::POLICY_DIGEST;
use wb_sim::{
    guest::{Guest, Run},
    usbredir::{Proxy, Trace},
};

use crate::{
    judge::Kind,
    session::{self, Asked, Session},
    statement::{Examiner, check_counters, check_log, in_session},
    wire,
};

/// What the guest carried out, in a folder of its own.
const OUT: &str = "out";
/// MiB that the second session reads.
const KEPT_MIB: u64 = 2;
/// Parts of the script that have commands refused, in their order, and how many of each would change the drive.
const PARTS: [&str; 4] = ["first", "second", "beside", "watched"];
const OF_PART: u64 = 3;
/// Commands that the guest's script has refused, by the part of their name behind the first `_`: how, and whether they would change the
/// drive (SPC-4, SBC-3).
const REFUSED: [(&str, &str, bool); 7] = [
    ("write_10", "7/27/00", true),
    ("unmap", "7/27/00", true),
    ("format_unit", "7/27/00", true),
    ("write_16", "7/27/00", true),
    ("write_same_16_ndob", "7/27/00", true),
    ("mode_select_6", "5/20/00", true),
    ("vendor_ff", "5/20/00", false),
];
/// What ran in the guest, and how it has to end; `None`: that depends on what is told.
const PROGRAMS: [(&str, Option<u64>); 12] = [
    ("list", Some(0)),
    ("list_text", Some(0)),
    ("info", None),
    ("start", Some(0)),
    ("checkpoint", Some(0)),
    ("info_open", None),
    ("finish", Some(0)),
    // No session is open any more: input that cannot be used.
    ("finish_again", Some(4)),
    ("run", Some(0)),
    ("watch", None),
    ("verify", None),
    ("verify_text", None),
];

/// What the work needs: the guest, the program, OpenSSL.
pub struct Laboratory {
    guest: Guest,
    program: PathBuf,
}

/// A bridge with what is known of it.
pub struct Case<'a> {
    /// For people.
    pub name: &'a str,
    /// What is on its drive side.
    pub kind: Kind,
    /// The medium, as a file and as bytes.
    pub image: (&'a Path, &'a [u8]),
    /// Its key, known otherwise than through the program.
    pub public_key: [u8; 32],
    /// MiB that the first session reads.
    pub read_mib: u64,
    /// The image that it runs, where that logs.
    pub elf: Option<&'a Path>,
}

impl Laboratory {
    /// Everything, if it is here.
    pub fn find() -> Option<Self> {
        let guest = crate::guest()?;
        // OpenSSL of some versions knows no `--version`.
        for (oracle, word) in [("openssl", "version"), ("tar", "--version")] {
            let found = Command::new(oracle).arg(word).stdout(Stdio::null()).status();
            if !found.is_ok_and(|status| status.success()) {
                crate::skip(&format!("no {oracle}"));
                return None;
            }
        }
        Some(Self { guest, program: built() })
    }

    /// The guest at its work on a bridge; how many command wrappers the bridge says that it sent to its drive, at the end.
    pub fn work(&self, case: &Case<'_>, proxy: Proxy, link: &Path) -> u64 {
        let folder = tempfile::tempdir().unwrap();
        let words = format!(
            "daleel.run=bridge daleel.read_mib={} daleel.kept_mib={KEPT_MIB}",
            case.read_mib
        );
        let (run, enrolled) = self.attend(case, &proxy, link, folder.path(), &words);
        let examiner = Examiner(&proxy);
        examiner.start();
        let (last, _) = examiner.finish();
        let trace = proxy.stop().unwrap();
        let out = folder.path().join(OUT);
        let report = Report { case, run: &run, trace: &trace, out: &out, enrolled: &enrolled };
        report.check(&self.program);
        last.emitted.cbws
    }

    /// The guest at its work, with the program and the bridge's key in it; what it carried out lies in `folder` then. The run, and the key
    /// as a file.
    fn attend(
        &self,
        case: &Case<'_>,
        proxy: &Proxy,
        link: &Path,
        folder: &Path,
        words: &str,
    ) -> (Run, PathBuf) {
        let place = |name: &str| folder.join(name);
        let enrolled = place("enrolled.pem");
        fs::write(&enrolled, pem(&case.public_key)).unwrap();
        let mut files = vec![enrolled.clone()];
        if let Some(elf) = case.elf {
            fs::copy(elf, place("bridge.elf")).unwrap();
            files.push(place("bridge.elf"));
        }
        let programs = [self.program.clone()];
        let guest = self.guest.with(&place("initramfs"), &programs, &files).unwrap();
        let carried = place("carried.tar");
        let serial = ["-serial".to_owned(), format!("file:{}", carried.display())];
        let run = crate::attend(&guest, proxy, link, words, &serial);
        let out = place(OUT);
        fs::create_dir(&out).unwrap();
        let mut unpack = Command::new("tar");
        let unpacked = unpack.arg("-xmf").arg(&carried).arg("-C").arg(&out).status().unwrap();
        assert!(unpacked.success(), "what the guest carried out");
        (run, enrolled)
    }
}

/// What came out of the guest.
struct Report<'a> {
    case: &'a Case<'a>,
    run: &'a Run,
    trace: &'a Trace,
    out: &'a Path,
    /// The bridge's key, as a file.
    enrolled: &'a Path,
}

impl Report<'_> {
    fn check(&self, program: &Path) {
        self.check_run();
        self.check_refused();
        let sessions = session::sessions(self.trace);
        let [first, second, _of_the_harness] = &sessions[..] else {
            panic!("{} sessions", sessions.len())
        };
        assert_eq!(first.start, sha256(&[b"acquire-start"]));
        assert_eq!(second.start, sha256(&[b"second-start"]));
        let nonces = ["acquire-checkpoint", "groups"].map(|word| sha256(&[word.as_bytes()]));
        assert_eq!(first.asked.iter().map(|asked| asked.nonce).collect::<Vec<_>>(), nonces);
        let kinds: Vec<_> = first.asked.iter().map(|asked| asked.is_last).collect();
        assert_eq!(kinds, [false, true]);
        let kinds: Vec<_> = second.asked.iter().map(|asked| asked.is_last).collect();
        assert!(kinds.len() > 1, "no checkpoint by time");
        assert!(kinds.iter().enumerate().all(|(at, is_last)| *is_last == (at + 1 == kinds.len())));
        let first_statements = self.check_session(first, self.case.read_mib);
        let second_statements = self.check_session(second, KEPT_MIB);
        self.check_answers(first, first_statements.last().unwrap(), &["first", "second"]);
        self.check_answers(second, second_statements.last().unwrap(), &["beside"]);
        let count = first_statements.len() + second_statements.len();
        let stored = self.statement_files();
        assert_eq!(stored.len(), count, "{stored:?}");
        self.check_openssl(&stored);
        self.check_words(&first_statements, &second_statements);
        self.check_log_frames();
        self.check_offline(program, &stored);
        self.tell(count, first_statements.last().unwrap());
    }

    fn said(&self, name: &str) -> String {
        fs::read_to_string(self.out.join("said").join(format!("{name}.txt"))).unwrap()
    }

    fn json(&self, name: &str) -> Value {
        let said = self.said(name);
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{name}: {error}\n{said}"))
    }

    fn case_file(&self, name: &str) -> Vec<u8> {
        fs::read(self.out.join("case").join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Names of the statements, without their ending.
    fn statement_files(&self) -> Vec<String> {
        let folder = fs::read_dir(self.out.join("case")).unwrap();
        let names = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> =
            names.filter_map(|name| name.strip_suffix(".cbor").map(str::to_owned)).collect();
        names.sort();
        names
    }

    /// Every step of the script was taken and came to its end, and what was read is what lies on the medium.
    fn check_run(&self) {
        let ends: Vec<_> = self.run.all("END").map(|line| line.text.as_str()).collect();
        assert!(matches!(ends[..], [end] if end.contains("script=bridge exit=0")), "{ends:?}");
        assert_eq!(self.run.all("NOTE").next(), None);
        assert_eq!(self.run.all("CARRIED").count(), 1);
        for (name, exit) in PROGRAMS {
            let Some(line) = self.run.named("CHECK", name) else { panic!("{name} was not run") };
            let is = line.number("exit").unwrap();
            // With findings: something that a person has to look at, which these drives may have.
            assert!(exit.map_or(is <= 1, |exit| is == exit), "{}\n{}", line.text, self.said(name));
        }
        let mib = self.case.read_mib;
        let parts = [("first", 0, mib / 2), ("second", mib / 2, mib), ("beside", 0, 1)];
        for (name, from, to) in parts.into_iter().chain([("beside_more", 1, KEPT_MIB)]) {
            let line = self.run.named("READ", name).unwrap();
            let bytes = &self.case.image.1[(from << 20) as usize..(to << 20) as usize];
            assert_eq!(line.field("exit"), "0", "{}", line.text);
            assert_eq!(line.field("sha256"), hex(&sha256(&[bytes])), "{}", line.text);
        }
    }

    /// The refused commands of a part of the script: block, and how.
    fn refused(&self, part: &str) -> Vec<(Vec<u8>, &str, bool)> {
        let mut commands = Vec::new();
        for line in self.run.all("CHECK").filter(|line| line.field("kind") == "raw") {
            let Some((own, name)) = line.field("name").split_once('_') else { continue };
            if own != part {
                continue;
            }
            let known = REFUSED.iter().find(|(known, ..)| *known == name);
            let (_, sense, is_modifying) = known.unwrap_or_else(|| panic!("{}", line.text));
            let got = (line.field("status"), line.field("sense"), line.field("fru"));
            assert_eq!(got, ("check", *sense, "57"), "{}", line.text);
            commands.push((unhex(line.field("cdb")), *sense, *is_modifying));
        }
        commands
    }

    /// Every command that was to be refused was, on the link and in its order.
    fn check_refused(&self) {
        let commands = wire::commands(self.trace);
        let on_the_link: Vec<_> =
            commands.iter().filter(|one| one.has_failed()).map(|one| one.cdb().to_vec()).collect();
        let mut from = 0;
        for part in PARTS {
            let refused = self.refused(part);
            let modifying = refused.iter().filter(|(.., is_modifying)| *is_modifying).count();
            assert_eq!(modifying as u64, OF_PART, "{part}");
            for (cdb, ..) in refused {
                let at = on_the_link.iter().skip(from).position(|one| *one == cdb);
                from += at.unwrap_or_else(|| panic!("not refused on the link: {cdb:02X?}")) + 1;
            }
        }
    }

    /// The stored statements of a session are those that the bridge gave, and say what the link carried.
    fn check_session(&self, session: &Session, mib: u64) -> Vec<Statement> {
        let mut statements = Vec::new();
        for (number, asked) in session.asked.iter().enumerate() {
            let statement = self.check_statement(session, asked, number);
            let covered = &session.entries[..statement.log.entries as usize];
            let whole = if asked.is_last { mib } else { 0 };
            check_log(&statement, covered, self.case.image.1, whole);
            assert_eq!(log_agrees(&statement, &session.entries), LogVerdict::Agrees);
            statements.push(statement);
        }
        let last = statements.last().unwrap();
        assert_eq!(last.log.entries, session.entries.len() as u64);
        let log = self.case_file(&format!("{}.log", name_of(last)));
        assert_eq!(String::from_utf8(log).unwrap(), log_text(&session.entries));
        statements
    }

    fn check_statement(&self, session: &Session, asked: &Asked, number: usize) -> Statement {
        let signed = Signed::parse(&asked.bytes).unwrap();
        let statement = signed.verify(&self.case.public_key).unwrap().clone();
        let ending = if asked.is_last { String::new() } else { format!(".checkpoint{number:04}") };
        let name = format!("{}{ending}", name_of(&statement));
        assert_eq!(self.case_file(&format!("{name}.cbor")), asked.bytes, "{name}");
        assert_eq!(self.case_file(&format!("{name}.tbs")), signed.tbs(), "{name}");
        assert_eq!(self.case_file(&format!("{name}.sig")), signed.signature(), "{name}");
        let expected = Expected {
            start_nonce: session.start,
            end_nonce: asked.nonce,
            firmware: None,
            policy: Some(POLICY_DIGEST),
        };
        assert_eq!(statement.findings(&expected), [], "{name}");
        let kind = if asked.is_last { Ending::Final } else { Ending::Checkpoint };
        assert_eq!((statement.session.kind, statement.session.checkpoint), (kind, number as u32));
        let commands = wire::commands(self.trace);
        let carried: Vec<_> = commands
            .into_iter()
            .filter(|command| (session.at..asked.at).contains(&command.at))
            .collect();
        if asked.is_exact {
            check_counters(&statement, &carried, self.case.kind);
            let failed = carried.iter().filter(|command| command.has_failed());
            let failed: Vec<_> = failed.map(|command| command.cdb().to_vec()).collect();
            assert_eq!(refused_blocks(&statement), failed, "{name}");
        }
        statement
    }

    /// The figures of a session are those of the commands that the guest sent in it.
    fn check_answers(&self, session: &Session, statement: &Statement, parts: &[&str]) {
        let counters = &statement.counters;
        let counted = in_session(counters.total, counters.total_at_start);
        let refused: Vec<_> = parts.iter().flat_map(|part| self.refused(part)).collect();
        let of = |sense: &str| refused.iter().filter(|(_, own, _)| *own == sense).count() as u64;
        let is = Answers { received: 0, forwarded: 0, synthesised: 0, ..counted };
        let wanted = Answers {
            refused_wp: of("7/27/00"),
            refused_op: of("5/20/00"),
            refused_fld: 0,
            ..Answers::default()
        };
        assert_eq!(is, wanted);
        let blocks: Vec<_> = refused.into_iter().map(|(cdb, ..)| cdb).collect();
        assert_eq!(refused_blocks(statement), blocks);
        assert!(!session.entries.is_empty());
    }

    /// The program's own words about all that.
    fn check_words(&self, first: &[Statement], second: &[Statement]) {
        let id = key_id(&self.case.public_key);
        let serial = usb_serial(&id);
        let serial = str::from_utf8(&serial).unwrap();
        let list = self.json("list");
        let [bridge] = &list["bridges"].as_array().unwrap()[..] else { panic!("{list}") };
        assert_eq!(bridge["port"]["serial"], serial);
        for (field, value) in [("key", true), ("drive", true), ("session", false)] {
            assert_eq!(bridge[field], value, "{field}");
        }
        assert!(self.said("list_text").contains(serial));
        let info = self.json("info");
        let blocks = self.case.image.1.len() as u64 / 512;
        assert_eq!(info["key"]["public_key"], hex(&self.case.public_key));
        assert_eq!(info["drive"]["blocks"], blocks);
        assert_eq!(info["drive"]["block_size"], 512);
        assert_eq!(info["firmware"]["policy_known"], true);
        assert_eq!(info["session"], Value::Null);
        let before = info["drive"]["refused_modifying"].as_u64().unwrap();
        let open = self.json("info_open");
        assert_eq!(open["drive"]["refused_modifying"], before + 2 * OF_PART);
        assert_eq!(open["session"]["open"], true);
        assert_eq!(open["session"]["entries"], self.case.read_mib);
        assert_eq!(self.json("start")["session"], name_of(&first[0]));
        for (said, statement, refused) in
            [("checkpoint", &first[0], OF_PART), ("finish", &first[1], 2 * OF_PART)]
        {
            let told = self.json(said);
            let [stored] = &told["statements"].as_array().unwrap()[..] else { panic!("{told}") };
            assert_eq!(stored["entries"], statement.log.entries, "{said}");
            assert_eq!(stored["root"], hex(&statement.log.root), "{said}");
            assert_eq!(stored["log"], "agrees", "{said}");
            assert_eq!(stored["refused_modifying"], before + refused, "{said}");
            assert_eq!(stored["findings"], Value::Array(Vec::new()), "{said}");
            assert_eq!(told["notice"], KEY_COPY_NOTICE);
        }
        let run = self.said("run");
        let (name, entries) = (name_of(&second[0]), second.last().unwrap().log.entries);
        for line in [
            format!(
                "REFUSED: {} modifying commands since the drive was attached",
                before + 3 * OF_PART
            ),
            format!("checkpoint {name}.checkpoint0000: verified and stored, "),
            format!(
                "final statement {name}: verified and stored, {entries} log entries (their root agrees), {} modifying commands refused",
                before + 3 * OF_PART
            ),
            KEY_COPY_NOTICE.to_owned(),
        ] {
            assert!(run.contains(&line), "`{line}` is not in\n{run}");
        }
        self.check_watch(before);
    }

    fn check_watch(&self, before: u64) {
        let said = self.said("watch");
        let seen: Vec<Value> =
            said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let refused = |one: &Value| one["drive"]["refused_modifying"].as_u64();
        assert_eq!(seen.first().and_then(refused), Some(before + 3 * OF_PART), "{said}");
        assert_eq!(seen.last().and_then(refused), Some(before + 4 * OF_PART), "{said}");
        let told = self.run.named("CHECK", "info_after").unwrap();
        assert!(told.number("exit").unwrap() <= 1, "{}", told.text);
        let line = format!("refused modifying commands since attach: {}", before + 4 * OF_PART);
        assert!(self.said("info_after").contains(&line));
    }

    /// The bridge's log frames, decoded in the guest.
    fn check_log_frames(&self) {
        if self.case.elf.is_none() {
            return;
        }
        let log = self.json("log");
        let frames = log["frames"].as_array().unwrap();
        assert!(!frames.is_empty(), "{log}");
        for frame in frames {
            assert!(frame["text"].as_str().is_some_and(|text| !text.is_empty()), "{frame}");
            assert!(frame["level"].is_string() && frame["file"].is_string(), "{frame}");
        }
    }

    /// OpenSSL takes every signature under the key that the program kept, that key is the bridge's, and no signature fits another statement.
    fn check_openssl(&self, names: &[String]) {
        let folder = self.out.join("case");
        let key = ["pkey", "-pubin", "-in", "key.pem", "-outform", "DER"];
        let der = openssl(&folder, &key, &[]).expect("key.pem");
        assert!(der.ends_with(&self.case.public_key), "key.pem is of another key");
        let verify = |tbs: &str, sig: &str| {
            let (tbs, sig) = (format!("{tbs}.tbs"), format!("{sig}.sig"));
            let arguments = [
                "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", "key.pem", "-in", &tbs,
                "-sigfile", &sig,
            ];
            openssl(&folder, &arguments, &[]).is_some()
        };
        for name in names {
            assert!(verify(name, name), "OpenSSL does not take {name}");
            for other in names.iter().filter(|other| *other != name) {
                assert!(!verify(name, other), "{name} with the signature of {other}");
            }
        }
    }

    /// The program on this computer comes to the same as the one in the guest; and to another end with one bit changed.
    fn check_offline(&self, program: &Path, names: &[String]) {
        let chunks = self.case.image.1.len() as u64 >> 20;
        let exit = i32::from(self.case.read_mib < chunks);
        let folder = self.out.join("case");
        let verify = |image: &Path| {
            let mut command = Command::new(program);
            command.args(["bridge", "verify", "case", "--json", "--key"]).arg(self.enrolled);
            let output = command.arg("--image").arg(image).current_dir(self.out).output().unwrap();
            let told: Value = serde_json::from_slice(&output.stdout).unwrap();
            (output.status.code(), told)
        };
        let (code, told) = verify(self.case.image.0);
        assert_eq!(code, Some(exit), "{told}");
        let in_guest = self.json("verify");
        assert_eq!(told["statements"], in_guest["statements"]);
        assert_eq!(told["coverage"], in_guest["coverage"]);
        for told in [&told, &in_guest] {
            assert_eq!(told["verified"], true, "{told}");
            assert_eq!(told["key_id"], hex(&key_id(&self.case.public_key)));
            assert_eq!(told["statements"].as_array().unwrap().len(), names.len());
            assert_eq!(told["coverage"]["covered"], self.case.read_mib);
            assert_eq!(told["coverage"]["partial"], 0);
            let image = &told["image"];
            assert_eq!(
                (&image["compared"], &image["equal"]),
                (&self.case.read_mib.into(), &self.case.read_mib.into())
            );
        }
        let uncovered = fs::read_to_string(self.out.join("said/uncovered")).unwrap();
        assert_eq!(uncovered.lines().count() as u64, chunks - self.case.read_mib, "{uncovered}");
        let changed = self.out.join("changed.img");
        let mut bytes = self.case.image.1.to_vec();
        bytes[3 << 19] ^= 1;
        fs::write(&changed, bytes).unwrap();
        let (code, told) = verify(&changed);
        assert_eq!((code, &told["image"]["differing"]), (Some(5), &serde_json::json!([1])));
        let file = folder.join(format!("{}.cbor", names[0]));
        let mut bytes = fs::read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&file, bytes).unwrap();
        let (code, told) = verify(self.case.image.0);
        assert_eq!((code, &told["verified"]), (Some(5), &false.into()), "{told}");
    }

    fn tell(&self, statements: usize, last: &Statement) {
        let counters = &last.counters;
        let counted = in_session(counters.total, counters.total_at_start);
        println!(
            "\n{}, and `daleel bridge` in the guest ({} s)",
            self.case.name,
            self.run.took.as_secs()
        );
        println!(
            "  {statements} statements stored, each the bytes that the link carried, each taken by OpenSSL"
        );
        println!(
            "  The first session: {} commands received, {} refused, {} MiB read with digests; as the link carried and the image has.",
            counted.received,
            counted.refused_wp + counted.refused_op + counted.refused_fld,
            last.log.entries
        );
    }
}

/// Name of a session's files.
fn name_of(statement: &Statement) -> String {
    format!("boot{:05}-session{:04}", statement.boot_counter, statement.session.number)
}

/// The refused command blocks of the session, as the statement has them.
fn refused_blocks(statement: &Statement) -> Vec<Vec<u8>> {
    let refusals = &statement.refusals;
    let all = refusals.first.iter().chain(&refusals.last);
    assert_eq!(all.clone().count() as u64, refusals.total, "some have no room");
    let since = statement.session.start_us;
    all.filter(|one| one.uptime_us >= since).map(|one| one.command_block().to_vec()).collect()
}

/// `NAME.log`: number, chunk, length, digest.
fn log_text(entries: &[Entry]) -> String {
    let line = |entry: &Entry| {
        format!("{} {} {} {}\n", entry.seq, entry.chunk, entry.len, hex(&entry.digest))
    };
    entries.iter().map(line).collect()
}

/// The key that belongs to a seed, made by OpenSSL (RFC 8410: the private key is the seed).
pub fn public_key(seed: &[u8; 32]) -> [u8; 32] {
    let mut der = unhex("302e020100300506032b657004220420");
    der.extend(seed);
    let arguments = ["pkey", "-inform", "DER", "-pubout", "-outform", "DER"];
    let public = openssl(Path::new("."), &arguments, &der).expect("openssl pkey");
    *public.last_chunk().unwrap()
}

/// A public key as a file, made by OpenSSL (RFC 8410).
fn pem(public_key: &[u8; 32]) -> Vec<u8> {
    let mut der = unhex("302a300506032b6570032100");
    der.extend(public_key);
    openssl(Path::new("."), &["pkey", "-pubin", "-inform", "DER"], &der).expect("openssl pkey")
}

/// What OpenSSL writes, if it ends well.
fn openssl(folder: &Path, arguments: &[&str], input: &[u8]) -> Option<Vec<u8>> {
    use std::io::Write as _;
    let mut child = Command::new("openssl")
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    output.status.success().then_some(output.stdout)
}

/// The program: that of `DALEEL_PROGRAM`, or built once, beside these tests.
fn built() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let build = || std::env::var_os("DALEEL_PROGRAM").map_or_else(build, PathBuf::from);
    BUILT.get_or_init(build).clone()
}

fn build() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let output = Command::new(cargo)
        .args(["build", "--quiet", "--package", "daleel", "--bin", "daleel"])
        // A debug probe would want libraries that the guest has no use for.
        .args(["--no-default-features", "--message-format", "json-render-diagnostics"])
        .arg("--target-dir")
        .arg(target)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "daleel does not build");
    let messages = String::from_utf8(output.stdout).unwrap();
    let mut executables = messages.lines().filter_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        let is_it = message["target"]["name"] == "daleel";
        message["executable"].as_str().filter(|_| is_it).map(PathBuf::from)
    });
    executables.next_back().expect("cargo named no program")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}
