//! What an answer tells, and what rows and trail tell where there was none.

use agentidp_server::domain::AgentStatus;
use uuid::Uuid;

use super::asking::{Ask, What};
use super::life::{Life, Outage};
use super::world::World;
use crate::site::Reply;

impl World {
    /// `together`: something else was under way. `rotated`: how often the trail tells of a rotation by now.
    pub(super) fn learn(&mut self, ask: &Ask, reply: &Reply, together: bool, rotated: &dyn Fn(&Uuid) -> usize) {
        let agent = ask.agent;
        match (&ask.what, reply.status) {
            (What::Verify(..), _) => self.learn_verified(ask, reply, together),
            (What::Create(_), 201) | (What::Rotate(_), 200) => self.learn_secret(ask, reply, rotated),
            (What::Revoke, 204) => self.life_of(ask).ended = true,
            (What::Decommission, 204) => self.end(agent),
            (What::Suspend, 200) => drop(self.suspended_agents.insert(agent)),
            (What::Reactivate, 200) => drop(self.suspended_agents.remove(&agent)),
            _ => self.learn_refused(ask, reply, together),
        }
    }

    fn learn_secret(&mut self, ask: &Ask, reply: &Reply, rotated: &dyn Fn(&Uuid) -> usize) {
        let (agent, id, secret, expires_at) = (ask.agent, reply.id("credentialId"), reply.secret(), reply.expires_at());
        self.shown.push((agent, secret.clone()));
        if let Some(place) = ask.keyed {
            let made = self.keyed[place].made.replace(id);
            let expected = if reply.is_replay() { Some(id) } else { None };
            assert_eq!(made, expected, "made once, {reply:?}");
        }
        if matches!(ask.what, What::Create(_)) && !reply.is_replay() {
            return self.lives.push(Life::new(agent, id, Some(secret), expires_at));
        }
        let life = self.lives.iter_mut().find(|life| life.id == id).expect("a credential that was made");
        if reply.is_replay() && rotated(&id) == life.rotations {
            // It was read back.
            life.current.get_or_insert(secret);
            return;
        }
        assert!(!reply.is_replay() || (!life.used && !life.ended), "a replay replaces what nobody has used: {life:?}");
        life.rotated(Some(secret), expires_at);
    }

    fn learn_refused(&mut self, ask: &Ask, reply: &Reply, together: bool) {
        let (status, code) = reply.failure();
        let keyed = ask.keyed.map(|place| &self.keyed[place]);
        let made = keyed.is_some_and(|keyed| keyed.made.is_some());
        let is_expected = match (status, code.as_str()) {
            (403, "AGENT_NOT_ACTIVE") => {
                self.ended_agents.contains(&ask.agent) || self.suspended_agents.contains(&ask.agent)
            }
            (409, "AGENT_ALREADY_DECOMMISSIONED") => self.ended_agents.contains(&ask.agent),
            (409, "CREDENTIAL_ALREADY_REVOKED") => self.life_of(ask).ended,
            (409, "IDEMPOTENCY_KEY_IN_USE") => together || keyed.is_some_and(|keyed| keyed.lost),
            (409, "IDEMPOTENCY_SECRET_NOT_SHOWN") => made,
            // Without a Vault, what lives in it cannot be rotated.
            (500, "VAULT_WRITE_ERROR") => !self.vault_is_well(),
            (500, "VAULT_READ_ERROR") => made && !self.vault_is_well(),
            // A purge is under way.
            (503, "SERVICE_UNAVAILABLE") => together,
            _ => false,
        };
        assert!(is_expected, "{ask:?}: {reply:?}");
    }

    fn learn_verified(&mut self, ask: &Ask, reply: &Reply, together: bool) {
        let What::Verify(secret, was_right, was_suspended) = &ask.what else { return };
        let (right, suspended) = (self.is_right(ask.agent, secret), self.suspended_agents.contains(&ask.agent));
        match reply.status {
            200 => {
                assert!(*was_right || right, "{secret} is accepted");
                assert!(!(*was_suspended && suspended), "of a suspended agent");
                let is_of = |life: &&mut Life| life.agent == ask.agent && life.current.as_ref() == Some(secret);
                self.lives.iter_mut().filter(is_of).for_each(|life| life.used = true);
            }
            401 => assert!(!(*was_right && right), "{secret} is refused"),
            403 => assert!((*was_right || right) && (*was_suspended || suspended), "{reply:?}"),
            500 => {
                assert!(!self.vault_is_well(), "{reply:?}");
                assert_eq!(reply.failure().1, "VAULT_READ_ERROR");
            }
            503 => assert!(together, "{reply:?}"),
            _ => panic!("{reply:?}"),
        }
    }

    /// Rows and trail tell what has become of a request whose process died.
    pub(super) async fn find_out(&mut self, ask: &Ask) {
        let (mut rows, told) = (self.rows().await, self.told().await);
        let made = ask.keyed.and_then(|place| self.keyed[place].made);
        let count = |id, action: &str| told[&id].get(action).copied().unwrap_or_default();
        let mut makes = None;
        match &ask.what {
            What::Create(_) if made.is_none() => {
                rows.retain(|id, _| self.lives.iter().all(|life| life.id != *id));
                assert!(rows.len() <= 1, "{rows:?}");
                if let Some((id, row)) = rows.pop_first() {
                    self.lives.push(Life::new(ask.agent, id, None, row.expires_at));
                    makes = Some(id);
                }
            }
            What::Create(_) | What::Rotate(_) => {
                let id = made.or(ask.credential).unwrap();
                let life = self.lives.iter_mut().find(|life| life.id == id).expect("a credential that was made");
                if count(id, "credential.rotated") > life.rotations {
                    life.rotated(None, rows[&id].expires_at);
                    makes = Some(id);
                }
            }
            What::Revoke => {
                let life = self.life_of(ask);
                life.ended |= count(life.id, "credential.revoked") == 1;
            }
            What::Decommission | What::Suspend | What::Reactivate => {
                let found = self.repos.agents.find(ask.agent).await.unwrap().unwrap();
                match found.status {
                    AgentStatus::Decommissioned => self.end(ask.agent),
                    AgentStatus::Suspended => drop(self.suspended_agents.insert(ask.agent)),
                    _ => drop(self.suspended_agents.remove(&ask.agent)),
                }
            }
            What::Purge | What::Verify(..) => {}
        }
        if let Some(place) = ask.keyed {
            let keyed = &mut self.keyed[place];
            (keyed.made, keyed.lost) = (keyed.made.or(makes), true);
        }
    }

    fn vault_is_well(&self) -> bool {
        self.mode.vault && self.outage == Outage::None
    }

    fn life_of(&mut self, ask: &Ask) -> &mut Life {
        self.lives.iter_mut().find(|life| Some(life.id) == ask.credential).expect("its credential")
    }
}
