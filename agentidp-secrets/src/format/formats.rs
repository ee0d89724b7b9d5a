//! The forms that a store takes.

use super::SecretFormat;
use crate::credential::CredentialId;
use crate::secret::ClientSecret;

/// The form of new secrets, and the other forms whose secrets still count.
///
/// Give the same ones to the store ([`SecretStoreBuilder::formats`](crate::SecretStoreBuilder::formats)) and to a
/// [`KeyedDigest`](crate::backends::KeyedDigest::with_formats). Take a form away only when no key of it is left: its keys would
/// be mismatches.
///
/// ```
/// use agentidp_secrets::{Alphabet, ClientSecret, SecretFormat, SecretFormats};
///
/// let ours = SecretFormat::builder("acme_").checksum().build()?;
/// // What `secrets.token_urlsafe(32)` made for years.
/// let before = SecretFormat::builder("").alphabet(Alphabet::Base64Url).digits(43).build()?;
/// let formats = SecretFormats::new(ours).accepting(before);
/// assert!(formats.recognises(&ClientSecret::from("Drmhze6EPcv0fN_81Bj-nA4cHyyMVPxnRQJ6U1KiZ0E")));
/// assert!(!formats.recognises(&ClientSecret::from("correct horse battery staple")));
/// # Ok::<(), agentidp_secrets::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFormats {
    issued: SecretFormat,
    accepted: Vec<SecretFormat>,
    takes_any_other: bool,
}

impl SecretFormats {
    /// New secrets have this form, and no other candidate is a secret: it is refused before any work is done for it.
    #[must_use]
    pub fn new(issued: SecretFormat) -> Self {
        Self { issued, accepted: Vec::new(), takes_any_other: false }
    }

    /// Secrets of this form count, too.
    #[must_use]
    pub fn accepting(mut self, format: SecretFormat) -> Self {
        self.accepted.push(format);
        self
    }

    /// Texts of any other form may be secrets, too: chosen ones in the rows of other software. They are tried, and have neither
    /// selectors nor keyed digests.
    #[must_use]
    pub fn accepting_any_other(mut self) -> Self {
        self.takes_any_other = true;
        self
    }

    /// The form of new secrets.
    #[must_use]
    pub fn issued(&self) -> &SecretFormat {
        &self.issued
    }

    /// Every form, that of new secrets first.
    pub fn all(&self) -> impl Iterator<Item = &SecretFormat> {
        [&self.issued].into_iter().chain(&self.accepted)
    }

    /// Whether the text has one of the forms, and with it enough entropy for a fast MAC.
    #[must_use]
    pub fn recognises(&self, secret: &ClientSecret) -> bool {
        self.all().any(|format| format.fits(secret))
    }

    /// Whether the text may be a secret at all.
    #[must_use]
    pub fn may_be_a_secret(&self, candidate: &ClientSecret) -> bool {
        self.takes_any_other || self.recognises(candidate)
    }

    /// The credential that a key names, where its form does. Only a claim.
    #[must_use]
    pub fn credential_id(&self, secret: &ClientSecret) -> Option<CredentialId> {
        self.all().find_map(|format| format.credential_id(secret))
    }
}

/// The documented form, and whatever else rows hold.
impl Default for SecretFormats {
    fn default() -> Self {
        Self::new(SecretFormat::documented()).accepting_any_other()
    }
}

/// This form and no other.
impl From<SecretFormat> for SecretFormats {
    fn from(issued: SecretFormat) -> Self {
        Self::new(issued)
    }
}
