//! Changes of a volume, gathered before any is written: FILE records, the bitmap, the boot sector.

use std::collections::BTreeMap;

use super::bitmap::Bitmap;
use super::file_name::FileName;
use super::flaw::{flaw, refused};
use super::record::{NonResident, Record, Value, kind};
use super::runs::{self, Run};
use super::volume::{Volume, system_file};
use crate::disk::Patch;
use crate::error::Result;

/// Bytes of changed records that are kept.
const MAX_RECORDS: u64 = 32 << 20;
/// Directories within each other that a name is followed through.
const MAX_DEPTH: usize = 64;

pub(super) struct Edit<'v> {
    pub volume: &'v Volume,
    pub bitmap: Bitmap<'v>,
    /// The runs of the master file table and of its mirror, as they will be.
    pub mft: Vec<Run>,
    pub mirror: Vec<Run>,
    mirror_size: u64,
    records: BTreeMap<u64, Record>,
}

impl<'v> Edit<'v> {
    pub fn new(volume: &'v Volume) -> Result<Self> {
        let record = volume.record(system_file::MFT_MIRROR)?;
        let mirror = volume.required(&record, kind::DATA, "")?;
        Ok(Self {
            volume,
            bitmap: Bitmap::read(volume)?,
            mft: volume.mft.runs().to_vec(),
            mirror: mirror.runs().to_vec(),
            mirror_size: mirror.size,
            records: BTreeMap::new(),
        })
    }

    /// A record with the changes made to it so far.
    pub fn record(&self, number: u64) -> Result<Record> {
        self.records.get(&number).map_or_else(|| self.volume.record(number), |record| Ok(record.clone()))
    }

    /// The same, when it has changed.
    pub fn changed(&self, number: u64) -> Option<&Record> {
        self.records.get(&number)
    }

    /// Gives the attribute that begins at byte `at` of a record other clusters.
    pub fn map(
        &mut self,
        record: &mut Record,
        at: usize,
        runs: &[Run],
        change: impl FnOnce(&mut NonResident),
    ) -> Result<()> {
        match record.map(at, runs, change) {
            Ok(true) => {}
            Ok(false) => {
                return Err(refused(&format!(
                    "{} would be in so many fragments that its FILE record has no room for them",
                    name(self.volume, record.number)
                )));
            }
            Err(flaw) => return self.volume.in_record(record, |_| Err(flaw)),
        }
        self.records.insert(record.number, record.clone());
        match self.records.len() as u64 * self.volume.boot.record_size > MAX_RECORDS {
            true => Err(refused("too many files would have to be moved at once")),
            false => Ok(()),
        }
    }

    /// A stream of one of the volume's own files that one record tells all of: the record, where the attribute begins,
    /// its runs.
    pub fn own_file(&self, number: u64, stream: &str) -> Result<(Record, usize, Vec<Run>)> {
        let record = self.record(number)?;
        let found = self.volume.in_record(&record, |record| {
            let listed = record.attribute(kind::ATTRIBUTE_LIST, "", 0)?.is_some();
            let attribute = record.attribute(kind::DATA, stream, 0)?.filter(|_| !listed);
            match attribute.map(|attribute| (attribute.at, attribute.value)) {
                Some((at, Value::NonResident(_, pairs))) => {
                    Ok((at, runs::decode(pairs, self.volume.boot.clusters)?))
                }
                _ => Err(flaw("a stream in clusters that one record tells of", "another form")),
            }
        })?;
        Ok((record, found.0, found.1))
    }

    /// Everything that changes, for a volume of `sectors` whose bitmap has `bitmap_len` bytes.
    pub fn finish(self, sectors: u64, bitmap_len: u64) -> Result<Vec<Patch>> {
        let (volume, record_size) = (self.volume, self.volume.boot.record_size);
        let (_, _, bitmap_runs) = self.own_file(system_file::BITMAP, "")?;
        let mut patches = Vec::new();
        for (offset, bytes) in self.bitmap.changes() {
            let len = bytes.len().min(bitmap_len.saturating_sub(offset) as usize);
            patches.extend(volume.place(&bitmap_runs, offset, &bytes[..len]));
        }
        for record in self.records.values() {
            let bytes = record.to_bytes();
            let bytes = volume.in_record(record, |_| bytes)?;
            let offset = record.number * record_size;
            patches.extend(volume.place(&self.mft, offset, &bytes));
            // The mirror has the first records: four, or as many as a cluster holds.
            if offset + record_size <= self.mirror_size {
                patches.extend(volume.place(&self.mirror, offset, &bytes));
            }
        }
        let first = |runs: &[Run]| runs.first().and_then(|run| run.lcn);
        let (Some(mft), Some(mirror)) = (first(&self.mft), first(&self.mirror)) else {
            return Err(flaw("an MFT and its mirror in clusters", "a hole").at("NTFS MFT", volume.on_disk(0)));
        };
        let boot = volume.boot.changed(sectors, mft, mirror);
        patches
            .push(Patch { offset: volume.on_disk(sectors * volume.boot.sector_size), bytes: boot.clone() });
        patches.push(Patch { offset: volume.on_disk(0), bytes: boot });
        patches.sort_by_key(|patch| patch.offset);
        Ok(patches)
    }
}

/// The path of the file that a record belongs to, for messages.
pub(super) fn name(volume: &Volume, record: u64) -> String {
    path(volume, record).unwrap_or_else(|_| format!("file {record}"))
}

fn path(volume: &Volume, number: u64) -> Result<String> {
    let mut record = volume.record(number)?;
    if let Some(base) = volume.in_record(&record, Record::base)? {
        record = volume.record(base.number())?;
    }
    let mut path = String::new();
    for _ in 0..MAX_DEPTH {
        if record.number == system_file::ROOT {
            break;
        }
        let name = volume.in_record(&record, |record| {
            let names =
                record.attributes()?.into_iter().filter(|attribute| attribute.kind == kind::FILE_NAME);
            let named = names.filter_map(|attribute| match attribute.value {
                Value::Resident(bytes) => FileName::parse(bytes),
                Value::NonResident(..) => None,
            });
            // Of a short name and a long one, the long one.
            named.max_by_key(|file| file.name.len()).ok_or_else(|| flaw("a file with a name", "none"))
        })?;
        path.insert_str(0, &format!("\\{}", String::from_utf16_lossy(&name.name)));
        record = volume.record(name.parent.number())?;
    }
    Ok(path)
}
