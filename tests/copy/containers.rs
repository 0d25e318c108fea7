//! Disks inside containers: sources that change, pipes that are full.

use std::io::Write;
use std::sync::Arc;
#[cfg(feature = "digest")]
use std::sync::atomic::{AtomicU64, Ordering};

use diskport::Error;
use diskport::copy::{Convert, OutputFormat};
#[cfg(feature = "digest")]
use diskport::storage::ReadAt;
#[cfg(feature = "digest")]
use diskport::{Format, Open};

use crate::source::{Sparse, disk, noise};

const MIB: u64 = 1 << 20;

/// Bytes that change after so many reads.
#[cfg(feature = "digest")]
struct Changing {
    versions: [Vec<u8>; 2],
    reads: AtomicU64,
    after: u64,
}

#[cfg(feature = "digest")]
impl ReadAt for Changing {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> std::io::Result<usize> {
        let read = self.reads.fetch_add(1, Ordering::Relaxed);
        let bytes = &self.versions[usize::from(read >= self.after)];
        let len = buf.len().min(bytes.len().saturating_sub(offset as usize));
        buf[..len].copy_from_slice(&bytes[offset as usize..offset as usize + len]);
        Ok(len)
    }

    fn size(&self) -> std::io::Result<u64> {
        Ok(self.versions[0].len() as u64)
    }
}

#[cfg(feature = "digest")]
#[test]
fn a_source_that_changes_between_measuring_and_writing_is_noticed() {
    let run = |after| {
        let versions = [noise(8 << 20, 2), noise(8 << 20, 3)];
        let source = Arc::new(Changing { versions, reads: AtomicU64::new(0), after });
        let disk = Open::new().format(Format::Raw).open(source.clone()).expect("opens");
        let mut out = Vec::new();
        let done = Convert::new(&disk).to(OutputFormat::Ova).threads(0).write_to(&mut out);
        (done, source.reads.load(Ordering::Relaxed))
    };
    let (done, reads) = run(u64::MAX);
    assert!(done.is_ok());
    let (done, _) = run(reads * 3 / 4);
    assert!(matches!(done, Err(Error::SourceChanged { .. })), "{done:?}");
}

#[test]
fn a_full_pipe_is_an_error_for_containers_too() {
    struct Full(usize);
    impl Write for Full {
        fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
            self.0 = self.0.checked_sub(data.len()).ok_or(std::io::ErrorKind::StorageFull)?;
            Ok(data.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let source = disk(&Arc::new(Sparse::new(4 * MIB, vec![(0, noise(4 << 20, 4))])));
    let mut formats = vec![OutputFormat::TarGz];
    #[cfg(feature = "digest")]
    formats.push(OutputFormat::Ova);
    for format in formats {
        for room in [0, 100, 5000, 2 << 20] {
            let result = Convert::new(&source).to(format).write_to(Full(room));
            assert!(matches!(result, Err(Error::Io { .. })), "{format}, room for {room}");
        }
    }
}
