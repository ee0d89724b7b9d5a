//! Which candidates match.

use super::fixture::{Credential, generate, holds, longest, matches, mismatches, with_another_end};
use crate::secret::ClientSecret;
use crate::testkit::harness::Harness;

/// Cannot claim that the record outlives the process: a backend over a server needs a test of its own for that.
pub(crate) async fn store_then_verify(harness: &dyn Harness) {
    let credential = Credential::stored(harness).await;
    matches(credential.verify(&credential.secret).await, "`verify`: the secret that was stored matches");
}

/// Cannot claim that no other secret matches, only that a random one does not.
pub(crate) async fn wrong_secret(harness: &dyn Harness) {
    let credential = Credential::stored(harness).await;
    mismatches(credential.verify(&generate()).await, "`verify`: a wrong candidate is `Ok(Mismatch)`, never an error");
}

/// Cannot claim that comparison takes constant time: that is a matter of reading the code, and of a benchmark.
pub(crate) async fn near_misses(harness: &dyn Harness) {
    let info = harness.backend().await.info().clone();
    // Both cases, and a letter that Unicode can write in two ways, where a secret may be so.
    let secret = if info.generated_only { generate() } else { "sk_live_AbCdEf0123456789-caf\u{e9}-zZ".into() };
    let credential = Credential::with_secret(harness, secret.clone()).await;
    let secret = secret.expose_secret();
    let flipped = |at: usize| {
        let flip = |(i, c): (usize, char)| if i == at { char::from(c as u8 ^ 1) } else { c };
        secret.char_indices().map(flip).collect::<String>()
    };
    let near = [
        ("without its last character", secret[..secret.len() - 1].to_owned()),
        ("cut in half", secret[..16].to_owned()),
        ("its common prefix", "sk_live_".to_owned()),
        ("without its first character", secret[1..].to_owned()),
        ("with a character appended", format!("{secret}x")),
        ("written twice", format!("{secret}{secret}")),
        ("with a trailing NUL", format!("{secret}\0")),
        ("with text after a NUL", format!("{secret}\0x")),
        ("with a trailing line feed", format!("{secret}\n")),
        ("with a leading space", format!(" {secret}")),
        ("in upper case", secret.to_uppercase()),
        ("in lower case", secret.to_lowercase()),
        ("with its first bit flipped", flipped(0)),
        ("with a middle bit flipped", flipped(15)),
        ("with its last bit flipped", flipped(secret.len() - 1)),
        ("in the other Unicode normal form", secret.replace('\u{e9}', "e\u{301}")),
        ("with another last character", with_another_end(&credential.secret).expose_secret().to_owned()),
    ];
    // A generated secret is its own lower case, and its own normal form.
    for (how, candidate) in near.into_iter().filter(|(_, candidate)| candidate != secret) {
        let outcome = credential.verify(&ClientSecret::from(candidate)).await;
        mismatches(outcome, &format!("`verify`: a candidate that is the secret {how} is `Ok(Mismatch)`"));
    }
    matches(credential.verify(&credential.secret).await, "`verify`: the secret itself matches, in any script");
}

/// Cannot claim anything on a record that was made from an empty secret elsewhere.
pub(crate) async fn empty_candidate(harness: &dyn Harness) {
    let credential = Credential::stored(harness).await;
    for empty in ["", "\0", " "] {
        let outcome = credential.verify(&ClientSecret::from(empty)).await;
        mismatches(outcome, "`verify`: an empty or blank candidate is `Ok(Mismatch)`");
    }
}

/// The 72-byte trap: a function that reads only so far must not take anything longer for the secret. Cannot find a
/// limit further out than 4 KiB in a backend that states none.
pub(crate) async fn oversize_candidate_never_matches(harness: &dyn Harness) {
    let credential = Credential::with_secret(harness, longest(harness.backend().await.info())).await;
    let secret = credential.secret.expose_secret();
    for candidate in [format!("{secret}x"), format!("{secret}\0"), secret.repeat(2), secret.repeat(100)] {
        let outcome = credential.verify(&ClientSecret::from(candidate)).await;
        mismatches(
            outcome,
            "`verify`: a candidate longer than `max_secret_len` is `Ok(Mismatch)`, whatever it starts with",
        );
    }
}

/// Cannot claim that a server counts no failures beyond the twenty tried here.
pub(crate) async fn wrong_guesses_change_nothing(harness: &dyn Harness) {
    let credential = Credential::stored(harness).await;
    let before = credential.stored.clone();
    for _ in 0..20 {
        mismatches(
            credential.verify(&generate()).await,
            "`verify` changes nothing: every wrong candidate is a mismatch",
        );
    }
    matches(credential.verify(&credential.secret).await, "`verify` changes nothing: wrong guesses lock nobody out");
    holds(before == credential.stored, "`verify` changes nothing: the record stays as it is");
}

/// For whatever remembers proofs. Cannot claim that a proof is remembered, or forgotten at some time by itself.
pub(crate) async fn proof_admits_nothing_else(harness: &dyn Harness) {
    let (one, other) = (Credential::stored(harness).await, Credential::stored(harness).await);
    let clause = "`verify`: what was proved before admits its own secret and no other candidate";
    for _ in 0..3 {
        for (credential, stranger) in [(&one, &other), (&other, &one)] {
            matches(credential.verify(&credential.secret).await, clause);
            for wrong in [stranger.secret.clone(), generate()] {
                mismatches(credential.verify(&wrong).await, clause);
            }
        }
    }
}
