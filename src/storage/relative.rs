//! The way from one file to another, as a child records where its parent is.

use std::io;
use std::path::{Component, Path, PathBuf};

/// The path of `file`, which need not be there, from the root, its folder free of symlinks, so that `..` in paths made of it
/// leads where it says.
pub(crate) fn absolute(file: &Path) -> io::Result<PathBuf> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = file.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    Ok(folder.canonicalize()?.join(name))
}

/// The way from the folder of `from` to `to`, with `/` between its parts. Both are from the root. `None` when there is no way,
/// as between two drives, or when a name is no Unicode.
pub(crate) fn way(from: &Path, to: &Path) -> Option<String> {
    let from: Vec<_> = from.parent()?.components().collect();
    let to: Vec<_> = to.components().collect();
    let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    if common == 0 {
        return None;
    }
    let ups = from[common..].iter().map(|_| Some(".."));
    let downs = to[common..].iter().map(|part| match part {
        Component::Normal(name) => name.to_str(),
        _ => None,
    });
    Some(ups.chain(downs).collect::<Option<Vec<_>>>()?.join("/"))
}

/// Whether `name`, as an image in `folder` gives it, leads to the file at `path` where no symlink is in its way; both are from
/// the root and free of symlinks. Nothing is looked at.
pub(crate) fn leads_to(folder: &Path, name: &str, path: &Path) -> bool {
    // A VHD writes all absolute names as Windows does, wherever it was made.
    let parts = |name: &str| name.split(['/', '\\']).map(str::to_owned).collect::<Vec<_>>();
    let mut found = if name.starts_with(['/', '\\']) { PathBuf::from("/") } else { folder.to_path_buf() };
    if Path::new(name).is_absolute() && cfg!(windows) {
        return Path::new(name) == path;
    }
    for part in parts(name) {
        match part.as_str() {
            "" | "." => {}
            ".." => drop(found.pop()),
            part => found.push(part),
        }
    }
    found == path
}

/// The path as everyone writes it: Windows' own canonical form has a prefix that few programs read.
pub(crate) fn plain(path: &str) -> String {
    match (path.strip_prefix(r"\\?\UNC\"), path.strip_prefix(r"\\?\")) {
        (Some(share), _) => format!(r"\\{share}"),
        (None, Some(path)) => path.to_owned(),
        (None, None) => path.to_owned(),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn paths_without_a_prefix() {
        assert_eq!(plain(r"\\?\C:\vm\base.vhd"), r"C:\vm\base.vhd");
        assert_eq!(plain(r"\\?\UNC\server\share\base.vhd"), r"\\server\share\base.vhd");
        for path in [r"C:\vm\base.vhd", r"\\server\share\base.vhd", "/vm/base.vhd"] {
            assert_eq!(plain(path), path);
        }
    }

    #[test]
    fn ways_between_folders() {
        let way = |from: &str, to: &str| way(Path::new(from), Path::new(to));
        assert_eq!(way("/a/child", "/a/base").as_deref(), Some("base"));
        assert_eq!(way("/a/b/child", "/a/base").as_deref(), Some("../base"));
        assert_eq!(way("/a/child", "/a/b/base").as_deref(), Some("b/base"));
        assert_eq!(way("/x/child", "/y/z/base").as_deref(), Some("../y/z/base"));
    }
}
