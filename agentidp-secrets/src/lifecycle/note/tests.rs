//! The steps keep their rules, whatever comes in whichever order.

use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use super::{Claim, Debt, DebtKind, Note, OpenWrite, OpenWriteKind, Opened};
use crate::credential::CredentialKey;
use crate::lifecycle::digest::SecretDigest;
use crate::lifecycle::revision::Revision;
use crate::lifecycle::rows::{Row, State};
use crate::record::{BackendId, StoredSecret};

const LEASE: Duration = Duration::from_secs(30);
const CLAIM: Duration = Duration::from_secs(60);

/// Where the current secret is, while the credential is active.
const CURRENT: u8 = 0;

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn place(number: u8) -> StoredSecret {
    StoredSecret::new(BackendId::MEMORY, format!("place {number}"))
}

fn attempt(number: u8) -> Revision {
    Revision::from_bytes([number; 16])
}

fn digest(number: u16, is_current: bool) -> SecretDigest {
    let current = if is_current { "current:" } else { "" };
    SecretDigest::parse(&format!("{current}{number:032x}:{number:064x}"))
}

fn state(is_active: bool) -> State {
    if !is_active {
        return State::Ended;
    }
    let key = CredentialKey::parse("agent-7", "credential-1").unwrap();
    State::Active(Box::new(Row::new(key, Some(place(CURRENT).into()), None)))
}

/// What a sequence, or the work in the background, does to a note.
#[derive(Clone, Debug)]
enum Step {
    Open(OpenWrite),
    Renew(u8),
    Close(u8),
    EndLease(u8),
    DropRepair(u8),
    Redeem(u8),
    Owe(u8, DebtKind, u64),
    KeepInMind(u8),
    Void(u8),
    End,
    Claim,
    /// By one of the claims so far.
    Done(usize),
    Failed(usize),
    Wait(u64),
}

fn kinds() -> impl Strategy<Value = OpenWriteKind> {
    use OpenWriteKind::{Blank, Create, Move, Pin, Repair, Rotate};
    prop_oneof![Just(Create), Just(Move), Just(Rotate), Just(Repair), Just(Pin), Just(Blank)]
}

fn debt_kinds() -> impl Strategy<Value = DebtKind> {
    prop_oneof![Just(DebtKind::Delete), Just(DebtKind::Blank), Just(DebtKind::Rest)]
}

fn open_writes() -> impl Strategy<Value = OpenWrite> {
    let digests = prop::collection::vec((any::<u16>(), any::<bool>()), 0..3);
    (kinds(), 0..3_u8, 0..3_u64, 0..4_u8, digests).prop_map(|(kind, at_place, base, of, digests)| OpenWrite {
        kind,
        place: place(at_place),
        base,
        attempt: attempt(of),
        digests: digests.into_iter().map(|(number, is_current)| digest(number, is_current)).collect(),
        // Set when it is opened.
        lease_until: SystemTime::UNIX_EPOCH,
    })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => open_writes().prop_map(Step::Open),
        1 => (0..4_u8).prop_map(Step::Renew),
        1 => (0..4_u8).prop_map(Step::Close),
        1 => (0..4_u8).prop_map(Step::EndLease),
        1 => (0..4_u8).prop_map(Step::DropRepair),
        2 => (0..4_u8).prop_map(Step::Redeem),
        3 => (0..3_u8, debt_kinds(), 0..100_u64).prop_map(|(at, kind, wait)| Step::Owe(at, kind, wait)),
        1 => (0..3_u8).prop_map(Step::KeepInMind),
        1 => (0..3_u8).prop_map(Step::Void),
        1 => Just(Step::End),
        4 => Just(Step::Claim),
        2 => any::<usize>().prop_map(Step::Done),
        2 => any::<usize>().prop_map(Step::Failed),
        3 => (0..90_u64).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 0..40)
}

/// A note, and what the holders of its leases and claims believe.
struct Walk {
    note: Note,
    now: SystemTime,
    is_active: bool,
    /// Whose write is open, and until when nobody else may take it over.
    holder: Option<(Revision, SystemTime)>,
    /// Every claim so far.
    claims: Vec<Claim>,
    /// Those that were neither carried out nor given up.
    held: Vec<(StoredSecret, SystemTime)>,
}

impl Walk {
    fn new() -> Self {
        let (note, now) = (Note::default(), at(1_000_000));
        Self { note, now, is_active: true, holder: None, claims: Vec::new(), held: Vec::new() }
    }

    fn take(&mut self, step: Step) {
        let (before, now) = (self.note.clone(), self.now);
        match step {
            Step::Open(write) => self.open(OpenWrite { lease_until: now + LEASE, ..write }),
            Step::Renew(of) => {
                let is_ours = self.note.renew(attempt(of), now + LEASE);
                assert_eq!(is_ours, before.is_of(attempt(of)), "a lease is renewed by its attempt only");
                if is_ours {
                    self.holder = Some((attempt(of), now + LEASE));
                }
            }
            Step::Close(of) => self.let_go(of, |note| note.close(attempt(of), now)),
            Step::EndLease(of) => self.let_go(of, |note| note.end_lease(attempt(of), now)),
            Step::DropRepair(of) => self.let_go(of, |note| note.drop_repair(attempt(of), now)),
            Step::Redeem(of) => self.let_go(of, |note| {
                assert_eq!(note.redeem(attempt(of)), before.is_of(attempt(of)), "redeemed by its attempt only");
                assert!(!note.is_of(attempt(of)), "what was redeemed is not open any more");
            }),
            Step::Owe(of, kind, wait) => self.note.owe(place(of), kind, now + Duration::from_secs(wait)),
            Step::KeepInMind(of) => self.note.keep_in_mind(place(of)),
            Step::Void(of) => self.note.void(&place(of)),
            Step::End => {
                (self.is_active, self.holder) = (false, None);
                self.note.end([place(CURRENT)], now);
                let all_deleted = self.note.debts.iter().all(|debt| debt.kind == DebtKind::Delete);
                assert!(all_deleted && self.note.open.is_none(), "after the end everything is deleted");
                let places =
                    before.debts.iter().map(|debt| &debt.place).chain(before.open.iter().map(|open| &open.place));
                for place in places.chain([&place(CURRENT)]) {
                    assert!(self.note.debts.iter().any(|debt| debt.place == *place), "the end forgets no place");
                }
            }
            Step::Claim => self.claim(),
            Step::Done(which) => self.settle(which, |note, claim| note.done(claim, now)),
            Step::Failed(which) => self.settle(which, |note, claim| note.failed(claim, now + LEASE)),
            Step::Wait(seconds) => self.now += Duration::from_secs(seconds),
        }
        // A debt that is void takes its claim along.
        let debts = &self.note.debts;
        self.held.retain(|(place, _)| debts.iter().any(|debt| debt.place == *place));
        for (index, debt) in debts.iter().enumerate() {
            assert!(debts[..index].iter().all(|other| other.place != debt.place), "one debt a place");
        }
        assert_eq!(Note::parse(&self.note.to_text()).unwrap(), self.note, "the text reads back");
    }

    fn open(&mut self, write: OpenWrite) {
        let (before, now) = (self.note.open.clone(), self.now);
        match self.note.open(write.clone(), now) {
            Opened::Busy => {
                assert_eq!(self.note.open, before, "an attempt that has to wait changes nothing");
                let (holder, until) = self.holder.expect("somebody holds it");
                assert!(holder != write.attempt && until > now, "an attempt waits for a lease of another one only");
            }
            Opened::Ours(left) => {
                let others = self.holder.filter(|(holder, until)| *holder != write.attempt && *until > now);
                assert_eq!(others, None, "two hold one write");
                self.holder = Some((write.attempt, write.lease_until));
                let open = self.note.open.as_ref().unwrap();
                let same = before
                    .as_ref()
                    .is_some_and(|found| (&found.place, found.base) == (&write.place, write.base) && write.base > 0);
                for left in before.iter().map(|found| &found.place).filter(|left| **left != write.place) {
                    let is_kept = self.note.debts.iter().any(|debt| debt.place == *left);
                    assert!(is_kept, "a place where a write may still arrive is kept in mind");
                }
                let earlier = before.map(|found| found.digests).unwrap_or_default();
                for digest in open.digests.iter().filter(|digest| !write.digests.contains(digest)) {
                    assert!(same && earlier.contains(digest), "digests stay for the same place and base only");
                }
                for digest in left.iter().flatten() {
                    assert!(same && earlier.contains(digest), "what is taken over is of the same place and base");
                }
                let all = |digests: &[SecretDigest]| digests.iter().all(|digest| open.digests.contains(digest));
                assert!(all(&write.digests) && (!same || all(&earlier)), "no digest is lost that is still of use");
            }
        }
    }

    /// A step by which an attempt gives up its lease. Another's changes nothing.
    fn let_go(&mut self, of: u8, step: impl FnOnce(&mut Note)) {
        let before = self.note.clone();
        step(&mut self.note);
        if before.is_of(attempt(of)) {
            self.holder = None;
            assert_eq!(self.note.debts, before.debts);
        } else {
            assert_eq!(self.note, before, "only its attempt changes an open write");
        }
    }

    /// As `Lifecycle` claims: what is dead is settled first.
    fn claim(&mut self) {
        let now = self.now;
        let counting = if self.is_active { vec![(place(CURRENT), None)] } else { Vec::new() };
        self.note.settle_dead(&state(self.is_active), &counting, now);
        self.held.retain(|(place, _)| self.note.debts.iter().any(|debt| debt.place == *place));
        let Some(claim) = self.note.claim(now, now + CLAIM, |_| true) else { return };
        if self.is_active {
            assert_ne!(claim.debt.kind, DebtKind::Delete, "no place of an active credential is deleted");
            assert_ne!(claim.debt.place, place(CURRENT), "no place is blanked where something counts");
        }
        assert_ne!(claim.debt.kind, DebtKind::Rest);
        let held = self.held.iter().any(|(place, until)| *place == claim.debt.place && *until > now);
        assert!(!held, "two hold one claim");
        self.held.push((claim.debt.place.clone(), claim.until));
        self.claims.push(claim);
    }

    fn settle(&mut self, which: usize, step: impl FnOnce(&mut Note, &Claim)) {
        let Some(claim) = self.claims.get(which % self.claims.len().max(1)).cloned() else { return };
        let before = self.note.clone();
        step(&mut self.note, &claim);
        let is_of = |debt: &&Debt| debt.place == claim.debt.place && debt.claimed_until == Some(claim.until);
        if before.debts.iter().any(|debt| is_of(&debt)) {
            assert!(!self.note.debts.iter().any(|debt| is_of(&debt)), "what was settled is not claimed any more");
            self.held.retain(|(place, until)| (place, *until) != (&claim.debt.place, claim.until));
        } else {
            assert_eq!(self.note, before, "only the holder of a claim settles it");
        }
    }
}

proptest! {
    #[test]
    fn every_order_of_steps_keeps_the_rules(steps in steps()) {
        let mut walk = Walk::new();
        for step in steps {
            walk.take(step);
        }
    }

    #[test]
    fn what_is_owed_at_the_end_is_deleted_four_times(steps in steps()) {
        let mut walk = Walk::new();
        for step in steps.into_iter().chain([Step::End]) {
            walk.take(step);
        }
        // An earlier claim is over after its time.
        walk.take(Step::Wait(100));
        let mut rounds = 0;
        while !walk.note.is_empty() {
            let claims = walk.claims.len();
            walk.take(Step::Claim);
            if walk.claims.len() > claims {
                walk.take(Step::Done(claims));
            } else {
                walk.take(Step::Wait(24 * 3600));
                rounds += 1;
            }
            prop_assert!(rounds < 9, "{:?}", walk.note);
        }
        prop_assert!(rounds >= 3, "each is repeated three times");
    }

    #[test]
    fn a_note_reads_back_from_its_text(
        place in "[ -~]{0,300}",
        digests in prop::collection::vec((any::<u16>(), any::<bool>()), 0..20),
        kind in kinds(),
        debt_kind in debt_kinds(),
        numbers in any::<(u64, u32, u32, u32)>(),
        claimed in prop::option::of(any::<u32>()),
    ) {
        let (base, attempts, deletions, due) = numbers;
        let place = StoredSecret::new(BackendId::MEMORY, place);
        let digests = digests.into_iter().map(|(number, is_current)| digest(number, is_current)).collect();
        let lease_until = at(u64::from(due)) + Duration::from_millis(u64::from(attempts));
        let open = OpenWrite { kind, place: place.clone(), base, attempt: attempt(7), digests, lease_until };
        let claimed_until = claimed.map(|seconds| at(u64::from(seconds)));
        let debt = Debt { place, kind: debt_kind, due: lease_until, claimed_until, attempts, deletions };
        for note in [
            Note { open: Some(open.clone()), debts: vec![debt.clone(), debt.clone()] },
            Note { open: Some(open), debts: Vec::new() },
            Note { open: None, debts: vec![debt] },
        ] {
            prop_assert_eq!(Note::parse(&note.to_text()).unwrap(), note);
        }
    }

    #[test]
    fn no_text_panics_and_no_error_repeats_it(text in ".{0,200}", words in "(open|debt) (rotate|delete)( [0-9a-f:{}]{1,20}){0,7}") {
        for text in [text, words] {
            if let Err(error) = Note::parse(&text) {
                prop_assert!(text.len() < 12 || !error.to_string().contains(&text));
            }
        }
    }
}

#[test]
fn a_lease_and_a_claim_of_a_wrong_clock_are_over() {
    let mut note = Note::default();
    let late = at(10_000_000);
    let write = |of, until| OpenWrite {
        kind: OpenWriteKind::Rotate,
        place: place(1),
        base: 1,
        attempt: attempt(of),
        digests: Vec::new(),
        lease_until: until,
    };
    assert_eq!(note.open(write(1, late + LEASE), late), Opened::Ours(None));
    note.owe(place(2), DebtKind::Blank, late);
    let first = note.claim(late, late + CLAIM, |_| true).unwrap();
    // The clock is set right: months earlier.
    let now = at(1_000_000);
    assert!(matches!(note.open(write(2, now + LEASE), now), Opened::Ours(Some(_))));
    let second = note.claim(now, now + CLAIM, |_| true).unwrap();
    let before = note.clone();
    note.done(&first, now);
    assert_eq!(note, before);
    note.done(&second, now);
    assert!(note.debts.iter().all(|debt| debt.claimed_until.is_none()));
}

#[test]
fn a_claim_is_settled_once_more_where_the_place_was_owed_meanwhile() {
    let (mut note, now) = (Note::default(), at(1_000_000));
    note.owe(place(1), DebtKind::Blank, now);
    let claim = note.claim(now, now + CLAIM, |_| true).unwrap();
    note.owe(place(1), DebtKind::Blank, now);
    assert!(note.claim(now, now + CLAIM, |_| true).is_none(), "the claim stands");
    note.done(&claim, now);
    assert!(note.claim(now, now + CLAIM, |_| true).is_some(), "it is blanked once more");
}

#[test]
fn a_create_whose_writer_died_becomes_a_deletion_and_a_rotation_does_not() {
    let now = at(1_000_000);
    let open = |kind| {
        let (place, attempt, digests) = (place(CURRENT), attempt(1), Vec::new());
        Note { open: Some(OpenWrite { kind, place, base: 0, attempt, digests, lease_until: now }), debts: Vec::new() }
    };
    let mut created = open(OpenWriteKind::Create);
    assert_eq!(created.due(), Some(now));
    created.settle_dead(&State::Absent, &[], now);
    assert!(created.open.is_none() && created.claim(now, now + CLAIM, |_| true).unwrap().debt.kind == DebtKind::Delete);
    let mut rotated = open(OpenWriteKind::Rotate);
    assert_eq!(rotated.due(), None, "it waits for the next change");
    rotated.settle_dead(&state(true), &[(place(CURRENT), None)], now);
    assert_eq!(rotated, open(OpenWriteKind::Rotate));
}
