//! Which blocks of a disk hold data, before anything is copied.

use std::sync::Arc;

use crate::disk::pipeline::Pipeline;
use crate::disk::plan::{Item, Plan, Span};
use crate::disk::{Disk, Pool};
use crate::error::Result;
use crate::job::{Job, Phase};
use crate::leaves::is_zero;
use crate::sink::blueprint::{BlockSet, Blueprint};

/// Bytes that are read of a block at once, until some are found that are not zero.
const PROBE: u64 = 64 * 1024;

/// The blocks that a copy of `disk` will hold in a file of `blueprint`: with `detect_zeros` those with a byte that is not
/// zero, of which only so much is read as it takes to find one; without, those that the disk's map calls data.
pub(super) fn survey(
    disk: &Disk,
    blueprint: &Blueprint,
    detect_zeros: bool,
    threads: usize,
    job: &Job,
) -> Result<BlockSet> {
    let mut found = BlockSet::default();
    if blueprint.is_fixed {
        return Ok(found);
    }
    disk.check_reads_again("a sparse format in a pipe")?;
    job.begin(Phase::Survey, disk.size());
    let (reader, buffers) = (disk.clone(), Arc::new(Pool::default()));
    // A single thread more would only wait for this one, or this one for it.
    let threads = if threads == 1 { 0 } else { threads };
    let mut probes = Pipeline::new(threads, move |(block, span): (u64, Span)| {
        let mut buffer = buffers.take(span.len as usize);
        span.read(&reader, &mut buffer)?;
        Ok((block, !is_zero(&buffer)))
    });
    let note = |found: &mut BlockSet, probed: Result<(u64, bool)>| {
        probed.map(|(block, holds_data)| {
            if holds_data {
                found.insert(block)
            }
        })
    };
    // Blocks of all formats are multiples of a probe: no span crosses a block's end.
    let longest = if detect_zeros { PROBE } else { blueprint.block_size };
    for item in Plan::new(disk.clone(), 0..disk.size(), blueprint.grain, longest, true) {
        job.check()?;
        let Item::Span(span) = item? else { continue };
        job.set_done(span.start);
        let block = span.start / blueprint.block_size;
        if !detect_zeros {
            found.insert(block);
        } else if !found.contains(block) {
            probes.push((block, span));
            while probes.pending() > threads {
                probes.pop().map_or(Ok(()), |probed| note(&mut found, probed))?;
            }
        }
    }
    while let Some(probed) = probes.pop() {
        job.check()?;
        note(&mut found, probed)?;
    }
    job.set_done(disk.size());
    Ok(found)
}
