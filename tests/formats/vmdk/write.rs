//! Writing in place: what is refused, what is repaired, what many writers do at once, and children.

use std::sync::Arc;

use diskport::check::{Repairs, Severity};
use diskport::copy::{Convert, OutputFormat};
use diskport::disk::Identity;
use diskport::format::vmdk::Subformat;
use diskport::storage::{Explicit, Fault, FaultyStorage, MemoryStorage, ReadAt, WriteAt};
use diskport::{Child, Disk, Error, Open, Problem};

use super::builder::{Built, Grain, Hosted, SECTOR, Text, cowd, field, put, put32};
use super::{content, monolithic, pattern, streamed};
use crate::support::{Vast, assert_reads_as, storage};

/// A storage that is shared with who looks into it afterwards.
#[derive(Clone)]
struct Shared(Arc<MemoryStorage>);

impl Shared {
    fn new(bytes: Vec<u8>) -> Self {
        Self(Arc::new(MemoryStorage::new(bytes)))
    }
}

impl ReadAt for Shared {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> std::io::Result<usize> {
        self.0.read_at(buf, offset)
    }
    fn size(&self) -> std::io::Result<u64> {
        self.0.size()
    }
}

impl WriteAt for Shared {
    fn write_all_at(&self, data: &[u8], offset: u64) -> std::io::Result<()> {
        self.0.write_all_at(data, offset)
    }
    fn set_size(&self, size: u64) -> std::io::Result<()> {
        self.0.set_size(size)
    }
    fn sync(&self) -> std::io::Result<()> {
        self.0.sync()
    }
}

/// That the disk is not opened for writing, and nothing was changed by that.
#[track_caller]
fn refused(open: &Open, bytes: Vec<u8>) -> Error {
    let file = Shared::new(bytes.clone());
    let error = open.open_writable(file.clone()).expect_err("refused");
    assert!(file.0.to_vec() == bytes, "nothing was changed");
    error
}

#[track_caller]
fn not_writable(open: &Open, bytes: Vec<u8>) -> String {
    match refused(open, bytes) {
        Error::NotWritable { reason, .. } => reason,
        other => panic!("{other}"),
    }
}

fn resolver(files: &[(&str, Vec<u8>)]) -> Open {
    let mut resolver = Explicit::default();
    for (name, bytes) in files {
        resolver.insert_writable(*name, Arc::new(MemoryStorage::new(bytes.clone())));
    }
    Open::new().resolver(resolver)
}

#[test]
fn kinds_that_nobody_writes() {
    assert_eq!(not_writable(&Open::new(), streamed().build().bytes), "its grains are compressed");
    let extent = cowd(64, 8, &[Grain::Absent, data8(3)]).bytes;
    let text = Text::new("vmfsSparse", ["RW 64 VMFSSPARSE \"a-delta.vmdk\""]).render();
    let reason = not_writable(&resolver(&[("a-delta.vmdk", extent)]), text.into_bytes());
    assert_eq!(reason, "it has ESX sparse (COWD) extents");
    let mut text = Text::new("monolithicSparse", ["RW 1024 SPARSE \"disk.vmdk\""]).render();
    text = text.replace("CID=1234", "changeTrackPath=\"disk-ctk.vmdk\"\nCID=1234");
    let mut tracked = monolithic();
    tracked.descriptor = Some(text);
    assert!(not_writable(&Open::new(), tracked.build().bytes).contains("disk-ctk.vmdk"));
    let mut tables = monolithic();
    tables.gtes = 128;
    assert!(not_writable(&Open::new(), tables.build().bytes).contains("512 entries"));
}

fn data8(seed: u8) -> Grain {
    Grain::Data(pattern(seed, 8))
}

#[test]
fn extents_of_zeros_and_read_only_ones_take_no_writes() {
    let lines =
        ["RW 8 FLAT \"a.vmdk\" 0", "RW 8 ZERO", "RDONLY 8 FLAT \"b.vmdk\" 0", "RW 8 FLAT \"a.vmdk\" 8"];
    let text = Text::new("custom", lines).render();
    let open = resolver(&[("a.vmdk", vec![1; 16 * SECTOR]), ("b.vmdk", vec![2; 8 * SECTOR])]);
    let file = Shared::new(text.clone().into_bytes());
    let disk = open.open_writable(file.clone()).expect("opens");
    for (at, len, what) in
        [(4096, 512, "ZERO"), (7 * 512, 1024, "ZERO"), (8192, 512, "RDONLY"), (23 * 512, 1024, "RDONLY")]
    {
        match disk.write_at(&vec![9; len], at) {
            Err(Error::NotWritable { reason, .. }) => assert!(reason.contains(what), "{reason}"),
            other => panic!("{other:?}"),
        }
    }
    assert!(file.0.to_vec() == text.as_bytes(), "nothing was changed, the content id neither");
    disk.write_zeroes(3584, 1024).expect("zeros are there already");
    disk.write_at(&[7; 512], 24 * 512).expect("writes");
    let mut found = vec![0; 32 * SECTOR];
    disk.read_at(&mut found, 0).expect("reads");
    let mut model =
        [vec![1; 7 * SECTOR], vec![0; 9 * SECTOR], vec![2; 8 * SECTOR], vec![1; 8 * SECTOR]].concat();
    model[24 * SECTOR..25 * SECTOR].fill(7);
    assert!(found == model);
    disk.close().expect("closes");
    let text = String::from_utf8(file.0.to_vec()).expect("text");
    assert!(!text.contains("1234abcd"), "{text}");
}

#[test]
fn damages_that_are_refused_and_repaired_at_a_loss() {
    let whole = || monolithic().build();
    let entry = |built: &Built, grain: usize| built.tables[0] as usize * SECTOR + grain * 4;
    let both = |built: &mut Built, grain: usize, sector: u32| {
        put32(&mut built.bytes, built.tables[0] as usize * SECTOR + grain * 4, sector);
        put32(&mut built.bytes, built.redundant_tables[0] as usize * SECTOR + grain * 4, sector);
    };
    let mut overlapping = whole();
    let sector = overlapping.grains[1] as u32;
    both(&mut overlapping, 5, sector);
    let mut on_table = whole();
    let sector = on_table.tables[0] as u32;
    both(&mut on_table, 5, sector);
    let mut beyond = whole();
    both(&mut beyond, 5, 1 << 20);
    let mut contradiction = whole();
    let (at, sector) = (entry(&contradiction, 1), contradiction.grains[2] as u32);
    put32(&mut contradiction.bytes, at, sector);
    both(&mut contradiction, 2, 0);
    put32(&mut contradiction.bytes, at, sector);
    for (name, built, problem) in [
        ("overlapping", overlapping, Problem::Overlap),
        ("on a table", on_table, Problem::Overlap),
        ("beyond", beyond, Problem::OutOfFile),
        ("contradiction", contradiction, Problem::Ambiguous),
    ] {
        match refused(&Open::new(), built.bytes.clone()) {
            Error::Defect(defect) => assert_eq!(defect.problem, problem, "{name}: {defect}"),
            other => panic!("{name}: {other}"),
        }
        let file = Shared::new(built.bytes.clone());
        let checked = Open::new().repair(file.clone(), Repairs::Lossless).expect("checks");
        assert!(checked.findings.iter().any(|finding| finding.severity == Severity::Error), "{name}");
        assert!(file.0.to_vec() == built.bytes, "{name}: nothing is repaired at a loss unasked");
        let checked = Open::new().repair(file.clone(), Repairs::All).expect("repairs");
        assert!(checked.is_clean(), "{name}: {:#?}", checked.findings);
    }
}

type Damage<'a> = dyn Fn(&mut Vec<u8>) + 'a;

#[test]
fn one_damaged_copy_of_a_table_loses_nothing() {
    let built = monolithic().build();
    let table = |copy: &[u64]| copy[0] as usize * SECTOR;
    let (primary, redundant) = (table(&built.tables), table(&built.redundant_tables));
    let damages: [&Damage<'_>; 5] = [
        &|bytes| put32(bytes, primary + 4, 0),
        &|bytes| put32(bytes, redundant + 8, 0),
        &|bytes| put32(bytes, built.gd as usize * SECTOR, 0),
        &|bytes| put32(bytes, built.rgd as usize * SECTOR, 0),
        &|bytes| put32(bytes, built.gd as usize * SECTOR, 1 << 30),
    ];
    for (number, damage) in damages.iter().enumerate() {
        let mut bytes = built.bytes.clone();
        damage(&mut bytes);
        let checked = Open::new().check(MemoryStorage::new(bytes.clone())).expect("checks");
        let worst = checked.findings.iter().map(|finding| finding.severity).max();
        assert_eq!(worst, Some(Severity::Warning), "{number}: {:#?}", checked.findings);
        let file = Shared::new(bytes.clone());
        let checked = Open::new().repair(file.clone(), Repairs::Lossless).expect("repairs");
        assert!(checked.is_clean(), "{number}: {:#?}", checked.findings);
        assert_reads_as(&Open::new().open(file).expect("opens"), &content());
        // A writer repairs the same.
        let file = Shared::new(bytes);
        let disk = Open::new().open_writable(file.clone()).expect("opens");
        disk.write_at(&[1; 512], 0).expect("writes");
        disk.close().expect("closes");
        let mut model = content();
        model[..512].fill(1);
        assert_reads_as(&Open::new().open(file).expect("opens"), &model);
    }
}

/// New grains go where nothing of those lies that are no multiple of their size.
#[test]
fn grains_that_are_not_aligned_are_left_alone() {
    for shift in [1, 3, 64] {
        let built = monolithic().build();
        let mut bytes = built.bytes;
        bytes.extend(vec![0; shift * SECTOR]);
        let sector = (bytes.len() / SECTOR) as u32;
        bytes.extend(super::pattern(6, 128));
        for table in [built.tables[0], built.redundant_tables[0]] {
            put32(&mut bytes, table as usize * SECTOR + 6 * 4, sector);
        }
        let file = Shared::new(bytes);
        let disk = Open::new().open_writable(file.clone()).expect("opens");
        let mut model = content();
        model[6 * 65_536..7 * 65_536].copy_from_slice(&super::pattern(6, 128));
        for (at, byte) in [(0, 1), (3, 2), (4, 3), (5, 4), (7, 5)] {
            disk.write_at(&[byte; 65_536], at * 65_536).expect("writes");
            model[at as usize * 65_536..][..65_536].fill(byte);
        }
        disk.close().expect("closes");
        let checked = Open::new().check(file.clone()).expect("checks");
        assert!(checked.is_clean(), "{:#?}", checked.findings);
        assert_reads_as(&Open::new().open(file).expect("opens"), &model);
    }
}

/// A file that was cut in its primary tables gets new ones before it is written to: new grains would take their places.
#[test]
fn a_cut_file_is_repaired_before_it_is_written_to() {
    let file = Shared::new(Vec::new());
    let disk = Disk::empty(8 << 30, 512);
    Convert::new(&disk)
        .to(OutputFormat::Vmdk(Subformat::MonolithicSparse))
        .create(file.clone())
        .expect("creates");
    let bytes = file.0.to_vec();
    let cut = Shared::new(bytes[..bytes.len() - 400 * 1024].to_vec());
    assert!(!Open::new().check(cut.clone()).expect("checks").is_clean());
    let repaired = Shared::new(cut.0.to_vec());
    assert!(Open::new().repair(repaired, Repairs::Lossless).expect("repairs").is_clean());
    let writable = Open::new().open_writable(cut.clone()).expect("opens");
    for at in [0, 7 << 30] {
        writable.write_at(b"again", at).expect("writes");
    }
    writable.close().expect("closes");
    assert!(Open::new().check(cut.clone()).expect("checks").is_clean());
    let mut read = [0; 5];
    Open::new().open(cut).expect("opens").read_at(&mut read, 7 << 30).expect("reads");
    assert_eq!(&read, b"again");
}

#[test]
fn a_disk_that_was_not_closed_is_marked_until_it_is_checked() {
    let file = Shared::new(monolithic().build().bytes);
    let mark = || file.0.to_vec()[field::UNCLEAN];
    let disk = Open::new().open_writable(file.clone()).expect("opens");
    assert_eq!(mark(), 0, "nothing was changed yet");
    disk.write_at(&[1; 512], 0).expect("writes");
    assert_eq!(mark(), 1);
    disk.close().expect("closes");
    assert_eq!(mark(), 0);
    let mut bytes = file.0.to_vec();
    bytes[field::UNCLEAN] = 1;
    let file = Shared::new(bytes);
    let checked = Open::new().check(file.clone()).expect("checks");
    assert!(!checked.is_clean());
    assert!(Open::new().repair(file.clone(), Repairs::Lossless).expect("repairs").is_clean());
    assert_eq!(file.0.to_vec()[field::UNCLEAN], 0);
}

#[test]
fn the_content_id_changes_once_a_session() {
    for (cid, digits) in [("1234abcd", 8), ("12ab", 4), ("ffff0000", 8)] {
        let mut disk = monolithic();
        let long = format!("{:024x}{cid:0>8}", 7);
        let text = disk.descriptor.unwrap_or_default().replace("CID=1234abcd", &format!("CID={cid}"));
        disk.descriptor = Some(format!("{text}ddb.longContentID = \"{long}\"\n"));
        let file = Shared::new(disk.build().bytes);
        let text = || {
            let bytes = file.0.to_vec();
            let text = String::from_utf8_lossy(&bytes[512..21 * 512]).into_owned();
            text.trim_end_matches('\0').to_owned()
        };
        let before = text();
        Open::new().open_writable(file.clone()).expect("opens").close().expect("closes");
        assert_eq!(text(), before, "nothing was written");
        let disk = Open::new().open_writable(file.clone()).expect("opens");
        disk.write_at(&[1; 512], 512).expect("writes");
        let after = text();
        disk.write_at(&[1; 512], 512 << 8).expect("writes");
        disk.close().expect("closes");
        assert_eq!(text(), after, "once");
        let value = after.lines().find_map(|line| line.strip_prefix("CID=")).expect("a CID");
        assert_eq!(value.len(), digits);
        assert_ne!(value, cid);
        assert!(after.contains(&format!("{:024x}{value:0>8}\"", 7)), "{after}");
        assert_eq!(after.replace(value, cid), before, "and nothing else");
    }
}

#[test]
fn children_of_children() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let raw = path("base.raw");
    let mut model: Vec<u8> = (0..3 << 20).map(|at| (at / 700) as u8).collect();
    std::fs::write(&raw, &model).expect("writes");
    let base = OutputFormat::Vmdk(Subformat::MonolithicFlat);
    Convert::new(&diskport::open(&raw).expect("opens")).to(base).create(path("0.vmdk")).expect("writes");
    for generation in 1..5_usize {
        let parent = diskport::open(path(&format!("{}.vmdk", generation - 1))).expect("opens");
        let own = path(&format!("{generation}.vmdk"));
        Child::of(&parent).create(&own).expect("writes");
        let disk = Open::new().open_writable(&own).expect("opens");
        let at = generation * 600_000 + 77;
        disk.write_at(&[generation as u8; 5000], at as u64).expect("writes");
        model[at..at + 5000].fill(generation as u8);
        disk.write_zeroes((at + 100_000) as u64, 90_000).expect("writes");
        model[at + 100_000..at + 190_000].fill(0);
        disk.discard(0, 1 << 20).expect("discards");
        disk.close().expect("closes");
        assert!(Open::new().check(&own).expect("checks").is_clean());
        let disk = diskport::open(&own).expect("opens");
        assert_eq!(disk.chain().len(), generation + 1);
        // What was discarded may read as zeros.
        let mut found = vec![0; 1 << 20];
        disk.read_at(&mut found, 0).expect("reads");
        model[..1 << 20].copy_from_slice(&found);
        assert_reads_as(&disk, &model);
    }
    let parent = diskport::open(path("4.vmdk")).expect("opens");
    let larger = Child::of(&parent).size(4 << 20).create(path("5.vmdk"));
    assert!(matches!(larger, Err(Error::SizeLimit { .. })), "{larger:?}");
    assert!(!path("5.vmdk").exists());
    // A parent that was changed is another one.
    let disk = Open::new().open_writable(path("3.vmdk")).expect("opens");
    disk.write_at(&[1], 0).expect("writes");
    disk.close().expect("closes");
    assert!(matches!(diskport::open(path("4.vmdk")), Err(Error::ParentMismatch { .. })));
}

#[test]
fn children_name_what_virtualbox_names() {
    let uuid = "3c1a9d0e-7a0b-4c7e-9c3a-0123456789ab";
    let mut base = monolithic();
    let ddb = format!(
        "ddb.geometry.cylinders=\"20\"\nddb.geometry.heads=\"16\"\nddb.geometry.sectors=\"63\"\nddb.uuid.image=\"{uuid}\"\n"
    );
    base.descriptor = base.descriptor.map(|text| format!("{text}{ddb}"));
    let base = base.build().bytes;
    let parent = Open::new().open(MemoryStorage::new(base.clone())).expect("opens");
    let file = Shared::new(Vec::new());
    Child::of(&parent).parent_name("../bases/base.vmdk").create(file.clone()).expect("writes");
    let bytes = file.0.to_vec();
    let text = String::from_utf8_lossy(&bytes[512..21 * 512]).into_owned();
    for line in [
        "parentCID=1234abcd",
        "parentFileNameHint=\"../bases/base.vmdk\"",
        "ddb.adapterType = \"ide\"",
        "ddb.geometry.cylinders = \"20\"",
        &format!("ddb.uuid.parent = \"{uuid}\""),
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    let names = [("base.vmdk", storage(base))];
    let child = Open::new().resolver(Explicit::from(names)).open(file).expect("opens");
    assert_reads_as(&child, &content());
    let mut without = monolithic();
    without.descriptor = without.descriptor.map(|text| text.replace("CID=1234abcd\n", ""));
    let parent = Open::new().open(MemoryStorage::new(without.build().bytes)).expect("opens");
    let refused = Child::of(&parent).parent_name("base.vmdk").create(Shared::new(Vec::new()));
    assert!(matches!(refused, Err(Error::Layout { .. })), "{refused:?}");
}

#[test]
fn a_thousand_children_take_seconds() {
    let folder = tempfile::tempdir().expect("a folder");
    let base = folder.path().join("base.vmdk");
    let kind = OutputFormat::Vmdk(Subformat::MonolithicSparse);
    Convert::new(&Disk::empty(40 << 30, 512)).to(kind).create(&base).expect("writes");
    let (base, start) = (diskport::open(&base).expect("opens"), std::time::Instant::now());
    for number in 0..1000 {
        let path = folder.path().join(format!("{number}.vmdk"));
        Child::of(&base).sync(false).create(path).expect("writes");
    }
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}

#[test]
fn many_writers_at_once() {
    const THREADS: usize = 8;
    const SIZE: usize = 24 << 20;
    let folder = tempfile::tempdir().expect("a folder");
    let (base, path) = (folder.path().join("base.vmdk"), folder.path().join("child.vmdk"));
    let raw = folder.path().join("base.raw");
    let mut model: Vec<u8> = (0..SIZE).map(|at| (at / 900) as u8).collect();
    std::fs::write(&raw, &model).expect("writes");
    let kind = OutputFormat::Vmdk(Subformat::MonolithicSparse);
    Convert::new(&diskport::open(&raw).expect("opens")).to(kind).create(&base).expect("writes");
    Child::of(&diskport::open(&base).expect("opens")).create(&path).expect("writes");
    let disk = Open::new().open_writable(&path).expect("opens");
    // Neighbours share grains: each writes every eighth sector of the same ones.
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let disk = &disk;
            scope.spawn(move || {
                for (round, at) in (thread * 512..SIZE).step_by(THREADS * 512 * 5).enumerate() {
                    disk.write_at(&[thread as u8 + 1; 512], at as u64).expect("writes");
                    let mut found = [0; 512];
                    disk.read_at(&mut found, at as u64).expect("reads");
                    assert_eq!(found, [thread as u8 + 1; 512]);
                    if round % 400 == 100 {
                        disk.flush().expect("flushes");
                    }
                }
            });
        }
    });
    for thread in 0..THREADS {
        for at in (thread * 512..SIZE).step_by(THREADS * 512 * 5) {
            model[at..at + 512].fill(thread as u8 + 1);
        }
    }
    disk.close().expect("closes");
    assert!(Open::new().check(&path).expect("checks").is_clean());
    assert_reads_as(&diskport::open(&path).expect("opens"), &model);
}

#[test]
fn flat_disks_are_resized() {
    let folder = tempfile::tempdir().expect("a folder");
    for kind in [Subformat::MonolithicFlat, Subformat::Vmfs] {
        let path = folder.path().join(format!("{kind}.vmdk"));
        Convert::new(&Disk::empty(1 << 20, 512)).to(OutputFormat::Vmdk(kind)).create(&path).expect("writes");
        let mut model = vec![0; 1 << 20];
        let disk = Open::new().open_writable(&path).expect("opens");
        disk.write_at(&[5; 700], 4000).expect("writes");
        model[4000..4700].fill(5);
        disk.resize(100 << 20, false).expect("resizes");
        model.resize(100 << 20, 0);
        assert_reads_as(&diskport::open(&path).expect("opens"), &model);
        let shrink = |size| Open::new().open_writable(&path).expect("opens").resize(size, false);
        assert!(matches!(shrink(4096), Err(Error::ShrinkLosesData { .. })));
        shrink(8192).expect("resizes");
        assert!(Open::new().check(&path).expect("checks").findings.is_empty());
        assert_reads_as(&diskport::open(&path).expect("opens"), &model[..8192]);
        assert!(matches!(shrink(8192 + 100), Err(Error::Unsupported { .. })));
        let data_id = diskport::open(&path).expect("opens").chain()[0].info().data_id;
        assert!(matches!(data_id, Some(Identity::Cid(_))));
    }
}

#[test]
fn sparse_files_end_at_two_tib() {
    // A disk of 3 TiB whose file is nearly as large as tables can name.
    let grains = vec![Grain::Absent; 8];
    let mut built = Hosted::new(1024, 128, grains)
        .monolithic(&Text::new("monolithicSparse", ["RW 1024 SPARSE \"a\""]))
        .build();
    let last = (1_u64 << 32) - 256;
    for table in [built.tables[0], built.redundant_tables[0]] {
        put32(&mut built.bytes, table as usize * SECTOR, last as u32);
    }
    put(&mut built.bytes, field::OVERHEAD, &(last).to_le_bytes());
    let file = Vast::default();
    file.write_all_at(&built.bytes, 0).expect("writes");
    file.set_size((last + 128) * 512).expect("grows");
    let disk = Open::new().open_writable(file).expect("opens");
    disk.write_at(&[1; 512], 65_536).expect("the last grain");
    match disk.write_at(&[1; 512], 2 * 65_536) {
        Err(Error::SizeLimit { .. }) => {}
        other => panic!("{other:?}"),
    }
    disk.close().expect("closes");
}

#[test]
fn a_descriptor_in_no_folder_keeps_its_length() {
    let text = Text::new("monolithicFlat", ["RW 2048 FLAT \"a-flat.vmdk\" 0"]).render();
    let file = Shared::new(text.clone().into_bytes());
    let extent = Arc::new(MemoryStorage::new(vec![3; 1 << 20]));
    let mut resolver = Explicit::default();
    resolver.insert_writable("a-flat.vmdk", extent.clone());
    let open = Open::new().resolver(resolver);
    for size in [1 << 30, 4 << 20, 512_u64] {
        open.open_writable(file.clone()).expect("opens").resize(size, true).expect("resizes");
        assert_eq!(file.0.to_vec().len(), text.len());
        assert_eq!(extent.size().expect("has one"), size);
        assert_eq!(open.open(file.clone()).expect("opens").size(), size);
    }
}

#[test]
fn any_storage_call_may_fail() {
    let steps = |disk: &diskport::WritableDisk| -> diskport::Result<()> {
        disk.write_at(&[1; 5000], 70_000)?;
        disk.flush()?;
        disk.write_at(&[2; 90_000], 300_000)?;
        disk.write_zeroes(65_536, 65_536)?;
        disk.flush()
    };
    let bytes = monolithic().build().bytes;
    let models: Vec<Vec<u8>> = {
        let mut model = content();
        let mut models = vec![model.clone()];
        model[70_000..75_000].fill(1);
        models.push(model.clone());
        model[300_000..390_000].fill(2);
        model[65_536..131_072].fill(0);
        models.push(model);
        models
    };
    for fault in [Fault::Error(std::io::ErrorKind::StorageFull), Fault::Short] {
        for call in 1.. {
            let file = Shared::new(bytes.clone());
            let faulty = FaultyStorage::new(file.clone(), call, fault);
            let done = Open::new().open_writable(faulty).and_then(|disk| {
                steps(&disk)?;
                disk.close()
            });
            let checked = Open::new().repair(file.clone(), Repairs::Lossless).expect("checks");
            assert!(checked.is_clean(), "call {call}: {:#?}", checked.findings);
            let disk = Open::new().open(file).expect("opens");
            let mut found = vec![0; disk.size() as usize];
            disk.read_at(&mut found, 0).expect("reads");
            // A write that fails may end within a sector.
            for (at, byte) in found.iter().enumerate() {
                assert!(models.iter().any(|model| model[at] == *byte), "call {call}: byte {at}");
            }
            if done.is_ok() && call > 40 {
                assert!(found == models[2]);
                break;
            }
        }
    }
}
