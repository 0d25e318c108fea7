//! `$ObjId` and `$Reparse`: the indexes over all files with object ids and all reparse points.

use std::collections::{BTreeMap, BTreeSet};

use super::context::Context;
use super::fault::NtfsFault;
use super::index;
use super::scan::Scan;
use super::table::Marks;
use crate::error::Result;
use crate::windows::ntfs::record::{Record, Reference};

/// Looks at both, and at the other indexes that are none of names.
pub(super) fn check(cx: &mut Context, scan: &Scan) -> Result<()> {
    check_object_ids(cx, scan)?;
    check_reparse_points(cx, scan)?;
    for name in ["$O", "$Q"] {
        if let Some(quota) = extend(cx, scan, "$Quota")? {
            index::walk(cx, &quota, name, &mut |_, _, _| Ok(()))?;
        }
    }
    Ok(())
}

/// A file of `$Extend`.
fn extend(cx: &Context, scan: &Scan, name: &str) -> Result<Option<Record>> {
    match scan.extend.get(name) {
        Some(&number) if scan.files.get(number.into()).is(Marks::VIEW) => cx.read(number.into()),
        _ => Ok(None),
    }
}

fn check_object_ids(cx: &mut Context, scan: &Scan) -> Result<()> {
    let mut left: BTreeMap<[u8; 16], u32> = scan.object_ids.clone();
    let mut whole = true;
    if let Some(index) = extend(cx, scan, "$ObjId")? {
        whole = index::walk(cx, &index, "$O", &mut |cx, place, entry| {
            let id = entry.key.first_chunk().copied().unwrap_or_default();
            let file = Reference(entry.data.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes)));
            let owner = scan.object_ids.get(&id).copied().map(u64::from);
            left.remove(&id);
            if owner != Some(file.number()) || scan.files.get(file.number()).sequence != file.sequence() {
                let expected = format!("the file that has the object id, {owner:?}");
                let found = format!("record {}, sequence number {}", file.number(), file.sequence());
                cx.add(NtfsFault::ObjectIdStale, place.clone(), expected, found);
            }
            Ok(())
        })?;
    }
    for (_, number) in left.into_iter().filter(|_| whole) {
        let place = cx.record(number.into());
        cx.add(NtfsFault::ObjectIdMissing, place, "an entry in $ObjId:$O", "none");
    }
    Ok(())
}

fn check_reparse_points(cx: &mut Context, scan: &Scan) -> Result<()> {
    let points = scan.files.bases().filter(|(_, file)| file.is(Marks::REPARSE));
    let mut left: BTreeSet<u32> = points.map(|(number, _)| number).collect();
    let mut whole = true;
    if let Some(index) = extend(cx, scan, "$Reparse")? {
        whole = index::walk(cx, &index, "$R", &mut |cx, place, entry| {
            let tag = entry.key.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
            let reference = entry.key.get(4..).and_then(<[u8]>::first_chunk);
            let reference = Reference(reference.map_or(0, |bytes| u64::from_le_bytes(*bytes)));
            let file = scan.files.get(reference.number());
            if !file.is(Marks::REPARSE) || file.tag != tag || file.sequence != reference.sequence() {
                let expected = format!("a reparse point with tag {tag:#x}");
                let found =
                    format!("record {}, sequence number {}", reference.number(), reference.sequence());
                cx.add(NtfsFault::ReparseStale, place.clone(), expected, found);
            } else if let Ok(number) = u32::try_from(reference.number()) {
                left.remove(&number);
            }
            Ok(())
        })?;
    }
    for number in left.into_iter().filter(|_| whole) {
        let place = cx.record(number.into());
        cx.add(NtfsFault::ReparseMissing, place, "an entry in $Reparse:$R", "none");
    }
    Ok(())
}
