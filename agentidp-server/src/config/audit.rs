//! `AUDIT_MODE`: whether an answer waits for its audit event.

use super::ConfigError;
use super::lookup::Lookup;
use crate::repo::AuditMode;

/// When audit events are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Audit {
    /// Before the answer, unless it was asked for otherwise.
    pub mode: AuditMode,
}

impl Audit {
    pub(super) fn read(lookup: &Lookup<'_>) -> Result<Self, ConfigError> {
        let mode = lookup.parsed("AUDIT_MODE", "sync or async", |text| match text {
            "sync" => Some(AuditMode::Sync),
            "async" => Some(AuditMode::Async),
            _ => None,
        })?;
        Ok(Self { mode: mode.unwrap_or_default() })
    }
}
