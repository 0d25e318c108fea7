//! A digest in the making.

use std::sync::Arc;

use sha2::Digest as _;

use super::Digest;
use super::tree::Tree;
use crate::error::Result;
use crate::job::Cancel;
use crate::leaves::{ZEROS, hex};
use crate::sink::Packet;

/// Takes the content of a disk in order: what does not come is zeros.
pub(super) struct Hashing {
    state: State,
    size: u64,
    at: u64,
    cancel: Cancel,
}

enum State {
    Sha256(sha2::Sha256),
    Md5(md5::Md5),
    Blake3(Tree),
}

impl Hashing {
    /// The digest of a content of `size` bytes.
    pub(super) fn new(algorithm: Digest, size: u64, cancel: &Cancel) -> Self {
        let state = match algorithm {
            Digest::Sha256 => State::Sha256(sha2::Sha256::new()),
            Digest::Md5 => State::Md5(md5::Md5::new()),
            Digest::Blake3 => State::Blake3(Tree::new(size)),
        };
        Self { state, size, at: 0, cancel: cancel.clone() }
    }

    /// Takes the next data, as they are on the disk.
    pub(super) fn put(&mut self, packet: &Arc<Packet>) -> Result<()> {
        for (index, (offset, bytes)) in packet.iter().enumerate() {
            self.zeros_to(offset)?;
            match &mut self.state {
                State::Sha256(state) => state.update(bytes),
                State::Md5(state) => state.update(bytes),
                State::Blake3(tree) => tree.put(packet, index),
            }
            self.at = offset + bytes.len() as u64;
        }
        Ok(())
    }

    /// Takes zeros up to `end`.
    pub(super) fn zeros_to(&mut self, end: u64) -> Result<()> {
        while self.at < end {
            self.cancel.check()?;
            let zeros = &ZEROS[..(end - self.at).min(ZEROS.len() as u64) as usize];
            match &mut self.state {
                State::Sha256(state) => state.update(zeros),
                State::Md5(state) => state.update(zeros),
                State::Blake3(tree) => {
                    self.at = tree.zeros_to(end);
                    continue;
                }
            }
            self.at += zeros.len() as u64;
        }
        Ok(())
    }

    /// The digest in hexadecimal, once all data were taken.
    pub(super) fn finish(mut self) -> Result<String> {
        self.zeros_to(self.size)?;
        Ok(match self.state {
            State::Sha256(state) => hex(&state.finalize()),
            State::Md5(state) => hex(&state.finalize()),
            State::Blake3(tree) => hex(&tree.finish()),
        })
    }
}
