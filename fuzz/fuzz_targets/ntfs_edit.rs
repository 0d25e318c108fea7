//! An NTFS volume that was tampered with: files written, renamed and removed. What was sound stays sound.
#![no_main]

use diskport_fuzz::exercise_ntfs_edit;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| exercise_ntfs_edit(data));
