//! The emulated board: QEMU's `mcimx6ul-evk` with the bridge's image, a USB disk of QEMU on its host port, and its serial port as its
//! device side.
//!
//! The disk's image has errors injected (`blkdebug`) and is opened for writing, so that a write that got through would be in the file.
//! QEMU's own disk tells, by its trace events, every command wrapper that reached it and every byte towards it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use wb_sim::{
    guest::{Ended, has_program},
    usbredir::{Options, Proxy},
};

const QEMU: &str = "qemu-system-arm";
/// Serial number that the disk is given.
pub const SERIAL: &str = "QEMU-EXHIBIT-7";
/// Revision of the disk: QEMU's version for machines since 2.5.
pub const REVISION: &str = "2.5+";
/// Seed of the key, as a board has it after it was provisioned.
const SEED: &str = "1111111111111111111111111111111111111111111111111111111111111111";

/// What QEMU's disk tells: a command, data towards it, an operation on it that writes, a broken transport.
const EVENTS: [&str; 7] = [
    "usb_msd_cmd_submit",
    "usb_msd_data_out",
    "usb_msd_fatal_error",
    "scsi_disk_dma_command_WRITE",
    "scsi_disk_emulate_command_WRITE_SAME",
    "scsi_disk_emulate_command_UNMAP",
    "scsi_disk_emulate_command_MODE_SELECT",
];

/// A running board.
pub struct Board {
    machine: Ended,
    serial: PathBuf,
    pipe: PathBuf,
    log: PathBuf,
    trace: PathBuf,
}

/// Folder of the images that `cargo xtask firmware` makes, or `DALEEL_FIRMWARE`.
pub fn firmware(name: &str) -> Result<PathBuf, String> {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = std::env::var_os("DALEEL_FIRMWARE")
        .map_or_else(|| home.join("../../target/firmware"), PathBuf::from);
    let image = folder.join(name);
    if image.exists() { Ok(image) } else { Err(format!("no {name}: `cargo xtask firmware`")) }
}

impl Board {
    /// The board's image, if it and its emulator are here.
    pub fn find() -> Result<PathBuf, String> {
        if !has_program(QEMU) {
            return Err(format!("no {QEMU}"));
        }
        firmware("imx6ul-qemu.elf")
    }

    /// A board in front of the image `file`, whose blocks `bad` cannot be read.
    pub fn start(firmware: &Path, folder: &Path, file: &Path, bad: &[u64]) -> Self {
        let [serial, pipe, log, trace] =
            ["serial", "pipe", "log", "trace"].map(|name| folder.join(name));
        let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success(), "mkfifo");
        let said = fs::File::create(&log).unwrap();
        let errors: Vec<String> = bad
            .iter()
            .map(|lba| format!(r#"{{"event":"none","sector":{lba},"errno":5,"once":false}}"#))
            .collect();
        let disk = format!(
            r#"{{"driver":"blkdebug","node-name":"d","image":{{"driver":"file","filename":"{}"}},"inject-error":[{}]}}"#,
            file.display(),
            errors.join(","),
        );
        let words = format!(
            "enable=on,target=native,arg=imx6ul-qemu,arg=ident,arg=seed={SEED},arg=out={}",
            pipe.display()
        );
        let child = Command::new(QEMU)
            .args(["-M", "mcimx6ul-evk", "-m", "128M", "-nographic", "-monitor", "none"])
            .args(["-serial", &format!("unix:{},server=on,wait=on", serial.display())])
            .args(["-semihosting-config", &words, "-kernel"])
            .arg(firmware)
            .args(["-blockdev", &disk, "-device"])
            .arg(format!("usb-storage,drive=d,bus=usb-bus.0,serial={SERIAL}"))
            .args(EVENTS.iter().flat_map(|event| ["-trace", event]))
            .arg("-D")
            .arg(&trace)
            .stdin(Stdio::null())
            .stdout(said.try_clone().unwrap())
            .stderr(said)
            .spawn()
            .unwrap();
        Self { machine: Ended(child), serial, pipe, log, trace }
    }

    /// The link to its device side.
    pub fn link(&self, socket: &Path, patience: Duration) -> Proxy {
        let ends = (self.serial.as_path(), self.pipe.as_path());
        Proxy::start_with_pipe(ends, socket, Options::default(), patience).unwrap()
    }

    /// Ends the emulator, and judges what reached its disk; the number of command wrappers.
    pub fn judge(self) -> u64 {
        drop(self.machine);
        let said = fs::read_to_string(&self.log).unwrap();
        assert!(!said.contains("PANIC"), "{said}");
        let trace = fs::read_to_string(&self.trace).unwrap();
        let mut commands = 0;
        for event in trace.lines() {
            assert!(event.contains("usb_msd_cmd_submit"), "the disk was told {event}");
            let is_in = event.contains("flags 0x00000080");
            assert!(is_in || event.ends_with("data-len 0"), "data towards the disk: {event}");
            commands += 1;
        }
        commands
    }
}
