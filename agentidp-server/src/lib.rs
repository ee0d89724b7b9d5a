#![doc = include_str!("../README.md")]

pub mod app;
pub mod cli;
pub mod config;
mod credentials;
pub mod data_dir;
pub mod domain;
pub mod error;
pub mod horizon;
pub mod http;
pub mod keys;
pub mod ledger;
pub mod ledger_clock;
pub mod life;
pub mod metrics;
pub mod rate_limit;
pub mod reconcile;
pub mod renewal;
pub mod repo;
pub mod routes;
pub mod server;
pub mod telemetry;
pub mod tokens;
pub mod vault_token;
mod welcome;
pub mod wiring;
pub mod workers;
mod write_deadline;
