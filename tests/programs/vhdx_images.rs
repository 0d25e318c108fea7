//! Images that other software made, written to and read by others again.

use std::fs;
use std::path::Path;

use diskport::{Disk, MIB, Open};
use libtest_mimic::Trial;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::common::tools::{Missing, Trouble, run, to_raw, tool, trial};
use crate::common::{corpus, digest};
use crate::readers::{libvhdi, libvhdi_reads, needs_libvhdi};
use crate::support::assert_reads_as;
use crate::vhdx::builder::{BAT, Block, Change, Image, METADATA, put_log, set_dirty};
use crate::vhdx::children;
use crate::vhdx::log::{entry, image, restore};
use crate::vhdx::model::noise;
use crate::vhdx::writing::{self, assert_clean, open, steps};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("vhdx::children".into(), children_of_parents),
        trial("vhdx::sessions".into(), sessions),
        trial("vhdx::other_sizes".into(), other_sizes),
        trial("vhdx::what_the_builder_makes".into(), what_the_builder_makes),
        trial("vhdx::logs_of_the_builder".into(), logs_of_the_builder),
        trial("vhdx::our_own_logs".into(), our_own_logs),
        trial("vhdx::logs_of_qemu".into(), logs_of_qemu),
        trial("vhdx::what_peers_made".into(), what_peers_made),
    ]
}

/// The content as qemu-img reads it, after its check.
fn qemu(vhdx: &Path) -> Result<Vec<u8>, Trouble> {
    let raw = vhdx.with_extension("raw");
    run(tool("qemu-img")?.args(["check", "-q", "-f", "vhdx"]).arg(vhdx))?;
    to_raw("vhdx", vhdx, &raw)?;
    Ok(fs::read(raw)?)
}

/// That qemu finds the image right, and reads these bytes.
fn qemu_reads(chain: &[&Path], model: &[u8]) {
    match qemu(chain[0]) {
        Ok(content) => assert!(content == model, "{}", chain[0].display()),
        Err(trouble) => panic!("{}: {}", chain[0].display(), trouble.reason()),
    }
}

fn children_of_parents() -> Result<(), Trouble> {
    needs_libvhdi()?;
    children::child_that_is_written_to(&libvhdi_reads);
    children::child_larger_than_its_parent(&libvhdi_reads);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    fn any_session(
        (block, sectors, fixed) in (prop_oneof![Just(MIB), Just(2 * MIB)], 1..2000_u64, any::<bool>()),
        kinds in vec(0..6_u8, 5),
        steps in steps(),
    ) {
        writing::session(writing::image(sectors * 4096, block, 512, fixed, &kinds), &steps, &qemu_reads);
    }
}

fn sessions() -> Result<(), Trouble> {
    tool("qemu-img")?;
    any_session();
    writing::first_entries_of_sectors(&qemu_reads);
    Ok(())
}

fn other_sizes() -> Result<(), Trouble> {
    tool("qemu-img")?;
    children::disks_that_were_cut(&qemu_reads);
    children::disk_that_outgrows_its_bat(&|path| {
        let checked =
            tool("qemu-img").map(|mut qemu| run(qemu.args(["check", "-q", "-f", "vhdx"]).arg(path)));
        assert!(matches!(checked, Ok(Ok(()))), "qemu-img check");
    });
    Ok(())
}

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

fn what_peers_made() -> Result<(), Trouble> {
    let corpus = corpus::get().map_err(|reason| Missing(reason.to_owned()))?;
    for (image, parent, is_known) in IMAGES {
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
        if is_known {
            assert!(qemu(&path)? == model, "{image}: qemu-img");
        }
        let chain: Vec<_> =
            [Some(&path), parent.as_ref()].into_iter().flatten().map(|path| path.as_path()).collect();
        assert_eq!(libvhdi(&chain)?, digest::of_bytes(&model), "{image}: libvhdi");
        let size = model.len() as u64;
        open(&path).resize(size + 5 * MIB, false).expect("grows");
        model.resize((size + 5 * MIB) as usize, 0);
        open(&path).compact().expect("packs");
        assert_reads_as(&diskport::open(&path).expect("opens"), &model);
        assert_clean(&Open::new().check(&path).expect("checks"));
        if is_known {
            assert!(qemu(&path)? == model, "{image}: qemu-img, after growing and packing");
        }
    }
    Ok(())
}

/// An image with a log of qemu's to replay: ours and theirs come to the same.
fn logs_of_qemu() -> Result<(), Trouble> {
    let corpus = corpus::get().map_err(|reason| Missing(reason.to_owned()))?;
    let folder = tempfile::tempdir().expect("a folder");
    let [ours, theirs] = ["ours.vhdx", "theirs.vhdx"].map(|name| {
        let to = folder.path().join(name);
        fs::copy(corpus.path("vhdx/qemu/iotest-dirtylog-10G-4M.vhdx"), &to).expect("copies");
        to
    });
    let qemu = |arguments: &[&str], paths: &[&Path]| -> Result<(), Trouble> {
        Ok(run(tool("qemu-img")?.args(arguments).args(paths))?)
    };
    open(&ours).close().expect("closes");
    qemu(&["check", "-q", "-r", "all", "-f", "vhdx"], &[&theirs])?;
    assert!(!diskport::open(&ours).expect("opens").chain()[0].info().dirty_log);
    qemu(&["compare", "-f", "vhdx", "-F", "vhdx"], &[&ours, &theirs])?;
    assert_clean(&Open::new().check(&ours).expect("checks"));
    let disk = open(&ours);
    disk.write_at(&[0x5a; 65536], 5 << 30).expect("writes");
    disk.close().expect("closes");
    let pattern = "write -q -P 0x5a 5G 64k";
    run(tool("qemu-io")?.args(["-f", "vhdx", "-c", pattern]).arg(&theirs))?;
    qemu(&["compare", "-f", "vhdx", "-F", "vhdx"], &[&ours, &theirs])?;
    Ok(())
}

fn logs_of_the_builder() -> Result<(), Trouble> {
    let folder = tempfile::tempdir()?;
    let (whole, model) = image();
    let mut file = whole.clone();
    file[BAT..BAT + 4096].fill(0);
    file[METADATA + 8192..METADATA + 3 * 4096].fill(7);
    let changes = vec![restore(&whole, BAT), Change::Zero(METADATA as u64 + 8192, 4096)];
    put_log(&mut file, 8192, &entry(7, 8192, whole.len(), changes).bytes());
    set_dirty(&mut file);
    let (vhdx, raw) = (folder.path().join("a.vhdx"), folder.path().join("a.raw"));
    std::fs::write(&vhdx, &file)?;
    assert_reads_as(&diskport::open(&vhdx)?, &model);
    assert!(std::fs::read(&vhdx)? == file, "reading changes nothing");

    run(tool("qemu-img")?.args(["check", "-q", "-r", "all", "-f", "vhdx"]).arg(&vhdx))?;
    to_raw("vhdx", &vhdx, &raw)?;
    assert!(std::fs::read(&raw)? == model);
    Ok(())
}

fn our_own_logs() -> Result<(), Trouble> {
    let folder = tempfile::tempdir()?;
    let (path, cut) = (folder.path().join("a.vhdx"), folder.path().join("cut.vhdx"));
    let empty = Image::empty(20 * MIB, MIB, 512).build();
    std::fs::write(&path, &empty)?;
    let disk = open(&path);
    for block in [3, 0, 7_u32] {
        disk.write_at(&noise(4096, block), u64::from(block) * MIB)?;
        disk.flush()?;
    }
    // The file as a cut leaves it that lost what was written to the BAT's place.
    let mut bytes = std::fs::read(&path)?;
    bytes[BAT..BAT + 4096].fill(0);
    std::fs::write(&cut, bytes)?;
    let mut model = vec![0; 20 << 20];
    for block in [3, 0, 7_u32] {
        model[(block as usize) << 20..][..4096].copy_from_slice(&noise(4096, block));
    }
    let disk = diskport::open(&cut)?;
    assert!(disk.chain()[0].info().dirty_log);
    assert_reads_as(&disk, &model);
    let ours = folder.path().join("ours.vhdx");
    std::fs::copy(&cut, &ours)?;
    open(&ours).close()?;
    run(tool("qemu-img")?.args(["check", "-q", "-r", "all", "-f", "vhdx"]).arg(&cut))?;
    for path in [&cut, &ours] {
        let disk = diskport::open(path)?;
        assert!(!disk.chain()[0].info().dirty_log);
        assert_reads_as(&disk, &model);
        assert!(qemu(path)? == model);
    }
    let (theirs, ours) = (std::fs::read(&cut)?, std::fs::read(&ours)?);
    assert!(theirs[2 << 20..] == ours[2 << 20..], "all behind the log is the same");
    Ok(())
}

fn what_the_builder_makes() -> Result<(), Trouble> {
    let folder = tempfile::tempdir()?;
    let mut image = Image::empty(5 * MIB + 512, 2 * MIB, 512);
    image.reversed = true;
    image.blocks[0] = Block::Full(noise(2 << 20, 1));
    image.blocks[1] = Block::Entry(2);
    image.blocks[2] = Block::Full(noise((1 << 20) + 512, 3));
    let mut model = noise(2 << 20, 1);
    model.resize(4 << 20, 0);
    model.extend(noise((1 << 20) + 512, 3));
    let (vhdx, raw) = (folder.path().join("a.vhdx"), folder.path().join("a.raw"));
    std::fs::write(&vhdx, image.build())?;
    to_raw("vhdx", &vhdx, &raw)?;
    assert!(std::fs::read(&raw)? == model);
    assert_reads_as(&diskport::open(&vhdx)?, &model);
    Ok(())
}
