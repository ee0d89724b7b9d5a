//! Reads Vault's answers about entries: versions, what they hold, and what was written.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::{KvEntry, KvValue};
use crate::secret::ClientSecret;
use crate::vault::failure::Failure;
use crate::vault::path::Written;
use crate::vault::rights::Right;
use crate::vault::wire::answer::{Envelope, data, failure, parse};

/// The members of a version, as they stand in the answer: none is copied or changed.
pub(crate) type Members<'a> = BTreeMap<String, &'a RawValue>;

/// The entry in an answer to a read of `version`, or of the latest.
pub(crate) fn entry(status: u16, body: &[u8], version: Option<u64>, member: &str) -> Result<KvEntry, Failure> {
    let entry = match status {
        200 => live_entry(body, member)?,
        404 => deleted_entry(body).ok_or_else(|| failure(status, body, Right::Read))?,
        _ => return Err(failure(status, body, Right::Read)),
    };
    match version {
        Some(version) if version != entry.written.version => Err(Failure::OtherVersion),
        _ => Ok(entry),
    }
}

/// Whether an answer to a read is of a version that deletes itself: its deletion time is set while it is readable.
pub(crate) fn deletes_by_itself(status: u16, body: &[u8]) -> Result<bool, Failure> {
    let version: Version<IgnoredAny> = data(status, body)?;
    Ok(version.metadata.is_some_and(|metadata| !metadata.deletion_time.is_empty()))
}

/// The new version in an answer to a write.
pub(crate) fn written(status: u16, body: &[u8], right: Right) -> Result<Written, Failure> {
    match status {
        200 => match parse::<Envelope<Metadata>>(body).and_then(|envelope| envelope.data) {
            Some(metadata) if metadata.version > 0 => Ok(metadata.written()),
            _ => Err(Failure::Foreign(status)),
        },
        // Version 1 of the engine takes the request, keeps it unversioned, and says nothing.
        204 => Err(Failure::NotVersioned),
        _ => Err(failure(status, body, right)),
    }
}

/// Whether an answer to a delete says that it was done.
pub(crate) fn deleted(status: u16, body: &[u8], right: Right) -> Result<(), Failure> {
    match status {
        200 | 204 => Ok(()),
        _ => Err(failure(status, body, right)),
    }
}

/// What the latest version holds, if that is `version`, without one of the members. Of a version that was deleted there is
/// nothing left to keep.
pub(crate) fn others<'a>(status: u16, body: &'a [u8], version: u64, member: &str) -> Result<Members<'a>, Failure> {
    match entry(status, body, Some(version), member) {
        Ok(KvEntry { value: KvValue::Deleted | KvValue::Destroyed, .. }) => Ok(Members::new()),
        Ok(_) => {
            let version = parse::<Envelope<Version<Members<'a>>>>(body).and_then(|envelope| envelope.data);
            let mut members = version.and_then(|version| version.data).unwrap_or_default();
            members.remove(member);
            Ok(members)
        }
        Err(Failure::OtherVersion | Failure::Missing) => Err(Failure::Conflict),
        Err(failure) => Err(failure),
    }
}

fn live_entry(body: &[u8], member: &str) -> Result<KvEntry, Failure> {
    // Two readings, because "our shape with another value in it" is damage and "another shape" is not Vault.
    match parse::<Envelope<Version<Members<'_>>>>(body) {
        Some(Envelope { data: Some(Version { data, metadata }) }) => {
            let written = metadata.ok_or(Failure::NotVersioned)?.written();
            let text = data.and_then(|members| serde_json::from_str::<String>(members.get(member)?.get()).ok());
            let secret = text.filter(|text| !text.is_empty());
            let value = secret.map_or(KvValue::Unreadable, |text| KvValue::Secret(ClientSecret::from(text)));
            Ok(KvEntry { written, value })
        }
        Some(Envelope { data: None }) => Err(Failure::Foreign(200)),
        None => match parse::<Envelope<Version<IgnoredAny>>>(body) {
            Some(Envelope { data: Some(Version { metadata: Some(metadata), .. }) }) => {
                Ok(KvEntry { written: metadata.written(), value: KvValue::Unreadable })
            }
            _ => Err(Failure::Foreign(200)),
        },
    }
}

fn deleted_entry(body: &[u8]) -> Option<KvEntry> {
    let metadata = parse::<Envelope<Version<IgnoredAny>>>(body)?.data?.metadata?;
    let value = if metadata.destroyed { KvValue::Destroyed } else { KvValue::Deleted };
    Some(KvEntry { written: metadata.written(), value })
}

#[derive(Deserialize)]
struct Version<T> {
    data: Option<T>,
    metadata: Option<Metadata>,
}

#[derive(Deserialize)]
struct Metadata {
    version: u64,
    #[serde(default)]
    created_time: String,
    #[serde(default)]
    destroyed: bool,
    #[serde(default)]
    deletion_time: String,
}

impl Metadata {
    fn written(&self) -> Written {
        Written::new(self.version, &self.created_time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(data: &str) -> String {
        format!(
            r#"{{"request_id":"r","data":{{"data":{data},"metadata":{{"version":3,"created_time":"2026-03-28T09:00:00.5Z","deletion_time":""}}}}}}"#
        )
    }

    fn refusal(status: u16, body: &str) -> Failure {
        entry(status, body.as_bytes(), None, "clientSecret").unwrap_err()
    }

    #[test]
    fn a_live_version_gives_its_secret() {
        let body = live(r#"{"clientSecret":"a\u003cb","note":"by hand"}"#);
        let KvEntry { written, value: KvValue::Secret(secret) } =
            entry(200, body.as_bytes(), Some(3), "clientSecret").unwrap()
        else {
            panic!("no secret");
        };
        assert_eq!(written, Written::new(3, "2026-03-28T09:00:00.5Z"));
        assert_eq!(secret.expose_secret(), "a<b");
        assert_eq!(entry(200, body.as_bytes(), Some(2), "clientSecret").unwrap_err(), Failure::OtherVersion);
    }

    #[test]
    fn a_version_with_something_else_in_it_is_unreadable() {
        for data in ["null", "{}", r#"{"clientSecret":""}"#, r#"{"clientSecret":7}"#, r#"{"clientSecret":{"a":1}}"#] {
            let found = entry(200, live(data).as_bytes(), None, "clientSecret").unwrap();
            assert!(found.written.version == 3 && matches!(found.value, KvValue::Unreadable), "{data}");
        }
    }

    #[test]
    fn other_members_are_kept_as_they_stand() {
        let body =
            live(r#"{"number":12345678901234567890.10,"list":[1,  {"a":null}],"secret":"s","clientSecret":"t"}"#);
        let kept = others(200, body.as_bytes(), 3, "secret").unwrap();
        let kept: Vec<_> = kept.iter().map(|(name, value)| (name.as_str(), value.get())).collect();
        assert_eq!(
            kept,
            [("clientSecret", "\"t\""), ("list", "[1,  {\"a\":null}]"), ("number", "12345678901234567890.10")]
        );
        assert_eq!(others(200, body.as_bytes(), 4, "secret").unwrap_err(), Failure::Conflict, "another version");
        let other = entry(200, body.as_bytes(), None, "secret").unwrap();
        assert!(matches!(other.value, KvValue::Secret(secret) if secret.expose_secret() == "s"));
        assert!(others(200, live("null").as_bytes(), 3, "secret").unwrap().is_empty());
        assert_eq!(others(404, br#"{"errors":[]}"#, 3, "secret").unwrap_err(), Failure::Conflict);
    }

    #[test]
    fn both_forms_of_404_are_told_apart() {
        let gone = |destroyed: bool| {
            let body = r#"{"data":{"data":null,"metadata":{"version":2,"deletion_time":"t","destroyed":IS}}}"#;
            entry(404, body.replace("IS", &destroyed.to_string()).as_bytes(), None, "clientSecret")
        };
        assert!(matches!(gone(false), Ok(KvEntry { written: Written { version: 2, .. }, value: KvValue::Deleted })));
        assert!(matches!(gone(true), Ok(KvEntry { written: Written { version: 2, .. }, value: KvValue::Destroyed })));
        assert_eq!(refusal(404, r#"{"errors":[]}"#), Failure::Missing);
    }

    #[test]
    fn a_success_that_is_not_vaults_is_no_answer() {
        for body in ["", "<html>", "{", "[]", "{}", r#"{"data":null}"#, r#"{"data":"x"}"#, r#"{"data":[]}"#] {
            assert_eq!(refusal(200, body), Failure::Foreign(200), "{body}");
            assert_eq!(written(200, body.as_bytes(), Right::Create), Err(Failure::Foreign(200)), "{body}");
        }
        assert_eq!(refusal(200, r#"{"data":{"clientSecret":"v1"}}"#), Failure::NotVersioned);
        assert_eq!(written(204, b"", Right::Create), Err(Failure::NotVersioned));
        assert_eq!(written(200, br#"{"data":{"version":0}}"#, Right::Create), Err(Failure::Foreign(200)));
        assert_eq!(written(200, br#"{"data":{"version":4}}"#, Right::Update), Ok(4.into()));
    }

    #[test]
    fn a_refusal_names_the_right_that_the_request_needed() {
        let policy = br#"{"errors":["1 error occurred:\n\t* permission denied\n\n"]}"#;
        assert_eq!(written(403, policy, Right::Update), Err(Failure::Denied(Right::Update)));
        assert_eq!(deleted(403, policy, Right::Purge), Err(Failure::Denied(Right::Purge)));
        assert_eq!(deleted(204, b"", Right::Purge), Ok(()));
    }
}
