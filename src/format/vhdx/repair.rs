//! Repairing what a check finds.

use uuid::Uuid;

use super::bat_check::{self, Mend};
use super::contents::{Contents, Replayed};
use super::header;
use super::region;
use super::write::headers::Headers;
use super::write::journal::{Journal, Session};
use super::write::recover;
use crate::error::{Error, Result};
use crate::findings::Repairs;
use crate::storage::{FileRole, ImageFile, WritableFile};

/// Entries of the BAT that are repaired at once.
const BATCH: usize = 1 << 16;

/// Repairs `file` as far as `repairs` allows. What cannot be repaired is left as it is: a check tells.
pub(crate) fn repair(file: &WritableFile, repairs: Repairs) -> Result<()> {
    match repair_all(file, repairs) {
        Err(Error::Defect(_)) => Ok(()),
        result => result,
    }
}

fn repair_all(file: &WritableFile, repairs: Repairs) -> Result<()> {
    let image = || file.image(FileRole::Image);
    header::creator(&image()?)?;
    let mut replayed = match Replayed::read(&image()?) {
        Err(Error::Defect(_)) if repairs == Repairs::All => {
            clear_log(file, &image()?)?;
            Replayed::read(&image()?)?
        }
        replayed => replayed?,
    };
    if replayed.replay.is_some() {
        recover(file, replayed)?;
        replayed = Replayed::read(&image()?)?;
    }
    let Replayed { current, file: view, log, .. } = replayed;
    let log = log?;
    let damaged = current.damaged;
    let mut journal = Journal::new(file.clone(), Headers::new(&view, current)?, log.clone());
    if damaged.is_some() {
        // Both are written anew by it.
        journal.begin(Session::FileChanged)?;
    }
    let contents = Contents::read(&view, Some(log))?;
    if let Some(bad) = contents.regions.damaged {
        journal.begin(Session::FileChanged)?;
        let table = region::moved(&view, &contents.regions, region::BAT, &contents.regions.bat)?;
        file.write_all_at(&table, bad)?;
    }
    repair_bat(file, &mut journal, &contents, repairs)?;
    journal.close(file.size()?)
}

/// Empties a log that cannot be replayed.
fn clear_log(file: &WritableFile, image: &ImageFile) -> Result<()> {
    let mut headers = Headers::new(image, header::current(image)?)?;
    headers.update(file, |header| {
        header.file_write_guid = Uuid::new_v4().to_bytes_le();
        header.log_guid = [0; 16];
    })
}

/// Repairs entry by entry, until a walk through the BAT changes nothing.
///
/// A walk may bring to light what an entry that is no more has hidden. There are few walks: what is repaired has no
/// place that the next one could find fault with.
fn repair_bat(
    file: &WritableFile,
    journal: &mut Journal,
    contents: &Contents,
    repairs: Repairs,
) -> Result<()> {
    let mut changed = true;
    while changed {
        changed = false;
        let view = journal.view()?;
        let mut entries = Vec::new();
        bat_check::walk(&view, contents, |fault| {
            let loses = fault.repair.map(|repair| repair.loses.is_some());
            match (loses, fault.mend) {
                (None, _) => {}
                (Some(true), _) if repairs != Repairs::All => {}
                (Some(loses), Mend::Entry { index, entry }) => entries.push((index, entry, loses)),
                (Some(_), Mend::Length(size)) => {
                    // No byte that could be read is another now: children still know the disk.
                    journal.begin(Session::FileChanged)?;
                    file.set_size(size)?;
                    changed = true;
                }
            }
            if entries.len() == BATCH {
                changed |= replace(journal, contents, &view, &mut entries)?;
            }
            Ok(())
        })?;
        changed |= replace(journal, contents, &view, &mut entries)?;
        if changed {
            journal.publish()?;
        }
    }
    Ok(())
}

/// Gives entries of the BAT the values that they are to have, and says whether any of them had another.
fn replace(
    journal: &mut Journal,
    contents: &Contents,
    view: &ImageFile,
    entries: &mut Vec<(u64, u64, bool)>,
) -> Result<bool> {
    let table = &contents.bat.table;
    let mut cursor = table.cursor(view);
    let mut changed = false;
    for &(index, entry, loses) in &*entries {
        if cursor.get(index)? == entry {
            continue;
        }
        changed = true;
        journal.begin(if loses { Session::DataChanged } else { Session::FileChanged })?;
        if journal.room() == 0 {
            journal.publish()?;
        }
        journal.patch(table.entry_offset(index), &entry.to_le_bytes())?;
    }
    // Only now, so that a page is not read again for each of its entries.
    entries.drain(..).for_each(|(index, ..)| table.forget(index));
    Ok(changed)
}
