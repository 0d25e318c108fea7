//! A chain in an object store, read where it lies: the store hands out ranges of objects, a table says which object a parent's
//! name means, and pages kept near make few requests of many reads.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use diskport::storage::{CachedStorage, Explicit, MemoryStorage, ReadAt};
use diskport::{Child, MIB, Open};

/// Objects by their keys, and how often they were asked for.
#[derive(Default)]
struct Store {
    objects: HashMap<String, Vec<u8>>,
    requests: AtomicU64,
}

impl Store {
    /// `GET`, with `Range: bytes=first-last`.
    fn get(&self, key: &str, first: u64, last: u64) -> io::Result<Vec<u8>> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let object = self.objects.get(key).ok_or(io::ErrorKind::NotFound)?;
        Ok(object[first as usize..=last as usize].to_vec())
    }

    /// `HEAD`.
    fn len(&self, key: &str) -> io::Result<u64> {
        Ok(self.objects.get(key).ok_or(io::ErrorKind::NotFound)?.len() as u64)
    }
}

/// One object.
struct Object {
    store: Arc<Store>,
    key: String,
}

impl ReadAt for Object {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let end = self.size()?.min(offset.saturating_add(buf.len() as u64));
        if offset >= end {
            return Ok(0);
        }
        let bytes = self.store.get(&self.key, offset, end - 1)?;
        buf[..bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }

    fn size(&self) -> io::Result<u64> {
        self.store.len(&self.key)
    }
}

/// Puts a base and its child into a store.
fn filled() -> Result<Store, Box<dyn std::error::Error>> {
    let base = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/small.vhdx"))?;
    let parent = Open::new().open(base.clone())?;
    let storage = Arc::new(MemoryStorage::default());
    let child = Child::of(&parent).parent_name("golden.vhdx").create(storage.clone())?.open()?;
    child.write_at(b"the child's", MIB)?;
    child.close()?;
    let objects = [("images/7f3a".to_owned(), base), ("vms/1/disk".to_owned(), storage.to_vec())];
    Ok(Store { objects: objects.into(), requests: AtomicU64::new(0) })
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let store = Arc::new(filled()?);
    let object = |key: &str| CachedStorage::new(Object { store: store.clone(), key: key.to_owned() });

    // What images call their parents, and what is meant: nothing else is ever opened.
    let base: Arc<dyn ReadAt> = Arc::new(object("images/7f3a"));
    let parents = Explicit::from([("golden.vhdx", base)]);
    let disk = Open::new().resolver(parents).open(object("vms/1/disk"))?;
    let requests = store.requests.load(Ordering::Relaxed);
    println!("{} bytes in {} layers, opened in {requests} requests", disk.size(), disk.chain().len());
    assert_eq!(disk.chain().len(), 2);
    assert!(requests <= 6);

    let mut found = [0; 11];
    disk.read_at(&mut found, MIB)?;
    assert_eq!(&found, b"the child's");
    let mut sectors = ([0; 512], [0; 512]);
    disk.read_at(&mut sectors.0, 0)?;
    Open::new().open(object("images/7f3a"))?.read_at(&mut sectors.1, 0)?;
    assert_eq!(sectors.0, sectors.1, "the rest is the parent's");
    Ok(())
}
