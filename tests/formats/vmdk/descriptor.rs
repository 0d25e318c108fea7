//! The text descriptor.

use diskport::disk::{Disk, Identity};
use diskport::storage::{Explicit, MemoryStorage};
use diskport::{Error, Open, Problem, Result};

use super::builder::{SECTOR, Text, put32};
use super::{content, monolithic, pattern, refused};
use crate::support::{assert_reads_as, storage};

const FLAT: &str = "# Disk DescriptorFile\nversion=1\nCID=0000000a\nparentCID=ffffffff\n\
                    createType=\"monolithicFlat\"\nRW 4 FLAT \"flat\" 0\n";

fn open(text: impl Into<Vec<u8>>) -> Result<Disk> {
    let files = Explicit::from([("flat", storage(pattern(1, 4)))]);
    Open::new().resolver(files).open(MemoryStorage::new(text))
}

#[track_caller]
fn opens(text: impl Into<Vec<u8>>) -> Disk {
    let disk = open(text).expect("opens");
    assert_reads_as(&disk, &pattern(1, 4));
    disk
}

#[track_caller]
fn problem(text: impl Into<Vec<u8>>) -> Problem {
    match open(text) {
        Err(Error::Defect(defect)) => {
            assert_eq!(defect.structure, "descriptor", "{defect}");
            defect.problem
        }
        other => panic!("{other:?}"),
    }
}

/// The descriptor with one part replaced.
fn with(from: &str, to: &str) -> String {
    assert!(FLAT.contains(from));
    FLAT.replace(from, to)
}

#[test]
fn spelling_is_free() {
    opens(FLAT);
    opens(FLAT.replace('\n', "\r\n"));
    opens(with("version=1\n", "").replace("CID", "cId").replace("createType", "CREATETYPE"));
    opens(format!("\u{feff}{FLAT}"));
    opens(format!("  \n# made by hand\n\n\t{}", with("# Disk DescriptorFile", "#disk  DESCRIPTORFILE")));
    opens(with("CID=0000000a", "CID = \"a\"").replace("RW 4 FLAT", "\trw\t4   flat "));
    opens(format!("{FLAT}\0\0\0"));
    opens(with("version=1", "version=2"));
    // Trailing garbage of an embedded descriptor is what an older, longer one left behind.
    let mut disk = monolithic();
    disk.descriptor = disk.descriptor.map(|text| text + "\0RW 99 FLAT \"/etc/passwd\"");
    let disk = Open::new().open(MemoryStorage::new(disk.build().bytes)).expect("opens");
    assert_reads_as(&disk, &content());
    assert_eq!(disk.warnings().count(), 1);
}

/// qemu writes a new content id over the old one; when it has fewer digits, the end of the longer text stays.
#[test]
fn the_end_of_a_longer_text_is_no_part_of_the_descriptor() {
    let shorter = with("CID=0000000a", "CID=a");
    for left in 1..=7 {
        let tail = &FLAT[FLAT.len() - left + 1..];
        opens(format!("{shorter}\0{tail}\0\0"));
    }
    // Anything else behind a NUL is refused: longer, or another text.
    let tail = &FLAT[FLAT.len() - 8..];
    assert_eq!(problem(format!("{shorter}\0{tail}")), Problem::Descriptor);
    assert_eq!(problem(format!("{shorter}\0CID=1\n")), Problem::Descriptor);
}

#[test]
fn only_a_descriptor_is_taken_for_one() {
    for text in ["version=1\n# Disk DescriptorFile\n", "# Disk\n", "", "#\n\n\n"] {
        let found = open(text);
        assert!(matches!(found, Err(Error::NotRecognised { .. })), "{text:?}: {found:?}");
    }
}

#[test]
fn comments_do_not_count() {
    let text = with("version=1\n", "# CID=11111111 parentCID=22222222\nversion=1\n#RW 4 FLAT \"flat\" 0\n");
    assert_eq!(opens(text).chain()[0].info().data_id, Some(Identity::Cid(10)));
}

#[test]
fn change_tracking_is_noted() {
    let disk = opens(with("version=1\n", "version=3\nchangeTrackPath=\"disk-ctk.vmdk\"\n"));
    let warnings: Vec<_> = disk.warnings().map(ToString::to_string).collect();
    assert!(warnings.len() == 1 && warnings[0].contains("disk-ctk.vmdk"), "{warnings:?}");
}

#[test]
fn names_are_in_the_encoding_declared() {
    let cases: [(&str, &[u8], &str); 8] = [
        ("UTF-8", "дüsk".as_bytes(), "дüsk"),
        ("windows-1252", b"d\xfcsk", "düsk"),
        ("GBK", b"\xb4\xc5\xc5\xcc", "磁盘"),
        ("windows-936", b"\xb4\xc5\xc5\xcc", "磁盘"),
        // A backslash and a quote's neighbour hide in second bytes.
        ("Big5", b"\xa5\x5c\xaf\xe0", "功能"),
        ("windows-950", b"\xa5\x5c\xaf\xe0", "功能"),
        ("Shift_JIS", b"\x95\x5c\x8e\xa6", "表示"),
        ("windows-932", b"\x95\x5c\x8e\xa6", "表示"),
    ];
    for (encoding, bytes, name) in cases {
        let mut text = with("version=1", &format!("version=1\nencoding=\"{encoding}\"")).into_bytes();
        let at = text.windows(6).position(|window| window == b"\"flat\"").expect("the name");
        text.splice(at + 1..at + 5, bytes.iter().copied());
        let files = Explicit::from([(name, storage(pattern(1, 4)))]);
        let disk = Open::new().resolver(files).open(MemoryStorage::new(text)).expect(encoding);
        assert_reads_as(&disk, &pattern(1, 4));
    }
    // Not declared: UTF-8, or else the old code page.
    let text = [FLAT.as_bytes(), b"# d\xfcsk\n"].concat();
    opens(text.clone());
    let text = [b"encoding=\"UTF-8\"\n", &text[..]].concat();
    let text = [b"# Disk DescriptorFile\n", &text[..]].concat();
    assert_eq!(problem(text), Problem::Descriptor);
    assert_eq!(problem(with("version=1", "encoding=\"UTF-16LE\"")), Problem::Unsupported);
    assert_eq!(problem(with("version=1", "encoding=\"klingon\"")), Problem::Unsupported);
}

#[test]
fn names_may_hold_spaces_and_quotes() {
    let name = "my \"best\" disk.vmdk";
    let files = Explicit::from([(name, storage(pattern(1, 4)))]);
    let text = with("\"flat\"", &format!("\"{name}\""));
    assert_reads_as(
        &Open::new().resolver(files).open(MemoryStorage::new(text)).expect("opens"),
        &pattern(1, 4),
    );
}

#[test]
fn keys_that_matter_stand_once() {
    for key in ["CID=0000000a\n", "parentCID=ffffffff\n", "createType=\"monolithicFlat\"\n"] {
        assert_eq!(problem(with(key, &format!("{key}{key}"))), Problem::Descriptor, "{key}");
    }
    assert_eq!(problem(with("createType=\"monolithicFlat\"\n", "")), Problem::Descriptor);
    assert_eq!(problem(with("RW 4 FLAT \"flat\" 0\n", "")), Problem::Descriptor);
    for cid in ["", "xyz", "123456789", "-1", "+1"] {
        assert_eq!(problem(with("CID=0000000a", &format!("CID={cid}"))), Problem::Descriptor, "{cid}");
    }
}

#[test]
fn a_parent_without_a_cid_is_ambiguous() {
    let text = with("version=1\n", "version=1\nparentFileNameHint=\"base.vmdk\"\n");
    assert_eq!(problem(text), Problem::Ambiguous);
}

#[test]
fn nothing_unknown_is_skipped() {
    let line = "RW 4 FLAT \"flat\" 0";
    for (bad, expected) in [
        ("WR 4 FLAT \"flat\" 0", Problem::Descriptor),
        ("RW 4 VMFSRDM \"flat\"", Problem::Unsupported),
        ("RW 4 VMFSRAW \"flat\"", Problem::Unsupported),
        ("RW 4 VSAN \"vsan://x\"", Problem::Unsupported),
        ("NOACCESS 4 FLAT \"flat\" 0", Problem::Unsupported),
        ("NOACCESS 4 ZERO", Problem::Unsupported),
        ("RW 4 FLAT \"flat\" 0 1234 partition", Problem::Unsupported),
        ("RW 0 FLAT \"flat\" 0", Problem::Descriptor),
        ("RW -4 FLAT \"flat\" 0", Problem::Descriptor),
        ("RW 18446744073709551616 FLAT \"flat\" 0", Problem::Descriptor),
        ("RW 4 FLAT flat 0", Problem::Descriptor),
        ("RW 4 FLAT \"\" 0", Problem::Descriptor),
        ("RW 4 FLAT \"flat\" x", Problem::Descriptor),
        ("RW 4 FLAT", Problem::Descriptor),
        ("RW 4", Problem::Unsupported),
        ("RW 4 ZERO \"flat\"", Problem::Descriptor),
        ("RW 4 SPARSE \"flat\" 8", Problem::Descriptor),
        ("RW 18446744073709551615 ZERO\nRW 4 ZERO", Problem::Size),
        ("RW 137438953473 ZERO", Problem::Size),
    ] {
        assert_eq!(problem(with(line, bad)), expected, "{bad}");
    }
    for (key, to) in [("version=1", "version=4"), ("version=1", "encryption.keySafe=\"vmware:key\"")] {
        assert_eq!(problem(with(key, to)), Problem::Unsupported, "{to}");
    }
    for name in
        ["fullDevice", "partitionedDevice", "vmfsRawDeviceMap", "vmfsPassthroughRawDeviceMap", "vsanSparse"]
    {
        assert_eq!(problem(with("monolithicFlat", name)), Problem::Unsupported, "{name}");
    }
    assert_eq!(problem(format!("{FLAT}ddb.iofilters = \"vmwarevmcrypt\"\n")), Problem::Unsupported);
}

#[test]
fn there_are_limits() {
    assert_eq!(problem(with("version=1\n", "version=1\nx\0y=1\n")), Problem::Descriptor);
    assert_eq!(problem(format!("{FLAT}\0\0# more\n")), Problem::Descriptor);
    let comment = format!("#{}\n", "x".repeat(70_000));
    assert_eq!(problem(format!("{FLAT}{comment}")), Problem::Descriptor);
    let huge = format!("{FLAT}{}", "#\n".repeat(1 << 19));
    assert_eq!(problem(huge), Problem::Table);
    let extents = "RW 1 ZERO\n".repeat(65_536);
    let open = Open::new();
    assert!(open.open(MemoryStorage::new(with("RW 4 FLAT \"flat\" 0\n", &extents))).is_ok());
    let text = with("RW 4 FLAT \"flat\" 0\n", &(extents + "RW 1 ZERO\n"));
    assert_eq!(refused(&open, text.into()).problem, Problem::Descriptor);
}

#[test]
fn an_embedded_descriptor_names_one_extent() {
    for lines in [&["RW 1024 SPARSE \"a\"", "RW 8 ZERO"][..], &["RW 1024 FLAT \"a\" 0"]] {
        let mut disk = monolithic();
        disk.descriptor = Some(Text::new("monolithicSparse", lines.iter().copied()).render());
        let defect = refused(&Open::new(), disk.build().bytes);
        assert_eq!((defect.problem, defect.structure), (Problem::Descriptor, "descriptor"));
        assert!(defect.offset >= SECTOR as u64, "{defect}");
    }
    let mut bytes = monolithic().build().bytes;
    put32(&mut bytes, super::builder::field::DESCRIPTOR, 0);
    assert_eq!(refused(&Open::new(), bytes).problem, Problem::Descriptor);
}
