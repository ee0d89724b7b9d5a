//! What authentication needs to know of a client, ready to be verified against.

use std::sync::Arc;

use agentidp_secrets::{CredentialKey, CredentialSecrets, Error};

use crate::domain::{AgentStatus, Credential, Timestamp};

/// A client's status, and its active credentials as rows and as what the store verifies against. Made once from what was
/// read, and shared by all requests that find it in memory.
#[derive(Debug)]
#[non_exhaustive]
pub struct Authentication {
    /// Whether the agent may authenticate.
    pub agent_status: AgentStatus,
    /// Its active, unexpired credentials, as their rows have them.
    pub credentials: Vec<Credential>,
    /// Those that can be tried.
    candidates: Vec<(CredentialKey, CredentialSecrets)>,
    /// Whose record is at the same place in `candidates`: a place in `credentials`.
    rows: Vec<usize>,
    corrupt: Option<Error>,
}

impl Authentication {
    /// Reads the record of each row.
    #[must_use]
    pub fn new(agent_status: AgentStatus, credentials: Vec<Credential>) -> Self {
        let (mut candidates, mut rows, mut corrupt) = (Vec::new(), Vec::new(), None);
        for (row, Credential { client_id, credential_id, secret, .. }) in credentials.iter().enumerate() {
            let key = CredentialKey::parse(&client_id.to_string(), &credential_id.to_string());
            match key.and_then(|key| Ok((key, secret.to_secrets()?))) {
                Ok(candidate) => {
                    candidates.push(candidate);
                    rows.push(row);
                }
                Err(error) => {
                    tracing::error!(%credential_id, %error, "a credential's row is corrupt");
                    corrupt.get_or_insert(error);
                }
            }
        }
        Self { agent_status, credentials, candidates, rows, corrupt }
    }

    /// What to verify a secret against.
    #[must_use]
    pub fn candidates(&self) -> &[(CredentialKey, CredentialSecrets)] {
        &self.candidates
    }

    /// The row of one of the [`candidates`](Self::candidates), by its place among them.
    #[must_use]
    pub fn credential(&self, candidate: usize) -> Option<&Credential> {
        self.rows.get(candidate).and_then(|row| self.credentials.get(*row))
    }

    /// What is wrong with the first row that cannot be tried.
    #[must_use]
    pub fn corrupt(&self) -> Option<&Error> {
        self.corrupt.as_ref()
    }

    /// The same without what has expired by now.
    #[must_use]
    pub fn unexpired(self: Arc<Self>, now: Timestamp) -> Arc<Self> {
        let lives = |credential: &Credential| credential.expires_at.is_none_or(|end| end > now);
        if self.credentials.iter().all(lives) {
            return self;
        }
        let credentials = self.credentials.iter().filter(|credential| lives(credential)).cloned().collect();
        Arc::new(Self::new(self.agent_status, credentials))
    }
}
