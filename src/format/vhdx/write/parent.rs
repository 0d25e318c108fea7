//! Recording another parent.

use zerocopy::{FromBytes, IntoBytes};

use super::journal::Session;
use super::state::State;
use crate::disk::write::ParentLink;
use crate::error::{Error, Result};
use crate::format::tools::space::Space;
use crate::format::vhdx::layout::{MetadataTableEntry, MetadataTableHeader};
use crate::format::vhdx::log::SECTOR;
use crate::format::vhdx::{locator, metadata};
use crate::leaves::Format::Vhdx;

const HEADER: u64 = size_of::<MetadataTableHeader>() as u64;
const ENTRY: u64 = size_of::<MetadataTableEntry>() as u64;

/// Gives the parent locator item new content, in one log entry.
pub(super) fn set(state: &mut State, parent: &ParentLink<'_>) -> Result<()> {
    let locator = locator::encode(parent)?;
    let region = state.contents.regions.metadata.clone();
    let header: MetadataTableHeader = state.view.read_struct(Vhdx, "metadata table", region.start)?;
    let length = u64::from(header.entry_count.get()) * ENTRY;
    let table =
        state.view.read_vec(Vhdx, "metadata table", region.start + HEADER, length, metadata::TABLE)?;
    let mut used = Space::default();
    // Ranges that overlap were refused when the file was opened.
    let _ = used.take(0..metadata::TABLE);
    let mut own = None;
    for (bytes, at) in
        table.chunks_exact(ENTRY as usize).zip((region.start + HEADER..).step_by(ENTRY as usize))
    {
        let Ok(entry) = MetadataTableEntry::read_from_bytes(bytes) else { break };
        if entry.item_id == metadata::PARENT_LOCATOR.id.to_bytes_le() {
            own = Some((at, entry));
        } else {
            let start = u64::from(entry.offset.get());
            let _ = used.take(start..start + u64::from(entry.length.get()));
        }
    }
    let needed = locator.len() as u64;
    let last = used.end()..region.end - region.start;
    let gap = used.gaps().chain([last]).find(|gap| gap.start.saturating_add(needed) <= gap.end);
    let (Some((at, mut entry)), Some(gap)) = (own, gap) else {
        let reason =
            format!("{}: there is no room for a parent locator of {needed} bytes", state.file.name());
        return Err(Error::Layout { reason });
    };
    entry.offset = (gap.start as u32).into();
    entry.length = (needed as u32).into();
    state.journal().begin(Session::FileChanged)?;
    state.make_room((needed / SECTOR + 4) as usize)?;
    state.journal().patch(region.start + gap.start, &locator)?;
    state.journal().patch(at, entry.as_bytes())?;
    state.publish()
}
