//! How many instructions a conversion takes, as callgrind counts them: the same each time, but for a thousandth.

use std::fs;
use std::path::Path;

use libtest_mimic::Trial;

use crate::common::tools::{Trouble, tool, trial};

const MIB: usize = 1 << 20;

/// Kinds of output, and how many thousands of instructions one MiB more may take: one and a half times what was counted when
/// tests are compiled as `Cargo.toml` says. Half the data are noise, half are letters.
const LIMITS: [(&str, &[&str], u64); 3] = [
    ("raw", &["--format", "raw"], 300),
    ("a VHDX", &["--format", "vhdx"], 300),
    ("a streamOptimized VMDK", &["--format", "vmdk", "--subformat", "streamOptimized"], 230_000),
];

pub fn trials(folder: &Path) -> Vec<Trial> {
    let trials = LIMITS.map(|(name, options, limit)| {
        let folder = folder.join(name);
        trial(format!("instructions of a MiB to {name}"), move || {
            fs::create_dir(&folder)?;
            // What it takes to begin and to end is in both: that a raw disk is looked through near its end, too.
            let more = count(&folder, options, 10)?.saturating_sub(count(&folder, options, 6)?);
            let thousands = more / 4 / 1000;
            if thousands > limit {
                return Err(format!("{thousands} thousand instructions, and not {limit} thousand").into());
            }
            Ok(())
        })
    });
    trials.into()
}

/// Instructions of a conversion of so many MiB.
fn count(folder: &Path, options: &[&str], mib: usize) -> Result<u64, Trouble> {
    let source = folder.join("source.raw");
    let mut state = 1_u64;
    let byte = |at: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let byte = (state >> 56) as u8;
        if (at / (MIB / 2)).is_multiple_of(2) { byte } else { b'a' + byte % 16 }
    };
    fs::write(&source, (0..mib * MIB).map(byte).collect::<Vec<_>>())?;
    let mut callgrind = tool("valgrind")?;
    callgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null", env!("CARGO_BIN_EXE_diskport")]);
    callgrind.args(["convert", "--no-sync", "--overwrite", "--seed", "1", "--threads", "0"]).args(options);
    let output = callgrind.arg(&source).arg(folder.join("out")).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    let counted = said.lines().find_map(|line| line.split_once("Collected :"));
    match counted.and_then(|(_, count)| count.trim().parse().ok()) {
        Some(count) if output.status.success() => Ok(count),
        _ => Err(said.into_owned().into()),
    }
}
