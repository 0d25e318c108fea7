//! Whether a volume was left in order: only then may it be changed.

use std::fmt;

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use super::fixup;
use super::flaw::flaw;
use super::record::kind;
use super::volume::{Volume, system_file};
use crate::error::{Error, Result};
use crate::leaves::Rule;

/// In what state a volume was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// Unmounted cleanly: nothing is pending.
    Clean,
    /// Marked for chkdsk.
    Dirty,
    /// The log has changes that are not on the volume.
    LogPending,
    /// Windows is hibernated, or was shut down by a fast startup.
    Hibernated,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            State::Clean => "the NTFS volume is clean",
            State::Dirty => "the NTFS volume is marked dirty, for chkdsk to look at",
            State::LogPending => {
                "the NTFS volume was not unmounted: its log has changes that are not written yet"
            }
            State::Hibernated => "Windows is hibernated, or was shut down by a fast startup",
        })
    }
}

/// `$VOLUME_INFORMATION`.
#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct VolumeInformation {
    reserved: U64,
    version: [u8; 2],
    flags: U16,
}
const VOLUME_IS_DIRTY: u16 = 1;

/// A restart page of `$LogFile`. Two stand at its beginning; the one written last counts.
#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RestartPage {
    signature: [u8; 4],
    update_sequence: [u8; 4],
    chkdsk_lsn: U64,
    system_page_size: U32,
    log_page_size: U32,
    restart_area: U16,
}

#[derive(FromBytes, KnownLayout, Immutable, Unaligned, Clone, Copy)]
#[repr(C)]
struct RestartArea {
    current_lsn: U64,
    clients: U16,
    client_free_list: U16,
    client_in_use_list: U16,
    flags: U16,
}
const NO_CLIENT: u16 = u16::MAX;
const LOG_IS_CLEAN: u16 = 2;
/// Windows' pages are of 4 KiB.
const LOG_PAGES: [u64; 2] = [0, 4096];
const LOG_PAGE: usize = 4096;

/// Where the Volume Shadow Copy Service keeps its header, within `$Boot`.
const SHADOW_COPIES: u64 = 0x1e00;
const SHADOW_COPIES_ID: [u8; 16] =
    [0x6b, 0x87, 0x08, 0x38, 0x76, 0xc1, 0x48, 0x4e, 0xb7, 0xae, 0x04, 0x04, 0x6e, 0x6c, 0xc7, 0x52];

impl Volume {
    /// In what state the volume was left.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`], and what reading the disk gives rise to.
    pub fn state(&self) -> Result<State> {
        if self.is_hibernated()? {
            return Ok(State::Hibernated);
        }
        if self.is_dirty()? {
            return Ok(State::Dirty);
        }
        match self.log_is_clean()? {
            true => Ok(State::Clean),
            false => Ok(State::LogPending),
        }
    }

    /// Refuses a volume that must not be changed.
    pub(crate) fn check_clean(&self) -> Result<()> {
        let rule = match self.state()? {
            State::Clean => return Ok(()),
            State::Hibernated => Rule::Hibernated,
            State::Dirty | State::LogPending => Rule::DirtyVolume,
        };
        Err(Error::NotConvertible { rule, reason: self.state()?.to_string() })
    }

    /// Whether the volume has shadow copies, which know its clusters by their place.
    ///
    /// # Errors
    ///
    /// What reading the disk gives rise to.
    pub fn has_shadow_copies(&self) -> Result<bool> {
        let mut header = [0; 56];
        self.read_at(&mut header, SHADOW_COPIES)?;
        let (id, catalog) = (&header[..16], &header[48..]);
        Ok(id == SHADOW_COPIES_ID && catalog.iter().any(|&byte| byte != 0))
    }

    fn is_dirty(&self) -> Result<bool> {
        let record = self.record(system_file::VOLUME)?;
        let bytes =
            self.required(&record, kind::VOLUME_INFORMATION, "")?.read(self, self.boot.record_size)?;
        match VolumeInformation::ref_from_prefix(&bytes) {
            Ok((information, _)) => Ok(information.flags.get() & VOLUME_IS_DIRTY != 0),
            Err(_) => self.in_record(&record, |_| Err(flaw("$VOLUME_INFORMATION", "a part of it"))),
        }
    }

    fn log_is_clean(&self) -> Result<bool> {
        let record = self.record(system_file::LOG)?;
        let log = self.required(&record, kind::DATA, "")?;
        let mut newest: Option<RestartArea> = None;
        let mut empty = true;
        for offset in LOG_PAGES {
            if log.size < offset + LOG_PAGE as u64 {
                continue;
            }
            let mut page = vec![0; LOG_PAGE];
            log.read_at(self, &mut page, offset)?;
            empty &= page.iter().all(|&byte| byte == 0xff);
            if let Some(area) = restart_area(&mut page)
                && newest.is_none_or(|newest| newest.current_lsn.get() < area.current_lsn.get())
            {
                newest = Some(area);
            }
        }
        Ok(match newest {
            Some(area) => area.client_in_use_list == NO_CLIENT || area.flags.get() & LOG_IS_CLEAN != 0,
            // What chkdsk and ntfs-3g leave: a log of FFh, which Windows begins anew.
            None => empty,
        })
    }

    fn is_hibernated(&self) -> Result<bool> {
        let Some(file) = self.find("hiberfil.sys")? else { return Ok(false) };
        let mut signature = [0; 4];
        let record = &file.record;
        let data = self.required(record, kind::DATA, "")?;
        if data.size < signature.len() as u64 {
            return Ok(false);
        }
        data.read_at(self, &mut signature, 0)?;
        // A session that was resumed leaves "wake", one that was thrown away zeros.
        Ok([*b"hibr", *b"HIBR", *b"rstr", *b"RSTR"].contains(&signature))
    }
}

fn restart_area(page: &mut [u8]) -> Option<RestartArea> {
    // CHKD is what chkdsk makes of it.
    if fixup::remove(page, b"RSTR").is_err() {
        fixup::remove(page, b"CHKD").ok()?;
    }
    let (header, _) = RestartPage::ref_from_prefix(page).ok()?;
    let area = page.get(usize::from(header.restart_area.get())..)?;
    Some(RestartArea::read_from_prefix(area).ok()?.0)
}
