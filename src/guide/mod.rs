//! The guide: how the crate is used from where it does not look native. It is part of the documentation alone, and all of it is
//! compiled and run.

#[doc = include_str!("tokio.md")]
pub mod tokio {}
