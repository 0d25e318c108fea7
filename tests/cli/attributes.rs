//! What a replaced file had beside its content: its mode, its owner and group, its labels.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use rustix::fs::{XattrFlags, lgetxattr, lsetxattr};

use crate::place::{DONE, Place, shell};

const LABEL: &str = "user.diskport.test";
/// Version 2; owner rw, user 1234 r, group none, mask r, others none (Linux's `posix_acl_xattr.h`).
const LIST: [u8; 44] = [
    2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 4, 0, 210, 4, 0, 0, 4, 0, 0, 0, 255, 255, 255, 255, 16,
    0, 4, 0, 255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255, 255,
];

/// Mode, owner and group.
fn of(path: &Path) -> (u32, u32, u32) {
    let there = path.metadata().expect("is there");
    (there.mode() & 0o7777, there.uid(), there.gid())
}

fn label(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = [0; 256];
    lgetxattr(path, name, &mut value[..]).ok().map(|len| value[..len].to_vec())
}

/// Each command that makes an output, in each of its ways, over a private file of someone else.
#[test]
fn what_is_replaced_leaves_its_attributes_to_what_replaces_it() {
    let place = Place::new();
    place.raw("source.raw");
    place.run(&["create", "base.vhdx", "--size", "4M"], DONE);
    place.run(&["create", "top.vhdx", "--parent", "base.vhdx"], DONE);
    let plan = place.run(&["plan", "source.raw", "out.vhd"], DONE);
    place.file("plan.json", &plan.stdout);
    let commands: [&[&str]; 8] = [
        &["convert", "source.raw", "out.vhdx", "--overwrite"],
        &["convert", "source.raw", "out.vhd", "--overwrite", "--resume"],
        &["convert", "source.raw", "out.vhd", "--overwrite", "--plan", "plan.json", "--shard", "1/1"],
        &["convert", "source.raw", "out.vhd", "--overwrite", "--plan", "plan.json", "--finish"],
        &["create", "out.vhdx", "--size", "1M", "--overwrite"],
        &["create", "out.vhdx", "--parent", "base.vhdx", "--overwrite"],
        &["merge", "top.vhdx", "--output", "out.vhdx", "--overwrite"],
        &["convert", "source.raw", "out.vmdk", "--subformat", "twoGbMaxExtentFlat", "--overwrite"],
    ];
    for command in commands {
        let name = *command.iter().find(|word| word.starts_with("out.")).expect("names an output");
        let path = place.path(name);
        if !path.exists() {
            place.file(name, b"private");
            fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("is ours");
            // Only root gives files away.
            let _ = chown(&path, Some(1234), Some(1235));
            let _ = lsetxattr(&path, LABEL, b"kept", XattrFlags::empty());
            let _ = lsetxattr(&path, "system.posix_acl_access", &LIST, XattrFlags::empty());
        }
        let list = label(&path, "system.posix_acl_access");
        let before = (of(&path), label(&path, LABEL), list);
        place.run(command, DONE);
        let after = (of(&path), label(&path, LABEL), label(&path, "system.posix_acl_access"));
        assert_eq!(after, before, "{command:?}");
    }
    // What holds the bytes is as private as the descriptor was.
    assert_eq!(of(&place.path("out-f001.vmdk")), of(&place.path("out.vmdk")));
}

/// Until it has its name, what replaces a private file is private, too.
#[test]
fn what_will_replace_a_private_file_is_private_from_the_first() {
    let place = Place::new();
    place.raw("source.raw");
    place.file("out.vhd", b"private");
    fs::set_permissions(place.path("out.vhd"), Permissions::from_mode(0o600)).expect("is ours");
    let plan = place.run(&["plan", "source.raw", "out.vhd"], DONE);
    place.file("plan.json", &plan.stdout);
    place.run(
        &["convert", "source.raw", "out.vhd", "--overwrite", "--plan", "plan.json", "--shard", "1/1"],
        DONE,
    );
    let partial = place.names().into_iter().find(|name| name.ends_with("-partial")).expect("is kept");
    assert_eq!(of(&place.path(&partial)).0, 0o600);
}

#[test]
fn a_new_output_is_for_whom_the_umask_says() {
    let place = Place::new();
    place.raw("source.raw");
    for (umask, mode) in [("022", 0o644), ("077", 0o600), ("002", 0o664)] {
        for overwrite in ["", "--overwrite"] {
            let line = format!("umask {umask}; exec \"$0\" convert source.raw out.vhdx {overwrite}");
            assert_eq!(shell(&place, &line), Some(DONE));
            assert_eq!(of(&place.path("out.vhdx")).0, mode, "{umask}");
            fs::remove_file(place.path("out.vhdx")).expect("is there");
        }
    }
}

/// A descriptor that grows is replaced by a new file.
#[test]
fn a_descriptor_that_changes_keeps_its_attributes() {
    let place = Place::new();
    place.run(&["create", "disk.vmdk", "--size", "1M", "--subformat", "monolithicFlat"], DONE);
    let path = place.path("disk.vmdk");
    let text = fs::read_to_string(&path).expect("is text");
    // Its comments would make room.
    let is_kept = |(at, line): &(usize, &str)| *at == 0 || !(line.is_empty() || line.starts_with('#'));
    let lines: Vec<_> = text.lines().enumerate().filter(is_kept).map(|(_, line)| line).collect();
    fs::write(&path, lines.join("\n") + "\n").expect("is ours");
    fs::set_permissions(&path, Permissions::from_mode(0o640)).expect("is ours");
    let _ = chown(&path, Some(1234), Some(1235));
    let _ = lsetxattr(&path, LABEL, b"kept", XattrFlags::empty());
    let before = (of(&path), label(&path, LABEL), path.metadata().expect("is there").ino());
    place.run(&["resize", "disk.vmdk", "1G"], DONE);
    let after = (of(&path), label(&path, LABEL), path.metadata().expect("is there").ino());
    assert_eq!((after.0, &after.1), (before.0, &before.1));
    assert_ne!(after.2, before.2, "it is another file");
}
