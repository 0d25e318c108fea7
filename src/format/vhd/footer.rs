//! The hard disk footer: where it is, and which of its two copies counts.

use std::mem::offset_of;
use std::ops::Range;

use zerocopy::{FromZeros, IntoBytes};

use super::displaced;
use super::layout::*;
use crate::disk::{Geometry, Warning, WarningKind};
use crate::error::{Error, Problem, Result};
use crate::leaves::Format;
use crate::leaves::Hint;
use crate::leaves::is_zero;
use crate::storage::ImageFile;

pub(super) const FOOTER: &str = "footer";
pub(super) const COPY: &str = "copy of the footer";

/// Bytes that are searched at once.
pub(super) const PIECE: u64 = 1 << 20;

/// The footer that counts.
pub(super) struct Found {
    pub(super) footer: Footer,
    /// Where it lies.
    pub(super) offset: u64,
    /// Where the data area ends: at the footer, or with the file when its end holds no good footer.
    pub(super) data_end: u64,
    /// Whether the file begins with something that is, or was, a copy.
    pub(super) has_copy: bool,
    pub(super) warnings: Vec<Warning>,
}

/// A place where a footer may lie, and what is there.
struct Candidate {
    footer: Footer,
    offset: u64,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// No cookie.
    Missing,
    Poisoned,
    /// A cookie, but the checksum is wrong.
    Damaged,
    Good,
}

/// Whether `file` bears a footer's cookie at its end or, as dynamic and differencing disks do, at its begin.
pub(crate) fn probe(file: &ImageFile) -> Result<bool> {
    Ok(at_end(file)?.state != State::Missing || at_begin(file)?.state != State::Missing)
}

/// Finds the footer at the end and its copy at the begin, and settles which one counts.
pub(super) fn find(file: &ImageFile) -> Result<Found> {
    let (end, copy) = (at_end(file)?, at_begin(file)?);
    let has_copy = copy.state != State::Missing;
    let found = |candidate: &Candidate, data_end, warnings| {
        let Candidate { footer, offset, .. } = *candidate;
        Ok(Found { footer, offset, data_end, has_copy, warnings })
    };
    let fixed = |candidate: &Candidate| candidate.footer.disk_type == FIXED;

    if end.state == State::Good && fixed(&end) {
        // A fixed disk has no copy: its first sector is the guest's. A valid copy there of another kind of disk
        // makes two disks of one file, and readers differ in which one they see.
        if copy.state == State::Good && !fixed(&copy) {
            return Err(contradiction(file, &end, &copy, "disk type", kind(&end), kind(&copy)));
        }
        return found(&end, end.offset, Vec::new());
    }
    for candidate in [&end, &copy] {
        if candidate.state == State::Poisoned {
            let expected = "the cookie \"conectix\"";
            let cookie = "\"v_poison\", which XenServer's vhd-util writes while it changes the size";
            return Err(file
                .defect_box(Format::Vhd, Problem::Unsupported, FOOTER, candidate.offset, expected, cookie)
                .advise(Hint::FinishWithVhdUtil)
                .into());
        }
    }
    match (end.state, copy.state) {
        (State::Good, State::Good) => {
            let differing = compare(file, &end, &copy)?;
            let warning = (!differing.is_empty()).then(|| {
                let message =
                    format!("differs from the footer in {}; the footer counts", differing.join(", "));
                Warning::of(file, WarningKind::DamagedCopy, COPY, message)
            });
            found(&end, end.offset, warning.into_iter().collect())
        }
        (State::Good, state) => {
            let message = format!("{}; the footer at {} is used", why(state), end.offset);
            found(&end, end.offset, vec![Warning::of(file, WarningKind::DamagedCopy, COPY, message)])
        }
        (state, State::Good) if !fixed(&copy) => {
            // The state in which every writer that appends a block can be cut: the block has taken the place
            // of the footer, and the new footer is not there yet.
            let message = format!("{}; its copy at 0 is used", why(state));
            found(&copy, file.size(), vec![Warning::of(file, WarningKind::DamagedCopy, FOOTER, message)])
        }
        (State::Missing, State::Missing) => {
            if let Some(defect) = displaced::displaced(file, displaced::FAR)? {
                return Err(defect);
            }
            let at = file.size().saturating_sub(SECTOR);
            let expected = "the cookie \"conectix\" in the last sector or the first";
            let cookie = end.footer.cookie.escape_ascii();
            Err(file
                .defect_box(Format::Vhd, Problem::Signature, FOOTER, at, expected, format!("\"{cookie}\""))
                .advise(Hint::JoinPieces)
                .into())
        }
        (State::Missing, State::Good) => {
            let expected = "a fixed disk's footer in the last sector";
            Err(file
                .defect_box(Format::Vhd, Problem::Truncated, FOOTER, file.size(), expected, "only one at 0")
                .advise(Hint::JoinPieces)
                .into())
        }
        (state, _) => {
            let damaged = if state == State::Damaged { &end } else { &copy };
            Err(file.defect(
                Format::Vhd,
                Problem::Checksum,
                FOOTER,
                damaged.offset + offset_of!(Footer, checksum) as u64,
                format!("{:#010x}, or a good copy", damaged.footer.computed_checksum()),
                format!("{:#010x}, and no good copy", damaged.footer.checksum),
            ))
        }
    }
}

/// Whether all bytes of `range` are zeros.
pub(super) fn is_zeros(file: &ImageFile, range: &Range<u64>) -> Result<bool> {
    let mut buf = vec![0; PIECE.min(range.end.saturating_sub(range.start)) as usize];
    let mut at = range.start;
    while at < range.end {
        at = file.past_hole(at);
        let piece = &mut buf[..range.end.saturating_sub(at).min(PIECE) as usize];
        file.read_exact_at(piece, at)?;
        if !is_zero(piece) {
            return Ok(false);
        }
        at += PIECE;
    }
    Ok(true)
}

impl Found {
    /// The error for a field of the footer.
    pub(super) fn defect(
        &self,
        file: &ImageFile,
        problem: Problem,
        field: usize,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Error {
        file.defect(Format::Vhd, problem, FOOTER, self.offset + field as u64, expected, found)
    }

    /// Cylinders, heads and sectors a track, where they are recorded.
    pub(super) fn geometry(&self) -> Option<Geometry> {
        let Footer { cylinders, heads, sectors, .. } = &self.footer;
        let geometry = Geometry {
            cylinders: cylinders.get().into(),
            heads: (*heads).into(),
            sectors: (*sectors).into(),
        };
        (geometry.size() != 0).then_some(geometry)
    }

    /// The software that made the image: application, version and, where it says so, the host's system.
    pub(super) fn creator(&self) -> String {
        let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
        let trimmed = |bytes: &[u8; 4]| {
            let len = bytes.iter().rposition(|byte| !matches!(byte, 0 | b' ')).map_or(0, |last| last + 1);
            text(bytes.get(..len).unwrap_or_default())
        };
        let version = self.footer.creator_version.get();
        let application = trimmed(&self.footer.creator_application);
        let host = trimmed(&self.footer.creator_host_os);
        let host = if host.is_empty() { host } else { format!(" ({host})") };
        format!("{application} {}.{}{host}", version >> 16, version & 0xFFFF).trim_start().to_owned()
    }
}

fn at_end(file: &ImageFile) -> Result<Candidate> {
    let candidate = at(file, 512)?;
    // "Versions previous to Microsoft Virtual PC 2004 create disk images that have a 511-byte disk footer."
    if candidate.state == State::Missing { at(file, 511) } else { Ok(candidate) }
}

fn at_begin(file: &ImageFile) -> Result<Candidate> {
    let copy = read(file, 0, 512)?;
    // In a file that is nothing but a footer there is no copy.
    Ok(if file.size() <= SECTOR { Candidate { state: State::Missing, ..copy } } else { copy })
}

/// The candidate in the file's last `len` bytes.
fn at(file: &ImageFile, len: usize) -> Result<Candidate> {
    match file.size().checked_sub(len as u64) {
        Some(offset) => read(file, offset, len),
        None => Ok(Candidate { footer: Footer::new_zeroed(), offset: 0, state: State::Missing }),
    }
}

fn read(file: &ImageFile, offset: u64, len: usize) -> Result<Candidate> {
    let mut footer = Footer::new_zeroed();
    if file.size() >= len as u64 {
        file.read_exact_at(&mut footer.as_mut_bytes()[..len], offset)?;
    }
    let state = match footer.cookie {
        FOOTER_COOKIE if is_good(&footer) => State::Good,
        FOOTER_COOKIE => State::Damaged,
        POISON_COOKIE => State::Poisoned,
        _ => State::Missing,
    };
    Ok(Candidate { footer, offset, state })
}

pub(super) fn is_good(footer: &Footer) -> bool {
    let stored = footer.checksum.get();
    // Early XenServer tools marked an image hidden without a new checksum.
    let early = footer.is_tap() && matches!(footer.creator_version.get(), 0x0000_0001 | 0x0001_0001);
    footer.computed_checksum() == stored
        || early && Footer { hidden: 0, ..*footer }.computed_checksum() == stored
}

/// The fields in which two good footers differ without making two disks of one file; those that do are refused.
///
/// A change of the image's identity or marks writes one footer and then the other; a cut in between leaves two
/// good ones, and either reads the same bytes. A cut while the size was changed is different: what lies between
/// the two sizes is there in one and not in the other, and only the tool that made the change knows whether
/// it was growing or shrinking.
fn compare(file: &ImageFile, end: &Candidate, copy: &Candidate) -> Result<Vec<&'static str>> {
    let (a, b) = (&end.footer, &copy.footer);
    if a.disk_type != b.disk_type {
        return Err(contradiction(file, end, copy, "disk type", kind(end), kind(copy)));
    }
    if a.current_size != b.current_size {
        let (a, b) = (a.current_size.get(), b.current_size.get());
        return Err(contradiction(file, end, copy, "current size", a, b));
    }
    if a.data_offset != b.data_offset {
        let (a, b) = (a.data_offset.get(), b.data_offset.get());
        return Err(contradiction(file, end, copy, "data offset", a, b));
    }
    let fields = [
        ("unique id", a.unique_id != b.unique_id),
        ("geometry", (a.cylinders, a.heads, a.sectors) != (b.cylinders, b.heads, b.sectors)),
        ("saved state", a.saved_state != b.saved_state),
        ("hidden mark", a.hidden != b.hidden),
        ("time stamp", a.time_stamp != b.time_stamp),
        ("original size", a.original_size != b.original_size),
        ("features", a.features != b.features),
        ("version", a.file_format_version != b.file_format_version),
        (
            "creator",
            (a.creator_application, a.creator_version, a.creator_host_os)
                != (b.creator_application, b.creator_version, b.creator_host_os),
        ),
        ("reserved bytes", a.reserved != b.reserved),
    ];
    Ok(fields.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect())
}

fn contradiction(
    file: &ImageFile,
    end: &Candidate,
    copy: &Candidate,
    field: &str,
    at_end: impl ToString,
    at_begin: impl ToString,
) -> Error {
    let expected = format!("the {field} of the footer at {}, {}", end.offset, at_end.to_string());
    file.defect_box(Format::Vhd, Problem::Ambiguous, COPY, copy.offset, expected, at_begin.to_string())
        .advise(Hint::FinishChange)
        .into()
}

fn kind(candidate: &Candidate) -> String {
    match candidate.footer.disk_type.get() {
        FIXED => "fixed".into(),
        DYNAMIC => "dynamic".into(),
        DIFFERENCING => "differencing".into(),
        other => format!("type {other}"),
    }
}

fn why(state: State) -> &'static str {
    match state {
        State::Damaged => "its checksum is wrong",
        _ => "is missing",
    }
}
