//! The life of the Vault token: looked after, told in the log and in the metrics, long before it ends.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use agentidp_secrets::vault::VaultKv2;
use agentidp_secrets::vault::auth::{AuthKind, RenewalOutcome, TokenLife, TokenStatus};
use tracing::{error, info, warn};

use crate::metrics::Metrics;
use crate::renewal::Renewal;

/// The token that the server knows Vault by.
#[derive(Debug)]
pub struct VaultToken {
    vault: VaultKv2,
    told_of_danger: AtomicBool,
}

impl VaultToken {
    /// The token of this client, or of one that shares it.
    #[must_use]
    pub fn new(vault: VaultKv2) -> Self {
        Self { vault, told_of_danger: AtomicBool::new(false) }
    }

    /// The client whose token it is.
    #[must_use]
    pub fn client(&self) -> &VaultKv2 {
        &self.vault
    }

    /// Whether less than a third of its life is left, although it should have been renewed or replaced by then.
    #[must_use]
    pub fn is_in_danger(&self) -> bool {
        self.life().is_some_and(|life| life.is_in_danger())
    }

    /// How long it lives; none where that is not known, or where it never ends.
    #[must_use]
    pub fn life(&self) -> Option<TokenLife> {
        self.vault.token_life()
    }

    /// Does what is due, and tells when to come again.
    pub async fn tend(&self, metrics: &Metrics) -> Duration {
        let care = self.vault.tend_token().await;
        let ttl = self.life().map(|life| life.left.as_secs());
        match &care.outcome {
            Ok(RenewalOutcome::Renewed) => {
                metrics.vault_token(Renewal::Renewed);
                info!(ttl, "renewed the Vault token");
            }
            Ok(RenewalOutcome::Replaced) => {
                metrics.vault_token(Renewal::Replaced);
                info!(ttl, kind = %self.vault.auth_kind(), "took another Vault token into use");
            }
            Ok(RenewalOutcome::Inspected) => self.tell(ttl).await,
            Ok(_) => {}
            Err(error) => {
                metrics.vault_token(Renewal::Failed);
                if error.is_retryable() {
                    warn!(ttl, %error, "the Vault token could not be renewed: trying again");
                } else {
                    error!(ttl, %error, "the Vault token cannot be renewed unless somebody acts");
                }
            }
        }
        self.tell_of_danger(ttl);
        metrics.vault_token_life(self.life());
        care.next
    }

    async fn tell(&self, ttl: Option<u64>) {
        let is_token = self.vault.auth_kind() == AuthKind::Token;
        match self.life() {
            Some(TokenLife { renewable: false, .. }) if is_token => warn!(
                ttl,
                "the Vault token cannot be renewed, and ends: make one with `bao token create -orphan -period=768h`, or \
                 let the server log in (VAULT_AUTH)"
            ),
            Some(_) if is_token => match self.vault.token_status().await {
                Ok(TokenStatus { longest: Some(longest), .. }) => warn!(
                    ttl,
                    "the Vault token ends {} s after it was made, renewed or not (explicit_max_ttl); make one without it: `bao \
                     token create -orphan -period=768h`",
                    longest.as_secs()
                ),
                // Vault keeps its longest life to itself.
                Ok(TokenStatus { period: None, .. }) => warn!(
                    ttl,
                    "the Vault token has no period: it can be renewed only up to its longest life, and ends; make one with \
                     `bao token create -orphan -period=768h`"
                ),
                _ => info!(ttl, "the Vault token lives, and will be renewed"),
            },
            Some(_) => info!(ttl, "the Vault token lives, and will be renewed"),
            None => info!("the Vault token never ends"),
        }
    }

    /// Once, and again after it was out of danger.
    fn tell_of_danger(&self, ttl: Option<u64>) {
        let danger = self.is_in_danger();
        if danger && !self.told_of_danger.load(Ordering::Relaxed) {
            error!(
                ttl,
                "less than a third of the Vault token's life is left: when it ends, Vault-backed credentials stop working; \
                 `agentidp-server check` says more"
            );
        }
        self.told_of_danger.store(danger, Ordering::Relaxed);
    }
}
