//! A second reading of the published policy, straight from the CSV text: nothing of the crate's tables or classifier is used.
//!
//! Field positions are written down again from the standards, as (byte, shift, mask). What the crate refuses beyond the tables (a wrong command
//! length, a page the drive does not have) is written down again as well.
#![allow(dead_code, clippy::cast_possible_truncation)]

use std::collections::BTreeMap;

pub const FILES: [&str; 5] = [
    include_str!("../../tables/policy-scsi.csv"),
    include_str!("../../tables/policy-ata.csv"),
    include_str!("../../tables/policy-sdmmc.csv"),
    include_str!("../../tables/policy-acmd.csv"),
    include_str!("../../tables/policy-sub.csv"),
];

#[derive(Clone, Debug)]
pub struct Main {
    pub class: String,
    pub decision: String,
    pub response: String,
}

#[derive(Clone, Debug)]
pub struct Sub {
    pub layer: String,
    pub code: u8,
    pub selector: String,
    pub class: String,
    pub decision: String,
    pub response: String,
    pub profile: String,
    pub guard: String,
}

/// The session as the oracle sees it.
#[derive(Clone, Copy, Debug)]
pub struct Session {
    pub ident: bool,
    pub smart: bool,
    pub card: bool,
    pub rmb: bool,
    pub pdt: u8,
    pub identify: bool,
    /// hpa, lba48, gpl, smart, amax, dco.
    pub announced: [bool; 6],
    pub listed: bool,
    pub cap: u64,
    pub needs_start: bool,
    /// Pages of each log.
    pub pages: [u16; 256],
}

/// What should become of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub class: String,
    /// FWD, SYN, LOC, or the response of a refusal.
    pub outcome: String,
}

pub struct Oracle {
    pub scsi: Vec<Main>,
    pub ata: Vec<Main>,
    pub sub: Vec<Sub>,
}

fn number(text: &str) -> u64 {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).unwrap(),
        None => text.parse().unwrap(),
    }
}

fn rows(text: &str) -> Vec<BTreeMap<String, String>> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    reader.deserialize().map(|row| row.unwrap()).collect()
}

fn main_rows(text: &str) -> Vec<Main> {
    rows(text)
        .into_iter()
        .map(|row| Main {
            class: row["class"].clone(),
            decision: row["decision"].clone(),
            response: row["response"].clone(),
        })
        .collect()
}

impl Oracle {
    pub fn read() -> Self {
        let sub = rows(FILES[4]).into_iter().map(|row| Sub {
            layer: row["layer"].clone(),
            code: number(&row["code"]) as u8,
            selector: row["selector"].clone(),
            class: row["class"].clone(),
            decision: row["decision"].clone(),
            response: row["response"].clone(),
            profile: row["profile"].clone(),
            guard: row["guard"].clone(),
        });
        Self { scsi: main_rows(FILES[0]), ata: main_rows(FILES[1]), sub: sub.collect() }
    }

    fn sub_rows<'a>(&'a self, layer: &'a str, code: u8) -> impl Iterator<Item = &'a Sub> {
        self.sub.iter().filter(move |row| row.layer == layer && row.code == code)
    }

    /// `transfer` is what the wrapper announces, `None` for exactly what fits.
    pub fn scsi(&self, s: &Session, cdb: &[u8], transfer: Option<(bool, u32)>) -> Verdict {
        let op = cdb[0];
        let main = &self.scsi[usize::from(op)];
        if main.decision == "DENY" {
            return verdict(&main.class, &main.response);
        }
        let rows: Vec<&Sub> = self.sub_rows("scsi", op).collect();
        let allowing = rows.iter().any(|row| allows(&row.decision));
        let chosen = rows
            .iter()
            .find(|row| active(s, row) && selects(&row.selector, &|f| scsi_fact(s, cdb, f)));
        let class = chosen.map_or(&main.class, |row| &row.class);
        let denied = self.denied_ata(s, cdb);
        if allowing && !rows.iter().any(|row| allows(&row.decision) && active(s, row)) {
            return verdict(denied.as_ref().map_or(class, |denied| &denied.class), "OP");
        }
        if (rows.is_empty() || allowing) && cdb.len() != right_length(op) {
            return verdict(class, "FLD");
        }
        if let Some(denied) = denied {
            return denied;
        }
        let Some(row) = chosen else {
            return verdict(class, &self.after_tables(s, cdb, &main.decision));
        };
        if row.decision == "ATA" {
            return self.pass_through(s, cdb, row, transfer);
        }
        if !allows(&row.decision) {
            return verdict(class, &row.response);
        }
        match first_failing(&row.guard, &|f| scsi_fact(s, cdb, f)) {
            Some(response) => verdict(class, response),
            None => verdict(class, &self.after_tables(s, cdb, &row.decision)),
        }
    }

    /// What the standards refuse where the tables do not look.
    fn after_tables(&self, s: &Session, cdb: &[u8], decision: &str) -> String {
        let refused = match cdb[0] {
            0x1A | 0x5A => cdb[3] != 0 && cdb[3] != 0xFF,
            0xA0 => !matches!(cdb[2], 0..=2 | 0x10..=0x12),
            0xA3 if cdb[1] & 0x1F == 0x0C => {
                let shared = has_service_actions(cdb[3]);
                match cdb[2] & 7 {
                    0 | 3 => false,
                    1 => shared,
                    2 => !shared,
                    _ => true,
                }
            }
            _ => false,
        };
        let beyond = cdb[0] == 0x95 && u64::from_be_bytes(cdb[2..10].try_into().unwrap()) >= s.cap;
        match (refused, beyond) {
            (true, _) => "FLD".into(),
            (_, true) => "LBA".into(),
            _ => decision.into(),
        }
    }

    fn pass_through(
        &self,
        s: &Session,
        cdb: &[u8],
        row: &Sub,
        transfer: Option<(bool, u32)>,
    ) -> Verdict {
        let request = Ata::of(cdb);
        let fact = |f: &str| scsi_fact(s, cdb, f);
        let (own, tuple): (Vec<&str>, Vec<&str>) =
            row.guard.split(';').partition(|term| !term.contains("=tuple"));
        let class = self.ata_class(s, &request);
        if let Some(response) = first_failing(&own.join(";"), &fact) {
            return verdict(&row.class, response);
        }
        let inner = self.ata(s, &request);
        if !allows(&inner.outcome) {
            return inner;
        }
        for term in tuple {
            let (field, rest) = term.split_once('=').unwrap();
            let response = rest.split_once(':').unwrap().1;
            if !request.is_canonical(field, transfer) {
                return verdict(&class, response);
            }
        }
        inner
    }

    /// A pass-through with an ATA command of a DENY row. Protocols 0 and 1 are resets and 15 asks for registers: no command.
    fn denied_ata(&self, s: &Session, cdb: &[u8]) -> Option<Verdict> {
        if !matches!(cdb[0], 0x85 | 0xA1) {
            return None;
        }
        let request = Ata::of(cdb);
        if [0, 1, 15].contains(&(request.flags[0] >> 1 & 0xF)) {
            return None;
        }
        let main = &self.ata[usize::from(request.command)];
        let rows: Vec<&Sub> = self.sub_rows("ata", request.command).collect();
        let fact = |f: &str| ata_fact(s, &request, f);
        let chosen = rows.iter().find(|row| active(s, row) && selects(&row.selector, &fact));
        let allowing = || rows.iter().filter(|row| allows(&row.decision));
        let offered = allowing().count() == 0 || allowing().any(|row| active(s, row));
        match chosen {
            _ if main.decision == "DENY" => Some(verdict(&main.class, &main.response)),
            _ if !offered => Some(verdict(chosen.map_or(&main.class, |row| &row.class), "FLD")),
            Some(row) if row.decision == "DENY" => Some(verdict(&row.class, &row.response)),
            _ => None,
        }
    }

    fn ata_class(&self, s: &Session, request: &Ata) -> String {
        self.ata(s, request).class
    }

    pub fn ata(&self, s: &Session, request: &Ata) -> Verdict {
        let main = &self.ata[usize::from(request.command)];
        if main.decision == "DENY" {
            return verdict(&main.class, &main.response);
        }
        let rows: Vec<&Sub> = self.sub_rows("ata", request.command).collect();
        let fact = |f: &str| ata_fact(s, request, f);
        let chosen = rows.iter().find(|row| active(s, row) && selects(&row.selector, &fact));
        let class = chosen.map_or(&main.class, |row| &row.class);
        let allowing = rows.iter().any(|row| allows(&row.decision));
        if allowing && !rows.iter().any(|row| allows(&row.decision) && active(s, row)) {
            return verdict(class, "FLD");
        }
        match chosen {
            None => verdict(class, &main.decision),
            Some(row) if !allows(&row.decision) => verdict(class, &row.response),
            Some(row) => {
                let response = first_failing(&row.guard, &fact);
                verdict(class, response.unwrap_or(&row.decision))
            }
        }
    }
}

fn verdict(class: &str, outcome: &str) -> Verdict {
    Verdict { class: class.into(), outcome: outcome.into() }
}

fn allows(decision: &str) -> bool {
    ["FWD", "SYN", "LOC", "ATA"].contains(&decision)
}

fn active(s: &Session, row: &Sub) -> bool {
    match row.profile.as_str() {
        "core" => true,
        "ident" => s.ident && (!s.card || row.code == 0xA3),
        "smart" => s.smart && !s.card,
        other => panic!("profile {other}"),
    }
}

/// A term's left side to its value, as text for the terms that are no numbers.
enum Fact {
    Number(u64),
    Word(&'static str),
    Yes(bool),
    Absent,
}

fn selects(selector: &str, fact: &dyn Fn(&str) -> Fact) -> bool {
    selector == "*" || selector.split(' ').all(|term| holds(term, fact))
}

fn first_failing<'a>(guard: &'a str, fact: &dyn Fn(&str) -> Fact) -> Option<&'a str> {
    guard.split(';').filter(|term| !term.is_empty()).find_map(|term| {
        let (condition, response) = term.rsplit_once(':').unwrap();
        (!holds(condition, fact)).then_some(response)
    })
}

fn holds(term: &str, fact: &dyn Fn(&str) -> Fact) -> bool {
    if let Fact::Yes(yes) = fact(term) {
        return yes;
    }
    let (field, values) = term
        .split_once("<=")
        .map_or_else(|| term.split_once('=').unwrap(), |(field, limit)| (field, limit));
    let at_most = term.contains("<=");
    match fact(field) {
        Fact::Number(value) if at_most => value <= number(values),
        Fact::Number(value) => values.split('|').any(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            (number(first)..=number(last)).contains(&value)
        }),
        Fact::Word(word) => word == values,
        Fact::Yes(yes) => yes,
        Fact::Absent => panic!("no field for `{term}`"),
    }
}

pub fn right_length(op: u8) -> usize {
    match op >> 5 {
        0 => 6,
        1 | 2 => 10,
        4 => 16,
        5 => 12,
        _ => panic!("no length for {op:02X}"),
    }
}

pub fn has_service_actions(op: u8) -> bool {
    [
        0x48, 0x5E, 0x5F, 0x83, 0x84, 0x86, 0x87, 0x94, 0x95, 0x9D, 0x9E, 0x9F, 0xA3, 0xA4, 0xA9,
        0xAB, 0xBA, 0xBB, 0xBC, 0xBD, 0xBE, 0xBF,
    ]
    .contains(&op)
}

fn be(cdb: &[u8], from: usize, count: usize) -> u64 {
    (from..from + count)
        .fold(0, |value, i| value << 8 | u64::from(cdb.get(i).copied().unwrap_or(0)))
}

fn range(cdb: &[u8]) -> (u64, u64) {
    match cdb[0] {
        0x08 => (be(cdb, 1, 3) & 0x1F_FFFF, if be(cdb, 4, 1) == 0 { 256 } else { be(cdb, 4, 1) }),
        0x28 => (be(cdb, 2, 4), be(cdb, 7, 2)),
        0xA8 => (be(cdb, 2, 4), be(cdb, 6, 4)),
        0x88 => (be(cdb, 2, 8), be(cdb, 10, 4)),
        _ => panic!("no READ"),
    }
}

fn session_fact(s: &Session, name: &str) -> Option<Fact> {
    Some(match name {
        "rmb" => Fact::Number(u64::from(s.rmb)),
        "pdt" => Fact::Number(u64::from(s.pdt)),
        "identify=valid" => Fact::Yes(s.identify),
        "bridge=listed" => Fact::Yes(s.listed),
        "last_sense=02/04/02" => Fact::Yes(s.needs_start),
        _ => {
            let feature = name.strip_prefix("announced=")?;
            let names = ["hpa", "lba48", "gpl", "smart", "amax", "dco"];
            let place = names.iter().position(|own| *own == feature).unwrap();
            Fact::Yes(s.identify && s.announced[place])
        }
    })
}

fn scsi_fact(s: &Session, cdb: &[u8], name: &str) -> Fact {
    if let Some(fact) = session_fact(s, name) {
        return fact;
    }
    let bits = |byte: usize, shift: u32, mask: u64| Fact::Number(be(cdb, byte, 1) >> shift & mask);
    match (name, cdb[0]) {
        ("sa", _) => bits(1, 0, 0x1F),
        ("evpd", 0x12) => bits(1, 0, 1),
        ("page", 0x12) => bits(2, 0, 0xFF),
        ("page", _) => bits(2, 0, 0x3F),
        ("pc", _) => bits(2, 6, 3),
        ("subpage", _) => bits(3, 0, 0xFF),
        ("sp", _) => bits(1, 0, 1),
        ("ppc", _) => bits(1, 1, 1),
        ("rdprotect", _) => bits(1, 5, 7),
        ("control", op) => bits(right_length(op) - 1, 0, 0xFF),
        ("len", _) => Fact::Number(range(cdb).1),
        ("lba<cap", _) => Fact::Yes(range(cdb).0 < s.cap),
        ("len<=cap-lba", _) => {
            let (lba, len) = range(cdb);
            Fact::Yes(u128::from(lba) + u128::from(len) <= u128::from(s.cap))
        }
        ("start", _) => bits(4, 0, 1),
        ("loej", _) => bits(4, 1, 1),
        ("pcond", _) => bits(4, 4, 0xF),
        ("options", _) => bits(14, 0, 0x3F),
        ("proto", _) => bits(1, 0, 0xFF),
        ("spsp", _) => Fact::Number(be(cdb, 2, 2)),
        ("alloc", 0xA2) => {
            let unit = if be(cdb, 4, 1) & 0x80 == 0 { 1 } else { 512 };
            Fact::Number(be(cdb, 6, 4) * unit)
        }
        ("protocol", _) => bits(1, 1, 0xF),
        ("multiple_count", _) => bits(1, 5, 7),
        ("off_line", _) => bits(2, 6, 3),
        _ => Fact::Absent,
    }
}

/// An ATA request, bytes of LBA with the lowest first.
#[derive(Clone, Debug)]
pub struct Ata {
    pub long: bool,
    pub flags: [u8; 2],
    pub features: [u8; 2],
    pub count: [u8; 2],
    pub lba: [u8; 6],
    pub command: u8,
}

impl Ata {
    pub fn of(cdb: &[u8]) -> Self {
        let b = |i: usize| cdb.get(i).copied().unwrap_or(0);
        if cdb[0] == 0x85 {
            Self {
                long: true,
                flags: [b(1), b(2)],
                features: [b(4), b(3)],
                count: [b(6), b(5)],
                lba: [b(8), b(10), b(12), b(7), b(9), b(11)],
                command: b(14),
            }
        } else {
            Self {
                long: false,
                flags: [b(1), b(2)],
                features: [b(3), 0],
                count: [b(4), 0],
                lba: [b(5), b(6), b(7), 0, 0, 0],
                command: b(9),
            }
        }
    }

    fn feature(&self) -> u16 {
        let narrow = [0x5B, 0x5C, 0x5D, 0x5E, 0x5F, 0x92, 0x93, 0xB0, 0xB1, 0xB6, 0xEF, 0xF9]
            .contains(&self.command);
        u16::from_le_bytes([self.features[0], if narrow { 0 } else { self.features[1] }])
    }

    fn blocks(&self) -> u16 {
        match self.command {
            0x2F | 0x47 | 0x4A => u16::from_le_bytes(self.count),
            0x5C | 0x5D => u16::from_le_bytes([self.count[0], self.lba[0]]),
            _ => u16::from(self.count[0]),
        }
    }

    /// Protocol, EXTEND, blocks (`None`: as asked) of the canonical command.
    fn canonical(&self) -> (u8, bool, Option<u16>) {
        match self.command {
            0x27 | 0x78 | 0xEA => (3, true, Some(0)),
            0xF8 | 0xE5 | 0xE7 => (3, false, Some(0)),
            0xB0 if self.feature() == 0xDA => (3, false, Some(0)),
            0xB0 | 0xB1 | 0xEC => (4, false, Some(1)),
            0xEE => (6, false, Some(1)),
            0x2F => (4, true, None),
            0x47 | 0x4A => (6, true, None),
            0x5C => (4, false, None),
            0x5D => (6, false, None),
            other => panic!("no canonical command {other:02X}"),
        }
    }

    fn is_canonical(&self, field: &str, transfer: Option<(bool, u32)>) -> bool {
        let (protocol, extend, blocks) = self.canonical();
        let data = blocks != Some(0);
        let [first, second] = self.flags;
        match field {
            "protocol" => first >> 1 & 0xF == protocol,
            "extend" => (first & 1 == 1) == extend && (self.long || !extend),
            // SAT-3 12.2.2.2: without data these three are ignored.
            "t_dir" => second & 8 != 0 || !data,
            "t_length" => second & 3 == if data { 2 } else { 0 },
            "byt_blok" => second & 4 != 0 || !data,
            "t_type" => second & 0x10 == 0 || !data,
            "count" => blocks.is_none_or(|blocks| blocks == self.blocks()),
            "hob" => {
                let zone = self.command == 0x4A;
                let log = matches!(self.command, 0x2F | 0x47);
                (zone || (self.features[1] == 0 && self.lba[3] == 0 && self.lba[5] == 0))
                    && self.count[1] == 0
                    && (zone || log || self.lba[4] == 0)
            }
            "cbw_dir" => transfer.is_none_or(|(to_host, _)| !data || to_host),
            "cbw_len" => transfer.is_none_or(|(_, bytes)| {
                bytes == if data { u32::from(self.blocks()) * 512 } else { 0 }
            }),
            other => panic!("tuple field {other}"),
        }
    }
}

fn ata_fact(s: &Session, r: &Ata, name: &str) -> Fact {
    if let Some(fact) = session_fact(s, name) {
        return fact;
    }
    let page = u16::from_le_bytes([r.lba[1], r.lba[4]]);
    Fact::Number(match name {
        "log" => r.lba[0].into(),
        "feat" => r.feature().into(),
        "count" => r.blocks().into(),
        "action" => (r.features[0] & 0x1F).into(),
        "options" => (r.features[1] & 0x3F).into(),
        "proto" => r.features[0].into(),
        "spsp" | "lba_mid_high" => u16::from_le_bytes([r.lba[1], r.lba[2]]).into(),
        "page<pages(log)" => return Fact::Yes(page < s.pages[usize::from(r.lba[0])]),
        "lba<cap" => {
            let [a, b, c, d, e, f] = r.lba;
            return Fact::Yes(u64::from_le_bytes([a, b, c, d, e, f, 0, 0]) < s.cap);
        }
        _ => return Fact::Absent,
    })
}
