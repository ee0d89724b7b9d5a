//! Reading one setting: trimmed, empty is unset, and every complaint names the setting.

use std::cell::RefCell;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{ConfigError, Secret};

/// Settings by name.
pub(super) struct Lookup<'a> {
    get: &'a dyn Fn(&str) -> Option<String>,
    warnings: RefCell<Vec<String>>,
}

impl<'a> Lookup<'a> {
    pub(super) fn new(get: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { get, warnings: RefCell::default() }
    }

    /// What is odd about the files that were read.
    pub(super) fn warnings(&self) -> Vec<String> {
        self.warnings.take()
    }

    /// The trimmed text; none when it is unset or empty.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        (self.get)(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    /// A text that `parse` understands; `expected` finishes the sentence "NAME must be …".
    pub(super) fn parsed<T>(
        &self,
        name: &'static str,
        expected: impl fmt::Display,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        let Some(text) = self.text(name) else { return Ok(None) };
        match parse(&text) {
            Some(value) => Ok(Some(value)),
            // An address may have a password before its `@`.
            None if text.contains('@') || is_secret_itself(&text) => {
                Err(ConfigError::new(name, format_args!("must be {expected}")))
            }
            None => Err(ConfigError::new(name, format_args!("must be {expected}, not {text:?}"))),
        }
    }

    /// `true` or `false`.
    pub(super) fn flag(&self, name: &'static str) -> Result<Option<bool>, ConfigError> {
        self.parsed(name, "true or false", |text| text.parse().ok())
    }

    /// A duration within `bounds`.
    pub(super) fn duration(
        &self,
        name: &'static str,
        bounds: std::ops::RangeInclusive<Duration>,
    ) -> Result<Option<Duration>, ConfigError> {
        let (least, most) = (spoken(*bounds.start()), spoken(*bounds.end()));
        let expected = format!("a time from {least} to {most}, with its unit: 500ms, 30s, 15m or 1h");
        self.parsed(name, expected, |text| parse_duration(text).filter(|time| bounds.contains(time)))
    }

    /// A secret, given itself or as the path of the file that holds it, never both.
    pub(super) fn secret(&self, name: &'static str, file_name: &'static str) -> Result<Option<Secret>, ConfigError> {
        match (self.text(name), self.text(file_name)) {
            (Some(_), Some(_)) => {
                Err(ConfigError::new(name, format_args!("and {file_name} are both set: keep one of them")))
            }
            (Some(text), None) => Ok(Some(Secret::from(text))),
            (None, Some(path)) => self.secret_file(file_name, &path).map(Some),
            (None, None) => Ok(None),
        }
    }

    /// The paths of files, separated by commas, each with its trimmed content.
    pub(super) fn secret_files(&self, name: &'static str) -> Result<Vec<(String, Secret)>, ConfigError> {
        let list = self.text(name).unwrap_or_default();
        let paths = list.split(',').map(str::trim).filter(|path| !path.is_empty());
        paths.map(|path| Ok((path.to_owned(), self.secret_file(name, path)?))).collect()
    }

    /// The trimmed content of a file, which only its owner and group should be able to read unless it is public.
    pub(super) fn secret_file(&self, name: &'static str, path: &str) -> Result<Secret, ConfigError> {
        let text = read_file(name, path)?;
        if is_for_everybody(Path::new(path)) && !text.contains("PUBLIC KEY") {
            let warning = format!("{name} names {path:?}, which every user of this machine may read: chmod o-rwx it");
            self.warnings.borrow_mut().push(warning);
        }
        Ok(Secret::from(text))
    }

    /// The path of a file that is read when it is used.
    pub(super) fn path(&self, name: &'static str) -> Result<Option<PathBuf>, ConfigError> {
        let Some(path) = self.text(name) else { return Ok(None) };
        if is_secret_itself(&path) && !Path::new(&path).exists() {
            return Err(holds_the_value(name));
        }
        Ok(Some(PathBuf::from(path)))
    }

    /// The trimmed content of the file that a setting names.
    pub(super) fn file(&self, name: &'static str) -> Result<Option<String>, ConfigError> {
        self.text(name).map(|path| read_file(name, &path)).transpose()
    }
}

/// Whether users may read a file who are neither its owner nor in its group.
pub(super) fn is_for_everybody(path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o004 != 0)
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        false
    }
}

fn read_file(name: &'static str, path: &str) -> Result<String, ConfigError> {
    let text = fs::read_to_string(path).map_err(|error| {
        if is_secret_itself(path) {
            return holds_the_value(name);
        }
        ConfigError::new(name, format_args!("names {path:?}, which cannot be read: {error}"))
    })?;
    match text.trim() {
        "" => Err(ConfigError::new(name, format_args!("names {path:?}, which is empty: put the value into it"))),
        text => Ok(text.to_owned()),
    }
}

/// The settings that hold the value of a file themselves.
const BESIDE_FILES: [&str; 4] = ["JWT_PRIVATE_KEY", "MAC_KEYS", "VAULT_TOKEN", "VAULT_SECRET_ID"];

fn holds_the_value(name: &'static str) -> ConfigError {
    match name.strip_suffix("_FILE").filter(|name| BESIDE_FILES.contains(name)) {
        Some(itself) => ConfigError::new(name, format_args!("holds the value itself: use {itself}")),
        None => ConfigError::new(name, "holds the value itself: put it into a file and name that"),
    }
}

/// Whether a text looks like a secret where something else was to be: PEM, a token of Vault, a JWT, MAC keys, a secret id.
fn is_secret_itself(text: &str) -> bool {
    let begins = ["s.", "b.", "eyJ"].iter().any(|start| text.starts_with(start));
    let holds = ["-----BEGIN", "hvs.", "hvb.", "hvr.", "\n"].iter().any(|part| text.contains(part));
    let is_hex =
        |digits: &str| digits.len() >= 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    begins || holds || is_hex(text) || text.split_once(':').is_some_and(|(_, key)| is_hex(key.trim()))
}

/// A time as settings write it, in the largest unit that leaves nothing over.
fn spoken(time: Duration) -> String {
    match (time.subsec_millis(), time.as_secs()) {
        (0, 0) => "0s".to_owned(),
        (0, seconds) if seconds % 3600 == 0 => format!("{}h", seconds / 3600),
        (0, seconds) if seconds % 60 == 0 => format!("{}m", seconds / 60),
        (0, seconds) => format!("{seconds}s"),
        _ => format!("{}ms", time.as_millis()),
    }
}

/// Reads a time with its unit, as settings and the command line write it: `500ms`, `90s`, `15m`, `1h`.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs),
        "h" => number.checked_mul(3600).map(Duration::from_secs),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_as_they_are_read() {
        for text in ["0s", "10ms", "1500ms", "1s", "61s", "5m", "1h", "168h"] {
            assert_eq!(spoken(parse_duration(text).unwrap()), text);
        }
    }

    #[test]
    fn secrets_are_known_by_their_form() {
        let digits = "0123456789abcdef".repeat(4);
        for secret in [
            "-----BEGIN PRIVATE KEY-----",
            "hvs.CAESI",
            "s.canary",
            "eyJhbGciOi",
            "a\nb",
            &digits,
            &format!("k1:{digits}"),
            &format!("k1: {digits}"),
            "1c2d3a0e-8f0b-4c1f-9d7e-0a4c3f6b2e11",
        ] {
            assert!(is_secret_itself(secret), "{secret}");
        }
        for path in ["/run/secrets/token", "keys/k1", "./s.txt", "C:\\keys", "nowhere", "65536", "https://a/b"] {
            assert!(!is_secret_itself(path), "{path}");
        }
    }

    #[test]
    fn durations_need_a_number_and_a_unit() {
        let table = [
            ("0s", Some(0)),
            ("500ms", Some(500)),
            ("90s", Some(90_000)),
            ("15m", Some(900_000)),
            ("1h", Some(3_600_000)),
            ("", None),
            ("15", None),
            ("m", None),
            ("-1s", None),
            ("1.5h", None),
            ("1d", None),
            ("1 h", None),
            ("1h30m", None),
            ("99999999999999999999s", None),
            ("9999999999999999999h", None),
        ];
        for (text, millis) in table {
            assert_eq!(parse_duration(text), millis.map(Duration::from_millis), "{text:?}");
        }
    }
}
