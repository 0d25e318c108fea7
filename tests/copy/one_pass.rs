//! Strictly forwards: what goes into a pipe is, byte for byte, what goes into a file.

use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use diskport::copy::{Convert, OutputFormat};
use diskport::format::Allocation;
use diskport::format::vmdk::Subformat;
use diskport::job::{Job, Phase};
use diskport::storage::{MemoryStorage, ReadAt};
use diskport::{Disk, Error, Format, Open};
use proptest::prelude::*;

use crate::source::{Sparse, any_source, content, disk, noise};

const MIB: u64 = 1 << 20;
const SEED: u64 = 20_261_122;

const DYNAMIC_VHD: OutputFormat = OutputFormat::Vhd(Allocation::Dynamic);
const DYNAMIC_VHDX: OutputFormat = OutputFormat::Vhdx(Allocation::Dynamic);
const SPARSE_VMDK: OutputFormat = OutputFormat::Vmdk(Subformat::MonolithicSparse);

/// All that is one file, with the block sizes that are tried.
const FORMATS: [(OutputFormat, &[u64]); 7] = [
    (OutputFormat::Raw, &[]),
    (OutputFormat::Vhd(Allocation::Fixed), &[]),
    (DYNAMIC_VHD, &[MIB / 2, 2 * MIB]),
    (OutputFormat::Vhdx(Allocation::Fixed), &[MIB, 4 * MIB]),
    (DYNAMIC_VHDX, &[MIB, 2 * MIB]),
    (SPARSE_VMDK, &[]),
    (OutputFormat::Vmdk(Subformat::StreamOptimized), &[]),
];

/// Copies in all formats, with all block sizes.
fn copies(source: &Disk) -> impl Iterator<Item = Convert> {
    FORMATS.into_iter().flat_map(move |(format, sizes)| {
        let copy = Convert::new(source).to(format).seed(SEED).sync(false);
        let chosen: Vec<_> = sizes.iter().map(|size| copy.clone().block_size(*size)).collect();
        if chosen.is_empty() { vec![copy] } else { chosen }
    })
}

fn piped(copy: &Convert) -> Vec<u8> {
    let mut out = Vec::new();
    copy.write_to(&mut out).expect("writes");
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn a_pipe_carries_the_bytes_of_the_file(source in any_source(), detect: bool, threads in 0..3_usize) {
        let folder = tempfile::tempdir().expect("a folder");
        let source = disk(&Arc::new(source));
        let expected = content(&source);
        for (number, copy) in copies(&source).enumerate() {
            let format = copy.format();
            let copy = copy.detect_zeros(detect).threads(threads);
            let path = folder.path().join(format!("{number}.img"));
            copy.create(&path).expect("writes");
            let memory = Arc::new(MemoryStorage::default());
            copy.create(memory.clone()).expect("writes");

            let pipe = piped(&copy);
            let len = copy.plan().expect("plans").output_len();
            prop_assert!(len.is_none_or(|len| len == pipe.len() as u64), "{}: {:?}", format, len);
            prop_assert_eq!(len.is_none(), format == OutputFormat::Vmdk(Subformat::StreamOptimized));
            prop_assert!(pipe == std::fs::read(&path).expect("reads"), "{}: the file", format);
            prop_assert!(pipe == memory.to_vec(), "{}: the storage", format);
            let written = Open::new().format(format.format()).open(MemoryStorage::new(pipe)).expect("opens");
            prop_assert!(content(&written) == expected, "{}", format);
        }
    }
}

/// Compares what is written with a file, from its front.
struct Against(io::BufReader<std::fs::File>);

impl Write for Against {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let mut expected = vec![0; data.len()];
        self.0.read_exact(&mut expected)?;
        if expected == data { Ok(data.len()) } else { Err(io::Error::other("other bytes than the file's")) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[track_caller]
fn assert_same(copy: &Convert, folder: &Path) {
    let path = folder.join("out.img");
    let copy = copy.clone().seed(SEED).sync(false).overwrite(true);
    copy.create(&path).expect("writes");
    let mut against = Against(io::BufReader::new(std::fs::File::open(&path).expect("is there")));
    copy.write_to(&mut against).unwrap_or_else(|e| panic!("{}: {e}", copy.format()));
    assert_eq!(against.0.read(&mut [0]).expect("reads"), 0, "the file is no longer");
}

/// Several grain tables, pages of tables, and chunks of a VHDX, with gaps of all sizes between the data.
#[test]
fn large_tables_are_the_same() {
    let runs =
        [0, 31, 33, 1000, 5000, 5001, 4 << 10, 8191, 9000].map(|at| (at * MIB + 5000, noise(9000, at)));
    let source = disk(&Arc::new(Sparse::new(10 << 30, runs.to_vec())));
    let folder = tempfile::tempdir().expect("a folder");
    assert_same(&Convert::new(&source).to(DYNAMIC_VHDX).block_size(MIB), folder.path());
    assert_same(&Convert::new(&source).to(DYNAMIC_VHD).block_size(MIB / 2), folder.path());
    assert_same(&Convert::new(&source).to(SPARSE_VMDK), folder.path());
    for format in [DYNAMIC_VHD, DYNAMIC_VHDX, SPARSE_VMDK] {
        assert_same(&Convert::new(&Disk::empty(100 << 30, 512)).to(format), folder.path());
    }
    // Sectors of 4096 bytes put the entries of sector bitmaps elsewhere.
    assert_same(&Convert::new(&Disk::empty(100 << 30, 4096)).to(DYNAMIC_VHDX).block_size(MIB), folder.path());
}

#[test]
fn a_seed_gives_the_same_bytes_and_no_seed_others() {
    let source = disk(&Arc::new(Sparse::new(4 * MIB, vec![(MIB, noise(100_000, 1))])));
    for copy in copies(&source) {
        let format = copy.format();
        assert!(piped(&copy) == piped(&copy), "{format}");
        if format != OutputFormat::Raw {
            assert!(piped(&copy) != piped(&copy.clone().seed(SEED + 1)), "{format}: another seed");
            let fresh = Convert::new(&source).to(format);
            assert!(piped(&fresh) != piped(&fresh), "{format}: no seed");
        }
    }
}

/// Where zeros may stand in the file, nothing but the map decides.
#[test]
fn without_detection_all_that_is_mapped_is_there() {
    let bytes = [vec![0; 3 << 20], noise(1 << 20, 1)].concat();
    let mapped = disk(&Arc::new(Sparse::new(8 * MIB, vec![(0, bytes)])));
    for (format, blocks, found) in [(DYNAMIC_VHDX, 4, 1), (DYNAMIC_VHD, 4, 1), (SPARSE_VMDK, 64, 16)] {
        let copy = Convert::new(&mapped).to(format);
        let copy = if format == SPARSE_VMDK { copy } else { copy.block_size(MIB) };
        let len = |copy: &Convert| copy.plan().expect("plans").output_len().expect("is known");
        let empty = len(&copy);
        let all = len(&copy.detect_zeros(false));
        let block = if format == SPARSE_VMDK { MIB / 16 } else { MIB };
        let bitmap = if format == DYNAMIC_VHD { 4096 } else { 0 };
        assert_eq!(all - empty, (blocks - found) * (block + bitmap), "{format}");
    }
}

#[test]
fn several_files_go_into_no_pipe() {
    struct Untouched;
    impl Write for Untouched {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            panic!("is written to")
        }
        fn flush(&mut self) -> io::Result<()> {
            panic!("is flushed")
        }
    }
    let source = disk(&Arc::new(Sparse::new(MIB, vec![(0, noise(512, 1))])));
    for subformat in Subformat::ALL {
        let copy = Convert::new(&source).to(OutputFormat::Vmdk(subformat));
        match subformat {
            Subformat::MonolithicSparse | Subformat::StreamOptimized => {}
            _ => match copy.write_to(Untouched) {
                Err(Error::Unsupported { what }) => assert!(what.contains(subformat.name()), "{what}"),
                other => panic!("{subformat}: {other:?}"),
            },
        }
    }
}

/// A file that is longer than the format's tables can say is known to be before a byte of it is written.
#[test]
fn a_file_too_long_is_refused_before_it_is_begun() {
    let tib = 1 << 40;
    let source = Arc::new(Sparse::new(3 * tib, vec![(0, noise(512, 1))]).claiming_data());
    let copy = Convert::new(&disk(&source)).to(SPARSE_VMDK).detect_zeros(false);
    let mut out = Vec::new();
    assert!(matches!(copy.write_to(&mut out), Err(Error::SizeLimit { .. })));
    assert!(out.is_empty());
}

/// Reads as zeros until it is told to change.
struct Turning {
    bytes: Vec<u8>,
    at: u64,
    reads: AtomicU64,
    /// After so many reads.
    after: u64,
}

impl ReadAt for Turning {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let turned = self.reads.fetch_add(1, Ordering::Relaxed) >= self.after;
        let len = buf.len().min((self.bytes.len() as u64).saturating_sub(offset) as usize);
        for (position, byte) in buf[..len].iter_mut().enumerate() {
            let at = offset + position as u64;
            *byte = if turned || at < self.at { self.bytes[at as usize] } else { 0 };
        }
        Ok(len)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.bytes.len() as u64)
    }
}

#[test]
fn data_where_there_were_none_are_an_error() {
    for (format, block_size) in [(DYNAMIC_VHD, Some(MIB)), (DYNAMIC_VHDX, Some(MIB)), (SPARSE_VMDK, None)] {
        let copy = |disk: &Disk| {
            let copy = Convert::new(disk).to(format);
            block_size.map_or(copy.clone(), |size| copy.block_size(size))
        };
        // The data come behind all blocks surveyed, or there are none of these.
        for at in [4 * MIB, 0] {
            let bytes = noise(8 << 20, 1);
            let source = Turning { bytes, at, reads: AtomicU64::new(0), after: u64::MAX };
            let source = Arc::new(source);
            let disk = Open::new().format(Format::Raw).open(source.clone()).expect("opens");
            let before = copy(&disk).plan().expect("plans").output_len().expect("is known");

            let reads = source.reads.load(Ordering::Relaxed);
            let source = Turning { bytes: source.bytes.clone(), at, reads: AtomicU64::new(0), after: reads };
            let disk = Open::new().format(Format::Raw).open(Arc::new(source)).expect("opens");
            let mut out = Vec::new();
            let result = copy(&disk).write_to(&mut out);
            assert!(matches!(result, Err(Error::SourceChanged { .. })), "{format}, {at}: {result:?}");
            assert!((out.len() as u64) <= before);
        }
    }
}

/// Of a block that is known to hold data, no more is read.
#[test]
fn a_survey_reads_no_more_than_it_takes() {
    let source = Arc::new(Sparse::new(64 * MIB, vec![(0, noise(64 << 20, 1))]).without_holes());
    let disk = disk(&source);
    let read = |copy: &Convert| {
        let before = source.bytes.load(Ordering::Relaxed);
        copy.plan().expect("plans");
        source.bytes.load(Ordering::Relaxed) - before
    };
    let dynamic = Convert::new(&disk).to(DYNAMIC_VHDX);
    assert_eq!(read(&dynamic), 2 * 64 * 1024, "two blocks of 32 MiB");
    assert_eq!(read(&Convert::new(&disk).to(SPARSE_VMDK)), 64 * MIB, "every grain");
    assert_eq!(read(&dynamic.clone().detect_zeros(false)), 0);
    for fixed in
        [OutputFormat::Raw, OutputFormat::Vhd(Allocation::Fixed), OutputFormat::Vhdx(Allocation::Fixed)]
    {
        assert_eq!(read(&Convert::new(&disk).to(fixed)), 0, "{fixed}");
    }
}

/// Cancels while the survey reads.
struct Cancelling {
    job: Job,
    surveyed: AtomicBool,
}

impl ReadAt for Cancelling {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        buf.fill(0);
        if offset >= 32 * MIB {
            self.job.cancel();
            let surveys =
                self.job.progress().phase() == Some(Phase::Survey) && self.job.progress().total() == 64 * MIB;
            let done = self.job.progress().done();
            self.surveyed.store(surveys && (31 * MIB..33 * MIB).contains(&done), Ordering::Relaxed);
        }
        Ok(buf.len())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(64 * MIB)
    }
}

#[test]
fn a_survey_tells_how_far_it_is_and_can_be_cancelled() {
    let job = Job::new();
    let source = Arc::new(Cancelling { job: job.clone(), surveyed: AtomicBool::new(false) });
    let disk = Open::new().format(Format::Raw).open(source.clone()).expect("opens");
    let mut out = Vec::new();
    let copy = Convert::new(&disk).to(SPARSE_VMDK).job(&job).job(&job);
    assert!(matches!(copy.write_to(&mut out), Err(Error::Cancelled)));
    assert!(source.surveyed.load(Ordering::Relaxed) && out.is_empty());
}
