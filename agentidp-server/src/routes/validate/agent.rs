//! Bodies of `POST /agents` and `PATCH /agents/{agentId}`.

use utoipa::ToSchema;
use uuid::Uuid;

use super::Problems;
use super::json::{Members, string};
use super::rules::{capabilities, email, one_of, owner, version};
use super::texts::{Capabilities, Email, Name, SemanticVersion};
use crate::domain::{Agent, AgentStatus, AgentType, DeploymentEnv, Timestamp};

/// An agent to register.
#[derive(Debug, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct NewAgent {
    #[schema(value_type = Email)]
    pub(crate) email: String,
    pub(crate) agent_type: AgentType,
    #[schema(value_type = SemanticVersion)]
    pub(crate) version: String,
    #[schema(value_type = Capabilities)]
    pub(crate) capabilities: Vec<String>,
    #[schema(value_type = Name)]
    pub(crate) owner: String,
    pub(crate) deployment_env: DeploymentEnv,
}

impl NewAgent {
    /// Reads the body; all members are required.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Problems> {
        let mut members = Members::parse(body)?;
        let email = members.required("email", string(email));
        let agent_type = members.required("agentType", string(one_of(AgentType::ALL, AgentType::as_str)));
        let version = members.required("version", string(version));
        let capabilities = members.required("capabilities", capabilities);
        let owner = members.required("owner", string(owner));
        let deployment_env =
            members.required("deploymentEnv", string(one_of(DeploymentEnv::ALL, DeploymentEnv::as_str)));
        let whole = || {
            Some(Self {
                email: email?,
                agent_type: agent_type?,
                version: version?,
                capabilities: capabilities?,
                owner: owner?,
                deployment_env: deployment_env?,
            })
        };
        members.finish(whole())
    }

    /// The agent that it becomes: active, as of `now`.
    pub(crate) fn into_agent(self, agent_id: Uuid, now: Timestamp) -> Agent {
        Agent {
            agent_id,
            email: self.email,
            agent_type: self.agent_type,
            version: self.version,
            capabilities: self.capabilities,
            owner: self.owner,
            deployment_env: self.deployment_env,
            status: AgentStatus::Active,
            created_at: now,
            updated_at: now,
        }
    }
}

/// A change to an agent: what is left out stays as it is.
#[derive(Debug, Default, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "camelCase")]
pub(crate) struct AgentPatch {
    #[schema(value_type = AgentType, required = false)]
    agent_type: Option<AgentType>,
    #[schema(value_type = SemanticVersion, required = false)]
    version: Option<String>,
    #[schema(value_type = Capabilities, required = false)]
    capabilities: Option<Vec<String>>,
    #[schema(value_type = Name, required = false)]
    owner: Option<String>,
    #[schema(value_type = DeploymentEnv, required = false)]
    deployment_env: Option<DeploymentEnv>,
    #[schema(value_type = AgentStatus, required = false)]
    status: Option<AgentStatus>,
}

impl AgentPatch {
    /// The members that a PATCH may change.
    pub(crate) const CHANGEABLE: [&'static str; 6] =
        ["agentType", "version", "capabilities", "owner", "deploymentEnv", "status"];

    /// The members that a PATCH may not name.
    pub(crate) const FIXED: [&'static str; 2] = ["agentId", "email"];

    /// Reads the body. One that changes nothing is refused: whoever sent it meant something else.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Problems> {
        let mut members = Members::parse(body)?;
        for fixed in Self::FIXED {
            members.refuse(fixed, "cannot be changed");
        }
        if !members.has_any(&Self::CHANGEABLE) {
            members.fail(
                "must name something to change: agentType, version, capabilities, owner, deploymentEnv or status",
            );
        }
        let patch = Self {
            agent_type: members.optional("agentType", string(one_of(AgentType::ALL, AgentType::as_str))),
            version: members.optional("version", string(version)),
            capabilities: members.optional("capabilities", capabilities),
            owner: members.optional("owner", string(owner)),
            deployment_env: members
                .optional("deploymentEnv", string(one_of(DeploymentEnv::ALL, DeploymentEnv::as_str))),
            status: members.optional("status", string(one_of(AgentStatus::ALL, AgentStatus::as_str))),
        };
        members.finish(Some(patch))
    }

    /// The agent as it will be.
    pub(crate) fn apply(&self, agent: &Agent) -> Agent {
        Agent {
            agent_type: self.agent_type.unwrap_or(agent.agent_type),
            version: self.version.as_ref().unwrap_or(&agent.version).clone(),
            capabilities: self.capabilities.as_ref().unwrap_or(&agent.capabilities).clone(),
            owner: self.owner.as_ref().unwrap_or(&agent.owner).clone(),
            deployment_env: self.deployment_env.unwrap_or(agent.deployment_env),
            status: self.status.unwrap_or(agent.status),
            ..agent.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn sound() -> Value {
        json!({
            "email": "screener@agents.example.com",
            "agentType": "screener",
            "version": "1.4.0",
            "capabilities": ["resume:read", "email:*"],
            "owner": "Recruiting",
            "deploymentEnv": "production",
        })
    }

    fn with(name: &str, value: Value) -> Vec<u8> {
        let mut body = sound();
        body[name] = value;
        body.to_string().into_bytes()
    }

    #[test]
    fn unknown_members_are_ignored() {
        let plain = NewAgent::parse(sound().to_string().as_bytes()).unwrap();
        assert_eq!(NewAgent::parse(&with("nested", json!({"status": "suspended"}))).unwrap(), plain);
        assert_eq!(plain.agent_type, AgentType::Screener);
    }

    #[test]
    fn every_member_is_required_and_each_failing_one_is_named() {
        assert_eq!(
            NewAgent::parse(b"{}").unwrap_err().fields(),
            ["agentType", "capabilities", "deploymentEnv", "email", "owner", "version"]
        );
        for name in ["email", "agentType", "version", "capabilities", "owner", "deploymentEnv"] {
            for wrong in [json!(null), json!(1), json!(true), json!({}), json!([[]]), json!("\u{0}"), json!("Ñ:")] {
                // Any text without control characters is an owner.
                if (name, &wrong) != ("owner", &json!("Ñ:")) {
                    assert_eq!(NewAgent::parse(&with(name, wrong.clone())).unwrap_err().fields(), [name], "{wrong}");
                }
            }
        }
    }

    #[test]
    fn names_of_enums_are_exact() {
        for wrong in ["Screener", "screener ", "", "unknown"] {
            assert_eq!(NewAgent::parse(&with("agentType", json!(wrong))).unwrap_err().fields(), ["agentType"]);
        }
    }

    #[test]
    fn a_patch_changes_what_it_names() {
        let patch = AgentPatch::parse(br#"{"owner": "Sales", "status": "suspended", "unknown": 1}"#).unwrap();
        let now = Timestamp::parse("2026-03-28T09:00:00Z").unwrap();
        let new = NewAgent::parse(sound().to_string().as_bytes()).unwrap();
        let before = new.into_agent(Uuid::nil(), now);
        let expected = Agent { owner: "Sales".to_owned(), status: AgentStatus::Suspended, ..before.clone() };
        assert_eq!(patch.apply(&before), expected);
    }

    #[test]
    fn what_a_patch_may_not_do() {
        let table = [
            (r"{}", vec!["body"]),
            (r#"{"unknown": 1, "createdAt": "2026-03-28T09:00:00Z"}"#, vec!["body"]),
            (r#"{"email": "a@b.co", "owner": "x"}"#, vec!["email"]),
            (r#"{"agentId": null, "owner": "x"}"#, vec!["agentId"]),
            (r#"{"owner": null}"#, vec!["owner"]),
            (r#"{"status": "deleted", "version": "1"}"#, vec!["status", "version"]),
            (r#"{"capabilities": []}"#, vec!["capabilities"]),
        ];
        for (body, fields) in table {
            assert_eq!(AgentPatch::parse(body.as_bytes()).unwrap_err().fields(), fields, "{body}");
        }
    }
}
