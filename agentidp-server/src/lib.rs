//! (in work)

pub mod app;
pub mod domain;
pub mod error;
pub mod http;
pub mod keys;
pub mod lifecycle;
pub mod metrics;
pub mod rate_limit;
pub mod repo;
pub mod routes;
pub mod tokens;
