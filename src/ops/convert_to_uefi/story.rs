//! What there is to say of a conversion, for a person to read.

use super::place::{EspPlace, Place};
use super::source::Source;
use crate::windows::boot_files::{BootFiles, SigningAuthority};

/// What there is to say of a conversion.
pub(super) struct Story {
    pub steps: Vec<String>,
    pub warnings: Vec<String>,
    pub next_steps: Vec<String>,
}

impl Story {
    pub fn new(found: &Source, place: &Place, files: &BootFiles) -> Self {
        let BootFiles { origin, authority, has_other, .. } = files;
        let mut steps = Vec::new();
        let (start, size) = (place.range.start, place.range.end - place.range.start);
        let how = match place.place {
            EspPlace::Reuse => "in place of the old system partition",
            EspPlace::Gap => "where there was no partition",
            EspPlace::Shrink => "behind a volume that is made smaller",
            EspPlace::Grow => "behind the last partition",
        };
        steps.push(format!("EFI system partition of {size} bytes at {start}, {how}"));
        for (old, new) in found.mbr.partitions.iter().zip(&place.partitions) {
            if new.size < old.size && (place.place != EspPlace::Reuse || old.start != start) {
                steps
                    .push(format!("partition {} shrinks from {} to {} bytes", old.index, old.size, new.size));
            }
        }
        if place.changes.moved() > 0 {
            steps.push(format!("{} bytes of files move to make room", place.changes.moved()));
        }
        if place.disk_size > found.mbr.disk_size {
            steps.push(format!("the disk grows from {} to {} bytes", found.mbr.disk_size, place.disk_size));
        }
        steps.push(format!("boot files from {origin}, signed by {authority}"));
        let mut warnings: Vec<_> = found.mbr.warnings.iter().map(ToString::to_string).collect();
        warnings.extend(found.warnings.iter().cloned());
        if place.place == EspPlace::Reuse && !found.on_system.is_empty() {
            warnings.push(format!(
                "the old system partition's other files are in the source alone: {}",
                found.on_system.join(", ")
            ));
        }
        let mut next_steps = vec![
            "set the machine's firmware to UEFI; it finds \\EFI\\Boot\\bootx64.efi without a boot entry"
                .to_owned(),
            "the disk must be on a controller whose driver this Windows starts at boot".to_owned(),
        ];
        next_steps.push(match (*authority, *has_other) {
            (SigningAuthority::Pca2011, true) => {
                "Secure Boot on firmware that revoked the 2011 authority wants the boot files of 2023".to_owned()
            }
            (SigningAuthority::Pca2011, false) => {
                "Secure Boot on firmware that revoked the 2011 authority refuses these files, and there are none of 2023"
                    .to_owned()
            }
            (SigningAuthority::Ca2023, _) => {
                "Secure Boot wants firmware that trusts the Windows UEFI CA 2023".to_owned()
            }
        });
        if found.has_recovery() {
            next_steps.push(
                "reagentc /enable, where Windows says that its recovery environment is disabled".to_owned(),
            );
        }
        Self { steps, warnings, next_steps }
    }
}
