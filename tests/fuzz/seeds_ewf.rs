//! Seeds of the target `ewf`.

use super::store;

// The writer of the reader's own tests, which shares no code with the reader.
#[path = "../../parsers/image/tests/ewf/writer.rs"]
mod writer;

use writer::{Plan, write};

/// Writes sets of every shape.
pub fn store_all() {
    let media: Vec<u8> = (0..4096u32).map(|at| (at * 7 + (at >> 8)) as u8).collect();
    let plan = Plan { sectors_per_chunk: 1, ..Plan::default() };
    let shapes = [
        ("one", Plan { errors: vec![(2, 1)], groups_per_segment: 9, ..plan.clone() }),
        ("three", Plan { groups_per_segment: 1, ..plan.clone() }),
        ("absolute", Plan { has_base: false, packed_every: 1, ..plan.clone() }),
        ("large-sectors", Plan { sector_bytes: 4096, packed_every: 0, ..plan.clone() }),
    ];
    for (name, plan) in shapes {
        store("ewf", name, &write(&plan, &media).concat());
    }
    let mut files = write(&Plan { groups_per_segment: 1, ..plan }, &media);
    let cut = files[2].len() - 400;
    files[2].truncate(cut);
    files.remove(1);
    store("ewf", "missing-and-cut", &files.concat());
}
