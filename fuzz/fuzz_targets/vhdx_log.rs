//! The log of a VHDX that is otherwise sound: only the log's sectors are the input's.
#![no_main]

use diskport::{Format, Open};
use diskport_fuzz::{exercise, image_with_log, target};

target!(|input| exercise(&Open::new().format(Format::Vhdx), image_with_log(&input)));
