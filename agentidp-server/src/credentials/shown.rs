//! What a sequence has to show.

use agentidp_secrets::ClientSecret;

use crate::domain::Credential;

/// A credential whose secret may be shown, because its row is committed.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) credential: Credential,
    pub(crate) secret: ClientSecret,
    /// The request had been carried out before.
    pub(crate) replayed: bool,
}
