//! The extents of a disk: its layers' maps, laid over each other.

use std::ops::{Range, RangeBounds};

use super::layer::{Mapping, MappingKind};
use super::{Disk, SkipHoles};
use crate::error::Result;

/// Questions to layers after which a run is cut, though more of it may follow, unless the caller chooses another number.
const QUESTIONS: u32 = 8;

/// A run of a disk, and where its bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// First byte of the virtual disk.
    pub start: u64,
    /// Bytes of the virtual disk.
    pub len: u64,
    /// Where they are. [`MappingKind::Absent`] means that no layer says anything: they read as zeros.
    pub kind: MappingKind,
    /// Which layer decided, counted from the top; of an absent run, the last layer.
    pub depth: u32,
}

impl Extent {
    /// The first byte after the run.
    pub fn end(&self) -> u64 {
        self.start + self.len
    }

    /// Whether the run holds bytes of a file, as opposed to zeros.
    pub fn is_data(&self) -> bool {
        matches!(self.kind, MappingKind::Stored { .. } | MappingKind::Packed(_))
    }

    /// The part of the run that begins `skip` bytes in, at most `limit` bytes of it.
    pub(crate) fn slice(&self, skip: u64, limit: u64) -> Self {
        let mapping = Mapping { len: self.len, kind: self.kind }.advance(skip);
        Self { start: self.start + skip, len: mapping.len.min(limit), kind: mapping.kind, depth: self.depth }
    }

    /// Takes in `next`, which begins where this run ends, if the two are one run; says whether they are.
    pub fn join(&mut self, next: &Self) -> bool {
        let joins = self.depth == next.depth
            && match (self.kind, next.kind) {
                (MappingKind::Zero, MappingKind::Zero) | (MappingKind::Absent, MappingKind::Absent) => true,
                (
                    MappingKind::Stored { file, offset },
                    MappingKind::Stored { file: next_file, offset: next_offset },
                ) => file == next_file && offset + self.len == next_offset,
                _ => false,
            };
        if joins {
            self.len += next.len;
        }
        joins
    }
}

/// Iterates over the extents of a range; see [`Disk::extents`].
///
/// Each layer's current run is kept until it ends, so that a layer is asked once a run and not once an extent:
/// many layers cost little more than one.
///
/// One step takes bounded work, whatever the image says: a long run may come in parts, which [`Extent::join`] puts
/// together, so that who goes through a map can stop between them.
#[derive(Debug)]
pub struct Extents {
    disk: Disk,
    at: u64,
    end: u64,
    /// Each layer's last answer, with the offset it was asked for.
    runs: Vec<Option<(u64, Mapping)>>,
    /// What comes after the extent returned last, found when that one was joined.
    next: Option<Result<Extent>>,
    /// Questions to layers since the last extent was returned.
    asked: u32,
    /// How many there may be.
    questions: u32,
    failed: bool,
}

impl Disk {
    /// The extents of a range, in order and without gaps: where its bytes are, through the whole chain.
    ///
    /// A range that ends beyond the disk ends with the disk.
    pub fn extents(&self, range: impl RangeBounds<u64>) -> Extents {
        Extents::new(self.clone(), self.clip(range))
    }
}

impl Extents {
    pub(super) fn new(disk: Disk, range: Range<u64>) -> Self {
        let runs = vec![None; disk.chain().len()];
        Self {
            disk,
            at: range.start,
            end: range.end,
            runs,
            next: None,
            asked: 0,
            questions: QUESTIONS,
            failed: false,
        }
    }

    /// The disk.
    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Asks layers so many questions in one step, and one for each more layer, then cuts the run: 8 by default, at least 1. A layer
    /// answers in some milliseconds at most; the fewer questions, the sooner whoever goes through the map can stop, and the
    /// more parts a long run comes in.
    pub fn questions(self, questions: u32) -> Self {
        Self { questions: questions.max(1), ..self }
    }

    /// Takes holes of sparse files for zeros.
    pub fn skip_holes(self) -> SkipHoles {
        SkipHoles::new(self)
    }

    /// The next run as the layers give it, unjoined.
    fn step(&mut self) -> Result<Option<Extent>> {
        if self.at >= self.end {
            return Ok(None);
        }
        self.disk.check_complete()?;
        let Self { disk, at, end, runs, asked, .. } = self;
        let at = *at;
        let extent = resolve(disk, at, *end, |depth, limit| {
            let layer = &disk.chain()[depth];
            let known = runs[depth].filter(|(start, run)| at < start + run.len);
            let (start, run) = match known {
                Some(known) => known,
                None => {
                    *asked += 1;
                    *runs[depth].insert((at, layer.map(at, limit)?))
                }
            };
            Ok(run.advance(at - start))
        })?;
        self.at += extent.len;
        Ok(Some(extent))
    }

    fn joined(&mut self) -> Result<Option<Extent>> {
        self.asked = 0;
        let first = match self.next.take() {
            Some(next) => Some(next?),
            None => self.step()?,
        };
        let Some(mut extent) = first else { return Ok(None) };
        // What fails after this extent is said when its turn comes.
        while self.asked < self.questions {
            match self.step() {
                Ok(Some(next)) if extent.join(&next) => {}
                next => {
                    self.next = next.transpose();
                    break;
                }
            }
        }
        Ok(Some(extent))
    }
}

impl Iterator for Extents {
    type Item = Result<Extent>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let item = self.joined().transpose();
        self.failed = matches!(item, Some(Err(_)));
        item
    }
}

/// The run at `at`: the first layer from the top that says something. `run(depth, limit)` is layer `depth`'s run
/// there.
pub(super) fn resolve(
    disk: &Disk,
    at: u64,
    end: u64,
    mut run: impl FnMut(usize, u64) -> Result<Mapping>,
) -> Result<Extent> {
    let mut len = end - at;
    let mut depth = 0;
    for (index, layer) in disk.chain().iter().enumerate() {
        depth = index as u32;
        let size = layer.info().size;
        if at >= size {
            // A child larger than its parent: zeros beyond the parent's end.
            return Ok(Extent { start: at, len, kind: MappingKind::Zero, depth });
        }
        let mapping = run(index, end.min(size) - at)?;
        len = len.min(mapping.len);
        if mapping.kind != MappingKind::Absent {
            return Ok(Extent { start: at, len, kind: mapping.kind, depth });
        }
    }
    Ok(Extent { start: at, len, kind: MappingKind::Absent, depth })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::disk::{Layer, LayerInfo, Sealed};
    use crate::error::Error;
    use crate::leaves::Format;
    use crate::storage::ImageFile;

    /// Zeros in runs of 10 bytes; from byte 30 on, nothing can be said.
    struct Broken(LayerInfo);

    impl Sealed for Broken {}

    impl Layer for Broken {
        fn info(&self) -> &LayerInfo {
            &self.0
        }

        fn files(&self) -> &[ImageFile] {
            &[]
        }

        fn map(&self, offset: u64, limit: u64) -> Result<Mapping> {
            if offset >= 30 { Err(Error::Cancelled) } else { Ok(Mapping::zero(limit.min(10))) }
        }
    }

    /// Nothing, in parts of a size. It counts the questions.
    struct Empty {
        info: LayerInfo,
        at_once: u64,
        asked: AtomicU32,
    }

    impl Sealed for Empty {}

    impl Layer for Empty {
        fn info(&self) -> &LayerInfo {
            &self.info
        }

        fn files(&self) -> &[ImageFile] {
            &[]
        }

        fn map(&self, offset: u64, limit: u64) -> Result<Mapping> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            Ok(Mapping::absent(limit.min(self.at_once - offset % self.at_once)))
        }
    }

    #[test]
    fn one_step_asks_few_questions() {
        let shapes = [(1, 512), (1, u64::MAX), (3, 512), (3, u64::MAX)];
        let shapes =
            shapes.into_iter().flat_map(|shape| [0, 1, QUESTIONS, 100, u32::MAX].map(|most| (shape, most)));
        for ((layers, at_once), most) in shapes {
            let size = 1 << 20;
            let layer = || {
                let info = LayerInfo::new(Format::Raw, "raw", size);
                Arc::new(Empty { info, at_once, asked: AtomicU32::new(0) })
            };
            let layers: Vec<_> = (0..layers).map(|_| layer()).collect();
            let asked = || layers.iter().map(|layer| layer.asked.load(Ordering::Relaxed)).sum::<u32>();
            let chain = layers.iter().map(|layer| layer.clone() as Arc<dyn Layer>).collect();
            let mut extents = Disk::new(chain, None, Vec::new()).extents(300..).questions(most);
            let mut whole: Option<Extent> = None;
            let mut steps = 0;
            loop {
                let before = asked();
                let Some(extent) = extents.next() else { break };
                let most = most.max(1).saturating_add(layers.len() as u32);
                assert!(asked() - before < most, "{} of {most}", asked() - before);
                steps += 1;
                let extent = extent.expect("maps");
                assert_eq!(extent.start, whole.map_or(300, |whole| whole.end()));
                match &mut whole {
                    Some(whole) => assert!(whole.join(&extent)),
                    None => whole = Some(extent),
                }
            }
            assert_eq!(whole.map(|whole| whole.end()), Some(size));
            assert!(most < u32::MAX || steps == 1, "{steps} steps");
        }
    }

    #[test]
    fn what_comes_before_a_failure_is_not_lost() {
        let layer = Broken(LayerInfo::new(Format::Raw, "raw", 100));
        let mut extents = Disk::new(vec![Arc::new(layer)], None, Vec::new()).extents(..);
        let first = extents.next().expect("an extent").expect("maps");
        assert_eq!((first.start, first.len), (0, 30));
        assert!(matches!(extents.next(), Some(Err(Error::Cancelled))));
        assert!(extents.next().is_none());
    }
}
