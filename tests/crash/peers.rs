//! Images as cuts left them, read by software that is not ours.
//!
//! | image                       | qemu-img | libvhdi | VirtualBox's rule |
//! | --------------------------- | -------- | ------- | ----------------- |
//! | VHD without a parent        | reads    | reads, unless it was resized |  |
//! | VHDX without a parent       | sectors of 512 bytes | reads |         |
//! | VMDK, with its parents      | reads    |         | both grain tables are alike |
//!
//! An image that needed a repair is read after it.

use std::path::Path;
use std::sync::Mutex;

use diskport::Format;
use sha2::{Digest, Sha256};

use crate::bytes::Bytes;
use crate::common::campaign::Campaign;
use crate::common::digest;
use crate::common::tools::{Finish, Trouble, python, to_raw};
use crate::expected::content;
use crate::image::Image;
use crate::survey::{Effort, Survey};
use crate::target::Target;

/// Images of a format that are read.
const SAMPLE: usize = 60;
/// Of so many states, about one is taken.
const RARITY: u64 = 4;

/// An image in a state.
struct Sample {
    target: Target,
    image: Image,
    content: Bytes,
}

/// Has the others read a sample of a format's states; how many they read.
pub fn run(format: Format) -> Result<usize, Trouble> {
    let samples = Mutex::new(Vec::new());
    let campaign = Campaign::Full;
    let effort = Effort { states: 0, longest: 1, large: false, per_cut: 40, campaign };
    Survey::run(format, &effort, &|target, examined, digest| {
        let image = examined.image;
        if digest % RARITY == 1 && is_readable(&image) {
            let (storages, open) = image.storages(image.top());
            let disk = open.open(storages[image.top().main].clone()).map_err(|e| e.to_string())?;
            let content = content(&disk).map_err(|e| e.to_string())?;
            samples.lock().map_err(|e| e.to_string())?.push(Sample { target: *target, image, content });
        }
        Ok(())
    })?;
    let samples = samples.into_inner().map_err(|e| e.to_string())?;
    // Spread over all targets.
    let sample = Campaign::from_environment().part(SAMPLE);
    let chosen: Vec<_> = samples.iter().step_by((samples.len() / sample).max(1)).collect();
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    for sample in &chosen {
        sample.read(folder.path())?;
    }
    if chosen.len() < sample {
        return Err(format!("only {} images, expected at least {sample}", chosen.len()).into());
    }
    Ok(chosen.len())
}

/// Whether any of the others reads it.
fn is_readable(image: &Image) -> bool {
    image.top().format == Format::Vmdk || image.chain.len() == 1
}

impl Sample {
    fn read(&self, folder: &Path) -> Result<(), Trouble> {
        let Image { files, .. } = &self.image;
        for (name, bytes) in files {
            std::fs::write(folder.join(name), bytes.to_vec())?;
        }
        let top = self.image.top();
        let image = folder.join(&files[top.main].0);
        let name = self.target.name();
        let mut hash = Sha256::new();
        hash.update(self.content.to_vec());
        let expected = digest::hex(hash);
        let same = |reader: &str, found: String| {
            if found == expected {
                Ok(())
            } else {
                Err(Trouble::from(format!("{name}: {reader} reads otherwise")))
            }
        };
        if top.format != Format::Vhdx || self.target.sector == 512 {
            let raw = folder.join("raw");
            to_raw(top.format.name(), &image, &raw)?;
            same("qemu-img", digest::of_file(&raw)?)?;
        }
        match top.format {
            // libvhdi takes the size with which a VHD was made for its size.
            Format::Vhd if self.content.size() != self.target.size => Ok(()),
            Format::Vmdk => self.image.check_grain_tables().map_err(|e| format!("{name}: {e}").into()),
            _ => same("libvhdi", python("interop/read_vhd.py", "pyvhdi")?.arg(&image).first_line()?),
        }
    }
}

impl Image {
    /// VirtualBox refuses a VMDK whose grain tables differ from their copies anywhere.
    fn check_grain_tables(&self) -> Result<(), String> {
        for (name, bytes) in &self.files {
            let read = |offset: u64, len: u64| -> Result<Vec<u8>, String> {
                let mut buf = vec![0; len as usize];
                let read = bytes.read(&mut buf, offset) as u64;
                if read == len { Ok(buf) } else { Err(format!("{name}: ends before {offset} + {len}")) }
            };
            if bytes.size() < 512 || read(0, 4)? != b"KDMV" {
                continue;
            }
            let number =
                |offset| Ok::<_, String>(u64::from_le_bytes(read(offset, 8)?.try_into().expect("8 bytes")));
            let (capacity, grain, redundant, primary) = (number(12)?, number(20)?, number(48)?, number(56)?);
            for table in 0..capacity.div_ceil(grain * 512) {
                let table_of = |directory: u64| {
                    let entry = read(directory * 512 + table * 4, 4)?;
                    let sector = u32::from_le_bytes(entry.try_into().expect("4 bytes"));
                    read(u64::from(sector) * 512, 512 * 4)
                };
                if table_of(redundant)? != table_of(primary)? {
                    return Err(format!("{name}: grain table {table} differs from its copy"));
                }
            }
        }
        Ok(())
    }
}
