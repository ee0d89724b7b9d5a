//! What comes in, checked: bodies and query strings become typed inputs, or a list of every failing field at once.
//!
//! Unknown members and parameters are ignored, as documented, unless they look like known ones. A reason never repeats what was sent: it may have been a
//! secret in the wrong place.

mod agent;
mod credential;
mod json;
mod query;
mod rules;
mod texts;

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::error::ApiError;

pub(crate) use agent::{AgentPatch, NewAgent};
pub(crate) use credential::{NewCredential, RotationOptions};
pub(crate) use query::{agent_list, audit_list, credential_list, end_of_previous, not_too_deep};
pub(crate) use texts::{Capabilities, Capability, Email, Name, SemanticVersion};

/// Why one field failed.
type Reason = Cow<'static, str>;

/// The failing fields of one request, each with a short reason; the `details` of a `VALIDATION_ERROR`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Problems(BTreeMap<Cow<'static, str>, Reason>);

impl Problems {
    /// The body as a whole failed.
    fn body(reason: &'static str) -> Self {
        Self(BTreeMap::from([("body".into(), reason.into())]))
    }

    /// Notes a failing field; the first reason of a field stays.
    fn note(&mut self, field: &'static str, reason: impl Into<Reason>) {
        self.0.entry(field.into()).or_insert_with(|| reason.into());
    }

    /// What `rule` made of the field, or nothing and a note.
    fn keep<T>(&mut self, field: &'static str, checked: Result<T, Reason>) -> Option<T> {
        checked.map_err(|reason| self.note(field, reason)).ok()
    }

    /// Notes each of the `given` names that differs from one of the `known` by case or underscores only. It would be ignored as
    /// unknown, and its sender means the known one: an expiry that is left out by a slip makes a secret that never ends.
    fn note_lookalikes<'g>(&mut self, given: impl Iterator<Item = &'g str>, known: &[&'static str]) {
        for name in given.filter(|name| !known.contains(name)) {
            if let Some(meant) = known.iter().find(|known| is_lookalike(known, name)) {
                self.0.insert(name.to_owned().into(), format!("is not known: write {meant}").into());
            }
        }
    }

    /// The input, if nothing failed.
    fn finish<T>(self, input: Option<T>) -> Result<T, Self> {
        match input {
            Some(input) if self.0.is_empty() => Ok(input),
            _ => Err(self),
        }
    }
}

/// Whether two names are the same but for case and underscores.
fn is_lookalike(one: &str, other: &str) -> bool {
    letters(one).eq(letters(other))
}

fn letters(name: &str) -> impl Iterator<Item = u8> {
    name.bytes().filter(|byte| *byte != b'_').map(|byte| byte.to_ascii_lowercase())
}

impl From<Problems> for ApiError {
    fn from(problems: Problems) -> Self {
        Self::Validation(problems.0)
    }
}

#[cfg(test)]
impl Problems {
    /// The names of the failing fields.
    fn fields(&self) -> Vec<&str> {
        self.0.keys().map(AsRef::as_ref).collect()
    }
}
