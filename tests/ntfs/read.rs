//! Files read by us as ntfs-3g reads them.

use std::fs;
use std::io::Write;
use std::path::Path;

use diskport::windows::ntfs::{State, Volume};
use diskport::{Error, Format, Open};
use libtest_mimic::Trial;
use rustix::fs::XattrFlags;

use crate::common::corpus;
use crate::common::tools::{Missing, Trouble, trial};
use crate::volume::{Image, fill, noise, our_tree, text};

const MIB: u64 = 1 << 20;

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial("what ntfs-3g wrote is read".into(), written),
        trial("compressed files are read".into(), compressed),
        trial("files compressed by WOF are read".into(), compressed_by_wof),
        trial("files that cannot be read are refused".into(), refused),
        trial("bytes are overwritten in place".into(), overwritten),
    ];
    for (file, start) in [
        ("fs/ntfs.raw", 0),
        ("fs/windows_volume.raw", 0),
        ("fs/vsstest.raw", 0),
        ("vhd/dfvfs/ntfs-fixed.vhd", 65536),
        ("vhd/dissect/dynamic.vhd", 65536),
        ("vhdx/dfvfs/ntfs-differential.vhdx", 65536),
        ("vhdx/dissect/dynamic.vhdx", 65536),
    ] {
        trials.push(trial(format!("{file} is read as ntfs-3g does"), move || real(file, start)));
    }
    trials
}

fn written() -> Result<(), Trouble> {
    for (cluster, sector) in [(512, 512), (4096, 512), (65536, 512), (4096, 4096)] {
        let size = if cluster > 4096 { 192 * MIB } else { 64 * MIB };
        let image = Image::make(size, cluster, sector)?;
        image.mounted("rw", |root| {
            fs::create_dir_all(root.join("Ünïcode/ДИРЕКТОРИЯ/深い"))?;
            fs::write(root.join("Ünïcode/ДИРЕКТОРИЯ/深い/file"), noise(1, 100_000))?;
            fs::create_dir(root.join("many"))?;
            for number in 0..2000 {
                fs::write(root.join(format!("many/file number {number}")), noise(number, number as usize))?;
            }
            // Names that were in the index and are no more.
            for number in 0..900 {
                fs::remove_file(root.join(format!("many/file number {number}")))?;
            }
            let mut sparse = fs::File::create(root.join("sparse"))?;
            sparse.write_all(&noise(3, 5000))?;
            sparse.set_len(9_000_000)?;
            fs::write(root.join("empty"), [])?;
            Ok(())
        })?;
        let volume = image.volume()?;
        assert_eq!((volume.cluster_size(), volume.sector_size()), (cluster, sector));
        assert_eq!(volume.size(), size);
        assert_eq!(our_tree(&volume)?, image.tree()?);
        assert_eq!(volume.state()?, State::Clean);
        // The table that names in the registry are compared by is the same one; its unit test has this sum.
        let upcase = volume.find("$UpCase")?.ok_or("no table")?.read(1 << 17)?;
        assert_eq!(crc32fast::hash(&upcase), 0xcee8_cffa);
        for path in
            ["/üNÏCODE/директория/深い/FILE", r"Ünïcode\ДИРЕКТОРИЯ\深い\file", "MANY/File Number 1999"]
        {
            assert!(volume.find(path)?.is_some(), "{path}");
        }
        for path in ["many/file number 1", "many/file number 1999/x", "深い"] {
            match volume.find(path) {
                Ok(None) => {}
                Err(Error::Damaged { .. }) if path.ends_with('x') => {}
                other => return Err(format!("{path}: {other:?}").into()),
            }
        }
        let limited = volume.find("sparse")?.ok_or("no file")?.read(8_999_999);
        assert!(matches!(limited, Err(Error::Damaged { .. })), "{limited:?}");
    }
    Ok(())
}

/// Sets a file's NTFS attributes, or its reparse point.
fn set(path: &Path, name: &str, value: &[u8]) -> Result<(), Trouble> {
    Ok(rustix::fs::setxattr(path, name, value, XattrFlags::empty())?)
}

fn compressed() -> Result<(), Trouble> {
    let image = Image::make(64 * MIB, 4096, 512)?;
    let mut half = noise(9, 70_000);
    half.extend(text(9, 400_000));
    half.extend([0; 200_000]);
    half.extend(noise(10, 333));
    let files = [
        ("text", text(1, 1_000_000)),
        ("noise", noise(1, 200_000)),
        ("zeros", vec![0; 500_000]),
        ("half", half),
    ];
    image.mounted("rw,compression", |root| {
        let folder = root.join("compressed");
        fs::create_dir(&folder)?;
        set(&folder, "system.ntfs_attrib", &0x810u32.to_le_bytes())?;
        for (name, bytes) in &files {
            fs::write(folder.join(name), bytes)?;
        }
        Ok(())
    })?;
    let volume = image.volume()?;
    assert_eq!(our_tree(&volume)?, image.tree()?);
    for (name, bytes) in &files {
        let file = volume.find(&format!("compressed/{name}"))?.ok_or("no file")?;
        assert!(file.read(MIB)? == *bytes, "{name}");
        in_pieces(&file, bytes)?;
        assert!(matches!(file.overwrite(0, b"x"), Err(Error::Layout { .. })), "{name} is compressed");
    }
    // That it was LZNT1 which was read: the text's clusters are fewer than its bytes.
    let free = |image: &Image| image.mounted("ro", |root| Ok(rustix::fs::statvfs(root)?.f_bfree));
    let plain = Image::make(64 * MIB, 4096, 512)?;
    plain.mounted("rw", |root| {
        fs::create_dir(root.join("compressed"))?;
        files.iter().try_for_each(|(name, bytes)| Ok(fs::write(root.join("compressed").join(name), bytes)?))
    })?;
    assert!(free(&image)? > free(&plain)? + 200, "ntfs-3g compresses");
    Ok(())
}

/// What is compressed is read from anywhere, to anywhere.
fn in_pieces(file: &diskport::windows::ntfs::File, bytes: &[u8]) -> Result<(), Trouble> {
    let data = file.data("")?.ok_or("no data")?;
    assert_eq!(data.size(), bytes.len() as u64);
    for (at, len) in [(0, 1), (4095, 2), (16383, 40_000), (65_536, 1), (65_535, 100_000), (70_000, 333)] {
        let end = bytes.len().min(at + len);
        let mut found = vec![1; end.saturating_sub(at)];
        data.read_at(&mut found, at as u64)?;
        assert!(found == bytes[at.min(end)..end], "{len} bytes at {at}");
    }
    Ok(())
}

/// A reparse point of the Windows Overlay Filter.
fn wof_point(provider: u32, algorithm: u32) -> Vec<u8> {
    [0x8000_0017, 16, 1, provider, 1, algorithm].into_iter().flat_map(u32::to_le_bytes).collect()
}

/// Compressed by wimlib, whose chunks and tables are those of WOF; see `testdata/README.md`.
fn compressed_by_wof() -> Result<(), Trouble> {
    let plain = [text(1, 16384), noise(2, 17000), vec![0; 30000], text(3, 10007)].concat();
    let image = Image::make(16 * MIB, 4096, 512)?;
    let files = [("4k", 0), ("8k", 2), ("16k", 3)];
    image.mounted("rw", |root| {
        for (name, algorithm) in files {
            let stored = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("testdata/wof-xpress{name}.bin"));
            let path = root.join(name);
            fs::File::create(&path)?.set_len(plain.len() as u64)?;
            set(&path, "user.WofCompressedData", &fs::read(stored)?)?;
            set(&path, "system.ntfs_reparse_data", &wof_point(2, algorithm))?;
        }
        Ok(())
    })?;
    let volume = image.volume()?;
    for (name, _) in files {
        let file = volume.find(name)?.ok_or(name)?;
        assert!(file.read(MIB)? == plain, "{name}");
        in_pieces(&file, &plain)?;
        assert!(file.read(plain.len() as u64 - 1).is_err(), "{name} has more bytes than allowed");
        assert!(matches!(file.overwrite(0, b"x"), Err(Error::Layout { .. })), "{name} is compressed");
    }
    Ok(())
}

/// No file whose bytes lie elsewhere is read as zeros.
fn refused() -> Result<(), Trouble> {
    let image = Image::make(16 * MIB, 4096, 512)?;
    let points = [
        ("lzx", wof_point(2, 1), "LZX"),
        ("wim", wof_point(1, 0), "WIM"),
        ("unknown", wof_point(2, 4), "unknown algorithm"),
        ("no stream", wof_point(2, 0), "missing"),
        ("cut", wof_point(2, 0)[..16].to_vec(), "0x80000017"),
        ("deduplicated", [0x8000_0013u32, 0].into_iter().flat_map(u32::to_le_bytes).collect(), "0x80000013"),
    ];
    image.mounted("rw", |root| {
        for (name, point, _) in &points {
            fs::File::create(root.join(name))?.set_len(100_000)?;
            let len = (point.len() - 8) as u32;
            let point = [&point[..4], &len.to_le_bytes(), &point[8..]].concat();
            set(&root.join(name), "system.ntfs_reparse_data", &point)?;
        }
        Ok(())
    })?;
    let volume = image.volume()?;
    for (name, _, expected) in points {
        match volume.find(name)?.ok_or(name)?.read(MIB) {
            Err(Error::Layout { reason }) if reason.contains(expected) => {}
            other => return Err(format!("{name}: {other:?}, not {expected}").into()),
        }
    }
    Ok(())
}

fn overwritten() -> Result<(), Trouble> {
    let image = Image::make(16 * MIB, 512, 512)?;
    image.mounted("rw", |root| {
        for number in 0..200 {
            fs::write(root.join(format!("{number}")), noise(number, 1500))?;
        }
        fill(&root.join("stop"), 1)?;
        fill(&root.join("stop there"), 1)?;
        for number in (0..200).step_by(2) {
            fs::remove_file(root.join(format!("{number}")))?;
        }
        fs::write(root.join("in fragments"), noise(2, 100_001))?;
        Ok(fs::write(root.join("resident"), b"short")?)
    })?;
    let volume = image.volume()?;
    let file = volume.find("in fragments")?.ok_or("no file")?;
    let mut expected = file.read(MIB)?;
    let new = text(1, 7777);
    expected[90_000..97_777].copy_from_slice(&new);
    let patches = file.overwrite(90_000, &new)?;
    assert!(patches.len() > 1, "in fragments");
    let disk = image.disk()?;
    let patched = disk.patched(disk.size(), patches)?;
    let volume = Volume::open(&patched, 0..patched.size())?;
    assert!(volume.find("in fragments")?.ok_or("no file")?.read(MIB)? == expected);
    assert!(file.overwrite(100_000, b"xx").is_err(), "beyond the end");
    assert!(volume.find("resident")?.ok_or("no file")?.overwrite(0, b"x").is_err());
    Ok(())
}

fn real(file: &str, start: u64) -> Result<(), Trouble> {
    let corpus = corpus::get().map_err(|reason| Missing(reason.to_owned()))?;
    let mut open = Open::new();
    if file.ends_with(".raw") {
        open = open.format(Format::Raw);
    }
    let disk = open.open(corpus.path(file))?;
    let volume = Volume::open(&disk, start..disk.size())?;
    // The volume alone, for ntfs-3g.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let path = folder.path().join("raw");
    let mut raw = fs::File::create(&path)?;
    let mut piece = vec![0; MIB as usize];
    for at in (start..disk.size()).step_by(MIB as usize) {
        let piece = &mut piece[..MIB.min(disk.size() - at) as usize];
        disk.read_at(piece, at)?;
        raw.write_all(piece)?;
    }
    let ours = our_tree(&volume)?;
    assert_eq!(ours, Image::of(&path)?.tree()?);
    assert_eq!(volume.state()?, State::Clean);
    assert_eq!(volume.has_shadow_copies()?, file == "fs/vsstest.raw");
    Ok(())
}
