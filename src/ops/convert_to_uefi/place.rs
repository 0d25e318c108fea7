//! Where the EFI system partition goes.

use std::fmt;
use std::ops::Range;

use super::options::UefiOptions;
use super::source::{Source, broken, name, open};
use crate::disk::{Changes, Disk};
use crate::error::{Error, Result};
use crate::leaves::Format;
use crate::leaves::MIB;
use crate::leaves::Rule;
use crate::partition::{FileSystem, Layout, Partition, PartitionType};
use crate::windows::ntfs::Tail;

/// MBR2GPT's limits of a system partition that is used again, and the size of a new one. FAT32 with clusters as large as
/// a sector of 4096 bytes takes 256 MiB.
const LEAST: u64 = 100 * MIB;
const LEAST_4K: u64 = 260 * MIB;
const MOST: u64 = 1024 * MIB;
/// Bytes of the EFI system partition that the boot files leave free, for updates of them and for firmware.
const SPARE: u64 = 32 * MIB;
/// Bytes of a volume that are to be free when it has been made smaller: Windows writes when it starts.
const RESERVE: u64 = 16 * MIB;
const WINDOWS_RECOVERY: PartitionType = PartitionType::Mbr(0x27);

/// Where the EFI system partition is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum EspChoice {
    /// The first place of [`EspPlace::Reuse`], [`EspPlace::Gap`] and [`EspPlace::Shrink`] that is possible.
    #[default]
    Auto,
    /// This place or none.
    Only(EspPlace),
}

/// Where the EFI system partition goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EspPlace {
    /// In place of the BIOS's system partition.
    Reuse,
    /// Where no partition is.
    Gap,
    /// Behind a volume that is made smaller.
    Shrink,
    /// Behind the end of the disk, which is made larger.
    Grow,
}

impl EspPlace {
    /// The name, as the command line has it.
    pub fn name(self) -> &'static str {
        match self {
            EspPlace::Reuse => "reuse",
            EspPlace::Gap => "gap",
            EspPlace::Shrink => "shrink",
            EspPlace::Grow => "grow",
        }
    }
}

impl fmt::Display for EspPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A place for the EFI system partition, and what makes it.
pub(super) struct Place {
    pub place: EspPlace,
    pub range: Range<u64>,
    /// The size of the disk with it.
    pub disk_size: u64,
    /// The partitions, cut where their volumes are made smaller.
    pub partitions: Vec<Partition>,
    /// What makes the volumes smaller.
    pub changes: Changes,
    /// Why the places before it were not taken.
    pub tried: Vec<String>,
}

/// Finds a place for an EFI system partition with `files` bytes of files.
pub(super) fn find(disk: &Disk, source: &Source, options: &UefiOptions, files: u64) -> Result<Place> {
    let least = if source.mbr.sector_size == 4096 { LEAST_4K } else { LEAST };
    let finder = Finder {
        disk,
        source,
        usable: source.mbr.usable()?,
        want: least.max((files + SPARE).next_multiple_of(MIB)),
    };
    let places = match options.esp {
        EspChoice::Auto => vec![EspPlace::Reuse, EspPlace::Gap, EspPlace::Shrink],
        EspChoice::Only(place) => vec![place],
    };
    let mut tried = Vec::new();
    for place in places {
        let found = match place {
            EspPlace::Reuse => finder.reuse(),
            EspPlace::Gap => finder.gap(),
            EspPlace::Shrink => finder.shrink(),
            EspPlace::Grow => finder.grow(options.copy),
        };
        match found? {
            Ok(found) => return Ok(Place { tried, ..found }),
            Err(why) => tried.push(format!("{place}: {why}")),
        }
    }
    let want = finder.want / MIB;
    let reason = format!("no room for an EFI system partition of {want} MiB: {}", tried.join("; "));
    Err(broken(Rule::SystemPartitionRoom, reason))
}

/// A place, or why there is none.
type Found = Result<std::result::Result<Place, String>>;

struct Finder<'a> {
    disk: &'a Disk,
    source: &'a Source,
    usable: Range<u64>,
    want: u64,
}

impl Finder<'_> {
    fn mbr(&self) -> &Layout {
        &self.source.mbr
    }

    fn place(&self, place: EspPlace, range: Range<u64>) -> Place {
        Place {
            place,
            range,
            disk_size: self.mbr().disk_size,
            partitions: self.mbr().partitions.clone(),
            changes: Changes::default(),
            tried: Vec::new(),
        }
    }

    /// The system partition, when it serves nothing else.
    fn reuse(&self) -> Found {
        let system = &self.mbr().partitions[self.source.system];
        let range = system.start..system.end().min(self.last_end());
        let size = range.end.saturating_sub(range.start);
        Ok(if self.source.system == self.source.windows {
            Err("the system partition is Windows' own".to_owned())
        } else if self.source.recovery_on_system {
            Err("the system partition holds the recovery environment".to_owned())
        } else if !(self.want..=MOST).contains(&size) {
            let (want, most) = (self.want / MIB, MOST / MIB);
            Err(format!("the system partition has {} MiB, not {want} to {most}", size / MIB))
        } else {
            let mut place = self.place(EspPlace::Reuse, range);
            // Its volume is replaced, not made smaller.
            place.partitions[self.source.system].size = size;
            return self.make_room_behind(place);
        })
    }

    fn gap(&self) -> Found {
        for gap in self.mbr().gaps()? {
            let start = gap.start.next_multiple_of(MIB);
            if gap.end.saturating_sub(start) >= self.want {
                return self.make_room_behind(self.place(EspPlace::Gap, start..start + self.want));
            }
        }
        Ok(Err(format!("none of {} MiB", self.want / MIB)))
    }

    /// Behind the last volume that can be made smaller; those whose end is free come before those whose files have to be
    /// moved.
    fn shrink(&self) -> Found {
        let mut candidates = Vec::new();
        for (at, partition) in self.mbr().partitions.iter().enumerate() {
            let serves = at == self.source.windows || at != self.source.system;
            if serves
                && partition.kind != WINDOWS_RECOVERY
                && partition.file_system(self.disk)? == Some(FileSystem::Ntfs)
            {
                candidates.push(at);
            }
        }
        candidates.sort_by_key(|&at| std::cmp::Reverse(self.mbr().partitions[at].start));
        let mut reasons = Vec::new();
        let mut failure = None;
        for tail in [Tail::MustBeFree, Tail::Move] {
            for &at in &candidates {
                let partition = &self.mbr().partitions[at];
                let end = partition.end().min(self.last_end()) / MIB * MIB;
                let Some(start) = end.checked_sub(self.want).filter(|&start| start > partition.start) else {
                    if tail == Tail::Move {
                        reasons.push(format!("{} is too small", name(partition)));
                    }
                    continue;
                };
                let mut place = self.place(EspPlace::Shrink, start..end);
                match self.cut(&mut place, at, start, tail) {
                    Ok(Ok(())) => return self.make_room_behind(place),
                    Ok(Err(why)) if tail == Tail::Move => reasons.push(why),
                    Ok(Err(_)) => {}
                    // Another volume may do.
                    Err(e @ (Error::NotConvertible { .. } | Error::Within { .. })) => {
                        failure = failure.or(Some(e))
                    }
                    Err(e) => return Err(e),
                }
            }
        }
        if let Some(failure) = failure {
            return Err(failure);
        }
        Ok(Err(if reasons.is_empty() { "no NTFS volume".to_owned() } else { reasons.join(", ") }))
    }

    /// Behind all partitions, whatever size the disk must have for it.
    fn grow(&self, copy: bool) -> Found {
        let format = self.disk.chain().first().map_or(Format::Raw, |top| top.info().format);
        if !copy && format != Format::Vhdx {
            return Ok(Err(format!(
                "a child of this disk ({format}) would be as large as its parent: only a copy can grow"
            )));
        }
        let last = self.mbr().partitions.iter().map(Partition::end).max().unwrap_or(0);
        let start = last.next_multiple_of(MIB);
        let range = start..start + self.want;
        // The last MiB is for the backup GPT.
        let disk_size = self.mbr().disk_size.max(range.end + MIB);
        Ok(Ok(Place { disk_size, ..self.place(EspPlace::Grow, range) }))
    }

    /// Where the last partition must end for a GPT behind it.
    fn last_end(&self) -> u64 {
        self.usable.end / MIB * MIB
    }

    /// Makes the last volume smaller where the backup GPT needs its end.
    fn make_room_behind(&self, mut place: Place) -> Found {
        let beyond = |partition: &Partition| partition.end() > self.usable.end;
        let Some(at) = place.partitions.iter().position(beyond) else { return Ok(Ok(place)) };
        if self.mbr().partitions[at].file_system(self.disk)? != Some(FileSystem::Ntfs) {
            let reason = format!(
                "no room for a GPT behind {}, which holds no NTFS volume that could be made smaller",
                name(&place.partitions[at])
            );
            return Err(broken(Rule::RoomBehind, reason));
        }
        Ok(self.cut(&mut place, at, self.last_end(), Tail::Move)?.map(|()| place))
    }

    /// Makes the volume in a partition end at `end`, or says why it cannot.
    fn cut(
        &self,
        place: &mut Place,
        at: usize,
        end: u64,
        tail: Tail,
    ) -> Result<std::result::Result<(), String>> {
        let partition = &mut place.partitions[at];
        let Some(size) = end.checked_sub(partition.start).filter(|&size| size > 0) else {
            return Ok(Err(format!("{} lies where the backup GPT must", name(partition))));
        };
        let volume = open(self.disk, partition)?.trust_log(self.source.log_trusted);
        let (free, less) = (volume.free()?, volume.size().saturating_sub(size));
        if less > 0 && free < less + RESERVE {
            return Ok(Err(format!(
                "{} has {free} bytes free, of which {less} would go and {RESERVE} are to stay",
                name(partition)
            )));
        }
        let shrunk = match volume.shrink(size, tail) {
            Ok(shrunk) => shrunk,
            Err(
                Error::NotConvertible { rule: Rule::SystemPartitionRoom, reason } | Error::Layout { reason },
            ) => {
                return Ok(Err(format!("{}: {reason}", name(partition))));
            }
            Err(e) => return Err(e.within(name(partition))),
        };
        partition.size = size;
        place.changes.moves.extend(shrunk.moves);
        place.changes = std::mem::take(&mut place.changes).and(shrunk.patches);
        Ok(Ok(()))
    }
}
