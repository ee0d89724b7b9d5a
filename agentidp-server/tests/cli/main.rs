//! Tests of the command as operators meet it: the real binary, real signals, real services.

#[cfg(test)]
mod audit;
#[cfg(test)]
mod binary;
#[cfg(test)]
mod busy;
#[cfg(test)]
mod check;
#[cfg(test)]
mod clocks;
#[cfg(test)]
#[cfg(feature = "fail-points")]
mod crash;
#[cfg(test)]
#[cfg(feature = "fail-points")]
mod crash_retry;
#[cfg(test)]
mod credentials;
#[cfg(test)]
#[path = "../../../tests/support/database_clock.rs"]
mod database_clock;
#[cfg(test)]
mod dice;
#[cfg(test)]
mod failover;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod full_disk;
#[cfg(test)]
mod guide;
#[cfg(test)]
#[cfg(feature = "fail-points")]
mod ledger;
#[cfg(test)]
mod messages;
#[cfg(test)]
mod moves;
#[cfg(test)]
mod operator;
#[cfg(test)]
mod prometheus;
#[cfg(test)]
#[path = "../../../tests/support/prometheus.rs"]
mod prometheus_server;
#[cfg(test)]
mod reconcile;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod replicas;
#[cfg(test)]
#[cfg(feature = "fail-points")]
mod restored;
#[cfg(test)]
mod rights;
#[cfg(test)]
mod rolling;
#[cfg(test)]
mod runbook;
#[cfg(test)]
mod serving;
#[cfg(test)]
mod silence;
#[cfg(test)]
#[expect(dead_code, reason = "each test binary uses its part of the support code")]
#[path = "../../../tests/support/mod.rs"]
mod support;
