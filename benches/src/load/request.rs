//! The requests that are sent, prepared in the form of each protocol, and the expected responses.

use anyhow::{Context as _, ensure};
use clap::ValueEnum;
use http::header::{ACCEPT, ACCEPT_LANGUAGE, AUTHORIZATION, HOST, USER_AGENT};
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};

use crate::response::ENDPOINTS;
use crate::seed::{KEYS, texts, wrong_text};

/// Requests of the varied load, which are sent one after the other and then again.
const PREPARED: usize = 1_024;
/// The paths of the varied load, by the endpoint and whether there is a query.
const PATHS: [(usize, bool); 8] =
    [(0, false), (0, true), (1, false), (2, false), (2, true), (3, true), (4, false), (4, true)];
const USER_AGENTS: [&str; 8] = [
    "partner-client/2.31 (linux; x64)",
    "axios/1.6.0",
    "python-requests/2.32.3",
    "okhttp/4.12.0",
    "Go-http-client/2.0",
    "curl/8.5.0",
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "PostmanRuntime/7.43.0",
];
const LANGUAGES: [&str; 5] = ["en", "de-DE, de;q=0.9", "fr", "en-GB, en;q=0.8", "ja"];
/// A field that differs in every request.
const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");

/// Which requests are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Load {
    /// Path, query, user agent, language, correlation id, key and date change from request to request.
    Varied,
    /// The same request again and again.
    Repeated,
    /// Every key with every path once.
    #[value(skip)]
    EveryKey,
    /// Every path with a key that no server has.
    #[value(skip)]
    WrongKey,
}

impl Load {
    /// The number of different requests.
    pub(crate) const fn requests(self) -> usize {
        match self {
            Self::Varied => PREPARED,
            Self::Repeated => 1,
            Self::EveryKey => KEYS * PATHS.len(),
            Self::WrongKey => PATHS.len(),
        }
    }
}

/// The requests of a load.
pub(super) struct Requests(Vec<Request>);

/// A request that can be sent again and again.
pub(super) struct Request {
    /// The head over HTTP/1.1.
    pub(super) http1: Vec<u8>,
    /// The head over HTTP/2 and HTTP/3.
    pub(super) head: http::Request<()>,
    /// How the body has to begin.
    prefix: &'static str,
    accepted: &'static [u16],
}

impl Requests {
    /// Prepares all of them: sending one has to be cheap.
    pub(super) fn new(load: Load, authority: &Authority) -> anyhow::Result<Self> {
        let keys: Vec<HeaderValue> = match load {
            Load::WrongKey => vec![authorization(wrong_text()?.expose())?],
            _ => texts()?.take(KEYS).map(|text| authorization(text.expose())).collect::<Result<_, _>>()?,
        };
        let mut random = SmallRng::seed_from_u64(20_261_127);
        let request = |number: usize| {
            let (path, key) = match load {
                Load::Varied => (PATHS[random.random_range(0..PATHS.len())], random.random_range(0..KEYS)),
                Load::Repeated => (PATHS[0], 0),
                Load::EveryKey | Load::WrongKey => (PATHS[number % PATHS.len()], number / PATHS.len()),
            };
            let endpoint = &ENDPOINTS[path.0];
            let mut target = endpoint.path.to_owned();
            let mut headers = HeaderMap::new();
            if load == Load::Repeated {
                headers.insert(USER_AGENT, HeaderValue::from_static("benches/0.1"));
            } else {
                let mut pick = |values: &[&'static str]| {
                    HeaderValue::from_static(values.choose(&mut random).unwrap_or(&""))
                };
                headers.insert(USER_AGENT, pick(&USER_AGENTS));
                headers.insert(ACCEPT_LANGUAGE, pick(&LANGUAGES));
                headers.insert(
                    CORRELATION_ID,
                    HeaderValue::try_from(format!("{:016x}", random.random::<u64>()))?,
                );
            }
            if path.1 {
                target +=
                    &format!("?page={}&cursor={:08x}", random.random_range(1..100), random.random::<u32>());
            }
            headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
            headers.insert(AUTHORIZATION, keys[key].clone());
            let (prefix, accepted): (_, &[u16]) =
                if load == Load::WrongKey { ("", &[401, 403]) } else { (endpoint.prefix, &[200]) };
            Request::new(authority, &target, headers, prefix, accepted)
        };
        (0..load.requests()).map(request).collect::<anyhow::Result<_>>().map(Self)
    }

    /// The request with a number of a run.
    pub(super) fn get(&self, number: u64) -> &Request {
        // The remainder is smaller than a length.
        &self.0[usize::try_from(number % self.0.len() as u64).unwrap_or(0)]
    }
}

/// Not marked as sensitive: that would keep HPACK from indexing it, which most clients do not.
fn authorization(key: &str) -> anyhow::Result<HeaderValue> {
    Ok(HeaderValue::try_from(format!("Bearer {key}"))?)
}

impl Request {
    /// A request for a path with the first key.
    pub(super) fn to(authority: &Authority, target: &str) -> anyhow::Result<Self> {
        let key = texts()?.next().context("there is no key")?;
        let headers = HeaderMap::from_iter([(AUTHORIZATION, authorization(key.expose())?)]);
        Self::new(authority, target, headers, "", &[200])
    }

    fn new(
        authority: &Authority,
        target: &str,
        headers: HeaderMap,
        prefix: &'static str,
        accepted: &'static [u16],
    ) -> anyhow::Result<Self> {
        let mut http1 = format!("GET {target} HTTP/1.1\r\n{HOST}: {authority}\r\n").into_bytes();
        for (name, value) in &headers {
            http1.extend_from_slice(&[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
        }
        http1.extend_from_slice(b"\r\n");
        let mut head = http::Request::new(());
        *head.uri_mut() =
            Uri::builder().scheme("https").authority(authority.clone()).path_and_query(target).build()?;
        *head.headers_mut() = headers;
        Ok(Self { http1, head, prefix, accepted })
    }

    /// Checks a response.
    pub(super) fn check(&self, status: u16, body: &[u8]) -> anyhow::Result<()> {
        ensure!(
            self.accepted.contains(&status) && body.starts_with(self.prefix.as_bytes()),
            "{} has status {status} and the body {}",
            self.head.uri().path(),
            String::from_utf8_lossy(body)
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_varied_load_has_all_keys_and_paths_and_is_the_same_each_time() -> anyhow::Result<()> {
        let authority = Authority::from_static("localhost:1");
        let heads = |load| anyhow::Ok(Requests::new(load, &authority)?.0);
        let count = |requests: &[Request], part: fn(&Request) -> String| {
            requests.iter().map(part).collect::<BTreeSet<String>>().len()
        };
        let key = |request: &Request| format!("{:?}", request.head.headers()[AUTHORIZATION]);
        let path = |request: &Request| request.head.uri().path().to_owned();
        let varied = heads(Load::Varied)?;
        assert_eq!((count(&varied, key), count(&varied, path)), (KEYS, ENDPOINTS.len()));
        assert_eq!(count(&varied, |request| format!("{:?}", request.http1)), PREPARED);
        assert!(heads(Load::Varied)?.iter().zip(&varied).all(|(one, other)| one.http1 == other.http1));
        let every = heads(Load::EveryKey)?;
        let pair = |request: &Request| {
            format!("{:?} {}", request.head.headers()[AUTHORIZATION], request.head.uri().path())
        };
        assert_eq!(count(&every, pair), KEYS * ENDPOINTS.len());
        Ok(())
    }
}
