//! Holes of sparse files: stored as far as the format knows, yet known to the file system to be zeros.

use std::collections::HashMap;
use std::ops::Range;

use super::layer::{FileIndex, MappingKind};
use super::{Extent, Extents};
use crate::error::{Error, Result};

/// Extents in which the holes of sparse files are zeros; see [`Extents::skip_holes`].
///
/// Reading a hole costs as much as reading data, and fills the page cache with zeros; asking where the next data
/// begin costs about a microsecond.
#[derive(Debug)]
pub struct SkipHoles {
    extents: Extents,
    current: Option<Extent>,
    /// What was learnt last of each file.
    known: HashMap<(u32, FileIndex), Known>,
}

#[derive(Debug, Clone)]
enum Known {
    /// The storage cannot tell.
    Nothing,
    /// From `asked` on, the first data are this run, an empty one at the end of the file.
    Data { asked: u64, run: Range<u64> },
}

impl SkipHoles {
    pub(super) fn new(extents: Extents) -> Self {
        Self { extents, current: None, known: HashMap::new() }
    }

    fn split(&mut self, extent: Extent) -> Result<Extent> {
        let MappingKind::Stored { file, offset } = extent.kind else { return Ok(extent) };
        let first = match self.first_data(extent.depth, file, offset, &extent)? {
            Known::Nothing => return Ok(extent),
            Known::Data { run, .. } => run,
        };
        let end = offset + extent.len;
        let part = match first {
            run if run.start <= offset => extent.slice(0, run.end.min(end) - offset),
            run if run.start < end => Extent { len: run.start - offset, kind: MappingKind::Zero, ..extent },
            _ => Extent { kind: MappingKind::Zero, ..extent },
        };
        if part.len < extent.len {
            self.current = Some(extent.slice(part.len, u64::MAX));
        }
        Ok(part)
    }

    /// The first data at or after `offset` of a file.
    fn first_data(&mut self, depth: u32, file: FileIndex, offset: u64, extent: &Extent) -> Result<Known> {
        if let Some(known) = self.known.get(&(depth, file)) {
            match known {
                Known::Nothing => return Ok(Known::Nothing),
                Known::Data { asked, run } => {
                    let covers = *asked <= offset && offset < run.end;
                    if covers {
                        return Ok(known.clone());
                    }
                }
            }
        }
        let Some(image) = self.extents.disk().file_of(extent) else { return Ok(Known::Nothing) };
        let known = match image.next_data(offset) {
            // A run that does not reach beyond the question is no answer.
            Ok(run) if run.end <= offset => Known::Nothing,
            Ok(run) => Known::Data { asked: offset, run },
            Err(e) if e.kind() == std::io::ErrorKind::Unsupported => Known::Nothing,
            Err(e) => return Err(Error::io("find data in", image.name(), e)),
        };
        self.known.insert((depth, file), known.clone());
        Ok(known)
    }
}

impl Iterator for SkipHoles {
    type Item = Result<Extent>;

    fn next(&mut self) -> Option<Self::Item> {
        let extent = match self.current.take() {
            Some(extent) => extent,
            None => match self.extents.next()? {
                Ok(extent) => extent,
                Err(e) => return Some(Err(e)),
            },
        };
        Some(self.split(extent))
    }
}
