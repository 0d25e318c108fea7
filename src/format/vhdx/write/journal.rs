//! Changing metadata through the log: gathered in memory, written to the log, then to their places.

use std::ops::Range;
use std::sync::Arc;

use uuid::Uuid;

use super::super::log::SECTOR;
use super::headers::Headers;
use super::log_writer::{LogWriter, MAX_SECTORS};
use super::pending::Pending;
use crate::error::Result;
use crate::storage::{FileRole, ImageFile, WritableFile};

/// What a session of writing does to a file beside its payload.
pub(crate) struct Journal {
    file: WritableFile,
    headers: Headers,
    log: LogWriter,
    pending: Arc<Pending>,
    session: Session,
    /// The DataWriteGuid for the next visible change.
    data_write_guid: Option<Uuid>,
}

/// How far a session has come in saying that it changes the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
pub(crate) enum Session {
    /// Nothing was changed yet.
    Untouched,
    /// The file has a new FileWriteGuid, 2.2.2: it may be changed, but not what a reader of the disk sees.
    FileChanged,
    /// It has a new DataWriteGuid too.
    DataChanged,
}

impl Journal {
    /// A session on `file`; `log` is where its log lies.
    pub(crate) fn new(file: WritableFile, headers: Headers, log: Range<u64>) -> Self {
        let pending = Arc::new(Pending::new(file.storage().clone()));
        let (log, session) = (LogWriter::new(log, file.ids().guid()), Session::Untouched);
        Self { file, headers, log, pending, session, data_write_guid: None }
    }

    /// The file as it is with all changes, and as long as it is now.
    pub(crate) fn view(&self) -> Result<ImageFile> {
        self.file.image(FileRole::Image)?.with_storage(self.pending.clone())
    }

    /// Uses `guid` as DataWriteGuid from the next visible change on.
    pub(crate) fn set_data_write_guid(&mut self, guid: Uuid) {
        self.data_write_guid = Some(guid);
    }

    /// Whether the session needs not be brought to `session` before a change.
    pub(crate) fn has_begun(&self, session: Session) -> bool {
        self.session >= session && self.data_write_guid.is_none()
    }

    /// Brings the session to `session`, which must be done before the change that it is named for.
    pub(crate) fn begin(&mut self, session: Session) -> Result<()> {
        if self.has_begun(session) {
            return Ok(());
        }
        let file_write = (self.session == Session::Untouched).then(|| self.file.ids().guid());
        let data_write = (session == Session::DataChanged)
            .then(|| self.data_write_guid.unwrap_or_else(|| self.file.ids().guid()));
        if file_write.is_none() && data_write.is_none() {
            return Ok(());
        }
        self.headers.update(&self.file, |header| {
            if let Some(guid) = file_write {
                header.file_write_guid = guid.to_bytes_le();
            }
            if let Some(guid) = data_write {
                header.data_write_guid = guid.to_bytes_le();
            }
        })?;
        self.session = if data_write.is_some() {
            self.data_write_guid = None;
            Session::DataChanged
        } else {
            Session::FileChanged
        };
        Ok(())
    }

    /// How many sectors can be changed before [`publish`](Self::publish) must be called.
    pub(crate) fn room(&self) -> usize {
        MAX_SECTORS - self.pending.read().len()
    }

    /// Changes bytes of the metadata. What is changed between two calls of [`publish`](Self::publish) becomes
    /// durable together or not at all; it is at most as many sectors as there is [`room`](Self::room) for.
    pub(crate) fn patch(&mut self, mut offset: u64, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let within = (offset % SECTOR) as usize;
            let (now, later) = bytes.split_at(bytes.len().min(SECTOR as usize - within));
            let at = offset - within as u64;
            let mut sectors = self.pending.write();
            let sector = match sectors.entry(at) {
                std::collections::btree_map::Entry::Occupied(sector) => sector.into_mut(),
                std::collections::btree_map::Entry::Vacant(place) => {
                    let mut sector = Box::new([0; SECTOR as usize]);
                    if now.len() < sector.len() {
                        self.file.read_exact_at(&mut *sector, at)?;
                    }
                    place.insert(sector)
                }
            };
            sector[within..within + now.len()].copy_from_slice(now);
            offset += now.len() as u64;
            bytes = later;
        }
        Ok(())
    }

    /// Makes the payload durable, and then the changes of the metadata. They are on their way to their places when this returns.
    pub(crate) fn publish(&mut self) -> Result<()> {
        // The payload before what makes it visible; and what the last entry changed, before this one takes its place as
        // the only one that is replayed.
        self.file.sync()?;
        if self.pending.read().is_empty() {
            return Ok(());
        }
        let size = self.file.size()?;
        self.log.append(&self.file, &self.pending.read(), size)?;
        self.file.sync()?;
        // The log counts from now on. Were the LogGuid written before the first entry, then a cut between them would leave a log
        // without entries, which 2.3.3 calls corrupt.
        let guid = self.log.guid();
        if self.headers.current().log_guid() != guid {
            self.headers.update(&self.file, |header| header.log_guid = guid.to_bytes_le())?;
        }
        // Until all are there, readers find them where they are found now.
        for (&offset, sector) in &*self.pending.read() {
            self.file.write_all_at(&**sector, offset)?;
        }
        self.pending.write().clear();
        Ok(())
    }

    /// Publishes all changes and leaves an empty log. The file is cut after `end`, when anything was changed.
    pub(crate) fn close(&mut self, end: u64) -> Result<()> {
        if self.session == Session::Untouched {
            return Ok(());
        }
        self.publish()?;
        self.empty_log()?;
        if self.file.size()? > end {
            self.file.set_size(end)?;
        }
        self.file.sync()
    }

    /// Makes the log count no longer, when all that it holds is in its place.
    pub(crate) fn empty_log(&mut self) -> Result<()> {
        self.file.sync()?;
        if self.headers.current().log_guid().is_nil() {
            return Ok(());
        }
        self.headers.update(&self.file, |header| header.log_guid = [0; 16])
    }
}
