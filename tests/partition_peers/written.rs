//! What the conversion writes, checked by GPT fdisk and util-linux, and read by gptman.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use diskport::Ids;
use diskport::copy::{Convert, OutputFormat};
use diskport::partition::{Layout, Role, Scheme, TypeMap, grow_gpt, mbr_to_gpt};
use diskport::{Disk, Format, MIB, Open};
use libtest_mimic::Trial;

use crate::common::tools::{Finish, Trouble, tool, trial};
use crate::tables::{same_as_crates, same_as_sfdisk};

/// Tables as sfdisk takes them: Windows with its system and recovery partitions, four primaries, one that begins as early as can be.
const TABLES: [&str; 3] = [
    "label: dos\nlabel-id: 0x1a2b3c4d\nstart=2048, size=102400, type=7, bootable\nstart=104448, size=90000, type=7\nsize=2000, type=27\n",
    "label: dos\nsize=4096, type=7\nsize=4096, type=c\nsize=4096, type=6\nsize=4096, type=7\n",
    "label: dos\nstart=34, size=100, type=7\n",
];

const LOGICAL: &str =
    "label: dos\nsize=4096, type=7\ntype=f\nsize=4096, type=7\nsize=8192, type=83\nsize=100, type=b\n";

pub fn trials(folder: &Path) -> Vec<Trial> {
    let mut trials = Vec::new();
    for (number, table) in TABLES.into_iter().enumerate() {
        let path = folder.join(format!("table-{number}.raw"));
        trials.push(trial(format!("written::table-{number}"), move || converted(table, &path)));
    }
    let path = folder.join("4096.raw");
    trials.push(trial("written::4096".to_owned(), move || sectors_of_4096(&path)));
    let path = folder.join("logical.raw");
    trials.push(trial("written::logical".to_owned(), move || logical(&path)));
    trials
}

/// A disk with a table that sfdisk made.
fn made(table: &str, path: &Path) -> Result<Disk, Trouble> {
    File::create(path)?.set_len(128 * MIB)?;
    let mut child = tool("sfdisk")?.arg(path).stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
    child.stdin.take().ok_or("no standard input")?.write_all(table.as_bytes())?;
    if !child.wait()?.success() {
        return Err("sfdisk failed".into());
    }
    Ok(Open::new().format(Format::Raw).open(path)?)
}

fn layout_of(disk: &Disk) -> Result<Layout, Trouble> {
    Ok(Layout::read(disk)?.ok_or("no table")?)
}

fn copied(disk: &Disk, path: &Path, ending: &str) -> Result<PathBuf, Trouble> {
    let path = path.with_extension(ending);
    Convert::new(disk).to(OutputFormat::Raw).create(&path)?;
    Ok(path)
}

fn shown_by_sfdisk(path: &Path) -> Result<serde_json::Value, Trouble> {
    Ok(serde_json::from_slice(&tool("sfdisk")?.arg("--json").arg(path).finish()?)?)
}

fn verified(path: &Path) -> Result<(), Trouble> {
    let said = String::from_utf8(tool("sgdisk")?.arg("-v").arg(path).finish()?)?;
    // A warning that partitions are not aligned is no problem of the table.
    if said.contains("No problems found") { Ok(()) } else { Err(said.into()) }
}

fn converted(table: &str, path: &Path) -> Result<(), Trouble> {
    let disk = made(table, path)?;
    let mbr = layout_of(&disk)?;
    same_as_sfdisk(&mbr, &shown_by_sfdisk(path)?);
    let gpt = mbr_to_gpt(&mbr, &TypeMap::new(), &mut Ids::seeded(7))?;
    let after = disk.patched(disk.size(), gpt.patches(&disk)?)?;
    for (ending, patches, size) in [
        ("gpt", Vec::new(), disk.size()),
        ("grown", grow_gpt(&after, 200 * MIB)?.ok_or("no GPT")?, 200 * MIB),
    ] {
        let path = copied(&after.patched(size, patches)?, path, ending)?;
        verified(&path)?;
        same_as_sfdisk(&gpt, &shown_by_sfdisk(&path)?);
        same_as_crates(&gpt, &mut File::open(&path)?)?;
        // Each copy serves alone.
        for (copy, header) in [("primary", 512), ("backup", size - 512)] {
            let damaged = path.with_extension(copy);
            std::fs::copy(&path, &damaged)?;
            let file = OpenOptions::new().write(true).open(&damaged)?;
            std::os::unix::fs::FileExt::write_all_at(&file, &[0; 512], header)?;
            same_as_sfdisk(&gpt, &shown_by_sfdisk(&damaged)?);
            let ours = layout_of(&Open::new().format(Format::Raw).open(&damaged)?)?;
            assert_eq!(ours.partitions, gpt.partitions);
        }
    }
    Ok(())
}

fn sectors_of_4096(path: &Path) -> Result<(), Trouble> {
    let mbr = layout_of(&made(TABLES[0], path)?)?;
    let scale = |bytes: u64| bytes * 8;
    let mut mbr = Layout { sector_size: 4096, disk_size: scale(mbr.disk_size), ..mbr };
    for partition in &mut mbr.partitions {
        (partition.start, partition.size) = (scale(partition.start), scale(partition.size));
    }
    let gpt = mbr_to_gpt(&mbr, &TypeMap::new(), &mut Ids::seeded(7))?;
    let blank = Disk::empty(gpt.disk_size, 4096);
    let path = copied(&blank.patched(gpt.disk_size, gpt.patches(&blank)?)?, path, "gpt")?;
    same_as_crates(&gpt, &mut File::open(&path)?)?;
    let said = String::from_utf8(tool("fdisk")?.args(["-b", "4096", "-x"]).arg(&path).finish()?)?;
    let Scheme::Gpt { id, .. } = gpt.scheme else { return Err("no GPT".into()) };
    assert!(said.contains("Disklabel type: gpt") && said.contains(&id.to_string().to_uppercase()), "{said}");
    for partition in &gpt.partitions {
        let id = partition.id.unwrap_or_default().to_string().to_uppercase();
        let line = said.lines().find(|line| line.contains(&id)).ok_or_else(|| said.clone())?;
        let numbers: Vec<u64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let (first, count) = (partition.start / 4096, partition.size / 4096);
        assert_eq!(numbers, [first, first + count - 1, count], "{line}");
    }
    Ok(())
}

/// Logical partitions that sfdisk made are read, and those that we write are read by it.
fn logical(path: &Path) -> Result<(), Trouble> {
    let disk = made(LOGICAL, path)?;
    let layout = layout_of(&disk)?;
    assert_eq!(layout.partitions.iter().filter(|p| matches!(p.role, Role::Logical { .. })).count(), 3);
    same_as_sfdisk(&layout, &shown_by_sfdisk(path)?);
    same_as_crates(&layout, &mut File::open(path)?)?;
    let blank = Disk::empty(disk.size(), 512);
    let ours = copied(&blank.patched(disk.size(), layout.patches(&blank)?)?, path, "ours")?;
    same_as_sfdisk(&layout, &shown_by_sfdisk(&ours)?);
    same_as_crates(&layout, &mut File::open(ours)?)
}
