//! Filter drivers of classes of devices, in `Control\Class\{…}`.

use super::{ServiceStart, Services, texts};
use crate::error::Result;
use crate::windows::registry::{Editor, kind};

/// On which side of a class's own driver a filter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FilterSide {
    /// Above it: `UpperFilters`.
    Upper,
    /// Below it: `LowerFilters`.
    Lower,
}

impl FilterSide {
    fn value(self) -> &'static str {
        match self {
            FilterSide::Upper => "UpperFilters",
            FilterSide::Lower => "LowerFilters",
        }
    }
}

impl<'h> Services<'_, 'h> {
    /// Adds a filter to a class, such as `{4d36e97b-e325-11ce-bfc1-08002be10318}`, behind those that are there; in how
    /// many control sets it was missing.
    ///
    /// # Errors
    ///
    /// As for [`Editor::set_value`].
    pub fn add_filter(&mut self, class: &str, side: FilterSide, filter: &str) -> Result<usize> {
        self.in_each(|editor, set| {
            let class = format!("{}\\{class}", classes(set));
            let mut filters = read(editor, &class, side)?;
            let is_missing = !filters.iter().any(|one| one.eq_ignore_ascii_case(filter));
            if is_missing {
                filters.push(filter.to_owned());
                write(editor, &class, side, &filters)?;
            }
            Ok(is_missing)
        })
    }

    /// Takes a filter out of a class; in how many control sets it was there.
    ///
    /// # Errors
    ///
    /// As for [`Editor::set_value`].
    pub fn remove_filter(&mut self, class: &str, side: FilterSide, filter: &str) -> Result<usize> {
        self.in_each(|editor, set| remove(editor, &format!("{}\\{class}", classes(set)), side, filter))
    }

    /// Disables a driver, and takes it out of the filters of all classes; its key stays. The keys of the classes that had
    /// it.
    ///
    /// # Errors
    ///
    /// As for [`Editor::set_value`].
    pub fn disable(&mut self, driver: &str) -> Result<Vec<String>> {
        self.set_start(driver, ServiceStart::Disabled)?;
        let mut had = Vec::new();
        self.in_each(|editor, set| {
            let mut found = Vec::new();
            if let Some(classes) = editor.hive().key(&classes(set))? {
                for class in classes.subkeys()? {
                    found.push(class?.name().to_owned());
                }
            }
            for class in found {
                let class = format!("{}\\{class}", classes(set));
                let upper = remove(editor, &class, FilterSide::Upper, driver)?;
                let lower = remove(editor, &class, FilterSide::Lower, driver)?;
                if upper || lower {
                    had.push(class);
                }
            }
            Ok(true)
        })?;
        Ok(had)
    }
}

fn classes(set: &str) -> String {
    format!("{set}\\Control\\Class")
}

fn read(editor: &Editor<'_>, class: &str, side: FilterSide) -> Result<Vec<String>> {
    let Some(key) = editor.hive().key(class)? else { return Ok(Vec::new()) };
    match key.value(side.value())? {
        Some(value) => value.strings(),
        None => Ok(Vec::new()),
    }
}

fn write(editor: &mut Editor<'_>, class: &str, side: FilterSide, filters: &[String]) -> Result<()> {
    let list = texts(filters.iter().map(String::as_str));
    editor.set_value(class, side.value(), kind::MULTI_SZ, &list)
}

fn remove(editor: &mut Editor<'_>, class: &str, side: FilterSide, filter: &str) -> Result<bool> {
    let mut filters = read(editor, class, side)?;
    let count = filters.len();
    filters.retain(|one| !one.eq_ignore_ascii_case(filter));
    if filters.len() == count {
        return Ok(false);
    }
    if filters.is_empty() {
        editor.remove_value(class, side.value())?;
    } else {
        write(editor, class, side, &filters)?;
    }
    Ok(true)
}
