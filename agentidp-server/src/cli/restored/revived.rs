//! What a database that was restored may have brought back to life: nobody can tell, so it is listed.

use std::time::Duration;

use super::moments::Moments;
use crate::app::App;
use crate::domain::{AuditAction, Outcome, Page, Timestamp};
use crate::repo::{AuditFilter, Result};

/// Lines of each kind; of more their number is said.
const MOST_LINES: usize = 100;

/// How long a token lives, and how long after its last advance a server may have run.
const TOKEN_LIFE: Duration = Duration::from_secs(3600);
const LAST_ADVANCE: Duration = Duration::from_secs(120);

/// Rows whose secret Vault knows nothing of, and tokens that have not expired.
pub(super) async fn lines(app: &App, moments: &Moments) -> Result<String> {
    let since = moments.database().map_or_else(|| "the backup".to_owned(), |since| since.to_string());
    let mut lines = vec![format!("What was revoked since {since} counts again, and so does what was revoked of this:")];
    let rows = digests(app).await?;
    lines.extend(rows.iter().take(MOST_LINES).cloned());
    lines.push(format!(
        "{} active credentials with a digest in the row: revoke those that were revoked or rotated",
        rows.len()
    ));
    // A token that this database does not know was issued before its servers stopped.
    let last = moments.vault().map(|last| last.plus(LAST_ADVANCE + TOKEN_LIFE));
    if last.is_some_and(|last| last <= app.now()) {
        lines.push("0 tokens: all that were issued before have expired".to_owned());
        return Ok(lines.join("\n"));
    }
    let (tokens, total) = tokens(app).await?;
    lines.extend(tokens);
    let end = last.map_or_else(|| "within an hour of the last one's issue".to_owned(), |last| format!("by {last}"));
    lines.push(format!(
        "{total} tokens that this database knows have not expired, and those that it does not know end {end}"
    ));
    Ok(lines.join("\n"))
}

async fn digests(app: &App) -> Result<Vec<String>> {
    let (mut lines, mut after) = (Vec::new(), None);
    loop {
        let rows = app.repos.drift.page(after, 1000).await?;
        let Some(last) = rows.last() else { return Ok(lines) };
        after = Some(last.credential_id);
        let digests = rows.iter().filter(|row| row.secret.vault_path.is_none());
        lines
            .extend(digests.map(|row| format!("digest: credential {} of client {}", row.credential_id, row.client_id)));
    }
}

/// Up to [`MOST_LINES`] of them, and how many there are.
async fn tokens(app: &App) -> Result<(Vec<String>, u64)> {
    let filter = AuditFilter {
        action: Some(AuditAction::TokenIssued),
        outcome: Some(Outcome::Success),
        from: Some(app.now().minus(TOKEN_LIFE)),
        ..AuditFilter::default()
    };
    let limit = u32::try_from(MOST_LINES).unwrap_or(u32::MAX);
    let issued = app.repos.audit.list(&filter, Page::new(1, limit)).await?;
    let line = |event: &crate::domain::AuditEvent| {
        let (about, until): (_, Timestamp) = (event.metadata.to_value(), event.timestamp.plus(TOKEN_LIFE));
        let client = event.agent_id.map(|id| id.to_string()).unwrap_or_default();
        format!("token: {} of client {client}, until {until}", about["tokenId"].as_str().unwrap_or_default())
    };
    Ok((issued.data.iter().map(line).collect(), issued.total))
}
