//! An NTFS volume that was tampered with: read, made smaller with and without moving clusters.
#![no_main]

use diskport_fuzz::exercise_ntfs;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| exercise_ntfs(data));
