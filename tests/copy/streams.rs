//! Sources that come out of a pipe.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use diskport::copy::{Convert, OutputFormat};
use diskport::format::Allocation;
use diskport::format::raw;
use diskport::format::vmdk::{Subformat, VmdkStream};
use diskport::{Disk, Error, MIB};
use proptest::prelude::*;

use crate::source::{Sparse, any_source, content, disk, noise};

const STREAM: OutputFormat = OutputFormat::Vmdk(Subformat::StreamOptimized);
const FORMATS: [OutputFormat; 7] = [
    OutputFormat::Raw,
    OutputFormat::Vhd(Allocation::Fixed),
    OutputFormat::Vhd(Allocation::Dynamic),
    OutputFormat::Vhdx(Allocation::Dynamic),
    OutputFormat::Vmdk(Subformat::MonolithicSparse),
    OutputFormat::Vmdk(Subformat::TwoGbMaxExtentFlat),
    STREAM,
];

/// Gives little at a time, and is interrupted in between.
struct Trickle {
    bytes: io::Cursor<Vec<u8>>,
    calls: usize,
}

impl Read for Trickle {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.calls += 1;
        if self.calls.is_multiple_of(3) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let len = buf.len().min(1 + self.calls * 7919 % 200_000);
        self.bytes.read(&mut buf[..len])
    }
}

fn trickle(bytes: &[u8]) -> Trickle {
    Trickle { bytes: io::Cursor::new(bytes.to_vec()), calls: 0 }
}

fn packed(disk: &Disk) -> Vec<u8> {
    let mut out = Vec::new();
    Convert::new(disk).to(STREAM).level(1).write_to(&mut out).expect("writes");
    out
}

/// All files of a copy, with their names.
fn written(disk: &Disk, format: OutputFormat, threads: usize) -> Vec<(String, Vec<u8>)> {
    let folder = tempfile::tempdir().expect("a folder");
    let copy = Convert::new(disk).to(format).seed(1).threads(threads).sync(false);
    copy.create(folder.path().join("out.vmdk")).unwrap_or_else(|e| panic!("{format}: {e}"));
    let files = std::fs::read_dir(folder.path()).expect("a folder").map(|entry| {
        let entry = entry.expect("an entry");
        (entry.file_name().to_string_lossy().into_owned(), std::fs::read(entry.path()).expect("reads"))
    });
    let mut files: Vec<_> = files.collect();
    files.sort();
    files
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn a_stream_becomes_what_its_file_becomes(source in any_source(), threads in 0..4_usize) {
        let source = disk(&Arc::new(source));
        let (bytes, packed) = (content(&source), packed(&source));
        for format in FORMATS {
            let expected = written(&source, format, threads);
            let raw = raw::RawStream::new(trickle(&bytes), source.size()).into_disk().expect("a disk");
            prop_assert!(written(&raw, format, threads) == expected, "raw to {}", format);
            let vmdk = VmdkStream::new(trickle(&packed)).expect("a stream").into_disk().expect("a disk");
            prop_assert!(written(&vmdk, format, threads) == expected, "streamOptimized to {}", format);
        }
    }
}

/// Much more than is kept at a time, with threads that read at once.
#[test]
fn long_streams_go_through() {
    let bytes = noise(80 << 20, 1);
    let reader = raw::RawStream::new(io::Cursor::new(bytes.clone()), 80 * MIB);
    let mut out = Vec::new();
    let disk = reader.into_disk().expect("a disk");
    Convert::new(&disk)
        .to(OutputFormat::Vhd(Allocation::Fixed))
        .threads(4)
        .write_to(&mut out)
        .expect("writes");
    assert!(out[..80 << 20] == bytes);
    assert_eq!(out.len(), (80 << 20) + 512);
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).expect("a folder").next().is_none()
}

/// Only its end says that a stream is whole.
#[test]
fn a_cut_stream_is_no_disk() {
    let source = disk(&Arc::new(Sparse::new(MIB, vec![(0, noise(5000, 1)), (900_000, noise(148_576, 2))])));
    let packed = packed(&source);
    let folder = tempfile::tempdir().expect("a folder");
    for len in (0..packed.len()).step_by(512).chain([packed.len() - 1]) {
        let cut = VmdkStream::new(io::Cursor::new(packed[..len].to_vec())).and_then(VmdkStream::into_disk);
        let result =
            cut.and_then(|disk| Convert::new(&disk).to(OutputFormat::Raw).create(folder.path().join("out")));
        assert!(matches!(result, Err(Error::Defect(_))), "{len} bytes: {result:?}");
        assert!(is_empty(folder.path()));
    }
}

#[test]
fn a_raw_stream_is_as_long_as_its_disk() {
    let disk =
        |size| raw::RawStream::new(io::Cursor::new(noise(3 << 20, 1)), size).into_disk().expect("a disk");
    let folder = tempfile::tempdir().expect("a folder");
    for size in [1, MIB, 3 * MIB - 1] {
        let result = Convert::new(&disk(size)).create(folder.path().join("out"));
        assert!(matches!(result, Err(Error::Layout { .. })), "{size} bytes: {result:?}");
        assert!(is_empty(folder.path()));
    }
    // The sender may have died.
    for size in [3 * MIB + 1, 100 * MIB] {
        let result = Convert::new(&disk(size)).create(folder.path().join("out"));
        assert!(matches!(result, Err(Error::Io { .. })), "{size} bytes: {result:?}");
        assert!(is_empty(folder.path()));
    }
    Convert::new(&disk(3 * MIB)).create(folder.path().join("out")).expect("is as long");
}

#[test]
fn what_would_read_a_stream_twice_is_refused() {
    let disk = || raw::RawStream::new(io::Cursor::new(noise(1 << 20, 1)), MIB).into_disk().expect("a disk");
    let folder = tempfile::tempdir().expect("a folder");
    let refused = |result: Result<_, Error>| {
        assert!(matches!(result, Err(Error::Unsupported { .. })), "{result:?}");
        assert!(is_empty(folder.path()));
    };
    #[cfg(not(feature = "digest"))]
    refused(Convert::new(&disk()).verify(true).create(folder.path().join("out")).map(drop));
    #[cfg(feature = "digest")]
    refused(Convert::new(&disk()).resumable(true).create(folder.path().join("out")).map(drop));
    #[cfg(feature = "digest")]
    refused(Convert::new(&disk()).to(OutputFormat::Ova).write_to(io::sink()).map(drop));
    refused(Convert::new(&disk()).to(OutputFormat::TarGz).create(folder.path().join("out")).map(drop));
    let mut out = Vec::new();
    refused(Convert::new(&disk()).to(OutputFormat::Vhd(Allocation::Dynamic)).write_to(&mut out).map(drop));
    assert!(out.is_empty());
    refused(diskport::ops::grow(&disk(), 2 * MIB).map(drop));
    refused(diskport::ops::plan_reverse_image(&disk(), diskport::ops::Target::Gcp, None).map(drop));

    let disk = disk();
    Convert::new(&disk).write_to(io::sink()).expect("the first time");
    let again = Convert::new(&disk).write_to(io::sink()).expect_err("the second time");
    assert!(again.to_string().contains("read once"), "{again}");
}

/// Fails after so many bytes.
struct Broken(usize);

impl Read for Broken {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = buf.len().min(self.0);
        self.0 -= len;
        if len == 0 { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(len) }
    }
}

#[test]
fn a_stream_that_fails_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    for len in [0, 1, 3 << 20, 40 << 20] {
        let disk = raw::RawStream::new(Broken(len), 64 * MIB).into_disk().expect("a disk");
        let result = Convert::new(&disk).create(folder.path().join("out"));
        assert!(matches!(result, Err(Error::Io { .. })), "{len} bytes: {result:?}");
        assert!(is_empty(folder.path()));
    }
}
