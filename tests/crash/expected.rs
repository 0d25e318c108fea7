//! What a disk may hold after a cut.

use diskport::Disk;
use diskport::disk::MappingKind;

use crate::bytes::Bytes;
use crate::failure::Failure;
use crate::states::GARBAGE;

/// Bytes of a sector: what is written wholly or not at all.
pub const SECTOR: u64 = 512;

/// The versions of a disk since it was flushed last. After a cut each sector holds what it held in any of them.
#[derive(Clone)]
pub struct Expected {
    versions: Vec<Bytes>,
}

impl Expected {
    /// A disk that is durable.
    pub fn flushed(content: Bytes) -> Self {
        Self { versions: vec![content] }
    }

    /// The content now.
    pub fn now(&self) -> &Bytes {
        &self.versions[self.versions.len() - 1]
    }

    /// The virtual size now.
    pub fn size(&self) -> u64 {
        self.now().size()
    }

    /// A new version: the one before, changed.
    pub fn change(&mut self, change: impl FnOnce(&mut Bytes)) {
        let mut version = self.now().clone();
        change(&mut version);
        self.versions.push(version);
    }

    /// Whether the last version is what may be read after those before it.
    pub fn check_last(&mut self) -> Result<(), String> {
        let last = self.now().clone();
        let before = Self { versions: self.versions[..self.versions.len() - 1].to_vec() };
        before.check_at(&last.to_vec(), 0)
    }

    /// Everything is durable.
    pub fn flush(&mut self) {
        self.versions.drain(..self.versions.len() - 1);
    }

    /// Whether `disk` may hold what it holds.
    pub fn check(&self, disk: &Disk) -> Result<(), Failure> {
        let size = disk.size();
        if !self.versions.iter().any(|version| version.size() == size) {
            let sizes: Vec<_> = self.versions.iter().map(Bytes::size).collect();
            return Err(Failure::Wrong(format!("the size is {size}, expected one of {sizes:?}")));
        }
        let mut piece = vec![0; PIECE];
        for extent in disk.extents(..) {
            let extent = extent?;
            let stored = !matches!(extent.kind, MappingKind::Zero | MappingKind::Absent);
            piece.fill(0);
            for start in (extent.start..extent.start + extent.len).step_by(PIECE) {
                let len = (extent.start + extent.len - start).min(PIECE as u64) as usize;
                if stored {
                    disk.read_at(&mut piece[..len], start)?;
                }
                self.check_at(&piece[..len], start).map_err(Failure::Wrong)?;
            }
        }
        Ok(())
    }

    /// Whether `bytes` are what stands at `offset` now.
    pub fn check_now(&self, bytes: &[u8], offset: u64) -> Result<(), String> {
        Self::flushed(self.now().clone()).check_at(bytes, offset)
    }

    /// Whether `bytes` may stand at `offset`.
    pub fn check_at(&self, bytes: &[u8], offset: u64) -> Result<(), String> {
        // Mostly all is as in the last version.
        if self.now().holds(bytes, offset) {
            return Ok(());
        }
        for (index, sector) in bytes.chunks(SECTOR as usize).enumerate() {
            let at = offset + index as u64 * SECTOR;
            if !self.versions.iter().rev().any(|version| version.holds(sector, at)) {
                let allowed: Vec<_> = self
                    .versions
                    .iter()
                    .filter_map(|version| version.sector(at))
                    .map(|s| describe(&s))
                    .collect();
                let (number, found) = (at / SECTOR, describe(sector));
                return Err(format!("sector {number} holds {found}, expected one of {allowed:?}"));
            }
        }
        Ok(())
    }
}

/// Bytes that are compared at once.
const PIECE: usize = 64 << 10;

/// All of a disk's content.
pub fn content(disk: &Disk) -> diskport::Result<Bytes> {
    let mut content = Bytes::zeros(disk.size());
    for extent in disk.extents(..) {
        let extent = extent?;
        if !matches!(extent.kind, MappingKind::Zero | MappingKind::Absent) {
            let mut bytes = vec![0; extent.len as usize];
            disk.read_at(&mut bytes, extent.start)?;
            content.write(&bytes, extent.start);
        }
    }
    Ok(content)
}

/// `len` bytes for the virtual `offset` that tell who wrote them, and where: the same eight bytes through a sector.
pub fn pattern(writer: u8, offset: u64, len: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(len + 2 * SECTOR as usize);
    let (first, end) = (offset / SECTOR, offset + len as u64);
    for sector in first..end.div_ceil(SECTOR) {
        let [a, b, c, d] = (sector as u32).to_le_bytes();
        bytes.extend_from_slice(&[b'W', writer, a, b, c, d, b'W', writer].repeat(SECTOR as usize / 8));
    }
    bytes.drain(..(offset - first * SECTOR) as usize);
    bytes.truncate(len);
    bytes
}

/// In words, what a sector holds.
fn describe(sector: &[u8]) -> String {
    let (head, tail) = (word(sector), word(&sector[sector.len() - 8..]));
    if head == tail { head } else { format!("{head} … {tail}") }
}

fn word(bytes: &[u8]) -> String {
    match bytes[..8] {
        [0, 0, 0, 0, 0, 0, 0, 0] => "zeros".to_owned(),
        [b'W', writer, a, b, c, d, b'W', _] => {
            format!("writer {writer}'s sector {}", u32::from_le_bytes([a, b, c, d]))
        }
        ref word if *word == GARBAGE => "garbage".to_owned(),
        ref word => format!("{word:02x?}"),
    }
}
