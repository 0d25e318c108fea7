//! Copying: what comes out reads as what went in, costs what it may cost, and is there whole or not at all.

mod adapters;
mod blocks;
mod cancel;
mod changing;
mod comparing;
mod containers;
mod costs;
mod cut;
mod differences;
#[cfg(feature = "digest")]
mod digests;
#[cfg(feature = "digest")]
mod ebs;
mod extremes;
mod failures;
mod gpt;
mod one_pass;
mod packed;
#[cfg(feature = "digest")]
mod resume;
mod round_trip;
#[cfg(feature = "shards")]
mod shards;
mod source;
mod streams;
mod targets;
mod verifying;
