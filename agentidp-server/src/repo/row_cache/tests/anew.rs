//! Which reads count: beside a change, before a client is refused, and right before an answer.

use super::*;

/// Lets every other task run until it waits: the runtime has one thread.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

fn status(rows: &ClientRows) -> AgentStatus {
    super::status(rows.known.as_ref().unwrap())
}

#[tokio::test]
async fn rows_say_whether_they_were_in_memory() {
    let bench = Bench::new();
    assert!(!bench.rows(Freshness::Cached).await.from_memory, "they were read for this caller");
    assert!(bench.rows(Freshness::Cached).await.from_memory);
    assert!(!bench.rows(Freshness::Latest).await.from_memory);
    let bench = Bench::without_lease();
    bench.permit(2);
    bench.rows(Freshness::Cached).await;
    assert!(!bench.rows(Freshness::Cached).await.from_memory);
}

#[tokio::test]
async fn a_read_that_began_before_a_change_does_not_put_back_what_was() {
    for change in [|cache: &RowCache| cache.forget(&CLIENT), RowCache::forget_all] {
        let bench = Bench::without_lease();
        bench.cache.extend(bench.cache.now(), SystemTime::UNIX_EPOCH);
        let old = bench.begin_read().await;
        bench.suspend();
        change(&bench.cache);
        bench.permit(1);
        assert_eq!(status(&old.await.unwrap().unwrap()), AgentStatus::Active);
        bench.permit(1);
        assert_eq!(super::status(&*bench.read().await), AgentStatus::Suspended);
        assert_eq!((bench.reads(), bench.cache.shared_reads()), (2, 0));
    }
}

/// As `forget`, when a newer read was faster: the older one must not overwrite it and count.
#[tokio::test]
async fn nor_does_one_that_ends_after_a_newer_one() {
    let bench = Bench::without_lease();
    bench.cache.extend(bench.cache.now(), SystemTime::UNIX_EPOCH);
    let old = bench.begin_read().await;
    bench.suspend();
    bench.cache.forget(&CLIENT);
    let new = bench.begin_read().await;
    bench.permit(2);
    old.await.unwrap().unwrap();
    new.await.unwrap().unwrap();
    bench.permit(1);
    assert_eq!(super::status(&*bench.read().await), AgentStatus::Suspended);
}

/// Nobody has told of the change: what is in memory counts, and is old.
#[tokio::test]
async fn rows_after_those_in_memory_are_read_and_kept() {
    let bench = Bench::new();
    bench.read().await;
    bench.suspend();
    let served = bench.rows(Freshness::Cached).await;
    assert_eq!((status(&served), bench.reads()), (AgentStatus::Active, 1));
    let anew = bench.rows(Freshness::After(served.as_of)).await;
    assert_eq!((status(&anew), anew.from_memory, bench.reads()), (AgentStatus::Suspended, false, 2));
    assert_eq!(super::status(&*bench.read().await), AgentStatus::Suspended);
    assert_eq!(bench.reads(), 2);
}

#[tokio::test]
async fn callers_that_were_served_the_same_rows_share_one_read() {
    let bench = Bench::without_lease();
    bench.cache.extend(bench.cache.now(), SystemTime::UNIX_EPOCH);
    bench.permit(1);
    bench.read().await;
    let served = bench.rows(Freshness::Cached).await.as_of;
    let callers: Vec<_> = (0..200).map(|_| bench.start(Freshness::After(served))).collect();
    settle().await;
    assert_eq!((bench.reads(), bench.cache.shared_reads()), (2, 1), "one read is under way");
    bench.suspend();
    bench.permit(1);
    for caller in callers {
        assert_eq!(status(&caller.await.unwrap().unwrap()), AgentStatus::Active, "as the read saw it");
    }
    // One that comes later, and was served the same rows.
    bench.rows(Freshness::After(served)).await;
    assert_eq!(bench.reads(), 2);
}

#[tokio::test]
async fn a_read_that_began_before_the_rows_were_served_is_not_shared() {
    let bench = Bench::without_lease();
    bench.cache.extend(bench.cache.now(), SystemTime::UNIX_EPOCH);
    bench.permit(1);
    bench.read().await;
    let first = bench.rows(Freshness::Cached).await.as_of;
    let old = bench.start(Freshness::After(first));
    bench.rows.begun.acquire_many(2).await.unwrap().forget();
    // The change is made and acknowledged only now; then comes a caller whom it concerns.
    bench.suspend();
    let second = bench.rows(Freshness::Cached).await.as_of;
    let callers = [(); 2].map(|()| bench.start(Freshness::After(second)));
    settle().await;
    assert_eq!(bench.reads(), 2, "one read at a time");
    bench.permit(2);
    assert_eq!(status(&old.await.unwrap().unwrap()), AgentStatus::Active);
    for caller in callers {
        assert_eq!(status(&caller.await.unwrap().unwrap()), AgentStatus::Suspended);
    }
    assert_eq!(bench.reads(), 3, "the two share the next one");
}

#[tokio::test]
async fn a_caller_that_hangs_up_leaves_its_read_to_the_next() {
    let bench = Bench::without_lease();
    bench.cache.extend(bench.cache.now(), SystemTime::UNIX_EPOCH);
    bench.permit(1);
    bench.read().await;
    let served = bench.rows(Freshness::Cached).await.as_of;
    let first = bench.start(Freshness::After(served));
    let waiting = bench.start(Freshness::After(served));
    settle().await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    bench.permit(1);
    waiting.await.unwrap().unwrap();
    assert_eq!((bench.reads(), bench.cache.shared_reads()), (3, 0));
}

#[tokio::test]
async fn callers_that_share_a_read_share_its_failure() {
    let bench = Bench::without_lease();
    bench.cache.extend(bench.cache.now(), SystemTime::UNIX_EPOCH);
    bench.permit(1);
    bench.read().await;
    let served = bench.rows(Freshness::Cached).await.as_of;
    bench.rows.outage.store(true, Ordering::SeqCst);
    let callers = [(); 20].map(|()| bench.start(Freshness::After(served)));
    settle().await;
    bench.permit(1);
    for caller in callers {
        assert!(matches!(caller.await.unwrap(), Err(RepoError::Unavailable { .. })));
    }
    assert_eq!(bench.reads(), 2, "nobody waits for an outage in turn");
}

#[tokio::test]
async fn rows_are_current_until_a_change_is_known_of_or_the_lease_is_over() {
    let bench = Bench::new();
    let current = |as_of| bench.repo.is_current(CLIENT, as_of);
    let changed = |as_of| bench.repo.is_changed(CLIENT, as_of);
    for change in [|cache: &RowCache| cache.forget(&CLIENT), RowCache::forget_all] {
        let as_of = bench.rows(Freshness::Cached).await.as_of;
        assert!(current(as_of) && !changed(as_of));
        change(&bench.cache);
        assert!(!current(as_of) && changed(as_of));
    }
    let as_of = bench.rows(Freshness::Latest).await.as_of;
    assert!(current(as_of));
    bench.clock.advance(LEASE);
    assert!(!current(as_of) && !changed(as_of), "nothing is heard of any more, and nothing was");
}

/// As on SQLite, or with a capacity of 0.
#[tokio::test]
async fn without_a_cache_own_changes_are_counted() {
    let bench = Bench::new();
    let cache = Arc::new(rows(0, LeaseClock::of(Arc::clone(&bench.clock) as _)));
    let (inner, now) = (Arc::clone(&bench.rows) as _, bench.now());
    let repo = Credentials { inner, cache, observer: Arc::new(Deaf) };
    let as_of = repo.rows(CLIENT, now, Freshness::Latest).await.unwrap().as_of;
    assert!(!repo.is_changed(CLIENT, as_of) && !repo.is_current(CLIENT, as_of));
    repo.cache.forget(&CLIENT);
    assert!(repo.is_changed(CLIENT, as_of));
    assert_eq!(repo.cache.len(), 0);
}
