//! The contract, on a real PostgreSQL, and how long the backend is.

#[path = "../../../support.rs"]
mod support;

use adopter_backend::Table;
use agentidp_secrets::testkit::BackendHarness;

use self::support::fresh_pool;

agentidp_secrets::conformance!(table, BackendHarness::new(Table::open(fresh_pool().await).await.unwrap()));
agentidp_secrets::store_conformance!(
    store_over_table,
    BackendHarness::new(Table::open(fresh_pool().await).await.unwrap())
);

#[test]
fn a_backend_takes_less_than_a_hundred_lines_of_code() {
    let lines = include_str!("../../src/lib.rs").lines().map(str::trim);
    let code = lines.filter(|line| !line.is_empty() && !line.starts_with("//")).count();
    assert!(code < 100, "{code} lines");
}
