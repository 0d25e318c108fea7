//! The bytes of a volume.

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::geometry::{Geometry, TABLES, no_room};
use super::name::{self, LABEL, Short};
use super::time::DosTime;
use super::tree::{Directory, Node};
use crate::error::{Error, Result};

/// The end of a file's clusters.
const END: u32 = 0x0fff_ffff;
/// The media byte of a fixed disk, which begins the table too.
const MEDIA: u8 = 0xf8;
/// The root directory's cluster, the first one.
const ROOT: u32 = 2;
/// Where the copies of the boot record and of the information sector lie, in sectors.
const INFORMATION: u16 = 1;
const BACKUP: u16 = 6;
/// Entries of a directory at most: "limited to 65,536 * 32".
const MAX_DIRECTORY: usize = 65_536;

/// The boot record (section "Boot Sector and BPB").
#[derive(FromZeros, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct BootRecord {
    jump: [u8; 3],
    oem: [u8; 8],
    bytes_per_sector: U16,
    sectors_per_cluster: u8,
    reserved: U16,
    tables: u8,
    root_entries: U16,
    sectors_16: U16,
    media: u8,
    table_16: U16,
    sectors_per_track: U16,
    heads: U16,
    hidden: U32,
    sectors: U32,
    table: U32,
    flags: U16,
    version: U16,
    root: U32,
    information: U16,
    backup: U16,
    zeros: [u8; 12],
    drive: u8,
    reserved_1: u8,
    extended: u8,
    serial: U32,
    label: [u8; LABEL],
    file_system: [u8; 8],
    code: [u8; 420],
    magic: [u8; 2],
}
const _: () = assert!(size_of::<BootRecord>() == 512);

/// The information sector (section "FAT32 FSInfo Sector Structure").
#[derive(FromZeros, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Information {
    lead: [u8; 4],
    zeros: [u8; 480],
    signature: [u8; 4],
    free: U32,
    next: U32,
    zeros_2: [u8; 14],
    magic: [u8; 2],
}
const _: () = assert!(size_of::<Information>() == 512);

const ENTRY: usize = size_of::<Entry>();
const VOLUME_LABEL: u8 = 0x08;
const DIRECTORY: u8 = 0x10;
const ARCHIVE: u8 = 0x20;
const LONG_NAME: u8 = 0x0f;
/// Marks the last part of a long name, which comes first.
const LAST_PART: u8 = 0x40;

#[derive(FromZeros, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Entry {
    name: Short,
    attributes: u8,
    reserved: u8,
    created_tenths: u8,
    created_time: U16,
    created_date: U16,
    accessed_date: U16,
    cluster_high: U16,
    time: U16,
    date: U16,
    cluster_low: U16,
    size: U32,
}
const _: () = assert!(ENTRY == 32);

#[derive(FromZeros, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct LongEntry {
    order: u8,
    units_1: [U16; 5],
    attributes: u8,
    kind: u8,
    checksum: u8,
    units_2: [U16; 6],
    cluster: U16,
    units_3: [U16; 2],
}
const _: () = assert!(size_of::<LongEntry>() == ENTRY);

/// Where a folder lies.
enum Place {
    /// It is the root, with the volume's label.
    Root { label: Option<[u8; LABEL]> },
    /// It lies in the folder at the cluster `above`, 0 for the root.
    Below { above: u32 },
}

impl Place {
    /// Entries that come before those of its files.
    fn entries(&self) -> usize {
        match self {
            Place::Root { label } => usize::from(label.is_some()),
            Place::Below { .. } => 2,
        }
    }
}

/// The clusters in use, and where each leads.
pub(super) struct Image {
    /// What is in them: whole clusters, with the first one's number.
    content: Vec<(u32, Vec<u8>)>,
    table: Vec<u32>,
    cluster: usize,
    limit: usize,
    modified: DosTime,
}

impl Image {
    /// The clusters of a whole tree.
    pub(super) fn of(
        root: Directory,
        geometry: &Geometry,
        modified: DosTime,
        label: Option<[u8; LABEL]>,
    ) -> Result<Self> {
        let mut image = Self {
            content: Vec::new(),
            table: vec![0x0fff_ff00 | u32::from(MEDIA), END],
            cluster: geometry.cluster() as usize,
            limit: geometry.clusters as usize,
            modified,
        };
        image.directory(root, &Place::Root { label })?;
        Ok(image)
    }

    /// What comes before the clusters: the boot records, and the tables.
    pub(super) fn head(&self, geometry: &Geometry, serial: u32, label: &[u8; LABEL]) -> Vec<u8> {
        let sector = geometry.sector as usize;
        let (reserved, table) = (geometry.reserved as usize * sector, geometry.table as usize * sector);
        let mut head = vec![0; reserved + TABLES as usize * table];
        let boot = boot_record(geometry, serial, label);
        let information = self.information();
        for copy in [0, usize::from(BACKUP) * sector] {
            let place = copy + usize::from(INFORMATION) * sector;
            head[copy..copy + 512].copy_from_slice(boot.as_bytes());
            head[place..place + 512].copy_from_slice(information.as_bytes());
        }
        for copy in head[reserved..].chunks_exact_mut(table) {
            for (to, next) in copy.chunks_exact_mut(4).zip(&self.table) {
                to.copy_from_slice(&next.to_le_bytes());
            }
        }
        head
    }

    /// The clusters' bytes, and how far behind the first cluster they go.
    pub(super) fn into_content(self) -> impl Iterator<Item = (u64, Vec<u8>)> {
        let cluster = self.cluster as u64;
        self.content.into_iter().map(move |(first, bytes)| (u64::from(first - ROOT) * cluster, bytes))
    }

    fn information(&self) -> Information {
        let mut information = Information::new_zeroed();
        information.lead = *b"RRaA";
        information.signature = *b"rrAa";
        let used = self.table.len() - 2;
        information.free = ((self.limit - used) as u32).into();
        information.next = (self.table.len() as u32).into();
        information.magic = [0x55, 0xaa];
        information
    }

    /// Takes clusters for `len` bytes, one after the other, and gives the first one; 0 for no bytes.
    fn take(&mut self, len: usize) -> Result<u32> {
        let count = len.div_ceil(self.cluster);
        let first = self.table.len() as u32;
        if count == 0 {
            return Ok(0);
        }
        if count > self.limit - (self.table.len() - 2) {
            return Err(no_room(format!(
                "the files do not fit: the FAT32 has room for {} bytes",
                self.limit as u64 * self.cluster as u64
            )));
        }
        self.table.extend((1..count as u32).map(|n| first + n));
        self.table.push(END);
        Ok(first)
    }

    /// Fills the clusters from `first` on.
    fn put(&mut self, first: u32, mut bytes: Vec<u8>) {
        if first != 0 {
            // A folder without entries has a cluster too.
            bytes.resize(bytes.len().max(1).next_multiple_of(self.cluster), 0);
            self.content.push((first, bytes));
        }
    }

    /// Writes a folder and all below it, and gives its first cluster.
    fn directory(&mut self, directory: Directory, place: &Place) -> Result<u32> {
        let names = directory.entries().map(|entry| entry.name.as_str());
        let shorts = name::shorten(names.clone());
        let longs: Vec<_> = names.zip(&shorts).map(|(name, short)| name::long_parts(name, short)).collect();
        let count = place.entries() + longs.iter().map(|parts| parts.len() + 1).sum::<usize>();
        if count > MAX_DIRECTORY {
            let what =
                format!("a folder of a FAT has {MAX_DIRECTORY} entries at most, and {count} are needed");
            return Err(Error::Unsupported { what });
        }
        // An empty folder has a cluster too.
        let first = self.take((count * ENTRY).max(1))?;
        let (mut bytes, above) = match *place {
            Place::Root { label } => {
                let label = label.map(|label| self.entry(label, VOLUME_LABEL, 0, 0));
                // In the folders below it, 0 stands for the root.
                (label.iter().flat_map(|label| label.as_bytes().to_vec()).collect(), 0)
            }
            Place::Below { above } => {
                let own = self.entry(dots(1), DIRECTORY, first, 0);
                (([own, self.entry(dots(2), DIRECTORY, above, 0)]).as_bytes().to_vec(), first)
            }
        };
        for ((entry, short), parts) in directory.into_entries().zip(shorts).zip(longs) {
            let (attributes, cluster, size) = match entry.node {
                Node::File(content) => {
                    let (cluster, len) = (self.take(content.len())?, content.len() as u32);
                    self.put(cluster, content);
                    (ARCHIVE, cluster, len)
                }
                Node::Directory(below) => (DIRECTORY, self.directory(below, &Place::Below { above })?, 0),
            };
            for (at, part) in parts.iter().enumerate().rev() {
                let last = if at + 1 == parts.len() { LAST_PART } else { 0 };
                bytes.extend_from_slice(long_entry(last | (at as u8 + 1), part, &short).as_bytes());
            }
            bytes.extend_from_slice(self.entry(short, attributes, cluster, size).as_bytes());
        }
        self.put(first, bytes);
        Ok(first)
    }

    fn entry(&self, name: Short, attributes: u8, cluster: u32, size: u32) -> Entry {
        let DosTime { date, time } = self.modified;
        Entry {
            name,
            attributes,
            reserved: 0,
            created_tenths: 0,
            created_time: time.into(),
            created_date: date.into(),
            accessed_date: date.into(),
            cluster_high: ((cluster >> 16) as u16).into(),
            time: time.into(),
            date: date.into(),
            cluster_low: (cluster as u16).into(),
            size: size.into(),
        }
    }
}

/// The names `.` and `..`.
fn dots(count: usize) -> Short {
    let mut name = [b' '; 11];
    name[..count].fill(b'.');
    name
}

fn long_entry(order: u8, units: &[u16; 13], short: &Short) -> LongEntry {
    let unit = |at: usize| U16::new(units[at]);
    LongEntry {
        order,
        units_1: std::array::from_fn(unit),
        attributes: LONG_NAME,
        kind: 0,
        checksum: name::checksum(short),
        units_2: std::array::from_fn(|at| unit(5 + at)),
        cluster: 0.into(),
        units_3: std::array::from_fn(|at| unit(11 + at)),
    }
}

fn boot_record(geometry: &Geometry, serial: u32, label: &[u8; LABEL]) -> BootRecord {
    let mut boot = BootRecord::new_zeroed();
    boot.jump = [0xeb, 0x58, 0x90];
    boot.oem = *b"MSDOS5.0";
    boot.bytes_per_sector = (geometry.sector as u16).into();
    boot.sectors_per_cluster = geometry.per_cluster;
    boot.reserved = geometry.reserved.into();
    boot.tables = TABLES as u8;
    boot.media = MEDIA;
    boot.sectors_per_track = 63.into();
    boot.heads = 255.into();
    // It serves boot code of the BIOS alone, which ends where the field does.
    boot.hidden = u32::try_from(geometry.hidden).unwrap_or(0).into();
    boot.sectors = geometry.sectors.into();
    boot.table = geometry.table.into();
    boot.root = ROOT.into();
    boot.information = INFORMATION.into();
    boot.backup = BACKUP.into();
    boot.drive = 0x80;
    boot.extended = 0x29;
    boot.serial = serial.into();
    boot.label = *label;
    boot.file_system = *b"FAT32   ";
    // A BIOS that starts it goes on to the next disk: int 18h, then a halt for good.
    boot.code[..5].copy_from_slice(&[0xcd, 0x18, 0xf4, 0xeb, 0xfd]);
    boot.magic = [0x55, 0xaa];
    boot
}
