//! Block devices as outputs and as images, by Linux's loop devices, and folders that cannot be listed: what only root can bring
//! about.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Output;

use libtest_mimic::Trial;

use crate::common::tools::{Missing, Trouble, run, tool, trial};
use crate::place::{DONE, PRECONDITION, Place, REFUSED, USAGE, error_text, text};

pub fn trials() -> Vec<Trial> {
    vec![
        trial(
            "devices::a_block_device_takes_a_raw_disk_when_it_is_named".into(),
            a_block_device_takes_a_raw_disk_when_it_is_named,
        ),
        trial("devices::a_mounted_device_is_not_written_to".into(), a_mounted_device_is_not_written_to),
        trial("devices::a_folder_need_not_be_readable".into(), a_folder_need_not_be_readable),
    ]
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

/// A file system of a device, which is unmounted when this goes.
struct Mounted(PathBuf);

impl Mounted {
    fn new(device: &Loop, folder: PathBuf) -> Result<Self, Trouble> {
        run(tool("mkfs.ext4")?.args(["-q", &device.0]))?;
        fs::create_dir(&folder)?;
        tool("umount")?;
        run(tool("mount")?.arg(&device.0).arg(&folder))
            .map_err(|said| Missing(format!("mount is not allowed here: {said}")))?;
        Ok(Self(folder))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = tool("umount").map(|mut umount| umount.arg(&self.0).status());
    }
}

fn a_block_device_takes_a_raw_disk_when_it_is_named() -> Result<(), Trouble> {
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
        // A guest's signature in a device is not believed.
        place.run(&["create", "disk.vhdx", "--size", "4M", "--overwrite"], DONE);
        let image = fs::read(place.path("disk.vhdx")).expect("reads");
        fs::write(&device.0, &image[..image.len().min(len)]).expect("writes");
        assert!(error_text(&place.run(&["info", &device.0], REFUSED)).contains("raw, VHDX"));
    }
    Ok(())
}

/// What is mounted is in use; what the advice says helps.
fn a_mounted_device_is_not_written_to() -> Result<(), Trouble> {
    let place = Place::new();
    let disk = place.file("disk.img", &vec![0; 4 << 20]);
    let source = place.file("source.raw", &vec![7; 4 << 20]);
    let device = Loop::over(&place, "disk.img")?;
    let mounted = Mounted::new(&device, place.path("mounted"))?;
    let before = fs::read(&disk)?;
    let commands: [&[&str]; 4] = [
        &["write", "--format", "raw", &device.0, "--offset", "0"],
        &["resize", "--format", "raw", &device.0, "8M"],
        &["update", text(&source), &device.0, "--format", "raw"],
        &["convert", text(&source), &device.0, "--format", "raw", "--overwrite"],
    ];
    for command in commands {
        let said = error_text(&place.feed(command, &[7; 512], PRECONDITION));
        let words = [&device.0, "is mounted", "unmount"];
        assert!(words.iter().all(|words| said.contains(words)), "{command:?}: {said}");
    }
    assert!(fs::read(&disk)? == before, "nothing was written");
    drop(mounted);
    place.feed(commands[0], &[7; 512], DONE);
    Ok(())
}

/// A folder that one may pass through, and write to, but not list.
fn a_folder_need_not_be_readable() -> Result<(), Trouble> {
    // Where others may come.
    let place = Place(tempfile::tempdir()?);
    place.run(&["create", "split.vmdk", "--size", "1M", "--subformat", "monolithicFlat"], DONE);
    place.run(&["create", "base.vhdx", "--size", "4M"], DONE);
    place.run(&["create", "top.vhdx", "--parent", "base.vhdx"], DONE);
    for name in place.names() {
        fs::set_permissions(place.path(&name), Permissions::from_mode(0o666))?;
    }
    fs::copy(env!("CARGO_BIN_EXE_diskport"), place.path("diskport"))?;
    fs::set_permissions(place.0.path(), Permissions::from_mode(0o733))?;
    let as_nobody = |arguments: &[&str]| -> Result<Output, Trouble> {
        let mut setpriv = tool("setpriv")?;
        setpriv.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
        setpriv.arg(place.path("diskport")).args(arguments).current_dir(place.0.path());
        Ok(setpriv.output()?)
    };
    let runs = as_nobody(&["--version"])?;
    if !runs.status.success() {
        return Err(Missing(format!("nobody cannot run programs here: {}", error_text(&runs))).into());
    }
    for arguments in [
        &["hash", "split.vmdk"][..],
        &["hash", "top.vhdx"],
        &["convert", "split.vmdk", "out.vhd"],
        &["convert", "top.vhdx", "out.vmdk", "--subformat", "twoGbMaxExtentFlat"],
    ] {
        let output = as_nobody(arguments)?;
        assert!(output.status.success(), "{arguments:?}: {}", error_text(&output));
    }
    Ok(())
}
