//! Writing what layers hold into what lies below them; and the same for images that lie in no file system.

use super::layers::split;
use super::link::Way;
use crate::disk::{Blocks, Data, Disk, WritableDisk};
use crate::error::{Error, Result};
use crate::job::{Job, Phase};
use crate::open::Open;
use crate::storage::{Place, WriteAt};

/// Bytes that are read at once.
const PIECE: u64 = 1 << 20;
/// Zeros that are written between two looks at the token: whole blocks of every format.
const ZEROS: u64 = 256 << 20;

/// Writes what the upper `layers` of `chain` hold into `base`, which is the layer below them, opened for writing, and at least as large.
/// Gives the bytes of content that were written.
///
/// This is what [`Merge::commit`](super::Merge::commit) does, for images that lie in no file system: [`record_parent`] is to
/// follow, since `base` has become another.
///
/// # Errors
///
/// [`Error::NoParent`] for fewer than one layer, or all; [`Error::OutputTooSmall`]; [`Error::Cancelled`]; and all that reading and
/// writing give rise to.
pub fn merge_into(chain: &Disk, layers: usize, base: WritableDisk, job: &Job) -> Result<u64> {
    let (above, _) = split(chain, layers)?;
    let (needed, given) = (above.size(), base.size());
    if given < needed {
        return Err(Error::OutputTooSmall { needed, given });
    }
    take_data_id(&base, &above);
    write_and_close(&above, base, job)
}

/// Records `parent`, under `name`, in the differencing image at `child`, and changes nothing else.
///
/// This is what [`Rebase::unchecked`](super::Rebase::unchecked) does, for images that lie in no file system.
///
/// # Errors
///
/// As [`Open::open_writable`].
pub fn record_parent(child: impl Into<Place<dyn WriteAt>>, parent: &Disk, name: &str) -> Result<()> {
    let open = Open::new();
    open.record_parent(open.lock(child)?, &Way::named(name).link(parent)?, parent)
}

/// Has `disk` bear the data id of the layer whose content it is given: for those that lie on that layer, the two are one.
pub(super) fn take_data_id(disk: &WritableDisk, above: &Disk) {
    if let Some(id) = above.chain()[0].info().data_id {
        disk.top().set_data_id(id);
    }
}

/// Writes what the layers of `above` say into `into`, and nothing where they say nothing.
pub(super) fn write_and_close(above: &Disk, into: WritableDisk, job: &Job) -> Result<u64> {
    job.begin(Phase::Merge, above.size());
    let written = write(above, &into, job);
    // What was written before a failure or a cancellation stays; the next run goes over it again.
    let closed = into.close();
    let written = written?;
    closed.map(|()| written)
}

fn write(above: &Disk, into: &WritableDisk, job: &Job) -> Result<u64> {
    let (mut written, mut throttle) = (0, job.throttle());
    for block in above.blocks(Blocks::of(PIECE).by_sector()) {
        job.check()?;
        let block = block?;
        match &block.data {
            Data::Bytes(bytes) => {
                throttle.pass(block.len(), job.token())?;
                into.write_at(bytes, block.offset)?;
                written += block.len();
            }
            Data::Zero(_) => {
                let mut at = block.offset;
                while at < block.end() {
                    job.check()?;
                    let next = (at / ZEROS * ZEROS + ZEROS).min(block.end());
                    into.write_zeroes(at, next - at)?;
                    at = next;
                }
            }
            Data::Absent(_) => {}
        }
        job.set_done(block.end());
    }
    Ok(written)
}
