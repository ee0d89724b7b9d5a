//! HTTP as this server speaks it. Knows no route and no backend.

mod authorization;
pub mod bearer;
pub mod body;
pub mod call;
mod client_auth;
mod cors;
mod form;
mod host;
mod idempotency_key;
mod oauth;
mod path;
mod peer;
mod request_id;
pub mod respond;

pub use body::Body;
pub use call::{Call, Caller, Request};
pub use oauth::OAuthError;
pub use respond::Response;

pub(crate) use client_auth::{ClientAuthError, ClientCredentials, ONE_METHOD};
pub(crate) use cors::Cors;
pub(crate) use form::Form;
pub(crate) use host::check_host;
pub(crate) use path::{segments, uuid};
pub(crate) use peer::{origin, sender, uncounted_header};
pub(crate) use request_id::{mark, request_id};
