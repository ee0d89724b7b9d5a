//! The summary of `credentials`: a line for each kind of secret.

use agentidp_secrets::lifecycle::{Counts, SecretKind, Summary};
use serde_json::json;

use super::terminal::Lines;

const HEAD: &str = "BACKEND      SECRET   PARAMETERS                         ALL   USED 1D  USED 30D     NEVER   ROT 90D NEVER ROT  OLDER 90D  \
                    ENDS 7D   EXPIRED";

/// Prints it as a table, or as one JSON object a line.
pub(super) fn show(summary: &Summary, as_json: bool, lines: &mut Lines) {
    if !as_json {
        lines.print(HEAD);
    }
    for (kind, counts) in summary.kinds() {
        lines.print(if as_json { line_of_json(kind, counts) } else { line(kind, counts) });
    }
}

fn line(kind: &SecretKind, counts: &Counts) -> String {
    let (backend, generation) = (backend(kind), generation(kind));
    let parameters = kind.parameters.as_deref().unwrap_or("-");
    let Counts { secrets, used_in_a_day, used_in_30_days, never_used, .. } = counts;
    let Counts { rotated_in_90_days, never_rotated, older_than_90_days, ending_in_7_days, expired, .. } = counts;
    format!(
        "{backend:<12} {generation:<8} {parameters:<28} {secrets:>9} {used_in_a_day:>9} {used_in_30_days:>9} {never_used:>9} \
         {rotated_in_90_days:>9} {never_rotated:>9} {older_than_90_days:>10} {ending_in_7_days:>9} {expired:>9}"
    )
}

fn line_of_json(kind: &SecretKind, counts: &Counts) -> String {
    json!({
        "backend": backend(kind),
        "generation": generation(kind),
        "parameters": kind.parameters,
        "secrets": counts.secrets,
        "usedIn1Day": counts.used_in_a_day,
        "usedIn30Days": counts.used_in_30_days,
        "neverUsed": counts.never_used,
        "rotatedIn90Days": counts.rotated_in_90_days,
        "neverRotated": counts.never_rotated,
        "olderThan90Days": counts.older_than_90_days,
        "endingIn7Days": counts.ending_in_7_days,
        "expired": counts.expired,
    })
    .to_string()
}

fn backend(kind: &SecretKind) -> String {
    kind.backend.as_ref().map_or_else(|| "unreadable".to_owned(), ToString::to_string)
}

fn generation(kind: &SecretKind) -> &'static str {
    if kind.is_previous { "previous" } else { "current" }
}
