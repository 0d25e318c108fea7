//! Reading, format by format: images laid out by reference writers of our own (`builder.rs`), read back against a
//! plain model (`model.rs`), and hostile ones that must be refused by name (`hostile.rs`).

mod beside;
#[path = "../common/mod.rs"]
mod common;
mod in_place;
mod places;
mod requests;
mod salvage;
mod stopped;
mod support;
mod vhd;
mod vhdx;
mod view;
mod vmdk;
