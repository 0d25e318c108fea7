//! What ends a command: an error of the library, or of the command line itself.

use std::io;
use std::process::ExitCode;

use diskport::{Error, ErrorClass};

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
                if let Some(hint) = error.hint() {
                    say(&format!("  {}", hint::words(hint)));
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
