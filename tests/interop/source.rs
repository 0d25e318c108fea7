//! What is converted: images of the corpus, our own small one, and some that qemu-img makes of a patterned disk.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Missing;
use crate::common::corpus;
use crate::common::digest;
use crate::reader;

/// An image and the digest of its content.
pub struct Source {
    pub name: String,
    pub path: PathBuf,
    pub digest: String,
    /// Bytes of a logical sector.
    pub sector_size: u32,
    /// Whether the disk is a whole number of 4 KiB.
    pub whole_pages: bool,
}

/// Of each format one of another maker, chains, a disk smaller than a grain's multiple, one of 4096-byte sectors.
const CORPUS: [&str; 9] = [
    "vhd/plaso-image.vhd",
    "vhd/dfvfs/ntfs-differential.vhd",
    "vhd/rdisk/win7dyn.vhd",
    "peer/discutils/du-diff2.vhd",
    "vhdx/dfvfs/ntfs-differential.vhdx",
    "peer/discutils-4k/du-4k-bs1m.vhdx",
    "vmdk/xo-test.vmdk",
    "vmdk/vmdk-rs/vmfs_thick.vmdk",
    "peer/discutils/du-delta-vmfssparse-on-monolithicsparse.vmdk",
];

/// What qemu-img makes of the patterned disk: name, format and options.
const GENERATED: [(&str, &str, &str); 3] = [
    ("patterned.vhd", "vpc", "subformat=dynamic,force_size=on"),
    ("patterned.vhdx", "vhdx", "subformat=dynamic,block_size=1M"),
    ("patterned.vmdk", "vmdk", "subformat=twoGbMaxExtentSparse"),
];

impl Source {
    pub fn all(folder: &Path) -> Vec<Result<Self, Missing>> {
        let mut sources = vec![Self::small()];
        match corpus::get() {
            Ok(corpus) => sources.extend(CORPUS.map(|file| {
                let image =
                    corpus.image(file).ok_or_else(|| Missing(format!("{file} is not in the corpus")))?;
                let sector_size = if file.contains("4k") { 4096 } else { 512 };
                let whole_pages = file != "vhd/plaso-image.vhd";
                let (path, digest) = (corpus.path(file), image.oracle.clone());
                Ok(Self { name: file.into(), path, digest, sector_size, whole_pages })
            })),
            Err(reason) => sources.push(Err(Missing(reason.into()))),
        }
        sources.extend(generate(folder));
        sources
    }

    /// The image of `testdata/`, whose digest its README gives.
    fn small() -> Result<Self, Missing> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/small.vhdx");
        let digest = "dd52907fbd317e94da42da58e076755bc6d8e66044c3e341e294ac29b85955e0".into();
        Ok(Self { name: "small.vhdx".into(), path, digest, sector_size: 512, whole_pages: true })
    }
}

fn generate(folder: &Path) -> Vec<Result<Source, Missing>> {
    let raw = folder.join("patterned.raw");
    fs::write(&raw, patterned()).expect("room for the patterned disk");
    let digest = digest::of_file(&raw).expect("the patterned disk is there");
    let made = GENERATED.map(|(name, format, options)| {
        let path = folder.join(name);
        reader::run(
            reader::tool("qemu-img")?
                .args(["convert", "-f", "raw", "-O", format, "-o", options])
                .args([&raw, &path]),
        )
        .map_err(|reason| Missing(format!("cannot make {name}: {reason}")))?;
        Ok(patterned_source(name, path, digest.clone()))
    });
    let raw = patterned_source("patterned.raw", raw, digest);
    made.into_iter().chain([Ok(raw)]).collect()
}

fn patterned_source(name: &str, path: PathBuf, digest: String) -> Source {
    Source { name: name.into(), path, digest, sector_size: 512, whole_pages: false }
}

/// 21 MiB and 5 sectors: text that deflates well, noise that does not, zeros, single sectors, and a last sector
/// that is not zero.
fn patterned() -> Vec<u8> {
    const GRAIN: usize = 64 << 10;
    let mut disk = vec![0; (21 << 20) + 5 * 512];
    let mut state = 1_u64;
    for (index, grain) in disk.chunks_mut(GRAIN).enumerate() {
        match index % 7 {
            0 => grain.fill_with(|| noise(&mut state)),
            1 => grain.iter_mut().enumerate().for_each(|(at, byte)| *byte = b"the same again\n"[at % 15]),
            2 => grain[4096..4608].fill_with(|| noise(&mut state)),
            3 => grain.fill(0xff),
            _ => {}
        }
    }
    let end = disk.len();
    disk[end - 512..].fill_with(|| noise(&mut state));
    disk
}

/// A byte of SplitMix64.
fn noise(state: &mut u64) -> u8 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) as u8
}
