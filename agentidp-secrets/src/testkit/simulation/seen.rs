//! What a schedule is set to, and what has been seen of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use super::executor::{Owner, TaskId};
use crate::credential::{ClientId, CredentialKey};
use crate::lifecycle::State;
use crate::secret::ClientSecret;

/// Mounts with versions. Records of the third backend hold a digest.
pub(super) const MOUNTS: usize = 2;

/// What all processes of a schedule are set to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Setting {
    /// The backend for new secrets: a mount, or above them digests.
    pub(super) primary: usize,
    /// Another backend, and how many processes of a thousand are set to it.
    pub(super) second: usize,
    pub(super) others: u32,
    /// How many processes of a thousand were not given one of the other backends.
    pub(super) lacking: u32,
    /// A database that is not itself cannot find that out: the folder's entry is out of reach.
    pub(super) cannot_compare: bool,
    /// The replica that was not given the first mount.
    pub(super) blind: Option<usize>,
    pub(super) has_selectors: bool,
    /// How fast operations follow each other: at once, or with time for leases and overlaps to end.
    pub(super) pace: usize,
    /// Whether the database may be cloned.
    pub(super) may_clone: bool,
    /// Whether overlaps are looked at often, and time passes between.
    pub(super) sweeps: bool,
    /// Whether callers may retry a request whose secret they have not received.
    pub(super) retries: bool,
}

/// A change that a caller asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Issue,
    Rotate(Duration),
    /// The retry of a request whose answer, and with it the secret, may have been lost.
    Retry,
    EndPrevious,
    /// By a sweep: the previous secret was idle for so long.
    EndIdle(Duration),
    End,
}

pub(super) struct Operation {
    pub(super) key: CredentialKey,
    pub(super) kind: Kind,
    pub(super) began: SystemTime,
    /// How often its line is in the audit.
    pub(super) committed: u32,
    /// The current secret that was committed.
    pub(super) secret: Option<ClientSecret>,
    /// It has failed for sure, so no commit may come.
    pub(super) has_failed: bool,
    /// What the end of an overlap knows of its use.
    pub(super) idle: Option<Idle>,
}

/// What has been seen of credentials and secrets.
#[derive(Default)]
pub(super) struct Oracle {
    pub(super) keys: Vec<CredentialKey>,
    pub(super) seen: BTreeMap<CredentialKey, Seen>,
    /// Lines of the audit that were looked at.
    pub(super) lines: usize,
    secrets: BTreeMap<String, Origin>,
    /// What counted, in the order of time.
    pub(super) epochs: Vec<Epoch>,
    pub(super) used: Vec<Used>,
    pub(super) rotated: Vec<Rotated>,
    /// What each task has read last of a credential's use.
    pub(super) idle: BTreeMap<(TaskId, CredentialKey), Idle>,
    /// The next time at which a previous secret ends by itself.
    pub(super) until: Option<SystemTime>,
    /// What a standby has shown after its deletion, in a database that was put back.
    pub(super) lingering: BTreeSet<String>,
}

/// A credential as it was when last looked at.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) state: State,
    pub(super) meaning: Meaning,
    /// The overlap was over at some time, so that a clock that is put back gives the previous secret no right.
    pub(super) is_over: bool,
    /// A mount or the row was put back, and what the row vouches for was not all there.
    pub(super) is_lost: bool,
    /// Under the version that the row names another life has kept another secret, and nothing but a selector tells.
    pub(super) is_other: bool,
}

/// The secrets that a row vouches for.
#[derive(Clone, Default)]
pub(super) struct Meaning {
    pub(super) current: Option<ClientSecret>,
    pub(super) previous: Option<(ClientSecret, SystemTime)>,
}

impl Meaning {
    /// Whether one of the secrets is there and is not the one that it was.
    pub(super) fn is_another(&self, was: &Self) -> bool {
        let differ = |now: Option<&ClientSecret>, was: Option<&ClientSecret>| {
            now.zip(was).is_some_and(|(now, was)| !now.ct_eq(was))
        };
        let [now_before, was_before] = [self, was].map(|of| of.previous.as_ref().map(|(secret, _)| secret));
        differ(self.current.as_ref(), was.current.as_ref()) || differ(now_before, was_before)
    }

    /// With the current secret as it was where it is missing now, which is an outage. A previous one that is missing is a mismatch.
    pub(super) fn or(self, was: Self) -> Self {
        Self { current: self.current.or(was.current), ..self }
    }
}

/// What is known of a secret.
#[derive(Clone, Copy)]
pub(super) struct Origin {
    number: usize,
    /// A caller or a client has it: it was shown, presented, or was there from the beginning.
    pub(super) is_known: bool,
    /// The mounts where a row has vouched for it.
    pub(super) counted_at: [bool; MOUNTS],
}

/// A proof of a secret, which the lifecycle has noted.
pub(super) struct Used {
    pub(super) by: Owner,
    pub(super) key: CredentialKey,
    pub(super) secret: ClientSecret,
    pub(super) began: SystemTime,
    pub(super) ended: SystemTime,
    pub(super) is_written: bool,
}

/// A rotation, and when it was under way. What a login of that time has used may count for either secret.
pub(super) struct Rotated {
    pub(super) key: CredentialKey,
    pub(super) began: SystemTime,
    pub(super) committed: SystemTime,
}

/// A previous secret, and since when it is idle by what was written.
#[derive(Clone)]
pub(super) struct Idle {
    pub(super) previous: ClientSecret,
    pub(super) since: SystemTime,
}

/// What counts at a moment.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Epoch {
    pub(super) secrets: BTreeSet<(CredentialKey, String)>,
    pub(super) suspended: BTreeSet<ClientId>,
}

impl Oracle {
    /// Whether a version that a row of the client names holds what another life has written.
    pub(super) fn has_another_secret_of(&self, client: &ClientId) -> bool {
        self.seen.iter().any(|(key, seen)| seen.is_other && key.client_id() == client)
    }

    /// Whether the secret's overlap was over once, so that its version may be gone, and a clock that was put back lets it count.
    pub(super) fn was_over(&self, client: &ClientId, secret: &ClientSecret) -> bool {
        self.seen
            .iter()
            .filter(|(key, seen)| seen.is_over && key.client_id() == client)
            .any(|(_, seen)| seen.meaning.previous.as_ref().is_some_and(|(previous, _)| previous.ct_eq(secret)))
    }

    /// A short name of a secret, for the history.
    pub(super) fn alias(&self, secret: &ClientSecret) -> String {
        self.secrets
            .get(secret.expose_secret())
            .map_or_else(|| "a new secret".to_owned(), |known| format!("S{}", known.number))
    }

    pub(super) fn origin(&mut self, secret: &ClientSecret) -> &mut Origin {
        let number = self.secrets.len();
        let new = Origin { number, is_known: false, counted_at: [false; MOUNTS] };
        self.secrets.entry(secret.expose_secret().to_owned()).or_insert(new)
    }

    /// A client has it.
    pub(super) fn presented(&mut self, secret: &ClientSecret) {
        self.origin(secret).is_known = true;
    }

    /// The secrets that clients know of, the oldest first.
    pub(super) fn known(&self) -> Vec<String> {
        let mut known: Vec<_> = self.secrets.iter().filter(|(_, origin)| origin.is_known).collect();
        known.sort_by_key(|(_, origin)| origin.number);
        known.into_iter().map(|(text, _)| text.clone()).collect()
    }

    pub(super) fn origins(&self) -> impl Iterator<Item = (&str, (bool, [bool; MOUNTS]))> {
        self.secrets.iter().map(|(text, origin)| (text.as_str(), (origin.is_known, origin.counted_at)))
    }

    /// A credential as it was when last looked at.
    pub(super) fn state(&self, key: &CredentialKey) -> &State {
        self.seen.get(key).map_or(&State::Absent, |seen| &seen.state)
    }

    /// Whether a row has ever vouched for the secret at this mount, and no move there has failed that left it once more.
    pub(super) fn has_left(&self, secret: &ClientSecret, mount: usize) -> bool {
        self.secrets.get(secret.expose_secret()).is_some_and(|origin| origin.counted_at[mount])
    }

    /// A secret is written where its credential is not.
    pub(super) fn moves_in(&mut self, secret: &ClientSecret, mount: usize) {
        self.origin(secret).counted_at[mount] = false;
    }

    /// What the row of a credential means, as it was when it was committed.
    pub(super) fn meaning(&self, key: &CredentialKey) -> Option<&Meaning> {
        self.seen.get(key).map(|seen| &seen.meaning)
    }
}
