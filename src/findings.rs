//! Checking images, and what there is to say of them.
//!
//! [`Open::check`](crate::Open::check) and [`Open::repair`](crate::Open::repair) give a [`Checked`].

use std::fmt;

use crate::disk::Warning;
use crate::error::{Defect, Error, Problem};
use crate::leaves::Format;
use crate::storage::ImageFile;

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Checked {
    /// The image's format.
    pub format: Format,
    /// What was found, in the order in which it was met.
    pub findings: Vec<Finding>,
    /// Who uses the image meanwhile, and may make findings of what is only unfinished.
    pub warnings: Vec<Warning>,
}

impl Checked {
    /// Whether there is nothing but notes.
    pub fn is_clean(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity == Severity::Note)
    }
}

/// How much a [`Finding`] matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Odd, without any consequence for the content: space that nothing uses, another creator's habits.
    Note,
    /// The content is whole here, but other software may refuse the image, or read it otherwise.
    Warning,
    /// Content is lost or in doubt; the image is not written to.
    Error,
}

impl Severity {
    /// The name on the command line and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One thing that a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// What is wrong, where, what was expected and what was found.
    pub defect: Defect,
    /// What follows from it for the content or for other software.
    pub consequence: String,
    /// What would repair it; `None` when nothing here can.
    pub repair: Option<Repair>,
}

/// How a finding can be repaired.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Repair {
    /// What is done.
    pub action: String,
    /// What is lost by it; `None` when nothing is.
    pub loses: Option<String>,
}

impl Repair {
    /// A repair that loses nothing.
    pub(crate) fn lossless(action: impl Into<String>) -> Self {
        Self { action: action.into(), loses: None }
    }

    /// A repair that loses something.
    pub(crate) fn losing(action: impl Into<String>, loses: impl Into<String>) -> Self {
        Self { action: action.into(), loses: Some(loses.into()) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.severity, self.defect, self.consequence)
    }
}

/// Which repairs may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Repairs {
    /// Those that lose nothing.
    #[default]
    Lossless,
    /// All, also those that lose what their [`Repair::loses`] says.
    All,
}

/// What a check has found so far.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    list: Vec<Finding>,
    /// Findings beyond [`MAX_FINDINGS`].
    more: u64,
}

/// Findings that are kept: a hostile image has one for each entry of its tables.
const MAX_FINDINGS: usize = 1000;

impl Findings {
    pub(crate) fn add(
        &mut self,
        severity: Severity,
        defect: Box<Defect>,
        consequence: impl Into<String>,
        repair: Option<Repair>,
    ) {
        let finding = || Finding { severity, defect: *defect, consequence: consequence.into(), repair };
        if self.list.len() < MAX_FINDINGS {
            self.list.push(finding());
            return;
        }
        self.more += 1;
        // An error is not lost among lesser findings.
        if let Some(last) = self.list.last_mut().filter(|last| last.severity < severity) {
            *last = finding();
        }
    }

    /// Takes what kept the image, or a part of it, from being read as a finding; other errors are returned.
    pub(crate) fn catch(
        &mut self,
        error: Error,
        consequence: &str,
        repair: Option<Repair>,
    ) -> Result<(), Error> {
        match error {
            Error::Defect(defect) => {
                self.add(Severity::Error, defect, consequence, repair);
                Ok(())
            }
            other => Err(other),
        }
    }

    /// Whether more was found than is kept: who finds the same in entry after entry need not go on.
    pub(crate) fn is_full(&self) -> bool {
        self.more > 0
    }

    /// The first error among them, for those who must not go on.
    pub(crate) fn refuse(&self) -> Result<(), Error> {
        let error = self.list.iter().find(|finding| finding.severity == Severity::Error);
        match error {
            Some(finding) => Err(Error::Defect(Box::new(finding.defect.clone()))),
            None => Ok(()),
        }
    }

    pub(crate) fn finish(mut self, format: Format, file: &ImageFile) -> Checked {
        // The last one listed matters as much as any that is not.
        if self.more > 0
            && let Some(severity) = self.list.last().map(|last| last.severity)
        {
            let found = format!("at least {} more", self.more);
            let expected = format!("at most {MAX_FINDINGS} findings");
            let defect = Defect::new(format, Problem::Value, file.name(), "image", 0, expected, found);
            let consequence = "they are not listed".to_owned();
            self.list.push(Finding { severity, defect: *defect, consequence, repair: None });
        }
        let warnings = Warning::of_use(file, file.ask()).into_iter().collect();
        Checked { format, findings: self.list, warnings }
    }
}
