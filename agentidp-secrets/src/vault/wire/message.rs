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
    /// Whether it changes nothing: then it has the time of a read, and may be sent to another node when its answer is lost.
    pub(crate) is_read: bool,
    /// Whether the answer is as long as there is much, and takes as long.
    pub(crate) is_listing: bool,
}

/// An answer, read whole.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Zeroizing<Vec<u8>>,
}

impl Request {
    pub(crate) fn get(path: String) -> Self {
        Self {
            method: Method::GET,
            path,
            query: None,
            body: None,
            of_active: false,
            of_token: false,
            is_read: true,
            is_listing: false,
        }
    }

    pub(crate) fn post(path: String, body: Bytes) -> Self {
        Self { method: Method::POST, body: Some(body), is_read: false, ..Self::get(path) }
    }

    /// A question that has a body.
    pub(crate) fn ask(path: String, body: Bytes) -> Self {
        Self { is_read: true, ..Self::post(path, body) }
    }

    /// The same, in the namespace of the token.
    pub(crate) fn of_token(self) -> Self {
        Self { of_token: true, ..self }
    }
}
