//! FAT32 volumes: clean to fsck.vfat, and read by mtools and 7-Zip as they were made.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use diskport::copy::{Convert, OutputFormat};
use diskport::disk::Patch;
use diskport::partition::{Fat32, FileSystem};
use diskport::{Disk, MIB};
use libtest_mimic::Trial;

use crate::common::tools::{Finish, Trouble, tool, trial};

/// Size of the partition in MiB, bytes of a sector, bytes of a cluster that Windows picks.
const VOLUMES: [(u64, u32, u64); 4] = [(34, 512, 512), (100, 512, 1024), (260, 512, 4096), (260, 4096, 4096)];

pub fn trials(folder: &Path) -> Vec<Trial> {
    let volume = |(size, sector, cluster)| {
        let folder = folder.join(format!("fat-{size}-{sector}"));
        trial(format!("fat::{size}-{sector}"), move || check(size * MIB, sector, cluster, &folder))
    };
    VOLUMES.into_iter().map(volume).collect()
}

/// Files of all kinds of names and sizes.
fn files() -> BTreeMap<String, Vec<u8>> {
    let content = |len: usize, salt: usize| (0..len).map(|n| (n * 31 / 7 + salt) as u8).collect::<Vec<_>>();
    let mut files = BTreeMap::new();
    let names = [
        "EFI/Boot/bootx64.efi",
        "EFI/Microsoft/Boot/BCD",
        "EFI/Microsoft/Boot/bootmgfw.efi",
        "EFI/Microsoft/Boot/en-US/bootmgfw.efi.mui",
        "EFI/Microsoft/Boot/en-US/bootmgr.efi.mui",
        "EFI/Microsoft/Boot/qps-ploc/memtest.efi.mui",
        "EFI/Microsoft/Boot/Fonts/wgl4_boot.ttf",
        "UPPER.TXT",
        "lower.txt",
        "no extension",
        ".profile",
        "two.dots.here",
        "LONGNA~1.TXT",
        "longname.text",
        "long name.txt",
        "exactly13char",
        "exactly twenty-six letters",
        "Größe ändern.txt",
        "日本語のファイル.bin",
        "emoji 🙂.txt",
        "a+b=c,[d];e.cfg",
        "deep/er/and/deep/er/and/deeper still/end.txt",
    ];
    for (salt, name) in names.into_iter().enumerate() {
        files.insert(name.to_owned(), content(salt * 1777, salt));
    }
    files.insert("empty.bin".to_owned(), Vec::new());
    files.insert("one cluster.bin".to_owned(), content(4096, 1));
    files.insert("large.bin".to_owned(), content(3_000_001, 2));
    files.insert(format!("{}.txt", "n".repeat(251)), content(10, 3));
    for number in 0..1500 {
        files.insert(format!("many/file with number {number:04}.dat"), content(number % 5, number));
    }
    files
}

fn check(size: u64, sector: u32, cluster: u64, folder: &Path) -> Result<(), Trouble> {
    fs::create_dir_all(folder)?;
    let files = files();
    let (start, whole) = (3 * MIB, size + 5 * MIB);
    let mut volume = Fat32::new(start..start + size, sector)
        .serial(0x1234_abcd)
        .label("SYSTEM")?
        .modified(UNIX_EPOCH + Duration::from_secs(1_700_000_000));
    for (path, bytes) in &files {
        volume.add_file(path, bytes.clone())?;
    }
    let patches = volume.into_patches()?;
    let written: u64 = patches.iter().map(|patch| patch.bytes.len() as u64).sum();
    assert!(patches.iter().all(|p| p.offset >= start && p.offset + p.bytes.len() as u64 <= start + size));
    // Every byte that is not written reads as FF: what should have been written shows.
    let full = Patch { offset: 0, bytes: vec![0xff; whole as usize] };
    let disk = Disk::empty(whole, sector).patched(whole, vec![full])?.patched(whole, patches)?;
    let partition = disk.slice(start..start + size);
    assert_eq!(FileSystem::of(&partition)?, Some(FileSystem::Fat32));
    let image = folder.join("volume.img");
    Convert::new(&partition).to(OutputFormat::Raw).sync(false).create(&image)?;

    let said = String::from_utf8(tool("fsck.vfat")?.args(["-n", "-v"]).arg(&image).finish()?)?;
    assert!(said.contains(&format!("{cluster} bytes per cluster")), "{said}");
    // The last line: "volume.img: 1530 files, 3512/102142 clusters".
    let clusters = said.trim_end().rsplit('/').next().and_then(|line| line.split(' ').next()?.parse().ok());
    assert!(clusters.is_some_and(|clusters: u64| clusters >= 65_525), "{said}");
    let problems =
        ["differ", "not properly", "Free cluster summary", "orphan", "Bad", "Truncat", "rename", "dirty"];
    assert!(!problems.iter().any(|problem| said.contains(problem)), "{said}");
    // Of 100 MiB, little more than the files and the tables is written.
    let stored: u64 = files.values().map(|bytes| (bytes.len() as u64).next_multiple_of(cluster)).sum();
    assert!(written < stored + size / cluster * 8 + 2 * MIB, "{written} bytes are written");

    extracted(&image, &folder.join("7zz"), &files, |to| {
        let mut archiver = tool("7zz")?;
        archiver.args(["x", "-y", "-bd", "-tFAT"]).arg(format!("-o{}", to.display())).arg(&image);
        Ok(archiver.finish().map(drop)?)
    })?;
    // What is beyond 16 bits, mtools does not write.
    let known = files.into_iter().map(|(name, bytes)| (name.replace('🙂', "__"), bytes)).collect();
    extracted(&image, &folder.join("mtools"), &known, |to| {
        fs::create_dir_all(to)?;
        let mut mcopy = tool("mcopy")?;
        mcopy.env("LC_ALL", "C.UTF-8").env("MTOOLS_SKIP_CHECK", "1");
        Ok(mcopy.args(["-s", "-n", "-Q", "-i"]).arg(&image).arg("::*").arg(to).finish().map(drop)?)
    })?;
    let listed = tool("mdir")?.env("MTOOLS_SKIP_CHECK", "1").arg("-i").arg(&image).arg("::").finish()?;
    let listed = String::from_utf8_lossy(&listed).into_owned();
    for expected in
        ["Volume in drive : is SYSTEM", "Serial Number is 1234-ABCD", "2023-11-14  22:13", "UPPER    TXT"]
    {
        assert!(listed.contains(expected), "{expected}: {listed}");
    }
    fs::remove_dir_all(folder)?;
    Ok(())
}

/// Compares what a reader extracts with what was put in.
fn extracted(
    image: &Path,
    to: &Path,
    files: &BTreeMap<String, Vec<u8>>,
    extract: impl FnOnce(&Path) -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    extract(to)?;
    let mut found = BTreeMap::new();
    collect(to, "", &mut found)?;
    found.remove("SYSTEM");
    let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&found), names(files), "{}", image.display());
    for (name, bytes) in files {
        assert!(found.get(name) == Some(bytes), "{name}");
    }
    Ok(())
}

fn collect(folder: &Path, prefix: &str, found: &mut BTreeMap<String, Vec<u8>>) -> Result<(), Trouble> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), &format!("{name}/"), found)?;
        } else {
            found.insert(name, fs::read(entry.path())?);
        }
    }
    Ok(())
}
