//! A secret that was made elsewhere.

use super::SecretStore;
use super::lifecycle::Imported;
use crate::backend::Custody;
use crate::credential::CredentialKey;
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::format::LEAST_ENTROPY;
use crate::secret::ClientSecret;

/// A secret that its owner has already, and that the caller brings in clear.
///
/// `Debug` does not show it.
#[derive(Clone, Debug)]
pub struct ImportedSecret {
    secret: ClientSecret,
    /// As it was declared; none for one of a form of the store's.
    entropy: Option<usize>,
}

impl ImportedSecret {
    /// A secret of one of the store's [forms](SecretStore::formats).
    #[must_use]
    pub fn of_form(secret: ClientSecret) -> Self {
        Self { secret, entropy: None }
    }

    /// A secret of any other form, with so many random bits. A chosen one has few: count it as 0.
    #[must_use]
    pub fn foreign(secret: ClientSecret, entropy: usize) -> Self {
        Self { secret, entropy: Some(entropy) }
    }
}

impl SecretStore {
    /// Stores a secret that the caller brings, for a new credential, on the primary backend. Its owner has it: it is not shown
    /// again.
    ///
    /// Alone, this leaves a secret behind for each commit that is lost, as [`issue`](Self::issue) does.
    /// [`Lifecycle::import`](crate::lifecycle::Lifecycle::import) notes the attempt first.
    ///
    /// # Errors
    /// `InvalidSecret` when the secret has none of the store's forms and was not declared as foreign, when the store would refuse
    /// it as a candidate, or when it may be guessed and the primary has no slow digest; and those of
    /// [`SecretBackend::store`](crate::SecretBackend::store).
    pub async fn import(&self, key: &CredentialKey, secret: &ImportedSecret) -> Result<Imported> {
        let issued = self.issue_with(key, self.fit_for_import(secret)?).await?;
        Ok(Imported { stored: issued.stored, selector: issued.selector })
    }

    pub(crate) fn fit_for_import(&self, imported: &ImportedSecret) -> Result<ClientSecret> {
        let (secret, info) = (&imported.secret, self.primary());
        let is_fast = info.custody == Custody::Record && !info.slow_digest && !info.reveals && !info.remote;
        let refusal = match imported.entropy {
            None if !self.formats().recognises(secret) => {
                "the secret has none of the forms in `SecretStoreBuilder::formats`: add its form there, or declare its entropy by \
                 `ImportedSecret::foreign`"
            }
            Some(_) if !self.formats().may_be_a_secret(secret) => {
                "the store refuses candidates of this form, so the secret would never be proved: \
                 `SecretFormats::accepting_any_other`"
            }
            Some(bits) if bits < LEAST_ENTROPY && is_fast => {
                "a secret of fewer than 128 bits by `ImportedSecret::foreign` may be guessed, and the primary has a fast digest: \
                 use one with a slow digest"
            }
            _ => return Ok(secret.clone()),
        };
        let error = Error::new(ErrorKind::InvalidSecret, refusal).with_operation(Operation::Store);
        Err(error.with_backend(info.id.clone()))
    }
}
