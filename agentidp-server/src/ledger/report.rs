//! What the log and an operator's terminal say about it.

use agentidp_secrets::folder::{Disagreement, FolderState};
use tracing::{error, info, warn};

use super::LedgerError;

/// Logs a change of the state.
pub(crate) fn report(state: FolderState, problem: Option<&LedgerError>) {
    match state {
        FolderState::Agrees => info!("this database agrees with its folder in Vault: deletions are carried out"),
        FolderState::Watching => {
            info!("this database agrees with its folder in Vault so far: deletions wait for two minutes")
        }
        FolderState::Unknown => {
            let problem = problem.map(ToString::to_string);
            warn!(problem, "this database could not be compared with its folder in Vault: deletions wait");
        }
        FolderState::Disagrees(disagreement) => error!(
            disagreement = %disagreement,
            "this database and its folder in Vault disagree, so nothing is deleted there: {}", advice(disagreement)
        ),
    }
}

/// What an operator has to do.
pub(crate) fn advice(disagreement: Disagreement) -> &'static str {
    match disagreement {
        Disagreement::NotAdmitted => {
            "set VAULT_PREFIX to a folder of this deployment's own, correct DATABASE_URL, or run `agentidp-server \
             admit` if both databases are meant to share the folder"
        }
        _ => "find out which database and which Vault are the right ones, then run `agentidp-server admit` on them",
    }
}
