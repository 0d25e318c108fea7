//! `qemu-img compare [-f FORMAT] [-F FORMAT] A B`

use diskport::compare::compare;
use diskport::job::Job;

use super::{Outcome, could_not_open};
use crate::failure;
use crate::image::Image;
use crate::options::Options;

pub fn run(args: &[String]) -> Outcome {
    let options = Options::parse(args, "f:F:", &[])?;
    let [a_name, b_name] = options.exactly()?;
    let a = Image::named(a_name, options.value('f'))?.open().map_err(could_not_open(a_name))?;
    let b = Image::named(b_name, options.value('F'))?.open().map_err(could_not_open(b_name))?;
    if a.size() != b.size() {
        println!("Warning: Image size mismatch!");
    }
    // The smaller one goes on with zeros.
    let size = a.size().max(b.size());
    let [a, b] = [a, b].map(|disk| disk.patched(size, Vec::new()));
    let difference = a.and_then(|a| compare(&a, &b?, &Job::new())).map_err(|e| failure::of(&e))?;
    Ok(match difference {
        None => {
            println!("Images are identical.");
            0
        }
        Some(difference) => {
            println!("Content mismatch at offset {}!", difference.offset);
            1
        }
    })
}
