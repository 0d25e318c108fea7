//! A volume: its boot sector, and its master file table with the records in it.

use std::fmt;
use std::ops::Range;

use super::boot::Boot;
use super::flaw::{Flaw, flaw};
use super::overlay::Overlay;
use super::record::{Record, kind};
use super::runs::{self, Run};
use super::stream::{Place, Stream};
use super::upcase::Upcase;
use crate::disk::{Changes, Disk, Patch};
use crate::error::{Error, Result};

/// The numbers of the files that a volume itself consists of.
pub(super) mod system_file {
    pub const MFT: u64 = 0;
    pub const MFT_MIRROR: u64 = 1;
    pub const LOG: u64 = 2;
    pub const VOLUME: u64 = 3;
    pub const ROOT: u64 = 5;
    pub const BITMAP: u64 = 6;
    pub const BAD_CLUSTERS: u64 = 8;
    pub const SECURE: u64 = 9;
    pub const UPCASE: u64 = 10;
    pub const EXTEND: u64 = 11;
    /// Files from here on are the users'; those before are the volume's own, or reserved.
    pub const FIRST_USER: u64 = 24;
}

/// An NTFS volume on a disk, read-only.
///
/// ```no_run
/// use diskport::windows::ntfs::Volume;
///
/// let disk = diskport::open("windows.vhdx")?;
/// let volume = Volume::open(&disk, 1 << 20..disk.size() - (1 << 20))?;
/// if let Some(file) = volume.find(r"\Windows\System32\winload.efi")? {
///     let bytes = file.read(16 << 20)?;
///     println!("{} bytes", bytes.len());
/// }
/// # Ok::<(), diskport::Error>(())
/// ```
pub struct Volume {
    disk: Disk,
    range: Range<u64>,
    pub(super) boot: Boot,
    /// The clusters of the master file table.
    pub(super) mft: Stream,
    pub(super) upcase: Upcase,
    /// Whether the mark of a log counts, whatever its version.
    pub(super) log_trusted: bool,
    /// Changes that are read as if they were written.
    pub(super) overlay: Overlay,
}

impl Volume {
    /// Whether `range` of `disk` says that it is an NTFS volume.
    ///
    /// # Errors
    ///
    /// What reading the disk gives rise to.
    pub fn recognise(disk: &Disk, range: Range<u64>) -> Result<bool> {
        let mut prefix = [0; 11];
        if range.end.saturating_sub(range.start) < prefix.len() as u64 {
            return Ok(false);
        }
        disk.read_at(&mut prefix, range.start)?;
        Ok(Boot::recognises(&prefix))
    }

    /// The volume in the partition that is `range` of `disk`.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] when it is none or its own files cannot be read, [`Error::OutOfRange`] for a partition that
    /// ends beyond the disk, and what reading the disk gives rise to.
    pub fn open(disk: &Disk, range: Range<u64>) -> Result<Self> {
        let len = range.end.saturating_sub(range.start);
        let mut prefix = vec![0; len.min(Boot::LEN as u64) as usize];
        disk.read_at(&mut prefix, range.start)?;
        let boot = Boot::parse(&prefix, len).map_err(|flaw| flaw.at("NTFS boot sector", range.start))?;
        if range.end > disk.size() {
            return Err(Error::OutOfRange { offset: range.start, len, size: disk.size() });
        }
        let mut volume = Self {
            disk: disk.clone(),
            range,
            mft: Stream::empty(),
            upcase: Upcase::default(),
            log_trusted: false,
            overlay: Overlay::new(boot.sector_size),
            boot,
        };
        volume.find_table()?;
        volume.upcase = Upcase::read(&volume)?;
        Ok(volume)
    }

    /// Learns where the master file table is. Its first record tells where the others are; the records that continue that
    /// one lie in the first part of the table.
    pub(super) fn find_table(&mut self) -> Result<()> {
        let boot = &self.boot;
        let start = vec![Run { len: boot.record_size.div_ceil(boot.cluster_size), lcn: Some(boot.mft) }];
        self.mft = Stream::plain(Place::Runs(start), boot.record_size);
        let first = self.record(system_file::MFT)?;
        if let Some(part) = Stream::in_record(self, &first, kind::DATA, "")? {
            self.mft = part;
        }
        self.mft = self.required(&first, kind::DATA, "")?;
        Ok(())
    }

    /// Bytes of a cluster.
    pub fn cluster_size(&self) -> u64 {
        self.boot.cluster_size
    }

    /// Bytes of a sector, as the boot sector gives them.
    pub fn sector_size(&self) -> u64 {
        self.boot.sector_size
    }

    /// Bytes of the volume: its sectors and the one behind them, which holds the boot sector's copy.
    pub fn size(&self) -> u64 {
        (self.boot.sectors + 1) * self.boot.sector_size
    }

    /// The record of a number.
    pub(super) fn record(&self, number: u64) -> Result<Record> {
        let size = self.boot.record_size;
        let offset = number.checked_mul(size).filter(|&offset| self.mft.size.saturating_sub(offset) >= size);
        let offset = offset.ok_or_else(|| {
            let records = self.mft.size / size;
            flaw(format!("a reference to one of {records} records"), number.to_string())
                .at("NTFS MFT", self.range.start)
        })?;
        let mut bytes = vec![0; size as usize];
        self.mft.read_at(self, &mut bytes, offset)?;
        Record::parse(number, bytes).map_err(|flaw| flaw.at("NTFS FILE record", self.record_offset(number)))
    }

    /// What `read` makes of a record; a flaw is an error that names its place.
    pub(super) fn in_record<'r, T>(
        &self,
        record: &'r Record,
        read: impl FnOnce(&'r Record) -> Result<T, Flaw>,
    ) -> Result<T> {
        read(record).map_err(|flaw| self.in_record_number(record.number, flaw))
    }

    /// The error for a flaw of a record.
    pub(super) fn in_record_number(&self, number: u64, flaw: Flaw) -> Error {
        flaw.at("NTFS FILE record", self.record_offset(number))
    }

    /// Where a record lies on the disk, for messages.
    pub(super) fn record_offset(&self, number: u64) -> u64 {
        let offset = number.saturating_mul(self.boot.record_size);
        let place = match &self.mft.place {
            Place::Runs(runs) => runs::pieces(runs, self.boot.cluster_size, offset, 1).next(),
            Place::Resident(_) => None,
        };
        self.range.start + place.and_then(|(place, _)| place).unwrap_or(0)
    }

    /// The attribute of a file that must have it.
    pub(super) fn required(&self, base: &Record, kind: u32, name: &str) -> Result<Stream> {
        Stream::find(self, base, kind, name)?.ok_or_else(|| {
            let expected = format!("an attribute of type {kind:#x}, name {name:?}");
            flaw(expected, "none").at("NTFS FILE record", self.record_offset(base.number))
        })
    }

    /// Reads at an offset in the volume.
    pub(super) fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.overlay.read(buf, offset, |buf, offset| self.disk.read_at(buf, self.range.start + offset))
    }

    /// Lays a change over the volume.
    pub(super) fn write_at(&mut self, bytes: &[u8], offset: u64) -> Result<()> {
        let (disk, start) = (&self.disk, self.range.start);
        self.overlay.write(offset, bytes, |buf, offset| disk.read_at(buf, start + offset))
    }

    /// Lays zeros over the volume.
    pub(super) fn zero_at(&mut self, offset: u64, len: u64) -> Result<()> {
        let (disk, start) = (&self.disk, self.range.start);
        self.overlay.zero(offset, len, |buf, offset| disk.read_at(buf, start + offset))
    }

    /// The changes that lie over the volume, as those of the disk.
    pub(super) fn into_changes(self) -> Changes {
        self.overlay.changes(self.range.start)
    }

    /// The disk that the volume lies on.
    pub(super) fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Whether the partition has `end` bytes.
    pub(super) fn has_room(&self, end: u64) -> bool {
        end <= self.range.end - self.range.start
    }

    /// Where byte `offset` of the volume lies on the disk.
    pub(super) fn on_disk(&self, offset: u64) -> u64 {
        self.range.start + offset
    }

    /// `bytes` at `offset` of the file that `runs` make up, as changes of the disk. Nothing is written into holes.
    pub(super) fn place(&self, runs: &[Run], offset: u64, mut bytes: &[u8]) -> Vec<Patch> {
        let mut patches = Vec::new();
        for (place, len) in runs::pieces(runs, self.boot.cluster_size, offset, bytes.len() as u64) {
            let (piece, rest) = bytes.split_at(len as usize);
            bytes = rest;
            if let Some(place) = place {
                patches.push(Patch { offset: self.range.start + place, bytes: piece.to_vec() });
            }
        }
        patches
    }
}

impl fmt::Debug for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Volume").field("range", &self.range).field("boot", &self.boot).finish_non_exhaustive()
    }
}
