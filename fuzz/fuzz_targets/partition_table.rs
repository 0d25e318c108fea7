//! A partition table of any kind: MBR, extended boot records, GPT, hybrids. What is read is converted and written, and must be
//! read again.
#![no_main]

use diskport::Ids;
use diskport::partition::{FileSystem, Layout, TypeMap, gpt_type, grow_gpt, mbr_to_gpt};
use diskport::{Disk, Format, Open};
use diskport_fuzz::{Input, checksum, target};

target!(|input| {
    let keep = input.has(Input::KEEP_CHECKSUMS);
    let [mut image, ..] = input.files;
    image.set_len(image.len() % (64 << 20));
    if !keep {
        checksum::mend_gpt(&mut image);
    }
    if let Ok(disk) = Open::new().format(Format::Raw).open(image) {
        exercise(&disk);
    }
});

fn exercise(disk: &Disk) {
    let _ = FileSystem::of(disk);
    let size = (disk.size() + (1 << 20)).next_multiple_of(512);
    if let Ok(Some(patches)) = grow_gpt(disk, size) {
        let grown = disk.patched(size, patches).expect("patches do not overlap");
        assert!(Layout::read(&grown).is_ok_and(|layout| layout.is_some()));
    }
    let Ok(Some(layout)) = Layout::read(disk) else { return };
    for partition in &layout.partitions {
        let _ = partition.file_system(disk);
    }
    written(disk, &layout);
    let all: TypeMap = (0..=255).map(|byte| (byte, gpt_type::BASIC_DATA)).collect();
    if let Ok(gpt) = mbr_to_gpt(&layout, &all, &mut Ids::seeded(1)) {
        written(disk, &gpt);
        assert!(layout.partitions.iter().map(|p| p.range()).eq(gpt.partitions.iter().map(|p| p.range())));
    }
}

fn written(disk: &Disk, layout: &Layout) {
    let Ok(patches) = layout.patches(disk) else { return };
    let Ok(after) = disk.patched(disk.size(), patches) else { return };
    let read = Layout::read(&after).expect("what was written is read").expect("a table");
    let places =
        |layout: &Layout| layout.partitions.iter().map(|p| (p.index, p.kind, p.range())).collect::<Vec<_>>();
    assert_eq!(places(&read), places(layout));
}
