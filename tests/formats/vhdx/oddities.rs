//! What is odd but is read, as decided.

use diskport::disk::{Identity, MappingKind};
use diskport::storage::{FileStorage, MemoryStorage, WriteAt};
use diskport::{Error, Extent, Open};
use uuid::Uuid;

use super::builder::{
    BAT, BAT_REGION, Block, HEADERS, Image, METADATA, METADATA_REGION, MIB, PARENT_LOCATOR, REGIONS, guid,
    header, locator, metadata, patch_headers, put, put_regions, seal, utf16,
};
use super::model::noise;
use super::{open, over};
use crate::support::{assert_reads_as, within_limits};

/// The parent's data GUID as the builder writes it by default.
const DATA: &str = "77777777-7777-7777-7777-777777777777";

/// A disk of one full block, and how it reads.
fn one_block() -> (Vec<u8>, Vec<u8>) {
    let mut image = Image::empty(MIB, MIB, 512);
    image.blocks[0] = Block::Full(noise(1 << 20, 1));
    (image.build(), noise(1 << 20, 1))
}

#[test]
fn what_an_image_says_of_itself() {
    let mut image = Image::empty(3 * MIB + 4096, 2 * MIB, 4096);
    let info = open(image.build()).expect("opens").chain()[0].info().clone();
    assert_eq!((info.subformat, info.size, info.block_size), ("dynamic", 3 * MIB + 4096, Some(2 * MIB)));
    assert_eq!((info.logical_sector_size, info.physical_sector_size), (4096, 4096));
    assert_eq!(info.id, Some(Identity::Uuid(Uuid::from_bytes([0x1d; 16]))));
    assert_eq!(info.data_id, Some(Identity::Uuid(Uuid::from_bytes([0x77; 16]))));
    assert_eq!(info.creator.as_deref(), Some("builder 1.0"));
    assert!(!info.dirty_log && info.warnings.is_empty() && info.parent.is_none());
    image.fixed = true;
    assert_eq!(open(image.build()).expect("opens").chain()[0].info().subformat, "fixed");

    // A creator that fills its field, without a terminator.
    let mut file = image.build();
    put(&mut file, 8, &utf16(&"c".repeat(256)));
    assert_eq!(open(file).expect("opens").chain()[0].info().creator, Some("c".repeat(256)));
}

#[test]
fn headers_of_equal_number_and_content() {
    let (mut file, model) = one_block();
    let same = header(5, [0; 16], [0x77; 16]);
    HEADERS.iter().for_each(|&at| put(&mut file, at, &same));
    assert_reads_as(&open(file).expect("opens"), &model);
}

#[test]
fn the_greater_number_counts_up_to_the_last() {
    for current in 0..2 {
        let (mut file, _) = one_block();
        put(&mut file, HEADERS[current], &header(u64::MAX, [0; 16], [1; 16]));
        put(&mut file, HEADERS[1 - current], &header(u64::MAX - 1, [0; 16], [2; 16]));
        let info = open(file).expect("opens").chain()[0].info().clone();
        assert_eq!(info.data_id, Some(Identity::Uuid(Uuid::from_bytes([1; 16]))));
    }
}

#[test]
fn one_good_header_or_region_table_is_enough() {
    for (structure, at) in [HEADERS.map(|at| ("header", at)), REGIONS.map(|at| ("region table", at))].concat()
    {
        let (mut file, model) = one_block();
        file[at + 100] ^= 1;
        let disk = open(file).expect("opens");
        assert!(disk.warnings().any(|warning| warning.structure == structure), "{structure}");
        assert_reads_as(&disk, &model);
    }
}

#[test]
fn regions_that_say_they_are_not_required() {
    let (mut file, model) = one_block();
    let regions = [
        (guid(BAT_REGION), BAT as u64, MIB, 0),
        (guid("11111111-2222-3333-4444-555555555555"), 64 * MIB, MIB, 0),
        (guid(METADATA_REGION), METADATA as u64, MIB, 0),
    ];
    put_regions(&mut file, &regions);
    assert_reads_as(&open(file).expect("opens"), &model);
}

#[test]
fn an_empty_log_is_not_looked_at() {
    let (mut file, model) = one_block();
    // Neither its version nor its place matters.
    patch_headers(&mut file, 64, &9u16.to_le_bytes());
    patch_headers(&mut file, 72, &12345u64.to_le_bytes());
    let disk = open(file).expect("opens");
    assert!(!disk.chain()[0].info().dirty_log);
    assert!(disk.warnings().any(|warning| warning.structure == "log"));
    assert_reads_as(&disk, &model);
}

#[test]
fn user_items_are_ignored() {
    let (mut file, model) = one_block();
    let mut items = Image::empty(MIB, MIB, 512).items();
    let size = items[1].0;
    // Under a known item's own GUID, and said to be required.
    items.push((size, 1 | 4, vec![9; 8]));
    items.push((guid("11111111-2222-3333-4444-555555555555"), 0, vec![9; 100]));
    items.push((guid("11111111-2222-3333-4444-555555555556"), 0, Vec::new()));
    put(&mut file, METADATA, &metadata(&items));
    assert_reads_as(&open(file).expect("opens"), &model);
}

#[test]
fn a_locator_without_a_parent_is_ignored() {
    let (mut file, model) = one_block();
    let mut items = Image::empty(MIB, MIB, 512).items();
    items.push((guid(PARENT_LOCATOR), 4, locator(&[])));
    put(&mut file, METADATA, &metadata(&items));
    let disk = open(file).expect("opens");
    assert!(disk.warnings().any(|warning| warning.structure == "parent locator"));
    assert_reads_as(&disk, &model);
}

#[test]
fn undefined_zero_and_unmapped_hide_the_parent() {
    let mut parent = Image::empty(5 * MIB, MIB, 512);
    parent.blocks = (0..5).map(|i| Block::Full(noise(1 << 20, i))).collect();
    let mut child = Image::child(5 * MIB, MIB, 512, DATA);
    // With and without the place that the block had before.
    child.blocks = [1, 2, 3, 1 | 77 << 20, 0].map(Block::Entry).to_vec();
    let disk = over(parent.build()).open(MemoryStorage::new(child.build())).expect("opens");
    let mut model = vec![0; 4 << 20];
    model.extend(noise(1 << 20, 4));
    assert_reads_as(&disk, &model);
    assert_eq!(disk.chain()[0].map(0, u64::MAX).expect("maps").kind, MappingKind::Zero);
}

#[test]
fn a_full_block_of_a_child_does_not_ask_the_bitmap() {
    let mut child = Image::child(2 * MIB, MIB, 512, DATA);
    child.blocks[0] = Block::Full(noise(1 << 20, 1));
    child.blocks[1] = Block::Partial(noise(1 << 20, 2), vec![false; 2048]);
    let disk =
        over(Image::empty(2 * MIB, MIB, 512).build()).open(MemoryStorage::new(child.build())).expect("opens");
    let mut model = noise(1 << 20, 1);
    model.resize(2 << 20, 0);
    assert_reads_as(&disk, &model);
}

#[test]
fn a_child_of_another_size() {
    let mut parent = Image::empty(2 * MIB, MIB, 512);
    parent.blocks = (0..2).map(|i| Block::Full(noise(1 << 20, i))).collect();
    for size in [MIB, 3 * MIB] {
        let child = Image::child(size, 2 * MIB, 512, DATA);
        let disk = over(parent.build()).open(MemoryStorage::new(child.build())).expect("opens");
        let mut model = [noise(1 << 20, 0), noise(1 << 20, 1)].concat();
        model.resize(size as usize, 0);
        assert!(disk.warnings().any(|warning| warning.structure == "virtual size"));
        assert_reads_as(&disk, &model);
    }
}

#[test]
fn the_parent_must_bear_one_of_the_identities() {
    let other = "{11111111-2222-3333-4444-555555555555}";
    let linkages = |first: &str, second: &str| {
        let mut child = Image::child(MIB, MIB, 512, DATA);
        child.locator = Some(vec![
            (utf16("absolute_win32_path"), utf16(r"\\?\C:\vm\parent.vhdx")),
            (utf16("parent_linkage2"), utf16(second)),
            (utf16("volume_path"), utf16(r"\\?\Volume{0}\vm\parent.vhdx")),
            (utf16("relative_path"), utf16(r".\parent.vhdx")),
            (utf16("parent_linkage"), utf16(first)),
        ]);
        over(Image::empty(MIB, MIB, 512).build()).open(MemoryStorage::new(child.build()))
    };
    let right = format!("{{{DATA}}}");
    let nil = "{00000000-0000-0000-0000-000000000000}";
    for (first, second) in [(right.as_str(), nil), (right.as_str(), other), (other, right.as_str())] {
        let disk = linkages(first, second).expect("opens");
        let parent = disk.chain()[0].info().parent.clone().expect("a parent");
        let names = [r".\parent.vhdx", r"\\?\Volume{0}\vm\parent.vhdx", r"\\?\C:\vm\parent.vhdx"];
        assert_eq!(parent.names, names, "in the order in which they are tried");
        assert_eq!(disk.chain()[0].info().subformat, "differencing");
    }
    assert!(matches!(linkages(other, nil), Err(Error::ParentMismatch { .. })));

    // Nil is no identity, though a parent bears it.
    let mut child = Image::child(MIB, MIB, 512, "11111111-2222-3333-4444-555555555555");
    child.locator.as_mut().expect("a locator").push((utf16("parent_linkage2"), utf16(nil)));
    let mut parent = Image::empty(MIB, MIB, 512);
    parent.data_guid = [0; 16];
    let opened = over(parent.build()).open(MemoryStorage::new(child.build()));
    assert!(matches!(opened, Err(Error::ParentMismatch { .. })));

    // Sectors of another size make another disk of it.
    let child = Image::child(MIB, MIB, 512, DATA).build();
    let opened = over(Image::empty(MIB, MIB, 4096).build()).open(MemoryStorage::new(child));
    assert!(matches!(opened, Err(Error::ParentMismatch { .. })));
}

#[test]
fn without_its_parent_a_child_is_looked_at_but_not_read() {
    let child = Image::child(MIB, MIB, 512, DATA).build();
    assert!(matches!(open(child.clone()), Err(Error::NotAllowed { .. } | Error::ParentMissing { .. })));
    let disk = Open::new().allow_missing_parent(true).open(MemoryStorage::new(child)).expect("opens");
    assert_eq!(disk.size(), MIB);
    assert!(matches!(disk.read_at(&mut [0; 512], 0), Err(Error::Incomplete(_))));
}

#[test]
fn the_last_block_may_end_with_the_disk() {
    let mut image = Image::empty(MIB + 512, MIB, 512);
    image.blocks[1] = Block::Full(noise(512, 1));
    image.cut = true;
    let mut model = vec![0; 1 << 20];
    model.extend(noise(512, 1));
    assert_reads_as(&open(image.build()).expect("opens"), &model);
}

#[test]
fn the_largest_disk_costs_what_is_read_of_it() {
    // 64 TiB in blocks of 1 MiB: a BAT of 512 MiB, of which only one page is not a hole.
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("large.vhdx");
    let small = Image::empty(MIB, MIB, 512);
    let large = Image { size: 64 << 40, ..small.clone() };
    let mut head = small.build();
    put(&mut head, METADATA, &metadata(&large.items()));
    let bat = large.bat_len();
    let payload = BAT as u64 + bat;
    put_regions(
        &mut head,
        &[(guid(METADATA_REGION), METADATA as u64, MIB, 1), (guid(BAT_REGION), BAT as u64, bat, 1)],
    );
    let file = FileStorage::create_new(&path).expect("created");
    file.set_size(payload + MIB).expect("sized");
    file.write_all_at(&head[..BAT], 0).expect("written");
    let block = 12_345_678;
    file.write_all_at(&(payload | 6).to_le_bytes(), large.entry_at(block) as u64).expect("written");
    file.write_all_at(&noise(1 << 20, 1), payload).expect("written");
    within_limits(|| {
        let disk = diskport::open(&path).expect("opens");
        assert_eq!(disk.size(), 64 << 40);
        // A long run comes in parts.
        let mut extents: Vec<Extent> = Vec::new();
        for extent in disk.extents(..) {
            let extent = extent.expect("maps");
            if !extents.last_mut().is_some_and(|last| last.join(&extent)) {
                extents.push(extent);
            }
        }
        assert_eq!(extents.len(), 3);
        assert_eq!((extents[1].start, extents[1].len), (block * MIB, MIB));
        let mut read = vec![0; 1 << 20];
        disk.read_at(&mut read, block * MIB).expect("reads");
        assert!(read == noise(1 << 20, 1));
    });
}

#[test]
fn regions_and_headers_are_sealed_by_the_builder() {
    // The checksum is part of what is read: a builder that got it wrong would test nothing.
    let (mut file, _) = one_block();
    for at in HEADERS {
        let before = file[at..at + 4096].to_vec();
        seal(&mut file[at..at + 4096]);
        assert!(file[at..at + 4096] == before);
    }
}
