//! Random disks and chains, read back against a plain model.

use std::sync::Arc;

use diskport::Open;
use diskport::storage::{Explicit, MemoryStorage, ReadAt};
use proptest::collection::vec;
use proptest::prelude::*;

use super::builder::{Block, Image, MIB, utf16};
use crate::support::assert_reads_as;

/// A layer of a random chain.
#[derive(Debug, Clone)]
struct Spec {
    block: u64,
    /// In sectors of 4096 bytes, plus some of the disk's own.
    size: u64,
    odd_sectors: u64,
    fixed: bool,
    reversed: bool,
    cut: bool,
    /// For each block, a kind and a seed.
    blocks: Vec<(u8, u32)>,
}

fn spec() -> impl Strategy<Value = Spec> {
    (
        prop_oneof![Just(MIB), Just(2 * MIB), Just(4 * MIB)],
        1..1200_u64,
        0..8_u64,
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        vec((0..8_u8, any::<u32>()), 5),
    )
        .prop_map(|(block, size, odd_sectors, fixed, reversed, cut, blocks)| Spec {
            block,
            size,
            odd_sectors,
            fixed,
            reversed,
            cut,
            blocks,
        })
}

/// Bytes that differ from sector to sector and from seed to seed.
pub fn noise(len: usize, seed: u32) -> Vec<u8> {
    let mut state = u64::from(seed) << 32 | 0x9e37_79b9;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes.extend((state >> 8 | 1).to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// Runs of set and clear bits: single ones, some, many.
fn bits(count: usize, seed: u32) -> Vec<bool> {
    let lengths = noise(count * 8, seed);
    let mut bits = Vec::with_capacity(count);
    let mut set = seed & 1 == 1;
    for length in lengths.chunks(2) {
        let run = if length[0] < 200 { usize::from(length[1] % 9) } else { usize::from(length[1]) * 4 };
        bits.extend(std::iter::repeat_n(set, run.min(count - bits.len())));
        set = !set;
    }
    bits.resize(count, set);
    bits
}

impl Spec {
    /// The layer as an image over a disk that reads as `parent`, and how it reads.
    fn image(&self, sector: u64, depth: usize, parent: Option<&[u8]>) -> (Image, Vec<u8>) {
        let size = match sector {
            512 => self.size * 4096 + self.odd_sectors * 512,
            _ => self.size * 4096,
        };
        let mut image = Image::empty(size, self.block, sector);
        image.fixed = self.fixed;
        image.reversed = self.reversed;
        image.cut = self.cut;
        image.data_guid = [depth as u8 + 1; 16];
        let mut model = vec![0; size as usize];
        if let Some(parent) = parent {
            let name = format!("{depth}.vhdx");
            let linkage = format!("{{{}}}", uuid::Uuid::from_bytes_le([depth as u8; 16]));
            image.locator = Some(vec![
                (utf16("relative_path"), utf16(&name)),
                (utf16("parent_linkage"), utf16(&linkage)),
            ]);
            let common = parent.len().min(model.len());
            model[..common].copy_from_slice(&parent[..common]);
        }
        for (index, part) in model.chunks_mut(self.block as usize).enumerate() {
            let (kind, seed) = self.blocks[index % self.blocks.len()];
            image.blocks[index] = match kind {
                0 => Block::Entry(0),
                1..=3 => {
                    part.fill(0);
                    Block::Entry(kind.into())
                }
                4 | 5 if parent.is_some() => {
                    let data = noise(part.len(), seed);
                    let sectors = bits(part.len() / sector as usize, seed);
                    for (index, _) in sectors.iter().enumerate().filter(|(_, set)| **set) {
                        let range = index * sector as usize..(index + 1) * sector as usize;
                        part[range.clone()].copy_from_slice(&data[range]);
                    }
                    Block::Partial(data, sectors)
                }
                _ => {
                    let data = noise(part.len(), seed);
                    part.copy_from_slice(&data);
                    Block::Full(data)
                }
            };
        }
        (image, model)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn chains_read_as_the_model(specs in vec(spec(), 1..=4), large: bool) {
        let sector = if large { 4096 } else { 512 };
        let mut files = Explicit::default();
        let mut model: Option<Vec<u8>> = None;
        let mut top = Vec::new();
        for (depth, spec) in specs.iter().enumerate() {
            let (image, content) = spec.image(sector, depth, model.as_deref());
            if depth > 0 {
                let below: Arc<dyn ReadAt> = Arc::new(MemoryStorage::new(std::mem::take(&mut top)));
                files.insert(format!("{depth}.vhdx"), below);
            }
            top = image.build();
            model = Some(content);
        }
        let disk = Open::new().resolver(files).open(MemoryStorage::new(top)).expect("opens");
        prop_assert_eq!(disk.chain().len(), specs.len());
        prop_assert_eq!(u64::from(disk.logical_sector_size()), sector);
        let subformats: Vec<_> = disk.chain().iter().map(|layer| layer.info().subformat).collect();
        let base = if specs[0].fixed { "fixed" } else { "dynamic" };
        prop_assert_eq!(subformats, [&["differencing"; 4][..specs.len() - 1], &[base]].concat());
        assert_reads_as(&disk, &model.unwrap_or_default());
    }
}

#[test]
fn the_second_chunk_has_its_own_bitmap() {
    // A chunk is 2^23 sectors: 4 GiB here.
    let parent_guid = uuid::Uuid::from_bytes_le([0x77; 16]).to_string();
    let parent = Image::empty(6 << 30, 64 * MIB, 512);
    for block in [MIB, 16 * MIB] {
        let mut child = Image::child((5 << 30) + MIB, block, 512, &parent_guid);
        let first_of_second = ((4 << 30) / block) as usize;
        let sectors = 2048;
        // Other bits in the first chunk, so that taking the wrong bitmap shows.
        child.blocks[0] = Block::Partial(noise(sectors * 512, 1), vec![false; sectors]);
        let wanted = bits(sectors, 9);
        child.blocks[first_of_second] = Block::Partial(noise(sectors * 512, 2), wanted.clone());
        let disk = super::over(parent.build()).open(MemoryStorage::new(child.build())).expect("opens");
        let mut read = vec![0xee; sectors * 512];
        disk.read_at(&mut read, 4 << 30).expect("reads");
        let data = noise(sectors * 512, 2);
        for (index, set) in wanted.iter().enumerate() {
            let range = index * 512..(index + 1) * 512;
            if *set {
                assert!(read[range.clone()] == data[range], "sector {index} of the child");
            } else {
                assert!(diskport::disk::is_zero(&read[range]), "sector {index} of the parent");
            }
        }
        let first = disk.extents(..).next().expect("an extent").expect("maps");
        assert!(!first.is_data() && first.len >= 4 << 30, "one run over all that is absent");
    }
}

#[test]
fn blocks_that_lie_together_are_one_run() {
    let mut image = Image::empty(5 * MIB, MIB, 512);
    image.fixed = true;
    image.blocks = (0..5).map(|i| Block::Full(noise(1 << 20, i))).collect();
    let disk = super::open(image.build()).expect("opens");
    let info = disk.chain()[0].info();
    assert_eq!(info.subformat, "fixed");
    let extents: Vec<_> = disk.extents(..).map(|extent| extent.expect("maps")).collect();
    assert_eq!(extents.len(), 1);
    // The layer itself joins them, without being asked again.
    assert_eq!(disk.chain()[0].map(512, u64::MAX).expect("maps").len, 5 * MIB - 512);
    assert_eq!(disk.chain()[0].map(512, 2 * MIB).expect("maps").len, 2 * MIB);
}

#[test]
fn entries_of_bitmap_blocks_are_no_blocks() {
    // 256 blocks of 16 MiB are a chunk; what is alike on both sides of it is one run.
    for state in 0..4 {
        let mut image = Image::empty(9 << 30, 16 * MIB, 512);
        image.blocks.fill(Block::Entry(state));
        image.blocks[530] = Block::Full(noise(4096, 1));
        let disk = super::open(image.build()).expect("opens");
        let extents: Vec<_> = disk.extents(..).map(|extent| extent.expect("maps")).collect();
        let lengths: Vec<_> = extents.iter().map(|extent| extent.len / MIB / 16).collect();
        assert_eq!(lengths, [530, 1, 45]);
        assert_eq!(disk.chain()[0].map(MIB, u64::MAX).expect("maps").len, 530 * 16 * MIB - MIB);
    }
}
