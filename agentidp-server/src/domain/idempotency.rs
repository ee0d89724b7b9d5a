//! Requests that may come again: what is kept of an `Idempotency-Key`.

use std::time::Duration;

use agentidp_secrets::StoredSecret;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::Timestamp;

/// A request that carried an `Idempotency-Key`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "data; built by routes and by tests")]
pub struct KeyedRequest {
    /// Who asks: another caller's key is another key.
    pub caller: String,
    /// The key, without quotes.
    pub key: String,
    /// What is asked, as [`fingerprint`] says.
    pub fingerprint: String,
}

/// The right to carry out a [`KeyedRequest`], which one holder has at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a row; repositories read it")]
pub struct Claim {
    /// What is asked.
    pub request: KeyedRequest,
    /// Whose it is.
    pub id: Uuid,
    /// Until when nobody else may take it.
    pub until: Timestamp,
    /// When the key is free for another request.
    pub expires_at: Timestamp,
}

/// A request that has been carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a row; repositories build it")]
pub struct Carried {
    /// The agent whose credential it was about.
    pub client_id: Uuid,
    /// The credential that it made or rotated.
    pub credential_id: Uuid,
    /// The record that the credential had then, as [`record_sha256`] says.
    pub record_sha256: String,
}

impl Claim {
    /// How long a claim counts. Twice the longest that a request takes by default; who holds on to it for longer loses it,
    /// and then commits nothing. It is also how long a retry is told to wait after a crash.
    pub const LIFE: Duration = Duration::from_secs(60);

    /// How long an answer is kept. A day is what large APIs keep theirs for.
    pub const RETENTION: Duration = Duration::from_secs(24 * 3600);

    /// How far ahead the end of a key can be. What lies further ahead was set by a wrong clock. The minute is for servers whose
    /// clocks differ a little.
    pub const FURTHEST: Duration = Duration::from_secs(Self::RETENTION.as_secs() + 60);

    /// A claim that begins at `now`.
    #[must_use]
    pub fn new(request: KeyedRequest, now: Timestamp) -> Self {
        Self { request, id: Uuid::new_v4(), until: now.plus(Self::LIFE), expires_at: now.plus(Self::RETENTION) }
    }
}

/// What tells one request from another, in 64 hexadecimal digits: its method, its path, and its body as it was sent.
#[must_use]
pub fn fingerprint(method: &str, path: &str, body: &[u8]) -> String {
    // Neither a method nor a path has a line break, so no two requests are written alike.
    let head = format!("{method}\n{path}\n");
    hex::encode(Sha256::new().chain_update(head).chain_update(body).finalize())
}

/// What tells whether a row still has a record, and nothing of it.
#[must_use]
pub fn record_sha256(record: &StoredSecret) -> String {
    hex::encode(Sha256::digest(record.to_text()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn method_path_and_body_count_each() {
        let all = [
            fingerprint("POST", "/a", b""),
            fingerprint("PUT", "/a", b""),
            fingerprint("POST", "/ab", b""),
            fingerprint("POST", "/a", b"b"),
            fingerprint("POST", "/a", b"b "),
        ];
        for (n, one) in all.iter().enumerate() {
            assert_eq!(one.len(), 64);
            assert!(!all[..n].contains(one), "{n}");
        }
        assert_eq!(all[0], fingerprint("POST", "/a", b""));
    }

    #[test]
    fn a_record_is_recognised_and_not_shown() {
        let record = |text: &str| StoredSecret::parse(text).unwrap();
        let (one, other) = (record("$2b$10$canary"), record("$2b$10$other"));
        assert_eq!(record_sha256(&one), record_sha256(&one));
        assert_ne!(record_sha256(&one), record_sha256(&other));
        assert!(!record_sha256(&one).contains("canary"));
    }
}
