//! `daleel show` for Dahua structures: which one holds an offset, and what each of its fields means.
//!
//! The tables are those of `docs/formats/dahua.md`; a test checks that the values shown are the ones the parsers use.

use daleel_core::{CivilTime, Evidence, Extent, ExtentMap, Field, FormatError, Source, Structure};

use crate::fields::table;

use super::{
    chain::Chain,
    fields,
    layout::{
        BOOT_SECTORS, Descriptor, DescriptorType, IndexHead, SECTOR_BYTES, TABLE_BYTES,
        TABLE_SECTORS, TableEntry,
    },
    log,
    partition::Partition,
    payload,
    tags::{Tags, tag_evidence, tag_name},
    time::decode_date,
    unit::{HEADER_BYTES, Header, TRAILER_BYTES, trailer_length},
    volume::Dhfs,
};

/// How far back a unit's header is searched: the longest unit.
const BACK_STEPS: [u64; 3] = [64 << 10, 1 << 20, 16 << 20];

/// The structures of a disk that hold `offset`, outermost first.
///
/// # Errors
/// When a structure is known to be there and cannot be read.
pub fn disk(disk: &Dhfs, offset: u64) -> Result<Vec<Structure>, FormatError> {
    let mut found = Vec::new();
    let sector = |number: u64| disk.volume.at(number.saturating_mul(SECTOR_BYTES), SECTOR_BYTES);
    if sector(0).contains(offset) {
        found.push(table(
            &*disk.volume.source,
            "superblock",
            sector(0),
            fields::SUPERBLOCK_PURPOSE,
            fields::SUPERBLOCK,
        )?);
    }
    for number in TABLE_SECTORS {
        if sector(number).contains(offset) {
            found.extend(partition_table(&*disk.volume.source, sector(number))?);
        }
    }
    for partition in &disk.partitions {
        if partition.extent().contains(offset) {
            found.extend(in_partition(partition, offset)?);
        }
    }
    Ok(found)
}

fn partition_table(source: &dyn Source, at: Extent) -> Result<Vec<Structure>, FormatError> {
    let mut found =
        vec![table(source, "partition table", at, fields::TABLE_PURPOSE, fields::TABLE)?];
    let bytes = source
        .read(Extent::new(at.offset(), TABLE_BYTES))
        .or_else(|_| source.read(at))
        .map_err(|error| FormatError::read("partition table", error))?;
    for (index, (start, _)) in super::layout::parse_table(&bytes).iter().enumerate() {
        let entry =
            Extent::new(at.offset().saturating_add(*start as u64), TableEntry::BYTES as u64);
        found.push(table(
            source,
            format!("partition table entry {index}"),
            entry,
            fields::TABLE_ENTRY_PURPOSE,
            fields::TABLE_ENTRY,
        )?);
    }
    Ok(found)
}

fn in_partition(partition: &Partition, offset: u64) -> Result<Vec<Structure>, FormatError> {
    let source = &*partition.volume().source;
    let index = partition.place.index;
    let mut found = Vec::new();
    for number in boot_sectors(partition) {
        let start = partition.place.start.saturating_add(number).saturating_mul(SECTOR_BYTES);
        let at = partition.volume().at(start, SECTOR_BYTES);
        if at.contains(offset) {
            let name = format!("boot sector of partition {index}");
            found.push(table(source, name, at, fields::BOOT_PURPOSE, fields::BOOT)?);
        }
    }
    let descriptors = partition.table_extent();
    if descriptors.contains(offset) {
        let number = offset.saturating_sub(descriptors.offset()) / Descriptor::BYTES;
        let cluster = u32::try_from(number).unwrap_or(u32::MAX);
        found.push(descriptor(partition, cluster)?);
    }
    if let Some(cluster) = partition.cluster_at(offset) {
        found.extend(in_cluster(partition, cluster, offset)?);
    }
    if let Some(area) = log::area(partition).filter(|area| area.contains(offset)) {
        found.extend(log_entry(partition, area, offset)?);
    }
    Ok(found)
}

fn boot_sectors(partition: &Partition) -> Vec<u64> {
    let [_, usual] = BOOT_SECTORS;
    let stated =
        partition.boot.as_ref().map(|(boot, _)| boot.copy_sector).filter(|sector| *sector != 0);
    vec![u64::from(partition.place.boot_sector), u64::from(stated.unwrap_or(usual))]
}

fn descriptor(partition: &Partition, cluster: u32) -> Result<Structure, FormatError> {
    let at = partition.descriptor_extent(cluster);
    let name = format!("descriptor of cluster {cluster}, partition {}", partition.place.index);
    let mut structure = table(
        &*partition.volume().source,
        name,
        at,
        fields::DESCRIPTOR_PURPOSE,
        fields::DESCRIPTOR,
    )?;
    if let Some(descriptor) = partition.descriptor(cluster)
        && descriptor.descriptor_type() == DescriptorType::Head
    {
        let chain = Chain::follow(partition, cluster, descriptor);
        structure.purpose = format!(
            "{} This one begins recording dhfs-p{}-c{cluster}: channel {}, {} clusters, {} bytes.",
            structure.purpose,
            partition.place.index,
            descriptor.channel_number().map_or("unknown".to_owned(), |channel| channel.to_string()),
            chain.clusters.len(),
            chain.bytes(partition.cluster_bytes()),
        );
    }
    Ok(structure)
}

fn log_entry(
    partition: &Partition,
    area: Extent,
    offset: u64,
) -> Result<Vec<Structure>, FormatError> {
    let source = &*partition.volume().source;
    let header = Extent::new(area.offset(), SECTOR_BYTES);
    let name = format!("disk log of partition {}", partition.place.index);
    let mut found = vec![table(source, name, header, fields::LOG_PURPOSE, fields::LOG)?];
    let line = log::events(partition).into_iter().flatten().find(|event| event.at.contains(offset));
    if let Some(event) = line {
        let time = event.time.map_or("no time".to_owned(), CivilTime::to_seconds_text);
        found.push(Structure {
            name: "disk log line".to_owned(),
            at: event.at,
            purpose: format!("{time} (recorder time), {}: {}", event.level, event.text),
            fields: Vec::new(),
        });
    }
    Ok(found)
}

fn in_cluster(
    partition: &Partition,
    cluster: u32,
    offset: u64,
) -> Result<Vec<Structure>, FormatError> {
    let extent = partition.cluster_extent(cluster);
    let mut found = vec![descriptor(partition, cluster)?];
    if let Some(first) = found.first_mut() {
        first.purpose = format!(
            "The offset lies {} bytes into cluster {cluster} ({extent}). {}",
            offset.saturating_sub(extent.offset()),
            first.purpose
        );
    }
    let Some((head, chain)) = recording_of(partition, cluster) else {
        return Ok(found);
    };
    let mut map = ExtentMap::default();
    for cluster in &chain.clusters {
        map.push(partition.cluster_extent(*cluster));
    }
    let Some(logical) = map.logical(offset) else { return Ok(found) };
    let used = chain.bytes(partition.cluster_bytes());
    let beyond = if logical >= used {
        "; behind the end of the recording (slack of the last cluster)"
    } else {
        ""
    };
    found.push(Structure {
        name: format!("recording dhfs-p{}-c{head}", partition.place.index),
        at: extent,
        purpose: format!("byte {logical} of {used} of its stream{beyond}"),
        fields: Vec::new(),
    });
    found.extend(stream(&*partition.volume().source, &map, logical));
    Ok(found)
}

/// The recording whose chain holds a cluster.
fn recording_of(partition: &Partition, cluster: u32) -> Option<(u32, Chain)> {
    let descriptor = partition.descriptor(cluster)?;
    let follow = |head: u32| {
        let descriptor = partition.descriptor(head)?;
        (descriptor.descriptor_type() == DescriptorType::Head)
            .then(|| (head, Chain::follow(partition, head, descriptor)))
            .filter(|(_, chain)| chain.clusters.contains(&cluster))
    };
    follow(cluster)
        .or_else(|| follow(descriptor.head.get()))
        .or_else(|| partition.heads().find_map(|(head, _)| follow(head)))
}

/// Bytes of a logical range.
fn read(source: &dyn Source, map: &ExtentMap, from: u64, length: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    for extent in map.map(from..from.saturating_add(length)) {
        match source.read(extent) {
            Ok(piece) => bytes.extend_from_slice(&piece),
            Err(_) => break,
        }
    }
    bytes
}

/// The DHII index or DHAV unit of a stream that holds a logical offset.
pub fn stream(source: &dyn Source, map: &ExtentMap, logical: u64) -> Vec<Structure> {
    let place = |from: u64, length: u64| {
        map.map(from..from.saturating_add(length)).first().copied().unwrap_or(Extent::new(0, 0))
    };
    let start = read(source, map, 0, SECTOR_BYTES);
    let mut found = Vec::new();
    if let Ok(index) = IndexHead::parse(&start, place(0, SECTOR_BYTES))
        && logical < u64::from(index.length)
    {
        found.extend(index_entry(source, map, &index, logical));
        return found;
    }
    if let Some((at, header)) = unit_at(source, map, logical) {
        found.push(unit(source, map, at, &header));
    }
    found
}

fn index_entry(
    source: &dyn Source,
    map: &ExtentMap,
    index: &IndexHead,
    logical: u64,
) -> Vec<Structure> {
    let at = |from: u64, length: u64| map.map(from..from.saturating_add(length)).first().copied();
    let Some(head) = at(0, 64) else { return Vec::new() };
    let mut found: Vec<_> = table(source, "DHII index", head, fields::INDEX_PURPOSE, fields::INDEX)
        .into_iter()
        .collect();
    let Some((first, length)) = index.key_frames() else { return found };
    let bytes = read(source, map, u64::from(first), u64::from(length));
    let (stride, entries) = super::layout::parse_index_entries(&bytes);
    let number =
        logical.checked_sub(u64::from(first)).and_then(|within| within.checked_div(stride as u64));
    let Some(number) = number.filter(|number| *number < entries.len() as u64) else { return found };
    let from = u64::from(first).saturating_add(number.saturating_mul(stride as u64));
    if let Some(extent) = at(from, stride as u64) {
        let name = format!("DHII key frame entry {number} of {}", entries.len());
        found.extend(table(source, name, extent, fields::INDEX_ENTRY_PURPOSE, fields::INDEX_ENTRY));
    }
    found
}

/// The unit that holds a logical offset: the nearest sure header before it that reaches over it.
fn unit_at(source: &dyn Source, map: &ExtentMap, logical: u64) -> Option<(u64, Header)> {
    BACK_STEPS.iter().find_map(|back| {
        let from = logical.saturating_sub(*back);
        let reach = logical.saturating_sub(from).saturating_add(HEADER_BYTES as u64);
        let bytes = read(source, map, from, reach);
        memchr::memmem::rfind_iter(&bytes, b"DHAV").find_map(|at| {
            let header = Header::parse(bytes.get(at..)?).filter(Header::is_valid)?;
            let start = from.checked_add(at as u64)?;
            let covers =
                start <= logical && logical < start.saturating_add(u64::from(header.length));
            covers.then_some((start, header))
        })
    })
}

/// A DHAV unit: header, each tag, payload, trailer.
fn unit(source: &dyn Source, map: &ExtentMap, at: u64, header: &Header) -> Structure {
    let bytes = read(source, map, at, u64::from(header.length));
    let place = |from: usize, length: usize| {
        let from = at.saturating_add(from as u64);
        map.map(from..from.saturating_add(length as u64))
            .first()
            .copied()
            .unwrap_or(Extent::new(0, 0))
    };
    let mut shown: Vec<Field> = fields::DHAV
        .iter()
        .filter_map(|spec| spec.read(&bytes, Extent::new(0, bytes.len() as u64)))
        .map(|mut field| {
            field.at = place(usize::try_from(field.at.offset()).unwrap_or(0), field.raw.len());
            field
        })
        .collect();
    let payload_start = HEADER_BYTES.saturating_add(usize::from(header.tag_length));
    let payload_end = bytes.len().saturating_sub(TRAILER_BYTES);
    let payload = bytes.get(payload_start..payload_end).unwrap_or(&[]);
    let tags = Tags::parse(bytes.get(HEADER_BYTES..payload_start).unwrap_or(&[]));
    for tag in tags.tags.iter().chain(&tags.opaque) {
        shown.push(Field {
            name: "tag",
            at: place(HEADER_BYTES.saturating_add(tag.offset), tag.bytes.len()),
            raw: tag.bytes.to_vec(),
            value: format!("{:02X}h {}", tag.id, tag_name(tag.id)),
            meaning: tag_meaning(tag.id, &tags, payload),
            evidence: tag_evidence(tag.id),
        });
    }
    shown.push(Field {
        name: "payload",
        at: place(payload_start, payload.len()),
        raw: payload.iter().take(16).copied().collect(),
        value: format!("{} bytes", payload.len()),
        meaning: "the coded picture or sound, unchanged; the first bytes are shown".to_owned(),
        evidence: Evidence::Confirmed,
    });
    let trailer = trailer_length(&bytes);
    shown.push(Field {
        name: "trailer",
        at: place(payload_end, TRAILER_BYTES),
        raw: bytes.get(payload_end..).unwrap_or(&[]).to_vec(),
        value: trailer.map_or("not there".to_owned(), |length| length.to_string()),
        meaning: match trailer {
            Some(length) if length == header.length => {
                "`dhav` and the same length again: the unit is whole"
            }
            Some(_) => "`dhav` with another length than the header's: one of the two is damaged",
            None => "no `dhav` here: the unit is cut or its length is damaged",
        }
        .to_owned(),
        evidence: Evidence::Confirmed,
    });
    let place = place(0, bytes.len());
    Structure {
        name: format!("DHAV unit, {}", header.kind_name()),
        at: place,
        purpose: format!(
            "byte {at} of the stream, {} bytes. {}",
            header.length,
            fields::DHAV_PURPOSE
        ),
        fields: shown,
    }
}

fn tag_meaning(id: u8, tags: &Tags<'_>, payload: &[u8]) -> String {
    match id {
        0x80 | 0x82 => {
            tags.size().map_or("no usable size".to_owned(), |(w, h)| format!("{w} x {h} pixels"))
        }
        0x81 => tags.playback().map_or(String::new(), |(interval, codec, rate)| {
            format!(
                "key frame every {interval} frames, codec number {codec}, {rate} frames a second"
            )
        }),
        0x83 | 0x8C => tags.audio().map_or(String::new(), |(channels, codec, rate)| {
            format!("{channels} channels, codec number {codec}, sample rate index {rate}")
        }),
        0x88 => payload_check(tags, payload),
        0x89 | 0x95 | 0xB0 | 0xB3 | 0xB5 => "the payload is encrypted".to_owned(),
        _ => "kept in the native export, not interpreted".to_owned(),
    }
}

/// Tag 88h against the payload: matches, differs, or an algorithm that is not known (section 3.4). A frame is never failed on it.
fn payload_check(tags: &Tags<'_>, payload: &[u8]) -> String {
    match payload::check(tags, payload) {
        None => "the algorithm of this kind is not known".to_owned(),
        Some(check) if check.holds() => {
            format!("check {:08x} of kind {}: matches the payload", check.stored, check.kind)
        }
        Some(check) => format!(
            "check {:08x} of kind {}: differs from the computed {:08x} (single-source algorithm, proves nothing by itself)",
            check.stored, check.kind, check.computed
        ),
    }
}

/// A date field as text.
pub fn date_text(raw: u32) -> String {
    decode_date(raw).map_or_else(
        || if raw == 0 { "none".to_owned() } else { format!("no valid date ({raw:08x})") },
        |time| format!("{} (recorder time)", time.to_seconds_text()),
    )
}
