//! Repairing: what [`check`](super::check) names.

use std::ops::ControlFlow;

use super::check;
use super::footer_pair::FooterPair;
use super::layout::*;
use super::open::{self, Image};
use super::{displaced, fixed, footer};
use crate::error::{Error, Result};
use crate::findings::Repairs;
use crate::format::tools::context::OpenContext;
use crate::storage::{FileRole, WritableFile};

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
    check::for_misplaced(&image, &bat, &mut bat.structures(), |index, _| {
        file.write_all_at(&UNUSED.to_be_bytes(), bat.entry_offset(index))?;
        bat.forget(index);
        Ok(ControlFlow::Continue(()))
    })?;
    file.sync()?;
    if !is_child {
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
