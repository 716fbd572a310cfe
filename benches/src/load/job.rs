//! What is asked, in the form each protocol sends it, and what must come back.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use http::header::{ACCEPT, AUTHORIZATION, HOST, USER_AGENT};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderValue, Request, Uri};

use super::Options;
use crate::answer;

/// The variable that holds `Authorization` where no file is named.
const AUTHORIZATION_VARIABLE: &str = "LOAD_AUTHORIZATION";
/// The most that an answer's body may have.
pub(super) const BODY_BYTES_MAX: usize = 64 * 1024;

/// One request, ready to be sent again and again.
pub(super) struct Job {
    /// The whole head over HTTP/1.1.
    pub(super) http1: Vec<u8>,
    /// The request over HTTP/2 and HTTP/3.
    pub(super) request: Request<()>,
    expect: Vec<u8>,
    expect_status: Vec<u16>,
}

/// Why a request has failed.
pub(super) enum Failure {
    /// It was answered, but not as it should be; the connection is fit for another.
    Answer(String),
    /// The connection is of no more use.
    Connection(anyhow::Error),
}

impl Failure {
    /// What went wrong, for those who have no use for the connection either way.
    pub(super) fn into_error(self) -> anyhow::Error {
        match self {
            Self::Answer(error) => anyhow::anyhow!(error),
            Self::Connection(error) => error,
        }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Connection(error.into())
    }
}

impl Job {
    /// What the options ask for.
    pub(super) fn new(options: &Options, authority: &Authority) -> anyhow::Result<Self> {
        let authorization = authorization(options.authorization_file.as_deref())?;
        let job = Self::of(&options.path, &options.expect, authorization, authority)?;
        Ok(Self { expect_status: options.expect_status.clone(), ..job })
    }

    /// The usual path and answer.
    pub(super) fn usual(authorization_file: Option<&Path>, authority: &Authority) -> anyhow::Result<Self> {
        Self::of(answer::PATH, answer::BODY_PREFIX, authorization(authorization_file)?, authority)
    }

    fn of(
        path: &str,
        expect: &str,
        authorization: Option<HeaderValue>,
        authority: &Authority,
    ) -> anyhow::Result<Self> {
        let path: PathAndQuery = path.parse().context("--path is not a path")?;
        let mut request = Request::new(());
        *request.uri_mut() = Uri::builder()
            .scheme("https")
            .authority(authority.clone())
            .path_and_query(path.clone())
            .build()?;
        let headers = request.headers_mut();
        headers.insert(USER_AGENT, HeaderValue::from_static("benches/0.1"));
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        if let Some(authorization) = authorization {
            headers.insert(AUTHORIZATION, authorization);
        }

        let mut http1 = format!("GET {path} HTTP/1.1\r\n{HOST}: {authority}\r\n").into_bytes();
        for (name, value) in request.headers() {
            http1.extend_from_slice(name.as_str().as_bytes());
            http1.extend_from_slice(b": ");
            http1.extend_from_slice(value.as_bytes());
            http1.extend_from_slice(b"\r\n");
        }
        http1.extend_from_slice(b"\r\n");
        Ok(Self { http1, request, expect: expect.as_bytes().to_vec(), expect_status: vec![200] })
    }

    /// Judges an answer whose body was read to its end.
    pub(super) fn check(&self, status: u16, body: &[u8]) -> Result<(), Failure> {
        if !self.expect_status.contains(&status) {
            return Err(Failure::Answer(format!("status {status}: {}", String::from_utf8_lossy(body))));
        }
        if !body.starts_with(&self.expect) {
            return Err(Failure::Answer(format!("unexpected body: {}", String::from_utf8_lossy(body))));
        }
        Ok(())
    }
}

/// Adds a part of a body, up to the limit.
pub(super) fn collect(body: &mut Vec<u8>, part: &[u8]) -> Result<(), Failure> {
    if body.len() + part.len() > BODY_BYTES_MAX {
        return Err(Failure::Connection(anyhow::anyhow!("the body has more than {BODY_BYTES_MAX} bytes")));
    }
    body.extend_from_slice(part);
    Ok(())
}

/// The field's value. Errors name the place, never the value.
fn authorization(file: Option<&Path>) -> anyhow::Result<Option<HeaderValue>> {
    let text = match file {
        Some(path) => fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?,
        None => match std::env::var(AUTHORIZATION_VARIABLE) {
            Ok(text) => text,
            Err(_) => return Ok(None),
        },
    };
    // Not marked as sensitive: that would keep HPACK from indexing it, which clients in general do not.
    let value = HeaderValue::from_str(text.trim()).context("the authorization is not a field value")?;
    Ok(Some(value))
}
