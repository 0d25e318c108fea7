//! Attributes that lie in clusters: one extent of them, and a whole one, which is of as many extents as an attribute list tells.

use super::context::Context;
use super::fault::NtfsFault;
use super::finding::Place;
use super::space::Space;
use crate::error::Result;
use crate::windows::ntfs::flaw::Flaw;
use crate::windows::ntfs::record::{Attribute, NonResident, Record, Value, flag};
use crate::windows::ntfs::runs::{self, Run};

/// The flags that come with a field of their own: the clusters really there.
const SQUEEZED: u16 = flag::COMPRESSION | flag::SPARSE;
/// Where the mapping pairs may begin, without that field and with it.
const HEADER: usize = 0x40;
const SQUEEZED_HEADER: usize = 0x48;

/// What one record tells of an attribute in clusters.
#[derive(Debug, Clone)]
pub(super) struct Extent {
    pub place: Place,
    pub flags: u16,
    pub lowest: u64,
    /// Clusters, those of holes included.
    pub clusters: u64,
    /// Clusters without those of holes.
    present: u64,
    sizes: Sizes,
}

/// The sizes that the first extent gives for all.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    pub allocated: u64,
    pub size: u64,
    initialized: u64,
    /// What is really there, of sparse and compressed attributes.
    compressed: Option<u64>,
}

impl Sizes {
    pub fn of(record: &Record, attribute: &Attribute, header: &NonResident) -> Self {
        let compressed = record.bytes().get(attribute.at + HEADER..).and_then(<[u8]>::first_chunk);
        let compressed =
            compressed.filter(|_| attribute.flags & SQUEEZED != 0 && header.lowest_vcn.get() == 0);
        Self {
            allocated: header.allocated.get(),
            size: header.size.get(),
            initialized: header.initialized.get(),
            compressed: compressed.map(|bytes| u64::from_le_bytes(*bytes)),
        }
    }

    /// What a directory's entry gives for the allocated size.
    pub fn present(&self) -> u64 {
        self.compressed.unwrap_or(self.allocated)
    }
}

impl Extent {
    /// What the attribute tells, with its runs, when it lies in clusters.
    pub fn of(
        place: &Place,
        record: &Record,
        attribute: &Attribute,
    ) -> Option<Result<(Self, Vec<Run>), Flaw>> {
        let Value::NonResident(header, pairs) = attribute.value else { return None };
        Some(runs::decode(pairs, u64::MAX).map(|runs| {
            let clusters = runs.iter().map(|run| run.len).sum();
            let present = runs.iter().filter(|run| run.lcn.is_some()).map(|run| run.len).sum();
            let (place, flags) = (place.of(attribute), attribute.flags);
            let (lowest, sizes) = (header.lowest_vcn.get(), Sizes::of(record, attribute, &header));
            (Self { place, flags, lowest, clusters, present, sizes }, runs)
        }))
    }
}

/// Looks at one extent, and takes its clusters into account.
pub(super) fn check(
    cx: &mut Context,
    space: &mut Space,
    record: &Record,
    attribute: &Attribute,
    oddly_sparse: bool,
) -> Result<Option<Extent>> {
    let base = cx.record(record.number);
    let (extent, runs) = match Extent::of(&base, record, attribute) {
        None => return Ok(None),
        Some(Ok(read)) => read,
        Some(Err(flaw)) => {
            space.incomplete = true;
            cx.findings.flaw(NtfsFault::RunList, base.of(attribute), flaw);
            return Ok(None);
        }
    };
    let Value::NonResident(header, _) = attribute.value else { return Ok(None) };
    check_header(cx, record, attribute, &extent);
    let last = extent.lowest.wrapping_add(extent.clusters).wrapping_sub(1);
    if header.highest_vcn.get() != last {
        let (expected, found) = (last as i64, header.highest_vcn.get() as i64);
        let found = format!("highest VCN {found}");
        cx.add(NtfsFault::HighestVcn, extent.place.clone(), format!("highest VCN {expected}"), found);
    }
    if !oddly_sparse {
        check_holes(cx, &extent, header.compression_unit, &runs);
    }
    for run in &runs {
        space.claim(cx, &extent.place, run);
    }
    Ok(Some(extent))
}

fn check_header(cx: &mut Context, record: &Record, attribute: &Attribute, extent: &Extent) {
    let bytes = record.bytes().get(attribute.at..).unwrap_or_default();
    let u16_at = |at: usize| bytes.get(at..at + 2).map_or(0, |b| u16::from_le_bytes([b[0], b[1]]));
    let squeezed = extent.flags & SQUEEZED != 0 && extent.lowest == 0;
    let least = if squeezed { SQUEEZED_HEADER } else { HEADER };
    let (name, pairs) = (usize::from(u16_at(0x0a)), usize::from(u16_at(0x20)));
    if pairs < least || (!attribute.name.is_empty() && name < least) {
        let expected = format!("a name and mapping pairs behind a header of {least} bytes");
        cx.add(NtfsFault::AttributeHeader, extent.place.clone(), expected, format!("{name} and {pairs}"));
    }
}

/// Holes come in whole units of clusters that are compressed together, and in attributes alone that say so.
fn check_holes(cx: &mut Context, extent: &Extent, unit: u8, runs: &[Run]) {
    if extent.flags & SQUEEZED == 0 {
        if runs.iter().any(|run| run.lcn.is_none()) {
            let expected = "clusters throughout, as its flags are neither sparse nor compressed";
            cx.add(NtfsFault::HoleUnflagged, extent.place.clone(), expected, "a hole");
        }
        return;
    }
    if unit == 0 {
        return;
    }
    let unit = 1u64.checked_shl(unit.into()).unwrap_or(u64::MAX);
    let compressed = extent.flags & flag::COMPRESSION != 0;
    let mut vcn = extent.lowest;
    for run in runs {
        let (start, end) = (vcn, vcn.saturating_add(run.len));
        vcn = end;
        // What a compressed unit does not need is a hole behind it.
        let whole = end.is_multiple_of(unit) && (compressed || start.is_multiple_of(unit));
        if run.lcn.is_none() && !whole {
            let expected = format!("holes in units of {unit} clusters");
            cx.add(
                NtfsFault::SparseUnit,
                extent.place.clone(),
                expected,
                format!("one from {start} to {end}"),
            );
            return;
        }
    }
}

/// Looks at a whole attribute: all its extents in order. Whether they follow each other.
pub(super) fn check_whole(cx: &mut Context, extents: &[Extent], oddly_sparse: bool) -> bool {
    let Some(first) = extents.first() else { return true };
    let mut next = 0u64;
    for extent in extents {
        if extent.lowest != next {
            let expected = format!("an extent that goes on at VCN {next}");
            let found = format!("one at VCN {}", extent.lowest);
            cx.add(NtfsFault::ExtentGap, extent.place.clone(), expected, found);
            return false;
        }
        next = next.saturating_add(extent.clusters);
    }
    let cluster = cx.volume.boot.cluster_size;
    let (place, sizes) = (&first.place, first.sizes);
    let bytes = |clusters: u64| clusters.saturating_mul(cluster);
    let mut differ = |fault, expected: u64, found: u64| {
        if expected != found {
            cx.add(fault, place.clone(), format!("{expected} bytes"), format!("{found} bytes"));
        }
    };
    differ(NtfsFault::AllocatedSize, bytes(next), sizes.allocated);
    if let Some(compressed) = sizes.compressed {
        let present = extents.iter().map(|extent| extent.present).fold(0, u64::saturating_add);
        if !oddly_sparse {
            differ(NtfsFault::CompressedSize, bytes(present), compressed);
        }
    }
    for (fault, larger, smaller) in [
        (NtfsFault::DataSize, sizes.allocated, sizes.size),
        (NtfsFault::InitialisedSize, sizes.size, sizes.initialized),
    ] {
        if smaller > larger {
            cx.add(fault, place.clone(), format!("at most {larger} bytes"), format!("{smaller} bytes"));
        }
    }
    true
}
