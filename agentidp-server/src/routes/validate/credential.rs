//! Bodies of credential creation and rotation.

use std::time::Duration;

use serde_json::Value;
use utoipa::ToSchema;

use super::Problems;
use super::json::{Members, string};
use super::rules::time;
use crate::domain::Timestamp;

/// What a caller may say about a new credential.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct NewCredential {
    /// When the credential is to end by itself. None where it was left out or `null`, which mean the same: a client that
    /// writes out every member must not lengthen a credential's life by it.
    pub(crate) expires_at: Option<Timestamp>,
}

impl NewCredential {
    /// Reads the body, which may be empty. Whether the time lies ahead is not asked here: a request that comes again under its key
    /// was judged by the clock of its first time.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Problems> {
        if body.trim_ascii().is_empty() {
            return Ok(Self::default());
        }
        let mut members = Members::parse(body)?;
        let expires_at = members.optional("expiresAt", |value| match value {
            Value::Null => Ok(None),
            given => string(time)(given).map(Some),
        });
        members.finish(Some(Self { expires_at: expires_at.flatten() }))
    }
}

/// What a caller may say about a rotation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct RotationOptions {
    /// When the credential is to end by itself.
    pub(crate) expires_at: Option<Timestamp>,
    /// How long the secret before is to work beside the new one.
    #[schema(rename = "overlapSeconds", value_type = u64, required = false, default = 0)]
    pub(crate) overlap: Duration,
}

impl RotationOptions {
    /// Reads the body, which may be empty. The overlap is `longest` at most.
    pub(crate) fn parse(body: &[u8], longest: Duration) -> Result<Self, Problems> {
        let as_new = NewCredential::parse(body);
        if body.trim_ascii().is_empty() {
            return as_new.map(|_| Self::default());
        }
        let mut members = Members::parse(body)?;
        let overlap = members.optional("overlapSeconds", |value| {
            let seconds = value.as_u64().map(Duration::from_secs).filter(|overlap| *overlap <= longest);
            seconds.ok_or_else(|| format!("must be an integer from 0 to {}", longest.as_secs()).into())
        });
        match (as_new, members.finish(Some(overlap.unwrap_or_default()))) {
            (Ok(NewCredential { expires_at }), Ok(overlap)) => Ok(Self { expires_at, overlap }),
            (Err(problems), _) | (_, Err(problems)) => Err(problems),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expiry_is_optional() {
        for without in ["", " \r\n", "{}", r#"{"expiresAt": null}"#, r#"{"other": 1}"#] {
            assert_eq!(NewCredential::parse(without.as_bytes()), Ok(NewCredential::default()));
        }
        let given = NewCredential::parse(br#"{"expiresAt": "2027-01-01T00:00:00Z"}"#).unwrap();
        assert_eq!(given.expires_at, Timestamp::parse("2027-01-01T00:00:00Z"));
    }

    #[test]
    fn an_overlap_is_whole_seconds_within_its_bound() {
        let week = Duration::from_secs(7 * 86_400);
        let read = |body: &str| RotationOptions::parse(body.as_bytes(), week);
        for (body, seconds) in
            [("", 0), ("{}", 0), (r#"{"overlapSeconds": 0}"#, 0), (r#"{"overlapSeconds": 604800}"#, 604_800)]
        {
            assert_eq!(read(body).unwrap().overlap, Duration::from_secs(seconds), "{body}");
        }
        let both = r#"{"overlapSeconds": 60, "expiresAt": "2026-03-28T09:01:00Z"}"#;
        let expires_at = Timestamp::parse("2026-03-28T09:01:00Z");
        assert_eq!(read(both), Ok(RotationOptions { expires_at, overlap: Duration::from_secs(60) }));
        for wrong in ["604801", "-1", "1.5", "\"60\"", "null", "true", "[]", "18446744073709551616"] {
            assert_eq!(
                read(&format!("{{\"overlapSeconds\": {wrong}}}")).unwrap_err().fields(),
                ["overlapSeconds"],
                "{wrong}"
            );
        }
        let created = NewCredential::parse(br#"{"overlapSeconds": -1}"#);
        assert_eq!(created, Ok(NewCredential::default()), "a new credential has no secret before");
    }

    #[test]
    fn what_is_no_expiry_is_named() {
        for wrong in ["1", "1900000000", "\"\"", "\"2027-01-01\"", "[]", "{}", "false"] {
            let body = format!("{{\"expiresAt\": {wrong}}}");
            assert_eq!(NewCredential::parse(body.as_bytes()).unwrap_err().fields(), ["expiresAt"], "{wrong}");
        }
        for name in ["expires_at", "expiresat", "ExpiresAt", "EXPIRES_AT", "_expires__at_"] {
            let body = format!("{{\"{name}\": \"2027-01-01T00:00:00Z\", \"expiresAt\": null, \"expires\": 1}}");
            let problems = NewCredential::parse(body.as_bytes()).unwrap_err();
            assert_eq!(
                problems.0.into_iter().collect::<Vec<_>>(),
                [(name.into(), "is not known: write expiresAt".into())]
            );
        }
        for wrong in ["[]", "null", "{", "\0", "\u{feff}"] {
            assert_eq!(NewCredential::parse(wrong.as_bytes()).unwrap_err().fields(), ["body"], "{wrong:?}");
        }
    }
}
