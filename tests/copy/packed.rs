//! Grains that are compressed already are taken over as they are, and not unseen.

use std::sync::Arc;

use diskport::copy::{Convert, OutputFormat};
use diskport::disk::{MappingKind, Patch};
use diskport::format::vmdk::Subformat;
use diskport::storage::MemoryStorage;
use diskport::{Disk, Error, Format, Open, Problem};

use crate::source::{Sparse, content, disk, noise};

const STREAM: OutputFormat = OutputFormat::Vmdk(Subformat::StreamOptimized);
const GRAIN: usize = 65_536;

fn open(image: &[u8]) -> Disk {
    Open::new().format(Format::Vmdk).open(MemoryStorage::new(image)).expect("opens")
}

fn copied(copy: &Convert) -> Vec<u8> {
    let mut out = Vec::new();
    copy.write_to(&mut out).expect("copies");
    out
}

/// The compressed bytes of each whole grain: the one in which the disk ends is made anew.
fn grains(image: &[u8]) -> Vec<(u64, &[u8])> {
    let packed = open(image).extents(..).filter_map(|extent| match extent.expect("maps") {
        extent if extent.len < GRAIN as u64 || !extent.is_data() => None,
        extent => match extent.kind {
            MappingKind::Packed(packed) => {
                Some((extent.start, &image[packed.offset as usize..][..packed.len as usize]))
            }
            other => panic!("{other:?}"),
        },
    });
    packed.collect()
}

/// Text that deflates differently at every level, a grain of noise, a hole, and an end within a grain.
fn image() -> Vec<u8> {
    let words = noise(40 * GRAIN, 1).into_iter().map(|byte| b"etaoin shrdlu"[usize::from(byte) % 13]);
    let text: Vec<u8> = words.collect();
    let size = 60 * GRAIN + 1536;
    let runs = vec![(0, text), (45 * GRAIN as u64, noise(GRAIN, 2)), (60 * GRAIN as u64, noise(1536, 3))];
    copied(&Convert::new(&disk(&Arc::new(Sparse::new(size as u64, runs)))).to(STREAM).level(9))
}

#[test]
fn grains_stay_as_they_are_unless_a_level_is_asked_for() {
    let image = image();
    let source = open(&image);
    for threads in [0, 2] {
        let same = copied(&Convert::new(&source).to(STREAM).threads(threads));
        assert!(grains(&same) == grains(&image));
        assert!(content(&open(&same)) == content(&source));
        let other = copied(&Convert::new(&source).to(STREAM).threads(threads).level(1));
        assert!(grains(&other) != grains(&image));
        assert!(content(&open(&other)) == content(&source));
    }
}

/// A grain of which another layer has a part is no longer that of the source, and one that became zeros goes.
#[test]
fn grains_under_a_change_are_compressed_anew() {
    let image = image();
    let source = open(&image);
    let patch = |grain: usize, bytes: Vec<u8>| Patch { offset: (grain * GRAIN) as u64, bytes };
    let patches = vec![patch(3, vec![7; 512]), patch(45, vec![0; GRAIN])];
    let changed = source.patched(source.size(), patches).expect("patches");
    let copy = copied(&Convert::new(&changed).to(STREAM));
    assert!(content(&open(&copy)) == content(&changed));
    let (before, after) = (grains(&image), grains(&copy));
    assert_eq!(after.len(), before.len() - 1);
    for (start, bytes) in after {
        let old = before.iter().find(|(old, _)| *old == start).map(|(_, bytes)| *bytes);
        assert_eq!(old == Some(bytes), start != 3 * GRAIN as u64, "the grain at {start}");
    }
}

#[test]
fn a_damaged_grain_does_not_pass() {
    let mut image = image();
    let (_, damaged) = grains(&image)[7];
    let at = damaged.as_ptr() as usize - image.as_ptr() as usize + damaged.len() - 1;
    // The checksum behind the data.
    image[at] ^= 1;
    let result = Convert::new(&open(&image)).to(STREAM).write_to(Vec::new());
    let Err(Error::Defect(defect)) = result else { panic!("{result:?}") };
    assert_eq!(defect.problem, Problem::Compression);
}
