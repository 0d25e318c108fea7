//! Opening a chain: an image, and the parents that it and they name.

use std::collections::HashSet;
use std::sync::Arc;

use super::Open;
use super::detect::{detect, may_be_raw, refuse_foreign};
use super::merging;
use crate::disk::{Disk, Layer, LayerInfo, Linkage, ParentRef, Warning, WarningKind};
use crate::error::{Error, Result};
use crate::format::{self, OpenContext};
use crate::leaves::Format;
use crate::leaves::ReferenceKind;
use crate::storage::{FileIdentity, FileRole, ImageFile, Reference, Resolver};

/// A chain while it is being opened.
pub(super) struct Chain<'a> {
    open: &'a Open,
    context: OpenContext<'a>,
    layers: Vec<Arc<dyn Layer>>,
    /// The files that are part of the chain.
    seen: HashSet<FileIdentity>,
    warnings: Vec<Warning>,
    steady: Steady,
}

/// Which images of a chain nobody else writes to while it is open, of those that are opened here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Steady {
    None,
    /// Those below the top, which is written to.
    Parents,
    All,
}

impl<'a> Chain<'a> {
    pub(super) fn new(open: &'a Open, context: OpenContext<'a>) -> Self {
        Self {
            open,
            context,
            layers: Vec::new(),
            seen: HashSet::new(),
            warnings: Vec::new(),
            steady: Steady::None,
        }
    }

    /// The same, while nobody else writes to some of it.
    pub(super) fn steady(self, steady: Steady) -> Self {
        Self { steady, ..self }
    }

    /// Opens `file` and its parents.
    pub(super) fn open(mut self, file: ImageFile) -> Result<Disk> {
        let problem = self.open_all(file)?;
        Ok(Disk::new(self.layers, problem, self.warnings))
    }

    /// Opens `file` and its parents. What keeps the chain from being whole is returned when the caller allows it.
    fn open_all(&mut self, file: ImageFile) -> Result<Option<Error>> {
        self.push(file, self.open.format)?;
        while let Some(top) = self.layers.last().cloned() {
            let Some(parent) = &top.info().parent else {
                if self.layers.len() == 1 && self.open.parent.is_some() {
                    let message = "one was named, but the image has none: it is not used";
                    let file = &top.files()[0];
                    self.warnings.push(Warning::of(file, WarningKind::NoParent, "parent", message));
                }
                break;
            };
            if let Err(problem) = self.push_parent(&*top, parent) {
                let missing = matches!(
                    problem,
                    Error::ParentMissing { .. }
                        | Error::ParentMismatch { .. }
                        | Error::NotAllowed { .. }
                        | Error::AmbiguousName { kind: ReferenceKind::Parent, .. }
                );
                let damaged =
                    matches!(problem, Error::Defect(_) | Error::Io { .. } | Error::ExtentMissing { .. });
                let salvage = self.context.choices.salvage;
                return if missing && self.open.missing_parent_allowed || (missing || damaged) && salvage {
                    Ok(Some(problem))
                } else {
                    Err(problem)
                };
            }
        }
        Ok(None)
    }

    fn push(&mut self, file: ImageFile, format: Option<Format>) -> Result<()> {
        if let Some(identity) = file.storage().identity()
            && !self.seen.insert(identity)
        {
            return Err(Error::Cycle { file: file.name().to_owned() });
        }
        if self.layers.len() >= self.open.max_depth {
            return Err(Error::ChainTooDeep { file: file.name().to_owned(), limit: self.open.max_depth });
        }
        // Before anything is read, lest a writer change it meanwhile.
        self.ask(&file)?;
        let format = format.map_or_else(|| detect(&file), Ok)?;
        let layer: Arc<dyn Layer> = Arc::from(format::open(format, file, &self.context)?);
        for extent in layer.files().iter().skip(1) {
            self.ask(extent)?;
        }
        self.layers.push(layer);
        Ok(())
    }

    /// Notes who uses `file`, and keeps writers from it if that is wanted.
    fn ask(&mut self, file: &ImageFile) -> Result<()> {
        let is_held = match self.steady {
            Steady::None => false,
            Steady::Parents => !self.layers.is_empty(),
            Steady::All => true,
        };
        let state = if is_held { file.hold()? } else { file.ask() };
        self.warnings.extend(Warning::of_use(file, state));
        Ok(())
    }

    fn push_parent(&mut self, child: &dyn Layer, parent: &ParentRef) -> Result<()> {
        match &self.open.parent {
            Some(place) if self.layers.len() == 1 => {
                self.push_candidate(place.image(FileRole::Image)?, child, parent)
            }
            _ => self.find(child, parent),
        }
    }

    /// Opens `file` as the parent that `child` recorded; what is no part of the chain leaves no trace in it.
    fn push_candidate(&mut self, file: ImageFile, child: &dyn Layer, parent: &ParentRef) -> Result<()> {
        let referrer = &child.files()[0];
        let name = file.name().to_owned();
        let (modified, identity) = (file.storage().modified(), file.storage().identity());
        if identity.is_some_and(|identity| self.seen.contains(&identity)) {
            return Err(Error::Cycle { file: name });
        }
        let format = self.parent_format(&file, parent, referrer)?;
        let warnings = self.warnings.len();
        if let Err(problem) = self.push(file, Some(format)) {
            self.warnings.truncate(warnings);
            identity.map(|identity| self.seen.remove(&identity));
            return Err(problem);
        }
        if let Some(layer) = self.layers.last().cloned() {
            if let Err(problem) = self.check(child.info(), layer.info(), parent, referrer, &name) {
                self.layers.pop();
                self.warnings.truncate(warnings);
                identity.map(|identity| self.seen.remove(&identity));
                return Err(problem);
            }
            self.compare(child, &*layer, parent, modified);
        }
        Ok(())
    }

    /// The format of a parent: the one that its content shows, for an identity then proves it. Where none is recorded, the parent is a raw
    /// disk, and what its content shows is the guest's word.
    fn parent_format(&self, file: &ImageFile, parent: &ParentRef, referrer: &ImageFile) -> Result<Format> {
        let unguarded = parent.linkage == Linkage::None;
        let is_named = self.open.parent.is_some() && self.layers.len() == 1;
        if let Some(format) = self.open.parent_format.filter(|_| unguarded || is_named) {
            return Ok(format);
        }
        let mismatch = |expected: &str, found: String| Error::ParentMismatch {
            child: referrer.name().to_owned(),
            parent: file.name().to_owned(),
            expected: expected.to_owned(),
            found,
        };
        match format::probe(file)?[..] {
            [] if unguarded => refuse_foreign(file).map(|()| Format::Raw),
            [_, ..] if unguarded && may_be_raw(file) => detect(file),
            // The child of an image that has no identity records none either; read as raw, its parent would give
            // the container's bytes as the disk's.
            [format, ..] if unguarded && !self.open.ignore_parent_mismatch => {
                Err(mismatch("a raw disk", format!("a {format} image")))
            }
            [format] => Ok(format),
            [] => Err(mismatch("a disk image", "a file of no known format".to_owned())),
            _ => Err(mismatch("a disk image", "a file that matches more than one format".to_owned())),
        }
    }

    /// Notes what differs between child and parent without making the parent another one.
    fn compare(&mut self, child: &dyn Layer, layer: &dyn Layer, parent: &ParentRef, modified: Option<i64>) {
        let (referrer, file) = (&child.files()[0], &layer.files()[0]);
        let (child, info) = (child.info(), layer.info());
        if merging::is_merging(parent, info, self.above()) {
            let what = "a merge into it has not ended; it does when it is run again";
            self.warnings.push(Warning::of(file, WarningKind::UnfinishedMerge, "parent", what));
        }
        if child.size != info.size {
            let what =
                if child.size > info.size { "reads as zeros beyond it" } else { "hides the rest of it" };
            let (child, parent) = (child.size, info.size);
            let message = format!("{child} bytes, and {what}: its parent {} has {parent}", file.name());
            self.warnings.push(Warning::of(referrer, WarningKind::ParentSize, "virtual size", message));
        }
        if let (Some(recorded), Some(found)) = (parent.modified, modified)
            && recorded != found
        {
            let since = format!("recorded {recorded}, found {found}, in seconds since 1970");
            let message = format!("modified after its child {} was made: {since}", referrer.name());
            self.warnings.push(Warning::of(file, WarningKind::ParentModified, "parent timestamp", message));
        }
    }

    /// The layers above the one opened last.
    fn above(&self) -> &[Arc<dyn Layer>] {
        self.layers.split_last().map_or(&[], |(_, above)| above)
    }

    /// Opens the first of the files that the recorded names lead to which is the parent. Names are often only guesses, as
    /// the last part of a path from elsewhere is: it may be that of another image, or of the child itself.
    fn find(&mut self, child: &dyn Layer, parent: &ParentRef) -> Result<()> {
        let referrer = &child.files()[0];
        let guarded = parent.linkage != Linkage::None;
        let (mut refusal, mut failure, mut mismatch, mut cycle) = (None, None, None, None);
        let mut missing = parent.names.is_empty();
        let (mut tried, mut damaged) = (Vec::new(), Vec::new());
        for name in &parent.names {
            let reference = Reference { name, kind: ReferenceKind::Parent, guarded, referrer };
            let (problem, kept) = match self.context.resolver.open(&reference) {
                Ok(Some(file)) => match self.push_candidate(file, child, parent) {
                    Err(e @ Error::ParentMismatch { .. }) => (e, &mut mismatch),
                    Err(e @ Error::Cycle { .. }) => (e, &mut cycle),
                    // A parent that is in use, or whose storage fails at the moment, is not passed over for a copy of it.
                    Err(e @ (Error::ChainTooDeep { .. } | Error::Locked { .. } | Error::Io { .. })) => {
                        return Err(e);
                    }
                    // Another name may lead to the parent itself, or to a copy that is whole.
                    Err(e) => {
                        damaged.push(format!(
                            "{name:?} leads to no parent that can be read, and was passed over: {e}"
                        ));
                        (e, &mut failure)
                    }
                    Ok(()) => {
                        let told = damaged.into_iter().map(|message| {
                            Warning::of(referrer, WarningKind::UnfitCandidate, "parent", message)
                        });
                        self.warnings.extend(told);
                        return Ok(());
                    }
                },
                Ok(None) => {
                    missing = true;
                    tried.push(format!("{name:?} (no such file)"));
                    continue;
                }
                Err(e @ Error::NotAllowed { .. }) => (e, &mut refusal),
                Err(e) => (e, &mut failure),
            };
            tried.push(problem.to_string());
            kept.get_or_insert(problem);
        }
        if parent.names.is_empty() {
            tried.push("no name: none is recorded".to_owned());
        }
        // Where no name is missing, the policy is what stands in the way.
        let refusal = refusal.filter(|_| !missing);
        let cycle = cycle.filter(|_| !missing);
        let missing = || Error::ParentMissing { child: referrer.name().to_owned(), tried };
        Err(failure.or(refusal).or(mismatch).or(cycle).unwrap_or_else(missing))
    }

    fn check(
        &self,
        child: &LayerInfo,
        info: &LayerInfo,
        parent: &ParentRef,
        referrer: &ImageFile,
        name: &str,
    ) -> Result<()> {
        if self.open.ignore_parent_mismatch {
            return Ok(());
        }
        let mismatch = |expected: String, found: String| Error::ParentMismatch {
            child: referrer.name().to_owned(),
            parent: name.to_owned(),
            expected,
            found,
        };
        if !parent.linkage.matches(info) && !merging::is_merging(parent, info, self.above()) {
            let expected: Vec<_> = parent.linkage.accepted().iter().map(ToString::to_string).collect();
            let found = parent.linkage.of(info).map_or("no identity".to_owned(), |id| id.to_string());
            return Err(mismatch(expected.join(" or "), found));
        }
        if child.logical_sector_size != info.logical_sector_size {
            return Err(mismatch(
                format!("sectors of {} bytes", child.logical_sector_size),
                format!("sectors of {} bytes", info.logical_sector_size),
            ));
        }
        Ok(())
    }
}
