//! What the fuzz targets share: an encoding of images that keeps inputs small, mutations that respect it, the
//! checksums that guard a format, and what is done with an image once it is laid out.

pub mod checksum;
mod exercise;
mod files;
mod hive;
mod input;
mod log;
mod mutate;
mod ntfs;

pub use exercise::{exercise, exercise_chain, exercise_stream, exercise_with};
pub use files::{HandOut, Sparse};
pub use hive::{exercise_hive, exercise_store};
pub use input::{FILES, Input, SECTOR};
pub use log::{image_with_log, replayable_log};
pub use mutate::mutate;
pub use ntfs::{exercise_ntfs, exercise_ntfs_check, exercise_ntfs_edit};

/// A target over [`Input`], mutated sector by sector.
#[macro_export]
macro_rules! target {
    (|$input:ident| $body:expr) => {
        libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
            $crate::mutate(data, size, max_size, seed, libfuzzer_sys::fuzzer_mutate)
        });
        libfuzzer_sys::fuzz_target!(|data: &[u8]| {
            let $input = $crate::Input::decode(data);
            $body
        });
    };
}
