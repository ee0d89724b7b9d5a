//! What a login proves is put into today's form.

use std::error::Error as _;
use std::sync::Arc;

use agentidp_secrets::{ClientSecret, Custody, Verified};
use tokio::sync::Semaphore;
use tracing::{Instrument, debug, info, warn};

use super::create::{INTENT_LIFE, schedule_intent};
use super::fail_point::fail_point;
use super::key;
use crate::app::App;
use crate::domain::{Credential, PurgeJob, SecretColumns};
use crate::error::ApiError;

/// Upgrades under way at a time. After a change of settings every login wants one; whoever finds no room has it at a later
/// login.
const MOST: usize = 16;

/// Puts proved secrets into today's form, in the background: a record of another backend or of weaker parameters is stored
/// anew, where that is switched on, and a record without its selector gets one. The client keeps its secret and notices
/// nothing; a failure is tried again at a later login.
#[derive(Debug)]
pub struct Upgrades {
    records: bool,
    room: Arc<Semaphore>,
}

impl Upgrades {
    /// With `records` set records are stored anew, not only selectors added.
    #[must_use]
    pub fn new(records: bool) -> Self {
        Self { records, room: Arc::new(Semaphore::new(MOST)) }
    }

    /// Whether there is anything to begin.
    pub(crate) fn wants(&self, proof: &Verified) -> bool {
        self.stores_anew(proof) || proof.selector.is_some()
    }

    /// Begins what `proof` of the secret in the row `before` asks for, and returns at once.
    pub(crate) fn begin(&self, app: &Arc<App>, before: Credential, proof: &Verified, proved: &ClientSecret) {
        let Ok(room) = Arc::clone(&self.room).try_acquire_owned() else { return };
        let (proof, proved, anew) = (proof.clone(), proved.clone(), self.stores_anew(proof));
        let upgrade = Upgrade { app: Arc::clone(app), before, proof, proved, anew };
        let run = async move {
            let _room = room;
            upgrade.run().await;
        };
        tokio::spawn(run.in_current_span());
    }

    fn stores_anew(&self, proof: &Verified) -> bool {
        self.records && proof.outdated && !proof.stale
    }
}

struct Upgrade {
    app: Arc<App>,
    before: Credential,
    proof: Verified,
    proved: ClientSecret,
    anew: bool,
}

impl Upgrade {
    async fn run(&self) {
        let credential_id = self.before.credential_id;
        let upgraded = match self.columns().await {
            Ok(Some(secret)) => self.commit(secret).await,
            Ok(None) => return,
            Err(error) => Err(error),
        };
        match upgraded {
            Ok(true) if self.anew => info!(%credential_id, "a credential's record was put into today's form"),
            Ok(true) => debug!(%credential_id, "a credential has got its selector"),
            Ok(false) => debug!(%credential_id, "a credential changed before its upgrade was committed"),
            Err(error) => {
                let cause = error.source().map(tracing::field::display);
                warn!(%credential_id, %error, cause, "a credential was not upgraded; a later login tries again");
            }
        }
    }

    /// What the row is to hold.
    async fn columns(&self) -> Result<Option<SecretColumns>, ApiError> {
        if !self.anew {
            let selector = self.proof.selector.map(|selector| selector.to_text());
            return Ok(selector.map(|text| SecretColumns { secret_selector: Some(text), ..self.before.secret.clone() }));
        }
        let Credential { client_id, credential_id, .. } = self.before;
        let (key, store) = (key(client_id, credential_id)?, &self.app.store);
        // As ahead of every first write to Vault: a crash before the commit leaves no orphan.
        if store.primary().custody == Custody::Backend {
            schedule_intent(&self.app, &key, client_id, credential_id).await?;
            fail_point("upgrade.intended");
        }
        let record = self.before.secret.to_record().map_err(ApiError::internal)?;
        match store.upgrade(&key, &record, &self.proof, &self.proved).await {
            Ok(None) => Ok(None),
            Ok(Some(new)) => {
                fail_point("upgrade.written");
                SecretColumns::new(&new.stored, new.selector).map(Some).map_err(ApiError::internal)
            }
            Err(error) => Err(ApiError::vault(error)),
        }
    }

    /// When the row has changed meanwhile, what was written counts for nothing and is cleared away: unless the other
    /// change has moved the credential to the same place, which drops the job in its time.
    async fn commit(&self, secret: SecretColumns) -> Result<bool, ApiError> {
        let after = Credential { secret, ..self.before.clone() };
        if self.app.repos.credentials.upgrade(&self.before, &after).await? {
            fail_point("upgrade.committed");
            return Ok(true);
        }
        if let (true, Some(vault_path)) = (self.anew, after.secret.vault_path) {
            // The intent may be gone, when we were slower than that waits.
            let Credential { client_id, credential_id, .. } = self.before;
            let due_at = self.app.now().plus(INTENT_LIFE);
            let job = PurgeJob { credential_id, client_id, vault_path, due_at, attempts: 0 };
            self.app.repos.purges.schedule(&job).await?;
        }
        Ok(false)
    }
}
