//! Hostile extents: each class of damage is refused by name.

use diskport::format::vmdk::VmdkStream;
use diskport::storage::Explicit;
use diskport::{Defect, Error, Open, Problem};

use super::builder::{self, Built, Grain, Hosted, SECTOR, Text, cowd, field, put, put32, put64};
use super::{data, monolithic, pattern, refused, streamed};
use crate::support::{defect, read_all, storage};

/// The defect of a monolithicSparse disk after `edit`.
#[track_caller]
fn edited(edit: impl FnOnce(&mut Built)) -> Defect {
    let mut built = monolithic().build();
    edit(&mut built);
    defect(built.bytes)
}

#[track_caller]
fn edited_stream(edit: impl FnOnce(&mut Built)) -> Defect {
    let mut built = streamed().build();
    edit(&mut built);
    defect(built.bytes)
}

#[track_caller]
fn is(defect: &Defect, problem: Problem, structure: &str) {
    assert_eq!((defect.problem, defect.structure), (problem, structure), "{defect}");
}

/// Writes an entry into both copies of the first grain table.
fn entry(built: &mut Built, index: usize, value: u32) {
    for table in [built.tables[0], built.redundant_tables[0]] {
        put32(&mut built.bytes, table as usize * SECTOR + index * 4, value);
    }
}

#[test]
fn sizes() {
    for capacity in [0, 1 << 55, u64::MAX, (1 << 37) + 1] {
        is(&edited(|b| put64(&mut b.bytes, field::CAPACITY, capacity)), Problem::Size, "header");
    }
    // Not what the descriptor says.
    for capacity in [1023, 1025, 2048] {
        is(&edited(|b| put64(&mut b.bytes, field::CAPACITY, capacity)), Problem::Size, "header");
    }
    // As many sectors as can be written down: rounding them up to whole grains must not overflow.
    let most = format!("RW {} SPARSE \"a\"", u64::MAX);
    let mut disk = monolithic();
    disk.descriptor = Some(Text::new("monolithicSparse", [&most]).render());
    is(&defect(disk.build().bytes), Problem::Size, "header");
    let mut stream = streamed();
    for lines in [vec![&most], vec![&most, &most]] {
        stream.descriptor = Text::new("streamOptimized", lines).render();
        match VmdkStream::new(&stream.build().bytes[..]) {
            Err(Error::Defect(defect)) => is(&defect, Problem::Size, "header"),
            other => panic!("{:?}", other.map(drop)),
        }
    }
    let mut disk = monolithic();
    disk.descriptor = Some(Text::new("monolithicSparse", ["RW 4398046511104 SPARSE \"a\""]).render());
    let mut bytes = disk.build().bytes;
    put64(&mut bytes, field::CAPACITY, 1 << 42);
    is(&defect(bytes), Problem::Size, "header");
}

#[test]
fn grain_sizes() {
    for grain in [0, 1, 4, 24, 4096, 1 << 55, u64::MAX] {
        let defect = edited(|b| put64(&mut b.bytes, field::GRAIN_SIZE, grain));
        is(&defect, Problem::BlockSize, "header");
        assert_eq!(defect.offset, field::GRAIN_SIZE as u64);
    }
    for entries in [0, 65_537, u32::MAX] {
        is(&edited(|b| put32(&mut b.bytes, field::GTES, entries)), Problem::Table, "header");
    }
}

#[test]
fn a_petabyte_in_a_small_file() {
    // 64 TiB in grains of 4 KiB with one entry a table: a directory of 64 GiB.
    let mut disk = monolithic();
    disk.descriptor = Some(Text::new("monolithicSparse", ["RW 137438953472 SPARSE \"a\""]).render());
    let mut bytes = disk.build().bytes;
    put64(&mut bytes, field::CAPACITY, 1 << 37);
    put64(&mut bytes, field::GRAIN_SIZE, 8);
    put32(&mut bytes, field::GTES, 1);
    is(&defect(bytes), Problem::OutOfFile, "grain directory");
}

#[test]
fn versions_flags_and_algorithms() {
    for version in [0, 4, 0x0100_0000] {
        is(&edited(|b| put32(&mut b.bytes, field::VERSION, version)), Problem::Unsupported, "header");
    }
    is(&edited(|b| put32(&mut b.bytes, field::FLAGS, 1 << 18 | 3)), Problem::Unsupported, "header");
    is(&edited_stream(|b| put(&mut b.bytes, field::COMPRESSION, &[2, 0])), Problem::Unsupported, "header");
    is(&edited(|b| put(&mut b.bytes, field::COMPRESSION, &[1, 0])), Problem::Ambiguous, "header");
}

#[test]
fn transferred_as_text() {
    let damaged = edited(|b| put(&mut b.bytes, field::NEWLINES, b"\n \n\n"));
    is(&damaged, Problem::Truncated, "header");
    assert_eq!(damaged.hint, Some(diskport::Hint::TransferBinary));
}

#[test]
fn unfinished() {
    is(&edited(|b| put(&mut b.bytes, 0, b"kdmv")), Problem::Truncated, "header");
}

#[test]
fn cut_files() {
    let whole = monolithic().build().bytes;
    is(&defect(whole[..300].to_vec()), Problem::OutOfFile, "header");
    is(&defect(whole[..4096].to_vec()), Problem::OutOfFile, "descriptor");
    is(&defect(whole[..whole.len() - SECTOR].to_vec()), Problem::OutOfFile, "grain");
    let built = monolithic().build();
    let cut = built.gd as usize * SECTOR;
    is(&defect(built.bytes[..cut].to_vec()), Problem::OutOfFile, "grain directory");
}

#[test]
fn places_of_directories_and_tables() {
    for gd in [0, 1 << 40, u64::MAX - 1] {
        is(&edited(|b| put64(&mut b.bytes, field::GD, gd)), Problem::OutOfFile, "grain directory");
        if gd != 0 {
            let defect = edited(|b| put64(&mut b.bytes, field::RGD, gd));
            is(&defect, Problem::OutOfFile, "redundant grain directory");
        }
    }
    is(&edited(|b| put64(&mut b.bytes, field::GD, 2)), Problem::Overlap, "grain directory");
    for sector in [1 << 20, u32::MAX] {
        let at = monolithic().build().gd as usize * SECTOR;
        is(&edited(|b| put32(&mut b.bytes, at, sector)), Problem::OutOfFile, "grain table");
    }
    is(&edited(|b| put32(&mut b.bytes, b.gd as usize * SECTOR, 1)), Problem::Overlap, "grain table");
    is(&edited(|b| put64(&mut b.bytes, field::DESCRIPTOR, u64::MAX)), Problem::Descriptor, "header");
    is(&edited(|b| put64(&mut b.bytes, field::DESCRIPTOR + 8, 4096)), Problem::Descriptor, "header");
}

#[test]
fn places_of_grains() {
    for sector in [u32::MAX, 1 << 20] {
        is(&edited(|b| entry(b, 1, sector)), Problem::OutOfFile, "grain");
    }
    // Zeroed grains are not declared: this is the descriptor's first sector.
    is(&edited(|b| entry(b, 1, 1)), Problem::Overlap, "grain");
    is(&edited(|b| entry(b, 1, 20)), Problem::Overlap, "grain");
    is(&edited(|b| entry(b, 1, b.rgd as u32)), Problem::Overlap, "grain");
    is(&edited(|b| entry(b, 1, b.tables[0] as u32)), Problem::Overlap, "grain");
}

#[test]
fn differing_tables() {
    let table = monolithic().build().redundant_tables[0] as usize * SECTOR;
    let differs = edited(|b| put32(&mut b.bytes, table + 4, 0));
    is(&differs, Problem::Ambiguous, "grain table");
    assert_eq!(differs.hint, Some(diskport::Hint::ChooseGrainTable));
    let built = monolithic().build();
    assert_eq!(differs.offset, built.tables[0] * SECTOR as u64 + 4);
    for directory in [built.gd, built.rgd] {
        let differs = edited(|b| put32(&mut b.bytes, directory as usize * SECTOR, 0));
        is(&differs, Problem::Ambiguous, "grain directory");
    }
}

#[test]
fn a_damaged_table_spoils_only_its_own_grains() {
    // Four tables of two grains; that of grains 2 and 3 differs, that of 4 and 5 lies outside the file.
    let mut disk = monolithic();
    disk.grains[7] = data(7);
    disk.gtes = 2;
    let built = disk.build();
    let mut bytes = built.bytes;
    put32(&mut bytes, built.redundant_tables[1] as usize * SECTOR, 0);
    put32(&mut bytes, built.gd as usize * SECTOR + 2 * 4, u32::MAX);
    let disk = Open::new().open(diskport::storage::MemoryStorage::new(bytes)).expect("opens");
    for grain in 0..8 {
        let mut sector = [0; SECTOR];
        match (grain, disk.read_at(&mut sector, grain * 65_536)) {
            (2 | 3, Err(Error::Defect(defect))) => is(&defect, Problem::Ambiguous, "grain table"),
            (4 | 5, Err(Error::Defect(defect))) => is(&defect, Problem::OutOfFile, "grain table"),
            (0 | 1 | 6 | 7, Ok(())) => assert_eq!(sector == [0; SECTOR], matches!(grain, 0 | 6)),
            (_, other) => panic!("grain {grain}: {other:?}"),
        }
    }
}

#[test]
fn a_cut_stream_names_what_is_missing() {
    let built = streamed().build();
    let whole = built.bytes;
    let end = whole.len();
    is(&defect(whole[..end - SECTOR].to_vec()), Problem::Truncated, "end-of-stream marker");
    for cut in
        [end - 2 * SECTOR, end - 3 * SECTOR, end - 1 - 2 * SECTOR, built.grains[2] as usize * SECTOR, 8192]
    {
        is(&defect(whole[..cut].to_vec()), Problem::Truncated, "footer");
    }
    // The tables in front, and the last grain cut: noticed when the file is opened.
    let mut disk = streamed();
    (disk.front, disk.end_of_stream) = (true, false);
    let whole = disk.build().bytes;
    for cut in [SECTOR, 4 * SECTOR] {
        let open = Open::new().open(diskport::storage::MemoryStorage::new(&whole[..whole.len() - cut]));
        match open {
            Err(Error::Defect(defect)) => assert_eq!(defect.problem, Problem::Truncated, "{defect}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_footer_must_agree_with_its_header() {
    let footer = streamed().build().bytes.len() - 2 * SECTOR;
    for (at, value, problem) in [
        (field::CAPACITY, 2048, Problem::Ambiguous),
        (field::GRAIN_SIZE, 64, Problem::Ambiguous),
        (field::GD, u64::MAX, Problem::Truncated),
    ] {
        is(&edited_stream(|b| put64(&mut b.bytes, footer + at, value)), problem, "footer");
    }
    let beyond = edited_stream(|b| put64(&mut b.bytes, footer + field::GD, 1 << 30));
    is(&beyond, Problem::OutOfFile, "grain directory");
}

#[test]
fn packed_grains() {
    let at = streamed().build().grains[1] as usize * SECTOR;
    is(&edited_stream(|b| put64(&mut b.bytes, at, 256)), Problem::Value, "grain marker");
    for size in [0, 70_000, u32::MAX] {
        is(&edited_stream(|b| put32(&mut b.bytes, at + 8, size)), Problem::Compression, "grain marker");
    }
    let damaged = edited_stream(|b| put(&mut b.bytes, at + 30, &[0xff; 8]));
    is(&damaged, Problem::Compression, "compressed grain");
    let longer = edited_stream(|b| {
        b.bytes[at + 8] += 1;
    });
    is(&longer, Problem::Compression, "compressed grain");
    // Packed grains that inflate to more or less than their place; only the disk's last may be short.
    for grain in [pattern(1, 127), pattern(1, 129), vec![7; 4 << 20]] {
        let mut disk = streamed();
        disk.grains[1] = Grain::Data(grain);
        is(&defect(disk.build().bytes), Problem::Compression, "compressed grain");
    }
    let mut disk = builder::Stream::new(200, 128, vec![data(1), Grain::Data(pattern(2, 71))]);
    is(&defect(disk.build().bytes), Problem::Compression, "compressed grain");
    disk.grains[0] = Grain::Data(pattern(2, 72));
    is(&defect(disk.build().bytes), Problem::Compression, "compressed grain");
}

#[test]
fn a_preset_dictionary() {
    let mut compress = flate2::Compress::new(flate2::Compression::fast(), true);
    compress.set_dictionary(b"dictionary").expect("is set");
    let mut packed = Vec::with_capacity(70_000);
    compress.compress_vec(&pattern(1, 128), &mut packed, flate2::FlushCompress::Finish).expect("packs");
    let refused = edited_stream(|b| {
        let at = b.grains[1] as usize * SECTOR;
        put32(&mut b.bytes, at + 8, packed.len() as u32);
        let room = b.grains[2] as usize * SECTOR - at - 12;
        assert!(packed.len() <= room + 512);
        let len = packed.len().min(room);
        put(&mut b.bytes, at + 12, &packed[..len]);
    });
    is(&refused, Problem::Compression, "compressed grain");
}

#[test]
fn a_piece_is_not_a_disk() {
    // QEMU leaves room for a descriptor in each.
    for descriptor in [None, Some("\0".repeat(20 * 512))] {
        let disk = Hosted { descriptor, ..monolithic() };
        let alone = defect(disk.build().bytes);
        is(&alone, Problem::Descriptor, "header");
        assert_eq!(alone.hint, Some(diskport::Hint::OpenDescriptor));
    }
}

/// The defect of a disk of one extent beside its descriptor.
#[track_caller]
fn beside(line: &str, extent: Vec<u8>) -> Defect {
    let text = Text::new("custom", [line]).render();
    refused(&Open::new().resolver(Explicit::from([("a", storage(extent))])), text.into())
}

#[test]
fn extents_that_are_not_what_their_line_says() {
    is(&beside("RW 8 FLAT \"a\" 1", vec![1; 8 * SECTOR]), Problem::Truncated, "flat extent");
    is(&beside("RW 8 VMFS \"a\"", vec![1; 8 * SECTOR - 1]), Problem::Truncated, "flat extent");
    let far = format!("RW 8 FLAT \"a\" {}", u64::MAX);
    is(&beside(&far, vec![1; 8 * SECTOR]), Problem::Truncated, "flat extent");
    is(&beside("RW 8 SPARSE \"a\"", vec![1; 8 * SECTOR]), Problem::Signature, "header");
    is(&beside("RW 8 SESPARSE \"a\"", vec![1; 8 * SECTOR]), Problem::Signature, "seSparse header");
    is(
        &beside("RW 8 SPARSE \"a\"", Text::new("custom", ["RW 8 ZERO"]).render().into()),
        Problem::OutOfFile,
        "header",
    );
    is(&beside("RW 2048 SPARSE \"a\"", monolithic().build().bytes), Problem::Size, "header");
    for sectors in [8, 32] {
        let line = format!("RW {sectors} SESPARSE \"a\"");
        let grains = [Grain::Data(pattern(1, 8)), Grain::Absent, Grain::Data(pattern(2, 8))];
        is(&beside(&line, builder::sesparse(24, &grains)), Problem::Size, "seSparse header");
    }
}

#[test]
fn extents_outside_the_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let image = folder.path().join("disk.vmdk");
    for name in ["/etc/passwd", "../disk.img", "C:\\disk.img", "nbd://host/disk", "sub/"] {
        std::fs::write(&image, Text::new("monolithicFlat", [format!("RW 1 FLAT \"{name}\" 0")]).render())
            .expect("writes");
        let refused = diskport::open(&image);
        assert!(matches!(refused, Err(Error::NotAllowed { .. })), "{name}: {refused:?}");
    }
}

#[test]
fn cowd_headers_and_tables() {
    let grains = [Grain::Data(pattern(1, 8)), Grain::Absent, Grain::Data(pattern(2, 8))];
    let edited = |edit: &dyn Fn(&mut Built)| {
        let mut built = cowd(20, 8, &grains);
        edit(&mut built);
        defect(built.bytes)
    };
    let header = |at: usize, value: u32| edited(&|b: &mut Built| put32(&mut b.bytes, at, value));
    is(&header(4, 2), Problem::Unsupported, "COWD header");
    is(&header(8, 2), Problem::Descriptor, "COWD header");
    is(&header(12, 0), Problem::Size, "COWD header");
    for grain in [0, 2049, u32::MAX] {
        is(&header(16, grain), Problem::BlockSize, "COWD header");
    }
    is(&header(20, u32::MAX), Problem::OutOfFile, "grain directory");
    is(&header(20, 1), Problem::Overlap, "grain directory");
    is(&header(24, 0), Problem::Table, "COWD header");
    is(&header(12, u32::MAX), Problem::Table, "COWD header");
    is(&header(4 * SECTOR, u32::MAX), Problem::OutOfFile, "grain table");
    is(&header(4 * SECTOR, 3), Problem::Overlap, "grain table");
    let table =
        |value| edited(&move |b: &mut Built| put32(&mut b.bytes, b.tables[0] as usize * SECTOR, value));
    is(&table(u32::MAX), Problem::OutOfFile, "grain");
    is(&table(1), Problem::Overlap, "grain");
    is(&defect(cowd(20, 8, &grains).bytes[..1000].to_vec()), Problem::OutOfFile, "COWD header");
    is(&beside("RW 24 VMFSSPARSE \"a\"", cowd(20, 8, &grains).bytes), Problem::Size, "COWD header");
}

#[test]
fn sesparse_headers_and_tables() {
    use builder::sesparse::{DIRECTORY, TABLES, VOLATILE};
    let grains = [Grain::Data(pattern(1, 8)), Grain::Absent, Grain::Data(pattern(2, 8))];
    let edited = |at: usize, value: u64| {
        let mut bytes = builder::sesparse(20, &grains);
        put64(&mut bytes, at, value);
        defect(bytes)
    };
    is(&edited(8, 0x2_0000_0002), Problem::Unsupported, "seSparse header");
    for capacity in [0, 1 << 40, u64::MAX] {
        is(&edited(16, capacity), Problem::Size, "seSparse header");
    }
    is(&edited(24, 16), Problem::BlockSize, "seSparse header");
    is(&edited(32, 0), Problem::Table, "seSparse header");
    is(&edited(40, 1), Problem::Unsupported, "seSparse header");
    // The directory's place and size, the tables', the grains'.
    is(&edited(128, 1 << 40), Problem::OutOfFile, "grain directory");
    is(&edited(128, u64::MAX), Problem::OutOfFile, "seSparse header");
    is(&edited(136, 0), Problem::Table, "seSparse header");
    is(&edited(144, 1 << 50), Problem::OutOfFile, "grain table");
    is(&edited(152, 1), Problem::OutOfFile, "grain directory");
    is(&edited(192, 1 << 50), Problem::OutOfFile, "grain table");
    is(&edited(200, 8), Problem::OutOfFile, "grain table");
    is(&edited(VOLATILE, 1), Problem::Signature, "seSparse volatile header");
    let replay = edited(VOLATILE + 24, 1);
    is(&replay, Problem::Log, "seSparse volatile header");
    assert!(replay.hint.is_some());
    is(&edited(DIRECTORY, 5), Problem::Value, "grain directory");
    is(&edited(DIRECTORY, 0x1000_0000_ffff_ffff), Problem::OutOfFile, "grain directory");
    for entry in [1, 0x4000_0000_0000_0000, u64::MAX] {
        is(&edited(TABLES, entry), Problem::Value, "grain table");
    }
    is(&edited(TABLES, 0x3fff_ffff_ffff_ffff), Problem::OutOfFile, "grain table");
}

#[test]
fn every_bit_of_the_metadata() {
    // Whatever a flipped bit does, it does within the limits and without a panic.
    for image in [monolithic().build(), streamed().build()] {
        let interesting = (0..79).chain([image.gd, image.tables[0]].into_iter().flat_map(|sector| {
            let start = sector as usize * SECTOR;
            start..start + 40
        }));
        for at in interesting.chain(image.bytes.len() - 3 * SECTOR..image.bytes.len() - 2 * SECTOR + 79) {
            for bit in [0, 3, 7] {
                let mut bytes = image.bytes.clone();
                bytes[at] ^= 1 << bit;
                // Refused or read: both are right.
                let _ = read_all(&Open::new(), bytes);
            }
        }
    }
}
