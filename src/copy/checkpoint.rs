//! The file that says how far an output is that is not whole yet.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use zerocopy::little_endian::U64;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::ledger::Runs;
use crate::job::Cancel;

/// The first bytes; the number is that of the layout.
const MAGIC: [u8; 16] = *b"diskport resume1";
/// Bytes that a checkpoint may have: more is none of ours. A disk of 64 TiB with every other unit in use takes 1 GiB.
const LARGEST: u64 = 2 << 30;

/// How far a copy is.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Checkpoint {
    pub(super) head: Head,
    pub(super) runs: Runs,
}

/// A checkpoint begins with this, followed by the runs of data and a BLAKE3 digest of all of it.
#[derive(Debug, Clone, Copy, PartialEq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct Head {
    pub(super) magic: [u8; 16],
    /// What the output was to be like.
    pub(super) job: [u8; 32],
    /// The source as it was.
    pub(super) source: [u8; 32],
    /// Where the output's identifiers come from.
    pub(super) seed: U64,
    /// The first byte of the disk that is not copied yet.
    pub(super) position: U64,
    /// Of the data before it, as the output holds them.
    pub(super) digest: [u8; 32],
}

impl Head {
    pub(super) fn new(job: [u8; 32], source: [u8; 32], seed: u64) -> Self {
        Self { magic: MAGIC, job, source, seed: seed.into(), position: 0.into(), digest: [0; 32] }
    }
}

/// Where the checkpoint of the output at `path` lies.
pub(super) fn path_of(path: &Path) -> PathBuf {
    crate::storage::beside(path, ".diskport-checkpoint")
}

impl Checkpoint {
    /// The checkpoint at `path`; `None` for a file that is none, or is not whole.
    pub(super) fn load(path: &Path) -> io::Result<Option<Self>> {
        if fs::metadata(path)?.len() > LARGEST {
            return Ok(None);
        }
        let bytes = fs::read(path)?;
        let Some((body, digest)) = bytes.split_last_chunk::<{ blake3::OUT_LEN }>() else { return Ok(None) };
        let Ok((head, runs)) = Head::read_from_prefix(body) else { return Ok(None) };
        let is_whole = head.magic == MAGIC && blake3::hash(body) == *digest;
        Ok(is_whole.then(|| Self { head, runs: Runs::from_bytes(runs.to_vec()) }))
    }

    /// Puts the checkpoint in the place of an older one at `path`, at once; with `sync`, durably. A copy that was
    /// cancelled meanwhile puts none there: whoever waited for it may have tidied up and gone.
    pub(super) fn save(&self, path: &Path, sync: bool, cancel: &Cancel) -> io::Result<()> {
        let new = path.with_extension("diskport-checkpoint-new");
        let result = self.write(&new, sync).and_then(|()| {
            cancel.check().map_err(io::Error::other)?;
            fs::rename(&new, path)
        });
        if result.is_err() {
            // The error says enough.
            let _ = fs::remove_file(&new);
        }
        result
    }

    fn write(&self, path: &Path, sync: bool) -> io::Result<()> {
        // What a cut has left is of no use, and what others have put there is not followed.
        match fs::remove_file(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let mut bytes = self.head.as_bytes().to_vec();
        bytes.extend_from_slice(self.runs.as_bytes());
        let digest = blake3::hash(&bytes);
        bytes.extend_from_slice(digest.as_bytes());
        let mut file = File::options().write(true).create_new(true).open(path)?;
        file.write_all(&bytes)?;
        if sync { file.sync_all() } else { Ok(()) }
    }
}

/// Removes the checkpoint at `path`, and what a cut while it was written has left.
pub(super) fn remove(path: &Path) {
    for path in [path, &path.with_extension("diskport-checkpoint-new")] {
        // A checkpoint without its output leads to nothing but a new beginning.
        let _ = fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_comes_back_or_is_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = path_of(&folder.path().join("out.vhd"));
        assert!(path.ends_with(".out.vhd.diskport-checkpoint"));
        assert_eq!(Checkpoint::load(&path).expect_err("none is there").kind(), io::ErrorKind::NotFound);
        let head = Head { position: 99.into(), ..Head::new([1; 32], [2; 32], 3) };
        let saved = Checkpoint { head, runs: Runs::from_bytes(vec![1, 2, 3, 4]) };
        let cancel = Cancel::new();
        saved.save(&path, true, &cancel).expect("is saved");
        saved.save(&path, false, &cancel).expect("replaces");
        assert_eq!(Checkpoint::load(&path).expect("reads").as_ref(), Some(&saved));
        let bytes = fs::read(&path).expect("reads");
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            fs::write(&path, &bad).expect("writes");
            assert_eq!(Checkpoint::load(&path).expect("reads"), None, "byte {at} is another");
            fs::write(&path, &bytes[..at]).expect("writes");
            assert_eq!(Checkpoint::load(&path).expect("reads"), None, "cut at {at}");
        }
        remove(&path);
        assert!(fs::read_dir(folder.path()).expect("a folder").next().is_none());
    }
}
