//! Reads Vault's answers: which body means what.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::vault::failure::Failure;
use crate::vault::rights::Right;

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

/// What an answer that is no success means. `right` is the one that the request needed.
///
/// Vault tells most cases apart by text only. The texts are the same in OpenBao 2.7 and HashiCorp Vault unless said.
pub(crate) fn failure(status: u16, body: &[u8], right: Right) -> Failure {
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

/// Whether one of the errors in an answer has this text in it.
pub(crate) fn says(body: &[u8], text: &str) -> bool {
    let errors = parse::<Errors>(body).and_then(|body| body.errors);
    errors.iter().flatten().any(|error| error.contains(text))
}

/// The error of a body that does not parse is dropped: it could quote the body.
pub(crate) fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Option<T> {
    serde_json::from_slice(body).ok()
}

#[derive(Deserialize)]
struct Errors {
    errors: Option<Vec<String>>,
}

#[derive(Deserialize)]
pub(crate) struct Envelope<T> {
    pub(crate) data: Option<T>,
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert_eq!(failure(status, body.as_bytes(), Right::Read), expected, "{status} {body}");
        }
    }
}
