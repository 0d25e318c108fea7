//! Merging: what the top reads as stays, what is below it becomes the same.

use std::path::Path;

use diskport::chain::{Merge, Rebase};
use diskport::copy::OutputFormat;
use diskport::format::vmdk::Subformat;
use diskport::storage::{FileStorage, LockMode, LockState};
use diskport::{Child, Disk, Error, Format, KIB, MIB, Open};

use crate::model::{
    Chain,
    Change::{self, Data, Zeros},
    FORMATS, SIZE, VHD, VHDX, assert_clean, assert_reads, assert_same, bond_warnings, make, open,
    tells_changes, write, write_by,
};

/// Four layers that lie over each other and over the base in every way: data over data, zeros over data, data over zeros, parts of
/// sectors, and the disk's end.
pub const LAYERS: [&[Change]; 4] = [
    &[Data(64 * KIB, 700 * KIB), Data(5 * MIB, 10 * KIB)],
    &[Zeros(2 * MIB, 512 * KIB), Data(3 * MIB + 512, 512), Zeros(100 * KIB, 64 * KIB)],
    &[Data(2 * MIB + 4 * KIB, 8 * KIB), Data(SIZE - 1000, 1000)],
    &[Zeros(5 * MIB, MIB), Data(4 * MIB - 100, 300), Zeros(0, 4 * KIB)],
];

#[test]
fn any_number_of_layers_goes_into_the_base() {
    for format in FORMATS {
        let chain = Chain::with(format, &LAYERS);
        let merged = Merge::of(chain.top()).base(&chain.images[0]).commit().expect("merges");
        assert_eq!((merged.layers, merged.deleted.len()), (4, 0), "{format}");
        assert_reads(chain.top(), chain.content());
        assert_reads(&chain.images[0], chain.content());
        let top = open(chain.top());
        assert_eq!(top.chain().len(), 2, "{format}: the top lies on the base");
        assert_eq!(bond_warnings(&top), [""; 0], "{format}");
        for image in [chain.top(), &chain.images[0]] {
            assert_clean(image);
        }
        for between in &chain.images[1..4] {
            let opened = diskport::open(between);
            let refused = matches!(opened, Err(Error::ParentMismatch { .. }));
            assert_eq!(refused, tells_changes(format), "{format}: what lies between reads wrongly now");
        }
    }
}

#[test]
fn the_parent_is_the_base_unless_another_is_named() {
    for format in FORMATS {
        let chain = Chain::with(format, &LAYERS);
        let merged = Merge::of(chain.top()).commit().expect("merges");
        assert_eq!(merged.layers, 1);
        assert_reads(chain.top(), chain.content());
        assert_reads(&chain.images[3], chain.content());
        assert_reads(&chain.images[2], &chain.contents[2]);
        assert_eq!(open(chain.top()).chain().len(), 5);
        // Again, into a layer that has parents itself.
        let merged = Merge::of(chain.top()).base(&chain.images[1]).delete(true).commit().expect("merges");
        assert_eq!(merged.layers, 3);
        assert_eq!(merged.deleted.len(), 3);
        assert!(chain.images[2..].iter().all(|image| !image.exists()));
        assert_reads(&chain.images[1], chain.content());
        assert_reads(&chain.images[0], &chain.contents[0]);
        assert_clean(&chain.images[1]);
    }
}

#[test]
fn an_empty_top_changes_nothing() {
    for format in FORMATS {
        let chain = Chain::with(format, &[LAYERS[0], &[]]);
        let merged = Merge::of(chain.top()).commit().expect("merges");
        assert_eq!(merged.data_written, 0);
        assert_reads(chain.top(), chain.content());
        assert_reads(&chain.images[1], chain.content());
    }
}

#[test]
fn children_of_the_top_read_as_before() {
    for format in FORMATS {
        let mut chain = Chain::with(format, &LAYERS);
        let (top, content) = (chain.top().to_owned(), chain.content().to_owned());
        chain.push(&[Data(MIB, 3 * KIB)]);
        Merge::of(&top).base(&chain.images[0]).commit().expect("merges");
        assert_reads(chain.top(), chain.content());
        let merge = Merge::of(&top).delete(true);
        assert!(matches!(merge.commit(), Err(Error::HasChildren { .. })), "{format}: the top is needed");
        assert_reads(&top, &content);
        merge.ignore_children(true).commit().expect("merges");
        assert!(!top.exists());
        if tells_changes(format) {
            // The base bears the identity of the top's content.
            let disk = Open::new().parent(&chain.images[0]).open(chain.top()).expect("opens");
            assert_same(&disk, chain.content(), "over the base");
        }
        Rebase::of(chain.top()).onto(&chain.images[0]).unchecked(true).run().expect("rebases");
        assert_reads(chain.top(), chain.content());
    }
}

#[test]
fn a_base_that_is_smaller_grows() {
    let mut chain = Chain::with(VHDX, &[LAYERS[0]]);
    let path = chain.path("larger");
    Child::of(&open(chain.top())).size(SIZE + 3 * MIB).create(&path).expect("makes a child");
    let mut content = chain.content().to_vec();
    content.resize((SIZE + 3 * MIB) as usize, 0);
    write(&path, &[Data(SIZE - 100, 4 * KIB), Data(SIZE + 2 * MIB, 512)], &mut content);
    chain.images.push(path);
    Merge::of(chain.top()).base(&chain.images[0]).commit().expect("merges");
    assert_reads(chain.top(), &content);
    assert_reads(&chain.images[0], &content);
    assert_clean(&chain.images[0]);
}

#[test]
fn a_raw_base_takes_its_children_in() {
    let chain = Chain::new(OutputFormat::Raw);
    let (base, top) = (&chain.images[0], chain.folder.path().join("top.vhd"));
    let mut content = chain.content().to_vec();
    Child::of(&open(base)).create(&top).expect("makes a child");
    let over_base = Open::new().parent(base);
    write_by(&over_base, &top, LAYERS[1], &mut content);
    Merge::of(&top).open(over_base.clone()).commit().expect("merges");
    assert_same(&over_base.open(&top).expect("opens"), &content, "the top");
    assert!(std::fs::read(base).expect("reads") == content);
}

#[test]
fn a_new_child_holds_what_the_layers_hold() {
    for format in FORMATS {
        let chain = Chain::with(format, &LAYERS);
        let before = chain.files();
        let new = chain.path("new");
        let merge = Merge::of(chain.top()).base(&chain.images[1]);
        let merged = merge.create(&new).expect("merges");
        assert_eq!(merged.layers, 3);
        assert_reads(&new, chain.content());
        let disk = open(&new);
        assert_eq!(disk.chain().len(), 3, "{format}");
        assert_clean(&new);
        assert!(chain.files() == before, "{format}: nothing else is changed");
        // The new child alone holds nothing of its parents.
        let own = disk.extents(..).map(|extent| extent.expect("maps"));
        let own: u64 =
            own.filter(|extent| extent.depth == 0 && extent.is_data()).map(|extent| extent.len).sum();
        assert!(own < 2 * MIB, "{format}: {own} bytes");
        assert!(matches!(merge.create(&new), Err(Error::OutputExists { .. })));
        assert!(matches!(merge.overwrite(true).create(&chain.images[2]), Err(Error::OutputIsSource { .. })));
        assert!(chain.files() == before);
    }
}

#[test]
fn without_a_base_the_new_image_has_no_parent() {
    for format in FORMATS {
        let chain = Chain::with(format, &LAYERS);
        let new = chain.path("new");
        let merged = Merge::of(chain.top()).create(&new).expect("merges");
        assert_eq!(merged.layers, 5);
        assert_reads(&new, chain.content());
        let disk = open(&new);
        let info = disk.chain()[0].info();
        assert_eq!((info.format, disk.chain().len()), (format.format(), 1));
    }
}

#[test]
fn a_child_gets_other_blocks() {
    for (format, block_size) in [(VHD, 4 * MIB), (VHDX, 2 * MIB)] {
        let chain = Chain::with(format, &LAYERS[..2]);
        let new = chain.path("new");
        let merge = Merge::of(chain.top()).base(&chain.images[1]).block_size(block_size);
        merge.create(&new).expect("merges");
        assert_reads(&new, chain.content());
        let disk = open(&new);
        assert_eq!((disk.chain()[0].info().block_size, disk.chain().len()), (Some(block_size), 3));
    }
}

#[test]
fn what_is_no_parent_is_no_base() {
    for format in FORMATS {
        let chain = Chain::with(format, &LAYERS[..2]);
        let before = chain.files();
        let other = chain.path("other");
        std::fs::copy(&chain.images[0], &other).expect("copies");
        for base in [&other, chain.top(), &chain.path("missing")] {
            let merged = Merge::of(chain.top()).base(base).commit();
            assert!(matches!(merged, Err(Error::NotInChain { .. })), "{format}: {merged:?}");
        }
        assert!(matches!(Merge::of(&chain.images[0]).commit(), Err(Error::NoParent { .. })));
        assert!(chain.files() == before, "{format}: nothing is changed");
    }
}

#[test]
fn layers_that_others_need_are_not_changed() {
    for format in FORMATS {
        let chain = Chain::with(format, &LAYERS[..3]);
        let before = chain.files();
        for parent in 0..3 {
            // Its own folder is looked through, too, where the top is not.
            let sibling = chain.path(&format!("sibling{parent}"));
            Child::of(&open(&chain.images[parent])).create(&sibling).expect("makes a child");
            let merge = Merge::of(chain.top()).base(&chain.images[0]);
            match merge.commit() {
                Err(Error::HasChildren { file, children }) => {
                    assert_eq!(file, chain.images[parent].display().to_string());
                    assert_eq!(children, [sibling.display().to_string()]);
                }
                other => panic!("{format}: {other:?}"),
            }
            assert!(chain.files() == before, "{format}: nothing is changed");
            std::fs::remove_file(&sibling).expect("goes away");
        }
        let sibling = chain.path("sibling");
        Child::of(&open(&chain.images[0])).create(&sibling).expect("makes a child");
        Merge::of(chain.top()).commit().expect("does not touch the base");
        let merge = Merge::of(chain.top()).base(&chain.images[0]).ignore_children(true);
        merge.commit().expect("merges");
        assert_reads(chain.top(), chain.content());
    }
}

#[test]
fn layers_that_are_open_for_writing_are_not_merged() {
    for format in FORMATS {
        let chain = Chain::with(format, &LAYERS[..3]);
        let before = chain.files();
        let merge = Merge::of(chain.top()).base(&chain.images[0]);
        for image in &chain.images {
            let held = Open::new().open_writable(image).expect("opens");
            let locked = matches!(merge.commit(), Err(Error::Locked { .. }));
            assert!(locked, "{format}: {}", image.display());
            drop(held);
        }
        assert!(chain.files().iter().zip(&before).all(|(now, before)| now.len() == before.len()));
        merge.commit().expect("merges");
        assert_reads(chain.top(), chain.content());
    }
}

#[test]
fn writers_are_kept_out_of_merged_layers() {
    // A merge that is under way holds the locks that a writer wants.
    let chain = Chain::with(VHD, &LAYERS[..2]);
    let storage = FileStorage::open(chain.top()).expect("opens");
    assert_eq!(storage.lock(LockMode::Steady).expect("locks"), LockState::Free);
    assert!(matches!(Open::new().open_writable(chain.top()), Err(Error::Locked { .. })));
    drop(storage);
    Open::new().open_writable(chain.top()).expect("opens").close().expect("closes");
}

/// A disk is said to be that of its format by its first layer.
#[test]
fn a_raw_disk_is_merged_into_nothing() {
    let chain = Chain::new(OutputFormat::Raw);
    assert!(matches!(Merge::of(chain.top()).commit(), Err(Error::NoParent { .. })));
    let new = chain.folder.path().join("new.raw");
    Merge::of(chain.top()).create(&new).expect("copies");
    let disk: Disk = open(&new);
    assert_eq!(disk.chain()[0].info().format, Format::Raw);
}

/// Whoever finds the top open for writing waits, until the merge has recorded or removed it: nothing written is lost.
#[test]
fn no_write_falls_between_a_merge_and_its_end() {
    for format in [VHD, VHDX] {
        let chain = Chain::with(format, &LAYERS[..1]);
        let top = chain.top();
        let written = std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let mut written = 0_u8;
                while top.exists() {
                    let Ok(disk) = Open::new().open_writable(top) else { continue };
                    if disk.write_at(&[written + 1; 512], 0).and_then(|()| disk.close()).is_ok() {
                        written = (written + 1) % 200;
                    }
                }
                written
            });
            while let Err(problem) = Merge::of(top).delete(true).commit() {
                assert!(top.exists(), "{format}: {problem}");
            }
            writer.join().expect("writes")
        });
        let mut found = [0; 512];
        open(&chain.images[0]).read_at(&mut found, 0).expect("reads");
        assert!(written == 0 || found == [written; 512], "{format}: {written}, but {}", found[0]);
    }
}

/// A VMDK at `path` in two halves, the second of which it may only read, over the image of this content id.
fn halves(path: &Path, extents: [&str; 2], (parent, cid): (&str, &str)) {
    let sectors = SIZE / 1024;
    let text = format!(
        "# Disk DescriptorFile\nversion=1\nCID=11111111\nparentCID={cid}\ncreateType=\"twoGbMaxExtentFlat\"\n\
         parentFileNameHint=\"{parent}\"\nRW {sectors} FLAT \"{}\" 0\nRDONLY {sectors} FLAT \"{}\" 0\n\
         ddb.adapterType = \"ide\"\n",
        extents[0], extents[1]
    );
    std::fs::write(path, text).expect("writes");
}

/// A descriptor can name any file beside it: only what a merged layer may write to is its own to remove.
#[test]
fn what_is_removed_is_the_layers_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let half = |byte: u8| vec![byte; SIZE as usize / 2];
    for (name, byte) in [("own.raw", 2), ("neighbour.raw", 3)] {
        std::fs::write(path(name), half(byte)).expect("writes");
    }
    let base = OutputFormat::Vmdk(Subformat::MonolithicSparse);
    make(&[half(1), half(1)].concat(), base, &path("base.vmdk"));
    let cid = open(&path("base.vmdk")).chain()[0].info().data_id.expect("a CID").to_string();
    halves(&path("top.vmdk"), ["own.raw", "neighbour.raw"], ("base.vmdk", &cid));

    let merge = Merge::of(path("top.vmdk")).delete(true);
    let named = merge.removals().expect("lists");
    assert_eq!(named, [path("top.vmdk"), path("own.raw")].map(|path| path.canonicalize().expect("is there")));
    let before = std::fs::read(path("base.vmdk")).expect("reads");
    assert!(std::fs::read(path("base.vmdk")).expect("reads") == before && path("own.raw").exists());
    // What another has open is not removed, and nothing is merged then.
    let held = diskport::storage::FileStorage::open_writable(path("own.raw")).expect("opens");
    assert_eq!(held.lock(LockMode::Write).expect("locks"), LockState::Free);
    assert!(matches!(merge.commit(), Err(Error::Locked { .. })));
    assert!(std::fs::read(path("base.vmdk")).expect("reads") == before);
    drop(held);
    let merged = merge.commit().expect("merges");
    assert_eq!(merged.deleted, named);
    assert!(!path("top.vmdk").exists() && !path("own.raw").exists());
    assert!(std::fs::read(path("neighbour.raw")).expect("stays") == half(3));
    assert_reads(&path("base.vmdk"), &[half(2), half(3)].concat());
}
