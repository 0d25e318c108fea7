//! What is odd, is read all the same, and is said.

use diskport::disk::{Geometry, Identity, LayerInfo, Linkage, WarningKind};
use diskport::format::vhd::SizeField;
use diskport::storage::{Explicit, MemoryStorage, WriteAt};
use diskport::{Disk, Open};

use super::builder::{Built, SECTOR, Vhd, utf16_be, utf16_le};
use crate::support::{Vast, assert_reads_as, storage};

const BLOCK: usize = 4096;
const SIZE: usize = 4 * BLOCK;

fn content() -> Vec<u8> {
    let mut content: Vec<u8> = (0..SIZE).map(|i| (i / SECTOR + 1) as u8).collect();
    content[BLOCK..2 * BLOCK + 3 * SECTOR].fill(0);
    content
}

fn dynamic() -> Vhd {
    let mut image = Vhd::dynamic(SIZE as u64, BLOCK);
    for (sector, bytes) in (0..).zip(content().chunks_exact(SECTOR)) {
        if !diskport::disk::is_zero(bytes) {
            image.write(sector, bytes);
        }
    }
    image
}

fn fixed() -> Vhd {
    Vhd::fixed(&content())
}

fn open(bytes: Vec<u8>) -> Disk {
    Open::new().open(MemoryStorage::new(bytes)).expect("opens")
}

/// That the image reads as it should, with as many warnings, one of which says this.
#[track_caller]
fn reads_with(bytes: Vec<u8>, warnings: usize, text: &str) {
    let disk = open(bytes);
    assert_reads_as(&disk, &content());
    let found: Vec<String> = disk.warnings().map(ToString::to_string).collect();
    assert_eq!(found.len(), warnings, "{found:?}");
    assert!(warnings == 0 || found.iter().any(|warning| warning.contains(text)), "{found:?}");
}

#[test]
fn nothing_odd() {
    reads_with(dynamic().bytes(), 0, "");
    reads_with(fixed().bytes(), 0, "");
    let empty = open(Vhd::dynamic(SIZE as u64, BLOCK).bytes());
    assert_reads_as(&empty, &[0; SIZE]);
}

#[test]
fn what_it_says_of_itself() {
    let image = Vhd { geometry: (120, 4, 17), id: *b"0123456789abcdef", ..dynamic() };
    let disk = open(image.bytes());
    let info = disk.chain()[0].info();
    assert_eq!((info.subformat, info.size, info.block_size), ("dynamic", SIZE as u64, Some(BLOCK as u64)));
    assert_eq!(info.creator.as_deref(), Some("win 10.0 (Wi2k)"));
    assert_eq!(info.geometry, Some(Geometry { cylinders: 120, heads: 4, sectors: 17 }));
    let Some(Identity::Uuid(id)) = info.id else { panic!("no id") };
    assert_eq!(id.to_string(), "30313233-3435-3637-3839-616263646566");
    let disk = open(Vhd { geometry: (0, 0, 0), ..fixed() }.bytes());
    let info = disk.chain()[0].info();
    assert_eq!((info.subformat, info.block_size, info.geometry), ("fixed", None, None));
}

/// The states in which a writer can be cut, and a file be damaged, while one footer stays whole.
#[test]
fn one_footer_of_two() {
    for len in [0, 1, 510] {
        let Built { mut bytes, footer, .. } = dynamic().build();
        bytes.truncate(footer + len);
        let missing = bytes.clone();
        reads_with(missing, 1, "footer: is missing; its copy at 0 is used");
    }
    let Built { mut bytes, footer, .. } = dynamic().build();
    bytes[footer + 100] ^= 1;
    reads_with(bytes, 1, "footer: its checksum is wrong; its copy at 0 is used");
    let mut bytes = dynamic().bytes();
    bytes[100] ^= 1;
    reads_with(bytes, 1, "copy of the footer: its checksum is wrong");
    let mut bytes = dynamic().bytes();
    bytes[..SECTOR].fill(0);
    reads_with(bytes, 1, "copy of the footer: is missing");
}

/// A new identity was written to one footer, and not to the other: the bytes are the same by either.
#[test]
fn footers_that_differ_harmlessly() {
    let image = dynamic().build().set_footer(68, &[9; 16]).set_footer(84, &[0, 1]).take();
    let disk = open(image.clone());
    assert_eq!(disk.chain()[0].info().id, Some(Identity::Uuid(uuid(9))));
    reads_with(image, 2, "differs from the footer in unique id, hidden mark; the footer counts");
}

fn uuid(byte: u8) -> uuid::Uuid {
    uuid::Uuid::from_bytes([byte; 16])
}

#[test]
fn short_footers() {
    reads_with(Vhd { footer_len: 511, ..fixed() }.bytes(), 0, "");
    reads_with(Vhd { footer_len: 511, ..dynamic() }.bytes(), 0, "");
}

#[test]
fn fields_out_of_the_ordinary() {
    for image in [fixed(), dynamic()] {
        let set = |at, value: &[u8]| image.build().set_footers(at, value).take();
        reads_with(set(500, &[1]), 1, "reserved bytes are not zero");
        reads_with(set(85, &[1]), 1, "reserved bytes are not zero");
        reads_with(set(84, &[1]), 1, "suspended");
        reads_with(set(28, b"me\0\x01"), 1, "unknown creator: me\\x00\\x01 10.0 (Wi2k)");
        reads_with(set(28, b"me  "), 1, "unknown creator: me 10.0 (Wi2k)");
        reads_with(set(8, &[0; 4]), 1, "bit 1 of the features");
        reads_with(set(8, &3_u32.to_be_bytes()), 0, "");
        reads_with(set(12, &0x0001_0001_u32.to_be_bytes()), 1, "version 1.1 is read as 1.0");
    }
    let header = |at, value: &[u8]| dynamic().build().set_header(at, value).take();
    reads_with(header(8, &0xFFFF_FFFF_u64.to_be_bytes()), 0, "");
    reads_with(header(8, &[0; 8]), 1, "data offset is 0x0");
    reads_with(header(800, &[1]), 1, "reserved bytes");
    reads_with(header(40, &[1]), 1, "names a parent");
}

#[test]
fn data_offsets_of_a_fixed_disk() {
    for offset in [u64::MAX, 0xFFFF_FFFF] {
        reads_with(Vhd { data_offset: Some(offset), ..fixed() }.bytes(), 0, "");
    }
    reads_with(Vhd { data_offset: Some(512), ..fixed() }.bytes(), 1, "data offset of a fixed disk is 0x200");
}

#[test]
fn more_data_than_the_disk_has() {
    let Built { mut bytes, footer, .. } = fixed().build();
    bytes.splice(footer..footer, [1; 3 * SECTOR]);
    reads_with(bytes, 1, "1536 bytes between the disk's end and the footer");
}

#[test]
fn tables_of_other_sizes_and_places() {
    reads_with(Vhd { spare_entries: 1000, ..dynamic() }.bytes(), 0, "");
    reads_with(Vhd { bat_last: true, gap: 2, shuffle: 40_000, ..dynamic() }.bytes(), 0, "");
    // Not even at a sector.
    let mut image = dynamic().build();
    image.bytes.copy_within(image.bat..image.bat + 16, image.bat + 40);
    let moved = image.bat as u64 + 40;
    reads_with(image.set_header(16, &moved.to_be_bytes()).take(), 1, "is not a whole number of sectors");
}

#[test]
fn xenserver() {
    let xen = Vhd { creator: *b"tap\0", creator_version: 0x0001_0003, ..dynamic() };
    reads_with(xen.bytes(), 0, "");
    reads_with(Vhd { batmap: true, ..xen.clone() }.bytes(), 1, "XenServer's batmap at 2048");
    reads_with(xen.build().set_footers(85, &[1]).take(), 1, "hidden");
    // Early versions marked an image hidden and left the checksum; later ones do not.
    for (version, warnings, text) in [(0x0001_0001_u32, 2, "hidden"), (0x0001_0003, 1, "checksum is wrong")] {
        let mut image = Vhd { creator_version: version, ..xen.clone() }.build();
        image.bytes[85] = 1;
        let footer = image.footer;
        if warnings == 2 {
            // The end lost, the copy is all there is.
            image.bytes.truncate(footer);
        }
        reads_with(image.take(), warnings, text);
    }
}

#[test]
fn geometries() {
    // 120/4/17 is 4 080 KiB: of a disk of 4 MiB, the specification's rounding loses 32 sectors.
    let size = 4 << 20;
    let by_geometry = 120 * 4 * 17 * 512;
    let image = |creator, geometry| Vhd { creator, geometry, ..Vhd::dynamic(size, 2 << 20) };
    let warned = |creator, geometry| open(image(creator, geometry).bytes()).warnings().count();
    assert_eq!(warned(*b"win ", (128, 4, 16)), 0);
    // The specification rounds down, and only these two ever meant the geometry for the size.
    assert_eq!(warned(*b"win ", (120, 4, 17)), 0);
    assert_eq!(warned(*b"qem2", (120, 4, 17)), 0);
    assert_eq!(warned(*b"vbox", (120, 4, 17)), 0);
    assert_eq!(warned(*b"vpc ", (120, 4, 17)), 1);
    assert_eq!(warned(*b"qemu", (120, 4, 17)), 1);
    assert_eq!(warned(*b"win ", (1200, 4, 17)), 0);
    // "More than a geometry can say" is no size.
    assert_eq!(warned(*b"vpc ", (65535, 16, 255)), 0);

    let chs = Open::new().vhd_size(SizeField::Chs);
    let size_of =
        |open: &Open, image: Vhd| open.open(MemoryStorage::new(image.bytes())).expect("opens").size();
    for creator in [*b"win ", *b"vpc "] {
        assert_eq!(size_of(&Open::new(), image(creator, (120, 4, 17))), size);
        assert_eq!(size_of(&chs, image(creator, (120, 4, 17))), by_geometry);
        assert_eq!(size_of(&chs, image(creator, (65535, 16, 255))), size);
        assert_eq!(size_of(&chs, image(creator, (0, 0, 0))), size);
    }
    let fixed = Vhd { geometry: (3, 2, 5), ..fixed() };
    let disk = chs.open(MemoryStorage::new(fixed.bytes())).expect("opens");
    assert_reads_as(&disk, &content()[..30 * SECTOR]);
    let kinds: Vec<_> = disk.warnings().map(|warning| warning.kind).collect();
    assert_eq!(kinds, [WarningKind::SizeInDoubt], "chosen by the caller");
}

#[test]
fn names_of_the_parent() {
    let names = |name: &[u8], locators: &[(&[u8; 4], &[u8])]| -> (Vec<String>, LayerInfo) {
        let locators = locators.iter().map(|(code, data)| (**code, data.to_vec())).collect();
        let child = Vhd { parent_name: name.to_vec(), locators, ..Vhd::differencing(512, 512, [7; 16]) };
        let disk = Open::new()
            .allow_missing_parent(true)
            .open(MemoryStorage::new(Vhd { parent_time: 1, ..child }.bytes()))
            .expect("opens");
        let info = disk.chain()[0].info().clone();
        (info.parent.as_ref().expect("a child").names.clone(), info)
    };
    // In the order of trust, whatever the order in the file; each once.
    let (found, info) = names(
        &utf16_be("C:\\vm\\base.vhd"),
        &[
            (b"Wi2k", b"D:\\vm\\b\xE4se.vhd"),
            (b"Wi2r", b".\\old.vhd"),
            (b"MacX", b"file:///Users/me/my%20base.vhd"),
            (b"W2ku", &utf16_le("C:\\vm\\base.vhd")),
            (b"Mac ", b"an alias"),
            (b"W2ru", &utf16_le(".\\b\u{1F4BE}.vhd")),
        ],
    );
    let expected =
        [".\\b\u{1F4BE}.vhd", "C:\\vm\\base.vhd", "/Users/me/my base.vhd", ".\\old.vhd", "D:\\vm\\bäse.vhd"];
    assert_eq!(found, expected);
    let parent = info.parent.expect("a child");
    assert_eq!(parent.linkage, Linkage::Id(vec![Identity::Uuid(uuid(7))]));
    assert_eq!(parent.modified, Some(946_684_801));
    assert_eq!(info.warnings.len(), 1, "of the alias: {:?}", info.warnings);

    // XenServer: a relative path where an absolute one belongs, one unescaped, and a NUL counted.
    let (found, _) = names(
        &utf16_be("base.vhd"),
        &[(b"MacX", b"file://./100%.vhd"), (b"W2ku", &utf16_le(".\\base.vhd\0"))],
    );
    assert_eq!(found, [".\\base.vhd", "./100%.vhd", "base.vhd"]);
    // VirtualBox's own code; a host that is this one; a name that fills its field.
    let long = "n".repeat(256);
    let (found, _) = names(&utf16_be(&long), &[(b"M\x162X", b"file://localhost/base.vhd")]);
    assert_eq!(found, ["/base.vhd".to_owned(), long]);
    // A code that nobody knows, an alias alone: the caller can still say where the parent is.
    let (found, info) = names(&[], &[(b"Wat?", b"?"), (b"Mac ", b"an alias")]);
    assert!(found.is_empty());
    assert_eq!(info.warnings.len(), 2);
}

#[test]
fn a_raw_parent() {
    let mut child = Vhd::differencing(SIZE as u64, BLOCK, [0; 16]);
    child.write(9, &[0xAA; SECTOR]);
    let mut expected = content();
    expected[9 * SECTOR..10 * SECTOR].fill(0xAA);
    let resolver = Explicit::from([("parent.vhd", storage(content()))]);
    let disk = Open::new().resolver(resolver).open(MemoryStorage::new(child.bytes())).expect("opens");
    assert_reads_as(&disk, &expected);
    assert!(disk.warnings().any(|warning| warning.message.contains("raw disk")));
}

#[test]
fn no_time_is_no_time() {
    let child = Vhd::differencing(512, 512, [7; 16]).bytes();
    let disk = Open::new().allow_missing_parent(true).open(MemoryStorage::new(child)).expect("opens");
    assert_eq!(disk.chain()[0].info().parent.as_ref().expect("a child").modified, None);
}

/// Sector numbers have no sign: the upper half of the BAT's range is as good as the lower.
#[test]
fn blocks_beyond_a_tebibyte() {
    let mut image = Vhd::dynamic(SIZE as u64, BLOCK).build();
    let far = 0xFFFF_0000_u32;
    image.set_entry(3, far);
    let mut block = vec![0xC5; SECTOR + BLOCK];
    block[..SECTOR].fill(0);
    block[0] = 0b0100_0000;
    let at = u64::from(far) * 512;
    let footer = image.bytes[image.footer..].to_vec();
    let file = Vast::default();
    let end = at + block.len() as u64;
    for (at, bytes) in [(0, image.take()), (at, block), (end, footer)] {
        file.write_all_at(&bytes, at).expect("writes");
    }
    let disk = Open::new().open(file);
    let mut expected = vec![0; SIZE];
    expected[3 * BLOCK + SECTOR..][..SECTOR].fill(0xC5);
    assert_reads_as(&disk.expect("opens"), &expected);
}
