//! A raw image in one file, or a block device.
//!
//! Sparse files need nothing special: a range without stored blocks reads as the zeros the file states there. Whether
//! those zeros are from the medium is known from an acquisition map only ([`crate::MappedSource`]).

use std::{
    fs::{self, File},
    io::{self, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use daleel_core::{Extent, ReadError, Source};

use crate::{
    device::{self, Identity},
    files::{beyond_end, explain_short_read, open_read_only, read_exact_at},
};

/// A raw image file or a block device, opened for reading only. Its handle stays open.
pub struct RawSource {
    file: File,
    path: PathBuf,
    length: u64,
    sector_bytes: u32,
    identity: Option<Identity>,
}

impl RawSource {
    /// Opens a regular file or a block device; links are followed.
    ///
    /// # Errors
    /// When the path is something else (a folder, character device, pipe, socket), cannot be opened, or is a device
    /// whose size cannot be found.
    pub fn open(path: &Path) -> io::Result<Self> {
        // Looked at before opening, since opening a pipe would wait for a writer.
        readable_kind(&fs::metadata(path)?)?;
        let mut file = open_read_only(path)?;
        let metadata = file.metadata()?;
        readable_kind(&metadata)?;
        let identity = Identity::of(&metadata);
        let is_device = device::is_block_device(&metadata);
        let length = if is_device { file.seek(SeekFrom::End(0))? } else { metadata.len() };
        if is_device && length == 0 {
            return Err(io::Error::other("the device states no size"));
        }
        let sector_bytes = identity
            .and_then(|identity| identity.block_device)
            .and_then(device::logical_sector_bytes)
            .unwrap_or(512);
        Ok(Self { file, path: path.to_owned(), length, sector_bytes, identity })
    }

    /// Where it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the operating system calls it; `None` on systems without such numbers.
    pub fn identity(&self) -> Option<Identity> {
        self.identity
    }

    /// True for a block device.
    pub fn is_block_device(&self) -> bool {
        self.identity.is_some_and(|identity| identity.is_block_device())
    }
}

/// Refuses what gives no bytes by offset.
fn readable_kind(metadata: &fs::Metadata) -> io::Result<()> {
    if metadata.is_file() || device::is_block_device(metadata) {
        return Ok(());
    }
    let text = format!("is a {}, not a file or a block device", kind_name(metadata));
    Err(io::Error::new(io::ErrorKind::Unsupported, text))
}

/// The word for a kind of directory entry that cannot be an image.
fn kind_name(metadata: &fs::Metadata) -> &'static str {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        let kind = metadata.file_type();
        if kind.is_char_device() {
            return "character device";
        } else if kind.is_fifo() {
            return "pipe";
        } else if kind.is_socket() {
            return "socket";
        }
    }
    if metadata.is_dir() { "folder" } else { "special file" }
}

impl Source for RawSource {
    fn len(&self) -> u64 {
        self.length
    }

    fn sector_bytes(&self) -> u32 {
        self.sector_bytes
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        let at = Extent::new(offset, buf.len() as u64);
        if let Some(error) = beyond_end(self, at) {
            return Err(error);
        }
        read_exact_at(&self.file, offset, buf)
            .map_err(|error| ReadError::Io { at, error: explain_short_read(error, self.length) })
    }
}

#[cfg(test)]
mod tests {
    use daleel_core::Hole;

    use super::*;

    fn image(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image.dd");
        fs::write(&path, bytes).unwrap();
        (folder, path)
    }

    #[test]
    fn bytes_come_from_their_offsets() {
        let bytes: Vec<u8> = (0..=255).cycle().take(5000).collect();
        let (_folder, path) = image(&bytes);
        let source = RawSource::open(&path).unwrap();
        assert_eq!((source.len(), source.sector_bytes()), (5000, 512));
        let got = (&source as &dyn Source).read(Extent::new(1234, 2000)).unwrap();
        assert_eq!(got, bytes[1234..3234]);
    }

    /// the range past the end is named, nothing is padded.
    #[test]
    fn a_read_across_the_end_names_the_missing_part() {
        let (_folder, path) = image(&[7; 100]);
        let source = RawSource::open(&path).unwrap();
        for (offset, length, hole) in [(90, 20, (100, 10)), (100, 1, (100, 1)), (500, 5, (500, 5))]
        {
            let mut buf = vec![0; length];
            let error = source.read_exact_at(offset, &mut buf).unwrap_err();
            let ReadError::Hole { at, hole: Hole::BeyondEnd } = error else { panic!("{error}") };
            assert_eq!((at.offset(), at.len()), hole);
        }
        assert!(source.read_exact_at(u64::MAX - 2, &mut [0; 16]).is_err());
    }

    /// a file that was cut after it was opened is an error with a clear message.
    #[test]
    fn a_file_that_became_shorter_is_an_error() {
        let (_folder, path) = image(&[7; 4096]);
        let source = RawSource::open(&path).unwrap();
        File::options().write(true).open(&path).unwrap().set_len(1000).unwrap();
        let error = source.read_exact_at(512, &mut [0; 1024]).unwrap_err();
        assert!(matches!(error, ReadError::Io { .. }), "{error}");
        assert!(error.to_string().contains("shorter than the 4096 bytes"), "{error}");
        source.read_exact_at(0, &mut [0; 512]).unwrap();
    }

    /// the kernel itself says that the handle can only read.
    #[cfg(target_os = "linux")]
    #[test]
    fn the_handle_cannot_write() {
        use std::os::fd::AsRawFd;
        let (_folder, path) = image(b"evidence");
        let source = RawSource::open(&path).unwrap();
        let info =
            fs::read_to_string(format!("/proc/self/fdinfo/{}", source.file.as_raw_fd())).unwrap();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
        let flags = u32::from_str_radix(flags.trim(), 8).unwrap();
        assert_eq!(flags & 3, 0, "access mode is not O_RDONLY: {info}");
    }

    /// a read-only file in a read-only folder is enough.
    #[cfg(unix)]
    #[test]
    fn read_permission_is_all_that_is_needed() {
        use std::os::unix::fs::PermissionsExt;
        let (folder, path) = image(b"evidence");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o555)).unwrap();
        let source = RawSource::open(&path).unwrap();
        source.read_exact_at(0, &mut [0; 8]).unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// A sparse image reads as the file states it, and costs no reading of unstored ranges beforehand.
    #[test]
    fn sparse_images_read_as_stored() {
        let (_folder, path) = image(b"");
        let file = File::options().write(true).open(&path).unwrap();
        file.set_len(1 << 40).unwrap();
        let source = RawSource::open(&path).unwrap();
        let bytes = (&source as &dyn Source).read_array::<512>((1 << 40) - 512).unwrap();
        assert_eq!(bytes, [0; 512]);
        assert_eq!(source.len(), 1 << 40);
    }

    #[cfg(unix)]
    #[test]
    fn pipes_folders_and_character_devices_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for (path, word) in [
            (folder.path(), "folder"),
            (Path::new("/dev/null"), "character device"),
            (socket.as_path(), "socket"),
        ] {
            let error = RawSource::open(path).err().unwrap();
            assert!(error.to_string().contains(word), "{error}");
        }
    }
}
