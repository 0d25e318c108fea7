//! What all parts of a check share: the volume, the job, what was found.

use super::fault::NtfsFault;
use super::finding::{Findings, Place, label};
use crate::error::Result;
use crate::job::Job;
use crate::windows::ntfs::record::Record;
use crate::windows::ntfs::runs;
use crate::windows::ntfs::stream::Stream;
use crate::windows::ntfs::volume::Volume;

pub(super) struct Context<'v> {
    pub volume: &'v Volume,
    pub job: &'v Job,
    pub findings: Findings,
    /// Whether duplicate information must agree in every entry of a file that has many.
    pub every_link: bool,
}

impl Context<'_> {
    pub fn add(
        &mut self,
        fault: NtfsFault,
        place: Place,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) {
        self.findings.add(fault, place, expected, found);
    }

    /// The place of a record.
    pub fn record(&self, number: u64) -> Place {
        Place::record(number, self.volume.record_offset(number))
    }

    /// Byte `offset` of a file's stream.
    pub fn stream(
        &self,
        record: u64,
        stream: &Stream,
        (kind, name): (u32, &str),
        structure: &'static str,
        offset: u64,
    ) -> Place {
        let units: Vec<u16> = name.encode_utf16().collect();
        let piece = runs::pieces(stream.runs(), self.volume.boot.cluster_size, offset, 1).next();
        let offset = match piece {
            Some((Some(place), _)) => self.volume.on_disk(place),
            _ => self.volume.record_offset(record),
        };
        Place { record: Some(record), attribute: Some(label(kind, &units)), structure, offset }
    }

    /// A record, unless it cannot be read; then that is told already.
    pub fn read(&self, number: u64) -> Result<Option<Record>> {
        match self.volume.record(number) {
            Ok(record) => Ok(Some(record)),
            Err(crate::Error::Damaged { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// An attribute of a file, unless it has none or it cannot be read, which is told.
    pub fn find(&mut self, base: &Record, kind: u32, name: &str) -> Result<Option<Stream>> {
        let found = Stream::find(self.volume, base, kind, name);
        Ok(self.findings.catch(base.number, found)?.flatten())
    }

    /// As [`find`](Self::find); that there is none is told too.
    pub fn require(&mut self, base: &Record, kind: u32, name: &str) -> Result<Option<Stream>> {
        let found = self.volume.required(base, kind, name);
        self.findings.catch(base.number, found)
    }
}
