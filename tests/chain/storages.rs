//! The same without files: images in storages of the caller's own, here with calls that fail.

use std::io;
use std::sync::Arc;

use diskport::chain::{merge_into, record_parent};
use diskport::copy::{Convert, OutputFormat};
use diskport::job::Job;
use diskport::storage::{Explicit, Fault, FaultyStorage, MemoryStorage, ReadAt, WriteAt};
use diskport::{Child, Disk, Error, Format, Open};

use crate::merge::LAYERS;
use crate::model::{Change, FORMATS, SIZE, apply, assert_same, bond_warnings, noise, smallest_blocks};

/// A storage in memory that others look at, one of whose calls fails.
#[derive(Clone)]
struct Shared(Arc<FaultyStorage<MemoryStorage>>);

impl Shared {
    fn new(bytes: Vec<u8>, fault_at: u64) -> Self {
        let fault = Fault::Error(io::ErrorKind::StorageFull);
        Self(Arc::new(FaultyStorage::new(MemoryStorage::new(bytes), fault_at, fault)))
    }

    fn bytes(&self) -> Vec<u8> {
        self.0.inner().to_vec()
    }
}

impl ReadAt for Shared {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buf, offset)
    }
    fn size(&self) -> io::Result<u64> {
        self.0.size()
    }
}

impl WriteAt for Shared {
    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(data, offset)
    }
    fn set_size(&self, size: u64) -> io::Result<()> {
        self.0.set_size(size)
    }
    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }
}

/// Images called "0", the base, and so on, by their bytes.
type Images = Vec<Vec<u8>>;

/// The disk of the topmost image.
fn open(images: &[Vec<u8>]) -> Disk {
    let resolver: Explicit = images
        .iter()
        .enumerate()
        .map(|(number, bytes)| {
            (number.to_string(), Arc::new(MemoryStorage::new(&bytes[..])) as Arc<dyn ReadAt>)
        })
        .collect();
    let top = MemoryStorage::new(&images.last().expect("an image")[..]);
    Open::new().resolver(resolver).open(top).expect("opens")
}

fn chain(format: OutputFormat) -> (Images, Vec<u8>) {
    let mut content = noise(SIZE as usize, 5);
    let source = Open::new().format(Format::Raw).open(MemoryStorage::new(&content[..])).expect("opens");
    let base = Arc::new(MemoryStorage::default());
    smallest_blocks(Convert::new(&source).to(format)).create(base.clone()).expect("writes");
    let mut images = vec![base.to_vec()];
    for (number, changes) in LAYERS[..2].iter().enumerate() {
        let child = Arc::new(MemoryStorage::default());
        Child::of(&open(&images))
            .parent_name(number.to_string())
            .create(child.clone())
            .expect("makes a child");
        let below = open(&images);
        images.push(change(child.to_vec(), &below, number, changes, &mut content));
    }
    (images, content)
}

/// Makes `changes` to a child of `below`.
fn change(child: Vec<u8>, below: &Disk, number: usize, changes: &[Change], content: &mut [u8]) -> Vec<u8> {
    // The image right below is "0" or "1"; so are those below it.
    let numbers = (0..=number).rev().map(|number| number.to_string());
    let storages = below.chain().iter().map(|layer| layer.files()[0].storage().clone());
    let resolver: Explicit = numbers.zip(storages).collect();
    let storage = Shared::new(child, 0);
    let disk = Open::new().resolver(resolver).open_writable(storage.clone()).expect("opens");
    apply(content, changes, 3);
    for change in changes {
        change.make(&disk, content);
    }
    disk.close().expect("closes");
    storage.bytes()
}

#[test]
fn a_merge_whose_nth_call_fails_loses_nothing() {
    for format in FORMATS {
        let (images, content) = chain(format);
        assert_same(&open(&images), &content, "before");
        let mut stopped = 0;
        for call in 1.. {
            let mut images = images.clone();
            let merged = merge(&mut images, call);
            assert_same(&open(&images), &content, &format!("{format}, call {call}: {merged:?}"));
            if merged.is_ok() {
                break;
            }
            stopped += 1;
            // Again, and in the end the top is put on the base.
            merge(&mut images, 0).expect("goes on");
            let base = open(&images[..1]);
            assert_same(&base, &content, "the base");
            let top = Shared::new(images[2].clone(), 0);
            record_parent(top.clone(), &base, "0").expect("records");
            let after = [images[0].clone(), top.bytes()];
            assert_same(&open(&after), &content, "the top on the base");
            assert_eq!(bond_warnings(&open(&after)), [""; 0], "{format}");
        }
        assert!(stopped > 20, "{format}: {stopped} calls");
    }
}

/// Merges both children into the base, with a call to the base's storage that fails.
fn merge(images: &mut [Vec<u8>], call: u64) -> Result<u64, Error> {
    let chain = open(images);
    let base = Shared::new(images[0].clone(), call);
    let opened = Open::new().open_writable(base.clone());
    let merged = opened.and_then(|opened| merge_into(&chain, 2, opened, &Job::new()));
    images[0] = base.bytes();
    merged
}

#[test]
fn layers_must_be_those_above_the_base() {
    let (images, _) = chain(FORMATS[0]);
    for layers in [0, 3, 4] {
        let base = Open::new().open_writable(Shared::new(images[0].clone(), 0)).expect("opens");
        let merged = merge_into(&open(&images), layers, base, &Job::new());
        assert!(matches!(merged, Err(Error::NoParent { .. })), "{layers}: {merged:?}");
    }
}
