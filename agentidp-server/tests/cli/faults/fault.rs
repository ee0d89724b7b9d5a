//! What happens to the services, by name.

/// What happens to the services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    LeaderKilled,
    LeaderSealed,
    LeaderCutOff,
    StandbyCutOff,
    TokensRevoked,
    TokensExpired,
    PostgresKilled,
    ServerKilled,
    /// A second deployment on the same folder (F1).
    SecondDeployment,
    /// PostgreSQL cuts the connection of each rotation that commits (F2).
    CommitsCut,
    /// Rotations of one credential at both servers at once (F2).
    Races,
    /// Vault carries out calls of one server long after it gave up (F3).
    CallsLate,
}

impl Fault {
    pub(super) const ALL: [Self; 12] = [
        Self::LeaderKilled,
        Self::LeaderSealed,
        Self::LeaderCutOff,
        Self::StandbyCutOff,
        Self::TokensRevoked,
        Self::TokensExpired,
        Self::PostgresKilled,
        Self::ServerKilled,
        Self::SecondDeployment,
        Self::CommitsCut,
        Self::Races,
        Self::CallsLate,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::LeaderKilled => "Vault leader killed",
            Self::LeaderSealed => "Vault leader sealed",
            Self::LeaderCutOff => "Vault leader cut off",
            Self::StandbyCutOff => "Vault standby cut off",
            Self::TokensRevoked => "Vault tokens revoked",
            Self::TokensExpired => "Vault tokens expired",
            Self::PostgresKilled => "PostgreSQL killed",
            Self::ServerKilled => "server killed",
            Self::SecondDeployment => "second deployment",
            Self::CommitsCut => "commits cut",
            Self::Races => "rotations at once",
            Self::CallsLate => "calls late",
        }
    }

    /// Whether digests and warm credentials must not notice.
    pub(super) fn is_vaults(self) -> bool {
        !matches!(self, Self::PostgresKilled | Self::ServerKilled | Self::CommitsCut)
    }
}
