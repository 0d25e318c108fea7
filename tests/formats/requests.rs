//! How many requests an object store is asked to open a chain.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use diskport::copy::{Convert, OutputFormat};
use diskport::format::Allocation;
use diskport::format::vmdk::Subformat;
use diskport::storage::{CachedStorage, Explicit, MemoryStorage, ReadAt};
use diskport::{Child, GIB, MIB, Open};

use crate::support::Shared;

/// Requests to open a chain of two layers at most.
const GETS: u64 = 6;

#[derive(Default)]
struct Asked {
    gets: AtomicU64,
    sizes: AtomicU64,
}

/// An object of a server that counts.
struct Object(Vec<u8>, Arc<Asked>);

impl ReadAt for Object {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.1.gets.fetch_add(1, Ordering::Relaxed);
        self.0.read_at(buf, offset)
    }

    fn size(&self) -> io::Result<u64> {
        self.1.sizes.fetch_add(1, Ordering::Relaxed);
        self.0.size()
    }
}

#[test]
fn a_chain_opens_in_few() {
    for (format, size) in [
        (OutputFormat::Vhd(Allocation::Dynamic), 127 * GIB),
        (OutputFormat::Vhdx(Allocation::Dynamic), 127 * GIB),
        (OutputFormat::Vmdk(Subformat::MonolithicSparse), 127 * GIB),
        (OutputFormat::Vhd(Allocation::Dynamic), 8 * MIB),
        (OutputFormat::Vhdx(Allocation::Dynamic), 8 * MIB),
        (OutputFormat::Vmdk(Subformat::MonolithicSparse), 8 * MIB),
    ] {
        let base = Shared::default();
        let disk = diskport::Disk::empty(size, 512);
        Convert::new(&disk).to(format).create(base.clone()).expect("copies");
        let written = Open::new().open_writable(base.clone()).expect("opens");
        for at in 0..8 {
            written.write_at(&[at as u8 + 1; 65536], at * MIB).expect("writes");
        }
        written.close().expect("closes");
        let parent = Open::new().open(base.to_vec()).expect("opens");
        let child = Arc::new(MemoryStorage::default());
        let written = Child::of(&parent)
            .parent_name("base")
            .create(child.clone())
            .expect("a child")
            .open()
            .expect("opens");
        written.write_at(b"the child's", 5 * MIB).expect("writes");
        written.close().expect("closes");

        let asked = Arc::new(Asked::default());
        let object = |bytes| CachedStorage::new(Object(bytes, asked.clone()));
        let parents = Explicit::from([("base", Arc::new(object(base.to_vec())) as Arc<dyn ReadAt>)]);
        let disk = Open::new().resolver(parents).open(object(child.to_vec())).expect("opens");
        assert_eq!(disk.chain().len(), 2);
        let (gets, sizes) = (asked.gets.load(Ordering::Relaxed), asked.sizes.load(Ordering::Relaxed));
        assert!(gets <= GETS, "{format} of {size} bytes: {gets} requests");
        assert_eq!(sizes, 2, "each object is measured once");
        let mut found = [0; 12];
        disk.read_at(&mut found, 5 * MIB).expect("reads");
        assert_eq!(&found, b"the child's\x06", "{format}");
    }
}
