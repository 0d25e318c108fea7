//! Copies on file systems that keep shared bytes once: XFS and btrfs, each in a file, mounted over a loop device.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use diskport::copy::{Convert, OutputFormat, Report};
use diskport::digest::Digest;
use diskport::format::Allocation;
use diskport::format::vmdk::Subformat;
use diskport::{Disk, Open};
use libtest_mimic::{Completion, Trial};
use sha2::{Digest as _, Sha256};

use crate::common::{ci, digest};
use crate::reader::{Finish, run, tool};
use crate::{Missing, Trouble};

const MIB: usize = 1 << 20;

const OUTPUTS: [OutputFormat; 5] = [
    OutputFormat::Raw,
    OutputFormat::Vhd(Allocation::Fixed),
    OutputFormat::Vhdx(Allocation::Fixed),
    OutputFormat::Vmdk(Subformat::MonolithicFlat),
    OutputFormat::Vmdk(Subformat::TwoGbMaxExtentFlat),
];

pub fn trials(folder: &Path) -> Vec<Trial> {
    let trial = |name: &'static str, options: &'static [&'static str]| {
        let folder = folder.join(name);
        Trial::ignorable_test(format!("{name} shares what is copied"), move || {
            let shared = match Mounted::new(&folder, name, options) {
                Ok(Ok(mounted)) => shares(&mounted, &folder),
                // Containers have no loop devices, and who is not root may not mount.
                Ok(Err(reason)) => return Ok(Completion::ignored_with(reason)),
                Err(trouble) => Err(trouble),
            };
            match shared {
                Ok(()) => Ok(Completion::Completed),
                Err(Trouble::Missing(Missing(reason))) if !ci() => Ok(Completion::ignored_with(reason)),
                Err(Trouble::Missing(Missing(reason))) => Err(reason.into()),
                Err(Trouble::Failed(failed)) => Err(failed),
            }
        })
    };
    vec![trial("xfs", &["-q", "-m", "reflink=1"]), trial("btrfs", &["-q"])]
}

/// A file system of its own.
struct Mounted {
    path: PathBuf,
}

impl Mounted {
    /// The reason where nothing can be mounted.
    fn new(folder: &Path, kind: &str, options: &[&str]) -> Result<Result<Self, String>, Trouble> {
        let (image, path) = (folder.join("image"), folder.join("mounted"));
        fs::create_dir_all(&path)?;
        // mkfs.xfs wants 300 MiB; they are a hole.
        fs::File::create(&image)?.set_len(512 << 20)?;
        run(tool(&format!("mkfs.{kind}"))?.args(options).arg(&image))?;
        let mounted = run(tool("mount")?.args(["-o", "loop"]).args([&image, &path]));
        Ok(mounted.map(|()| Self { path }))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let unmounted = tool("umount").map(|mut umount| run(umount.arg(&self.path)));
        assert!(matches!(unmounted, Ok(Ok(()))), "{} stays mounted", self.path.display());
    }
}

/// Noise with a hole, and an end that fills no block.
fn content() -> Vec<u8> {
    let mut seed = 1_u64;
    let noise = std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 56) as u8
    });
    let mut bytes: Vec<u8> = noise.take(24 * MIB + 3 * 512).collect();
    bytes[5 * MIB + 512..9 * MIB].fill(0);
    bytes
}

fn shares(mounted: &Mounted, elsewhere: &Path) -> Result<(), Trouble> {
    let bytes = content();
    let raw = mounted.path.join("source.raw");
    let file = fs::File::create(&raw)?;
    file.write_all_at(&bytes[..5 * MIB + 512], 0)?;
    file.write_all_at(&bytes[9 * MIB..], 9 * MIB as u64)?;
    file.sync_all()?;
    let dynamic = mounted.path.join("source.vhdx");
    let format = OutputFormat::Vhdx(Allocation::Dynamic);
    Convert::new(&diskport::open(&raw)?).to(format).block_size(MIB as u64).create(&dynamic)?;

    for source in [&raw, &dynamic] {
        let disk = diskport::open(source)?;
        for format in OUTPUTS {
            let path = mounted.path.join(format!("output.{}", format.format()));
            let copy = Convert::new(&disk).to(format).overwrite(true).verify(true);
            let report = copy.create(&path)?;
            let what = format!("{} to {format}: {report:?}", source.display());
            // All but the last block, and what the hole cuts off.
            if report.data_shared < 20 * MIB as u64 - 16 * 1024 || report.data_read > 128 * 1024 {
                return Err(what.into());
            }
            expect(&path, format, &bytes)?;
        }
    }

    // The file system says the same, and what the output shares does not change with its source.
    let (copied, disk) = (mounted.path.join("copied.raw"), diskport::open(&raw)?);
    Convert::new(&disk).create(&copied)?;
    let map = String::from_utf8(tool("filefrag")?.arg("-v").arg(&copied).finish()?)?;
    if !map.lines().any(|line| line.contains("shared")) {
        return Err(map.into());
    }
    file.write_all_at(&[7; 100_000], MIB as u64)?;
    expect(&copied, OutputFormat::Raw, &bytes)?;
    file.write_all_at(&bytes[MIB..MIB + 100_000], MIB as u64)?;
    // What was opened before has changed since, as far as anyone can tell.
    let disk = diskport::open(&raw)?;

    // Nothing is shared between two file systems, nor when a digest wants to see the data.
    let apart = |report: Report| if report.data_shared == 0 { Ok(()) } else { Err(format!("{report:?}")) };
    let other = elsewhere.join("elsewhere.raw");
    apart(Convert::new(&disk).create(&other)?)?;
    expect(&other, OutputFormat::Raw, &bytes)?;
    fs::remove_file(&copied)?;
    apart(Convert::new(&diskport::open(&other)?).create(&copied)?)?;
    let report = Convert::new(&disk).digest(Digest::Sha256).overwrite(true).create(&copied)?;
    let sha256 = digest::hex(Sha256::new_with_prefix(&bytes));
    if report.digests != [(Digest::Sha256, sha256)] {
        return Err(format!("{report:?}").into());
    }
    expect(&copied, OutputFormat::Raw, &bytes)?;
    Ok(apart(report)?)
}

/// That the image holds these bytes, and zeros behind them where its sectors are larger.
fn expect(path: &Path, format: OutputFormat, bytes: &[u8]) -> Result<(), Trouble> {
    let disk: Disk = Open::new().format(format.format()).open(path)?;
    let mut found = vec![0; disk.size() as usize];
    disk.read_at(&mut found, 0)?;
    let (same, rest) = found.split_at_checked(bytes.len()).ok_or("shorter than its source")?;
    if same != bytes || rest.iter().any(|&byte| byte != 0) {
        return Err(format!("{}: differs from its source", path.display()).into());
    }
    Ok(())
}
