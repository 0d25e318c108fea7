//! VMDKs that other software made, written in place by ours and read by the others again; children of either over the
//! other's; split disks.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use diskport::copy::{Convert, OutputFormat};
use diskport::format::vmdk::Subformat;
use diskport::{Child, Disk, Open};
use libtest_mimic::Trial;

use crate::common::{corpus, digest};
use crate::reader::{self, Finish, Reader, run, tool};
use crate::{Missing, Trouble, trial};

const MIB: usize = 1 << 20;

/// Kinds that qemu-img makes and ours writes.
const KINDS: [&str; 6] = [
    "subformat=monolithicSparse",
    "subformat=monolithicSparse,zeroed_grain=on",
    "subformat=monolithicSparse,adapter_type=lsilogic",
    "subformat=monolithicFlat",
    "subformat=twoGbMaxExtentSparse",
    "subformat=twoGbMaxExtentFlat",
];

/// Images of the corpus, with their extents.
const CORPUS: [&[&str]; 8] = [
    &["peer/vbox/vb-sparse.vmdk"],
    &["peer/vbox/vb-fixed.vmdk", "peer/vbox/vb-fixed-flat.vmdk"],
    &["peer/discutils/du-monolithicsparse.vmdk"],
    &["peer/discutils/du-monolithicflat.vmdk", "peer/discutils/du-monolithicflat-flat.vmdk"],
    &["peer/discutils/du-twogbmaxextentsparse.vmdk", "peer/discutils/du-twogbmaxextentsparse-s001.vmdk"],
    &["peer/qemu11/q-monosparse.vmdk"],
    &["vmdk/vmdk-rs/monolithicSparse.vmdk"],
    &["vmdk/dfvfs-ext2.vmdk"],
];

type Case = Box<dyn FnOnce(&Path) -> Result<(), Trouble> + Send>;

pub fn trials(folder: &Path) -> Vec<Trial> {
    let mut trials = Vec::new();
    let mut case = |name: String, run: Case| {
        let folder = folder.join(name.replace(['/', ' ', ','], "-"));
        trials.push(trial(name, move || {
            fs::create_dir(&folder)?;
            run(&folder)
        }));
    };
    for kind in KINDS {
        case(
            format!("VMDK of qemu, {kind}, written in place"),
            Box::new(move |folder| written(folder, kind)),
        );
        case(
            format!("VMDK of qemu, {kind}, as the parent of ours"),
            Box::new(move |folder| over(folder, kind)),
        );
    }
    for files in CORPUS {
        case(format!("{}, written in place", files[0]), Box::new(move |folder| corpus_image(folder, files)));
    }
    case("a child of qemu over our parent, written in place".into(), Box::new(child_of_qemu));
    for kind in [Subformat::TwoGbMaxExtentSparse, Subformat::TwoGbMaxExtentFlat] {
        case(
            format!("{kind} of several extents, written in place"),
            Box::new(move |folder| split(folder, kind)),
        );
    }
    trials
}

fn written(folder: &Path, kind: &str) -> Result<(), Trouble> {
    let path = folder.join("disk.vmdk");
    qemu_create(&path, &["-o", kind, "20m"])?;
    let mut model = vec![0; 20 * MIB];
    qemu_write(&path, &mut model, 3 * MIB, 300_000 / 512 * 512, 0x11)?;
    qemu_write(&path, &mut model, 9 * MIB + 4096, 2 * MIB, 0x22)?;
    change(&path, &mut model)?;
    same(&path, &model)?;
    let elsewhere = same_elsewhere(&path, &model);
    resize(&path, &mut model, 23 * MIB, kind.contains("twoGb"))?;
    // The other one goes on where we stopped.
    qemu_write(&path, &mut model, 5 * MIB + 512, MIB, 0x33)?;
    change(&path, &mut model)?;
    same(&path, &model)?;
    elsewhere
}

/// Our child over what qemu made, and a child of that one.
fn over(folder: &Path, kind: &str) -> Result<(), Trouble> {
    let (base, path) = (folder.join("base.vmdk"), folder.join("child.vmdk"));
    qemu_create(&base, &["-o", kind, "20m"])?;
    let mut model = vec![0; 20 * MIB];
    qemu_write(&base, &mut model, 0, 7 * MIB, 0x11)?;
    Child::of(&diskport::open(&base)?).create(&path)?;
    same(&path, &model)?;
    let below = fs::read(&base)?;
    change(&path, &mut model)?;
    same(&path, &model)?;
    let top = folder.join("grandchild.vmdk");
    Child::of(&diskport::open(&path)?).create(&top)?;
    qemu_write(&top, &mut model, MIB + 512, 3 * MIB, 0x44)?;
    change(&top, &mut model)?;
    same(&top, &model)?;
    if fs::read(&base)? != below { Err("the parent was changed".into()) } else { Ok(()) }
}

fn corpus_image(folder: &Path, files: &[&str]) -> Result<(), Trouble> {
    let corpus = corpus::get().map_err(|reason| Missing(reason.to_owned()))?;
    for file in files {
        let name = Path::new(file).file_name().ok_or("a name")?;
        fs::copy(corpus.folder.join(file), folder.join(name))?;
    }
    let path = folder.join(Path::new(files[0]).file_name().ok_or("a name")?);
    let disk = diskport::open(&path)?;
    let mut model = vec![0; disk.size() as usize];
    disk.read_at(&mut model, 0)?;
    change(&path, &mut model)?;
    same(&path, &model)?;
    same_elsewhere(&path, &model)
}

fn child_of_qemu(folder: &Path) -> Result<(), Trouble> {
    let (base, path) = (folder.join("base.vmdk"), folder.join("child.vmdk"));
    let raw = folder.join("base.raw");
    let mut model: Vec<u8> = (0..16 * MIB).map(|at| (at / 4096) as u8).collect();
    model[9 * MIB..11 * MIB].fill(0);
    fs::write(&raw, &model)?;
    Convert::new(&diskport::open(&raw)?).to(OutputFormat::Vmdk(Subformat::MonolithicSparse)).create(&base)?;
    let backing = ["-b", "base.vmdk", "-F", "vmdk"];
    qemu_create(&path, &backing)?;
    qemu_write(&path, &mut model, 2 * MIB, MIB, 0x66)?;
    change(&path, &mut model)?;
    same(&path, &model)
}

fn split(folder: &Path, kind: Subformat) -> Result<(), Trouble> {
    let path = folder.join("disk.vmdk");
    let size = 5 << 30;
    Convert::new(&Disk::empty(size, 512)).to(OutputFormat::Vmdk(kind)).create(&path)?;
    let edge = 2047 << 20;
    let data: Vec<u8> = (0..2 * MIB).map(|at| (at / 512 + 1) as u8 | 1).collect();
    let disk = Open::new().open_writable(&path)?;
    for at in [edge - MIB as u64, size - 4 * MIB as u64] {
        disk.write_at(&data, at)?;
    }
    disk.close()?;
    clean(&path)?;
    let copy = folder.join("copy.vmdk");
    Convert::new(&diskport::open(&path)?).to(OutputFormat::Vmdk(kind)).verify(true).create(&copy)?;
    let mut names: Vec<_> = fs::read_dir(folder)?.flatten().map(|file| file.file_name()).collect();
    names.sort();
    // Two descriptors, each with three extents.
    if names.len() != 8 {
        return Err(format!("{names:?}").into());
    }
    for image in [&path, &copy] {
        let raw = folder.join("disk.raw");
        reader::to_raw("vmdk", image, &raw)?;
        let found = fs::File::open(&raw)?;
        for at in [edge - MIB as u64, size - 4 * MIB as u64] {
            let mut part = vec![0; data.len()];
            found.read_exact_at(&mut part, at)?;
            compare(&part, &data, "qemu-img")?;
        }
        fs::remove_file(raw)?;
    }
    Ok(())
}

/// Changes the disk in every way there is, and the model too.
fn change(path: &Path, model: &mut [u8]) -> Result<(), Trouble> {
    let cid = diskport::open(path)?.chain()[0].info().data_id;
    let disk = Open::new().open_writable(path)?;
    let size = model.len();
    let mut write = |at: usize, len: usize, seed: u8| {
        let data: Vec<u8> = (0..len).map(|at| seed ^ (at / 512) as u8 | 1).collect();
        model[at..at + len].copy_from_slice(&data);
        disk.write_at(&data, at as u64)
    };
    write(0, 512, 1)?;
    write(size / 2 + 512, 200_000 / 512 * 512, 2)?;
    write(size / 3 / 512 * 512, size / 4, 3)?;
    write(size - 1000, 1000, 4)?;
    write(777, 3, 5)?;
    disk.flush()?;
    let (at, len) = (size / 3 / 65536 * 65536 + 65536, size / 8);
    disk.write_zeroes(at as u64, len as u64)?;
    model[at..at + len].fill(0);
    disk.flush()?;
    let data = [9; 1536];
    disk.write_at(&data, (at + 1024) as u64)?;
    model[at + 1024..at + 1024 + data.len()].copy_from_slice(&data);
    disk.close()?;
    if diskport::open(path)?.chain()[0].info().data_id == cid {
        return Err("the content id has not changed".into());
    }
    clean(path)
}

fn resize(path: &Path, model: &mut Vec<u8>, size: usize, refused: bool) -> Result<(), Trouble> {
    let done = Open::new().open_writable(path)?.resize(size as u64, false);
    match (done.map(drop), refused) {
        (Err(diskport::Error::Layout { .. }), true) => return Ok(()),
        (done, false) => done?,
        (Ok(()), true) => return Err("a split disk was resized".into()),
        (Err(e), true) => return Err(e.into()),
    }
    model.resize(size, 0);
    clean(path)?;
    same(path, model)?;
    let disk = Open::new().open_writable(path)?;
    disk.write_zeroes(0, (size / 2) as u64)?;
    model[..size / 2].fill(0);
    let compaction = disk.compact()?;
    if compaction.after > compaction.before {
        return Err("it grew when it was compacted".into());
    }
    clean(path)?;
    same(path, model)
}

/// That our check finds nothing, and the tables' copies are the same, as VirtualBox demands.
fn clean(path: &Path) -> Result<(), Trouble> {
    let checked = Open::new().check(path)?;
    if !checked.is_clean() {
        return Err(format!("{:#?}", checked.findings).into());
    }
    Ok(())
}

/// That qemu finds nothing wrong, and reads what the model says, as we do.
fn same(path: &Path, model: &[u8]) -> Result<(), Trouble> {
    let mut found = vec![0; model.len()];
    diskport::open(path)?.read_at(&mut found, 0)?;
    compare(&found, model, "ours")?;
    let sparse = fs::read(path)?.starts_with(b"KDMV");
    if sparse {
        run(tool("qemu-img")?.args(["check", "-f", "vmdk"]).arg(path))?;
    }
    let raw = path.with_extension("raw");
    reader::to_raw("vmdk", path, &raw)?;
    let mut found = fs::read(&raw)?;
    // qemu-img leaves zeros at the end away.
    found.resize(found.len().max(model.len()), 0);
    compare(&found, model, "qemu-img")?;
    Ok(fs::remove_file(raw)?)
}

/// That the readers of disks without parents read what the model says.
fn same_elsewhere(path: &Path, model: &[u8]) -> Result<(), Trouble> {
    let raw = path.with_extension("model");
    fs::write(&raw, model)?;
    let expected = digest::of_file(&raw)?;
    let mut missing = None;
    for reader in [Reader::Libvmdk, Reader::SevenZip] {
        let scratch: PathBuf = path.with_extension("scratch");
        let found = match reader.digest("vmdk", path, &scratch) {
            Err(Trouble::Missing(reader)) => {
                missing = Some(reader);
                continue;
            }
            found => found?,
        };
        if found != expected {
            return Err(format!("{} reads something else", reader.name()).into());
        }
    }
    missing.map_or(Ok(()), |reader| Err(reader.into()))
}

fn compare(found: &[u8], model: &[u8], reader: &str) -> Result<(), Trouble> {
    match found.iter().zip(model).position(|(a, b)| a != b) {
        None if found.len() == model.len() => Ok(()),
        None => Err(format!("{reader}: {} bytes, expected {}", found.len(), model.len()).into()),
        Some(at) => Err(format!("{reader}: byte {at} is {}, expected {}", found[at], model[at]).into()),
    }
}

fn qemu_create(path: &Path, arguments: &[&str]) -> Result<(), Trouble> {
    let mut command = tool("qemu-img")?;
    command.current_dir(path.parent().ok_or("a folder")?).args(["create", "-f", "vmdk"]);
    let (options, size) =
        arguments.split_at(if arguments.last() == Some(&"vmdk") { 4 } else { arguments.len() - 1 });
    command.args(options).arg(path).args(size);
    command.finish()?;
    Ok(())
}

/// Writes a pattern with qemu-io.
fn qemu_write(path: &Path, model: &mut [u8], at: usize, len: usize, byte: u8) -> Result<(), Trouble> {
    let command = format!("write -P {byte} {at} {len}");
    run(tool("qemu-io")?.args(["-f", "vmdk", "-c", &command]).arg(path))?;
    model[at..at + len].fill(byte);
    Ok(())
}
