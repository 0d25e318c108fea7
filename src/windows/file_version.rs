//! The version that a program's own resources give it.

use std::sync::Arc;

use pelite::PeFile;
use zerocopy::IntoBytes;

use super::program::Program;
use crate::error::{Error, Result};
use crate::storage::ReadAt;

/// Bytes of a file up to the end of its resources; some drivers have 10 MB.
const MAX_FILE: u64 = 64 << 20;
/// Bytes of resources that are read; they may hold pictures.
const MAX_RESOURCES: u64 = 4 << 20;

/// The file version of a program, as `7.33.3000.1`; `None` when it has none, or is no program.
///
/// # Errors
///
/// [`Error::Io`] when reading fails.
pub fn file_version(file: &Arc<dyn ReadAt>) -> Result<Option<String>> {
    let failed = |e| Error::io("read", "program", e);
    let size = file.size().map_err(failed)?;
    let mut prefix = vec![0; size.min(Program::PREFIX) as usize];
    file.read_exact_at(&mut prefix, 0).map_err(failed)?;
    let Some(program) = Program::parse(&prefix) else { return Ok(None) };
    let (headers, resources) = (program.headers(), program.resources());
    let len = resources.end.max(headers);
    let odd = resources.end - resources.start > MAX_RESOURCES
        || headers > resources.start
        || len > MAX_FILE.min(size);
    if resources.is_empty() || odd {
        return Ok(None);
    }
    // What is looked at, in its place, and zeros between; in words, for the structures are aligned.
    let mut words = vec![0_u32; (len as usize).div_ceil(size_of::<u32>())];
    let bytes = words.as_mut_bytes();
    file.read_exact_at(&mut bytes[..headers as usize], 0).map_err(failed)?;
    let section = &mut bytes[resources.start as usize..resources.end as usize];
    file.read_exact_at(section, resources.start).map_err(failed)?;
    let version = PeFile::from_bytes(&bytes[..len as usize])
        .and_then(|file| file.resources())
        .ok()
        .and_then(|resources| resources.version_info().ok())
        .and_then(|info| info.fixed().map(|fixed| fixed.dwFileVersion.to_string()));
    Ok(version)
}
