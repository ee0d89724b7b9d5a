//! (in work)

pub mod config;
pub mod data_dir;
pub mod domain;
pub mod repo;
pub mod routes;
pub mod telemetry;
