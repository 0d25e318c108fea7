//! Making children: what they record, who reads them, and what lies below them.

use std::fs;
use std::path::Path;

use diskport::check::Severity;
use diskport::copy::{Convert, OutputFormat};
use diskport::disk::Linkage;
use diskport::format::Allocation;
use diskport::storage::AnyPath;
use diskport::{Child, Disk, Error, MIB, Open};

use super::builder::{SECTOR, utf16_be, utf16_le};
use crate::support::{Judge, assert_reads_as, nobody};

const SIZE: u64 = 5 * MIB + 512;

fn content(seed: u64, len: usize) -> Vec<u8> {
    (0..len as u64).map(|i| ((i / 512 * 37 + i + seed) % 251) as u8).collect()
}

/// A parent of [`SIZE`] bytes at `path`, and what it reads as.
fn parent(path: &Path, format: OutputFormat) -> Vec<u8> {
    let mut model = vec![0; SIZE as usize];
    model[MIB as usize..][..3 << 20].copy_from_slice(&content(1, 3 << 20));
    let raw = path.with_extension("source");
    fs::write(&raw, &model).expect("writes");
    let source = Open::new().format(diskport::Format::Raw).open(&raw).expect("opens");
    Convert::new(&source).to(format).create(path).expect("copies");
    model
}

fn assert_clean(path: &Path) {
    let checked = Open::new().check(path).expect("checks");
    assert!(checked.findings.is_empty(), "{:?}", checked.findings);
}

#[test]
fn children_of_every_parent() {
    over_every_parent(&nobody);
}

/// A child of each kind of parent, and a child of it, written to.
pub fn over_every_parent(judge: Judge) {
    let parents = [
        ("base.vhd", OutputFormat::Vhd(Allocation::Dynamic)),
        ("base.vhd", OutputFormat::Vhd(Allocation::Fixed)),
        ("base.raw", OutputFormat::Raw),
    ];
    for (name, format) in parents {
        let folder = tempfile::tempdir().expect("a folder");
        let base = folder.path().join(name);
        let mut model = parent(&base, format);
        // Of a raw disk no identity is recorded: it must be named.
        let how = if name == "base.raw" { Open::new().resolver(AnyPath) } else { Open::new() };
        let open = |path: &Path| how.open(path).expect("opens");
        let untouched = fs::read(&base).expect("reads");
        let mut top = base.clone();
        // A child, and a child of it.
        for round in 1..3_usize {
            let child = folder.path().join(format!("child {round} é.vhd"));
            Child::of(&open(&top)).create(&child).expect("makes a child");
            assert_clean(&child);
            let disk = open(&child);
            assert_eq!(disk.chain().len(), round + 1);
            // A child that has nothing reads as its parent.
            assert_reads_as(&disk, &model);
            assert!(disk.warnings().all(|warning| !warning.message.contains("modified")));
            let disk = how.open_writable(&child).expect("opens for writing");
            // libvhdi takes bitmaps a byte at a time: whole groups of eight sectors, so that it can be asked.
            for (at, len) in
                [(round * 4096, 8192), (3 << 20, (2 << 20) + 4096 * round), ((5 << 20) - 4096, 4096)]
            {
                let data = content(round as u64 * 7, len.min(model.len() - at));
                disk.write_at(&data, at as u64).expect("writes");
                model[at..at + data.len()].copy_from_slice(&data);
            }
            disk.write_zeroes(MIB + 4096, 8192).expect("zeroes");
            model[(1 << 20) + 4096..][..8192].fill(0);
            disk.close().expect("closes");
            assert_reads_as(&open(&child), &model);
            assert_clean(&child);
            top = child;
        }
        assert!(fs::read(&base).expect("reads") == untouched, "the parent is not written to");
        if name == "base.vhd" {
            judge(&[&top, &folder.path().join("child 1 é.vhd"), &base], &model);
        }
    }
}

/// The header's fields and the names, byte by byte.
#[test]
fn what_it_records() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path().canonicalize().expect("a path");
    fs::create_dir(folder.join("sub")).expect("creates");
    let (base, child) = (folder.join("100% base.vhd"), folder.join("sub/child.vhd"));
    parent(&base, OutputFormat::Vhd(Allocation::Dynamic));
    let disk = diskport::open(&base).expect("opens");
    Child::of(&disk).create(&child).expect("makes a child");
    let bytes = fs::read(&child).expect("reads");
    let footer = &bytes[bytes.len() - SECTOR..];
    assert_eq!(footer, &bytes[..SECTOR]);
    assert_eq!(footer[60..64], 4_u32.to_be_bytes(), "differencing");
    assert_eq!(footer[48..56], SIZE.to_be_bytes());
    let header = &bytes[512..1536];
    assert_clean(&child);
    let parent = fs::read(&base).expect("reads");
    assert_eq!(header[40..56], parent[68..84], "the parent's unique id");
    assert_ne!(header[40..56], footer[68..84]);
    let modified = fs::metadata(&base).expect("a file").modified().expect("a time");
    let since = modified.duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs() - 946_684_800;
    assert_eq!(header[56..60], (since as u32).to_be_bytes());
    let name = utf16_be("100% base.vhd");
    assert_eq!(header[64..64 + name.len()], name);
    let mut names = Vec::new();
    for entry in header[576..768].chunks_exact(24) {
        let number = |at: usize| u32::from_be_bytes(entry[at..at + 4].try_into().expect("four")) as usize;
        let (space, len, at) = (number(4), number(8), number(20));
        assert!(space.is_multiple_of(512) && len <= space);
        names.push((entry[..4].to_vec(), bytes[at..at + len].to_vec()));
    }
    let path = base.to_str().expect("a name");
    let expected: Vec<(Vec<u8>, Vec<u8>)> = vec![
        (b"W2ru".to_vec(), utf16_le(".\\..\\100% base.vhd")),
        (b"W2ku".to_vec(), utf16_le(&path.replace('/', "\\"))),
        (b"MacX".to_vec(), b"file://./../100%25 base.vhd".to_vec()),
    ];
    assert_eq!(names[..3], expected);
    assert!(names[3..].iter().all(|(code, data)| *code == [0; 4] && data.is_empty()));

    let open = Open::new().resolver(AnyPath);
    let disk = open.open(&child).expect("opens");
    assert_eq!(disk.chain().len(), 2);
    assert!(matches!(disk.chain()[0].info().parent.as_ref().expect("a parent").linkage, Linkage::Id(_)));
    // Data at multiples of 4 KiB.
    let disk = open.open_writable(&child).expect("opens");
    disk.write_at(&[1; 512], 0).expect("writes");
    disk.close().expect("closes");
    let bytes = fs::read(&child).expect("reads");
    let table = u64::from_be_bytes(bytes[512 + 16..512 + 24].try_into().expect("eight")) as usize;
    let block = u32::from_be_bytes(bytes[table..table + 4].try_into().expect("four")) as usize;
    assert!((block * 512 + 512).is_multiple_of(4096));
}

#[test]
fn another_size_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let base = folder.path().join("base.vhd");
    parent(&base, OutputFormat::Vhd(Allocation::Dynamic));
    let disk = diskport::open(&base).expect("opens");
    let child = folder.path().join("child.vhd");
    let larger = Child::of(&disk).size(SIZE + MIB).create(&child);
    assert!(matches!(larger, Err(Error::SizeLimit { .. })), "{larger:?}");
    let odd = Child::of(&disk).block_size(3 * MIB).create(&child);
    assert!(matches!(odd, Err(Error::Unsupported { .. })), "{odd:?}");
    assert!(!child.exists());
    let memory = Child::of(&Disk::empty(MIB, 512)).create(&child);
    assert!(matches!(memory, Err(Error::Unsupported { .. })), "{memory:?}");
}

/// Of many children of one base each is found and whole.
#[test]
fn many_children() {
    let folder = tempfile::tempdir().expect("a folder");
    let base = folder.path().join("base.vhd");
    parent(&base, OutputFormat::Vhd(Allocation::Dynamic));
    let disk = diskport::open(&base).expect("opens");
    let begun = std::time::Instant::now();
    for number in 0..1000 {
        Child::of(&disk).sync(false).create(folder.path().join(format!("{number}.vhd"))).expect("a child");
    }
    assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
    let last = diskport::open(folder.path().join("999.vhd")).expect("opens");
    assert_eq!(last.chain().len(), 2);
    assert!(
        Open::new()
            .check(folder.path().join("0.vhd"))
            .expect("checks")
            .findings
            .iter()
            .all(|finding| { finding.severity == Severity::Note })
    );
}

/// A folder on the way whose name Windows would read as two.
#[cfg(unix)]
#[test]
fn a_folder_with_a_backslash() {
    let folder = tempfile::tempdir().expect("a folder");
    let inner = folder.path().join("a\\b");
    fs::create_dir(&inner).expect("makes a folder");
    let (base, child) = (inner.join("base.vhd"), inner.join("child.vhd"));
    parent(&base, OutputFormat::Vhd(Allocation::Dynamic));
    Child::of(&diskport::open(&base).expect("opens")).create(&child).expect("makes a child");
    assert_clean(&child);
    let header = &fs::read(&child).expect("reads")[512..1536];
    let has = |code: &[u8]| header[576..768].chunks(24).any(|locator| locator.starts_with(code));
    assert!(has(b"W2ru") && !has(b"W2ku") && has(b"MacX"));
}
