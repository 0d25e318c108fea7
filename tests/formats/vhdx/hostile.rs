//! Images that must be refused by name.

use diskport::disk::WarningKind;
use diskport::storage::MemoryStorage;
use diskport::{Defect, Error, Open, Problem};

use super::builder::{
    BAT, BAT_REGION, Block, FILE_PARAMETERS, Guid, HEADERS, Image, LOG, LOGICAL_SECTOR, METADATA,
    METADATA_REGION, MIB, PARENT_LOCATOR, PHYSICAL_SECTOR, REGIONS, SECTION, guid, header, locator, metadata,
    patch_headers, put, put_regions, seal, utf16,
};
use super::model::noise;
use super::over;
use crate::support::{defect, read_all};

const UNKNOWN: &str = "11111111-2222-3333-4444-555555555555";
const DATA: &str = "77777777-7777-7777-7777-777777777777";

fn image() -> Image {
    let mut image = Image::empty(4 * MIB, MIB, 512);
    image.blocks[1] = Block::Full(noise(1 << 20, 1));
    image
}

#[track_caller]
fn refused(file: Vec<u8>, problem: Problem, structure: &str) -> Defect {
    let defect = defect(file);
    assert_eq!((defect.problem, defect.structure), (problem, structure), "{defect}");
    defect
}

/// The same for a child, whose parent is there.
#[track_caller]
fn child_refused(file: Vec<u8>, problem: Problem, structure: &str) -> Defect {
    match read_all(&over(Image::empty(4 * MIB, MIB, 512).build()), file) {
        Err(Error::Defect(defect)) => {
            assert_eq!((defect.problem, defect.structure), (problem, structure), "{defect}");
            *defect
        }
        other => panic!("{other:?}"),
    }
}

/// The image with the metadata items changed.
fn with_items(change: impl FnOnce(&mut Vec<(Guid, u32, Vec<u8>)>)) -> Vec<u8> {
    let image = image();
    let mut items = image.items();
    change(&mut items);
    let mut file = image.build();
    put(&mut file, METADATA, &metadata(&items));
    file
}

/// The image with the value of one item replaced.
fn with_item(id: &str, value: &[u8]) -> Vec<u8> {
    with_items(|items| {
        items.iter_mut().filter(|item| item.0 == guid(id)).for_each(|item| item.2 = value.to_vec())
    })
}

/// The image with a disk size of which its tables know nothing.
fn with_size(size: u64) -> Vec<u8> {
    with_item(super::builder::DISK_SIZE, &size.to_le_bytes())
}

/// The image with other regions.
fn with_regions(regions: &[(&str, u64, u64, u32)]) -> Vec<u8> {
    let mut file = image().build();
    let regions: Vec<_> =
        regions.iter().map(|&(id, offset, len, required)| (guid(id), offset, len, required)).collect();
    put_regions(&mut file, &regions);
    file
}

/// The image with a BAT entry replaced.
fn with_entry(entry: u64) -> Vec<u8> {
    let image = image();
    let mut file = image.build();
    put(&mut file, image.entry_at(1), &entry.to_le_bytes());
    file
}

const META: (&str, u64, u64, u32) = (METADATA_REGION, METADATA as u64, MIB, 1);
const TABLE: (&str, u64, u64, u32) = (BAT_REGION, BAT as u64, MIB, 1);

#[test]
fn the_image_itself_is_accepted() {
    read_all(&Open::new(), image().build()).expect("nothing is wrong with it");
    read_all(&Open::new(), with_items(|_| ())).expect("nor with its metadata");
    read_all(&Open::new(), with_regions(&[META, TABLE])).expect("nor with its regions");
}

#[test]
fn sizes() {
    for size in [0, 513, 4 * MIB + 1, (64 << 40) + 512, 1 << 63, u64::MAX, u64::MAX - 511] {
        let defect = refused(with_size(size), Problem::Size, "virtual disk size");
        assert_eq!(defect.offset, METADATA as u64 + (64 << 10) + 8);
        assert!(defect.found.contains(&size.to_string()));
    }
    // Sizes that look small when they are cut to 32 bits: the BAT is too small for what they are.
    for size in [(1 << 40) + MIB, 64 << 40, (1 << 52) / 1024 + 512] {
        refused(with_size(size), Problem::Table, "BAT region");
    }
}

#[test]
fn block_sizes() {
    for block in [0, 1, 512, MIB / 2, 3 * MIB, MIB + 1, 512 * MIB, 1 << 31] {
        let mut parameters = (block as u32).to_le_bytes().to_vec();
        parameters.extend([0; 4]);
        refused(with_item(FILE_PARAMETERS, &parameters), Problem::BlockSize, "file parameters");
    }
}

#[test]
fn sector_sizes() {
    // With these the chunk ratio would be zero, or overflow.
    for sector in [0_u32, 1, 511, 1024, 8192, 1 << 31, u32::MAX] {
        let value = sector.to_le_bytes();
        refused(with_item(LOGICAL_SECTOR, &value), Problem::Value, "logical sector size");
        refused(with_item(PHYSICAL_SECTOR, &value), Problem::Value, "physical sector size");
    }
}

#[test]
fn tables_that_are_too_large_or_too_small() {
    let mut file = image().build();
    put(&mut file, METADATA + 10, &2048u16.to_le_bytes());
    refused(file, Problem::Table, "metadata table");
    let users = with_items(|items| {
        items.extend((0..1025_u32).map(|n| {
            let mut id = [7; 16];
            id[..4].copy_from_slice(&n.to_le_bytes());
            (id, 1, Vec::new())
        }));
    });
    refused(users, Problem::Table, "metadata table");

    let mut file = image().build();
    for at in REGIONS {
        put(&mut file, at + 8, &2048u32.to_le_bytes());
        seal(&mut file[at..at + (64 << 10)]);
    }
    refused(file, Problem::Table, "region table");
    refused(with_regions(&[META, (BAT_REGION, BAT as u64, 0, 1)]), Problem::Table, "region table");

    // 131 072 blocks need more than a MiB, by the entries of the sector bitmap blocks.
    refused(with_size(128 << 30), Problem::Table, "BAT region");
    read_all(&Open::new(), with_size((128 << 30) - 31 * MIB)).expect("one MiB is enough here");
    // A child needs whole chunks: 32 of 4096 blocks do not fit.
    let mut child = Image::child(4 * MIB, MIB, 512, DATA);
    let mut file = child.build();
    child.size = (124 << 30) + MIB;
    put(&mut file, METADATA, &metadata(&child.items()));
    child_refused(file, Problem::Table, "BAT region");
}

#[test]
fn regions_beyond_the_file() {
    let end = image().build().len() as u64;
    for (offset, len) in [(end, MIB), (end - MIB, 2 * MIB), (1 << 62, MIB)] {
        refused(with_regions(&[META, (BAT_REGION, offset, len, 1)]), Problem::OutOfFile, "BAT region");
        refused(
            with_regions(&[(METADATA_REGION, offset, len, 1), TABLE]),
            Problem::OutOfFile,
            "metadata region",
        );
    }
    refused(
        with_regions(&[META, (BAT_REGION, u64::MAX - MIB + 1, MIB, 1)]),
        Problem::OutOfFile,
        "region table entry",
    );
    refused(with_regions(&[META, (BAT_REGION, BAT as u64, 4095 * MIB, 1)]), Problem::OutOfFile, "BAT region");
}

#[test]
fn metadata_items_beyond_their_region() {
    let entry = METADATA + 32;
    for (offset, len) in [(SECTION as u32 - 4, 8_u32), (u32::MAX, 8), (SECTION as u32, 8)] {
        let mut file = image().build();
        put(&mut file, entry + 16, &offset.to_le_bytes());
        put(&mut file, entry + 20, &len.to_le_bytes());
        let defect = refused(file, Problem::OutOfFile, "metadata table entry");
        assert_eq!(defect.offset, entry as u64);
    }
    for (offset, len) in [(64_u32 << 10, u32::MAX), (64 << 10, (1 << 20) + 1), (64 << 10, 0)] {
        let mut file = image().build();
        put(&mut file, entry + 16, &offset.to_le_bytes());
        put(&mut file, entry + 20, &len.to_le_bytes());
        refused(file, Problem::Value, "metadata table entry");
    }
    // Of the wrong size, or without a place.
    refused(with_item(FILE_PARAMETERS, &[0; 4]), Problem::Value, "file parameters");
    refused(with_item(LOGICAL_SECTOR, &[]), Problem::Value, "logical sector size");
}

#[test]
fn metadata_items_over_each_other() {
    let mut file = image().build();
    put(&mut file, METADATA + 64 + 16, &((64u32 << 10) + 4).to_le_bytes());
    refused(file, Problem::Overlap, "metadata table entry");
    let mut file = image().build();
    put(&mut file, METADATA + 64 + 16, &((64u32 << 10) - 8).to_le_bytes());
    refused(file, Problem::Overlap, "metadata table entry");
}

#[test]
fn required_items() {
    for item in 0..5 {
        let defect = refused(
            with_items(|items| {
                items.remove(item);
            }),
            Problem::Value,
            "metadata table",
        );
        assert_eq!(defect.found, "none");
    }
    let defect = refused(
        with_items(|items| items.push((guid(UNKNOWN), 4, vec![1]))),
        Problem::Unsupported,
        "metadata table entry",
    );
    assert!(defect.found.contains(UNKNOWN), "by name: {defect}");
    refused(with_items(|items| items.push(items[0].clone())), Problem::Ambiguous, "metadata table entry");
    let mut parameters = (MIB as u32).to_le_bytes().to_vec();
    parameters.extend([4, 0, 0, 0]);
    refused(with_item(FILE_PARAMETERS, &parameters), Problem::Unsupported, "file parameters");
    let mut file = image().build();
    file[METADATA] = b'M';
    refused(file, Problem::Signature, "metadata table");
}

#[test]
fn an_unfinished_file() {
    let file = with_items(|items| items.push((guid("71cc85f0-1b69-4e28-9558-c3bf83ae75d3"), 4, Vec::new())));
    let defect = refused(file, Problem::Truncated, "metadata table entry");
    assert!(defect.hint.is_some() && defect.found.contains("INCOMPLETE_FILE"));
}

#[test]
fn regions() {
    refused(with_regions(&[META]), Problem::Value, "region table");
    refused(with_regions(&[TABLE]), Problem::Value, "region table");
    refused(with_regions(&[META, TABLE, TABLE]), Problem::Ambiguous, "region table");
    let defect = refused(
        with_regions(&[META, TABLE, (UNKNOWN, 64 * MIB, MIB, 1)]),
        Problem::Unsupported,
        "region table entry",
    );
    assert!(defect.found.contains(UNKNOWN), "by name: {defect}");
    assert_eq!(defect.offset, REGIONS[0] as u64 + 16 + 64);

    for (offset, len) in [(BAT as u64 + 512, MIB), (BAT as u64, MIB + 512)] {
        refused(
            with_regions(&[META, (BAT_REGION, offset, len, 1)]),
            Problem::Misaligned,
            "region table entry",
        );
    }
    // Over the headers, the log, the metadata; and one of an unknown kind.
    for at in [0, LOG as u64, METADATA as u64] {
        refused(with_regions(&[META, (BAT_REGION, at, MIB, 1)]), Problem::Overlap, "region table entry");
    }
    refused(
        with_regions(&[META, TABLE, (UNKNOWN, METADATA as u64, 2 * MIB, 0)]),
        Problem::Overlap,
        "region table entry",
    );
}

#[test]
fn two_bad_copies() {
    let mut file = image().build();
    HEADERS.iter().for_each(|at| file[at + 200] ^= 1);
    refused(file, Problem::Checksum, "header");
    let mut file = image().build();
    HEADERS.iter().for_each(|&at| {
        file[at] = b'H';
        seal(&mut file[at..at + 4096]);
    });
    refused(file, Problem::Checksum, "header");
    let mut file = image().build();
    REGIONS.iter().for_each(|at| file[at + 40_000] ^= 1);
    refused(file, Problem::Checksum, "region table");
}

#[test]
fn two_copies_that_contradict_each_other() {
    let mut file = image().build();
    put(&mut file, HEADERS[0], &header(9, [0; 16], [1; 16]));
    put(&mut file, HEADERS[1], &header(9, [0; 16], [2; 16]));
    refused(file, Problem::Ambiguous, "header");

    let other = with_regions(&[META, (BAT_REGION, BAT as u64 + MIB, MIB, 1)]);
    let mut file = image().build();
    put(&mut file, REGIONS[1], &other[REGIONS[1]..REGIONS[1] + (64 << 10)]);
    refused(file, Problem::Ambiguous, "region table");
}

#[test]
fn versions() {
    for version in [0_u16, 2, u16::MAX] {
        let mut file = image().build();
        patch_headers(&mut file, 66, &version.to_le_bytes());
        refused(file, Problem::Unsupported, "header");
    }
}

#[test]
fn cut_files() {
    let file = image().build();
    for len in [520, 4096, HEADERS[0], HEADERS[1] + 100, REGIONS[1], SECTION - 1] {
        refused(file[..len].to_vec(), Problem::Truncated, "header section");
    }
    refused(file[..METADATA].to_vec(), Problem::OutOfFile, "BAT region");
    refused(file[..file.len() - 512].to_vec(), Problem::OutOfFile, "BAT entry");
    // Said to be one, but too short or something else.
    let named = Open::new().format(diskport::Format::Vhdx);
    for (bytes, problem) in
        [(b"vhdxfile".to_vec(), Problem::OutOfFile), (vec![0; 2 * SECTION], Problem::Signature)]
    {
        match named.open(MemoryStorage::new(bytes)) {
            Err(Error::Defect(defect)) => {
                assert_eq!((defect.problem, defect.structure), (problem, "file type identifier"));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn states_that_do_not_exist_here() {
    for entry in [4, 5, 7, 7 | 4 << 20, 4 | 4 << 20] {
        let defect = refused(with_entry(entry), Problem::Value, "BAT entry");
        assert_eq!(defect.offset, image().entry_at(1) as u64);
    }
    for bit in 3..20 {
        refused(with_entry(6 | 4 << 20 | 1 << bit), Problem::Value, "BAT entry");
        refused(with_entry(1 << bit), Problem::Value, "BAT entry");
    }
}

#[test]
fn blocks_outside_the_file() {
    let end = image().build().len() as u64;
    for place in [end, end + MIB, 1 << 40, !(MIB - 1)] {
        refused(with_entry(6 | place), Problem::OutOfFile, "BAT entry");
    }
}

#[test]
fn blocks_over_other_structures() {
    for place in [0, LOG as u64, METADATA as u64, BAT as u64] {
        let defect = refused(with_entry(6 | place), Problem::Overlap, "BAT entry");
        assert_eq!(defect.offset, image().entry_at(1) as u64);
    }
    // A block that begins before one and reaches into it, behind blocks that go on in the file.
    let mut image = Image::empty(6 * MIB, 2 * MIB, 512);
    image.blocks = (0..3).map(|i| Block::Full(noise(2 << 20, i))).collect();
    let mut file = image.build();
    let taken = [(guid(UNKNOWN), BAT as u64 + 6 * MIB, MIB, 0)];
    let regions = [META, TABLE].map(|(id, offset, len, required)| (guid(id), offset, len, required));
    put_regions(&mut file, &[&regions[..], &taken].concat());
    let defect = refused(file, Problem::Overlap, "BAT entry");
    assert_eq!(defect.offset, image.entry_at(2) as u64);
}

#[test]
fn what_lies_before_a_bad_block_can_be_read() {
    let mut image = Image::empty(4 * MIB, MIB, 512);
    image.blocks = (0..4).map(|i| Block::Full(noise(1 << 20, i))).collect();
    let good = image.build();
    let mut bad_state = good.clone();
    put(&mut bad_state, image.entry_at(2), &5u64.to_le_bytes());
    let cut = good[..good.len() - 3 * SECTION / 2].to_vec();
    for (file, problem) in [(bad_state, Problem::Value), (cut, Problem::OutOfFile)] {
        let disk = super::open(file.clone()).expect("opens");
        assert_eq!(disk.chain()[0].map(0, u64::MAX).expect("maps").len, 2 * MIB);
        let mut read = vec![0; 2 << 20];
        disk.read_at(&mut read, 0).expect("reads");
        assert!(read[1 << 20..] == noise(1 << 20, 1));
        assert!(matches!(disk.read_at(&mut read, MIB), Err(Error::Defect(_))));
        let defect = refused(file, problem, "BAT entry");
        assert_eq!(defect.offset, image.entry_at(2) as u64);
    }
}

#[test]
fn sector_bitmap_blocks() {
    let mut child = Image::child(4 * MIB, MIB, 512, DATA);
    child.blocks[1] = Block::Partial(noise(1 << 20, 1), vec![true; 2048]);
    let file = child.build();
    read_all(&over(Image::empty(4 * MIB, MIB, 512).build()), file.clone()).expect("nothing is wrong with it");
    let at = child.bitmap_entry_at(0);
    let place = super::builder::get_u64(&file, at) & !7;
    let with = |entry: u64| {
        let mut file = file.clone();
        put(&mut file, at, &entry.to_le_bytes());
        file
    };
    for entry in [0, place, place | 1, place | 2, place | 7, place | 6 | 8] {
        let defect = child_refused(with(entry), Problem::Value, "BAT entry");
        assert_eq!(defect.offset, at as u64);
    }
    for place in [0, LOG as u64, METADATA as u64, BAT as u64] {
        child_refused(with(place | 6), Problem::Overlap, "BAT entry");
    }
    for place in [file.len() as u64, !(MIB - 1)] {
        child_refused(with(place | 6), Problem::OutOfFile, "BAT entry");
    }
}

#[test]
fn parent_locators() {
    let linkage = || (utf16("parent_linkage"), utf16(&format!("{{{DATA}}}")));
    let path = || (utf16("relative_path"), utf16("parent.vhdx"));
    let with = |pairs: &[(Vec<u8>, Vec<u8>)]| {
        let mut child = Image::child(4 * MIB, MIB, 512, DATA);
        child.locator = Some(pairs.to_vec());
        child.build()
    };
    read_all(&over(Image::empty(4 * MIB, MIB, 512).build()), with(&[linkage(), path()])).expect("accepted");

    let odd = || utf16("parent.vhdx")[..7].to_vec();
    let surrogate = || [utf16("p"), vec![0x00, 0xd8], utf16("q")].concat();
    let bad: Vec<Vec<(Vec<u8>, Vec<u8>)>> = vec![
        vec![],
        vec![path()],
        vec![linkage(), linkage(), path()],
        vec![linkage(), path(), path()],
        vec![linkage(), (utf16("relative_path"), odd())],
        vec![linkage(), (utf16("relative_path"), utf16("parent.vhdx\0"))],
        vec![linkage(), (utf16("volume_path"), utf16("a\0b"))],
        vec![linkage(), (utf16("absolute_win32_path"), surrogate())],
        vec![linkage(), (utf16("relative_path"), Vec::new())],
        vec![linkage(), path(), (odd(), utf16("x"))],
        vec![linkage(), path(), (surrogate(), utf16("x"))],
        vec![linkage(), path(), (Vec::new(), utf16("x"))],
        vec![(utf16("parent_linkage"), utf16("no guid"))],
        vec![linkage(), (utf16("parent_linkage2"), utf16("no guid"))],
        [linkage(), path()]
            .into_iter()
            .chain((0..63).map(|n| (utf16(&format!("{n}")), utf16("x"))))
            .collect(),
    ];
    for pairs in bad {
        let defect = child_refused(with(&pairs), Problem::Locator, "parent locator");
        assert!(defect.offset > METADATA as u64);
    }
    // A path that cannot be read does not hide the other.
    let file = with(&[linkage(), path(), (utf16("absolute_win32_path"), surrogate())]);
    let open = over(Image::empty(4 * MIB, MIB, 512).build());
    let disk = open.open(MemoryStorage::new(file)).expect("opens");
    let odd: Vec<_> = disk.warnings().filter(|warning| warning.kind == WarningKind::Unused).collect();
    assert_eq!(odd.len(), 1, "{odd:?}");
    // Keys and values that reach out of the locator, and into its header.
    let good = with(&[linkage(), path()]);
    let at = child_locator_at(&good);
    for (field, value) in
        [(20, u32::MAX), (20, 4), (24, u32::MAX), (24, 100_000), (28, u32::MAX), (16, u32::MAX)]
    {
        let mut file = good.clone();
        put(&mut file, at + field, &value.to_le_bytes());
        child_refused(file, Problem::Locator, "parent locator");
    }
    let mut file = good.clone();
    put(&mut file, at, &guid(UNKNOWN));
    let defect = child_refused(file, Problem::Unsupported, "parent locator");
    assert!(defect.found.contains(UNKNOWN));

    // None at all, and one that is too short to be one.
    let child = Image::child(4 * MIB, MIB, 512, DATA);
    let mut items = child.items();
    let place = items.iter().position(|item| item.0 == guid(PARENT_LOCATOR)).expect("there is one");
    items[place].2 = locator(&[])[..19].to_vec();
    let mut file = child.build();
    put(&mut file, METADATA, &metadata(&items));
    child_refused(file, Problem::Locator, "parent locator");
    items.remove(place);
    let mut file = child.build();
    file[METADATA..BAT].fill(0);
    put(&mut file, METADATA, &metadata(&items));
    child_refused(file, Problem::Value, "metadata table");
}

/// Where the parent locator lies, which is the last item of the builder's six.
fn child_locator_at(file: &[u8]) -> usize {
    let entry = METADATA + 32 + 5 * 32;
    assert_eq!(file[entry..entry + 16], guid(PARENT_LOCATOR));
    let offset = u32::from_le_bytes(file[entry + 16..entry + 20].try_into().expect("four bytes"));
    METADATA + offset as usize
}
