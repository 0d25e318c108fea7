//! A disk that is open for writing, as a disk that is mapped, streamed and copied.

use diskport::copy::{Convert, OutputFormat};
use diskport::{Blocks, Child, Data, Disk, Error, Format, MIB, Open, WritableDisk};

use crate::support::{Shared, WRITTEN, assert_reads_as};

fn writable(format: OutputFormat) -> (Shared, WritableDisk) {
    let storage = Shared::default();
    let copy = Convert::new(&Disk::empty(32 * MIB, 512)).to(format);
    copy.create(storage.clone()).expect("copies");
    let open = if format == OutputFormat::Raw { Open::new().format(Format::Raw) } else { Open::new() };
    (storage.clone(), open.open_writable(storage).expect("opens"))
}

#[test]
fn shows_what_is_written() {
    for format in WRITTEN {
        let (_storage, disk) = writable(format);
        let view = disk.view().expect("a view");
        let mut model = vec![0; 32 << 20];
        assert_reads_as(&view, &model);
        for (at, len, byte) in [(0, 4096, 1), (5_000_000, 7_000_000, 2), (6 << 20, 4 << 20, 0)] {
            disk.write_at(&vec![byte; len], at).expect("writes");
            model[at as usize..][..len].fill(byte);
            assert_reads_as(&view, &model);
            assert_reads_as(&view.clone().slice(4096..), &model[4096..]);
        }
        disk.write_zeroes(7 << 20, 3 << 20).expect("writes");
        model[7 << 20..10 << 20].fill(0);
        assert_reads_as(&view, &model);
        let copy = Shared::default();
        Convert::new(&view).to(OutputFormat::Raw).create(copy.clone()).expect("copies");
        assert!(copy.to_vec() == model, "{format}");
        assert!(Child::of(&view).parent_name("base").create(Shared::default()).is_err(), "no parent");
    }
}

/// What was planned before space was given back, and taken by something else, is read where it is by then.
#[test]
fn reads_no_space_that_was_given_back() {
    for format in WRITTEN {
        let (_storage, disk) = writable(format);
        disk.write_at(&vec![1; 16 << 20], 0).expect("writes");
        disk.flush().expect("flushes");
        let view = disk.view().expect("a view");
        let mut blocks = view.blocks(Blocks::of(MIB).read_ahead(0));
        blocks.next().expect("a block").expect("reads");
        disk.write_zeroes(4 * MIB, 12 * MIB).expect("writes");
        disk.flush().expect("flushes");
        disk.write_at(&vec![2; 12 << 20], 20 * MIB).expect("writes");
        for block in blocks {
            let block = block.expect("reads");
            let Data::Bytes(bytes) = &block.data else { continue };
            for (at, &byte) in (block.offset..).zip(bytes.iter()) {
                let expected = if at < 4 << 20 {
                    1
                } else if at < 20 << 20 {
                    0
                } else {
                    2
                };
                assert_eq!(byte, expected, "{format}: at {at}");
            }
        }
    }
}

#[test]
fn ends_with_the_disk() {
    for format in WRITTEN {
        let (_storage, disk) = writable(format);
        let (view, mut sector) = (disk.view().expect("a view"), [0; 512]);
        disk.close().expect("closes");
        assert!(matches!(view.extents(..).next(), Some(Err(Error::Closed { .. }))), "{format}");
        let failed = view.read_at(&mut sector, 0).expect_err("closed");
        assert_eq!(failed.to_string(), "(image): was closed");
    }
}

/// The lock goes with the disk, whoever still has a view of it; and while it is open, no copy goes into its file.
#[test]
fn holds_no_lock_and_knows_its_files() {
    for format in WRITTEN {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("image.raw");
        Convert::new(&Disk::empty(8 * MIB, 512)).to(format).create(&path).expect("copies");
        let open = Open::new().format(format.format());
        let disk = open.open_writable(&path).expect("opens");
        let view = disk.view().expect("a view");
        let into = Convert::new(&view).to(OutputFormat::Raw).overwrite(true).create(&path);
        assert!(matches!(into, Err(Error::OutputIsSource { .. })), "{format}");
        drop(disk);
        open.open_writable(&path).expect("is not locked").close().expect("closes");
        assert!(view.read_at(&mut [0], 0).is_err());
    }
}

#[test]
fn a_childs_view_goes_through_its_parents() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, format) in [("base.vhd", WRITTEN[2]), ("base.vhdx", WRITTEN[3]), ("base.vmdk", WRITTEN[4])] {
        let (base, child) = (folder.path().join(name), folder.path().join(format!("child-{name}")));
        let mut model: Vec<u8> = (0..8 << 20).map(|at| (at >> 12) as u8).collect();
        let (_storage, full) = writable(format);
        full.write_at(&model, 0).expect("writes");
        Convert::new(&full.view().expect("a view").slice(..8 * MIB))
            .to(format)
            .create(&base)
            .expect("copies");
        Child::of(&diskport::open(&base).expect("opens")).create(&child).expect("a child");
        let disk = Open::new().open_writable(&child).expect("opens");
        let view = disk.view().expect("a view");
        disk.write_at(&[0xee; 5000], 3_000_000).expect("writes");
        model[3_000_000..3_005_000].fill(0xee);
        assert_reads_as(&view, &model);
        disk.close().expect("closes");
    }
}

#[test]
fn a_file_of_the_system_is_a_storage() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("disk.raw");
    let model: Vec<u8> = (0..1 << 20).map(|at| (at >> 10) as u8).collect();
    std::fs::write(&path, &model).expect("writes");
    let file = std::fs::File::open(&path).expect("opens");
    assert_reads_as(&Open::new().format(Format::Raw).open(file).expect("opens"), &model);
    let folder = std::fs::File::open(folder.path()).expect("opens");
    assert!(Open::new().format(Format::Raw).open(folder).is_err());
}
