//! Warnings: each names the file that it is about, and has a kind.

use std::fs;

use crate::place::{DONE, Place, error_text};

/// Marks the VHD as that of a suspended virtual machine, in both copies of its footer.
fn suspend(place: &Place, image: &str) {
    let path = place.path(image);
    let mut bytes = fs::read(&path).expect("the image");
    for at in [0, bytes.len() - 512] {
        let footer = &mut bytes[at..at + 512];
        footer[84] = 1;
        footer[64..68].fill(0);
        let sum = !footer.iter().map(|&byte| u32::from(byte)).sum::<u32>();
        footer[64..68].copy_from_slice(&sum.to_be_bytes());
    }
    fs::write(&path, bytes).expect("the image");
}

#[test]
fn a_parents_warning_is_told_under_its_own_name() {
    let place = Place::new();
    place.run(&["create", "base.vhd", "--size", "8M"], DONE);
    place.run(&["create", "middle.vhd", "--parent", "base.vhd"], DONE);
    suspend(&place, "base.vhd");
    place.run(&["create", "child.vhd", "--parent", "middle.vhd"], DONE);
    for image in ["base.vhd", "middle.vhd", "child.vhd"] {
        let output = place.run(&["hash", image], DONE);
        let said = error_text(&output);
        let about: Vec<_> = said.lines().filter(|line| line.contains("suspended")).collect();
        assert_eq!(about.len(), 1, "{said}");
        assert!(about[0].contains("base.vhd: "), "{said}");
        assert!(!about[0].contains("child.vhd") && !about[0].contains("middle.vhd"), "{said}");
        let info = place.json(&["info", "--json", image]);
        let warnings = info["warnings"].as_array().expect("a list");
        assert!(
            warnings.iter().any(|warning| warning.as_str().is_some_and(|text| text.contains("base.vhd: ")))
        );
        let oddities = info["oddities"].as_array().expect("a list");
        assert_eq!(oddities.len(), warnings.len());
        let found = oddities.iter().find(|warning| warning["kind"] == "suspended").expect("the warning");
        assert_eq!(found["file"], "base.vhd");
        assert!(found["message"].as_str().is_some_and(|message| message.contains("power cut")));
    }
}

#[test]
fn what_we_make_gives_no_warning() {
    let place = Place::new();
    for image in ["new.vhd", "new.vhdx", "new.vmdk"] {
        place.run(&["create", image, "--size", "9M"], DONE);
        let output = place.run(&["hash", image], DONE);
        assert_eq!(error_text(&output), "", "{image}");
        assert_eq!(place.json(&["info", "--json", image])["warnings"], serde_json::json!([]), "{image}");
    }
}
