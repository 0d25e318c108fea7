//! Indexes in memory against a plain map, and looked through after every change by code that shares nothing with what made the change.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use proptest::prelude::*;

use super::node::SIGNATURE;
use super::*;
use crate::error::Result;
use crate::leaves::upper;
use crate::windows::ntfs::file_name::{Duplicate, FileName, space};
use crate::windows::ntfs::record::Reference;
use crate::windows::ntfs::upcase::Upcase;

/// What orders two keys, and the entry.
type Model = BTreeMap<Vec<u32>, Vec<u8>>;

#[derive(Default)]
struct Memory {
    blocks: Vec<Vec<u8>>,
    reads: Cell<usize>,
}

impl Blocks for Memory {
    fn read(&self, number: u64, block: &mut [u8]) -> Result<()> {
        self.reads.set(self.reads.get() + 1);
        block.copy_from_slice(&self.blocks[number as usize]);
        Ok(())
    }
}

/// An index as it lies on a volume.
struct Volume {
    root: Vec<u8>,
    bitmap: Vec<u8>,
    memory: Memory,
    cluster: u64,
    block: usize,
    /// Blocks that the last change wrote.
    written: usize,
}

impl Volume {
    fn new(collation: u32, block: u32, cluster: u64) -> Self {
        let kind = if collation == Collation::FILE_NAME { 0x30 } else { 0 };
        let root = new_root(kind, collation, block, cluster).unwrap();
        let memory = Memory::default();
        Self { root, bitmap: Vec::new(), memory, cluster, block: block as usize, written: 0 }
    }

    fn read<T>(&self, with: impl FnOnce(&Index) -> Result<T>) -> Result<T> {
        let (root, bitmap) = (self.root.clone(), self.bitmap.clone());
        let upcase = Upcase::default();
        with(&Index::open(
            root,
            bitmap,
            self.memory.blocks.len() as u64,
            self.cluster,
            &upcase,
            &self.memory,
        )?)
    }

    fn change<T>(&mut self, with: impl FnOnce(&mut Index) -> Result<T>) -> Result<T> {
        let (root, bitmap) = (std::mem::take(&mut self.root), std::mem::take(&mut self.bitmap));
        let upcase = Upcase::default();
        let count = self.memory.blocks.len() as u64;
        let mut index = Index::open(root, bitmap, count, self.cluster, &upcase, &self.memory)?;
        let result = with(&mut index)?;
        let changed = index.finish()?;
        (self.root, self.bitmap) = (changed.root, changed.bitmap);
        self.written = changed.blocks.len();
        self.memory.blocks.resize(changed.count as usize, vec![0xee; self.block]);
        for (number, block) in changed.blocks {
            self.memory.blocks[number as usize] = block;
        }
        Ok(result)
    }

    /// The keys in order as `sort` makes them, after everything that holds of an index was looked at.
    fn checked(&self, room: usize, sort: fn(&[u8]) -> Vec<u32>) -> Vec<Vec<u32>> {
        assert!(self.root.len() <= room, "a root of {} bytes", self.root.len());
        let mut seen = Seen { keys: Vec::new(), blocks: BTreeSet::new(), leaves: None, sort };
        let per_block = if self.cluster <= self.block as u64 {
            self.block as u64 / self.cluster
        } else {
            self.block as u64 / 512
        };
        assert_eq!(u64::from(self.root[12]), per_block);
        assert_eq!(u32_at(&self.root, 20), u32_at(&self.root, 24), "used and allocated");
        assert_eq!(u32_at(&self.root, 20) as usize + 16, self.root.len());
        self.look(&self.root, 16, 1, per_block, &mut seen);
        let bit =
            |number: usize| self.bitmap.get(number / 8).is_some_and(|byte| byte >> (number % 8) & 1 == 1);
        let in_use: BTreeSet<u64> =
            (0..self.bitmap.len() * 8).filter(|&n| bit(n)).map(|n| n as u64).collect();
        assert_eq!(in_use, seen.blocks);
        assert!(self.bitmap.len().is_multiple_of(8) && self.bitmap.len() * 8 >= self.memory.blocks.len());
        assert!(seen.keys.is_sorted_by(|a, b| a < b), "out of order");
        seen.keys
    }

    fn look(&self, node: &[u8], header: usize, depth: usize, per_block: u64, seen: &mut Seen) {
        let flags = u32_at(node, header + 12);
        let mut at = header + u32_at(node, header) as usize;
        let first = at;
        loop {
            let (len, key_len) = (u16_at(node, at + 8), u16_at(node, at + 10));
            let (child, last) = (u16_at(node, at + 12) & 1 == 1, u16_at(node, at + 12) & 2 == 2);
            assert_eq!(len % 8, 0);
            assert_eq!(u32::from(child), flags, "a child, or none, in all of a node");
            if child {
                let vcn = u64::from_le_bytes(node[at + len - 8..at + len].try_into().unwrap());
                assert_eq!(vcn % per_block, 0);
                assert!(seen.blocks.insert(vcn / per_block), "twice a child");
                let mut block = self.memory.blocks[(vcn / per_block) as usize].clone();
                assert_eq!(&block[..4], b"INDX");
                let array = u16_at(&block, 4);
                assert_eq!((array, u16_at(&block, 6)), (0x28, self.block / 512 + 1));
                for stride in 1..=self.block / 512 {
                    assert_eq!(block[stride * 512 - 2..stride * 512], block[array..array + 2]);
                    block.copy_within(array + 2 * stride..array + 2 * stride + 2, stride * 512 - 2);
                }
                assert_eq!(block[16..24], vcn.to_le_bytes());
                assert_eq!(u32_at(&block, 32) as usize, self.block - 24);
                assert!(24 + u32_at(&block, 24) as usize >= array + 2 * (self.block / 512 + 1));
                self.look(&block, 24, depth + 1, per_block, seen);
            } else if last {
                assert_eq!(*seen.leaves.get_or_insert(depth), depth, "leaves at one depth");
                let empty = at == first && depth > 1;
                assert!(!empty || self.block <= 1024, "an empty leaf");
            }
            if last {
                assert_eq!(at + len, header + u32_at(node, header + 4) as usize, "used");
                return;
            }
            seen.keys.push((seen.sort)(&node[at + 16..at + 16 + key_len]));
            at += len;
        }
    }
}

struct Seen {
    keys: Vec<Vec<u32>>,
    blocks: BTreeSet<u64>,
    leaves: Option<usize>,
    sort: fn(&[u8]) -> Vec<u32>,
}

fn u16_at(bytes: &[u8], at: usize) -> usize {
    u16::from_le_bytes([bytes[at], bytes[at + 1]]).into()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// The name in upper case, then the name.
fn by_name(key: &[u8]) -> Vec<u32> {
    let units: Vec<u16> =
        key[66..].chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]])).collect();
    let upper = units.iter().map(|&unit| u32::from(upper(unit)) + 1);
    upper.chain([0]).chain(units.iter().map(|&unit| unit.into())).collect()
}

fn by_numbers(key: &[u8]) -> Vec<u32> {
    key.chunks(4).map(|number| u32_at(number, 0)).collect()
}

fn named(name: &str, size: u64) -> Vec<u8> {
    let name = name.encode_utf16().collect();
    let info = Duplicate { size, ..Duplicate::default() };
    let key = FileName { parent: Reference(5), info, space: space::POSIX, name };
    file_entry(Reference(size << 48 | 77), &key.to_bytes())
}

fn key(entry: &[u8]) -> &[u8] {
    Entry::parse(entry).unwrap().key()
}

#[derive(Debug, Clone)]
enum Step {
    Insert(Vec<u8>),
    Remove(prop::sample::Index),
    Replace(prop::sample::Index),
}

fn steps(entry: impl Strategy<Value = Vec<u8>>, most: usize) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        12 => entry.prop_map(Step::Insert),
        9 => any::<prop::sample::Index>().prop_map(Step::Remove),
        2 => any::<prop::sample::Index>().prop_map(Step::Replace),
    ];
    prop::collection::vec(step, 1..most)
}

/// Names that are short or as long as can be, and which upper case and what sorts behind letters tell apart.
fn names() -> impl Strategy<Value = Vec<u8>> {
    let units = || {
        prop::sample::select(vec![
            'a', 'B', 'b', '_', '^', '[', 'z', 'Ä', 'ä', 'µ', 'Μ', 'ÿ', 'Ÿ', 'ı', 'ſ', '日',
        ])
    };
    let name = prop_oneof![
        3 => prop::collection::vec(units(), 1..6),
        1 => prop::collection::vec(units(), 100..=255),
    ];
    (name, 0u64..1000).prop_map(|(name, size)| named(&name.into_iter().collect::<String>(), size))
}

fn play(mut volume: Volume, steps: &[Step], room: usize, sort: fn(&[u8]) -> Vec<u32>) {
    let mut model = Model::new();
    let pick = |model: &Model, index: &prop::sample::Index| {
        (!model.is_empty()).then(|| model.values().nth(index.index(model.len())).unwrap().clone())
    };
    for step in steps {
        match step {
            Step::Insert(entry) => {
                let place = sort(key(entry));
                let is_there = volume.read(|index| index.get(key(entry))).unwrap();
                assert_eq!(is_there.as_ref(), model.get(&place));
                if is_there.is_none() {
                    volume.change(|index| index.insert(entry, room)).unwrap();
                    model.insert(place, entry.clone());
                }
            }
            Step::Remove(index) => {
                let Some(entry) = pick(&model, index) else { continue };
                model.remove(&sort(key(&entry)));
                assert!(volume.change(|index| index.remove(key(&entry), room)).unwrap());
                assert!(!volume.change(|index| index.remove(key(&entry), room)).unwrap());
            }
            Step::Replace(index) => {
                let Some(mut entry) = pick(&model, index) else { continue };
                // A byte that no order looks at: of the reference, or of where data lie.
                entry[4] ^= 0x55;
                assert!(volume.change(|index| index.replace(&entry)).unwrap());
                model.insert(sort(key(&entry)), entry);
            }
        }
        let keys = volume.checked(room, sort);
        assert!(keys.iter().eq(model.keys()), "{step:?}");
    }
    let mut entries = Vec::new();
    let done: ControlFlow<()> = volume
        .read(|index| {
            index.walk(&mut |entry| {
                entries.push(entry.to_vec());
                ControlFlow::Continue(())
            })
        })
        .unwrap();
    assert!(done.is_continue() && entries.iter().eq(model.values()));
    for steps in steps {
        let Step::Insert(entry) = steps else { continue };
        let next = model.range(sort(key(entry))..).next().map(|(_, entry)| entry);
        assert_eq!(volume.read(|index| index.first_from(key(entry))).unwrap().as_ref(), next);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn directories(
        steps in steps(names(), 100),
        block in prop::sample::select(vec![1024, 2048, 4096, 8192]),
        cluster in prop::sample::select(vec![512, 1024, 4096, 64 << 10, 2 << 20]),
        room in prop::sample::select(vec![56, 100, 400, 800, 3000]),
    ) {
        play(Volume::new(Collation::FILE_NAME, block, cluster), &steps, room, by_name);
    }

    /// `$SII`, `$SDH`, `$ObjId:$O` and `$Reparse:$R`, in blocks so small that trees become high.
    #[test]
    fn views(
        (collation, steps) in prop::sample::select(vec![
            (0x10, 1, 20), (0x12, 2, 20), (0x13, 4, 56), (0x13, 3, 0),
        ]).prop_flat_map(|(collation, numbers, data)| {
            let key = prop::collection::vec(prop_oneof![0u32..4, any::<u32>()], numbers);
            let entry = key.prop_map(move |key| {
                let key: Vec<u8> = key.into_iter().flat_map(u32::to_le_bytes).collect();
                view_entry(&key, &vec![7; data])
            });
            (Just(collation), steps(entry, 300))
        }),
        block in prop::sample::select(vec![512, 1024, 4096]),
        room in prop::sample::select(vec![56, 200]),
    ) {
        play(Volume::new(collation, block, 4096), &steps, room, by_numbers);
    }

    /// Whatever the bytes are, there is an end, and no panic.
    #[test]
    fn hostile_indexes_are_refused(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 1..8),
        seed in any::<u16>(),
    ) {
        let mut volume = Volume::new(Collation::FILE_NAME, 1024, 512);
        for number in 0..60u64 {
            volume.change(|index| index.insert(&named(&format!("name {number}"), number), 200)).unwrap();
        }
        for (block, at, value) in changes {
            let count = volume.memory.blocks.len();
            match block.index(count + 2) {
                0 => { let at = at.index(volume.root.len()); volume.root[at] = value; }
                1 => { let at = at.index(volume.bitmap.len()); volume.bitmap[at] = value; }
                // What the fixups protect may lie as well.
                number => { let at = at.index(510); volume.memory.blocks[number - 2][at] = value; }
            }
        }
        let name = named(&format!("name {}", seed % 70), 9);
        let _ = volume.read(|index| index.walk(&mut |_| ControlFlow::<()>::Continue(())));
        let kept = (volume.root.clone(), volume.bitmap.clone());
        for number in seed..seed + 20 {
            let name = named(&format!("name {}", number % 70), 9);
            let _ = volume.change(|index| index.remove(key(&name), 200));
            (volume.root, volume.bitmap) = kept.clone();
            let _ = volume.change(|index| index.insert(&name, 200));
            (volume.root, volume.bitmap) = kept.clone();
        }
        let _ = volume.change(|index| index.replace(&name));
    }
}

/// A name for a number, such that numbers in a row are far apart.
fn scattered(number: u32) -> Vec<u8> {
    named(&format!("{:08x} of many", number.wrapping_mul(0x9e37_79b1)), number.into())
}

/// In a directory of 100,000 names a change reads and writes a few blocks. All are taken out again by steps of which each empties leaves.
#[test]
fn a_hundred_thousand_names() {
    const NAMES: u32 = 100_000;
    let mut volume = Volume::new(Collation::FILE_NAME, 4096, 4096);
    for number in 0..NAMES {
        volume.memory.reads.set(0);
        volume.change(|index| index.insert(&scattered(number), 600)).unwrap();
        assert!(volume.memory.reads.get() <= 16 && volume.written <= 8, "{number}");
    }
    assert_eq!(volume.checked(600, by_name).len() as u32, NAMES);
    // In the order of the names, so that leaf after leaf runs empty; then from the end.
    let mut left: Vec<u32> = (0..NAMES).collect();
    left.sort_by_key(|number| number.wrapping_mul(0x9e37_79b1));
    let (first, second) = left.split_at(NAMES as usize / 2);
    for (number, done) in first.iter().chain(second.iter().rev()).zip(0..) {
        volume.memory.reads.set(0);
        assert!(volume.change(|index| index.remove(key(&scattered(*number)), 600)).unwrap());
        assert!(volume.memory.reads.get() <= 24 && volume.written <= 16, "{number}");
        if done % 9973 == 0 {
            assert_eq!(volume.checked(600, by_name).len() as u32, NAMES - done - 1);
        }
    }
    assert_eq!(volume.checked(600, by_name).len(), 0);
    assert_eq!((volume.root.len(), volume.bitmap.iter().all(|&byte| byte == 0)), (48, true));
}

/// Leaves without entries, as chkdsk leaves them: found over, filled again, and no hindrance to a change beside them.
#[test]
fn empty_leaves() {
    const NAMES: u32 = 300;
    for emptied in (0..NAMES).step_by(17) {
        let mut volume = Volume::new(Collation::FILE_NAME, 1024, 512);
        let mut names: Vec<u32> = (0..NAMES).collect();
        for &number in &names {
            volume.change(|index| index.insert(&scattered(number), 100)).unwrap();
        }
        // The leaf that the name would be in, if it is in one.
        let upcase = Upcase::default();
        let count = volume.memory.blocks.len() as u64;
        let index =
            Index::open(volume.root.clone(), volume.bitmap.clone(), count, 512, &upcase, &volume.memory)
                .unwrap();
        let entry = scattered(emptied);
        let (path, _) = index.path(|other| index.collation.compare(other, key(&entry))).unwrap();
        let Some(tree::Place::Block(leaf)) = path.last().map(|step| step.place) else { continue };
        let mut gone = BTreeSet::new();
        let block = &mut volume.memory.blocks[leaf as usize];
        let mut at = 24 + u32_at(block, 24) as usize;
        fixup_free(block);
        if u32_at(block, 36) == 1 {
            continue;
        }
        while u16_at(block, at + 12) & 2 == 0 {
            gone.insert(by_name(&block[at + 16..at + 16 + u16_at(block, at + 10)]));
            at += u16_at(block, at + 8);
        }
        let start = 24 + u32_at(block, 24) as usize;
        block.copy_within(at..at + 16, start);
        let used = (start + 16 - 24) as u32;
        block[28..32].copy_from_slice(&used.to_le_bytes());
        crate::windows::ntfs::fixup::apply(block).unwrap();
        names.retain(|&number| !gone.contains(&by_name(key(&scattered(number)))));
        assert_eq!(volume.checked(600, by_name).len(), names.len());
        for &number in names.iter().skip(1).step_by(2) {
            assert!(volume.change(|index| index.remove(key(&scattered(number)), 100)).unwrap());
        }
        for number in NAMES..NAMES + 20 {
            volume.change(|index| index.insert(&scattered(number), 100)).unwrap();
        }
        assert_eq!(volume.checked(100, by_name).len(), names.len().div_ceil(2) + 20);
    }
}

/// Nodes of few entries: leaves run empty whatever is removed, and a root that has many fills more than two blocks. Where two names fill
/// a block, a leaf without any cannot be helped; it hinders no change.
#[test]
fn long_names_in_small_blocks() {
    for (block, room) in [(1024, 56), (1024, 3500), (2048, 56)] {
        let mut volume = Volume::new(Collation::FILE_NAME, block, 4096);
        let mut names = BTreeSet::new();
        let mut random = 1u32;
        for step in 0..3000 {
            random = random.wrapping_mul(0x0019_660d).wrapping_add(0x3c6e_f35f);
            let number = random >> 24;
            let len = [3, 120, 255][number as usize % 3];
            let entry = named(&format!("{number:03}{}", "x".repeat(len - 3)), 1);
            if names.remove(&number) {
                assert!(volume.change(|index| index.remove(key(&entry), room)).unwrap(), "{step}");
            } else {
                volume.change(|index| index.insert(&entry, room)).unwrap();
                names.insert(number);
            }
            assert_eq!(volume.checked(room, by_name).len(), names.len());
        }
    }
}

/// Takes the fixups out.
fn fixup_free(block: &mut [u8]) {
    crate::windows::ntfs::fixup::remove(block, SIGNATURE).unwrap();
}

/// A tree in which a block is its own child, one with a block for two entries, and one with a free block.
#[test]
fn trees_that_are_none() {
    let mut volume = Volume::new(Collation::FILE_NAME, 1024, 4096);
    for number in 0..100 {
        volume.change(|index| index.insert(&scattered(number), 56)).unwrap();
    }
    let walk = |volume: &Volume| volume.read(|index| index.walk(&mut |_| ControlFlow::<()>::Continue(())));
    let at = volume.root.len() - 8;
    let child = u32_at(&volume.root, at) / 2;
    assert!(walk(&volume).is_ok());
    let bit = 1 << (child % 8);
    volume.bitmap[(child / 8) as usize] ^= bit;
    assert!(walk(&volume).unwrap_err().to_string().contains("free"));
    volume.bitmap[(child / 8) as usize] ^= bit;
    let good = volume.memory.blocks[child as usize].clone();
    // Another block in its place.
    let other = usize::from(child == 0);
    volume.memory.blocks[child as usize] = volume.memory.blocks[other].clone();
    assert!(walk(&volume).unwrap_err().to_string().contains("the index block"));
    // Its first child is itself, then its second.
    for other in [child * 2, u32_at(&good, 24 + u32_at(&good, 28) as usize - 8)] {
        let block = &mut volume.memory.blocks[child as usize];
        block.copy_from_slice(&good);
        let first = 24 + u32_at(block, 24) as usize;
        let at = first + u16_at(block, first + 8) - 8;
        block[at..at + 4].copy_from_slice(&other.to_le_bytes());
        let text = walk(&volume).unwrap_err().to_string();
        assert!(text.contains("second time") || text.contains("levels"), "{text}");
    }
}

/// A block that was written in part is told by its update sequence number, which therefore goes on: also in a block that was free.
#[test]
fn update_sequence_numbers_go_on() {
    let mut volume = Volume::new(Collation::FILE_NAME, 4096, 4096);
    volume.change(|index| index.insert(&named("a", 1), 56)).unwrap();
    let number = |volume: &Volume| u16_at(&volume.memory.blocks[0], 0x28);
    assert_eq!(number(&volume), 1);
    volume.change(|index| index.insert(&named("b", 1), 56)).unwrap();
    assert_eq!(number(&volume), 2);
    for name in ["a", "b"] {
        assert!(volume.change(|index| index.remove(key(&named(name, 1)), 56)).unwrap());
    }
    assert_eq!((volume.bitmap.clone(), number(&volume)), (vec![0; 8], 3));
    volume.change(|index| index.insert(&named("c", 1), 56)).unwrap();
    assert_eq!(number(&volume), 4);
}

/// What cannot be is refused, and told apart.
#[test]
fn refusals() {
    let mut volume = Volume::new(Collation::FILE_NAME, 512, 4096);
    let long = named(&"x".repeat(255), 1);
    let refused = |result: Result<()>, text: &str| {
        let found = result.unwrap_err().to_string();
        assert!(found.contains(text), "{found}");
    };
    let (root, bitmap) = (volume.root.clone(), volume.bitmap.clone());
    refused(volume.change(|index| index.insert(&long, 56)), "index blocks of 512");
    (volume.root, volume.bitmap) = (root.clone(), bitmap.clone());
    refused(volume.change(|index| index.insert(&named("a", 1), 50)), "56 bytes");
    (volume.root, volume.bitmap) = (root, bitmap);
    volume.change(|index| index.insert(&named("a", 1), 400)).unwrap();
    refused(volume.change(|index| index.insert(&named("a", 2), 400)), "one that it has");
    assert!(new_root(0x30, 1, 100, 4096).is_err());
    let sid = new_root(0, 0x11, 4096, 4096).unwrap();
    let upcase = Upcase::default();
    let opened = Index::open(sid, Vec::new(), 0, 4096, &upcase, &volume.memory);
    refused(opened.map(|_| ()), "collation 0x11");
}
