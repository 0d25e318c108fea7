//! The rules for single fields: the specification's, and those of `vhd-util check`, which XenServer holds images against.

use std::collections::HashSet;
use std::mem::offset_of;
use std::time::SystemTime;

use super::bat::{BAT, BATMAP, Bat};
use super::footer::{FOOTER, Found};
use super::header::{HEADER, Header};
use super::layout::*;
use super::locator::{self, LOCATOR};
use super::skeleton;
use crate::disk::LayerInfo;
use crate::error::{Problem, Result};
use crate::findings::{Findings, Severity};
use crate::leaves::{Format, is_zero};
use crate::storage::ImageFile;

/// Clocks differ by so many seconds.
const CLOCKS: i64 = 1800;
/// The newest version of the batmap that is known, and the one whose checksum adds signed bytes.
const BATMAP_1_2: u32 = 0x0001_0002;
const BATMAP_1_1: u32 = 0x0001_0001;
/// Bytes of the batmap that are read at once.
const PIECE: u64 = 64 << 10;

const REFUSED: &str = "other software may refuse the image";
const HARMLESS: &str = "nothing here depends on it";

/// Adds what breaks a rule.
struct Rules<'a> {
    file: &'a ImageFile,
    findings: &'a mut Findings,
    structure: &'static str,
    offset: u64,
}

impl Rules<'_> {
    fn add(&mut self, severity: Severity, field: usize, expected: &str, found: String, consequence: &str) {
        let at = self.offset.saturating_add(field as u64);
        let defect = self.file.defect_box(Format::Vhd, Problem::Value, self.structure, at, expected, found);
        self.findings.add(severity, defect, consequence, None);
    }

    fn warn_unless(&mut self, holds: bool, field: usize, expected: &str, found: impl ToString) {
        if !holds {
            self.add(Severity::Warning, field, expected, found.to_string(), REFUSED);
        }
    }

    fn note_unless(&mut self, holds: bool, field: usize, expected: &str, found: impl ToString) {
        if !holds {
            self.add(Severity::Note, field, expected, found.to_string(), HARMLESS);
        }
    }
}

pub(super) fn footer(file: &ImageFile, found: &Found, findings: &mut Findings) {
    let footer = &found.footer;
    let mut rules = Rules { file, findings, structure: FOOTER, offset: found.offset };
    let features = Features::from_bits_retain(footer.features.get());
    let expected = "bit 1 set";
    rules.warn_unless(
        features.contains(Features::RESERVED),
        offset_of!(Footer, features),
        expected,
        format!("{:#x}", features.bits()),
    );
    let version = footer.file_format_version.get();
    let at = offset_of!(Footer, file_format_version);
    rules.warn_unless(version == VERSION_1_0, at, "version 1.0", format!("{version:#010x}"));
    if footer.disk_type == FIXED {
        let next = footer.data_offset.get();
        let at = offset_of!(Footer, data_offset);
        rules.warn_unless(next == u64::MAX, at, "all ones in a fixed disk", format!("{next:#x}"));
    }
    let at = offset_of!(Footer, time_stamp);
    rules.note_unless(is_past(footer.time_stamp.get()), at, "a time in the past", footer.time_stamp);
    let computed = skeleton::geometry(footer.current_size.get());
    let limit = (computed.cylinders, computed.heads, computed.sectors);
    let stored = (u32::from(footer.cylinders.get()), u32::from(footer.heads), u32::from(footer.sectors));
    // Readers have taken the geometry for the size; those that look at it here lose sectors, or refuse.
    let at = offset_of!(Footer, cylinders);
    rules.note_unless(
        stored <= limit,
        at,
        &format!("a geometry of at most {limit:?}"),
        format!("{stored:?}"),
    );
    let at = offset_of!(Footer, saved_state);
    rules.warn_unless(footer.saved_state <= 1, at, "0 or 1", footer.saved_state);
    rules.note_unless(footer.saved_state == 0, at, "no saved state", "one: it is not written to");
    let at = offset_of!(Footer, hidden);
    // XenServer's mark; reserved in the specification.
    let marks = u8::from(footer.is_tap());
    rules.warn_unless(footer.hidden <= marks, at, &format!("at most {marks}"), footer.hidden);
    rules.note_unless(footer.hidden != 1, at, "an image that is not hidden", 1);
    let at = offset_of!(Footer, reserved);
    // The mark of a change of the size is found with the data that it speaks of.
    rules.warn_unless(is_zero(&footer.unmarked().reserved), at, "zeros", "other bytes");
    let at = offset_of!(Footer, unique_id);
    rules.warn_unless(footer.unique_id != [0; 16], at, "an identity", "zeros");
}

pub(super) fn header(
    file: &ImageFile,
    header: &Header,
    bat: &Bat,
    info: &LayerInfo,
    findings: &mut Findings,
) {
    let fields = &header.fields;
    let mut rules = Rules { file, findings, structure: HEADER, offset: header.offset };
    let next = fields.data_offset.get();
    let at = offset_of!(DynamicHeader, data_offset);
    rules.warn_unless(next == u64::MAX, at, "all ones", format!("{next:#x}"));
    let at = offset_of!(DynamicHeader, table_offset);
    let whole = fields.table_offset.get().is_multiple_of(SECTOR);
    rules.warn_unless(whole, at, "a whole number of sectors", fields.table_offset);
    let at = offset_of!(DynamicHeader, max_table_entries);
    let expected = format!("{} entries", bat.blocks());
    rules.note_unless(header.entries() == bat.blocks(), at, &expected, header.entries());
    let at = offset_of!(DynamicHeader, header_version);
    let version = fields.header_version.get();
    rules.warn_unless(version == VERSION_1_0, at, "version 1.0", format!("{version:#010x}"));
    let zeros = fields.reserved1.get() == 0 && is_zero(&fields.reserved2);
    rules.warn_unless(zeros, offset_of!(DynamicHeader, reserved2), "zeros", "other bytes");
    let at = offset_of!(DynamicHeader, parent_time_stamp);
    let time = fields.parent_time_stamp.get();
    rules.note_unless(is_past(time), at, "a time in the past", time);
    if info.parent.is_some() {
        return locators(file, header, info, findings);
    }
    let at = offset_of!(DynamicHeader, parent_unique_id);
    let none = fields.parent_unique_id == [0; 16]
        && time == 0
        && is_zero(&fields.parent_unicode_name)
        && fields.parent_locators.iter().all(|locator| *locator == ParentLocator::default());
    rules.warn_unless(none, at, "no parent in a dynamic disk", "traces of one");
}

fn locators(file: &ImageFile, header: &Header, info: &LayerInfo, findings: &mut Findings) {
    let first = header.offset + offset_of!(DynamicHeader, parent_locators) as u64;
    let mut codes = HashSet::new();
    for (index, entry) in (0..).zip(&header.fields.parent_locators) {
        let offset = first + index * size_of::<ParentLocator>() as u64;
        let mut rules = Rules { file, findings, structure: LOCATOR, offset };
        let code = entry.platform_code.escape_ascii().to_string();
        if entry.platform_code == [0; 4] {
            rules.warn_unless(*entry == ParentLocator::default(), 0, "zeros without a code", "other bytes");
            continue;
        }
        rules.warn_unless(locator::is_known(&entry.platform_code), 0, "a known platform code", &code);
        rules.warn_unless(codes.insert(entry.platform_code), 0, "each platform code once", &code);
        let at = offset_of!(ParentLocator, platform_data_space);
        rules.warn_unless(entry.platform_data_space != 0, at, "room for a name", 0);
        let at = offset_of!(ParentLocator, platform_data_length);
        rules.warn_unless(entry.platform_data_length != 0, at, "a name", "none");
        let at = offset_of!(ParentLocator, platform_data_offset);
        let start = entry.platform_data_offset.get();
        let end = start.saturating_add(entry.platform_data_length.get().into());
        if end > file.size() {
            let consequence = "what is written to the file later lies where the name is looked for";
            rules.add(Severity::Error, at, "a name within the file", start.to_string(), consequence);
        }
        let at = offset_of!(ParentLocator, reserved);
        rules.warn_unless(entry.reserved == 0, at, "zero", entry.reserved);
    }
    let names = info.parent.iter().flat_map(|parent| &parent.names);
    let last = |name: &String| name.rsplit(['/', '\\']).next().unwrap_or_default().to_owned();
    let files: HashSet<_> = names.map(last).collect();
    let offset = header.offset + offset_of!(DynamicHeader, parent_unicode_name) as u64;
    let mut rules = Rules { file, findings, structure: HEADER, offset };
    let mut names: Vec<_> = files.iter().map(String::as_str).collect();
    names.sort_unstable();
    rules.warn_unless(names.len() == 1, 0, "one file name of the parent", names.join(", "));
}

/// XenServer's batmap. A bit that says of a block that it is whole makes XenServer read the parent's sectors from it.
pub(super) fn batmap(file: &ImageFile, bat: &Bat, findings: &mut Findings) -> Result<()> {
    let [header_range, map] = &bat.batmap[..] else { return Ok(()) };
    let header: BatmapHeader = file.read_struct(Format::Vhd, BATMAP, header_range.start)?;
    let mut rules = Rules { file, findings, structure: BATMAP, offset: header_range.start };
    let version = header.batmap_version.get();
    let at = offset_of!(BatmapHeader, batmap_version);
    rules.warn_unless(version <= BATMAP_1_2, at, "version 1.1 or 1.2", format!("{version:#010x}"));
    let room = u64::from(header.batmap_size.get()) * SECTOR * 8;
    let at = offset_of!(BatmapHeader, batmap_size);
    rules.warn_unless(room >= bat.blocks(), at, "a bit for each block", format!("{room} bits"));
    let inside = map.start.is_multiple_of(SECTOR) && map.start != 0 && map.end <= file.size();
    let at = offset_of!(BatmapHeader, batmap_offset);
    rules.warn_unless(inside, at, "a map in the file", format!("{} to {}", map.start, map.end));
    if !inside || room < bat.blocks() {
        return Ok(());
    }
    // The checksum is over the bits that the disk needs, in whole sectors.
    let end = map.end.min(map.start + bat.blocks().div_ceil(8).next_multiple_of(SECTOR));
    let mut sum = 0_u32;
    let mut cursor = bat.cursor(file);
    let mut lost = None;
    for at in (map.start..end).step_by(PIECE as usize) {
        let mut bytes = vec![0; (end - at).min(PIECE) as usize];
        file.read_exact_at(&mut bytes, at)?;
        for (number, &byte) in ((at - map.start)..).zip(&bytes) {
            let signed = version == BATMAP_1_1;
            sum = sum.wrapping_add(if signed { byte as i8 as u32 } else { byte.into() });
            for bit in (0..8).filter(|bit| byte & 0x80 >> bit != 0) {
                let index = number * 8 + bit;
                if index < bat.blocks()
                    && bat.block(file, &mut cursor, index).is_ok_and(|place| place.is_none())
                {
                    lost.get_or_insert(index);
                }
            }
        }
    }
    let at = offset_of!(BatmapHeader, checksum);
    let stored = header.checksum.get();
    rules.warn_unless(stored == !sum, at, &format!("{:#010x}", !sum), format!("{stored:#010x}"));
    let found = lost.map_or(String::new(), |index| format!("block {index}"));
    rules.warn_unless(lost.is_none(), 0, "no block that is not there", found);
    Ok(())
}

/// "The BAT is always extended to a sector boundary": what follows its last entry.
pub(super) fn padding(file: &ImageFile, header: &Header, findings: &mut Findings) -> Result<()> {
    let table = header.table();
    let end = table.start + header.entries() * 4;
    let mut rules = Rules { file, findings, structure: BAT, offset: end };
    if table.end <= file.size() {
        let mut rest = vec![0; (table.end - end) as usize];
        file.read_exact_at(&mut rest, end)?;
        rules.note_unless(
            rest.iter().all(|&byte| byte == 0xFF),
            0,
            "ones after the last entry",
            "other bytes",
        );
    }
    Ok(())
}

fn is_past(time_stamp: u32) -> bool {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    EPOCH + i64::from(time_stamp) <= now as i64 + CLOCKS
}
