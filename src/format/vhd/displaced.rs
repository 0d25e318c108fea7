//! The footer of a fixed disk that does not end its file.
//!
//! A fixed disk's footer lies where the disk ends, and says how large the disk is: so it is known where it lies, too. Tools that
//! pad files leave it inside; a copy that was cut within its reserved bytes leaves all of it that counts.

use zerocopy::FromBytes;

use super::footer::{FOOTER, PIECE, is_good, is_zeros};
use super::layout::{FIXED, FOOTER_COOKIE, Footer, SECTOR};
use crate::error::{Error, Problem, Result};
use crate::leaves::Format;
use crate::leaves::Hint;
use crate::storage::ImageFile;

/// Bytes at the end of what a file holds that are searched, where most files are none that are looked for.
const NEAR: u64 = 2 << 20;
/// The same, where the file is refused otherwise.
pub(super) const FAR: u64 = 256 << 20;

/// A footer that does not end its file.
pub(super) struct Lost {
    /// Where it begins.
    at: u64,
    /// Where it ends.
    pub(super) end: u64,
    /// Whether what follows holds nothing.
    pub(super) followed_by_nothing: bool,
}

/// Looks for the footer of a fixed disk inside the file, where it says that it lies. A cut while the file grew leaves it so.
///
/// Reads all data of the file.
pub(super) fn lost(file: &ImageFile) -> Result<Option<Lost>> {
    lost_from(file, 0)
}

/// The error for a file that ends with no footer, and has one of a fixed disk near the end of its data. `None` when it has not.
pub(crate) fn near_end(file: &ImageFile) -> Result<Option<Error>> {
    displaced(file, NEAR)
}

/// The same, in the last `within` bytes of data.
pub(super) fn displaced(file: &ImageFile, within: u64) -> Result<Option<Error>> {
    let Some(lost) = lost_from(file, begin_of_last(within, file))? else { return Ok(None) };
    let (found, problem) = match file.size().checked_sub(lost.end) {
        Some(behind) => (format!("one at {}, and {behind} bytes behind it", lost.at), Problem::Value),
        None => (format!("one at {} that is cut", lost.at), Problem::Truncated),
    };
    let hint = if lost.followed_by_nothing { Hint::EndWithFooter } else { Hint::CutBehindFooter };
    let expected = "a fixed disk's footer at the file's end";
    Ok(Some(file.defect_box(Format::Vhd, problem, FOOTER, lost.at, expected, found).advise(hint).into()))
}

fn lost_from(file: &ImageFile, from: u64) -> Result<Option<Lost>> {
    let mut lost = None;
    let mut buf = vec![0; PIECE as usize];
    let mut at = from;
    while at < file.size() {
        // What the storage knows to be zeros holds no footer.
        at = file.past_hole(at) / SECTOR * SECTOR;
        // A sector that the file's end cuts is looked at as if zeros followed.
        let len = PIECE.min(file.size().saturating_sub(at)) as usize;
        let piece = &mut buf[..len.next_multiple_of(SECTOR as usize)];
        piece[len..].fill(0);
        file.read_exact_at(&mut piece[..len], at)?;
        for (place, sector) in (at..).step_by(SECTOR as usize).zip(piece.chunks_exact(SECTOR as usize)) {
            let footer = Footer::read_from_bytes(sector).ok().filter(|footer| {
                let here = footer.current_size == place || footer.mark() == Some(place);
                here && footer.disk_type == FIXED && footer.cookie == FOOTER_COOKIE && is_good(footer)
            });
            lost = footer.map(|footer| (footer, place)).or(lost);
        }
        at += PIECE;
    }
    let Some((footer, at)) = lost.filter(|(_, at)| at + SECTOR != file.size()) else { return Ok(None) };
    let end = at + SECTOR;
    let followed_by_nothing = footer.mark().is_some() || is_zeros(file, &(end..file.size()))?;
    Ok(Some(Lost { at, end, followed_by_nothing }))
}

/// Where the last `within` bytes of data begin, or before. A hole at the end of a sparse file is none.
fn begin_of_last(within: u64, file: &ImageFile) -> u64 {
    let holds_data_from = |at| !file.next_data(at).is_ok_and(|data| data.is_empty());
    let tail = file.size().saturating_sub(within);
    if holds_data_from(tail) {
        return tail.saturating_sub(within);
    }
    // From where on there is only a hole: everything before has data behind it.
    let (mut before, mut end) = (0, tail);
    while before < end {
        let middle = before + (end - before) / 2;
        if holds_data_from(middle) { before = middle + 1 } else { end = middle }
    }
    end.saturating_sub(within)
}
