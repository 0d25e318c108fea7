//! `diskport reverse-image`: a vDisk becomes a VMDK of the size asked for, and its partition table stays valid.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use libtest_mimic::Trial;

use crate::convert::diskport;
use crate::reader::{self, Finish, tool};
use crate::{Trouble, trial};

const MIB: u64 = 1 << 20;
const SIZE: u64 = 48 * MIB;
/// Where the one partition begins and ends.
const PARTITION: std::ops::Range<u64> = MIB..40 * MIB;

pub fn trials(folder: &Path) -> Vec<Trial> {
    let folder = folder.to_owned();
    let case = |name: &str, run: fn(&Path) -> Result<(), Trouble>| {
        let (folder, own) = (folder.clone(), name.replace(' ', "-"));
        trial(format!("reverse-image {name}"), move || {
            let folder = folder.join(own);
            fs::create_dir(&folder)?;
            run(&folder)
        })
    };
    vec![
        case("to a larger disk moves the backup GPT", larger),
        case("to the same size changes nothing", same_size),
        case("to a smaller disk is refused", smaller),
    ]
}

fn larger(folder: &Path) -> Result<(), Trouble> {
    let source = Source::make(folder)?;
    let raw = source.reversed(folder, Some(64))?;
    if fs::metadata(&raw)?.len() != 64 * MIB {
        return Err("the output has another size than asked for".into());
    }
    let verified = String::from_utf8(tool("sgdisk")?.arg("-v").arg(&raw).finish()?)?;
    if !verified.contains("No problems found") {
        return Err(verified.into());
    }
    // sgdisk finds no fault with a backup that was left behind if it does not look there.
    let last = read(&raw, 64 * MIB - 512, 512)?;
    if &last[..8] != b"EFI PART" {
        return Err("no backup GPT header in the last sector".into());
    }
    let partition = |file: &Path| read(file, PARTITION.start, (PARTITION.end - PARTITION.start) as usize);
    if partition(&raw)? != partition(&source.raw)? {
        return Err("the partition's content has changed".into());
    }
    Ok(())
}

fn same_size(folder: &Path) -> Result<(), Trouble> {
    let source = Source::make(folder)?;
    let raw = source.reversed(folder, None)?;
    if fs::read(raw)? != fs::read(&source.raw)? { Err("the content has changed".into()) } else { Ok(()) }
}

fn smaller(folder: &Path) -> Result<(), Trouble> {
    let source = Source::make(folder)?;
    let output = folder.join("out.vmdk");
    let done =
        diskport().arg("reverse-image").args([&source.vhdx, &output]).args(["--size-mib", "47"]).output()?;
    let said = String::from_utf8(done.stderr)?;
    if done.status.code() != Some(5) {
        return Err(format!("{}: {said}", done.status).into());
    }
    if output.exists() {
        return Err("there is an output all the same".into());
    }
    match [SIZE, 47 * MIB].iter().find(|size| !said.contains(&size.to_string())) {
        Some(size) => Err(format!("{size} is not named: {said}").into()),
        None => Ok(()),
    }
}

/// A disk with a GPT and one partition, raw and as a VHDX.
struct Source {
    raw: PathBuf,
    vhdx: PathBuf,
}

impl Source {
    fn make(folder: &Path) -> Result<Self, Trouble> {
        let (raw, vhdx) = (folder.join("gpt.raw"), folder.join("gpt.vhdx"));
        let mut file = File::create(&raw)?;
        file.set_len(SIZE)?;
        file.flush()?;
        let range = format!("1:{}:{}", PARTITION.start / 512, PARTITION.end / 512 - 1);
        reader::run(tool("sgdisk")?.args(["-n", &range, "-t", "1:0700"]).arg(&raw))?;
        for (index, at) in PARTITION.step_by(3 << 20).enumerate() {
            file.write_all_at(&[index as u8 + 1; 70_000], at)?;
        }
        reader::run(tool("qemu-img")?.args(["convert", "-f", "raw", "-O", "vhdx"]).args([&raw, &vhdx]))?;
        Ok(Self { raw, vhdx })
    }

    /// Reverses the image, and gives what qemu-img reads of the output.
    fn reversed(&self, folder: &Path, size_mib: Option<u64>) -> Result<PathBuf, Trouble> {
        let (vmdk, raw) = (folder.join("out.vmdk"), folder.join("out.raw"));
        let mut command = diskport();
        command.arg("reverse-image").args([&self.vhdx, &vmdk]);
        if let Some(size) = size_mib {
            command.args(["--size-mib", &size.to_string()]);
        }
        reader::run(&mut command)?;
        reader::to_raw("vmdk", &vmdk, &raw)?;
        Ok(raw)
    }
}

fn read(file: &Path, offset: u64, len: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    File::open(file)?.read_exact_at(&mut bytes, offset)?;
    Ok(bytes)
}
