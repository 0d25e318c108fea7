//! Every rule of the check has an image that breaks it.

use diskport::check::{Checked, Repairs, Severity};
use diskport::format::vhd::SizeField;
use diskport::storage::{Explicit, MemoryStorage};
use diskport::{Error, Format, Open, Problem};

use super::builder::{Built, SECTOR, Vhd, utf16_le};
use crate::support::{Shared, storage};

const BLOCK: usize = 4096;
const SIZE: u64 = 4 * BLOCK as u64;

fn dynamic() -> Vhd {
    let mut image = Vhd { geometry: (0, 4, 17), ..Vhd::dynamic(SIZE, BLOCK) };
    image.write(0, &[1; BLOCK]);
    image.write(16, &[2; BLOCK]);
    image
}

fn fixed() -> Vhd {
    Vhd { geometry: (0, 4, 17), ..Vhd::fixed(&[7; SIZE as usize]) }
}

fn child() -> Vhd {
    let mut image = Vhd { geometry: (0, 4, 17), ..Vhd::differencing(SIZE, BLOCK, dynamic().id) };
    image.locators = vec![(*b"W2ru", utf16_le(".\\parent.vhd")), (*b"MacX", b"file://./parent.vhd".to_vec())];
    image.write(3, &[3; 512]);
    image
}

fn open() -> Open {
    Open::new().format(Format::Vhd).resolver(Explicit::from([("parent.vhd", storage(dynamic().bytes()))]))
}

fn check(bytes: &[u8]) -> Checked {
    open().check(MemoryStorage::new(bytes)).expect("checks")
}

/// That exactly one thing is found, and what it is; images with errors are not written to, others are.
#[track_caller]
fn finds(bytes: &[u8], severity: Severity, structure: &str, text: &str) {
    let checked = check(bytes);
    let [finding] = &checked.findings[..] else { panic!("{:?}", checked.findings) };
    assert_eq!((finding.severity, finding.defect.structure), (severity, structure), "{finding}");
    assert!(finding.to_string().contains(text), "{finding}");
    let file = Shared::new(bytes.to_vec());
    let opened = open().open_writable(file.clone());
    if severity == Severity::Error {
        assert!(matches!(opened, Err(Error::Defect(_))), "{opened:?}");
    } else {
        drop(opened.expect("opens for writing"));
    }
    assert!(file.to_vec() == bytes, "nothing is written");
}

/// That a repair that loses nothing makes the image clean, and leaves what is read from it.
#[track_caller]
fn is_repaired(bytes: &[u8]) {
    let finding = &check(bytes).findings[0];
    assert!(finding.repair.as_ref().is_some_and(|repair| repair.loses.is_none()), "{finding}");
    let read = |bytes: Vec<u8>| {
        let disk = open().open(MemoryStorage::new(bytes)).expect("opens");
        let mut content = vec![0; disk.size() as usize];
        disk.read_at(&mut content, 0).expect("reads");
        content
    };
    let file = Shared::new(bytes.to_vec());
    let repaired = open().repair(file.clone(), Repairs::Lossless).expect("repairs");
    assert!(repaired.findings.is_empty(), "{:?}", repaired.findings);
    if let Ok(before) = open().open(MemoryStorage::new(bytes)) {
        let mut content = vec![0; before.size() as usize];
        before.read_at(&mut content, 0).expect("reads");
        assert!(read(file.to_vec()) == content);
    }
}

#[test]
fn nothing_wrong() {
    for image in [dynamic(), fixed(), child()] {
        assert_eq!(check(&image.bytes()).findings, []);
    }
}

#[test]
fn footers() {
    use Severity::*;
    let cut = Vhd { footer_len: 0, ..dynamic() }.bytes();
    finds(&cut, Warning, "footer", "expected a good footer");
    is_repaired(&cut);
    let short = Vhd { footer_len: 511, ..dynamic() }.bytes();
    finds(&short, Warning, "footer", "511");
    is_repaired(&short);
    let short = Vhd { footer_len: 511, ..fixed() }.bytes();
    finds(&short, Warning, "footer", "511");
    is_repaired(&short);
    let mut garbage = dynamic().bytes();
    garbage.extend([0x5A; 1000]);
    finds(&garbage, Warning, "footer", "expected a good footer");
    for damage in [0, 70] {
        let mut copy = dynamic().bytes();
        copy[damage] ^= 1;
        finds(&copy, Warning, "copy of the footer", "the same as at the end");
        is_repaired(&copy);
    }
    let other = dynamic().build().set_copy(24, &[0; 4]).take();
    finds(&other, Warning, "copy of the footer", "the same as at the end");
    is_repaired(&other);
    let sizes = dynamic().build().set_copy(48, &(SIZE - 512).to_be_bytes()).take();
    finds(&sizes, Error, "copy of the footer", "current size");
    let mut lost = fixed().bytes();
    lost.extend([0; 5000]);
    let checked = check(&lost);
    assert_eq!(checked.findings.len(), 1);
    is_repaired(&lost);
}

/// A footer at the end of the file or inside it that says that the disk ends before: the rest is cut where it holds
/// nothing, or where one says so.
#[test]
fn what_lies_behind_a_fixed_disk() {
    let slack = |byte: u8| {
        let mut bytes = fixed().bytes();
        let footer = bytes.split_off(SIZE as usize);
        bytes.extend([byte; 1024]);
        bytes.extend(footer);
        bytes
    };
    let inside = |byte: u8| {
        let mut bytes = fixed().bytes();
        bytes.extend([byte; 1024]);
        bytes
    };
    finds(&slack(0), Severity::Warning, "data", "1024 bytes before it");
    is_repaired(&slack(0));
    finds(&slack(9), Severity::Warning, "data", "1024 bytes before it");
    finds(&inside(9), Severity::Error, "footer", "and 1024 bytes behind it");
    for bytes in [slack(9), inside(9)] {
        let checked = check(&bytes);
        assert!(checked.findings[0].repair.as_ref().is_some_and(|repair| repair.loses.is_some()));
        let file = Shared::new(bytes.clone());
        let same = open().repair(file.clone(), Repairs::Lossless).expect("repairs");
        assert!(!same.is_clean() && file.to_vec() == bytes, "nothing is lost without a word");
        let all = open().repair(file.clone(), Repairs::All).expect("repairs");
        assert!(all.findings.is_empty() && file.to_vec() == fixed().bytes(), "{all:?}");
    }
    for (bytes, kept) in [(slack(0), false), (slack(9), true)] {
        let file = Shared::new(bytes.clone());
        open().open_writable(file.clone()).expect("opens").compact().expect("compacts");
        assert!(file.to_vec() == if kept { bytes } else { fixed().bytes() });
    }
}

/// The end of the disk is where the larger of the sizes says it is.
#[test]
fn a_fixed_disk_that_is_larger_by_its_geometry() {
    let image = Vhd { geometry: (1, 4, 17), ..Vhd::fixed(&[7; 4 * 17 * SECTOR]) };
    let bytes = image.build().set_footer(48, &SIZE.to_be_bytes()).take();
    let by_geometry = || open().vhd_size(SizeField::Chs);
    for repairs in [Repairs::Lossless, Repairs::All] {
        let file = Shared::new(bytes.clone());
        by_geometry().repair(file.clone(), repairs).expect("repairs");
        assert!(file.to_vec() == bytes);
        by_geometry().open(file).expect("opens");
    }
}

#[test]
fn fields_of_the_footer() {
    use Severity::*;
    let broken: [(usize, &[u8], Severity, &str); 9] = [
        (8, &[0, 0, 0, 0], Warning, "bit 1"),
        (12, &[0, 1, 0, 1], Warning, "version"),
        (24, &[0xFF; 4], Note, "past"),
        (56, &[9, 9, 16, 63], Note, "geometry"),
        (84, &[2], Warning, "0 or 1"),
        (85, &[1], Warning, "at most 0"),
        (100, &[1], Warning, "zeros"),
        (511, &[1], Warning, "zeros"),
        (68, &[0; 16], Warning, "identity"),
    ];
    for (at, value, severity, text) in broken {
        let bytes = dynamic().build().set_footers(at, value).take();
        let checked = check(&bytes);
        let found = checked.findings.iter().find(|finding| finding.to_string().contains(text));
        assert_eq!(found.map(|finding| finding.severity), Some(severity), "{text}: {checked:?}");
        assert!(checked.findings.len() <= 2, "{checked:?}");
    }
    let unknown = dynamic().build().set_footers(8, &6_u32.to_be_bytes()).take();
    finds(&unknown, Error, "footer", "features");
    let next = fixed().build().set_footer(16, &512_u64.to_be_bytes()).take();
    finds(&next, Warning, "footer", "all ones");
    let tap = Vhd { creator: *b"tap\0", creator_version: 0x0001_0003, ..dynamic() };
    finds(&tap.build().set_footers(85, &[1]).take(), Note, "footer", "hidden");
    let saved = dynamic().build().set_footers(84, &[1]).take();
    assert_eq!(check(&saved).findings[0].severity, Note);
    let opened = open().open_writable(MemoryStorage::new(saved));
    assert!(matches!(opened, Err(diskport::Error::NotWritable { .. })));
}

#[test]
fn fields_of_the_header() {
    use Severity::*;
    let header = |at, value: &[u8]| dynamic().build().set_header(at, value).take();
    finds(&header(8, &[0; 8]), Warning, "dynamic disk header", "all ones");
    finds(&header(24, &[0, 1, 0, 7]), Warning, "dynamic disk header", "version");
    finds(&header(24, &[0, 2, 0, 0]), Error, "dynamic disk header", "version");
    finds(&header(32, &3000_u32.to_be_bytes()), Error, "dynamic disk header", "power of two");
    finds(&header(28, &[0, 0, 0, 3]), Error, "dynamic disk header", "at least 4 entries");
    finds(&header(28, &[0, 0, 0, 9]), Note, "dynamic disk header", "4 entries");
    finds(&header(60, &[1]), Warning, "dynamic disk header", "zeros");
    finds(&header(1000, &[1]), Warning, "dynamic disk header", "zeros");
    for at in [40, 56, 64, 580] {
        finds(&header(at, &[1]), Warning, "dynamic disk header", "no parent");
    }
    let mut sum = dynamic().build();
    sum.bytes[sum.header + 36] ^= 1;
    finds(&sum.bytes, Error, "dynamic disk header", "checksum");
    let mut cookie = dynamic().build();
    cookie.bytes[cookie.header] ^= 1;
    finds(&cookie.bytes, Error, "dynamic disk header", "cxsparse");
}

#[test]
fn locators() {
    use Severity::*;
    let entry = 576;
    let header = |at, value: &[u8]| child().build().set_header(at, value).take();
    finds(&header(entry, b"W3ru"), Warning, "parent locator", "known platform code");
    finds(&header(entry + 12, &[1]), Warning, "parent locator", "zero");
    finds(&header(entry + 4, &[0; 4]), Warning, "parent locator", "room");
    finds(&header(entry + 7 * 24 + 8, &[1]), Warning, "parent locator", "zeros without a code");
    finds(&header(entry + 24, b"W2ru"), Warning, "parent locator", "once");
    let other = Vhd { locators: vec![(*b"W2ru", utf16_le(".\\other.vhd"))], ..child() };
    finds(&other.bytes(), Warning, "dynamic disk header", "one file name");
    let mut built = child().build();
    let block = u32::from_be_bytes(built.bytes[built.bat..built.bat + 4].try_into().expect("four"));
    built.set_header(entry + 16, &(u64::from(block) * 512).to_be_bytes());
    let checked = check(&built.bytes);
    let overlap = checked.findings.iter().find(|finding| finding.defect.problem == Problem::Overlap);
    assert_eq!(overlap.map(|finding| finding.severity), Some(Error), "{checked:?}");
}

#[test]
fn blocks() {
    use Severity::*;
    let place = |built: &Built, index: usize| {
        u32::from_be_bytes(built.bytes[built.bat + index * 4..][..4].try_into().expect("four"))
    };
    let built = dynamic().build();
    let (first, second) = (place(&built, 0), place(&built, 2));
    for (index, entry, text) in [
        (1, first, "block 1"),
        (1, second - 1, "apart from"),
        (3, 0, "copy of the footer"),
        (3, 2, "header"),
        (3, (built.bat / SECTOR) as u32, "BAT"),
        (3, (built.footer / SECTOR) as u32 - 1, "block 3"),
        (3, 0x7FFF_FFFF, "block 3"),
    ] {
        let bytes = dynamic().build().set_entry(index, entry).take();
        let checked = check(&bytes);
        assert!(checked.findings.iter().any(|finding| finding.to_string().contains(text)), "{checked:?}");
        let errors = checked.findings.iter().filter(|finding| finding.severity == Error);
        assert!(errors.clone().count() == 1, "{checked:?}");
        assert!(errors.flat_map(|finding| &finding.repair).all(|repair| repair.loses.is_some()));
        let file = Shared::new(bytes.clone());
        let refused = open().open_writable(file.clone());
        assert!(matches!(refused, Err(diskport::Error::Defect(_))));
        let same = open().repair(file.clone(), Repairs::Lossless).expect("repairs");
        assert!(!same.is_clean() && file.to_vec() == bytes, "nothing is lost without a word");
        let all = open().repair(file.clone(), Repairs::All).expect("repairs");
        assert!(all.is_clean(), "{all:?}");
        let disk = open().open_writable(file).expect("opens for writing");
        let mut kept = [0; BLOCK];
        disk.read_at(&mut kept, 0).expect("reads");
        assert_eq!(kept[..512], [1; 512], "the first block to name a place keeps it");
    }
}

#[test]
fn bits_and_gaps() {
    use Severity::*;
    let mut hidden = dynamic();
    hidden.write(8, &[5; 512]);
    // The builder fills what clear bits cover with bytes that must not be seen.
    finds(&hidden.bytes(), Warning, "data", "block 1 where its bitmap is clear");
    assert!(check(&hidden.bytes()).findings[0].repair.as_ref().is_some_and(|repair| repair.loses.is_some()));
    let file = Shared::new(hidden.bytes());
    open().repair(file.clone(), Repairs::Lossless).expect("repairs");
    assert!(file.to_vec() == hidden.bytes(), "other readers see those bytes");
    let all = open().repair(file, Repairs::All).expect("repairs");
    assert!(all.findings.is_empty(), "{all:?}");
    let gaps = Vhd { gap: 20, ..dynamic() };
    finds(&gaps.bytes(), Note, "file", "that nothing uses");
    let mut padding = dynamic().build();
    padding.bytes[padding.bat + 16..padding.bat + 512].fill(0);
    finds(&padding.bytes, Note, "BAT", "ones after the last entry");
}

#[test]
fn batmap() {
    use Severity::*;
    let built = Vhd { batmap: true, ..dynamic() }.build();
    let at = built.bat + SECTOR;
    let with = |offset: u64, size: u32, version: u32, sum: u32, map: u8| {
        let mut bytes = built.bytes.clone();
        bytes[at + 8..at + 16].copy_from_slice(&offset.to_be_bytes());
        bytes[at + 16..at + 20].copy_from_slice(&size.to_be_bytes());
        bytes[at + 20..at + 24].copy_from_slice(&version.to_be_bytes());
        bytes[at + 24..at + 28].copy_from_slice(&sum.to_be_bytes());
        bytes[at + SECTOR] = map;
        bytes
    };
    let (offset, version, map) = ((at + SECTOR) as u64, 0x0001_0002, 0b1010_0000);
    let sum = !u32::from(map);
    assert_eq!(check(&with(offset, 1, version, sum, map)).findings, []);
    finds(&with(offset, 1, version + 1, sum, map), Warning, "batmap", "version");
    finds(&with(offset, 1, version, sum + 1, map), Warning, "batmap", "value");
    finds(&with(offset, 1, version, !0b1011_0000, 0b1011_0000), Warning, "batmap", "block 3");
    finds(&with(offset, 0, version, sum, map), Warning, "batmap", "bit for each block");
    finds(&with(1 << 40, 1, version, sum, map), Warning, "batmap", "map in the file");
}
