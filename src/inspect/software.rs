//! What is installed, as the Uninstall entries of the hive `SOFTWARE` say: those of all users, in both views.
//!
//! Windows lists an entry that has a name, unless it is marked as a part of the system (`SystemComponent`) or belongs to another
//! one (`ParentKeyName`: an update). What it does not list is kept as hidden: installers of several packages hide all but one, and
//! the versions of the others count all the same.

use crate::error::Result;
use crate::windows::registry::{Hive, Key};

use super::notes::Notes;

/// Where the entries are, below `SOFTWARE`: of 64-bit programs, and of 32-bit ones.
const VIEWS: [&str; 2] = [
    "Microsoft\\Windows\\CurrentVersion\\Uninstall",
    "WOW6432Node\\Microsoft\\Windows\\CurrentVersion\\Uninstall",
];
/// Entries of a view at most.
const MOST: usize = 100_000;

/// An Uninstall entry.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Software {
    /// Its key, below `SOFTWARE`.
    pub key: String,
    /// `DisplayName`.
    pub name: String,
    /// `DisplayVersion`.
    pub version: Option<String>,
    /// `Publisher`.
    pub publisher: Option<String>,
    /// Whether Windows leaves it out where it lists what is installed.
    pub hidden: bool,
}

/// All entries that have a name, sorted by it.
pub(super) fn installed(software: &Hive, notes: &Notes) -> Result<Vec<Software>> {
    let mut found: Vec<Software> = Vec::new();
    for view in VIEWS {
        let entries = software.key(view).and_then(|key| key.map(|key| key.subkeys()).transpose());
        for entry in notes.told(view, entries)?.into_iter().flatten().take(MOST) {
            let entry = entry.and_then(|entry| read(&entry, view));
            found.extend(notes.told(view, entry)?);
        }
    }
    found.sort_by(|a, b| (a.name.to_lowercase(), &a.key).cmp(&(b.name.to_lowercase(), &b.key)));
    // Installers that enter themselves in both views.
    found.dedup_by(|a, b| {
        (&a.name, &a.version, &a.publisher, a.hidden) == (&b.name, &b.version, &b.publisher, b.hidden)
    });
    Ok(found)
}

fn read(entry: &Key<'_>, view: &str) -> Result<Option<Software>> {
    let Some(name) = entry.text("DisplayName")?.filter(|name| !name.is_empty()) else { return Ok(None) };
    let hidden = entry.integer("SystemComponent")?.is_some_and(|mark| mark != 0)
        || entry.text("ParentKeyName")?.is_some_and(|parent| !parent.is_empty());
    Ok(Some(Software {
        key: format!("{view}\\{}", entry.name()),
        name,
        version: entry.text("DisplayVersion")?,
        publisher: entry.text("Publisher")?,
        hidden,
    }))
}
