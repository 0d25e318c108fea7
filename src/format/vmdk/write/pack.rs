//! Moving the grains at the end of a sparse extent's file into its gaps.

use super::super::layout::SECTOR;
use super::sparse::Sparse;
use crate::error::Result;
use crate::job::Job;

/// Moves what lies behind the place where the file could end, and cuts the file as far as that goes, until `job` stops it.
pub(super) fn pack(extent: &Sparse, job: &Job) -> Result<()> {
    extent.flush()?;
    let (end, aligned) = {
        let space = extent.space();
        (space.allocator.packed_end(), space.allocator.is_aligned())
    };
    if aligned {
        let map = extent.grain_map();
        for table in 0..map.tables() {
            job.check()?;
            for (index, entry) in extent.stored(table)? {
                if u64::from(entry) * SECTOR >= end {
                    extent.relocate(table * map.gtes_per_gt + index, u64::from(entry) * SECTOR, end)?;
                }
            }
        }
        extent.flush()?;
    }
    let end = extent.space().allocator.end();
    if end < extent.file().size()? {
        extent.file().set_size(end)?;
    }
    extent.file().sync()
}
