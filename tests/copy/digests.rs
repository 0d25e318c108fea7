//! Digests are those of the whole virtual content, computed on the way or afterwards, whatever is data and whatever zeros.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use diskport::copy::{Convert, OutputFormat};
use diskport::digest::{Digest, digest};
use diskport::format::Allocation;
use diskport::format::vmdk::Subformat;
use diskport::job::Job;
use diskport::{Disk, Error};
use proptest::prelude::*;
use sha2::Digest as _;

use crate::source::{Sparse, any_source, content, disk, noise};

const ALL: [Digest; 3] = [Digest::Sha256, Digest::Md5, Digest::Blake3];
const MIB: u64 = 1 << 20;

/// Of bytes in one piece.
fn of(bytes: &[u8]) -> Vec<(Digest, String)> {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    vec![
        (Digest::Sha256, hex(&sha2::Sha256::digest(bytes))),
        (Digest::Md5, hex(&md5::Md5::digest(bytes))),
        (Digest::Blake3, hex(blake3::hash(bytes).as_bytes())),
    ]
}

fn hash(disk: &Disk, algorithm: Digest) -> String {
    digest(disk, algorithm, &Job::new()).expect("reads")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn are_of_the_content(source in any_source(), threads in 0..3_usize) {
        let source = disk(&Arc::new(source));
        let expected = of(&content(&source));
        for (algorithm, hex) in &expected {
            prop_assert_eq!(&hash(&source, *algorithm), hex);
        }
        for format in [OutputFormat::Raw, OutputFormat::Vhd(Allocation::Dynamic), OutputFormat::Vmdk(Subformat::StreamOptimized)] {
            let copy = ALL.into_iter().fold(Convert::new(&source).to(format).threads(threads), Convert::digest);
            let folder = tempfile::tempdir().expect("a folder");
            let report = copy.sync(false).create(folder.path().join("out")).expect("writes");
            prop_assert_eq!(&report.digests, &expected, "{}", format);
        }
    }
}

/// Of what is written, which may be longer than the source.
#[test]
fn cover_what_the_output_adds() {
    let bytes = noise(1000, 1);
    let source = disk(&Arc::new(Sparse::new(1000, vec![(0, bytes.clone())])));
    let copy = |format| Convert::new(&source).to(format).digest(Digest::Md5).digest(Digest::Md5);
    let report = copy(OutputFormat::Raw).write_to(Vec::new()).expect("writes");
    assert_eq!(report.digests, [of(&bytes)[1].clone()]);
    let format = OutputFormat::Vmdk(Subformat::StreamOptimized);
    let report = copy(format).write_to(Vec::new()).expect("writes");
    assert_eq!(report.digests, [of(&[&bytes[..], &[0; 24]].concat())[1].clone()]);
}

#[test]
fn zeros_are_not_read() {
    let source =
        Arc::new(Sparse::new(300 * MIB, vec![(MIB + 4096, noise(4096, 1)), (299 * MIB, noise(512, 2))]));
    let expected = of(&content(&disk(&source)));
    source.bytes.store(0, Ordering::Relaxed);
    for (algorithm, hex) in expected {
        assert_eq!(hash(&disk(&source), algorithm), hex);
    }
    assert_eq!(source.bytes.load(Ordering::Relaxed), 3 * (4096 + 512));
}

/// 64 TiB of zeros would take hours.
#[test]
fn are_given_up_at_once() {
    let source = disk(&Arc::new(Sparse::new(64 << 40, vec![(0, noise(512, 1))])));
    for algorithm in ALL {
        for on_the_way in [false, true] {
            let job = Job::new();
            let begun = Instant::now();
            let result = std::thread::scope(|scope| {
                scope.spawn(|| {
                    std::thread::sleep(Duration::from_millis(50));
                    job.cancel();
                });
                if on_the_way {
                    let copy = Convert::new(&source).to(OutputFormat::Vmdk(Subformat::StreamOptimized));
                    copy.digest(algorithm).job(&job).write_to(Vec::new()).map(drop)
                } else {
                    digest(&source, algorithm, &job).map(drop)
                }
            });
            assert!(matches!(result, Err(Error::Cancelled)), "{result:?}");
            assert!(begun.elapsed() < Duration::from_secs(5), "{algorithm}: {:?}", begun.elapsed());
        }
    }
}
