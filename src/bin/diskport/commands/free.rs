//! `map --free`: what the file systems of a disk hold free.

use std::process::ExitCode;

use diskport::Disk;
use diskport::free::FreeSpace;
use serde::Serialize;

use crate::args::say_notes;
use crate::console::{self, say};
use crate::failure::Failure;
use crate::size::show;

#[derive(Serialize)]
struct Row {
    start: u64,
    length: u64,
    /// `free`, or `paging`: in use, and of no worth to a system that was shut down.
    kind: &'static str,
}

pub fn list(disk: &Disk, json: bool) -> Result<ExitCode, Failure> {
    let space = FreeSpace::of(disk)?;
    let mut rows = Vec::new();
    for (ranges, kind) in [(&space.free, "free"), (&space.paging, "paging")] {
        rows.extend(ranges.iter().map(|range| Row {
            start: range.start,
            length: range.end - range.start,
            kind,
        }));
    }
    rows.sort_unstable_by_key(|row| row.start);
    say_notes(&space);
    if json {
        console::print_json(&rows)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = format!("{:>16} {:>16}  KIND\n", "START", "LENGTH");
    for Row { start, length, kind } in rows {
        out.push_str(&format!("{start:>16} {length:>16}  {kind}\n"));
    }
    console::print(&out)?;
    say(&format!(
        "free: {}, page, swap and hibernation files: {}",
        show(space.free_bytes()),
        show(space.paging_bytes())
    ));
    Ok(ExitCode::SUCCESS)
}
