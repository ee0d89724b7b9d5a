//! Bodies of credential creation and rotation.

use serde_json::Value;
use utoipa::ToSchema;

use super::Problems;
use super::json::{Members, string};
use super::rules::future;
use crate::domain::Timestamp;

/// What a caller may say about a new secret.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct CredentialOptions {
    /// When the credential is to end by itself. None where it was left out or `null`, which mean the same: a client that
    /// writes out every member must not lengthen a credential's life by it.
    pub(crate) expires_at: Option<Timestamp>,
}

impl CredentialOptions {
    /// Reads the body, which may be empty.
    pub(crate) fn parse(body: &[u8], now: Timestamp) -> Result<Self, Problems> {
        if body.trim_ascii().is_empty() {
            return Ok(Self::default());
        }
        let mut members = Members::parse(body)?;
        let expires_at = members.optional("expiresAt", |value| match value {
            Value::Null => Ok(None),
            given => string(future(now))(given).map(Some),
        });
        members.finish(Some(Self { expires_at: expires_at.flatten() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        Timestamp::parse("2026-03-28T09:00:00Z").unwrap()
    }

    #[test]
    fn an_expiry_is_optional() {
        for without in ["", " \r\n", "{}", r#"{"expiresAt": null}"#, r#"{"other": 1}"#] {
            assert_eq!(CredentialOptions::parse(without.as_bytes(), now()), Ok(CredentialOptions::default()));
        }
        let given = CredentialOptions::parse(br#"{"expiresAt": "2027-01-01T00:00:00Z"}"#, now()).unwrap();
        assert_eq!(given.expires_at, Timestamp::parse("2027-01-01T00:00:00Z"));
    }

    #[test]
    fn what_is_no_expiry_is_named() {
        for wrong in ["1", "1900000000", "\"\"", "\"2026-03-28T09:00:00Z\"", "\"2027-01-01\"", "[]", "{}", "false"] {
            let body = format!("{{\"expiresAt\": {wrong}}}");
            assert_eq!(
                CredentialOptions::parse(body.as_bytes(), now()).unwrap_err().fields(),
                ["expiresAt"],
                "{wrong}"
            );
        }
        for name in ["expires_at", "expiresat", "ExpiresAt", "EXPIRES_AT", "_expires__at_"] {
            let body = format!("{{\"{name}\": \"2027-01-01T00:00:00Z\", \"expiresAt\": null, \"expires\": 1}}");
            let problems = CredentialOptions::parse(body.as_bytes(), now()).unwrap_err();
            assert_eq!(
                problems.0.into_iter().collect::<Vec<_>>(),
                [(name.into(), "is not known: write expiresAt".into())]
            );
        }
        for wrong in ["[]", "null", "{", "\0", "\u{feff}"] {
            assert_eq!(CredentialOptions::parse(wrong.as_bytes(), now()).unwrap_err().fields(), ["body"], "{wrong:?}");
        }
    }
}
