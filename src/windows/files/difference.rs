//! The files, and the values of registries, in which two disks differ.
//!
//! Both trees are walked side by side. Content is read only where it can differ: of a file that lies in the same clusters on
//! both disks, when those clusters are not taken from the same place of the same image.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

use super::find::{FileVolume, windows_volumes};
use super::path::FilePath;
use super::walk::{Node, NodeKind};
use crate::disk::{Disk, MayDiffer};
use crate::error::{Error, Result};
use crate::job::Job;
use crate::windows::HiveFile;
use crate::windows::ntfs::{FileData, Volume};
use crate::windows::registry::{self, HiveKind, ValueDifference};

/// Bytes of two files that are read at once.
const PIECE: u64 = 1 << 20;
/// Ranges in which the disks may differ that are kept apart; with more of them all is read.
const MAX_RANGES: usize = 1 << 20;
/// The hives whose values are compared, and the folder of Windows.
const HIVES: [HiveKind; 5] =
    [HiveKind::System, HiveKind::Software, HiveKind::Sam, HiveKind::Security, HiveKind::Default];
const WINDOWS: &str = r"\Windows\";

/// What differs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ContentDifference {
    /// A file, a directory, or an alternate stream of one.
    File(Compared),
    /// A value or a key of a registry, which is named from the root that a running Windows shows.
    Value(ValueDifference),
}

/// A file that two disks do not have alike.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compared {
    /// The number of the volume's partition on the first disk, or on the one that has it.
    pub partition: Option<u32>,
    /// Its path; of an alternate stream, with a colon before the stream's name.
    pub path: String,
    /// What the first disk has there.
    pub a: Option<Side>,
    /// What the second disk has there.
    pub b: Option<Side>,
    /// Whether both have content, which differs.
    pub content: bool,
}

/// What one disk has in a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Side {
    /// What it is.
    pub kind: NodeKind,
    /// Bytes of its content.
    pub size: u64,
    /// Its [attributes](crate::windows::ntfs::attribute).
    pub attributes: u32,
}

/// Calls `visit` with each file, and each value of the registries of Windows, in which two disks differ: in kind, in size, in
/// content, in attributes. The volumes that begin at the same place of both disks are compared with each other; where none do, those in
/// partitions of one number.
///
/// # Errors
///
/// [`Error::Damaged`], [`Error::Cancelled`], what reading gives rise to, and what `visit` returns.
pub fn differences(
    a: &Disk,
    b: &Disk,
    job: &Job,
    visit: &mut dyn FnMut(ContentDifference) -> Result<()>,
) -> Result<()> {
    a.check_complete()?;
    b.check_complete()?;
    let mut comparison = Comparison { places: Differing::between(a, b)?, job, visit };
    let mut others = windows_volumes(b)?;
    for volume in windows_volumes(a)? {
        let same_place = |other: &FileVolume| other.range.start == volume.range.start;
        let same_number = |other: &FileVolume| other.partition == volume.partition;
        let twin = others.iter().position(same_place).or_else(|| others.iter().position(same_number));
        let opened = volume.open(a)?;
        match twin.map(|twin| others.remove(twin)) {
            Some(twin) => comparison.volumes(&volume, [Some(&opened), Some(&twin.open(b)?)])?,
            None => comparison.volumes(&volume, [Some(&opened), None])?,
        }
    }
    for volume in others {
        comparison.volumes(&volume, [None, Some(&volume.open(b)?)])?;
    }
    Ok(())
}

/// Where two disks may differ.
struct Differing(Option<Vec<Range<u64>>>);

impl Differing {
    fn between(a: &Disk, b: &Disk) -> Result<Self> {
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for range in MayDiffer::new(a, b, a.size().max(b.size())) {
            match range? {
                (_, false) => {}
                (_, true) if ranges.len() == MAX_RANGES => return Ok(Self(None)),
                (range, true) => match ranges.last_mut() {
                    Some(last) if last.end == range.start => last.end = range.end,
                    _ => ranges.push(range),
                },
            }
        }
        Ok(Self(Some(ranges)))
    }

    fn meets(&self, place: &Range<u64>) -> bool {
        self.0.as_ref().is_none_or(|ranges| {
            let next = ranges.partition_point(|range| range.end <= place.start);
            ranges.get(next).is_some_and(|range| range.start < place.end)
        })
    }
}

/// One thing of either disk.
type Pair<T> = [Option<T>; 2];

struct Comparison<'c> {
    places: Differing,
    job: &'c Job,
    visit: &'c mut dyn FnMut(ContentDifference) -> Result<()>,
}

impl Comparison<'_> {
    fn volumes(&mut self, which: &FileVolume, volumes: Pair<&Volume>) -> Result<()> {
        let root = FilePath::root();
        let roots = volumes.map(|volume| volume.map(|volume| Node::at(volume, &root)).transpose());
        let [a, b] = roots.map(|root| root.map_err(|e| e.within(which.name())));
        // Paths are shown as Windows has them.
        let mut left = vec![(String::new(), [a?, b?])];
        // A directory that is met twice leads round in a circle.
        let mut seen = [HashSet::new(), HashSet::new()];
        while let Some((path, directories)) = left.pop() {
            self.job.check()?;
            let mut found: BTreeMap<String, Pair<Node>> = BTreeMap::new();
            for (side, directory) in directories.iter().enumerate() {
                let Some(directory) = directory else { continue };
                if !seen[side].insert(directory.file.number()) {
                    let reason = format!("{path}: a directory that stands in more than one place");
                    return Err(Error::Layout { reason });
                }
                for node in directory.children()? {
                    let node = node?;
                    let name = node.path.name().unwrap_or_default().to_owned();
                    found.entry(name).or_default()[side] = Some(node);
                }
            }
            let mut below = Vec::new();
            for (name, nodes) in found {
                let path = format!("{path}\\{name}");
                let content = self.files(which, &path, &nodes)?;
                if let (true, Some(hive)) = (content, hive_at(&path)) {
                    self.registries(volumes, &path, hive)?;
                }
                let is_directory = |node: &Node| node.kind() == NodeKind::Directory;
                let directories = nodes.map(|node| node.filter(is_directory));
                if directories.iter().any(Option::is_some) {
                    below.push((path, directories));
                }
            }
            left.extend(below.into_iter().rev());
        }
        Ok(())
    }

    /// Compares what both disks have in one place; whether both have content, which differs.
    fn files(&mut self, which: &FileVolume, path: &str, nodes: &Pair<Node>) -> Result<bool> {
        let side = |node: &Node| Side {
            kind: node.kind(),
            size: node.metadata.size,
            attributes: node.metadata.attributes,
        };
        let [a, b] = nodes.each_ref().map(|node| node.as_ref().map(side));
        let mut content = false;
        if let [Some(x), Some(y)] = nodes
            && x.kind() == y.kind()
        {
            content = match x.kind() {
                NodeKind::Directory => false,
                NodeKind::Symlink | NodeKind::Junction => x.reparse != y.reparse,
                NodeKind::File | NodeKind::Reparse => self.content(path, [x, y], "")?,
            };
        }
        if a != b || content {
            let (partition, path) = (which.partition, path.to_owned());
            (self.visit)(ContentDifference::File(Compared { partition, path, a, b, content }))?;
        }
        self.streams(which, path, nodes)?;
        Ok(content)
    }

    /// The same for the alternate streams of both.
    fn streams(&mut self, which: &FileVolume, path: &str, nodes: &Pair<Node>) -> Result<()> {
        let mut found: BTreeMap<String, Pair<Side>> = BTreeMap::new();
        for (side, node) in nodes.iter().enumerate() {
            let streams = node.as_ref().map(|node| node.file.streams()).transpose();
            for (name, size) in streams.map_err(|e| e.within(path))?.into_iter().flatten() {
                let stream = Side { kind: NodeKind::File, size, attributes: 0 };
                found.entry(name).or_default()[side] = Some(stream);
            }
        }
        for (name, [a, b]) in found {
            let content = match nodes {
                [Some(x), Some(y)] if a.is_some() && b.is_some() => self.content(path, [x, y], &name)?,
                _ => false,
            };
            if a != b || content {
                let path = format!("{path}:{name}");
                (self.visit)(ContentDifference::File(Compared {
                    partition: which.partition,
                    path,
                    a,
                    b,
                    content,
                }))?;
            }
        }
        Ok(())
    }

    /// Whether the content of two files differs.
    fn content(&self, path: &str, nodes: [&Node; 2], stream: &str) -> Result<bool> {
        let data = nodes.map(|node| node.file.data_or_stored(stream));
        let [a, b] = data;
        match (a.map_err(|e| e.within(path))?, b.map_err(|e| e.within(path))?) {
            (None, None) => Ok(false),
            (Some(a), Some(b)) => Ok(a.size() != b.size() || self.bytes(&a, &b).map_err(|e| e.within(path))?),
            _ => Ok(true),
        }
    }

    fn bytes(&self, a: &FileData, b: &FileData) -> Result<bool> {
        if a.is_like(b)
            && let (Some(places), Some(others)) = (a.places(), b.places())
            && places == others
            && !places.iter().any(|(_, place)| self.places.meets(place))
        {
            return Ok(false);
        }
        let mut bytes = [Vec::new(), Vec::new()];
        let mut at = 0;
        while at < a.size() {
            self.job.check()?;
            let len = PIECE.min(a.size() - at) as usize;
            for (data, bytes) in [a, b].into_iter().zip(&mut bytes) {
                bytes.resize(len, 0);
                data.read_at(bytes, at)?;
            }
            if bytes[0] != bytes[1] {
                return Ok(true);
            }
            at += len as u64;
        }
        Ok(false)
    }

    /// The values in which the hives at one place differ; those that are none are files like others.
    fn registries(&mut self, volumes: Pair<&Volume>, path: &str, hive: HiveKind) -> Result<()> {
        let [Some(a), Some(b)] = volumes else { return Ok(()) };
        let (Ok(Some(a)), Ok(Some(b))) = (HiveFile::open(a, path), HiveFile::open(b, path)) else {
            return Ok(());
        };
        let visit = &mut self.visit;
        let mut named = |difference: ValueDifference| {
            let below = if difference.key.is_empty() { "" } else { "\\" };
            let key = format!("{}{below}{}", hive.root(), difference.key);
            visit(ContentDifference::Value(ValueDifference { key, ..difference }))
        };
        registry::differences(&a.hive, &b.hive, &mut named).map_err(|e| e.within(path))
    }
}

/// The hive of a Windows that lies at a path.
fn hive_at(path: &str) -> Option<HiveKind> {
    let (folder, file) = path.split_at_checked(WINDOWS.len())?;
    let hive = HIVES.into_iter().find(|hive| hive.file().eq_ignore_ascii_case(file))?;
    folder.eq_ignore_ascii_case(WINDOWS).then_some(hive)
}
