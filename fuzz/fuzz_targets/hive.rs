//! A registry hive, and its two logs: read, replayed, changed in place.
#![no_main]

use diskport_fuzz::{exercise_hive, target};

target!(|input| exercise_hive(input));
