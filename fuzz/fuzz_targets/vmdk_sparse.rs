//! A hosted sparse VMDK: header, descriptor inside, grain directories and tables.
#![no_main]

use diskport::format::vmdk::GrainTables;
use diskport::{Format, Open};
use diskport_fuzz::{Input, exercise_chain, target};

target!(|input| {
    let tables = if input.has(Input::KEEP_BINDINGS) { GrainTables::MustAgree } else { GrainTables::Primary };
    exercise_chain(&Open::new().format(Format::Vmdk).grain_tables(tables), input);
});
