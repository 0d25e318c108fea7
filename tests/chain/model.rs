//! A folder with a chain of images of one format, beside what each of them must read as.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use diskport::copy::{Convert, OutputFormat};
use diskport::format::Allocation;
use diskport::format::vmdk::Subformat;
use diskport::storage::MemoryStorage;
use diskport::{Child, Disk, Format, KIB, MIB, Open, WritableDisk};
use tempfile::TempDir;

/// Virtual size of the disks: several blocks of every format, and a part of one.
pub const SIZE: u64 = 7 * MIB + 64 * KIB;

pub const VHD: OutputFormat = OutputFormat::Vhd(Allocation::Dynamic);
pub const VHDX: OutputFormat = OutputFormat::Vhdx(Allocation::Dynamic);
pub const VMDK: OutputFormat = OutputFormat::Vmdk(Subformat::MonolithicSparse);
/// The formats that have children, by the kind that grows.
pub const FORMATS: [OutputFormat; 3] = [VHD, VHDX, VMDK];

/// Whether a changed content shows in the image's identity.
pub fn tells_changes(format: OutputFormat) -> bool {
    format.format() != Format::Vhd
}

/// What is done to a disk.
#[derive(Debug, Clone, Copy)]
pub enum Change {
    /// Noise of this many bytes.
    Data(u64, u64),
    /// Zeros.
    Zeros(u64, u64),
}

impl Change {
    /// Makes the change to `disk`, which is to read as `content` afterwards.
    pub fn make(self, disk: &WritableDisk, content: &[u8]) {
        match self {
            Self::Data(at, len) => disk.write_at(&content[at as usize..(at + len) as usize], at),
            Self::Zeros(at, len) => disk.write_zeroes(at, len),
        }
        .expect("writes");
    }
}

pub struct Chain {
    pub folder: TempDir,
    pub format: OutputFormat,
    /// The images, the base first.
    pub images: Vec<PathBuf>,
    /// What each of them reads as.
    pub contents: Vec<Vec<u8>>,
}

impl Chain {
    /// A base with some content, and no children yet.
    pub fn new(format: OutputFormat) -> Self {
        Self::of_size(format, SIZE)
    }

    pub fn of_size(format: OutputFormat, size: u64) -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let mut content = vec![0; size as usize];
        apply(&mut content, &[Change::Data(0, 100 * KIB), Change::Data(2 * MIB - 8 * KIB, MIB)], 1);
        let base = folder.path().join(format!("base.{}", format.format().name()));
        make(&content, format, &base);
        Self { folder, format, images: vec![base], contents: vec![content] }
    }

    /// A chain with a child for each list of changes.
    pub fn with(format: OutputFormat, layers: &[&[Change]]) -> Self {
        let mut chain = Self::new(format);
        for changes in layers {
            chain.push(changes);
        }
        chain
    }

    /// Adds a child of the top, with these changes.
    pub fn push(&mut self, changes: &[Change]) {
        let path = self.path(&format!("child{}", self.images.len()));
        let parent = open(self.top());
        Child::of(&parent).create(&path).expect("makes a child");
        let mut content = self.contents.last().expect("a base").clone();
        write(&path, changes, &mut content);
        self.images.push(path);
        self.contents.push(content);
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.{}", self.format.format().name()))
    }

    pub fn top(&self) -> &Path {
        self.images.last().expect("a base")
    }

    pub fn content(&self) -> &[u8] {
        self.contents.last().expect("a base")
    }

    /// The bytes of all files of the chain.
    pub fn files(&self) -> Vec<Vec<u8>> {
        self.images.iter().map(|path| std::fs::read(path).expect("reads")).collect()
    }

    /// Puts all files back as they were.
    pub fn restore(&self, files: &[Vec<u8>]) {
        for (path, bytes) in self.images.iter().zip(files) {
            std::fs::write(path, bytes).expect("writes");
        }
    }
}

/// An image of `format` at `path` that holds `content`, in blocks as small as the format allows.
pub fn make(content: &[u8], format: OutputFormat, path: &Path) {
    let storage = MemoryStorage::new(content);
    let source = Open::new().format(Format::Raw).open(storage).expect("any bytes are a raw disk");
    smallest_blocks(Convert::new(&source).to(format).sync(false)).create(path).expect("writes");
}

/// The copy with blocks as small as the format allows.
pub fn smallest_blocks(copy: Convert) -> Convert {
    match copy.format() {
        OutputFormat::Vhd(_) => copy.block_size(512 * KIB),
        OutputFormat::Vhdx(_) => copy.block_size(MIB),
        _ => copy,
    }
}

/// Makes `changes` to the image at `path`, and to `content`, what it reads as.
pub fn write(path: &Path, changes: &[Change], content: &mut [u8]) {
    write_by(&Open::new(), path, changes, content);
}

/// The same, opened as `open` says.
pub fn write_by(open: &Open, path: &Path, changes: &[Change], content: &mut [u8]) {
    let disk = open.open_writable(path).expect("opens for writing");
    let before = content.to_vec();
    apply(content, changes, path.as_os_str().len() as u64);
    for change in changes {
        change.make(&disk, content);
    }
    assert!(before != content || changes.is_empty(), "the changes change something");
    disk.close().expect("closes");
}

/// Makes the changes to bytes in memory.
pub fn apply(content: &mut [u8], changes: &[Change], seed: u64) {
    for (index, change) in changes.iter().enumerate() {
        match *change {
            Change::Data(at, len) => {
                let bytes = noise(len as usize, seed * 31 + index as u64 + at);
                content[at as usize..(at + len) as usize].copy_from_slice(&bytes);
            }
            Change::Zeros(at, len) => content[at as usize..(at + len) as usize].fill(0),
        }
    }
}

/// Deterministic bytes that do not compress.
pub fn noise(len: usize, mut seed: u64) -> Vec<u8> {
    let byte = |_| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 56) as u8
    };
    (0..len).map(byte).collect()
}

pub fn open(path: &Path) -> Disk {
    diskport::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// What is odd about the bonds between the layers.
pub fn bond_warnings(disk: &Disk) -> Vec<String> {
    let of_bonds = disk.warnings().filter(|warning| warning.structure.starts_with("parent"));
    of_bonds.map(ToString::to_string).collect()
}

/// The whole content.
pub fn content(disk: &Disk) -> Vec<u8> {
    let mut bytes = vec![0; disk.size() as usize];
    disk.read_at(&mut bytes, 0).expect("reads");
    bytes
}

/// That the image at `path` reads as `expected`.
#[track_caller]
pub fn assert_reads(path: &Path, expected: &[u8]) {
    assert_same(&open(path), expected, &path.display().to_string());
}

#[track_caller]
pub fn assert_same(disk: &Disk, expected: &[u8], what: &str) {
    let found = content(disk);
    if found != expected {
        let at = found.iter().zip(expected).position(|(a, b)| a != b);
        panic!("{what}: {} bytes, expected {}; first difference at {at:?}", found.len(), expected.len());
    }
}

/// That a check finds nothing but notes.
#[track_caller]
pub fn assert_clean(path: &Path) {
    let checked = Open::new().check(path).expect("is checked");
    assert!(checked.is_clean(), "{}: {:#?}", path.display(), checked.findings);
}

/// Makes a disk in memory that a parent can be.
pub fn in_memory(format: OutputFormat, size: u64) -> (Arc<MemoryStorage>, Disk) {
    let storage = Arc::new(MemoryStorage::default());
    let copy = Convert::new(&Disk::empty(size, 512)).to(format);
    copy.create(storage.clone()).expect("writes");
    let disk = Open::new().open(storage.clone()).expect("opens");
    (storage, disk)
}
