//! Names that differ in letter case or in Unicode form alone, as systems that ignore both let them come about.

use std::path::Path;

use unicode_normalization::UnicodeNormalization;

/// The names in `folder` that differ from `name` so, and `name` itself where it is there. A folder that cannot be listed
/// has none.
pub(super) fn similar(folder: &Path, name: &str) -> Vec<String> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let folded = fold(name);
    let names = folder.read_dir().into_iter().flatten();
    let names = names.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<_> = names.filter(|found| fold(found) == folded).collect();
    names.sort_unstable();
    names
}

fn fold(name: &str) -> String {
    name.nfd().flat_map(char::to_lowercase).nfd().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_form_are_folded() {
        let same =
            [("Base.VHDX", "base.vhdx"), ("gr\u{f6}\u{df}e", "GRO\u{308}\u{df}E"), ("\u{3a3}", "\u{3c3}")];
        for (a, b) in same {
            assert_eq!(fold(a), fold(b));
        }
        assert_ne!(fold("base1"), fold("base2"));
        assert_ne!(fold("grosse"), fold("gro\u{df}e"));
    }
}
