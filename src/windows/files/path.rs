//! Paths as a person writes them: `C:\dir\file`, `/dir/file`, `\dir\file:stream`.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;

/// Names within each other that a path may have: as many as Windows' own longest path has room for.
const MAX_DEPTH: usize = 16_384;

/// The place of a file, or of an alternate stream of one, on a volume.
///
/// Names are parted by `\` or `/`. A drive letter in front says nothing: which volume is meant is said otherwise, and on the
/// disk of a Windows that is not running `C:` is the volume of Windows. It is shown as it was written.
///
/// ```
/// use diskport::windows::files::FilePath;
///
/// let path: FilePath = r"C:\Windows\win.ini".parse()?;
/// assert_eq!(path.names(), ["Windows", "win.ini"]);
/// assert_eq!(path.child("x").to_string(), r"C:\Windows\win.ini\x");
/// assert_eq!("/a/b:notes".parse::<FilePath>()?.stream(), "notes");
/// assert!(r"C:\a\..\b".parse::<FilePath>().is_err());
/// # Ok::<(), diskport::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePath {
    /// What stands before the first name: the drive and the separator.
    root: String,
    separator: char,
    names: Vec<String>,
    stream: String,
}

impl FilePath {
    /// The root directory, as `/` or with a drive.
    pub fn root() -> Self {
        Self { root: "/".to_owned(), separator: '/', names: Vec::new(), stream: String::new() }
    }

    /// The names from the root on.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The name of the file; `None` of the root directory.
    pub fn name(&self) -> Option<&str> {
        self.names.last().map(String::as_str)
    }

    /// The alternate stream; empty for the file's own content.
    pub fn stream(&self) -> &str {
        &self.stream
    }

    /// The same place without a stream.
    pub fn file(&self) -> Self {
        Self { stream: String::new(), ..self.clone() }
    }

    /// The directory that it lies in; `None` of the root directory.
    pub fn parent(&self) -> Option<Self> {
        let (_, names) = self.names.split_last()?;
        Some(Self { names: names.to_vec(), ..self.file() })
    }

    /// The place of `name` in this directory.
    pub fn child(&self, name: &str) -> Self {
        let mut child = self.file();
        child.names.push(name.to_owned());
        child
    }

    /// With `\` between the names, as [`Volume::find`](crate::windows::ntfs::Volume::find) takes it, without drive and stream.
    pub fn on_volume(&self) -> String {
        format!("\\{}", self.names.join("\\"))
    }
}

impl FromStr for FilePath {
    type Err = Error;

    /// # Errors
    ///
    /// [`Error::Unsupported`] for a path that is not one from the root: one with `.` or `..`, or with a drive other than `C:`,
    /// which this cannot tell a volume for.
    fn from_str(text: &str) -> Result<Self, Error> {
        let refuse = |why: &str| Err(Error::Unsupported { what: format!("{text}: {why}") });
        let mut characters = text.chars();
        let drive = match (characters.next(), characters.next()) {
            (Some(letter), Some(':')) if letter.is_ascii_alphabetic() => text.split_at(2).0,
            _ => "",
        };
        if !drive.is_empty() && !drive.eq_ignore_ascii_case("C:") {
            return refuse(
                "only C:, the volume of Windows, is known by its letter: name another by its partition",
            );
        }
        let rest = &text[drive.len()..];
        let Some(separator) = rest.chars().next().filter(|first| matches!(first, '\\' | '/')) else {
            return refuse(r"no path from the root, such as C:\dir\file or /dir/file");
        };
        let (path, stream) =
            match rest.rfind(['\\', '/']).and_then(|last| rest[last..].find(':').map(|at| last + at)) {
                Some(colon) => (&rest[..colon], &rest[colon + 1..]),
                None => (rest, ""),
            };
        // The type that a file's content has may be named, too.
        let stream = match stream.split_once(':') {
            Some((name, kind)) if kind.eq_ignore_ascii_case("$DATA") => name,
            Some(_) => return refuse("no stream of a file's data"),
            None => stream,
        };
        let names: Vec<_> =
            path.split(['\\', '/']).filter(|name| !name.is_empty()).map(str::to_owned).collect();
        if names.iter().any(|name| name == "." || name == "..") || names.len() > MAX_DEPTH {
            return refuse("a path goes from the root down, without . and ..");
        }
        if names.iter().any(|name| name.contains(':')) {
            return refuse("a colon stands before the name of a stream alone");
        }
        Ok(Self { root: format!("{drive}{separator}"), separator, names, stream: stream.to_owned() })
    }
}

impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.root)?;
        for (at, name) in self.names.iter().enumerate() {
            if at > 0 {
                write!(f, "{}", self.separator)?;
            }
            f.write_str(name)?;
        }
        if !self.stream.is_empty() {
            write!(f, ":{}", self.stream)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_in_both_forms() {
        for (text, names, stream, shown) in [
            (r"C:\Windows\System32", &["Windows", "System32"][..], "", r"C:\Windows\System32"),
            ("c:/a//b/", &["a", "b"], "", "c:/a/b"),
            ("/", &[], "", "/"),
            (r"C:\", &[], "", r"C:\"),
            (r"\a\b c:s t", &["a", "b c"], "s t", r"\a\b c:s t"),
            ("/a:s:$data", &["a"], "s", "/a:s"),
            ("/a::$DATA", &["a"], "", "/a"),
            ("/:root", &[], "root", "/:root"),
        ] {
            let path: FilePath = text.parse().unwrap();
            assert_eq!(
                (path.names(), path.stream()),
                (&names.iter().map(|name| name.to_string()).collect::<Vec<_>>()[..], stream)
            );
            assert_eq!(path.to_string(), shown);
        }
        for text in ["", "a", "C:a", r"D:\a", "/a/../b", "/./a", "/a:b/c", "/a:b:$INDEX_ROOT", "/a:b:c:d"] {
            assert!(text.parse::<FilePath>().is_err(), "{text}");
        }
        let path: FilePath = "/a/b:s".parse().unwrap();
        assert_eq!(path.parent().unwrap().to_string(), "/a");
        assert_eq!((path.name(), path.on_volume()), (Some("b"), r"\a\b".to_owned()));
        assert_eq!(FilePath::root().parent(), None);
        assert_eq!(FilePath::root().child("x").to_string(), "/x");
    }
}
