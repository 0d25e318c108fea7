//! An image that opens: its size, its content, its map.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use diskport::disk::is_zero;
use diskport::format::vhd::SizeField;
use diskport::format::vmdk::VmdkStream;
use diskport::{Disk, Extent, MIB, Open};
use libtest_mimic::Failed;

use crate::common::corpus::{Corpus, Image};
use crate::common::digest;

/// Disks up to this size are also read whole by `read_at`.
const READ_WHOLE: u64 = 256 * MIB;
/// Runs of zeros longer than this are read in samples.
const SAMPLED: u64 = 256 * MIB;
const SAMPLE_STEP: u64 = 64 * MIB;

/// Checks what `disk` reads as and returns the files that it was read from.
pub fn check(corpus: &Corpus, image: &Image, disk: &Disk) -> Result<Vec<PathBuf>, Failed> {
    let oracle = Oracle::of(image)?;
    same("virtual size", disk.size(), oracle.size)?;
    map_agrees(disk)?;
    match &oracle.chs {
        None => same("content (blocks)", digest::of_disk(disk)?, oracle.digest.clone())?,
        Some(chs) => check_both_sizes(corpus, image, disk, &oracle.digest, chs)?,
    }
    if disk.size() <= READ_WHOLE {
        same("content (read_at)", digest::of_reads(disk)?, oracle.digest.clone())?;
    }
    if disk.chain().iter().all(|layer| layer.info().subformat == "streamOptimized") {
        let stream = VmdkStream::new(BufReader::new(File::open(corpus.path(&image.file))?))?;
        let size = stream.size();
        same("virtual size (forward only)", size, oracle.size)?;
        same("content (forward only)", digest::of_blocks(stream, size, u64::MAX)?.0, oracle.digest)?;
    }
    let files = disk.chain().iter().flat_map(|layer| layer.files().iter());
    Ok(files.filter_map(|file| file.path().map(PathBuf::from)).collect())
}

/// What independent readers say.
struct Oracle {
    size: u64,
    digest: String,
    /// Where readers disagree on the size of a VHD: by cylinders, heads and sectors.
    chs: Option<Chs>,
}

struct Chs {
    size: u64,
    digest: String,
}

impl Oracle {
    fn of(image: &Image) -> Result<Self, Failed> {
        let digest = |text: &str, name: &str| match text.trim().strip_prefix(name) {
            Some(digest) if digest.len() == 64 => Ok(digest.to_owned()),
            _ => Err(Failed::from(format!("no oracle {name:?} in {text:?}"))),
        };
        match (image.virtual_size.split_once('|'), image.oracle.split_once('|')) {
            (None, None) => {
                Ok(Self { size: image.virtual_size.parse()?, digest: digest(&image.oracle, "")?, chs: None })
            }
            (Some((chs_size, size)), Some((chs, current))) => Ok(Self {
                size: size.parse()?,
                digest: digest(current, "current:")?,
                chs: Some(Chs { size: chs_size.parse()?, digest: digest(chs, "CHS:")? }),
            }),
            _ => Err("the manifest gives one size for two digests, or two for one".into()),
        }
    }
}

/// The current size is the default and the CHS product an option; one pass gives both digests, since the smaller
/// disk is shown to be nothing but zeros, as the start of the larger one is.
fn check_both_sizes(
    corpus: &Corpus,
    image: &Image,
    disk: &Disk,
    digest: &str,
    chs: &Chs,
) -> Result<(), Failed> {
    if disk.warnings().next().is_none() {
        return Err("the sizes differ and no warning says so".into());
    }
    let by_chs = crate::open(&Open::new().vhd_size(SizeField::Chs), corpus, image)?;
    same("virtual size by CHS", by_chs.size(), chs.size)?;
    for extent in by_chs.extents(..).chain(disk.extents(..chs.size)) {
        let extent = extent?;
        if extent.is_data() {
            return Err(format!("this check is for a disk without data: {extent:?}").into());
        }
    }
    let (whole, prefix) = digest::of_disk_and_prefix(disk, chs.size)?;
    same("content", whole.as_str(), digest)?;
    same("content by CHS", prefix.as_deref(), Some(chs.digest.as_str()))
}

/// The extents cover the disk, and every byte outside those that hold data reads as zero. Long runs are read in
/// samples; their whole content is in the digest anyway.
fn map_agrees(disk: &Disk) -> Result<(), Failed> {
    let mut buffer = vec![0; MIB as usize];
    let mut at = 0;
    for extent in disk.extents(..) {
        let extent = extent?;
        same("start of the next extent", extent.start, at)?;
        at = extent.end();
        if extent.is_data() {
            continue;
        }
        for offset in probes(&extent) {
            let len = (extent.end() - offset).min(MIB) as usize;
            // Left from before, so that a read that fills nothing is seen.
            buffer.fill(0xee);
            disk.read_at(&mut buffer[..len], offset)?;
            if !is_zero(&buffer[..len]) {
                return Err(format!("not zero at {offset}, which the map calls {:?}", extent.kind).into());
            }
        }
    }
    same("end of the last extent", at, disk.size())
}

/// Where a run without data is read, a MiB at a time.
fn probes(extent: &Extent) -> impl Iterator<Item = u64> {
    let step = if extent.len > SAMPLED { SAMPLE_STEP } else { MIB };
    let last = extent.end().saturating_sub(MIB).max(extent.start);
    (extent.start..extent.end()).step_by(step as usize).chain([last])
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: T, expected: T) -> Result<(), Failed> {
    if found == expected { Ok(()) } else { Err(format!("{what}: {found:?}, expected {expected:?}").into()) }
}
