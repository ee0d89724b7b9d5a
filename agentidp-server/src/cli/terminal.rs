//! What a command says and asks.

use std::io::{self, Write as _};
use std::process::ExitCode;

use crate::wiring::StartError;

/// One or more lines on standard output.
pub(super) fn print(lines: impl std::fmt::Display) -> Result<(), StartError> {
    let mut out = io::stdout().lock();
    writeln!(out, "{lines}")
        .and_then(|()| out.flush())
        .map_err(|source| StartError::System { what: "standard output could not be written", source })
}

/// One line on standard error, and the exit code that goes with it.
pub(super) fn fail(problem: impl std::fmt::Display) -> Result<ExitCode, StartError> {
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
