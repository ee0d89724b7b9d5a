//! A PostgreSQL and an OpenBao for this test binary, by the support code of the repository. Yours has them by other means.

#[expect(dead_code, reason = "the repository's tests use more of it")]
#[path = "../../../../support/bao/mod.rs"]
pub(crate) mod bao;
#[path = "../../../../support/find.rs"]
pub(crate) mod find;
#[expect(dead_code, reason = "the repository's tests use more of it")]
#[path = "../../../../support/postgres.rs"]
pub(crate) mod postgres;
#[path = "../../../../support/process.rs"]
pub(crate) mod process;
