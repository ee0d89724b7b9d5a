//! Where settings come from: the process's environment, and `.env` in the working directory.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use super::ConfigError;
use super::lookup::is_for_everybody;

/// The environment over `.env`. A variable that is set, even to nothing, hides the line in the file, so that
/// `VAULT_ADDR= agentidp-server` turns Vault off for one start.
pub struct Environment {
    file: HashMap<String, String>,
}

impl Environment {
    /// Reads `.env` in `directory`, if there is one. The process's own environment is left as it is.
    ///
    /// # Errors
    /// [`ConfigError`] when the file is there and cannot be read. The faulty line is not repeated: it may be a secret.
    pub fn read(directory: &Path) -> Result<Self, ConfigError> {
        let lines = match dotenvy::from_path_iter(directory.join(".env")) {
            Err(error) if error.not_found() => return Ok(Self { file: HashMap::new() }),
            opened => opened.map_err(|error| ConfigError::new(".env", format_args!("cannot be opened: {error}")))?,
        };
        let mut file = HashMap::new();
        let mut last = None;
        for line in lines {
            let (name, value) = line.map_err(|error| unreadable(&error, last.as_deref()))?;
            last = Some(name.clone());
            file.insert(name, value);
        }
        Ok(Self { file })
    }

    /// What is odd about the file in `directory`.
    #[must_use]
    pub fn warning(&self, directory: &Path) -> Option<String> {
        let secret = |name: &String| ["TOKEN", "SECRET", "KEY", "URL"].iter().any(|part| name.contains(part));
        let exposed = self.file.keys().any(secret) && is_for_everybody(&directory.join(".env"));
        exposed.then(|| ".env may be read by every user of this machine: chmod o-rwx it".to_owned())
    }

    /// The names that are set here or there. What is no UTF-8 is no name of ours.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let process = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        let mut names: Vec<_> = process.chain(self.file.keys().cloned()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The value of `name`.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place where the server reads the environment")]
    pub fn get(&self, name: &str) -> Option<String> {
        match std::env::var(name) {
            Ok(value) => Some(value),
            // What is no UTF-8 gets a replacement mark, which no check lets through.
            Err(std::env::VarError::NotUnicode(value)) => Some(value.to_string_lossy().into_owned()),
            Err(std::env::VarError::NotPresent) => self.file.get(name).cloned(),
        }
    }
}

/// Without the values: some are secrets.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment").field("names_in_file", &self.file.keys()).finish()
    }
}

fn unreadable(error: &dotenvy::Error, last: Option<&str>) -> ConfigError {
    let place = last.map_or("its beginning".to_owned(), |name| format!("the line of {name}"));
    match error {
        dotenvy::Error::Io(error) => ConfigError::new(".env", format_args!("cannot be read: {error}")),
        _ => ConfigError::new(
            ".env",
            format_args!("cannot be understood after {place}: write NAME=value, and quote values with blanks in them"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_is_read_and_its_absence_is_fine() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(Environment::read(directory.path()).unwrap().get("AGENTIDP_TEST_ONLY"), None);
        fs::write(directory.path().join(".env"), "# a comment\nAGENTIDP_TEST_ONLY='a b'\n").unwrap();
        let environment = Environment::read(directory.path()).unwrap();
        assert_eq!(environment.get("AGENTIDP_TEST_ONLY").unwrap(), "a b");
        assert!(!format!("{environment:?}").contains("a b"));
    }

    #[test]
    fn a_faulty_line_is_placed_and_not_repeated() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(".env"), "PORT=1\nVAULT_TOKEN=canary canary\n").unwrap();
        let error = Environment::read(directory.path()).unwrap_err();
        assert!(error.to_string().starts_with(".env cannot be understood after the line of PORT:"), "{error}");
        assert!(!format!("{error} {error:?}").contains("canary"));
    }
}
