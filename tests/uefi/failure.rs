//! A conversion that fails leaves no child.

use libtest_mimic::Trial;

use crate::base::{Base, Maker};
use crate::common::tools::{Trouble, trial};
use crate::kit::Kit;
use crate::place::{IO, Place, shell};

pub fn trials() -> Vec<Trial> {
    [("vhd", "child"), ("vhdx", "child"), ("vhdx", "copy")]
        .map(|(format, kind)| {
            trial(format!("failure/{format}-{kind}"), move || no_room_for_the_output(format, kind))
        })
        .into()
}

/// The file system refuses what goes beyond so many KiB: the header, the tables, a block of data, almost all.
fn no_room_for_the_output(format: &'static str, kind: &str) -> Result<(), Trouble> {
    let place = Place::new();
    let base = Base::new(format, "dynamic", Maker::Diskport).make(&place, &Kit::get()?.disk("gap", 320)?)?;
    for limit in [0, 1 << 10, 3 << 10, 6 << 10] {
        let command = format!("\"$0\" convert-to-uefi {base} out.{format} --output-kind {kind}");
        let line = format!("ulimit -f {limit}; {command} 2>/dev/null");
        assert_eq!(shell(&place, &line), Some(IO), "{limit} KiB");
        assert_eq!(place.names(), [base.as_str()], "{limit} KiB");
    }
    Ok(())
}
