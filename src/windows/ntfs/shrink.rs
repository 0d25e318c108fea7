//! Making a volume smaller. The volume stays clean: its log holds nothing to redo, and chkdsk has nothing to find.

use super::bitmap::Bitmap;
use super::edit::Edit;
use super::flaw::flaw;
use super::relocate;
use super::runs::Run;
use super::volume::{Volume, system_file};
use crate::disk::Changes;
use crate::error::{Error, Result};
use crate::leaves::Rule;

/// What is done about clusters in use behind the new end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tail {
    /// The volume is refused.
    MustBeFree,
    /// They are moved into free clusters before it.
    Move,
}

impl Volume {
    /// What makes the volume fit into `size` bytes, which hold the boot sector's copy in their last sector. Nothing when
    /// it fits already.
    ///
    /// # Errors
    ///
    /// [`Error::NotConvertible`] for a volume that was not left clean ([`Rule::DirtyVolume`], [`Rule::Hibernated`], [`Rule::LogInUse`]) or
    /// has no room ([`Rule::SystemPartitionRoom`]); [`Error::Layout`] for files that cannot be moved, with their names;
    /// [`Error::Unsupported`] for a size that is no whole number of sectors; [`Error::Damaged`], and what reading the
    /// disk gives rise to.
    pub fn shrink(&self, size: u64, tail: Tail) -> Result<Changes> {
        let (sector, cluster) = (self.boot.sector_size, self.boot.cluster_size);
        if !size.is_multiple_of(sector) {
            let what = format!("a volume of {size} bytes is not a whole number of sectors of {sector} bytes");
            return Err(Error::Unsupported { what });
        }
        if size >= self.size() {
            return Ok(Changes::default());
        }
        self.check_clean()?;
        let sectors = (size / sector).saturating_sub(1);
        let clusters = sectors * sector / cluster;
        let mut edit = Edit::new(self)?;
        let bitmap_len = cut_bitmap(&mut edit, clusters)?;
        cut_bad_clusters(&mut edit, clusters)?;
        let moves = match tail {
            Tail::MustBeFree => {
                check_free(&edit.bitmap, clusters..self.boot.clusters).map(|()| Vec::new())?
            }
            Tail::Move => relocate::relocate(&mut edit, clusters)?,
        };
        // The bitmap's last bits, which stand for no clusters, are set.
        edit.bitmap.set(clusters..bitmap_len * 8, true)?;
        Ok(Changes { moves, ..Changes::default() }.and(edit.finish(sectors, bitmap_len)?))
    }
}

/// Cuts `$Bitmap` to so many clusters and frees those of its own that it no longer needs; gives its new length.
fn cut_bitmap(edit: &mut Edit, clusters: u64) -> Result<u64> {
    let cluster = edit.volume.boot.cluster_size;
    let len = clusters.div_ceil(8).next_multiple_of(8).min(edit.bitmap.len());
    let needed = len.div_ceil(cluster);
    let (mut record, at, runs) = edit.own_file(system_file::BITMAP, "")?;
    let (allocated, old) = (runs.iter().map(|run| run.len).sum::<u64>(), edit.bitmap.len().div_ceil(cluster));
    if allocated != old {
        let flaw = flaw(format!("a bitmap in {old} clusters"), allocated.to_string());
        return edit.volume.in_record(&record, |_| Err(flaw));
    }
    let (mut kept, mut left) = (Vec::new(), needed);
    for run in runs {
        let keep = run.len.min(left);
        left -= keep;
        if keep > 0 {
            kept.push(Run { len: keep, lcn: run.lcn });
        }
        if let Some(lcn) = run.lcn {
            edit.bitmap.set(lcn + keep..lcn + run.len, false)?;
        }
    }
    edit.map(&mut record, at, &kept, |header| {
        header.highest_vcn = needed.wrapping_sub(1).into();
        header.allocated = (needed * cluster).into();
        header.size = len.into();
        header.initialized = len.into();
    })?;
    Ok(len)
}

/// Cuts the list of bad clusters: a hole as long as the volume, with clusters only where one is bad.
fn cut_bad_clusters(edit: &mut Edit, clusters: u64) -> Result<()> {
    let (mut record, at, runs) = edit.own_file(system_file::BAD_CLUSTERS, "$Bad")?;
    if runs.iter().any(|run| run.lcn.is_some()) {
        let reason = "the volume has bad clusters: a virtual disk has none, run chkdsk /b".to_owned();
        return Err(Error::NotConvertible { rule: Rule::DirtyVolume, reason });
    }
    let size = clusters * edit.volume.boot.cluster_size;
    edit.map(&mut record, at, &[Run { len: clusters, lcn: None }], |header| {
        header.highest_vcn = clusters.wrapping_sub(1).into();
        header.allocated = size.into();
        header.size = size.into();
    })
}

fn check_free(bitmap: &Bitmap, tail: std::ops::Range<u64>) -> Result<()> {
    let mut last = None;
    bitmap.runs(tail.clone(), true, |run| last = Some(run.end - 1))?;
    match last {
        None => Ok(()),
        Some(last) => Err(no_room(format!(
            "the volume cannot end at cluster {}: cluster {last} is in use, the last one that is",
            tail.start
        ))),
    }
}

pub(super) fn no_room(reason: String) -> Error {
    Error::NotConvertible { rule: Rule::SystemPartitionRoom, reason }
}
