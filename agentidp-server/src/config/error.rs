//! A setting that stops the start.

use std::fmt;

/// One setting that cannot be used. `Display` is one line that names the setting and the mend, and repeats no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting} {problem}")]
pub struct ConfigError {
    setting: &'static str,
    problem: String,
}

impl ConfigError {
    /// `problem` goes on where the setting's name ends: "must be …", "is missing …".
    pub fn new(setting: &'static str, problem: impl fmt::Display) -> Self {
        // Whatever foreign text is in it, it stays one line.
        let problem = problem.to_string().replace(|c: char| c.is_control(), " ");
        Self { setting, problem }
    }

    /// The setting's name.
    #[must_use]
    pub fn setting(&self) -> &'static str {
        self.setting
    }
}
