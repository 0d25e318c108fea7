//! Outputs that are written in parts.

use std::path::Path;
use std::sync::Arc;

use diskport::copy::{Convert, OutputFormat, PlanRecord, Shard};
use diskport::format::Allocation;
use diskport::format::vmdk::Subformat;
use diskport::{Disk, Error, MIB};
use proptest::prelude::*;

use crate::source::{PLAIN, Sparse, any_source, disk, noise};

fn copy(disk: &Disk, format: OutputFormat) -> Convert {
    let copy = Convert::new(disk).to(format).seed(5).sync(false);
    let has_blocks = matches!(format, OutputFormat::Vhd(Allocation::Dynamic) | OutputFormat::Vhdx(_));
    if has_blocks { copy.block_size(MIB) } else { copy }
}

fn record(copy: &Convert) -> PlanRecord {
    copy.plan().expect("plans").record().expect("is planned")
}

fn shard(number: u32, count: u32) -> Shard {
    Shard::new(number, count).expect("a shard")
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let mut names: Vec<_> =
        entries.map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// The file that shards write to.
fn partial(folder: &Path) -> std::path::PathBuf {
    let name = names(folder).into_iter().find(|name| name.ends_with("-partial")).expect("is there");
    folder.join(name)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn shards_in_any_order_make_the_bytes_of_one_copy(
        source in any_source(),
        count in 1..9_u32,
        order in any::<u64>(),
        detect: bool,
        threads in 0..3_usize,
    ) {
        let source = disk(&Arc::new(source));
        for format in PLAIN {
            let folder = tempfile::tempdir().expect("a folder");
            let copy = copy(&source, format).detect_zeros(detect).threads(threads);
            let whole = folder.path().join("whole");
            copy.create(&whole).expect("writes");
            let expected = std::fs::read(&whole).expect("reads");
            std::fs::remove_file(&whole).expect("goes");

            // As it is sent from one process to another.
            let text = serde_json::to_string(&record(&copy)).expect("is serialised");
            let plan: PlanRecord = serde_json::from_str(&text).expect("comes back");
            let path = folder.path().join("out");
            let runner = Convert::new(&source).sync(false).threads(threads);
            let mut numbers: Vec<u32> = (1..=count).collect();
            numbers.sort_by_key(|number| order.wrapping_mul(u64::from(*number) * 2 + 1));
            // Some are written twice.
            for number in numbers.iter().chain(&numbers[..count as usize / 2]) {
                runner.write_shard(&plan, shard(*number, count), &path).expect("writes");
                prop_assert!(!path.exists());
            }
            let report = runner.finish_shards(&plan, &path).expect("finishes");
            prop_assert!(report.verified && report.virtual_size >= source.size());
            prop_assert!(std::fs::read(&path).expect("reads") == expected, "{} in {}", format, count);
            prop_assert_eq!(names(folder.path()), ["out"]);
        }
    }
}

/// Four MiB of noise, in four blocks of a VHDX.
fn dense() -> Disk {
    disk(&Arc::new(Sparse::new(6 * MIB, vec![(MIB, noise(4 << 20, 1))])))
}

#[test]
fn a_shard_that_is_missing_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("out");
    let source = dense();
    for format in PLAIN {
        let copy = copy(&source, format);
        let plan = record(&copy);
        let missing = |expected: &[&str]| match copy.finish_shards(&plan, &path) {
            Err(Error::ShardsMissing { missing }) => assert_eq!(missing, expected),
            other => panic!("{format}: {other:?}"),
        };
        missing(&["all"]);
        for number in [4, 1] {
            copy.write_shard(&plan, shard(number, 4), &path).expect("writes");
        }
        missing(&["2/4", "3/4"]);
        assert!(!path.exists());
        // Those of another split do not count.
        copy.write_shard(&plan, shard(1, 3), &path).expect("writes");
        missing(&["2/3", "3/3", "or else 2/4", "3/4"]);
        copy.write_shard(&plan, shard(2, 4), &path).expect("writes");
        missing(&["3/4", "or else 2/3", "3/3"]);
        copy.write_shard(&plan, shard(3, 4), &path).expect("writes");
        // As a process leaves it that is killed while it notes what it did.
        let digest = names(folder.path()).into_iter().find(|name| name.ends_with("-1of4")).expect("is there");
        std::fs::write(folder.path().join(format!("{digest}.99.0.new")), "").expect("writes");
        copy.finish_shards(&plan, &path).expect("finishes");
        assert_eq!(names(folder.path()), ["out"], "nor do they stay");
        std::fs::remove_file(&path).expect("goes");
    }
}

/// Digests are of a file: where it is gone, they are of no use to a new one.
#[test]
fn digests_of_a_file_that_is_gone_do_not_count() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("out");
    let copy = copy(&dense(), OutputFormat::Vhd(Allocation::Dynamic));
    let plan = record(&copy);
    let missing = |expected: &[&str]| match copy.finish_shards(&plan, &path) {
        Err(Error::ShardsMissing { missing }) => assert_eq!(missing, expected),
        other => panic!("{other:?}"),
    };
    for number in [1, 2, 3] {
        copy.write_shard(&plan, shard(number, 3), &path).expect("writes");
    }
    std::fs::remove_file(partial(folder.path())).expect("goes");
    missing(&["all"]);
    copy.write_shard(&plan, shard(1, 2), &path).expect("writes");
    missing(&["2/2"]);
}

/// What was written, and what should be zeros.
#[test]
fn a_damaged_shard_is_named_and_can_be_written_again() {
    for format in PLAIN {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("out");
        let source =
            disk(&Arc::new(Sparse::new(8 * MIB, vec![(0, noise(3 << 20, 1)), (6 * MIB, noise(9000, 2))])));
        let copy = copy(&source, format);
        let plan = record(&copy);
        let write = |number| copy.write_shard(&plan, shard(number, 2), &path).map(drop);
        [1, 2].into_iter().for_each(|number| write(number).expect("writes"));
        let len = std::fs::metadata(partial(folder.path())).expect("is there").len();
        let flip = |at: u64| {
            let file = partial(folder.path());
            let mut bytes = std::fs::read(&file).expect("reads");
            bytes[at as usize] ^= 0x40;
            std::fs::write(&file, bytes).expect("writes");
        };
        for at in [len / 2, len - 600] {
            flip(at);
            let damaged = match copy.finish_shards(&plan, &path) {
                Err(Error::ShardDamaged { shard }) => shard,
                other => panic!("{format}, {at}: {other:?}"),
            };
            assert!(!path.exists());
            let damaged: Shard = damaged.parse().expect("a shard");
            copy.write_shard(&plan, damaged, &path).expect("writes");
        }
        if matches!(format, OutputFormat::Vhdx(_)) {
            // No shard's, and nobody's.
            flip(3 * MIB / 2);
        }
        copy.finish_shards(&plan, &path).expect("finishes");
        copy.clone().overwrite(true).create(folder.path().join("whole")).expect("writes");
        assert!(
            std::fs::read(&path).expect("reads")
                == std::fs::read(folder.path().join("whole")).expect("reads")
        );
    }
}

#[test]
fn a_source_that_has_changed_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let (from, path) = (folder.path().join("from.raw"), folder.path().join("out"));
    std::fs::write(&from, noise(3 << 20, 1)).expect("writes");
    let open = || diskport::open(&from).expect("opens");
    let format = OutputFormat::Vhdx(Allocation::Dynamic);
    let plan = record(&copy(&open(), format));
    copy(&open(), format).write_shard(&plan, shard(1, 1), &path).expect("writes");
    std::fs::write(&from, noise(3 << 20, 2)).expect("writes");
    let stale =
        |result: Result<_, Error>| assert!(matches!(result, Err(Error::StalePlan { .. })), "{result:?}");
    stale(copy(&open(), format).write_shard(&plan, shard(1, 1), &path).map(drop));
    stale(copy(&open(), format).finish_shards(&plan, &path).map(drop));
    // Another disk, and the same with something laid over it.
    stale(copy(&dense(), format).write_shard(&plan, shard(1, 1), &path).map(drop));
    let plan = record(&copy(&open(), format));
    let patched = open().patched(3 * MIB, vec![diskport::disk::Patch { offset: 9, bytes: vec![1] }]);
    stale(copy(&patched.expect("is patched"), format).write_shard(&plan, shard(1, 1), &path).map(drop));
    assert!(!path.exists());
}

#[test]
fn what_has_no_places_beforehand_is_refused_by_name() {
    for subformat in Subformat::ALL {
        let copy = Convert::new(&dense()).to(OutputFormat::Vmdk(subformat));
        match copy.plan().and_then(|plan| plan.record()) {
            Ok(_) => assert_eq!(subformat, Subformat::MonolithicSparse),
            Err(Error::Unsupported { what }) => assert!(what.contains(subformat.name()), "{what}"),
            Err(other) => panic!("{other}"),
        }
    }
    for text in ["", "3", "0/4", "5/4", "1/0", "1/99999", "a/b", "-1/3"] {
        assert!(text.parse::<Shard>().is_err(), "{text}");
    }
    assert_eq!("3/16".parse::<Shard>().expect("a shard").to_string(), "3/16");
}

/// A plan comes from anywhere.
#[test]
fn plans_that_are_damaged_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let copy = copy(&dense(), OutputFormat::Vhdx(Allocation::Dynamic));
    let good = serde_json::to_value(record(&copy)).expect("is serialised");
    let far = "OjAAAAEAAAD//wAAEAAAAP//"; // A set of which block 0xffffffff is one.
    for (key, value) in [
        ("blocks", "".into()),
        ("blocks", "????".into()),
        ("blocks", far.into()),
        ("size", 7.into()),
        ("sector_size", 4096.into()),
        ("source", "00".into()),
        ("version", "0.0.0".into()),
        ("format", "qcow2".into()),
        ("subformat", "sparse".into()),
        ("block_size", 3.into()),
    ] {
        let mut bad = good.clone();
        bad[key] = value;
        let plan: PlanRecord = serde_json::from_value(bad).expect("is a record");
        let result = copy.write_shard(&plan, shard(1, 1), folder.path().join("out"));
        assert!(
            matches!(result, Err(Error::StalePlan { .. } | Error::Unsupported { .. })),
            "{key}: {result:?}"
        );
        assert!(names(folder.path()).is_empty(), "{key}");
    }
}
