//! Certificates made for one test.

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

/// A certificate authority of a test's own.
pub(crate) struct Authority {
    pub(crate) pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate with its key, both as PEM.
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut parameters = named(name, &[]);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let pem = parameters.self_signed(&key).expect("a certificate").pem();
        Self { pem, issuer: Issuer::new(parameters, key) }
    }

    /// For a server of these names or addresses.
    pub(crate) fn server(&self, names: &[&str]) -> Pair {
        self.sign(named("server", names), ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// For a server, and wrongly one of a CA.
    pub(crate) fn server_as_ca(&self, names: &[&str]) -> Pair {
        let mut parameters = named("server", names);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        self.sign(parameters, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// For a client.
    pub(crate) fn client(&self) -> Pair {
        self.sign(named("client", &[]), ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// For a server whose time was over long ago.
    pub(crate) fn expired(&self, names: &[&str]) -> Pair {
        let mut parameters = named("server", names);
        parameters.not_before = rcgen::date_time_ymd(2001, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(2002, 1, 1);
        self.sign(parameters, ExtendedKeyUsagePurpose::ServerAuth)
    }

    fn sign(&self, mut parameters: CertificateParams, usage: ExtendedKeyUsagePurpose) -> Pair {
        parameters.extended_key_usages = vec![usage];
        let key = KeyPair::generate().expect("a key");
        let certificate = parameters.signed_by(&key, &self.issuer).expect("a certificate").pem();
        Pair { certificate, key: key.serialize_pem() }
    }
}

fn named(name: &str, alternatives: &[&str]) -> CertificateParams {
    let alternatives: Vec<_> = alternatives.iter().map(|name| (*name).to_owned()).collect();
    let mut parameters = CertificateParams::new(alternatives).expect("names or addresses");
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters
}
