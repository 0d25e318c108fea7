//! The real volumes of the corpus: what each holds is recognised.

use diskport::partition::{FileSystem, Layout};
use diskport::{Disk, Format, Open};
use libtest_mimic::Trial;

use crate::common::corpus;
use crate::common::tools::{Missing, Trouble, trial};

/// The image, and what the volumes in it hold: of the whole disk where it has no table, else of its partitions.
const IMAGES: [(&str, &[Option<FileSystem>]); 17] = [
    ("fs/ntfs.raw", &[Some(FileSystem::Ntfs)]),
    ("fs/windows_volume.raw", &[Some(FileSystem::Ntfs)]),
    ("fs/vsstest.raw", &[Some(FileSystem::Ntfs)]),
    ("fs/fat12.raw", &[Some(FileSystem::Fat12)]),
    ("fs/utillinux-bitlocker-win7.img", &[Some(FileSystem::BitLocker)]),
    ("vhd/dfvfs/ext2.vhd", &[Some(FileSystem::Ext)]),
    ("vhdx/dfvfs/ext2.vhdx", &[Some(FileSystem::Ext)]),
    ("vmdk/dfvfs-ext2.vmdk", &[Some(FileSystem::Ext)]),
    ("vhd/dfvfs/ntfs-parent.vhd", &[Some(FileSystem::Ntfs)]),
    ("vhd/dfvfs/ntfs-differential.vhd", &[Some(FileSystem::Ntfs)]),
    ("vhd/dfvfs/ntfs-fixed.vhd", &[Some(FileSystem::Ntfs)]),
    ("vhd/dissect/dynamic.vhd", &[Some(FileSystem::Ntfs)]),
    ("vhdx/dfvfs/ntfs-differential.vhdx", &[Some(FileSystem::Ntfs)]),
    ("vhdx/dissect/dynamic.vhdx", &[Some(FileSystem::Ntfs)]),
    ("vhd/rdisk/win7dyn.vhd", &[None, Some(FileSystem::Ntfs)]),
    ("vhdx/discutils/btrfs.vhdx", &[Some(FileSystem::Btrfs)]),
    ("vhdx/discutils/xfs5.vhdx", &[Some(FileSystem::Xfs)]),
];

pub fn trials() -> Vec<Trial> {
    let check =
        |(file, expected): &'static (&str, &[_])| trial(format!("volume::{file}"), || check(file, expected));
    IMAGES.iter().map(check).collect()
}

fn check(file: &str, expected: &[Option<FileSystem>]) -> Result<(), Trouble> {
    let corpus = corpus::get().map_err(|reason| Missing(reason.to_owned()))?;
    let raw = file.starts_with("fs/");
    let open = if raw { Open::new().format(Format::Raw) } else { Open::new() };
    let disk = open.open(corpus.path(file))?;
    assert_eq!(seen(&disk)?, expected);
    Ok(())
}

fn seen(disk: &Disk) -> Result<Vec<Option<FileSystem>>, Trouble> {
    match Layout::read(disk)? {
        None => Ok(vec![FileSystem::of(disk)?]),
        Some(layout) => {
            let seen = layout.partitions.iter().map(|partition| partition.file_system(disk));
            Ok(seen.collect::<Result<_, _>>()?)
        }
    }
}
