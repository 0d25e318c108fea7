//! Children that read as another disk from the beginning.

use std::sync::Arc;

use diskport::copy::{Convert, OutputFormat};
use diskport::disk::Patch;
use diskport::format::vmdk::Subformat;
use diskport::storage::MemoryStorage;
use diskport::{Child, Disk, Error, Format, KIB, MIB, Open};

use crate::model::{Chain, Change, FORMATS, apply, assert_clean, assert_reads, content, noise, open};

fn raw(bytes: Vec<u8>) -> Disk {
    Open::new().format(Format::Raw).open(MemoryStorage::new(bytes)).expect("any bytes are a raw disk")
}

/// The content in a VMDK, all of whose data are packed.
fn packed(bytes: Vec<u8>) -> Disk {
    let storage = Arc::new(MemoryStorage::default());
    let copy = Convert::new(&raw(bytes)).to(OutputFormat::Vmdk(Subformat::StreamOptimized));
    copy.create(storage.clone()).expect("copies");
    Open::new().open(storage).expect("opens")
}

/// Data, zeros over the parent's data and compressed grains, of any disk.
#[test]
fn whatever_the_changed_disk_is_made_of() {
    for format in FORMATS {
        let changes = [
            Change::Zeros(3 * KIB + 100, 70 * KIB),
            Change::Data(MIB + 777, 5000),
            Change::Zeros(2 * MIB, MIB),
            Change::Data(6 * MIB, 300 * KIB),
        ];
        let mut chain = Chain::new(format);
        let parent = open(chain.top());
        let mut expected = chain.content().to_vec();
        apply(&mut expected, &changes, 9);
        chain.push(&changes);
        let others = [
            ("raw", raw(expected.clone())),
            ("packed", packed(expected.clone())),
            ("child", open(chain.top())),
            ("patched twice", {
                let patch = |range: std::ops::Range<usize>| Patch {
                    offset: range.start as u64,
                    bytes: expected[range].to_vec(),
                };
                let (half, all) = (expected.len() / 2, expected.len());
                let once = parent.patched(parent.size(), vec![patch(0..half)]).expect("patches");
                once.patched(parent.size(), vec![patch(half..all)]).expect("patches")
            }),
        ];
        for (what, changed) in others {
            let path = chain.path(what);
            Child::of(&parent).content_of(&changed).create(&path).expect("makes a child");
            assert_reads(&path, &content(&changed));
            assert_clean(&path);
        }
        assert_reads(&chain.path("packed"), &expected);
        assert_reads(&chain.path("patched twice"), &expected);
    }
}

/// What is in both stays with the parent.
#[test]
fn a_child_holds_what_differs_alone() {
    for format in FORMATS {
        let mut chain = Chain::new(format);
        let parent = open(chain.top());
        chain.push(&[Change::Data(4 * MIB, 4 * KIB)]);
        let path = chain.path("again");
        Child::of(&parent).content_of(&open(chain.top())).create(&path).expect("makes a child");
        let data = |path| {
            let extents = open(path).extents(..).map(|extent| extent.expect("maps"));
            extents
                .filter(|extent| extent.depth == 0 && extent.is_data())
                .map(|extent| extent.len)
                .sum::<u64>()
        };
        assert_eq!(data(&path), data(chain.top()), "{format}");
        assert_reads(&path, chain.content());
    }
}

/// A child finds the image that it names, not what somebody laid over it or cut out of it.
#[test]
fn views_of_an_image_are_no_parents() {
    for format in FORMATS {
        let mut chain = Chain::new(format);
        let whole = open(chain.top());
        let patch = Patch { offset: 0, bytes: noise(100, 3) };
        let patched = whole.patched(whole.size(), vec![patch]).expect("patches");
        chain.push(&[Change::Data(0, 10)]);
        for view in [whole.slice(..MIB), whole.slice(..), patched.clone(), patched.slice(512..)] {
            let refused = Child::of(&view).create(chain.path("view"));
            assert!(matches!(refused, Err(Error::Unsupported { .. })), "{format}: {refused:?}");
            assert!(!chain.path("view").exists());
            let refused = Child::of(&view).parent_name("base").create(MemoryStorage::default());
            assert!(matches!(refused, Err(Error::Unsupported { .. })), "{format}: {refused:?}");
        }
        assert_reads(chain.top(), chain.content());
    }
}
