//! Which file of a crate imports from which: the names in its `use` lines and paths, followed to the files that define
//! them. Where a file passes on what another defines, it is the other that is imported from.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::Path;

use syn::punctuated::Punctuated;
use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemUse, Meta, Token, UseTree};

/// The files of a crate by their modules' names, and what each imports.
#[derive(Default)]
pub struct Imports {
    modules: Vec<Module>,
    by_path: HashMap<Vec<String>, usize>,
}

/// A file.
#[derive(Default)]
struct Module {
    path: Vec<String>,
    /// What it defines.
    items: BTreeSet<String>,
    /// What it brings in, under which name.
    uses: BTreeMap<String, Vec<String>>,
    /// What it brings in wholesale.
    globs: Vec<Vec<String>>,
    /// The paths that it speaks of, but for what it only passes on.
    spoken: Vec<Vec<String>>,
}

/// Where a path leads.
#[derive(Clone, Copy)]
enum Target {
    Module(usize),
    /// Something that this module defines.
    Item(usize),
}

impl Imports {
    /// Those of the crate whose sources lie in `root`, with `main` as the file of its root.
    pub fn read(root: &Path, main: &str) -> Self {
        let mut imports = Self::default();
        imports.add(&root.join(main), Vec::new());
        imports.add_folder(root, &[], main);
        imports
    }

    fn add_folder(&mut self, folder: &Path, path: &[String], main: &str) {
        let mut entries: Vec<_> =
            fs::read_dir(folder).expect("a folder").map(|e| e.expect("an entry").path()).collect();
        entries.sort();
        for entry in entries {
            let name = entry.file_stem().and_then(|name| name.to_str()).expect("a name").to_owned();
            let module = [path, std::slice::from_ref(&name)].concat();
            if entry.is_dir() {
                // Programs are crates of their own.
                if path.is_empty() && name == "bin" {
                    continue;
                }
                self.add_folder(&entry, &module, "mod.rs");
            } else if entry.file_name().is_some_and(|file| file == "mod.rs") {
                self.add(&entry, path.to_vec());
            } else if entry.extension().is_some_and(|ending| ending == "rs")
                && !(path.is_empty() && entry.ends_with(main))
            {
                self.add(&entry, module);
            }
        }
    }

    fn add(&mut self, file: &Path, path: Vec<String>) {
        let text = fs::read_to_string(file).expect("a file");
        let syntax = syn::parse_file(&text).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        let mut module = Module { path: path.clone(), ..Module::default() };
        module.visit_file(&syntax);
        self.by_path.insert(path, self.modules.len());
        self.modules.push(module);
    }

    /// Each module, with the modules that it imports from.
    pub fn edges(&self) -> BTreeMap<String, BTreeSet<String>> {
        let name = |module: usize| match &self.modules[module].path[..] {
            [] => "crate".to_owned(),
            path => path.join("::"),
        };
        let edges = (0..self.modules.len()).map(|from| {
            let targets = self.modules[from].spoken.iter().filter_map(|path| self.resolve(from, path, 0));
            let targets = targets.filter_map(|target| match target {
                Target::Item(to) if to != from => Some(name(to)),
                _ => None,
            });
            (name(from), targets.collect())
        });
        edges.collect()
    }

    /// Where `path` leads, as it is written in module `from`.
    fn resolve(&self, from: usize, path: &[String], depth: usize) -> Option<Target> {
        let (first, mut rest) = path.split_first()?;
        if depth > 32 {
            return None;
        }
        let mut target = match first.as_str() {
            "crate" => Target::Module(self.by_path[&Vec::new()]),
            "self" => Target::Module(from),
            "super" => self.parent(from)?,
            name => self.lookup(from, name, rest.is_empty(), depth)?,
        };
        while let Some((name, later)) = rest.split_first() {
            let Target::Module(module) = target else { break };
            target = match name.as_str() {
                "super" => self.parent(module)?,
                name => self.lookup(module, name, later.is_empty(), depth)?,
            };
            rest = later;
        }
        Some(target)
    }

    fn parent(&self, module: usize) -> Option<Target> {
        let (_, parent) = self.modules[module].path.split_last()?;
        self.by_path.get(parent).copied().map(Target::Module)
    }

    /// What `name` is in a module. Before the `last` part of a path it is a module or a type, and a function may be called as a
    /// module is.
    fn lookup(&self, module: usize, name: &str, last: bool, depth: usize) -> Option<Target> {
        let Module { path, items, uses, globs, .. } = &self.modules[module];
        let child =
            self.by_path.get(&[path.as_slice(), &[name.to_owned()]].concat()).copied().map(Target::Module);
        if !last && child.is_some() {
            return child;
        }
        if items.contains(name) {
            return Some(Target::Item(module));
        }
        if let Some(path) = uses.get(name) {
            return self.resolve(module, path, depth + 1);
        }
        child.or_else(|| {
            globs.iter().find_map(|glob| match self.resolve(module, glob, depth + 1)? {
                Target::Module(source) if source != module => self.lookup(source, name, last, depth + 1),
                _ => None,
            })
        })
    }
}

pub fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) => list.path.is_ident("cfg") && list.tokens.to_string() == "test",
        _ => false,
    })
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

impl Module {
    /// Notes a `use` line. What is only passed on is spoken of where it is used.
    fn note(&mut self, tree: &UseTree, path: &mut Vec<String>, passed_on: bool) {
        match tree {
            UseTree::Path(tree) => {
                path.push(tree.ident.to_string());
                self.note(&tree.tree, path, passed_on);
                path.pop();
            }
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.note(tree, path, passed_on)),
            UseTree::Glob(_) => self.globs.push(path.clone()),
            UseTree::Name(tree) if tree.ident == "self" => {
                let name = path.last().cloned().unwrap_or_default();
                self.bind(name, path.clone(), passed_on);
            }
            UseTree::Name(tree) => {
                let name = tree.ident.to_string();
                let full = path.iter().cloned().chain([name.clone()]).collect();
                self.bind(name, full, passed_on);
            }
            UseTree::Rename(tree) => {
                let full = path.iter().cloned().chain([tree.ident.to_string()]).collect();
                self.bind(tree.rename.to_string(), full, passed_on);
            }
        }
    }

    fn bind(&mut self, name: String, path: Vec<String>, passed_on: bool) {
        // `use name;` of another crate leads nowhere.
        if path.len() > 1 || path[0] != name {
            if !passed_on {
                self.spoken.push(path.clone());
            }
            self.uses.insert(name, path);
        }
    }
}

impl<'a> Visit<'a> for Module {
    fn visit_item(&mut self, item: &'a Item) {
        if is_test(attributes(item)) {
            return;
        }
        let name = match item {
            Item::Const(item) => Some(&item.ident),
            Item::Enum(item) => Some(&item.ident),
            Item::Fn(item) => Some(&item.sig.ident),
            Item::Mod(item) => item.content.is_some().then_some(&item.ident),
            Item::Static(item) => Some(&item.ident),
            Item::Struct(item) => Some(&item.ident),
            Item::Trait(item) => Some(&item.ident),
            Item::Type(item) => Some(&item.ident),
            _ => None,
        };
        self.items.extend(name.map(ToString::to_string));
        visit::visit_item(self, item);
    }

    fn visit_item_use(&mut self, item: &'a ItemUse) {
        let passed_on = !matches!(item.vis, syn::Visibility::Inherited);
        self.note(&item.tree, &mut Vec::new(), passed_on);
    }

    fn visit_path(&mut self, path: &'a syn::Path) {
        self.spoken.push(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, called: &'a syn::Macro) {
        if let Ok(arguments) = called.parse_body_with(Punctuated::<syn::Expr, Token![,]>::parse_terminated) {
            // They live no longer than this call, so their names are taken by a visitor of their own.
            let mut inner = Module::default();
            arguments.iter().for_each(|argument| inner.visit_expr(argument));
            self.spoken.append(&mut inner.spoken);
        }
    }

    fn visit_visibility(&mut self, _: &'a syn::Visibility) {}

    fn visit_attribute(&mut self, _: &'a Attribute) {}
}

/// The circles: sets of files each of which imports, over others of them, from every other.
pub fn circles(edges: &BTreeMap<String, BTreeSet<String>>) -> Vec<BTreeSet<String>> {
    let reach = |from: &String| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
        while let Some(at) = next.pop() {
            for to in edges.get(at).into_iter().flatten() {
                if seen.insert(to) {
                    next.push(to);
                }
            }
        }
        seen
    };
    let reached: BTreeMap<_, _> = edges.keys().map(|from| (from, reach(from))).collect();
    let mut circles = BTreeSet::new();
    for (from, all) in &reached {
        let circle: BTreeSet<String> = all
            .iter()
            .filter(|to| reached.get(*to).is_some_and(|back| back.contains(from)))
            .map(|to| (*to).clone())
            .collect();
        if circle.len() > 1 {
            circles.insert(circle);
        }
    }
    circles.into_iter().collect()
}
