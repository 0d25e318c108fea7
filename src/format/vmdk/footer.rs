//! The end of a streamOptimized extent: footer marker, footer, end-of-stream marker.

use super::layout::{KDMV, MARKER_FOOTER, Marker, SECTOR};
use crate::error::{Problem, Result};
use crate::leaves::Format;
use crate::leaves::Hint;
use crate::leaves::is_zero;
use crate::storage::ImageFile;

/// How far before the end of the file the footer is looked for: some writers and transports pad the file with zeros.
const TAIL: u64 = 128 * 1024;

/// Where the footer of the extent in `file` lies, whose header says that there is one.
pub(super) fn find(file: &ImageFile) -> Result<u64> {
    let truncated = |structure, offset, expected: &str, found: String| {
        file.defect_box(Format::Vmdk, Problem::Truncated, structure, offset, expected, found)
            .advise(Hint::WholeFile)
            .into()
    };
    let sectors = file.size() / SECTOR;
    let tail = (sectors * SECTOR).min(TAIL);
    let start = sectors * SECTOR - tail;
    let mut bytes = vec![0; tail as usize];
    file.read_exact_at(&mut bytes, start)?;
    let last = bytes.chunks_exact(SECTOR as usize).rposition(|sector| !is_zero(sector));
    let Some(last) = last.filter(|&last| last > 0) else {
        return Err(truncated(
            "footer",
            start,
            "a footer at the end of the file, to which the header refers",
            "only zeros".into(),
        ));
    };
    let at = start + last as u64 * SECTOR;
    let sector = |index: usize| bytes.get(index * SECTOR as usize..).unwrap_or_default();
    let is_footer = sector(last).starts_with(&KDMV) && is_footer_marker(sector(last - 1));
    if !is_footer {
        let expected =
            "a footer behind its marker, to which the header refers, before the end-of-stream marker";
        return Err(truncated("footer", at, expected, "neither".into()));
    }
    if at + 2 * SECTOR > file.size() {
        let found = format!("the end of the file at {}", file.size());
        return Err(truncated("end-of-stream marker", at + SECTOR, "a sector of zeros", found));
    }
    Ok(at)
}

/// Whether a footer follows the marker that `sector` begins with.
fn is_footer_marker(sector: &[u8]) -> bool {
    zerocopy::FromBytes::read_from_prefix(sector).is_ok_and(|(marker, _): (Marker, _)| {
        marker.size.get() == 0 && marker.kind.get() == MARKER_FOOTER && marker.value.get() == 1
    })
}
