//! Directories: the index `$I30` of their files by name.

use std::ops::ControlFlow;

use super::file::File;
use super::file_name::{DIRECTORY, FileName, name_units, space};
use super::flaw::flaw;
use super::index::{self, Blocks, Geometry, Index};
use super::record::{Record, Reference, kind};
use super::stream::Stream;
use super::upcase::Upcase;
use super::volume::{Volume, system_file};
use crate::error::Result;

/// The name of a directory's index.
pub(super) const INDEX: &str = "$I30";

/// A file in a directory.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Entry {
    /// Its long name.
    pub name: String,
    /// Whether it is a directory.
    pub is_directory: bool,
    pub(super) reference: Reference,
}

impl Entry {
    /// Whether it is one of the files that the volume itself consists of, or the root directory, which is an entry of itself.
    pub fn is_own_file(&self) -> bool {
        self.reference.number() < system_file::FIRST_USER
    }
}

/// The blocks of an index as they lie on the volume.
struct Stored<'v> {
    volume: &'v Volume,
    stream: Option<Stream>,
    block: u64,
}

impl Blocks for Stored<'_> {
    fn read(&self, number: u64, block: &mut [u8]) -> Result<()> {
        match &self.stream {
            Some(stream) => stream.read_at(self.volume, block, number * self.block),
            None => Err(flaw("index blocks", "no $INDEX_ALLOCATION").at("NTFS index", 0)),
        }
    }
}

/// What `with` makes of an index of a file.
pub(super) fn with_index<T>(
    volume: &Volume,
    record: &Record,
    name: &str,
    with: impl FnOnce(Index) -> Result<T>,
) -> Result<T> {
    let Some(root) = Stream::find(volume, record, kind::INDEX_ROOT, name)? else {
        let flaw = flaw(format!("a file with the index {name}"), "one without");
        return volume.in_record(record, |_| Err(flaw));
    };
    let root = root.read(volume, volume.boot.record_size)?;
    let geometry = volume.in_record(record, |_| Geometry::of(&root, volume.boot.cluster_size))?;
    let stream = Stream::find(volume, record, kind::INDEX_ALLOCATION, name)?;
    let bitmap = match &stream {
        Some(_) => volume.required(record, kind::BITMAP, name)?.read(volume, index::MAX_BITMAP)?,
        None => Vec::new(),
    };
    let block = geometry.block as u64;
    let count = stream.as_ref().map_or(0, |stream| stream.size / block);
    let blocks = Stored { volume, stream, block };
    with(Index::open(root, bitmap, count, volume.boot.cluster_size, &volume.upcase, &blocks)?)
}

/// The files of a directory, by their long names.
pub(super) fn entries(directory: &File) -> Result<Vec<Entry>> {
    let (volume, record) = (directory.volume, &directory.record);
    let mut entries = Vec::new();
    let broken = with_index(volume, record, INDEX, |index| {
        index.walk(&mut |entry| match FileName::parse(entry.key()) {
            None => ControlFlow::Break(flaw("a file name as a key", "a part of one")),
            Some(file) => {
                if file.space != space::DOS {
                    let name = String::from_utf16_lossy(&file.name);
                    let is_directory = file.info.attributes & DIRECTORY != 0;
                    entries.push(Entry { name, is_directory, reference: entry.reference() });
                }
                ControlFlow::Continue(())
            }
        })
    })?;
    if let ControlFlow::Break(flaw) = broken {
        return volume.in_record(record, |_| Err(flaw));
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

/// The file of a name, long or short: the one whose case is the same, if there is one.
pub(super) fn find(directory: &File, name: &str, upcase: &Upcase) -> Result<Option<Reference>> {
    let name: Vec<u16> = name.encode_utf16().collect();
    with_index(directory.volume, &directory.record, INDEX, |index| {
        let entry = find_entry(&index, &name, upcase)?;
        Ok(entry.and_then(|entry| index::Entry::parse(&entry).map(|entry| entry.reference())))
    })
}

/// The entry of a name in a directory's index, as in [`find`].
pub(super) fn find_entry(index: &Index, name: &[u16], upcase: &Upcase) -> Result<Option<Vec<u8>>> {
    let compare = |key: &[u8]| upcase.compare(name_units(key), name.iter().copied());
    let exact = index.find(|key| compare(key).then_with(|| name_units(key).cmp(name.iter().copied())))?;
    match exact {
        Some(entry) => Ok(Some(entry)),
        None => index.find(compare),
    }
}
