//! A small writer of 32-bit little-endian ARM ELF files: sections, segments and symbols as a test needs them.
//!
//! Facts: System V ABI, generic edition 4.1, chapters 4 and 5 (ELF header, section header, symbol table, program header).

/// A loadable segment.
pub struct Segment {
    pub address: u32,
    pub bytes: Vec<u8>,
}

/// The parts of a file.
#[derive(Default)]
pub struct Elf {
    pub segments: Vec<Segment>,
    /// Name, value, and whether it lies in `.defmt`.
    pub symbols: Vec<(String, u32, bool)>,
    /// Bytes of a section `.defmt`.
    pub defmt: Option<u32>,
}

const HEADER: usize = 52;
const PROGRAM: usize = 32;

impl Elf {
    pub fn image(mut self, start: u32, end: u32) -> Self {
        self.symbols.push(("__image_start".to_owned(), start, false));
        self.symbols.push(("__image_end".to_owned(), end, false));
        self
    }

    pub fn segment(mut self, address: u32, bytes: &[u8]) -> Self {
        self.segments.push(Segment { address, bytes: bytes.to_vec() });
        self
    }

    pub fn write(&self) -> Vec<u8> {
        let mut data = Vec::new();
        let base = HEADER + PROGRAM * self.segments.len();
        let mut programs = Vec::new();
        for segment in &self.segments {
            let length = segment.bytes.len() as u32;
            let offset = (base + data.len()) as u32;
            // The virtual address differs: code that runs elsewhere than it is stored.
            let fields =
                [1, offset, segment.address ^ 0x0800_0000, segment.address, length, length, 5, 4];
            programs.extend(fields.iter().flat_map(|field: &u32| field.to_le_bytes()));
            data.extend(&segment.bytes);
        }
        let mut strings = vec![0];
        let mut symbols = vec![0; 16];
        for (name, value, is_defmt) in &self.symbols {
            symbols.extend((strings.len() as u32).to_le_bytes());
            symbols.extend(value.to_le_bytes());
            symbols.extend(if *is_defmt { 1_u32 } else { 0 }.to_le_bytes());
            let section: u16 = if *is_defmt { 4 } else { 0xFFF1 };
            symbols.extend([0x11, 0]);
            symbols.extend(section.to_le_bytes());
            strings.extend(name.as_bytes());
            strings.push(0);
        }
        let names = b"\0.symtab\0.strtab\0.shstrtab\0.defmt\0";
        let place = |data: &mut Vec<u8>, bytes: &[u8]| {
            let offset = (base + data.len()) as u32;
            data.extend(bytes);
            (offset, bytes.len() as u32)
        };
        let table = place(&mut data, &symbols);
        let text = place(&mut data, &strings);
        let own = place(&mut data, names);
        let defmt = place(&mut data, &vec![0; self.defmt.unwrap_or(0) as usize]);
        // Name, type, link, info, entry size, offset, length, alignment.
        let mut sections: Vec<[u32; 10]> = vec![
            [0; 10],
            [1, 2, 0, 0, table.0, table.1, 2, 1, 4, 16],
            [9, 3, 0, 0, text.0, text.1, 0, 0, 1, 0],
            [17, 3, 0, 0, own.0, own.1, 0, 0, 1, 0],
        ];
        if self.defmt.is_some() {
            sections.push([27, 1, 0, 0, defmt.0, defmt.1, 0, 0, 1, 0]);
        }
        // The table of sections is aligned to its fields.
        data.resize(data.len().next_multiple_of(4), 0);
        let at = (base + data.len()) as u32;
        let mut file = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
        file.extend([2_u16, 40].iter().flat_map(|field| field.to_le_bytes()));
        let program_at = HEADER as u32;
        file.extend(
            [1_u32, 0, program_at, at, 0x0500_0000].iter().flat_map(|field| field.to_le_bytes()),
        );
        let counts = [52_u16, 32, self.segments.len() as u16, 40, sections.len() as u16, 3];
        file.extend(counts.iter().flat_map(|field| field.to_le_bytes()));
        assert_eq!(file.len(), HEADER);
        file.extend(programs);
        file.extend(data);
        file.extend(sections.iter().flatten().flat_map(|field| field.to_le_bytes()));
        file
    }
}
