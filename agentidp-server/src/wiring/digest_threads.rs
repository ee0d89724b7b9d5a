//! Digests yield to whoever needs none: a flood of guesses gets what others leave of the cores.
//!
//! Two means, because neither does alone. The scheduler gives the threads what nobody else wants, but weighs them against
//! their own session only where Linux groups processes by session (`sched_autogroup_enabled`, on in most distributions):
//! there a flood kept half a core from clients in other sessions, measured. So a thread that had to wait for its core also
//! rests after a run of digests, the longer the less it was given.

use std::time::Duration;

use agentidp_secrets::backends::DigestLimits;

/// Rest per computed time at most: a thread that nobody leaves a core to takes less than a thirtieth of one.
const MOST_REST: u32 = 29;

pub(super) fn limits() -> DigestLimits {
    let limits = DigestLimits::default();
    #[cfg(target_os = "linux")]
    let limits = limits.on_thread_start(linux::yield_to_others).pace(linux::rest_after);
    limits
}

/// How long to rest after a run that took so long and was given a core for `computed` of it. Up to a third of the core for
/// others is no reason: then there is room for both. With half of it for them the rest is at its longest.
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "elsewhere a thread cannot tell what it was given"))]
fn rest(took: Duration, computed: Duration) -> Duration {
    let waited = took.saturating_sub(computed);
    (waited * 2).saturating_sub(computed).min(computed) * MOST_REST
}

#[cfg(target_os = "linux")]
mod linux {
    use std::cell::Cell;
    use std::time::Duration;

    use rustix::time::{ClockId, clock_gettime};
    use thread_priority::{
        NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy, set_thread_priority_and_policy,
        thread_native_id,
    };
    use tracing::debug;

    thread_local! {
        /// What this thread had computed by the end of its last run.
        static COMPUTED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    }

    /// `SCHED_IDLE`, which is below every niceness: sched(7). Anybody may ask for it.
    pub(super) fn yield_to_others() {
        let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
        if let Err(error) = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle) {
            debug!(%error, "a digest thread keeps its priority: a flood of guesses counts more");
        }
    }

    pub(super) fn rest_after(took: Duration) -> Duration {
        let now = clock_gettime(ClockId::ThreadCPUTime);
        let now = Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32);
        let computed = now.saturating_sub(COMPUTED.replace(now));
        super::rest(took, computed)
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_os = "linux")]
    use agentidp_secrets::backends::Bcrypt;
    #[cfg(target_os = "linux")]
    use agentidp_secrets::{CredentialKey, SecretBackend};

    use super::*;

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn digest_threads_run_when_nobody_else_does() {
        let bcrypt = Bcrypt::builder().minimum_cost_for_tests().limits(limits()).build().unwrap();
        bcrypt.store(&CredentialKey::parse("agent", "credential").unwrap(), &"secret".into()).await.unwrap();
        let threads = std::fs::read_dir("/proc/self/task").unwrap();
        let policies: Vec<String> = threads
            .filter_map(|thread| std::fs::read_to_string(thread.unwrap().path().join("stat")).ok())
            .filter(|stat| stat.contains("(bcrypt-digest)"))
            // proc_pid_stat(5): the 41st field; the name is the second.
            .map(|stat| stat.rsplit_once(')').unwrap().1.split_whitespace().nth(38).unwrap().to_owned())
            .collect();
        // SCHED_IDLE in sched.h.
        assert!(policies.contains(&"5".to_owned()), "{policies:?}");
    }

    #[test]
    fn a_thread_rests_once_others_take_more_than_a_third_of_its_core() {
        let ms = Duration::from_millis;
        for (took, computed, expected) in
            [(80, 80, 0), (60, 40, 0), (70, 40, 580), (80, 40, 1_160), (9_000, 40, 1_160), (0, 1, 0)]
        {
            assert_eq!(rest(ms(took), ms(computed)), ms(expected), "{computed} of {took}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_a_thread_was_given_is_told_from_what_it_took() {
        linux::rest_after(Duration::ZERO);
        assert_eq!(linux::rest_after(Duration::ZERO), Duration::ZERO, "it took no time");
        let spin = std::hint::black_box((0..2_000_000_u64).fold(0, |sum, number| sum ^ std::hint::black_box(number)));
        assert!(linux::rest_after(Duration::from_secs(3_600)) > Duration::ZERO, "it hardly had a core: {spin}");
    }
}
