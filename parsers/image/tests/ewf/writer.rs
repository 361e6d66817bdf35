//! A writer of small E01 sets, to the specification alone (`docs/formats/ewf.md`), which shares no code with the reader.
//!
//! Packed chunks are zlib streams of one stored block: every reader inflates them, and no compressor is needed.

/// What to write.
#[derive(Clone, Debug)]
pub struct Plan {
    pub sector_bytes: u32,
    pub sectors_per_chunk: u32,
    /// Chunks of each `sectors` section.
    pub per_group: usize,
    /// Groups of each segment.
    pub groups_per_segment: usize,
    /// Every how manieth chunk is a zlib stream; 0 for none.
    pub packed_every: usize,
    /// Offsets count from the `sectors` section and not from the start of the file.
    pub has_base: bool,
    /// First sector and number of sectors that could not be read.
    pub errors: Vec<(u32, u32)>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            sector_bytes: 512,
            sectors_per_chunk: 2,
            per_group: 3,
            groups_per_segment: 2,
            packed_every: 2,
            has_base: true,
            errors: Vec::new(),
        }
    }
}

pub fn adler(bytes: &[u8]) -> u32 {
    let (mut low, mut high) = (1u32, 0u32);
    for byte in bytes {
        low = (low + u32::from(*byte)) % 65_521;
        high = (high + low) % 65_521;
    }
    high << 16 | low
}

pub fn zlib(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap();
    let mut out = vec![0x78, 0x01, 0x01];
    out.extend(length.to_le_bytes());
    out.extend((!length).to_le_bytes());
    out.extend(bytes);
    out.extend(adler(bytes).to_be_bytes());
    out
}

fn with_sum(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.extend(adler(&bytes).to_le_bytes());
    bytes
}

/// Appends a section; `next` and `done` point to themselves.
pub fn section(file: &mut Vec<u8>, name: &str, payload: &[u8]) {
    let at = file.len() as u64;
    let is_last = name == "next" || name == "done";
    let size = 76 + payload.len() as u64;
    let mut descriptor = vec![0; 32];
    descriptor[..name.len()].copy_from_slice(name.as_bytes());
    let (next, size) = if is_last { (at, 0) } else { (at + size, size) };
    descriptor[16..24].copy_from_slice(&next.to_le_bytes());
    descriptor[24..32].copy_from_slice(&size.to_le_bytes());
    descriptor.resize(72, 0);
    file.extend(with_sum(descriptor));
    file.extend(payload);
}

fn file_header(number: usize) -> Vec<u8> {
    let mut file = b"EVF\x09\x0d\x0a\xff\x00\x01".to_vec();
    file.extend(u16::try_from(number).unwrap().to_le_bytes());
    file.extend([0, 0]);
    file
}

pub fn volume(plan: &Plan, media: usize) -> Vec<u8> {
    let sectors = media / plan.sector_bytes as usize;
    let chunks = sectors.div_ceil(plan.sectors_per_chunk as usize);
    let mut out = vec![0; 1048];
    out[0] = 1;
    out[4..8].copy_from_slice(&(chunks as u32).to_le_bytes());
    out[8..12].copy_from_slice(&plan.sectors_per_chunk.to_le_bytes());
    out[12..16].copy_from_slice(&plan.sector_bytes.to_le_bytes());
    out[16..24].copy_from_slice(&(sectors as u64).to_le_bytes());
    out[36] = 3;
    out[64..80].copy_from_slice(b"sixteen of a set");
    with_sum(out)
}

fn header2() -> Vec<u8> {
    let text = "3\nmain\na\tc\tn\te\tt\tmd\tsn\tav\tov\tm\tu\tp\tdc\n\
                disk\t7/24\t3\tA. Examiner\tnone\tWD10\tS123\t1.0\tLinux\t1733616000\t1733616001\t0\t\n\n";
    let mut bytes = vec![0xFF, 0xFE];
    bytes.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
    zlib(&bytes)
}

fn header() -> Vec<u8> {
    zlib(b"1\r\nmain\r\nc\tn\ta\te\tt\tav\tov\tm\tu\tp\r\n7/24\t3\tdisk\tA. Examiner\tnone\t1.0\tLinux\t2024 12 8 0 0 0\t2024 12 8 0 0 1\t0\r\n\r\n")
}

fn group(file: &mut Vec<u8>, plan: &Plan, chunks: &[&[u8]], first: usize) {
    let start = file.len();
    let (mut data, mut entries) = (Vec::new(), Vec::new());
    for (number, chunk) in chunks.iter().enumerate() {
        let packed = plan.packed_every > 0 && (first + number).is_multiple_of(plan.packed_every);
        let base = if plan.has_base { 0 } else { start };
        let offset = u32::try_from(base + 76 + data.len()).unwrap();
        entries.extend((offset | u32::from(packed) << 31).to_le_bytes());
        if packed {
            data.extend(zlib(chunk));
        } else {
            data.extend(with_sum(chunk.to_vec()));
        }
    }
    section(file, "sectors", &data);
    let mut table = (chunks.len() as u32).to_le_bytes().to_vec();
    table.extend([0; 4]);
    table.extend(if plan.has_base { start as u64 } else { 0 }.to_le_bytes());
    table.extend([0; 4]);
    let mut table = with_sum(table);
    table.extend(with_sum(entries));
    section(file, "table", &table);
    section(file, "table2", &table);
}

fn error2(errors: &[(u32, u32)]) -> Vec<u8> {
    let mut head = (errors.len() as u32).to_le_bytes().to_vec();
    head.resize(516, 0);
    let mut out = with_sum(head);
    let entries: Vec<u8> = errors
        .iter()
        .flat_map(|(first, count)| [first.to_le_bytes(), count.to_le_bytes()])
        .flatten()
        .collect();
    out.extend(with_sum(entries));
    out
}

/// The files of a set in their order.
pub fn write(plan: &Plan, media: &[u8]) -> Vec<Vec<u8>> {
    let chunk_bytes = (plan.sectors_per_chunk * plan.sector_bytes) as usize;
    let chunks: Vec<&[u8]> = media.chunks(chunk_bytes).collect();
    let per_segment = plan.per_group * plan.groups_per_segment;
    let count = chunks.len().div_ceil(per_segment);
    let mut files = Vec::new();
    for (number, own) in chunks.chunks(per_segment).enumerate() {
        let mut file = file_header(number + 1);
        if number == 0 {
            section(&mut file, "header2", &header2());
            section(&mut file, "header2", &header2());
            section(&mut file, "header", &header());
            section(&mut file, "volume", &volume(plan, media.len()));
        } else {
            section(&mut file, "data", &volume(plan, media.len()));
        }
        for (place, chunks) in own.chunks(plan.per_group).enumerate() {
            group(&mut file, plan, chunks, number * per_segment + place * plan.per_group);
        }
        if number + 1 < count {
            section(&mut file, "next", &[]);
        } else {
            if number == 0 {
                section(&mut file, "data", &volume(plan, media.len()));
            }
            if !plan.errors.is_empty() {
                section(&mut file, "error2", &error2(&plan.errors));
            }
            section(&mut file, "digest", &with_sum([&[1; 16][..], &[2; 20], &[0; 40]].concat()));
            section(&mut file, "hash", &with_sum([&[1; 16][..], &[0; 16]].concat()));
            section(&mut file, "done", &[]);
        }
        files.push(file);
    }
    files
}
