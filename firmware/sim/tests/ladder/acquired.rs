//! `daleel image --bridge` at its work in the guest (`firmware/guest/acquire.sh`): a real kernel between it and a bridge.
//!
//! The order of steps is held against what the link carried: START before the data, the final statement after it, its nonce the digest of
//! the list of blocks; the record against the image and against the statement as it went over the link.

use std::{fs, path::Path};

use serde_json::Value;
use wb_attest::{KEY_COPY_NOTICE, sha256};
use wb_sim::usbredir::Proxy;

use super::{Case, Laboratory, Report, name_of};
use crate::{session, wire};

impl Laboratory {
    /// The guest images the disk behind a bridge.
    pub fn acquire(&self, case: &Case<'_>, proxy: Proxy, link: &Path) {
        let folder = tempfile::tempdir().unwrap();
        let (run, enrolled) = self.attend(case, &proxy, link, folder.path(), "daleel.run=acquire");
        let trace = proxy.stop().unwrap();
        let out = folder.path().join(super::OUT);
        let report = Report { case, run: &run, trace: &trace, out: &out, enrolled: &enrolled };
        report.check_acquired();
    }
}

impl Report<'_> {
    fn check_acquired(&self) {
        for (name, exit) in [("image", 0), ("verify", 0), ("partition", 4)] {
            let line = self.run.named("CHECK", name).unwrap();
            let said = |ending| {
                fs::read_to_string(self.out.join(format!("said/{name}.{ending}"))).unwrap()
            };
            let is = line.number("exit").unwrap();
            assert_eq!(is, exit, "{}\n{}{}", line.text, said("txt"), said("err"));
        }
        let image = self.run.all("IMAGE").next().unwrap();
        assert_eq!(image.field("sha256"), super::hex(&sha256(&[self.case.image.1])));
        let refused = self.run.named("CHECK", "beside_write_10").unwrap();
        assert_eq!((refused.field("status"), refused.field("sense")), ("check", "7/27/00"));

        let sessions = session::sessions(self.trace);
        let [session] = &sessions[..] else { panic!("{} sessions", sessions.len()) };
        let [last] = &session.asked[..] else { panic!("{} statements", session.asked.len()) };
        assert!(last.is_last);
        let groups = fs::read(self.out.join("image/groups.sha256")).unwrap();
        assert_eq!(last.nonce, sha256(&[&groups]), "the end nonce is not of the block list");
        self.check_blocks();
        let statements = self.check_session(session, self.case.read_mib);
        let name = name_of(&statements[0]);
        assert_eq!(self.statement_files(), std::slice::from_ref(&name));
        self.check_openssl(std::slice::from_ref(&name));
        let is_read = |one: &&wire::Command| matches!(one.cdb().first(), Some(0x28 | 0x88));
        let commands = wire::commands(self.trace);
        let data =
            commands.iter().filter(is_read).filter(|one| (session.at..last.at).contains(&one.at));
        assert!(data.count() > 0, "nothing was read in the session");

        let record = fs::read(self.out.join("image/image.json")).unwrap();
        let record: Value = serde_json::from_slice(&record).unwrap();
        let blocker = &record["write_blocker"];
        assert_eq!(blocker["kind"], "bridge");
        assert_eq!(blocker["covered_bytes"], self.case.image.1.len());
        assert_eq!(blocker["differing_blocks"], 0);
        assert_eq!(blocker["notice"], KEY_COPY_NOTICE);
        assert_eq!(blocker["device"]["refused_modifying"], statements[0].refusals.modifying);
        assert!(statements[0].refusals.modifying >= 1);
        assert_eq!(record["blocks"]["groups_sha256"], super::hex(&sha256(&[&groups])));
        assert_eq!(record["statements"][0]["name"], name);
        assert_eq!(record["statements"][0]["sha256"], super::hex(&sha256(&[&last.bytes])));
        assert_eq!(record["source"]["disk"]["usb"]["bridge"], true);
        println!(
            "\n{}, and `daleel image --bridge` in the guest ({} s)\n  {} of {} bytes with a digest of the bridge, equal to the image's; {} commands on the link, 1 write from elsewhere refused",
            self.case.name,
            self.run.took.as_secs(),
            blocker["covered_bytes"],
            self.case.image.1.len(),
            commands.len()
        );
    }

    /// The list of blocks is that of the medium.
    fn check_blocks(&self) {
        let list = fs::read_to_string(self.out.join("image/blocks/000000.sha256")).unwrap();
        let line = |(number, bytes): (usize, &[u8])| {
            format!("{}  block-{number:07}\n", super::hex(&sha256(&[bytes])))
        };
        let expected: String = self.case.image.1.chunks(1 << 20).enumerate().map(line).collect();
        assert_eq!(list, expected);
    }
}
