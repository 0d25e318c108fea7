//! Images that somebody else uses are not written to, and reading them warns.

use std::fs::{self, File};
use std::path::Path;

use diskport::storage::LockHolder;
use diskport::{Child, Error, Open};

use crate::place::{DONE, PRECONDITION, Place, error_text, text};

/// A folder with a chain in `format`, `top` over `base`, and a raw disk of the same size.
fn chain(format: &str) -> (Place, String, String) {
    let place = Place::new();
    place.raw("source.raw");
    let (base, top) = (format!("base.{format}"), format!("top.{format}"));
    place.run(&["convert", "source.raw", &base], DONE);
    place.run(&["create", &top, "--parent", &base], DONE);
    (place, base, top)
}

/// Every command that changes `image`, the child of `base`, in place.
fn changes<'a>(image: &'a str, base: &'a str) -> Vec<Vec<&'a str>> {
    let mut changes = vec![
        vec!["write", image, "--offset", "0", "--zeroes", "512"],
        vec!["compact", image],
        vec!["update", "source.raw", image],
        vec!["merge", image],
        vec!["rebase", image, "--parent", base],
        vec!["rebase", image, "--parent", base, "--unsafe"],
    ];
    if image.ends_with("vhdx") {
        changes.push(vec!["resize", image, "2M"]);
    }
    changes
}

fn contents(place: &Place) -> Vec<Vec<u8>> {
    let names = place.names().into_iter().filter(|name| place.path(name).is_file());
    names.map(|name| fs::read(place.path(&name)).expect("reads")).collect()
}

#[test]
fn locks_beside_an_image_are_heeded() {
    let cases = [
        ("vmdk", "top.vmdk.lck", true),
        ("vmdk", "top.vmdk.lck", false),
        ("vhdx", "top.vhdx.lck", true),
        ("vhdx", "top.lok", false),
        ("vhd", "top.lok", false),
    ];
    for (format, lock, is_folder) in cases {
        let (place, base, top) = chain(format);
        let path = place.path(lock);
        if is_folder { fs::create_dir(&path) } else { fs::write(&path, "") }.expect("makes the lock");
        let before = contents(&place);
        for change in changes(&top, &base) {
            let said = error_text(&place.run(&change, PRECONDITION));
            assert!(said.contains(&top) && said.contains(lock), "{change:?}: {said}");
            assert!(said.contains("--ignore-locks"), "{change:?}: {said}");
            assert!(contents(&place) == before, "{change:?}: nothing is changed");
        }
        let said = error_text(&place.run(&["hash", &top], DONE));
        assert!(said.contains("warning") && said.contains(lock), "{said}");
        let info = place.json(&["info", &top, "--json"]);
        assert_eq!(info["oddities"][0]["kind"], "in-use", "{info}");
        for mut change in changes(&top, &base) {
            change.push("--ignore-locks");
            place.run(&change, DONE);
        }
        assert!(path.exists(), "it is another's");
    }
}

#[test]
fn a_repair_heeds_locks() {
    let place = Place::new();
    place.raw("source.raw");
    place.run(&["convert", "source.raw", "disk.vhd"], DONE);
    let mut image = fs::read(place.path("disk.vhd")).expect("reads");
    image[100] ^= 1;
    place.file("disk.vhd", &image);
    place.file("disk.lok", b"");
    let repair = ["check", "disk.vhd", "--repair"];
    let said = error_text(&place.run(&repair, PRECONDITION));
    assert!(said.contains("disk.lok") && said.contains("--ignore-locks"), "{said}");
    assert!(fs::read(place.path("disk.vhd")).expect("reads") == image);
    place.run(&[&repair[..], &["--ignore-locks"]].concat(), DONE);
    place.run(&["check", "disk.vhd"], DONE);
}

#[test]
fn an_extents_lock_is_its_disks() {
    let place = Place::new();
    place.raw("source.raw");
    place.run(&["convert", "source.raw", "disk.vmdk", "--subformat", "monolithicFlat"], DONE);
    fs::create_dir(place.path("disk-flat.vmdk.lck")).expect("a folder");
    let write = ["write", "disk.vmdk", "--offset", "0", "--zeroes", "512"];
    assert!(error_text(&place.run(&write, PRECONDITION)).contains("disk-flat.vmdk.lck"));
    assert!(error_text(&place.run(&["hash", "disk.vmdk"], DONE)).contains("disk-flat.vmdk.lck"));
    place.run(&[&write[..], &["--ignore-locks"]].concat(), DONE);
    // Another name's lock is none of this one.
    fs::remove_dir(place.path("disk-flat.vmdk.lck")).expect("goes away");
    fs::create_dir(place.path("other.vmdk.lck")).expect("a folder");
    place.file("disk.lok", b"");
    assert!(!error_text(&place.run(&write, DONE)).contains("warning"), "VMDKs have no .lok");
}

#[test]
fn what_is_in_use_is_not_replaced() {
    let place = Place::new();
    place.raw("source.raw");
    place.run(&["convert", "source.raw", "disk.vhdx"], DONE);
    let before = fs::read(place.path("disk.vhdx")).expect("reads");
    let replace = ["convert", "source.raw", "disk.vhdx", "--overwrite"];
    let held = Open::new().open_writable(place.path("disk.vhdx")).expect("opens");
    assert!(error_text(&place.run(&replace, PRECONDITION)).contains("disk.vhdx"));
    held.close().expect("closes");
    place.file("disk.lok", b"");
    assert!(error_text(&place.run(&replace, PRECONDITION)).contains("disk.lok"));
    assert!(fs::read(place.path("disk.vhdx")).expect("reads") == before);
    fs::remove_file(place.path("disk.lok")).expect("goes away");
    place.run(&replace, DONE);
}

/// A program that locks files by itself.
#[cfg(unix)]
#[test]
fn a_file_that_another_program_locked_is_not_written_to() {
    let (place, base, top) = chain("vhdx");
    let before = contents(&place);
    let held = File::open(place.path(&top)).expect("opens");
    held.lock().expect("locks");
    for change in changes(&top, &base) {
        let said = error_text(&place.run(&change, PRECONDITION));
        assert!(said.contains(&format!("{top}: is locked by another program")), "{change:?}: {said}");
    }
    assert!(contents(&place) == before);
    let said = error_text(&place.run(&["hash", &top], DONE));
    assert!(said.contains("warning") && said.contains("is locked by another program"), "{said}");
    // Somebody who keeps writers out does not disturb readers.
    held.unlock().expect("unlocks");
    held.lock_shared().expect("locks");
    place.run(&["write", &top, "--offset", "0", "--zeroes", "512"], PRECONDITION);
    assert_eq!(error_text(&place.run(&["hash", &top], DONE)), "");
}

/// Readers take no lock that a writer would meet.
#[test]
fn a_disk_that_is_read_can_be_written_to() {
    let (place, base, top) = chain("vhdx");
    let read = diskport::open(place.path(&top)).expect("opens");
    place.run(&["write", &top, "--offset", "0", "--zeroes", "512"], DONE);
    place.run(&["write", &base, "--offset", "0", "--zeroes", "512"], DONE);
    drop(read);
}

#[test]
fn parents_of_a_disk_that_is_written_to_stay_as_they_are() {
    for format in ["vhd", "vhdx", "vmdk"] {
        let (place, base, middle) = chain(format);
        let top = format!("leaf.{format}");
        place.run(&["create", &top, "--parent", &middle], DONE);
        let held = Open::new().open_writable(place.path(&top)).expect("opens");
        let before = contents(&place);
        for parent in [&base, &middle] {
            let said =
                error_text(&place.run(&["write", parent, "--offset", "0", "--zeroes", "1"], PRECONDITION));
            assert!(said.contains(parent), "{said}");
            let here = Open::new().open_writable(place.path(parent)).err();
            let is_locked =
                matches!(&here, Some(Error::Locked { file, .. }) if Path::new(file) == place.path(parent));
            assert!(is_locked, "{format}: {here:?}");
            assert_eq!(error_text(&place.run(&["hash", parent], DONE)), "", "reading is not disturbed");
        }
        place.run(&["merge", &middle], PRECONDITION);
        assert!(contents(&place) == before, "{format}: nothing is changed");
        // Two children of one parent do not disturb each other.
        let sibling = format!("sibling.{format}");
        Child::of(&diskport::open(place.path(&middle)).expect("opens"))
            .create(place.path(&sibling))
            .expect("makes a child");
        place.run(&["write", &sibling, "--offset", "0", "--zeroes", "1"], DONE);
        held.close().expect("closes");
        // The other way round.
        let held = Open::new().open_writable(place.path(&middle)).expect("opens");
        let refused = Open::new().open_writable(place.path(&top)).err();
        assert!(matches!(refused, Some(Error::Locked { .. })), "{format}: {refused:?}");
        let said = error_text(&place.run(&["hash", &top], DONE));
        assert!(said.contains(&middle) && said.contains("warning"), "{said}");
        held.close().expect("closes");
        place.run(&["write", &middle, "--offset", "0", "--zeroes", "1"], DONE);
    }
}

/// What QEMU does to a file, without QEMU: see `storage/lock/ranges.rs`.
mod bytes {
    use nix::fcntl::{FcntlArg, fcntl};
    use nix::libc;

    use super::*;

    fn lock(file: &File, kind: i32, byte: i64) -> libc::flock {
        let mut lock = libc::flock {
            l_type: kind as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: byte,
            l_len: 1,
            l_pid: 0,
        };
        match kind {
            libc::F_WRLCK => fcntl(file, FcntlArg::F_OFD_GETLK(&mut lock)),
            _ => fcntl(file, FcntlArg::F_OFD_SETLK(&lock)),
        }
        .expect("locks");
        lock
    }

    fn hold(path: &Path, bytes: &[i64]) -> File {
        let file = File::options().read(true).write(true).open(path).expect("opens");
        for &byte in bytes {
            lock(&file, libc::F_RDLCK, byte);
        }
        file
    }

    /// Ends a lock; with the file alone it might not end as long as a program is being started by another test.
    fn end(file: &File, byte: i64) {
        lock(file, libc::F_UNLCK, byte);
    }

    fn is_held(path: &Path, byte: i64) -> bool {
        let file = File::open(path).expect("opens");
        i32::from(lock(&file, libc::F_WRLCK, byte).l_type) != libc::F_UNLCK
    }

    fn holder(path: &Path) -> Option<LockHolder> {
        match Open::new().open_writable(path) {
            Ok(_) => None,
            Err(Error::Locked { holder, .. }) => Some(holder),
            Err(e) => panic!("{e}"),
        }
    }

    #[test]
    fn are_heeded_and_taken() {
        let (place, base, top) = chain("vhdx");
        let path = place.path(&top);
        let cases = [
            // A machine, one that does not share reading either, one that only resizes, and a reader.
            (&[100, 101, 103, 201, 203][..], Some(LockHolder::Writer), true),
            (&[100, 101, 200, 201, 203], Some(LockHolder::Writer), true),
            (&[103], Some(LockHolder::Writer), true),
            (&[100, 201, 203], Some(LockHolder::Reader), false),
            (&[200], Some(LockHolder::Reader), false),
            // `-U` shares everything.
            (&[100], None, false),
            (&[], None, false),
        ];
        for (bytes, expected, is_written) in cases {
            let held = hold(&path, bytes);
            assert_eq!(holder(&path), expected, "{bytes:?}");
            let said = error_text(&place.run(&["hash", &top], DONE));
            assert_eq!(said.contains("open for writing elsewhere"), is_written, "{bytes:?}: {said}");
            bytes.iter().for_each(|&byte| end(&held, byte));
        }
        let all = |path: &Path| -> Vec<i64> { (100..208).filter(|&byte| is_held(path, byte)).collect() };
        let disk = Open::new().open_writable(&path).expect("opens");
        assert_eq!(all(&path), [100, 101, 102, 103, 201, 202, 203], "ours, written to");
        assert_eq!(all(&place.path(&base)), [100, 201, 202, 203], "its parent");
        disk.close().expect("closes");
        let read = diskport::open(&path).expect("opens");
        assert_eq!(all(&path), [0; 0], "ours, read");
        drop(read);
    }

    /// What is refused leaves no lock behind, however it was refused.
    #[test]
    fn are_not_left_behind() {
        let (place, _, top) = chain("vhdx");
        let path = place.path(&top);
        let storage = diskport::storage::FileStorage::open_writable(&path).expect("opens");
        let held = hold(&path, &[201]);
        let refused = storage.lock(diskport::storage::LockMode::Write).expect("asks");
        assert_eq!(refused, diskport::storage::LockState::InUse(LockHolder::Reader));
        end(&held, 201);
        let other = Open::new().open_writable(&path).expect("opens while the first one has the file open");
        other.close().expect("closes");
        drop(storage);
        // A lock of a whole file, by a process.
        let file = File::options().read(true).write(true).open(&path).expect("opens");
        let whole = libc::flock {
            l_type: libc::F_WRLCK as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: 0,
            l_len: 0,
            l_pid: 0,
        };
        fcntl(&file, FcntlArg::F_SETLK(&whole)).expect("locks");
        let process = format!("is locked by the process {}", std::process::id());
        for arguments in
            [&["write", text(&path), "--offset", "0", "--zeroes", "1"][..], &["hash", text(&path)]]
        {
            let code = if arguments[0] == "write" { PRECONDITION } else { DONE };
            let said = error_text(&place.run(arguments, code));
            assert!(said.contains(&process), "{said}");
        }
    }
}

/// A lock that a program has left beside an output is ignored when that is said; the system's own is not.
#[test]
fn what_only_seems_to_be_in_use_is_replaced_when_told() {
    let (place, base, _) = chain("vhdx");
    let replace: [&[&str]; 5] = [
        &["convert", "source.raw", "out.vhdx", "--overwrite"],
        &["convert", "source.raw", "out.vhdx", "--overwrite", "--resume"],
        &["reverse-image", "source.raw", "out.vhdx", "--target", "hyperv", "--overwrite"],
        &["create", "out.vhdx", "--parent", &base, "--overwrite"],
        &["merge", "top.vhdx", "--output", "out.vhdx", "--overwrite"],
    ];
    for command in replace {
        place.run(&["create", "out.vhdx", "--size", "4M", "--overwrite"], DONE);
        place.file("out.lok", b"");
        let before = fs::read(place.path("out.vhdx")).expect("reads");
        let said = error_text(&place.run(command, PRECONDITION));
        assert!(said.contains("out.lok") && said.contains("--ignore-locks"), "{command:?}: {said}");
        assert!(fs::read(place.path("out.vhdx")).expect("reads") == before);
        let told = [command, &["--ignore-locks"]].concat();
        let held = File::open(place.path("out.vhdx")).expect("opens");
        held.lock().expect("locks");
        assert!(error_text(&place.run(&told, PRECONDITION)).contains("locked by another program"));
        assert!(fs::read(place.path("out.vhdx")).expect("reads") == before);
        drop(held);
        place.run(&told, DONE);
        assert!(fs::read(place.path("out.vhdx")).expect("reads") != before, "{command:?}");
        fs::remove_file(place.path("out.lok")).expect("is still there");
    }
}

/// From the moment at which it is made, a child keeps writers from its parents; without a child in hand, nothing does.
#[test]
fn a_new_child_holds_its_parents() {
    for format in ["vhd", "vhdx", "vmdk"] {
        let (place, base, middle) = chain(format);
        let open = |image: &str| Open::new().open_writable(place.path(image));
        let is_held = |image: &str| matches!(open(image), Err(Error::Locked { .. }));
        let parent = diskport::open(place.path(&middle)).expect("opens");
        assert!(!is_held(&base) && !is_held(&middle), "{format}: read alone");
        let make = |name: &str| Child::of(&parent).create(place.path(&format!("{name}.{format}")));
        let made = make("new").expect("makes a child");
        assert!(is_held(&base) && is_held(&middle), "{format}: made");
        let twin = make("twin").expect("makes another");
        drop(made);
        assert!(is_held(&base) && is_held(&middle), "{format}: one of two is left");
        let child = twin.open().expect("opens");
        assert!(is_held(&base) && is_held(&middle), "{format}: opened");
        child.write_at(&[1; 512], 0).expect("writes");
        child.close().expect("closes");
        assert!(!is_held(&base) && !is_held(&middle), "{format}: closed");
        // Nor is a child made of what somebody writes to.
        let writer = open(&middle).expect("opens");
        let late = make("late");
        assert!(matches!(late, Err(Error::Locked { .. })), "{format}: {late:?}");
        assert!(!place.path(&format!("late.{format}")).exists());
        writer.close().expect("closes");
    }
}
