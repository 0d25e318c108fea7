//! Which cells there are, and which of them were reached.

use std::collections::HashMap;

use roaring::RoaringBitmap;

use super::fault::HiveFault;
use super::finding::Findings;
use crate::error::{Error, Result};
use crate::windows::registry::bins::{CellWalk, MIN_CELL, show};
use crate::windows::registry::hive::Hive;
use crate::windows::registry::layout::BINS;

pub(super) struct Reach<'h> {
    pub(super) hive: &'h Hive,
    pub(super) findings: Findings,
    /// Names of the keys from the root's subkey on to the one that is looked at.
    pub(super) path: Vec<String>,
    /// How often keys lead to a security cell.
    pub(super) security: HashMap<u32, u32>,
    /// Where cells in use begin, by eights, and which of them were reached.
    used: RoaringBitmap,
    reached: RoaringBitmap,
    /// Where cells cannot be told apart.
    unknown: Vec<(u32, u32)>,
    /// Something was not looked into: what it leads to is not reached, and no leak.
    passed_over: bool,
}

impl<'h> Reach<'h> {
    pub(super) fn new(hive: &'h Hive, findings: Findings) -> Self {
        let (used, reached) = (RoaringBitmap::new(), RoaringBitmap::new());
        let (path, security, unknown) = (Vec::new(), HashMap::new(), Vec::new());
        Self { hive, findings, path, security, used, reached, unknown, passed_over: false }
    }

    /// Reads where the cells are; `false` when the bins do not lead to the end.
    pub(super) fn cells(&mut self) -> Result<bool> {
        let hive = self.hive;
        let mut walk = CellWalk::new(&hive.sectors, hive.bins_size);
        while let Some(cell) = walk.next() {
            match cell {
                Ok(cell) => {
                    if cell.is_used {
                        self.used.insert(cell.offset / MIN_CELL);
                    }
                }
                Err(Error::Damaged { structure, offset, expected, found }) => {
                    let is_bin = structure == "hive bin";
                    let fault = if is_bin { HiveFault::Bin } else { HiveFault::CellTiling };
                    self.findings.of_file(fault, structure, offset, [expected, found]);
                    if is_bin {
                        return Ok(false);
                    }
                    let start = u32::try_from(offset - BINS).unwrap_or_default();
                    self.unknown.push((start, walk.bin_end()));
                    self.passed_over = true;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Adds a finding about the key that is looked at.
    pub(super) fn add(
        &mut self,
        fault: HiveFault,
        structure: &'static str,
        cell: u32,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) {
        let path = &self.path;
        self.findings.add(fault, structure, cell, || Some(path.join("\\")), [expected.into(), found.into()]);
    }

    /// Adds one, after which what the structure leads to is not looked into.
    pub(super) fn pass_over(
        &mut self,
        fault: HiveFault,
        structure: &'static str,
        cell: u32,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) {
        self.passed_over = true;
        self.add(fault, structure, cell, expected, found);
    }

    /// Takes what keeps a structure from being read as a finding; other errors are returned.
    pub(super) fn catch<T>(&mut self, fault: HiveFault, cell: u32, result: Result<T>) -> Result<Option<T>> {
        match result {
            Ok(read) => Ok(Some(read)),
            Err(Error::Damaged { structure, expected, found, .. }) => {
                self.pass_over(fault, structure, cell, expected, found);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Reaches a cell; `false` when it is free, none, or was reached before.
    pub(super) fn claim(&mut self, cell: u32, structure: &'static str) -> bool {
        let index = cell / MIN_CELL;
        let is_known = !self.unknown.iter().any(|&(start, end)| (start..end).contains(&cell));
        if is_known && (!cell.is_multiple_of(MIN_CELL) || !self.used.contains(index)) {
            self.pass_over(HiveFault::CellFree, structure, cell, "a cell in use", "a free one, or none");
            return false;
        }
        if !self.reached.insert(index) {
            self.pass_over(
                HiveFault::CellShared,
                structure,
                cell,
                "a cell of its own",
                "one that is used elsewhere",
            );
            return false;
        }
        true
    }

    /// Tells of the cells that were not reached.
    pub(super) fn leaks(&mut self) {
        if self.passed_over {
            return;
        }
        for index in &self.used - &self.reached {
            let cell = index * MIN_CELL;
            let kind =
                self.hive.cell(cell, 2, "registry cell").map_or_else(|_| "?".to_owned(), |kind| show(&kind));
            let text = ["something that leads to it".to_owned(), format!("nothing, and {kind} in it")];
            self.findings.add(HiveFault::CellLeak, "registry cell", cell, || None, text);
        }
    }
}
