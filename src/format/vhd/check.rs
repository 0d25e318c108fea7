//! Checking: everything that is wrong with an image, also with one that does not open.

use std::ops::{ControlFlow, Range};

use zerocopy::IntoBytes;

use super::bat::{BAT, BATMAP, Bat};
use super::footer::{self, COPY, FOOTER, Found};
use super::header::Header;
use super::layout::*;
use super::locator::{self, LOCATOR};
use super::open::{self, Image};
use super::{displaced, fixed, rules};
use crate::error::{Defect, Error, Problem, Result};
use crate::findings::{Findings, Repair, Severity};
use crate::format::tools::bitmap::{self, BitOrder};
use crate::format::tools::context::OpenContext;
use crate::format::tools::space::Space;
use crate::leaves::{Format, is_zero};
use crate::storage::ImageFile;

/// Blocks that are looked at together: what is noted of them takes some 24 MiB.
const BATCH: usize = 2 << 20;
/// Bytes up to which a block is read with its bitmap, and what lies between two that are read at once.
const SMALL: u64 = 8 << 10;
const GAP: u64 = 4 << 10;

const LOST: &str = "the image is not opened";

/// Looks for everything that is wrong with the image.
pub(crate) fn check(file: &ImageFile, context: &OpenContext<'_>, findings: &mut Findings) -> Result<()> {
    let Some(image) = structures(file, context, findings)? else { return Ok(()) };
    let Some((_, bat)) = &image.blocks else { return Ok(()) };
    if image.info.parent.is_some() || findings.is_full() {
        return Ok(());
    }
    for_hidden_data(file, bat, |index, data| {
        let expected = format!("zeros in block {index} where its bitmap is clear");
        let defect =
            file.defect_box(Format::Vhd, Problem::Value, "data", data.start, expected, "other bytes");
        let consequence = "the bits decide here: the sectors are zeros; other readers return the bytes";
        let loses = format!("what other readers find in block {index}");
        let repair = Repair::losing("write zeros where the bits are clear", loses);
        findings.add(Severity::Warning, defect, consequence, Some(repair));
        Ok(if findings.is_full() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })
}

/// Checks all but the data. `None` when the image does not open.
pub(super) fn structures(
    file: &ImageFile,
    context: &OpenContext<'_>,
    findings: &mut Findings,
) -> Result<Option<Image>> {
    let found = match footer::find(file) {
        Ok(found) => found,
        Err(error) => {
            let repair = displaced::lost(file)?.map(|lost| {
                let action =
                    format!("end the file with the footer of a fixed disk that ends at {}", lost.end);
                repair(lost.followed_by_nothing, action, &(lost.end..file.size()))
            });
            findings.catch(error, LOST, repair)?;
            return Ok(None);
        }
    };
    check_footers(file, &found, findings)?;
    rules::footer(file, &found, findings);
    let image = match open::read(file, context) {
        Ok(image) => image,
        Err(error) => {
            findings.catch(error, LOST, None)?;
            return Ok(None);
        }
    };
    match &image.blocks {
        None => {
            if let Err(error) = fixed::check(file, &found, &mut image.info.clone()) {
                findings.catch(error, LOST, None)?;
            }
            check_slack(file, &found, image.info.size, findings)?;
        }
        Some((header, bat)) => {
            rules::header(file, header, bat, &image.info, findings);
            rules::batmap(file, bat, findings)?;
            check_blocks(file, &found, header, bat, findings)?;
        }
    }
    Ok(Some(image))
}

/// That both footers are there, whole and equal. [`FooterPair::restore`](super::footer_pair::FooterPair::restore) makes
/// them so.
fn check_footers(file: &ImageFile, found: &Found, findings: &mut Findings) -> Result<()> {
    let mut warn = |structure, at, expected: &str, what: &str, consequence: &str, action: &str| {
        let defect = file.defect_box(Format::Vhd, Problem::Checksum, structure, at, expected, what);
        findings.add(Severity::Warning, defect, consequence, Some(Repair::lossless(action)));
    };
    let refused = "other readers refuse the image";
    if found.footer.disk_type != FIXED {
        let copy: Footer = file.read_struct(Format::Vhd, COPY, 0)?;
        if found.offset == 0 {
            warn(FOOTER, file.size(), "a good footer", "none", refused, "write the copy at 0 to the end");
        } else if copy.as_bytes() != found.footer.as_bytes() {
            let consequence = "readers that look at the copy alone refuse the image or read it otherwise";
            warn(COPY, 0, "the same as at the end", "another", consequence, "write the footer over it");
        }
    }
    if found.offset != 0 && found.offset + SECTOR != file.size() {
        warn(FOOTER, found.offset, "512 bytes", "511 bytes", refused, "write it with 512 bytes");
    }
    Ok(())
}

/// That the footer of a fixed disk follows the disk, and that no change of its size was cut off.
fn check_slack(file: &ImageFile, found: &Found, size: u64, findings: &mut Findings) -> Result<()> {
    let slack = fixed::slack(&found.footer, size, found.data_end);
    let marked = found.footer.mark().is_some();
    if slack.is_empty() && !marked {
        return Ok(());
    }
    let mut what = format!("{} bytes before it", slack.end - slack.start);
    if marked {
        what.push_str(", and the mark of a change of the size that was cut off");
    }
    let expected = "the footer where the disk ends";
    let defect = file.defect_box(Format::Vhd, Problem::Value, "data", slack.start, expected, what);
    let spare = marked || footer::is_zeros(file, &slack)?;
    let repair = repair(spare, "write the footer there, and cut the file", &slack);
    findings.add(Severity::Warning, defect, "other readers may refuse the image", Some(repair));
    Ok(())
}

/// A repair that takes `range` from the file, which may be `spare`.
fn repair(spare: bool, action: impl Into<String>, range: &Range<u64>) -> Repair {
    if spare {
        return Repair::lossless(action);
    }
    Repair::losing(action, format!("what the bytes {} to {} of the file hold", range.start, range.end))
}

/// That what the image names lies in the file, apart from everything else.
fn check_blocks(
    file: &ImageFile,
    found: &Found,
    header: &Header,
    bat: &Bat,
    findings: &mut Findings,
) -> Result<()> {
    let mut space = bat.structures();
    for_misplaced(file, bat, &mut space, |index, defect, cut| {
        let start = index * bat.block_size;
        let end = start + bat.used(index);
        let (action, loses) = match cut {
            Some(block) => {
                let data = block.start + bat.bitmap_size;
                let missing = start + found.data_end.saturating_sub(data);
                let longer = block.end - found.data_end;
                (
                    format!("make the file {longer} bytes longer, as it was before it was cut"),
                    format!(
                        "the bytes {missing} to {end} of the disk, which the file lacks: they become zeros"
                    ),
                )
            }
            None => (
                format!("take block {index} out of the BAT"),
                format!("the bytes {start} to {end} of the disk"),
            ),
        };
        let repair = Repair::losing(action, loses);
        findings.add(Severity::Error, defect, "what the block reads as is in doubt", Some(repair));
        Ok(if findings.is_full() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    if findings.is_full() {
        return Ok(());
    }
    let mut clash = |severity, structure, range: &Range<u64>, consequence: &str| {
        let expected = "one apart from everything else";
        let what = format!("one at {} to {}", range.start, range.end);
        let defect = file.defect_box(Format::Vhd, Problem::Overlap, structure, range.start, expected, what);
        findings.add(severity, defect, consequence, None);
    };
    for range in locator::data(&header.fields) {
        if space.take(range.clone()).is_err() {
            clash(
                Severity::Error,
                LOCATOR,
                &range,
                "a name of the parent and what it lies over change each other",
            );
        }
    }
    for range in &bat.batmap {
        if space.take(range.clone()).is_err() {
            clash(
                Severity::Warning,
                BATMAP,
                range,
                "XenServer's tools refuse the image or read it otherwise",
            );
        }
    }
    // What a locator keeps free for a longer name is in use.
    for range in locator::places(&header.fields) {
        space.cover(range);
    }
    space.free(found.data_end..u64::MAX);
    let _ = space.take(found.data_end..found.data_end + 1);
    // Smaller gaps align blocks, or follow a last one that ends with the disk.
    let whole = bat.bitmap_size + bat.block_size;
    let leaked: u64 = space.gaps().map(|gap| gap.end - gap.start).filter(|&len| len >= whole).sum();
    if leaked > 0 {
        let what = format!("{leaked} bytes");
        let defect =
            file.defect_box(Format::Vhd, Problem::Value, "file", 0, "no space that nothing uses", what);
        findings.add(Severity::Note, defect, "the file is larger than it needs to be", None);
    }
    rules::padding(file, header, findings)
}

/// Calls `each` for every block that lies out of the file, or over something that comes before it, until it
/// breaks off; `space` is what structures take. At last comes the block that was cut with the file, with the place that it
/// had, if nothing else lies there.
pub(super) fn for_misplaced(
    file: &ImageFile,
    bat: &Bat,
    space: &mut Space,
    mut each: impl FnMut(u64, Box<Defect>, Option<Range<u64>>) -> Result<ControlFlow<()>>,
) -> Result<()> {
    let mut cursor = bat.cursor(file);
    let mut cut = None;
    for index in 0..bat.blocks() {
        let defect = match bat.block(file, &mut cursor, index) {
            Ok(None) => continue,
            Ok(Some(place)) => {
                let Err(hit) = space.take(bat.extent(index, place)) else { continue };
                let expected = format!("a block apart from what lies at {} to {}", hit.start, hit.end);
                let what = format!("block {index} at {place}");
                let at = bat.entry_offset(index);
                file.defect_box(Format::Vhd, Problem::Overlap, BAT, at, expected, what)
            }
            Err(Error::Defect(defect)) => match bat.cut_block(&mut cursor, index)? {
                // Only then is it known what else lies there.
                Some(block) if cut.is_none() => {
                    cut = Some((index, defect, block));
                    continue;
                }
                _ => defect,
            },
            Err(error) => return Err(error),
        };
        if each(index, defect, None)?.is_break() {
            return Ok(());
        }
    }
    if let Some((index, defect, block)) = cut {
        let place = space.take(block.clone()).is_ok().then_some(block);
        let _ = each(index, defect, place)?;
    }
    Ok(())
}

/// Calls `each` for every block of a dynamic disk that holds data in sectors whose bits are clear, with the first of
/// the runs of such sectors that do, until it breaks off.
pub(super) fn for_hidden_data(
    file: &ImageFile,
    bat: &Bat,
    mut each: impl FnMut(u64, Range<u64>) -> Result<ControlFlow<()>>,
) -> Result<()> {
    let mut cursor = bat.cursor(file);
    let mut bits = vec![0; bat.bitmap_size as usize];
    for first in (0..bat.blocks()).step_by(BATCH) {
        for index in suspects(file, bat, first..bat.blocks().min(first + BATCH as u64))? {
            let index = u64::from(index);
            let Some(place) = bat.block(file, &mut cursor, index)? else { continue };
            file.read_exact_at(&mut bits, place)?;
            for run in clear_runs(&bits, bat.used(index)) {
                let data = place + bat.bitmap_size;
                let run = data + run.start..data + run.end;
                if !footer::is_zeros(file, &run)? {
                    if each(index, run)?.is_break() {
                        return Ok(());
                    }
                    break;
                }
            }
        }
    }
    Ok(())
}

/// Those of `blocks` that may hold data in sectors whose bits are clear, in order. Of large blocks, that is all that are
/// there. Small ones may be millions, too many for a read each: they are looked at here, in the order of the file and
/// those that lie together at once.
fn suspects(file: &ImageFile, bat: &Bat, blocks: Range<u64>) -> Result<Vec<u32>> {
    let mut cursor = bat.cursor(file);
    let mut placed = Vec::with_capacity((blocks.end - blocks.start) as usize);
    for index in blocks {
        match bat.block(file, &mut cursor, index) {
            Ok(Some(place)) => placed.push(((place / SECTOR) as u32, index as u32)),
            Ok(None) | Err(Error::Defect(_)) => {}
            Err(error) => return Err(error),
        }
    }
    if bat.bitmap_size + bat.block_size > SMALL {
        return Ok(placed.into_iter().map(|(_, index)| index).collect());
    }
    placed.sort_unstable();
    let extent = |&(sector, index): &(u32, u32)| bat.extent(index.into(), u64::from(sector) * SECTOR);
    let (mut suspects, mut piece, mut rest) = (Vec::new(), Vec::new(), &placed[..]);
    while let Some(first) = rest.first() {
        let Range { start, mut end } = extent(first);
        let near = |block: &&(u32, u32)| {
            let block = extent(block);
            let near = block.start <= end + GAP && block.end <= start + footer::PIECE;
            end = if near { end.max(block.end) } else { end };
            near
        };
        let (together, later) = rest.split_at(rest.iter().take_while(near).count());
        piece.resize((end - start) as usize, 0);
        file.read_exact_at(&mut piece, start)?;
        for block in together {
            let place = (extent(block).start - start) as usize;
            let (bits, data) = piece[place..].split_at(bat.bitmap_size as usize);
            let hidden = |run: Range<u64>| !is_zero(&data[run.start as usize..run.end as usize]);
            if clear_runs(bits, bat.used(block.1.into())).any(hidden) {
                suspects.push(block.1);
            }
        }
        rest = later;
    }
    suspects.sort_unstable();
    Ok(suspects)
}

/// The parts of a block's `used` bytes whose bits are clear.
pub(super) fn clear_runs(bits: &[u8], used: u64) -> impl Iterator<Item = Range<u64>> {
    let (mut at, end) = (0, used.div_ceil(SECTOR));
    std::iter::from_fn(move || {
        while at < end {
            let (set, len) = bitmap::run(bits, BitOrder::MsbFirst, at as usize, end as usize);
            let start = at;
            at += len as u64;
            if !set {
                return Some(start * SECTOR..(at * SECTOR).min(used));
            }
        }
        None
    })
}
