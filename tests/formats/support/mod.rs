//! What the tests of all formats share.

mod limits;
mod shared;
mod vast;

pub use limits::within_limits;
pub use shared::Shared;
pub use vast::Vast;

use std::path::Path;
use std::sync::Arc;

use diskport::copy::OutputFormat;
use diskport::format::Allocation;
use diskport::format::vmdk::Subformat;
use diskport::storage::{MemoryStorage, ReadAt};
use diskport::{Blocks, Data, Defect, Disk, Error, Open, Result};

/// The kinds of images that are written in place, each way of laying blocks out once.
pub const WRITTEN: [OutputFormat; 5] = [
    OutputFormat::Raw,
    OutputFormat::Vhd(Allocation::Fixed),
    OutputFormat::Vhd(Allocation::Dynamic),
    OutputFormat::Vhdx(Allocation::Dynamic),
    OutputFormat::Vmdk(Subformat::MonolithicSparse),
];

/// What another program reads from an image over its parents, the top first: these bytes, or the judge panics.
pub type Judge<'a> = &'a dyn Fn(&[&Path], &[u8]);

/// Where no other program is asked.
pub fn nobody(_: &[&Path], _: &[u8]) {}

/// The bytes as a storage that a resolver can hand out.
pub fn storage(bytes: Vec<u8>) -> Arc<dyn ReadAt> {
    Arc::new(MemoryStorage::new(bytes))
}

/// Opens and reads everything, within the limits that hold for any input.
pub fn read_all(open: &Open, bytes: Vec<u8>) -> Result<()> {
    let image = MemoryStorage::new(bytes);
    within_limits(move || {
        let disk = open.open(image)?;
        // A hostile image may claim any size: its map is walked to the end, its bytes up to a bound.
        for extent in disk.extents(..) {
            extent?;
        }
        for block in disk.blocks(Blocks::of(1 << 20).read_ahead(0).range(0..64 << 20)) {
            block?;
        }
        Ok(())
    })
}

/// The defect for which the image is refused, be it when it is opened or when it is read.
#[track_caller]
pub fn defect(bytes: Vec<u8>) -> Defect {
    match read_all(&Open::new(), bytes) {
        Err(Error::Defect(defect)) => *defect,
        Err(other) => panic!("refused, but not for a defect: {other}"),
        Ok(()) => panic!("accepted"),
    }
}

/// That `disk` reads as `model` in every way there is: whole, in pieces, as blocks, by its map.
#[track_caller]
pub fn assert_reads_as(disk: &Disk, model: &[u8]) {
    assert_eq!(disk.size(), model.len() as u64, "size");
    let mut whole = vec![0xee; model.len()];
    disk.read_at(&mut whole, 0).expect("reads");
    assert_same(&whole, model, "one read");

    // Odd offsets and lengths that fall across sectors, blocks and grains.
    let mut piece = vec![0; 7919];
    for start in (0..model.len()).step_by(65_521) {
        let len = piece.len().min(model.len() - start);
        disk.read_at(&mut piece[..len], start as u64).expect("reads");
        assert_same(&piece[..len], &model[start..start + len], "a piece");
    }

    let mut at = 0;
    for extent in disk.extents(..) {
        let extent = extent.expect("maps");
        assert_eq!(extent.start, at, "extents leave no gap");
        assert!(extent.len > 0);
        at = extent.end();
        if !extent.is_data() {
            let part = &model[extent.start as usize..at as usize];
            assert!(diskport::disk::is_zero(part), "only zeros outside data, at {}", extent.start);
        }
    }
    assert_eq!(at, disk.size(), "extents cover the disk");

    let mut at = 0;
    for block in disk.blocks(Blocks::of(64 << 10).read_ahead(3).threads(2)) {
        let block = block.expect("reads");
        assert_eq!(block.offset, at, "blocks leave no gap");
        at = block.end();
        let expected = &model[block.offset as usize..at as usize];
        match &block.data {
            Data::Bytes(bytes) => assert_same(bytes, expected, "a block"),
            Data::Zero(_) | Data::Absent(_) => {
                assert!(diskport::disk::is_zero(expected), "zeros at {}", block.offset)
            }
        }
    }
    assert_eq!(at, disk.size(), "blocks cover the disk");

    let past = disk.read_at(&mut [0; 2], disk.size().saturating_sub(1));
    assert!(matches!(past, Err(Error::OutOfRange { .. })), "reading past the end is refused");
}

#[track_caller]
fn assert_same(found: &[u8], expected: &[u8], what: &str) {
    if let Some(at) = found.iter().zip(expected).position(|(a, b)| a != b) {
        panic!("{what}: byte {at} is {:#04x}, not {:#04x}", found[at], expected[at]);
    }
}
