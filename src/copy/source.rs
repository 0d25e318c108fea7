//! What tells whether a source is the same as in an earlier run.

use crate::disk::Disk;
use crate::error::Result;

/// A digest of all that changes with the content of a disk, as far as it can be known without reading it. Another
/// machine may know files by other `numbers`.
pub(super) fn fingerprint(disk: &Disk, numbers: bool) -> Result<[u8; 32]> {
    let mut hasher = blake3::Hasher::new();
    for layer in disk.chain() {
        let info = layer.info();
        hasher.update(format!("{:?}", (info.format, info.size, &info.id, &info.data_id)).as_bytes());
        for file in layer.files() {
            let known = file.fingerprint().map(|known| (known.modified, numbers.then_some(known.file)));
            hasher.update(format!("{:?}", (file.size(), known)).as_bytes());
            if file.role() == crate::storage::FileRole::Memory {
                // What the caller has laid over the disk: a few sectors.
                let mut bytes = vec![0; file.size() as usize];
                file.read_exact_at(&mut bytes, 0)?;
                hasher.update(&bytes);
            }
        }
    }
    Ok(*hasher.finalize().as_bytes())
}
