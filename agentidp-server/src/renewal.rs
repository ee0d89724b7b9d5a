//! What the metrics count of the Vault token.

/// What became of looking after the token, as the metrics count it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the label's values")]
pub enum Renewal {
    /// The token was renewed.
    Renewed,
    /// Another token is in use: from a login or from the file.
    Replaced,
    /// Neither could be done.
    Failed,
}

impl Renewal {
    /// Every value.
    pub const ALL: [Self; 3] = [Self::Renewed, Self::Replaced, Self::Failed];

    /// The label's text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Renewed => "renewed",
            Self::Replaced => "replaced",
            Self::Failed => "failed",
        }
    }
}
