//! No path outside the caller's policy is ever opened, whatever an image names.
#![cfg(unix)]

#[path = "common/fifo.rs"]
mod fifo;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use diskport::storage::{AnyPath, NoExternal, Resolver};
use diskport::{Error, ErrorClass, Open};
use fifo::fifo;

const SIZE: usize = 1 << 20;

/// A folder with an image's folder in it, and beside that what an image must not reach.
fn world() -> tempfile::TempDir {
    let world = tempfile::tempdir().expect("a folder");
    let root = world.path();
    fs::create_dir_all(root.join("images/sub")).expect("a folder");
    fs::write(root.join("secret"), vec![b's'; SIZE]).expect("writes");
    fs::write(root.join("images/plain"), vec![b'p'; SIZE]).expect("writes");
    fs::write(root.join("images/sub/plain"), vec![b'q'; SIZE]).expect("writes");
    symlink("../secret", root.join("images/link")).expect("a link");
    symlink("plain", root.join("images/inner-link")).expect("a link");
    symlink("..", root.join("images/folder-link")).expect("a link");
    symlink("/dev/zero", root.join("images/device-link")).expect("a link");
    fs::create_dir(root.join("images/folder")).expect("a folder");
    fifo(&root.join("images/fifo"));
    world
}

/// A VMDK whose only extent is `name`.
fn descriptor(folder: &Path, name: &str) -> std::path::PathBuf {
    let path = folder.join("disk.vmdk");
    let text = format!(
        "# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\n\
         RW {} FLAT \"{name}\" 0\nddb.adapterType = \"ide\"\n",
        SIZE / 512
    );
    fs::write(&path, text).expect("writes");
    path
}

/// A VMDK whose parent is `name`.
fn child(folder: &Path, name: &str) -> std::path::PathBuf {
    let path = folder.join("child.vmdk");
    let text = format!(
        "# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=87654321\ncreateType=\"monolithicFlat\"\n\
         parentFileNameHint=\"{name}\"\nRW {} FLAT \"plain\" 0\nddb.adapterType = \"ide\"\n",
        SIZE / 512
    );
    fs::write(&path, text).expect("writes");
    path
}

fn first_byte(open: &Open, path: &Path) -> Result<u8, Error> {
    let disk = open.open(path)?;
    let mut byte = [0];
    disk.read_at(&mut byte, 0)?;
    Ok(byte[0])
}

/// Names that lead out of the folder, or to what is no plain file.
fn evil(root: &Path) -> Vec<String> {
    let absolute = root.join("secret").display().to_string();
    let mut names: Vec<String> = [
        "/etc/passwd",
        "../secret",
        "..\\\\secret",
        "sub/../../secret",
        "./../secret",
        "link",
        "inner-link",
        "folder-link/secret",
        "device-link",
        "folder",
        "fifo",
        "/dev/zero",
        "/proc/self/exe",
        "C:\\\\Windows\\\\win.ini",
        "\\\\\\\\server\\\\share\\\\secret",
        "\\\\\\\\?\\\\C:\\\\secret",
        "file:///etc/passwd",
        "nbd://localhost/disk",
        "json:{}",
        "plain:stream",
        "plain/",
        "CON",
        "disk.vmdk",
        "",
    ]
    .map(str::to_owned)
    .into();
    names.push(absolute);
    names
}

#[test]
fn the_folder_itself_is_open() {
    let world = world();
    let folder = world.path().join("images");
    for (name, byte) in [("plain", b'p'), (".\\plain", b'p'), ("sub/plain", b'q'), ("sub\\plain", b'q')] {
        let image = descriptor(&folder, name);
        assert_eq!(first_byte(&Open::new(), &image).unwrap_or_else(|e| panic!("{name}: {e}")), byte);
    }
}

#[test]
fn no_extent_leads_out_of_the_folder() {
    let world = world();
    let folder = world.path().join("images");
    for name in evil(world.path()) {
        let image = descriptor(&folder, &name);
        match first_byte(&Open::new(), &image) {
            Err(Error::NotAllowed { .. } | Error::Defect(_)) => {}
            other => panic!("{name:?}: {other:?}"),
        }
    }
    // A name that is merely not there is not a matter of policy.
    let image = descriptor(&folder, "nothing");
    assert!(matches!(first_byte(&Open::new(), &image), Err(Error::ExtentMissing { .. })));
}

#[test]
fn no_parent_leads_out_of_the_folder() {
    let world = world();
    let folder = world.path().join("images");
    for name in evil(world.path()) {
        if name == "disk.vmdk" {
            continue; // may be named, and is not there
        }
        let image = child(&folder, &name);
        let error = first_byte(&Open::new(), &image).expect_err(&name);
        assert_eq!(error.class(), ErrorClass::Precondition, "{name:?}: {error}");
        // What it says of itself can still be looked at.
        let disk = Open::new().allow_missing_parent(true).open(&image).expect("opens without its parent");
        assert!(disk.incomplete().is_some());
        assert!(matches!(disk.read_at(&mut [0], 0), Err(Error::Incomplete(_))), "{name:?}");
    }
}

#[test]
fn a_chain_that_comes_back_is_a_cycle() {
    let world = world();
    let image = child(&world.path().join("images"), "child.vmdk");
    assert!(matches!(first_byte(&Open::new(), &image), Err(Error::Cycle { .. })));
}

#[test]
fn nothing_is_opened_where_nothing_may_be() {
    let world = world();
    let folder = world.path().join("images");
    for name in ["plain", "../secret"] {
        let image = descriptor(&folder, name);
        let refused = first_byte(&Open::new().resolver(NoExternal), &image);
        assert!(matches!(refused, Err(Error::NotAllowed { .. })), "{name}");
    }
}

#[test]
fn anywhere_means_plain_files_anywhere() {
    let world = world();
    let folder = world.path().join("images");
    let absolute = world.path().join("secret").display().to_string();
    for name in ["../secret", "link", &absolute] {
        let image = descriptor(&folder, name);
        assert_eq!(first_byte(&Open::new().resolver(AnyPath), &image).expect("is allowed"), b's', "{name}");
    }
    for name in ["fifo", "/dev/zero", "device-link", "folder"] {
        let image = descriptor(&folder, name);
        let refused = first_byte(&Open::new().resolver(AnyPath), &image);
        assert!(matches!(refused, Err(Error::NotAllowed { .. } | Error::Io { .. })), "{name}: {refused:?}");
    }
}

/// A resolver that notes whether it was asked.
struct Noting(std::sync::Arc<std::sync::atomic::AtomicBool>);

impl Resolver for Noting {
    fn open(
        &self,
        _: &diskport::storage::Reference<'_>,
    ) -> Result<Option<diskport::storage::ImageFile>, Error> {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
        Ok(None)
    }
}

#[test]
fn every_name_goes_through_the_resolver() {
    let world = world();
    let folder = world.path().join("images");
    for image in [descriptor(&folder, "plain"), child(&folder, "plain")] {
        let asked = std::sync::Arc::default();
        assert!(first_byte(&Open::new().resolver(Noting(std::sync::Arc::clone(&asked))), &image).is_err());
        assert!(asked.load(std::sync::atomic::Ordering::Relaxed));
    }
}

/// An extent that the caller places is opened whatever the policy; nothing else is.
#[test]
fn an_extent_that_the_caller_places_is_opened_there_alone() {
    let world = world();
    let folder = world.path().join("images");
    let secret = world.path().join("secret");
    for name in ["nothing", "../nothing", "/vmfs/volumes/x/nothing", "C:\\x\\nothing"] {
        let image = descriptor(&folder, name);
        for open in [Open::new(), Open::new().resolver(NoExternal), Open::new().resolver(AnyPath)] {
            assert!(first_byte(&open, &image).is_err(), "{name}");
            for placed in [name, "nothing"] {
                let open = open.clone().extent(placed, &secret);
                assert_eq!(first_byte(&open, &image).unwrap_or_else(|e| panic!("{name}: {e}")), b's');
            }
            let parent = child(&folder, name);
            assert!(first_byte(&open.clone().extent("nothing", &secret), &parent).is_err(), "{name}");
        }
    }
}
