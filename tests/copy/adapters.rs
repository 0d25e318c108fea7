//! Disks behind the standard library's traits, and storages behind other pointers.

use std::io::{Read, Seek, SeekFrom, Write};
use std::sync::Arc;

use diskport::copy::{Convert, OutputFormat};
use diskport::format::Allocation;
use diskport::storage::{Cursor, MemoryStorage, ReadAt, WriteAt};
use diskport::{Error, Format, MIB, Open};

use crate::source::noise;

#[test]
fn a_disk_is_read_and_written_as_a_file_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("disk.vhdx");
    let mut model = noise(3 << 20, 1);
    let source = Open::new().format(Format::Raw).open(model.clone()).expect("opens");
    Convert::new(&source).to(OutputFormat::Vhdx(Allocation::Dynamic)).create(&path).expect("copies");

    let disk = Open::new().open_writable(&path).expect("opens");
    let mut cursor = Cursor::new(&disk);
    cursor.seek(SeekFrom::Start(1000)).expect("seeks");
    cursor.write_all(&[7; 5000]).expect("writes");
    assert_eq!(cursor.position(), 6000);
    cursor.seek(SeekFrom::Current(-500)).expect("seeks");
    let mut bytes = [0; 1000];
    cursor.read_exact(&mut bytes).expect("reads");
    model[1000..6000].fill(7);
    assert!(bytes == model[5500..6500]);
    cursor.seek(SeekFrom::End(-10)).expect("seeks");
    assert!(cursor.write_all(&[1; 11]).is_err(), "a disk keeps its size");
    assert_eq!(
        cursor.seek(SeekFrom::Current(-(4 << 20))).expect_err("no such place").kind(),
        std::io::ErrorKind::InvalidInput
    );
    let mut window = Cursor::new(disk.window(MIB, MIB).expect("lies within"));
    window.write_all(&[9; 600]).expect("writes");
    window.flush().expect("flushes");
    model[1 << 20..][..600].fill(9);
    disk.close().expect("closes");

    let mut all = Vec::new();
    Cursor::new(diskport::open(&path).expect("opens")).read_to_end(&mut all).expect("reads");
    assert!(all == model);
}

/// Slices, vectors, and whatever points to a storage.
#[test]
fn pointers_to_storages_are_storages() {
    fn grow(storage: impl WriteAt) -> u64 {
        storage.write_all_at(&[5; 10], 7).expect("writes");
        storage.sync().expect("syncs");
        storage.size().expect("is known")
    }
    let shared = Arc::new(MemoryStorage::default());
    let boxed: Box<dyn WriteAt> = Box::new(MemoryStorage::default());
    assert_eq!((grow(shared.clone()), grow(&*shared), grow(boxed)), (17, 17, 17));
    let bytes = noise(4096, 2);
    for storage in [&bytes as &dyn ReadAt, &&bytes[..]] {
        let mut buf = [0; 100];
        assert_eq!(storage.read_at(&mut buf, 4000).expect("reads"), 96);
        assert!(buf[..96] == bytes[4000..]);
        assert_eq!(storage.read_at(&mut buf, u64::MAX).expect("reads"), 0);
    }
}

/// What a disk says reaches those who know errors of input and output alone.
#[test]
fn errors_pass_through_the_standard_library() {
    let disk = Open::new().format(Format::Raw).open(vec![0; 512]).expect("opens");
    let error = disk.read_at(&mut [0; 2], 511).expect_err("beyond the end");
    let text = error.to_string();
    let passed = std::io::Error::from(error);
    assert_eq!((passed.kind(), passed.to_string()), (std::io::ErrorKind::InvalidInput, text));
    let inner = passed.into_inner().expect("what it was").downcast::<Error>();
    assert!(matches!(inner.map(|inner| *inner), Ok(Error::OutOfRange { .. })));
    let error = std::io::ErrorKind::StorageFull.into();
    let full = Error::Io { operation: "write", file: "out".to_owned(), error };
    assert!(std::error::Error::source(&full).is_none(), "nothing is said twice");
    assert_eq!(std::io::Error::from(full).kind(), std::io::ErrorKind::StorageFull);
}
