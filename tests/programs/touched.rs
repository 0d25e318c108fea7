//! Nothing that an image names is touched but where the policy allows it: no file is opened there, nor is it looked whether there
//! is one.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use libtest_mimic::Trial;

use crate::common::tools::{Missing, Trouble, tool, trial};
use crate::place::{DONE, Place};

pub fn trials() -> Vec<Trial> {
    vec![trial("touched::nothing_outside_of_the_folder".into(), nothing_outside_of_the_folder)]
}

/// The calls with a file's name in them that a run makes, whatever comes of it.
fn calls(folder: &Path, arguments: &[&str]) -> Result<String, Trouble> {
    let log = folder.with_file_name("calls");
    let mut strace = tool("strace")?;
    strace.args(["-f", "-qq", "-s", "4096", "-e", "trace=%file", "-o"]).arg(&log);
    strace.arg(env!("CARGO_BIN_EXE_diskport")).args(arguments).current_dir(folder);
    let output = strace.stdin(Stdio::null()).output()?;
    let calls = fs::read_to_string(&log)?;
    if !calls.contains("execve") {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(Missing(format!("strace traces nothing here: {said}")).into());
    }
    Ok(calls)
}

fn nothing_outside_of_the_folder() -> Result<(), Trouble> {
    tool("strace")?;
    let place = Place::new();
    for folder in ["secret", "images"] {
        fs::create_dir(place.path(folder))?;
    }
    let kinds = ["vhd", "vhdx", "vmdk"];
    for kind in kinds {
        for folder in ["secret", "images"] {
            let base = format!("{folder}/base.{kind}");
            place.run(&["create", &base, "--size", "4M"], DONE);
            let child = format!("images/over-{folder}.{kind}");
            place.run(&["create", &child, "--parent", &base], DONE);
        }
    }
    place.raw("secret/disk.raw");
    place.run(&["create", "images/over-raw.vhd", "--parent", "secret/disk.raw"], DONE);
    let absolute = place.path("secret/disk.raw").display().to_string();
    for (name, extent) in [("extent", "../secret/disk.raw"), ("absolute-extent", &absolute)] {
        let text = format!(
            "# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\n\
             RW 2048 FLAT \"{extent}\" 0\nddb.adapterType = \"ide\"\n"
        );
        place.file(&format!("images/{name}.vmdk"), text.as_bytes());
    }
    let hostile = [
        "over-secret.vhd",
        "over-secret.vhdx",
        "over-secret.vmdk",
        "over-raw.vhd",
        "extent.vmdk",
        "absolute-extent.vmdk",
    ];
    let images = place.path("images");
    let untouched = |arguments: &[&str]| -> Result<(), Trouble> {
        for policy in [&[][..], &["--resolve", "none"]] {
            let calls = calls(&images, &[arguments, policy].concat())?;
            let touched = calls.lines().find(|call| call.contains("secret/"));
            assert!(touched.is_none(), "{arguments:?}: {}", touched.unwrap_or_default());
            assert!(calls.contains("images") || calls.contains(arguments[1]), "{arguments:?}: {calls}");
        }
        Ok(())
    };
    for image in hostile {
        for arguments in [
            &["info", image][..],
            &["map", image],
            &["hash", image],
            &["check", image],
            &["check", image, "--repair"],
            &["partitions", image],
            &["read", image, "--offset", "0", "--length", "512"],
            &["write", image, "--offset", "0", "--zeroes", "512"],
            &["resize", image, "8M"],
            &["compact", image],
            &["merge", image],
            &["merge", image, "--delete", "--ignore-children"],
            &["merge", image, "--output", "merged.vhdx"],
            &["compare", image, "base.vhdx"],
            &["convert", image, "out.raw"],
            &["create", "grandchild.vhd", "--parent", image],
            &["rebase", image, "--parent", "base.vhd"],
            &["rebase", image, "--find", "."],
        ] {
            untouched(arguments)?;
        }
    }
    // Beside images of that kind, one that is not is looked at for children, changed and merged.
    for kind in kinds {
        let (base, top) = (format!("base.{kind}"), format!("over-images.{kind}"));
        for arguments in [
            &["write", &base, "--offset", "0", "--zeroes", "512"][..],
            &["write", &base, "--offset", "0", "--zeroes", "512", "--check-children"],
            &["compact", &base],
            &["resize", &base, "4M", "--check-children"],
            &["rebase", &top, "--parent", &base],
            &["rebase", &top, "--find", "."],
            &["update", &base, &top],
            &["merge", &top],
            &["merge", &top, "--delete", "--ignore-children"],
        ] {
            untouched(arguments)?;
        }
    }
    Ok(())
}
