//! Images laid out from random descriptions, against a plain model of what they read as.

use diskport::disk::MappingKind;
use diskport::storage::{Explicit, MemoryStorage};
use diskport::{Disk, Open};
use proptest::prelude::*;

use super::builder::{FIXED, SECTOR, Vhd};
use crate::support::{assert_reads_as, storage};

/// One image of a chain: what it is, and what was written to it.
#[derive(Clone, Debug)]
struct Layer {
    sectors: u64,
    block_size: usize,
    /// Only of the lowest layer.
    fixed: bool,
    writes: Vec<Write>,
    empty_blocks: Vec<u64>,
    shuffle: u64,
    spare_entries: u32,
    bat_last: bool,
    gap: usize,
    batmap: bool,
    cut: bool,
    footer_len: usize,
}

#[derive(Clone, Debug)]
struct Write {
    at: u64,
    sectors: u64,
    what: What,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Data(u8),
    Zeros,
    /// The sectors are no longer in the image.
    Discard,
}

fn write() -> impl Strategy<Value = Write> {
    let what =
        prop_oneof![4 => any::<u8>().prop_map(What::Data), 1 => Just(What::Zeros), 1 => Just(What::Discard)];
    // Places and lengths about the boundaries of bytes, words and blocks of the bitmap, and any others.
    let at =
        prop_oneof![0..4096_u64, (0..64_u64, -1..2_i64).prop_map(|(n, d)| (n * 64).saturating_add_signed(d))];
    let sectors = prop_oneof![1..4_u64, 1..300_u64, (1..9_u64).prop_map(|n| n * 128)];
    (at, sectors, what).prop_map(|(at, sectors, what)| Write { at, sectors, what })
}

fn layer() -> impl Strategy<Value = Layer> {
    let sectors = prop_oneof![1..3000_u64, (1..24_u64).prop_map(|n| n * 128)];
    let block_size = (0..13_u32).prop_map(|power| SECTOR << power);
    let place =
        (0..1000_u64, prop_oneof![Just(0), 1..300_u32], any::<bool>(), 0..3_usize, any::<(bool, bool)>());
    let footer_len = prop_oneof![6 => Just(512), 1 => Just(511), 1 => Just(0)];
    let writes = proptest::collection::vec(write(), 0..10);
    let empty = proptest::collection::vec(0..32_u64, 0..4);
    (sectors, block_size, any::<bool>(), writes, empty, place, footer_len).prop_map(
        |(sectors, block_size, fixed, writes, empty, place, footer_len)| {
            let (shuffle, spare_entries, bat_last, gap, (batmap, cut)) = place;
            // A table of many small blocks would be all there is to test.
            let block_size = block_size.max((sectors as usize * SECTOR / 512).next_power_of_two());
            let blocks = (sectors * SECTOR as u64).div_ceil(block_size as u64);
            Layer {
                sectors,
                block_size,
                fixed,
                writes,
                empty_blocks: empty.into_iter().filter(|index| *index < blocks).collect(),
                shuffle,
                spare_entries,
                bat_last,
                gap,
                batmap,
                cut,
                footer_len: if fixed { footer_len.max(511) } else { footer_len },
            }
        },
    )
}

impl Layer {
    /// The image as layer `depth` from the lowest, and its effect on what the layers below read as.
    fn build(&self, depth: u8, model: &mut Vec<u8>) -> Vhd {
        let size = self.sectors * SECTOR as u64;
        model.resize(size as usize, 0);
        let mut image = match depth {
            0 if self.fixed => Vhd::fixed(model),
            0 => Vhd::dynamic(size, self.block_size),
            _ => Vhd::differencing(size, self.block_size, id(depth - 1)),
        };
        let below = model.clone();
        for Write { at, sectors, what } in &self.writes {
            for sector in *at..(at + sectors).min(self.sectors) {
                let range = sector as usize * SECTOR..(sector as usize + 1) * SECTOR;
                let content = match what {
                    What::Data(seed) => std::array::from_fn(|i| (i as u64 + sector * 7) as u8 ^ seed),
                    What::Zeros => [0; SECTOR],
                    What::Discard if image.disk_type == FIXED => continue,
                    What::Discard => {
                        image.sectors.remove(&sector);
                        model[range.clone()].copy_from_slice(&below[range]);
                        continue;
                    }
                };
                image.sectors.insert(sector, content);
                model[range].copy_from_slice(&content);
            }
        }
        Vhd {
            id: id(depth),
            empty_blocks: self.empty_blocks.clone(),
            shuffle: self.shuffle,
            spare_entries: self.spare_entries,
            bat_last: self.bat_last,
            gap: self.gap,
            batmap: self.batmap,
            cut: self.cut,
            footer_len: self.footer_len,
            ..image
        }
    }
}

fn id(depth: u8) -> [u8; 16] {
    [depth + 1; 16]
}

/// The chain of `layers`, the lowest first, and what it reads as.
fn chain(layers: &[Layer]) -> (Disk, Vec<u8>) {
    let mut model = Vec::new();
    let mut top = Vec::new();
    let mut resolver = Explicit::default();
    for (depth, layer) in (0..).zip(layers) {
        let mut image = layer.build(depth, &mut model);
        if depth > 0 {
            let parent = format!("{}.vhd", depth - 1);
            image.parent_name = super::builder::utf16_be(&parent);
            resolver.insert(parent, storage(std::mem::take(&mut top)));
        }
        top = image.bytes();
    }
    let disk = Open::new().resolver(resolver).open(MemoryStorage::new(top)).expect("opens");
    (disk, model)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn reads_as_written(layers in proptest::collection::vec(layer(), 1..=4)) {
        let (disk, model) = chain(&layers);
        prop_assert_eq!(disk.chain().len(), layers.len());
        assert_reads_as(&disk, &model);
    }

    /// The map itself: every run is as long as it can be, from wherever it is asked for.
    #[test]
    fn runs_are_whole(
        layer in layer(),
        child: bool,
        from: prop::sample::Index,
        limit: prop::sample::Index,
    ) {
        let image = layer.build(u8::from(child), &mut Vec::new());
        let kinds = kinds(&image);
        let resolver = Explicit::from([("parent.vhd", storage(Vhd { id: id(0), ..Vhd::fixed(&[0; 512]) }.bytes()))]);
        let disk = Open::new().resolver(resolver).open(MemoryStorage::new(image.bytes())).expect("opens");
        let map = &disk.chain()[0];

        let mut at = 0;
        while at < image.size {
            let run = map.map(at, image.size - at).expect("maps");
            prop_assert!(run.len > 0 && at + run.len <= image.size);
            let sectors = &kinds[at as usize / SECTOR..(at + run.len) as usize / SECTOR];
            prop_assert!(sectors.iter().all(|kind| *kind == Kind::of(run.kind)), "at {at}: {run:?}");
            let next = kinds.get((at + run.len) as usize / SECTOR);
            let per_block = image.block_size as u64;
            let may_end = next != Some(&Kind::of(run.kind))
                || Kind::of(run.kind) == Kind::Stored && (at + run.len) % per_block == 0;
            prop_assert!(may_end, "the run at {at} could be longer: {run:?}");
            at += run.len;
        }

        // From the middle of a sector, and no further than asked for.
        let at = from.index(image.size as usize) as u64;
        let limit = 1 + limit.index((image.size - at) as usize) as u64;
        let run = map.map(at, limit).expect("maps");
        prop_assert!((1..=limit).contains(&run.len));
        let whole = map.map(at / 512 * 512, image.size - at / 512 * 512).expect("maps");
        prop_assert_eq!(run.len, limit.min(whole.len - at % 512));
        if let (MappingKind::Stored { offset: a, .. }, MappingKind::Stored { offset: b, .. }) = (run.kind, whole.kind) {
            prop_assert_eq!(a, b + at % 512);
        }
    }

    /// Bytes changed at random, with and without the checksums made right again: no panic, no excess.
    #[test]
    fn nothing_breaks_the_reader(
        layer in layer(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u32>(), 0..4_u8), 1..6),
    ) {
        let mut built = Layer { fixed: false, footer_len: 512, ..layer }.build(0, &mut Vec::new()).build();
        for (at, value, place) in changes {
            let value = &value.to_be_bytes()[at.index(3)..];
            match place {
                0 => { built.set_footers(8 + at.index(76), value); }
                1 => { built.set_header(8 + at.index(1012), value); }
                2 => built.bytes[512..][at.index(2048)] = value[0],
                _ => { let at = at.index(built.bytes.len()); built.bytes[at] = value[0]; }
            }
        }
        // Whether it is refused or read is not the question here.
        let _ = crate::support::read_all(&Open::new(), built.take());
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Stored,
    Zero,
    Absent,
}

impl Kind {
    fn of(kind: MappingKind) -> Self {
        match kind {
            MappingKind::Stored { .. } => Kind::Stored,
            MappingKind::Zero => Kind::Zero,
            MappingKind::Absent => Kind::Absent,
            MappingKind::Packed(_) => panic!("a VHD holds nothing compressed"),
        }
    }
}

/// What each sector of the image is.
fn kinds(image: &Vhd) -> Vec<Kind> {
    let per_block = (image.block_size / SECTOR) as u64;
    let mut present = vec![false; (image.size / image.block_size as u64) as usize + 1];
    for index in
        image.sectors.keys().map(|sector| sector / per_block).chain(image.empty_blocks.iter().copied())
    {
        present[index as usize] = true;
    }
    let kind = |sector: u64| {
        if image.disk_type == FIXED || image.sectors.contains_key(&sector) {
            Kind::Stored
        } else if present[(sector / per_block) as usize] && image.parent_id == [0; 16] {
            Kind::Zero
        } else {
            Kind::Absent
        }
    };
    (0..image.size / SECTOR as u64).map(kind).collect()
}

/// The block sizes in use, and the largest allowed, whose bitmaps are larger than a sector.
#[test]
fn usual_and_largest_block_sizes() {
    for block_size in [512 << 10, 2 << 20, 16 << 20, 256 << 20] {
        let mut image = Vhd::dynamic(block_size as u64 + 1536, block_size);
        if block_size <= 16 << 20 {
            image.write((block_size / SECTOR) as u64 - 3, &[1; 1024]);
        }
        // The second block, of which three sectors belong to the disk, and the file holds no others.
        image.write((block_size / SECTOR) as u64 + 1, &[3; 1024]);
        image.cut = true;
        let disk = Open::new().open(storage(image.bytes())).expect("opens");
        assert_eq!(disk.chain()[0].info().block_size, Some(block_size as u64));
        let mut read = vec![9; 3072];
        disk.read_at(&mut read, block_size as u64 - 1536).expect("reads");
        let first = if block_size <= 16 << 20 { [1; 512] } else { [0; 512] };
        assert_eq!(read, [first, first, [0; 512], [0; 512], [3; 512], [3; 512]].concat());
    }
}
