//! Partition tables: what has to move when a disk grows.

mod gpt;

pub use gpt::{Gpt, GptCopy, grow_gpt};
