//! Tests of the server on real services.

// A request awaits what a sequence awaits, and so on: the compiler counts each of them.
#![recursion_limit = "256"]

#[cfg(test)]
mod agents;
#[cfg(test)]
mod anew;
#[cfg(test)]
mod api_page;
#[cfg(test)]
mod audit;
#[cfg(test)]
mod background;
#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod barrier;
#[cfg(test)]
mod bearer;
mod breaker;
#[cfg(test)]
#[expect(dead_code, reason = "each test binary uses its part of the support code")]
#[path = "../support/certificates.rs"]
mod certificates;
#[cfg(test)]
mod clocks;
#[cfg(test)]
mod connections;
#[cfg(test)]
mod credentials;
#[cfg(test)]
#[path = "../support/database_clock.rs"]
mod database_clock;
#[cfg(test)]
mod deaf;
#[cfg(test)]
mod group_commit;
#[cfg(test)]
mod health;
#[cfg(test)]
mod http;
#[cfg(test)]
mod http2;
#[cfg(test)]
mod http2_bounds;
#[cfg(test)]
mod idempotency;
#[cfg(test)]
mod interposed;
#[cfg(test)]
mod late;
#[cfg(test)]
mod ledger;
#[cfg(test)]
mod lifecycle;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod log;
#[cfg(test)]
mod migrating;
#[cfg(test)]
mod model;
#[cfg(test)]
mod openapi;
#[cfg(test)]
mod origin;
#[cfg(test)]
mod overlap;
#[cfg(test)]
mod overtaken;
#[cfg(test)]
mod pages;
#[cfg(test)]
mod ready;
#[cfg(test)]
mod reconcile;
#[cfg(test)]
mod replicas;
#[cfg(test)]
mod repo;
#[cfg(test)]
mod requests;
#[cfg(test)]
mod row_cache;
#[cfg(test)]
mod rows;
#[cfg(test)]
mod same_work;
#[cfg(test)]
mod shown_once;
#[cfg(test)]
mod shutdown;
#[cfg(test)]
mod silent;
#[cfg(test)]
mod site;
#[cfg(test)]
mod slow_vault;
#[cfg(test)]
mod strangers;
#[cfg(test)]
mod summary;
#[cfg(test)]
#[expect(dead_code, reason = "each test binary uses its part of the support code")]
#[path = "../support/mod.rs"]
mod support;
#[cfg(test)]
mod there_and_back;
#[cfg(test)]
mod token;
#[cfg(test)]
mod token_outage;
#[cfg(test)]
mod token_questions;
#[cfg(test)]
mod token_vault;
#[cfg(test)]
mod upgrade;
#[cfg(test)]
mod upgrade_from_before;
#[cfg(test)]
mod usage;
#[cfg(test)]
mod vault_token;
#[cfg(test)]
mod warm;
#[cfg(test)]
mod whole_log;
#[cfg(test)]
mod wire;
#[cfg(test)]
mod wired;
