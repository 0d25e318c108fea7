//! SHA-256 of files and of disks.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use diskport::{BlockStream, Blocks, Data, Disk, MIB};
use sha2::{Digest, Sha256};

static ZEROS: [u8; 1 << 20] = [0; 1 << 20];

/// The digest of bytes, in hexadecimal.
pub fn of_bytes(bytes: &[u8]) -> String {
    hex(Sha256::new_with_prefix(bytes))
}

/// The digest of a file's bytes, in hexadecimal.
pub fn of_file(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex(hash)),
            n => hash.update(&buffer[..n]),
        }
    }
}

/// The digest of a disk's whole virtual content.
pub fn of_disk(disk: &Disk) -> diskport::Result<String> {
    of_disk_and_prefix(disk, u64::MAX).map(|(whole, _)| whole)
}

/// The digests of a disk's whole virtual content and of its first `prefix` bytes, in one pass.
pub fn of_disk_and_prefix(disk: &Disk, prefix: u64) -> diskport::Result<(String, Option<String>)> {
    of_blocks(disk.blocks(Blocks::of(MIB).read_ahead(2).threads(1)), disk.size(), prefix)
}

/// The same of blocks, which must cover `size` bytes in order.
pub fn of_blocks(
    blocks: impl BlockStream,
    size: u64,
    prefix: u64,
) -> diskport::Result<(String, Option<String>)> {
    let mut hash = Sha256::new();
    let mut first = None;
    let mut at = 0;
    for block in blocks {
        let block = block?;
        assert_eq!(block.offset, at, "blocks leave no gap");
        let end = block.end();
        let split = prefix.clamp(at, end) - at;
        feed(&mut hash, &block.data, 0, split);
        if first.is_none() && end >= prefix {
            first = Some(hex(hash.clone()));
        }
        feed(&mut hash, &block.data, split, end - at - split);
        at = end;
    }
    assert_eq!(at, size, "blocks cover the disk");
    Ok((hex(hash), first))
}

/// The digest of the content as [`Disk::read_at`] gives it, read in pieces that fall across sectors and blocks.
pub fn of_reads(disk: &Disk) -> diskport::Result<String> {
    let mut hash = Sha256::new();
    let mut piece = vec![0; 99_991];
    let mut at = 0;
    while at < disk.size() {
        let len = (disk.size() - at).min(piece.len() as u64) as usize;
        disk.read_at(&mut piece[..len], at)?;
        hash.update(&piece[..len]);
        at += len as u64;
    }
    Ok(hex(hash))
}

fn feed(hash: &mut Sha256, data: &Data, from: u64, mut len: u64) {
    if let Data::Bytes(bytes) = data {
        return hash.update(&bytes[from as usize..(from + len) as usize]);
    }
    while len > 0 {
        let n = len.min(ZEROS.len() as u64);
        hash.update(&ZEROS[..n as usize]);
        len -= n;
    }
}

/// A finished digest, in hexadecimal.
pub fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
