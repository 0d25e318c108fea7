//! Standard input and output, and progress on standard error.

use std::io::{self, IsTerminal, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use clap::ValueEnum;
use diskport::job::{Phase, Progress};
use indicatif::{HumanBytes, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};
use serde::Serialize;

/// Prints one JSON document.
pub fn print_json(document: &impl Serialize) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, document)?;
    writeln!(out)?;
    out.flush()?;
    Ok(())
}

/// Whether a document is wanted on standard output, also where the call cannot be parsed.
pub fn wants_json() -> bool {
    std::env::args_os().skip(1).take_while(|argument| argument != "--").any(|argument| argument == "--json")
}

/// Says in one line what was done, or tells it as a document.
pub fn tell(json: bool, line: &str, document: &impl Serialize) -> io::Result<()> {
    if json {
        return print_json(document);
    }
    report(line);
    Ok(())
}

/// Prints text.
pub fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// Says something on standard error; that nobody listens is no reason to stop.
pub fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Whether nobody is told what was done.
static QUIET: AtomicBool = AtomicBool::new(false);

/// Leaves out what was done, from now on.
pub fn be_quiet() {
    QUIET.store(true, Ordering::Relaxed);
}

/// Says what was done.
pub fn report(line: &str) {
    if !QUIET.load(Ordering::Relaxed) {
        say(line);
    }
}

/// How many bytes standard input holds, where it is a file.
pub fn input_len() -> Option<u64> {
    #[cfg(unix)]
    {
        use std::io::Seek;
        use std::os::fd::AsFd;
        let input = std::fs::File::from(io::stdin().as_fd().try_clone_to_owned().ok()?);
        let metadata = input.metadata().ok()?;
        let at = metadata.is_file().then(|| (&input).stream_position())?.ok()?;
        Some(metadata.len().saturating_sub(at))
    }
    #[cfg(not(unix))]
    None
}

/// Standard input in pieces of at most `len` bytes. A thread of its own waits for them, so that an interrupt is seen meanwhile.
pub fn input(len: usize) -> Receiver<io::Result<Vec<u8>>> {
    let (pieces, received) = sync_channel(2);
    std::thread::spawn(move || {
        loop {
            let mut piece = Vec::with_capacity(len);
            let read = io::stdin().lock().take(len as u64).read_to_end(&mut piece);
            let more = matches!(read, Ok(1..));
            if more || read.is_err() {
                // Whoever no longer listens has met an error, and says so.
                let _ = pieces.send(read.map(|_| piece));
            }
            if !more {
                return;
            }
        }
    });
    received
}

/// How progress is shown.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProgressMode {
    /// A bar on a terminal, nothing elsewhere
    Auto,
    /// A bar
    Bar,
    /// A line of JSON for each update
    Json,
    /// Nothing
    None,
}

/// Shows the progress of an operation until it is dropped.
pub struct Watch {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Shows `progress`.
    pub fn start(mode: ProgressMode, progress: &Progress) -> Self {
        let bar = match mode {
            ProgressMode::Auto if !io::stderr().is_terminal() => return Self { stop: None, thread: None },
            ProgressMode::None => return Self { stop: None, thread: None },
            ProgressMode::Auto | ProgressMode::Bar => Some(bar()),
            ProgressMode::Json => None,
        };
        let (stop, stopped) = channel();
        let progress = progress.clone();
        let thread = std::thread::spawn(move || {
            loop {
                let ended =
                    stopped.recv_timeout(Duration::from_millis(100)) != Err(RecvTimeoutError::Timeout);
                match &bar {
                    Some(bar) => update(bar, &progress),
                    None if progress.phase().is_none() => {}
                    None => print_line(&progress),
                }
                if ended {
                    if let Some(bar) = &bar {
                        bar.finish_and_clear();
                    }
                    return;
                }
            }
        });
        Self { stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn bar() -> ProgressBar {
    let target = if io::stderr().is_terminal() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::term_like(Box::new(NoTerminal))
    };
    let bar = ProgressBar::with_draw_target(None, target);
    let template = "{msg} [{bar:40}] {bytes}/{total_bytes} {prefix}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar
}

/// Standard error where it is no terminal, for those who want a bar all the same.
#[derive(Debug)]
struct NoTerminal;

impl TermLike for NoTerminal {
    fn width(&self) -> u16 {
        120
    }

    fn move_cursor_up(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_down(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn write_line(&self, line: &str) -> io::Result<()> {
        writeln!(io::stderr(), "{line}")
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        write!(io::stderr(), "{text}")
    }

    fn clear_line(&self) -> io::Result<()> {
        write!(io::stderr(), "\r")
    }

    fn flush(&self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// What is being done; nothing before anything is.
fn phase(progress: &Progress) -> &'static str {
    progress.phase().map_or("", Phase::name)
}

fn update(bar: &ProgressBar, progress: &Progress) {
    bar.set_message(phase(progress));
    bar.set_length(progress.total());
    bar.set_position(progress.done());
    let rate = HumanBytes(progress.rate());
    bar.set_prefix(match progress.time_left() {
        Some(left) => format!("{rate}/s, {:#} left", HumanDuration(left)),
        None => format!("{rate}/s"),
    });
}

fn print_line(progress: &Progress) {
    let line = serde_json::json!({
        "phase": phase(progress),
        "done": progress.done(),
        "total": progress.total(),
        "percent": progress.percent(),
        "rate": progress.rate(),
        "seconds_left": progress.time_left().map(|left| left.as_secs()),
    });
    say(&line.to_string());
}
