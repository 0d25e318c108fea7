//! VMDK.

pub mod builder;
mod cost;
mod crash;
mod create;
mod descriptor;
mod hostile;
pub mod model;
mod oddities;
mod parallel;
mod probe;
mod stream;
mod unclean;
mod write;
mod write_limits;

use diskport::{Defect, Error, Open};

use builder::{Grain, Hosted, SECTOR, Stream, Text};

use crate::support::read_all;

/// The defect for which `open` refuses the image, be it when it is opened or when it is read.
#[track_caller]
fn refused(open: &Open, bytes: Vec<u8>) -> Defect {
    match read_all(open, bytes) {
        Err(Error::Defect(defect)) => *defect,
        Err(other) => panic!("refused, but not for a defect: {other}"),
        Ok(()) => panic!("accepted"),
    }
}

/// A grain of 64 KiB.
fn data(seed: u8) -> Grain {
    Grain::Data(pattern(seed, 128))
}

/// Bytes that differ from sector to sector.
fn pattern(seed: u8, sectors: usize) -> Vec<u8> {
    (0..sectors * SECTOR).map(|at| seed ^ (at / SECTOR) as u8 ^ (at as u8) << 1).collect()
}

/// A monolithicSparse disk of 8 grains of 64 KiB, of which the second and third hold data.
fn monolithic() -> Hosted {
    let mut grains = vec![Grain::Absent; 8];
    (grains[1], grains[2]) = (data(1), data(2));
    Hosted::new(1024, 128, grains)
        .monolithic(&Text::new("monolithicSparse", ["RW 1024 SPARSE \"disk.vmdk\""]))
}

/// The same disk, streamOptimized with a footer.
fn streamed() -> Stream {
    Stream::new(1024, 128, monolithic().grains)
}

/// What both read as.
fn content() -> Vec<u8> {
    let mut content = vec![0; 1024 * SECTOR];
    content[128 * SECTOR..256 * SECTOR].copy_from_slice(&pattern(1, 128));
    content[256 * SECTOR..384 * SECTOR].copy_from_slice(&pattern(2, 128));
    content
}
