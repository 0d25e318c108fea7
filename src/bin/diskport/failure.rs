//! What ends a command: an error of the library, or of the command line itself.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use diskport::chain::find_parents;
use diskport::storage::Shown;
use diskport::{Error, ErrorClass, Open};
use serde::Serialize;

use crate::console::{self, say};
use crate::hint;

/// Why a command failed.
pub enum Failure {
    /// The library says so.
    Library(Error),
    /// The same, and the command knows better what to do about it.
    Advised(Error, &'static str),
    /// The call is wrong in a way that the parser cannot see.
    Usage(String),
    /// The parser says that the call is wrong, or has shown what was asked for.
    Parser(clap::Error),
    /// Standard output or input failed.
    Console(io::Error),
    /// Another failure, of which the document that was begun tells already.
    Told(Box<Failure>),
}

/// What a call that is wrong can be held against.
const SEE_HELP: &str = "see diskport --help";

impl Failure {
    /// Says what happened, then what to do about it, and gives the exit code. Where a document was wanted, it is one of the failure.
    pub fn report(&self) -> ExitCode {
        match self {
            Failure::Parser(error) => {
                // That nobody listens is no reason to fail in another way.
                let _ = error.print();
                if !error.use_stderr() {
                    return ExitCode::SUCCESS;
                }
            }
            // Whoever read the output has had enough: nobody is left to tell.
            Failure::Console(error) if error.kind() == io::ErrorKind::BrokenPipe => return ExitCode::from(4),
            _ => {
                say(&format!("diskport: {}", self.message()));
                if let Some(words) = self.hint() {
                    say(&format!("  {words}"));
                }
            }
        }
        if console::wants_json() && !matches!(self, Failure::Told(_) | Failure::Console(_)) {
            let _ = console::print_json(&serde_json::json!({ "error": self.document() }));
        }
        ExitCode::from(self.code())
    }

    /// Ends a document of which a part is written already: with what comes `before` the failure, the failure, and what comes
    /// `after` it.
    pub fn end(self, out: &mut impl Write, before: &str, after: &str) -> Self {
        if matches!(self, Failure::Console(_)) {
            return self;
        }
        let ended = writeln!(out, "{before}{}{after}", self.document()).and_then(|()| out.flush());
        ended.map_or_else(Failure::Console, |()| Failure::Told(Box::new(self)))
    }

    fn code(&self) -> u8 {
        match self {
            Failure::Library(error) | Failure::Advised(error, _) => match error.class() {
                ErrorClass::Usage => 2,
                ErrorClass::Refused => 3,
                ErrorClass::Precondition => 5,
                ErrorClass::Cancelled => 130,
                _ => 4,
            },
            Failure::Usage(_) | Failure::Parser(_) => 2,
            Failure::Console(_) => 4,
            Failure::Told(failure) => failure.code(),
        }
    }

    fn message(&self) -> String {
        match self {
            Failure::Library(error) | Failure::Advised(error, _) => error.to_string(),
            Failure::Usage(message) => message.clone(),
            Failure::Parser(error) => {
                let text = error.to_string();
                let told = text.split("\n\n").next().unwrap_or_default();
                told.strip_prefix("error: ").unwrap_or(told).to_owned()
            }
            Failure::Console(error) => format!("cannot write to standard output: {error}"),
            Failure::Told(failure) => failure.message(),
        }
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Failure::Library(error) => parent_beside(error).or_else(|| error.hint().map(hint::words)),
            Failure::Advised(_, words) => Some((*words).into()),
            Failure::Usage(_) | Failure::Parser(_) => Some(SEE_HELP.into()),
            Failure::Console(_) => None,
            Failure::Told(failure) => failure.hint(),
        }
    }

    fn document(&self) -> Document {
        let error = match self {
            Failure::Library(error) | Failure::Advised(error, _) => Some(error),
            _ => None,
        };
        Document {
            code: self.code(),
            message: self.message(),
            hint: self.hint(),
            file: error.and_then(Error::file).map(str::to_owned),
            offset: error.and_then(Error::offset),
        }
    }
}

/// A failure for programs.
#[derive(Serialize)]
struct Document {
    /// The exit code.
    code: u8,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<Cow<'static, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
}

impl fmt::Display for Document {
    /// As JSON.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
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
    let name = |path: &PathBuf| path.strip_prefix(".").unwrap_or(path).shown();
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
