//! Files mapped read-only into the address space, so that weights are used where they lie.

use std::fs::File;
use std::io;
use std::path::Path;

use crate::os::mapping;

/// A whole file as memory; unmapped when dropped.
pub struct MappedFile {
    address: *mut u8,
    bytes: usize,
}

impl MappedFile {
    /// Maps the file, which must be a regular one with at least one byte.
    pub fn open(path: &Path) -> io::Result<MappedFile> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("it is no regular file"));
        }
        let bytes = usize::try_from(metadata.len()).map_err(io::Error::other)?;
        if bytes == 0 {
            return Err(io::Error::other("it is empty"));
        }
        let address = mapping::map_file(&file, bytes);
        if address.is_null() {
            return Err(io::Error::last_os_error());
        }
        Ok(MappedFile { address, bytes })
    }

    /// Address of the first byte.
    pub fn address(&self) -> *mut u8 {
        self.address
    }

    /// Length in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for MappedFile {
    fn drop(&mut self) {
        unsafe { mapping::unmap(self.address, self.bytes) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapped_file_holds_the_bytes_of_the_file() {
        let path = std::env::temp_dir().join(format!("llamero-map-{}", std::process::id()));
        let content: Vec<u8> = (0..10_000u32).map(|i| (i * 7) as u8).collect();
        std::fs::write(&path, &content).unwrap();
        let mapped = MappedFile::open(&path).unwrap();
        let bytes = unsafe { core::slice::from_raw_parts(mapped.address(), mapped.bytes()) };
        assert_eq!(bytes, &content[..]);
        drop(mapped);
        std::fs::write(&path, []).unwrap();
        assert!(MappedFile::open(&path).is_err());
        std::fs::remove_file(&path).unwrap();
        assert!(MappedFile::open(&path).is_err());
        assert!(MappedFile::open(&std::env::temp_dir()).is_err());
    }
}
