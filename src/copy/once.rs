//! Verifying the copy of a stream, which cannot be read again: by its digest, taken on the way.

use super::destination::Destination;
use super::{Convert, Report};
use crate::digest::{Digest, of_content};
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::format::output::Names;
use crate::job::Phase;

impl Convert {
    /// Writes all of the output, reads it back, and compares its digest with that of what came.
    pub(super) fn write_once(&self, disk: &Disk, names: &Names, to: Destination) -> Result<Report> {
        let copy = self.clone().digest(Digest::Blake3);
        let mut sink = copy.sink(disk, names, to.clone())?;
        let mut report = copy.run(disk, &mut *sink, 0..disk.size(), None)?;
        drop(sink);
        let written = self.reopen(names, to)?;
        let found = of_content(Phase::Verify, &written, Digest::Blake3, &self.job)?;
        match report.digests.iter().find(|(digest, _)| *digest == Digest::Blake3) {
            Some((_, expected)) if *expected != found => {
                return Err(Error::DigestDiffers { expected: expected.clone(), found });
            }
            _ => report.digests.retain(|(digest, _)| self.digests.contains(digest)),
        }
        Ok(report)
    }
}
