//! Partition tables: what has to move when a disk grows.

mod encrypted;
mod gpt;

pub use encrypted::{EncryptedVolume, Encryption, encrypted_volumes};
pub use gpt::{Gpt, GptCopy, grow_gpt};
