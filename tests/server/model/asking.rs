//! Requests, and when their answers are taken note of.

use agentidp_server::domain::Timestamp;
use agentidp_server::workers::purge;
use futures_util::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;

use super::life::Act;
use super::world::World;
use crate::site::{Reply, Site};

/// Something that is asked of the server.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) agent: Uuid,
    /// The credential that it is about, where there is one by now.
    pub(super) credential: Option<Uuid>,
    /// Its place among the requests with a key.
    pub(super) keyed: Option<usize>,
    pub(super) what: What,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    /// A body.
    Create(Value),
    Rotate(Value),
    Revoke,
    Decommission,
    Suspend,
    Reactivate,
    Purge,
    /// The secret, and whether it was right, and the agent suspended, when the request was made.
    Verify(String, bool, bool),
}

/// A request with a key.
#[derive(Debug)]
pub(super) struct Keyed {
    agent: Uuid,
    credential: Option<Uuid>,
    what: What,
    /// What it has made or rotated.
    pub(super) made: Option<Uuid>,
    /// It died with its process, which may have left a claim.
    pub(super) lost: bool,
}

impl World {
    /// Asks for all of it at once.
    pub(super) async fn act(&mut self, acts: &[Act]) {
        self.tick();
        let mut asks = Vec::new();
        for act in acts {
            asks.extend(self.ask(*act));
        }
        let replies = tokio::select! {
            replies = join_all(asks.iter().map(|ask| ask.send(&self.site))) => Some(replies),
            () = self.fate.death() => None,
        };
        self.fate.rest().await;
        match replies {
            Some(replies) => self.learn_all(asks.iter().zip(replies).collect()).await,
            // Nobody was told what has become of it; rows and trail have to agree on that.
            None => {
                self.restart(self.mode);
                for ask in &asks {
                    self.find_out(ask).await;
                }
                assert_eq!(self.rows().await.len(), self.lives.len(), "rows that nobody asked for");
            }
        }
    }

    async fn learn_all(&mut self, told: Vec<(&Ask, Option<Reply>)>) {
        let (rows, trail) = (self.rows().await, self.told().await);
        // As it must have happened: what was done, ahead of what was refused because of that. Of two rotations the row has
        // the later one; a secret that was replaced was not used before.
        let order = |(ask, reply): &(&Ask, Option<Reply>)| match (&ask.what, reply) {
            (What::Purge, _) | (_, None) => 0,
            (What::Verify(..), Some(reply)) if reply.status == 200 => 4,
            (_, Some(reply)) if reply.status >= 300 => 6,
            (_, Some(reply)) if reply.is_replay() => 5,
            (What::Rotate(_), Some(reply)) => {
                let of_row = rows[&ask.credential.unwrap()].expires_at;
                1 + u8::from(reply.expires_at() == of_row)
            }
            (What::Create(_), _) => 2,
            _ => 3,
        };
        let mut told = told;
        told.sort_by_key(order);
        let together = told.len() > 1;
        for (ask, reply) in told {
            if let Some(reply) = reply {
                let rotated = |id: &Uuid| trail.get(id).and_then(|told| told.get("credential.rotated")).copied();
                self.learn(ask, &reply, together, &|id| rotated(id).unwrap_or_default());
            }
        }
    }

    fn ask(&mut self, act: Act) -> Option<Ask> {
        let (agents, site) = (self.agents.clone(), &self.site);
        let body = |minutes: Option<u64>| minutes.map_or(Value::Null, |minutes| expiry(site.app.now(), minutes));
        let of_agent = |number: usize, what| Some(Ask { agent: agents[number], credential: None, keyed: None, what });
        let life = |number: usize| self.lives.get(number % self.lives.len().max(1));
        let of_life = |number: usize, what| {
            life(number).map(|life| Ask { agent: life.agent, credential: Some(life.id), keyed: None, what })
        };
        match act {
            Act::Create(number, minutes) => of_agent(number, What::Create(body(minutes))),
            Act::Suspend(number) => of_agent(number, What::Suspend),
            Act::Reactivate(number) => of_agent(number, What::Reactivate),
            Act::Decommission(number) => of_agent(number, What::Decommission),
            Act::Purge => of_agent(0, What::Purge),
            Act::Rotate(number, minutes) => of_life(number, What::Rotate(body(minutes))),
            Act::Revoke(number) => of_life(number, What::Revoke),
            Act::CreateOnce(number) => of_agent(number, What::Create(Value::Null)).map(|ask| self.with_key(ask)),
            Act::RotateOnce(number) => of_life(number, What::Rotate(Value::Null)).map(|ask| self.with_key(ask)),
            Act::Again(number) => {
                let place = self.keyed.len().checked_sub(1 + number % self.keyed.len().max(1))?;
                let Keyed { agent, credential, what, .. } = &self.keyed[place];
                Some(Ask { agent: *agent, credential: *credential, keyed: Some(place), what: what.clone() })
            }
            Act::Verify(number) => {
                let never = (self.agents[0], format!("sk_live_{}", "0".repeat(64)));
                let (agent, secret) = self.shown.get(number % (self.shown.len() + 1)).cloned().unwrap_or(never);
                let (right, suspended) = (self.is_right(agent, &secret), self.suspended_agents.contains(&agent));
                Some(Ask { agent, credential: None, keyed: None, what: What::Verify(secret, right, suspended) })
            }
        }
    }

    fn with_key(&mut self, ask: Ask) -> Ask {
        let Ask { agent, credential, what, .. } = ask;
        self.keyed.push(Keyed { agent, credential, what: what.clone(), made: None, lost: false });
        Ask { agent, credential, keyed: Some(self.keyed.len() - 1), what }
    }
}

impl Ask {
    /// None where nobody answers.
    async fn send(&self, site: &Site) -> Option<Reply> {
        let credentials = format!("/agents/{}/credentials", self.agent);
        let credential = format!("{credentials}/{}", self.credential.unwrap_or_default());
        let patch = |status: &str| json!({ "status": status });
        let agent = format!("/agents/{}", self.agent);
        Some(match &self.what {
            What::Create(body) => self.post(site, &credentials, body).await,
            What::Rotate(body) => self.post(site, &format!("{credential}/rotate"), body).await,
            What::Revoke => site.call("DELETE", &credential, Value::Null).await,
            What::Decommission => site.call("DELETE", &agent, Value::Null).await,
            What::Suspend => site.call("PATCH", &agent, patch("suspended")).await,
            What::Reactivate => site.call("PATCH", &agent, patch("active")).await,
            What::Verify(secret, ..) => site.grant(self.agent, secret).await,
            What::Purge => {
                purge::round(&site.app).await;
                return None;
            }
        })
    }

    async fn post(&self, site: &Site, path: &str, body: &Value) -> Reply {
        match self.keyed {
            Some(place) => site.keyed(&site.operator, &place.to_string(), path, "").await,
            None => site.call("POST", path, body.clone()).await,
        }
    }
}

impl Reply {
    pub(super) fn expires_at(&self) -> Option<Timestamp> {
        serde_json::from_value(self.json()["expiresAt"].clone()).unwrap()
    }
}

fn expiry(now: Timestamp, minutes: u64) -> Value {
    json!({ "expiresAt": now.plus(std::time::Duration::from_secs(60 * minutes)) })
}
