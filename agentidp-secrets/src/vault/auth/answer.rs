//! Reads Vault's answers about tokens: logins, renewals, look-ups.

use serde::{Deserialize, Deserializer};

use super::grant::Lease;
use crate::vault::auth_kind::AuthKind;
use crate::vault::failure::Failure;
use crate::vault::rights::Right;
use crate::vault::wire::answer::{failure, parse};

/// The token in an answer to a login, and its life.
pub(super) fn login(status: u16, body: &[u8], kind: AuthKind) -> Result<(String, Lease), Failure> {
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
pub(super) fn lease(status: u16, body: &[u8]) -> Result<Lease, Failure> {
    match status {
        200 => {
            let auth = parse::<Authenticated>(body).and_then(|body| body.auth).ok_or(Failure::Foreign(status))?;
            Ok(Lease { seconds: auth.lease_duration, renewable: auth.renewable })
        }
        _ => Err(failure(status, body, Right::Read)),
    }
}

/// A century: more does not fit into every clock.
const LONGEST: u64 = 100 * 365 * 24 * 3600;

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    u64::deserialize(deserializer).map(|seconds| seconds.min(LONGEST))
}

fn some_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let told: Option<u64> = Option::deserialize(deserializer)?;
    Ok(told.map(|seconds| seconds.min(LONGEST)))
}

#[derive(Deserialize)]
struct Authenticated {
    auth: Option<Granted>,
}

#[derive(Deserialize)]
struct Granted {
    client_token: Option<String>,
    #[serde(deserialize_with = "seconds")]
    lease_duration: u64,
    renewable: bool,
}

/// What Vault says about a token. Everything else in the answer, the token itself too, is dropped unread.
#[derive(Deserialize)]
pub(crate) struct Inspected {
    #[serde(deserialize_with = "seconds")]
    pub(crate) ttl: u64,
    #[serde(default, deserialize_with = "some_seconds")]
    pub(crate) creation_ttl: Option<u64>,
    #[serde(default, deserialize_with = "some_seconds")]
    pub(crate) explicit_max_ttl: Option<u64>,
    #[serde(default, deserialize_with = "some_seconds")]
    pub(crate) period: Option<u64>,
    pub(crate) expire_time: Option<String>,
    pub(crate) renewable: Option<bool>,
    pub(crate) policies: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_beyond_every_clock_is_a_century() {
        for (seconds, expected) in [(3600, 3600), (u64::MAX, 100 * 365 * 24 * 3600)] {
            let answer = format!(r#"{{"auth":{{"client_token":"t","lease_duration":{seconds},"renewable":true}}}}"#);
            let (_, lease) = login(200, answer.as_bytes(), AuthKind::AppRole).unwrap();
            assert_eq!(lease.seconds, expected);
            let told = format!(r#"{{"ttl":{seconds},"creation_ttl":{seconds},"period":null,"policies":[]}}"#);
            let told = serde_json::from_str::<Inspected>(&told).unwrap();
            assert_eq!((told.ttl, told.creation_ttl, told.period), (expected, Some(expected), None));
        }
    }
}
