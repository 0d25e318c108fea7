//! Repairing: what [`check`](super::check) names.

use std::ops::ControlFlow;

use super::check;
use super::footer::Found;
use super::footer_pair::FooterPair;
use super::layout::*;
use super::open::{self, Image};
use super::{displaced, fixed, footer};
use crate::error::{Error, Result};
use crate::findings::Repairs;
use crate::format::tools::context::OpenContext;
use crate::storage::{FileRole, ImageFile, WritableFile};

/// Repairs the image as far as `repairs` allows. What cannot be repaired stays as it is.
pub(crate) fn repair(file: &WritableFile, context: &OpenContext<'_>, repairs: Repairs) -> Result<()> {
    let found = match footer::find(&file.image(FileRole::Image)?) {
        Err(Error::Defect(_)) => {
            let image = file.image(FileRole::Image)?;
            match displaced::lost(&image)? {
                Some(lost) if lost.followed_by_nothing || repairs == Repairs::All => {
                    file.set_size(lost.end)?;
                    file.sync()?;
                    footer::find(&file.image(FileRole::Image)?)?
                }
                _ => return Ok(()),
            }
        }
        found => found?,
    };
    if repairs != Repairs::All && ends_in_a_sector(&file.image(FileRole::Image)?, &found, context)? {
        return Ok(());
    }
    let mut footers = FooterPair::new(file.clone(), &found);
    footers.restore()?;

    let image = file.image(FileRole::Image)?;
    let (bat, is_child) = match open::read(&image, context) {
        Ok(Image { blocks: Some((_, bat)), info, .. }) => (bat, info.parent.is_some()),
        Ok(Image { blocks: None, info, .. }) => {
            return fixed::cut_slack(file, &mut footers, info.size, repairs);
        }
        Err(Error::Defect(_)) => return Ok(()),
        Err(error) => return Err(error),
    };
    if repairs != Repairs::All {
        return Ok(());
    }
    check::for_misplaced(&image, &bat, &mut bat.structures(), |index, _, cut| {
        match cut {
            // The footer goes behind it. Where that lay, and between the two, there are zeros.
            Some(block) => footers.make_room(block.end.next_multiple_of(SECTOR))?,
            None => {
                file.write_all_at(&UNUSED.to_be_bytes(), bat.entry_offset(index))?;
                bat.forget(index);
            }
        }
        Ok(ControlFlow::Continue(()))
    })?;
    file.sync()?;
    if !is_child {
        let image = file.image(FileRole::Image)?;
        let bat = match open::read(&image, context)?.blocks {
            Some((_, bat)) => bat,
            None => return Ok(()),
        };
        check::for_hidden_data(&image, &bat, |index, _| {
            let Some(place) = bat.block(&image, &mut bat.cursor(&image), index)? else {
                return Ok(ControlFlow::Continue(()));
            };
            let mut bits = vec![0; bat.bitmap_size as usize];
            image.read_exact_at(&mut bits, place)?;
            let data = place + bat.bitmap_size;
            check::clear_runs(&bits, bat.used(index))
                .try_for_each(|run| file.zero(data + run.start..data + run.end))?;
            Ok(ControlFlow::Continue(()))
        })?;
        file.sync()?;
    }
    Ok(())
}

/// Whether the file ends in a sector of a block: a footer behind it would make zeros of what is missing, and nobody would
/// know any more that it is.
fn ends_in_a_sector(file: &ImageFile, found: &Found, context: &OpenContext<'_>) -> Result<bool> {
    if found.data_end.is_multiple_of(SECTOR) {
        return Ok(false);
    }
    let bat = match open::read(file, context) {
        Ok(Image { blocks: Some((_, bat)), .. }) => bat,
        Ok(_) | Err(Error::Defect(_)) => return Ok(false),
        Err(error) => return Err(error),
    };
    let mut cursor = bat.cursor(file);
    for index in 0..bat.blocks() {
        if bat.cut_block(&mut cursor, index)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}
