//! Which format a file is of, by its content, and what its name says of that.
//!
//! The content of a raw disk is the guest's own, who may write a container's signature into it, with a parent of its
//! choice: whoever believed it would read that file on the guest's behalf. So what may be a raw disk is taken for a container only
//! when the caller says so.

use std::path::Path;

use crate::error::{Error, Result};
use crate::format::{self, foreign, vhd};
use crate::leaves::Format;
use crate::leaves::Hint;
use crate::storage::ImageFile;

/// Endings of names under which a file without any signature is taken for a raw disk.
const RAW_ENDINGS: [&str; 4] = ["raw", "img", "dd", "bin"];

/// The one format that `file` can be.
pub(super) fn detect(file: &ImageFile) -> Result<Format> {
    let mut formats = format::probe(file)?;
    match formats[..] {
        [] => without_signature(file),
        [format] if !may_be_raw(file) => Ok(format),
        _ => {
            if may_be_raw(file) {
                formats.insert(0, Format::Raw);
            }
            Err(Error::AmbiguousFormat { file: file.name().to_owned(), formats })
        }
    }
}

/// Refuses a file of a format that is not read.
pub(super) fn refuse_foreign(file: &ImageFile) -> Result<()> {
    match foreign::of(file)? {
        Some(foreign) => Err(Error::ForeignFormat {
            file: file.name().to_owned(),
            format: foreign.name,
            hint: Hint::Elsewhere(foreign.advice),
        }),
        None => Ok(()),
    }
}

/// Whether the content may be a guest's own: by its name, by the name that a symlink leads to, or since it is a device.
pub(super) fn may_be_raw(file: &ImageFile) -> bool {
    let named = |path: &Path| has_raw_ending(path) || is_flat_extent(path);
    let leads_to = || {
        let path = file.path().filter(|path| path.is_symlink())?;
        path.canonicalize().ok()
    };
    named(name(file)) || file.is_device() || leads_to().is_some_and(|path| named(&path))
}

fn without_signature(file: &ImageFile) -> Result<Format> {
    refuse_foreign(file)?;
    let is_raw = has_raw_ending(name(file));
    match vhd::near_end(file)? {
        Some(defect) if is_raw => Err(defect),
        Some(_) => Ok(Format::Vhd),
        None if is_raw => Ok(Format::Raw),
        None => Err(Error::NotRecognised { file: file.name().to_owned() }),
    }
}

/// Where it lies, or what it is called where it lies in no file system.
fn name(file: &ImageFile) -> &Path {
    file.path().unwrap_or(Path::new(file.name()))
}

fn has_raw_ending(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str());
    ending.is_some_and(|ending| RAW_ENDINGS.iter().any(|raw| raw.eq_ignore_ascii_case(ending)))
}

/// Whether it is called like an extent of a VMDK that holds nothing but the disk's bytes: `NAME-flat.vmdk`, `NAME-f001.vmdk`.
fn is_flat_extent(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase());
    let stem = name.as_deref().and_then(|name| name.strip_suffix(".vmdk"));
    let part = stem.and_then(|stem| stem.rsplit_once('-')).map(|(_, part)| part);
    let numbered = |part: &str| {
        part.strip_prefix('f')
            .is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    };
    part.is_some_and(|part| part == "flat" || numbered(part))
}
