//! Images that other software made, written to and read by others again.

use std::fs;
use std::path::Path;

use diskport::check::Severity;
use diskport::copy::{Convert, OutputFormat};
use diskport::format::Allocation;
use diskport::{Disk, MIB, Open};
use libtest_mimic::Trial;

use crate::common::tools::{Missing, Trouble, run, to_raw, tool, trial};
use crate::common::{corpus, digest};
use crate::readers::{libvhdi, libvhdi_reads, needs_libvhdi};
use crate::support::assert_reads_as;
use crate::vhd::builder::Vhd;
use crate::vhd::child;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("vhd::children".into(), children),
        trial("vhd::what_the_builder_makes".into(), what_the_builder_makes),
        trial("vhd::what_we_write".into(), what_we_write),
        trial("vhd::what_peers_made".into(), what_peers_made),
    ]
}

/// The digest of the disk that qemu reads from an image without a parent.
fn qemu(image: &Path) -> Result<String, Trouble> {
    let raw = image.with_extension("raw");
    let source = format!("driver=vpc,force_size_calc=current_size,file.filename={}", image.display());
    run(tool("qemu-img")?.args(["convert", "-O", "raw", "--image-opts", &source]).arg(&raw))?;
    let digest = digest::of_file(&raw)?;
    fs::remove_file(raw)?;
    Ok(digest)
}

fn children() -> Result<(), Trouble> {
    needs_libvhdi()?;
    child::over_every_parent(&libvhdi_reads);
    Ok(())
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

fn what_peers_made() -> Result<(), Trouble> {
    let corpus = corpus::get().map_err(|reason| Missing(reason.to_owned()))?;
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
            expected(&Open::new().format(diskport::Format::Vhd).open(&original).expect("opens"), &parts);
        assert_eq!(
            digest::of_disk(&diskport::open(top).expect("opens")).expect("reads"),
            wanted,
            "{family:?}"
        );
        if family.len() == 1 {
            assert_eq!(qemu(top)?, wanted, "{family:?}");
        }
        // DiscUtils' child has bytes of bitmaps that libvhdi does not read right.
        if family[0] != "peer/discutils/du-diff1.vhd" {
            let chain: Vec<_> = paths.iter().map(AsRef::as_ref).collect();
            assert_eq!(libvhdi(&chain)?, wanted, "{family:?}");
        }
    }
    Ok(())
}

/// What the builder makes is a VHD to others too.
fn what_the_builder_makes() -> Result<(), Trouble> {
    let folder = tempfile::tempdir()?;
    let (path, raw) = (folder.path().join("image.vhd"), folder.path().join("image.raw"));
    let content: Vec<u8> = (0..3 * 1024 * 1024 + 512_u32).map(|i| (i / 512 * 31) as u8).collect();
    let mut dynamic = Vhd::dynamic(content.len() as u64, 512 << 10);
    // qemu ignores the bitmap of a dynamic disk: blocks are whole, or not there.
    dynamic.write(0, &content[..512 << 10]);
    dynamic.write(2048, &content[1 << 20..]);
    let mut sparse = content.clone();
    sparse[512 << 10..1 << 20].fill(0);
    for (image, content) in [(Vhd::fixed(&content), &content), (dynamic, &sparse)] {
        fs::write(&path, image.bytes())?;
        to_raw("vhd", &path, &raw)?;
        assert!(fs::read(&raw)? == *content);
        assert_reads_as(&diskport::open(&path)?, content);
    }
    Ok(())
}

/// Into new images of ours and of qemu's.
fn what_we_write() -> Result<(), Trouble> {
    let folder = tempfile::tempdir()?;
    let (path, raw) = (folder.path().join("image.vhd"), folder.path().join("image.raw"));
    let pattern = |seed: u8, len: u64| -> Vec<u8> { (0..len).map(|i| (i / 3) as u8 ^ seed | 1).collect() };
    for own in [false, true] {
        let size = 10 * MIB;
        if own {
            let copy = Convert::new(&Disk::empty(size, 512)).to(OutputFormat::Vhd(Allocation::Dynamic));
            copy.overwrite(true).create(&path)?;
        } else {
            let create = ["create", "-q", "-f", "vpc", "-o", "force_size=on"];
            run(tool("qemu-img")?.args(create).arg(&path).arg(size.to_string()))?;
        }
        let mut model = vec![0; size as usize];
        let mut disk = Open::new().open_writable(&path)?;
        for (round, at) in [(1, 0), (2, 3 * MIB + 512), (3, size - 1024)] {
            let data = pattern(round, (2 * MIB).min(size - at));
            disk.write_at(&data, at)?;
            model[at as usize..][..data.len()].copy_from_slice(&data);
        }
        disk.close()?;
        disk = Open::new().open_writable(&path)?;
        disk.write_zeroes(MIB / 2, 3 * MIB)?;
        model[MIB as usize / 2..][..3 * MIB as usize].fill(0);
        disk.compact()?;
        disk = Open::new().open_writable(&path)?;
        let grown = 300 * MIB;
        disk.resize(grown, false)?;
        to_raw("vhd", &path, &raw)?;
        model.resize(grown as usize, 0);
        assert_reads_as(&diskport::open(&raw)?, &model);
    }
    Ok(())
}
