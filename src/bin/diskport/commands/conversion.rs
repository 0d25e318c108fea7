//! What the conversions that write a child or a copy share.

use std::path::Path;

use diskport::copy::OutputFormat;
use diskport::{Child, Disk, Format, Ids};

use super::output;
use crate::args::{ConversionArgs, OutputKind};
use crate::failure::Failure;

impl ConversionArgs {
    /// The format of a copy, or `None` for a child. What the options rule out is said here, before anything is opened.
    pub fn copy_format(&self, destination: &Path) -> Result<Option<OutputFormat>, Failure> {
        match self.output_kind {
            // Other identities make another output, which cannot go on where one left off.
            OutputKind::Copy if self.output.resume && self.output.seed.is_none() => {
                Err(Failure::Usage("--resume of a conversion needs the same --seed each time".to_owned()))
            }
            OutputKind::Copy => output::format(destination, self.format, None).map(Some),
            OutputKind::Child if self.format.is_some() => {
                Err(Failure::Usage("--format is for --output-kind copy: a child has its parent's".to_owned()))
            }
            OutputKind::Child
                if self.output.verify || self.output.resume || !self.output.digest.is_empty() =>
            {
                Err(Failure::Usage("--verify, --resume and --digest are for --output-kind copy".to_owned()))
            }
            OutputKind::Child
                if self.output.level.is_some()
                    || self.output.threads.is_some()
                    || self.output.rate_limit.is_some() =>
            {
                Err(Failure::Usage(
                    "--level, --threads and --rate-limit are for --output-kind copy".to_owned(),
                ))
            }
            OutputKind::Child => Ok(None),
        }
    }

    /// Refuses a name for a child of `source` that ends in another format.
    pub fn check_name(&self, source: &Disk, destination: &Path) -> Result<(), Failure> {
        if self.output_kind == OutputKind::Copy {
            return Ok(());
        }
        let below = source.chain().first().map_or(Format::Raw, |top| top.info().format);
        output::check_name(destination, below.of_child())
    }

    pub fn ids(&self) -> Ids {
        self.output.seed.map_or_else(Ids::random, Ids::seeded)
    }

    pub fn write_child(&self, child: Child, destination: &Path) -> Result<(), Failure> {
        child
            .overwrite(self.output.locks.overwrite(self.output.overwrite))
            .sync(!self.output.no_sync)
            .create(destination)?;
        output::warn_of_place(destination, &self.open.policy);
        Ok(())
    }
}
