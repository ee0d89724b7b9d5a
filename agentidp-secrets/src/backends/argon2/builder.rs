//! Settings of the argon2id backend.

use std::ops::RangeInclusive;

use argon2::{Algorithm, Argon2, Params, Version};

use super::Argon2id;
use super::stored::{Bounds, parameters};
use crate::backend::{BackendInfo, Custody};
use crate::backends::digest::{DigestBackend, DigestLimits};
use crate::error::{Error, ErrorKind, Result};
use crate::record::BackendId;

/// Settings of [`Argon2id`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct Argon2idBuilder {
    memory_kib: u32,
    iterations: u32,
    parallelism: u32,
    least_memory_kib: u32,
    stored: Bounds,
    limits: DigestLimits,
}

impl Argon2id {
    /// Starts from OWASP's parameters, the bounds of the constants here, and [`DigestLimits::default`].
    pub fn builder() -> Argon2idBuilder {
        Argon2idBuilder {
            memory_kib: Self::DEFAULT_MEMORY_KIB,
            iterations: Self::DEFAULT_ITERATIONS,
            parallelism: Self::DEFAULT_PARALLELISM,
            least_memory_kib: Argon2idBuilder::LEAST_MEMORY_KIB,
            stored: Bounds {
                memory_kib: Self::DEFAULT_MAX_STORED_MEMORY_KIB,
                iterations: Self::DEFAULT_MAX_STORED_ITERATIONS,
                parallelism: Self::DEFAULT_MAX_STORED_PARALLELISM,
            },
            limits: DigestLimits::default(),
        }
    }
}

impl Argon2idBuilder {
    /// Memory of new digests: from the least of OWASP's table to 64 MiB.
    const LEAST_MEMORY_KIB: u32 = 7_168;
    const MOST_MEMORY_KIB: u32 = 65_536;
    /// The least that argon2 computes at all.
    const LEAST_POSSIBLE_KIB: u32 = 8;
    /// Passes and lanes of new digests.
    const ITERATIONS: RangeInclusive<u32> = 1..=10;
    const LANES: RangeInclusive<u32> = 1..=4;
    /// What the bounds of stored digests may be set to: 2 GiB, as the first recommendation of RFC 9106 asks for, and 100
    /// passes.
    const STORED_MEMORY_KIB: RangeInclusive<u32> = 8..=2_097_152;
    const STORED_ITERATIONS: RangeInclusive<u32> = 1..=100;
    const STORED_LANES: RangeInclusive<u32> = 1..=255;

    /// Sets the memory of one digest, 7168 to 65536 KiB. A match on a digest with less is
    /// [`MatchOutdated`](crate::Verdict::MatchOutdated).
    pub fn memory_kib(mut self, kib: u32) -> Self {
        self.memory_kib = kib;
        self
    }

    /// Sets the passes over the memory, 1 to 10. A match on a digest with fewer is
    /// [`MatchOutdated`](crate::Verdict::MatchOutdated).
    pub fn iterations(mut self, passes: u32) -> Self {
        self.iterations = passes;
        self
    }

    /// Sets the lanes, 1 to 4.
    pub fn parallelism(mut self, lanes: u32) -> Self {
        self.parallelism = lanes;
        self
    }

    /// Sets the most memory that a stored digest may ask for, over all its lanes: 8 to 2097152 KiB, 131072 unless set. Each
    /// thread may take that much at once. A digest that asks for more is `Malformed` before any memory is taken.
    pub fn max_stored_memory_kib(mut self, kib: u32) -> Self {
        self.stored.memory_kib = kib;
        self
    }

    /// Sets the most passes that a stored digest may ask for: 1 to 100, 10 unless set. Ten passes over 128 MiB are about
    /// two seconds of a core.
    pub fn max_stored_iterations(mut self, passes: u32) -> Self {
        self.stored.iterations = passes;
        self
    }

    /// Sets the most lanes that a stored digest may ask for: 1 to 255, and 255 unless set. They share its memory.
    pub fn max_stored_parallelism(mut self, lanes: u32) -> Self {
        self.stored.parallelism = lanes;
        self
    }

    /// Sets how much digests may take of the machine, and how many may wait for how long.
    pub fn limits(mut self, limits: DigestLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets how many threads compute digests, each with memory of its own; see [`DigestLimits::max_concurrency`].
    pub fn max_concurrency(mut self, threads: usize) -> Self {
        self.limits = self.limits.max_concurrency(threads);
        self
    }

    /// 8 KiB and one pass, for tests only: a digest takes microseconds and protects accordingly.
    pub fn minimum_cost_for_tests(mut self) -> Self {
        self.least_memory_kib = Self::LEAST_POSSIBLE_KIB;
        self.memory_kib(Self::LEAST_POSSIBLE_KIB).iterations(1).parallelism(1)
    }

    /// Makes the backend.
    ///
    /// # Errors
    /// `InvalidConfig` when a parameter is out of its bounds, when new digests would exceed the bounds of stored ones, or
    /// when a limit is zero.
    pub fn build(self) -> Result<DigestBackend<Argon2id>> {
        let invalid = |message: String| Error::new(ErrorKind::InvalidConfig, message).with_backend(BackendId::ARGON2);
        let Self { memory_kib, iterations, parallelism, stored, .. } = &self;
        for (method, value, range) in [
            ("memory_kib", memory_kib, self.least_memory_kib..=Self::MOST_MEMORY_KIB),
            ("iterations", iterations, Self::ITERATIONS),
            ("parallelism", parallelism, Self::LANES),
            ("max_stored_memory_kib", &stored.memory_kib, Self::STORED_MEMORY_KIB),
            ("max_stored_iterations", &stored.iterations, Self::STORED_ITERATIONS),
            ("max_stored_parallelism", &stored.parallelism, Self::STORED_LANES),
        ] {
            if !range.contains(value) {
                let (least, most) = range.into_inner();
                return Err(invalid(format!("`{method}` must be {least} to {most}, not {value}")));
            }
        }
        for (method, value, bound, most) in [
            ("memory_kib", memory_kib, "max_stored_memory_kib", &stored.memory_kib),
            ("iterations", iterations, "max_stored_iterations", &stored.iterations),
            ("parallelism", parallelism, "max_stored_parallelism", &stored.parallelism),
        ] {
            if value > most {
                return Err(invalid(format!("`{method}` is above `{bound}`: a new digest would not verify")));
            }
        }
        let params = Params::new(*memory_kib, *iterations, *parallelism, None)
            .map_err(|_| invalid("`memory_kib` must be at least 8 KiB for each lane of `parallelism`".to_owned()))?;
        let digester = Argon2id {
            info: BackendInfo::new(BackendId::ARGON2, Custody::Record)
                .with_max_secret_len(Argon2id::MAX_SECRET_LEN)
                .with_parameters(parameters),
            argon2: Argon2::new(Algorithm::Argon2id, Version::V0x13, params),
            bounds: self.stored,
        };
        DigestBackend::with_limits(digester, self.limits)
    }
}
