//! Where a disk that is open for writing may be written to by whoever does the input and output by himself.

use std::sync::Arc;

use diskport::copy::{Convert, OutputFormat};
use diskport::disk::{WriteExtent, WriteWay};
use diskport::format::vmdk::Subformat;
use diskport::storage::{Explicit, MemoryStorage, ReadAt, WriteAt};
use diskport::{Child, Disk, Error, Format, MIB, Open, WritableDisk};

use crate::support::{Shared, WRITTEN, assert_reads_as};

const SIZE: usize = 16 << 20;

fn raw(bytes: Vec<u8>) -> Disk {
    Open::new().format(Format::Raw).open(bytes).expect("any bytes are a raw disk")
}

fn open(format: OutputFormat) -> Open {
    if format == OutputFormat::Raw { Open::new().format(Format::Raw) } else { Open::new() }
}

/// An image whose first half is data, the other half zeros.
fn image(format: OutputFormat) -> (Shared, Vec<u8>) {
    let (storage, mut model) = (Shared::default(), vec![0; SIZE]);
    model[..SIZE / 2].fill(1);
    let copy = Convert::new(&raw(model.clone())).to(format);
    copy.create(storage.clone()).expect("copies");
    (storage, model)
}

fn resolve(disk: &WritableDisk, start: u64, len: usize) -> Vec<WriteExtent> {
    let range = start..start + len as u64;
    let extents = disk.resolve_write(range.clone()).expect("resolves");
    let extents: Vec<_> = extents.map(|extent| extent.expect("maps")).collect();
    let mut at = start;
    for extent in &extents {
        assert_eq!(extent.start, at);
        assert!(extent.len > 0);
        at = extent.end();
    }
    assert_eq!(at, range.end);
    extents
}

/// Writes as one does who asks where first. Returns how much went straight into the file.
fn write(disk: &WritableDisk, storage: &dyn WriteAt, data: &[u8], start: u64) -> u64 {
    let mut direct = 0;
    for extent in resolve(disk, start, data.len()) {
        let data = &data[(extent.start - start) as usize..][..extent.len as usize];
        match extent.way {
            WriteWay::InPlace { file, offset } => {
                assert_eq!(file.0, 0);
                direct += extent.len;
                storage.write_all_at(data, offset).expect("writes");
            }
            _ => disk.write_at(data, extent.start).expect("writes"),
        }
    }
    direct
}

#[test]
fn writes_of_ones_own_are_the_disks() {
    for format in WRITTEN {
        let (storage, mut model) = image(format);
        let disk = open(format).open_writable(storage.clone()).expect("opens");
        let view = disk.view().expect("a view");
        let half = SIZE / 2;
        // What is there, what is not, across both, and parts of sectors.
        for (byte, (start, len)) in (2..).zip([
            (4096, 100_000 / 512 * 512),
            (half + MIB as usize, 70_000),
            (half - 5000, 9000),
            (777, 1500),
            (3, 8),
        ]) {
            let data = vec![byte; len];
            let direct = write(&disk, &storage, &data, start as u64);
            if byte == 2 || format == OutputFormat::Raw {
                assert_eq!(direct, len as u64, "{format}");
            }
            model[start..start + len].copy_from_slice(&data);
            assert_reads_as(&view, &model);
        }
        disk.flush().expect("flushes");
        // As it is after a crash, and after a close.
        assert_reads_as(&open(format).open(storage.to_vec()).expect("opens"), &model);
        disk.close().expect("closes");
        assert_reads_as(&open(format).open(storage.to_vec()).expect("opens"), &model);
        if format != OutputFormat::Raw {
            let checked = Open::new().check(storage).expect("checks");
            assert!(checked.is_clean(), "{format}: {:#?}", checked.findings);
        }
    }
}

/// What an image records of its content has changed by then: its children must know.
#[test]
fn the_content_has_another_identity_first() {
    for format in [WRITTEN[3], WRITTEN[4]] {
        let (storage, _) = image(format);
        let before = Open::new().open(storage.to_vec()).expect("opens").chain()[0].info().data_id;
        let disk = Open::new().open_writable(storage.clone()).expect("opens");
        assert!(matches!(resolve(&disk, 0, 512)[..], [WriteExtent { way: WriteWay::InPlace { .. }, .. }]));
        let after = Open::new().open(storage.to_vec()).expect("opens").chain()[0].info().data_id;
        assert!(before.is_some() && after.is_some() && before != after, "{format}");
        drop(disk);
    }
}

/// Nothing of a parent is ever a place to write to.
#[test]
fn a_childs_own_sectors_alone() {
    for format in &WRITTEN[2..] {
        let (base, mut model) = image(*format);
        let parent = Open::new().open(base.to_vec()).expect("opens");
        let storage = Arc::new(MemoryStorage::default());
        let child = Child::of(&parent)
            .parent_name("base")
            .create(storage.clone())
            .expect("a child")
            .open()
            .expect("opens");
        let through =
            |extents: Vec<WriteExtent>| extents.iter().all(|extent| extent.way == WriteWay::Through);
        assert!(through(resolve(&child, 0, SIZE)), "{format}");
        child.write_at(&[5; 8192], MIB).expect("writes");
        child.flush().expect("flushes");
        assert_eq!(write(&child, &storage, &[6; 4096], MIB + 4096), 4096, "{format}");
        model[1 << 20..][..4096].fill(5);
        model[(1 << 20) + 4096..][..4096].fill(6);
        child.close().expect("closes");
        let base: Arc<dyn ReadAt> = Arc::new(base.to_vec());
        let open = Open::new().resolver(Explicit::from([("base", base)]));
        assert_reads_as(&open.open(storage).expect("opens"), &model);
    }
}

#[test]
fn what_is_only_read_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("disk.vmdk");
    let copy = Convert::new(&raw(vec![1; SIZE])).to(OutputFormat::Vmdk(Subformat::MonolithicFlat));
    copy.create(&path).expect("copies");
    let disk = Open::new().open_writable(&path).expect("opens");
    let place = resolve(&disk, 512, 4096)[0].way;
    let WriteWay::InPlace { file, offset: 512 } = place else { panic!("{place:?}") };
    assert!(disk.files()[file.0 as usize].name().ends_with("-flat.vmdk"));
    drop(disk);
    let descriptor = std::fs::read_to_string(&path).expect("reads").replace("RW ", "RDONLY ");
    std::fs::write(&path, descriptor).expect("writes");
    let disk = Open::new().open_writable(&path).expect("opens");
    assert!(matches!(disk.resolve_write(..).map(drop), Err(Error::NotWritable { .. })));
}
