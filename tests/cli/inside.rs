//! `inspect`, and what is not copied because it is free.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;

use serde_json::{Value, json};

use crate::place::{DIFFER, DONE, Place, USAGE, error_text, small, text};

const WINDOWS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/windows-bios.vmdk");

#[test]
fn inspection_gives_every_key_as_json() {
    let found = Place::new().json(&["inspect", "--json", WINDOWS]);
    assert_eq!((&found["firmware"], &found["scheme"]), (&json!("bios"), &json!("mbr")));
    let windows = found["windows"].as_array().expect("a list");
    assert_eq!(windows.len(), 1, "{found}");
    let expected = json!({
        "partition": 2, "root": "\\Windows", "product": "Windows 10 Enterprise", "edition": "Enterprise",
        "version": "10.0.19045", "display_version": "22H2", "build": 19045, "revision": 4046, "architecture": "AMD64",
        "install_type": "Client", "state": "clean", "boot_authority": null, "page_files": [],
    });
    assert_eq!(windows[0], expected);
    assert_eq!(found["encrypted"], json!([]));
    let publisher = "Citrix Systems, Inc.";
    assert_eq!(
        found["software"],
        json!([
            { "name": "Citrix Provisioning Target Device x64 7.33.3000.1", "version": "7.33.3000.1", "publisher": publisher },
            { "name": "Citrix Virtual Apps and Desktops 7 2203 LTSR CU3 - Virtual Delivery Agent",
              "version": "2203.0.3000.1", "publisher": publisher },
        ])
    );
    assert_eq!(found["vda"]["version"], "2203.0.3000.1");
    assert_eq!(found["pvs_target"]["version"], "7.33.3000.1");
    let kinds = |component: &Value| -> Vec<String> {
        let sources = component["sources"].as_array().expect("a list").iter();
        sources.map(|source| source["kind"].as_str().expect("a kind").to_owned()).collect()
    };
    assert_eq!(kinds(&found["vda"]), ["uninstall"]);
    assert!(kinds(&found["pvs_target"]).contains(&"service".to_owned()));
    let storahci = json!({
        "name": "storahci", "start": "boot", "present": false,
        "hindrance": "its file is missing: \\Windows\\System32\\drivers\\storahci.sys",
    });
    assert!(found["storage_drivers"].as_array().expect("a list").contains(&storahci), "{found}");
    assert!(found["free_bytes"].as_u64() > Some(500 << 20), "{found}");
    assert!(found["warnings"].to_string().contains("fixture.vhdx"), "{found}");
    let shown = Place::new().run(&["inspect", WINDOWS], DONE).stdout;
    let shown = String::from_utf8(shown).expect("text");
    assert!(shown.contains("Windows 10 Enterprise 22H2") && shown.contains("VDA: 2203.0.3000.1"), "{shown}");
}

#[test]
fn inspection_of_a_disk_without_windows() {
    let place = Place::new();
    let found = place.json(&["inspect", "--json", text(&small())]);
    assert_eq!(
        (&found["windows"], &found["vda"], &found["firmware"]),
        (&json!([]), &Value::Null, &Value::Null)
    );
    place.file("blank.raw", &[0; 65536]);
    let found = place.json(&["inspect", "--json", "blank.raw"]);
    assert_eq!((&found["scheme"], &found["free_bytes"]), (&json!("none"), &json!(0)));
}

/// A rule that is not met ends with 1, after all was said; one that is none with 2.
#[test]
fn rules() {
    let place = Place::new();
    let met = [
        "inspect",
        WINDOWS,
        "--require",
        "windows>=10.0.17763",
        "--require",
        "state=clean",
        "--require",
        "pvs=2203",
    ];
    assert_eq!(error_text(&place.run(&met, DONE)), "");
    let rules = ["--require", "vda>=2311", "--require", "state=clean", "--require", "firmware=uefi"];
    let unmet = place.run(&[&["inspect", WINDOWS, "--json"], &rules[..]].concat(), DIFFER);
    assert!(serde_json::from_slice::<Value>(&unmet.stdout).is_ok_and(|found| found["firmware"] == "bios"));
    let told = error_text(&unmet);
    assert!(told.contains("vda>=2311 is not met") && told.contains("2203.0.3000.1"), "{told}");
    assert!(told.contains("firmware=uefi is not met: firmware is bios") && !told.contains("state"), "{told}");
    for wrong in ["vda", "vda>=new", "speed>=3", "state=tidy"] {
        place.run(&["inspect", WINDOWS, "--require", wrong], USAGE);
    }
}

const SIZE: u64 = 20 << 20;

/// A volume in which most files were removed, and what the others hold.
fn volume(path: &Path) -> Vec<(String, Vec<u8>)> {
    let file = File::options().create(true).truncate(true).read(true).write(true).open(path).expect("a file");
    file.set_len(SIZE).expect("room");
    fatfs::format_volume(&file, fatfs::FormatVolumeOptions::new().bytes_per_cluster(4096)).expect("formats");
    let volume = fatfs::FileSystem::new(&file, fatfs::FsOptions::new()).expect("a volume");
    let content = |number: u32| {
        (0..250_000)
            .map(|at| (number * 7001 + at).wrapping_mul(0x9e37_79b9))
            .flat_map(u32::to_le_bytes)
            .collect()
    };
    let files: Vec<(String, Vec<u8>)> =
        (0..16).map(|number| (format!("file {number}"), content(number))).collect();
    for (name, bytes) in &files {
        volume.root_dir().create_file(name).expect("a file").write_all(bytes).expect("room");
    }
    let mut kept = Vec::new();
    for (number, (name, bytes)) in files.into_iter().enumerate() {
        match number % 4 {
            0 => kept.push((name, bytes)),
            _ => volume.root_dir().remove(&name).expect("removes"),
        }
    }
    volume.unmount().expect("unmounts");
    kept
}

#[track_caller]
fn holds(path: &Path, files: &[(String, Vec<u8>)]) {
    let file = File::open(path).expect("a file");
    let volume = fatfs::FileSystem::new(file, fatfs::FsOptions::new()).expect("a volume");
    for (name, expected) in files {
        let mut bytes = Vec::new();
        volume.root_dir().open_file(name).expect("is there").read_to_end(&mut bytes).expect("reads");
        assert!(bytes == *expected, "{name} differs");
    }
}

/// Bytes that are not zero.
fn data(path: &Path) -> usize {
    let bytes = fs::read(path).expect("reads");
    bytes.chunks(4096).filter(|chunk| chunk.iter().any(|&byte| byte != 0)).count() * 4096
}

#[test]
fn what_is_free_is_not_copied() {
    let place = Place::new();
    let files = volume(&place.path("disk.raw"));
    let all = data(&place.path("disk.raw"));
    let kept: usize = files.iter().map(|(_, bytes)| bytes.len().next_multiple_of(4096)).sum();
    assert!(all > 15 << 20 && kept < 5 << 20);
    let most = kept + (100 << 10);

    let free = place.json(&["map", "--free", "--json", "disk.raw"]);
    let free = free.as_array().expect("a list").iter();
    let free: u64 =
        free.map(|row| if row["kind"] == "free" { row["length"].as_u64().expect("bytes") } else { 0 }).sum();
    assert_eq!(place.json(&["inspect", "--json", "disk.raw"])["free_bytes"], free);
    assert!(free > SIZE - most as u64 - (200 << 10) && free < SIZE - kept as u64, "{free}");

    place.run(&["convert", "disk.raw", "out.vhdx", "--skip-free"], DONE);
    place.run(
        &["reverse-image", "disk.raw", "out.vmdk", "--target", "workstation", "--skip-free", "--skip-paging"],
        DONE,
    );
    let plan = place.run(&["plan", "disk.raw", "shards.vhd", "--subformat", "fixed", "--skip-free"], DONE);
    place.file("plan.json", &plan.stdout);
    place.run(&["convert", "--plan", "plan.json", "--shard", "1/2"], DONE);
    place.run(&["convert", "--plan", "plan.json", "--shard", "2/2"], DONE);
    place.run(&["convert", "--plan", "plan.json", "--finish"], DONE);
    for image in ["out.vhdx", "out.vmdk", "shards.vhd"] {
        place.run(&["convert", image, "back.raw", "--overwrite"], DONE);
        holds(&place.path("back.raw"), &files);
        let data = data(&place.path("back.raw"));
        assert!((kept..most).contains(&data), "{image}: {data} bytes, {kept} are kept");
    }

    // A whole copy is brought up to date, and gives back what is free.
    place.run(&["convert", "disk.raw", "whole.vhdx", "--block-size", "1M"], DONE);
    let before = fs::metadata(place.path("whole.vhdx")).expect("is there").len();
    place.run(&["compact", "whole.vhdx", "--skip-free"], DONE);
    let after = fs::metadata(place.path("whole.vhdx")).expect("is there").len();
    assert!(after + (8 << 20) < before, "{before} before, {after} after");
    place.run(&["convert", "whole.vhdx", "back.raw", "--overwrite"], DONE);
    holds(&place.path("back.raw"), &files);
    place.run(&["convert", "disk.raw", "old.raw"], DONE);
    place.run(&["update", "disk.raw", "old.raw", "--skip-free"], DONE);
    holds(&place.path("old.raw"), &files);
    assert!((kept..most).contains(&data(&place.path("old.raw"))));

    // What comes out of a pipe is not known to its end.
    place.feed(
        &["convert", "-", "out.raw", "--source-format", "raw", "--size", "1M", "--skip-free"],
        &[0; 1 << 20],
        USAGE,
    );
}

#[test]
fn a_volume_that_was_not_unmounted_is_copied_whole() {
    let place = Place::new();
    let files = volume(&place.path("disk.raw"));
    let mut bytes = fs::read(place.path("disk.raw")).expect("reads");
    // The mark of Windows in a FAT16.
    bytes[0x25] |= 1;
    place.file("disk.raw", &bytes);
    let told = error_text(&place.run(&["convert", "disk.raw", "out.raw", "--skip-free"], DONE));
    assert!(told.contains("not unmounted cleanly") && told.contains("taken whole"), "{told}");
    assert!(fs::read(place.path("out.raw")).expect("reads") == bytes);
    holds(&place.path("out.raw"), &files);
}
