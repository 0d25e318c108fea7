//! An NTFS volume that was tampered with: checked, with all that a check looks at behind right fixups too.
#![no_main]

use diskport_fuzz::exercise_ntfs_check;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| exercise_ntfs_check(data));
