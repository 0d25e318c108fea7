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
    /// The log says that nothing is pending, but is of a version that Windows takes back when it unmounts a volume: it was mounted, or
    /// Windows was shut down by a fast startup, and holds more in memory.
    LogInUse,
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
            State::LogInUse => {
                "the NTFS volume was mounted, or Windows was shut down by a fast startup: its log is of version 2.0, \
                 which a shutdown takes back to 1.1"
            }
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
/// Flags of a volume that is not in order: dirty; the journal of changes is being deleted; chkdsk is at work.
const MARKED: u16 = 1 | 0x10 | 0x4000;
/// Of Windows XP and since.
const VERSION: [u8; 2] = [3, 1];

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
    minor_version: U16,
    major_version: U16,
}
/// Windows keeps its log in this version from Windows 8 on, and takes it back to 1.1 when it unmounts the volume.
const IN_USE: u16 = 2;

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
        self.log_state()
    }

    /// Whether a log that is marked clean is taken for clean whatever its version: a Windows that is told to keeps the newer
    /// one over a shutdown. By default it is not.
    pub fn trust_log(mut self, trust: bool) -> Self {
        self.log_trusted = trust;
        self
    }

    /// Refuses a volume that must not be changed.
    pub(crate) fn check_clean(&self) -> Result<()> {
        let rule = match self.state()? {
            State::Clean => return Ok(()),
            State::Hibernated => Rule::Hibernated,
            State::LogInUse => Rule::LogInUse,
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

    /// Refuses a volume whose files are kept in another way than is known here.
    pub(super) fn check_version(&self) -> Result<()> {
        match self.information()?.version {
            VERSION => Ok(()),
            [major, minor] => Err(Error::Unsupported {
                what: format!("an NTFS volume of version {major}.{minor} is not written to, but one of 3.1"),
            }),
        }
    }

    fn is_dirty(&self) -> Result<bool> {
        Ok(self.information()?.flags.get() & MARKED != 0)
    }

    fn information(&self) -> Result<VolumeInformation> {
        let record = self.record(system_file::VOLUME)?;
        let bytes =
            self.required(&record, kind::VOLUME_INFORMATION, "")?.read(self, self.boot.record_size)?;
        match VolumeInformation::read_from_prefix(&bytes) {
            Ok((information, _)) => Ok(information),
            Err(_) => self.in_record(&record, |_| Err(flaw("$VOLUME_INFORMATION", "a part of it"))),
        }
    }

    fn log_state(&self) -> Result<State> {
        let record = self.record(system_file::LOG)?;
        let log = self.required(&record, kind::DATA, "")?;
        let mut newest: Option<(RestartArea, u16)> = None;
        let mut empty = true;
        for offset in LOG_PAGES {
            if log.size < offset + LOG_PAGE as u64 {
                continue;
            }
            let mut page = vec![0; LOG_PAGE];
            log.read_at(self, &mut page, offset)?;
            empty &= page.iter().all(|&byte| byte == 0xff);
            if let Some((area, version)) = restart_area(&mut page)
                && newest.is_none_or(|(newest, _)| newest.current_lsn.get() < area.current_lsn.get())
            {
                newest = Some((area, version));
            }
        }
        Ok(match newest {
            Some((area, _))
                if area.client_in_use_list != NO_CLIENT && area.flags.get() & LOG_IS_CLEAN == 0 =>
            {
                State::LogPending
            }
            Some((_, version)) if version >= IN_USE && !self.log_trusted => State::LogInUse,
            Some(_) => State::Clean,
            // What chkdsk and ntfs-3g leave: a log of FFh, which Windows begins anew.
            None if empty => State::Clean,
            None => State::LogPending,
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

/// The restart area of a page, and the major version of its log.
fn restart_area(page: &mut [u8]) -> Option<(RestartArea, u16)> {
    // CHKD is what chkdsk makes of it.
    if fixup::remove(page, b"RSTR").is_err() {
        fixup::remove(page, b"CHKD").ok()?;
    }
    let (header, _) = RestartPage::ref_from_prefix(page).ok()?;
    let area = page.get(usize::from(header.restart_area.get())..)?;
    Some((RestartArea::read_from_prefix(area).ok()?.0, header.major_version.get()))
}
