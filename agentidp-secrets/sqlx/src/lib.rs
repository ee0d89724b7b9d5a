#![cfg_attr(all(feature = "postgres", feature = "sqlite"), doc = include_str!("../README.md"))]
#![cfg_attr(
    not(all(feature = "postgres", feature = "sqlite")),
    doc = "The ledger of agentidp-secrets, over PostgreSQL and SQLite."
)]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod columns;
mod error;
#[cfg(feature = "postgres")]
pub mod memory;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "postgres")]
pub mod replicas;
#[cfg(feature = "sqlite")]
mod sqlite;

pub use self::error::Error;
#[cfg(feature = "postgres")]
pub use self::postgres::{PgLedger, PgTx};
#[cfg(feature = "sqlite")]
pub use self::sqlite::{SqliteLedger, SqliteTx};
