//! Where the key is, and what a token needs there.

use crate::vault::setting::Names;

/// Which Vault, and which key in it: what error texts may name.
#[derive(Debug)]
pub(super) struct TransitSite {
    pub(super) address: String,
    pub(super) mount: String,
    pub(super) key: String,
    pub(super) names: Names,
}

impl TransitSite {
    /// The least-privilege policy.
    pub(super) fn policy(&self) -> String {
        let rule = |verb| format!("path \"{}\" {{\n  capabilities = [\"update\"]\n}}\n", self.path(verb));
        format!("{}\n{}", rule(Verb::Hmac), rule(Verb::Verify))
    }

    /// The path of a call, and of the policy that allows it.
    pub(super) fn path(&self, verb: Verb) -> String {
        let verb = match verb {
            Verb::Hmac => "hmac",
            Verb::Verify => "verify",
        };
        format!("{}/{verb}/{}", self.mount, self.key)
    }
}

/// What is asked of the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    /// To make an HMAC under the newest version of the key.
    Hmac,
    /// To decide on one.
    Verify,
}
