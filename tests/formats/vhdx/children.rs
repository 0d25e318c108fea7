//! Making children, giving them other sizes, and packing them.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use diskport::storage::AnyPath;
use diskport::{Child, Error, Open};
use proptest::collection::vec;
use proptest::prelude::*;

use super::builder::{Block, Image, MIB, get_u64, utf16};
use super::model::noise;
use super::writing::{assert_clean, open, run, steps};
use crate::support::{Judge, assert_reads_as, nobody};

/// A parent with two blocks of data and one of zeros, at `path`, and how it reads.
fn parent(path: &Path, size: u64, sector: u64) -> Vec<u8> {
    let mut image = Image::empty(size, MIB, sector);
    let mut model = vec![0; size as usize];
    let last = image.blocks.len() - 1;
    for block in [0, last] {
        let part = model.chunks_mut(MIB as usize).nth(block).expect("a block");
        part.copy_from_slice(&noise(part.len(), 5 + block as u32));
        image.blocks[block] = Block::Full(part.to_vec());
    }
    image.blocks[1] = Block::Entry(2);
    fs::write(path, image.build()).expect("written");
    model
}

#[test]
fn a_child_reads_as_its_parent_until_it_is_written_to() {
    child_that_is_written_to(&nobody);
}

/// A child of a parent with sectors of each size.
pub fn child_that_is_written_to(judge: Judge) {
    for sector in [512, 4096] {
        let folder = tempfile::tempdir().expect("a folder");
        let (base, child) = (folder.path().join("base.vhdx"), folder.path().join("child.vhdx"));
        let mut model = parent(&base, 5 * MIB + 4096, sector);
        let before = fs::read(&base).expect("read");
        let disk = diskport::open(&base).expect("opens");
        Child::of(&disk).create(&child).expect("made");
        let disk = diskport::open(&child).expect("opens");
        let (top, below) = (disk.chain()[0].info(), disk.chain()[1].info());
        assert_eq!((top.subformat, top.id, top.size), ("differencing", below.id, below.size));
        assert_eq!(
            (top.logical_sector_size, top.physical_sector_size, top.block_size),
            (below.logical_sector_size, below.physical_sector_size, below.block_size)
        );
        assert_ne!(top.data_id, below.data_id);
        assert_reads_as(&disk, &model);
        assert_clean(&Open::new().check(&child).expect("checks"));

        let disk = open(&child);
        // libvhdi looks at bitmaps a byte at a time: whole groups of eight sectors, of either size.
        for (at, len) in [(65536, 32768), (3 << 20, 1 << 20), ((2 << 20) - 32768, 65536)] {
            let data = noise(len, at as u32);
            disk.write_at(&data, at as u64).expect("writes");
            model[at..at + len].copy_from_slice(&data);
        }
        disk.close().expect("closes");
        assert_reads_as(&diskport::open(&child).expect("opens"), &model);
        assert_clean(&Open::new().check(&child).expect("checks"));
        judge(&[&child, &base], &model);
        assert!(fs::read(&base).expect("read") == before, "the parent is as it was");
    }
}

#[test]
fn a_child_records_where_its_parent_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().canonicalize().expect("a path");
    for way in ["base é.vhdx", "bases/base.vhdx", "../base.vhdx"] {
        let child = root.join("here/child.vhdx");
        let base = root.join("here").join(way);
        fs::create_dir_all(base.parent().expect("a folder")).expect("made");
        fs::create_dir_all(root.join("here")).expect("made");
        parent(&base, 3 * MIB, 512);
        let base = base.canonicalize().expect("a path");
        let disk = diskport::open(&base).expect("opens");
        Child::of(&disk).overwrite(true).create(&child).expect("made");
        let bytes = fs::read(&child).expect("read");
        let holds = |text: &str| {
            let text = utf16(text);
            bytes.windows(text.len()).any(|window| window == text)
        };
        let windows = way.replace('/', "\\");
        let relative = if way.starts_with("..") { windows } else { format!(".\\{windows}") };
        assert!(holds(&format!("relative_path{relative}")), "{relative}");
        assert!(holds(&format!("absolute_win32_path{}", base.display().to_string().replace('/', "\\"))));
        let linkage = disk.chain()[0].info().data_id.expect("a DataWriteGuid");
        assert!(holds(&format!("parent_linkage{{{linkage}}}")));
        let opened = Open::new().resolver(AnyPath).open(&child).expect("opens");
        assert_eq!(opened.chain().len(), 2);
    }
}

#[test]
fn a_thousand_children_take_seconds() {
    let folder = tempfile::tempdir().expect("a folder");
    let base = folder.path().join("base.vhdx");
    parent(&base, 3 * MIB, 512);
    let disk = diskport::open(&base).expect("opens");
    let begun = Instant::now();
    for number in 0..1000 {
        let child = Child::of(&disk).sync(false);
        child.create(folder.path().join(format!("{number}.vhdx"))).expect("made");
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!(diskport::open(folder.path().join("999.vhdx")).expect("opens").chain().len(), 2);
}

#[test]
fn a_child_may_be_larger_than_its_parent() {
    child_larger_than_its_parent(&nobody);
    let folder = tempfile::tempdir().expect("a folder");
    let base = folder.path().join("base.vhdx");
    parent(&base, 3 * MIB, 512);
    let disk = diskport::open(&base).expect("opens");
    let make = |size| Child::of(&disk).size(size).create(folder.path().join("child.vhdx"));
    assert!(matches!(make(2 * MIB), Err(Error::OutputTooSmall { .. })));
    assert!(matches!(make((64 << 40) + 512), Err(Error::SizeLimit { .. })));
}

/// No reader looks for the parent beyond its end.
pub fn child_larger_than_its_parent(judge: Judge) {
    for (size, larger) in [(3 * MIB + 8192, 6 * MIB + 4096), (3 * MIB, 4 * MIB), (3 * MIB + 8192, 4 * MIB)] {
        let folder = tempfile::tempdir().expect("a folder");
        let (base, child) = (folder.path().join("base.vhdx"), folder.path().join("child.vhdx"));
        let mut model = parent(&base, size, 512);
        model.resize(larger as usize, 0);
        let disk = diskport::open(&base).expect("opens");
        Child::of(&disk).size(larger).create(&child).expect("made");
        assert_clean(&Open::new().check(&child).expect("checks"));
        assert_reads_as(&diskport::open(&child).expect("opens"), &model);
        // libvhdi takes the file's first bytes for the bitmap of a chunk that has none.
        let disk = open(&child);
        disk.write_at(&noise(4096, 3), 65536).expect("writes");
        model[65536..][..4096].copy_from_slice(&noise(4096, 3));
        disk.close().expect("closes");
        judge(&[&child, &base], &model);

        // Zeros stay there too, and are not given back.
        let disk = open(&child);
        disk.write_at(&noise(8192, 3), larger - 8192).expect("writes");
        disk.write_zeroes(size, larger - size).expect("zeroes");
        disk.discard(0, larger).expect("discards");
        disk.close().expect("closes");
        let disk = diskport::open(&child).expect("opens");
        let end = MIB * size.div_ceil(MIB);
        let extents: Vec<_> = disk.extents(end..).map(|extent| extent.expect("maps")).collect();
        assert!(extents.iter().all(|extent| extent.is_data()), "{extents:?}");
        assert_clean(&Open::new().check(&child).expect("checks"));
    }
}

#[test]
fn a_disk_grows_beyond_its_bat() {
    disk_that_outgrows_its_bat(&|_| {});
}

/// `judge` is shown the image before it is packed.
pub fn disk_that_outgrows_its_bat(judge: &dyn Fn(&Path)) {
    // A BAT of 1 MiB has room for 131072 entries; its region is followed by payload.
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.vhdx");
    let size = 128 * 1024 * MIB;
    let mut image = Image::empty(size, MIB, 512);
    image.blocks[0] = Block::Full(noise(1 << 20, 1));
    image.blocks[70_000] = Block::Full(noise(1 << 20, 2));
    fs::write(&path, image.build()).expect("written");
    let disk = open(&path);
    disk.write_at(&noise(4096, 3), size - 4096).expect("writes");
    disk.resize(3 * size, false).expect("grows");
    assert_clean(&Open::new().check(&path).expect("checks"));
    let disk = diskport::open(&path).expect("opens");
    let pieces = [(0, 1), (70_000 * MIB, 2), (size - 4096, 3)];
    for (at, seed) in pieces {
        let mut read = vec![0; 4096];
        disk.read_at(&mut read, at).expect("reads");
        assert!(read == noise(4096, seed), "at {at}");
    }
    let data: u64 = disk.extents(..).map(|e| e.expect("maps")).filter(|e| e.is_data()).map(|e| e.len).sum();
    assert_eq!((disk.size(), data), (3 * size, 3 * MIB));
    assert_clean(&Open::new().check(&path).expect("checks"));
    judge(&path);

    // Packing brings the BAT, which lies behind payload now, and the blocks to the front.
    let disk = open(&path);
    disk.write_zeroes(0, 70_001 * MIB).expect("zeroes");
    let compaction = disk.compact().expect("packs");
    assert_eq!(compaction.after, (3 + 4 + 1) * MIB);
    let disk = diskport::open(&path).expect("opens");
    let mut read = vec![0; 4096];
    disk.read_at(&mut read, size - 4096).expect("reads");
    assert!(read == noise(4096, 3));
    assert_clean(&Open::new().check(&path).expect("checks"));
}

#[test]
fn sizes_have_a_limit() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.vhdx");
    parent(&path, 3 * MIB, 512);
    let before = fs::read(&path).expect("read");
    for size in [(64 << 40) + 512, 1 << 63] {
        let result = open(&path).resize(size, true);
        assert!(matches!(result, Err(Error::SizeLimit { .. })), "{result:?}");
        assert!(fs::read(&path).expect("read") == before);
    }
    let kept = open(&path).resize(2 * MIB + 512, false);
    assert!(
        matches!(kept, Err(Error::ShrinkLosesData { offset, .. }) if offset == 2 * MIB + 512),
        "{kept:?}"
    );
}

#[test]
fn what_was_cut_off_does_not_come_back() {
    disks_that_were_cut(&nobody);
}

/// Disks of each kind that shrank and grew again.
pub fn disks_that_were_cut(judge: Judge) {
    let folder = tempfile::tempdir().expect("a folder");
    for kind in ["dynamic", "fixed", "child"] {
        let path = folder.path().join(format!("{kind}.vhdx"));
        let mut model = parent(&path, 5 * MIB + 4096, 512);
        match kind {
            "child" => {
                let base = folder.path().join("base.vhdx");
                fs::rename(&path, &base).expect("renamed");
                Child::of(&diskport::open(&base).expect("opens")).create(&path).expect("made");
            }
            "fixed" => {
                let mut image = Image::empty(5 * MIB + 4096, MIB, 512);
                image.fixed = true;
                let parts = model.chunks(MIB as usize).map(|part| Block::Full(part.to_vec()));
                image.blocks = parts.collect();
                fs::write(&path, image.build()).expect("written");
            }
            _ => {}
        }
        let disk = open(&path);
        disk.write_at(&noise(3 << 20, 9), MIB + 512).expect("writes");
        model[(1 << 20) + 512..][..3 << 20].copy_from_slice(&noise(3 << 20, 9));
        disk.resize(2 * MIB + 4096, true).expect("shrinks");
        model.truncate((2 << 20) + 4096);
        assert_reads_as(&diskport::open(&path).expect("opens"), &model);
        assert_clean(&Open::new().check(&path).expect("checks"));
        open(&path).resize(7 * MIB, false).expect("grows");
        model.resize(7 << 20, 0);
        assert_reads_as(&diskport::open(&path).expect("opens"), &model);
        assert_clean(&Open::new().check(&path).expect("checks"));
        if kind != "child" {
            judge(&[&path], &model);
        }
        if kind == "fixed" {
            let disk = diskport::open(&path).expect("opens");
            assert!(disk.extents(..).all(|extent| extent.expect("maps").is_data()));
        }
    }
}

#[test]
fn packing_makes_the_file_as_short_as_it_can_be() {
    let folder = tempfile::tempdir().expect("a folder");
    let (base, path) = (folder.path().join("base.vhdx"), folder.path().join("a.vhdx"));
    let mut model = parent(&base, 40 * MIB, 512);
    Child::of(&diskport::open(&base).expect("opens")).block_size(2 * MIB).create(&path).expect("made");
    let disk = open(&path);
    for block in (0..20).rev() {
        let at = block * (2 << 20) + 8192;
        disk.write_at(&noise(4096, block as u32), at as u64).expect("writes");
        model[at..at + 4096].copy_from_slice(&noise(4096, block as u32));
    }
    disk.write_zeroes(20 * MIB, 20 * MIB).expect("zeroes");
    model[20 << 20..].fill(0);
    disk.close().expect("closes");
    let data_id = diskport::open(&path).expect("opens").chain()[0].info().data_id;
    let compaction = open(&path).compact().expect("packs");
    assert!(compaction.before >= 44 * MIB, "{compaction:?}");
    // Header section, log, metadata, BAT, sector bitmaps, ten blocks.
    assert_eq!(compaction.after, (5 + 20) * MIB);
    let disk = diskport::open(&path).expect("opens");
    assert_reads_as(&disk, &model);
    assert_eq!(disk.chain()[0].info().data_id, data_id, "the content is as it was");
    let checked = Open::new().check(&path).expect("checks");
    assert!(checked.findings.is_empty(), "{:#?}", checked.findings);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn children_of_children_of_any_size_read_as_the_model(
        sectors in 1..1200_u64,
        sizes in vec((1..1600_u64, any::<bool>()), 1..4),
        steps in vec(steps(), 4),
    ) {
        let folder = tempfile::tempdir().expect("a folder");
        let mut path = folder.path().join("0.vhdx");
        let mut image = Image::empty(sectors * 4096, MIB, 512);
        let mut model = noise((sectors * 4096) as usize, 4);
        image.blocks = model.chunks(MIB as usize).map(|part| Block::Full(part.to_vec())).collect();
        fs::write(&path, image.build()).expect("written");
        for (number, (size, child)) in sizes.into_iter().enumerate() {
            if child {
                let next = folder.path().join(format!("{}.vhdx", number + 1));
                let disk = diskport::open(&path).expect("opens");
                Child::of(&disk).size(disk.size().max(size * 4096)).create(&next).expect("made");
                path = next;
                model.resize(model.len().max((size * 4096) as usize), 0);
            } else {
                open(&path).resize(size * 4096, true).expect("resizes");
                model.resize((size * 4096) as usize, 0);
            }
            run(|| open(&path), &steps[number], &mut model);
            if size % 3 == 0 {
                open(&path).compact().expect("packs");
            }
            assert_reads_as(&diskport::open(&path).expect("opens"), &model);
            assert_clean(&Open::new().check(&path).expect("checks"));
            let bytes = fs::read(&path).expect("read");
            prop_assert_eq!(get_u64(&bytes, (64 << 10) + 48), 0, "the log is empty");
        }
    }
}
