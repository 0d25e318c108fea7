//! The files beside a descriptor that hold its disk, and what becomes of them when it is replaced.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::descriptor;
use super::extent_line::Access;
use super::open::Kind;
use crate::disk::Disk;
use crate::error::Result;
use crate::leaves::Format;
use crate::storage::{FileRole, FileStorage, ImageFile};

/// What the names of the pieces begin with of a disk whose descriptor is the file at `path`. No other ending is taken away,
/// lest disks called alike share an extent.
pub(crate) fn stem(path: &Path) -> Option<&OsStr> {
    let is_vmdk = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("vmdk"));
    if is_vmdk { path.file_stem() } else { path.file_name() }
}

/// Has `publish` put something in the place of what is at `path`. The pieces of a disk that was described there, and that
/// are neither among the `new` files nor read by `source`, are then nobody's any more, and are removed.
pub(crate) fn replace(
    path: &Path,
    new: &[PathBuf],
    source: &Disk,
    publish: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let mut left = pieces(path);
    left.retain(|piece| !new.contains(piece) && source.check_not_source(piece).is_ok());
    publish()?;
    for piece in left {
        // Nothing better can be done about a file that does not go away.
        let _ = std::fs::remove_file(piece);
    }
    Ok(())
}

/// The pieces of the disk whose descriptor is the file at `path`: what lies beside it, may be written to, and is called
/// after it, as every writer calls them. A file of another name may be another disk's as well. None where there is no such
/// descriptor.
fn pieces(path: &Path) -> Vec<PathBuf> {
    let Some(stem) = stem(path).and_then(OsStr::to_str) else { return Vec::new() };
    let names = extent_names(path).unwrap_or_default();
    let own = names.into_iter().filter(|name| is_piece(name, stem)).map(|name| path.with_file_name(name));
    own.filter(|piece| piece.symlink_metadata().is_ok_and(|there| there.is_file())).collect()
}

fn extent_names(path: &Path) -> Result<Vec<String>> {
    let Ok(storage) = FileStorage::open(path) else { return Ok(Vec::new()) };
    let file = ImageFile::at_path(Arc::new(storage), path, FileRole::Image)?;
    if Kind::of(&file)? != Some(Kind::Descriptor) {
        return Ok(Vec::new());
    }
    let text = file.read_vec(Format::Vmdk, "descriptor", 0, file.size(), descriptor::MAX_BYTES)?;
    let lines = descriptor::parse(&file, 0, &text, false)?.extents;
    Ok(lines.into_iter().filter(|line| line.access == Access::ReadWrite).map(|line| line.name).collect())
}

/// `STEM-flat.vmdk`, and `STEM-s001.vmdk` or `STEM-f001.vmdk` and so on.
fn is_piece(name: &str, stem: &str) -> bool {
    let middle = name.strip_prefix(stem).and_then(|rest| rest.strip_prefix('-'));
    let Some(middle) = middle.and_then(|rest| rest.strip_suffix(".vmdk")) else { return false };
    let number = middle.strip_prefix(['s', 'f']);
    middle == "flat" || number.is_some_and(|n| n.len() >= 3 && n.bytes().all(|byte| byte.is_ascii_digit()))
}
