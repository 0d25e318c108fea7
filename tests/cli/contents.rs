//! `check --contents`: what is wrong within the volumes of a disk.

use serde_json::{Value, json};

use crate::place::{DIFFER, DONE, Place, small, text};

const CLEAN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/ntfs-cast.vmdk");
/// ntfs-3g made a hole there that Windows does not make.
const ODD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/ntfs.vmdk");

fn check(place: &Place, image: &str, code: i32) -> Value {
    let output = place.run(&["check", "--contents", "--json", image], code);
    serde_json::from_slice(&output.stdout).expect("a JSON document")
}

#[test]
fn a_clean_volume_is_said_to_be_checked() {
    let report = check(&Place::new(), CLEAN, DONE);
    assert_eq!((&report["clean"], &report["findings"]), (&json!(true), &json!([])));
    let volume = json!({
        "volume": "disk", "start": 0, "size": 16 << 20, "file_system": "ntfs", "checked": true, "unlisted": 0
    });
    assert_eq!(report["volumes"], json!([volume]));
}

#[test]
fn a_finding_names_volume_record_and_attribute() {
    let place = Place::new();
    let report = check(&place, ODD, DIFFER);
    assert_eq!(report["clean"], false);
    let findings = report["findings"].as_array().expect("a list");
    let finding = findings.iter().find(|finding| finding["path"] == "\\sparse").expect("one about the file");
    for (key, expected) in [
        ("severity", json!("warning")),
        ("problem", json!("sparse-unit")),
        ("volume", json!("disk")),
        ("record", json!(130)),
        ("attribute", json!("$DATA")),
        ("structure", json!("FILE record")),
    ] {
        assert_eq!(finding[key], expected, "{finding}");
    }
    assert!(finding["offset"].as_u64().is_some_and(|offset| offset > 0), "{finding}");
    let shown = place.run(&["check", "--contents", ODD], DIFFER).stdout;
    let shown = String::from_utf8(shown).expect("text");
    assert!(shown.contains("disk: record 130 (\\sparse), $DATA: FILE record at offset"), "{shown}");
    // Without the option the image alone is looked at.
    place.run(&["check", ODD], DONE);
}

#[test]
fn what_is_not_looked_into_is_said() {
    let place = Place::new();
    let mut locked = vec![0; 1 << 20];
    locked[3..11].copy_from_slice(b"-FVE-FS-");
    place.file("locked.raw", &locked);
    let report = check(&place, "locked.raw", DONE);
    assert_eq!(report["volumes"][0]["file_system"], "bitlocker");
    assert_eq!(report["volumes"][0]["checked"], false);
    let report = check(&place, text(&small()), DONE);
    assert_eq!(report["volumes"][0]["volume"], "partition 1");
    assert_eq!(report["volumes"][0]["checked"], false);
}

#[test]
fn a_volume_that_cannot_be_opened_is_a_finding() {
    let place = Place::new();
    let mut torn = vec![0; 1 << 20];
    torn[3..11].copy_from_slice(b"NTFS    ");
    place.file("torn.raw", &torn);
    let report = check(&place, "torn.raw", DIFFER);
    assert_eq!(report["findings"][0]["problem"], "unreadable");
    assert_eq!(report["findings"][0]["structure"], "NTFS boot sector");
}
