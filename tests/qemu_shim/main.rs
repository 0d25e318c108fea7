//! qemu-img and qemu-io, as far as QEMU's own block tests call them, answered by this library.
//!
//! QEMU's tests run in shell scripts that call the two programs and compare what these print with what they printed
//! once. `run.sh` fetches those tests, puts this program in the place of both, and runs them. It does so by the name it
//! is called by, or by its first argument; called otherwise, as by `cargo test`, it tests itself.
//!
//! Whatever a command line asks for and is not known here is an error, never passed over.

mod failure;
mod image;
mod img;
mod io;
mod options;
mod selftest;
mod size;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args();
    let own = args.next().unwrap_or_default();
    let own = own.rsplit('/').next().unwrap_or_default();
    let tool = if own.starts_with("qemu_shim") { args.next().unwrap_or_default() } else { own.to_owned() };
    match &*tool {
        "qemu-img" => img::main(args.collect()),
        "qemu-io" => io::main(args.collect()),
        _ => selftest::main(),
    }
}
