//! Opening a VHDX file for writing.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, RwLock};

use super::Writer;
use super::headers::Headers;
use super::journal::{Journal, Session};
use super::state::State;
use crate::disk::write::WriteLayer;
use crate::error::{Error, Result};
use crate::findings::Findings;
use crate::format::vhdx::check::{self, Inspected};
use crate::format::vhdx::contents::Replayed;
use crate::format::vhdx::{header, open::info};
use crate::storage::{FileRole, ImageFile, WritableFile};

/// Opens a VHDX file for writing; a log that is not empty is replayed. `parent_size` is where the parent's content ends.
pub(crate) fn open(file: WritableFile, parent_size: Option<u64>) -> Result<Box<dyn WriteLayer>> {
    let mut inspected = inspect(&file)?;
    if inspected.replayed.replay.is_some() {
        recover(&file, inspected.replayed)?;
        inspected = inspect(&file)?;
    }
    let Inspected { replayed, contents, allocation } = inspected;
    let image = replayed.file;
    let headers = Headers::new(&image, replayed.current)?;
    let info = info(headers.current(), contents.metadata.clone(), header::creator(&image)?);
    let fixed = contents.metadata.leave_blocks_allocated && contents.metadata.parent.is_none();
    let journal = Journal::new(file.clone(), headers, replayed.log?);
    let view = journal.view()?;
    let journal = Arc::new(Mutex::new(journal));
    let state = State {
        file: file.clone(),
        journal: journal.clone(),
        view,
        contents,
        allocation,
        freed: Vec::new(),
        parent_size,
    };
    let (change, state, begun) = (Mutex::new(()), RwLock::new(state), AtomicBool::new(false));
    Ok(Box::new(Writer { info, files: [image], file, fixed, change, journal, begun, state }))
}

/// What is in the file, when nothing is wrong that forbids to write to it.
fn inspect(file: &WritableFile) -> Result<Inspected> {
    let mut findings = Findings::default();
    let inspected = check::inspect(&file.image(FileRole::Image)?, &mut findings)?;
    findings.refuse()?;
    inspected.ok_or_else(|| Error::NotWritable {
        file: file.name().to_owned(),
        reason: "it cannot be read".to_owned(),
    })
}

/// Copies what was replayed in memory to its places in the file, [MS-VHDX] 2.3.3, and empties the log. Cut short, it is done again
/// by whoever opens the file next.
pub(crate) fn recover(file: &WritableFile, replayed: Replayed) -> Result<()> {
    let Replayed { current, file: view, log, replay } = replayed;
    let Some(replay) = replay else { return Ok(()) };
    let mut journal = Journal::new(file.clone(), Headers::new(&view, current)?, log?);
    journal.begin(Session::FileChanged)?;
    copy(file, &view, &replay.overlay)?;
    journal.empty_log()
}

fn copy(
    file: &WritableFile,
    view: &ImageFile,
    overlay: &crate::format::vhdx::overlay::Overlay,
) -> Result<()> {
    let size = file.size()?;
    if view.size() > size {
        file.set_size(view.size())?;
    }
    for (range, zeros) in overlay.replaced() {
        if zeros {
            // What is new in the file is zeros already.
            let inside = range.start.min(size)..range.end.min(size);
            if !inside.is_empty() {
                file.zero(inside)?;
            }
        } else {
            let mut sector = vec![0; (range.end - range.start) as usize];
            view.read_exact_at(&mut sector, range.start)?;
            file.write_all_at(&sector, range.start)?;
        }
    }
    Ok(())
}
