//! `daleel devices`.

use std::{
    collections::BTreeMap,
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::Result;
use daleel_acquire::devices::{
    Disk, Roots,
    hazards::{Hazard, Watchers},
    identity::{Asked, Report},
    uses::Use,
};
use serde::Serialize;

use crate::{
    args::{OutputArgs, SourceArgs},
    exit::{Exit, Failure},
    output::{VerdictJson, out, print_json, printable},
    session::Session,
};

/// List the disks that are attached, and what could write to them
///
/// Names every disk with its connection, its identity by its own word, what uses it, which recorder wrote it, and what could write to it while
/// nobody looks. Opens disks for reading only. Hidden areas (HPA, DCO, AMAX) and locks are asked for where the connection allows it, which takes the
/// rights of root; what was not asked is said with the reason, and nothing may be concluded from it.
///
/// The exit code is 1 when something could write to a disk other than the one that this computer runs from, or when a disk has hidden
/// areas, is locked or is failing.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  daleel devices\n  daleel devices /dev/sdb\n  daleel devices sdb --smart --json"
)]
pub struct Devices {
    /// Only these disks: a node (/dev/sdb, or one of its partitions) or a name (sdb)
    #[arg(value_name = "DEVICE")]
    devices: Vec<PathBuf>,
    /// Read the disks' health as well. Reading it can make a disk save its attributes to its own service area; no user data change. The
    /// choice belongs into the record
    #[arg(long)]
    smart: bool,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Serialize)]
struct Answer {
    schema: &'static str,
    devices: Vec<DeviceJson>,
}

/// A disk with all that is known about it.
#[derive(Serialize)]
struct DeviceJson {
    #[serde(flatten)]
    disk: Disk,
    /// This computer runs from it.
    system: bool,
    uses: Vec<Use>,
    reported: Report,
    recorder: RecorderJson,
    warnings: Vec<Hazard>,
    findings: Vec<String>,
}

/// What is on it.
#[derive(Serialize)]
struct RecorderJson {
    partitions: Vec<TableEntryJson>,
    layers: Vec<VerdictJson>,
    /// Why it was not looked at, or could not be.
    error: Option<String>,
}

/// An entry of the partition table.
#[derive(Serialize)]
struct TableEntryJson {
    scheme: &'static str,
    number: u32,
    kind: String,
    kind_name: Option<&'static str>,
    extent: [u64; 2],
}

impl Devices {
    /// Runs the verb.
    ///
    /// # Errors
    /// When the system does not list its disks, or one that is asked for is not among them.
    pub fn run(self) -> Result<Exit> {
        let roots = Roots::default();
        let watchers = roots.watchers();
        let is_named = !self.devices.is_empty();
        let disks = self.choose(listed(&roots)?)?;
        let devices: Vec<DeviceJson> =
            disks.into_iter().map(|disk| self.look(&roots, &watchers, disk, is_named)).collect();
        let has_findings =
            devices.iter().any(|device| !device.warnings.is_empty() || !device.findings.is_empty());
        let answer = Answer { schema: "daleel.devices/1", devices };
        if self.output.json {
            print_json(&answer)?;
        } else {
            print_text(&answer)?;
        }
        Ok(if has_findings { Exit::Findings } else { Exit::Success })
    }

    fn choose(&self, disks: Vec<Disk>) -> Result<Vec<Disk>, Failure> {
        if self.devices.is_empty() {
            return Ok(disks);
        }
        let mut chosen: Vec<Disk> = Vec::new();
        for wanted in &self.devices {
            let found = disks.iter().find(|disk| is_called(disk, wanted)).ok_or_else(|| {
                let text = format!("{} is not among the disks of this system", wanted.display());
                let nodes: Vec<_> =
                    disks.iter().map(|disk| disk.node.display().to_string()).collect();
                let hint = if nodes.is_empty() {
                    "no disk is attached".to_owned()
                } else {
                    format!("attached: {}", nodes.join(", "))
                };
                Failure::new(Exit::Input, text).hint(hint)
            })?;
            if !chosen.contains(found) {
                chosen.push(found.clone());
            }
        }
        Ok(chosen)
    }

    fn look(&self, roots: &Roots, watchers: &Watchers, disk: Disk, is_named: bool) -> DeviceJson {
        let uses = roots.uses(&disk);
        let system = roots.is_system_disk(&uses);
        let reported = Report::of_disk(roots, &disk, self.smart);
        let recorder = match () {
            () if disk.size == 0 => not_looked_at("there is no medium in it"),
            () if system && !is_named => not_looked_at(
                "not looked at: this computer runs from it; name it to have it looked at",
            ),
            () => recorder(&disk.node),
        };
        DeviceJson {
            warnings: roots.hazards(&disk, &uses, watchers),
            findings: reported.findings(),
            disk,
            system,
            uses,
            reported,
            recorder,
        }
    }
}

fn listed(roots: &Roots) -> Result<Vec<Disk>, Failure> {
    roots.disks().map_err(|error| {
        Failure::new(Exit::Input, format!("the disks of this system cannot be listed: {error}"))
            .hint("this takes Linux with /sys")
    })
}

/// Whether a disk, or a partition of it, goes by this name or this path.
fn is_called(disk: &Disk, wanted: &Path) -> bool {
    let real = std::fs::canonicalize(wanted).unwrap_or_else(|_| wanted.to_owned());
    let folder = disk.node.parent().unwrap_or(Path::new("/dev"));
    let parts = disk.partitions.iter().map(|part| folder.join(&part.name));
    let mut nodes = [disk.node.clone()].into_iter().chain(parts);
    nodes.any(|node| real == node || folder.join(wanted) == node)
}

fn not_looked_at(reason: &str) -> RecorderJson {
    RecorderJson { partitions: Vec::new(), layers: Vec::new(), error: Some(reason.to_owned()) }
}

/// Which recorder wrote a disk.
fn recorder(node: &Path) -> RecorderJson {
    let source = SourceArgs { source: node.to_owned(), map: None, no_map: true, family: None };
    let session = match Session::open(&source) {
        Ok(session) => session,
        Err(error) => return not_looked_at(&format!("{error:#}")),
    };
    let entries = session.partitions.iter().map(|entry| TableEntryJson {
        scheme: entry.scheme.as_str(),
        number: entry.index,
        kind: entry.kind.clone(),
        kind_name: entry.kind_name,
        extent: crate::output::extent(entry.extent),
    });
    RecorderJson {
        partitions: entries.collect(),
        layers: session.layers.iter().map(|layer| VerdictJson::from(&layer.verdict)).collect(),
        error: None,
    }
}

fn print_text(answer: &Answer) -> Result<()> {
    let mut out = out();
    if answer.devices.is_empty() {
        writeln!(out, "no disk is attached")?;
    } else {
        print_table(&mut out, &answer.devices)?;
    }
    for device in &answer.devices {
        writeln!(out)?;
        print_device(&mut out, device)?;
    }
    out.flush()?;
    Ok(())
}

fn print_table(out: &mut impl Write, devices: &[DeviceJson]) -> Result<()> {
    let heads = ["DEVICE", "SIZE", "CONNECTION", "WRITES", "MODEL", "RECORDER"].map(str::to_owned);
    let rows: Vec<[String; 6]> = [heads].into_iter().chain(devices.iter().map(row)).collect();
    let mut widths = [0; 6];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    for row in &rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        writeln!(out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}

fn row(device: &DeviceJson) -> [String; 6] {
    let disk = &device.disk;
    let connection = match &disk.usb {
        Some(usb) if usb.is_bridge => "usb, write blocker",
        _ => disk.transport.as_str(),
    };
    let writes = match () {
        () if device.system => "this computer's",
        () if !device.uses.is_empty() => "in use",
        () if disk.is_read_only => "refused",
        () => "possible",
    };
    let recorder = match (device.recorder.layers.first(), &device.recorder.error) {
        (Some(best), _) => best.layout.as_str(),
        (None, Some(_)) => "not known",
        (None, None) => "none known",
    };
    [
        disk.node.display().to_string(),
        size_text(disk.size),
        connection.to_owned(),
        writes.to_owned(),
        printable(&disk.title()),
        printable(recorder),
    ]
}

/// Decimal units, as printed on the label of a disk.
fn size_text(bytes: u64) -> String {
    let units = [("TB", 1_000_000_000_000), ("GB", 1_000_000_000), ("MB", 1_000_000_u64)];
    let unit = units.into_iter().find(|(_, size)| bytes >= *size);
    match unit {
        None if bytes == 0 => "no medium".to_owned(),
        None => format!("{bytes} B"),
        Some((name, size)) => {
            let tenths = bytes.checked_div(size.checked_div(10).unwrap_or(1)).unwrap_or(0);
            let (whole, tenth) = (tenths.div_euclid(10), tenths.rem_euclid(10));
            format!("{whole}.{tenth} {name}")
        }
    }
}

fn print_device(out: &mut impl Write, device: &DeviceJson) -> Result<()> {
    let disk = &device.disk;
    writeln!(out, "{}: {}", disk.node.display(), printable(&disk.title()))?;
    let names = [("serial", &disk.serial), ("firmware", &disk.firmware), ("name", &disk.wwn)];
    let names: Vec<String> = names
        .into_iter()
        .filter_map(|(what, value)| Some(format!("{what} {}", printable(value.as_ref()?))))
        .collect();
    if !names.is_empty() {
        writeln!(out, "  {}", names.join(", "))?;
    }
    writeln!(
        out,
        "  {} bytes in sectors of {} (physical {})",
        disk.size, disk.logical_sector_bytes, disk.physical_sector_bytes
    )?;
    writeln!(out, "  {}, at {}", disk.transport.as_str(), printable(&disk.bus_path))?;
    print_connection(out, disk)?;
    let word = if disk.is_read_only { "refuses" } else { "lets through" };
    writeln!(out, "  the system {word} writes")?;
    for part in &disk.partitions {
        let word = if part.is_read_only { ", read-only" } else { "" };
        let (at, length) = (part.offset, part.length);
        writeln!(out, "  partition {}: 0x{at:x} ({at}), {length} bytes{word}", part.name)?;
    }
    for one in &device.uses {
        writeln!(out, "  in use: {}", printable(&one.text()))?;
    }
    print_report(out, &device.reported)?;
    print_recorder(out, &device.recorder)?;
    for finding in &device.findings {
        writeln!(out, "  finding: {}", printable(finding))?;
    }
    for warning in &device.warnings {
        writeln!(out, "  warning: {}", printable(&warning.text))?;
        writeln!(out, "           {}", printable(&warning.hint))?;
    }
    Ok(())
}

fn print_connection(out: &mut impl Write, disk: &Disk) -> Result<()> {
    if let Some(usb) = &disk.usb {
        let strings = [&usb.manufacturer, &usb.product, &usb.serial];
        let strings: Vec<String> =
            strings.into_iter().flatten().map(|text| printable(text)).collect();
        let speed = usb.speed_mbit.map(|speed| format!(", {speed} Mbit/s")).unwrap_or_default();
        writeln!(
            out,
            "  usb {}:{} release {} ({}), socket {}{speed}",
            printable(&usb.vendor_id),
            printable(&usb.product_id),
            printable(&usb.release),
            strings.join(", "),
            usb.port
        )?;
        if usb.is_bridge {
            writeln!(out, "  by its name a write blocker; `daleel bridge info` asks it for proof")?;
        }
    }
    if let Some(file) = &disk.loop_file {
        let cache = if file.direct_io { "" } else { ", through the page cache" };
        let from = match file.offset {
            0 => String::new(),
            offset => format!(" from {offset} on"),
        };
        writeln!(out, "  shows {}{from}{cache}", printable(&file.backing_file))?;
    }
    if let Some(assembly) = &disk.assembly {
        writeln!(out, "  made of {}", assembly.parts.join(", "))?;
    }
    Ok(())
}

fn print_report(out: &mut impl Write, report: &Report) -> Result<()> {
    let mut others: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let mut other = |name: &'static str, reason: Option<String>| {
        if let Some(reason) = reason {
            others.entry(reason).or_default().push(name);
        }
    };
    other("IDENTIFY", why_not(&report.identify));
    if let Some(identified) = report.identify.value() {
        let word = if identified.is_valid { "" } else { ", without a valid sum" };
        let (sectors, size) = (identified.sectors, identified.sector_bytes);
        writeln!(out, "  by its own word {sectors} sectors of {size}{word}")?;
    }
    for (name, value) in [("HPA", &report.hpa), ("DCO", &report.dco), ("AMAX", &report.amax)] {
        other(name, why_not(value));
        if let Some(maximum) = value.value() {
            let (all, hidden) = (maximum.sectors, maximum.hidden_sectors);
            writeln!(out, "  {name}: {all} sectors, {hidden} of them hidden")?;
        }
    }
    other("security", why_not(&report.security));
    if let Some(security) = report.security.value() {
        let flags = [
            ("supported", security.is_supported),
            ("enabled", security.is_enabled),
            ("locked", security.is_locked),
            ("frozen", security.is_frozen),
            ("too many attempts", security.is_count_expired),
        ];
        let set: Vec<_> =
            flags.iter().filter(|(_, is_set)| *is_set).map(|(name, _)| *name).collect();
        let set = if set.is_empty() { "not supported".to_owned() } else { set.join(", ") };
        writeln!(out, "  security: {set}")?;
    }
    other("SMART", why_not(&report.smart));
    for one in report.smart.value().map(|smart| smart.attributes.as_slice()).unwrap_or_default() {
        let name = one.name.unwrap_or("attribute of the maker");
        writeln!(
            out,
            "  SMART {:>3} {name}: {} (value {}, worst {})",
            one.id, one.raw, one.value, one.worst
        )?;
    }
    for (reason, names) in others {
        writeln!(out, "  {}: {}", names.join(", "), printable(&reason))?;
    }
    Ok(())
}

fn why_not<T>(asked: &Asked<T>) -> Option<String> {
    match asked {
        Asked::Reported { .. } => None,
        Asked::NotAsked { reason } => Some(format!("not asked: {reason}")),
        Asked::NotAnswered { reason } => Some(format!("not answered: {reason}")),
    }
}

fn print_recorder(out: &mut impl Write, recorder: &RecorderJson) -> Result<()> {
    for entry in &recorder.partitions {
        let [offset, length] = entry.extent;
        writeln!(
            out,
            "  table ({}) entry {}: type {}{}, 0x{offset:x} ({offset}), {length} bytes",
            entry.scheme,
            entry.number,
            entry.kind,
            entry.kind_name.map(|name| format!(" ({name})")).unwrap_or_default()
        )?;
    }
    for layer in &recorder.layers {
        writeln!(
            out,
            "  recorder: {} (family {}, score {} of 100)",
            layer.layout, layer.family, layer.score
        )?;
    }
    match &recorder.error {
        Some(error) => writeln!(out, "  recorder: {}", printable(error))?,
        None if recorder.layers.is_empty() => {
            writeln!(out, "  recorder: nothing of a known format")?;
        }
        None => {}
    }
    Ok(())
}
