//! Another parent: what is read stays the same, or, unchecked, the names alone change.

use std::fs;
use std::path::Path;

use diskport::chain::{Rebase, find_parents};
use diskport::copy::OutputFormat;
use diskport::disk::MappingKind;
use diskport::{Child, Disk, Error, KIB, MIB, Open};

use crate::merge::LAYERS;
use crate::model::{
    Chain, Change::Data, FORMATS, SIZE, VHDX, assert_clean, assert_reads, assert_same, bond_warnings,
    content, make, open, tells_changes, write, write_by,
};

#[test]
fn a_child_reads_as_before_over_any_parent() {
    for format in FORMATS {
        let chain = Chain::with(format, &LAYERS);
        let below = chain.files();
        // Over its grandparents, then over an image that has nothing to do with it.
        let stranger = chain.path("stranger");
        let mut strange = vec![0; SIZE as usize];
        make(&strange, format, &stranger);
        write(&stranger, &[Data(MIB, MIB), Data(SIZE - 4 * KIB, 4 * KIB)], &mut strange);
        for (parent, depth) in [(&chain.images[2], 4), (&chain.images[0], 2), (&stranger, 2)] {
            Rebase::of(chain.top()).onto(parent).run().expect("rebases");
            assert_reads(chain.top(), chain.content());
            let disk = open(chain.top());
            assert_eq!(disk.chain().len(), depth, "{format}");
            assert_eq!(bond_warnings(&disk), [""; 0], "{format}");
            assert_clean(chain.top());
        }
        assert!(chain.files()[..4] == below[..4], "{format}: no parent is changed");
        assert_reads(&stranger, &strange);
        // The old parents are not needed any more.
        chain.images[..4].iter().for_each(|image| fs::remove_file(image).expect("goes away"));
        assert_reads(chain.top(), chain.content());
    }
}

#[test]
fn only_what_differs_is_copied() {
    for format in FORMATS {
        let chain = Chain::with(format, &[LAYERS[0], &[]]);
        let own = |disk: &Disk| {
            let extents = disk.extents(..).map(|extent| extent.expect("maps"));
            let own = extents.filter(|extent| extent.depth == 0 && extent.kind != MappingKind::Absent);
            own.map(|extent| extent.len).sum::<u64>()
        };
        assert_eq!(own(&open(chain.top())), 0, "{format}");
        Rebase::of(chain.top()).onto(&chain.images[0]).run().expect("rebases");
        assert_reads(chain.top(), chain.content());
        let own = own(&open(chain.top()));
        // What the layer in between holds, in whole grains.
        assert!((710 * KIB..900 * KIB).contains(&own), "{format}: {own} bytes");
    }
}

#[test]
fn children_of_a_rebased_image_still_know_it() {
    for format in FORMATS {
        let chain = Chain::with(format, &LAYERS);
        Rebase::of(&chain.images[3]).onto(&chain.images[0]).run().expect("rebases");
        assert_reads(chain.top(), chain.content());
        assert_eq!(open(chain.top()).chain().len(), 3);
    }
}

#[test]
fn a_moved_parent_is_found_and_recorded() {
    for format in FORMATS {
        let chain = Chain::with(format, &LAYERS[..2]);
        let elsewhere = chain.folder.path().join("else where");
        fs::create_dir(&elsewhere).expect("a folder");
        fs::write(elsewhere.join("notes.txt"), "no image").expect("writes");
        let moved = elsewhere.join("renamed.img");
        fs::rename(&chain.images[1], &moved).expect("moves");
        // Its own parent does not lie beside it any more, and is not needed to find it.
        assert!(matches!(diskport::open(chain.top()), Err(Error::ParentMissing { .. })));
        let child = Open::new().allow_missing_parent(true).open(chain.top()).expect("opens");
        let found = find_parents(&child, [chain.folder.path(), &elsewhere], &Open::new()).expect("looks");
        assert_eq!(found, std::slice::from_ref(&moved), "{format}");
        fs::rename(&chain.images[0], elsewhere.join(chain.images[0].file_name().expect("a name")))
            .expect("moves");
        let content_before = fs::read(&moved).expect("reads");
        let rebase = Rebase::of(chain.top()).onto(&moved).unchecked(true);
        // By its name it may be a raw disk.
        assert!(matches!(rebase.run(), Err(Error::AmbiguousFormat { .. })));
        rebase.parent_format(format.format()).run().expect("rebases");
        let any = Open::new().resolver(diskport::storage::AnyPath);
        let disk = any.open(chain.top()).expect("opens");
        assert!(content(&disk) == chain.content(), "{format}");
        assert!(fs::read(&moved).expect("reads") == content_before);
    }
}

#[test]
fn what_cannot_be_the_parent_is_refused() {
    for format in FORMATS {
        let chain = Chain::with(format, &LAYERS[..2]);
        let before = chain.files();
        let other = FORMATS[(FORMATS.iter().position(|f| *f == format).expect("one of them") + 1) % 3];
        let foreign = chain.folder.path().join("foreign");
        make(&chain.contents[1], other, &foreign);
        let larger = chain.path("larger");
        make(&vec![0; (SIZE + MIB) as usize], format, &larger);
        for unchecked in [false, true] {
            let onto =
                |parent: &std::path::Path| Rebase::of(chain.top()).onto(parent).unchecked(unchecked).run();
            assert!(matches!(onto(&foreign), Err(Error::UnfitParent { .. })), "{format}");
            assert!(matches!(onto(&larger), Err(Error::UnfitParent { .. })), "{format}");
            assert!(matches!(onto(chain.top()), Err(Error::UnfitParent { .. })), "{format}");
            let rebased = Rebase::of(&chain.images[1]).onto(chain.top()).unchecked(unchecked).run();
            assert!(matches!(rebased, Err(Error::UnfitParent { .. })), "{format}");
            let rebased = Rebase::of(&chain.images[0]).onto(chain.top()).unchecked(unchecked).run();
            assert!(matches!(rebased, Err(Error::NoParent { .. })), "{format}");
        }
        assert!(chain.files() == before, "{format}: nothing is changed");
    }
}

#[test]
fn a_parent_of_other_sectors_is_refused() {
    let format = VHDX;
    let chain = Chain::with(format, &LAYERS[..1]);
    let parent = chain.path("sectors");
    let disk = Disk::empty(SIZE, 4096);
    diskport::copy::Convert::new(&disk).to(format).create(&parent).expect("writes");
    let rebased = Rebase::of(chain.top()).onto(&parent).run();
    assert!(matches!(rebased, Err(Error::UnfitParent { .. })), "{rebased:?}");
}

#[test]
fn the_old_parent_must_be_the_one_recorded() {
    for format in FORMATS {
        let chain = Chain::with(format, &LAYERS[..2]);
        let old = chain.path("old");
        fs::rename(&chain.images[1], &old).expect("moves");
        let rebase = Rebase::of(chain.top()).onto(&chain.images[0]);
        assert!(matches!(rebase.run(), Err(Error::ParentMissing { .. })), "{format}");
        if tells_changes(format) {
            fs::copy(&chain.images[0], &chain.images[1]).expect("copies");
            assert!(matches!(rebase.run(), Err(Error::ParentMismatch { .. })), "{format}");
            fs::remove_file(&chain.images[1]).expect("goes away");
        }
        rebase.open(Open::new().parent(&old)).run().expect("rebases");
        assert_reads(chain.top(), chain.content());
    }
}

#[test]
fn a_child_of_a_raw_disk_gets_another() {
    let chain = Chain::new(OutputFormat::Raw);
    let top = chain.folder.path().join("top.vhd");
    Child::of(&open(chain.top())).create(&top).expect("makes a child");
    let mut expected = chain.content().to_vec();
    let over = |parent: &Path| Open::new().parent(parent);
    write_by(&over(chain.top()), &top, LAYERS[1], &mut expected);
    let other = chain.folder.path().join("other.raw");
    fs::write(&other, vec![0x5a; SIZE as usize]).expect("writes");
    Rebase::of(&top).onto(&other).open(over(chain.top())).run().expect("rebases");
    let child = over(&other).open(&top).expect("opens");
    assert_same(&child, &expected, "the child");
    assert!(matches!(
        find_parents(&child, [chain.folder.path()], &Open::new()),
        Err(Error::Unsupported { .. })
    ));
}
