//! What is odd and read all the same, as the decisions of the design have it.

use std::path::Path;

use diskport::disk::{Disk, Identity, Linkage};
use diskport::format::vmdk::GrainTables;
use diskport::storage::{Explicit, MemoryStorage};
use diskport::{Error, Open};

use super::builder::{self, Grain, Hosted, SECTOR, Text, cowd, field, put, put32, sesparse};
use super::{content, data, monolithic, pattern, refused, streamed};
use crate::support::{assert_reads_as, storage};

#[track_caller]
fn open(bytes: Vec<u8>) -> Disk {
    Open::new().open(MemoryStorage::new(bytes)).expect("opens")
}

/// The disk of a descriptor over the files listed.
#[track_caller]
fn open_text(text: &Text, files: impl IntoIterator<Item = (&'static str, Vec<u8>)>) -> Disk {
    let files: Explicit = files.into_iter().map(|(name, bytes)| (name, storage(bytes))).collect();
    Open::new().resolver(files).open(MemoryStorage::new(text.render())).expect("opens")
}

fn warnings(disk: &Disk) -> String {
    disk.warnings().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_plain_disk_says_what_it_is() {
    let mut disk = monolithic();
    let mut text = Text::new("MONOLITHICsparse", ["RW 1024 SPARSE \"renamed since.vmdk\""]);
    text.ddb = "ddb.geometry.cylinders = \"1\"\nddb.geometry.heads = \"16\"\nddb.geometry.sectors = \"63\"\n\
                ddb.uuid.image=\"fd9d3b48-5f27-4c8f-92aa-ed3f683ce09d\"\n\
                ddb.uuid.parent=\"00000000-0000-0000-0000-000000000000\"\n"
        .into();
    disk.descriptor = Some(text.render());
    let disk = open(disk.build().bytes);
    assert_reads_as(&disk, &content());
    let info = disk.chain()[0].info();
    assert_eq!(info.subformat, "monolithicSparse");
    assert_eq!(info.block_size, Some(65_536));
    assert_eq!(info.data_id, Some(Identity::Cid(0x1234_abcd)));
    assert_eq!(info.id.expect("an id").to_string(), "fd9d3b48-5f27-4c8f-92aa-ed3f683ce09d");
    assert_eq!(info.geometry.expect("a geometry").size(), 16 * 63 * 512);
    assert_eq!(info.parent, None);
    assert_eq!(warnings(&disk), "");
}

#[test]
fn zero_and_rdonly_extents_are_read() {
    let text = Text::new("custom", ["RDONLY 4 FLAT \"a\" 1", "RW 8 ZERO", "rdonly 4 vmfs \"a\""]);
    let disk = open_text(&text, [("a", pattern(3, 6))]);
    let flat = pattern(3, 6);
    let model = [&flat[SECTOR..5 * SECTOR], &[0; 8 * SECTOR], &flat[..4 * SECTOR]].concat();
    assert_reads_as(&disk, &model);
}

#[test]
fn a_flat_extent_is_never_looked_into() {
    let inner = monolithic().build().bytes;
    let sectors = inner.len() / SECTOR;
    let text = Text::new("monolithicFlat", [format!("RW {sectors} FLAT \"a\" 0")]);
    assert_reads_as(&open_text(&text, [("a", inner.clone())]), &inner);
    let inner = Text::new("monolithicFlat", ["RW 1 FLAT \"b\" 0"]).render().into_bytes();
    let text = Text::new("monolithicFlat", ["RW 1 FLAT \"a\" 0"]);
    let mut padded = inner;
    padded.resize(SECTOR, b'\n');
    assert_reads_as(&open_text(&text, [("a", padded.clone())]), &padded);
}

#[test]
fn zeroed_grains_of_version_2_hide_the_parent() {
    let base = Text::new("monolithicFlat", ["RW 1024 FLAT \"flat\" 0"]);
    for (version, flag) in [(2, true), (2, false), (1, true)] {
        let mut grains = vec![Grain::Absent; 8];
        grains[0] = Grain::Zero;
        let mut text = Text::new("monolithicSparse", ["RW 1024 SPARSE \"a\""]);
        text.parent = Some((base.cid, "base.vmdk".into()));
        text.cid = 7;
        let mut child = Hosted::new(1024, 128, grains).monolithic(&text);
        (child.version, child.zeroed_flag) = (version, flag);
        let mut model = pattern(5, 1024);
        let files =
            Explicit::from([("base.vmdk", storage(base.render().into())), ("flat", storage(model.clone()))]);
        model[..128 * SECTOR].fill(0);
        let disk = Open::new().resolver(files).open(MemoryStorage::new(child.build().bytes)).expect("opens");
        assert_reads_as(&disk, &model);
    }
}

#[test]
fn stream_optimized_in_every_layout() {
    for front in [false, true] {
        for markers in [false, true] {
            for padding in [0, 60 * 1024] {
                let mut disk = streamed();
                (disk.front, disk.markers, disk.padding) = (front, markers, padding);
                assert_reads_as(&open(disk.build().bytes), &content());
            }
        }
    }
    // qemu writes no marker at the end, and its redundant tables; some writers do not name the algorithm.
    let mut disk = streamed();
    (disk.front, disk.end_of_stream) = (true, false);
    let mut bytes = disk.build().bytes;
    put(&mut bytes, field::COMPRESSION, &[0, 0]);
    assert_reads_as(&open(bytes), &content());
}

#[test]
fn the_last_grain_may_be_packed_as_far_as_the_disk_goes() {
    for short_last in [false, true] {
        for front in [false, true] {
            let mut disk = builder::Stream::new(200, 128, vec![data(1), data(2)]);
            (disk.short_last, disk.front) = (short_last, front);
            let model = [pattern(1, 128), pattern(2, 72)].concat();
            assert_reads_as(&open(disk.build().bytes), &model);
        }
    }
}

#[test]
fn differing_grain_tables_are_read_as_the_caller_says() {
    let built = monolithic().build();
    let mut bytes = built.bytes;
    // The second grain is lost in the redundant table.
    put32(&mut bytes, built.redundant_tables[0] as usize * SECTOR + 4, 0);
    let read =
        |tables| Open::new().grain_tables(tables).open(MemoryStorage::new(bytes.clone())).expect("opens");
    assert_reads_as(&read(GrainTables::Primary), &content());
    let mut model = content();
    model[128 * SECTOR..256 * SECTOR].fill(0);
    assert_reads_as(&read(GrainTables::Redundant), &model);
}

#[test]
fn entries_beyond_the_capacity_are_ignored() {
    let built = monolithic().build();
    let mut bytes = built.bytes;
    // Grain 8 of 8, in one table only and far outside the file.
    put32(&mut bytes, built.tables[0] as usize * SECTOR + 8 * 4, 0x7fff_ffff);
    assert_reads_as(&open(bytes), &content());
}

#[test]
fn grains_need_not_be_aligned() {
    let built = monolithic().build();
    let mut bytes = built.bytes;
    let from = built.grains[1] as usize * SECTOR;
    let moved = bytes[from..from + 65_536].to_vec();
    bytes.extend([0; 3 * SECTOR]);
    let sector = (bytes.len() / SECTOR) as u32;
    bytes.extend(moved);
    for table in [built.tables[0], built.redundant_tables[0]] {
        put32(&mut bytes, table as usize * SECTOR + 4, sector);
    }
    assert_reads_as(&open(bytes), &content());
}

#[test]
fn an_unclean_shutdown_is_told() {
    let mut bytes = monolithic().build().bytes;
    bytes[field::UNCLEAN] = 1;
    let disk = open(bytes);
    assert!(warnings(&disk).contains("not closed"), "{}", warnings(&disk));
    assert_reads_as(&disk, &content());
}

#[test]
fn extents_without_a_descriptor() {
    let grains = [Grain::Data(pattern(4, 8)), Grain::Absent];
    let model = [pattern(4, 8), vec![0; 4096]].concat();
    for (image, name) in [(cowd(16, 8, &grains).bytes, "vmfsSparse"), (sesparse(16, &grains), "seSparse")] {
        let disk = open(image);
        assert_eq!(disk.chain()[0].info().subformat, name);
        assert!(warnings(&disk).contains("descriptor"), "{}", warnings(&disk));
        assert_reads_as(&disk, &model);
    }
}

#[test]
fn grains_that_the_guest_unmapped_are_zeros() {
    let grains = [Grain::Unmapped, Grain::Zero, Grain::Absent, Grain::Data(pattern(1, 8))];
    let flat = pattern(9, 32);
    let mut text = Text::new("seSparse", ["RW 32 SESPARSE \"s\""]);
    text.parent = Some((5, "base".into()));
    let mut base = Text::new("vmfs", ["RW 32 VMFS \"flat\""]);
    base.cid = 5;
    let files = [("s", sesparse(32, &grains)), ("base", base.render().into()), ("flat", flat.clone())];
    let disk = open_text(&text, files);
    assert!(warnings(&disk).contains("unmapped"), "{}", warnings(&disk));
    let model = [&[0; 16 * SECTOR], &flat[16 * SECTOR..24 * SECTOR], &pattern(1, 8)].concat();
    assert_reads_as(&disk, &model);
}

/// A child and its parent in a folder; `edit` may change the two descriptors' texts.
fn family(folder: &Path, edit: impl Fn(&mut Text, &mut Text)) {
    let mut base = Text::new("monolithicFlat", ["RW 1024 FLAT \"flat\" 0"]);
    let mut child = Text::new("monolithicSparse", ["RW 1024 SPARSE \"a\""]);
    child.parent = Some((base.cid, "base.vmdk".into()));
    child.cid = 9;
    edit(&mut child, &mut base);
    let mut grains = vec![Grain::Absent; 8];
    grains[1] = data(1);
    let image = Hosted::new(1024, 128, grains).monolithic(&child).build().bytes;
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.join(name), bytes).expect("writes");
    write("child.vmdk", &image);
    write("base.vmdk", base.render().as_bytes());
    write("flat", &pattern(5, 1024));
}

fn family_content() -> Vec<u8> {
    let mut model = pattern(5, 1024);
    model[128 * SECTOR..256 * SECTOR].copy_from_slice(&pattern(1, 128));
    model
}

#[test]
fn a_parent_must_bear_the_cid_recorded() {
    let folder = tempfile::tempdir().expect("a folder");
    let child = folder.path().join("child.vmdk");
    family(folder.path(), |_, _| {});
    assert_reads_as(&diskport::open(&child).expect("opens"), &family_content());

    family(folder.path(), |_, base| base.cid ^= 1);
    match diskport::open(&child) {
        Err(Error::ParentMismatch { expected, found, .. }) => {
            assert_eq!((expected.as_str(), found.as_str()), ("1234abcd", "1234abcc"));
        }
        other => panic!("{other:?}"),
    }
    let disk = Open::new().ignore_parent_mismatch(true).open(&child).expect("opens");
    assert_reads_as(&disk, &family_content());

    std::fs::remove_file(folder.path().join("base.vmdk")).expect("removes");
    assert!(matches!(diskport::open(&child), Err(Error::ParentMissing { .. })));
    let disk = Open::new().allow_missing_parent(true).open(&child).expect("opens");
    assert!(matches!(disk.read_at(&mut [0], 0), Err(Error::Incomplete(_))));
}

#[test]
fn virtualbox_names_a_parent_by_its_uuid_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let (child, base) = (folder.path().join("child.vmdk"), folder.path().join("base.vmdk"));
    let uuid = "8abf3bf4-5ca4-49de-9be6-0559acb56041";
    for cid in [u32::MAX, 0x1234_abcd] {
        family(folder.path(), |child, base| {
            child.parent = Some((cid, String::new()));
            child.ddb = format!("ddb.uuid.parent=\"{uuid}\"\n");
            base.ddb = format!("ddb.uuid.image=\"{uuid}\"\n");
        });
        assert!(matches!(diskport::open(&child), Err(Error::ParentMissing { .. })));
        let disk = Open::new().parent(&base).open(&child).expect("opens");
        assert_reads_as(&disk, &family_content());
        let parent = disk.chain()[0].info().parent.clone().expect("a parent");
        assert!(matches!(parent.linkage, Linkage::Id(_)));
    }
    family(folder.path(), |child, _| {
        child.parent = Some((u32::MAX, String::new()));
        child.ddb = format!("ddb.uuid.parent=\"{uuid}\"\n");
    });
    let other = Open::new().parent(&base).open(&child);
    assert!(matches!(other, Err(Error::ParentMismatch { .. })), "{other:?}");
}

#[test]
fn a_missing_extent_is_named() {
    let text = Text::new("monolithicFlat", ["RW 1 FLAT \"gone.vmdk\" 0"]);
    let missing = Open::new().resolver(Explicit::default()).open(MemoryStorage::new(text.render()));
    assert!(matches!(missing, Err(Error::ExtentMissing { name, .. }) if name == "gone.vmdk"));
}

#[test]
fn an_extent_may_not_be_the_descriptor() {
    let folder = tempfile::tempdir().expect("a folder");
    let image = folder.path().join("disk.vmdk");
    std::fs::write(&image, Text::new("monolithicFlat", ["RW 1 FLAT \"disk.vmdk\" 0"]).render())
        .expect("writes");
    let by_name = diskport::open(&image);
    std::fs::write(&image, Text::new("monolithicFlat", ["RW 1 FLAT \"link\" 0"]).render()).expect("writes");
    std::fs::hard_link(&image, folder.path().join("link")).expect("links");
    // A storage without identity is known by the name it goes by.
    let text = Text::new("monolithicFlat", ["RW 1 FLAT \"(image)\" 0"]).render();
    let files = Explicit::from([("(image)", storage(text.clone().into()))]);
    let in_memory = Open::new().resolver(files).open(MemoryStorage::new(text + &"#".repeat(512)));
    for refused in [by_name, diskport::open(&image), in_memory] {
        match refused {
            Err(Error::Defect(defect)) => assert_eq!(defect.problem, diskport::Problem::Overlap),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn sectors_of_4096_bytes() {
    let mut text = Text::new("monolithicFlat", ["RW 8 FLAT \"a\" 0"]);
    text.ddb = "ddb.logicalSectorSize = \"4096\"\nddb.physicalSectorSize = \"4096\"\n".into();
    assert_eq!(open_text(&text, [("a", pattern(1, 8))]).logical_sector_size(), 4096);
    text.ddb = "ddb.logicalSectorSize = \"520\"\n".into();
    let defect = refused(&Open::new(), text.render().into());
    assert_eq!(defect.problem, diskport::Problem::Unsupported);
}
