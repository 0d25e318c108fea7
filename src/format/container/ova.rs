//! An OVA (DMTF DSP0243, 1.1, section 5.3): a tar with the OVF descriptor, the disk, and the manifest of their digests.
//!
//! The standard lets the manifest stand right behind the descriptor or at the end; the digest of a disk that is made on the way is
//! known at the end. What stands before the disk tells its length. A file gets that part last; for a pipe, the disk is made twice, and
//! only measured the first time.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

use super::ovf::Ovf;
use super::sparse::Stored;
use super::tar;
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::leaves::hex;
use crate::sink::{Encoding, Packet, Sink, SinkStream};
use crate::storage::{ReadAt, WriteAt};

/// The disk inside.
pub(crate) trait Inside: Send + Sync {
    /// Begins it; it goes into `out`.
    fn begin<'w>(&self, out: SinkStream<'w>) -> Result<Box<dyn Sink + 'w>>;
}

/// What an OVA says, but for its disk's content.
#[derive(Clone)]
pub(crate) struct Ova {
    ovf: Arc<Ovf>,
    inside: Arc<dyn Inside>,
    tally: Arc<Mutex<Tally>>,
}

/// The length and the digest of what went through.
#[derive(Clone, Default)]
struct Tally {
    len: u64,
    sha256: Sha256,
}

impl Tally {
    fn digest(&self) -> [u8; 32] {
        self.sha256.clone().finalize().into()
    }
}

impl Ova {
    /// For `disk`; files and the machine are called by `name`, as far as it is fit for that. `inside` is given the name of
    /// the file that holds the disk.
    pub(crate) fn new<I: Inside + 'static>(
        disk: &Disk,
        name: &str,
        inside: impl FnOnce(String) -> Result<I>,
    ) -> Result<Self> {
        // What a stream holds is known when it has passed.
        let populated = if disk.reads_once() { None } else { Some(populated(disk)?) };
        let name = [".ova", ".vmdk"].iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name);
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let is_fit =
            !name.is_empty() && name.len() <= 64 && name.chars().all(plain) && !name.starts_with('.');
        let name = if is_fit { name } else { "disk" }.to_owned();
        let ovf = Ovf { name, capacity: disk.size(), populated, efi: has_gpt(disk)? };
        let inside = Arc::new(inside(ovf.disk_name())?);
        Ok(Self { ovf: Arc::new(ovf), inside, tally: Arc::default() })
    }

    /// Takes the disk, and only measures it.
    pub(crate) fn measure(&self) -> Result<Box<dyn Sink>> {
        self.inside.begin(self.tallied(std::io::sink(), "the OVA"))
    }

    /// Writes into a pipe, of a disk that was measured.
    pub(crate) fn stream<'w>(
        &self,
        out: Box<dyn Write + Send + 'w>,
        name: &str,
    ) -> Result<Box<dyn Sink + 'w>> {
        let measured = std::mem::take(&mut *self.lock());
        let mut out = Shared(Arc::new(Mutex::new(out)));
        let head = self.head(&measured);
        out.write_all(&head).map_err(|e| Error::io("write", name, e))?;
        let inner = self.inside.begin(self.tallied(out.clone(), name))?;
        let at = head.len() as u64;
        Ok(Box::new(Streamed { ova: self.clone(), inner, out, name: name.to_owned(), at, measured }))
    }

    /// Writes into a file.
    pub(crate) fn file(&self, storage: Arc<dyn WriteAt>, name: &str) -> Result<Box<dyn Sink>> {
        let start = self.head(&Tally::default()).len() as u64;
        let inner = self.inside.begin(self.tallied(Forward { storage: storage.clone(), at: start }, name))?;
        Ok(Box::new(Filed { ova: self.clone(), inner, storage, name: name.to_owned() }))
    }

    fn tallied<'w>(&self, out: impl Write + Send + 'w, name: &str) -> SinkStream<'w> {
        SinkStream::new(Tallied { out, tally: self.tally.clone() }, name)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What stands before the disk: as long whatever the disk.
    fn head(&self, disk: &Tally) -> Vec<u8> {
        let text = self.ovf.text(disk.len);
        let mut head = tar::ustar(&format!("{}.ovf", self.ovf.name), text.len() as u64).to_vec();
        head.extend_from_slice(text.as_bytes());
        head.resize(head.len() + tar::padding(head.len() as u64) as usize, 0);
        head.extend_from_slice(&tar::ustar(&self.ovf.disk_name(), disk.len));
        head
    }

    /// What follows the disk, which ends at `position`.
    fn tail(&self, disk: &Tally, position: u64) -> Vec<u8> {
        let digest = Sha256::digest(self.ovf.text(disk.len));
        let line = |name: &str, digest: &[u8]| format!("SHA256({name})= {}\n", hex(digest));
        let manifest =
            line(&format!("{}.ovf", self.ovf.name), &digest) + &line(&self.ovf.disk_name(), &disk.digest());
        let mut tail = vec![0; tar::padding(position) as usize];
        tail.extend_from_slice(&tar::ustar(&format!("{}.mf", self.ovf.name), manifest.len() as u64));
        tail.extend_from_slice(manifest.as_bytes());
        let end = position + tail.len() as u64;
        let padding = tar::padding(end);
        tail.resize(tail.len() + (padding + tar::ending(end + padding)) as usize, 0);
        tail
    }
}

/// An OVA on its way into a file.
struct Filed {
    ova: Ova,
    inner: Box<dyn Sink>,
    storage: Arc<dyn WriteAt>,
    name: String,
}

impl Sink for Filed {
    fn encoding(&self) -> Encoding {
        self.inner.encoding()
    }

    fn write(&mut self, packet: &Packet) -> Result<()> {
        self.inner.write(packet)
    }

    fn finish(&mut self) -> Result<()> {
        self.inner.finish()?;
        let disk = self.ova.lock().clone();
        let head = self.ova.head(&disk);
        let position = head.len() as u64 + disk.len;
        let write = |bytes: &[u8], at| {
            self.storage.write_all_at(bytes, at).map_err(|e| Error::io("write", &self.name, e))
        };
        write(&self.ova.tail(&disk, position), position)?;
        // The beginning comes last, so that a cut file is no archive.
        write(&head, 0)
    }
}

/// An OVA on its way into a pipe.
struct Streamed<'w> {
    ova: Ova,
    inner: Box<dyn Sink + 'w>,
    out: Shared<'w>,
    name: String,
    /// Where the disk begins.
    at: u64,
    measured: Tally,
}

impl Sink for Streamed<'_> {
    fn encoding(&self) -> Encoding {
        self.inner.encoding()
    }

    fn write(&mut self, packet: &Packet) -> Result<()> {
        self.inner.write(packet)
    }

    fn finish(&mut self) -> Result<()> {
        self.inner.finish()?;
        let disk = self.ova.lock().clone();
        if disk.len != self.measured.len || disk.digest() != self.measured.digest() {
            return Err(Error::SourceChanged { path: "the source".to_owned() });
        }
        let tail = self.ova.tail(&disk, self.at + disk.len);
        let written = self.out.write_all(&tail).and_then(|()| self.out.flush());
        written.map_err(|e| Error::io("write", &self.name, e))
    }
}

/// A storage written strictly forwards.
struct Forward {
    storage: Arc<dyn WriteAt>,
    at: u64,
}

impl Write for Forward {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        self.storage.write_all_at(data, self.at)?;
        self.at += data.len() as u64;
        Ok(data.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A stream that is measured.
struct Tallied<W> {
    out: W,
    tally: Arc<Mutex<Tally>>,
}

impl<W: Write> Write for Tallied<W> {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        let written = self.out.write(data)?;
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.len += written as u64;
        tally.sha256.update(&data[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

/// A stream that two write to, one after the other.
#[derive(Clone)]
struct Shared<'w>(Arc<Mutex<Box<dyn Write + Send + 'w>>>);

impl Write for Shared<'_> {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(data)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).flush()
    }
}

/// Bytes of the disk that hold data.
fn populated(disk: &Disk) -> Result<u64> {
    Stored::of(disk).map(|range| range.map(|range| range.end - range.start)).sum()
}

/// Whether a GUID partition table begins in the second sector: such disks are started by UEFI.
fn has_gpt(disk: &Disk) -> Result<bool> {
    let sector = u64::from(disk.logical_sector_size());
    let mut signature = [0; 8];
    if disk.size() < sector + 8 {
        return Ok(false);
    }
    disk.read_at(&mut signature, sector)?;
    Ok(signature == *b"EFI PART")
}

/// The disk inside an OVA of ours: the second file.
pub(crate) fn disk_inside(ova: Arc<dyn ReadAt>) -> Result<impl ReadAt> {
    let size = |at| {
        let mut header = [0; tar::BLOCK as usize];
        ova.read_exact_at(&mut header, at).map_err(|e| Error::io("read", "the OVA", e))?;
        Ok::<_, Error>(tar::size(&header))
    };
    let disk = tar::BLOCK + size(0)?.next_multiple_of(tar::BLOCK);
    let len = size(disk)?;
    Ok(Section { of: ova, start: disk + tar::BLOCK, len })
}

/// A part of a storage.
struct Section {
    of: Arc<dyn ReadAt>,
    start: u64,
    len: u64,
}

impl ReadAt for Section {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> std::io::Result<usize> {
        let len = buf.len().min(self.len.saturating_sub(offset) as usize);
        if len == 0 { Ok(0) } else { self.of.read_at(&mut buf[..len], self.start + offset) }
    }

    fn size(&self) -> std::io::Result<u64> {
        Ok(self.len)
    }
}
