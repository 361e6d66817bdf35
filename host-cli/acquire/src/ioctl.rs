//! The system calls that have no safe form: questions to a block device, the read-only flag of its node, and SCSI commands that ask.
//!
//! Facts: Linux `include/uapi/linux/fs.h` (BLKROSET 0x125D, BLKROGET 0x125E, BLKGETSIZE64), `include/scsi/sg.h` (SG_IO 0x2285, `sg_io_hdr`).
//! SG_IO reaches the drive past every check of the block layer, also through a descriptor that is open for reading only. So the one
//! function that uses it takes a command of `wb-policy`, which has none that writes, and asks that crate's second list about the
//! bytes before they go out. The read-only flag is only ever set here, never cleared.
#![allow(unsafe_code)]

use std::{fs::File, io, time::Duration};

use wb_policy::down::DownCommand;

/// Room for sense data in bytes; the longest that SPC-4 allows is 252.
const SENSE_BYTES: usize = 64;
/// No answer that is asked for is longer: eight pages of a log, or 8 KiB.
const DATA_IN_MAX: u32 = 64 * 1024;

/// What a device answered to a SCSI command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The data that came.
    pub data: Vec<u8>,
    /// SCSI status: 0 is GOOD, 2 is CHECK CONDITION.
    pub status: u8,
    /// Error of the host adapter; 0 is none.
    pub host_status: u16,
    /// Error of the driver, without the bit that announces sense data; 0 is none.
    pub driver_status: u16,
    /// Sense data, empty without.
    pub sense: Vec<u8>,
}

/// Size of a block device in bytes (BLKGETSIZE64).
///
/// # Errors
/// When the file is no block device, or the device is gone.
pub fn size_bytes(device: &File) -> io::Result<u64> {
    system::size_bytes(device)
}

/// Bytes in a logical sector (BLKSSZGET).
///
/// # Errors
/// As [`size_bytes`].
pub fn logical_sector_bytes(device: &File) -> io::Result<u32> {
    system::logical_sector_bytes(device)
}

/// Bytes in a physical sector (BLKPBSZGET).
///
/// # Errors
/// As [`size_bytes`].
pub fn physical_sector_bytes(device: &File) -> io::Result<u32> {
    system::physical_sector_bytes(device)
}

/// Whether the kernel refuses to write to the device through this node (BLKROGET).
///
/// # Errors
/// As [`size_bytes`].
pub fn is_read_only(device: &File) -> io::Result<bool> {
    system::is_read_only(device)
}

/// Has the kernel refuse to write to the device from now on, whoever asks (BLKROSET). It holds for this node until the device goes;
/// SG_IO passes it by.
///
/// # Errors
/// As [`size_bytes`]; permission denied without CAP_SYS_ADMIN.
pub fn set_read_only(device: &File) -> io::Result<()> {
    system::set_read_only(device)
}

/// Sends one command of the policy to a SCSI device, or to an ATA device through its translation, and gives the answer.
///
/// # Errors
/// When the bytes of the command are not on the policy's second list, the kernel refuses (permission, no SCSI device), or the device
/// is gone. A command that the device refuses is an [`Answer`].
pub fn ask(device: &File, command: &DownCommand, timeout: Duration) -> io::Result<Answer> {
    system::ask(device, command, timeout)
}

#[cfg(target_os = "linux")]
mod system {
    use std::{
        ffi::{c_int, c_uchar, c_uint, c_ushort, c_void},
        fs::File,
        io,
        ptr::null_mut,
        time::Duration,
    };

    use rustix::ioctl::{Getter, Opcode, Setter, Updater, ioctl, opcode};
    use wb_policy::down::{DownCommand, Encoded, emission_is_allowed};

    use super::{Answer, DATA_IN_MAX, SENSE_BYTES};

    const BLKROSET: Opcode = opcode::none(0x12, 93);
    const BLKROGET: Opcode = opcode::none(0x12, 94);
    // The header says `size_t`; the kernel writes 64 bits whatever that is.
    const BLKGETSIZE64: Opcode = opcode::read::<usize>(0x12, 114);
    const SG_IO: Opcode = 0x2285;
    const SG_INTERFACE: c_int = b'S' as c_int;
    const SG_NO_DATA: c_int = -1;
    const SG_DATA_FROM_DEVICE: c_int = -3;
    /// Bit of the driver's status that says that there is sense data.
    const DRIVER_SENSE: c_ushort = 0x08;

    /// `struct sg_io_hdr`.
    #[repr(C)]
    struct SgIoHeader {
        interface_id: c_int,
        dxfer_direction: c_int,
        cmd_len: c_uchar,
        mx_sb_len: c_uchar,
        iovec_count: c_ushort,
        dxfer_len: c_uint,
        dxferp: *mut c_void,
        cmdp: *mut c_uchar,
        sbp: *mut c_uchar,
        timeout: c_uint,
        flags: c_uint,
        pack_id: c_int,
        usr_ptr: *mut c_void,
        status: c_uchar,
        masked_status: c_uchar,
        msg_status: c_uchar,
        sb_len_wr: c_uchar,
        host_status: c_ushort,
        driver_status: c_ushort,
        resid: c_int,
        duration: c_uint,
        info: c_uint,
    }

    pub(super) fn size_bytes(device: &File) -> io::Result<u64> {
        // SAFETY: BLKGETSIZE64 writes one u64 and reads nothing.
        let size = unsafe { ioctl(device, Getter::<BLKGETSIZE64, u64>::new()) };
        Ok(size?)
    }

    pub(super) fn logical_sector_bytes(device: &File) -> io::Result<u32> {
        Ok(rustix::fs::ioctl_blksszget(device)?)
    }

    pub(super) fn physical_sector_bytes(device: &File) -> io::Result<u32> {
        Ok(rustix::fs::ioctl_blkpbszget(device)?)
    }

    pub(super) fn is_read_only(device: &File) -> io::Result<bool> {
        // SAFETY: BLKROGET writes one int and reads nothing.
        let flag = unsafe { ioctl(device, Getter::<BLKROGET, c_int>::new()) };
        Ok(flag? != 0)
    }

    pub(super) fn set_read_only(device: &File) -> io::Result<()> {
        // SAFETY: BLKROSET reads one int through the pointer and writes nothing; it changes a flag of the kernel, no byte of the medium.
        let done = unsafe { ioctl(device, Setter::<BLKROSET, c_int>::new(1)) };
        Ok(done?)
    }

    pub(super) fn ask(
        device: &File,
        command: &DownCommand,
        timeout: Duration,
    ) -> io::Result<Answer> {
        let Encoded { cdb, data_in } = command.encode(512);
        if !emission_is_allowed(&cdb) || data_in > DATA_IN_MAX {
            let text = format!("the policy does not let {cdb:?} out");
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
        }
        let mut block = [0_u8; 16];
        for (own, byte) in block.iter_mut().zip(cdb.as_bytes()) {
            *own = *byte;
        }
        let mut data = vec![0; usize::try_from(data_in).unwrap_or(0)];
        let mut sense = [0_u8; SENSE_BYTES];
        let mut header = SgIoHeader {
            interface_id: SG_INTERFACE,
            dxfer_direction: if data.is_empty() { SG_NO_DATA } else { SG_DATA_FROM_DEVICE },
            cmd_len: cdb.len(),
            mx_sb_len: u8::try_from(sense.len()).unwrap_or(u8::MAX),
            iovec_count: 0,
            dxfer_len: data_in,
            dxferp: if data.is_empty() { null_mut() } else { data.as_mut_ptr().cast() },
            cmdp: block.as_mut_ptr(),
            sbp: sense.as_mut_ptr(),
            timeout: c_uint::try_from(timeout.as_millis()).unwrap_or(c_uint::MAX),
            flags: 0,
            pack_id: 0,
            usr_ptr: null_mut(),
            status: 0,
            masked_status: 0,
            msg_status: 0,
            sb_len_wr: 0,
            host_status: 0,
            driver_status: 0,
            resid: 0,
            duration: 0,
            info: 0,
        };
        // SAFETY: SG_IO takes a `sg_io_hdr`, which `SgIoHeader` is field by field. Its pointers are to `data` (of `dxfer_len` bytes, written by the
        // kernel), `block` (16 bytes, of which `cmd_len` are read) and `sense` (`mx_sb_len` bytes, written): all three outlive the call,
        // which returns when the command is done, and none is used otherwise meanwhile. The direction is never to the device.
        let done = unsafe { ioctl(device, Updater::<SG_IO, SgIoHeader>::new(&mut header)) };
        done?;
        let missing = usize::try_from(header.resid).unwrap_or(0);
        data.truncate(data.len().saturating_sub(missing));
        let sense = sense.get(..usize::from(header.sb_len_wr)).unwrap_or(&sense).to_vec();
        Ok(Answer {
            data,
            status: header.status,
            host_status: header.host_status,
            driver_status: header.driver_status & !DRIVER_SENSE,
            sense,
        })
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::{fs::File, io, time::Duration};

    use wb_policy::down::DownCommand;

    use super::Answer;

    fn not_here<T>() -> io::Result<T> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "not on this system"))
    }

    pub(super) fn size_bytes(_: &File) -> io::Result<u64> {
        not_here()
    }

    pub(super) fn logical_sector_bytes(_: &File) -> io::Result<u32> {
        not_here()
    }

    pub(super) fn physical_sector_bytes(_: &File) -> io::Result<u32> {
        not_here()
    }

    pub(super) fn is_read_only(_: &File) -> io::Result<bool> {
        not_here()
    }

    pub(super) fn set_read_only(_: &File) -> io::Result<()> {
        not_here()
    }

    pub(super) fn ask(_: &File, _: &DownCommand, _: Duration) -> io::Result<Answer> {
        not_here()
    }
}

#[cfg(test)]
mod tests {
    use wb_policy::down::{InquiryBytes, VpdPage};

    use super::*;

    /// a file that is no SCSI device gives an error of the kernel, and no answer is made up.
    #[test]
    fn what_is_no_device_does_not_answer() {
        let file = tempfile::tempfile().unwrap();
        let inquiry = DownCommand::Inquiry(InquiryBytes::new(36).unwrap());
        assert!(ask(&file, &inquiry, Duration::from_secs(1)).is_err());
        assert!(size_bytes(&file).is_err());
        assert!(logical_sector_bytes(&file).is_err());
        assert!(physical_sector_bytes(&file).is_err());
        assert!(is_read_only(&file).is_err());
        assert!(set_read_only(&file).is_err());
        let page = DownCommand::Vpd(VpdPage::new(0x80).unwrap());
        assert!(ask(&file, &page, Duration::from_secs(1)).is_err());
    }

    /// User data is read through the block layer, never past it: a read as a SCSI command of more than an answer's size is refused
    /// before the kernel sees it.
    #[test]
    fn a_long_read_is_not_sent() {
        let file = tempfile::tempfile().unwrap();
        let geometry = wb_policy::geometry::Geometry { blocks: 1 << 20, block_bytes: 512 };
        let read = geometry.range(0, 4096).map(DownCommand::Read).unwrap();
        let refused = ask(&file, &read, Duration::from_secs(1)).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
    }
}
