//! Every state in which a cut may leave files, given what was done to them.
//!
//! A sync makes all earlier changes of its file durable. Of the changes since, any subset may be durable, whatever
//! their order; a write also in part, at the granularity of a sector or of a page; a new size without the data for
//! which it was needed, and data without the new size, in which case they are gone. Space that a file got anew,
//! and that no durable write covers, holds anything.

use std::ops::Range;

use crate::bytes::Bytes;
use crate::recorder::{Change, Event};

/// Pending changes up to which all subsets are tried.
const FEW: usize = 10;
/// Random subsets where there are more.
const RANDOM_SUBSETS: usize = 256;
/// Units at which a write is torn.
const TEARS: [u64; 2] = [512, 4096];

/// What stands in space that a file got anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    Zeros,
    /// A pattern that nothing writes.
    Garbage,
    /// What the file held there before it was cut, or else a copy of the file itself: stale structures that look valid.
    Stale,
}

/// Which changes of sizes are durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sizes {
    /// Those of the durable changes.
    Kept,
    /// All of them, whether or not the data are durable.
    All,
    /// No growth: data beyond the old end are gone.
    Old,
}

/// How much of a pending change is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Lost,
    Whole,
    /// These bytes of a write.
    Piece(Range<u64>),
}

/// One of the ways in which a cut can come.
#[derive(Clone, Debug)]
pub struct Choice {
    parts: Vec<Part>,
    sizes: Sizes,
    fill: Fill,
}

/// The files while their history goes on: what is durable, and what is pending.
pub struct Cuts {
    files: Vec<File>,
    pending: Vec<Event>,
    fills: &'static [Fill],
}

struct File {
    durable: Bytes,
    /// What lay beyond the end before the file was cut.
    freed: Bytes,
}

impl Cuts {
    /// New space holds any of `fills`.
    pub fn new(files: Vec<Bytes>, fills: &'static [Fill]) -> Self {
        let files = files.into_iter().map(|durable| File { durable, freed: Bytes::default() }).collect();
        Self { files, pending: Vec::new(), fills }
    }

    /// Goes on by one event.
    pub fn push(&mut self, event: &Event) {
        if !matches!(event.change, Change::Sync) {
            return self.pending.push(event.clone());
        }
        let file = &mut self.files[event.file];
        for done in self.pending.extract_if(.., |pending| pending.file == event.file) {
            file.apply(&done.change, &Part::Whole, Fill::Zeros);
        }
    }

    /// All choices at this point, the one that loses everything and the one that keeps everything first.
    pub fn choices(&self, random: &mut Random) -> Vec<Choice> {
        let count = self.pending.len();
        let mut choices = Vec::new();
        let whole = |kept: &dyn Fn(usize) -> bool| -> Vec<Part> {
            (0..count).map(|index| if kept(index) { Part::Whole } else { Part::Lost }).collect()
        };
        self.sized(whole(&|_| false), &mut choices);
        self.sized(whole(&|_| true), &mut choices);
        if count <= FEW {
            for subset in 1..(1_u32 << count).saturating_sub(1) {
                self.sized(whole(&|index| subset >> index & 1 == 1), &mut choices);
            }
        } else {
            for chosen in 0..count {
                self.sized(whole(&|index| index < chosen), &mut choices);
                self.sized(whole(&|index| index != chosen), &mut choices);
                self.sized(whole(&|index| index == chosen), &mut choices);
            }
            for _ in 0..RANDOM_SUBSETS {
                let parts = self.pending.iter().map(|event| random_part(event, random)).collect();
                self.sized(parts, &mut choices);
            }
        }
        for (torn, event) in self.pending.iter().enumerate() {
            for piece in pieces(&event.change) {
                let contexts: [&dyn Fn(usize) -> bool; 3] = [&|index| index < torn, &|_| true, &|_| false];
                for context in contexts {
                    let mut parts = whole(context);
                    parts[torn] = Part::Piece(piece.clone());
                    self.sized(parts, &mut choices);
                }
            }
        }
        choices
    }

    /// Adds `parts` with every way in which the sizes can have come out.
    fn sized(&self, parts: Vec<Part>, choices: &mut Vec<Choice>) {
        let grows = self
            .pending
            .iter()
            .any(|event| self.files[event.file].durable.size() < end_of(&event.change).unwrap_or_default());
        if !grows {
            return choices.push(Choice { parts, sizes: Sizes::Kept, fill: Fill::Zeros });
        }
        for sizes in [Sizes::Kept, Sizes::All] {
            for &fill in self.fills {
                choices.push(Choice { parts: parts.clone(), sizes, fill });
            }
        }
        choices.push(Choice { parts, sizes: Sizes::Old, fill: Fill::Zeros });
    }

    /// The files as `choice` leaves them.
    pub fn state(&self, choice: &Choice) -> Vec<Bytes> {
        let states = self.files.iter().enumerate().map(|(index, file)| {
            let mut state = File { durable: file.durable.clone(), freed: file.freed.clone() };
            let mut last_size = file.durable.size();
            for (event, part) in self.pending.iter().zip(&choice.parts) {
                if event.file == index {
                    state.apply(&event.change, part, choice.fill);
                    last_size = match event.change {
                        Change::SetSize(size) => size,
                        _ => last_size.max(end_of(&event.change).unwrap_or_default()),
                    };
                }
            }
            match choice.sizes {
                Sizes::Kept => {}
                Sizes::All => state.set_size(last_size, choice.fill),
                Sizes::Old => state.durable.set_size(state.durable.size().min(file.durable.size())),
            }
            state.durable
        });
        states.collect()
    }

    /// What `choice` means, one pending change a line.
    pub fn describe(&self, choice: &Choice) -> String {
        let mut lines = vec![format!("sizes: {:?}, new space: {:?}", choice.sizes, choice.fill)];
        for (event, part) in self.pending.iter().zip(&choice.parts) {
            lines.push(format!("  file {}: {:?}: {part:x?}", event.file, event.change));
        }
        lines.join("\n")
    }
}

impl File {
    fn apply(&mut self, change: &Change, part: &Part, fill: Fill) {
        let within = |whole: Range<u64>| match part {
            Part::Lost => 0..0,
            Part::Whole => whole,
            Part::Piece(piece) => piece.clone(),
        };
        match change {
            Change::SetSize(size) if *part != Part::Lost => self.set_size(*size, fill),
            Change::Write { offset, data } => {
                let range = within(*offset..*offset + data.len() as u64);
                if !range.is_empty() {
                    let bytes = &data[(range.start - offset) as usize..(range.end - offset) as usize];
                    self.set_size(self.durable.size().max(range.end), fill);
                    self.durable.write(bytes, range.start);
                }
            }
            Change::PunchHole(range) => self.durable.zero(within(range.clone())),
            Change::SetSize(_) | Change::Sync => {}
        }
    }

    fn set_size(&mut self, size: u64, fill: Fill) {
        let old = self.durable.size();
        if size < old {
            let mut tail = vec![0; (old - size) as usize];
            self.durable.read(&mut tail, size);
            self.freed.write(&tail, size);
        }
        self.durable.set_size(size);
        if size <= old {
            return;
        }
        let mut bytes = vec![0; (size - old) as usize];
        match fill {
            Fill::Zeros => {}
            Fill::Garbage => {
                for word in bytes.chunks_mut(GARBAGE.len()) {
                    word.copy_from_slice(&GARBAGE[..word.len()]);
                }
            }
            Fill::Stale => {
                let mut at = 0;
                while at < bytes.len() && old > 0 {
                    at += self.durable.read(&mut bytes[at..], 0).min(old as usize);
                }
                self.freed.read(&mut bytes, old);
            }
        }
        self.durable.write(&bytes, old);
    }
}

/// What no writer writes; eight bytes, so that it lies alike in every sector.
pub const GARBAGE: [u8; 8] = *b"\xBDgarbage";

/// Where a change ends; `None` for those that end nowhere.
fn end_of(change: &Change) -> Option<u64> {
    match change {
        Change::Write { offset, data } => Some(offset + data.len() as u64),
        Change::SetSize(size) => Some(*size),
        Change::PunchHole(_) | Change::Sync => None,
    }
}

fn range_of(change: &Change) -> Option<Range<u64>> {
    match change {
        Change::Write { offset, data } => Some(*offset..*offset + data.len() as u64),
        Change::PunchHole(range) => Some(range.clone()),
        Change::SetSize(_) | Change::Sync => None,
    }
}

/// The places inside a write at which it can tear, by one unit.
fn seams(range: &Range<u64>, unit: u64) -> impl Iterator<Item = u64> {
    ((range.start / unit + 1) * unit..range.end).step_by(unit as usize)
}

/// The pieces of a write of which only one is durable: its beginning, its end, its middle.
fn pieces(change: &Change) -> Vec<Range<u64>> {
    let mut pieces = Vec::new();
    let Some(range) = range_of(change) else { return pieces };
    for unit in TEARS {
        let seams: Vec<_> = seams(&range, unit).collect();
        let (Some(&first), Some(&last)) = (seams.first(), seams.last()) else { continue };
        let mut chosen = vec![first, seams[seams.len() / 2], last];
        chosen.dedup();
        for seam in chosen {
            pieces.extend([range.start..seam, seam..range.end]);
        }
        if first < last {
            pieces.push(first..last);
        }
    }
    pieces.sort_by_key(|piece| (piece.start, piece.end));
    pieces.dedup();
    pieces
}

fn random_part(event: &Event, random: &mut Random) -> Part {
    let pieces = pieces(&event.change);
    match random.below(8) {
        0..3 => Part::Lost,
        3 if !pieces.is_empty() => Part::Piece(pieces[random.below(pieces.len())].clone()),
        _ => Part::Whole,
    }
}

/// Numbers that a seed decides (splitmix64).
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ z >> 31) % limit as u64) as usize
    }
    /// All of `choices` or, where they are more than `most`, the first two and a random part of the others.
    pub fn some<T>(&mut self, mut choices: Vec<T>, most: usize) -> Vec<T> {
        for chosen in 2..choices.len().min(most) {
            let other = chosen + self.below(choices.len() - chosen);
            choices.swap(chosen, other);
        }
        choices.truncate(most);
        choices
    }
}
