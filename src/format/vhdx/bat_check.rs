//! Looking for what is wrong with the BAT, [MS-VHDX] 2.5.

use std::ops::Range;

use super::allocation::Allocation;
use super::bat::{BatEntry, PayloadState, ZERO};
use super::contents::Contents;
use crate::error::{Defect, Error, Problem, Result};
use crate::findings::{Repair, Severity};
use crate::leaves::Format::Vhdx;
use crate::leaves::MIB;
use crate::storage::ImageFile;

/// An entry that is wrong.
pub(super) struct Fault {
    pub(super) severity: Severity,
    pub(super) defect: Box<Defect>,
    pub(super) consequence: &'static str,
    pub(super) repair: Option<Repair>,
    pub(super) mend: Mend,
}

/// What a repair does.
pub(super) enum Mend {
    /// It makes `entry` of the one at `index`.
    Entry { index: u64, entry: u64 },
    /// It makes the file so long.
    Length(u64),
}

/// Hands everything that is wrong with the BAT to `report`, and returns which parts of the file are taken.
pub(super) fn walk(
    file: &ImageFile,
    contents: &Contents,
    mut report: impl FnMut(Fault) -> Result<()>,
) -> Result<Allocation> {
    let bat = &contents.bat;
    let mut allocation = Allocation::default();
    for reserved in &contents.regions.reserved {
        allocation.take(reserved.range.clone());
    }
    let (mut unused, mut cut) = (false, false);
    bat.for_each(file, |index, entry| match use_of(file, contents, index, entry) {
        Ok(Use::Bytes(len)) if !allocation.take(entry.file_offset()..entry.file_offset() + len) => {
            report(overlap(file, contents, index, entry))
        }
        Ok(Use::Bytes(_)) => Ok(()),
        Ok(Use::Cut(..)) => {
            cut = true;
            Ok(())
        }
        Ok(Use::Nothing) => {
            unused = true;
            report(leftover(file, contents, index, entry))
        }
        Ok(Use::None) => Ok(()),
        Err(Error::Defect(defect)) => report(lost(contents, index, defect)),
        Err(e) => Err(e),
    })?;
    if cut {
        // Only now is it known what else lies there: what is whole comes before what is cut.
        bat.for_each(file, |index, entry| match use_of(file, contents, index, entry) {
            Ok(Use::Cut(len, defect)) => {
                let range = entry.file_offset()..entry.file_offset() + len;
                let free = allocation.take(range.clone());
                report(if free {
                    short(file, contents, index, range, defect)
                } else {
                    lost(contents, index, defect)
                })
            }
            _ => Ok(()),
        })?;
    }
    if unused {
        // Nothing of ours shall lie where such entries lead: other software may take it for theirs.
        bat.for_each(file, |index, entry| {
            let len = if bat.block_of(index).is_some() { 1 << bat.block_shift } else { MIB };
            if entry.file_offset() != 0 && entry.file_offset() < file.size() {
                allocation.take(entry.file_offset()..entry.file_offset().saturating_add(len));
            }
            Ok(())
        })?;
    }
    Ok(allocation)
}

/// What an entry uses of the file.
enum Use {
    Bytes(u64),
    /// The same, though the file ends before the last of them.
    Cut(u64, Box<Defect>),
    /// Nothing, though it names a place.
    Nothing,
    None,
}

fn use_of(file: &ImageFile, contents: &Contents, index: u64, entry: BatEntry) -> Result<Use> {
    let bat = &contents.bat;
    let mut cursor = bat.table.cursor(file);
    let Some(block) = bat.block_of(index) else {
        if !bat.differencing || entry.state() == 0 {
            return Ok(Use::Nothing);
        }
        return used(file, entry, MIB, bat.bitmap_at(&cursor, index, entry).map(drop));
    };
    // The last chunk of a differencing disk is whole in the BAT.
    let beyond = block << bat.block_shift >= bat.size;
    let (_, state) = bat.payload(&mut cursor, block)?;
    if !state.is_present() || beyond {
        let named = state.is_present() || entry.file_offset() != 0;
        return Ok(if named { Use::Nothing } else { Use::None });
    }
    let place = used(file, entry, 1 << bat.block_shift, bat.check_payload(&cursor, block, entry))?;
    if state == PayloadState::PartiallyPresent {
        let bitmap = bat.bitmap_entry(&mut cursor, block)?;
        // Of one that is cut, its own entry tells.
        used(file, bitmap, MIB, bat.bitmap(&mut cursor, block).map(drop))?;
    }
    Ok(place)
}

/// The use of `len` bytes, whose place was looked at with this outcome.
fn used(file: &ImageFile, entry: BatEntry, len: u64, checked: Result<()>) -> Result<Use> {
    match checked {
        Ok(()) => Ok(Use::Bytes(len)),
        Err(Error::Defect(defect))
            if defect.problem == Problem::OutOfFile && entry.file_offset() < file.size() =>
        {
            Ok(Use::Cut(len, defect))
        }
        Err(e) => Err(e),
    }
}

/// An entry that uses what another one uses.
fn overlap(file: &ImageFile, contents: &Contents, index: u64, entry: BatEntry) -> Fault {
    let at = contents.bat.table.entry_offset(index);
    let (expected, found) = ("space that nothing else uses", format!("a block at {}", entry.file_offset()));
    lost(contents, index, file.defect_box(Vhdx, Problem::Overlap, "BAT entry", at, expected, found))
}

/// An entry whose content is lost.
fn lost(contents: &Contents, index: u64, defect: Box<Defect>) -> Fault {
    let bat = &contents.bat;
    // Zeros can be told from what was there; what a parent had there long ago cannot.
    let (entry, action) = match bat.block_of(index) {
        Some(_) if bat.differencing => (ZERO, "make the block zeros"),
        Some(_) => (0, "make the block zeros"),
        None => (0, "take the sector bitmap block away"),
    };
    let loses = match bat.block_of(index) {
        Some(block) => {
            let start = block << bat.block_shift;
            format!(
                "the disk's bytes from {start} on, up to {}",
                bat.size.min(start + (1 << bat.block_shift))
            )
        }
        None => "what the partially present blocks of the chunk hold".to_owned(),
    };
    Fault {
        severity: Severity::Error,
        defect,
        consequence: "what the entry stands for cannot be read, or is another block's",
        repair: Some(Repair::losing(action, loses)),
        mend: Mend::Entry { index, entry },
    }
}

/// An entry whose place, `range`, is its own, and of which the file has only a part.
fn short(file: &ImageFile, contents: &Contents, index: u64, range: Range<u64>, defect: Box<Defect>) -> Fault {
    let bat = &contents.bat;
    let loses = match bat.block_of(index) {
        Some(block) => {
            let start = block << bat.block_shift;
            let end = bat.size.min(start + (1 << bat.block_shift));
            let missing = start + (file.size() - range.start);
            format!(
                "the disk's bytes from {missing} on, up to {end}, which the file lacks: they become zeros"
            )
        }
        None => "which sectors are present, as far as the file lacks their bits".to_owned(),
    };
    let action =
        format!("make the file {} bytes longer, as it was before it was cut", range.end - file.size());
    Fault {
        severity: Severity::Error,
        defect,
        consequence: "the block cannot be read: the file was cut",
        repair: Some(Repair::losing(action, loses)),
        mend: Mend::Length(range.end),
    }
}

/// An entry that names a place and needs none.
fn leftover(file: &ImageFile, contents: &Contents, index: u64, entry: BatEntry) -> Fault {
    let at = contents.bat.table.entry_offset(index);
    let (expected, found) = ("no place where none is needed", format!("{:#x}", entry.raw()));
    // The states below are a payload block's; a sector bitmap block that is not needed has none.
    let state = contents.bat.block_of(index).map_or(0, |_| entry.state());
    Fault {
        severity: Severity::Warning,
        defect: file.defect_box(Vhdx, Problem::Value, "BAT entry", at, expected, found),
        consequence: "Hyper-V does not open disks with such entries",
        repair: Some(Repair::lossless("clear the place")),
        mend: Mend::Entry { index, entry: if state <= 3 { state } else { 0 } },
    }
}
