//! What a file holds: headers, log, regions, metadata, BAT, in this order, since each says where the next is.

use std::ops::Range;
use std::sync::Arc;

use super::bat::Bat;
use super::header::{self, Current};
use super::log::{self, Log};
use super::metadata::{self, Metadata};
use super::overlay::Overlay;
use super::region::{self, Regions};
use super::replay;
use crate::error::Result;
use crate::storage::ImageFile;

/// The current header, and the file with its log replayed in memory.
pub(crate) struct Replayed {
    pub(crate) current: Current,
    pub(crate) file: ImageFile,
    /// Where the log lies. Why it cannot be used does not matter to a reader while it is empty.
    pub(crate) log: Result<Range<u64>>,
    /// What was replayed of a log that is not empty.
    pub(crate) replay: Option<Replay>,
}

/// A log that was replayed in memory.
pub(crate) struct Replay {
    pub(crate) overlay: Arc<Overlay>,
    /// The number of entries.
    pub(crate) entries: usize,
    /// Whether there are newer entries, which do not make up a valid sequence.
    pub(crate) newer_ignored: bool,
}

impl Replayed {
    pub(crate) fn read(file: &ImageFile) -> Result<Self> {
        let current = header::current(file)?;
        let place = log::place(file, &current);
        if current.log_guid().is_nil() {
            return Ok(Self { current, file: file.clone(), log: place, replay: None });
        }
        let log = Log::new(file, place?, current.log_guid())?;
        let sequence = log.active()?;
        let overlay = Arc::new(replay::replay(&log, &sequence)?);
        Ok(Self {
            current,
            file: file.with_storage(overlay.clone())?,
            log: Ok(log.place),
            replay: Some(Replay {
                overlay,
                entries: sequence.entries.len(),
                newer_ignored: sequence.newer_ignored,
            }),
        })
    }

    /// The file as it is, whatever its log holds.
    pub(crate) fn without_log(file: &ImageFile) -> Result<Self> {
        let current = header::current(file)?;
        let log = log::place(file, &current);
        Ok(Self { current, file: file.clone(), log, replay: None })
    }
}

/// What lies where in a file whose log has been replayed.
pub(crate) struct Contents {
    pub(crate) regions: Regions,
    pub(crate) metadata: Metadata,
    pub(crate) bat: Bat,
}

impl Contents {
    /// Reads `file`; `log` is where its log lies.
    pub(crate) fn read(file: &ImageFile, log: Option<Range<u64>>) -> Result<Self> {
        let regions = region::read(file, log)?;
        let metadata = metadata::read(file, &regions.metadata)?;
        let bat = Bat::new(file, &regions.bat, &metadata, regions.reserved.clone())?;
        Ok(Self { regions, metadata, bat })
    }
}
