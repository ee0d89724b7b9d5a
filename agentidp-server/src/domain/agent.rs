//! Agents: the clients of this identity provider.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::Timestamp;
use super::named::named_enum;

named_enum! {
    /// What an agent does.
    AgentType {
        /// Screens.
        Screener = "screener",
        /// Classifies.
        Classifier = "classifier",
        /// Orchestrates.
        Orchestrator = "orchestrator",
        /// Extracts.
        Extractor = "extractor",
        /// Summarises.
        Summarizer = "summarizer",
        /// Routes.
        Router = "router",
        /// Monitors.
        Monitor = "monitor",
        /// Anything else.
        Custom = "custom",
    }
}

named_enum! {
    /// Where an agent runs.
    DeploymentEnv {
        /// On a developer's machine.
        Development = "development",
        /// Before production.
        Staging = "staging",
        /// For real.
        Production = "production",
    }
}

named_enum! {
    /// Whether an agent may authenticate.
    AgentStatus {
        /// It may.
        Active = "active",
        /// Not now.
        Suspended = "suspended",
        /// Never again.
        Decommissioned = "decommissioned",
    }
}

/// An agent, in the documented JSON form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::exhaustive_structs, reason = "the documented resource")]
pub struct Agent {
    /// Also the OAuth `client_id`.
    pub agent_id: Uuid,
    /// Unique; at most 255 characters.
    pub email: String,
    /// What it does.
    pub agent_type: AgentType,
    /// Its own version, a semver.
    pub version: String,
    /// `resource:action` each; at least one.
    pub capabilities: Vec<String>,
    /// Who answers for it.
    pub owner: String,
    /// Where it runs.
    pub deployment_env: DeploymentEnv,
    /// Whether it may authenticate.
    pub status: AgentStatus,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When it was last changed. Every change moves it forward, so it serves as the row's version.
    pub updated_at: Timestamp,
}
