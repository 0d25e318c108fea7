//! Volumes written to: drawn operations against a plain model, and what corrupted volumes of others, each in its trial.
//!
//! Each volume is judged by ntfsresize (every cluster), ntfsfix, 7-Zip and checkdisk, read by us and by ntfs-3g, and then
//! written on by ntfs-3g and judged again.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use diskport::storage::ReadAt;
use diskport::windows::ntfs::{Edit, Times, Volume};
use diskport::{Error, Rule};
use libtest_mimic::Trial;
use rustix::fs::XattrFlags;

use crate::common::digest::of_bytes;
use crate::common::tools::{Trouble, python, tool, trial};
use crate::volume::{Image, Tree, apply, fill, noise, our_tree, sound, text};

const MIB: u64 = 1 << 20;

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![trial("drawn operations, read back".into(), read_back)];
    let kinds = [
        (512, 24, 512),
        (4096, 48, 512),
        (4096, 48, 4096),
        (65536, 96, 512),
        (65536, 96, 4096),
        (2 * MIB, 700, 512),
    ];
    for (cluster, size, sector) in kinds {
        let name = format!("drawn operations: {cluster}-byte clusters, {sector}-byte sectors");
        trials.push(trial(name, move || drawn(cluster, size * MIB, sector)));
    }
    trials.push(trial("many names in one directory".into(), many_names));
    trials.push(trial("files stored in other ways are replaced".into(), stored_otherwise));
    trials.push(trial("links and streams beyond one record".into(), links_and_streams));
    trials.push(trial("free space in pieces, to the last cluster".into(), in_pieces));
    trials.push(trial("cut at each end of a run".into(), cut_at_runs));
    trials.push(trial("large contents are referred to".into(), referred_to));
    trials.push(trial("what is not written".into(), refused));
    trials.push(trial("what is said of a file".into(), said_of_a_file));
    trials
}

/// Paths and what they hold; none for directories. Streams follow a `:`.
type Model = BTreeMap<String, Option<Vec<u8>>>;

/// Numbers drawn, the same for a seed.
struct Draw(u64);

impl Draw {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % end.max(1)
    }

    fn of<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> Option<&'a T> {
        from.get(self.below(from.len())).copied()
    }
}

/// Does one drawn operation, on the volume and on the model.
fn step(edit: &mut Edit, model: &mut Model, draw: &mut Draw, most: usize) -> Result<(), Trouble> {
    let directories: Vec<&str> =
        model.iter().filter(|(_, held)| held.is_none()).map(|(path, _)| &**path).collect();
    let all: Vec<&str> = model.keys().filter(|path| path.contains('/')).map(|path| &**path).collect();
    let named: Vec<&str> = all.iter().copied().filter(|path| !path.contains(':')).collect();
    let held: Vec<&str> = all.iter().copied().filter(|path| model[*path].is_some()).collect();
    let number = draw.below(100_000);
    let kinds = ["f{}.txt", "a longer name {}.dat", "Ünï {}", "µ{}ſ", "_x{}", "Q{}.B", &"very ".repeat(25)];
    let name = kinds[draw.below(kinds.len())].replace("{}", &number.to_string()) + &number.to_string();
    let new = format!("{}/{name}", draw.of(&directories).unwrap_or("edit"));
    let len = [0, 1, 60, 400, 690, 720, 900, 5000][draw.below(8)] + draw.below(5) / 4 * draw.below(most);
    let done = match draw.below(20) {
        0..=5 => {
            let old = draw.of(&held).filter(|_| number.is_multiple_of(8));
            let stream =
                old.filter(|old| !old.contains(':')).map(|old| format!("{old}:stream {}", number % 3));
            let path = match stream.filter(|_| number.is_multiple_of(16)) {
                Some(stream) => stream,
                None => old.map_or(new, str::to_owned),
            };
            let bytes = noise(number as u64, len);
            edit.write(&path, Arc::new(bytes.clone())).map(|()| drop(model.insert(path, Some(bytes))))
        }
        6..=7 => edit.create_directory(&new).map(|()| drop(model.insert(new, None))),
        8..=10 => {
            let Some(path) = draw.of(&all).map(str::to_owned) else { return Ok(()) };
            let inside = |other: &String| other.starts_with(&format!("{path}/"));
            if model.keys().any(inside) {
                assert!(matches!(edit.remove(&path), Err(Error::Layout { .. })), "{path} is not empty");
                return Ok(());
            }
            edit.remove(&path)
                .map(|()| model.retain(|other, _| *other != path && !other.starts_with(&format!("{path}:"))))
        }
        11..=13 => {
            let Some(path) = draw.of(&named).map(str::to_owned) else { return Ok(()) };
            if new.starts_with(&format!("{path}/")) {
                assert!(matches!(edit.rename(&path, &new), Err(Error::Layout { .. })), "into itself");
                return Ok(());
            }
            edit.rename(&path, &new).map(|()| {
                *model = std::mem::take(model)
                    .into_iter()
                    .map(|(other, held)| match other.strip_prefix(&path) {
                        Some(rest) if rest.is_empty() || rest.starts_with(['/', ':']) => {
                            (format!("{new}{rest}"), held)
                        }
                        _ => (other, held),
                    })
                    .collect();
            })
        }
        14..=17 => {
            let Some(path) = draw.of(&held).map(str::to_owned) else { return Ok(()) };
            let old = model[&path].clone().unwrap_or_default();
            let at = [0, old.len(), draw.below(old.len() + 1), old.len() + draw.below(20_000)][draw.below(4)];
            let bytes = noise(number as u64, [0, 1, 100, 3000, 30_000][draw.below(5)]);
            edit.write_at(&path, at as u64, &bytes).map(|()| {
                let mut new = old;
                new.resize(new.len().max(at + bytes.len()), 0);
                new[at..at + bytes.len()].copy_from_slice(&bytes);
                model.insert(path, Some(new));
            })
        }
        _ => {
            let Some(path) = draw.of(&held).map(str::to_owned) else { return Ok(()) };
            let mut new = model[&path].clone().unwrap_or_default();
            let cluster = new.len() / 4096 * 4096;
            new.resize([0, len, cluster, cluster + 1, cluster.saturating_sub(1)][draw.below(5)], 0);
            edit.set_len(&path, new.len() as u64).map(|()| drop(model.insert(path, Some(new))))
        }
    };
    match done {
        // Of which nothing is done, as is seen at the end.
        Err(Error::VolumeFull { needed, free }) if needed > free => Ok(()),
        done => Ok(done?),
    }
}

/// The model as the readers give it.
fn tree_of(model: &Model) -> Tree {
    let files = model.iter().filter(|(path, _)| !path.contains(':'));
    files.map(|(path, held)| (path.clone(), held.as_ref().map(|held| of_bytes(held)))).collect()
}

/// Without any other program.
fn read_back() -> Result<(), Trouble> {
    let disk = diskport::open(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/ntfs.vmdk"))?;
    let before = our_tree(&Volume::open(&disk, 0..disk.size())?)?;
    for seed in 1..=6 {
        let (mut draw, mut disk) = (Draw(seed * 77), disk.clone());
        let mut model = Model::from([("edit".to_owned(), None)]);
        for _ in 0..3 {
            let mut edit = Edit::new(Volume::open(&disk, 0..disk.size())?)?;
            edit.create_directory("edit")?;
            for _ in 0..120 {
                step(&mut edit, &mut model, &mut draw, 60_000)?;
            }
            let mut expected = before.clone();
            expected.extend(tree_of(&model));
            assert!(our_tree(edit.volume())? == expected, "seed {seed}: as it will be");
            disk = disk.patched(disk.size(), edit.finish()?)?;
            let volume = Volume::open(&disk, 0..disk.size())?;
            assert!(our_tree(&volume)? == expected, "seed {seed}: as it is");
            sound(&volume, true)?;
        }
    }
    Ok(())
}

/// Applies what `with` does.
fn edited(image: &Image, with: impl FnOnce(&mut Edit) -> Result<(), Trouble>) -> Result<(), Trouble> {
    let mut edit = Edit::new(image.volume()?)?;
    with(&mut edit)?;
    let size = fs::metadata(&image.path)?.len();
    apply(image, &edit.finish()?, size)
}

/// All that must hold of a volume after changes; then ntfs-3g goes on with it.
fn judge(image: &Image, expected: &Tree) -> Result<(), Trouble> {
    judged_by_all(image)?;
    assert!(our_tree(&image.volume()?)? == *expected, "as we read it");
    assert!(image.tree()? == *expected, "as ntfs-3g reads it");
    let copy = image.copy()?;
    copy.mounted("rw", |root| {
        for (path, held) in expected.iter().rev().step_by(2) {
            if held.is_some() {
                fs::remove_file(root.join(path))?;
            }
        }
        for number in 0..40 {
            fs::write(root.join(format!("by ntfs-3g {number}")), noise(number, 3000 * number as usize))?;
        }
        Ok(())
    })?;
    judged_by_all(&copy)
}

fn judged_by_all(image: &Image) -> Result<(), Trouble> {
    image.check()?;
    let sector = image.volume()?.sector_size();
    if sector == 512 {
        // It opens no others.
        let said = tool("7zz")?.args(["t", "-tntfs"]).arg(&image.path).output()?;
        let text = String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned();
        assert!(said.status.success() && !text.contains("WARNING"), "7-Zip: {text}");
    }
    let said = checkdisk()?.arg("/f").arg(&image.path).output()?;
    let text = String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned();
    // Volumes by mkntfs have bitmaps of indexes that do not cover what has room there: no fault.
    let is_fault = |line: &&str| line.trim_start().starts_with('!') && !line.contains("BITMAP covers");
    let faults: Vec<&str> = text.lines().filter(is_fault).collect();
    let counted = [
        "0 leaked bit(s), 0 missing bit(s)",
        "0 mirror mismatch(es), 0 index problem(s), 0 unrepairable, 0 dangling reference(s)",
    ];
    assert!(faults.is_empty() && counted.iter().all(|none| text.contains(none)), "checkdisk: {text}");
    Ok(())
}

fn checkdisk() -> Result<Command, Trouble> {
    let mut command = python("", "checkdisk")?;
    let interpreter = command.get_program().to_owned();
    command = Command::new(interpreter);
    command.args(["-m", "checkdisk"]);
    Ok(command)
}

fn drawn(cluster: u64, size: u64, sector: u64) -> Result<(), Trouble> {
    let image = Image::make(size, cluster, sector)?;
    let mut model = Model::from([("edit".to_owned(), None)]);
    let mut draw = Draw(cluster + sector);
    for _ in 0..2 {
        edited(&image, |edit| {
            edit.create_directory("edit")?;
            (0..200).try_for_each(|_| step(edit, &mut model, &mut draw, 300_000))
        })?;
        judge(&image, &tree_of(&model))?;
    }
    image.mounted("ro,streams_interface=windows", |root| {
        for (path, held) in model.iter().filter(|(path, _)| path.contains(':')) {
            assert!(Some(fs::read(root.join(path))?) == *held, "{path}");
        }
        Ok(())
    })
}

/// So many that the index has three levels; then fewer, then others.
fn many_names() -> Result<(), Trouble> {
    let image = Image::make(64 * MIB, 4096, 512)?;
    let mut model = Model::from([("edit".to_owned(), None)]);
    let name = |number: usize| format!("edit/a name of some length {}", number * 7919 % 9973);
    edited(&image, |edit| {
        edit.create_directory("edit")?;
        for number in 0..6000 {
            edit.write(&name(number), Arc::new(noise(number as u64, number % 40)))?;
            model.insert(name(number), Some(noise(number as u64, number % 40)));
        }
        Ok(())
    })?;
    judged_by_all(&image)?;
    edited(&image, |edit| {
        for number in (0..6000).filter(|number| number % 5 != 0) {
            edit.remove(&name(number))?;
            model.remove(&name(number));
        }
        for number in 6000..7000 {
            edit.write(&name(number), Arc::new(Vec::new()))?;
            model.insert(name(number), Some(Vec::new()));
        }
        Ok(())
    })?;
    judge(&image, &tree_of(&model))
}

fn set(path: &Path, name: &str, value: &[u8]) -> Result<(), Trouble> {
    Ok(rustix::fs::setxattr(path, name, value, XattrFlags::empty())?)
}

/// Compressed by NTFS and by WOF, sparse, with an object id, and one of two hard links.
fn stored_otherwise() -> Result<(), Trouble> {
    let image = Image::make(32 * MIB, 4096, 512)?;
    let names = ["compressed/lznt1", "wof", "sparse", "link"];
    let point = |tag: u32| [tag, 16, 1, 2, 1, 0].into_iter().flat_map(u32::to_le_bytes).collect::<Vec<u8>>();
    image.mounted("rw,compression", |root| {
        fs::create_dir(root.join("compressed"))?;
        set(&root.join("compressed"), "system.ntfs_attrib", &0x810u32.to_le_bytes())?;
        fs::write(root.join("compressed/lznt1"), text(1, 300_000))?;
        fs::File::create(root.join("wof"))?.set_len(73_391)?;
        let stored = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/wof-xpress4k.bin");
        set(&root.join("wof"), "user.WofCompressedData", &fs::read(stored)?)?;
        set(&root.join("wof"), "system.ntfs_reparse_data", &point(0x8000_0017))?;
        fs::File::create(root.join("sparse"))?.set_len(3 << 20)?;
        fs::write(root.join("link"), text(2, 9000))?;
        fs::hard_link(root.join("link"), root.join("other link"))?;
        set(&root.join("link"), "system.ntfs_object_id", &noise(3, 16))?;
        fs::File::create(root.join("deduplicated"))?.set_len(100)?;
        set(&root.join("deduplicated"), "system.ntfs_reparse_data", &point(0x8000_0013))?;
        Ok(())
    })?;
    edited(&image, |edit| {
        for name in names {
            assert!(edit.write_at(name, 5, b"in part").is_ok() == (name == "link"), "{name}");
            edit.write(name, Arc::new(noise(5, 100_000)))?;
        }
        let refusal = edit.write("deduplicated", Arc::new(Vec::new()));
        assert!(
            matches!(&refusal, Err(Error::Layout { reason }) if reason.contains("deduplicated")),
            "{refusal:?}"
        );
        Ok(())
    })?;
    judged_by_all(&image)?;
    let volume = image.volume()?;
    for name in names {
        assert!(volume.find(name)?.ok_or(name)?.read(MIB)? == noise(5, 100_000), "{name}");
        // It lies plainly in its clusters.
        volume.find(name)?.ok_or(name)?.overwrite(1000, b"x")?;
    }
    let mut kept = text(2, 9000);
    kept[5..12].copy_from_slice(b"in part");
    assert!(
        volume.find("other link")?.ok_or("no link")?.read(MIB)? == kept,
        "the other link keeps what it had"
    );
    image.mounted("ro", |root| {
        let mut attributes = [0u8; 4];
        rustix::fs::getxattr(root.join("wof"), "system.ntfs_attrib", &mut attributes[..])?;
        assert_eq!(u32::from_le_bytes(attributes) & 0xe00, 0, "neither sparse, reparse point nor compressed");
        Ok(())
    })?;
    // With them go their object ids and their keys.
    edited(&image, |edit| {
        Ok(["other link", "link", "deduplicated", "wof"]
            .into_iter()
            .try_for_each(|name| edit.remove(name))?)
    })?;
    judged_by_all(&image)
}

/// Files whose attributes take several records, changed and removed.
fn links_and_streams() -> Result<(), Trouble> {
    let image = Image::make(32 * MIB, 4096, 512)?;
    image.mounted("rw", |root| {
        fs::write(root.join("linked"), noise(1, 5000))?;
        for number in 0..40 {
            fs::hard_link(root.join("linked"), root.join(format!("a hard link of some length {number}")))?;
        }
        Ok(fs::create_dir(root.join("folder"))?)
    })?;
    let mut expected = image.tree()?;
    edited(&image, |edit| {
        edit.write("folder/streams", Arc::new(noise(2, 700)))?;
        for number in 0..60 {
            edit.write(
                &format!("folder/streams:{number}"),
                Arc::new(noise(number, 300 + 90 * number as usize)),
            )?;
            edit.write(&format!("linked:{number}"), Arc::new(noise(number, 20 * number as usize)))?;
            edit.write(&format!("folder:{number}"), Arc::new(noise(number, 33)))?;
            edit.write(&format!("folder/file {number}"), Arc::new(Vec::new()))?;
            expected.insert(format!("folder/file {number}"), Some(of_bytes(&[])));
        }
        expected.insert("folder/streams".to_owned(), Some(of_bytes(&noise(2, 700))));
        Ok(())
    })?;
    judge(&image, &expected)?;
    image.mounted("ro,streams_interface=windows", |root| {
        for number in 0..60 {
            let read = fs::read(root.join(format!("folder/streams:{number}")))?;
            assert!(read == noise(number, 300 + 90 * number as usize), "{number}");
            assert!(fs::read(root.join(format!("linked:{number}")))? == noise(number, 20 * number as usize));
        }
        Ok(())
    })?;
    edited(&image, |edit| {
        for number in 0..60 {
            edit.remove(&format!("folder:{number}"))?;
            edit.remove(&format!("linked:{number}"))?;
        }
        for number in (0..40).step_by(2) {
            edit.remove(&format!("a hard link of some length {number}"))?;
            expected.remove(&format!("a hard link of some length {number}"));
        }
        edit.remove("folder/streams")?;
        expected.remove("folder/streams");
        Ok(())
    })?;
    judge(&image, &expected)
}

/// Every second cluster in use, so that the MFT, an index and a file are in as many pieces as they have clusters.
fn in_pieces() -> Result<(), Trouble> {
    let image = Image::make(24 * MIB, 4096, 512)?;
    image.mounted("rw", |root| {
        fs::create_dir(root.join("folder"))?;
        for number in 0..2500 {
            fs::write(root.join(format!("folder/{number}")), noise(number, 4000))?;
        }
        fill(&root.join("fill"), 1)?;
        for number in (0..2500).step_by(2) {
            fs::remove_file(root.join(format!("folder/{number}")))?;
        }
        Ok(())
    })?;
    let mut expected = image.tree()?;
    edited(&image, |edit| {
        edit.write("large", Arc::new(noise(7, 2_500_000)))?;
        expected.insert("large".to_owned(), Some(of_bytes(&noise(7, 2_500_000))));
        for number in 0.. {
            let path = format!("folder/one of the names that take what is left {number}");
            match edit.write(&path, Arc::new(noise(number, 900))) {
                Ok(()) => drop(expected.insert(path, Some(of_bytes(&noise(number, 900))))),
                Err(Error::VolumeFull { needed, free }) => {
                    assert!(needed > free && number > 300, "{needed} of {free} at {number}");
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    })?;
    judged_by_all(&image)?;
    assert!(our_tree(&image.volume()?)? == expected, "as we read it");
    assert!(image.tree()? == expected, "as ntfs-3g reads it");
    Ok(())
}

/// A file of several runs, made shorter and longer by a byte around the end of each.
fn cut_at_runs() -> Result<(), Trouble> {
    let image = Image::make(16 * MIB, 4096, 512)?;
    image.mounted("rw", |root| {
        for number in 0..30 {
            fs::write(root.join(format!("{number}")), noise(number, 12_000))?;
        }
        fill(&root.join("fill"), 1)?;
        for number in (0..30).step_by(2) {
            fs::remove_file(root.join(format!("{number}")))?;
        }
        Ok(())
    })?;
    let mut expected = image.tree()?;
    let mut bytes = noise(9, 100_000);
    edited(&image, |edit| {
        edit.write("cut", Arc::new(bytes.clone()))?;
        for end in (1..8).rev().map(|run| run * 12288) {
            for len in [end + 1, end, end - 1, end + 2] {
                edit.set_len("cut", len as u64)?;
                bytes.resize(len, 0);
            }
            expected.insert("cut".to_owned(), Some(of_bytes(&bytes)));
            assert!(our_tree(edit.volume())? == expected, "{end}");
        }
        Ok(())
    })?;
    judge(&image, &expected)
}

/// Says how often it was read.
struct Counted {
    len: u64,
    read: Arc<AtomicU64>,
}

impl ReadAt for Counted {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> std::io::Result<usize> {
        let len = buf.len().min(self.len.saturating_sub(offset) as usize);
        self.read.fetch_add(len as u64, Ordering::Relaxed);
        for (byte, at) in buf[..len].iter_mut().zip(offset..) {
            *byte = (at / 1000) as u8;
        }
        Ok(len)
    }

    fn size(&self) -> std::io::Result<u64> {
        Ok(self.len)
    }
}

/// 200 files of 300 MB in all take next to no memory.
fn referred_to() -> Result<(), Trouble> {
    let image = Image::make(400 * MIB, 4096, 512)?;
    let read = Arc::new(AtomicU64::new(0));
    let mut edit = Edit::new(image.volume()?)?;
    edit.create_directory("a/b/c")?;
    for number in 0..200 {
        let content = Counted { len: 1_500_001, read: read.clone() };
        edit.write(&format!("a/b/c/{number}"), Arc::new(content))?;
    }
    assert!(read.load(Ordering::Relaxed) < 200 * 4096, "{read:?} bytes were read");
    let whole = edit.volume().find("a/b/c/77")?.ok_or("no file")?.read(2 * MIB)?;
    assert!(whole.iter().zip(0u64..).all(|(byte, at)| *byte == (at / 1000) as u8));
    assert_eq!(whole.len(), 1_500_001);
    let changes = edit.finish()?;
    let held: usize = changes.patches.iter().map(|patch| patch.bytes.len()).sum();
    assert!(held < 1 << 20, "{held} bytes are held");
    let size = image.disk()?.size();
    apply(&image, &changes, size)?;
    judged_by_all(&image)?;
    assert!(image.volume()?.find("a/b/c/199")?.ok_or("no file")?.read(2 * MIB)? == whole);
    Ok(())
}

fn refused() -> Result<(), Trouble> {
    let image = Image::make(16 * MIB, 4096, 512)?;
    image.mounted("rw", |root| {
        fs::write(root.join("pagefile.sys"), "pages")?;
        fs::create_dir(root.join("Folder"))?;
        Ok(fs::write(root.join("File"), "held")?)
    })?;
    let size = image.disk()?.size();
    let mut edit = Edit::new(image.volume()?)?;
    let content = || Arc::new(b"content".to_vec());
    let cases: [(&str, Result<(), Error>); 17] = [
        ("part of NTFS itself", edit.write("$MFT", content())),
        ("part of NTFS itself", edit.remove("$Extend/$ObjId")),
        ("belongs to the running system", edit.write("PageFile.SYS", content())),
        ("is a directory", edit.write("folder", content())),
        ("not a directory|stands where", edit.write("file/below", content())),
        ("no directory", edit.write("nowhere/file", content())),
        ("there is no", edit.remove("nothing")),
        (". or ..", edit.write("../file", content())),
        ("forbid|reserved|Windows", edit.write("con.txt", content())),
        ("forbid|end|Windows", edit.write("dot.", content())),
        ("forbid|Windows", edit.write("what?", content())),
        ("stream", edit.write("file:a:b", content())),
        ("already|differs only in case", edit.rename("File", "FOLDER")),
        ("into itself", edit.rename("Folder", "Folder/inside")),
        ("there is no", edit.rename("nothing", "something")),
        ("no such stream", edit.write_at("file:none", 0, b"x")),
        ("no file", edit.write("/", content())),
    ];
    for (number, (expected, refusal)) in cases.into_iter().enumerate() {
        match refusal {
            Err(Error::Layout { reason }) => {
                assert!(expected.split('|').any(|words| reason.contains(words)), "{number}: {reason}");
            }
            other => return Err(format!("{number}: {other:?}, not {expected}").into()),
        }
    }
    let full = edit.write("File", Arc::new(Counted { len: 1 << 30, read: Arc::default() }));
    match full {
        Err(Error::VolumeFull { needed, free }) => assert!(needed == 1 << 30 && free < 16 * MIB),
        other => return Err(format!("{other:?}").into()),
    }
    let changes = edit.finish()?;
    assert_eq!(changes, Default::default(), "nothing is left of what was refused");
    // The same file in another case is no other file.
    edited(&image, |edit| Ok(edit.rename("FILE", "file")?))?;
    assert!(image.tree()?.contains_key("file"));
    image.mounted("rw", |root| {
        Ok(fs::write(root.join("hiberfil.sys"), [b"hibr".as_slice(), &[0; 9000]].concat())?)
    })?;
    let hibernated = Edit::new(image.volume()?);
    assert!(
        matches!(hibernated, Err(Error::NotConvertible { rule: Rule::Hibernated, .. })),
        "{hibernated:?}"
    );
    assert_eq!(size, image.disk()?.size());
    Ok(())
}

/// Times, attributes and sizes, as ntfs-3g tells them.
fn said_of_a_file() -> Result<(), Trouble> {
    let image = Image::make(16 * MIB, 4096, 512)?;
    let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let mut edit = Edit::new(image.volume()?)?.at(at(1_700_000_000));
    edit.create_directory("folder")?;
    edit.write("folder/file", Arc::new(noise(1, 10_000)))?;
    edit.set_attributes("folder/file", 0x27 | 0x800)?;
    let times = Times { modified: Some(at(1_000_000_000)), ..Times::default() };
    edit.set_times("folder/file", times)?;
    apply(&image, &edit.finish()?, 16 * MIB)?;
    judged_by_all(&image)?;
    image.mounted("ro", |root| {
        let file = root.join("folder/file");
        assert_eq!(fs::metadata(&file)?.modified()?, at(1_000_000_000));
        assert_eq!(fs::metadata(root.join("folder"))?.modified()?, at(1_700_000_000));
        let mut attributes = [0u8; 4];
        rustix::fs::getxattr(&file, "system.ntfs_attrib", &mut attributes[..])?;
        assert_eq!(u32::from_le_bytes(attributes) & 0xfff, 0x27, "those that may be set");
        Ok(())
    })
}
