//! Lays a disk out.

use super::blocks::Blocks;
use super::damage::Target;
use super::facts::Facts;
use super::geometry::MASTER_AT;
use super::log::{log_areas, write_logs};
use super::trees::{plan_entries, tree_bytes, write_trees};
use super::{DiskPlan, Geometry, VIDEO_OFFSET};
use crate::Error;
use crate::image::Image;
use crate::truth::{HikvisionFacts, LogRecord, StructureFact, Truth};

/// Writes a disk; scenario, summary, seed and image name of the truth are still empty.
///
/// # Errors
/// [`Error::Plan`] when a recording does not fit into its blocks, or damage names what is not there.
pub fn write_disk(plan: &DiskPlan) -> Result<(Image, Truth), Error> {
    // The trees come behind the blocks, so their size does not move anything that is written first.
    let front = Geometry::new(plan.block_bytes, plan.blocks, &plan.variants, 0);
    let mut blocks_image = Image::new(front.trees[0]);
    let mut blocks = Blocks::new(plan, &front);
    blocks.write(&mut blocks_image)?;
    let (fragments, directories) = (blocks.fragments, blocks.directories);

    let entries = plan_entries(plan, &front, &fragments);
    let size = tree_bytes(plan, &entries);
    let geometry = Geometry::new(plan.block_bytes, plan.blocks, &plan.variants, size);
    let mut image = blocks_image;
    image.extend(geometry.capacity);
    let master = geometry.master(&plan.variants, plan.initialised);
    image.write(MASTER_AT, &master)?;
    image.write(geometry.backup, &master)?;
    let trees = write_trees(plan, &geometry, entries, &mut image)?;
    let log = write_logs(plan, &fragments, &mut image)?;

    let mut target = Target {
        image: &mut image,
        geometry: &geometry,
        trees: &trees,
        fragments: &fragments,
        done: Vec::new(),
    };
    plan.damage.iter().try_for_each(|damage| target.apply(damage))?;
    let damage = target.done;

    let facts =
        Facts { plan, geometry: &geometry, image: &image, trees: &trees, fragments: &fragments };
    let area = |area: &super::geometry::LogArea| StructureFact {
        extent: [area.offset, area.length],
        intact: !plan.damage.contains(&super::Damage::Logs),
    };
    let hikvision = HikvisionFacts {
        masters: [MASTER_AT, geometry.backup].map(|at| facts.structure(at, &master)).to_vec(),
        capacity: geometry.capacity,
        video_offset: VIDEO_OFFSET,
        block_bytes: plan.block_bytes,
        blocks: plan.blocks,
        initialised: plan.initialised.second_text(),
        trees: trees.iter().map(|tree| tree.facts(&image)).collect(),
        logs: log_areas(&plan.variants).iter().map(area).collect(),
        idle_entries: facts.idle_entries(),
        directories: directories
            .iter()
            .map(|([at, _], bytes)| facts.structure(*at, bytes))
            .collect(),
        variants: plan.variants.names(),
    };
    let truth = Truth {
        recordings: facts.recordings(),
        damage,
        hikvision: Some(hikvision),
        log: log
            .into_iter()
            .map(|(record, bytes)| LogRecord {
                intact: facts.is_on(record.extent[0], &bytes),
                ..record
            })
            .collect(),
        ..Truth::empty("hikvision-disk", image.len())
    };
    Ok((image, truth))
}
