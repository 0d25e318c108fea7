//! The shim's own test: transcripts, in which every line that the two programs print is expected.

use std::path::Path;
use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Failed, Trial};

/// A line that begins with `$` is run; what follows is what it prints, on either output, and its exit code unless that
/// is 0. Lines with qemu-io's timings are left out.
const ONE_DISK: &str = r#"
$ qemu-img create -f FORMAT OPTIONS disk 16M
Formatting 'disk', fmt=FORMAT size=16777216
$ qemu-io -f FORMAT -c "write -P 0xa5 1M 64k" -c "write -z 1081344 512" -c "aio_write -P 7 3M 5000" disk
wrote 65536/65536 bytes at offset 1048576
wrote 512/512 bytes at offset 1081344
wrote 5000/5000 bytes at offset 3145728
$ qemu-io -f FORMAT -c "write -P 6 1049000 1000" -c "read -P 0xa5 1M 424" -c "read -P 6 1049000 1000" disk
wrote 1000/1000 bytes at offset 1049000
read 424/424 bytes at offset 1048576
read 1000/1000 bytes at offset 1049000
$ qemu-io -f FORMAT -c "read -P 0xa5 1050000 30k" -c "read -P 0 -l 512 1081344 1k" -c "readv -P 7 3M 4k 904" disk
read 30720/30720 bytes at offset 1050000
read 1024/1024 bytes at offset 1081344
read 5000/5000 bytes at offset 3145728
$ qemu-io -f FORMAT -r -c "read -P 7 -s 1k 3144704 2k" -c "read -P 8 3M 512" disk
read 2048/2048 bytes at offset 3144704
Pattern verification failed at offset 3145728, 512 bytes
read 512/512 bytes at offset 3145728
[1]
$ qemu-io -f FORMAT -c "write 16M 512" -c "read -P 256 0 512" -c nonsense disk
write failed: Input/output error
256 is not a valid pattern byte
command "nonsense" not found
[1]
$ qemu-io -f FORMAT -s -c "write -P 9 1M 1M" -c "read -P 9 1M 1M" disk
wrote 1048576/1048576 bytes at offset 1048576
read 1048576/1048576 bytes at offset 1048576
$ qemu-io -f FORMAT -c "read -P 0xa5 1050000 30k" disk
read 30720/30720 bytes at offset 1050000
$ qemu-img check -f FORMAT disk
No errors were found on the image.
$ qemu-img convert -f FORMAT -O raw disk flat
$ qemu-img compare -f FORMAT -F raw disk flat
Images are identical.
$ qemu-img dd -f raw -O FORMAT if=flat of=copy bs=1000
$ qemu-img compare -f FORMAT -F FORMAT disk copy
Images are identical.
$ qemu-io -f FORMAT -c "write -P 1 12288 1" copy
wrote 1/1 bytes at offset 12288
$ qemu-img compare -f FORMAT -F FORMAT disk copy
Content mismatch at offset 12288!
[1]
$ qemu-img convert -n -f FORMAT -O FORMAT disk copy
$ qemu-img compare -f FORMAT -F FORMAT disk copy
Images are identical.
$ qemu-img create -f FORMAT -o nonsense=1 other 1M
qemu-img: other: Invalid parameter 'nonsense'
[1]
"#;

const PARENTS: &str = r#"
$ qemu-img create -q -f vmdk base 16M
$ qemu-io -f vmdk -c "write -P 1 0 1M" base
wrote 1048576/1048576 bytes at offset 0
$ qemu-img create -f vmdk -b base -F vmdk top
Formatting 'top', fmt=vmdk size=16777216 backing_file=base backing_fmt=vmdk
$ qemu-io -f vmdk -c "write -P 2 512k 1000k" top
wrote 1024000/1024000 bytes at offset 524288
$ qemu-io -f vmdk -c "alloc 0 1M" -c "read -P 1 0 512k" -c "read -P 2 512k 1000k" top
524288/1048576 bytes allocated at offset 0 bytes
read 524288/524288 bytes at offset 0
read 1024000/1024000 bytes at offset 524288
$ qemu-img compare top base
Content mismatch at offset 524288!
[1]
"#;

const COMMITTED: &str = r#"
$ qemu-img convert -f vmdk -O raw top whole
$ qemu-img commit top
Image committed.
$ qemu-img compare -f vmdk -F raw base whole
Images are identical.
"#;

const CONVERTED: &str = r#"
$ qemu-img convert -f vmdk -O vmdk -B base -o backing_fmt=vmdk top twin
$ qemu-io -f vmdk -c "alloc 0 512k" twin
0/524288 bytes allocated at offset 0 bytes
$ qemu-img compare top twin
Images are identical.
"#;

/// Runs all transcripts.
pub fn main() -> ExitCode {
    let disk = |format: &'static str, options: &'static str| {
        let transcript = ONE_DISK.replace("FORMAT", format).replace(" OPTIONS", options);
        Trial::test(format!("{format}{options}"), move || follow(&transcript))
    };
    let trials = vec![
        disk("raw", ""),
        disk("vpc", ""),
        disk("vpc", " -o subformat=fixed"),
        disk("vhdx", ""),
        disk("vhdx", " -o block_size=1M"),
        disk("vmdk", ""),
        disk("vmdk", " -o subformat=monolithicFlat"),
        Trial::test("chain, committed", || follow(&(PARENTS.to_owned() + COMMITTED.trim_start()))),
        Trial::test("chain, converted", || follow(&(PARENTS.to_owned() + CONVERTED.trim_start()))),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// Runs a transcript's lines in a folder of their own and compares what they print.
fn follow(transcript: &str) -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    for step in transcript.split("\n$ ").skip(1) {
        let (line, expected) = step.split_once('\n').unwrap_or((step, ""));
        let printed = run(line, folder.path())?;
        if printed.trim_end() != expected.trim_end() {
            return Err(format!("{line}\nexpected:\n{expected}\nfound:\n{printed}").into());
        }
    }
    Ok(())
}

fn run(line: &str, folder: &Path) -> Result<String, Failed> {
    // Every second part stands in quotation marks.
    let parts = line.split('"').enumerate();
    let words = parts.flat_map(|(at, part)| match at % 2 {
        0 => part.split_whitespace().collect(),
        _ => vec![part],
    });
    let output = Command::new(std::env::current_exe()?).args(words).current_dir(folder).output()?;
    let mut text = String::from_utf8(output.stdout)? + &String::from_utf8(output.stderr)?;
    if !output.status.success() {
        text += &format!("[{}]", output.status.code().unwrap_or(-1));
    }
    Ok(text.split_inclusive('\n').filter(|line| !line.contains(" ops; ")).collect())
}
