//! Looking for what is wrong with a VHDX file.

use super::allocation::Allocation;
use super::bat_check;
use super::contents::{Contents, Replayed};
use super::header;
use super::log::Log;
use super::write::headers::Headers;
use crate::error::{Problem, Result};
use crate::findings::{Findings, Repair, Severity};
use crate::leaves::Format::Vhdx;
use crate::storage::ImageFile;

/// What [`inspect`] has read.
pub(super) struct Inspected {
    pub(super) replayed: Replayed,
    pub(super) contents: Contents,
    pub(super) allocation: Allocation,
}

/// Looks for everything that is wrong with `file`.
pub(crate) fn check(file: &ImageFile, findings: &mut Findings) -> Result<()> {
    inspect(file, findings).map(drop)
}

/// The same, and what was read on the way, as far as it can be read.
pub(super) fn inspect(file: &ImageFile, findings: &mut Findings) -> Result<Option<Inspected>> {
    let unreadable = "the disk cannot be read";
    let read = header::creator(file).and_then(|_| Replayed::read(file));
    let replayed = match read {
        Ok(replayed) => replayed,
        Err(e) => {
            let in_use = header::current(file).is_ok_and(|current| !current.log_guid().is_nil());
            let repair = in_use.then(clear_log);
            return findings.catch(e, unreadable, repair).map(|()| None);
        }
    };
    check_headers(file, &replayed, findings)?;
    let log = replayed.log.as_ref().ok().cloned();
    let contents = match Contents::read(&replayed.file, log) {
        Ok(contents) => contents,
        Err(e) => return findings.catch(e, unreadable, None).map(|()| None),
    };
    if let Some(bad) = contents.regions.damaged {
        let (expected, found) = ("a valid table, as in the other copy", "another checksum or signature");
        let defect = file.defect_box(Vhdx, Problem::Checksum, "region table", bad, expected, found);
        let consequence = "the other copy was used; software that reads one only may refuse the disk";
        findings.add(Severity::Warning, defect, consequence, Some(Repair::lossless("write it anew")));
    }
    for what in &contents.metadata.odd_locator {
        let at = contents.regions.metadata.start;
        let expected = "a parent locator that can be read, where there is a parent";
        let defect = file.defect_box(Vhdx, Problem::Locator, "parent locator", at, expected, what);
        findings.add(Severity::Note, defect, "other software may not find the parent", None);
    }
    let allocation = bat_check::walk(&replayed.file, &contents, |fault| {
        findings.add(fault.severity, fault.defect, fault.consequence, fault.repair);
        Ok(())
    })?;
    let unused = replayed.file.size().saturating_sub(allocation.total());
    if unused > 0 {
        let found = format!("{unused} bytes that nothing uses");
        let expected = "a file that is used throughout";
        let defect = file.defect_box(Vhdx, Problem::Value, "file", allocation.end(), expected, found);
        findings.add(Severity::Note, defect, "it is larger than it need be", None);
    }
    Ok(Some(Inspected { replayed, contents, allocation }))
}

/// Headers and log.
fn check_headers(file: &ImageFile, replayed: &Replayed, findings: &mut Findings) -> Result<()> {
    let current = &replayed.current;
    if let Some(bad) = current.damaged {
        let (expected, found) = ("a valid header, as the other one", "another checksum or signature");
        let defect = file.defect_box(Vhdx, Problem::Checksum, "header", bad, expected, found);
        let consequence = "the other header was used; software that reads one only may refuse the disk";
        findings.add(Severity::Warning, defect, consequence, Some(Repair::lossless("write it anew")));
    }
    let writable = Headers::check(file, current).and_then(|()| match &replayed.log {
        Ok(place) => Log::new(file, place.clone(), current.log_guid()).map(drop),
        Err(_) => super::log::place(file, current).map(drop),
    });
    if let Err(e) = writable {
        findings.catch(e, "the disk can be read, but not written to", None)?;
    }
    if let Some(replay) = &replayed.replay {
        let (expected, found) = ("an empty log", format!("{} entries to replay", replay.entries));
        let defect =
            file.defect_box(Vhdx, Problem::Log, "log", current.header.log_offset.get(), expected, found);
        let consequence =
            "the disk was not closed cleanly; software that does not replay the log reads it wrongly";
        findings.add(Severity::Warning, defect, consequence, Some(Repair::lossless("replay the log")));
    }
    Ok(())
}

fn clear_log() -> Repair {
    Repair::losing(
        "empty the log without replaying it",
        "the changes of BAT, sector bitmaps and metadata that only the log holds: any part of the disk may be \
         missing or out of date",
    )
}
