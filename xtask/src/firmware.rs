//! Builds the images of the firmware's boards, checks them, and runs the ladder of emulated and real hosts.
//!
//! Facts: the published requirements, section 4.5 (an image is the flash range between `__image_start` and `__image_end`, and its
//! SHA-256 is the firmware digest) and D-09 (two builds give the same image).

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};
use object::{Object, ObjectSection, ObjectSegment, ObjectSymbol};
use sha2::{Digest, Sha256};

use crate::{root, say};

/// A board's image.
struct Image {
    /// Name of the binary, and of the files made of it.
    name: &'static str,
    package: &'static str,
    target: &'static str,
    /// Flash that the image has to fit, in bytes, below boot counter and key page; `None` where it is loaded into memory by an emulator.
    flash: Option<u64>,
    /// Memory for data and stack, in bytes.
    memory: u64,
    /// A section that a linked image has: without it the linker script was not used.
    vectors: &'static str,
}

const IMAGES: [Image; 4] = [
    Image {
        name: "pico",
        package: "pico",
        target: "thumbv6m-none-eabi",
        flash: Some((2048 - 8) << 10),
        memory: 256 << 10,
        vectors: ".vector_table",
    },
    Image {
        name: "teensy41",
        package: "imxrt",
        target: "thumbv7em-none-eabihf",
        flash: Some(0x7C_0000),
        memory: 1 << 20,
        vectors: ".vector_table",
    },
    Image {
        name: "mimxrt1060-evk",
        package: "imxrt",
        target: "thumbv7em-none-eabihf",
        flash: Some(0x7C_0000),
        memory: 1 << 20,
        vectors: ".vector_table",
    },
    Image {
        name: "imx6ul-qemu",
        package: "imx6ul-qemu",
        target: "armv7a-none-eabi",
        flash: None,
        memory: 128 << 20,
        vectors: ".text",
    },
];

/// Code below this size means that the linker threw the firmware away.
const LEAST_CODE: u64 = 16 << 10;

/// Names that no image may hold: host stacks that can encode writes, and ways into a loader (policy 9.7, requirements 4.5).
const FORBIDDEN: [&str; 6] = [
    "usbd_storage",
    "embedded_sdmmc",
    "embassy_usb_host",
    "cotton_usb_host",
    "reset_to_usb_boot",
    "rom_reset_usb_boot",
];

/// Builds all images, or one, into `target/firmware`.
///
/// # Errors
/// When a toolchain is missing, a build fails, or an image is not as it has to be.
pub fn build(only: Option<&str>) -> Result<()> {
    let chosen: Vec<&Image> =
        IMAGES.iter().filter(|image| only.is_none_or(|name| name == image.name)).collect();
    let names = IMAGES.map(|image| image.name).join(", ");
    ensure!(!chosen.is_empty(), "there is no such board; there are {names}");
    let toolchain = toolchain()?;
    let out = output()?;
    for image in chosen {
        let elf = compile(image, toolchain.as_deref(), root())?;
        let bytes = fs::read(&elf).with_context(|| format!("{}", elf.display()))?;
        let kept = out.join(format!("{}.elf", image.name));
        fs::write(&kept, &bytes)?;
        report(image, &bytes, &out)?;
    }
    Ok(())
}

/// Builds every image twice, here and from a copy of its sources at another place, and compares the digests (D-09).
///
/// # Errors
/// When two builds of one image differ.
pub fn reproduce() -> Result<()> {
    let toolchain = toolchain()?;
    let elsewhere = elsewhere()?;
    for image in &IMAGES {
        let mut digests = Vec::new();
        for place in [root(), &elsewhere] {
            let elf = fs::read(compile(image, toolchain.as_deref(), place)?)?;
            // What an emulator loads has no flash: the file is the image.
            let bytes = if image.flash.is_some() { flash_range(&elf)? } else { elf };
            digests.push(Sha256::digest(bytes));
        }
        ensure!(digests.first() == digests.last(), "two builds of {} differ", image.name);
        say(&format!("{}: two builds at two places are the same", image.name));
    }
    Ok(())
}

/// A copy of what the images are built from, at a place whose name is of another length.
fn elsewhere() -> Result<PathBuf> {
    let copy = root().join("target").join("another-builder").join("daleel");
    if copy.exists() {
        fs::remove_dir_all(&copy)?;
    }
    copy_folder(&root().join("firmware"), &copy.join("firmware"))?;
    fs::copy(root().join("Cargo.toml"), copy.join("Cargo.toml"))?;
    Ok(copy)
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let place = to.join(entry.file_name());
        if !entry.file_type()?.is_dir() {
            fs::copy(entry.path(), place)?;
        } else if entry.file_name() != "target" {
            copy_folder(&entry.path(), &place)?;
        }
    }
    Ok(())
}

/// Builds the images, prepares the guest and the emulators, and shows a real Linux failing to write.
///
/// # Errors
/// When one of the steps fails, or something could be written.
pub fn run() -> Result<()> {
    programs()?;
    build(None)?;
    for script in ["firmware/guest/prepare.sh", "firmware/emulation/prepare.sh"] {
        let status = Command::new("bash").arg(root().join(script)).status()?;
        ensure!(status.success(), "{script} failed");
    }
    let status = Command::new("cargo")
        .args(["test", "--package", "wb-sim", "--test", "ladder", "--", "--nocapture"])
        .current_dir(root())
        // A test that is left out has shown nothing.
        .env("DALEEL_REQUIRE_ORACLES", "1")
        .status()
        .context("cargo cannot be started")?;
    ensure!(status.success(), "something could be written, or a step failed");
    Ok(())
}

/// Whether the programs of the ladder are here; the error names their packages.
fn programs() -> Result<()> {
    let needed = [
        ("qemu-system-x86_64", "qemu-system-x86"),
        ("qemu-system-arm", "qemu-system-arm"),
        ("node", "nodejs"),
        ("npm", "npm"),
        ("openssl", "openssl"),
    ];
    let is_missing = |program: &str| {
        let version = Command::new(program).arg("--version").stdout(Stdio::null()).status();
        !version.is_ok_and(|status| status.success())
    };
    let missing: Vec<&str> = needed
        .into_iter()
        .filter(|(program, _)| is_missing(program))
        .map(|(_, package)| package)
        .collect();
    ensure!(missing.is_empty(), "missing: apt-get install {}", missing.join(" "));
    Ok(())
}

/// The toolchain that has the targets, by the script that makes one available.
fn toolchain() -> Result<Option<String>> {
    let output = Command::new("bash")
        .arg(root().join("firmware/toolchain.sh"))
        .stderr(Stdio::inherit())
        .output()
        .context("bash cannot be started")?;
    ensure!(output.status.success(), "no toolchain for the boards");
    let name = String::from_utf8(output.stdout)?.trim().to_owned();
    Ok((!name.is_empty()).then_some(name))
}

fn output() -> Result<PathBuf> {
    let out = root().join("target").join("firmware");
    fs::create_dir_all(&out)?;
    Ok(out)
}

fn compile(image: &Image, toolchain: Option<&str>, checkout: &Path) -> Result<PathBuf> {
    let firmware = checkout.join("firmware");
    let target = firmware.join("target");
    let mut command = Command::new("cargo");
    if let Some(name) = toolchain {
        command.arg(format!("+{name}"));
    }
    command
        .args(["build", "--release", "--locked", "--quiet", "--package", image.package])
        .args(["--bin", image.name, "--target", image.target])
        .current_dir(&firmware)
        .env("CARGO_TARGET_DIR", &target)
        // What cargo gave this task is for another toolchain.
        .env_remove("RUSTC")
        .env_remove("CARGO")
        .env_remove("RUSTUP_TOOLCHAIN")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("RUSTFLAGS", without_places(checkout)?);
    say(&format!("building {}", image.name));
    let status = command.status().context("cargo cannot be started")?;
    ensure!(status.success(), "{} does not build", image.name);
    Ok(target.join(image.target).join("release").join(image.name))
}

/// Flags that keep the builder's places out of an image (D-09): the crate registry and the checkout get names of their own.
fn without_places(checkout: &Path) -> Result<String> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::home_dir().map(|home| home.join(".cargo")));
    let registry = home.context("no home folder")?.join("registry").join("src");
    let places = [(registry.as_path(), "/registry"), (checkout, "/daleel")];
    let flags = places.iter().map(|(place, name)| {
        let place = place.display();
        format!("--remap-path-prefix={place}={name}")
    });
    Ok(flags.collect::<Vec<_>>().join(" "))
}

/// Checks an image and prints what it takes.
fn report(image: &Image, elf: &[u8], out: &Path) -> Result<()> {
    let file = object::File::parse(elf)?;
    ensure!(
        file.section_by_name(image.vectors).is_some_and(|section| section.size() > 0),
        "{}: no section {}",
        image.name,
        image.vectors
    );
    let sizes = Sizes::of(&file);
    ensure!(sizes.code >= LEAST_CODE, "{}: only {} bytes of code", image.name, sizes.code);
    let memory = sizes.data.saturating_add(sizes.zeroed);
    ensure!(memory <= image.memory, "{}: {memory} bytes of memory", image.name);
    no_forbidden_names(image, &file)?;
    let sizes =
        format!("code and constants {}, data {}, zeroed {}", sizes.code, sizes.data, sizes.zeroed);
    let Some(flash) = image.flash else {
        say(&format!("{}: {sizes}", image.name));
        return Ok(());
    };
    let range = flash_range(elf)?;
    let length = u64::try_from(range.len())?;
    ensure!(length <= flash, "{}: {length} bytes do not fit the flash", image.name);
    fs::write(out.join(format!("{}.bin", image.name)), &range)?;
    let digest: String = Sha256::digest(&range).iter().map(|byte| format!("{byte:02x}")).collect();
    say(&format!("{}: {sizes}\n    {length} bytes of flash, SHA-256 {digest}", image.name));
    Ok(())
}

#[derive(Default)]
struct Sizes {
    code: u64,
    data: u64,
    zeroed: u64,
}

impl Sizes {
    fn of(file: &object::File<'_>) -> Self {
        let mut sizes = Self::default();
        for section in file.sections() {
            let place = match section.kind() {
                object::SectionKind::Text
                | object::SectionKind::ReadOnlyData
                | object::SectionKind::ReadOnlyString => &mut sizes.code,
                object::SectionKind::Data => &mut sizes.data,
                object::SectionKind::UninitializedData => &mut sizes.zeroed,
                _ => continue,
            };
            *place = place.saturating_add(section.size());
        }
        sizes
    }
}

fn no_forbidden_names(image: &Image, file: &object::File<'_>) -> Result<()> {
    for symbol in file.symbols() {
        let name = symbol.name().unwrap_or_default();
        if let Some(found) = FORBIDDEN.iter().find(|forbidden| name.contains(**forbidden)) {
            bail!("{}: `{name}` is linked, and {found} must not be", image.name);
        }
    }
    Ok(())
}

/// The bytes of the flash between the two symbols; what no segment fills is erased flash.
fn flash_range(elf: &[u8]) -> Result<Vec<u8>> {
    let file = object::read::elf::ElfFile32::<object::Endianness>::parse(elf)?;
    let symbol = |name: &str| {
        file.symbols()
            .find(|symbol| symbol.name() == Ok(name))
            .map(|symbol| symbol.address())
            .with_context(|| format!("no symbol {name}"))
    };
    let start = symbol("__image_start")?;
    let end = symbol("__image_end")?;
    let length =
        usize::try_from(end.checked_sub(start).context("the image ends before it begins")?)?;
    ensure!(length <= 16 << 20, "an image of {length} bytes");
    let mut flash = vec![0xFF; length];
    for segment in file.segments() {
        let place = physical(&segment);
        let data = segment.data()?;
        for (address, byte) in (place..).zip(data) {
            let index = address.checked_sub(start).and_then(|index| usize::try_from(index).ok());
            if let Some(own) = index.and_then(|index| flash.get_mut(index)) {
                *own = *byte;
            }
        }
    }
    Ok(flash)
}

/// Where a segment lies in flash: its physical address, which for initial data is not where it is used.
fn physical(segment: &object::read::elf::ElfSegment32<'_, '_, object::Endianness>) -> u64 {
    use object::read::elf::ProgramHeader;
    let header = segment.elf_program_header();
    u64::from(header.p_paddr(object::Endianness::Little))
}
