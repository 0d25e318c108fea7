//! Checking and repairing: each rule broken, found, and mended as far as it can be.

use std::path::Path;

use diskport::check::{Checked, Repairs, Severity};
use diskport::{Error, Open, Problem};

use super::builder::{
    BAT, Block, Change, Entry, HEADERS, Image, LOG, LOG_GUID, METADATA, MIB, REGIONS, get_u64, put, put_log,
    set_dirty,
};
use super::model::noise;
use super::writing::{assert_clean, open};
use crate::support::assert_reads_as;

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
