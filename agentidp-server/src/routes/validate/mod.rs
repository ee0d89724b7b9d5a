//! What comes in, checked: bodies and query strings become typed inputs, or a list of every failing field at once.
//!
//! Unknown members and parameters are ignored, as documented. A reason never repeats what was sent: it may have been a
//! secret in the wrong place.

mod agent;
mod credential;
mod json;
mod query;
mod rules;

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::error::ApiError;

pub(crate) use agent::{AgentPatch, NewAgent};
pub(crate) use credential::CredentialOptions;
pub(crate) use query::{agent_list, audit_list, credential_list};

/// Why one field failed.
type Reason = Cow<'static, str>;

/// The failing fields of one request, each with a short reason; the `details` of a `VALIDATION_ERROR`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Problems(BTreeMap<&'static str, Reason>);

impl Problems {
    /// The body as a whole failed.
    fn body(reason: &'static str) -> Self {
        Self(BTreeMap::from([("body", reason.into())]))
    }

    /// Notes a failing field; the first reason of a field stays.
    fn note(&mut self, field: &'static str, reason: impl Into<Reason>) {
        self.0.entry(field).or_insert_with(|| reason.into());
    }

    /// What `rule` made of the field, or nothing and a note.
    fn keep<T>(&mut self, field: &'static str, checked: Result<T, Reason>) -> Option<T> {
        checked.map_err(|reason| self.note(field, reason)).ok()
    }

    /// The input, if nothing failed.
    fn finish<T>(self, input: Option<T>) -> Result<T, Self> {
        match input {
            Some(input) if self.0.is_empty() => Ok(input),
            _ => Err(self),
        }
    }
}

impl From<Problems> for ApiError {
    fn from(problems: Problems) -> Self {
        Self::Validation(problems.0.into_iter().map(|(field, reason)| (field.into(), reason)).collect())
    }
}

#[cfg(test)]
impl Problems {
    /// The names of the failing fields.
    fn fields(&self) -> Vec<&'static str> {
        self.0.keys().copied().collect()
    }
}
