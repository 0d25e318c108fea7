//! Block devices as outputs and as images, by Linux's loop devices.

use std::fs;

use libtest_mimic::Trial;

use crate::common::tools::{Missing, Trouble, run, tool, trial};
use crate::place::{DONE, PRECONDITION, Place, REFUSED, USAGE, error_text};

pub fn trials() -> Vec<Trial> {
    vec![trial(
        "devices::a_block_device_takes_a_raw_disk_when_it_is_named".into(),
        a_block_device_takes_a_raw_disk_when_it_is_named,
    )]
}

/// A block device that is detached when this goes.
struct Loop(String);

impl Loop {
    /// Over the file, where the system lets us.
    fn over(place: &Place, name: &str) -> Result<Self, Trouble> {
        let made = tool("losetup")?.args(["--find", "--show"]).arg(place.path(name)).output()?;
        if !made.status.success() {
            return Err(Missing(format!("losetup is not allowed here: {}", error_text(&made))).into());
        }
        Ok(Self(String::from_utf8_lossy(&made.stdout).trim().to_owned()))
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = tool("losetup").map(|mut losetup| losetup.args(["--detach", &self.0]).status());
    }
}

fn a_block_device_takes_a_raw_disk_when_it_is_named() -> Result<(), Trouble> {
    tool("losetup")?;
    let place = Place::new();
    let content = fs::read(place.raw("source.raw")).expect("reads");
    place.run(&["convert", "source.raw", "source.vhdx"], DONE);
    let sparse = [&vec![0; content.len() / 2][..], &content[content.len() / 2..]].concat();
    place.file("sparse.raw", &sparse);
    for (len, fits) in
        [(content.len(), true), (content.len() + (1 << 20), true), (content.len() - 4096, false)]
    {
        place.file("backing", &vec![0xaa; len]);
        let device = Loop::over(&place, "backing")?;
        let onto = |source: &str, options: &[&str], code| {
            let arguments = [&["convert", source, &device.0, "--format", "raw"], options].concat();
            error_text(&place.run(&arguments, code))
        };
        let untouched = || fs::read(place.path("backing")).expect("reads") == vec![0xaa; len];
        let said = onto("source.vhdx", &[], PRECONDITION);
        assert!(said.contains("--overwrite") && untouched(), "{said}");
        let vhd = ["convert", "source.vhdx", &device.0, "--format", "vhd", "--overwrite"];
        place.run(&vhd, USAGE);
        assert!(untouched());
        if !fits {
            onto("source.vhdx", &["--overwrite"], PRECONDITION);
            assert!(untouched());
            continue;
        }
        // What was there does not show through where the source is zeros.
        for (source, expected) in [("source.vhdx", &content), ("sparse.raw", &sparse)] {
            onto(source, &["--overwrite", "--verify"], DONE);
            let found = fs::read(place.path("backing")).expect("reads");
            assert!(found[..content.len()] == expected[..], "{source}");
            assert!(found[content.len()..].iter().all(|byte| *byte == 0xaa), "{source}");
        }
        if len == content.len() {
            place.run(&["update", "source.raw", &device.0, "--format", "raw"], DONE);
            place.run(&["compare", "source.raw", &device.0, "--format-b", "raw"], DONE);
        }
        // What is mounted is in use.
        if len == content.len() {
            run(tool("mkfs.ext4")?.args(["-q", &device.0]))?;
            fs::create_dir(place.path("mounted"))?;
            let mounted = run(tool("mount")?.arg(&device.0).arg(place.path("mounted")));
            if mounted.is_ok() {
                let refused = ["convert", "source.vhdx", &device.0, "--format", "raw", "--overwrite"];
                let said = error_text(&place.run(&refused, PRECONDITION));
                run(tool("umount")?.arg(place.path("mounted")))?;
                assert!(said.contains("is mounted"), "{said}");
            }
        }
        // A guest's signature in a device is not believed.
        place.run(&["create", "disk.vhdx", "--size", "4M", "--overwrite"], DONE);
        let image = fs::read(place.path("disk.vhdx")).expect("reads");
        fs::write(&device.0, &image[..image.len().min(len)]).expect("writes");
        assert!(error_text(&place.run(&["info", &device.0], REFUSED)).contains("raw, VHDX"));
    }
    Ok(())
}
