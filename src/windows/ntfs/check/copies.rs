//! What is on a volume twice: the first records of `$MFT`, the boot sector; what records say of their being in use, and
//! `$MFT`'s bitmap; and the state in which the volume was left.

use roaring::RoaringBitmap;

use super::context::Context;
use super::fault::NtfsFault;
use super::finding::Place;
use super::scan::Scan;
use crate::error::Result;
use crate::windows::ntfs::record::kind;
use crate::windows::ntfs::state::State;
use crate::windows::ntfs::stream::Stream;
use crate::windows::ntfs::volume::system_file;

/// `$MFTMirr` has no more than a cluster holds.
const MAX_MIRROR: u64 = 2 << 20;
/// Records for extents of `$MFT` itself: marked or not, they are nobody else's.
const RESERVED: std::ops::Range<u32> = 12..24;

/// Compares the copies.
pub(super) fn check(cx: &mut Context) -> Result<()> {
    check_mirror(cx)?;
    check_boot(cx)
}

/// The mirror is the same down to the fixups.
fn check_mirror(cx: &mut Context) -> Result<()> {
    let Some(record) = cx.read(system_file::MFT_MIRROR)? else { return Ok(()) };
    let Some(mirror) = cx.require(&record, kind::DATA, "")? else { return Ok(()) };
    let size = cx.volume.boot.record_size;
    let records = mirror.size.min(MAX_MIRROR).min(cx.volume.mft.size) / size;
    let first = |stream: &Stream| stream.runs().first().and_then(|run| run.lcn);
    let (mft, places) = (first(&cx.volume.mft), [cx.volume.boot.mft, cx.volume.boot.mirror()]);
    let found = [mft, first(&mirror)].map(Option::unwrap_or_default);
    if found != places {
        let place =
            Place { record: None, attribute: None, structure: "boot sector", offset: cx.volume.on_disk(0) };
        let expected = format!("$MFT and $MFTMirr at clusters {} and {}", found[0], found[1]);
        cx.add(NtfsFault::BootMirror, place, expected, format!("{} and {}", places[0], places[1]));
    }
    for number in 0..records {
        let mut both = [vec![0; size as usize], vec![0; size as usize]];
        let [original, copy] = &mut both;
        let read = cx.volume.mft.read_at(cx.volume, original, number * size);
        let read = read.and_then(|()| mirror.read_at(cx.volume, copy, number * size));
        if cx.findings.catch(system_file::MFT_MIRROR, read)?.is_some()
            && let Some(at) = (0..original.len()).find(|&at| original[at] != copy[at])
        {
            let offset = number * size + at as u64;
            let at = (kind::DATA, "");
            let place = cx.stream(system_file::MFT_MIRROR, &mirror, at, "$MFTMirr", offset);
            cx.add(NtfsFault::Mirror, place, format!("record {number} as in $MFT"), "another byte");
        }
    }
    Ok(())
}

/// The boot sector's copy lies behind the last sector of the volume.
fn check_boot(cx: &mut Context) -> Result<()> {
    let boot = &cx.volume.boot;
    let at = boot.sectors * boot.sector_size;
    let place = Place {
        record: None,
        attribute: None,
        structure: "boot sector's copy",
        offset: cx.volume.on_disk(at),
    };
    if !cx.volume.has_room(at + boot.sector_size) {
        cx.add(NtfsFault::BackupBoot, place, "a sector behind the volume's last", "the end of the partition");
        return Ok(());
    }
    let mut copy = vec![0; boot.sector_size as usize];
    cx.volume.read_at(&mut copy, at)?;
    if copy != boot.sector() {
        cx.add(NtfsFault::BackupBoot, place, "the boot sector", "another sector");
    }
    Ok(())
}

/// `$MFT`'s bitmap marks the records in use, and no others.
pub(super) fn check_mft_bitmap(cx: &mut Context, scan: &Scan) -> Result<()> {
    let Some(record) = cx.read(system_file::MFT)? else { return Ok(()) };
    let Some(bitmap) = cx.require(&record, kind::BITMAP, "")? else { return Ok(()) };
    let records = cx.volume.mft.size / cx.volume.boot.record_size;
    let len = bitmap.size.min(records.min(u32::MAX.into()).div_ceil(8));
    let mut marked = RoaringBitmap::new();
    let mut bytes = vec![0; 64 << 10];
    let mut at = 0;
    while at < len {
        let chunk = &mut bytes[..(len - at).min(64 << 10) as usize];
        let read = bitmap.read_at(cx.volume, chunk, at);
        if cx.findings.catch(system_file::MFT, read)?.is_none() {
            return Ok(());
        }
        let Ok(first) = u32::try_from(at * 8) else { break };
        marked |= RoaringBitmap::from_lsb0_bytes(first, chunk);
        at += chunk.len() as u64;
    }
    let bits = |cx: &Context, number: u32| {
        let byte = u64::from(number) / 8;
        Place {
            record: Some(number.into()),
            ..cx.stream(system_file::MFT, &bitmap, (kind::BITMAP, ""), "$MFT:$BITMAP", byte)
        }
    };
    for number in &scan.in_use - &marked {
        let place = bits(cx, number);
        cx.add(NtfsFault::MftBitmapClear, place, format!("record {number} marked used"), "marked free");
    }
    let mut leaks = &marked - &scan.in_use;
    leaks.remove_range(RESERVED);
    for number in leaks {
        let place = bits(cx, number);
        cx.add(
            NtfsFault::MftBitmapLeak,
            place,
            format!("record {number}, which is free, marked free"),
            "marked used",
        );
    }
    Ok(())
}

/// The state in which the volume was left, which is no damage.
pub(super) fn check_state(cx: &mut Context) -> Result<()> {
    let state = cx.volume.state();
    let Some(state) = cx.findings.catch(system_file::VOLUME, state)? else { return Ok(()) };
    let (fault, record) = match state {
        State::Clean => return Ok(()),
        State::Dirty => (NtfsFault::Dirty, system_file::VOLUME),
        State::LogPending => (NtfsFault::LogPending, system_file::LOG),
        State::LogInUse => (NtfsFault::LogInUse, system_file::LOG),
        State::Hibernated => (NtfsFault::Hibernated, system_file::ROOT),
    };
    let place = cx.record(record);
    cx.add(fault, place, "a volume that was left clean", state.to_string());
    Ok(())
}
