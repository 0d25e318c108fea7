//! qemu-img: one file a command.

mod check;
mod commit;
mod compare;
mod convert;
mod create;
mod dd;
mod info;
mod map;
mod transfer;

use std::process::ExitCode;

use crate::image::Image;

/// Runs one command line.
pub fn main(args: Vec<String>) -> ExitCode {
    let Some((command, args)) = args.split_first() else {
        eprintln!("qemu-img: Not enough arguments");
        return ExitCode::FAILURE;
    };
    let run = match &**command {
        "check" => check::run,
        "commit" => commit::run,
        "compare" => compare::run,
        "convert" => convert::run,
        "create" => create::run,
        "dd" => dd::run,
        "info" => info::run,
        "map" => map::run,
        _ => |_: &[String]| Err("Command not found".to_owned()),
    };
    match run(args) {
        Ok(code) => ExitCode::from(code),
        Err(message) => {
            eprintln!("qemu-img: {message}");
            ExitCode::FAILURE
        }
    }
}

/// What a command ends with: qemu-img's exit code, or why there was nothing to do.
type Outcome = Result<u8, String>;

/// Says that the image called `name` could not be opened.
fn could_not_open(name: &str) -> impl FnOnce(String) -> String {
    move |why| format!("Could not open '{name}': {why}")
}

/// The image `name`, by its options where `described`.
fn image(name: &str, format: Option<&str>, described: bool) -> Result<Image, String> {
    if described { Image::described(name, None) } else { Image::named(name, format) }
}
