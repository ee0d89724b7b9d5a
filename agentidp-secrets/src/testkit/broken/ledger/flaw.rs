//! The catalogue of mistakes in a ledger.

/// Declares the flaws: what each does wrong, and the checks that catch it.
macro_rules! flaws {
    ($($(#[$doc:meta])* $flaw:ident: $($check:ident)+;)*) => {
        /// A mistake in a ledger.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum LedgerFlaw {
            $($(#[$doc])* $flaw,)*
        }

        impl LedgerFlaw {
            /// Every flaw.
            pub const ALL: &'static [Self] = &[$(Self::$flaw),*];

            /// The names of checks that catch it. Others may fail too.
            #[must_use]
            pub fn caught_by(self) -> &'static [&'static str] {
                match self {
                    $(Self::$flaw => &[$(stringify!($check)),+],)*
                }
            }
        }
    };
}

flaws! {
    /// Commits nothing, and says that it did, after a statement that failed.
    AbortedIsDone: a_commit_after_a_failed_statement_is_reported_as_it_was;
    /// Takes every row in memory for current.
    AlwaysCurrent: an_acknowledged_change_is_obeyed_by_every_handle;
    /// Commits a transaction that is dropped.
    CommitsOnDrop: a_dropped_transaction_leaves_nothing a_refused_change_leaves_nothing;
    /// Keeps the end of an overlap in whole seconds.
    CutsPreviousEnd: a_row_comes_back_as_it_was_written;
    /// Keeps 255 bytes of a record.
    CutsRecords: a_row_comes_back_as_it_was_written;
    /// Returns notes that are not due yet.
    DueAtOnce: notes_are_due_by_the_ledgers_time;
    /// Compares due times with the machine's clock.
    DueByOwnClock: notes_are_due_by_the_ledgers_time;
    /// Keeps the due time of the first note.
    DueIsFixed: notes_are_due_in_order;
    /// Returns more notes than the limit.
    DueWithoutLimit: notes_are_due_in_order;
    /// Returns the note first that is due last.
    DueUnordered: notes_are_due_in_order;
    /// Deletes the note with the end.
    EndDeletesNote: a_note_needs_no_row;
    /// Deletes the row.
    EndDeletesRow: an_ended_row_never_comes_back;
    /// Writes an end, and a deletion of a note, beside the transaction.
    EndsAtOnce: a_dropped_transaction_leaves_nothing;
    /// Refuses to lock a row that it cannot read.
    FailsOnDamaged: a_damaged_row_is_returned_without_secrets;
    /// Finds a row by the selector of its current record only.
    FindsCurrentOnly: a_row_is_found_by_its_selectors;
    /// Leaves out rows that it cannot read.
    HidesDamaged: a_damaged_row_is_returned_without_secrets;
    /// Looks up a credential by its id alone.
    IgnoresClient: a_key_belongs_to_one_client;
    /// Lets a suspended client authenticate.
    IgnoresSuspension: a_suspended_client_may_not_authenticate;
    /// Overwrites an existing row.
    InsertOverwrites: a_key_is_inserted_once;
    /// Writes the first row of a transaction only.
    KeepsFirstRow: the_callers_writes_are_in_the_commit a_commit_holds_every_write;
    /// Keeps a previous secret where the new row has none.
    KeepsPrevious: a_replacement_writes_every_column;
    /// Keeps the revision of the first write.
    KeepsRevision: a_replacement_writes_every_column;
    /// Knows a client by its active rows.
    KnownByRows: a_client_whose_credentials_ended_is_known;
    /// Takes an expired row for an ended one.
    LockEndsExpired: an_expired_row_does_not_authenticate;
    /// Locks everything.
    LocksEverything: two_credentials_do_not_wait_for_each_other;
    /// Locks nothing.
    LocksNothing: transactions_on_one_credential_run_one_after_the_other one_of_many_gets_the_note;
    /// Locks nothing where there is only a note.
    LocksRowsOnly: transactions_on_one_credential_run_one_after_the_other;
    /// Keeps one debt.
    LosesDebts: a_note_comes_back_as_it_was_written;
    /// Keeps one digest.
    LosesDigests: a_note_comes_back_as_it_was_written;
    /// Loses a note that follows a row in a transaction.
    LosesNotes: a_commit_holds_every_write;
    /// Loses the previous secret.
    LosesPrevious: a_replacement_writes_every_column a_credential_lives_from_its_issue_to_its_end;
    /// Loses the selector.
    LosesSelector: a_row_comes_back_as_it_was_written;
    /// Says that a commit was done whose answer was lost.
    LostIsDone: a_lost_answer_is_unknown;
    /// Says that a commit was not done whose answer was lost.
    LostIsNotDone: a_lost_answer_is_unknown;
    /// Makes a revision of its own.
    MakesRevisions: a_row_comes_back_as_it_was_written;
    /// Serves rows from memory, whatever was acknowledged.
    NeverForgets: an_acknowledged_change_is_obeyed_by_every_handle;
    /// Keeps no note without a row.
    NoteNeedsRow: a_note_needs_no_row;
    /// Deletes no note.
    NoteStays: a_deleted_note_is_gone;
    /// Writes notes beside the transaction.
    NotesAtOnce: a_dropped_transaction_leaves_nothing;
    /// Leaves rows that cannot be read out of pages.
    PagesHideDamaged: a_page_has_rows_that_authenticate_nobody;
    /// Leaves expired rows out of pages.
    PagesHideExpired: a_page_has_rows_that_authenticate_nobody;
    /// Leaves previous secrets out of pages.
    PagesLosePrevious: a_row_comes_back_as_it_was_written;
    /// Begins each page anew.
    PagesRepeat: pages_return_each_active_row_once;
    /// Leaves out one row between two pages.
    PagesSkip: pages_return_each_active_row_once;
    /// Returns more rows than the limit.
    PagesWithoutLimit: pages_return_each_active_row_once;
    /// Reads before it waits for the lock.
    ReadsBeforeLock: transactions_on_one_credential_run_one_after_the_other one_of_many_gets_the_note;
    /// Replaces an ended row by a new one.
    RevivesEnded: a_key_is_inserted_once;
    /// Leaves out previous secrets.
    RowsLosePrevious: rows_are_all_of_the_client_and_no_others;
    /// Returns the rows of all clients.
    RowsOfAll: rows_are_all_of_the_client_and_no_others;
    /// Returns the first row.
    RowsOnlyFirst: rows_are_all_of_the_client_and_no_others;
    /// Returns rows that have ended.
    RowsShowEnded: an_ended_row_never_comes_back;
    /// Returns rows that have expired.
    RowsShowExpired: an_expired_row_does_not_authenticate;
    /// Serves rows that are behind as if they were read for the call.
    ServesBehind: rows_read_anew_hold_what_was_committed;
    /// Serves rows from memory, however fresh they have to be.
    ServesOldRows: rows_read_anew_hold_what_was_committed;
    /// Goes back in time.
    TimeGoesBack: time_moves_within_a_transaction_and_never_back;
    /// Stops the clock at the beginning of the transaction.
    TimeStandsStill: time_moves_within_a_transaction_and_never_back;
    /// Fails for a client that does not exist.
    UnknownFails: an_unknown_client_is_none;
    /// Knows every client.
    UnknownIsKnown: an_unknown_client_is_none;
}
