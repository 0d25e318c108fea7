//! The library's errors in qemu's words, where qemu has words for them.

use diskport::{Error, Format, Problem};

/// Why reading, writing or anything else on an open image failed.
pub fn of(error: &Error) -> String {
    match error {
        // qemu hands on the error number alone.
        Error::OutOfRange { .. } => "Input/output error".to_owned(),
        Error::Io { error, .. } => system(error),
        other => other.to_string(),
    }
}

/// Why an image could not be opened.
pub fn to_open(error: &Error) -> String {
    match error {
        Error::Io { operation: "open", file, error } => {
            format!("Could not open '{file}': {}", system(error))
        }
        Error::Defect(defect) => match (defect.format, defect.problem) {
            (Format::Vhd, Problem::BlockSize) => {
                format!("Invalid block size {}", defect.found.trim_end_matches(" bytes"))
            }
            (Format::Vmdk, Problem::BlockSize) => "Invalid granularity, image may be corrupt".to_owned(),
            (Format::Vmdk, Problem::Table) => "L2 table size too big".to_owned(),
            (Format::Vmdk, Problem::Size) => "L1 size too big".to_owned(),
            _ => error.to_string(),
        },
        other => of(other),
    }
}

/// The operating system's text without the number.
pub fn system(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}
