//! What is damaged is told, beside all that can be read; nothing panics.

use std::fs;

use diskport::inspect::inspect;
use diskport::storage::MemoryStorage;
use diskport::{Format, MIB, Open};
use libtest_mimic::Trial;

use crate::common::tools::{Trouble, trial};
use crate::volume::Image;
use crate::windows::{install, software, system};

pub fn trials() -> Vec<Trial> {
    vec![trial("damaged::hives".into(), hives), trial("damaged::bytes_of_a_volume".into(), bytes)]
}

/// Without one hive, what the other says is told.
fn hives() -> Result<(), Trouble> {
    let (good, other) = (software().to_hive("SOFTWARE")?, system().to_hive("SYSTEM")?);
    let mut cut = good.clone();
    cut.truncate(4096 + 700);
    let mut holed = good.clone();
    let uninstall = good.windows(9).rposition(|window| window == b"Uninstall").ok_or("a key")?;
    holed[uninstall - 76..uninstall - 72].fill(0xee);
    for (name, software) in
        [("no hive", &b"no hive"[..]), ("a hive that is cut", &cut), ("a key that is none", &holed)]
    {
        let image = Image::make(32 * MIB, 4096, 512)?;
        image.mounted("rw", |folder| install(folder, software, &other))?;
        let found = inspect(&image.disk()?)?;
        let [windows] = &found.windows[..] else { return Err(format!("{name}: {:?}", found.windows).into()) };
        let told = found
            .warnings
            .iter()
            .any(|warning| warning.contains("config\\SOFTWARE") || warning.contains("registry"));
        // The services say that it is there.
        if !told || windows.storage_drivers.is_empty() || windows.pvs_target.is_none() {
            return Err(format!("{name}: {windows:?}\n{:#?}", found.warnings).into());
        }
    }
    Ok(())
}

/// Bytes of a small volume, each changed for itself: an answer or an error, whatever they are.
fn bytes() -> Result<(), Trouble> {
    let image = Image::make(4 * MIB, 4096, 512)?;
    let (software, system) = (software().to_hive("")?, system().to_hive("")?);
    image.mounted("rw", |folder| install(folder, &software, &system))?;
    let good = fs::read(&image.path)?;
    let used: Vec<usize> =
        (0..good.len()).filter(|&at| good[at] != 0 && good[at] != 0xff && good[at] != 0xaa).collect();
    let mut seed = 1_u64;
    for _ in 0..600 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let at = used[(seed >> 33) as usize % used.len()];
        let mut bad = good.clone();
        for (offset, value) in [(0, seed as u8), (1, (seed >> 8) as u8)] {
            if let Some(byte) = bad.get_mut(at + offset) {
                *byte = value;
            }
        }
        let disk = Open::new().format(Format::Raw).open(MemoryStorage::new(bad))?;
        // What it says may be wrong; that it comes back is what counts.
        let _ = inspect(&disk);
    }
    Ok(())
}
