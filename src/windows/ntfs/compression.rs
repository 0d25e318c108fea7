//! NTFS compression: units of 16 clusters, each stored as it is, as LZNT1 in fewer clusters, or as a hole.

use super::flaw::refused;
use super::lznt1;
use super::record::flag;
use super::runs::Run;
use super::stream::{Place, Stream};
use super::volume::Volume;
use crate::error::Result;

const LZNT1: u16 = 1;
/// 16 clusters of 64 KiB, although Windows compresses with clusters of 4 KiB at most.
const MAX_UNIT: u64 = 1 << 20;

/// All of `stream`, decompressed, when that is at most `limit` bytes.
pub(super) fn read(volume: &Volume, stream: &Stream, limit: u64) -> Result<Vec<u8>> {
    if stream.flags & flag::ENCRYPTED != 0 {
        return Err(refused("the file is encrypted (EFS)"));
    }
    let runs = match (stream.flags & flag::COMPRESSION, &stream.place) {
        (0, _) | (_, Place::Resident(_)) => return stream.read(volume, limit),
        (LZNT1, Place::Runs(runs)) => runs,
        (method, _) => {
            return Err(refused(&format!("the file is compressed by an unknown method, {method}")));
        }
    };
    stream.check_size(limit)?;
    let cluster = volume.boot.cluster_size;
    let unit_clusters = 1u64.checked_shl(stream.compression_unit.into()).unwrap_or(0);
    let unit = unit_clusters.saturating_mul(cluster);
    if unit == 0 || unit > MAX_UNIT {
        return Err(refused(&format!("the file is compressed in units of {unit_clusters} clusters")));
    }
    let mut out = Vec::with_capacity(stream.size as usize);
    let mut rest = runs.iter().copied().collect::<std::collections::VecDeque<_>>();
    while (out.len() as u64) < stream.size.min(stream.initialized) {
        let offset = out.len() as u64;
        let runs = take(&mut rest, unit_clusters);
        let stored: Vec<Run> = runs.iter().copied().filter(|run| run.lcn.is_some()).collect();
        let clusters: u64 = stored.iter().map(|run| run.len).sum();
        let mut bytes = vec![0; (clusters * cluster) as usize];
        Stream::plain(Place::Runs(stored), bytes.len() as u64).read_at(volume, &mut bytes, 0)?;
        if 0 < clusters && clusters < unit_clusters {
            bytes = lznt1::decompress(&bytes, unit as usize)
                .map_err(|flaw| flaw.at("LZNT1 compression unit of a file", offset))?;
        }
        bytes.resize(unit as usize, 0);
        out.extend_from_slice(&bytes);
    }
    out.truncate(stream.initialized.min(stream.size) as usize);
    out.resize(stream.size as usize, 0);
    Ok(out)
}

/// The runs of the first `clusters`, taken away from `runs`.
fn take(runs: &mut std::collections::VecDeque<Run>, mut clusters: u64) -> Vec<Run> {
    let mut taken = Vec::new();
    while clusters > 0
        && let Some(run) = runs.front_mut()
    {
        let len = run.len.min(clusters);
        taken.push(Run { len, lcn: run.lcn });
        clusters -= len;
        run.len -= len;
        run.lcn = run.lcn.map(|lcn| lcn + len);
        if run.len == 0 {
            runs.pop_front();
        }
    }
    taken
}
