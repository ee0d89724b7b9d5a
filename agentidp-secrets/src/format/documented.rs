//! The documented form, which secrets have unless a store is given another one.

use super::SecretFormat;
use crate::error::Result;
use crate::secret::ClientSecret;

impl ClientSecret {
    /// Generates a secret of the [documented form](SecretFormat::documented): `sk_live_` and 64 lower-case hexadecimal
    /// digits, 256 bits from the operating system.
    ///
    /// # Errors
    /// `Internal` when the operating system gives no randomness.
    pub fn generate() -> Result<Self> {
        SecretFormat::documented().make(None)
    }

    /// Whether this has the form of a generated secret: the prefix and 64 lower-case hexadecimal digits, and nothing else.
    /// Says nothing about who made it: a secret of this form that comes from elsewhere has to be as random. Forms of your own
    /// are [`SecretFormat`]s.
    #[must_use]
    pub fn has_generated_form(&self) -> bool {
        SecretFormat::documented().fits(self)
    }
}
