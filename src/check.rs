//! Checking images and repairing them: [`Open::check`] and [`Open::repair`] give a [`Checked`].

use std::path::Path;
use std::sync::Arc;

use crate::error::Result;
pub(crate) use crate::findings::Findings;
pub use crate::findings::{Checked, Finding, Repair, Repairs, Severity};
use crate::format;
use crate::job::Phase;
use crate::open::{Open, image_at};
use crate::storage::{
    FileRole, ImageFile, NoExternal, ReadAt, Resolver, SameDirectory, WritableFile, WriteAt,
};

impl Open {
    /// Looks for everything that is wrong with the image at `path`, changing nothing. Parents are not looked at.
    ///
    /// # Errors
    ///
    /// What is wrong with the image is found, not failed with; [`crate::Error::Io`] when it cannot be read,
    /// [`crate::Error::NotRecognised`] when it is no image, [`crate::Error::Cancelled`].
    pub fn check(&self, path: impl AsRef<Path>) -> Result<Checked> {
        self.check_file(image_at(path.as_ref())?, &SameDirectory)
    }

    /// The same for the image in `storage`.
    ///
    /// # Errors
    ///
    /// As [`check`](Self::check).
    pub fn check_storage(&self, storage: impl ReadAt + 'static) -> Result<Checked> {
        self.check_file(ImageFile::new(Arc::new(storage), "(image)", FileRole::Image)?, &NoExternal)
    }

    fn check_file(&self, file: ImageFile, default: &'static dyn Resolver) -> Result<Checked> {
        let open = self.clone();
        // What is only read can be left behind when the job is cancelled.
        self.job.attend(move |job| {
            job.begin(Phase::Check, file.size());
            let format = open.format_of(&file)?;
            let mut findings = Findings::default();
            format::check(format, &file, &open.context(default), &mut findings)?;
            job.set_done(file.size());
            Ok(findings.finish(format, &file))
        })
    }

    /// Repairs the image at `path` as far as `repairs` allows, and checks it again.
    ///
    /// # Errors
    ///
    /// As [`check`](Self::check); [`crate::Error::Locked`].
    pub fn repair(&self, path: impl AsRef<Path>, repairs: Repairs) -> Result<Checked> {
        self.repair_file(&self.lock(path.as_ref())?, repairs, &SameDirectory)
    }

    /// The same for the image in `storage`.
    ///
    /// # Errors
    ///
    /// As [`repair`](Self::repair).
    pub fn repair_storage(&self, storage: impl WriteAt + 'static, repairs: Repairs) -> Result<Checked> {
        self.repair_file(&WritableFile::new(Arc::new(storage), "(image)"), repairs, &NoExternal)
    }

    fn repair_file(
        &self,
        file: &WritableFile,
        repairs: Repairs,
        default: &'static dyn Resolver,
    ) -> Result<Checked> {
        self.job.check()?;
        self.job.begin(Phase::Repair, file.size()?);
        let format = self.format_of(&file.image(FileRole::Image)?)?;
        format::repair(format, file, &self.context(default), repairs)?;
        self.check_file(file.image(FileRole::Image)?, default)
    }
}
