//! Volumes of every cluster size made smaller, with a tail that is free and with one that is in use.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Stdio;

use diskport::windows::ntfs::Tail;
use diskport::{Error, ErrorClass, Rule};
use libtest_mimic::Trial;

use crate::common::tools::{Trouble, run, tool, trial};
use crate::volume::{Image, apply, fill, noise, our_tree, text};

const MIB: u64 = 1 << 20;

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for shift in 9..=16 {
        let cluster = 1u64 << shift;
        // Sizes that end within a cluster, and with one.
        let mut sizes = vec![((24 + cluster / 2048) * MIB + 512 * 37, 512)];
        if cluster == 4096 || cluster == 65536 {
            sizes.push((40 * MIB, 4096));
        }
        for (size, sector) in sizes {
            let name = format!("{cluster}-byte clusters, {sector}-byte sectors");
            trials.push(trial(format!("free tail: {name}"), move || free_tail(size, cluster, sector)));
            trials.push(trial(format!("moved tail: {name}"), move || moved_tail(size, cluster, sector)));
        }
    }
    trials.push(trial("as ntfsresize does it".into(), as_ntfsresize));
    trials.push(trial("the system's own files are moved".into(), own_files_moved));
    trials.push(trial("a fragmented file is moved".into(), fragmented));
    trials.push(trial("volumes that are refused".into(), refused));
    trials
}

/// What the volume holds in all trials.
fn put_files(root: &Path) -> Result<(), Trouble> {
    fs::create_dir_all(root.join("Windows/Boot/EFI/en-US"))?;
    for number in 0..120 {
        let text = text(number, 97 * number as usize);
        fs::write(root.join(format!("Windows/Boot/EFI/file with a long name {number}.dll")), text)?;
    }
    fs::write(root.join("Windows/Boot/EFI/en-US/large.mui"), noise(7, 1_500_000))?;
    Ok(())
}

/// All that must hold of a volume that was made smaller.
fn check_smaller(image: &Image, before: &crate::volume::Tree) -> Result<(), Trouble> {
    image.check()?;
    let ours = our_tree(&image.volume()?)?;
    assert_eq!(&ours, before, "as we read it");
    assert_eq!(&image.tree()?, before, "as ntfs-3g reads it");
    // To the last cluster.
    let written = image.mounted("rw", |root| fill(&root.join("fill"), 99))?;
    image.check()?;
    let mut after = image.tree()?;
    after.remove("fill");
    assert_eq!(&after, before, "after {written} more bytes");
    Ok(())
}

fn free_tail(size: u64, cluster: u64, sector: u64) -> Result<(), Trouble> {
    let image = Image::make(size, cluster, sector)?;
    image.mounted("rw", put_files)?;
    let before = image.tree()?;
    let volume = image.volume()?;
    // The smallest size that does: the last cluster in use is the last one.
    let (mut low, mut high) = (0, volume.size() / sector);
    while low + 1 < high {
        let middle = (low + high) / 2;
        match volume.shrink(middle * sector, Tail::MustBeFree) {
            Ok(_) => high = middle,
            Err(Error::NotConvertible { rule: Rule::SystemPartitionRoom, reason }) => {
                assert!(reason.contains("is in use"), "{reason}");
                low = middle;
            }
            Err(error) => return Err(error.into()),
        }
    }
    for smaller in [high * sector, (high * sector + size) / 2 / sector * sector] {
        let copy = image.copy()?;
        let plan = volume.shrink(smaller, Tail::Move)?;
        assert!(plan.moves.is_empty());
        assert_eq!(plan, volume.shrink(smaller, Tail::MustBeFree)?);
        apply(&copy, &plan, smaller)?;
        assert_eq!(copy.volume()?.size(), smaller);
        check_smaller(&copy, &before)?;
    }
    Ok(())
}

/// A volume that is full to its end, with room before it.
fn full_to_the_end(image: &Image) -> Result<(), Trouble> {
    image.mounted("rw", |root| {
        // What is free later lies in pieces, between what stays.
        for number in 0..40 {
            fs::write(root.join(format!("gone {number}")), noise(number, 180_000))?;
            fs::write(root.join(format!("stays {number}")), noise(1000 + number, 9_000))?;
        }
        put_files(root)?;
        for number in 0..4 {
            fs::write(root.join(format!("late {number}")), text(number, 700_000))?;
        }
        fill(&root.join("fill the rest"), 5)?;
        Ok(())
    })?;
    image.mounted("rw", |root| {
        for number in 0..40 {
            fs::remove_file(root.join(format!("gone {number}")))?;
        }
        Ok(())
    })
}

fn moved_tail(size: u64, cluster: u64, sector: u64) -> Result<(), Trouble> {
    let image = Image::make(size, cluster, sector)?;
    full_to_the_end(&image)?;
    let before = image.tree()?;
    let volume = image.volume()?;
    for cut in [MIB, 5 * MIB] {
        let smaller = (size - cut) / sector * sector;
        let refusal = volume.shrink(smaller, Tail::MustBeFree);
        assert!(
            matches!(refusal, Err(Error::NotConvertible { rule: Rule::SystemPartitionRoom, .. })),
            "{refusal:?}"
        );
        let plan = volume.shrink(smaller, Tail::Move)?;
        assert!(!plan.moves.is_empty());
        let copy = image.copy()?;
        apply(&copy, &plan, smaller)?;
        check_smaller(&copy, &before)?;
    }
    let refusal = volume.shrink(8 * MIB, Tail::Move);
    assert!(
        matches!(refusal, Err(Error::NotConvertible { rule: Rule::SystemPartitionRoom, .. })),
        "{refusal:?}"
    );
    Ok(())
}

/// So small that the mirror of the MFT, and with it the log and the bitmap, must move.
fn own_files_moved() -> Result<(), Trouble> {
    for (cluster, size) in [(512, 60 * MIB), (4096, 120 * MIB)] {
        let image = Image::make(size, cluster, 512)?;
        image.mounted("rw", |root| {
            // Full but for what is at the end, so that the MFT grows there.
            let quarter = size as usize / 4;
            for number in 0..3 {
                fs::write(root.join(format!("quarter {number}")), noise(number, quarter))?;
            }
            fill(&root.join("rest"), 1)?;
            fill(&root.join("rest of the rest"), 1)?;
            fs::remove_file(root.join("quarter 2"))?;
            for number in 0..3000 {
                fs::write(root.join(format!("small {number}")), noise(number, 10))?;
            }
            fs::remove_file(root.join("quarter 1"))?;
            fs::remove_file(root.join("rest"))?;
            Ok(fs::remove_file(root.join("quarter 0"))?)
        })?;
        let before = image.tree()?;
        let volume = image.volume()?;
        let old = numbers(&image)?;
        let smaller =
            (4 * MIB..size).step_by(MIB as usize).map(|size| (size, volume.shrink(size, Tail::Move)));
        let smallest = smaller.into_iter().find_map(|(size, plan)| Some((size, plan.ok()?)));
        let (size, plan) = smallest.ok_or("it cannot be made smaller")?;
        apply(&image, &plan, size)?;
        let new = numbers(&image)?;
        assert_ne!(old.mirror, new.mirror, "the mirror has moved");
        assert_ne!(old.table, new.table, "parts of the MFT have moved");
        check_smaller(&image, &before)?;
    }
    Ok(())
}

/// A file in so many fragments that its records are full is refused by name, or moved right.
fn fragmented() -> Result<(), Trouble> {
    let (size, cluster) = (40 * MIB, 512);
    let image = Image::make(size, cluster, 512)?;
    image.mounted("rw", |root| {
        for number in 0..6000 {
            fs::write(root.join(format!("{number}")), noise(number, 1500))?;
        }
        fs::write(root.join("filled"), noise(1, 14 << 20))?;
        for number in (0..6000).step_by(2) {
            fs::remove_file(root.join(format!("{number}")))?;
        }
        // In 3000 holes of three clusters, with an attribute list, and then some behind all others.
        fs::write(root.join("in fragments"), noise(2, 7 << 20))?;
        for number in (1..6000).step_by(2) {
            fs::remove_file(root.join(format!("{number}")))?;
        }
        Ok(())
    })?;
    let before = image.tree()?;
    assert_eq!(our_tree(&image.volume()?)?, before);
    let mut outcomes = BTreeMap::new();
    for cut in (2..20).step_by(2) {
        let smaller = size - cut * MIB;
        let outcome = match image.volume()?.shrink(smaller, Tail::Move) {
            Ok(plan) => {
                let copy = image.copy()?;
                apply(&copy, &plan, smaller)?;
                copy.check()?;
                assert_eq!(copy.tree()?, before);
                "moved"
            }
            Err(Error::Layout { reason }) => {
                assert_eq!(
                    reason,
                    r"\in fragments would be in so many fragments that its FILE record has no room for them"
                );
                "refused"
            }
            Err(Error::NotConvertible { rule: Rule::SystemPartitionRoom, .. }) => "no room",
            Err(error) => return Err(error.into()),
        };
        *outcomes.entry(outcome).or_insert(0) += 1;
    }
    assert!(outcomes.contains_key("moved"), "{outcomes:?}");
    Ok(())
}

fn as_ntfsresize() -> Result<(), Trouble> {
    for cluster in [512, 1024, 4096, 16384, 65536] {
        let image = Image::make(30 * MIB, cluster, 512)?;
        image.mounted("rw", put_files)?;
        for clusters in [22 * MIB / cluster, 23 * MIB / cluster + 5] {
            let size = clusters * cluster + 512;
            let theirs = image.copy()?;
            let mut ntfsresize = tool("ntfsresize")?;
            ntfsresize.args(["-ff", "-P", "-s", &size.to_string()]).arg(&theirs.path);
            run(ntfsresize.stdout(Stdio::null()))?;
            let ours = image.copy()?;
            apply(&ours, &ours.volume()?.shrink(size, Tail::Move)?, size)?;
            let (mut ours, mut theirs) = (numbers(&ours)?, numbers(&theirs)?);
            // ntfsresize writes a bitmap of its own, elsewhere.
            ours.bitmap.truncate(32);
            theirs.bitmap.truncate(32);
            assert_eq!(ours, theirs, "{cluster}, {clusters}");
        }
    }
    Ok(())
}

fn refused() -> Result<(), Trouble> {
    let image = Image::make(16 * MIB, 4096, 512)?;
    image.mounted("rw", |root| {
        Ok(fs::write(root.join("hiberfil.sys"), [b"hibr".as_slice(), &[0; 9000]].concat())?)
    })?;
    let is = |image: &Image, expected| -> Result<(), Trouble> {
        let volume = image.volume()?;
        match volume.shrink(12 * MIB, Tail::Move) {
            Err(error @ Error::NotConvertible { rule, .. }) if rule == expected => {
                assert_eq!(error.class(), ErrorClass::Precondition);
            }
            other => return Err(format!("{other:?}, not {expected:?}").into()),
        }
        assert_eq!(volume.shrink(16 * MIB, Tail::Move)?, Default::default(), "it fits already");
        assert!(matches!(volume.shrink(12 * MIB + 1, Tail::Move), Err(Error::Unsupported { .. })));
        Ok(())
    };
    is(&image, Rule::Hibernated)?;
    image.mounted("rw,remove_hiberfile", |_| Ok(()))?;
    image.volume()?.shrink(12 * MIB, Tail::Move)?;
    // Dirty, as after an unclean shutdown: the flag in $VOLUME_INFORMATION of record 3 and of its mirror.
    let numbers = numbers(&image)?;
    let dirty = image.copy()?;
    let file = fs::File::options().read(true).write(true).open(&dirty.path)?;
    for table in [numbers.table_start, numbers.mirror * 4096] {
        let at = table + 3 * 1024;
        let mut record = [0; 1024];
        file.read_exact_at(&mut record, at)?;
        let found =
            record.windows(4).position(|bytes| bytes == [0x70, 0, 0, 0]).ok_or("no such attribute")?;
        let flags = found + usize::from(record[found + 0x14]) + 10;
        file.write_all_at(&[1], at + flags as u64)?;
    }
    is(&dirty, Rule::DirtyVolume)?;
    log_versions(&image, is)?;
    Ok(())
}

/// The version of the newest page of the log counts, and only where its mark says that the log is clean.
fn log_versions(image: &Image, is: impl Fn(&Image, Rule) -> Result<(), Trouble>) -> Result<(), Trouble> {
    let log = log_start(image)?;
    let cases = [
        ([(1, 10, true), (1, 11, true)], None),
        ([(2, 10, true), (1, 11, true)], None),
        ([(1, 10, true), (2, 11, true)], Some(Rule::LogInUse)),
        ([(2, 11, true), (1, 10, true)], Some(Rule::LogInUse)),
        ([(3, 11, true), (1, 10, true)], Some(Rule::LogInUse)),
        ([(2, 11, false), (1, 10, true)], Some(Rule::DirtyVolume)),
    ];
    for (pages, rule) in cases {
        let copy = image.copy()?;
        let file = fs::File::options().write(true).open(&copy.path)?;
        for (at, (version, lsn, clean)) in [0, 4096].into_iter().zip(pages) {
            file.write_all_at(&restart_page(version, lsn, clean), log + at)?;
        }
        match rule {
            Some(rule) => is(&copy, rule)?,
            None => drop(copy.volume()?.shrink(12 * MIB, Tail::Move)?),
        }
        // Who says so takes the mark for what it says, and no more.
        let trusted = copy.volume()?.trust_log(true).shrink(12 * MIB, Tail::Move);
        assert_eq!(trusted.is_ok(), rule != Some(Rule::DirtyVolume), "{pages:?}");
    }
    Ok(())
}

/// A restart page of a log, with its fixups.
fn restart_page(version: u16, lsn: u64, clean: bool) -> Vec<u8> {
    let mut page = vec![0; 4096];
    let parts: [(usize, &[u8]); 8] = [
        (0, b"RSTR"),
        (4, &[30, 0, 9, 0]),
        (16, &4096_u32.to_le_bytes()),
        (20, &4096_u32.to_le_bytes()),
        (24, &[0x30, 0]),
        (28, &version.to_le_bytes()),
        (0x30, &lsn.to_le_bytes()),
        (0x30 + 12, &[0, 0, if clean { 2 } else { 0 }, 0]),
    ];
    parts.iter().for_each(|(at, part)| page[*at..at + part.len()].copy_from_slice(part));
    page[30] = 7;
    (510..4096).step_by(512).for_each(|at| page[at] = 7);
    page
}

/// Where the log begins: the first run of the data of record 2.
fn log_start(image: &Image) -> Result<u64, Trouble> {
    let bytes = fs::read(&image.path)?;
    let record = &bytes[numbers(image)?.table_start as usize + 2 * 1024..][..1024];
    let u16_at = |at: usize| usize::from(u16::from_le_bytes([record[at], record[at + 1]]));
    let mut at = u16_at(0x14);
    while record[at] != 0x80 {
        at += u16_at(at + 4);
    }
    let runs = &record[at + u16_at(at + 0x20)..];
    let (len, offset) = (usize::from(runs[0] & 15), usize::from(runs[0] >> 4));
    let lcn = runs[1 + len..1 + len + offset].iter().rev().fold(0, |lcn, &byte| lcn << 8 | u64::from(byte));
    Ok(lcn * 4096)
}

/// The numbers that tell of a volume's size, read off its bytes.
#[derive(Debug, PartialEq, Eq)]
struct Numbers {
    sectors: u64,
    mirror: u64,
    table_start: u64,
    /// Of the data of records 0, 6 and 8: the highest VCN, three sizes, the mapping pairs.
    table: Vec<u8>,
    bitmap: Vec<u8>,
    bad: Vec<u8>,
    /// Clusters in use, and the bits past the last cluster.
    used: u32,
    copy_of_boot_sector: bool,
}

fn numbers(image: &Image) -> Result<Numbers, Trouble> {
    let bytes = fs::read(&image.path)?;
    let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let cluster = u64::from(u16::from_le_bytes([bytes[11], bytes[12]]))
        * match bytes[13] {
            n @ 0..=128 => u64::from(n),
            n => 1 << (256 - u64::from(n)),
        };
    let (sectors, table_start) = (u64_at(0x28), u64_at(0x30) * cluster);
    let data = |record: usize| {
        let start = table_start as usize + record * 1024;
        let mut record = bytes[start..start + 1024].to_vec();
        for stride in 1..=2 {
            let saved = usize::from(record[4]) + 2 * stride;
            record.copy_within(saved..saved + 2, stride * 512 - 2);
        }
        let u32_at = |at: usize| u32::from_le_bytes(record[at..at + 4].try_into().unwrap());
        let mut at = usize::from(record[0x14]);
        while u32_at(at) != 0x80 || record[at + 8] == 0 {
            at += u32_at(at + 4) as usize;
        }
        let pairs = usize::from(record[at + 0x20]);
        let mut end = at + pairs;
        while record[end] != 0 {
            end += 1 + usize::from(record[end] & 15) + usize::from(record[end] >> 4);
        }
        [&record[at + 0x18..at + 0x20], &record[at + 0x28..at + 0x40], &record[at + pairs..end]].concat()
    };
    let volume = image.volume()?;
    let root = volume.root()?;
    let entries = root.entries()?;
    let bitmap = entries.iter().find(|entry| entry.name == "$Bitmap").ok_or("no $Bitmap")?;
    let used = root.open(bitmap)?.read(MIB)?.iter().map(|byte| byte.count_ones()).sum();
    let boot = &bytes[..512];
    let last = sectors as usize * 512;
    Ok(Numbers {
        sectors,
        mirror: u64_at(0x38),
        table_start,
        table: data(0),
        bitmap: data(6),
        bad: data(8),
        used,
        copy_of_boot_sector: bytes[last..last + 512] == *boot,
    })
}
