//! How writers of others damaged volumes, with a test each that ours does not: the list and its sources are in `windows-write.md` 3, by whose
//! numbers the trials go. After each change our checker, ntfsresize and ntfsfix find nothing, and ntfs-3g reads by name what we read.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use diskport::Error;
use diskport::windows::ntfs::{Check, Edit, File, Volume};
use libtest_mimic::Trial;

use crate::common::tools::{Trouble, trial};
use crate::volume::{Image, apply, noise, our_tree};

const CLUSTER: u64 = 4096;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("1, 2, 3: thousands of names, half of them removed, and more".into(), many_names),
        trial("4: a record that is full of streams and names".into(), full_record),
        trial("5, 6, 8: free space in single clusters".into(), fragments),
        trial("7: a sparse file is replaced by a plain one".into(), sparse),
        trial("9: the root of an index becomes smaller".into(), small_root),
        trial("10: what is removed leaves no keys".into(), removed),
        trial("11: security ids beside many".into(), security),
        trial("12: names that Windows forbids".into(), forbidden),
    ]
}

/// A volume with what `fill` puts on it by ntfs-3g.
fn volume(
    mib: u64,
    options: &str,
    fill: impl FnOnce(&Path) -> Result<(), Trouble>,
) -> Result<Image, Trouble> {
    let image = Image::make(mib << 20, CLUSTER, 512)?;
    image.mounted(options, fill)?;
    Ok(image)
}

/// Changes the volume, and has it looked at by everyone.
fn edited<T>(image: &Image, change: impl FnOnce(&mut Edit) -> Result<T, Error>) -> Result<T, Trouble> {
    let mut edit = Edit::new(image.volume()?)?;
    let done = change(&mut edit)?;
    let size = image.disk()?.size();
    apply(image, &edit.finish()?, size)?;
    let volume = image.volume()?;
    check(&volume)?;
    image.check()?;
    assert_eq!(image.tree()?, our_tree(&volume)?);
    Ok(done)
}

/// An error when our checker finds anything.
fn check(volume: &Volume) -> Result<(), Trouble> {
    let checked = Check::new(volume).every_link(true).run()?;
    match checked.is_clean() {
        true => Ok(()),
        false => Err(format!("{:#?}", checked.findings).into()),
    }
}

fn put(edit: &mut Edit, path: &str, bytes: Vec<u8>) -> Result<(), Error> {
    edit.write(path, Arc::new(bytes))
}

fn many_names() -> Result<(), Trouble> {
    let image = volume(64, "", |_| Ok(()))?;
    let name = |number: u64| format!("d/{:x} and a longer name", number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    edited(&image, |edit| {
        edit.create_directory("d")?;
        (0..3000).try_for_each(|number| put(edit, &name(number), noise(number, 10)))
    })?;
    edited(&image, |edit| (0..3000).step_by(2).try_for_each(|number| edit.remove(&name(number))))?;
    edited(&image, |edit| (3000..4000).try_for_each(|number| put(edit, &name(number), noise(number, 2000))))?;
    assert_eq!(image.volume()?.find("d")?.ok_or("no directory")?.entries()?.len(), 2500);
    edited(&image, |edit| {
        (1..3000).step_by(2).chain(3000..4000).try_for_each(|number| edit.remove(&name(number)))?;
        edit.remove("d")
    })?;
    assert!(image.volume()?.find("d")?.is_none());
    Ok(())
}

fn full_record() -> Result<(), Trouble> {
    let image = volume(64, "", |root| {
        fs::write(root.join("file"), "of many names")?;
        fs::create_dir(root.join("links"))?;
        for number in 0..35 {
            fs::hard_link(root.join("file"), root.join(format!("links/a name of some length {number}")))?;
        }
        Ok(())
    })?;
    edited(&image, |edit| {
        (0..40).try_for_each(|number| put(edit, &format!("file:stream {number}"), noise(number, 600)))?;
        put(edit, "file", noise(99, 100_000))
    })?;
    // A directory whose record has no room for a larger root.
    edited(&image, |edit| {
        edit.create_directory("directory")?;
        (0..12).try_for_each(|number| put(edit, &format!("directory:stream {number}"), noise(number, 60)))?;
        (0..200)
            .try_for_each(|number| put(edit, &format!("directory/{number}{}", "x".repeat(200)), Vec::new()))
    })?;
    edited(&image, |edit| edit.remove("file"))?;
    // What was written under one name is a file of its own since.
    let left = image.volume()?.find("links/a name of some length 7")?.ok_or("no link")?.read(1 << 20)?;
    assert_eq!(left, b"of many names");
    Ok(())
}

fn fragments() -> Result<(), Trouble> {
    let image = volume(16, "", |root| {
        fs::create_dir(root.join("d"))?;
        let mut written = 0..;
        while fs::write(root.join(format!("d/{}", written.next().unwrap_or(0))), noise(1, 4096)).is_ok() {}
        for number in (0..written.start).step_by(2) {
            fs::remove_file(root.join(format!("d/{number}")))?;
        }
        Ok(())
    })?;
    let size = 300 * CLUSTER;
    edited(&image, |edit| put(edit, "in fragments", noise(7, size as usize)))?;
    for len in [size - 1, 200 * CLUSTER + 1, 200 * CLUSTER, 200 * CLUSTER - 1, 3 * CLUSTER + 1, CLUSTER, 1, 0]
    {
        edited(&image, |edit| edit.set_len("in fragments", len))?;
        let read = image.volume()?.find("in fragments")?.ok_or("no file")?.read(size)?;
        assert!(read == noise(7, size as usize)[..len as usize], "{len}");
    }
    // Records until nothing is left; what does not fit any more leaves no trace.
    let made = edited(&image, |edit| {
        edit.create_directory("e")?;
        for number in 0.. {
            match put(edit, &format!("e/{number}"), noise(number, 100)) {
                Ok(()) => {}
                Err(Error::VolumeFull { .. }) => return Ok(number),
                Err(error) => return Err(error),
            }
        }
        Ok(0)
    })?;
    assert!(made > 1000, "only {made} files");
    Ok(())
}

fn sparse() -> Result<(), Trouble> {
    let image = volume(32, "", |root| {
        let file = fs::File::create(root.join("sparse"))?;
        file.set_len(3 << 20)?;
        std::os::unix::fs::FileExt::write_all_at(&file, b"in the middle", 1 << 20)?;
        Ok(())
    })?;
    edited(&image, |edit| put(edit, "sparse", noise(3, 70_001)))?;
    edited(&image, |edit| edit.set_len("sparse", 3 << 20))?;
    let mut expected = noise(3, 70_001);
    expected.resize(3 << 20, 0);
    assert!(image.volume()?.find("sparse")?.ok_or("no file")?.read(4 << 20)? == expected);
    Ok(())
}

fn small_root() -> Result<(), Trouble> {
    let image = volume(16, "", |_| Ok(()))?;
    let name = |number: u32| format!("d/{number}{}", "long".repeat(10));
    edited(&image, |edit| {
        edit.create_directory("d")?;
        (0..3).try_for_each(|number| put(edit, &name(number), Vec::new()))
    })?;
    for number in 0..3 {
        edited(&image, |edit| edit.remove(&name(number)))?;
    }
    Ok(())
}

/// Of a volume with files of every kind one after the other is removed, and nothing is left of it.
fn removed() -> Result<(), Trouble> {
    let mut disk = diskport::open(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/ntfs-cast.vmdk"))?;
    let mut paths = Vec::new();
    list(&Volume::open(&disk, 0..disk.size())?.root()?, "", &mut paths)?;
    for path in &paths {
        let mut edit = Edit::new(Volume::open(&disk, 0..disk.size())?)?;
        edit.remove(path).map_err(|error| format!("{path}: {error}"))?;
        disk = disk.patched(disk.size(), edit.finish()?)?;
        check(&Volume::open(&disk, 0..disk.size())?)
            .map_err(|found| format!("{path}: {}", found.reason()))?;
    }
    assert!(paths.len() > 10, "{} files", paths.len());
    Ok(())
}

/// What is in a directory, but for the volume's own files; directories behind what they hold. What is no link is gone into.
fn list(directory: &File, path: &str, paths: &mut Vec<String>) -> Result<(), Trouble> {
    for entry in directory.entries()?.iter().filter(|entry| !entry.name.starts_with('$') && entry.name != ".")
    {
        let path = format!("{path}/{}", entry.name);
        let file = directory.open(entry)?;
        if entry.is_directory && file.entries().is_ok() {
            list(&file, &path, paths)?;
        }
        paths.push(path);
    }
    Ok(())
}

fn security() -> Result<(), Trouble> {
    // ntfs-3g keeps a descriptor for each owner.
    let image = volume(32, "permissions", |root| {
        for owner in 0..300 {
            let path = root.join(format!("of {owner}"));
            fs::write(&path, "")?;
            std::os::unix::fs::chown(&path, Some(1000 + owner), Some(1000))?;
        }
        fs::create_dir(root.join("d"))?;
        Ok(())
    })?;
    edited(&image, |edit| put(edit, "d/inherits", noise(1, 10)))?;
    edited(&image, |edit| {
        edit.create_directory("d/e/f")?;
        put(edit, "d/e/f/inherits too", noise(1, 10))?;
        put(edit, "like the others", noise(1, 10))
    })
}

fn forbidden() -> Result<(), Trouble> {
    let image = volume(16, "", |root| Ok(fs::write(root.join("Straße_µ"), "")?))?;
    let long = "x".repeat(256);
    let bad = [
        "a*",
        "a?",
        "a\"",
        "a<b",
        "a|b",
        "dot.",
        "space ",
        "NUL",
        "com1.txt",
        "a\u{7}",
        &long,
        "STRASSE",
        "straße_µ",
    ];
    let made: Vec<&str> = edited(&image, |edit| {
        // The next to last is another name; the last one is there, in another case.
        let made = bad.into_iter().filter(|name| edit.create_directory(name).is_ok());
        Ok(made.collect())
    })?;
    assert_eq!(made, ["STRASSE"]);
    let good = ["ÄÖ", "äö2", "_a", "^b", "[c", "ÿ", "日本語", "a;b+c=[d],e", "x.y.z", ".hidden"];
    edited(&image, |edit| good.iter().try_for_each(|name| put(edit, name, Vec::new())))?;
    // All at once, or nothing: the first is allowed.
    let before = image.tree()?;
    let failed = edited(&image, |edit| Ok(edit.create_directory("new/a*b").is_err()))?;
    assert!(failed && image.tree()? == before);
    Ok(())
}
