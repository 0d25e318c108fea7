//! What a disk must be like: `vda>=2311`, `windows>=10.0.17763`, `state=clean`.
//!
//! Versions are compared by their numbers; `=` holds for a version that begins with those given, so that `pvs=2311` holds for
//! `2311.0.1`. What counts releases of Citrix' in another way is compared by the release. Of several Windows on a disk each must meet
//! the rule.

use std::fmt;
use std::str::FromStr;

use super::Inspection;
use super::components::Component;
use super::firmware::Firmware;
use super::version::Version;
use super::windows::{Windows, WindowsState};
use crate::error::Error;
use crate::partition::Scheme;

/// A rule that an [`Inspection`] meets or does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    subject: Subject,
    operator: Operator,
    value: Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subject {
    Vda,
    Pvs,
    Windows,
    State,
    Edition,
    Architecture,
    InstallType,
    Firmware,
    Scheme,
    Encrypted,
}

/// The subjects by their names in rules; the first one of each is the one that messages use.
const SUBJECTS: [(&str, Subject); 11] = [
    ("vda", Subject::Vda),
    ("pvs", Subject::Pvs),
    ("pvs_target", Subject::Pvs),
    ("windows", Subject::Windows),
    ("state", Subject::State),
    ("edition", Subject::Edition),
    ("architecture", Subject::Architecture),
    ("install_type", Subject::InstallType),
    ("firmware", Subject::Firmware),
    ("scheme", Subject::Scheme),
    ("encrypted", Subject::Encrypted),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    AtLeast,
    AtMost,
    Above,
    Below,
    Equal,
    Unequal,
}

/// The longer ones first.
const OPERATORS: [(&str, Operator); 7] = [
    (">=", Operator::AtLeast),
    ("<=", Operator::AtMost),
    ("!=", Operator::Unequal),
    ("==", Operator::Equal),
    (">", Operator::Above),
    ("<", Operator::Below),
    ("=", Operator::Equal),
];

#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    Version(Version),
    Word(String),
}

/// A rule that is not met, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unmet {
    /// The rule.
    pub requirement: Requirement,
    /// What was found.
    pub reason: String,
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not met: {}", self.requirement, self.reason)
    }
}

impl std::error::Error for Unmet {}

impl Subject {
    fn is_version(self) -> bool {
        matches!(self, Subject::Vda | Subject::Pvs | Subject::Windows)
    }

    /// The words that can be said of it; `None` where there are others.
    fn words(self) -> Option<Vec<&'static str>> {
        match self {
            Subject::State => Some(WindowsState::ALL.map(WindowsState::name).to_vec()),
            Subject::Firmware => {
                let names = [Firmware::Bios, Firmware::Uefi, Firmware::Both].map(Firmware::name);
                Some(names.into_iter().chain(["none"]).collect())
            }
            Subject::Scheme => Some(vec!["mbr", "gpt", "none"]),
            Subject::Encrypted => Some(vec!["yes", "no"]),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        SUBJECTS.iter().find(|(_, subject)| *subject == self).map_or("", |(name, _)| name)
    }
}

impl FromStr for Requirement {
    type Err = Error;

    /// [`Error::Unsupported`] says what is wrong with the rule.
    fn from_str(text: &str) -> Result<Self, Error> {
        let bad = |why: String| Error::Unsupported { what: format!("{text:?} is no rule: {why}") };
        let at = text.find(['<', '>', '=', '!']).ok_or_else(|| {
            bad("expected a subject, a comparison and a value, as vda>=2311 or state=clean".to_owned())
        })?;
        let (name, rest) = text.split_at(at);
        let name = name.trim();
        let subject =
            SUBJECTS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|&(_, subject)| subject);
        let subject = subject.ok_or_else(|| {
            let known: Vec<_> = SUBJECTS.iter().map(|(name, _)| *name).collect();
            bad(format!("{name:?} is none of {}", known.join(", ")))
        })?;
        let operator =
            OPERATORS.iter().find_map(|&(sign, operator)| Some((rest.strip_prefix(sign)?, operator)));
        let (value, operator) =
            operator.ok_or_else(|| bad("expected one of >=, <=, >, <, = and !=".to_owned()))?;
        let value = value.trim();
        if subject.is_version() {
            let version = value.parse().map_err(|e: Error| bad(e.to_string()))?;
            return Ok(Self { subject, operator, value: Value::Version(version) });
        }
        if !matches!(operator, Operator::Equal | Operator::Unequal) {
            return Err(bad(format!("{} is a word, which is compared by = and !=", subject.name())));
        }
        let words = subject.words();
        if let Some(words) = words.filter(|words| !words.iter().any(|word| word.eq_ignore_ascii_case(value)))
        {
            return Err(bad(format!("{} is one of {}", subject.name(), words.join(", "))));
        }
        match value {
            "" => Err(bad("it says no value".to_owned())),
            word => Ok(Self { subject, operator, value: Value::Word(word.to_owned()) }),
        }
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = OPERATORS.iter().rev().find(|(_, operator)| *operator == self.operator);
        write!(f, "{}{}", self.subject.name(), sign.map_or("", |(sign, _)| sign))?;
        match &self.value {
            Value::Version(version) => version.fmt(f),
            Value::Word(word) => f.write_str(word),
        }
    }
}

impl Requirement {
    /// Whether `found` meets it.
    ///
    /// # Errors
    ///
    /// [`Unmet`] says why it does not.
    pub fn check(&self, found: &Inspection) -> Result<(), Unmet> {
        let unmet = |reason: String| Err(Unmet { requirement: self.clone(), reason });
        let word = match self.subject {
            Subject::Firmware => Some(found.firmware.map_or("none", Firmware::name)),
            Subject::Scheme => Some(match found.scheme {
                Some(Scheme::Mbr { .. }) => "mbr",
                Some(Scheme::Gpt { .. }) => "gpt",
                None => "none",
            }),
            Subject::Encrypted => Some(if found.encrypted.is_empty() { "no" } else { "yes" }),
            _ => None,
        };
        if let Some(word) = word {
            return match self.holds_for_word(word) {
                true => Ok(()),
                false => unmet(format!("{} is {word}", self.subject.name())),
            };
        }
        if found.windows.is_empty() {
            return unmet("no Windows was found".to_owned());
        }
        for windows in &found.windows {
            if let Err(reason) = self.check_windows(windows) {
                return unmet(format!("{} of {}: {reason}", windows.root, windows.volume.name()));
            }
        }
        Ok(())
    }

    fn check_windows(&self, windows: &Windows) -> Result<(), String> {
        let version = &windows.version;
        match self.subject {
            Subject::Vda => self.check_component("the Virtual Delivery Agent", windows.vda.as_ref()),
            Subject::Pvs => self.check_component("the target device", windows.pvs_target.as_ref()),
            Subject::Windows => {
                let number = version.number.as_ref().map(|number| match version.update_build_revision {
                    Some(revision) => format!("{number}.{revision}"),
                    None => number.clone(),
                });
                self.check_version("Windows", number.as_deref().and_then(Version::beginning).as_ref())
            }
            Subject::State => self.check_word(windows.state.map(WindowsState::name)),
            Subject::Edition => self.check_word(version.edition.as_deref()),
            Subject::Architecture => self.check_word(version.architecture.as_deref()),
            Subject::InstallType => self.check_word(version.install_type.as_deref()),
            // They are the disk's, and were answered.
            Subject::Firmware | Subject::Scheme | Subject::Encrypted => Ok(()),
        }
    }

    fn check_component(&self, name: &str, component: Option<&Component>) -> Result<(), String> {
        match component {
            Some(component) => self.check_version(name, component.version.as_ref()),
            None => Err(format!("{name} is not installed")),
        }
    }

    fn check_version(&self, name: &str, found: Option<&Version>) -> Result<(), String> {
        let Some(found) = found else { return Err(format!("the version of {name} is not known")) };
        let Value::Version(wanted) = &self.value else { return Ok(()) };
        let (is, wanted) = (found.release(), wanted.release());
        let holds = match self.operator {
            Operator::AtLeast => is >= wanted,
            Operator::AtMost => is <= wanted,
            Operator::Above => is > wanted,
            Operator::Below => is < wanted,
            Operator::Equal => is.begins_with(&wanted),
            Operator::Unequal => !is.begins_with(&wanted),
        };
        if holds { Ok(()) } else { Err(format!("{name} is of version {found}")) }
    }

    fn check_word(&self, found: Option<&str>) -> Result<(), String> {
        let name = self.subject.name();
        match found {
            Some(word) if self.holds_for_word(word) => Ok(()),
            Some(word) => Err(format!("{name} is {word}")),
            None => Err(format!("{name} is not known")),
        }
    }

    fn holds_for_word(&self, found: &str) -> bool {
        let Value::Word(wanted) = &self.value else { return false };
        found.eq_ignore_ascii_case(wanted) == (self.operator == Operator::Equal)
    }
}
