//! What is written keeps to what is read.

use diskport::copy::{Convert, OutputFormat};
use diskport::format::vmdk::Subformat;
use diskport::{Disk, Error};

const TIB: u64 = 1 << 40;

#[test]
fn disks_too_large_to_be_read_are_not_written() {
    let stream = OutputFormat::Vmdk(Subformat::StreamOptimized);
    for size in [64 * TIB + 1, 64 * TIB + 512, 1 << 62] {
        let disk = Disk::empty(size, 512);
        let refused =
            crate::support::within_limits(|| Convert::new(&disk).to(stream).write_to(std::io::sink()));
        match refused {
            Err(Error::SizeLimit { limit, .. }) => {
                assert!(limit.contains("137438953472 sectors (64 TiB)"), "{limit}")
            }
            other => panic!("{other:?}"),
        }
    }
    Convert::new(&Disk::empty(64 * TIB, 512)).to(stream).write_to(std::io::sink()).expect("writes");
    let folder = tempfile::tempdir().expect("a folder");
    for subformat in Subformat::ALL {
        let disk = Disk::empty(64 * TIB + 512, 512);
        let path = folder.path().join("disk.vmdk");
        let refused = Convert::new(&disk).to(OutputFormat::Vmdk(subformat)).create(&path);
        assert!(matches!(refused, Err(Error::SizeLimit { .. })), "{subformat}: {refused:?}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).expect("lists").count(), 0);
}

#[cfg(unix)]
#[test]
fn names_that_a_descriptor_cannot_record() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let names: [&[u8]; 5] = [b"a\"b", b"a\"\nRW 8 FLAT \"b", b"a\rb", b"a\xffb", b"plain"];
    for name in names {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(OsStr::from_bytes(name));
        for subformat in [Subformat::MonolithicSparse, Subformat::StreamOptimized] {
            let disk = Disk::empty(1 << 20, 512);
            let copy = Convert::new(&disk).to(OutputFormat::Vmdk(subformat)).verify(true).overwrite(true);
            copy.create(&path).expect("writes");
            assert_eq!(diskport::open(&path).expect("opens").size(), 1 << 20);
            let bytes = std::fs::read(&path).expect("reads");
            let text = String::from_utf8_lossy(&bytes[512..21 * 512]).into_owned();
            let recorded = if name == b"plain" { "plain" } else { "disk.vmdk" };
            assert!(text.contains(&format!("\nRW 2048 SPARSE \"{recorded}\"\n")), "{text}");
        }
    }
}
