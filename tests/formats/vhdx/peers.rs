//! Images that other software made, written to and read by others again.

use std::fs;
use std::path::Path;
use std::process::Command;

use diskport::{Disk, MIB, Open};

use super::writing::{assert_clean, open, qemu_reads};
use crate::common::{self, corpus};
use crate::support::assert_reads_as;
use crate::vhd::child::{digest, libvhdi};

/// The image, its parent if it has one, and whether qemu-img knows what it is.
const IMAGES: [(&str, Option<&str>, bool); 9] = [
    ("vhdx/dfvfs/ext2.vhdx", None, true),
    ("vhdx/dfvfs/ntfs-fixed.vhdx", None, true),
    ("vhdx/dfvfs/ntfs-differential.vhdx", Some("vhdx/dfvfs/ntfs-parent.vhdx"), false),
    ("vhdx/dissect/dynamic.vhdx", None, true),
    ("vhdx/qemu/test-disk2vhd.vhdx", None, true),
    ("peer/discutils/du-dynamic.vhdx", None, true),
    ("peer/discutils-4k/du-4k-bs1m.vhdx", None, false),
    ("peer/qemu11/q-dyn-1m.vhdx", None, true),
    ("peer/qemu11/q-fixed.vhdx", None, true),
];

fn content(disk: &Disk) -> Vec<u8> {
    let mut bytes = vec![0; disk.size() as usize];
    disk.read_at(&mut bytes, 0).expect("reads");
    bytes
}

/// Data at the disk's begin, at its end, and about the boundaries of its blocks, by 32 KiB: libvhdi takes the bitmaps of children
/// a byte at a time. Then zeros.
fn change(path: &Path, model: &mut [u8]) {
    let disk = open(path);
    let size = model.len() / 32768 * 32768;
    let block = disk.info().block_size.unwrap_or(2 * MIB) as usize;
    for (number, at) in
        [0, 65536, block - 32768, 2 * block, size / 65536 * 32768, size - 32768].into_iter().enumerate()
    {
        let at = at.min(size);
        let data: Vec<u8> = (0..(3 << 15).min(size - at)).map(|i| (i / 512 + 3 * number) as u8 | 1).collect();
        disk.write_at(&data, at as u64).expect("writes");
        model[at..at + data.len()].copy_from_slice(&data);
        if number % 2 == 0 {
            disk.flush().expect("flushes");
        }
    }
    let zeros = size / 4 / 32768 * 32768;
    disk.write_zeroes(zeros as u64, 65536).expect("zeroes");
    model[zeros..zeros + 65536].fill(0);
    disk.close().expect("closes");
}

#[test]
fn write_into_what_peers_made() {
    let corpus = match corpus::get() {
        Ok(corpus) => corpus,
        Err(reason) if common::ci() => panic!("{reason}"),
        Err(_) => return,
    };
    for (image, parent, qemu) in IMAGES {
        let folder = tempfile::tempdir().expect("a folder");
        let copy = |file: &str| {
            let path = corpus.path(file);
            let to = folder.path().join(path.file_name().expect("a name"));
            fs::copy(path, &to).expect("copies");
            to
        };
        let path = copy(image);
        let parent = parent.map(copy);
        let mut model = content(&diskport::open(&path).expect("opens"));
        for _ in 0..2 {
            change(&path, &mut model);
            let disk = diskport::open(&path).expect("opens");
            assert!(!disk.chain()[0].info().dirty_log, "{image}");
            assert!(content(&disk) == model, "{image}");
            assert_clean(&Open::new().check(&path).expect("checks"));
        }
        if qemu {
            assert!(qemu_reads(&path) == model, "{image}: qemu-img");
        }
        let chain: Vec<_> =
            [Some(&path), parent.as_ref()].into_iter().flatten().map(|path| path.as_path()).collect();
        assert_eq!(libvhdi(&chain), digest(&model), "{image}: libvhdi");
        let size = model.len() as u64;
        open(&path).resize(size + 5 * MIB, false).expect("grows");
        model.resize((size + 5 * MIB) as usize, 0);
        open(&path).compact().expect("packs");
        assert_reads_as(&diskport::open(&path).expect("opens"), &model);
        assert_clean(&Open::new().check(&path).expect("checks"));
        if qemu {
            assert!(qemu_reads(&path) == model, "{image}: qemu-img, after growing and packing");
        }
    }
}

/// An image with a log of qemu's to replay: ours and theirs come to the same.
#[test]
fn a_log_that_qemu_left() {
    let corpus = match corpus::get() {
        Ok(corpus) => corpus,
        Err(reason) if common::ci() => panic!("{reason}"),
        Err(_) => return,
    };
    let folder = tempfile::tempdir().expect("a folder");
    let [ours, theirs] = ["ours.vhdx", "theirs.vhdx"].map(|name| {
        let to = folder.path().join(name);
        fs::copy(corpus.path("vhdx/qemu/iotest-dirtylog-10G-4M.vhdx"), &to).expect("copies");
        to
    });
    let qemu = |arguments: &[&str], paths: &[&Path]| {
        let status = Command::new("qemu-img").args(arguments).args(paths).status();
        assert!(status.expect("qemu-img is installed").success(), "{arguments:?}");
    };
    open(&ours).close().expect("closes");
    qemu(&["check", "-q", "-r", "all", "-f", "vhdx"], &[&theirs]);
    assert!(!diskport::open(&ours).expect("opens").chain()[0].info().dirty_log);
    qemu(&["compare", "-f", "vhdx", "-F", "vhdx"], &[&ours, &theirs]);
    assert_clean(&Open::new().check(&ours).expect("checks"));
    let disk = open(&ours);
    disk.write_at(&[0x5a; 65536], 5 << 30).expect("writes");
    disk.close().expect("closes");
    let pattern = "write -q -P 0x5a 5G 64k";
    let status = Command::new("qemu-io").args(["-f", "vhdx", "-c", pattern]).arg(&theirs).status();
    assert!(status.expect("qemu-io is installed").success());
    qemu(&["compare", "-f", "vhdx", "-F", "vhdx"], &[&ours, &theirs]);
}
