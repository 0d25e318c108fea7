//! Block devices, and folders that cannot be listed. Loop devices and other users are root's to have.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use crate::place::{DONE, PRECONDITION, Place, error_text, text};

/// A loop device over a file of the place; with this it goes away, and is unmounted.
struct Loop(String);

impl Loop {
    /// `None` where there are none to be had.
    fn over(file: &Path) -> Option<Self> {
        let output = Command::new("losetup").args(["--find", "--show", text(file)]).output().ok()?;
        let name = String::from_utf8(output.stdout).ok()?.trim().to_owned();
        (output.status.success() && !name.is_empty()).then_some(Self(name))
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["--quiet", &self.0]).status();
        let _ = Command::new("losetup").args(["--detach", &self.0]).status();
    }
}

fn does(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
}

/// What is mounted is not written to; what the advice says helps.
#[test]
fn a_mounted_device_is_not_written_to() {
    let place = Place::new();
    let disk = place.file("disk.img", &vec![0; 4 << 20]);
    let mount = place.path("mount");
    fs::create_dir(&mount).expect("a folder");
    let Some(device) = Loop::over(&disk) else { return };
    let mounted = does("mkfs.ext4", &["-q", &device.0]) && does("mount", &[&device.0, text(&mount)]);
    if !mounted {
        return;
    }
    let before = fs::read(&disk).expect("reads");
    let source = place.file("source.raw", &vec![7; 4 << 20]);
    let commands: [&[&str]; 3] = [
        &["write", "--format", "raw", &device.0, "--offset", "0"],
        &["resize", "--format", "raw", &device.0, "8M"],
        &["update", text(&source), &device.0, "--format", "raw"],
    ];
    for command in commands {
        let output = place.feed(command, &[7; 512], PRECONDITION);
        let text = error_text(&output);
        assert!(text.contains(&device.0) && text.contains("mounted") && text.contains("unmount"), "{text}");
    }
    assert!(fs::read(&disk).expect("reads") == before, "nothing was written");
    assert!(does("umount", &[text(&mount)]));
    place.feed(&["write", "--format", "raw", &device.0, "--offset", "0"], &[7; 512], DONE);
}

/// Runs `diskport` as nobody; `None` where that cannot be done.
fn as_nobody(place: &Place, arguments: &[&str]) -> Option<Output> {
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
    // Where others may not come, the program is not found.
    let program = std::env::temp_dir().join(format!("diskport-{}-nobody", std::process::id()));
    fs::copy(env!("CARGO_BIN_EXE_diskport"), &program).expect("copies");
    let output = command.arg(&program).args(arguments).current_dir(place.0.path()).output();
    fs::remove_file(&program).expect("is ours");
    output.ok().filter(|output| output.status.code() != Some(127) && !error_text(output).contains("setpriv:"))
}

/// A folder that one may pass through, and write to, but not list.
#[test]
fn a_folder_need_not_be_readable() {
    let place = Place(tempfile::tempdir().expect("a folder"));
    place.run(&["create", "split.vmdk", "--size", "1M", "--subformat", "monolithicFlat"], DONE);
    place.run(&["create", "base.vhdx", "--size", "4M"], DONE);
    place.run(&["create", "top.vhdx", "--parent", "base.vhdx"], DONE);
    for name in place.names() {
        fs::set_permissions(place.path(&name), Permissions::from_mode(0o666)).expect("is ours");
    }
    fs::set_permissions(place.0.path(), Permissions::from_mode(0o733)).expect("is ours");
    for arguments in [
        &["hash", "split.vmdk"][..],
        &["hash", "top.vhdx"],
        &["convert", "split.vmdk", "out.vhd"],
        &["convert", "top.vhdx", "out.vmdk", "--subformat", "twoGbMaxExtentFlat"],
    ] {
        let Some(output) = as_nobody(&place, arguments) else { return };
        assert!(output.status.success(), "{arguments:?}: {}", error_text(&output));
    }
}
