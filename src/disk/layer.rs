//! One image of a chain, as a map: for a virtual range, where are the bytes?

use std::fmt;

use uuid::Uuid;

use super::warning::{Warning, WarningKind};
use crate::error::Result;
use crate::leaves::Format;
use crate::storage::ImageFile;

/// One image, whatever its format: what it says of itself, its files, and its map.
///
/// A format implements this trait and nothing else; reading, chains, conversion, comparison and allocation maps
/// are written once, over it. It is for looking at the layers of a [`Disk`](super::Disk), and sealed: no disk can be made of layers
/// of one's own. Who has bytes elsewhere implements [`ReadAt`](crate::storage::ReadAt).
pub trait Layer: Sealed + Send + Sync {
    /// What the image says of itself, and what was noticed when it was opened.
    fn info(&self) -> &LayerInfo;

    /// The files that hold its bytes; a [`FileIndex`] counts into this slice.
    fn files(&self) -> &[ImageFile];

    /// A run of one kind that begins at the virtual `offset`, at most `limit` bytes long.
    ///
    /// The caller asks within the image's size and with a `limit` of at least 1; the answer is between 1 and
    /// `limit` bytes long and does not pass the image's end. A [`MappingKind::Stored`] run lies wholly inside
    /// its file. A run may be shorter than it could be, but a format joins what lies together: the
    /// longer the runs, the faster everything above. It stops after some milliseconds of work, for whoever waits
    /// may want to stop.
    fn map(&self, offset: u64, limit: u64) -> Result<Mapping>;

    /// Whether it is an image as its files hold it, as opposed to a range of one or to changes that lie over one. Only an
    /// image can be a parent.
    fn is_image(&self) -> bool {
        true
    }

    /// Whether its bytes come out of a stream, so that they can be read once, in order.
    fn reads_once(&self) -> bool {
        false
    }
}

mod sealed {
    /// What only this crate's layers are, so that [`Layer`](super::Layer) can grow.
    pub trait Sealed {}
}
pub(crate) use sealed::Sealed;

/// A run of a virtual disk, as one layer sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapping {
    /// Bytes of the virtual disk.
    pub len: u64,
    /// Where they are.
    pub kind: MappingKind,
}

impl Mapping {
    pub(crate) fn stored(len: u64, file: FileIndex, offset: u64) -> Self {
        Self { len, kind: MappingKind::Stored { file, offset } }
    }

    pub(crate) fn zero(len: u64) -> Self {
        Self { len, kind: MappingKind::Zero }
    }

    pub(crate) fn absent(len: u64) -> Self {
        Self { len, kind: MappingKind::Absent }
    }

    /// The run without its first `skip` bytes, where `skip` is less than its length.
    pub(crate) fn advance(mut self, skip: u64) -> Self {
        self.len -= skip;
        match &mut self.kind {
            MappingKind::Stored { offset, .. } => *offset += skip,
            MappingKind::Packed(packed) => packed.skip += skip as u32,
            MappingKind::Zero | MappingKind::Absent => {}
        }
        self
    }
}

/// Where the bytes of a run are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MappingKind {
    /// They stand in the file as they are.
    Stored {
        /// Which of the layer's files.
        file: FileIndex,
        /// Offset in that file, in bytes.
        offset: u64,
    },
    /// They are part of a compressed grain.
    Packed(Packed),
    /// They are known to read as zeros.
    Zero,
    /// This layer says nothing of them: the parent decides, and without one they read as zeros.
    Absent,
}

/// A compressed grain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Packed {
    /// Which of the layer's files.
    pub file: FileIndex,
    /// Offset of the compressed bytes in that file.
    pub offset: u64,
    /// How many compressed bytes there are.
    pub len: u32,
    /// How they are compressed.
    pub codec: Codec,
    /// Bytes of the whole grain when it is inflated.
    pub unpacked: u32,
    /// Where in the inflated grain the run begins.
    pub skip: u32,
}

/// How a grain is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Codec {
    /// Deflate in a zlib wrapper (RFC 1950).
    Zlib,
}

/// Counts into [`Layer::files`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileIndex(pub u32);

/// What an image says of itself, and what was noticed when it was opened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LayerInfo {
    /// The format.
    pub format: Format,
    /// The format's own name for its kind: "fixed", "dynamic", "differencing", "monolithicSparse", …
    pub subformat: &'static str,
    /// Virtual size in bytes.
    pub size: u64,
    /// Bytes of a logical sector: 512 or 4096.
    pub logical_sector_size: u32,
    /// Bytes of a physical sector: 512 or 4096.
    pub physical_sector_size: u32,
    /// Bytes of a block or grain; `None` where there are none.
    pub block_size: Option<u64>,
    /// The image's identity, if it has one: VHD's unique id, VHDX's virtual disk id, VMDK's `ddb.uuid.image`.
    pub id: Option<Identity>,
    /// What changes when the content does: VHDX's DataWriteGuid, VMDK's CID.
    pub data_id: Option<Identity>,
    /// The software that made the image, as it names itself.
    pub creator: Option<String>,
    /// Cylinders, heads and sectors a track, where the image records them.
    pub geometry: Option<Geometry>,
    /// The parent, for a differencing image.
    pub parent: Option<ParentRef>,
    /// Whether grains are compressed, so that reading takes more than one core can do.
    pub compressed: bool,
    /// Whether there is a log that was replayed (in memory) to read the image.
    pub dirty_log: bool,
    /// What is odd but does not hinder reading.
    pub warnings: Vec<Warning>,
    /// What is lost of the image without a place on the disk, when it is salvaged.
    pub(crate) unplaced_loss: Option<String>,
}

impl LayerInfo {
    /// What every format has; the rest is filled in by the one that opens the image.
    pub(crate) fn new(format: Format, subformat: &'static str, size: u64) -> Self {
        Self {
            format,
            subformat,
            size,
            logical_sector_size: 512,
            physical_sector_size: 512,
            block_size: None,
            id: None,
            data_id: None,
            creator: None,
            geometry: None,
            parent: None,
            compressed: false,
            dirty_log: false,
            warnings: Vec::new(),
            unplaced_loss: None,
        }
    }

    /// Notes what is odd about `file`.
    pub(crate) fn warn(
        &mut self,
        file: &ImageFile,
        kind: WarningKind,
        structure: &'static str,
        message: impl Into<String>,
    ) {
        self.warnings.push(Warning::of(file, kind, structure, message));
    }
}

/// Cylinders, heads and sectors a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Cylinders.
    pub cylinders: u32,
    /// Heads.
    pub heads: u32,
    /// Sectors a track.
    pub sectors: u32,
}

impl Geometry {
    /// The size that the geometry describes, in bytes of 512-byte sectors.
    pub fn size(&self) -> u64 {
        u64::from(self.cylinders) * u64::from(self.heads) * u64::from(self.sectors) * 512
    }
}

/// What tells one image, or one state of its content, from every other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Identity {
    /// A UUID (VHD, VHDX, VirtualBox's VMDK).
    Uuid(Uuid),
    /// A content id (VMDK).
    Cid(u32),
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Identity::Uuid(uuid) => uuid.fmt(f),
            Identity::Cid(cid) => write!(f, "{cid:08x}"),
        }
    }
}

/// What a differencing image records of its parent.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParentRef {
    /// The names recorded, in the order in which the format says to try them.
    pub names: Vec<String>,
    /// The identity that the parent must have.
    pub linkage: Linkage,
    /// The parent's modification time as the child recorded it, in seconds since 1970, where the format has one.
    pub modified: Option<i64>,
}

/// By which identity a child knows its parent.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Linkage {
    /// The parent's [`LayerInfo::id`] must be one of these.
    Id(Vec<Identity>),
    /// The parent's [`LayerInfo::data_id`] must be one of these.
    DataId(Vec<Identity>),
    /// The child records no identity: a VHD on a raw parent.
    None,
}

impl Linkage {
    /// The identities that are accepted.
    pub fn accepted(&self) -> &[Identity] {
        match self {
            Linkage::Id(ids) | Linkage::DataId(ids) => ids,
            Linkage::None => &[],
        }
    }

    /// The identity of `parent` that counts here.
    pub fn of(&self, parent: &LayerInfo) -> Option<Identity> {
        match self {
            Linkage::Id(_) => parent.id,
            Linkage::DataId(_) => parent.data_id,
            Linkage::None => None,
        }
    }

    /// Whether `parent` is the one recorded.
    pub fn matches(&self, parent: &LayerInfo) -> bool {
        match self {
            Linkage::None => true,
            _ => self.of(parent).is_some_and(|id| self.accepted().contains(&id)),
        }
    }
}
