//! Changes in place that were begun and have not ended.
//!
//! [`change_in_place`](crate::chain::change_in_place) writes all that is to change into a differencing child of the image, under a
//! hidden name beside it, before it touches the image. While a file has that name, the image by itself may be half of a change; read through the child it
//! is as it will be, however far the change has come.

use std::path::{Path, PathBuf};

use super::Open;
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::storage::{Place, beside};

/// What the name of a change ends in, behind that of its image.
const ENDING: &str = ".diskport-change";

/// Where a change of the image at `path` lies until it has ended: beside the file itself, by whatever name that is called.
pub(crate) fn place(path: &Path) -> PathBuf {
    let real = path.canonicalize();
    beside(real.as_deref().unwrap_or(path), ENDING)
}

/// The change of the image at `path` that has not ended.
pub(crate) fn find(path: &Path) -> Option<PathBuf> {
    Some(place(path)).filter(|place| place.symlink_metadata().is_ok_and(|there| there.is_file()))
}

impl Open {
    /// The same options for the image itself, without a change of it that has not ended.
    pub(crate) fn without_change(&self) -> Self {
        Self { change_ignored: true, ..self.clone() }
    }

    /// The same options for a change of `image`.
    pub(crate) fn for_change(&self, image: impl Into<Place>) -> Result<Self> {
        let image = image.into();
        if self.parent.is_some() {
            let what = format!(
                "{image}: its parent cannot be named while it is changed in place: record where that lies"
            );
            return Err(Error::Unsupported { what });
        }
        let parent_format = self.format.or(self.parent_format);
        Ok(Self { format: None, parent: Some(image), parent_format, ..self.without_change() })
    }

    /// The image, of which a change has not ended, as it will be.
    pub(super) fn changed(&self, image: Place, change: &Path) -> Result<Disk> {
        self.for_change(image)?.open(change)
    }

    /// Refuses to write to an image of which a change has not ended.
    pub(super) fn check_not_changing(&self, path: &Path) -> Result<()> {
        match find(path).filter(|_| !self.change_ignored) {
            None => Ok(()),
            Some(change) => {
                let reason = format!(
                    "a change of it in place was cut off, and ends when {} is merged",
                    change.display()
                );
                Err(Error::NotWritable { file: path.display().to_string(), reason })
            }
        }
    }
}
