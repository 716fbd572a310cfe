//! Keys of tests: created through the command line, and forged ones that are in no store.

use bytes::Bytes;
use http::{HeaderValue, Method, Request, header};
use permissions::{ApiAccessPermission, Brand, Environment, KeySecret};
use rand::Rng;
use serde::Deserialize;

use crate::client::with_method;

/// What `key create --json` and `key rotate --json` print of a key.
#[derive(Clone, Debug, Deserialize)]
pub struct Key {
    /// The key's id.
    pub id: String,
    /// The secret text.
    pub key: String,
    /// `staging` or `production`.
    pub environment: String,
    /// The names of its permissions.
    pub permissions: Vec<String>,
}

impl Key {
    /// The value of an `Authorization` field with this key.
    pub fn bearer(&self) -> String {
        format!("Bearer {}", self.key)
    }

    /// A request without content that carries this key.
    ///
    /// # Panics
    /// When the path is not a request target.
    pub fn request(&self, method: &Method, path: &str) -> Request<Bytes> {
        let mut request = with_method(method, path);
        let credential = self.bearer().parse().expect("a key is plain text");
        request.headers_mut().insert(header::AUTHORIZATION, credential);
        request
    }

    /// A request with JSON content that carries this key.
    ///
    /// # Panics
    /// When the path is not a request target.
    pub fn send(&self, method: &Method, path: &str, content: &serde_json::Value) -> Request<Bytes> {
        let mut request = self.request(method, path);
        request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        request.map(|_| Bytes::from(content.to_string()))
    }

    /// A `GET` that carries this key.
    ///
    /// # Panics
    /// When the path is not a request target.
    pub fn get(&self, path: &str) -> Request<Bytes> {
        self.request(&Method::GET, path)
    }
}

/// The settings of a key to create: the arguments of `key create`.
#[derive(Clone, Debug)]
pub struct KeySpec {
    arguments: Vec<String>,
}

impl KeySpec {
    /// A key of `environment` that holds both permissions.
    pub fn new(environment: Environment) -> Self {
        Self::with_permissions(environment, &["ping:read", "connection:read"])
    }

    /// A staging key that holds both permissions.
    pub fn staging() -> Self {
        Self::new(Environment::Staging)
    }

    /// A production key that holds both permissions.
    pub fn production() -> Self {
        Self::new(Environment::Production)
    }

    /// A key of `environment` that holds every permission that a partner's key can have.
    pub fn with_all(environment: Environment) -> Self {
        let all = ApiAccessPermission::all() - ApiAccessPermission::OPERATION;
        let names: Vec<_> = all.names().collect();
        Self::with_permissions(environment, &names.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// A key of `environment` that holds `permissions` and no others.
    pub fn with_permissions(environment: Environment, permissions: &[&str]) -> Self {
        let arguments = Vec::new();
        let mut spec = Self { arguments }.option("--environment", environment.name());
        for permission in permissions {
            spec = spec.option("--permission", permission);
        }
        spec
    }

    /// One more option of `key create`.
    #[must_use]
    pub fn option(mut self, name: &str, value: &str) -> Self {
        self.arguments.extend([name.to_owned(), value.to_owned()]);
        self
    }

    /// The complete command.
    pub(crate) fn command(&self, partner: &str) -> Vec<String> {
        let mut command: Vec<String> =
            ["key", "create", "--json", "--partner", partner].map(str::to_owned).to_vec();
        command.extend(self.arguments.iter().cloned());
        command
    }
}

/// A key of the right form and checksum that was never issued.
pub fn never_issued(environment: Environment) -> String {
    let brand = Brand::try_from("pgw".to_owned()).expect("it is the default brand");
    KeySecret::generate(&brand, environment, || rand::rng().random()).expose().to_owned()
}

/// A real key with one character of its random part changed, so that the checksum is wrong.
pub fn misprinted(key: &str) -> String {
    let mut text = key.as_bytes().to_vec();
    let position = text.len() - 10;
    text[position] = if text[position] == b'x' { b'y' } else { b'x' };
    String::from_utf8(text).expect("base62 is ASCII")
}

/// Credentials that do not have the form of a key, each with a name for messages. None may be accepted.
pub fn forged(key: &str) -> Vec<(&'static str, String)> {
    let cut = &key[..key.len() - 1];
    vec![
        ("one character short", cut.to_owned()),
        ("one character long", format!("{key}0")),
        ("another brand", key.replacen("pgw", "xyz", 1)),
        ("upper case brand", key.replacen("pgw", "PGW", 1)),
        ("another environment's mark", key.replacen("stg", "live", 1)),
        ("an unknown environment's mark", key.replacen("stg", "dev", 1)),
        ("a dash inside", format!("{}-{}", &key[..20], &key[21..])),
        ("the brand alone", "pgw".to_owned()),
        ("the prefix alone", "pgw_stg_".to_owned()),
        ("64 hexadecimal characters", "ab".repeat(32)),
        ("a JWT without a signature", "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.".to_owned()),
        ("SQL", "'OR'1'='1".to_owned()),
        ("a glob", "*".to_owned()),
        ("percent-encoded", key.replacen('_', "%5F", 2)),
        ("an id and the key", format!("0:{key}")),
        ("quoted", format!("\"{key}\"")),
        ("the key twice with a comma", format!("{key},{key}")),
        ("the key and a word", format!("{key} x")),
        ("four kilobytes", "A".repeat(4096)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forged_keys_are_malformed_and_unissued_ones_are_well_formed() {
        let brand = Brand::try_from("pgw".to_owned()).unwrap();
        let good = never_issued(Environment::Staging);
        assert_eq!(KeySecret::check(&brand, good.as_bytes()), Ok(Environment::Staging));
        assert!(KeySecret::check(&brand, misprinted(&good).as_bytes()).is_err());
        for (what, text) in forged(&good) {
            assert!(KeySecret::check(&brand, text.as_bytes()).is_err(), "{what}");
        }
    }
}
