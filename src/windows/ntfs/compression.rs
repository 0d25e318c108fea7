//! NTFS compression: units of 16 clusters, each stored as it is, as LZNT1 in fewer clusters, or as a hole.

use std::collections::VecDeque;

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

/// How many clusters of `stream`, which is compressed, are so together.
pub(super) fn unit(volume: &Volume, stream: &Stream) -> Result<u64> {
    match stream.flags & flag::COMPRESSION {
        LZNT1 => {}
        method => return Err(refused(&format!("the file is compressed by an unknown method, {method}"))),
    }
    let unit = 1u64.checked_shl(stream.compression_unit.into()).unwrap_or(0);
    match unit.saturating_mul(volume.boot.cluster_size) {
        1..=MAX_UNIT => Ok(unit),
        _ => Err(refused(&format!("the file is compressed in units of {unit} clusters"))),
    }
}

/// Fills `buf` from byte `offset` of what `stream` holds in units of so many clusters.
pub(super) fn read_at(
    volume: &Volume,
    stream: &Stream,
    unit_clusters: u64,
    buf: &mut [u8],
    offset: u64,
) -> Result<()> {
    let (cluster, runs) = (volume.boot.cluster_size, stream.runs());
    let unit = unit_clusters * cluster;
    let (buf, rest) =
        buf.split_at_mut(stream.initialized.saturating_sub(offset).min(buf.len() as u64) as usize);
    rest.fill(0);
    let mut runs = runs.iter().copied().collect::<VecDeque<_>>();
    take(&mut runs, offset / unit * unit_clusters);
    let (mut at, mut buf) = (offset, buf);
    while !buf.is_empty() {
        let runs = take(&mut runs, unit_clusters);
        let stored: Vec<Run> = runs.iter().copied().filter(|run| run.lcn.is_some()).collect();
        let clusters: u64 = stored.iter().map(|run| run.len).sum();
        let mut bytes = vec![0; (clusters * cluster) as usize];
        Stream::plain(Place::Runs(stored), bytes.len() as u64).read_at(volume, &mut bytes, 0)?;
        if 0 < clusters && clusters < unit_clusters {
            bytes = lznt1::decompress(&bytes, unit as usize)
                .map_err(|flaw| flaw.at("LZNT1 compression unit of a file", at / unit * unit))?;
        }
        bytes.resize(unit as usize, 0);
        let bytes = &bytes[(at % unit) as usize..];
        let (piece, rest) = buf.split_at_mut(bytes.len().min(buf.len()));
        piece.copy_from_slice(&bytes[..piece.len()]);
        at += piece.len() as u64;
        buf = rest;
    }
    Ok(())
}

/// The runs of the first `clusters`, taken away from `runs`.
fn take(runs: &mut VecDeque<Run>, mut clusters: u64) -> Vec<Run> {
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
