//! The catalogue of mistakes.

use crate::backend::Custody;

/// Declares the flaws: what each does wrong, in which kind of backend, and the check that catches it.
macro_rules! flaws {
    ($($(#[$doc:meta])* $flaw:ident: $custody:ident, $check:literal;)*) => {
        /// A mistake in a backend.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Flaw {
            $($(#[$doc])* $flaw,)*
        }

        impl Flaw {
            /// Every flaw.
            pub const ALL: &'static [Self] = &[$(Self::$flaw),*];

            /// In which kind of backend the flaw is shown.
            #[must_use]
            pub fn custody(self) -> Custody {
                match self {
                    $(Self::$flaw => Custody::$custody,)*
                }
            }

            /// The name of the check that catches it. Others may fail too.
            #[must_use]
            pub fn caught_by(self) -> &'static str {
                match self {
                    $(Self::$flaw => $check,)*
                }
            }
        }
    };
}

flaws! {
    /// Stores secrets that somebody chose, where it says that it takes generated ones only.
    AcceptsChosenSecret: Record, "chosen_secret_refused";
    /// Takes an empty candidate for the secret.
    AcceptsEmptyCandidate: Backend, "empty_candidate";
    /// Takes every beginning of the secret for the secret.
    AcceptsPrefix: Backend, "near_misses";
    /// Stores secrets that are longer than it says.
    AcceptsOversizeSecret: Backend, "oversize_secret_refused";
    /// Stores empty secrets and secrets with a NUL byte.
    AcceptsUnfitSecret: Record, "empty_or_nul_secret_refused";
    /// Writes the next version where it should find that a secret exists, as KV v2 does without check-and-set.
    AppendsOnStore: Backend, "store_refuses_overwrite";
    /// Takes an empty candidate for what is in a blank version.
    BlankIsEmptySecret: Backend, "blank_version_verifies_nothing";
    /// Keeps the candidate under way in a place that all calls share.
    ConfusesConcurrentCalls: Backend, "concurrent_verify";
    /// Cuts the candidate at a NUL byte.
    CutsAtNul: Backend, "near_misses";
    /// Says that its records are bound to their key, and does not look at the key.
    ClaimsBoundRecords: Record, "bound_record_verifies_nothing_elsewhere";
    /// Says that it only reads, and stores all the same.
    ClaimsReadsOnly: Record, "reads_only_writes_nothing";
    /// Calls a record that it cannot read a mismatch.
    DamagedIsMismatch: Record, "damaged_record_is_malformed";
    /// Calls a record of another backend a mismatch.
    ForeignIsMismatch: Record, "foreign_record_is_malformed";
    /// Keeps the first version when it is given the key alone.
    ForgetsLaterOnly: Backend, "forgotten_admits_nothing";
    /// Shows the latest secret, whichever version the record names.
    RevealsLatest: Backend, "revealed_is_what_was_stored";
    /// Revokes by a record of another backend.
    ForeignIsRevoked: Backend, "foreign_record_is_malformed";
    /// Compares without regard to case.
    IgnoresCase: Backend, "near_misses";
    /// Rotates whatever is the latest, whichever record it was given.
    IgnoresStaleRecord: Backend, "stale_rotate_conflicts";
    /// Makes a path of ids that it has not escaped.
    JoinsIds: Backend, "every_id_has_a_place";
    /// Shows a secret in its `Debug`.
    LeaksInDebug: Backend, "debug_and_errors_redacted";
    /// Repeats the digest that it could not read in the error.
    LeaksDigestInError: Record, "debug_and_errors_redacted";
    /// Repeats the secret that it refused in the error's source.
    LeaksInErrorSource: Backend, "debug_and_errors_redacted";
    /// Calls the first version the latest.
    LatestIsFirst: Backend, "latest_is_what_was_written_last";
    /// Writes the secret into the record.
    LeaksInRecord: Backend, "record_hides_secret";
    /// Writes the secret in base64 into the record.
    LeaksBase64InRecord: Backend, "record_hides_secret";
    /// Writes the secret in base64url into the record.
    LeaksBase64UrlInRecord: Backend, "record_hides_secret";
    /// Writes the secret in hexadecimal digits into the record.
    LeaksHexInRecord: Backend, "record_hides_secret";
    /// Writes the secret into the record from its end to its beginning.
    LeaksReversedInRecord: Backend, "record_hides_secret";
    /// Locks the credential after wrong guesses.
    LocksAfterGuesses: Backend, "wrong_guesses_change_nothing";
    /// Matches every candidate that is not empty.
    MatchesEverything: Record, "wrong_secret";
    /// Matches nothing.
    MatchesNothing: Record, "store_then_verify";
    /// Reports a wrong candidate as an error.
    MismatchAsError: Record, "wrong_secret";
    /// Writes the id of another backend into records.
    MisnamesRecords: Record, "record_names_its_backend";
    /// Lets the new record accept the old secret.
    NewRecordAcceptsOldSecret: Backend, "rotate_new_record_rejects_old_secret";
    /// Reads whatever the record points to, whosever it is.
    NotBoundToKey: Backend, "record_bound_to_key";
    /// Lets the old record accept the new secret.
    OldRecordAcceptsNewSecret: Backend, "old_record_still_verifies_after_rotate";
    /// Forgets the old secret when the new one is stored.
    OldRecordDiesOnRotate: Backend, "old_record_still_verifies_after_rotate";
    /// Calls an outage a mismatch.
    OutageAsMismatch: Backend, "outage_is_never_a_verdict";
    /// Overwrites an existing secret.
    OverwritesOnStore: Backend, "store_refuses_overwrite";
    /// Gives back a record that means the latest, where it should name a version.
    PinsNothing: Backend, "pinned_record_keeps_its_secret";
    /// Has no answer to a probe.
    ProbeFails: Backend, "probe_ok";
    /// Admits every candidate for a record that was proved once.
    ProofAdmitsAll: Record, "proof_admits_nothing_else";
    /// Remembers what was proved beyond its revocation.
    ProofOutlivesRevocation: Backend, "proof_ends_with_revocation";
    /// Writes records longer than a record's text may be.
    RecordTooLong: Record, "record_roundtrips";
    /// Remembers a record as proved, whichever candidate comes.
    RecallAdmitsAll: Record, "recall_agrees_with_verify";
    /// Recalls what was proved beyond its revocation.
    RecallOutlivesRevocation: Backend, "recall_agrees_with_verify";
    /// Refuses a secret of exactly the length that it promises.
    RefusesLongestSecret: Record, "longest_secret_accepted";
    /// Counts the terminating NUL, and so reads one byte less than it promises.
    ReadsOneByteLess: Record, "longest_secret_accepted";
    /// Fails to revoke what is already gone.
    RevokesOnce: Backend, "revoke_is_idempotent";
    /// Revokes every credential of the client.
    RevokesWholeClient: Backend, "credentials_are_independent";
    /// Answers a mismatch for a secret that is gone.
    RevokedIsMismatch: Backend, "revoked_is_not_found";
    /// Forgets only the latest version.
    RevokesLatestOnly: Backend, "revoked_is_not_found";
    /// Remembers revocations that the caller's row should stand for.
    RemembersRevocation: Record, "revoke_is_noop";
    /// Rotates by a record of another backend.
    RotatesForeign: Record, "rotate_rejects_foreign_record";
    /// Makes the same digest of the same secret.
    SameDigestTwice: Record, "records_differ_for_same_secret";
    /// Loses the secret when `rotate` is dropped half-way.
    RotateDropLosesSecret: Backend, "dropped_future_leaves_record_usable";
    /// Loses the secret when `store` is dropped half-way.
    StoreDropLosesSecret: Backend, "dropped_future_leaves_record_usable";
    /// Loses the secret when `verify` is dropped half-way.
    VerifyDropLosesSecret: Backend, "dropped_future_leaves_record_usable";
    /// Reads only the first 72 bytes of a candidate.
    TruncatesCandidate: Record, "oversize_candidate_never_matches";
}
