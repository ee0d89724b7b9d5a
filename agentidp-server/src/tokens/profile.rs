//! The forms of tokens.

/// Which form tokens have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the values of TOKEN_PROFILE")]
pub enum TokenProfile {
    /// The documented one: `typ` is `JWT`, and `aud` only where the client asked for a resource.
    #[default]
    Jwt,
    /// RFC 9068: `typ` is `at+jwt`, and `aud` is the issuer where the client asked for no resource.
    Rfc9068,
}

impl TokenProfile {
    /// Reads the value of the setting.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "jwt" => Some(Self::Jwt),
            "rfc9068" => Some(Self::Rfc9068),
            _ => None,
        }
    }

    /// The `typ` of its tokens.
    pub(super) fn typ(self) -> &'static str {
        match self {
            Self::Jwt => "JWT",
            Self::Rfc9068 => "at+jwt",
        }
    }
}
