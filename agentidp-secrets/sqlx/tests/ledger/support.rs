//! The PostgreSQL cluster of this test binary: see `tests/README.md` of the repository.

use std::sync::OnceLock;

#[expect(dead_code, reason = "this binary needs no OpenBao")]
#[path = "../../../../tests/support/find.rs"]
pub(crate) mod find;
#[expect(dead_code, reason = "each test binary uses its part of the support code")]
#[path = "../../../../tests/support/postgres.rs"]
pub(crate) mod postgres;
#[expect(dead_code, reason = "each test binary uses its part of the support code")]
#[path = "../../../../tests/support/process.rs"]
pub(crate) mod process;

use self::postgres::Postgres;

/// Started by the first test that asks. It outlives that test's runtime, so it is started on one of its own.
pub(crate) fn postgres() -> &'static Postgres {
    static SHARED: OnceLock<Postgres> = OnceLock::new();
    let start = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(Postgres::start_throwaway())
    };
    SHARED.get_or_init(|| std::thread::scope(|scope| scope.spawn(start).join()).expect("PostgreSQL"))
}
