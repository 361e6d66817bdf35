//! Memory map and linker scripts of the chip; both boards have the same flash and the same map.

use std::{env, error::Error, fs, path::PathBuf};

use imxrt_rt::{Family, FlexRamBanks, Memory, RuntimeBuilder};

/// Room for the image. What follows is where the Teensy's loader keeps its hands off when it erases: see `flash.rs`.
const IMAGE_ROOM: usize = 0x7C_0000;
const STACK: usize = 64 * 1024;

/// The range whose SHA-256 is the firmware digest, from the boot header to the initial data, which are the last thing loaded.
const IMAGE: &str = "__image_start = ORIGIN(FLASH);
__image_end = __sidata + (__edata - __sdata);
ASSERT(__sidata >= __sirodata, \"initial data are not the end of the image\");
ASSERT(LENGTH(ITCM) == 192K && LENGTH(DTCM) == 320K && LENGTH(OCRAM) == 512K, \"protection.rs has other sizes\");
ASSERT(_stack_start == ORIGIN(DTCM) + __stack_size, \"what lies below the stack would not stop an overflow\");
ASSERT(__ocram == ORIGIN(OCRAM), \"what lies below the second stack would not stop an overflow\");
";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("none") {
        return Ok(());
    }
    // Everything that code touches in its hot path, and everything that a bus master touches, lies in tightly coupled memory.
    RuntimeBuilder::from_flexspi(Family::Imxrt1060, IMAGE_ROOM)
        .flexram_banks(FlexRamBanks { ocram: 0, itcm: 6, dtcm: 10 })
        .text(Memory::Itcm)
        .rodata(Memory::Dtcm)
        .data(Memory::Dtcm)
        .vectors(Memory::Dtcm)
        .bss(Memory::Dtcm)
        .uninit(Memory::Ocram)
        .stack(Memory::Dtcm)
        .stack_size(STACK)
        .linker_script_name("imxrt-link.x")
        .build()?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("image.x"), IMAGE)?;
    println!("cargo:rustc-link-search={}", out.display());
    for argument in ["-Timxrt-link.x", "-Timage.x", "-Tdefmt.x"] {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
    // Without it defmt keeps errors only.
    println!("cargo:rustc-env=DEFMT_LOG=info");
    // Version, and the commit where the one who builds names it.
    println!("cargo:rerun-if-env-changed=DALEEL_COMMIT");
    let commit = env::var("DALEEL_COMMIT").unwrap_or_default();
    let separator = if commit.is_empty() { "" } else { "+" };
    let version = env::var("CARGO_PKG_VERSION").unwrap_or_default();
    println!("cargo:rustc-env=IMXRT_BUILD={version}{separator}{commit}");
    Ok(())
}
