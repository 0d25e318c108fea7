//! Device elements: 16 bytes of an object with options, and a device descriptor of the boot library.
//!
//! | bytes | descriptor |
//! | ----- | ---------- |
//! | 0, 4  | type, flags |
//! | 8     | its own size, and 4 bytes of zeros |
//! | 16    | a partition: MBR: its first byte; GPT: its id |
//! | 32    | 0 for a hard disk, and the style: 0 GPT, 1 MBR |
//! | 40    | MBR: the disk's signature; GPT: the disk's id; 16 bytes of zeros follow |

use uuid::Uuid;

use crate::windows::registry::decode_utf16;

const RAM_DISK: u32 = 0;
const BOOT: u32 = 5;
const PARTITION: u32 = 6;
const LOCATE: u32 = 8;
/// Bytes of the descriptor of a partition, and of the boot device.
pub(super) const PARTITION_SIZE: usize = 0x48;
const LOCATE_SIZE: u32 = 0x1e;
const MBR_STYLE: u32 = 1;
/// Bytes before a descriptor.
pub(super) const OPTIONS: usize = 16;

/// A device, of one of the forms that stores of installed systems have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// The object with further options; nil when there is none.
    pub options: Uuid,
    /// What it stands for.
    pub target: DeviceTarget,
}

/// What a device stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceTarget {
    /// The partition that the boot manager was started from.
    Boot,
    /// A partition.
    Partition(DevicePartition),
    /// The partition that has the file which this element names.
    Locate {
        /// The element.
        element: u32,
    },
    /// A RAM disk, read from a file.
    RamDisk {
        /// Where the file is.
        device: Box<DeviceTarget>,
        /// The path of the file.
        path: String,
    },
}

/// How a partition is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DevicePartition {
    /// On an MBR disk.
    Mbr {
        /// The disk's signature.
        signature: u32,
        /// The partition's first byte.
        offset: u64,
    },
    /// On a GPT disk.
    Gpt {
        /// The disk.
        disk: Uuid,
        /// The partition.
        partition: Uuid,
    },
}

impl Device {
    /// A device without further options.
    pub fn new(target: DeviceTarget) -> Self {
        Self { options: Uuid::nil(), target }
    }

    /// The device that an element holds; `None` when it is of another form. What it answers has exactly these bytes.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (options, descriptor) = bytes.split_first_chunk::<OPTIONS>()?;
        let device =
            Self { options: Uuid::from_bytes_le(*options), target: DeviceTarget::parse(descriptor, 0)? };
        (device.to_bytes() == bytes).then_some(device)
    }

    /// The bytes of the element.
    pub fn to_bytes(&self) -> Vec<u8> {
        [&self.options.to_bytes_le()[..], &self.target.to_bytes()].concat()
    }
}

impl DeviceTarget {
    /// Reads what matters; whether the rest is as it must be is seen when it is written again.
    fn parse(descriptor: &[u8], depth: u32) -> Option<Self> {
        Some(match word(descriptor, 0)? {
            BOOT => DeviceTarget::Boot,
            PARTITION => DeviceTarget::Partition(DevicePartition::parse(descriptor)?),
            LOCATE => DeviceTarget::Locate { element: word(descriptor, 20)? },
            // A file on a RAM disk is none that can be booted from.
            RAM_DISK if depth == 0 => {
                let file = descriptor.get(52..)?;
                let size = word(file, 8)? as usize;
                let (device, path) = file.split_at_checked(size)?;
                let path = decode_utf16(path);
                let device = Box::new(DeviceTarget::parse(device, depth + 1)?);
                DeviceTarget::RamDisk { device, path: path.strip_suffix('\0')?.to_owned() }
            }
            _ => return None,
        })
    }

    fn to_bytes(&self) -> Vec<u8> {
        match self {
            DeviceTarget::Boot => descriptor(BOOT, 0, &[0; PARTITION_SIZE - 16]),
            DeviceTarget::Partition(partition) => partition.to_bytes().to_vec(),
            DeviceTarget::Locate { element } => {
                let mut body = [0; LOCATE_SIZE as usize - 16];
                body[4..8].copy_from_slice(&element.to_le_bytes());
                descriptor(LOCATE, 0, &body)
            }
            DeviceTarget::RamDisk { device, path } => {
                let device = device.to_bytes();
                let path: Vec<u8> = path.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect();
                let mut body = words(&[3, 0, 0, 0, 0, 0]);
                body.extend(words(&[1, (12 + device.len() + path.len()) as u32, 5]));
                body.extend(device);
                body.extend(path);
                descriptor(RAM_DISK, 1, &body)
            }
        }
    }
}

impl DevicePartition {
    /// The partition of a descriptor; `None` when it is no partition's.
    pub(super) fn parse(descriptor: &[u8]) -> Option<Self> {
        let descriptor = descriptor.get(..PARTITION_SIZE)?;
        let partition = if word(descriptor, 36)? == MBR_STYLE {
            let offset = u64::from_le_bytes(*descriptor.get(16..)?.first_chunk()?);
            DevicePartition::Mbr { signature: word(descriptor, 40)?, offset }
        } else {
            let id = |at: usize| Some(Uuid::from_bytes_le(*descriptor.get(at..)?.first_chunk()?));
            DevicePartition::Gpt { disk: id(40)?, partition: id(16)? }
        };
        (partition.to_bytes() == descriptor).then_some(partition)
    }

    /// The descriptor; both forms have the same length.
    pub(super) fn to_bytes(self) -> [u8; PARTITION_SIZE] {
        let mut bytes = [0; PARTITION_SIZE];
        bytes[..16].copy_from_slice(&words(&[PARTITION, 0, PARTITION_SIZE as u32, 0]));
        match self {
            DevicePartition::Mbr { signature, offset } => {
                bytes[16..24].copy_from_slice(&offset.to_le_bytes());
                bytes[36..44].copy_from_slice(&words(&[MBR_STYLE, signature]));
            }
            DevicePartition::Gpt { disk, partition } => {
                bytes[16..32].copy_from_slice(&partition.to_bytes_le());
                bytes[40..56].copy_from_slice(&disk.to_bytes_le());
            }
        }
        bytes
    }
}

fn descriptor(kind: u32, flags: u32, body: &[u8]) -> Vec<u8> {
    [&words(&[kind, flags, 16 + body.len() as u32, 0])[..], body].concat()
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}
