//! VMDKs: what our reference writer makes, and what we write, as qemu reads them.

use libtest_mimic::Trial;

use crate::common::tools::{Trouble, to_raw, trial};
use crate::vmdk::model;

pub fn trials() -> Vec<Trial> {
    vec![trial("vmdk::what_the_builder_makes".into(), what_the_builder_makes)]
}

/// The judge of the reader is itself judged.
fn what_the_builder_makes() -> Result<(), Trouble> {
    let folder = tempfile::tempdir()?;
    let raw = folder.path().join("raw");
    for (image, content) in model::one_of_each(folder.path()) {
        to_raw("vmdk", &image, &raw)?;
        assert!(std::fs::read(&raw)? == content, "{}", image.display());
    }
    Ok(())
}
