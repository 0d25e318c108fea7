//! Whether an image, as a cut left it, is what it must be.

use diskport::check::{Repairs, Severity};

use crate::expected::{Expected, content, pattern};
use crate::image::Image;

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

/// Examines `image`; if it is not what it must be, says why.
pub fn examine(mut image: Image, expected: &Expected, depth: Depth) -> Result<Examined, String> {
    let (storages, open) = image.storages();
    let main = &storages[image.top.main];
    let opened = open.open(main.clone());
    let refusal = match &opened {
        Ok(disk) => expected.check(disk).map(|()| None)?,
        Err(refusal) => Some(refusal.to_string()),
    };
    let checked = open.check_storage(main.clone());
    let clean = matches!(&checked, Ok(checked) if checked.is_clean());
    if refusal.is_none() {
        let checked = checked.as_ref().map_err(|e| format!("opens, but is not checked: {e}"))?;
        let damaged = checked.findings.iter().any(|finding| finding.severity == Severity::Error);
        if depth == Depth::Write && !damaged {
            write(image.clone()).map_err(|e| format!("written to as it is: {e}"))?;
        }
    }
    if refusal.is_none() && clean {
        return Ok(Examined { image, repaired: false });
    }
    let found = format!("found before its repair: {refusal:?}, {checked:?}");
    // Nothing that could be read is lost by a repair.
    let expected = match &opened {
        Ok(disk) => &Expected::flushed(content(disk)?),
        Err(_) => expected,
    };
    let repaired = open.repair_storage(main.clone(), Repairs::Lossless);
    let repaired = repaired.map_err(|e| format!("not repaired: {e}\n  {found}"))?;
    if !repaired.is_clean() {
        return Err(format!("not clean after its repair: {:?}\n  {found}", repaired.findings));
    }
    let disk = open.open(main.clone()).map_err(|e| format!("refused after its repair: {e}\n  {found}"))?;
    expected.check(&disk).map_err(|e| format!("after its repair: {e}\n  {found}"))?;
    for ((_, bytes), storage) in image.files.iter_mut().zip(&storages) {
        *bytes = storage.bytes();
    }
    if depth == Depth::Write {
        write(image.clone()).map_err(|e| format!("written to after its repair: {e}"))?;
    }
    Ok(Examined { image, repaired: true })
}

/// Writes to the image, closes it, and sees that it holds what was written and what it held, and that its check is clean.
fn write(image: Image) -> Result<(), String> {
    let say = |e: diskport::Error| e.to_string();
    let (storages, open) = image.storages();
    let main = &storages[image.top.main];
    let mut expected = content(&open.open(main.clone()).map_err(say)?)?;
    let disk = open.open_writable_storage(main.clone()).map_err(say)?;
    // Bytes of one sector, and a third of the disk.
    for (offset, len) in
        [(expected.size() / 2 + 100, 99), (expected.size() / 3, expected.size() as usize / 3)]
    {
        let data = pattern(255, offset, len);
        disk.write_at(&data, offset).map_err(say)?;
        expected.write(&data, offset);
    }
    disk.close().map_err(say)?;
    let disk = open.open(main.clone()).map_err(say)?;
    Expected::flushed(expected).check(&disk)?;
    let checked = open.check_storage(main.clone()).map_err(say)?;
    if checked.is_clean() { Ok(()) } else { Err(format!("not clean: {:?}", checked.findings)) }
}
