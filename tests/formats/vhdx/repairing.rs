//! Checking and repairing: each rule broken, found, and mended as far as it can be.

use std::path::Path;

use diskport::check::{Checked, Repairs, Severity};
use diskport::storage::{Faults, FaultyStorage};
use diskport::{Error, Open, Problem};

use super::builder::{
    BAT, Block, Change, Entry, HEADERS, Image, LOG, LOG_GUID, METADATA, MIB, REGIONS, get_u64, put, put_log,
    set_dirty,
};
use super::model::noise;
use super::writing::{assert_clean, open};
use crate::support::{Shared, assert_reads_as};

/// A disk of four blocks, two of them full.
fn image() -> (Image, Vec<u8>) {
    let mut image = Image::empty(4 * MIB, MIB, 512);
    image.blocks[0] = Block::Full(noise(1 << 20, 1));
    image.blocks[2] = Block::Full(noise(1 << 20, 2));
    let mut model = vec![0; 4 << 20];
    model[..1 << 20].copy_from_slice(&noise(1 << 20, 1));
    model[2 << 20..3 << 20].copy_from_slice(&noise(1 << 20, 2));
    (image, model)
}

struct Case {
    folder: tempfile::TempDir,
    bytes: Vec<u8>,
}

impl Case {
    fn new(bytes: Vec<u8>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("a.vhdx"), &bytes).expect("written");
        Self { folder, bytes }
    }

    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("a.vhdx")
    }

    fn check(&self) -> Checked {
        let checked = Open::new().check(self.path()).expect("checks");
        assert!(std::fs::read(self.path()).expect("read") == self.bytes, "a check changes nothing");
        checked
    }

    /// That the one finding beside notes is this one.
    fn finds(&self, severity: Severity, problem: Problem, structure: &str) {
        let checked = self.check();
        let found: Vec<_> =
            checked.findings.iter().filter(|finding| finding.severity != Severity::Note).collect();
        let [finding] = found[..] else { panic!("{found:#?}") };
        assert_eq!(
            (finding.severity, finding.defect.problem, finding.defect.structure),
            (severity, problem, structure),
            "{finding}"
        );
    }

    fn repair(&self, repairs: Repairs) -> Checked {
        Open::new().repair(self.path(), repairs).expect("repairs")
    }

    /// That it is not written to, and nothing changes by trying.
    fn refuses_writing(&self) {
        let opened = Open::new().open_writable(self.path());
        assert!(matches!(opened, Err(Error::Defect(_))), "{opened:?}");
        assert!(std::fs::read(self.path()).expect("read") == self.bytes);
    }

    /// That repairs without loss make it clean, and it reads as `model`.
    fn is_mended(&self, model: &[u8]) {
        let checked = self.repair(Repairs::Lossless);
        assert!(checked.findings.is_empty(), "{:#?}", checked.findings);
        reads(&self.path(), model);
    }

    /// That only a repair with loss makes it clean; then it reads as `model`.
    fn is_mended_with_loss(&self, model: &[u8]) {
        self.refuses_writing();
        let before = self.check();
        let lossless = self.repair(Repairs::Lossless);
        assert_eq!(lossless.findings, before.findings);
        let error =
            before.findings.iter().find(|finding| finding.severity == Severity::Error).expect("an error");
        assert!(error.repair.as_ref().is_some_and(|repair| repair.loses.is_some()), "{error}");
        assert_clean(&self.repair(Repairs::All));
        reads(&self.path(), model);
        open(&self.path()).close().expect("closes");
    }
}

fn reads(path: &Path, model: &[u8]) {
    assert_reads_as(&diskport::open(path).expect("opens"), model);
}

#[test]
fn a_sound_disk_has_no_findings() {
    let case = Case::new(image().0.build());
    assert!(case.check().findings.is_empty());
    assert!(case.repair(Repairs::All).findings.is_empty());
    assert!(std::fs::read(case.path()).expect("read") == case.bytes, "nothing to repair, nothing changed");
}

#[test]
fn damaged_copies() {
    let (image, model) = image();
    for (places, structure) in [(HEADERS, "header"), (REGIONS, "region table")] {
        for place in places {
            let mut bytes = image.build();
            bytes[place + 20] ^= 1;
            let case = Case::new(bytes);
            case.finds(Severity::Warning, Problem::Checksum, structure);
            case.is_mended(&model);
        }
        let mut bytes = image.build();
        places.iter().for_each(|&place| bytes[place + 20] ^= 1);
        let case = Case::new(bytes);
        case.finds(Severity::Error, Problem::Checksum, structure);
        case.refuses_or_cannot_be_read();
    }
}

impl Case {
    fn refuses_or_cannot_be_read(&self) {
        self.refuses_writing();
        let left = self.repair(Repairs::All);
        assert!(!left.is_clean());
        assert!(std::fs::read(self.path()).expect("read") == self.bytes, "nothing is guessed");
    }
}

#[test]
fn a_log_to_replay() {
    let (image, model) = image();
    let whole = image.build();
    let mut bytes = whole.clone();
    bytes[BAT..BAT + 4096].fill(0);
    let changes = vec![Change::Data(BAT as u64, whole[BAT..BAT + 4096].to_vec())];
    let last = whole.len() as u64;
    let entry = Entry { sequence: 3, tail: 0, guid: LOG_GUID, flushed: last, last, changes };
    put_log(&mut bytes, 0, &entry.bytes());
    set_dirty(&mut bytes);
    let case = Case::new(bytes.clone());
    case.finds(Severity::Warning, Problem::Log, "log");
    case.is_mended(&model);

    bytes[LOG + 100] ^= 1;
    let case = Case::new(bytes);
    case.finds(Severity::Error, Problem::Log, "log");
    case.is_mended_with_loss(&vec![0; model.len()]);
}

#[test]
fn entries_that_lead_astray() {
    let (image, mut model) = image();
    let whole = image.build();
    let end = whole.len() as u64;
    model[2 << 20..3 << 20].fill(0);
    let at = image.entry_at(2);
    let other = get_u64(&whole, image.entry_at(0));
    for (entry, problem) in [
        (end | 6, Problem::OutOfFile),
        (6, Problem::Overlap),
        (METADATA as u64 | 6, Problem::Overlap),
        (other, Problem::Overlap),
        ((end - MIB) | 5, Problem::Value),
        ((end - MIB) | 7, Problem::Value),
        ((end - MIB) | 14, Problem::Value),
    ] {
        let mut bytes = whole.clone();
        put(&mut bytes, at, &entry.to_le_bytes());
        let case = Case::new(bytes);
        case.finds(Severity::Error, problem, "BAT entry");
        case.is_mended_with_loss(&model);
    }
}

#[test]
fn entries_that_name_places_they_do_not_need() {
    let (image, model) = image();
    for state in 0..4 {
        for place in [64 * MIB, (BAT as u64) + MIB] {
            let mut bytes = image.build();
            put(&mut bytes, image.entry_at(1), &(place | state).to_le_bytes());
            let case = Case::new(bytes);
            case.finds(Severity::Warning, Problem::Value, "BAT entry");
            // It is written to all the same, and nothing of the disk is lost.
            let disk = open(&case.path());
            disk.write_at(&noise(512, 3), 3 * MIB).expect("writes");
            disk.close().expect("closes");
            let mut model = model.clone();
            model[3 << 20..][..512].copy_from_slice(&noise(512, 3));
            reads(&case.path(), &model);
            assert_clean(&case.repair(Repairs::Lossless));
            reads(&case.path(), &model);
        }
    }
}

#[test]
fn partly_present_blocks_need_their_bitmap() {
    let folder = tempfile::tempdir().expect("a folder");
    let parent = Image::empty(4 * MIB, MIB, 512);
    let linkage = uuid::Uuid::from_bytes_le(parent.data_guid).to_string();
    let mut child = Image::child(4 * MIB, MIB, 512, &linkage);
    child.blocks[1] = Block::Partial(noise(1 << 20, 1), vec![true; 2048]);
    child.blocks[3] = Block::Full(noise(1 << 20, 2));
    let entry = get_u64(&child.build(), child.bitmap_entry_at(0));
    let payload = get_u64(&child.build(), child.entry_at(3)) & !7;
    for bitmap in [0, entry & !7, entry | 8, (64 * MIB) | 6, payload | 6] {
        let mut bytes = child.build();
        put(&mut bytes, child.bitmap_entry_at(0), &bitmap.to_le_bytes());
        let case = Case { folder: tempfile::tempdir_in(&folder).expect("a folder"), bytes };
        std::fs::write(case.path(), &case.bytes).expect("written");
        std::fs::write(case.folder.path().join("parent.vhdx"), parent.build()).expect("written");
        assert!(case.check().findings.iter().any(|finding| finding.severity == Severity::Error));
        case.refuses_writing();
        let checked = case.repair(Repairs::All);
        assert_clean(&checked);
        let mut model = vec![0; 4 << 20];
        // Where two claim a place, the first of them keeps it.
        model[3 << 20..].copy_from_slice(&noise(1 << 20, 2));
        reads(&case.path(), &model);
    }
}

#[test]
fn space_that_nothing_uses_is_noted() {
    let (image, model) = image();
    let mut bytes = image.build();
    bytes.resize(bytes.len() + (3 << 20), 0xee);
    let case = Case::new(bytes.clone());
    let checked = case.check();
    assert!(checked.is_clean() && checked.findings.len() == 1, "{:#?}", checked.findings);
    // New blocks go there, without what was there before; closing cuts the rest.
    let disk = open(&case.path());
    disk.write_at(&noise(512, 3), 3 * MIB + 4096).expect("writes");
    disk.close().expect("closes");
    let mut model = model;
    model[(3 << 20) + 4096..][..512].copy_from_slice(&noise(512, 3));
    reads(&case.path(), &model);
    assert_eq!(std::fs::metadata(case.path()).expect("a file").len(), bytes.len() as u64 - 2 * MIB);
}

#[test]
fn headers_that_cannot_count_on() {
    let (image, model) = image();
    let mut bytes = image.build();
    for (header, number) in HEADERS.into_iter().zip([u64::MAX - 1, u64::MAX]) {
        put(&mut bytes, header + 8, &number.to_le_bytes());
        super::builder::seal(&mut bytes[header..header + 4096]);
    }
    let case = Case::new(bytes);
    case.finds(Severity::Error, Problem::Value, "header");
    case.refuses_or_cannot_be_read();
    reads(&case.path(), &model);
}

/// What the file has of a block is kept, and what it lacks becomes zeros; a block of which it has nothing is given up.
#[test]
fn a_block_that_was_cut_with_the_file() {
    let (image, model) = image();
    let whole = image.build();
    for missing in [1, 511, 4096, (1 << 19) + 7, (1 << 20) - 1] {
        let case = Case::new(whole[..whole.len() - missing].to_vec());
        case.finds(Severity::Error, Problem::OutOfFile, "BAT entry");
        let mut model = model.clone();
        model[(3 << 20) - missing..3 << 20].fill(0);
        case.is_mended_with_loss(&model);
        let size = std::fs::metadata(case.path()).expect("a file").len();
        assert_eq!(size, whole.len() as u64);
        let mut mended = std::fs::read(case.path()).expect("read");
        mended.truncate(whole.len() - missing);
        assert!(mended[BAT..] == case.bytes[BAT..], "nothing else is changed");
        // Its children still know it: no byte that they could read is another.
        let data_guid = |bytes: &[u8]| bytes[HEADERS[0] + 32..HEADERS[0] + 48].to_vec();
        assert_eq!(data_guid(&mended), data_guid(&case.bytes));
    }
    let case = Case::new(whole[..whole.len() - (1 << 20)].to_vec());
    let mut model = model;
    model[2 << 20..3 << 20].fill(0);
    case.is_mended_with_loss(&model);
    assert_eq!(std::fs::metadata(case.path()).expect("a file").len(), case.bytes.len() as u64);
}

/// Of two blocks that claim a place, the one that is whole keeps it, whichever comes first.
#[test]
fn a_block_that_was_cut_and_is_not_alone() {
    for (cut, kept) in [(0, 1), (1, 0)] {
        let mut image = Image::empty(8 * MIB, 2 * MIB, 512);
        image.blocks[kept as usize] = Block::Full(noise(2 << 20, 1));
        let mut bytes = image.build();
        let place = get_u64(&bytes, image.entry_at(kept)) + MIB;
        put(&mut bytes, image.entry_at(cut), &place.to_le_bytes());
        let case = Case::new(bytes);
        let mut model = vec![0; 8 << 20];
        model[(kept as usize) << 21..][..2 << 20].copy_from_slice(&noise(2 << 20, 1));
        case.is_mended_with_loss(&model);
        assert_eq!(std::fs::metadata(case.path()).expect("a file").len(), case.bytes.len() as u64);
    }
}

/// The last block may be shorter on the disk than in the file, and what the disk lacks may be missing.
#[test]
fn a_last_block_that_was_cut() {
    let mut image = Image::empty(3 * MIB + 4096, MIB, 512);
    image.blocks[3] = Block::Full(noise(4096, 1));
    image.cut = true;
    let whole = image.build();
    let case = Case::new(whole.clone());
    assert!(case.check().is_clean());
    let case = Case::new(whole[..whole.len() - 100].to_vec());
    let mut model = vec![0; (3 << 20) + 4096];
    model[3 << 20..].copy_from_slice(&noise(4096, 1));
    model[(3 << 20) + 3996..].fill(0);
    case.is_mended_with_loss(&model);
}

/// The bits that are there still say which sectors are the child's.
#[test]
fn a_sector_bitmap_that_was_cut() {
    let parent = Image::empty(4 * MIB, MIB, 512);
    let linkage = uuid::Uuid::from_bytes_le(parent.data_guid).to_string();
    let mut child = Image::child(4 * MIB, MIB, 512, &linkage);
    child.blocks[1] = Block::Partial(noise(1 << 20, 1), vec![true; 2048]);
    let mut bytes = child.build();
    // The bitmap behind the payload, at the file's end.
    let (bitmap, payload) = (child.bitmap_entry_at(0), child.entry_at(1));
    let (first, second) = (get_u64(&bytes, bitmap) & !7, get_u64(&bytes, payload) & !7);
    let (a, b) = (first as usize, second as usize);
    assert_eq!(b, a + (1 << 20));
    let (front, back) = bytes[a..].split_at_mut(1 << 20);
    front.swap_with_slice(back);
    put(&mut bytes, bitmap, &(second | 6).to_le_bytes());
    put(&mut bytes, payload, &(first | 7).to_le_bytes());
    bytes.truncate(bytes.len() - 100_000);
    let case = Case::new(bytes);
    std::fs::write(case.folder.path().join("parent.vhdx"), parent.build()).expect("written");
    case.finds(Severity::Error, Problem::OutOfFile, "BAT entry");
    let mut model = vec![0; 4 << 20];
    model[1 << 20..2 << 20].copy_from_slice(&noise(1 << 20, 1));
    case.is_mended_with_loss(&model);
}

/// A disk without a parent has no sector bitmaps: whatever stands in their entries is taken away, and the repair ends.
#[test]
fn sector_bitmaps_of_a_disk_without_a_parent() {
    let image = Image::empty(4097 * MIB, MIB, 512);
    for entry in [1, 2, 3, 4, 5, 6, 7, 8, 0xf_fff8, (64 * MIB) | 1, (64 * MIB) | 6, 5 * MIB, u64::MAX] {
        let mut bytes = image.build();
        put(&mut bytes, image.bitmap_entry_at(0), &entry.to_le_bytes());
        let case = Case::new(bytes);
        case.finds(Severity::Warning, Problem::Value, "BAT entry");
        let checked = case.repair(Repairs::Lossless);
        assert!(checked.findings.is_empty(), "{entry:#x}: {:#?}", checked.findings);
        assert_eq!(std::fs::read(case.path()).expect("read")[BAT..], image.build()[BAT..]);
    }
}

/// A repair is not longer than the table: each entry is changed once.
#[test]
fn a_table_full_of_bad_entries() {
    let image = Image::empty(100_000 * MIB, MIB, 512);
    let mut bytes = image.build();
    for block in 0..100_000 {
        let entry = [5_u64, (64 * MIB) | 6, (64 * MIB) | 2, 9 << 3][block as usize % 4];
        put(&mut bytes, image.entry_at(block), &entry.to_le_bytes());
    }
    let case = Shared::new(bytes);
    let counted = FaultyStorage::with(case, Faults::none());
    let checked = Open::new().repair(counted.clone(), Repairs::All).expect("repairs");
    assert_clean(&checked);
    // 800 KB in sectors of 4 KiB, 126 of them to an entry of the log; twice read, and some for the rest.
    assert!(counted.calls() < 3 * 200 + 200, "{} calls", counted.calls());
}
