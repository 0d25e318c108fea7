//! The files of a Windows, by the paths that its registry gives.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

use crate::error::{Error, Result};
use crate::windows::ntfs::Volume;

/// A Windows on its volume. Folders are listed once, however many files are looked for.
pub(super) struct Files<'v> {
    pub volume: &'v Volume,
    /// `\Windows`.
    pub root: String,
    /// The letter that Windows gives its volume: `C`.
    letter: Option<char>,
    /// The names in the folders, in upper case, by the folders' paths; `None` where there is no such folder.
    listed: RefCell<HashMap<String, Option<HashSet<String>>>>,
}

impl<'v> Files<'v> {
    /// `system_root` is what `CurrentVersion\SystemRoot` says: `C:\Windows`.
    pub fn new(volume: &'v Volume, root: &str, system_root: Option<&str>) -> Self {
        let letter = system_root.and_then(drive).map(|(letter, _)| letter);
        Self { volume, root: root.to_owned(), letter, listed: RefCell::default() }
    }

    /// The path on the volume of what a service's `ImagePath` names; `None` for what lies on another volume.
    pub fn image(&self, image: &str) -> Option<String> {
        let image = image.trim();
        let image = match image.strip_prefix('"') {
            Some(quoted) => quoted.split('"').next().unwrap_or_default().to_owned(),
            None => without_arguments(image).to_owned(),
        };
        let image = image.strip_prefix("\\??\\").unwrap_or(&image);
        for prefix in ["\\SystemRoot\\", "%SystemRoot%\\", "%windir%\\"] {
            if let Some(rest) = strip_prefix_ignoring_case(image, prefix) {
                return Some(format!("{}\\{rest}", self.root));
            }
        }
        if let Some(rest) = strip_prefix_ignoring_case(image, "%ProgramFiles%\\") {
            return Some(format!("\\Program Files\\{rest}"));
        }
        match drive(image) {
            Some((letter, rest)) => self.letter.is_none_or(|own| own == letter).then(|| rest.to_owned()),
            None if image.starts_with('\\') => Some(image.to_owned()),
            // Relative to the root of Windows.
            None => Some(format!("{}\\{image}", self.root)),
        }
    }

    /// Whether there is a file at `path`.
    pub fn has(&self, path: &str) -> Result<bool> {
        let Some((folder, name)) = path.rsplit_once('\\') else { return Ok(false) };
        let folder = folder.to_uppercase();
        if !self.listed.borrow().contains_key(&folder) {
            let names = self.names(&folder)?;
            self.listed.borrow_mut().insert(folder.clone(), names);
        }
        let listed = self.listed.borrow();
        let names = listed.get(&folder).and_then(Option::as_ref);
        Ok(names.is_some_and(|names| names.contains(&name.to_uppercase())))
    }

    fn names(&self, folder: &str) -> Result<Option<HashSet<String>>> {
        let Some(folder) = self.volume.find(folder)? else { return Ok(None) };
        if !folder.is_directory()? {
            return Ok(None);
        }
        match folder.entries() {
            Ok(entries) => Ok(Some(entries.into_iter().map(|entry| entry.name.to_uppercase()).collect())),
            // A link leads to another place.
            Err(Error::Layout { .. }) => Ok(None),
            Err(e) => Err(e),
        }
    }
}

/// The letter and the path of `C:\…`.
fn drive(path: &str) -> Option<(char, &str)> {
    let letter = path.chars().next().filter(char::is_ascii_alphabetic)?;
    let rest = path[1..].strip_prefix(':').filter(|rest| rest.starts_with('\\'))?;
    Some((letter.to_ascii_uppercase(), rest))
}

fn strip_prefix_ignoring_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let start = text.get(..prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then(|| &text[prefix.len()..])
}

/// A path without quotes ends behind the ending of a program: blanks may be part of it, or stand before arguments.
fn without_arguments(image: &str) -> &str {
    let lower = image.to_ascii_lowercase();
    let ends =
        [".sys", ".exe", ".dll"].into_iter().filter_map(|ending| Some(lower.find(ending)? + ending.len()));
    ends.min().and_then(|end| image.get(..end)).unwrap_or(image)
}
