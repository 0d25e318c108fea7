//! The library over images in memory, so that it is measured and not the kernel: cargo bench --bench disk.
//!
//! Where bytes are moved, two rates are shown. `B/s` is what it says. `item/s` is the ratio to `memcpy` of the same
//! bytes, measured in the same run: 1 Gitem/s is 1 % of memcpy's speed. Times alone mean little on a machine that
//! others use.

mod baseline;
mod layout;

use std::sync::Arc;

use baseline::{memcpy_pieces, memcpy_whole};
use diskport::copy::{Convert, OutputFormat};
use diskport::disk::is_zero;
use diskport::format::vmdk::Subformat;
use diskport::storage::{Explicit, MemoryStorage, ReadAt};
use diskport::{Blocks, Data, Disk, Format, GIB, MIB, Open};
use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use layout::Kind;

/// Bytes of the disks that are read: more than caches hold.
const SIZE: u64 = 64 * MIB;
const RANDOM_READS: usize = 4096;
const PIECE: usize = 4096;

fn main() {
    divan::main();
}

/// An image with its bytes, opened.
fn disk(kind: Kind) -> Disk {
    open_as(kind).open(MemoryStorage::new(layout::full(kind, SIZE))).expect("a sound image")
}

/// A raw disk has no signature.
fn open_as(kind: Kind) -> Open {
    if matches!(kind, Kind::Raw) { Open::new().format(Format::Raw) } else { Open::new() }
}

/// A chain of VMDKs: the base is full, each child holds one grain in twenty.
fn chain(depth: usize, storage: fn(layout::Sparse) -> Arc<dyn ReadAt>, size: u64) -> Disk {
    let name = |level: usize| format!("{level}.vmdk");
    let image = |level: usize| {
        let layout = layout::Vmdk {
            size,
            cid: level as u32 + 1,
            parent: level.checked_sub(1).map(|parent| (parent as u32 + 1, name(parent))),
            present: if level == 0 { |_, _| true } else { |grain, level| (grain * 7 + level) % 20 == 0 },
            level: level as u64,
        };
        storage(layout.build())
    };
    let parents: Explicit = (0..depth - 1).map(|level| (name(level), image(level))).collect();
    Open::new().resolver(parents).open(image(depth - 1)).expect("a sound chain")
}

/// All of its bytes.
fn in_memory(image: layout::Sparse) -> Arc<dyn ReadAt> {
    Arc::new(MemoryStorage::new(image.to_vec()))
}

/// Its metadata alone, for what does not read content.
fn without_content(image: layout::Sparse) -> Arc<dyn ReadAt> {
    Arc::new(image)
}

#[divan::bench(args = Kind::ALL)]
fn open(bencher: Bencher, kind: Kind) {
    let image: Arc<dyn ReadAt> = Arc::new(MemoryStorage::new(layout::full(kind, SIZE)));
    let open = open_as(kind);
    bencher.bench(|| open.open(image.clone()));
}

/// A BAT of 512 MiB, of which opening must read next to nothing.
#[divan::bench]
fn open_vhdx_of_64_tib(bencher: Bencher) {
    let image: Arc<dyn ReadAt> = Arc::new(layout::empty_vhdx(64 << 40));
    bencher.bench(|| Open::new().open(image.clone()));
}

#[divan::bench(args = [1, 8, 32])]
fn open_chain(bencher: Bencher, depth: usize) {
    bencher.bench(|| chain(depth, without_content, 64 * MIB));
}

/// All extents of a disk of which every other block or grain is there.
#[divan::bench(args = [Kind::Vhd, Kind::Vhdx, Kind::Vmdk])]
fn map(bencher: Bencher, kind: Kind) {
    let disk = Open::new().open(layout::every_other(kind, 16 * GIB)).expect("a sound image");
    let extents = disk.extents(..).count();
    bencher.counter(ItemsCount::new(extents)).bench(|| disk.extents(..).count());
}

/// All extents of 65 536 grains, through the chain.
#[divan::bench(args = [1, 8, 32])]
fn map_chain(bencher: Bencher, depth: usize) {
    let disk = chain(depth, without_content, 4 * GIB);
    bencher.bench(|| disk.extents(..).count());
}

#[divan::bench(args = Kind::ALL)]
fn read_sequential_1m(bencher: Bencher, kind: Kind) {
    let disk = disk(kind);
    let mut buffer = vec![0; MIB as usize];
    bencher.counter(BytesCount::new(SIZE)).counter(memcpy_whole(SIZE, MIB as usize)).bench_local(|| {
        for offset in (0..SIZE).step_by(MIB as usize) {
            disk.read_at(&mut buffer, offset).expect("reads");
        }
        black_box(buffer[0])
    });
}

#[divan::bench(args = Kind::ALL)]
fn read_random_4k(bencher: Bencher, kind: Kind) {
    let disk = disk(kind);
    read_random(bencher, &disk);
}

#[divan::bench(args = [1, 8, 32])]
fn read_random_4k_chain(bencher: Bencher, depth: usize) {
    read_random(bencher, &chain(depth, in_memory, SIZE));
}

fn read_random(bencher: Bencher, disk: &Disk) {
    let offsets = baseline::offsets(SIZE, PIECE, RANDOM_READS);
    let mut buffer = vec![0; PIECE];
    let bytes = BytesCount::new(PIECE * RANDOM_READS);
    bencher.counter(bytes).counter(memcpy_pieces(SIZE, PIECE, &offsets)).bench_local(|| {
        for &offset in &offsets {
            disk.read_at(&mut buffer, offset).expect("reads");
        }
        black_box(buffer[0])
    });
}

#[divan::bench(args = Kind::ALL)]
fn blocks_1m(bencher: Bencher, kind: Kind) {
    stream(bencher, &disk(kind), Blocks::of(MIB).read_ahead(0));
}

#[divan::bench(args = Kind::ALL)]
fn blocks_1m_read_ahead(bencher: Bencher, kind: Kind) {
    stream(bencher, &disk(kind), Blocks::of(MIB));
}

#[divan::bench(args = [1, 8, 32])]
fn blocks_1m_chain(bencher: Bencher, depth: usize) {
    stream(bencher, &chain(depth, in_memory, SIZE), Blocks::of(MIB).read_ahead(0));
}

fn stream(bencher: Bencher, disk: &Disk, blocks: Blocks) {
    bencher.counter(BytesCount::new(SIZE)).counter(memcpy_whole(SIZE, MIB as usize)).bench_local(|| {
        let mut data = 0;
        for block in disk.blocks(blocks.clone()) {
            if let Data::Bytes(bytes) = &block.expect("reads").data {
                data += bytes.len();
            }
        }
        assert_eq!(data as u64, SIZE);
    });
}

/// A whole conversion into nothing, by the caller's own thread.
#[divan::bench(args = Kind::ALL)]
fn copy_to_raw(bencher: Bencher, kind: Kind) {
    let disk = disk(kind);
    bencher.counter(BytesCount::new(SIZE)).counter(memcpy_whole(SIZE, MIB as usize)).bench_local(|| {
        Convert::new(&disk).threads(0).write_to(std::io::sink()).expect("copies");
    });
}

/// Deflate: a conversion into a stream-optimized VMDK, by the caller's own thread.
#[divan::bench(args = [1, 6, 9], sample_count = 5)]
fn deflate(bencher: Bencher, level: u32) {
    const BYTES: u64 = 16 * MIB;
    let disk = Open::new().open(MemoryStorage::new(layout::full(Kind::Vhd, BYTES))).expect("a sound image");
    let copy = Convert::new(&disk).to(OutputFormat::Vmdk(Subformat::StreamOptimized)).level(level).threads(0);
    bencher.counter(BytesCount::new(BYTES)).counter(memcpy_whole(BYTES, 64 << 10)).bench_local(|| {
        copy.write_to(std::io::sink()).expect("copies");
    });
}

/// Inflate: all grains of a stream-optimized VMDK.
#[divan::bench(sample_count = 10)]
fn inflate(bencher: Bencher) {
    stream(bencher, &disk(Kind::StreamOptimized), Blocks::of(64 << 10).read_ahead(0));
}

#[divan::bench(args = [4 << 10, 64 << 10, 2 << 20])]
fn zero_scan(bencher: Bencher, len: usize) {
    let zeros = vec![0_u8; len];
    bencher
        .counter(BytesCount::new(len))
        .counter(memcpy_whole(len as u64, len))
        .bench(|| is_zero(black_box(&zeros)));
}

#[divan::bench]
fn zero_scan_that_ends_at_once(bencher: Bencher) {
    let bytes = vec![1_u8; 2 << 20];
    bencher.bench(|| is_zero(black_box(&bytes)));
}
