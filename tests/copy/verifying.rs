//! What reads back otherwise than it was written is found, in every format and of every source.

use std::io;
use std::sync::Arc;

use diskport::copy::{Convert, OutputFormat, Report};
use diskport::format::Allocation;
use diskport::format::vmdk::Subformat;
use diskport::storage::{MemoryStorage, ReadAt, WriteAt};
use diskport::{Disk, Error, Result};

use crate::source::{Sparse, disk, noise};

const MIB: u64 = 1 << 20;
/// Where the data lie that are spoilt.
const START: u64 = 3 * MIB;

/// A storage of which one byte comes back otherwise.
struct Rotten {
    inner: MemoryStorage,
    at: u64,
}

impl ReadAt for Rotten {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let len = self.inner.read_at(buf, offset)?;
        if let Some(index) = self.at.checked_sub(offset).filter(|&index| index < len as u64) {
            buf[index as usize] ^= 4;
        }
        Ok(len)
    }

    fn size(&self) -> io::Result<u64> {
        self.inner.size()
    }
}

impl WriteAt for Rotten {
    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.inner.write_all_at(data, offset)
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.inner.set_size(size)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

fn source() -> Disk {
    disk(&Arc::new(Sparse::new(8 * MIB, vec![(MIB, vec![b'x'; 70_000]), (START, noise(2 << 20, 1))])))
}

fn formats() -> Vec<OutputFormat> {
    let both = [Allocation::Dynamic, Allocation::Fixed];
    let mut all = vec![OutputFormat::Raw, OutputFormat::TarGz];
    all.extend(both.map(OutputFormat::Vhd));
    all.extend(both.map(OutputFormat::Vhdx));
    all.extend([Subformat::MonolithicSparse, Subformat::StreamOptimized].map(OutputFormat::Vmdk));
    #[cfg(feature = "digest")]
    all.push(OutputFormat::Ova);
    all
}

/// Copies and verifies; the byte `at` comes back otherwise.
fn verified(disk: &Disk, format: OutputFormat, at: u64) -> Result<Report> {
    let storage = Arc::new(Rotten { inner: MemoryStorage::default(), at });
    Convert::new(disk).to(format).seed(7).sync(false).verify(true).create(storage)
}

/// A byte of the data, wherever the format has them.
fn place(format: OutputFormat) -> u64 {
    let storage = Arc::new(MemoryStorage::default());
    Convert::new(&source()).to(format).seed(7).sync(false).create(storage.clone()).expect("copies");
    let bytes = storage.to_vec();
    let data = &noise(2 << 20, 1)[1000..1064];
    let stored = bytes.windows(data.len()).position(|part| part == data);
    stored.unwrap_or(bytes.len() / 2) as u64
}

#[test]
fn a_byte_that_comes_back_otherwise_is_found() {
    for format in formats() {
        let report = verified(&source(), format, u64::MAX).expect("nothing is wrong");
        assert!(report.verified);
        match verified(&source(), format, place(format)) {
            Err(Error::VerifyFailed { offset }) if format.format() == diskport::Format::Raw => {
                let is_exact = format == OutputFormat::Raw;
                assert!(
                    if is_exact { offset == START + 1000 } else { offset >= START },
                    "{format}: {offset}"
                );
            }
            Err(Error::VerifyFailed { offset }) => assert_eq!(offset, START + 1000, "{format}"),
            // A grain does not inflate any more.
            Err(Error::Defect(_)) => assert!(format.subformat() != "raw", "{format}"),
            other => panic!("{format}: {other:?}"),
        }
    }
}

/// A checksum covers the whole. What gzip says of time and system is no part of it, nor are the bits that fill up a byte.
#[test]
fn no_byte_of_a_compressed_tar_may_be_another() {
    let storage = Arc::new(MemoryStorage::default());
    Convert::new(&source()).to(OutputFormat::TarGz).create(storage.clone()).expect("copies");
    let size = storage.size().expect("a size");
    for at in (0..4).chain(10..200).chain((200..size).step_by(99_991)).chain(size - 8..size) {
        let result = verified(&source(), OutputFormat::TarGz, at);
        assert!(matches!(result, Err(Error::VerifyFailed { .. })), "byte {at} of {size}: {result:?}");
    }
}

/// Which cannot be read again to compare.
#[cfg(feature = "digest")]
#[test]
fn the_copy_of_a_stream_is_verified_by_its_digest() {
    use diskport::digest::Digest;
    use diskport::format::raw;
    let bytes = crate::source::content(&source());
    let stream = || {
        let size = bytes.len() as u64;
        raw::RawStream::new(io::Cursor::new(bytes.clone()), size).into_disk().expect("a disk")
    };
    for format in formats().into_iter().filter(|&format| format != OutputFormat::TarGz) {
        assert!(verified(&stream(), format, u64::MAX).expect("nothing is wrong").verified);
        match verified(&stream(), format, place(format)) {
            Err(Error::DigestDiffers { expected, found }) => assert_ne!(expected, found),
            Err(Error::Defect(_)) => assert!(format.subformat() != "raw", "{format}"),
            other => panic!("{format}: {other:?}"),
        }
    }
    for digest in [Digest::Sha256, Digest::Blake3] {
        let copy = Convert::new(&stream()).digest(digest).verify(true);
        let report = copy.create(MemoryStorage::default()).expect("copies");
        assert!(report.digests.iter().map(|(digest, _)| *digest).eq([digest]), "those that were asked for");
    }
}
