//! `qemu-img dd [-f FORMAT] [-O FORMAT] if=SOURCE of=TARGET [bs=SIZE] [count=N] [skip=N]`

use super::create::Kind;
use super::{Outcome, could_not_open};
use crate::failure;
use crate::image::{self, Image};
use crate::options::Options;
use crate::size;

pub fn run(args: &[String]) -> Outcome {
    let options = Options::parse(args, "f:O:", &[])?;
    let (mut input, mut output, mut block, mut count, mut skip) = (None, None, 512, u64::MAX, 0);
    for operand in &options.operands {
        match operand.split_once('=') {
            Some(("if", name)) => input = Some(name),
            Some(("of", name)) => output = Some(name),
            Some(("bs", value)) => block = size::parse(value)?,
            Some(("count", value)) => count = size::parse(value)?,
            Some(("skip", value)) => skip = size::parse(value)?,
            _ => return Err(format!("unrecognized operand {operand}")),
        }
    }
    let (Some(input), Some(output)) = (input, output) else {
        return Err("Must specify both input and output file names".to_owned());
    };
    let source = Image::named(input, options.value('f'))?.open().map_err(could_not_open(input))?;
    let start = skip.saturating_mul(block).min(source.size());
    let end = start.saturating_add(count.saturating_mul(block)).min(source.size());
    let format = options.value('O').unwrap_or("raw");
    let path = image::path(output)?;
    Kind::parse(format, std::iter::empty())?.create(&path, (end - start).next_multiple_of(512), None)?;
    let target = Image::named(output, Some(format))?.open_writable().map_err(could_not_open(output))?;
    let target = target.ok_or("the output is of a kind that is only read")?;
    // In blocks of that size, however odd: it is what the tests are for.
    let mut buffer = vec![0; block.min(end - start) as usize];
    let mut at = start;
    while at < end {
        let piece = &mut buffer[..(end - at).min(block) as usize];
        source.read_at(piece, at).map_err(|e| failure::of(&e))?;
        target.write_at(piece, at - start).map_err(|e| failure::of(&e))?;
        at += piece.len() as u64;
    }
    target.close().map_err(|e| failure::of(&e))?;
    Ok(0)
}
