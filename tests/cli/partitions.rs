//! `partitions` and `convert-to-gpt`.

use std::fs;

use serde_json::Value;

use crate::place::{DONE, PRECONDITION, Place, REFUSED, USAGE, error_text};

const SIZE: usize = 16 << 20;

/// An MBR with an NTFS system volume, a FAT one that nothing is in, and a Linux partition if asked for.
fn mbr(linux: bool) -> Vec<u8> {
    let mut bytes = vec![0; SIZE];
    bytes[..440].fill(0x90);
    bytes[440..444].copy_from_slice(&0x1a2b_3c4d_u32.to_le_bytes());
    let entries =
        [(0x80, 7, 2048, 4096), (0, 0x27, 8192, 2048), (0, if linux { 0x83 } else { 0 }, 12288, 1024)];
    for (slot, (status, kind, first, sectors)) in entries.into_iter().enumerate() {
        let at = 446 + 16 * slot;
        bytes[at] = status;
        bytes[at + 4] = kind;
        bytes[at + 8..at + 12].copy_from_slice(&u32::to_le_bytes(first));
        bytes[at + 12..at + 16].copy_from_slice(&u32::to_le_bytes(sectors));
    }
    bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
    bytes[(1 << 20) + 3..(1 << 20) + 11].copy_from_slice(b"NTFS    ");
    bytes[(4 << 20) + 5000..(5 << 20) - 5000].fill(0x77);
    bytes
}

fn expected(scheme: &str, disk: &Value, rows: &Value) {
    assert_eq!(disk["scheme"], scheme);
    let found = disk["partitions"].as_array().expect("a list");
    let rows = rows.as_array().expect("a list");
    assert_eq!(found.len(), rows.len(), "{disk}");
    for (found, row) in found.iter().zip(rows) {
        for (key, value) in row.as_object().expect("a row") {
            assert_eq!(found[key], *value, "{key}: {found}");
        }
    }
}

#[test]
fn partitions_are_listed() {
    let place = Place::new();
    place.file("disk.raw", &mbr(true));
    let disk = place.json(&["partitions", "--json", "disk.raw"]);
    assert_eq!(disk["disk_id"], "0x1a2b3c4d");
    let rows = serde_json::json!([
        { "index": 1, "type": "0x07", "type_name": "NTFS or exFAT", "start": 1 << 20, "size": 2 << 20, "id": null,
          "attributes": 0, "active": true, "file_system": "ntfs" },
        { "index": 2, "type": "0x27", "start": 4 << 20, "active": false, "file_system": null },
        { "index": 3, "type": "0x83", "type_name": "Linux", "start": 6 << 20, "size": 512 << 10 },
    ]);
    expected("mbr", &disk, &rows);
    let shown = place.run(&["partitions", "disk.raw"], DONE);
    let shown = String::from_utf8(shown.stdout).expect("text");
    assert!(shown.contains("ntfs") && shown.contains("Linux") && shown.contains("active"), "{shown}");

    place.file("blank.raw", &[0; 4096]);
    expected("none", &place.json(&["partitions", "--json", "blank.raw"]), &serde_json::json!([]));
    // A protective MBR, and no GPT.
    let mut cut = mbr(false);
    cut[450] = 0xee;
    place.file("cut.raw", &cut);
    place.run(&["partitions", "cut.raw"], REFUSED);
}

#[test]
fn a_child_or_a_copy_has_the_gpt_and_the_source_stays() {
    for (format, child) in [("raw", "vhd"), ("vhd", "vhd"), ("vhdx", "vhdx"), ("vmdk", "vmdk")] {
        let place = Place::new();
        place.file("disk.raw", &mbr(false));
        let base = format!("disk.{format}");
        if format != "raw" {
            place.run(&["convert", "disk.raw", &base], DONE);
        }
        let before = fs::read(place.path(&base)).expect("the source");
        let child = format!("child.{child}");
        place.run(&["convert-to-gpt", &base, &child, "--seed", "7"], DONE);
        place.run(&["convert-to-gpt", &base, "copy.vmdk", "--seed", "7", "--output-kind", "copy"], DONE);
        assert!(fs::read(place.path(&base)).expect("the source") == before);
        // Of a raw parent no identity is recorded: it must be named.
        let parent = if format == "raw" { &["--parent", "disk.raw"][..] } else { &[] };
        let over = |arguments: &[&str]| place.json(&[arguments, parent].concat());
        place.run(&[&["compare", &child, "copy.vmdk"], parent].concat(), DONE);
        assert_eq!(over(&["info", "--json", &child])["chain"].as_array().map(Vec::len), Some(2));
        let disk = over(&["partitions", "--json", &child]);
        let rows = serde_json::json!([
            { "index": 1, "type": "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7", "start": 1 << 20, "size": 2 << 20,
              "attributes": 0, "active": false, "file_system": "ntfs", "name": "Basic data partition" },
            { "index": 2, "type": "de94bba4-06d1-4d40-a16a-bfd50179d6ac", "type_name": "Windows recovery",
              "start": 4 << 20, "size": 1 << 20, "attributes": 0x8000_0000_0000_0001_u64 },
        ]);
        expected("gpt", &disk, &rows);
        assert_eq!(disk["warnings"], serde_json::json!([]));
        // But for the table's own places the content is the source's.
        place.run(&[&["convert", &child, "after.raw"], parent].concat(), DONE);
        let after = fs::read(place.path("after.raw")).expect("the disk");
        let content = 34 * 512..SIZE - 33 * 512;
        assert!(after[content.clone()] == mbr(false)[content]);
        let again = place.json(&["convert-to-gpt", &base, &child, "--overwrite", "--json"]);
        assert_ne!(again["disk_id"], disk["disk_id"], "without a seed");
        assert_eq!(again["partitions"].as_array().map(Vec::len), Some(2));
    }
}

#[test]
fn what_is_not_convertible_is_refused_and_leaves_nothing() {
    let place = Place::new();
    place.file("linux.raw", &mbr(true));
    place.file("blank.raw", &[0; 4096]);
    let mut late = mbr(false);
    // To the last sector but 32.
    late[446 + 16 + 12..446 + 16 + 16].copy_from_slice(&((SIZE / 512 - 8192 - 32) as u32).to_le_bytes());
    place.file("late.raw", &late);
    let before = place.names();
    for source in ["linux.raw", "blank.raw", "late.raw"] {
        for kind in ["child", "copy"] {
            place.run(&["convert-to-gpt", source, "out.vhd", "--output-kind", kind], PRECONDITION);
        }
    }
    let said = error_text(&place.run(&["convert-to-gpt", "linux.raw", "out.vhd"], PRECONDITION));
    assert!(said.contains("0x83") && said.contains("--map"), "{said}");
    place.run(&["convert-to-gpt", "linux.raw", "out.vhdx"], USAGE);
    place.run(&["convert-to-gpt", "linux.raw", "out.vhd", "--map", "131"], USAGE);
    place.run(&["convert-to-gpt", "linux.raw", "out.vhd", "--format", "vhdx"], USAGE);
    assert_eq!(place.names(), before);

    let linux = "{0fc63daf-8483-4772-8e79-3d69d8477de4}";
    for kind in ["131", "0x83"] {
        let map = format!("{kind}={linux}");
        place.run(&["convert-to-gpt", "linux.raw", "out.vhd", "--map", &map, "--overwrite"], DONE);
    }
    let disk = place.json(&["partitions", "--json", "out.vhd", "--parent", "linux.raw"]);
    assert_eq!(disk["partitions"][2]["type_name"], "Linux data");
    // What has a GPT is not converted again, nor over an existing file.
    place.run(&["convert-to-gpt", "out.vhd", "more.vhd", "--parent", "linux.raw"], PRECONDITION);
    place.run(&["convert-to-gpt", "linux.raw", "out.vhd"], PRECONDITION);
    // The name says another format than the child has.
    place.file("fine.raw", &mbr(false));
    place.run(&["convert-to-gpt", "fine.raw", "out.vhdx"], USAGE);
    assert!(!place.path("out.vhdx").exists());
}

/// What would have no effect, or could not do what it says, is refused, in a dry run too.
#[test]
fn options_that_mean_nothing_to_a_conversion_are_refused() {
    let place = Place::new();
    let bios = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/windows-bios.vmdk");
    fs::copy(bios, place.path("bios.vmdk")).expect("copies");
    let before = place.names();
    for options in [
        &["out.vmdk", "--level", "9"][..],
        &["out.vmdk", "--threads", "2"],
        &["out.vmdk", "--rate-limit", "1M"],
        &["out.vmdk", "--verify"],
        &["out.vmdk", "--format", "vmdk"],
        &["out.vhd"],
        // With other identities it would be another output.
        &["out.raw", "--output-kind", "copy", "--resume"],
    ] {
        for more in [&[][..], &["--dry-run"]] {
            place.run(&[&["convert-to-uefi", "bios.vmdk"], options, more].concat(), USAGE);
        }
    }
    assert_eq!(place.names(), before);
    let seeded = ["out.raw", "--output-kind", "copy", "--resume", "--seed", "1"];
    place.run(&[&["convert-to-uefi", "bios.vmdk"], &seeded[..]].concat(), DONE);
    let report = place.json(&["convert-to-uefi", "bios.vmdk", "--dry-run", "--json", "--seed", "1"]);
    assert_eq!((&report["dry_run"], &report["destination"]), (&Value::Bool(true), &Value::Null));
    assert_eq!(report["disk_id"], place.json(&["partitions", "--json", "out.raw"])["disk_id"]);
}

/// Boot code in the gap is lost to a GPT, and a partition beyond the end is no good one: both are told.
#[test]
fn what_is_odd_about_a_table_is_warned_of() {
    let place = Place::new();
    let mut gap = mbr(false);
    gap[512 + 7] = 0xe9;
    place.file("grub.raw", &gap);
    let warnings = |image: &str| place.json(&["partitions", "--json", image])["warnings"].to_string();
    let told = warnings("grub.raw");
    assert!(told.contains("boot code") && told.contains("offset 519") && told.contains("17408"), "{told}");
    let shown = place.run(&["partitions", "grub.raw"], DONE).stdout;
    assert!(String::from_utf8_lossy(&shown).contains("boot code"));
    for kind in ["child", "copy"] {
        let told =
            place.run(&["convert-to-gpt", "grub.raw", "out.vhd", "--output-kind", kind, "--overwrite"], DONE);
        assert!(error_text(&told).contains("warning: partition table: boot code"), "{}", error_text(&told));
    }
    let mut late = mbr(false);
    late[446 + 16 + 12..446 + 16 + 16].copy_from_slice(&((SIZE / 512) as u32).to_le_bytes());
    place.file("late.raw", &late);
    let told = warnings("late.raw");
    assert!(told.contains("partition 2 ends at 20971520, beyond the disk's end at 16777216"), "{told}");
    place.file("fine.raw", &mbr(false));
    assert_eq!(warnings("fine.raw"), "[]");
}

/// A file system that is the whole disk is named, also where its absence of a table hinders.
#[test]
fn a_volume_without_a_table_is_named() {
    let place = Place::new();
    let mut ext = vec![0; 1 << 20];
    ext[1080..1082].copy_from_slice(&[0x53, 0xef]);
    place.file("ext.raw", &ext);
    // With boot code of its own before the superblock.
    ext[510..512].copy_from_slice(&[0x55, 0xaa]);
    place.file("boots.raw", &ext);
    for image in ["ext.raw", "boots.raw"] {
        assert_eq!(place.json(&["partitions", "--json", image])["file_system"], "ext");
        let shown = place.run(&["partitions", image], DONE).stdout;
        assert!(String::from_utf8_lossy(&shown).contains("a volume that holds ext"));
    }
    let told = error_text(&place.run(&["convert-to-gpt", "ext.raw", "out.vhd"], PRECONDITION));
    assert!(told.contains("no partition table") && told.contains("ext"), "{told}");
    place.file("mbr.raw", &mbr(false));
    assert!(place.json(&["partitions", "--json", "mbr.raw"])["file_system"].is_null());
}
