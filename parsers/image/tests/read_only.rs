//! nothing in this crate can open a file for writing.

#![allow(clippy::unwrap_used)]

use std::{fs, path::PathBuf};

/// Ways to change a file, or to map it into memory.
const FORBIDDEN: [&str; 16] = [
    ".write(",
    ".append(",
    ".create(",
    ".create_new(",
    ".truncate(",
    "File::create",
    "File::open",
    "OpenOptions",
    "fs::write",
    "fs::remove",
    "fs::rename",
    "fs::copy",
    "set_len",
    "set_permissions",
    "mmap",
    "unsafe",
];

/// The sources of the crate without their test modules.
fn sources() -> Vec<(PathBuf, String)> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src");
    [root.clone(), root.join("ewf"), root.join("partition")]
        .iter()
        .flat_map(|folder| fs::read_dir(folder).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests").next().unwrap().to_owned();
            (path, code)
        })
        .collect()
}

/// the only place that opens files asks for reading and nothing else.
#[test]
fn no_code_opens_or_changes_a_file_for_writing() {
    let sources = sources();
    assert!(sources.len() > 10);
    for (path, code) in &sources {
        for word in FORBIDDEN {
            assert!(!code.contains(word), "{} contains `{word}`", path.display());
        }
    }
    let opened: Vec<_> =
        sources.iter().filter(|(_, code)| code.contains("File::options")).collect();
    let [(path, code)] = opened.as_slice() else { panic!("{} files open files", opened.len()) };
    assert!(path.ends_with("files.rs"));
    assert_eq!(code.matches("File::options").count(), 1);
    assert!(code.contains("File::options().read(true).open(path)"));
}
