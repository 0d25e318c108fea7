//! Sizes and numbers: units, signs, and what is no number.

use crate::place::{DONE, PRECONDITION, Place, USAGE, error_text};

const MIB: u64 = 1 << 20;

fn size_of(place: &Place, image: &str) -> u64 {
    place.json(&["info", "--json", image])["virtual_size"].as_u64().expect("a size")
}

/// A sign is relative to the present size, where a size is to change.
#[test]
fn resize_takes_signs_and_says_both_sizes() {
    for image in ["disk.vhdx", "disk.vhd", "disk.vmdk"] {
        let place = Place::new();
        place.run(&["create", image, "--size", "64MiB"], DONE);
        for (by, now) in [("+10M", 74), ("-4MiB", 70), ("+1024K", 71), ("71M", 71), ("-7M", 64), ("+0", 64)] {
            let before = size_of(&place, image);
            let told = error_text(&place.run(&["resize", image, by], DONE));
            assert_eq!(size_of(&place, image), now * MIB, "{image} {by}");
            assert!(told.contains(&format!("({before} bytes) before")), "{told}");
            assert!(told.contains(&format!("({} bytes) now", now * MIB)), "{told}");
        }
        for (by, code) in [
            ("-64M", USAGE),
            ("-65M", USAGE),
            ("+18446744073709551615", USAGE),
            ("++1M", USAGE),
            ("-", USAGE),
        ] {
            place.run(&["resize", image, by], code);
            assert_eq!(size_of(&place, image), 64 * MIB, "{image} {by}");
        }
    }
}

#[test]
fn sizes_of_outputs_are_relative_to_the_source() {
    let place = Place::new();
    place.raw("disk.raw");
    place.run(&["convert", "disk.raw", "a.vhdx", "--size", "+3MiB"], DONE);
    assert_eq!(size_of(&place, "a.vhdx"), 4 * MIB);
    place.run(&["convert", "disk.raw", "b.vhd", "--target", "azure", "--size", "+512"], DONE);
    assert_eq!(size_of(&place, "b.vhd"), 2 * MIB);
    place.run(&["convert", "disk.raw", "c.vhdx", "--size", "-512K"], PRECONDITION);
    place.run(&["convert", "disk.raw", "c.vhdx", "--size", "-1M"], USAGE);
    place.run(&["create", "child.vhdx", "--parent", "a.vhdx", "--size", "+1M"], DONE);
    assert_eq!(size_of(&place, "child.vhdx"), 5 * MIB);
    // There is nothing that it could be relative to.
    place.run(&["create", "new.vhdx", "--size", "+10M"], USAGE);
    place.run(&["convert", "-", "new.vhdx", "--source-format", "raw", "--size", "+1M"], USAGE);
    assert_eq!(place.names(), ["a.vhdx", "b.vhd", "child.vhdx", "disk.raw"]);
}

/// Elsewhere a sign is refused, and so is all that is no whole number in its option's grammar.
#[test]
fn what_is_no_number_is_a_usage_error() {
    let place = Place::new();
    place.raw("disk.raw");
    let cases: &[&[&str]] = &[
        &["read", "disk.raw", "--length", "1", "--offset"],
        &["read", "disk.raw", "--offset", "0", "--length"],
        &["write", "disk.raw", "--offset"],
        &["write", "disk.raw", "--offset", "0", "--zeroes"],
        &["write", "disk.raw", "--offset", "0", "--discard"],
        &["convert", "disk.raw", "out.vhdx", "--block-size"],
        &["convert", "disk.raw", "out.vhdx", "--seed"],
        &["convert", "disk.raw", "out.vmdk", "--level"],
        &["convert", "disk.raw", "out.vhdx", "--threads"],
        &["convert", "disk.raw", "out.vhdx", "--rate-limit"],
        &["convert", "disk.raw", "out.vhdx", "--max-depth"],
        &["convert", "disk.raw", "out.vhdx", "--resume", "--checkpoint-interval"],
        &["reverse-image", "disk.raw", "out.vmdk", "--size-mib"],
    ];
    for case in cases {
        for wrong in ["+1", "-1", "1KB", "1.5M", "0x10", "1 ", "", "１", "99999999999999999999"] {
            place.run(&[case, &[wrong][..]].concat(), USAGE);
        }
    }
    for shard in ["+1/2", "1/+2", "1/ 2", "-1/2", "1/2/3", "0x1/2"] {
        place.run(&["convert", "--plan", "disk.raw", "--shard", shard], USAGE);
    }
    let guid = "0fc63daf-8483-4772-8e79-3d69d8477de4";
    let simple = guid.replace('-', "");
    for wrong in ["+131", "0x+83", "0x183", "83h", "256", " 131", "-1", ""] {
        place.run(&["convert-to-gpt", "disk.raw", "out.vhd", "--map", &format!("{wrong}={guid}")], USAGE);
    }
    for wrong in [&simple, &format!("urn:uuid:{guid}"), &format!("{{{guid}"), "0x83", "131", ""] {
        place.run(&["convert-to-gpt", "disk.raw", "out.vhd", "--map", &format!("131={wrong}")], USAGE);
    }
    assert_eq!(place.names(), ["disk.raw"]);
}

/// One command grows, shrinks and finds the least, and what it refuses it has not touched.
#[test]
fn resize_minds_partitions_and_volumes() {
    let place = Place::new();
    let mut mbr = vec![0; 4 << 20];
    mbr[446 + 4] = 7;
    mbr[446 + 8..446 + 12].copy_from_slice(&2048_u32.to_le_bytes());
    mbr[446 + 12..446 + 16].copy_from_slice(&4096_u32.to_le_bytes());
    mbr[510..512].copy_from_slice(&[0x55, 0xaa]);
    let mut ext = vec![0; 4 << 20];
    ext[1024 + 4..1024 + 8].copy_from_slice(&3072_u32.to_le_bytes());
    ext[1024 + 56..1024 + 58].copy_from_slice(&[0x53, 0xef]);
    for (source, named) in [(&mbr, "partition 1, which ends at 3145728"), (&ext, "the ext volume without")] {
        place.file("source.raw", source);
        for image in ["disk.vhdx", "disk.vmdk", "disk.vhd"] {
            place.run(&["convert", "source.raw", image, "--overwrite"], DONE);
            let hash = place.run(&["hash", image], DONE).stdout;
            for less in ["2M", "-1536K", "3145216"] {
                let told = error_text(&place.run(&["resize", image, less], PRECONDITION));
                assert!(told.contains(named) && told.contains("--allow-loss"), "{told}");
                assert_eq!(place.run(&["hash", image], DONE).stdout, hash);
            }
            place.run(&["resize", image, "--to-minimum"], DONE);
            assert_eq!(size_of(&place, image), 3 * MIB, "{image}");
            place.run(&["resize", image, "--to-minimum"], DONE);
            place.run(&["resize", image, "2M", "--allow-loss"], DONE);
            assert_eq!(size_of(&place, image), 2 * MIB, "{image}");
            // Partitions that the disk does not hold any more make it no larger.
            place.run(&["resize", image, "--to-minimum"], DONE);
            assert_eq!(size_of(&place, image), 2 * MIB, "{image}");
            place.run(&["resize", image, "--to-minimum", "1M"], USAGE);
            place.run(&["resize", image], USAGE);
        }
    }
    place.run(&["create", "blank.vhdx", "--size", "4M"], DONE);
    let told = error_text(&place.run(&["resize", "blank.vhdx", "--to-minimum"], PRECONDITION));
    assert!(told.contains("how small"), "{told}");
}

/// A GPT as sgdisk makes it is, after both ways, one that it finds nothing wrong with.
#[test]
fn a_gpt_is_whole_for_a_command_after_a_resize() {
    let place = Place::new();
    place.file("mbr.raw", &{
        let mut mbr = vec![0; 8 << 20];
        mbr[446 + 4] = 7;
        mbr[446 + 8..446 + 12].copy_from_slice(&2048_u32.to_le_bytes());
        mbr[446 + 12..446 + 16].copy_from_slice(&2048_u32.to_le_bytes());
        mbr[510..512].copy_from_slice(&[0x55, 0xaa]);
        mbr
    });
    place.run(&["convert-to-gpt", "mbr.raw", "gpt.vhdx", "--output-kind", "copy"], DONE);
    place.run(&["create", "child.vhdx", "--parent", "gpt.vhdx"], DONE);
    for (size, now) in [("+8M", 16 * MIB), ("4M", 4 * MIB), ("--to-minimum", 2 * MIB + 33 * 512)] {
        let told = error_text(&place.run(&["resize", "child.vhdx", size], DONE));
        assert!(told.contains("the backup GPT moved"), "{told}");
        let disk = place.json(&["partitions", "--json", "child.vhdx"]);
        assert_eq!(
            (disk["scheme"].as_str(), disk["warnings"].as_array().map(Vec::len)),
            (Some("gpt"), Some(0))
        );
        assert_eq!(disk["partitions"][0]["start"], MIB);
        assert_eq!(size_of(&place, "child.vhdx"), now);
    }
    let told = error_text(&place.run(&["resize", "child.vhdx", "2M"], PRECONDITION));
    assert!(told.contains("bytes of GPT behind it"), "{told}");
    let before = place.json(&["partitions", "--json", "gpt.vhdx"]);
    assert_eq!(before["warnings"].as_array().map(Vec::len), Some(0));
}
