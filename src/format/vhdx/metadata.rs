//! Metadata table and items, [MS-VHDX] 2.6.

use std::collections::HashMap;
use std::ops::Range;

use uuid::{Uuid, uuid};
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::layout::{FileFlags, FileParameters, Guid, ItemFlags, MetadataTableEntry, MetadataTableHeader};
use super::locator;
use crate::disk::ParentRef;
use crate::error::{Error, Problem, Result};
use crate::leaves::Format::Vhdx;
use crate::leaves::Hint;
use crate::storage::ImageFile;
use crate::{GIB, MIB};

pub(super) const TABLE: u64 = 64 << 10;
const HEADER: u64 = size_of::<MetadataTableHeader>() as u64;
const ENTRY: u64 = size_of::<MetadataTableEntry>() as u64;
const MAX_ENTRIES: u64 = (TABLE - HEADER) / ENTRY;
const MAX_USER_ENTRIES: usize = 1024;
const MAX_ITEM: u64 = MIB;

pub(super) const MIN_BLOCK: u64 = MIB;
pub(super) const MAX_BLOCK: u64 = 256 * MIB;
pub(super) const MAX_SIZE: u64 = 64 * 1024 * GIB;

pub(super) const FILE_PARAMETERS: Item =
    Item { id: uuid!("caa16737-fa36-4d43-b3b6-33f0aa44e76b"), name: "file parameters" };
pub(super) const VIRTUAL_DISK_SIZE: Item =
    Item { id: uuid!("2fa54224-cd1b-4876-b211-5dbed83bf4b8"), name: "virtual disk size" };
pub(super) const VIRTUAL_DISK_ID: Item =
    Item { id: uuid!("beca12ab-b2e6-4523-93ef-c309e000c746"), name: "virtual disk id" };
pub(super) const LOGICAL_SECTOR_SIZE: Item =
    Item { id: uuid!("8141bf1d-a96f-4709-ba47-f233a8faab5f"), name: "logical sector size" };
pub(super) const PHYSICAL_SECTOR_SIZE: Item =
    Item { id: uuid!("cda348c7-445d-4471-9cc9-e9885251c556"), name: "physical sector size" };
pub(super) const PARENT_LOCATOR: Item =
    Item { id: uuid!("a8d35f2d-b30b-454d-abf7-d3d84834ab0c"), name: "parent locator" };
/// Hyper-V's own mark of a file that is still being made; not in [MS-VHDX].
const INCOMPLETE_FILE: Uuid = uuid!("71cc85f0-1b69-4e28-9558-c3bf83ae75d3");

const KNOWN: [Item; 6] = [
    FILE_PARAMETERS,
    VIRTUAL_DISK_SIZE,
    VIRTUAL_DISK_ID,
    LOGICAL_SECTOR_SIZE,
    PHYSICAL_SECTOR_SIZE,
    PARENT_LOCATOR,
];

/// A metadata item that this reader knows.
#[derive(Clone, Copy)]
pub(super) struct Item {
    pub(super) id: Uuid,
    name: &'static str,
}

/// What the metadata say of the disk.
#[derive(Clone)]
pub(crate) struct Metadata {
    pub(crate) block_size: u64,
    /// The file is "fixed": no block is ever freed.
    pub(crate) leave_blocks_allocated: bool,
    pub(crate) size: u64,
    /// Where the item of the virtual size lies in the file.
    pub(crate) size_at: u64,
    pub(crate) virtual_disk_id: Uuid,
    pub(crate) logical_sector_size: u32,
    pub(crate) physical_sector_size: u32,
    /// For a differencing disk.
    pub(crate) parent: Option<ParentRef>,
    /// What is wrong with the parent locator and does not hinder reading.
    pub(crate) odd_locator: Vec<String>,
}

/// Reads the metadata in `region`.
pub(crate) fn read(file: &ImageFile, region: &Range<u64>) -> Result<Metadata> {
    let items = Items::read(file, region)?;
    let (at, parameters): (_, FileParameters) = items.get(FILE_PARAMETERS)?;
    let flags = FileFlags::from_bits_retain(parameters.flags.get());
    let unknown = flags.difference(FileFlags::LEAVE_BLOCKS_ALLOCATED | FileFlags::HAS_PARENT);
    if !unknown.is_empty() {
        return Err(file.defect(
            Vhdx,
            Problem::Unsupported,
            FILE_PARAMETERS.name,
            at,
            "no flags but LeaveBlocksAllocated and HasParent",
            format!("{:#x}", flags.bits()),
        ));
    }
    let block_size = u64::from(parameters.block_size.get());
    if !block_size.is_power_of_two() || !(MIN_BLOCK..=MAX_BLOCK).contains(&block_size) {
        return Err(file.defect(
            Vhdx,
            Problem::BlockSize,
            FILE_PARAMETERS.name,
            at,
            "a power of two from 1 MiB to 256 MiB",
            format!("{block_size} bytes"),
        ));
    }
    let logical_sector_size = items.sector_size(LOGICAL_SECTOR_SIZE)?;
    let physical_sector_size = items.sector_size(PHYSICAL_SECTOR_SIZE)?;
    let (size_at, size): (_, U64) = items.get(VIRTUAL_DISK_SIZE)?;
    let size = size.get();
    if size == 0 || size > MAX_SIZE || !size.is_multiple_of(logical_sector_size.into()) {
        return Err(file.defect(
            Vhdx,
            Problem::Size,
            VIRTUAL_DISK_SIZE.name,
            size_at,
            format!("whole sectors of {logical_sector_size} bytes, at least one, at most 64 TiB"),
            format!("{size} bytes"),
        ));
    }
    let (_, id): (_, Guid) = items.get(VIRTUAL_DISK_ID)?;
    let locator = items.find(PARENT_LOCATOR);
    let (parent, odd_locator) = match (flags.contains(FileFlags::HAS_PARENT), locator) {
        (true, Some(item)) => {
            let (parent, skipped) = locator::read(file, item)?;
            (Some(parent), skipped)
        }
        (true, None) => return Err(items.missing(PARENT_LOCATOR)),
        (false, Some(_)) => (None, vec!["ignored: the file has no flag HasParent".to_owned()]),
        (false, None) => (None, Vec::new()),
    };
    Ok(Metadata {
        block_size,
        leave_blocks_allocated: flags.contains(FileFlags::LEAVE_BLOCKS_ALLOCATED),
        size,
        size_at,
        virtual_disk_id: Uuid::from_bytes_le(id),
        logical_sector_size,
        physical_sector_size,
        parent,
        odd_locator,
    })
}

/// The known items of a metadata table, by their place in the file.
struct Items<'a> {
    file: &'a ImageFile,
    /// Where the table lies.
    table: u64,
    found: HashMap<Uuid, Range<u64>>,
}

impl<'a> Items<'a> {
    fn read(file: &'a ImageFile, region: &Range<u64>) -> Result<Self> {
        let table = region.start;
        let header: MetadataTableHeader = file.read_struct(Vhdx, "metadata table", table)?;
        if &header.signature != b"metadata" {
            return Err(file.defect(
                Vhdx,
                Problem::Signature,
                "metadata table",
                table,
                "\"metadata\"",
                format!("{:?}", header.signature.escape_ascii().to_string()),
            ));
        }
        let count = u64::from(header.entry_count.get());
        let too_many = |what: &str, limit: u64| {
            file.defect(
                Vhdx,
                Problem::Table,
                "metadata table",
                table,
                format!("at most {limit} {what}"),
                format!("{count} entries"),
            )
        };
        if count > MAX_ENTRIES {
            return Err(too_many("entries", MAX_ENTRIES));
        }
        let bytes = file.read_vec(Vhdx, "metadata table", table + HEADER, count * ENTRY, TABLE)?;
        let mut items = Self { file, table, found: HashMap::new() };
        let mut users = 0;
        // Every item's key and place, to tell duplicates and overlaps.
        let mut keys = HashMap::new();
        let mut places = Vec::new();
        for (index, entry) in bytes.chunks_exact(ENTRY as usize).enumerate() {
            let Ok(entry) = MetadataTableEntry::read_from_bytes(entry) else { break };
            let at = table + HEADER + index as u64 * ENTRY;
            let id = Uuid::from_bytes_le(entry.item_id);
            let flags = ItemFlags::from_bits_retain(entry.flags.get());
            let is_user = flags.contains(ItemFlags::IS_USER);
            users += usize::from(is_user);
            if users > MAX_USER_ENTRIES {
                return Err(too_many("user entries", MAX_USER_ENTRIES as u64));
            }
            if keys.insert((id, is_user), at).is_some() {
                return Err(items.defect(
                    Problem::Ambiguous,
                    at,
                    "one entry for an item",
                    format!("another for {id}"),
                ));
            }
            let place = items.place(&entry, at, region)?;
            if !place.is_empty() {
                places.push((place.clone(), at));
            }
            if is_user {
                continue;
            }
            if id == INCOMPLETE_FILE {
                return Err(incomplete(file, at));
            }
            if KNOWN.iter().any(|item| item.id == id) {
                items.found.insert(id, place);
            } else if flags.contains(ItemFlags::IS_REQUIRED) {
                return Err(items.defect(
                    Problem::Unsupported,
                    at,
                    "no required items but those of [MS-VHDX] 2.6.2",
                    format!("the required item {id}"),
                ));
            }
        }
        places.sort_by_key(|(place, _): &(Range<u64>, u64)| place.start);
        for pair in places.windows(2) {
            let [(first, _), (second, at)] = pair else { break };
            if first.end > second.start {
                let found = format!("one at {first:?} and one at {second:?}");
                return Err(items.defect(Problem::Overlap, *at, "items that do not overlap", found));
            }
        }
        Ok(items)
    }

    /// Where an item lies in the file.
    fn place(&self, entry: &MetadataTableEntry, at: u64, region: &Range<u64>) -> Result<Range<u64>> {
        let (offset, length) = (u64::from(entry.offset.get()), u64::from(entry.length.get()));
        let found = || format!("{length} bytes at {offset} of the region");
        // 2.6.1.2: an empty item has no place.
        if length == 0 && offset == 0 {
            return Ok(region.start..region.start);
        }
        if length > MAX_ITEM || length == 0 {
            let expected = format!("1 to {MAX_ITEM} bytes, or length and offset 0");
            return Err(self.defect(Problem::Value, at, expected, found()));
        }
        if offset < TABLE {
            return Err(self.defect(Problem::Overlap, at, format!("an offset of at least {TABLE}"), found()));
        }
        // Both are 32-bit numbers: no sum overflows.
        if offset + length > region.end - region.start {
            let expected = format!("an item within the region of {} bytes", region.end - region.start);
            return Err(self.defect(Problem::OutOfFile, at, expected, found()));
        }
        Ok(region.start + offset..region.start + offset + length)
    }

    fn find(&self, item: Item) -> Option<Range<u64>> {
        self.found.get(&item.id).cloned()
    }

    /// A required item of fixed size, and where it lies.
    fn get<T: FromBytes + IntoBytes + KnownLayout + Immutable>(&self, item: Item) -> Result<(u64, T)> {
        let place = self.find(item).ok_or_else(|| self.missing(item))?;
        let (expected, found) = (size_of::<T>() as u64, place.end - place.start);
        if found != expected {
            return Err(self.file.defect(
                Vhdx,
                Problem::Value,
                item.name,
                place.start,
                format!("{expected} bytes"),
                format!("{found} bytes"),
            ));
        }
        Ok((place.start, self.file.read_struct(Vhdx, item.name, place.start)?))
    }

    fn sector_size(&self, item: Item) -> Result<u32> {
        let (at, size): (_, U32) = self.get(item)?;
        match size.get() {
            size @ (512 | 4096) => Ok(size),
            other => Err(self.file.defect(
                Vhdx,
                Problem::Value,
                item.name,
                at,
                "512 or 4096 bytes",
                format!("{other} bytes"),
            )),
        }
    }

    fn missing(&self, item: Item) -> Error {
        let expected = format!("the item {} ({})", item.name, item.id);
        self.file.defect(Vhdx, Problem::Value, "metadata table", self.table, expected, "none")
    }

    fn defect(
        &self,
        problem: Problem,
        at: u64,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Error {
        self.file.defect(Vhdx, problem, "metadata table entry", at, expected, found)
    }
}

fn incomplete(file: &ImageFile, at: u64) -> Error {
    file.defect_box(
        Vhdx,
        Problem::Truncated,
        "metadata table entry",
        at,
        "a finished file",
        "the item INCOMPLETE_FILE: whoever made the file did not finish it",
    )
    .advise(Hint::MakeAnew)
    .into()
}
