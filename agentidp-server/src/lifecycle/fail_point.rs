//! Places where a test has the process die.

/// The setting that names the step to die at.
#[cfg(feature = "fail-points")]
const SETTING: &str = "AGENTIDP_FAIL_POINT";

/// Ends the process here, without a destructor or a flush, as a kill would, if a test has asked for `step`. Without the
/// feature `fail-points`, which no release has, this is nothing.
#[cfg(feature = "fail-points")]
pub(super) fn fail_point(step: &str) {
    if std::env::var_os(SETTING).is_some_and(|asked| asked == step) {
        tracing::error!(step, "dying at a fail point");
        std::process::abort();
    }
}

#[cfg(not(feature = "fail-points"))]
pub(super) const fn fail_point(_step: &str) {}
