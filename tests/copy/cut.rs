//! A file that becomes shorter under an open disk: what is missing is an error, and never zeros.

use std::fs::File;
use std::path::Path;

use diskport::copy::{Convert, OutputFormat};
use diskport::format::Allocation;
use diskport::format::vmdk::Subformat;
use diskport::{Blocks, Data, Disk, Open, Result};

use crate::source::noise;

const MIB: u64 = 1 << 20;
const SIZE: u64 = 8 * MIB;

/// Data, a hole in the file, data, and a hole up to its end.
fn source(path: &Path) -> Disk {
    use diskport::storage::{FileStorage, WriteAt};
    let file = FileStorage::create_new(path).expect("a file");
    for at in [0, 5 * MIB] {
        file.write_all_at(&noise(MIB as usize, at), at).expect("writes");
    }
    file.set_size(SIZE).expect("grows");
    diskport::open(path).expect("opens")
}

/// The content as the stream of blocks gives it.
fn content(disk: &Disk) -> Result<Vec<u8>> {
    let mut content = Vec::new();
    for block in disk.blocks(Blocks::of(MIB)) {
        let block = block?;
        match &block.data {
            Data::Bytes(bytes) => content.extend_from_slice(bytes),
            Data::Zero(len) | Data::Absent(len) => content.resize(content.len() + *len as usize, 0),
        }
    }
    Ok(content)
}

#[test]
fn what_is_missing_at_the_end_of_a_file_is_no_hole() {
    let folder = tempfile::tempdir().expect("a folder");
    let raw = folder.path().join("source.raw");
    let whole = content(&source(&raw)).expect("reads");
    let formats = [
        ("disk.raw", OutputFormat::Raw, "disk.raw"),
        ("fixed.vhd", OutputFormat::Vhd(Allocation::Fixed), "fixed.vhd"),
        ("dynamic.vhd", OutputFormat::Vhd(Allocation::Dynamic), "dynamic.vhd"),
        ("fixed.vhdx", OutputFormat::Vhdx(Allocation::Fixed), "fixed.vhdx"),
        ("dynamic.vhdx", OutputFormat::Vhdx(Allocation::Dynamic), "dynamic.vhdx"),
        ("sparse.vmdk", OutputFormat::Vmdk(Subformat::MonolithicSparse), "sparse.vmdk"),
        ("flat.vmdk", OutputFormat::Vmdk(Subformat::MonolithicFlat), "flat-flat.vmdk"),
        ("split.vmdk", OutputFormat::Vmdk(Subformat::TwoGbMaxExtentFlat), "split-f001.vmdk"),
    ];
    for (name, format, extent) in formats {
        let path = folder.path().join(name);
        let raw = diskport::open(&raw).expect("opens");
        let make = || Convert::new(&raw).to(format).overwrite(true).create(&path).expect("copies");
        make();
        let extent = folder.path().join(extent);
        let len = extent.metadata().expect("is there").len();
        for cut in [0, 1, MIB + 512, 3 * MIB, 6 * MIB + 1, len - MIB, len - 512, len - 1] {
            let cut = cut.min(len - 1);
            make();
            let disk = Open::new().open(&path).expect("opens");
            File::options().write(true).open(&extent).expect("opens").set_len(cut).expect("cuts");
            let found = content(&disk);
            assert!(found.as_ref().is_err() || found.is_ok_and(|found| found == whole), "{name} at {cut}");
            if len == SIZE {
                assert!(
                    content(&disk).is_err(),
                    "{name} at {cut}: every byte of the file is one of the disk"
                );
            }
            let copied = Convert::new(&disk).create(folder.path().join("copy.raw"));
            assert!(copied.is_err(), "{name} at {cut}: {copied:?}");
            assert!(!folder.path().join("copy.raw").exists());
        }
    }
}
