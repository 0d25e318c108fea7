//! The block stream: what it yields covers the range, holds what the disk holds, and keeps its bounds.

use std::sync::Arc;

use diskport::disk::Patch;
use diskport::{Block, BlockStream, Blocks, Data, Disk, Result};
use proptest::prelude::*;

use crate::source::{any_source, content, disk};

/// Reassembles a stream that is to cover `range`, checking that it leaves no gap.
fn assemble(blocks: impl Iterator<Item = Result<Block>>, start: u64, grid: u64) -> Vec<u8> {
    let mut out = Vec::new();
    for block in blocks {
        let block = block.expect("reads");
        assert_eq!(block.offset, start + out.len() as u64, "no gap");
        assert!(!block.is_empty());
        match &block.data {
            Data::Bytes(bytes) => {
                assert_eq!(block.offset / grid, (block.end() - 1) / grid, "a block stays within the grid");
                out.extend_from_slice(bytes);
            }
            Data::Zero(len) | Data::Absent(len) => out.resize(out.len() + *len as usize, 0),
        }
    }
    out
}

fn overlaid(disk: &Disk, patches: &[Patch]) -> Vec<u8> {
    let mut bytes = content(disk);
    for patch in patches {
        bytes[patch.offset as usize..patch.offset as usize + patch.bytes.len()].copy_from_slice(&patch.bytes);
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn streams_hold_what_the_disk_holds(
        source in any_source(),
        grid in prop_oneof![Just(512_u64), Just(4096), Just(65_536), Just(1 << 20), 512..3_000_000_u64],
        ahead in 0..6_usize,
        threads in 0..3_usize,
        from: proptest::sample::Index,
        to: proptest::sample::Index,
        skip_holes: bool,
    ) {
        let disk = disk(&Arc::new(source));
        let expected = content(&disk);
        let start = from.index(expected.len());
        let end = start + to.index(expected.len() - start + 1);
        let options = Blocks::of(grid).read_ahead(ahead).threads(threads).skip_holes(skip_holes);
        let whole = assemble(disk.blocks(options.clone()), 0, grid);
        prop_assert!(whole == expected);
        let range = start as u64..end as u64;
        let part = assemble(disk.blocks(options.clone().range(range.clone())), range.start, grid);
        prop_assert!(part == expected[start..end], "a range, as when a stream is taken up again");
        let limited = assemble(disk.blocks(options).limit(range.clone()), range.start, grid);
        prop_assert!(limited == expected[start..end], "a limited stream");
    }

    #[test]
    fn patches_lie_over_streams_and_disks(
        source in any_source(),
        places in proptest::collection::vec((any::<proptest::sample::Index>(), 1..100_000_usize), 0..6),
    ) {
        let disk = disk(&Arc::new(source));
        let size = disk.size() as usize;
        let mut places: Vec<_> = places.into_iter().map(|(at, len)| (at.index(size), len)).collect();
        places.sort_unstable();
        let mut patches: Vec<Patch> = Vec::new();
        for (at, len) in places {
            let after = patches.last().map_or(0, |last| last.offset as usize + last.bytes.len());
            let at = at.max(after);
            let len = len.min(size - at.min(size));
            patches.push(Patch { offset: at as u64, bytes: vec![0xa5; len] });
        }
        let expected = overlaid(&disk, &patches);
        let stream = disk.blocks(Blocks::of(65_536)).overlay(patches.clone());
        prop_assert!(assemble(stream, 0, u64::MAX) == expected, "over a stream");
        let patched = disk.patched(disk.size(), patches).expect("patches");
        prop_assert!(content(&patched) == expected, "over a disk");
        prop_assert!(assemble(patched.blocks(Blocks::of(4096)), 0, 4096) == expected, "and its stream");
    }
}
