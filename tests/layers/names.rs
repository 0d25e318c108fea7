//! The names of what is public: the types and traits of the library, whichever module they are in.

use std::fs;
use std::path::Path;

use syn::visit::{self, Visit};
use syn::{Item, ItemMod, Macro, Visibility};

/// What the prelude of the 2024 edition brings into every module.
pub const PRELUDE: [&str; 36] = [
    "AsMut",
    "AsRef",
    "Box",
    "Clone",
    "Copy",
    "Debug",
    "Default",
    "DoubleEndedIterator",
    "Drop",
    "Eq",
    "ExactSizeIterator",
    "Extend",
    "Fn",
    "FnMut",
    "FnOnce",
    "From",
    "FromIterator",
    "Future",
    "Hash",
    "Into",
    "IntoFuture",
    "IntoIterator",
    "Iterator",
    "Option",
    "Ord",
    "PartialEq",
    "PartialOrd",
    "Result",
    "Send",
    "Sized",
    "String",
    "Sync",
    "ToOwned",
    "ToString",
    "TryFrom",
    "TryInto",
];

/// Public types and traits, each with the file that defines it.
pub type Names = Vec<(String, String)>;

#[derive(Default)]
struct Finder {
    found: Vec<String>,
}

/// Those that the sources in `root` define, but for the programs'.
pub fn public(root: &Path) -> Names {
    let mut names = Names::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() && path != root.join("bin") {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = fs::read_to_string(&path).expect("a file");
                let file = path.strip_prefix(root).expect("lies in it").display().to_string();
                names.extend(defined(&text).into_iter().map(|name| (name, file.clone())));
            }
        }
    }
    names
}

/// Those that a file defines.
pub fn defined(text: &str) -> Vec<String> {
    let mut finder = Finder::default();
    finder.visit_file(&syn::parse_file(text).expect("Rust"));
    finder.found
}

impl<'a> Visit<'a> for Finder {
    fn visit_item(&mut self, item: &'a Item) {
        let named = match item {
            Item::Enum(item) => Some((&item.vis, &item.ident)),
            Item::Struct(item) => Some((&item.vis, &item.ident)),
            Item::Trait(item) => Some((&item.vis, &item.ident)),
            Item::Type(item) => Some((&item.vis, &item.ident)),
            Item::Union(item) => Some((&item.vis, &item.ident)),
            _ => None,
        };
        let public = named.filter(|(visibility, _)| matches!(visibility, Visibility::Public(_)));
        self.found.extend(public.map(|(_, name)| name.to_string()));
        visit::visit_item(self, item);
    }

    /// What a macro of ours makes stands in its rules.
    fn visit_macro(&mut self, called: &'a Macro) {
        let text = called.tokens.to_string();
        let words: Vec<_> = text.split_whitespace().collect();
        let defined = words.windows(3).filter(|at| at[0] == "pub" && ["enum", "struct"].contains(&at[1]));
        self.found.extend(defined.map(|at| at[2].to_owned()));
    }

    fn visit_item_mod(&mut self, module: &'a ItemMod) {
        if !super::imports::is_test(&module.attrs) {
            visit::visit_item_mod(self, module);
        }
    }
}
