//! What an image becomes in a pipe is what it becomes in a file.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};

use diskport::Disk;
use diskport::copy::{Convert, OutputFormat};
use diskport::format::Allocation;
use diskport::format::vmdk::Subformat;
use libtest_mimic::Failed;

/// Those whose layout depends on what the image holds.
const FORMATS: [OutputFormat; 4] = [
    OutputFormat::Vhd(Allocation::Dynamic),
    OutputFormat::Vhdx(Allocation::Dynamic),
    OutputFormat::Vmdk(Subformat::MonolithicSparse),
    OutputFormat::Vmdk(Subformat::StreamOptimized),
];

/// Writes `disk` into files and pipes of all formats that can hold it.
pub fn check(disk: &Disk) -> Result<(), Failed> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    for format in FORMATS {
        let path = folder.path().join(format.subformat());
        let copy = Convert::new(disk).to(format).seed(7).level(1).sync(false).overwrite(true);
        match copy.create(&path) {
            Ok(_) => {
                let mut against = Against(BufReader::new(File::open(&path)?));
                copy.write_to(&mut against).map_err(|e| format!("{format}: {e}"))?;
                if against.0.read(&mut [0])? != 0 {
                    return Err(format!("{format}: the file is longer than what the pipe took").into());
                }
            }
            Err(expected) => match copy.write_to(io::sink()) {
                Err(found) if found.to_string() == expected.to_string() => {}
                other => return Err(format!("{format}: {expected} in a file, {other:?} in a pipe").into()),
            },
        }
    }
    Ok(())
}

/// Compares what is written with a file, from its front.
struct Against(BufReader<File>);

impl Write for Against {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let mut expected = vec![0; data.len()];
        self.0.read_exact(&mut expected)?;
        if expected == data { Ok(data.len()) } else { Err(io::Error::other("other bytes than the file's")) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
