//! Digests of a disk's content.

use std::fmt::Write as _;
use std::str::FromStr;

use sha2::Digest as _;

use super::progress::{Cancel, Progress};
use crate::disk::{Blocks, Data, Disk};
use crate::error::{Error, Result};

/// Bytes that are read at a time.
const BLOCK: u64 = 1 << 20;

/// A digest algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Digest {
    /// SHA-256.
    Sha256,
    /// MD5: to compare with what older tools recorded, not to trust.
    Md5,
    /// BLAKE3.
    Blake3,
}

impl FromStr for Digest {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name.to_ascii_lowercase().as_str() {
            "sha256" => Ok(Digest::Sha256),
            "md5" => Ok(Digest::Md5),
            "blake3" => Ok(Digest::Blake3),
            _ => Err(Error::Unsupported {
                what: format!("{name:?} is not a digest: expected sha256, md5 or blake3"),
            }),
        }
    }
}

/// The digest of the whole virtual content of `disk`, in hexadecimal. What is known to be zeros is not read.
///
/// ```
/// use diskport::copy::{digest, Cancel, Digest, Progress};
/// # let image = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/small.vhdx");
/// let disk = diskport::open(image)?;
/// let hex = digest(&disk, Digest::Sha256, &Progress::new(), &Cancel::new())?;
/// assert_eq!(hex.len(), 64);
/// # Ok::<(), diskport::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::Cancelled`], and all that reading gives rise to.
pub fn digest(disk: &Disk, algorithm: Digest, progress: &Progress, cancel: &Cancel) -> Result<String> {
    Ok(match algorithm {
        Digest::Sha256 => {
            let mut state = sha2::Sha256::new();
            feed(disk, progress, cancel, |bytes| state.update(bytes))?;
            hex(&state.finalize())
        }
        Digest::Md5 => {
            let mut state = md5::Md5::new();
            feed(disk, progress, cancel, |bytes| state.update(bytes))?;
            hex(&state.finalize())
        }
        Digest::Blake3 => {
            let mut state = blake3::Hasher::new();
            feed(disk, progress, cancel, |bytes| {
                state.update(bytes);
            })?;
            hex(state.finalize().as_bytes())
        }
    })
}

fn feed(disk: &Disk, progress: &Progress, cancel: &Cancel, mut update: impl FnMut(&[u8])) -> Result<()> {
    static ZEROS: [u8; 256 * 1024] = [0; 256 * 1024];
    progress.begin("hash", disk.size());
    for block in disk.blocks(Blocks::of(BLOCK)) {
        cancel.check()?;
        let block = block?;
        match &block.data {
            Data::Bytes(bytes) => update(bytes),
            Data::Zero(len) | Data::Absent(len) => {
                let mut left = *len;
                while left > 0 {
                    cancel.check()?;
                    let part = left.min(ZEROS.len() as u64);
                    update(&ZEROS[..part as usize]);
                    left -= part;
                    progress.set_done(block.end() - left);
                }
            }
        }
        progress.set_done(block.end());
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing into a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
