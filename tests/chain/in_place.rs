//! Images changed in place, whole or not at all.

use std::fs;
use std::path::{Path, PathBuf};

use diskport::chain::{change_in_place, end_change};
use diskport::copy::{Convert, OutputFormat};
use diskport::disk::Patch;
use diskport::format::Allocation;
use diskport::format::vmdk::Subformat;
use diskport::job::Job;
use diskport::{Child, Disk, Error, Format, KIB, MIB, Open, Result};

use crate::model::{SIZE, VHD, VHDX, VMDK};

const FORMATS: [OutputFormat; 7] = [
    OutputFormat::Raw,
    VHD,
    OutputFormat::Vhd(Allocation::Fixed),
    VHDX,
    OutputFormat::Vhdx(Allocation::Fixed),
    VMDK,
    OutputFormat::Vmdk(Subformat::MonolithicFlat),
];

struct Case {
    folder: tempfile::TempDir,
    image: PathBuf,
    open: Open,
    old: Vec<u8>,
    new: Vec<u8>,
}

impl Case {
    fn new(format: OutputFormat) -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let image = folder.path().join(format!("image.{}", format.format().name()));
        let mut old = vec![0; SIZE as usize];
        for (at, byte) in old.iter_mut().enumerate().skip(100_000).take(2_000_000) {
            *byte = (at % 251) as u8;
        }
        let source = diskport::storage::MemoryStorage::new(old.clone());
        let source = Open::new().format(Format::Raw).open(source).expect("opens");
        Convert::new(&source).to(format).create(&image).expect("writes");
        let mut new = old.clone();
        for patch in patches() {
            new[patch.offset as usize..][..patch.bytes.len()].copy_from_slice(&patch.bytes);
        }
        Self { folder, image, open: Open::new().format(format.format()), old, new }
    }

    fn open(&self) -> Disk {
        self.open.open(&self.image).expect("opens")
    }

    fn reads(&self, expected: &[u8]) {
        let mut found = vec![0; SIZE as usize];
        self.open().read_at(&mut found, 0).expect("reads");
        assert!(found == expected, "{}", self.image.display());
    }

    fn change(&self, job: &Job, check: impl FnOnce() -> Result<()>) -> Result<()> {
        let source = self.open();
        let changed = source.patched(SIZE, patches()).expect("fits");
        change_in_place(&source, &changed, &self.open, job, check).map(drop)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).expect("a folder");
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
    }

    fn pending(&self) -> Option<PathBuf> {
        self.names()
            .iter()
            .find(|name| name.ends_with(".diskport-change"))
            .map(|name| self.folder.path().join(name))
    }
}

fn patches() -> Vec<Patch> {
    let patch = |offset, byte, len| Patch { offset, bytes: vec![byte; len as usize] };
    vec![
        patch(512, 1, 512),
        patch(MIB, 0, 64 * KIB),
        patch(5 * MIB - 4096, 7, MIB),
        patch(SIZE - 512, 9, 512),
    ]
}

#[test]
fn a_change_in_place_is_there_and_leaves_nothing_beside() {
    for format in FORMATS {
        let case = Case::new(format);
        let names = case.names();
        case.change(&Job::new(), || Ok(())).expect("changes");
        case.reads(&case.new);
        assert_eq!(case.names().len(), names.len(), "{format}: {:?}", case.names());
        let found = case.open.check(&case.image).expect("checks");
        assert!(found.findings.is_empty(), "{format}: {:?}", found.findings);
        assert!(end_change(&case.image, &case.open, &Job::new()).expect("looks").is_none());
    }
}

#[test]
fn a_change_that_is_refused_leaves_all_as_it_was() {
    for format in FORMATS {
        let case = Case::new(format);
        let bytes = fs::read(&case.image).expect("reads");
        let refused = case.change(&Job::new(), || Err(Error::Cancelled));
        assert!(matches!(refused, Err(Error::Cancelled)), "{refused:?}");
        let user = case.open.open_writable(&case.image).expect("opens");
        let refused = case.change(&Job::new(), || Ok(()));
        assert!(matches!(refused, Err(Error::Locked { .. })), "{format}: {refused:?}");
        user.close().expect("closes");
        assert_eq!(case.pending(), None);
        case.reads(&case.old);
        if format == OutputFormat::Raw {
            assert!(fs::read(&case.image).expect("reads") == bytes);
        }
        let child = case.folder.path().join("child");
        Child::of(&case.open()).create(&child).expect("makes a child");
        if format != OutputFormat::Raw {
            let refused = case.change(&Job::new(), || Ok(()));
            assert!(matches!(refused, Err(Error::HasChildren { .. })), "{format}: {refused:?}");
        }
    }
}

/// From the moment on at which the change has its name, the image reads as changed; it is not written to by others, and ends.
#[test]
fn a_change_that_is_cut_off_shows_and_ends() {
    for format in FORMATS {
        let case = Case::new(format);
        let names = case.names().len();
        let cancelled = Job::new();
        cancelled.cancel();
        let cut = case.change(&cancelled, || Ok(()));
        assert!(matches!(cut, Err(Error::Cancelled)), "{format}: {cut:?}");
        assert!(case.pending().is_some(), "{format}");
        case.reads(&case.new);
        let refused = case.open.open_writable(&case.image);
        assert!(matches!(refused, Err(Error::NotWritable { .. })), "{format}: {refused:?}");
        end_change(&case.image, &case.open, &Job::new()).expect("ends").expect("was there");
        case.reads(&case.new);
        assert_eq!(case.names().len(), names, "{format}: {:?}", case.names());
    }
}

/// However far the bytes of a raw disk have come.
#[test]
fn a_change_shows_however_far_it_has_come() {
    let case = Case::new(OutputFormat::Raw);
    let cancelled = Job::new();
    cancelled.cancel();
    case.change(&cancelled, || Ok(())).expect_err("is cut off");
    let pending = case.pending().expect("a change");
    let saved = fs::read(&pending).expect("reads");
    for cut in [0, 700, MIB, MIB + 1000, 5 * MIB, SIZE - 512, SIZE] {
        let mixed = [&case.new[..cut as usize], &case.old[cut as usize..]].concat();
        fs::write(&case.image, mixed).expect("writes");
        restore(&pending, &saved);
        case.reads(&case.new);
        end_change(&case.image, &case.open, &Job::new()).expect("ends");
        assert!(fs::read(&case.image).expect("reads") == case.new, "{cut}");
    }
}

fn restore(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).expect("writes");
}
