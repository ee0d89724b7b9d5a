//! Reads Vault's answers: which body means what.

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::auth::{AuthKind, Lease};
use super::failure::Failure;
use super::kv::{KvEntry, KvValue};
use super::rights::Right;
use crate::secret::ClientSecret;

/// The entry in an answer to a read of `version`, or of the latest.
pub(crate) fn entry(status: u16, body: &[u8], version: Option<u64>) -> Result<KvEntry, Failure> {
    let entry = match status {
        200 => live_entry(body)?,
        404 => deleted_entry(body).ok_or_else(|| failure(status, body, Right::Read))?,
        _ => return Err(failure(status, body, Right::Read)),
    };
    match version {
        Some(version) if version != entry.version => Err(Failure::OtherVersion),
        _ => Ok(entry),
    }
}

/// Whether an answer to a read is of a version that deletes itself: its deletion time is set while it is readable.
pub(crate) fn deletes_by_itself(status: u16, body: &[u8]) -> Result<bool, Failure> {
    let version: Version<IgnoredAny> = data(status, body)?;
    Ok(version.metadata.is_some_and(|metadata| !metadata.deletion_time.is_empty()))
}

/// The new version in an answer to a write.
pub(crate) fn written(status: u16, body: &[u8], right: Right) -> Result<u64, Failure> {
    match status {
        200 => match parse::<Envelope<Metadata>>(body).and_then(|envelope| envelope.data) {
            Some(Metadata { version, .. }) if version > 0 => Ok(version),
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

/// The `data` of an answer that is not about a secret.
pub(crate) fn data<T: DeserializeOwned>(status: u16, body: &[u8]) -> Result<T, Failure> {
    match status {
        200 => parse::<Envelope<T>>(body).and_then(|envelope| envelope.data).ok_or(Failure::Foreign(status)),
        _ => Err(failure(status, body, Right::Read)),
    }
}

/// The `data` of an answer to a listing.
pub(crate) fn listed<T: DeserializeOwned>(status: u16, body: &[u8]) -> Result<T, Failure> {
    match status {
        200 => data(status, body),
        _ => Err(failure(status, body, Right::List)),
    }
}

/// Whether an answer says that the token is dead. Only that: a refusal by policy is another one.
pub(crate) fn says_dead_token(status: u16, body: &[u8]) -> bool {
    status == 403 && failure(status, body, Right::Read) == Failure::TokenDead
}

/// Whether an answer says that another node of the cluster may do better, and why: this one is sealed, or a standby that
/// is behind or has no leader; then it has done nothing. One that fails ([`Failure::Failed`]) may have.
pub(crate) fn turned_away(status: u16, body: &[u8]) -> Option<Failure> {
    let failure = (status >= 300).then(|| failure(status, body, Right::Read))?;
    let elsewhere = matches!(
        failure,
        Failure::Failed(_)
            | Failure::Redirected
            | Failure::Sealed
            | Failure::StaleStandby
            | Failure::Standby
            | Failure::Upgrading
    );
    elsewhere.then_some(failure)
}

/// The token in an answer to a login, and its life.
pub(crate) fn login(status: u16, body: &[u8], kind: AuthKind) -> Result<(String, Lease), Failure> {
    match status {
        200 => {
            let auth = parse::<Authenticated>(body).and_then(|body| body.auth).ok_or(Failure::Foreign(status))?;
            let token = auth.client_token.filter(|token| !token.is_empty()).ok_or(Failure::Foreign(status))?;
            Ok((token, Lease { seconds: auth.lease_duration, renewable: auth.renewable }))
        }
        _ => Err(match failure(status, body, Right::Read) {
            Failure::Rejected(400) | Failure::TokenDead | Failure::Denied(_) | Failure::NoRoute | Failure::Missing => {
                Failure::LoginRefused(kind)
            }
            other => other,
        }),
    }
}

/// The life that a renewal grants.
pub(crate) fn lease(status: u16, body: &[u8]) -> Result<Lease, Failure> {
    match status {
        200 => {
            let auth = parse::<Authenticated>(body).and_then(|body| body.auth).ok_or(Failure::Foreign(status))?;
            Ok(Lease { seconds: auth.lease_duration, renewable: auth.renewable })
        }
        _ => Err(failure(status, body, Right::Read)),
    }
}

/// What an answer that is no success means. `right` is the one that the request needed.
///
/// Vault tells most cases apart by text only. The texts are the same in OpenBao 2.7 and HashiCorp Vault unless said.
fn failure(status: u16, body: &[u8], right: Right) -> Failure {
    let errors = parse::<Errors>(body).and_then(|body| body.errors);
    let says = |text: &str| errors.iter().flatten().any(|error| error.contains(text));
    let empty = errors.as_ref().is_some_and(Vec::is_empty);
    match status {
        300..=399 => Failure::Redirected,
        400 if says("check-and-set parameter did not match") => Failure::Conflict,
        400 if says("Upgrading from non-versioned") || says("Waiting for the primary") => Failure::Upgrading,
        400 if says("lease is not renewable") || says("tokens cannot be renewed") => Failure::NotRenewable,
        // HashiCorp Vault adds "invalid token"; a refusal by policy is wrapped in "1 error occurred".
        403 if says("invalid token") || errors.as_deref() == Some(&["permission denied".to_owned()]) => {
            Failure::TokenDead
        }
        403 if says("permission denied") => Failure::Denied(right),
        // Asked about a mount that is not there or out of reach.
        403 if says("preflight capability check") => Failure::NoRoute,
        404 if empty => Failure::Missing,
        404 if says("no handler for route") => Failure::NoRoute,
        404 if says("namespace not found") => Failure::NoNamespace,
        412 => Failure::StaleStandby,
        413 => Failure::TooLarge,
        429 if empty => Failure::StaleStandby,
        429 => Failure::Quota,
        472 | 473 => Failure::Standby,
        500 if says("local node not active") => Failure::Standby,
        // Final, although it is a 500.
        500 if says("past the max TTL") => Failure::PastLongestLife,
        500 if says("too large") => Failure::TooLarge,
        503 if says("sealed") => Failure::Sealed,
        500..=599 => Failure::Failed(status),
        400..=499 if errors.is_some() && !matches!(status, 403 | 404) => Failure::Rejected(status),
        _ => Failure::Foreign(status),
    }
}

fn live_entry(body: &[u8]) -> Result<KvEntry, Failure> {
    // Two readings, because "our shape with another value in it" is damage and "another shape" is not Vault.
    match parse::<Envelope<Version<Fields>>>(body) {
        Some(Envelope { data: Some(Version { data, metadata }) }) => {
            let Metadata { version, .. } = metadata.ok_or(Failure::NotVersioned)?;
            let secret = data.and_then(|fields| fields.client_secret).filter(|text| !text.is_empty());
            let value = secret.map_or(KvValue::Unreadable, |text| KvValue::Secret(ClientSecret::from(text)));
            Ok(KvEntry { version, value })
        }
        Some(Envelope { data: None }) => Err(Failure::Foreign(200)),
        None => match parse::<Envelope<Version<IgnoredAny>>>(body) {
            Some(Envelope { data: Some(Version { metadata: Some(Metadata { version, .. }), .. }) }) => {
                Ok(KvEntry { version, value: KvValue::Unreadable })
            }
            _ => Err(Failure::Foreign(200)),
        },
    }
}

fn deleted_entry(body: &[u8]) -> Option<KvEntry> {
    let metadata = parse::<Envelope<Version<IgnoredAny>>>(body)?.data?.metadata?;
    let value = if metadata.destroyed { KvValue::Destroyed } else { KvValue::Deleted };
    Some(KvEntry { version: metadata.version, value })
}

/// The error of a body that does not parse is dropped: it could quote the body.
fn parse<T: DeserializeOwned>(body: &[u8]) -> Option<T> {
    serde_json::from_slice(body).ok()
}

#[derive(Deserialize)]
struct Errors {
    errors: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Authenticated {
    auth: Option<Granted>,
}

#[derive(Deserialize)]
struct Granted {
    client_token: Option<String>,
    lease_duration: u64,
    renewable: bool,
}

/// What Vault says about a token. Everything else in the answer, the token itself too, is dropped unread.
#[derive(Deserialize)]
pub(crate) struct Inspected {
    pub(crate) ttl: u64,
    pub(crate) creation_ttl: Option<u64>,
    pub(crate) explicit_max_ttl: Option<u64>,
    pub(crate) period: Option<u64>,
    pub(crate) expire_time: Option<String>,
    pub(crate) renewable: Option<bool>,
    pub(crate) policies: Vec<String>,
}

#[derive(Deserialize)]
struct Envelope<T> {
    data: Option<T>,
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
    destroyed: bool,
    #[serde(default)]
    deletion_time: String,
}

#[derive(Deserialize)]
struct Fields {
    // Owned, because Vault escapes `<`, `>` and `&`.
    #[serde(rename = "clientSecret")]
    client_secret: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(data: &str) -> String {
        format!(r#"{{"request_id":"r","data":{{"data":{data},"metadata":{{"version":3,"deletion_time":""}}}}}}"#)
    }

    fn refusal(status: u16, body: &str) -> Failure {
        entry(status, body.as_bytes(), None).unwrap_err()
    }

    #[test]
    fn a_live_version_gives_its_secret() {
        let body = live(r#"{"clientSecret":"a\u003cb","note":"by hand"}"#);
        let KvEntry { version: 3, value: KvValue::Secret(secret) } = entry(200, body.as_bytes(), Some(3)).unwrap()
        else {
            panic!("no secret");
        };
        assert_eq!(secret.expose_secret(), "a<b");
        assert_eq!(entry(200, body.as_bytes(), Some(2)).unwrap_err(), Failure::OtherVersion);
    }

    #[test]
    fn a_version_with_something_else_in_it_is_unreadable() {
        for data in ["null", "{}", r#"{"clientSecret":""}"#, r#"{"clientSecret":7}"#, r#"{"clientSecret":{"a":1}}"#] {
            let found = entry(200, live(data).as_bytes(), None).unwrap();
            assert!(matches!(found, KvEntry { version: 3, value: KvValue::Unreadable }), "{data}");
        }
    }

    #[test]
    fn both_forms_of_404_are_told_apart() {
        let gone = |destroyed: bool| {
            let body = r#"{"data":{"data":null,"metadata":{"version":2,"deletion_time":"t","destroyed":IS}}}"#;
            entry(404, body.replace("IS", &destroyed.to_string()).as_bytes(), None)
        };
        assert!(matches!(gone(false), Ok(KvEntry { version: 2, value: KvValue::Deleted })));
        assert!(matches!(gone(true), Ok(KvEntry { version: 2, value: KvValue::Destroyed })));
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
        assert_eq!(written(200, br#"{"data":{"version":4}}"#, Right::Update), Ok(4));
    }

    #[test]
    fn refusals_are_told_apart() {
        let denied = Failure::Denied(Right::Read);
        let table = [
            (307, "", Failure::Redirected),
            (400, r#"{"errors":["check-and-set parameter did not match the current version"]}"#, Failure::Conflict),
            (400, r#"{"errors":["Upgrading from non-versioned to versioned data"]}"#, Failure::Upgrading),
            (400, r#"{"errors":["Waiting for the primary to upgrade from non-versioned"]}"#, Failure::Upgrading),
            (400, r#"{"errors":["something else"]}"#, Failure::Rejected(400)),
            (403, r#"{"errors":["permission denied"]}"#, Failure::TokenDead),
            (
                403,
                r#"{"errors":["2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n"]}"#,
                Failure::TokenDead,
            ),
            (403, r#"{"errors":["1 error occurred:\n\t* permission denied\n\n"]}"#, denied),
            (403, r#"{"errors":["preflight capability check returned 403, please"]}"#, Failure::NoRoute),
            (403, "<html>blocked</html>", Failure::Foreign(403)),
            (404, r#"{"errors":["no handler for route \"kv/data/x\". route entry not found."]}"#, Failure::NoRoute),
            (404, r#"{"errors":["namespace not found"]}"#, Failure::NoNamespace),
            (404, "default backend - 404", Failure::Foreign(404)),
            (404, "{}", Failure::Foreign(404)),
            (405, r#"{"errors":[]}"#, Failure::Rejected(405)),
            (412, r#"{"errors":["required index state not present"]}"#, Failure::StaleStandby),
            (413, "", Failure::TooLarge),
            (429, r#"{"errors":[]}"#, Failure::StaleStandby),
            (429, r#"{"errors":["request path \"x\": rate limit quota exceeded"]}"#, Failure::Quota),
            (429, "", Failure::Quota),
            (472, "{}", Failure::Standby),
            (473, "{}", Failure::Standby),
            (500, r#"{"errors":["local node not active but active cluster node not found"]}"#, Failure::Standby),
            (500, r#"{"errors":["put failed due to value being too large"]}"#, Failure::TooLarge),
            (500, r#"{"errors":["1 error occurred:\n\t* context deadline exceeded\n\n"]}"#, Failure::Failed(500)),
            (502, "<html>", Failure::Failed(502)),
            (503, r#"{"errors":["Vault is sealed"]}"#, Failure::Sealed),
            (503, "", Failure::Failed(503)),
            (504, "", Failure::Failed(504)),
        ];
        for (status, body, expected) in table {
            assert_eq!(refusal(status, body), expected, "{status} {body}");
        }
        let policy = br#"{"errors":["1 error occurred:\n\t* permission denied\n\n"]}"#;
        assert_eq!(written(403, policy, Right::Update), Err(Failure::Denied(Right::Update)));
        assert_eq!(deleted(403, policy, Right::Purge), Err(Failure::Denied(Right::Purge)));
        assert_eq!(deleted(204, b"", Right::Purge), Ok(()));
    }
}
