//! `LOG_FORMAT`, `LOG_LEVEL` and `RUST_LOG`.

use tracing_subscriber::EnvFilter;

use super::ConfigError;
use super::lookup::Lookup;

/// The levels of `LOG_LEVEL`.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// What is logged, and in which form.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Log {
    /// The form.
    pub format: LogFormat,
    /// A filter as `tracing-subscriber` reads it: a level, or directives for each module.
    pub filter: String,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for collectors.
    Json,
}

impl Log {
    pub(super) fn read(lookup: &Lookup<'_>) -> Result<Self, ConfigError> {
        let format = lookup.parsed("LOG_FORMAT", "text or json", |text| match text {
            "text" => Some(LogFormat::Text),
            "json" => Some(LogFormat::Json),
            _ => None,
        })?;
        let level = lookup.parsed("LOG_LEVEL", "off, error, warn, info, debug or trace", |text| {
            LEVELS.contains(&text).then(|| text.to_owned())
        })?;
        let directives =
            lookup.parsed("RUST_LOG", "a log filter such as info or info,agentidp_server=debug", |text| {
                EnvFilter::builder().parse(text).ok().map(|_| text.to_owned())
            })?;
        // The finer one wins.
        let filter = directives.or(level).unwrap_or_else(|| "info".to_owned());
        Ok(Self { format: format.unwrap_or_default(), filter })
    }
}
