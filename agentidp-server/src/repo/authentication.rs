//! What authentication needs to know of a client, ready to be verified against.

use std::sync::Arc;

use agentidp_secrets::{ClientId, CredentialId, CredentialKey, CredentialSecrets, Error};
use uuid::Uuid;

use crate::domain::{AgentStatus, Credential, CredentialStatus, SecretColumns, Timestamp};

/// A client's status, and its active credentials as what the store verifies against. Made once from what was read, and
/// shared by all requests that find it in memory, where it may stay: so nothing is in it twice, and rows are put together
/// again when somebody needs them, about 300 bytes each less.
#[derive(Debug)]
#[non_exhaustive]
pub struct Authentication {
    /// Whether the agent may authenticate.
    pub agent_status: AgentStatus,
    /// The epoch that tokens issued now belong to. A suspension moves it on.
    pub token_epoch: i64,
    client_id: Uuid,
    /// The active, unexpired credentials that can be tried.
    candidates: Box<[(CredentialKey, CredentialSecrets)]>,
    /// What else their rows hold, at the same places.
    rests: Box<[Rest]>,
    /// What is wrong with those that cannot, and until when.
    corrupt: Box<[(Option<Timestamp>, Error)]>,
}

/// What a row holds beside its record.
#[derive(Clone, Debug)]
struct Rest {
    credential_id: Uuid,
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
    awaits_use: bool,
    revision: Option<Uuid>,
    /// The columns of a record, where they are not those that it would be written to, as with a digest left over from
    /// before a path. A write that compares them must find them as they are.
    unusual: Option<Box<SecretColumns>>,
}

impl Authentication {
    /// Reads the record of each of a client's rows.
    #[must_use]
    pub fn new(client_id: Uuid, agent_status: AgentStatus, token_epoch: i64, credentials: Vec<Credential>) -> Self {
        let (mut candidates, mut rests, mut corrupt) = (Vec::new(), Vec::new(), Vec::new());
        let client = ClientId::parse(&client_id.to_string());
        for Credential { credential_id, secret, created_at, expires_at, .. } in credentials {
            let parsed = client.clone().and_then(|client| {
                let key = CredentialKey::new(client, CredentialId::parse(&credential_id.to_string())?);
                Ok((key, secret.to_secrets()?))
            });
            match parsed {
                Ok((key, secrets)) => {
                    let (awaits_use, revision) = (secret.awaits_use, secret.revision);
                    let usual = columns(&secrets, awaits_use, revision).is_some_and(|usual| usual == secret);
                    let unusual = (!usual).then(|| Box::new(secret));
                    candidates.push((key, secrets));
                    rests.push(Rest { credential_id, created_at, expires_at, awaits_use, revision, unusual });
                }
                Err(error) => {
                    tracing::error!(%credential_id, %error, "a credential's row is corrupt");
                    corrupt.push((expires_at, error));
                }
            }
        }
        let (candidates, rests) = (candidates.into(), rests.into());
        Self { agent_status, token_epoch, client_id, candidates, rests, corrupt: corrupt.into() }
    }

    /// What to verify a secret against.
    #[must_use]
    pub fn candidates(&self) -> &[(CredentialKey, CredentialSecrets)] {
        &self.candidates
    }

    /// The id of one of the [`candidates`](Self::candidates), by its place among them.
    #[must_use]
    pub fn credential_id(&self, candidate: usize) -> Option<Uuid> {
        self.rests.get(candidate).map(|rest| rest.credential_id)
    }

    /// Whether the credential at this place among the candidates has the same record here as in
    /// `proved`: then a proof of its secret there is one here. A selector may have come since, and
    /// a first use may have been noted.
    #[must_use]
    pub fn vouches_for(&self, proved: &Self, candidate: usize) -> bool {
        let Some((key, secrets)) = proved.candidates.get(candidate) else { return false };
        let same = |(other, now): &(CredentialKey, CredentialSecrets)| {
            other == key && now.current == secrets.current && now.previous == secrets.previous
        };
        self.candidates.iter().any(same)
    }

    /// Whether the credential at this place among the candidates has not expired at `now`.
    #[must_use]
    pub fn is_unexpired(&self, candidate: usize, now: Timestamp) -> bool {
        self.rests.get(candidate).is_some_and(|rest| rest.expires_at.is_none_or(|end| end > now))
    }

    /// Whether nobody has used its secret yet, and a retried request may still replace it.
    #[must_use]
    pub fn awaits_use(&self, candidate: usize) -> bool {
        self.rests.get(candidate).is_some_and(|rest| rest.awaits_use)
    }

    /// Its whole row.
    #[must_use]
    pub fn credential(&self, candidate: usize) -> Option<Credential> {
        let (rest, (_, secrets)) = (self.rests.get(candidate)?, self.candidates.get(candidate)?);
        let unusual = rest.unusual.as_deref().cloned();
        Some(Credential {
            credential_id: rest.credential_id,
            client_id: self.client_id,
            status: CredentialStatus::Active,
            secret: unusual.or_else(|| columns(secrets, rest.awaits_use, rest.revision))?,
            created_at: rest.created_at,
            expires_at: rest.expires_at,
            revoked_at: None,
        })
    }

    /// How many active credentials the client has, with those that cannot be tried.
    #[must_use]
    pub fn credentials(&self) -> usize {
        self.candidates.len() + self.corrupt.len()
    }

    /// What is wrong with the first row that cannot be tried.
    #[must_use]
    pub fn corrupt(&self) -> Option<&Error> {
        self.corrupt.first().map(|(_, error)| error)
    }

    /// The same without what has expired by now.
    #[must_use]
    pub fn unexpired(self: Arc<Self>, now: Timestamp) -> Arc<Self> {
        let lives = |expires_at: Option<Timestamp>| expires_at.is_none_or(|end| end > now);
        let mut ends = self.rests.iter().map(|rest| rest.expires_at).chain(self.corrupt.iter().map(|(end, _)| *end));
        if ends.all(lives) {
            return self;
        }
        let kept = self.candidates.iter().zip(&self.rests).filter(|(_, rest)| lives(rest.expires_at));
        let (candidates, rests): (Vec<_>, Vec<_>) =
            kept.map(|(candidate, rest)| (candidate.clone(), rest.clone())).unzip();
        Arc::new(Self {
            agent_status: self.agent_status,
            token_epoch: self.token_epoch,
            client_id: self.client_id,
            candidates: candidates.into(),
            rests: rests.into(),
            corrupt: self.corrupt.iter().filter(|(end, _)| lives(*end)).cloned().collect(),
        })
    }
}

/// The columns that a record is written to.
fn columns(secrets: &CredentialSecrets, awaits_use: bool, revision: Option<Uuid>) -> Option<SecretColumns> {
    let columns = SecretColumns::new(&secrets.current, secrets.selector).ok()?;
    Some(SecretColumns { awaits_use, revision, ..columns })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn row(secret: SecretColumns, expires_at: Option<Timestamp>) -> Credential {
        Credential {
            credential_id: Uuid::new_v4(),
            client_id: Uuid::from_u128(7),
            status: CredentialStatus::Active,
            secret,
            created_at: Timestamp::parse("2026-03-28T09:00:00Z").unwrap(),
            expires_at,
            revoked_at: None,
        }
    }

    fn digest(selector: Option<&str>) -> SecretColumns {
        let (hash, selector) = (Some("$2b$10$canary".to_owned()), selector.map(str::to_owned));
        SecretColumns { secret_hash: hash, secret_selector: selector, ..SecretColumns::default() }
    }

    fn known(rows: &[Credential]) -> Arc<Authentication> {
        Arc::new(Authentication::new(Uuid::from_u128(7), AgentStatus::Active, 0, rows.to_vec()))
    }

    #[test]
    fn rows_are_put_together_as_they_were() {
        let path = SecretColumns { vault_path: Some("secret/data/a/b".to_owned()), ..SecretColumns::default() };
        let rows = [
            digest(None),
            digest(Some("k1:0123456789abcdef")),
            digest(Some("damaged")),
            SecretColumns { awaits_use: true, ..digest(None) },
            digest(None).written_by(Uuid::from_u128(9)),
            path.clone(),
            SecretColumns { vault_version: Some(3), ..path.clone() },
            SecretColumns { vault_path: path.vault_path, ..digest(None) },
        ];
        let rows = rows.map(|secret| row(secret, Timestamp::parse("2027-03-28T09:00:00Z")));
        let known = known(&rows);
        for (place, row) in rows.iter().enumerate() {
            assert_eq!(known.credential(place).as_ref(), Some(row));
            assert_eq!(known.credential_id(place), Some(row.credential_id));
            assert_eq!(known.awaits_use(place), row.secret.awaits_use);
        }
        assert_eq!((known.credential(rows.len()), known.credentials()), (None, rows.len()));
    }

    #[test]
    fn corrupt_rows_are_told_until_they_expire() {
        let soon = Timestamp::parse("2026-03-28T10:00:00Z").unwrap();
        let fine = row(digest(None), None);
        let known = known(&[row(SecretColumns::default(), Some(soon)), fine.clone()]);
        let before = Arc::clone(&known).unexpired(soon.minus(Duration::from_millis(1)));
        assert!(before.corrupt().is_some());
        assert_eq!((before.credentials(), before.credential(0)), (2, Some(fine.clone())));
        let after = known.unexpired(soon);
        assert!(after.corrupt().is_none());
        assert_eq!((after.credentials(), after.credential(0)), (1, Some(fine)));
    }

    #[test]
    fn debug_shows_no_record() {
        let path = SecretColumns { vault_path: Some("secret/data/canary".to_owned()), ..digest(None) };
        let known = known(&[row(digest(None), None), row(path, None)]);
        assert!(!format!("{known:?} {known:#?}").contains("canary"));
    }
}
