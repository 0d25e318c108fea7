//! The names that images record for other files: how they are read, and which may be written.
//!
//! One rule serves both sides: a name that [`is_plain`] takes leads to the file of that name in the image's own folder
//! before it is taken for a path of another system. On Unix `:` and `\` are letters as others are; on Windows they lead
//! elsewhere, and so do the names of devices.

use std::path::{Path, PathBuf};

use super::similar::similar;
use crate::leaves::ReferenceKind;

/// Bytes of a file's name: the limit of the file systems of Linux and macOS, and a lenient one of Windows'.
const MAX_NAME: usize = 255;

/// Whether a file in a folder of this system can be called `name`, so that the name leads to it and nowhere else.
pub(crate) fn is_plain(name: &str) -> bool {
    let letters = if cfg!(unix) {
        !name.contains('/')
    } else {
        !name.contains(['/', '\\', ':']) && !name.ends_with(['.', ' ']) && !is_device_name(name)
    };
    !matches!(name, "" | "." | "..") && name.len() <= MAX_NAME && !name.contains('\0') && letters
}

/// Where a recorded name may lead within the image's own folder, and why it may lead no further.
pub(super) struct Within<'a> {
    /// The parts of each way, in the order in which the ways are tried.
    pub(super) ways: Vec<Vec<&'a str>>,
    /// Why the name is refused, when none of them leads to a file.
    pub(super) refusal: Option<&'static str>,
}

impl<'a> Within<'a> {
    /// The ways of `name`. Of an absolute one the last part alone counts: what it leads to elsewhere is not looked at.
    pub(super) fn of(name: &'a str, kind: ReferenceKind) -> Self {
        let mut ways: Vec<Vec<&str>> = as_it_stands(name).map(|name| vec![name]).collect();
        let absolute = is_windows_absolute(name) || name.starts_with('/');
        let refusal = match parts(if absolute { last_part(name) } else { name }) {
            Ok(way) => {
                if !ways.contains(&way) {
                    ways.push(way);
                }
                // A parent that is not there is merely missing.
                (absolute && kind == ReferenceKind::Extent).then_some("it is an absolute path")
            }
            Err(refusal) => Some(refusal),
        };
        Self { ways, refusal }
    }
}

/// The name as it stands, then without what says "here", where that is plain.
fn as_it_stands(name: &str) -> impl Iterator<Item = &str> {
    let bare = name.strip_prefix("./").or_else(|| name.strip_prefix(".\\"));
    [Some(name), bare].into_iter().flatten().filter(|name| is_plain(name))
}

/// The plain names that lead from the folder to the file by the separators of every system, or why they may not be
/// followed.
fn parts(name: &str) -> Result<Vec<&str>, &'static str> {
    if name.contains('\0') {
        return Err("it holds a NUL");
    }
    if name.is_empty() || name.ends_with(['/', '\\']) {
        return Err("it is empty, or names a folder");
    }
    let parts: Vec<&str> = name.split(['/', '\\']).filter(|part| !matches!(*part, "." | "")).collect();
    for part in &parts {
        if *part == ".." {
            return Err("it leaves the image's folder");
        }
        if part.contains(':') {
            return Err("it is a URL, a drive or an alternate stream");
        }
        if part.len() > MAX_NAME {
            return Err("a part of it is longer than any file's name");
        }
        if is_device_name(part) {
            return Err("it is the name of a device");
        }
    }
    if parts.is_empty() { Err("it names a folder") } else { Ok(parts) }
}

/// Where the files may lie that an image in `folder` calls `name`, whatever that leads to, in the order in which they are
/// tried.
pub(super) fn anywhere(folder: &Path, name: &str) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    let mut add = |path: PathBuf| {
        if !paths.contains(&path) {
            paths.push(path);
        }
    };
    let windows = is_windows_absolute(name);
    if Path::new(name).is_absolute() {
        add(PathBuf::from(name));
    } else if cfg!(unix) || !windows {
        as_it_stands(name).for_each(|name| add(folder.join(name)));
        // What no file can be called ends no search.
        if name.split('/').all(|part| part.len() <= MAX_NAME) {
            add(folder.join(name));
        }
    }
    if cfg!(not(windows)) && name.starts_with('\\') {
        // A VHD writes all absolute names so, wherever it was made.
        add(PathBuf::from(name.replace('\\', "/")));
    }
    if windows || name.starts_with('/') {
        // Of another machine's path the last part may still be here.
        add(folder.join(last_part(name)));
    } else {
        add(name.split(['/', '\\']).fold(folder.to_path_buf(), |path, part| path.join(part)));
    }
    paths
}

/// The ways beneath `folder` that differ from `way` in letter case or in Unicode form alone. Links are not followed.
pub(super) fn similar_ways(folder: &Path, way: &[&str]) -> Vec<Vec<String>> {
    let mut ways = vec![Vec::new()];
    for part in way {
        let longer = ways.iter().flat_map(|way: &Vec<String>| {
            let here = way.iter().fold(folder.to_path_buf(), |path, part| path.join(part));
            let is_link = !way.is_empty() && here.symlink_metadata().is_ok_and(|there| there.is_symlink());
            let names = if is_link { Vec::new() } else { similar(&here, part) };
            names.into_iter().map(|name| way.iter().cloned().chain([name]).collect::<Vec<_>>())
        });
        ways = longer.take(MAX_SIMILAR).collect();
    }
    ways
}

/// Ways that are told apart at most; two are too many to choose from.
const MAX_SIMILAR: usize = 16;

/// The last part of a path of any system.
pub(super) fn last_part(name: &str) -> &str {
    name.rsplit(['/', '\\']).next().unwrap_or(name)
}

/// `C:\…`, `\\server\share\…`, `\\?\…`, `\…`
fn is_windows_absolute(name: &str) -> bool {
    let bytes = name.as_bytes();
    name.starts_with('\\')
        || (bytes.len() >= 3
            && bytes[0].is_ascii_alphabetic()
            && bytes[1] == b':'
            && matches!(bytes[2], b'\\' | b'/'))
}

/// Names that Windows takes for devices in any folder, with or without an extension.
fn is_device_name(part: &str) -> bool {
    let stem = part.split('.').next().unwrap_or(part).trim_end().to_ascii_uppercase();
    let numbered = |prefix| {
        stem.strip_prefix(prefix)
            .is_some_and(|digit: &str| digit.len() == 1 && digit.as_bytes()[0].is_ascii_digit())
    };
    matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL") || numbered("COM") || numbered("LPT")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ways(name: &str, kind: ReferenceKind) -> (Vec<Vec<&str>>, bool) {
        let Within { ways, refusal } = Within::of(name, kind);
        (ways, refusal.is_some())
    }

    const KINDS: [ReferenceKind; 2] = [ReferenceKind::Parent, ReferenceKind::Extent];

    #[test]
    fn names_that_stay_in_the_folder() {
        for kind in KINDS {
            assert_eq!(ways("a.vmdk", kind), (vec![vec!["a.vmdk"]], false));
            for name in [".\\a.vhd", "./sub\\a b.vhd"] {
                let (ways, refused) = ways(name, kind);
                let expected: &[&str] = if name.starts_with("./") { &["sub", "a b.vhd"] } else { &["a.vhd"] };
                assert!(!refused && ways.iter().any(|way| way == expected), "{name}: {ways:?}");
            }
        }
    }

    /// Of an absolute path the last part is tried; a parent that is not there is missing, an extent refused.
    #[test]
    fn absolute_names_count_by_their_last_part() {
        for name in
            ["C:\\images\\b.vhd", "\\\\server\\share\\b.vhd", "\\\\?\\C:\\x\\b.vhd", "/vmfs/volumes/x/b.vhd"]
        {
            for kind in KINDS {
                let (ways, refused) = ways(name, kind);
                assert_eq!(ways.last(), Some(&vec!["b.vhd"]), "{name}");
                assert_eq!(refused, kind == ReferenceKind::Extent, "{name}");
            }
        }
    }

    #[test]
    fn names_that_lead_away() {
        for name in ["", "a\0b", "../a", "sub/../../a", "nbd://x/y", "sub/", ".", ".."] {
            for kind in KINDS {
                assert_eq!(ways(name, kind), (vec![], true), "{name:?}");
            }
        }
        for name in ["..\\a", "json:{}", "a.vhd:stream", "CON", "nul.vhd"] {
            let (ways, refused) = ways(name, ReferenceKind::Parent);
            // On Unix these can be files.
            assert!(refused && ways.iter().all(|way| cfg!(unix) && way == &[name]), "{name:?}");
            assert_eq!(is_plain(name), cfg!(unix), "{name:?}");
        }
    }
}
