//! What a command says and asks.

use std::fmt::Display;
use std::io::{self, BufWriter, Stdout, Write as _};
use std::process::ExitCode;

use crate::wiring::StartError;

/// One or more lines on standard output.
pub(super) fn print(lines: impl Display) -> Result<(), StartError> {
    let mut out = io::stdout().lock();
    writeln!(out, "{lines}").and_then(|()| out.flush()).map_err(unwritten)
}

/// Many lines on standard output, which are written by and by.
pub(super) struct Lines {
    out: BufWriter<Stdout>,
    told: io::Result<()>,
}

impl Lines {
    pub(super) fn new() -> Self {
        Self { out: BufWriter::with_capacity(1 << 16, io::stdout()), told: Ok(()) }
    }

    /// One or more lines. After the first that cannot be written the others are dropped, and [`end`](Self::end) says why.
    pub(super) fn print(&mut self, lines: impl Display) {
        if self.told.is_ok() {
            self.told = writeln!(self.out, "{lines}");
        }
    }

    /// Writes what is left.
    pub(super) fn end(mut self) -> Result<(), StartError> {
        self.told.and_then(|()| self.out.flush()).map_err(unwritten)
    }
}

fn unwritten(source: io::Error) -> StartError {
    StartError::System { what: "standard output could not be written", source }
}

/// One line on standard error, and the exit code that goes with it.
pub(super) fn fail(problem: impl Display) -> Result<ExitCode, StartError> {
    // Nobody is left to be told if standard error is gone.
    let _ = writeln!(io::stderr(), "agentidp-server: {problem}");
    Ok(ExitCode::FAILURE)
}

/// Whether the operator agrees: `yes`, or a line on standard input that says so.
pub(super) fn ask(question: &str, yes: bool) -> Result<bool, StartError> {
    if yes {
        return Ok(true);
    }
    print(format_args!("{question} Type `yes`:"))?;
    let mut line = String::new();
    io::stdin()
        .read_line(&mut line)
        .map_err(|source| StartError::System { what: "standard input could not be read", source })?;
    Ok(line.trim() == "yes")
}
