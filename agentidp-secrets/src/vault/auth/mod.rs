//! Where the token comes from, and how it stays alive.
//!
//! | | |
//! |---|---|
//! | [`VaultAuth`], [`AuthKind`] | the source of tokens: a token, a file, a login, or an agent in between |
//! | [`VaultToken`] | a token as text |
//! | [`AppRole`], [`Kubernetes`] | the logins |
//! | [`ClientCert`] | a certificate for a server that asks its clients for one (mutual TLS) |
//! | [`TokenCare`], [`RenewalOutcome`] | what [`VaultKv2::tend_token`](super::VaultKv2::tend_token) did, and when to call it again |
//! | [`TokenLife`] | how long the token in use lives: [`VaultKv2::token_life`](super::VaultKv2::token_life) |
//! | [`TokenStatus`] | what Vault says about the token: [`VaultKv2::token_status`](super::VaultKv2::token_status) |
//!
//! A session holds the token in use and sends requests with it. When Vault calls the token dead, the session gets another
//! one from the source: one call at a time, however many requests met the dead token.

mod answer;
mod file;
mod grant;
mod life;
mod login;
mod session;
mod source;
mod status;
mod tend;
mod token;
mod wrapped;

pub use self::life::TokenLife;
pub use self::login::{AppRole, Kubernetes};
pub(crate) use self::session::Session;
pub use self::source::VaultAuth;
pub use self::status::TokenStatus;
pub use self::tend::{RenewalOutcome, TokenCare};
pub use self::token::VaultToken;
pub use super::auth_kind::AuthKind;
pub use super::wire::ClientCert;
