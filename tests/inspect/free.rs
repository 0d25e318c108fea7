//! What is free is not read, and all files stay as they are.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::process::Command;

use diskport::copy::{Convert, OutputFormat};
use diskport::free::FreeSpace;
use diskport::{Disk, Format, KIB, MIB, Open};
use libtest_mimic::Trial;

use crate::common::digest;
use crate::common::tools::{Finish, Missing, Trouble, run, tool, trial};
use crate::counting;
use crate::volume::{Image, noise};

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial("free::ntfs".into(), ntfs),
        trial("free::fat".into(), fat),
        trial("free::exfat".into(), exfat),
        trial("free::swap".into(), swap),
        trial("free::unclean".into(), unclean),
    ];
    let kinds: [(&str, &[&str]); 5] = [
        ("ext4", &["-t", "ext4"]),
        ("ext4-1k", &["-t", "ext4", "-b", "1024"]),
        ("ext4-64bit", &["-t", "ext4", "-O", "64bit,metadata_csum"]),
        ("ext4-sparse-super2", &["-t", "ext4", "-O", "sparse_super2"]),
        ("ext2", &["-t", "ext2"]),
    ];
    trials.extend(kinds.map(|(name, options)| trial(format!("free::{name}"), move || ext(options))));
    trials
}

/// Fills a mounted volume, and removes most of it: what is left lies between what was.
fn use_up(folder: &Path) -> Result<(), Trouble> {
    for number in 0..60 {
        let len = MIB as usize + number * 7001;
        fs::write(folder.join(format!("file {number}")), noise(number as u64, len))?;
    }
    run(Command::new("sync").arg("-f").arg(folder))?;
    for number in (0..60).filter(|number| number % 4 != 0) {
        fs::remove_file(folder.join(format!("file {number}")))?;
    }
    Ok(())
}

/// Copies a disk without what is free. As much of it is read as is in use, within 2 %.
fn copied(path: &Path, paging: bool) -> Result<tempfile::NamedTempFile, Trouble> {
    let (disk, read) = counting::disk(path)?;
    let space = FreeSpace::of(&disk)?;
    let free = space.volumes[0].free.ok_or_else(|| format!("{:?}", space.volumes))?;
    let kept = disk.size() - free - if paging { space.paging_bytes() } else { 0 };
    let before = read();
    let output = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR"))?;
    let raw = OutputFormat::new(Format::Raw, None)?;
    let view = space.skip(&disk, true, paging)?;
    Convert::new(&view).to(raw).overwrite(true).create(output.path())?;
    let read = read() - before;
    if read > kept + kept / 50 || free < disk.size() / 4 {
        return Err(format!("{read} bytes were read, where {kept} are in use and {free} free").into());
    }
    Ok(output)
}

fn ntfs() -> Result<(), Trouble> {
    for cluster in [4096, 512, 64 * KIB] {
        let image = Image::make(128 * MIB, cluster, 512)?;
        image.mounted("rw", |folder| {
            use_up(folder)?;
            Ok(fs::write(folder.join("pagefile.sys"), noise(99, 3 * MIB as usize))?)
        })?;
        let before = image.tree()?;
        let output = copied(&image.path, false)?;
        let copy = Image::of(output.path())?;
        copy.check()?;
        if copy.tree()? != before {
            return Err(format!("clusters of {cluster}: files differ").into());
        }
        // Without the content of page files all but that is the same.
        let output = copied(&image.path, true)?;
        let copy = Image::of(output.path())?;
        copy.check()?;
        let mut without = copy.tree()?;
        let paging = without.insert("pagefile.sys".to_owned(), before.get("pagefile.sys").cloned().flatten());
        let zeros = Some(Some(digest::of_bytes(&vec![0; 3 * MIB as usize])));
        if without != before || paging != zeros {
            return Err(format!("clusters of {cluster}: {paging:?}").into());
        }
    }
    Ok(())
}

/// A file system in a file, mounted by the kernel.
fn mounted<T>(image: &Path, with: impl FnOnce(&Path) -> Result<T, Trouble>) -> Result<T, Trouble> {
    let point = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let done = tool("mount")?.args(["-o", "loop"]).arg(image).arg(point.path()).output()?;
    if !done.status.success() {
        return Err(Missing(format!(
            "mounting is not allowed here: {}",
            String::from_utf8_lossy(&done.stderr)
        ))
        .into());
    }
    let result = with(point.path());
    run(tool("umount")?.arg(point.path()))?;
    result
}

fn digests(folder: &Path) -> Result<BTreeMap<String, String>, Trouble> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            found.insert(entry.file_name().to_string_lossy().into_owned(), digest::of_file(&entry.path())?);
        }
    }
    Ok(found)
}

fn ext(options: &[&str]) -> Result<(), Trouble> {
    let image = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR"))?;
    // More groups than one, some of which were never written.
    image.as_file().set_len(700 * MIB)?;
    run(tool("mke2fs")?.args(["-q", "-F"]).args(options).arg(image.path()))?;
    mounted(image.path(), use_up)?;
    let before = mounted(image.path(), digests)?;
    let output = copied(image.path(), false)?;
    run(tool("e2fsck")?.args(["-f", "-n"]).arg(output.path()))?;
    if mounted(output.path(), digests)? != before || before.len() != 15 {
        return Err("files differ".into());
    }
    // As the file system itself counts, from its groups.
    let said = tool("dumpe2fs")?.args(["-h"]).arg(image.path()).finish()?;
    let said = String::from_utf8_lossy(&said).into_owned();
    let field = |name: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(name)).ok_or(format!("no {name}"))?;
        line.trim().parse::<u64>().map_err(|e| e.to_string())
    };
    let expected = field("Free blocks:")? * field("Block size:")?;
    let disk = Open::new().format(Format::Raw).open(image.path())?;
    match FreeSpace::of(&disk)?.free_bytes() == expected {
        true => Ok(()),
        false => {
            Err(format!("{} bytes are free, expected {expected}", FreeSpace::of(&disk)?.free_bytes()).into())
        }
    }
}

/// FAT of each width, filled by another library.
fn fat() -> Result<(), Trouble> {
    for (size, kind) in [
        (3 * MIB, fatfs::FatType::Fat12),
        (20 * MIB, fatfs::FatType::Fat16),
        (80 * MIB, fatfs::FatType::Fat32),
    ] {
        let image = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR"))?;
        image.as_file().set_len(size)?;
        let format = fatfs::FormatVolumeOptions::new().fat_type(kind).bytes_per_cluster(1024);
        fatfs::format_volume(image.as_file(), format)?;
        let piece = (size / 20) as usize;
        let expected = {
            let volume = fatfs::FileSystem::new(image.reopen()?, fatfs::FsOptions::new())?;
            for number in 0..12 {
                volume
                    .root_dir()
                    .create_file(&format!("a long name {number}"))?
                    .write_all(&noise(number, piece))?;
            }
            for number in (0..12).step_by(2) {
                volume.root_dir().remove(&format!("a long name {number}"))?;
            }
            let stats = volume.stats()?;
            volume.unmount()?;
            u64::from(stats.free_clusters()) * u64::from(stats.cluster_size())
        };
        let disk = Open::new().format(Format::Raw).open(image.path())?;
        let space = FreeSpace::of(&disk)?;
        if space.volumes[0].free != Some(expected) {
            return Err(format!("{kind:?}: {:?}, expected {expected}", space.volumes).into());
        }
        let output = copied(image.path(), false)?;
        let volume = fatfs::FileSystem::new(File::open(output.path())?, fatfs::FsOptions::new());
        let volume = volume?;
        for number in (1..12).step_by(2) {
            let mut bytes = Vec::new();
            let mut file = volume.root_dir().open_file(&format!("a long name {number}"))?;
            std::io::Read::read_to_end(&mut file, &mut bytes)?;
            if bytes != noise(number, piece) {
                return Err(format!("{kind:?}: file {number} differs").into());
            }
        }
    }
    Ok(())
}

/// As exfatprogs count, before and after clusters are taken.
fn exfat() -> Result<(), Trouble> {
    let mut image = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR"))?;
    image.as_file().set_len(64 * MIB)?;
    run(tool("mkfs.exfat")?.arg(image.path()))?;
    let bytes = fs::read(image.path())?;
    let field =
        |at: usize| u64::from(u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]));
    let (heap, cluster) = (field(88) << bytes[108], 1_u64 << (bytes[108] + bytes[109]));
    for taken in [0_u64, 3] {
        // The bitmap begins with the first cluster. These lie in the middle of it.
        image.seek(SeekFrom::Start(heap + 300))?;
        image.write_all(&[(1_u8 << taken) - 1])?;
        image.flush()?;
        let said = tool("dump.exfat")?.arg(image.path()).finish()?;
        let said = String::from_utf8_lossy(&said).into_owned();
        let free = said.lines().find_map(|line| line.strip_prefix("Free Clusters:")).ok_or("no count")?;
        let expected = free.trim().parse::<u64>()? * cluster;
        let disk = Open::new().format(Format::Raw).open(image.path())?;
        let space = FreeSpace::of(&disk)?;
        let first = heap + 2400 * cluster;
        let is_free = |at: u64| space.free.iter().any(|range| range.contains(&at));
        let found = (space.volumes[0].free, is_free(first), is_free(first + 3 * cluster), is_free(heap));
        if found != (Some(expected), taken == 0, true, false) {
            return Err(format!("{taken} taken: {found:?}, expected {expected} free").into());
        }
    }
    // One that was not unmounted says nothing.
    image.seek(SeekFrom::Start(106))?;
    image.write_all(&[2])?;
    image.flush()?;
    let space = FreeSpace::of(&Open::new().format(Format::Raw).open(image.path())?)?;
    match (space.volumes[0].free, space.free.is_empty(), space.notes().count()) {
        (None, true, 1) => Ok(()),
        found => Err(format!("{found:?}").into()),
    }
}

/// The header of swap space stays, with its identity.
fn swap() -> Result<(), Trouble> {
    let image = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR"))?;
    fs::write(image.path(), noise(5, 4 * MIB as usize))?;
    run(tool("mkswap")?.arg(image.path()))?;
    let disk = Open::new().format(Format::Raw).open(image.path())?;
    let space = FreeSpace::of(&disk)?;
    let view = space.skip(&disk, true, true)?;
    let bytes = |disk: &Disk| -> Result<Vec<u8>, Trouble> {
        let mut bytes = vec![0; disk.size() as usize];
        disk.read_at(&mut bytes, 0)?;
        Ok(bytes)
    };
    let mut expected = bytes(&disk)?;
    expected[4096..].fill(0);
    match bytes(&view)? == expected && space.paging_bytes() == 4 * MIB - 4096 {
        true => Ok(()),
        false => Err(format!("{space:?}").into()),
    }
}

/// A volume that was not unmounted is left as it is, and so is one with features that are not known.
fn unclean() -> Result<(), Trouble> {
    let image = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR"))?;
    image.as_file().set_len(64 * MIB)?;
    run(tool("mke2fs")?.args(["-q", "-F", "-t", "ext4", "-b", "4096"]).arg(image.path()))?;
    let good = fs::read(image.path())?;
    // The state is not valid; the journal is to be replayed; errors were seen; a count is wrong.
    for (at, value) in [
        (1024 + 0x3a, 0),
        (1024 + 0x60, good[1024 + 0x60] | 4),
        (1024 + 0x3a, 3),
        (4096 + 0xc, good[4096 + 0xc] ^ 1),
    ] {
        let mut bad = good.clone();
        bad[at] = value;
        fs::write(image.path(), bad)?;
        let space = FreeSpace::of(&Open::new().format(Format::Raw).open(image.path())?)?;
        if space.volumes[0].free.is_some() || !space.free.is_empty() || space.notes().count() != 1 {
            return Err(format!("byte {at}: {space:?}").into());
        }
    }
    Ok(())
}
