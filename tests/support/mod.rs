//! Real services for the tests: an own PostgreSQL cluster and an own OpenBao for each test binary, on free ports
//! of 127.0.0.1, run by an unprivileged user, and gone when the test process is gone. `tests/README.md` tells more.

pub(crate) mod find;
pub(crate) mod process;

pub(crate) mod bao;
pub(crate) mod postgres;
pub(crate) mod scripted_vault;

use std::sync::OnceLock;

pub(crate) use self::bao::Bao;
pub(crate) use self::bao::cluster::Cluster;
pub(crate) use self::postgres::Postgres;

/// The PostgreSQL cluster of this test binary, started by the first test that asks.
pub(crate) fn postgres() -> &'static Postgres {
    static SHARED: OnceLock<Postgres> = OnceLock::new();
    SHARED.get_or_init(|| on_own_runtime(Postgres::start_throwaway()))
}

/// The OpenBao dev server of this test binary, started by the first test that asks.
pub(crate) fn bao() -> &'static Bao {
    static SHARED: OnceLock<Bao> = OnceLock::new();
    SHARED.get_or_init(|| on_own_runtime(Bao::start_dev()))
}

/// The OpenBao cluster of this test binary, for one test at a time: whatever the one before has broken is mended first.
pub(crate) async fn cluster() -> tokio::sync::MutexGuard<'static, Cluster> {
    static SHARED: OnceLock<tokio::sync::Mutex<Cluster>> = OnceLock::new();
    let shared = SHARED.get_or_init(|| tokio::sync::Mutex::new(on_own_runtime(Cluster::start())));
    let mut cluster = shared.lock().await;
    cluster.heal().await;
    cluster
}

/// A shared service outlives the runtime of the test that asked first, and that test may already be inside one.
fn on_own_runtime<T: Send>(start: impl Future<Output = T> + Send) -> T {
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(start)
    };
    std::thread::scope(|scope| scope.spawn(run).join()).unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
