//! `compare`: whether two images have the same virtual content.

use std::process::ExitCode;

use diskport::compare::compare;

use crate::args::{Compare, ProgressMode};
use crate::console::{self, Watch};
use crate::failure::Failure;
use crate::signals;

pub fn run(args: &Compare, mode: ProgressMode) -> Result<ExitCode, Failure> {
    let (a, b) = args.open()?;
    let job = signals::job();
    let difference = {
        let _watch = Watch::start(mode, job.progress());
        compare(&a, &b, &job)?
    };
    if args.json {
        console::print_json(&serde_json::json!({
            "identical": difference.is_none(),
            "first_difference": difference.map(|difference| difference.offset),
            "sizes": [a.size(), b.size()],
        }))?;
    } else {
        console::print(&match difference {
            None => "The images are identical.\n".to_owned(),
            Some(at) if at.is_end => {
                format!(
                    "The images differ in size: {} and {} bytes; up to there they are equal.\n",
                    a.size(),
                    b.size()
                )
            }
            Some(at) => format!("The images differ, first at offset {}.\n", at.offset),
        })?;
    }
    Ok(ExitCode::from(u8::from(difference.is_some())))
}
