//! A boot store: read, converted, written, and read again.
#![no_main]

use diskport_fuzz::{exercise_store, target};

target!(|input| exercise_store(input));
