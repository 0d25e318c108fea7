//! Writing: what is refused changes nothing, what is only claimed costs nothing, and what is replaced stays where it was.

use std::sync::Arc;

use diskport::copy::{Convert, OutputFormat};
use diskport::format::vmdk::Subformat;
use diskport::storage::{Explicit, ReadAt, WriteAt};
use diskport::{Disk, Error, Open};

use super::builder::{Text, field, put};
use super::monolithic;
use crate::support::{Shared, Vast, assert_reads_as, within_limits};

/// What lies in the files of a folder.
fn files(folder: &std::path::Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let paths = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let mut files: Vec<_> = paths.map(|path| (path.clone(), std::fs::read(path).expect("reads"))).collect();
    files.sort();
    files
}

#[test]
fn a_refused_resize_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    for (kind, size) in [
        (Subformat::TwoGbMaxExtentSparse, 128 << 20),
        (Subformat::TwoGbMaxExtentFlat, 128 << 20),
        (Subformat::MonolithicSparse, 128 << 40),
        (Subformat::MonolithicFlat, 128 << 40),
    ] {
        let path = folder.path().join(format!("{kind}.vmdk"));
        Convert::new(&Disk::empty(1 << 20, 512)).to(OutputFormat::Vmdk(kind)).create(&path).expect("writes");
        let before = files(folder.path());
        let refused = Open::new().open_writable(&path).expect("opens").resize(size, true);
        assert!(matches!(refused, Err(Error::Layout { .. } | Error::SizeLimit { .. })), "{refused:?}");
        assert!(files(folder.path()) == before, "{kind}");
    }
}

/// A descriptor without the comments and blank lines that make room for longer values.
fn bare(text: &str) -> String {
    let (first, rest) = text.split_once('\n').expect("lines");
    let lines = rest.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.fold(format!("{first}\n"), |text, line| text + line + "\n")
}

#[test]
fn a_refused_resize_of_one_extent_changes_nothing() {
    // A descriptor in no folder, in which no longer number fits.
    let text = Text::new("monolithicFlat", ["RW 8 FLAT \"a-flat.vmdk\" 0"]).render();
    let text = bare(&text);
    let file = Shared::new(text.clone().into_bytes());
    let extent = Shared::new(vec![3; 4096]);
    let mut resolver = Explicit::default();
    resolver.insert_writable("a-flat.vmdk", Arc::new(extent.clone()));
    let disk = Open::new().resolver(resolver).open_writable(file.clone()).expect("opens");
    assert!(matches!(disk.resize(1 << 30, true), Err(Error::Layout { .. })));
    assert!(file.to_vec() == text.as_bytes());
    assert!(extent.to_vec() == [3; 4096]);
    // A file in which new directories find no place that a header can name.
    let bytes = monolithic().build().bytes;
    let file = Vast::default();
    file.write_all_at(&bytes, 0).expect("writes");
    file.set_size((1 << 41) - (1 << 20)).expect("grows");
    let disk = Open::new().open_writable(file.clone()).expect("opens");
    let refused = disk.resize(64 << 40, true);
    assert!(matches!(refused, Err(Error::SizeLimit { .. })), "{refused:?}");
    let mut found = vec![0; bytes.len()];
    file.read_exact_at(&mut found, 0).expect("reads");
    assert!(found == bytes);
    assert_eq!(file.size().expect("has one"), (1 << 41) - (1 << 20));
}

/// A file that is a petabyte long, most of it a hole.
#[derive(Clone)]
struct Petabyte(Shared);

impl ReadAt for Petabyte {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> std::io::Result<usize> {
        let known = self.0.read_at(buf, offset)?;
        buf[known..].fill(0);
        Ok(buf.len())
    }
    fn size(&self) -> std::io::Result<u64> {
        Ok(1 << 50)
    }
}

impl WriteAt for Petabyte {
    fn write_all_at(&self, data: &[u8], offset: u64) -> std::io::Result<()> {
        self.0.write_all_at(data, offset)
    }
    fn set_size(&self, size: u64) -> std::io::Result<()> {
        self.0.set_size(size)
    }
    fn sync(&self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_petabyte_costs_no_more_than_what_is_in_use() {
    for (overhead, written) in [(128, true), (1 << 43, false), (u64::MAX, false)] {
        let mut bytes = monolithic().build().bytes;
        put(&mut bytes, field::OVERHEAD, &u64::to_le_bytes(overhead));
        let file = Petabyte(Shared::new(bytes));
        within_limits(|| {
            let checked = Open::new().check(file.clone()).expect("checks");
            assert!(checked.is_clean(), "{:#?}", checked.findings);
            let disk = Open::new().open_writable(file.clone()).expect("opens");
            match disk.write_at(&[1; 512], 0) {
                Ok(()) => assert!(written, "{overhead}"),
                Err(Error::SizeLimit { .. }) => assert!(!written, "{overhead}"),
                Err(e) => panic!("{e}"),
            }
            disk.close().expect("closes");
        });
    }
    // Directories where no entry could name anything.
    let mut bytes = monolithic().build().bytes;
    put(&mut bytes, field::GD, &u64::to_le_bytes(1 << 40));
    let file = Petabyte(Shared::new(bytes));
    within_limits(|| {
        let checked = Open::new().check(file.clone()).expect("checks");
        assert!(!checked.findings.is_empty());
    });
}

/// A descriptor that takes another file when it changes its length.
#[cfg(unix)]
#[test]
fn a_new_descriptor_is_where_the_old_one_was() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    let folder = tempfile::tempdir().expect("a folder");
    let (path, link) = (folder.path().join("disk.vmdk"), folder.path().join("link.vmdk"));
    let kind = OutputFormat::Vmdk(Subformat::MonolithicFlat);
    Convert::new(&Disk::empty(4096, 512)).to(kind).create(&path).expect("writes");
    let text = std::fs::read_to_string(&path).expect("reads");
    let text = bare(&text);
    std::fs::write(&path, text).expect("writes");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).expect("sets");
    symlink("disk.vmdk", &link).expect("links");
    let before = std::fs::metadata(&path).expect("is there");
    Open::new().open_writable(&link).expect("opens").resize(1 << 20, false).expect("resizes");
    let after = std::fs::metadata(&path).expect("is there");
    assert_ne!(before.ino(), after.ino(), "another file");
    assert_eq!(after.mode(), before.mode());
    assert!(link.symlink_metadata().expect("is there").is_symlink());
    assert_reads_as(&diskport::open(&path).expect("opens"), &vec![0; 1 << 20]);
}
