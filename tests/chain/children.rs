//! What a child costs.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use diskport::storage::{MemoryStorage, ReadAt, WriteAt};
use diskport::{Child, GIB, KIB, MIB, Open};

use crate::model::{Chain, FORMATS, in_memory, open};

/// Counts what is written.
#[derive(Default)]
struct Counting {
    inner: MemoryStorage,
    calls: AtomicU64,
    bytes: AtomicU64,
}

impl ReadAt for Counting {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.inner.read_at(buf, offset)
    }
    fn size(&self) -> io::Result<u64> {
        self.inner.size()
    }
}

impl WriteAt for Counting {
    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(data.len() as u64, Ordering::Relaxed);
        self.inner.write_all_at(data, offset)
    }
    fn set_size(&self, size: u64) -> io::Result<()> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.inner.set_size(size)
    }
    fn sync(&self) -> io::Result<()> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

#[test]
fn a_child_is_a_few_writes_whatever_its_parent_holds() {
    for format in FORMATS {
        let (_, parent) = in_memory(format, 100 * GIB);
        let storage = Arc::new(Counting::default());
        Child::of(&parent).parent_name("base").create(storage.clone()).expect("makes a child");
        // The disk that comes back, dropped at once, costs nothing more.
        let (calls, bytes) = (storage.calls.load(Ordering::Relaxed), storage.bytes.load(Ordering::Relaxed));
        // The tables of 100 GiB: two of 6.4 MiB each for a VMDK's grains, less for blocks.
        assert!(calls <= 64, "{format}: {calls} calls");
        assert!(bytes <= 14 * MIB, "{format}: {bytes} bytes");
        eprintln!("{format}: a child of 100 GiB is {calls} writes of {} KiB in all", bytes / KIB);
        let child = Open::new().allow_missing_parent(true).open(storage).expect("opens");
        assert_eq!(child.size(), 100 * GIB);
    }
}

/// What is made opens for writing, over its parent, wherever that is; the file is the same as without that.
#[test]
fn a_child_can_be_opened_as_it_was_made() {
    for format in FORMATS {
        let chain = Chain::new(format);
        let (parent, path) = (open(&chain.images[0]), chain.path("child"));
        let make = || {
            let child = Child::of(&parent).ids(diskport::Ids::seeded(7)).overwrite(true).create(&path)?;
            child.open()
        };
        let child = make().expect("makes a child");
        assert_eq!((child.info().format, child.size()), (format.format(), parent.size()));
        assert!(matches!(Open::new().open_writable(&path), Err(diskport::Error::Locked { .. })), "{format}");
        let as_made = std::fs::read(&path).expect("reads");
        drop(child);
        assert!(std::fs::read(&path).expect("reads") == as_made, "{format}");
        let child = make().expect("makes a child");
        let mut expected = vec![0; parent.size() as usize];
        parent.read_at(&mut expected, 0).expect("reads");
        child.write_at(&[9; 5000], 70_001).expect("writes");
        expected[70_001..75_001].fill(9);
        child.close().expect("closes");
        let mut found = vec![0; expected.len()];
        open(&path).read_at(&mut found, 0).expect("reads");
        assert!(found == expected, "{format}");
    }
}

#[test]
fn a_base_has_a_thousand_children() {
    for format in FORMATS {
        let chain = Chain::new(format);
        let parent = open(&chain.images[0]);
        let begun = std::time::Instant::now();
        for number in 0..1000 {
            let path = chain.path(&format!("child{number}"));
            Child::of(&parent).sync(false).create(path).expect("makes a child");
        }
        eprintln!("{format}: 1000 children in {:?}", begun.elapsed());
        for number in [0, 999] {
            assert_eq!(open(&chain.path(&format!("child{number}"))).chain().len(), 2);
        }
        let found = diskport::chain::children_of(&parent, chain.folder.path(), &Open::new()).expect("lists");
        assert_eq!(found.len(), 1000, "{format}");
    }
}
