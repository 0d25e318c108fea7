//! Moving what lies at the file's end into gaps.

use super::journal::Session;
use super::state::State;
use crate::error::Result;
use crate::format::vhdx::bat::{self, Page};
use crate::job::Job;
use crate::leaves::MIB;

/// Moves blocks to where there is room before them, until the file is as short as it can be, or `job` stops it.
pub(super) fn pack(state: &mut State, job: &Job) -> Result<()> {
    state.publish()?;
    let region = state.contents.regions.bat.clone();
    let len = region.end - region.start;
    if region.end > state.allocation.total() && state.allocation.gap(len) < region.start {
        state.journal().begin(Session::FileChanged)?;
        state.move_bat(len)?;
    }
    while pass(state, job)? {}
    Ok(())
}

/// Moves what lies behind the end that the file would have without gaps; says whether anything was moved.
fn pass(state: &mut State, job: &Job) -> Result<bool> {
    let end = state.allocation.total();
    let mut moved = false;
    let mut page = Page::default();
    while state.bat().next_page(&state.view, &mut page)? {
        for &(index, entry) in &page.entries {
            let is_block = state.bat().block_of(index).is_some();
            let len = if is_block { state.block_size() } else { MIB };
            let old = entry.file_offset()..entry.file_offset() + len;
            let present = entry.state() >= bat::PRESENT && (is_block || state.bat().differencing);
            if !present || old.end <= end || state.allocation.gap(len) >= old.start {
                continue;
            }
            job.check()?;
            state.journal().begin(Session::FileChanged)?;
            state.make_room(1)?;
            let room = state.reserve(len)?;
            let done = state
                .copy(old.clone(), room.place..room.place + len, room.stale)
                .and_then(|()| state.set_entry(index, room.place | entry.state()));
            done.inspect_err(|_| state.release(room, len))?;
            state.forget_bitmaps(room.place, len);
            state.freed.push(old);
            moved = true;
        }
    }
    state.publish()?;
    Ok(moved)
}
