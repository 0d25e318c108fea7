//! streamOptimized extents read strictly forwards, as they come out of a pipe.

use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;

use zerocopy::{FromBytes, FromZeros, IntoBytes};

use super::descriptor;
use super::hosted::Header;
use super::layout::{
    GRAIN_MARKER, HeaderFlags, MARKER_END_OF_STREAM, MARKER_FOOTER, MARKER_GRAIN_DIRECTORY,
    MARKER_GRAIN_TABLE, MARKER_PROGRESS, Marker, SECTOR, SparseExtentHeader,
};
use super::open::describe;
use super::packed::longest;
use crate::deflate::inflate;
use crate::disk::{Block, Buffer, Data, Disk, LayerInfo};
use crate::error::{Error, Problem, Result};
use crate::leaves::Format;
use crate::leaves::Hint;
use crate::storage::{FileRole, ImageFile, MemoryStorage};

/// Reads a streamOptimized VMDK strictly forwards and yields the disk's blocks in order.
///
/// What is not stored comes as [`Data::Absent`]. The grain directory is not looked at; the grains' own markers say
/// where they belong, and must come in order. The stream must be whole: after its last block nothing but `None`
/// comes, and a cut one ends with an error. No more is read than the stream's own bytes, so that it may be followed
/// by others, as in a tar file. Memory: one grain, packed and inflated.
///
/// Some writers (qemu) put the tables in front and no marker at the end; such a file can be opened as a file only,
/// since a cut one could not be told from a whole one.
///
/// ```
/// use diskport::format::vmdk::VmdkStream;
/// use diskport::Data;
///
/// # let mut image = vec![0; 4 * 512];
/// # let mut put = |at: usize, bytes: &[u8]| image[at..at + bytes.len()].copy_from_slice(bytes);
/// # let mut header = |at: usize, directory: u64| {
/// #     put(at, b"KDMV");
/// #     put(at + 4, &3_u32.to_le_bytes());
/// #     put(at + 8, &0x30001_u32.to_le_bytes());
/// #     for (field, value) in [(12, 4096_u64), (20, 128), (28, 1), (36, 1), (56, directory), (64, 2)] {
/// #         put(at + field, &value.to_le_bytes());
/// #     }
/// #     put(at + 44, &512_u32.to_le_bytes());
/// #     put(at + 73, b"\n \r\n\x01\0");
/// # };
/// # header(0, u64::MAX);
/// # let mut footer = vec![0; 512];
/// # let text = b"# Disk DescriptorFile\nversion=1\nCID=1\ncreateType=\"streamOptimized\"\nRW 4096 SPARSE \"x\"\n";
/// # put(512, text);
/// # footer.copy_from_slice(&image[..512]);
/// # footer[56..64].copy_from_slice(&3_u64.to_le_bytes());
/// # image[1024] = 1;
/// # image[1036] = 2;
/// # let mut marker = vec![0; 512];
/// # marker[0] = 1;
/// # marker[12] = 3;
/// # image.extend([marker, footer, vec![0; 512]].concat());
/// # let pipe = &image[..];
/// let disk = VmdkStream::new(pipe)?;
/// assert_eq!(disk.size(), 2 << 20);
/// let mut at = 0;
/// for block in disk {
///     let block = block?;
///     assert_eq!(block.offset, at);
///     at = block.end();
///     match block.data {
///         Data::Bytes(bytes) => println!("{} bytes", bytes.len()),
///         Data::Zero(len) | Data::Absent(len) => println!("{len} zeros"),
///     }
/// }
/// assert_eq!(at, 2 << 20);
/// # Ok::<(), diskport::Error>(())
/// ```
pub struct VmdkStream<R> {
    source: Source<R>,
    header: Header,
    info: LayerInfo,
    packed: Vec<u8>,
    /// Up to where the disk's content was yielded.
    done: u64,
    /// The block behind the gap that was yielded last.
    next: Option<Block>,
    /// Where the grain directory was met.
    directory: Option<u64>,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Grains,
    /// The footer was met; only the end may follow.
    Footer,
    /// Nothing more comes: all of it came, or an error.
    End,
}

/// What a marker leads to.
enum Item {
    Grain(Block),
    /// Something that holds nothing of the disk.
    Other,
    End,
}

impl<R: Read> VmdkStream<R> {
    /// Reads the header and the descriptor.
    ///
    /// # Errors
    ///
    /// [`Error::Defect`] when this is no streamOptimized VMDK, is damaged, or has a parent; [`Error::Io`] when
    /// reading fails.
    pub fn new(input: R) -> Result<Self> {
        let name = ImageFile::new(Arc::new(MemoryStorage::default()), "(stream)", FileRole::Image)?;
        let mut source = Source { input, name, at: 0 };
        let mut raw = [0; SECTOR as usize];
        source.read(&mut raw, "header")?;
        let raw = SparseExtentHeader::read_from_bytes(&raw).map_err(|_| source.cut("header", 0))?;
        let header = Header::check(&source.name, &raw, 0, "header")?;
        if !header.compressed || !header.flags.contains(HeaderFlags::MARKERS) {
            let expected = "compressed grains with markers: others cannot be read forwards";
            let found = format!("{:?}", header.flags);
            return Err(source.defect(Problem::Unsupported, "header", 8, expected, found));
        }
        let text = header.descriptor.clone();
        let grains = header.over_head.checked_mul(SECTOR).filter(|&grains| text.end <= grains);
        let Some(grains) = grains.filter(|_| text.start >= SECTOR && !text.is_empty()) else {
            let expected = "a descriptor between the header and the first grain";
            let found = format!("{}..{}, and {} sectors of overhead", text.start, text.end, header.over_head);
            return Err(source.defect(Problem::Descriptor, "header", 28, expected, found));
        };
        source.skip_to(text.start, "descriptor")?;
        let mut bytes = vec![0; (text.end - text.start) as usize];
        source.read(&mut bytes, "descriptor")?;
        let descriptor = descriptor::parse(&source.name, text.start, &bytes, true)?;
        let declared = descriptor.extents.iter().fold(0_u64, |sum, line| sum.saturating_add(line.sectors));
        let sectors = header.sectors(&source.name, Some(declared))?;
        let mut info = describe(&source.name, descriptor)?;
        if info.parent.is_some() {
            let expected = "a disk without a parent, since a stream has no place to look for one";
            let found = "a differencing disk";
            return Err(source.defect(Problem::Unsupported, "descriptor", text.start, expected, found));
        }
        info.size = sectors * SECTOR;
        info.block_size = Some(header.grain);
        source.skip_to(grains, "tables before the first grain")?;
        let stage = Stage::Grains;
        Ok(Self { source, header, info, packed: Vec::new(), done: 0, next: None, directory: None, stage })
    }

    /// The virtual size in bytes.
    pub fn size(&self) -> u64 {
        self.info.size
    }

    /// What the image says of itself.
    pub fn info(&self) -> &LayerInfo {
        &self.info
    }

    /// The disk, to copy it. It can be read once, forwards: what reads it twice is refused.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub fn into_disk(self) -> Result<Disk>
    where
        R: Send + 'static,
    {
        Disk::forward(self.info.clone(), self)
    }

    fn step(&mut self) -> Result<Item> {
        let at = self.source.at;
        let mut marker = Marker::new_zeroed();
        self.source.read(marker.as_mut_bytes(), "end-of-stream marker")?;
        let (value, size, kind) = (marker.value.get(), marker.size.get(), marker.kind.get());
        if self.stage == Stage::Footer && (size != 0 || kind != MARKER_END_OF_STREAM) {
            let (expected, found) = ("the end-of-stream marker behind the footer", "another one");
            return Err(self.source.defect(Problem::Value, "marker", at, expected, found));
        }
        if size != 0 {
            return self.grain(at, value, size, &marker.as_bytes()[GRAIN_MARKER as usize..]).map(Item::Grain);
        }
        match kind {
            MARKER_END_OF_STREAM => {
                if self.header.gd_at_end && self.stage != Stage::Footer {
                    let expected = "a footer before the end of the stream";
                    return Err(self.source.defect(Problem::Truncated, "footer", at, expected, "none"));
                }
                return Ok(Item::End);
            }
            MARKER_GRAIN_TABLE => self.skip_table(at, value, "grain table", self.header.gtes_per_gt)?,
            MARKER_GRAIN_DIRECTORY => {
                self.directory = Some(self.source.at);
                let grains = self.info.size.div_ceil(self.header.grain);
                self.skip_table(at, value, "grain directory", grains.div_ceil(self.header.gtes_per_gt))?;
            }
            MARKER_FOOTER => self.footer()?,
            MARKER_PROGRESS => {}
            _ => {
                let expected = "a marker of kind 0 to 4";
                return Err(self.source.defect(
                    Problem::Unsupported,
                    "marker",
                    at,
                    expected,
                    kind.to_string(),
                ));
            }
        }
        Ok(Item::Other)
    }

    /// The grain whose marker at `at` was read, with the first bytes behind it.
    fn grain(&mut self, at: u64, lba: u64, size: u32, first: &[u8]) -> Result<Block> {
        let defect = |source: &Source<R>, problem, expected: String, found: String| {
            Err(source.defect(problem, "grain marker", at, &expected, found))
        };
        let grain = self.header.grain;
        let start = lba.checked_mul(SECTOR).filter(|start| start % grain == 0);
        let Some(start) = start.filter(|&start| start >= self.done && start < self.info.size) else {
            let sectors = grain / SECTOR;
            let from = self.done.div_ceil(SECTOR);
            let end = self.info.size / SECTOR;
            let expected = format!("a multiple of {sectors} of {from}..{end}, behind the grain before");
            return defect(&self.source, Problem::Value, expected, format!("sector {lba}"));
        };
        if u64::from(size) > longest(grain) {
            let expected = format!("a packed size of at most {} bytes", longest(grain));
            return defect(&self.source, Problem::Compression, expected, size.to_string());
        }
        let size = size as usize;
        self.packed.clear();
        self.packed.extend_from_slice(&first[..size.min(first.len())]);
        if size > first.len() {
            let padded =
                (size + GRAIN_MARKER as usize).next_multiple_of(SECTOR as usize) - GRAIN_MARKER as usize;
            self.packed.resize(padded, 0);
            self.source.read(&mut self.packed[first.len()..], "compressed grain")?;
            self.packed.truncate(size);
        }
        let left = (self.info.size - start).min(grain) as usize;
        let mut bytes = vec![0; grain as usize];
        // Of the grain in which the disk ends, some writers pack only what is left.
        match inflate(&self.packed, &mut bytes) {
            Ok(len) if len == bytes.len() || len == left => {}
            result => {
                let expected = format!("a zlib stream of {size} bytes that inflates to {grain}");
                let found = result.map_or_else(|what| what, |len| format!("{len} bytes"));
                return Err(self.source.defect(
                    Problem::Compression,
                    "compressed grain",
                    at + GRAIN_MARKER,
                    &expected,
                    found,
                ));
            }
        }
        bytes.truncate(left);
        Ok(Block { offset: start, data: Data::Bytes(Buffer::new(bytes)) })
    }

    /// Passes over a table of `entries` entries, which fills `sectors` sectors by its marker at `at`.
    fn skip_table(&mut self, at: u64, sectors: u64, structure: &'static str, entries: u64) -> Result<()> {
        let limit = (entries * 4).div_ceil(SECTOR);
        if sectors > limit {
            let expected = format!("at most {limit} sectors");
            return Err(self.source.defect(Problem::Table, structure, at, &expected, sectors.to_string()));
        }
        self.source.skip_to(self.source.at + sectors * SECTOR, structure)
    }

    fn footer(&mut self) -> Result<()> {
        let at = self.source.at;
        let mut raw = SparseExtentHeader::new_zeroed();
        self.source.read(raw.as_mut_bytes(), "footer")?;
        let footer = Header::check(&self.source.name, &raw, at, "footer")?;
        self.header.check_footer(&self.source.name, &footer, at)?;
        if self.header.gd_at_end && self.directory != footer.gd.checked_mul(SECTOR) {
            let expected = format!("the grain directory's offset ({:?})", self.directory);
            let found = format!("sector {}", footer.gd);
            return Err(self.source.defect(Problem::Value, "footer", at + 56, &expected, found));
        }
        self.stage = Stage::Footer;
        Ok(())
    }

    fn absent(&mut self, end: u64) -> Block {
        let block = Block { offset: self.done, data: Data::Absent(end - self.done) };
        self.done = end;
        block
    }

    fn advance(&mut self) -> Result<Option<Block>> {
        if let Some(block) = self.next.take() {
            self.done = block.end();
            return Ok(Some(block));
        }
        while self.stage != Stage::End {
            match self.step()? {
                Item::Grain(block) if block.offset > self.done => {
                    let gap = self.absent(block.offset);
                    self.next = Some(block);
                    return Ok(Some(gap));
                }
                Item::Grain(block) => {
                    self.done = block.end();
                    return Ok(Some(block));
                }
                Item::Other => {}
                Item::End => {
                    self.stage = Stage::End;
                    if self.done < self.info.size {
                        return Ok(Some(self.absent(self.info.size)));
                    }
                }
            }
        }
        Ok(None)
    }
}

impl<R: Read> Iterator for VmdkStream<R> {
    type Item = Result<Block>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.advance();
        if item.is_err() {
            self.stage = Stage::End;
        }
        item.transpose()
    }
}

impl<R> fmt::Debug for VmdkStream<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VmdkStream")
            .field("info", &self.info)
            .field("done", &self.done)
            .finish_non_exhaustive()
    }
}

/// The stream, and how far it was read.
struct Source<R> {
    input: R,
    /// Stands for the stream in errors.
    name: ImageFile,
    at: u64,
}

impl<R> Source<R> {
    fn defect(
        &self,
        problem: Problem,
        structure: &'static str,
        at: u64,
        expected: &str,
        found: impl Into<String>,
    ) -> Error {
        self.name.defect(Format::Vmdk, problem, structure, at, expected, found)
    }

    fn cut(&self, structure: &'static str, at: u64) -> Error {
        let (expected, found) = ("more of the stream", "its end");
        self.name
            .defect_box(Format::Vmdk, Problem::Truncated, structure, at, expected, found)
            .advise(Hint::WholeStream)
            .into()
    }
}

impl<R: Read> Source<R> {
    /// Fills `buf` with the stream's next bytes, which belong to `structure`.
    fn read(&mut self, buf: &mut [u8], structure: &'static str) -> Result<()> {
        match self.input.read_exact(buf) {
            Ok(()) => {
                self.at += buf.len() as u64;
                Ok(())
            }
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Err(self.cut(structure, self.at)),
            Err(e) => Err(Error::io("read", self.name.name(), e)),
        }
    }

    /// Passes over everything before offset `to`.
    fn skip_to(&mut self, to: u64, structure: &'static str) -> Result<()> {
        let mut buf = [0; 4096];
        while self.at < to {
            let len = (to - self.at).min(buf.len() as u64) as usize;
            self.read(&mut buf[..len], structure)?;
        }
        Ok(())
    }
}
