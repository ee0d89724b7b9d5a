//! What is sent to Vault, and what comes back.

use bytes::Bytes;
use http::Method;
use zeroize::Zeroizing;

/// A request as Vault's API describes it. The path is below `/v1/`. Clones share the body.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    /// In a buffer that is wiped when it is done with.
    pub(crate) body: Option<Bytes>,
    /// Whether the active node is to be asked, as far as it can be told: it is never behind.
    pub(crate) of_active: bool,
    /// Whether it is about the token or a login: the namespace is theirs then.
    pub(crate) of_token: bool,
}

/// An answer, read whole.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Zeroizing<Vec<u8>>,
}

impl Request {
    pub(crate) fn get(path: String) -> Self {
        Self { method: Method::GET, path, query: None, body: None, of_active: false, of_token: false }
    }

    pub(crate) fn post(path: String, body: Bytes) -> Self {
        Self { method: Method::POST, path, query: None, body: Some(body), of_active: false, of_token: false }
    }

    /// The same, in the namespace of the token.
    pub(crate) fn of_token(self) -> Self {
        Self { of_token: true, ..self }
    }
}
