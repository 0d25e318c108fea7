//! What the tests that run over real images and real tools share.
//!
//! Each test crate uses a part of it.
#![allow(dead_code)]

pub mod campaign;
pub mod corpus;
pub mod digest;
pub mod hive_logs;
pub mod tools;

/// Whether this is CI, where nothing that a test needs may be absent.
pub fn ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true")
}
