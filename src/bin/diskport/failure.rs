//! What ends a command: an error of the library, or of the command line itself.

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use diskport::chain::find_parents;
use diskport::{Error, ErrorClass, Open};

use crate::console::say;
use crate::hint;

/// Why a command failed.
pub enum Failure {
    /// The library says so.
    Library(Error),
    /// The call is wrong in a way that the parser cannot see.
    Usage(String),
    /// Standard output or input failed.
    Console(io::Error),
}

impl Failure {
    /// Says what happened, then what to do about it, and gives the exit code.
    pub fn report(&self) -> ExitCode {
        let code = match self {
            Failure::Library(error) => {
                say(&format!("diskport: {error}"));
                if let Some(words) = parent_beside(error).or_else(|| error.hint().map(hint::words)) {
                    say(&format!("  {words}"));
                }
                match error.class() {
                    ErrorClass::Usage => 2,
                    ErrorClass::Refused => 3,
                    ErrorClass::Precondition => 5,
                    ErrorClass::Cancelled => 130,
                    _ => 4,
                }
            }
            Failure::Usage(message) => {
                say(&format!("diskport: {message}\n  see diskport --help"));
                2
            }
            Failure::Console(error) => {
                // Whoever read the output has had enough: nobody is left to tell.
                if error.kind() != io::ErrorKind::BrokenPipe {
                    say(&format!("diskport: cannot write to standard output: {error}"));
                }
                4
            }
        };
        ExitCode::from(code)
    }
}

/// What to do about a parent that is missing by its name, where an image beside the child bears its identity: one that was
/// renamed, or that VirtualBox knows by its UUID alone.
fn parent_beside(error: &Error) -> Option<Cow<'static, str>> {
    let Error::ParentMissing { child, .. } = error else { return None };
    let open = Open::new();
    let disk = open.clone().allow_missing_parent(true).open(child).ok()?;
    let folder = Path::new(child).parent().filter(|folder| !folder.as_os_str().is_empty());
    let found = find_parents(&disk, [folder.unwrap_or(Path::new("."))], &open).ok()?;
    let name = |path: &PathBuf| path.strip_prefix(".").unwrap_or(path).display().to_string();
    let words = match &found.iter().map(name).collect::<Vec<_>>()[..] {
        [] => return None,
        [parent] => format!(
            "{parent} bears the identity recorded: name it with --parent {parent}, or record it: diskport rebase {child} \
             --parent {parent}"
        ),
        several => format!("{} bear the identity recorded: name one with --parent", several.join(", ")),
    };
    Some(words.into())
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Library(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::Console(error)
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Failure::Console(error.into())
    }
}
