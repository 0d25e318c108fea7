//! Files of a volume, copied to the host: whole, or not at all.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::path::FilePath;
use super::walk::{Node, NodeKind};
use crate::error::{Error, Result};
use crate::job::Job;
use crate::storage::{FileStorage, OutputFile, OutputFolder, WriteAt};
use crate::windows::ntfs::FileData;

/// Bytes that are copied at once.
const PIECE: u64 = 1 << 20;

/// What was copied to the host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Extracted {
    /// How many files.
    pub files: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Links, which were left out.
    pub links: Vec<FilePath>,
}

/// Copies files of a volume to the host.
///
/// What is made there has the time at which the content was changed, and the mode that the system gives new files: attributes, and
/// the volume's own security descriptors, mean nothing there.
#[derive(Debug, Clone, Default)]
pub struct Extract {
    overwrite: bool,
    job: Job,
}

impl Extract {
    /// With the defaults: nothing is replaced.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether a file may be replaced.
    pub fn overwrite(self, overwrite: bool) -> Self {
        Self { overwrite, ..self }
    }

    /// What stops it.
    pub fn job(self, job: &Job) -> Self {
        Self { job: job.clone(), ..self }
    }

    /// Copies the content of a file, or of an alternate stream of it, to `destination`, where it appears when it is whole.
    ///
    /// # Errors
    ///
    /// [`Error::Layout`] for a directory, and for a file that is encrypted, a link, or compressed in a way that is not known here;
    /// [`Error::FileMissing`] when there is no such stream; [`Error::OutputExists`]; [`Error::Cancelled`]; and all that reading and
    /// writing give rise to.
    pub fn file(&self, node: &Node<'_>, stream: &str, destination: &Path) -> Result<Extracted> {
        let data = node.content(stream)?;
        let output = OutputFile::create(destination, self.overwrite)?;
        let name = destination.display().to_string();
        self.copy(&data, node, output.storage(), &name)?;
        output.publish(true)?;
        Ok(Extracted { files: 1, bytes: data.size(), links: Vec::new() })
    }

    /// Copies all that is below a directory into a new folder at `destination`, which appears when it is whole. Links are neither
    /// followed nor copied, and alternate streams are left out.
    ///
    /// # Errors
    ///
    /// As [`file`](Self::file); [`Error::Layout`] for a name that no file of the host can have.
    pub fn directory(&self, node: &Node<'_>, destination: &Path) -> Result<Extracted> {
        let output = OutputFolder::create(destination)?;
        let depth = node.path.names().len();
        let mut done = Extracted::default();
        for below in node.walk()? {
            self.job.check()?;
            let below = below?;
            let mut path = PathBuf::from(output.folder());
            for name in below.path.names().iter().skip(depth) {
                check_name(&below.path, name)?;
                path.push(name);
            }
            let failed = |e| Error::io("create", path.display().to_string(), e);
            match below.kind() {
                NodeKind::Directory => std::fs::create_dir(&path).map_err(failed)?,
                NodeKind::Reparse if !below.reparse.as_ref().is_some_and(|point| point.is_link()) => {
                    return Err(Error::Layout { reason: format!("{}: is stored elsewhere", below.path) });
                }
                NodeKind::Symlink | NodeKind::Junction | NodeKind::Reparse => done.links.push(below.path),
                NodeKind::File => {
                    let data = below.content("")?;
                    let file = File::options().read(true).write(true).create_new(true).open(&path);
                    let storage = FileStorage::from_file(file.map_err(failed)?).map_err(failed)?;
                    self.copy(&data, &below, &storage, &path.display().to_string())?;
                    done.files += 1;
                    done.bytes += data.size();
                }
            }
        }
        output.publish()?;
        Ok(done)
    }

    fn copy(&self, data: &FileData<'_>, node: &Node<'_>, output: &FileStorage, name: &str) -> Result<()> {
        let failed = |e| Error::io("write", name, e);
        let mut buffer = vec![0; data.size().min(PIECE) as usize];
        let mut at = 0;
        while at < data.size() {
            self.job.check()?;
            let piece = &mut buffer[..(data.size() - at).min(PIECE) as usize];
            data.read_at(piece, at).map_err(|e| e.within(node.path.to_string()))?;
            output.write_all_at(piece, at).map_err(failed)?;
            at += piece.len() as u64;
        }
        // A time that the system cannot keep is no reason to refuse the file.
        let _ = output.as_file().set_modified(SystemTime::from(node.metadata.modified));
        Ok(())
    }
}

/// Refuses a name that would mean something else on the host, or nothing: a volume may hold any.
fn check_name(path: &FilePath, name: &str) -> Result<()> {
    let separators = if cfg!(windows) { &['/', '\\', ':', '\0'][..] } else { &['/', '\0'] };
    let is_special = matches!(name, "" | "." | "..") || name.contains(separators);
    // Windows takes such names for others, or for devices.
    let is_device = cfg!(windows) && {
        let stem = name.split('.').next().unwrap_or_default().trim_end().to_ascii_uppercase();
        let numbered = |device: &str| stem.strip_prefix(device).is_some_and(|rest| rest.chars().count() == 1);
        name.ends_with(['.', ' '])
            || ["CON", "PRN", "AUX", "NUL"].contains(&&*stem)
            || numbered("COM")
            || numbered("LPT")
    };
    match is_special || is_device {
        true => Err(Error::Layout {
            reason: format!("{path}: no file of this system can have the name {name:?}"),
        }),
        false => Ok(()),
    }
}
