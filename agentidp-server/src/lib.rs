//! (in work)

pub mod domain;
pub mod repo;
pub mod routes;
