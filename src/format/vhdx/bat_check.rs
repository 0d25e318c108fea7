//! Looking for what is wrong with the BAT, [MS-VHDX] 2.5.

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
    /// Which entry it is.
    pub(super) index: u64,
    /// What the repair makes of it.
    pub(super) entry: u64,
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
    let mut unused = false;
    bat.for_each(file, |index, entry| match use_of(file, contents, index, entry) {
        Ok(Use::Bytes(len)) if !allocation.take(entry.file_offset()..entry.file_offset() + len) => {
            report(overlap(file, contents, index, entry))
        }
        Ok(Use::Bytes(_)) => Ok(()),
        Ok(Use::Nothing) => {
            unused = true;
            report(leftover(file, contents, index, entry))
        }
        Ok(Use::None) => Ok(()),
        Err(Error::Defect(defect)) => report(lost(contents, index, defect)),
        Err(e) => Err(e),
    })?;
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
        return bat.bitmap_at(&cursor, index, entry).map(|_| Use::Bytes(MIB));
    };
    // The last chunk of a differencing disk is whole in the BAT.
    let beyond = block << bat.block_shift >= bat.size;
    let (_, state) = bat.payload(&mut cursor, block)?;
    if !state.is_present() || beyond {
        let named = state.is_present() || entry.file_offset() != 0;
        return Ok(if named { Use::Nothing } else { Use::None });
    }
    bat.check_payload(&cursor, block, entry)?;
    if state == PayloadState::PartiallyPresent {
        bat.bitmap(&mut cursor, block)?;
    }
    Ok(Use::Bytes(1 << bat.block_shift))
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
        index,
        entry,
    }
}

/// An entry that names a place and needs none.
fn leftover(file: &ImageFile, contents: &Contents, index: u64, entry: BatEntry) -> Fault {
    let at = contents.bat.table.entry_offset(index);
    let (expected, found) = ("no place where none is needed", format!("{:#x}", entry.raw()));
    Fault {
        severity: Severity::Warning,
        defect: file.defect_box(Vhdx, Problem::Value, "BAT entry", at, expected, found),
        consequence: "Hyper-V does not open disks with such entries",
        repair: Some(Repair::lossless("clear the place")),
        index,
        entry: if entry.state() <= 3 { entry.state() } else { 0 },
    }
}
