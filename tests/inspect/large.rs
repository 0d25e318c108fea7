//! Of a large disk little is read.

use std::fs;

use diskport::GIB;
use diskport::inspect::inspect;
use diskport::windows::registry::{Tree, kind};
use libtest_mimic::Trial;

use crate::common::corpus;
use crate::common::tools::{Missing, Trouble, trial};
use crate::counting;
use crate::volume::Image;
use crate::windows::{install, key, software, string};

/// Bytes that may be read of 64 GiB.
const MOST: u64 = 20_000_000;

pub fn trials() -> Vec<Trial> {
    vec![trial("large::little_is_read_of_64_gib".into(), little)]
}

fn little() -> Result<(), Trouble> {
    let corpus = corpus::get().map_err(|reason| Missing(reason.to_owned()))?;
    // Of a Windows that ran for years: 15 MB.
    let system = fs::read(corpus.path("hives/regipy/SYSTEM_WIN_10_1709"))?;
    let mut tree = software();
    for number in 0..400 {
        let path = format!("Microsoft\\Windows\\CurrentVersion\\Uninstall\\{{{number:08}}}");
        string(key(&mut tree, &path), "DisplayName", &format!("Program {number}"));
        let class = key(&mut tree, &format!("Classes\\CLSID\\{{{number:08}}}"));
        class.set("", kind::BINARY, vec![number as u8; 16_000]);
    }
    let hive = Tree::to_hive(&tree, "SOFTWARE")?;
    let image = Image::make(64 * GIB, 4096, 512)?;
    image.mounted("rw", |folder| {
        install(folder, &hive, &system)?;
        for number in 0..4000 {
            fs::write(folder.join(format!("Windows/System32/a name as long as usual {number}.dll")), b"")?;
        }
        Ok(())
    })?;
    let (disk, read) = counting::disk(&image.path)?;
    let found = inspect(&disk)?;
    let windows = found.windows.first().ok_or("no Windows")?;
    if windows.software.len() < 400
        || windows.storage_drivers.len() < 10
        || windows.version.architecture.is_none()
    {
        return Err(format!("{windows:?}").into());
    }
    match read() {
        read @ ..=MOST => {
            eprintln!("{read} bytes were read of 64 GiB");
            Ok(())
        }
        read => Err(format!("{read} bytes were read").into()),
    }
}
