//! Images that other software made, written to and read by others again.

use std::fs;
use std::path::Path;
use std::process::Command;

use diskport::check::Severity;
use diskport::{Disk, MIB, Open};

use super::child::libvhdi;
use crate::common::{self, corpus, digest};

/// The digest of the disk that qemu reads from an image without a parent.
fn qemu(image: &Path) -> String {
    let raw = image.with_extension("raw");
    let source = format!("driver=vpc,force_size_calc=current_size,file.filename={}", image.display());
    let convert = ["convert", "-O", "raw", "--image-opts", &source];
    let status = Command::new("qemu-img").args(convert).arg(&raw).status();
    assert!(status.expect("qemu-img is installed").success());
    let digest = digest::of_file(&raw).expect("reads");
    fs::remove_file(raw).expect("removes");
    digest
}

/// Data, zeros and discards at the image's begin, at its end, and about the boundaries of its blocks, by eight sectors: libvhdi
/// takes the bitmaps of children a byte at a time. Returns what is to be read.
fn change(path: &Path, parts: &mut Vec<(u64, Vec<u8>)>) {
    let disk = Open::new().open_writable(path).expect("opens for writing");
    let size = disk.size() / 4096 * 4096;
    let block = disk.info().block_size.unwrap_or(2 * MIB);
    for (number, at) in
        [0, 64 << 10, block - 8192, block * 2, size / 2 / 4096 * 4096, size - 8192].into_iter().enumerate()
    {
        let len = (3_u64 << 13).min(size.saturating_sub(at));
        let data: Vec<u8> = (0..len).map(|i| (i / 512 + 3 * number as u64 + 1) as u8 | 1).collect();
        disk.write_at(&data, at.min(size)).expect("writes");
        parts.push((at, data));
        if number % 2 == 0 {
            disk.flush().expect("flushes");
        }
    }
    let zeros = (block.min(size / 2), block.min(size / 4096 / 4 * 4096));
    disk.write_zeroes(zeros.0, zeros.1).expect("zeroes");
    parts.push((zeros.0, vec![0; zeros.1 as usize]));
    disk.close().expect("closes");
}

/// What a disk of these bytes, changed so, reads as.
fn expected(before: &Disk, parts: &[(u64, Vec<u8>)]) -> String {
    let mut disk = before.clone();
    for (offset, bytes) in parts {
        let patch = diskport::disk::Patch { offset: *offset, bytes: bytes.clone() };
        disk = disk.patched(disk.size(), vec![patch]).expect("patches");
    }
    digest::of_disk(&disk).expect("reads")
}

#[test]
fn write_into_what_peers_made() {
    let corpus = match corpus::get() {
        Ok(corpus) => corpus,
        Err(reason) if common::ci() => panic!("{reason}"),
        Err(_) => return,
    };
    let families: [&[&str]; 12] = [
        &["vhd/dfvfs/ext2.vhd"],
        &["vhd/dfvfs/ntfs-parent.vhd"],
        &["vhd/dfvfs/ntfs-differential.vhd", "vhd/dfvfs/ntfs-parent.vhd"],
        &["vhd/dissect/dynamic.vhd"],
        &["vhd/plaso-image.vhd"],
        &["vhd/secron-fixed.vhd"],
        &["vhd/rdisk/win7dyn.vhd"],
        &["vhd/rdisk/du.vhd"],
        &["peer/discutils/du-dynamic.vhd"],
        &["peer/discutils/du-diff1.vhd", "peer/discutils/du-dynamic.vhd"],
        &["peer/qemu11/q-dyn.vhd"],
        &["peer/vbox/vb-dyn.vhd"],
    ];
    for family in families {
        let folder = tempfile::tempdir().expect("a folder");
        let paths: Vec<_> = family
            .iter()
            .map(|file| {
                let source = corpus.path(file);
                let path = folder.path().join(source.file_name().expect("a name"));
                fs::copy(&source, &path).expect("copies");
                path
            })
            .collect();
        let top = &paths[0];
        let original = folder.path().join("original");
        fs::copy(top, &original).expect("copies");
        let mut parts = Vec::new();
        change(top, &mut parts);
        let checked = Open::new().check(top).expect("checks");
        assert!(checked.findings.iter().all(|finding| finding.severity < Severity::Error), "{checked:?}");
        let wanted =
            expected(&Open::new().format(diskport::Format::Vhd).open_path(&original).expect("opens"), &parts);
        assert_eq!(
            digest::of_disk(&diskport::open(top).expect("opens")).expect("reads"),
            wanted,
            "{family:?}"
        );
        if family.len() == 1 {
            assert_eq!(qemu(top), wanted, "{family:?}");
        }
        // DiscUtils' child has bytes of bitmaps that libvhdi does not read right.
        if family[0] != "peer/discutils/du-diff1.vhd" {
            let chain: Vec<_> = paths.iter().map(AsRef::as_ref).collect();
            assert_eq!(libvhdi(&chain), wanted, "{family:?}");
        }
    }
}
