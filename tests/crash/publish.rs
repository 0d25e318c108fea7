//! The order in which outputs get their names, as the system sees it.
//!
//! The command line runs under strace. Names are durable, in any order, some time before their folder is synced; what was
//! written to a file is durable once it is synced. At every moment, in every one of these states, an image that has its name
//! must be whole: its content durable, and its extents under their names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use diskport::{KIB, MIB};

use crate::common::tools::{Trouble, run, tool};
use crate::expected::pattern;

/// The outputs: their names, in the order of creation, with what makes them of `source`.
const OUTPUTS: [(&str, &[&str]); 6] = [
    ("raw", &["convert", "source.raw", "new.raw"]),
    ("VHDX", &["convert", "source.raw", "new.vhdx"]),
    ("monolithicSparse", &["convert", "source.raw", "new.vmdk"]),
    ("monolithicFlat", &["convert", "source.raw", "new.vmdk", "--subformat", "monolithicFlat"]),
    ("twoGbMaxExtentFlat", &["convert", "source.raw", "new.vmdk", "--subformat", "twoGbMaxExtentFlat"]),
    ("child", &["create", "new.vhd", "--parent", "source.raw"]),
];

/// What the system was asked to do.
#[derive(Debug)]
enum Call {
    Write(String),
    Sync(String),
    Rename(String, String),
}

/// Looks at every output; how many states there were.
pub fn check() -> Result<usize, Trouble> {
    let mut states = 0;
    for (name, arguments) in OUTPUTS {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let mut source = pattern(1, 0, (4 * MIB) as usize);
        source[MIB as usize..][..(64 * KIB) as usize].fill(0);
        std::fs::write(folder.path().join("source.raw"), source)?;
        let trace = folder.path().join("trace");
        let calls = "trace=pwrite64,write,ftruncate,fallocate,copy_file_range,fsync,fdatasync,rename,renameat,renameat2";
        let mut strace = tool("strace")?;
        strace.args(["-f", "-y", "-e", calls, "-o"]).arg(&trace).arg(env!("CARGO_BIN_EXE_diskport"));
        run(strace.args(arguments).current_dir(folder.path()))?;
        let calls = parse(&std::fs::read_to_string(&trace)?, folder.path());
        states += survey(&calls).map_err(|failure| format!("{name}: {failure}\n{calls:#?}"))?;
    }
    Ok(states)
}

/// The calls that concern files in `folder`, by their names; the folder itself is `.`.
fn parse(trace: &str, folder: &Path) -> Vec<Call> {
    let prefix = folder.display().to_string();
    let name = |path: &str| match path.strip_prefix(&prefix) {
        Some("") => Some(".".to_owned()),
        Some(rest) => Some(rest.trim_start_matches('/').to_owned()),
        None if path.starts_with('/') => None,
        None => Some(path.to_owned()),
    };
    let file = |line: &str| name(line.split_once('<')?.1.split_once('>')?.0);
    let call = |line: &str| {
        // "PID call(arguments) = result"
        let line = line.split_once(' ')?.1.trim_start();
        let (call, arguments) = line.split_once('(')?;
        if line.contains(" = -1 ") {
            return None;
        }
        match call {
            "fsync" | "fdatasync" => file(arguments).map(Call::Sync),
            "rename" | "renameat" | "renameat2" => {
                let mut quoted = arguments.split('"').skip(1).step_by(2);
                Some(Call::Rename(name(quoted.next()?)?, name(quoted.next()?)?))
            }
            _ => file(arguments).map(Call::Write),
        }
    };
    trace.lines().filter_map(call).collect()
}

/// Looks at all states, and counts them.
fn survey(calls: &[Call]) -> Result<usize, String> {
    let finals: BTreeSet<&str> = calls.iter().filter_map(Call::renamed_to).collect();
    // By final name: whether what was written to it is durable.
    let mut content: BTreeMap<&str, bool> = BTreeMap::new();
    let final_name = |name: &str| {
        let to = |call: &'_ Call| matches!(call, Call::Rename(from, _) if from == name);
        calls.iter().find(|call| to(call)).and_then(Call::renamed_to)
    };
    let (mut durable, mut pending, mut states) = (BTreeSet::new(), Vec::new(), 0);
    for call in calls {
        match call {
            Call::Write(name) if finals.contains(&name[..]) => {
                return Err(format!("writes to {name} itself"));
            }
            Call::Write(name) => content.extend(final_name(name).map(|name| (name, false))),
            Call::Sync(name) if name == "." => durable.extend(pending.drain(..)),
            Call::Sync(name) => content.extend(final_name(name).map(|name| (name, true))),
            Call::Rename(_, to) => pending.push(&to[..]),
        }
        for subset in 0..1_u32 << pending.len() {
            states += 1;
            let mut visible: BTreeSet<&str> = durable.clone();
            visible.extend(
                (0..pending.len()).filter(|&index| subset >> index & 1 == 1).map(|index| pending[index]),
            );
            if let Some(torn) = visible.iter().find(|name| content.get(*name) != Some(&true)) {
                return Err(format!("after {call:?}, {torn} may have its name without its content"));
            }
            // The image is what comes last.
            let image = calls.iter().rev().find_map(Call::renamed_to);
            if image.is_some_and(|image| visible.contains(image)) && visible != finals {
                return Err(format!("after {call:?}, {image:?} may be there with {visible:?} alone"));
            }
        }
    }
    match durable == finals && !finals.is_empty() {
        true => Ok(states),
        false => Err(format!("in the end {durable:?} of {finals:?} are durable")),
    }
}

impl Call {
    fn renamed_to(&self) -> Option<&str> {
        match self {
            Call::Rename(_, to) => Some(to),
            Call::Write(_) | Call::Sync(_) => None,
        }
    }
}
