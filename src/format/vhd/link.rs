//! What a differencing disk records of its parent: making children, and giving them another parent.

use zerocopy::IntoBytes;

use super::layout::*;
use super::locator;
use super::pending::{ALIGNMENT, Pending};
use super::skeleton;
use super::write::Writer;
use crate::disk::Identity;
use crate::disk::write::ParentLink;
use crate::error::{Error, Result};
use crate::format::tools::context::ChildOptions;
use crate::job::Job;
use crate::leaves::Format;
use crate::storage::WritableFile;

/// Bytes of the header.
const HEADER: u64 = size_of::<DynamicHeader>() as u64;

/// The parent as the header and its locators record it.
struct Link {
    unique_id: [u8; 16],
    time_stamp: u32,
    /// UTF-16BE, as the header holds it.
    name: [u8; 512],
    /// Platform codes and data.
    locators: Vec<([u8; 4], Vec<u8>)>,
}

impl Link {
    fn of(parent: &ParentLink<'_>) -> Result<Self> {
        let unique_id = match parent.info.id {
            Some(Identity::Uuid(id)) => id.into_bytes(),
            // As XenServer records a raw parent.
            _ => [0; 16],
        };
        let time_stamp =
            parent.modified.and_then(|time| u32::try_from(time.saturating_sub(EPOCH)).ok()).unwrap_or(0);
        let known = parent.relative.or(parent.absolute);
        let file_name = |path: &str| {
            let separators: &[char] =
                if parent.relative.is_some() || path.starts_with('/') { &['/'] } else { &['/', '\\'] };
            path.rsplit(separators).next().unwrap_or(path).to_owned()
        };
        let units: Vec<u8> = known
            .map(file_name)
            .iter()
            .flat_map(|name| name.encode_utf16())
            .flat_map(u16::to_be_bytes)
            .collect();
        let mut name = [0; 512];
        match name.get_mut(..units.len()) {
            Some(field) if known.is_some() => field.copy_from_slice(&units),
            _ => {
                let reason =
                    "a VHD cannot record a parent without a name, or one of more than 256 characters";
                return Err(Error::Layout { reason: reason.to_owned() });
            }
        }
        Ok(Self { unique_id, time_stamp, name, locators: locators(parent) })
    }

    /// Bytes that the data of all locators take.
    fn len(&self) -> u64 {
        self.locators.iter().map(|(_, data)| space(data)).sum()
    }

    /// Fills in `header` for locators whose data begin at `at`, seals it, and gives those data.
    fn record(&self, header: &mut DynamicHeader, at: u64) -> Vec<u8> {
        header.parent_unique_id = self.unique_id;
        header.parent_time_stamp = self.time_stamp.into();
        header.parent_unicode_name = self.name;
        header.parent_locators.as_mut_bytes().fill(0);
        let mut bytes = Vec::new();
        for ((code, data), locator) in self.locators.iter().zip(&mut header.parent_locators) {
            locator.platform_code = *code;
            // In bytes, as everyone does.
            locator.platform_data_space = (space(data) as u32).into();
            locator.platform_data_length = (data.len() as u32).into();
            locator.platform_data_offset = (at + bytes.len() as u64).into();
            bytes.extend_from_slice(data);
            bytes.resize(bytes.len().next_multiple_of(SECTOR as usize), 0);
        }
        header.checksum = header.computed_checksum().into();
        bytes
    }
}

/// The names that a child of `parent` records, as they are read back.
pub(crate) fn recorded_names(parent: &ParentLink<'_>) -> Result<Vec<String>> {
    let link = Link::of(parent)?;
    Ok(locator::names(link.locators.iter().map(|(code, data)| (code, &data[..])), &link.name))
}

fn space(data: &[u8]) -> u64 {
    (data.len() as u64).next_multiple_of(SECTOR)
}

/// The parent's names for Windows, whose separator a name cannot hold, and as a URL for XenServer and others.
fn locators(parent: &ParentLink<'_>) -> Vec<([u8; 4], Vec<u8>)> {
    let utf16 = |path: &str| -> Vec<u8> { path.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    // A name with a percent sign would be taken for an escaped one; XenServer reads nothing else escaped.
    let url = |path: &str| format!("file://{}", path.replace('%', "%25")).into_bytes();
    let mut locators = Vec::new();
    if let Some(way) = parent.windows_relative() {
        locators.push((*b"W2ru", utf16(&format!(".\\{way}"))));
    }
    if let Some(path) = parent.windows_absolute() {
        locators.push((*b"W2ku", utf16(&path)));
    }
    // Each code may stand once: the relative name survives a move of the folder.
    match (parent.relative, parent.absolute) {
        (Some(way), _) => locators.push((*b"MacX", url(&format!("./{way}")))),
        (None, Some(path)) if path.starts_with('/') => locators.push((*b"MacX", url(path))),
        _ => {}
    }
    locators
}

/// Writes a new, empty child of `parent` into `file`.
///
/// Names in front of the table, and data at multiples of 4 KiB, as Windows 10 lays them out.
pub(crate) fn create_child(
    file: &WritableFile,
    parent: &ParentLink<'_>,
    options: &ChildOptions,
) -> Result<()> {
    if options.size != parent.info.size {
        let limit = format!("a differencing disk is as large as its parent, {} bytes", parent.info.size);
        return Err(Error::SizeLimit { format: Format::Vhd, size: options.size, limit });
    }
    let size = skeleton::check_size(options.size)?;
    // A parent may have blocks of a size that nobody makes.
    let inherited = parent.info.block_size.filter(|&size| skeleton::check_block_size(size).is_ok());
    let block_size = options.block_size.or(inherited).unwrap_or(skeleton::DEFAULT_BLOCK_SIZE);
    skeleton::check_block_size(block_size)?;
    let link = Link::of(parent)?;

    let blocks = size.div_ceil(block_size);
    let names = (SECTOR + HEADER).next_multiple_of(ALIGNMENT);
    let table = (names + link.len()).next_multiple_of(ALIGNMENT);
    let mut header = skeleton::header(blocks, block_size, table);
    let data = link.record(&mut header, names);
    let footer = skeleton::footer(DIFFERENCING, size, &mut file.ids());
    let end = table + (blocks * 4).next_multiple_of(SECTOR);
    file.write_all_at(&data, names)?;
    skeleton::unused(file, table..end)?;
    file.write_all_at(footer.as_bytes(), end)?;
    file.write_all_at(header.as_bytes(), footer.data_offset.get())?;
    // The copy that readers look for first comes last.
    file.write_all_at(footer.as_bytes(), 0)
}

impl Writer {
    /// Records another parent. The header takes two sectors, which a cut could tear: a new one is written elsewhere, and
    /// the footers then lead to it.
    pub(super) fn record_parent(&self, pending: &mut Pending, parent: &ParentLink<'_>) -> Result<()> {
        if !self.is_child() {
            return Err(Error::NoParent { file: self.file.name().to_owned() });
        }
        self.publish(pending)?;
        let link = Link::of(parent)?;
        let at = self.room(pending, HEADER + link.len(), &Job::new())?;
        let mut header = self.header.fields;
        let data = link.record(&mut header, at + HEADER);
        self.file.write_all_at(header.as_bytes(), at)?;
        self.file.write_all_at(&data, at + HEADER)?;
        self.file.sync()?;
        let mut footer = pending.footers.footer;
        footer.data_offset = at.into();
        pending.footers.replace(footer)
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use uuid::Uuid;

    use super::*;
    use crate::Open;
    use crate::disk::{LayerInfo, Linkage};
    use crate::findings::Repairs;
    use crate::format::{OpenContext, vhd};
    use crate::storage::{MemoryStorage, NoExternal, ReadAt, WriteAt};

    /// Keeps what the file held after every write.
    struct Snapshots {
        now: MemoryStorage,
        all: Arc<Mutex<Vec<Vec<u8>>>>,
    }

    impl Snapshots {
        fn keep(&self) -> io::Result<()> {
            self.all.lock().unwrap().push(self.now.to_vec());
            Ok(())
        }
    }

    impl ReadAt for Snapshots {
        fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
            self.now.read_at(buf, offset)
        }

        fn size(&self) -> io::Result<u64> {
            self.now.size()
        }
    }

    impl WriteAt for Snapshots {
        fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
            // A sector at a time, as the storage below may be cut.
            for (at, sector) in (offset..).step_by(512).zip(data.chunks(512)) {
                self.now.write_all_at(sector, at)?;
                self.keep()?;
            }
            Ok(())
        }

        fn set_size(&self, size: u64) -> io::Result<()> {
            self.now.set_size(size)?;
            self.keep()
        }

        fn sync(&self) -> io::Result<()> {
            Ok(())
        }
    }

    fn info(id: u128) -> LayerInfo {
        let mut info = LayerInfo::new(Format::Vhd, "dynamic", 3 << 20);
        info.id = Some(Identity::Uuid(Uuid::from_u128(id)));
        info
    }

    fn link(info: &LayerInfo) -> ParentLink<'_> {
        let long =
            "/a long path that takes more room than there is between the header and the old names/base.vhd";
        ParentLink { info, relative: Some("../base.vhd"), absolute: Some(long), modified: Some(EPOCH + 5) }
    }

    /// A time before all that can be said is none, and a name that Windows would read otherwise is left out.
    #[test]
    fn times_and_names_that_cannot_be_recorded() {
        let info = info(1);
        let parent = |absolute, modified| ParentLink {
            info: &info,
            relative: Some("base.vhd"),
            absolute: Some(absolute),
            modified: Some(modified),
        };
        let codes = |link: Link| link.locators.iter().map(|(code, _)| *code).collect::<Vec<_>>();
        let link = Link::of(&parent("/a/base.vhd", i64::MIN)).expect("links");
        assert_eq!(link.time_stamp, 0);
        assert_eq!(codes(link), [*b"W2ru", *b"W2ku", *b"MacX"]);
        let link = Link::of(&parent("/a\\b/base.vhd", EPOCH + 7)).expect("links");
        assert_eq!(link.time_stamp, 7);
        assert_eq!(codes(link), [*b"W2ru", *b"MacX"]);
    }

    /// On Windows: a path with a drive or a server, and no way to another drive.
    #[test]
    fn paths_of_windows() {
        let info = info(1);
        let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
        for absolute in ["C:\\vm\\base.vhd", "\\\\server\\share\\base.vhd"] {
            for relative in [Some("../base.vhd"), None] {
                let parent = ParentLink { info: &info, relative, absolute: Some(absolute), modified: None };
                let link = Link::of(&parent).expect("links");
                let find = |code: &[u8; 4]| link.locators.iter().find(|(found, _)| found == code);
                assert_eq!(find(b"W2ku").map(|(_, data)| data.clone()), Some(utf16(absolute)));
                assert_eq!(
                    find(b"W2ru").map(|(_, data)| data.clone()),
                    relative.map(|_| utf16(".\\..\\base.vhd"))
                );
                let name: Vec<u8> = "base.vhd\0".encode_utf16().flat_map(u16::to_be_bytes).collect();
                assert_eq!(link.name[..name.len()], name, "{absolute}");
            }
        }
    }

    /// Whatever was written when the cut came, the child has the old parent or the new one, and its blocks.
    #[test]
    fn another_parent_comes_whole_or_not_at_all() {
        let all = Arc::new(Mutex::new(Vec::new()));
        let storage = Arc::new(Snapshots { now: MemoryStorage::default(), all: all.clone() });
        let file = WritableFile::new(storage.clone(), "child");
        let options = ChildOptions { size: 3 << 20, block_size: Some(512 << 10) };
        create_child(&file, &link(&info(1)), &options).expect("creates");
        let open = || {
            let context = OpenContext { resolver: (&NoExternal).into(), choices: Default::default() };
            vhd::open_writable(file.clone(), &context).expect("opens for writing")
        };
        let child = open();
        (0..3).for_each(|n| child.write(&[n + 1; 512], u64::from(n) << 20).expect("writes"));
        child.close().expect("closes");
        let opened = |bytes: &[u8]| {
            Open::new().allow_missing_parent(true).open(MemoryStorage::new(bytes)).expect("opens")
        };
        let parent = |bytes: &[u8]| opened(bytes).chain()[0].info().parent.clone().expect("a parent");
        for id in 2..6_u128 {
            all.lock().unwrap().clear();
            let child = open();
            child.set_parent(&link(&info(id))).expect("records");
            child.close().expect("closes");
            let linkage = |id| Linkage::Id(vec![Identity::Uuid(Uuid::from_u128(id))]);
            for mut bytes in all.lock().unwrap().iter().cloned() {
                let found = parent(&bytes).linkage;
                assert!(found == linkage(id - 1) || found == linkage(id));
                let file = Arc::new(MemoryStorage::new(bytes));
                let repaired = WritableFile::new(file.clone(), "child");
                let context = OpenContext { resolver: (&NoExternal).into(), choices: Default::default() };
                vhd::repair(&repaired, &context, Repairs::Lossless).expect("repairs");
                bytes = file.to_vec();
                assert_eq!(parent(&bytes).linkage, found);
                assert!(Open::new().check(MemoryStorage::new(bytes.as_slice())).expect("checks").is_clean());
                for n in 0..3_u8 {
                    let at = u64::from(n) << 20;
                    let run = opened(&bytes).chain()[0].map(at, 512).expect("maps");
                    let crate::disk::MappingKind::Stored { offset, .. } = run.kind else { panic!("{run:?}") };
                    assert_eq!(bytes[offset as usize..][..512], [n + 1; 512]);
                }
            }
            assert_eq!(parent(&storage.now.to_vec()).linkage, linkage(id));
        }
        assert!(storage.now.size().expect("a size") < 4 << 20, "no space is lost each time");
    }
}
