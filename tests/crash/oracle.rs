//! Whether an image, as a cut left it, is what it must be.

use diskport::Error;
use diskport::check::{Repairs, Severity};

use crate::expected::{Expected, content, pattern};
use crate::failure::Failure;
use crate::image::{Image, merge};

/// An image that was examined: as it is after its repair, if it needed one.
pub struct Examined {
    pub image: Image,
    pub repaired: bool,
}

/// How far an examination goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// It opens, holds what it may, and its check is clean; or all that after a repair that loses nothing.
    Read,
    /// It can also be written to, as it is and after the repair.
    Write,
}

/// How an image is examined, while it is being merged into its parent or otherwise.
pub fn how(merging: bool) -> fn(Image, &Expected, Depth) -> Result<Examined, String> {
    if merging { examine_merge } else { examine }
}

/// Examines `image`; if it is not what it must be, says why.
fn examine(image: Image, expected: &Expected, depth: Depth) -> Result<Examined, String> {
    let top = image.top();
    let (storages, open) = image.storages(top);
    let main = &storages[top.main];
    let before = open.open(main.clone()).map_err(Failure::Said).and_then(|disk| {
        expected.check(&disk)?;
        Ok(disk)
    });
    let refusal = match &before {
        Ok(_) => None,
        Err(Failure::Said(refusal @ (Error::Defect(_) | Error::NotRecognised { .. }))) => Some(refusal),
        Err(other) => return Err(other.to_string()),
    };
    // Without its signature, an image is checked and repaired when its format is named.
    let named = match refusal {
        Some(Error::NotRecognised { .. }) => open.clone().format(top.format),
        _ => open.clone(),
    };
    let checked = named.check(main.clone());
    let clean = matches!(&checked, Ok(checked) if checked.is_clean());
    if refusal.is_none() {
        let checked = checked.as_ref().map_err(|e| format!("opens, but is not checked: {e}"))?;
        let damaged = checked.findings.iter().any(|finding| finding.severity == Severity::Error);
        if depth == Depth::Write && !damaged {
            write(image.clone(), clean).map_err(|e| format!("written to as it is: {e}"))?;
        }
    }
    if refusal.is_none() && clean {
        return Ok(Examined { image, repaired: false });
    }
    let found = format!("found before its repair: {refusal:?}, {checked:?}");
    // Nothing that could be read is lost by a repair.
    let expected = match &before {
        Ok(disk) => &Expected::flushed(content(disk).map_err(|e| e.to_string())?),
        Err(_) => expected,
    };
    let repaired = named.repair(main.clone(), Repairs::Lossless);
    let repaired = repaired.map_err(|e| format!("not repaired: {e}\n  {found}"))?;
    if !repaired.is_clean() {
        return Err(format!("not clean after its repair: {:?}\n  {found}", repaired.findings));
    }
    let disk = open.open(main.clone()).map_err(|e| format!("refused after its repair: {e}\n  {found}"))?;
    expected.check(&disk).map_err(|e| format!("after its repair: {e}\n  {found}"))?;
    let image = image.with(&storages);
    if depth == Depth::Write {
        write(image.clone(), true).map_err(|e| format!("written to after its repair: {e}"))?;
    }
    Ok(Examined { image, repaired: true })
}

/// Examines a chain whose top was being merged into the layer below it: that one, which holds neither its own content nor the
/// top's, is repaired by itself. With [`Depth::Write`] the merge is done again, and must succeed.
fn examine_merge(mut image: Image, expected: &Expected, depth: Depth) -> Result<Examined, String> {
    let say = |e: diskport::Error| format!("the base of a merge: {e}");
    let Some(base) = image.base() else { return Err("nothing to merge".to_owned()) };
    let (storages, open) = image.storages(base);
    let open = open.format(base.format);
    let main = &storages[base.main];
    if !open.check(main.clone()).map_err(say)?.is_clean() {
        let repaired = open.repair(main.clone(), Repairs::Lossless).map_err(say)?;
        if !repaired.is_clean() {
            return Err(format!("the base of a merge: not clean after its repair: {:?}", repaired.findings));
        }
        image = image.with(&storages);
    }
    let examined = examine(image, expected, Depth::Read)?;
    if depth == Depth::Write {
        let (storages, _) = examined.image.storages(base);
        let merged = examined.image.clone().with(&storages);
        merge(&merged.names(), &storages, &merged.chain).map_err(|e| format!("merging again: {e}"))?;
        let merged = merged.with(&storages);
        examine(merged.clone(), expected, Depth::Read).map_err(|e| format!("after merging again: {e}"))?;
        let alone = Image { chain: vec![base], ..merged };
        let (storages, open) = alone.storages(base);
        let size = open.open(storages[base.main].clone()).map_err(say)?.size();
        // A larger base does not read as the top by itself.
        if size == expected.size() {
            examine(alone, expected, Depth::Read)
                .map_err(|e| format!("the base after merging again: {e}"))?;
        }
    }
    Ok(examined)
}

/// Writes to the image, closes it, and sees that it holds what was written and what it held. Its check is clean then if
/// it was `clean` before, and after a repair if not.
fn write(image: Image, clean: bool) -> Result<(), String> {
    let say = |e: diskport::Error| e.to_string();
    let top = image.top();
    let (storages, open) = image.storages(top);
    let main = &storages[top.main];
    let mut expected = content(&open.open(main.clone()).map_err(say)?).map_err(say)?;
    let disk = open.open_writable(main.clone()).map_err(say)?;
    // Bytes of one sector, and sectors of a third of the disk, but not of a large one.
    let third = (expected.size() as usize / 3).min(256 << 10);
    for (offset, len) in [(expected.size() / 2 + 100, 99), (expected.size() / 3, third)] {
        let data = pattern(255, offset, len);
        disk.write_at(&data, offset).map_err(say)?;
        expected.write(&data, offset);
    }
    disk.close().map_err(say)?;
    let expected = Expected::flushed(expected);
    expected.check(&open.open(main.clone()).map_err(say)?)?;
    let mut checked = open.check(main.clone()).map_err(say)?;
    if !clean && !checked.is_clean() {
        checked = open.repair(main.clone(), Repairs::Lossless).map_err(say)?;
        expected.check(&open.open(main.clone()).map_err(say)?)?;
    }
    if checked.is_clean() { Ok(()) } else { Err(format!("not clean: {:?}", checked.findings)) }
}
