//! Mapping pairs: how a record tells where the clusters of a file are.

use super::flaw::{Flaw, flaw};

/// Clusters of a file of 2^63 bytes, at 512 bytes each.
const MAX_CLUSTERS: u64 = 1 << 54;

/// Clusters that follow each other in a file and, unless they are a hole, on the volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    /// Clusters, at least one.
    pub len: u64,
    /// The first cluster on the volume; `None` for a hole.
    pub lcn: Option<u64>,
}

impl Run {
    /// The cluster after the last one; 0 for a hole.
    pub fn end(&self) -> u64 {
        self.lcn.map_or(0, |lcn| lcn + self.len)
    }
}

/// The runs that mapping pairs give, all within `clusters`.
pub(super) fn decode(mut pairs: &[u8], clusters: u64) -> Result<Vec<Run>, Flaw> {
    let cut = || flaw("mapping pairs that end with a 0", "an end within a pair");
    let mut runs = Vec::new();
    let (mut lcn, mut vcn) = (0i64, 0u64);
    loop {
        let (&head, rest) = pairs.split_first().ok_or_else(cut)?;
        if head == 0 {
            return Ok(runs);
        }
        let (len, rest) = rest.split_at_checked(usize::from(head & 15)).ok_or_else(cut)?;
        let (delta, rest) = rest.split_at_checked(usize::from(head >> 4)).ok_or_else(cut)?;
        pairs = rest;
        let len = signed(len).and_then(|len| u64::try_from(len).ok()).filter(|&len| len > 0);
        let len = len.ok_or_else(|| flaw("a run of at least one cluster", "one of no length"))?;
        // No file has more clusters than a signed 64-bit size in bytes allows.
        vcn = vcn.checked_add(len).filter(|vcn| *vcn <= MAX_CLUSTERS).ok_or_else(|| {
            flaw(format!("a file of at most {MAX_CLUSTERS} clusters"), format!("one with a run of {len}"))
        })?;
        if delta.is_empty() {
            runs.push(Run { len, lcn: None });
            continue;
        }
        lcn = signed(delta).and_then(|delta| lcn.checked_add(delta)).ok_or_else(|| {
            flaw("a run at a 64-bit cluster number", format!("one {delta:02x?} away from {lcn}"))
        })?;
        let start = u64::try_from(lcn).ok().filter(|start| *start <= clusters && len <= clusters - start);
        let start = start.ok_or_else(|| {
            flaw(format!("runs within {clusters} clusters"), format!("a run of {len} clusters at {lcn}"))
        })?;
        runs.push(Run { len, lcn: Some(start) });
    }
}

/// The shortest mapping pairs for `runs`.
pub(super) fn encode(runs: &[Run]) -> Vec<u8> {
    let mut pairs = Vec::new();
    let mut last = 0;
    for run in runs {
        let len = shortest(run.len as i64);
        let delta =
            run.lcn.map_or(Vec::new(), |lcn| shortest(lcn as i64 - std::mem::replace(&mut last, lcn as i64)));
        pairs.push((len.len() | delta.len() << 4) as u8);
        pairs.extend(len);
        pairs.extend(delta);
    }
    pairs.push(0);
    pairs
}

/// A little-endian number of up to 8 bytes, the top bit being its sign.
fn signed(bytes: &[u8]) -> Option<i64> {
    let sign = if *bytes.last()? < 0x80 { 0 } else { 0xff };
    let mut number = [sign; 8];
    number.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(i64::from_le_bytes(number))
}

fn shortest(number: i64) -> Vec<u8> {
    let mut bytes = number.to_le_bytes().to_vec();
    while bytes.len() > 1 && signed(&bytes[..bytes.len() - 1]) == Some(number) {
        bytes.pop();
    }
    bytes
}

/// Where the bytes from `offset` on are: pieces of at most `len` bytes in all, each with its place on the volume
/// (`None` in a hole). What lies beyond the runs is left out.
pub(super) fn pieces(
    runs: &[Run],
    cluster: u64,
    offset: u64,
    len: u64,
) -> impl Iterator<Item = (Option<u64>, u64)> {
    let mut start = 0u64;
    runs.iter().filter_map(move |run| {
        let run_start = start;
        start = start.saturating_add(run.len.saturating_mul(cluster));
        let from = offset.max(run_start);
        let to = offset.saturating_add(len).min(start);
        (from < to).then(|| (run.lcn.map(|lcn| lcn * cluster + from - run_start), to - from))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CLUSTERS: u64 = 1 << 40;

    fn run(len: u64, lcn: u64) -> Run {
        Run { len, lcn: Some(lcn) }
    }

    /// As Windows writes them: a length of 80h takes two bytes, since its top bit would be a sign.
    #[test]
    fn known_pairs() {
        let pairs = [0x21, 0x18, 0x34, 0x56, 0x11, 0x30, 0xf0, 0x02, 0x80, 0x00, 0x31, 0x01, 0, 0, 0x01, 0];
        let runs = [run(0x18, 0x5634), run(0x30, 0x5624), Run { len: 0x80, lcn: None }, run(1, 0x15624)];
        assert_eq!(decode(&pairs, CLUSTERS).unwrap(), runs);
        assert_eq!(encode(&runs), pairs);
    }

    #[test]
    fn pairs_that_mean_nothing_are_refused() {
        let refused: [&[u8]; 9] = [
            &[],
            &[0x11, 1, 1],
            &[0x11, 1],
            &[0x10, 1, 0],
            &[0x11, 0xff, 1, 0],
            &[0x11, 1, 0xff, 0],
            &[0x91, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0],
            &[0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 1, 0],
            &[0x81, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0x11, 1, 1, 0],
        ];
        for pairs in refused {
            assert!(decode(pairs, CLUSTERS).is_err(), "{pairs:x?}");
        }
        assert!(decode(&[0x11, 2, 7, 0], 8).is_err());
        assert!(decode(&[0x11, 1, 7, 0], 8).is_ok());
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes(
            runs in prop::collection::vec((1u64..1 << 30, prop::option::of(0u64..CLUSTERS - (1 << 30))), 0..50)
        ) {
            let runs: Vec<Run> = runs.into_iter().map(|(len, lcn)| Run { len, lcn }).collect();
            prop_assert_eq!(decode(&encode(&runs), CLUSTERS).unwrap(), runs);
        }

        #[test]
        fn no_longer_than_what_was_decoded(pairs in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(runs) = decode(&pairs, CLUSTERS) {
                let again = encode(&runs);
                prop_assert!(again.len() <= pairs.len());
                prop_assert_eq!(decode(&again, CLUSTERS).unwrap(), runs);
            }
        }
    }
}
