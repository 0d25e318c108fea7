//! Checking images and repairing them: [`Open::check`] and [`Open::repair`] give a [`Checked`].

mod stoppable;

use stoppable::{StoppableExtents, Watch};

use crate::error::Result;
pub(crate) use crate::findings::Findings;
pub use crate::findings::{Checked, Finding, Repair, Repairs, Severity};
use crate::format::{self, OpenContext};
use crate::job::Phase;
use crate::open::Open;
use crate::storage::resolver::Placed;
use crate::storage::{FileRole, ImageFile, Place, WriteAt};

impl Open {
    /// Looks for everything that is wrong with `image`, changing nothing. Parents are not looked at.
    ///
    /// # Errors
    ///
    /// What is wrong with the image is found, not failed with; [`crate::Error::Io`] when it cannot be read,
    /// [`crate::Error::NotRecognised`] when it is no image, [`crate::Error::Cancelled`].
    pub fn check(&self, image: impl Into<Place>) -> Result<Checked> {
        self.check_file(image.into().image(FileRole::Image)?)
    }

    fn check_file(&self, file: ImageFile) -> Result<Checked> {
        let open = self.clone();
        // What is only read can be left behind when the job is cancelled.
        self.job.attend(move |job| {
            job.begin(Phase::Check, file.size());
            let format = open.format_of(&file)?;
            let mut findings = Findings::default();
            open.with_known_extents(format::check(format, &file, &open.context(), &mut findings))?;
            job.set_done(file.size());
            Ok(findings.finish(format, &file))
        })
    }

    /// Repairs `image` as far as `repairs` allows, and checks it again. When the job is cancelled, what was repaired by then stays so,
    /// and the repair can be run again.
    ///
    /// # Errors
    ///
    /// As [`check`](Self::check); [`crate::Error::Locked`].
    pub fn repair(&self, image: impl Into<Place<dyn WriteAt>>, repairs: Repairs) -> Result<Checked> {
        let file = &self.lock(image)?;
        self.job.check()?;
        self.job.begin(Phase::Repair, file.size()?);
        let format = self.format_of(&file.image(FileRole::Image)?)?;
        let OpenContext { resolver, choices } = self.context();
        let watch = Watch::new(&self.job);
        let extents = StoppableExtents { extents: resolver, watch: watch.clone() };
        let context = OpenContext { resolver: Placed::from(&extents), choices };
        let repaired = format::repair(format, &watch.over(file.clone()), &context, repairs);
        repaired.or_else(|e| self.job.check().and(Err(e)))?;
        self.check_file(file.image(FileRole::Image)?)
    }
}
