//! The values of attributes made longer and shorter, written, and replaced.
//!
//! All of this works on a [`Node`] in memory and on clusters; the node is stored afterwards. A value stands in the record
//! until it has outgrown one; whether it really fits is for the layout to see.

use std::sync::Arc;

use super::super::flaw::refused;
use super::super::record::kind;
use super::super::runs::{self, Run};
use super::super::volume::system_file;
use super::Edit;
use super::attribute::{Attribute, Clusters, Value};
use super::clusters::{Wanted, join};
use super::node::Node;
use crate::disk::Content;
use crate::error::{Error, Result};
use crate::storage::ReadAt;

/// The largest file there is, in bytes: Windows' offsets are signed.
const MAX_SIZE: u64 = i64::MAX as u64 & !0xffff;

impl Edit {
    /// Replaces a value by what `source` holds, plain, whatever it was before.
    pub(super) fn replace_value(
        &mut self,
        node: &mut Node,
        kind: u32,
        name: &str,
        source: &Arc<dyn ReadAt>,
    ) -> Result<()> {
        let size = source.size().map_err(|e| Error::io("measure", "what a file is to hold", e))?;
        self.remove_value(node, kind, name)?;
        let value = if size <= self.resident_at_most(node)? {
            let mut bytes = vec![0; size as usize];
            Content { offset: 0, len: size, source: Some((source.clone(), 0)) }.read(&mut bytes, 0)?;
            Attribute::resident(kind, name, bytes)
        } else {
            check_size(size)?;
            let clusters = self.allocate_for(size)?;
            self.fill(&clusters.runs, size, source)?;
            Attribute::in_clusters(kind, name, Clusters { initialized: size, ..clusters })
        };
        node.add(value, &self.volume.upcase);
        Ok(())
    }

    /// Removes an attribute and gives its clusters back.
    pub(super) fn remove_value(&mut self, node: &mut Node, kind: u32, name: &str) -> Result<bool> {
        let Some(old) = node.take(kind, name) else { return Ok(false) };
        if let Some(clusters) = old.clusters() {
            self.free_clusters(&clusters.runs)?;
        }
        Ok(true)
    }

    /// Makes a value longer, by zeros, or shorter.
    pub(super) fn resize_value(&mut self, node: &mut Node, kind: u32, name: &str, size: u64) -> Result<()> {
        check_size(size)?;
        let at_most = self.resident_at_most(node)?;
        let table = node.number() == system_file::MFT && kind == kind::DATA;
        let cluster = self.volume.boot.cluster_size;
        let together = if table { (self.volume.boot.record_size / cluster).max(1) } else { 1 };
        let attribute = plain(node, kind, name)?;
        let clusters = match &mut attribute.value {
            Value::Resident { bytes, .. } if size <= at_most => {
                bytes.resize(size as usize, 0);
                return Ok(());
            }
            Value::Resident { bytes, .. } => {
                let bytes = std::mem::take(bytes);
                let clusters = self.allocate_for(size)?;
                self.write_runs(&clusters.runs, 0, &bytes)?;
                let initialized = bytes.len() as u64;
                attribute.value = Value::Clusters(Clusters { initialized, ..clusters });
                return Ok(());
            }
            Value::Clusters(clusters) => clusters,
        };
        let (have, need) = (clusters.count(), size.div_ceil(cluster));
        if need > have {
            let after = clusters.runs.last().filter(|run| run.lcn.is_some()).map(Run::end);
            let more = self.allocate(Wanted { clusters: need - have, after, together, table })?;
            join(&mut clusters.runs, &more);
        } else if need < have {
            let (kept, freed) = cut(&clusters.runs, need);
            self.free_clusters(&freed)?;
            clusters.runs = kept;
        }
        clusters.allocated = need * cluster;
        clusters.size = size;
        clusters.initialized = clusters.initialized.min(size);
        Ok(())
    }

    /// Puts bytes into a value at `offset`, which becomes longer when they pass its end.
    pub(super) fn write_value(
        &mut self,
        node: &mut Node,
        kind: u32,
        name: &str,
        offset: u64,
        bytes: &[u8],
    ) -> Result<()> {
        let end = offset.checked_add(bytes.len() as u64).filter(|end| *end <= MAX_SIZE);
        let end = end.ok_or_else(|| refused("no file is so long"))?;
        if end > plain(node, kind, name)?.size() {
            self.resize_value(node, kind, name, end)?;
        }
        match &mut plain(node, kind, name)?.value {
            Value::Resident { bytes: value, .. } => {
                value[offset as usize..end as usize].copy_from_slice(bytes);
                Ok(())
            }
            Value::Clusters(clusters) => {
                // What lies before and was never written reads as zeros, and must be zeros now.
                if clusters.initialized < offset {
                    self.zero_runs(&clusters.runs, clusters.initialized, offset)?;
                }
                clusters.initialized = clusters.initialized.max(end);
                self.write_runs(&clusters.runs, offset, bytes)
            }
        }
    }

    /// Lays bytes over the clusters that `runs` make up; nothing over holes.
    pub(super) fn write_runs(&mut self, runs: &[Run], offset: u64, mut bytes: &[u8]) -> Result<()> {
        let cluster = self.volume.boot.cluster_size;
        for (place, len) in runs::pieces(runs, cluster, offset, bytes.len() as u64) {
            let (piece, rest) = bytes.split_at(len as usize);
            bytes = rest;
            if let Some(place) = place {
                self.volume.write_at(piece, place)?;
            }
        }
        Ok(())
    }

    /// Lays zeros over the bytes from `offset` to `end` of the clusters that `runs` make up.
    pub(super) fn zero_runs(&mut self, runs: &[Run], offset: u64, end: u64) -> Result<()> {
        let cluster = self.volume.boot.cluster_size;
        for (place, len) in runs::pieces(runs, cluster, offset, end.saturating_sub(offset)) {
            if let Some(place) = place {
                self.volume.zero_at(place, len)?;
            }
        }
        Ok(())
    }

    /// Refers to `size` bytes of `source` in the clusters that `runs` make up. What is left of the last one is zeros.
    fn fill(&mut self, runs: &[Run], size: u64, source: &Arc<dyn ReadAt>) -> Result<()> {
        let (cluster, sector) = (self.volume.boot.cluster_size, self.volume.boot.sector_size);
        // Contents are whole sectors: of the last one only a part may be there.
        let whole = size / sector * sector;
        let mut at = 0;
        for (place, len) in runs::pieces(runs, cluster, 0, whole) {
            if let Some(offset) = place {
                self.volume.overlay.put(Content { offset, len, source: Some((source.clone(), at)) });
            }
            at += len;
        }
        let mut rest = vec![0; (size - whole) as usize];
        Content { offset: 0, len: size, source: Some((source.clone(), 0)) }.read(&mut rest, whole)?;
        self.write_runs(runs, whole, &rest)?;
        self.zero_runs(runs, size, size.next_multiple_of(cluster))
    }

    /// Bytes of a value that may stand in the record.
    fn resident_at_most(&self, node: &Node) -> Result<u64> {
        Ok(self.room_for_attributes(&node.base)? as u64)
    }
}

/// The attribute, which must be stored as it is to be changed in part.
fn plain<'n>(node: &'n mut Node, kind: u32, name: &str) -> Result<&'n mut Attribute> {
    let attribute = node.find_mut(kind, name).ok_or_else(|| refused("the file has no such stream"))?;
    match attribute.is_plain() {
        true => Ok(attribute),
        false => {
            Err(refused("the file is compressed, encrypted or sparse, and can only be replaced as a whole"))
        }
    }
}

fn check_size(size: u64) -> Result<()> {
    if size <= MAX_SIZE { Ok(()) } else { Err(refused("no file is so long")) }
}

/// The first `clusters` of runs, and the others.
fn cut(runs: &[Run], clusters: u64) -> (Vec<Run>, Vec<Run>) {
    let (mut kept, mut rest, mut left) = (Vec::new(), Vec::new(), clusters);
    for run in runs {
        let keep = run.len.min(left);
        left -= keep;
        if keep > 0 {
            kept.push(Run { len: keep, lcn: run.lcn });
        }
        if keep < run.len {
            rest.push(Run { len: run.len - keep, lcn: run.lcn.map(|lcn| lcn + keep) });
        }
    }
    (kept, rest)
}
