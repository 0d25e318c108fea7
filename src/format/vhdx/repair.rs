//! Repairing what a check finds.

use uuid::Uuid;

use super::bat_check;
use super::contents::{Contents, Replayed};
use super::header;
use super::region;
use super::write::headers::Headers;
use super::write::journal::{Journal, Session};
use super::write::recover;
use crate::error::{Error, Result};
use crate::findings::{Repair, Repairs};
use crate::storage::{FileRole, ImageFile, WritableFile};

/// Entries of the BAT that are repaired between two walks through it.
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
    repair_bat(&mut journal, &contents, repairs)?;
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

/// Repairs entry by entry, until a walk through the BAT finds nothing that may be repaired.
fn repair_bat(journal: &mut Journal, contents: &Contents, repairs: Repairs) -> Result<()> {
    let allowed = |repair: &Option<Repair>| {
        repair.as_ref().is_some_and(|it| it.loses.is_none() || repairs == Repairs::All)
    };
    loop {
        let view = journal.view()?;
        let mut changes = Vec::new();
        bat_check::walk(&view, contents, |fault| {
            if allowed(&fault.repair) && changes.len() < BATCH {
                let lossless = fault.repair.is_some_and(|repair| repair.loses.is_none());
                changes.push((fault.index, fault.entry, lossless));
            }
            Ok(())
        })?;
        if changes.is_empty() {
            return Ok(());
        }
        for (index, entry, lossless) in changes {
            journal.begin(if lossless { Session::FileChanged } else { Session::DataChanged })?;
            if journal.room() == 0 {
                journal.publish()?;
            }
            journal.patch(contents.bat.table.entry_offset(index), &entry.to_le_bytes())?;
            contents.bat.table.forget(index);
        }
        journal.publish()?;
    }
}
