//! The scenes of the [small world](super::small): what there is of a credential, and what is asked of the two replicas at once.

use std::ops::AddAssign;
use std::time::Duration;

use tokio::time::sleep;

use super::fault::Fault;
use super::operations::Audit;
use super::replica::{Cluster, Replica};
use super::report::Violation;
use super::schedule::{EVERYTHING_HAS_ARRIVED, ask};
use super::seen::{Kind, MOUNTS, Setting};
use super::small::Small;
use super::world::World;
use super::{Chance, end, login, play, rates};
use crate::credential::CredentialKey;
use crate::error::{Error, ErrorKind, Result};
use crate::lifecycle::{DebtKind, Ledger as _, Note, OpenWrite, OpenWriteKind, Revision, SecretDigest};
use crate::record::StoredSecret;
use crate::secret::ClientSecret;

const OVERLAP: Duration = Duration::from_secs(3600);

/// How much was gone through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explored {
    /// Beginnings, and pairs of what is asked.
    pub scenes: u64,
    /// Runs, each from the beginning of its scene.
    pub runs: u64,
    /// States, of which no two are alike.
    pub states: u64,
}

/// What a replica is asked.
#[derive(Clone, Copy, Debug)]
enum Asked {
    Change(Kind),
    Login,
    Round,
}

const ASKED: [Asked; 4] = [Asked::Change(Kind::Rotate(OVERLAP)), Asked::Change(Kind::End), Asked::Login, Asked::Round];

/// What there is of the credential.
#[derive(Clone, Copy, Debug)]
enum Form {
    /// A digest; new secrets go to a mount.
    Digest,
    /// A path that means its latest version.
    Bare,
    /// A pinned version, after a rotation whose overlap lasts.
    Pinned,
    /// It has moved from the mount to digests, and owes what it has left.
    Left,
    /// The version that the row pins was pushed out by a repair whose commit never came. New secrets go to the other mount, and a replica
    /// may not have been given this one.
    Unrepaired { blind: Option<usize> },
}

/// A beginning, and what two replicas are asked at once.
#[derive(Clone, Copy, Debug)]
pub struct Scene {
    form: Form,
    asked: [Asked; 2],
}

impl AddAssign for Explored {
    fn add_assign(&mut self, other: Self) {
        self.scenes += other.scenes;
        self.runs += other.runs;
        self.states += other.states;
    }
}

impl Scene {
    /// All of them.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let pairs =
            (0..ASKED.len()).flat_map(|first| (first..ASKED.len()).map(move |second| [ASKED[first], ASKED[second]]));
        let unrepaired = [None, Some(0), Some(1)].map(|blind| Form::Unrepaired { blind });
        let forms = [Form::Digest, Form::Bare, Form::Pinned, Form::Left].into_iter().chain(unrepaired);
        pairs.flat_map(|asked| forms.clone().map(move |form| Self::new(form, asked))).collect()
    }

    /// Where a replica is without the mount, a rotation has no overlap: it may leave the secret there, and not what it does not know.
    fn new(form: Form, asked: [Asked; 2]) -> Self {
        let asked = asked.map(|asked| match (form, asked) {
            (Form::Unrepaired { blind: Some(_) }, Asked::Change(Kind::Rotate(_))) => {
                Asked::Change(Kind::Rotate(Duration::ZERO))
            }
            (_, asked) => asked,
        });
        Self { form, asked }
    }

    /// Goes through it whole.
    ///
    /// # Errors
    /// [`Violation`]: the first rule that does not hold, with what happened until then.
    pub fn explore(self, fault: Option<Fault>) -> Result<Explored, Violation> {
        let (mut small, mut runs) = (Small::default(), 0);
        small.again();
        loop {
            let violation;
            (small, violation) = one(small, self, fault, false);
            runs += 1;
            if violation.is_some() {
                small.again();
                let (_, again) = one(small, self, fault, true);
                return Err(again.or(violation).unwrap_or_else(|| Violation::of("it repeats exactly")));
            }
            if !small.next() {
                return Ok(Explored { scenes: 1, runs, states: small.states.len() as u64 });
            }
        }
    }
}

fn one(small: Small, scene: Scene, fault: Option<Fault>, with_history: bool) -> (Small, Option<Violation>) {
    play(
        || {
            let mut world = World::new(Chance::new(1), fault, with_history);
            // Nothing is left to chance.
            world.rates = rates::Rates::default();
            world.set_versions_kept(if matches!(scene.form, Form::Unrepaired { .. }) { 2 } else { 3 });
            world.small = Some(small);
            world
        },
        |cluster| drive(cluster, scene),
        |world, violation, _| (world.small.take().unwrap_or_default(), violation),
    )
    .unwrap_or_else(|violation| (Small::default(), Some(violation)))
}

async fn drive(cluster: Cluster, scene: Scene) {
    let world = cluster.world.clone();
    let begun = begin(&cluster, scene.form).await;
    let key = match begun {
        Ok(key) => key,
        Err(error) => return world.lock().violate("a scene begins", |_| error.to_string()),
    };
    world.lock().tell(|_| format!("{scene:?}"));
    open(&cluster, true);
    for (replica, asked) in scene.asked.into_iter().enumerate() {
        if let Some(replica) = cluster.at(replica) {
            begin_to(replica, &key, asked);
        }
    }
    sleep(EVERYTHING_HAS_ARRIVED).await;
    let is_known = {
        let mut guard = world.lock();
        let Some(mut small) = guard.small.take() else { return };
        let portrait = guard.portrait(&small, true);
        small.is_known |= !small.states.insert(portrait);
        let is_known = small.is_known;
        guard.small = Some(small);
        is_known
    };
    if !is_known {
        open(&cluster, false);
        cluster.give_all_backends();
        end::settle(&cluster).await;
    }
}

fn open(cluster: &Cluster, is_open: bool) {
    if let Some(small) = &mut cluster.world.lock().small {
        small.is_open = is_open;
    }
}

/// Puts the credential there, starts the replicas, and does what comes before.
async fn begin(cluster: &Cluster, form: Form) -> Result<CredentialKey> {
    let key = CredentialKey::parse("client", "c0")?;
    let primary = match form {
        Form::Left => MOUNTS,
        Form::Unrepaired { .. } => 1,
        Form::Digest | Form::Bare | Form::Pinned => 0,
    };
    {
        let mut world = cluster.world.lock();
        let blind = if let Form::Unrepaired { blind } = form { blind } else { None };
        world.setting = Setting { primary, second: primary, blind, ..Setting::default() };
        world.oracle.keys.push(key.clone());
        match form {
            Form::Digest => world.import_a_digest(&key)?,
            Form::Bare => world.import_a_version(&key, 0, 1, false)?,
            Form::Pinned | Form::Left | Form::Unrepaired { .. } => world.import_a_version(&key, 0, 0, true)?,
        }
        world.accept();
        world.name_the_known();
    }
    cluster.start(2);
    if matches!(form, Form::Pinned | Form::Left) {
        if let Some(replica) = cluster.at(0) {
            let overlap = if matches!(form, Form::Pinned) { OVERLAP } else { Duration::ZERO };
            let number = cluster.world.lock().begin(&key, Kind::Rotate(overlap));
            let audit = Audit { site: replica.site.clone(), operation: number };
            let answer = replica.life.rotate(&key, overlap, audit).await;
            cluster.world.lock().answered(number, answer.map(Some));
        }
    }
    if let (Form::Unrepaired { .. }, Some(replica)) = (form, cluster.at(0)) {
        leave_a_repair(&replica, &key).await?;
    }
    Ok(key)
}

/// On top of the version that the row pins lies one that was never committed; over that the current secret was written anew, and the
/// process died. What a move has left that failed lies at the other mount.
async fn leave_a_repair(replica: &Replica, key: &CredentialKey) -> Result<()> {
    let gone = || Error::new(ErrorKind::NotFound, "the scene's secret is not there");
    let (memory, lease_until, current) = {
        let world = replica.site.world.lock();
        let current = world.oracle.meaning(key).and_then(|meaning| meaning.current.clone());
        (world.ledger.clone(), world.now(), current.ok_or_else(gone)?)
    };
    let (place, attempt) = (StoredSecret::parse(&format!("{{mount-0}}{key}"))?, Revision::fresh()?);
    let digests = SecretDigest::of_current(&current, replica.life.store().formats())?.into_iter().collect();
    let open = OpenWrite { kind: OpenWriteKind::Repair, place, base: 1, attempt, digests, lease_until };
    let left = StoredSecret::parse(&format!("{{mount-1}}{key}"))?;
    let mut note = Note { open: Some(open), ..Note::default() };
    note.owe(left, DebtKind::Rest, lease_until);
    let mut tx = memory.begin().await.map_err(|_| gone())?;
    memory.note(&mut tx, key, Some(&note)).await.map_err(|_| gone())?;
    memory.commit(tx).await.map_err(|_| gone())?;
    let mut world = replica.site.world.lock();
    world.next_version(0, key, ClientSecret::generate()?);
    world.next_version(1, key, ClientSecret::generate()?);
    world.next_version(0, key, current);
    Ok(())
}

fn begin_to(replica: Replica, key: &CredentialKey, asked: Asked) {
    match asked {
        Asked::Change(kind) => {
            let number = replica.site.world.lock().begin(key, kind);
            ask(replica, key.clone(), kind, number);
        }
        Asked::Login => {
            let current = replica.site.world.lock().oracle.meaning(key).and_then(|meaning| meaning.current.clone());
            if let Some(current) = current {
                login::begin_with(&replica, key, current);
            }
        }
        Asked::Round => {
            let site = replica.site.clone();
            site.spawn(Box::pin(async move {
                replica.life.round().await;
            }));
        }
    }
}
