//! A copy of which it is known what the output will be like.

use std::io::Write;

use super::destination;
use super::{Convert, Report};
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::format::output::{self, Names, Shape};
use crate::job::Stoppable;
use crate::sink::blueprint::BlockSet;

/// A copy whose source was looked through for the blocks that hold data, which decide where everything lies in the
/// output.
///
/// ```
/// use diskport::copy::{Convert, OutputFormat};
/// use diskport::format::Allocation;
///
/// # let image = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/small.vhdx");
/// let disk = diskport::open(image)?;
/// let plan = Convert::new(&disk).to(OutputFormat::Vhd(Allocation::Dynamic)).plan()?;
/// let mut upload = Vec::new(); // any `Write`, which is told beforehand what comes
/// println!("Content-Length: {:?}", plan.output_len());
/// plan.write_to(&mut upload)?;
/// assert_eq!(Some(upload.len() as u64), plan.output_len());
/// # Ok::<(), diskport::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ConvertPlan {
    pub(super) copy: Convert,
    /// The source, as the output can hold it.
    pub(super) disk: Disk,
    pub(super) blocks: BlockSet,
    len: Option<u64>,
}

impl ConvertPlan {
    pub(super) fn new(copy: &Convert) -> Result<Self> {
        if copy.verify {
            let what = "what went into a pipe cannot be read back to verify it".to_owned();
            return Err(Error::Unsupported { what });
        }
        let disk = copy.whole_sectors()?;
        let (blocks, len) = match shape(copy, &disk)? {
            Shape::Blueprint(blueprint) => {
                let blocks = copy.survey(&disk, &blueprint)?;
                blueprint.check(blueprint.count(&blocks))?;
                let len = blueprint.len(blueprint.count(&blocks));
                (blocks, Some(len))
            }
            Shape::Extents(descriptor) => return Err(destination::not_one_file(&descriptor)),
            #[cfg(feature = "digest")]
            Shape::Ova(_) => {
                disk.check_reads_again("an OVA in a pipe")?;
                (BlockSet::default(), None)
            }
            _ => (BlockSet::default(), None),
        };
        Ok(Self { copy: copy.clone(), disk, blocks, len })
    }

    /// Bytes of the output; `None` where compression decides on it.
    pub fn output_len(&self) -> Option<u64> {
        self.len
    }

    /// Writes the output, strictly forwards.
    ///
    /// # Errors
    ///
    /// [`Error::SourceChanged`] when the source was written to since it was opened, and all that reading and writing give
    /// rise to.
    pub fn write_to(&self, out: impl Write + Send) -> Result<Report> {
        let Self { copy, disk, blocks, .. } = self;
        disk.check_unchanged()?;
        let shape = shape(copy, disk)?;
        // What stands before the disk in a tar tells its length.
        #[cfg(feature = "digest")]
        if let Shape::Ova(ova) = &shape {
            copy.run(disk, &mut *ova.measure()?, 0..disk.size(), None)?;
        }
        let out = Box::new(Stoppable { out, cancel: copy.job.token().clone() });
        let mut sink = destination::stream(shape, disk, blocks.clone(), &copy.options(), out)?;
        copy.run(disk, &mut *sink, 0..disk.size(), None).or_else(|e| copy.job.check().and(Err(e)))
    }
}

/// The shape of an output that is one file.
pub(super) fn shape(copy: &Convert, disk: &Disk) -> Result<Shape> {
    output::shape(copy.format, disk, &Names::alone(None, &copy.options), &copy.options)
}
