//! Gives the linker its scripts, the log its level, and the image its name.

use std::env;

fn main() {
    let variable = |name: &str| env::var(name).unwrap_or_default();
    println!("cargo:rustc-link-search={}", variable("CARGO_MANIFEST_DIR"));
    println!("cargo:rerun-if-changed=memory.x");
    for argument in ["--nmagic", "-Tlink.x", "-Tdefmt.x"] {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
    // Without it defmt keeps errors only.
    println!("cargo:rustc-env=DEFMT_LOG=info");
    // Version, and the commit where the one who builds names it.
    println!("cargo:rerun-if-env-changed=DALEEL_COMMIT");
    let commit = variable("DALEEL_COMMIT");
    let separator = if commit.is_empty() { "" } else { "+" };
    let version = variable("CARGO_PKG_VERSION");
    println!("cargo:rustc-env=PICO_BUILD={version}{separator}{commit}");
}
