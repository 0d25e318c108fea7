//! What must be refused, and by which name.

use std::sync::Arc;
use std::time::{Duration, Instant};

use diskport::disk::{MappingKind, WarningKind};
use diskport::storage::{Explicit, MemoryStorage, ReadAt, WriteAt};
use diskport::{Defect, Error, Open, Problem};

use super::builder::{Built, DIFFERENCING, DYNAMIC, FIXED, SECTOR, Vhd, utf16_be, utf16_le};
use crate::support::{defect, storage};

const BLOCK: usize = 4096;

/// Four blocks, all of them there.
fn dynamic() -> Built {
    let mut image = Vhd::dynamic(4 * BLOCK as u64, BLOCK);
    for sector in 0..32 {
        image.write(sector, &[sector as u8; SECTOR]);
    }
    image.build()
}

fn fixed() -> Built {
    Vhd::fixed(&[7; 8 * SECTOR]).build()
}

fn child(name: &[u8], locators: &[(&[u8; 4], Vec<u8>)]) -> Built {
    Vhd {
        parent_name: name.to_vec(),
        locators: locators.iter().map(|(code, data)| (**code, data.clone())).collect(),
        ..Vhd::differencing(4 * BLOCK as u64, BLOCK, [1; 16])
    }
    .build()
}

#[track_caller]
fn refused(built: &mut Built, problem: Problem, structure: &str) -> Defect {
    let defect = defect(built.take());
    assert_eq!((defect.problem, defect.structure), (problem, structure), "{defect}");
    defect
}

#[test]
fn sizes() {
    let too_large = 2040 * diskport::GIB + 512;
    for size in [0, 511, 4 * BLOCK as u64 - 1, too_large, u64::MAX - 511, u64::MAX] {
        for mut image in [dynamic(), fixed()] {
            let place = image.footer as u64 + 48;
            let defect = refused(image.set_footers(48, &size.to_be_bytes()), Problem::Size, "footer");
            assert_eq!(defect.offset, place);
        }
    }
    // The largest size as such is allowed: the file just does not hold it.
    let largest = 2040 * diskport::GIB;
    refused(fixed().set_footers(48, &largest.to_be_bytes()), Problem::Truncated, "data");
    refused(dynamic().set_footers(48, &largest.to_be_bytes()), Problem::Table, "dynamic disk header");
}

#[test]
fn block_sizes() {
    for size in [0, 1, 256, 511, 513, 3 * 512, (2 << 20) + 512, 512 << 20, 1 << 31, u32::MAX] {
        let mut image = dynamic();
        let place = image.header as u64 + 32;
        let defect =
            refused(image.set_header(32, &size.to_be_bytes()), Problem::BlockSize, "dynamic disk header");
        assert_eq!(defect.offset, place);
    }
}

#[test]
fn tables_too_large_or_too_small() {
    for entries in [0_u32, 3, u32::MAX, 1 << 30, 100_000] {
        let mut image = dynamic();
        let place = image.header as u64 + 28;
        let defect =
            refused(image.set_header(28, &entries.to_be_bytes()), Problem::Table, "dynamic disk header");
        assert_eq!(defect.offset, place);
    }
    // The table by itself would fit into the file, but not where it is.
    let mut image = dynamic();
    let entries = (image.bytes.len() / 4) as u32;
    refused(image.set_header(28, &entries.to_be_bytes()), Problem::OutOfFile, "BAT");
}

#[test]
fn structures_out_of_the_file() {
    let len = dynamic().bytes.len() as u64;
    for offset in [len - 4, len, 1 << 40, u64::MAX - 3, u64::MAX] {
        refused(dynamic().set_header(16, &offset.to_be_bytes()), Problem::OutOfFile, "BAT");
        if offset != len - 4 {
            refused(
                dynamic().set_footers(16, &offset.to_be_bytes()),
                Problem::OutOfFile,
                "dynamic disk header",
            );
        }
    }
}

#[test]
fn blocks_out_of_the_file() {
    for entry in [UNREACHABLE, 1 << 31, (dynamic().bytes.len() / SECTOR) as u32] {
        let mut image = dynamic();
        let place = image.bat as u64 + 2 * 4;
        let defect = refused(image.set_entry(2, entry), Problem::OutOfFile, "BAT");
        assert_eq!(defect.offset, place);
        assert!(defect.found.starts_with("block 2 at"), "{defect}");
    }
}

/// The last sector that an entry can name.
const UNREACHABLE: u32 = 0xFFFF_FFFE;

/// Blocks before a bad one are read.
#[test]
fn a_bad_block_is_only_its_own() {
    let image = dynamic().set_entry(2, UNREACHABLE).take();
    let disk = Open::new().open(MemoryStorage::new(image)).expect("opens");
    let mut content = vec![0; 2 * BLOCK];
    disk.read_at(&mut content, 0).expect("the first two blocks");
    assert!(matches!(disk.read_at(&mut content[..1], 2 * BLOCK as u64), Err(Error::Defect(_))));
    disk.read_at(&mut content[..BLOCK], 3 * BLOCK as u64).expect("the last block");
    // A run that reaches the bad block ends there.
    let image = dynamic().set_entry(0, u32::MAX).set_entry(1, u32::MAX).set_entry(2, UNREACHABLE).take();
    let disk = Open::new().open(MemoryStorage::new(image)).expect("opens");
    let run = disk.chain()[0].map(0, disk.size()).expect("maps");
    assert_eq!((run.len, run.kind), (2 * BLOCK as u64, MappingKind::Absent));
}

#[test]
fn blocks_over_other_structures() {
    let sector = |offset: usize| (offset / SECTOR) as u32;
    let Built { header, bat, footer, .. } = dynamic();
    let cases = [
        (0, "the copy of the footer"),
        (sector(header), "dynamic disk header"),
        (sector(header) + 1, "dynamic disk header"),
        (sector(bat), "BAT"),
        // Bitmap and data reach into the footer; the last sector of data is the footer.
        (sector(footer) - 8, "the footer"),
    ];
    for (entry, structure) in cases {
        let defect = refused(dynamic().set_entry(1, entry), Problem::Overlap, "BAT");
        assert!(defect.expected.ends_with(structure), "{defect}");
        assert_eq!(defect.offset, bat as u64 + 4);
    }
}

#[test]
fn structures_over_one_another() {
    let Built { header, footer, .. } = dynamic();
    for offset in [0, header - 4, header, header + 1020, footer - 8, footer] {
        let offset = (offset as u64).to_be_bytes();
        refused(dynamic().set_header(16, &offset), Problem::Overlap, "dynamic disk header");
    }
    for offset in [0, 1, 511, footer as u64 - 512] {
        refused(dynamic().set_footers(16, &offset.to_be_bytes()), Problem::Overlap, "dynamic disk header");
    }
}

#[test]
fn checksums() {
    // Both footers of a dynamic disk, the only one of a fixed disk, the header.
    let mut image = dynamic();
    let place = image.footer as u64 + 64;
    image.bytes[200] ^= 1;
    let footer = image.footer;
    image.bytes[footer + 200] ^= 1;
    assert_eq!(refused(&mut image, Problem::Checksum, "footer").offset, place);

    let mut image = fixed();
    let footer = image.footer;
    image.bytes[footer + 200] ^= 1;
    refused(&mut image, Problem::Checksum, "footer");

    let mut image = dynamic();
    image.bytes.truncate(footer);
    image.bytes[200] ^= 1;
    assert_eq!(refused(&mut image, Problem::Checksum, "footer").offset, 64);

    let mut image = dynamic();
    let header = image.header;
    image.bytes[header + 700] ^= 1;
    assert_eq!(refused(&mut image, Problem::Checksum, "dynamic disk header").offset, header as u64 + 36);
}

#[test]
fn footers_that_make_two_disks_of_one() {
    for (at, value) in [
        (48, &(3 * BLOCK as u64).to_be_bytes()[..]),
        (48, &(5 * BLOCK as u64).to_be_bytes()),
        (60, &DIFFERENCING.to_be_bytes()),
        (60, &FIXED.to_be_bytes()),
        (16, &1024_u64.to_be_bytes()),
    ] {
        let defect = refused(dynamic().set_footer(at, value), Problem::Ambiguous, "copy of the footer");
        assert!(defect.hint.is_some());
    }
    // A guest that writes a footer into its first sector.
    let mut image = fixed();
    image.bytes[..SECTOR].copy_from_slice(&dynamic().bytes[..SECTOR]);
    refused(&mut image, Problem::Ambiguous, "copy of the footer");
}

#[test]
fn unknown_and_refused_features() {
    for features in [4_u32, 0x8000_0002, u32::MAX] {
        refused(dynamic().set_footers(8, &features.to_be_bytes()), Problem::Unsupported, "footer");
    }
    for version in [0_u32, 0x0002_0000, u32::MAX] {
        refused(fixed().set_footers(12, &version.to_be_bytes()), Problem::Unsupported, "footer");
        let value = version.to_be_bytes();
        refused(dynamic().set_header(24, &value), Problem::Unsupported, "dynamic disk header");
    }
    for disk_type in [0_u32, 1, 5, 6, 7, u32::MAX] {
        let defect =
            refused(dynamic().set_footers(60, &disk_type.to_be_bytes()), Problem::Unsupported, "footer");
        assert_eq!(defect.found, disk_type.to_string());
    }
    // XenServer while it changes the size: first one footer, then the other.
    let poison = b"v_poison";
    refused(dynamic().set_footers(0, poison), Problem::Unsupported, "footer");
    refused(dynamic().set_footer(0, poison), Problem::Unsupported, "footer");
    assert!(refused(dynamic().set_copy(0, poison), Problem::Unsupported, "footer").hint.is_some());
    // Its first version had bitmaps of its own kind.
    let early = dynamic().set_footers(28, b"tap\0").set_footers(32, &1_u32.to_be_bytes()).take();
    assert!(defect(early).found.contains("0.1"));
}

#[test]
fn cookies() {
    let mut image = dynamic();
    refused(image.set_header(0, b"cxSparse"), Problem::Signature, "dynamic disk header");
    let mut bytes = dynamic().take();
    bytes.drain(..SECTOR);
    bytes.truncate(bytes.len() - SECTOR);
    let open = Open::new().format(diskport::Format::Vhd);
    let Err(Error::Defect(defect)) = open.open(MemoryStorage::new(bytes.clone())) else { panic!("opened") };
    assert_eq!(defect.problem, Problem::Signature);
    let unknown = Open::new().open(MemoryStorage::new(bytes));
    assert!(matches!(unknown, Err(Error::NotRecognised { .. })));
    for len in [0, 1, 510, 511, 512] {
        let nothing = open.open(MemoryStorage::new(vec![0; len]));
        assert!(matches!(nothing, Err(Error::Defect(_))), "{len} bytes");
    }
}

/// Pieces of a disk that Virtual PC split, and files that were cut.
#[test]
fn parts_of_a_disk() {
    let mut last_piece_of_fixed = fixed();
    last_piece_of_fixed.bytes.drain(..SECTOR);
    let found = refused(&mut last_piece_of_fixed, Problem::Truncated, "data");
    assert!(found.hint == Some(diskport::Hint::JoinPieces));

    let mut last_piece_of_dynamic = dynamic();
    last_piece_of_dynamic.bytes.drain(..4 * SECTOR);
    let found = refused(&mut last_piece_of_dynamic, Problem::Truncated, "dynamic disk header");
    assert!(found.hint == Some(diskport::Hint::JoinPieces));

    let mut first_piece = dynamic();
    let half = first_piece.bytes.len() / 2;
    first_piece.bytes.truncate(half);
    let found = refused(&mut first_piece, Problem::OutOfFile, "BAT");
    assert!(found.hint == Some(diskport::Hint::JoinPieces));

    let mut footer_in_front = fixed();
    let footer = footer_in_front.footer;
    footer_in_front.bytes.rotate_left(footer);
    refused(&mut footer_in_front, Problem::Truncated, "footer");
}

/// Every length that a file can be cut to is refused, or, where nothing but the footer is gone, read.
#[test]
fn cut_anywhere() {
    let Built { bytes, footer, .. } = dynamic();
    for len in (0..bytes.len()).step_by(97).chain([footer - 1, footer, footer + 1, footer + 511]) {
        let result = crate::support::read_all(&Open::new(), bytes[..len].to_vec());
        assert_eq!(result.is_ok(), len >= footer, "cut to {len} of {}: {result:?}", bytes.len());
    }
}

#[test]
fn locators_that_cannot_be_read() {
    let name = utf16_le("parent.vhd");
    let lone = [&name[..], &[0x00, 0xD8]].concat();
    let cases: [(&[u8; 4], Vec<u8>); 8] = [
        (b"W2ru", name[..19].to_vec()),
        (b"W2ku", utf16_le("par\0ent.vhd")),
        (b"W2ru", lone),
        (b"W2ru", Vec::new()),
        (b"W2ru", vec![b'a'; 65_538]),
        (b"MacX", b"http://host/parent.vhd".to_vec()),
        (b"MacX", b"file://./%ff.vhd".to_vec()),
        (b"Wi2r", b"\0".to_vec()),
    ];
    for (code, data) in cases {
        // Nothing else names the parent.
        let mut image = child(&[], &[(code, data.clone())]);
        refused(&mut image, Problem::Locator, "parent locator");
        // Something else does.
        let image = child(&utf16_be("parent.vhd"), &[(code, data)]).take();
        let disk = Open::new().allow_missing_parent(true).open(MemoryStorage::new(image)).expect("opens");
        let info = disk.chain()[0].info();
        assert_eq!(info.parent.as_ref().expect("a child").names, ["parent.vhd"]);
        assert_eq!(info.warnings.len(), 1, "{:?}", info.warnings);
    }
    let mut image = child(&[0xD8, 0x00, 0, b'a'], &[]);
    refused(&mut image, Problem::Locator, "parent unicode name");
}

#[test]
fn locators_out_of_the_file() {
    for offset in [1 << 20, u64::MAX - 1, u64::MAX] {
        let mut image = child(&[], &[(b"W2ru", utf16_le(".\\parent.vhd"))]);
        let image = image.set_header(576 + 16, &u64::to_be_bytes(offset));
        refused(image, Problem::Locator, "parent locator");
        // One bad locator hides neither the other nor the name in the header; nothing is written over it.
        let names = [(b"W2ru", utf16_le(".\\bad.vhd")), (b"W2ku", utf16_le("C:\\good.vhd"))];
        let mut image = child(&utf16_be("parent.vhd"), &names);
        let bytes = image.set_header(576 + 16, &u64::to_be_bytes(offset)).take();
        let open = Open::new().allow_missing_parent(true);
        let disk = open.open(MemoryStorage::new(bytes.as_slice())).expect("opens");
        let info = disk.chain()[0].info();
        assert_eq!(info.parent.as_ref().expect("a child").names, ["C:\\good.vhd", "parent.vhd"]);
        let kinds: Vec<_> = info.warnings.iter().map(|warning| warning.kind).collect();
        assert_eq!(kinds, [WarningKind::Unused]);
        let checked = Open::new().check(MemoryStorage::new(bytes.as_slice())).expect("checks");
        assert!(!checked.is_clean());
    }
}

fn open_child(child: Vec<u8>, parent: Arc<dyn ReadAt>) -> diskport::Result<diskport::Disk> {
    Open::new().resolver(Explicit::from([("parent.vhd", parent)])).open(MemoryStorage::new(child))
}

/// A candidate that cannot be read does not end the search, and is told of.
#[test]
fn a_damaged_candidate_does_not_hide_the_parent() {
    let child = child(&utf16_be("good.vhd"), &[(b"W2ru", utf16_le(".\\bad.vhd"))]).take();
    let parent = || Vhd { id: [1; 16], ..Vhd::dynamic(4 * BLOCK as u64, BLOCK) }.build();
    let headless = parent().set_header(0, b"nonsense").take();
    let mut cut = parent().take();
    cut.truncate(600);
    for bad in [headless, cut] {
        let files = [("bad.vhd", storage(bad)), ("good.vhd", storage(parent().take()))];
        let both = Open::new().resolver(files.clone().into_iter().collect::<Explicit>());
        let disk = both.open(MemoryStorage::new(child.as_slice())).expect("the second one serves");
        assert_eq!(disk.chain().len(), 2);
        let told: Vec<_> = disk.warnings().filter(|w| w.kind == WarningKind::UnfitCandidate).collect();
        assert!(told.len() == 1 && told[0].message.contains("bad.vhd"), "{told:?}");
        let [bad, _] = files;
        let alone = Open::new().resolver(Explicit::from([bad]));
        let failed = alone.open(MemoryStorage::new(child.as_slice()));
        assert!(matches!(failed, Err(Error::Defect(_))), "{failed:?}");
    }
}

#[test]
fn parents() {
    let child = child(&utf16_be("parent.vhd"), &[]).take();
    let parent = |id| storage(Vhd { id, ..Vhd::dynamic(4 * BLOCK as u64, BLOCK) }.bytes());
    open_child(child.clone(), parent([1; 16])).expect("its own parent");
    let other = open_child(child.clone(), parent([2; 16]));
    assert!(matches!(other, Err(Error::ParentMismatch { .. })));
    let missing = Open::new().resolver(Explicit::default()).open(MemoryStorage::new(child.clone()));
    assert!(matches!(missing, Err(Error::ParentMissing { .. })));
    // It can be looked at, not read.
    let alone = Open::new().allow_missing_parent(true).open(MemoryStorage::new(child)).expect("opens");
    assert!(matches!(alone.read_at(&mut [0; 512], 0), Err(Error::Incomplete(_))));
}

#[test]
fn a_child_of_itself() {
    let child = Vhd { id: [1; 16], ..Vhd::differencing(4 * BLOCK as u64, BLOCK, [1; 16]) }.bytes();
    let endless = open_child(child.clone(), storage(child.clone()));
    assert!(matches!(endless, Err(Error::ChainTooDeep { .. })));
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("parent.vhd");
    std::fs::write(&path, child).expect("writes");
    assert!(matches!(diskport::open(path), Err(Error::Cycle { .. })));
}

/// The child of an image whose own id is zero must not read that image's container as a disk.
#[test]
fn a_raw_parent_that_is_none() {
    let child = Vhd::differencing(4 * BLOCK as u64, BLOCK, [0; 16]).bytes();
    assert!(open_child(child.clone(), storage(vec![5; 4 * BLOCK])).is_ok());
    for parent in [Vhd::dynamic(4 * BLOCK as u64, BLOCK), Vhd::fixed(&[1; 4 * BLOCK])] {
        let parent = storage(Vhd { id: [0; 16], ..parent }.bytes());
        assert!(matches!(open_child(child.clone(), parent), Err(Error::ParentMismatch { .. })));
    }
}

/// The kinds that these tests craft are the specification's.
#[test]
fn what_the_crafted_files_are() {
    for (mut image, disk_type) in [(dynamic(), DYNAMIC), (fixed(), FIXED)] {
        assert_eq!(image.bytes[image.footer + 60..][..4], disk_type.to_be_bytes());
        crate::support::read_all(&Open::new(), image.take()).expect("whole as it is");
    }
}

/// A file of a few KiB and a hole of 16 GiB.
struct Holed {
    head: Vec<u8>,
    size: u64,
}

impl ReadAt for Holed {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> std::io::Result<usize> {
        let len = (buf.len() as u64).min(self.size.saturating_sub(offset)) as usize;
        for (byte, at) in buf[..len].iter_mut().zip(offset as usize..) {
            *byte = self.head.get(at).copied().unwrap_or(0);
        }
        Ok(len)
    }

    fn size(&self) -> std::io::Result<u64> {
        Ok(self.size)
    }
}

impl WriteAt for Holed {
    fn write_all_at(&self, _: &[u8], _: u64) -> std::io::Result<()> {
        panic!("nothing is written");
    }

    fn set_size(&self, _: u64) -> std::io::Result<()> {
        panic!("nothing is written");
    }

    fn sync(&self) -> std::io::Result<()> {
        Ok(())
    }
}

/// As many bad entries as the largest disk has sectors take no time to refuse, nor to check.
#[test]
fn a_table_of_zeros_in_a_hole() {
    let size = 2040 * diskport::GIB;
    let mut image = Vhd::dynamic(4 * SECTOR as u64, SECTOR).build();
    let entries = (size / SECTOR as u64) as u32;
    image.set_footers(48, &size.to_be_bytes());
    image.set_header(28, &entries.to_be_bytes());
    image.set_header(16, &2048_u64.to_be_bytes());
    let mut head = image.take();
    head.truncate(2048);
    let holed = || Holed { head: head.clone(), size: 2048 + u64::from(entries) * 4 };
    let started = Instant::now();
    let refused = Open::new().open_writable(holed());
    assert!(matches!(refused, Err(Error::Defect(_))), "{refused:?}");
    let checked = Open::new().check(holed()).expect("checks");
    assert!(checked.findings.iter().any(|finding| finding.defect.problem == Problem::Overlap));
    assert!(checked.findings.len() <= 1001, "{}", checked.findings.len());
    assert!(started.elapsed() < Duration::from_secs(20));
}
