//! An image that must be refused: for which reason.

use std::path::PathBuf;

use diskport::{Disk, Error, ErrorClass, Problem};
use libtest_mimic::Failed;

use crate::common::corpus::Image;

/// Why an image is refused.
#[derive(Debug)]
enum Reason {
    /// This problem, in this structure.
    Defect(Problem, &'static str),
    /// This extent is not there.
    ExtentMissing(&'static str),
}

/// The reasons, image by image.
const REASONS: [(&str, Reason); 5] = [
    ("vmdk/go-vmdk-parser-invalid.vmdk", Reason::Defect(Problem::Descriptor, "descriptor")),
    ("vmdk/ms3-win-descriptor-only.vmdk", Reason::ExtentMissing("disk-s001.vmdk")),
    // Its capacity is absurd too, but the bytes that tell a transfer in text mode come first.
    ("vmdk/qemu/afl9.vmdk", Reason::Defect(Problem::Truncated, "header")),
    ("vmdk/vmdk-rs/vmfs_thick-000001.vmdk", Reason::ExtentMissing("vmfs_thick-000001-delta.vmdk")),
    ("peer/vbox/vbm-rawdisk.vmdk", Reason::Defect(Problem::Unsupported, "descriptor")),
];

impl Reason {
    fn matches(&self, error: &Error) -> bool {
        match (self, error) {
            (Reason::Defect(problem, structure), Error::Defect(defect)) => {
                defect.problem == *problem && defect.structure.contains(structure)
            }
            (Reason::ExtentMissing(missing), Error::ExtentMissing { name, .. }) => name == missing,
            _ => false,
        }
    }
}

/// That the image was refused for its reason.
pub fn check(image: &Image, error: &Error) -> Result<Vec<PathBuf>, Failed> {
    let Some((_, reason)) = REASONS.iter().find(|(file, _)| *file == image.file) else {
        return Err(format!("no reason is given for this image, which is refused with: {error}").into());
    };
    if error.class() != ErrorClass::Refused || !reason.matches(error) {
        return Err(format!("expected {reason:?}, found {error:?}").into());
    }
    Ok(Vec::new())
}

/// An image that opens may still be refused when it is read.
pub fn check_reading(image: &Image, disk: &Disk) -> Result<Vec<PathBuf>, Failed> {
    match disk.extents(..).find_map(Result::err) {
        Some(error) => check(image, &error),
        None => Err("accepted".into()),
    }
}
