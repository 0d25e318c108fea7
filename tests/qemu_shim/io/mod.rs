//! qemu-io: a session with one image, commands from `-c` or standard input.

mod device;
mod request;
mod session;

use std::io::BufRead;
use std::process::ExitCode;

use crate::options::Options;
use session::Session;

/// Long options, and the letters that they stand for.
const LONG: [(&str, char); 3] = [("cache", 't'), ("aio", 'i'), ("image-opts", 'O')];

/// Runs one command line: opens the image if there is one, then runs the commands until one says `quit`.
pub fn main(args: Vec<String>) -> ExitCode {
    let mut session = Session::default();
    match run(&args, &mut session) {
        Ok(()) => {}
        Err(message) => {
            eprintln!("qemu-io: {message}");
            session.failed = true;
        }
    }
    session.close();
    ExitCode::from(u8::from(session.failed))
}

fn run(args: &[String], session: &mut Session) -> Result<(), String> {
    // How qemu caches and queues makes no difference here.
    let options = Options::parse(args, "c:f:rst:i:O", &LONG)?;
    session.format = options.value('f').map(str::to_owned);
    match &options.operands[..] {
        [] => {}
        [described] if options.has('O') => session.open(None, Some(described), &options)?,
        [name] => session.open(Some(name), None, &options)?,
        operands => return Err(format!("Expecting one image file name, not {operands:?}")),
    }
    if options.has('c') {
        options.values('c').take_while(|line| session.run(line)).for_each(drop);
        return Ok(());
    }
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|e| e.to_string())?;
        if !session.run(&line) {
            break;
        }
    }
    Ok(())
}
