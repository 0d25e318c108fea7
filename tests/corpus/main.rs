//! Every image of the corpus: it opens and reads as its oracle says, and is written into pipes as into files, or is
//! refused as it must be; and reading changes no file. One line an image.
//!
//! Where there is no corpus, the test fails in CI and is listed as ignored elsewhere.

#[path = "../common/mod.rs"]
mod common;
mod piping;
mod reading;
mod refusal;
mod untouched;

use common::corpus::{self, Corpus, Image};
use diskport::{Disk, Format, Open};
use libtest_mimic::{Arguments, Completion, Failed, Trial};

fn main() {
    let mut arguments = Arguments::from_args();
    // Two trials at most hash at a time: the larger part is arithmetic.
    arguments.test_threads.get_or_insert(2);
    let trials = match corpus::get() {
        Ok(corpus) => {
            corpus.images.iter().filter(|image| image.is_disk()).map(|image| trial(corpus, image)).collect()
        }
        Err(reason) => vec![absent(reason)],
    };
    libtest_mimic::run(&arguments, trials).exit();
}

fn trial(corpus: &'static Corpus, image: &'static Image) -> Trial {
    Trial::test(&image.file, move || check(corpus, image)).with_kind(&image.format)
}

fn absent(reason: &'static str) -> Trial {
    Trial::ignorable_test("corpus", move || {
        if common::ci() { Err(reason.into()) } else { Ok(Completion::ignored_with(reason)) }
    })
}

fn check(corpus: &Corpus, image: &Image) -> Result<(), Failed> {
    untouched::is_as_recorded(corpus, image)?;
    let opened = open(&Open::new(), corpus, image);
    let files = match opened {
        Ok(disk) if image.is_refused() => refusal::check_reading(image, &disk)?,
        Ok(disk) => {
            piping::check(&disk)?;
            reading::check(corpus, image, &disk)?
        }
        Err(error) if image.is_refused() => refusal::check(image, &error)?,
        Err(error) => return Err(format!("refused: {error}").into()),
    };
    untouched::check(corpus, image, &files)
}

/// Opens an image as a user would: by path, its parents and extents in its own folder.
fn open(open: &Open, corpus: &Corpus, image: &Image) -> diskport::Result<Disk> {
    let path = corpus.path(&image.file);
    if image.is_raw() { open.clone().format(Format::Raw).open(path) } else { open.open(path) }
}
