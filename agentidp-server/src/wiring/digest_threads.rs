//! Digests yield to others, down to a floor: a flood of guesses gets what others leave of the cores, and first logins on a
//! busy machine still get theirs.
//!
//! A thread that had to wait for its core rests after a run of digests, the longer the less it was given, and never so long
//! that all threads together get less than the floor. A lower priority could not promise that: on a busy machine a thread
//! of the lowest one would keep the digests that it has begun for minutes.

use std::num::NonZero;
use std::thread::available_parallelism;
use std::time::Duration;

use agentidp_secrets::backends::DigestLimits;

/// Rest per computed time at most: a thread that nobody leaves a core to takes less than a thirtieth of one.
const MOST_REST: u32 = 29;

/// The floor unless set: this part of the cores.
const DEFAULT_FLOOR: f64 = 0.25;

/// Limits of one kind of digest, which gets at least `floor` cores while it has work; a quarter of them unless set.
pub(super) fn limits(floor: Option<f64>) -> DigestLimits {
    let limits = DigestLimits::default();
    let cores = available_parallelism().map_or(1, NonZero::get) as f64;
    // There are as many threads as cores.
    let share = (floor.unwrap_or(cores * DEFAULT_FLOOR) / cores).clamp(0.0, 1.0);
    #[cfg(target_os = "linux")]
    let limits = limits.pace(move |took| linux::rest_after(took, share));
    #[cfg(not(target_os = "linux"))]
    let _ = share;
    limits
}

/// How long a run of digests took, and for how much of that it was given a core.
#[derive(Clone, Copy, Default)]
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "elsewhere a thread cannot tell what it was given"))]
struct Run {
    took: Duration,
    computed: Duration,
}

/// How long to rest after a run, by it and the one before: a scheduler is kind to who has slept, so that one run alone, after
/// a rest, tells little of how busy the core is. Up to a quarter of the core for others is no reason: then there is room for
/// both. With a third of it for them the rest is at its longest, but it leaves the thread `share` of a core.
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "elsewhere a thread cannot tell what it was given"))]
fn rest(run: Run, before: Run, share: f64) -> Duration {
    let computed = run.computed + before.computed;
    let waited = (run.took + before.took).saturating_sub(computed);
    let rest = ((waited * 3).saturating_sub(computed) * MOST_REST).min(run.computed * MOST_REST);
    let most = if share > 0.0 { Duration::try_from_secs_f64(run.computed.as_secs_f64() / share).ok() } else { None };
    most.map_or(rest, |most| rest.min(most.saturating_sub(run.took)))
}

#[cfg(target_os = "linux")]
mod linux {
    use std::cell::Cell;
    use std::time::Duration;

    use rustix::time::{ClockId, clock_gettime};

    use super::Run;

    thread_local! {
        /// What this thread had computed by the end of its last run.
        static COMPUTED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
        static BEFORE: Cell<Run> = const { Cell::new(Run { took: Duration::ZERO, computed: Duration::ZERO }) };
    }

    pub(super) fn rest_after(took: Duration, share: f64) -> Duration {
        let now = clock_gettime(ClockId::ThreadCPUTime);
        let now = Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32);
        let run = Run { took, computed: now.saturating_sub(COMPUTED.replace(now)) };
        super::rest(run, BEFORE.replace(run), share)
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_os = "linux")]
    use agentidp_secrets::backends::Bcrypt;
    #[cfg(target_os = "linux")]
    use agentidp_secrets::{CredentialKey, SecretBackend};

    use super::*;

    /// A thread of the lowest priority would get nothing on a busy machine, and could not ask for more.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn digest_threads_have_the_priority_of_the_others() {
        let bcrypt = Bcrypt::builder().minimum_cost_for_tests().limits(limits(None)).build().unwrap();
        bcrypt.store(&CredentialKey::parse("agent", "credential").unwrap(), &"secret".into()).await.unwrap();
        let threads = std::fs::read_dir("/proc/self/task").unwrap();
        let policies: Vec<String> = threads
            .filter_map(|thread| std::fs::read_to_string(thread.unwrap().path().join("stat")).ok())
            .filter(|stat| stat.contains("(bcrypt-digest)"))
            // proc_pid_stat(5): the 41st field; the name is the second.
            .map(|stat| stat.rsplit_once(')').unwrap().1.split_whitespace().nth(38).unwrap().to_owned())
            .collect();
        // SCHED_OTHER in sched.h.
        assert!(!policies.is_empty() && policies.iter().all(|policy| policy == "0"), "{policies:?}");
    }

    fn run(took: u64, computed: u64) -> Run {
        Run { took: Duration::from_millis(took), computed: Duration::from_millis(computed) }
    }

    #[test]
    fn a_thread_rests_once_others_take_more_than_a_quarter_of_its_core() {
        let ms = Duration::from_millis;
        for (took, computed, expected) in
            [(80, 80, 0), (56, 42, 0), (58, 42, 348), (70, 40, 1_160), (9_000, 40, 1_160), (0, 1, 0)]
        {
            let steady = run(took, computed);
            assert_eq!(rest(steady, steady, 0.0), ms(expected), "{computed} of {took}");
        }
    }

    #[test]
    fn one_run_that_had_its_core_at_once_does_not_end_the_rests() {
        let (busy, favoured) = (run(200, 40), run(40, 40));
        assert_eq!(rest(favoured, busy, 0.25), Duration::from_millis(120));
        assert_eq!(rest(favoured, favoured, 0.25), Duration::ZERO, "two of them do");
    }

    #[test]
    fn a_rest_leaves_the_floor() {
        for share in [0.1, 0.25, 0.5, 1.0] {
            for (took, before) in (40..400).step_by(10).flat_map(|took| [(took, 40), (took, 400)]) {
                let last = run(took, 40);
                let round = last.took + rest(last, run(before, 40), share);
                let given = last.computed.as_secs_f64() / round.as_secs_f64();
                let wanted = share.min(40.0 / took as f64);
                assert!(given >= wanted - 1e-6, "{given} of a core for a share of {share}, when {took} ms took 40");
            }
        }
        assert_eq!(rest(run(80, 40), run(80, 40), 0.25), Duration::from_millis(80), "a quarter of the core");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_a_thread_was_given_is_told_from_what_it_took() {
        linux::rest_after(Duration::ZERO, 0.0);
        assert_eq!(linux::rest_after(Duration::ZERO, 0.0), Duration::ZERO, "it took no time");
        let spin = std::hint::black_box((0..2_000_000_u64).fold(0, |sum, number| sum ^ std::hint::black_box(number)));
        assert!(linux::rest_after(Duration::from_secs(3_600), 0.0) > Duration::ZERO, "it hardly had a core: {spin}");
    }
}
