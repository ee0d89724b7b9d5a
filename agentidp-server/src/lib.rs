//! (in work)

pub mod domain;
pub mod repo;
