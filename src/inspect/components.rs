//! Citrix' two components whose versions decide what may be done with an image: the Virtual Delivery Agent and the target device
//! of Citrix Provisioning.
//!
//! Each place that tells a version is a source: Uninstall entries, the record of an upgrade, the files of services. The version
//! is the highest that an entry or a record gives, for an upgrade that placed files ran no installer; files count where there is
//! neither. Where two places disagree, a warning names them.

use crate::error::Result;
use crate::windows::file_version::file_version;
use crate::windows::registry::Key;

use super::files::Files;
use super::notes::Notes;
use super::record::UpgradeRecord;
use super::software::Software;
use super::version::Version;

/// A component and where its version is known from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Component {
    /// Its version; `None` when it is there, and no place says which one it is.
    pub version: Option<Version>,
    /// The places that tell of it.
    pub sources: Vec<Source>,
}

/// A place that tells of a component.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Source {
    /// What kind of place it is.
    pub kind: SourceKind,
    /// The key, the path or the service.
    pub place: String,
    /// The version that it gives.
    pub version: Option<Version>,
}

/// The kinds of places that tell of a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SourceKind {
    /// An Uninstall entry.
    Uninstall,
    /// The record of an upgrade.
    Record,
    /// A service.
    Service,
    /// The version resource of a file.
    File,
}

impl SourceKind {
    /// The name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            SourceKind::Uninstall => "uninstall",
            SourceKind::Record => "record",
            SourceKind::Service => "service",
            SourceKind::File => "file",
        }
    }
}

/// What a component is known by.
pub(super) struct Known {
    /// How messages call it.
    name: &'static str,
    /// Whether an entry's name, in lower case, is its own.
    is_named: fn(&str) -> bool,
    services: &'static [&'static str],
    /// Files of it that no service names.
    files: &'static [&'static str],
}

pub(super) const VDA: Known = Known {
    name: "the Virtual Delivery Agent",
    is_named: |name| {
        name.contains("virtual delivery agent") || name.starts_with("citrix virtual desktop agent")
    },
    services: &["BrokerAgent"],
    files: &["\\Program Files\\Citrix\\Virtual Desktop Agent\\BrokerAgent.exe"],
};

/// Older ones are called "Provisioning Services Target Device".
pub(super) const PVS_TARGET: Known = Known {
    name: "the target device of Citrix Provisioning",
    is_named: |name| name.contains("provisioning") && name.contains("target device"),
    services: &["bnistack", "bnistack6", "BNDevice", "CVhdMp", "CVhdBusP6", "CFsDep2"],
    files: &["\\Program Files\\Citrix\\Provisioning Services\\StatusTray.exe"],
};

/// What of a Windows tells of its components.
pub(super) struct Evidence<'a> {
    pub software: &'a [Software],
    pub records: &'a [(String, UpgradeRecord)],
    pub control_set: Option<&'a Key<'a>>,
    pub files: &'a Files<'a>,
}

impl Evidence<'_> {
    /// The component, if anything but a file that was left behind tells of it.
    pub fn find(&self, known: &Known, notes: &Notes) -> Result<Option<Component>> {
        let mut sources = Vec::new();
        let is_named = |name: &str| (known.is_named)(&name.to_lowercase());
        for entry in self.software.iter().filter(|entry| is_named(&entry.name)) {
            let version = entry.version.as_deref().and_then(Version::beginning);
            sources.push(Source { kind: SourceKind::Uninstall, place: entry.key.clone(), version });
        }
        for (path, record) in self.records.iter().filter(|(_, record)| is_named(&record.product)) {
            let version = Version::beginning(&record.version);
            sources.push(Source { kind: SourceKind::Record, place: path.clone(), version });
        }
        let mut paths = Vec::new();
        for service in known.services {
            let Some(key) = self.service(service)? else { continue };
            sources.push(Source { kind: SourceKind::Service, place: key.name().to_owned(), version: None });
            let path = key.text("ImagePath")?.and_then(|image| self.files.image(&image));
            match path {
                Some(path) if self.files.has(&path)? => paths.push(path),
                Some(path) => notes
                    .add(format!("the service {service} of {} has no file: {path} is missing", known.name)),
                None => {}
            }
        }
        if sources.is_empty() {
            return Ok(None);
        }
        for path in known.files {
            if self.files.has(path)? && !paths.iter().any(|known| known.eq_ignore_ascii_case(path)) {
                paths.push((*path).to_owned());
            }
        }
        for path in paths {
            let version = notes.told(&path, self.version_of(&path))?;
            sources.push(Source { kind: SourceKind::File, place: path, version });
        }
        let of = |kinds: [SourceKind; 2]| {
            let told = sources.iter().filter(move |source| kinds.contains(&source.kind));
            told.filter_map(|source| source.version.clone()).max_by_key(Version::release)
        };
        let version = of([SourceKind::Uninstall, SourceKind::Record]).or_else(|| of([SourceKind::File; 2]));
        warn_of_disagreement(known.name, version.as_ref(), &sources, notes);
        Ok(Some(Component { version, sources }))
    }

    fn service(&self, name: &str) -> Result<Option<Key<'_>>> {
        match self.control_set {
            Some(control_set) => control_set.below(&format!("Services\\{name}")),
            None => Ok(None),
        }
    }

    fn version_of(&self, path: &str) -> Result<Option<Version>> {
        let Some(file) = self.files.volume.find(path)? else { return Ok(None) };
        Ok(file_version(&file.reader(MAX_PROGRAM)?)?.as_deref().and_then(Version::beginning))
    }
}

/// Bytes of a program whose version is looked for.
const MAX_PROGRAM: u64 = 256 << 20;

fn warn_of_disagreement(name: &str, version: Option<&Version>, sources: &[Source], notes: &Notes) {
    let Some(version) = version else { return };
    let others = sources.iter().filter_map(|source| Some((source, source.version.as_ref()?)));
    let others: Vec<_> = others
        .filter(|(_, other)| !other.agrees_with(version))
        .map(|(source, other)| format!("{other} by {}", source.place))
        .collect();
    if !others.is_empty() {
        notes.add(format!("{name} is of version {version}, but {}", others.join(", ")));
    }
}
