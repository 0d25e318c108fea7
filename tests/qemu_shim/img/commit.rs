//! `qemu-img commit [-q] [-b BASE] FILE`

use diskport::Error;
use diskport::chain::Merge;

use super::Outcome;
use crate::failure;
use crate::image::{Image, beside};
use crate::options::Options;

pub fn run(args: &[String]) -> Outcome {
    let options = Options::parse(args, "qb:", &[])?;
    let [name] = options.exactly()?;
    let image = Image::named(name, None)?;
    let mut merge = Merge::of(&image.path).open(image.how());
    if let Some(base) = options.value('b') {
        merge = merge.base(beside(&image.path, base));
    }
    merge.commit().map_err(|e| match (&e, options.value('b')) {
        (Error::NotInChain { .. } | Error::Io { .. }, Some(base)) => {
            format!("Did not find '{base}' in the backing chain of '{name}'")
        }
        _ => format!("Block job failed: {}", failure::of(&e)),
    })?;
    if !options.has('q') {
        println!("Image committed.");
    }
    Ok(0)
}
