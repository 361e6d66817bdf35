//! Turns the published policy (`tables/*.csv`) into constant tables, and refuses to build from tables that are incomplete or say something unknown.

use std::{
    collections::BTreeMap,
    env,
    error::Error,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The files in the order in which their digest is published.
const FILES: [&str; 5] =
    ["policy-scsi.csv", "policy-ata.csv", "policy-sdmmc.csv", "policy-acmd.csv", "policy-sub.csv"];

fn main() -> Result<()> {
    let folder = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("tables");
    let mut joined = Sha256::new();
    for file in FILES {
        println!("cargo::rerun-if-changed=tables/{file}");
        joined.update(fs::read(folder.join(file))?);
    }
    println!("cargo::rerun-if-changed=build.rs");
    let mut source = String::new();
    let digest: Vec<String> =
        joined.finalize().iter().map(|byte| format!("0x{byte:02x}")).collect();
    writeln!(
        source,
        "/// SHA-256 of the five files of the published policy, joined in the published order."
    )?;
    writeln!(source, "pub const POLICY_DIGEST: [u8; 32] = [{}];", digest.join(", "))?;
    tables(&folder, &mut source)?;
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("tables.rs"), source)?;
    Ok(())
}

/// The tables in `folder` as Rust source.
pub fn tables(folder: &Path, source: &mut String) -> Result<()> {
    let scsi = Table::read(
        folder,
        "policy-scsi.csv",
        &["code", "name", "class", "decision", "response", "note"],
    )?;
    let ata = Table::read(
        folder,
        "policy-ata.csv",
        &["code", "name", "class", "decision", "response", "note"],
    )?;
    let sd = Table::read(
        folder,
        "policy-sdmmc.csv",
        &["cmd", "sd", "emmc", "class", "decision", "note"],
    )?;
    let acmd =
        Table::read(folder, "policy-acmd.csv", &["acmd", "name", "class", "decision", "note"])?;
    let sub = Table::read(
        folder,
        "policy-sub.csv",
        &[
            "layer", "code", "selector", "name", "class", "decision", "response", "profile",
            "guard", "note",
        ],
    )?;
    host_table(&scsi, "SCSI", "ScsiRow", 256, source)?;
    host_table(&ata, "ATA", "AtaRow", 256, source)?;
    card_table(&sd, "SD", 64, source)?;
    card_table(&acmd, "ACMD", 64, source)?;
    sub_table(&sub, source)?;
    complete(&scsi, &sub, &["scsi"])?;
    complete(&ata, &sub, &["ata"])?;
    complete(&sd, &sub, &["sd", "emmc"])?;
    writeln!(source, "/// The published policy.")?;
    writeln!(
        source,
        "pub static POLICY: Policy<'static> = Policy {{ scsi: &SCSI, ata: &ATA, sd: &SD, acmd: &ACMD, sub: &SUB }};"
    )?;
    names(
        &[
            (&scsi, "name", "scsi"),
            (&ata, "name", "ata"),
            (&sd, "sd", "sd"),
            (&sd, "emmc", "emmc"),
            (&acmd, "name", "acmd"),
            (&sub, "name", "sub"),
        ],
        source,
    )
}

/// A CSV file with the lines its rows stand on.
struct Table {
    file: &'static str,
    head: Vec<String>,
    rows: Vec<(u64, csv::StringRecord)>,
}

impl Table {
    fn read(folder: &Path, file: &'static str, head: &[&str]) -> Result<Self> {
        let mut reader = csv::Reader::from_path(folder.join(file))?;
        let found: Vec<String> = reader.headers()?.iter().map(str::to_owned).collect();
        if found != head {
            return Err(format!("{file}: the columns are {found:?}, not {head:?}").into());
        }
        let mut rows = Vec::new();
        for record in reader.records() {
            let record = record?;
            rows.push((record.position().map_or(0, csv::Position::line), record));
        }
        Ok(Self { file, head: found, rows })
    }

    fn column(&self, name: &str) -> Result<usize> {
        Ok(self.head.iter().position(|own| own == name).ok_or("no such column")?)
    }

    fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows.iter().map(|(line, record)| Row { table: self, line: *line, record })
    }
}

/// One row.
struct Row<'a> {
    table: &'a Table,
    line: u64,
    record: &'a csv::StringRecord,
}

impl Row<'_> {
    fn get(&self, column: &str) -> Result<&str> {
        Ok(self.record.get(self.table.column(column)?).ok_or("a short row")?)
    }

    fn code(&self) -> Result<u8> {
        let name = ["code", "cmd", "acmd"].into_iter().find(|name| self.table.column(name).is_ok());
        let value = number(self.get(name.ok_or("no code column")?)?)
            .map_err(|e| self.fault(&e.to_string()))?;
        u8::try_from(value).map_err(|_| self.fault("a code above 255"))
    }

    fn fault(&self, what: &str) -> Box<dyn Error> {
        format!("{}:{}: {what}", self.table.file, self.line).into()
    }

    /// The Rust path that a word stands for.
    fn word(&self, column: &str, words: &[(&str, &'static str)]) -> Result<&'static str> {
        let word = self.get(column)?;
        let known = words.iter().find(|(own, _)| *own == word);
        known
            .map(|(_, path)| *path)
            .ok_or_else(|| self.fault(&format!("unknown {column} `{word}`")))
    }

    fn class(&self) -> Result<&'static str> {
        self.word("class", &CLASSES)
    }

    fn decision(&self) -> Result<&'static str> {
        let decision = self.word("decision", &DECISIONS)?;
        let lets_through = !matches!(self.get("decision")?, "DENY" | "NEVER" | "SUB");
        if lets_through && self.get("class")? == "MOD" {
            return Err(self.fault("a modifying command that is not refused"));
        }
        Ok(decision)
    }
}

const CLASSES: [(&str, &str); 5] = [
    ("READ", "Class::Read"),
    ("INFO", "Class::Info"),
    ("OTHER", "Class::Other"),
    ("MOD", "Class::Modifying"),
    ("UNK", "Class::Unknown"),
];
const DECISIONS: [(&str, &str); 9] = [
    ("FWD", "Decision::Forward"),
    ("SYN", "Decision::Synthesise"),
    ("LOC", "Decision::Local"),
    ("SUB", "Decision::Sub"),
    ("ATA", "Decision::Ata"),
    ("DENY", "Decision::Deny"),
    ("EMIT", "Decision::Emit"),
    ("GUARD", "Decision::Guard"),
    ("NEVER", "Decision::Never"),
];
const RESPONSES: [(&str, &str); 10] = [
    ("-", "Response::None"),
    ("drive", "Response::Drive"),
    ("regs", "Response::Registers"),
    ("GOOD", "Response::Good"),
    ("WP", "Response::WriteProtected"),
    ("OP", "Response::OpCode"),
    ("FLD", "Response::Field"),
    ("LBA", "Response::OutOfRange"),
    ("SPNS", "Response::SavingNotSupported"),
    ("NEVER", "Response::Never"),
];
const PROFILES: [(&str, &str); 3] =
    [("core", "Profile::Core"), ("ident", "Profile::Ident"), ("smart", "Profile::Smart")];
const LAYERS: [(&str, &str); 6] = [
    ("scsi", "SubLayer::Scsi"),
    ("ata", "SubLayer::Ata"),
    ("sd", "SubLayer::Sd"),
    ("emmc", "SubLayer::Emmc"),
    ("spi", "SubLayer::Spi"),
    ("acmd", "SubLayer::Acmd"),
];
const FIELDS: [(&str, &str); 35] = [
    ("sa", "ServiceAction"),
    ("page", "Page"),
    ("subpage", "Subpage"),
    ("pc", "PageControl"),
    ("sp", "SaveParameters"),
    ("ppc", "ParameterPointerControl"),
    ("evpd", "EnableVpd"),
    ("rdprotect", "ReadProtect"),
    ("control", "Control"),
    ("len", "Length"),
    ("start", "Start"),
    ("loej", "LoadEject"),
    ("pcond", "PowerCondition"),
    ("options", "Options"),
    ("proto", "Protocol"),
    ("spsp", "ProtocolSpecific"),
    ("alloc", "Allocation"),
    ("protocol", "AtaProtocol"),
    ("multiple_count", "MultipleCount"),
    ("off_line", "OffLine"),
    ("t_dir", "TransferDirection"),
    ("t_length", "TransferLength"),
    ("byt_blok", "ByteBlock"),
    ("t_type", "TransferType"),
    ("count", "Count"),
    ("extend", "Extend"),
    ("hob", "HighOrder"),
    ("cbw_dir", "WrapperDirection"),
    ("cbw_len", "WrapperLength"),
    ("feat", "Features"),
    ("log", "Log"),
    ("action", "Action"),
    ("lba_mid_high", "LbaMidHigh"),
    ("rmb", "Removable"),
    ("pdt", "DeviceType"),
];
const FEATURES: [(&str, &str); 6] = [
    ("hpa", "Hpa"),
    ("lba48", "Lba48"),
    ("gpl", "Gpl"),
    ("smart", "Smart"),
    ("amax", "Amax"),
    ("dco", "Dco"),
];

/// 256 codes, each once and in order.
fn host_table(
    table: &Table,
    name: &str,
    kind: &str,
    count: usize,
    source: &mut String,
) -> Result<()> {
    in_order(table, count)?;
    writeln!(source, "static {name}: [{kind}; {count}] = [")?;
    for row in table.rows() {
        let response = row.word("response", &RESPONSES)?;
        writeln!(
            source,
            "    {kind} {{ class: {}, decision: {}, response: {response} }},",
            row.class()?,
            row.decision()?
        )?;
    }
    writeln!(source, "];")?;
    Ok(())
}

fn card_table(table: &Table, name: &str, count: usize, source: &mut String) -> Result<()> {
    in_order(table, count)?;
    writeln!(source, "static {name}: [CardRow; {count}] = [")?;
    for row in table.rows() {
        writeln!(
            source,
            "    CardRow {{ class: {}, decision: {} }},",
            row.class()?,
            row.decision()?
        )?;
    }
    writeln!(source, "];")?;
    Ok(())
}

fn in_order(table: &Table, count: usize) -> Result<()> {
    for (expected, row) in table.rows().enumerate() {
        if usize::from(row.code()?) != expected {
            return Err(row.fault(&format!("code {expected} should stand here")));
        }
    }
    if table.rows.len() != count {
        return Err(format!("{}: {} rows, not {count}", table.file, table.rows.len()).into());
    }
    Ok(())
}

/// Every code that leaves the decision to `policy-sub.csv` has rows there for each of `layers`.
fn complete(table: &Table, sub: &Table, layers: &[&str]) -> Result<()> {
    for row in table.rows() {
        if row.get("decision")? != "SUB" {
            continue;
        }
        let code = row.code()?;
        for layer in layers {
            let mut last = None;
            for refined in sub.rows() {
                if refined.get("layer")? == *layer && refined.code()? == code {
                    last = Some(refined.get("selector")?.to_owned());
                }
            }
            if last.as_deref() != Some("*") {
                return Err(row.fault(&format!("no `*` row for it at the end of its {layer} rows")));
            }
        }
    }
    Ok(())
}

fn sub_table(table: &Table, source: &mut String) -> Result<()> {
    let mut pool = Pool::default();
    let mut rows = String::new();
    let mut before: Option<(String, u8, bool)> = None;
    let mut seen = Vec::new();
    for row in table.rows() {
        let key = (row.get("layer")?.to_owned(), row.code()?);
        let rest = row.get("selector")? == "*";
        match &before {
            Some((layer, code, ended)) if (layer, *code) == (&key.0, key.1) => {
                if *ended {
                    return Err(row.fault("a row after `*`"));
                }
            }
            _ if seen.contains(&key) => return Err(row.fault("the rows of one code stand apart")),
            _ => seen.push(key.clone()),
        }
        before = Some((key.0, key.1, rest));
        sub_row(&row, &mut pool, &mut rows)?;
    }
    source.push_str(&pool.source);
    writeln!(source, "static SUB: [SubRow<'static>; {}] = [\n{rows}];", table.rows.len())?;
    Ok(())
}

fn sub_row(row: &Row<'_>, pool: &mut Pool, rows: &mut String) -> Result<()> {
    let selector = row.get("selector")?;
    let mut select = Vec::new();
    if selector != "*" {
        for term in selector.split(' ') {
            select.push(condition(term, pool).map_err(|e| row.fault(&e.to_string()))?);
        }
    }
    let mut guards = Vec::new();
    for term in row.get("guard")?.split(';').filter(|term| !term.is_empty()) {
        guards.push(guard(term, pool).map_err(|e| row.fault(&e.to_string()))?);
    }
    writeln!(
        rows,
        "    SubRow {{ layer: {}, code: 0x{:02x}, select: {}, class: {}, decision: {}, response: {}, profile: {}, guards: {} }},",
        row.word("layer", &LAYERS)?,
        row.code()?,
        pool.slice("Condition", &select)?,
        row.class()?,
        row.decision()?,
        row.word("response", &RESPONSES)?,
        row.word("profile", &PROFILES)?,
        pool.slice("Guard", &guards)?,
    )?;
    Ok(())
}

/// `condition:RESPONSE` as a Rust expression.
fn guard(term: &str, pool: &mut Pool) -> Result<String> {
    let (left, response) =
        term.rsplit_once(':').ok_or_else(|| format!("no response in `{term}`"))?;
    let response = known(response, &RESPONSES)?;
    let condition = condition(left, pool)?;
    Ok(format!("Guard {{ condition: {condition}, response: {response} }}"))
}

/// Slices that several rows share.
#[derive(Default)]
struct Pool {
    known: BTreeMap<String, String>,
    source: String,
}

impl Pool {
    fn slice(&mut self, kind: &str, items: &[String]) -> Result<String> {
        if items.is_empty() {
            return Ok("&[]".to_owned());
        }
        let body = items.join(", ");
        if let Some(name) = self.known.get(&body) {
            return Ok(format!("&{name}"));
        }
        let name = format!("{}_{}", kind.to_uppercase(), self.known.len());
        writeln!(self.source, "static {name}: [{kind}; {}] = [{body}];", items.len())?;
        self.known.insert(body, name.clone());
        Ok(format!("&{name}"))
    }
}

/// One term without its response, as a Rust expression.
fn condition(term: &str, pool: &mut Pool) -> Result<String> {
    let fixed = match term {
        "lba<cap" => Some("LbaWithinCapacity"),
        "len<=cap-lba" => Some("LengthWithinCapacity"),
        "page<pages(log)" => Some("PageWithinLog"),
        "identify=valid" => Some("IdentifyValid"),
        "bridge=listed" => Some("BridgeListed"),
        "next=acmd" => Some("NextIsApplication"),
        "crc=on" => Some("CrcOn"),
        "bus=sd" => Some("Bus(CardBus::Sd)"),
        "bus=spi" => Some("Bus(CardBus::Spi)"),
        "card=uhs" => Some("Card(CardKind::Uhs)"),
        "card=sduc" => Some("Card(CardKind::Sduc)"),
        _ => None,
    };
    if let Some(fixed) = fixed {
        return Ok(format!("Condition::{fixed}"));
    }
    if let Some((field, limit)) = term.split_once("<=") {
        return among(field, &format!("0-{limit}"), pool);
    }
    let (left, right) = term.split_once('=').ok_or_else(|| format!("unknown term `{term}`"))?;
    match left {
        "announced" => Ok(format!("Condition::Announced(Feature::{})", known(right, &FEATURES)?)),
        "last_sense" => last_sense(right),
        "previous" => Ok(format!("Condition::Previous({})", u8::try_from(number(right)?)?)),
        _ if left.starts_with("arg") => argument(left, right, pool),
        _ if right == "tuple" => Ok(format!("Condition::Tuple(Field::{})", known(left, &FIELDS)?)),
        _ => among(left, right, pool),
    }
}

fn among(field: &str, values: &str, pool: &mut Pool) -> Result<String> {
    let field = known(field, &FIELDS)?;
    Ok(format!("Condition::Among {{ field: Field::{field}, set: {} }}", set(values, pool)?))
}

fn argument(left: &str, right: &str, pool: &mut Pool) -> Result<String> {
    let (high, low) = bits(left.strip_prefix("arg").unwrap_or_default())?;
    if let Some(register) = right.strip_prefix("extcsd179") {
        let (top, from) = bits(register)?;
        if top.checked_sub(from) != high.checked_sub(low) {
            return Err(format!("fields of different width in `{left}={right}`").into());
        }
        return Ok(format!(
            "Condition::ArgumentKeepsPartition {{ high: {high}, low: {low}, from: {from} }}"
        ));
    }
    Ok(format!("Condition::Argument {{ high: {high}, low: {low}, set: {} }}", set(right, pool)?))
}

/// `[high:low]`, `[bit]`, or nothing for all 32 bits.
fn bits(text: &str) -> Result<(u8, u8)> {
    if text.is_empty() {
        return Ok((31, 0));
    }
    let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let inner = inner.ok_or_else(|| format!("unknown bits `{text}`"))?;
    let (high, low) = inner.split_once(':').unwrap_or((inner, inner));
    let (high, low): (u8, u8) = (high.parse()?, low.parse()?);
    if high > 31 || low > high {
        return Err(format!("bits out of order in `{text}`").into());
    }
    Ok((high, low))
}

fn last_sense(text: &str) -> Result<String> {
    let parts: Vec<&str> = text.split('/').collect();
    let [key, asc, ascq] = parts.as_slice() else {
        return Err(format!("unknown sense `{text}`").into());
    };
    let byte = |part: &str| u8::from_str_radix(part, 16);
    Ok(format!("Condition::LastSense(Code::new({}, {}, {}))", byte(key)?, byte(asc)?, byte(ascq)?))
}

/// `a|b-c` as spans.
fn set(text: &str, pool: &mut Pool) -> Result<String> {
    let mut spans = Vec::new();
    for part in text.split('|') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (number(first)?, number(last)?);
        if last < first {
            return Err(format!("a range that runs backwards in `{text}`").into());
        }
        spans.push(format!("Span {{ first: 0x{first:x}, last: 0x{last:x} }}"));
    }
    Ok(format!("Set({})", pool.slice("Span", &spans)?))
}

fn known(word: &str, words: &[(&str, &'static str)]) -> Result<&'static str> {
    let found = words.iter().find(|(own, _)| *own == word);
    Ok(found.map(|(_, path)| *path).ok_or_else(|| format!("unknown word `{word}`"))?)
}

fn number(text: &str) -> Result<u16> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u16::from_str_radix(digits, 16),
        None => text.parse(),
    };
    Ok(parsed.map_err(|_| format!("`{text}` is not a number"))?)
}

fn names(tables: &[(&Table, &str, &str)], source: &mut String) -> Result<()> {
    writeln!(source, "/// Names of the rows of [`POLICY`].")?;
    writeln!(source, "#[cfg(feature = \"names\")]")?;
    writeln!(source, "pub static NAMES: Names = Names {{")?;
    for (table, column, field) in tables {
        let mut quoted = Vec::new();
        for row in table.rows() {
            quoted.push(format!("{:?}", row.get(column)?));
        }
        writeln!(source, "    {field}: &[{}],", quoted.join(", "))?;
    }
    writeln!(source, "}};")?;
    Ok(())
}
