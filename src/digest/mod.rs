//! Digests of a disk's content.

mod beside;
mod hashing;
mod tree;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

pub(crate) use beside::Beside;
use hashing::Hashing;

use crate::disk::{Blocks, Data, Disk};
use crate::error::{Error, Result};
use crate::job::{Job, Phase};
use crate::sink::{Packet, Piece};

/// Bytes that are read at a time.
const BLOCK: u64 = 1 << 20;
/// Zeros that are hashed before progress is told: less than a tenth of a second's worth.
const ZEROS: u64 = 16 << 20;

/// A digest algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Digest {
    /// SHA-256.
    Sha256,
    /// MD5: to compare with what older tools recorded, not to trust.
    Md5,
    /// BLAKE3, the fastest: on all cores.
    Blake3,
}

impl Digest {
    /// The name, as [`FromStr`] takes it.
    pub fn name(self) -> &'static str {
        match self {
            Digest::Sha256 => "sha256",
            Digest::Md5 => "md5",
            Digest::Blake3 => "blake3",
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Digest {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let all = [Digest::Sha256, Digest::Md5, Digest::Blake3];
        all.into_iter().find(|digest| digest.name().eq_ignore_ascii_case(name)).ok_or_else(|| {
            Error::Unsupported { what: format!("{name:?} is not a digest: expected sha256, md5 or blake3") }
        })
    }
}

/// The digest of the whole virtual content of `disk`, in hexadecimal. What is known to be zeros is not read.
///
/// ```
/// use diskport::digest::{Digest, digest};
/// use diskport::job::Job;
/// # let image = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/small.vhdx");
/// let disk = diskport::open(image)?;
/// let hex = digest(&disk, Digest::Sha256, &Job::new())?;
/// assert_eq!(hex.len(), 64);
/// # Ok::<(), diskport::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::SourceChanged`], [`Error::Cancelled`], and all that reading gives rise to.
pub fn digest(disk: &Disk, algorithm: Digest, job: &Job) -> Result<String> {
    let disk = disk.clone();
    job.attend(move |job| of_content(Phase::Hash, &disk, algorithm, job))
}

/// The same, as a phase of some operation.
pub(crate) fn of_content(phase: Phase, disk: &Disk, algorithm: Digest, job: &Job) -> Result<String> {
    job.begin(phase, disk.size());
    let mut throttle = job.throttle();
    let mut hashing = Hashing::new(algorithm, disk.size(), job.token());
    for block in disk.blocks(Blocks::of(BLOCK)) {
        job.check()?;
        let block = block?;
        let (start, end) = (block.offset, block.end());
        match block.data {
            Data::Bytes(buffer) => {
                throttle.pass(buffer.len() as u64, job.token())?;
                let pieces = vec![Piece { offset: start, at: 0, len: buffer.len() }];
                hashing.put(&Arc::new(Packet { pieces, buffer }))?;
            }
            Data::Zero(_) | Data::Absent(_) => {
                let mut at = start;
                while at < end {
                    job.set_done(at);
                    at = end.min(at + ZEROS);
                    hashing.zeros_to(at)?;
                }
            }
        }
        job.set_done(end);
    }
    disk.check_unchanged()?;
    hashing.finish()
}
