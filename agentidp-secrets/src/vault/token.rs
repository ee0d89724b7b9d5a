//! The token in use, as a caller sees it: what Vault says about it, its renewal, and another one in its place.

use super::auth::{AuthKind, TokenCare, TokenLife, TokenStatus, VaultToken};
use super::failure::Failure;
use super::kv2::VaultKv2;
use super::transit::VaultTransit;
use crate::error::Result;

/// The same for each backend: it has a `session()`, and a `probe_error` for the failure of a question.
macro_rules! cares_for_its_token {
    ($backend:ty) => {
        impl $backend {
            /// Asks Vault about the token in use.
            ///
            /// # Errors
            /// `Denied` when the token is dead, or may not look itself up because it was made without the default policy (then
            /// nobody can renew it either); `Unavailable` when Vault cannot be asked.
            pub async fn token_status(&self) -> Result<TokenStatus> {
                let token = self.session().inspected().await.map_err(|failure| match failure {
                    Failure::Denied(_) => self.probe_error(Failure::MayNotRenew),
                    failure => self.probe_error(failure),
                })?;
                Ok(TokenStatus::from(token))
            }

            /// Looks after the token: asks how long it lives, renews it shortly before two thirds of its life, logs in again where it
            /// cannot be renewed any more, and takes up a token file that has changed. Does only what is due, and says when to
            /// look again: nothing happens by itself, so call it again and again from a task of yours.
            ///
            /// Between two looks no token is missed: a request that meets a dead one gets another by itself, where there is a
            /// login or a file to get it from.
            pub async fn tend_token(&self) -> TokenCare {
                let (outcome, next) = self.session().tend().await;
                TokenCare { outcome: outcome.map_err(|failure| self.probe_error(failure)), next }
            }

            /// How long the token in use lives, by what [`tend_token`](Self::tend_token) last heard. None while that is not
            /// known, and where it never ends.
            #[must_use]
            pub fn token_life(&self) -> Option<TokenLife> {
                self.session().life()
            }

            /// How the token is come by.
            #[must_use]
            pub fn auth_kind(&self) -> AuthKind {
                self.session().auth().kind()
            }

            /// Uses another token from the next request on, in every clone of this backend, until it is dead. Where tokens come
            /// from a file, [`tend_token`](Self::tend_token) goes back to the one in it.
            ///
            /// # Errors
            /// `InvalidConfig` when the text cannot be a token; the old one stays in use.
            pub fn replace_token(&self, token: impl Into<VaultToken>) -> Result<()> {
                self.session().replace_token(&token.into())
            }
        }
    };
}

cares_for_its_token!(VaultKv2);
cares_for_its_token!(VaultTransit);
