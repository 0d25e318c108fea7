//! Memory is bounded by options, never by the image: the kernel refuses more.

use crate::place::{DONE, Place, shell};

/// Runs a line with at most so many MiB of memory of its own.
fn within(place: &Place, mib: u64, line: &str) {
    assert_eq!(shell(place, &format!("ulimit -d {}; {line}", mib << 10)), Some(DONE), "{line}");
}

/// A VHDX of 64 TiB with blocks of 1 MiB has a BAT of 512 MiB.
#[test]
fn the_largest_disk_takes_no_more_than_a_small_one() {
    let place = Place::new();
    place.run(&["create", "source.vhdx", "--size", "64T", "--block-size", "1M"], DONE);
    for offset in ["0", "1T", "40T", "67108863M"] {
        place.feed(&["write", "source.vhdx", "--offset", offset], &[7; 4096], DONE);
    }
    within(&place, 16, "\"$0\" info source.vhdx > /dev/null");
    within(&place, 16, "\"$0\" convert source.vhdx a.vhdx --no-sync --block-size 1M --threads 1");
    within(&place, 16, "\"$0\" compare source.vhdx a.vhdx");
}

/// 16 MiB, and 6 a thread when compressing; the stacks of more than one thread count too, 2 MiB each.
#[test]
fn dense_disks_take_some_mebibytes_a_thread() {
    let place = Place::new();
    let words = (0..24_u64 << 17).flat_map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    place.file("source.raw", &words.collect::<Vec<_>>());
    for (threads, plain, compressing) in [(1, 16, 22), (2, 18, 28), (16, 80, 112)] {
        for (format, mib) in [
            ("raw", plain),
            ("vhdx", plain),
            ("vmdk", plain),
            ("vmdk --subformat streamOptimized", compressing),
        ] {
            let how = format!("--overwrite --no-sync --threads {threads} --format {format}");
            within(&place, mib, &format!("\"$0\" convert source.raw out {how}"));
        }
    }
}

/// What lies over a disk that grows is read to know it again, not the disk below.
#[test]
fn the_checkpoint_of_a_disk_that_grows_takes_no_more_than_that_of_another() {
    let place = Place::new();
    place.run(&["create", "source.vhdx", "--size", "64G"], DONE);
    within(&place, 18, "\"$0\" convert source.vhdx grown.vhdx --size 65G --resume --no-sync --threads 1");
}
