//! Damaged images, read as far as they can be: what is there is right, what is not is zeros and listed, and no byte more.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use diskport::check::Repairs;
use diskport::copy::{Convert, OutputFormat};
use diskport::disk::{Loss, Losses, MappingKind};
use diskport::format::Allocation;
use diskport::format::vmdk::Subformat;
use diskport::storage::{MemoryStorage, ReadAt};
use diskport::{Child, Disk, Error, Format, MIB, Open};

use crate::support::{Shared, assert_reads_as, within_limits};
use crate::vhdx::builder as vhdx;
use crate::vhdx::model::noise;

const SPARSE: [OutputFormat; 4] = [
    OutputFormat::Vhd(Allocation::Dynamic),
    OutputFormat::Vhdx(Allocation::Dynamic),
    OutputFormat::Vhdx(Allocation::Fixed),
    OutputFormat::Vmdk(Subformat::MonolithicSparse),
];
const SIZE: u64 = 6 * MIB;

/// A disk with data in two places and none between, and what it reads as.
fn source() -> (Disk, Vec<u8>) {
    let mut model = vec![0; SIZE as usize];
    model[..1_500_000].copy_from_slice(&noise(1_500_000, 1));
    model[4_000_000..].copy_from_slice(&noise(SIZE as usize - 4_000_000, 2));
    let disk = Open::new().format(Format::Raw).open(MemoryStorage::new(&model[..])).expect("opens");
    (disk, model)
}

/// The disk as an image.
fn image(disk: &Disk, format: OutputFormat) -> Vec<u8> {
    let storage = Shared::default();
    let copy = Convert::new(disk).to(format);
    let has_blocks = format.format() != Format::Vmdk && format != OutputFormat::Vhd(Allocation::Fixed);
    let copy = if has_blocks { copy.block_size(MIB) } else { copy };
    copy.create(storage.clone()).expect("copies");
    storage.to_vec()
}

fn salvage(storage: impl ReadAt + 'static) -> diskport::Result<(Disk, Losses)> {
    let losses = Losses::new();
    Open::new().salvage(&losses).open(storage).map(|disk| (disk, losses))
}

/// Which bytes of the disk lie in these bytes of its file, by the map of the image when it was whole.
fn held_by(whole: &[u8], part: &Range<u64>) -> Vec<Range<u64>> {
    let disk = Open::new().open(MemoryStorage::new(whole)).expect("opens");
    let mut held = Vec::new();
    for extent in disk.extents(..) {
        let extent = extent.expect("maps");
        if let MappingKind::Stored { offset, .. } = extent.kind {
            let (start, end) = (part.start.max(offset), part.end.min(offset + extent.len));
            if start < end {
                held.push(extent.start + (start - offset)..extent.start + (end - offset));
            }
        }
    }
    held
}

/// That `disk` reads as `model` but for `lost`, of which zeros are read and which is what was noted.
#[track_caller]
fn is_salvaged((disk, losses): (Disk, Losses), model: &[u8], lost: &[Range<u64>]) -> Vec<Loss> {
    let mut model = model.to_vec();
    lost.iter().for_each(|range| model[range.start as usize..range.end as usize].fill(0));
    let copied = Shared::default();
    Convert::new(&disk).verify(true).create(copied.clone()).expect("copies");
    let first = losses.list();
    assert_reads_as(&Open::new().format(Format::Raw).open(copied).expect("opens"), &model);
    assert_reads_as(&disk, &model);
    assert_eq!(losses.list(), first, "what was lost is lost once");
    let mut found: Vec<Range<u64>> = Vec::new();
    for Loss { offset, len, .. } in &first {
        match found.last_mut() {
            Some(last) if last.end == *offset => last.end += len,
            _ => found.push(*offset..offset + len),
        }
    }
    assert_eq!(found, lost);
    first
}

/// As joined ranges.
fn joined(ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    let mut joined: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => joined.push(range),
        }
    }
    joined
}

#[test]
fn a_sound_disk_loses_nothing() {
    let (disk, model) = source();
    for format in SPARSE {
        is_salvaged(salvage(MemoryStorage::new(image(&disk, format))).expect("opens"), &model, &[]);
    }
}

#[test]
fn a_file_that_was_cut() {
    let (disk, model) = source();
    for format in SPARSE {
        let whole = image(&disk, format);
        for missing in [1, 512, 513, 4096, 100_000, 1 << 20, 1_300_007, 2_500_000] {
            let cut = whole.len() - missing;
            let lost = joined(held_by(&whole, &(cut as u64..whole.len() as u64)));
            assert!(format.format() == Format::Vhd || !lost.is_empty(), "{format}");
            is_salvaged(salvage(MemoryStorage::new(&whole[..cut])).expect("opens"), &model, &lost);
        }
    }
}

/// A repair keeps what the file has, makes zeros of what it lacks, and loses nothing else.
#[test]
fn a_file_that_was_cut_is_repaired() {
    let (disk, model) = source();
    for format in SPARSE {
        let whole = image(&disk, format);
        for missing in [1, 511, 512, 513, 1025, 4096, 50_000, 100_000, 1 << 20, 1_300_007, 2_500_000] {
            let cut = whole.len() - missing;
            let mut model = model.clone();
            let lost = held_by(&whole, &(cut as u64..whole.len() as u64));
            let is_whole = lost.is_empty();
            for lost in lost {
                model[lost.start as usize..lost.end as usize].fill(0);
            }
            let storage = Shared::new(whole[..cut].to_vec());
            let before = Open::new().check(storage.clone()).expect("checks");
            let lossless = Open::new().repair(storage.clone(), Repairs::Lossless).expect("repairs");
            assert_eq!(lossless.is_clean(), is_whole, "{format}, {missing}: {before:#?}");
            let repaired = Open::new().repair(storage.clone(), Repairs::All).expect("repairs");
            assert!(repaired.is_clean(), "{format}, {missing}: {:#?}", repaired.findings);
            assert_reads_as(&Open::new().open(storage.clone()).expect("opens"), &model);
            Open::new().open_writable(storage).expect("opens for writing").close().expect("closes");
        }
    }
}

/// Storage of which some parts cannot be read.
struct Unreadable {
    bytes: Vec<u8>,
    bad: Vec<Range<u64>>,
    reads: Arc<AtomicU64>,
}

impl ReadAt for Unreadable {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let end = offset + buf.len() as u64;
        if self.bad.iter().any(|bad| bad.start < end && offset < bad.end) {
            return Err(io::Error::other("bad sector"));
        }
        MemoryStorage::new(&self.bytes[..]).read_at(buf, offset)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.bytes.len() as u64)
    }
}

#[test]
fn sectors_that_cannot_be_read() {
    let (disk, model) = source();
    for format in SPARSE.into_iter().chain([OutputFormat::Vhd(Allocation::Fixed)]) {
        let whole = image(&disk, format);
        let place = |at: u64| {
            let disk = Open::new().open(MemoryStorage::new(&whole[..])).expect("opens");
            let extent = disk.extents(at..).next().expect("one").expect("maps");
            let MappingKind::Stored { offset, .. } = extent.kind else { panic!("{extent:?}") };
            offset
        };
        let bad = [5120, 1 << 20, (1 << 20) + 1024, 5 << 20].map(|at| place(at)..place(at) + 512).to_vec();
        let lost = joined(bad.iter().flat_map(|bad| held_by(&whole, bad)).collect());
        let reads = Arc::new(AtomicU64::new(0));
        let storage = Unreadable { bytes: whole, bad, reads: reads.clone() };
        let losses = is_salvaged(salvage(storage).expect("opens"), &model, &lost);
        assert_eq!(losses.len(), 4, "{losses:?}");
        assert!(losses.iter().all(|loss| loss.cause.contains("bad sector")), "{losses:?}");
        let reads = reads.load(Ordering::Relaxed);
        assert!(reads < 3000, "{format}: {reads} reads");
    }
}

/// A bad entry is the loss of its block; the others are read.
#[test]
fn entries_that_lead_astray() {
    let (disk, model) = source();
    let whole = image(&disk, OutputFormat::Vhdx(Allocation::Dynamic));
    // The first entry of the BAT, wherever that is.
    let bat = whole.windows(16).position(|guid| guid == vhdx::guid(vhdx::BAT_REGION)).expect("a region");
    let bat = vhdx::get_u64(&whole, bat + 16) as usize;
    for entry in [5, 7, 6, (1 << 40) | 6, MIB | 6, u64::MAX] {
        let mut bytes = whole.clone();
        vhdx::put(&mut bytes, bat + 8, &entry.to_le_bytes());
        let losses = is_salvaged(
            salvage(MemoryStorage::new(bytes)).expect("opens"),
            &model,
            std::slice::from_ref(&(MIB..2 * MIB)),
        );
        assert!(losses[0].cause.contains("BAT entry"), "{losses:?}");
    }
}

/// What a log holds that cannot be replayed has no known place, and is a loss all the same.
#[test]
fn a_log_that_cannot_be_replayed() {
    let mut image = vhdx::Image::empty(2 * MIB, MIB, 512);
    image.blocks[0] = vhdx::Block::Full(noise(1 << 20, 1));
    let mut bytes = image.build();
    vhdx::set_dirty(&mut bytes);
    let mut model = vec![0; 2 << 20];
    model[..1 << 20].copy_from_slice(&noise(1 << 20, 1));
    assert!(Open::new().open(MemoryStorage::new(&bytes[..])).is_err());
    let (disk, losses) = salvage(MemoryStorage::new(bytes)).expect("opens");
    assert_reads_as(&disk, &model);
    let losses = losses.list();
    assert!(matches!(&losses[..], [loss] if loss.len == 0 && loss.cause.contains("log")), "{losses:?}");
}

/// Of a child whose parent is not there, all that the parent would decide on is lost.
#[test]
fn a_parent_that_is_missing() {
    let (disk, _) = source();
    let folder = tempfile::tempdir().expect("a folder");
    for (format, ending) in [(SPARSE[0], "vhd"), (SPARSE[1], "vhdx"), (SPARSE[3], "vmdk")] {
        let (base, child) =
            (folder.path().join(format!("base.{ending}")), folder.path().join(format!("child.{ending}")));
        Convert::new(&disk).to(format).create(&base).expect("copies");
        Child::of(&diskport::open(&base).expect("opens")).create(&child).expect("creates");
        let writable = Open::new().open_writable(&child).expect("opens");
        writable.write_at(&noise(1 << 16, 3), MIB).expect("writes");
        writable.close().expect("closes");
        let whole = std::fs::read(&base).expect("reads");
        let mut expected = vec![0; SIZE as usize];
        expected[1 << 20..][..1 << 16].copy_from_slice(&noise(1 << 16, 3));
        let lost = [0..MIB, MIB + (1 << 16)..SIZE];
        let mut other = whole.clone();
        other.truncate(1000);
        for damage in [None, Some(&other)] {
            match damage {
                None => std::fs::remove_file(&base).expect("removes"),
                Some(bytes) => std::fs::write(&base, bytes).expect("writes"),
            }
            assert!(diskport::open(&child).is_err());
            is_salvaged(open_path(&child), &expected, &lost);
        }
        // It was nothing but the parent: with it, all is there.
        std::fs::write(&base, &whole).expect("writes");
        assert!(Open::new().open(&child).is_ok());
        let losses = Losses::new();
        let disk = Open::new().salvage(&losses).open(&child).expect("opens");
        disk.read_at(&mut vec![0; SIZE as usize], 0).expect("reads");
        assert!(losses.is_empty());
        // A salvage is for reading alone.
        std::fs::remove_file(&base).expect("removes");
        assert!(Open::new().salvage(&losses).open_writable(&child).is_err());
    }
}

fn open_path(path: &Path) -> (Disk, Losses) {
    let losses = Losses::new();
    (Open::new().salvage(&losses).open(path).expect("opens"), losses)
}

#[test]
fn extents_that_are_short_or_missing() {
    let (disk, model) = source();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("flat.vmdk");
    let flat = folder.path().join("flat-flat.vmdk");
    Convert::new(&disk).to(OutputFormat::Vmdk(Subformat::MonolithicFlat)).create(&path).expect("copies");
    for cut in [SIZE - 1, SIZE - 1_000_001, 700, 0] {
        std::fs::OpenOptions::new().write(true).open(&flat).and_then(|file| file.set_len(cut)).expect("cuts");
        assert!(diskport::open(&path).is_err());
        is_salvaged(open_path(&path), &model, std::slice::from_ref(&(cut..SIZE)));
    }
    std::fs::remove_file(&flat).expect("removes");
    let losses = is_salvaged(open_path(&path), &model, std::slice::from_ref(&(0..SIZE)));
    assert!(losses[0].cause.contains("flat-flat.vmdk"), "{losses:?}");
}

/// A grain that does not inflate is lost as a whole, and no other one.
#[test]
fn compressed_grains_that_are_damaged() {
    let (disk, model) = source();
    let stream = OutputFormat::Vmdk(Subformat::StreamOptimized);
    let mut bytes = Vec::new();
    Convert::new(&disk).to(stream).write_to(&mut bytes).expect("copies");
    let whole = Open::new().open(MemoryStorage::new(&bytes[..])).expect("opens");
    let mut lost = Vec::new();
    for at in [2 << 16, 20 << 16, 80 << 16] {
        let extent = whole.extents(at..).next().expect("one").expect("maps");
        let MappingKind::Packed(packed) = extent.kind else { panic!("{extent:?}") };
        bytes[packed.offset as usize + 100] ^= 0xff;
        lost.push(at..at + (1 << 16));
    }
    let losses = is_salvaged(salvage(MemoryStorage::new(bytes)).expect("opens"), &model, &lost);
    assert!(losses.iter().all(|loss| loss.cause.contains("compressed grain")), "{losses:?}");
}

/// The list is bounded, whatever the image is like, and nothing that is lost is missing from it.
#[test]
fn a_disk_that_is_lost_here_and_there() {
    let blocks = 60_000;
    let mut image = vhdx::Image::empty(blocks * MIB, MIB, 512);
    for block in (0..blocks as usize).step_by(2) {
        image.blocks[block] = vhdx::Block::Entry(5);
    }
    let bytes = image.build();
    let losses = within_limits(|| {
        let (disk, losses) = salvage(MemoryStorage::new(bytes)).expect("opens");
        let mapped = disk.extents(..).try_for_each(|extent| extent.map(drop));
        mapped.expect("maps");
        losses.list()
    });
    assert_eq!(losses.len(), 10_000);
    assert_eq!((losses[0].offset, losses[0].len), (0, MIB));
    let last = &losses[losses.len() - 1];
    assert!(
        last.offset + last.len == (blocks - 1) * MIB && last.cause.contains("some not at all"),
        "{last:?}"
    );
}

/// Headers must be sound: what is no image is none.
#[test]
fn what_cannot_be_salvaged() {
    let (disk, _) = source();
    for format in SPARSE {
        let mut bytes = image(&disk, format);
        bytes[..1 << 20].fill(0);
        let end = bytes.len() - 512;
        bytes[end..].fill(0);
        assert!(matches!(salvage(MemoryStorage::new(bytes)), Err(Error::NotRecognised { .. })), "{format}");
    }
}
