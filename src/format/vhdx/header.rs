//! File type identifier and headers, [MS-VHDX] 2.2.1 and 2.2.2.

use uuid::Uuid;
use zerocopy::IntoBytes;

use super::layout::{FileTypeIdentifier, Header};
use crate::error::{Problem, Result};
use crate::leaves::Format::Vhdx;
use crate::leaves::MIB;
use crate::storage::ImageFile;

/// The signature of the file type identifier, at the very beginning.
pub(crate) const SIGNATURE: &[u8; 8] = b"vhdxfile";
/// The first MiB holds the headers and region tables; nothing else may lie there.
pub(crate) const HEADER_SECTION: u64 = MIB;

pub(super) const OFFSETS: [u64; 2] = [64 << 10, 128 << 10];
pub(super) const VERSION: u16 = 1;
const LOG_VERSION: u16 = 0;

/// The creator as the file type identifier names it. It is not necessarily terminated.
pub(crate) fn creator(file: &ImageFile) -> Result<Option<String>> {
    let identifier: FileTypeIdentifier = file.read_struct(Vhdx, "file type identifier", 0)?;
    if &identifier.signature != SIGNATURE {
        return Err(file.defect(
            Vhdx,
            Problem::Signature,
            "file type identifier",
            0,
            "\"vhdxfile\"",
            format!("{:?}", identifier.signature.escape_ascii().to_string()),
        ));
    }
    let units: Vec<u16> =
        identifier.creator.iter().map(|unit| unit.get()).take_while(|&unit| unit != 0).collect();
    Ok(Some(String::from_utf16_lossy(&units)).filter(|name| !name.is_empty()))
}

/// The current header.
pub(crate) struct Current {
    /// Where it lies.
    pub(crate) offset: u64,
    pub(crate) header: Header,
    /// Where the other one lies, when it is not valid.
    pub(crate) damaged: Option<u64>,
}

impl Current {
    pub(crate) fn data_write_guid(&self) -> Uuid {
        Uuid::from_bytes_le(self.header.data_write_guid)
    }

    /// Names the log entries that count; nil when the log is empty.
    pub(crate) fn log_guid(&self) -> Uuid {
        Uuid::from_bytes_le(self.header.log_guid)
    }
}

/// The current header: the only valid one, or the one with the greater sequence number (2.2.2).
pub(crate) fn current(file: &ImageFile) -> Result<Current> {
    // A file that ends here was cut: saying so helps more than any checksum.
    if file.size() < HEADER_SECTION {
        return Err(file.defect(
            Vhdx,
            Problem::Truncated,
            "header section",
            0,
            format!("a file of at least {HEADER_SECTION} bytes"),
            format!("{} bytes", file.size()),
        ));
    }
    let [first, second] = [read(file, OFFSETS[0])?, read(file, OFFSETS[1])?];
    let (offset, header, damaged) = match (first, second) {
        (Some(first), Some(second)) => {
            let (a, b) = (first.sequence_number.get(), second.sequence_number.get());
            if a == b && first.as_bytes() != second.as_bytes() {
                return Err(file.defect(
                    Vhdx,
                    Problem::Ambiguous,
                    "header",
                    OFFSETS[1],
                    "headers with different sequence numbers, or with equal content",
                    format!("two different headers with the sequence number {a}"),
                ));
            }
            if a >= b { (OFFSETS[0], first, None) } else { (OFFSETS[1], second, None) }
        }
        (Some(first), None) => (OFFSETS[0], first, Some(OFFSETS[1])),
        (None, Some(second)) => (OFFSETS[1], second, Some(OFFSETS[0])),
        (None, None) => {
            return Err(file.defect(
                Vhdx,
                Problem::Checksum,
                "header",
                OFFSETS[0],
                "a header with signature \"head\" and a right CRC-32C, here or in the second copy",
                "neither",
            ));
        }
    };
    let log_guid = Uuid::from_bytes_le(header.log_guid);
    let unsupported =
        |expected, found| file.defect(Vhdx, Problem::Unsupported, "header", offset, expected, found);
    if header.version.get() != VERSION {
        return Err(unsupported(format!("version {VERSION}"), format!("version {}", header.version)));
    }
    // Without a log to replay its version does not matter.
    if header.log_version.get() != LOG_VERSION && !log_guid.is_nil() {
        return Err(unsupported(
            format!("log version {LOG_VERSION}, or an empty log"),
            format!("log version {}", header.log_version),
        ));
    }
    Ok(Current { offset, header, damaged })
}

/// The header at `offset`, if it is valid.
fn read(file: &ImageFile, offset: u64) -> Result<Option<Header>> {
    let mut header: Header = file.read_struct(Vhdx, "header", offset)?;
    let stored = std::mem::take(&mut header.checksum);
    let valid = &header.signature == b"head" && crc32c::crc32c(header.as_bytes()) == stored.get();
    header.checksum = stored;
    Ok(valid.then_some(header))
}
