//! Is this the layout of a camera's card, a share, or an index out of one? Reasons for and against.

use daleel_core::{Extent, Input, Verdict};

use super::{
    FAMILY,
    folder::{self, Form, Group, Seen},
    index::Copy,
    info::Info,
    media::{Kind, Media},
};

/// Looks at a folder, or at a single file.
pub fn probe(input: &Input) -> Vec<Verdict> {
    match input {
        Input::Tree(tree) => {
            let groups = folder::groups(tree);
            let Some(best) = groups.iter().map(|group| group.form).min() else { return Vec::new() };
            let mut verdict = Verdict::new(FAMILY, layout(best, &groups), Extent::new(0, 0));
            for group in &groups {
                explain_group(group, &Media::of_folder(tree, &group.folder), &mut verdict);
            }
            for info in Info::all(tree) {
                let at = Extent::new(0, 68);
                verdict.supports(5, at, format!("{} names a camera", info.path()));
            }
            verdict.conclude().into_iter().collect()
        }
        Input::Volume(volume) => {
            let Some((copy, seen)) = folder::single(&volume.source, volume.extent) else {
                return Vec::new();
            };
            let layout = format!("{} alone, without its media files", name(seen.form));
            let mut verdict = Verdict::new(FAMILY, layout, volume.extent);
            explain_index(&copy, &seen, &mut verdict);
            verdict.contradicts(
                0,
                Extent::new(volume.extent.offset(), 0),
                "only an index: it lists recordings, their footage is in files beside it that were not given",
            );
            verdict.conclude().into_iter().collect()
        }
    }
}

const fn name(form: Form) -> &'static str {
    match form {
        Form::Video => "binary video index",
        Form::Pictures => "binary picture index",
        Form::Tree => "HIKBTREE of a recorder on a share",
        Form::Database => "SQLite video index",
        Form::PictureDatabase => "SQLite picture index",
    }
}

fn layout(best: Form, groups: &[Group]) -> String {
    let version = groups.iter().find_map(|group| group.seen.header.as_ref());
    let version = version.filter(|header| best == Form::Video && header.version != 0);
    let version = version.map(|header| format!(" version {}", header.version));
    let folders = groups.iter().map(|group| group.folder.as_str());
    let folders = folders.collect::<std::collections::BTreeSet<_>>().len();
    let several = if folders > 1 { format!(", {folders} data folders") } else { String::new() };
    format!("card or share with {}{}{several}", name(best), version.unwrap_or_default())
}

fn explain_group(group: &Group, media: &Media, verdict: &mut Verdict) {
    let sound = group.copies.iter().find(|copy| folder::look_at(copy, None).is_some());
    let Some(copy) = sound.or_else(|| group.copies.first()) else { return };
    explain_index(copy, &group.seen, verdict);
    let kind = match group.form {
        Form::Pictures | Form::PictureDatabase => Kind::Pictures,
        _ => Kind::Video,
    };
    let count = media.numbers(kind).count();
    let at = Extent::new(0, 0);
    if count > 0 {
        let example = media.numbers(kind).next().map(|number| media.path(kind, number));
        let text =
            format!("{count} media files beside it, such as {}", example.unwrap_or_default());
        verdict.supports(10, at, text);
    } else {
        let text = format!("{}: no media file beside it", copy.name());
        verdict.contradicts(5, at, text);
    }
}

fn explain_index(copy: &Copy, seen: &Seen, verdict: &mut Verdict) {
    let name = copy.name();
    let Some(header) = &seen.header else {
        let (weight, text) = match seen.form {
            Form::Tree => {
                (70, "HIKBTREE at the start: the index of a recorder that writes to a share")
            }
            _ => (80, "an SQLite database with the recorder's tables"),
        };
        verdict.supports(weight, copy.at(0, 64), format!("{name}: {text}"));
        return;
    };
    if seen.is_rebuilt {
        let text =
            format!("{name}: its header is none of an index; the file table behind it is one");
        verdict.contradicts(0, copy.at(0, 0x18), text);
    } else {
        let text = format!("{name}: index version {} of {} files", header.version, header.files);
        verdict.supports(30, copy.at(8, 8), text);
    }
    let (right, of) = seen.table;
    let text = format!(
        "{name}: {right} of the first {of} entries of the file table have their own number"
    );
    let weight = if seen.is_rebuilt { 50 } else { 30 };
    verdict.supports(weight, copy.at(0x500, u64::from(of).saturating_mul(32)), text);
    let sampled = seen.sampled;
    if sampled.populated > 0 {
        let text = format!(
            "{name}: {} of the first {} records make sense",
            sampled.sound, sampled.populated
        );
        let weight = if sampled.sound.saturating_mul(2) >= sampled.populated { 20 } else { 5 };
        let table = copy.at(0x500, u64::from(header.files).saturating_mul(32));
        verdict.supports(weight, Extent::new(table.end(), 80), text);
    }
    if copy.extent.len() < seen.total {
        let at = copy.at(copy.extent.len(), seen.total.saturating_sub(copy.extent.len()));
        let text = format!("{name}: it ends before the records of its files do");
        verdict.contradicts(10, at, text);
    }
}
