//! `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header-07): a call that is repeated with its key is not made
//! twice, and gets the first response again.
//!
//! A record belongs to one credential and is kept for 24 hours. It has no secret: the member `secret` of a response is
//! null in a repetition, beside the time at which it was shown. A call that failed leaves no record.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use jiff::SignedDuration;
use permissions::KeyHash;
use versions::{Body, Error, ErrorCode, Reply};

use super::exchange::Exchange;
use super::{Pipeline, store_error};
use crate::callers::Caller;
use crate::store::people::Idempotency;
use crate::store::{Store, StoreError, to_stored_precision};

const FIELD: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
const TRUE: HeaderValue = HeaderValue::from_static("true");
/// The members of responses that are shown once: the text of a key, and the link of an invitation.
const SECRETS: [&str; 2] = ["secret", "link"];
/// The longest key.
const KEY_BYTES_MAX: usize = 255;
/// How long a response is kept.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// A call that has an `Idempotency-Key`, and is the first with it.
pub(super) struct FirstCall {
    caller: String,
    key: KeyHash,
}

/// What is kept of a response.
pub(super) struct Kept {
    status: u16,
    body: Vec<u8>,
}

impl Kept {
    /// All of it but its secret.
    pub(super) fn of(reply: &Reply) -> Self {
        let body = if let Body::Full(bytes) = &reply.body { without_secret(bytes) } else { Vec::new() };
        Self { status: reply.status.unwrap_or(StatusCode::OK).as_u16(), body }
    }
}

/// What to do with a call.
pub(super) enum Begun {
    /// It has no key, or its endpoint takes none.
    Plain,
    /// Make it, and then [`Pipeline::end_idempotent`].
    First(FirstCall),
    /// It was made: this was the response.
    Repeated(Reply),
}

impl Pipeline {
    /// Begins a call whose content was received.
    pub(super) async fn begin_idempotent(
        &self,
        exchange: &Exchange<'_>,
        caller: &Caller,
        content: &[u8],
    ) -> Result<Begun, Error> {
        let Some(key) = read(&exchange.head.headers)? else { return Ok(Begun::Plain) };
        let caller = caller.identity().credential.to_string();
        let key = self.secret.hash(key);
        let fingerprint = self.fingerprint(&exchange.head.method, exchange.head.uri.path(), content);
        let now = to_stored_precision(exchange.record.time);
        let kept = SignedDuration::try_from(KEPT).unwrap_or(SignedDuration::ZERO);
        let since = now.checked_sub(kept).unwrap_or(now);
        let of = caller.clone();
        let begun = self
            .store_job(move |store| {
                let begun = store.write::<_, StoreError>(now, |write| {
                    write.begin_idempotent(&of, &key, &fingerprint, since)
                })?;
                Ok(begun.0)
            })
            .await?;
        match begun {
            Idempotency::New => Ok(Begun::First(FirstCall { caller, key })),
            Idempotency::Running => Err(Error::new(
                ErrorCode::Conflict,
                "The first call with this `Idempotency-Key` has no response yet. Wait, then repeat this one; if it stays \
                 so, the first call broke off: see what it did, then use a new key.",
            )),
            Idempotency::Different => Err(Error::new(
                ErrorCode::IdempotencyKeyReused,
                "This `Idempotency-Key` was used for another call. Nothing was done; send a new key with a new call.",
            )),
            Idempotency::Done(status, body) => {
                let reply = Reply::new(Body::Full(body.into())).with_header(REPLAYED, TRUE);
                Ok(Begun::Repeated(reply.with_status(StatusCode::from_u16(status).map_err(Error::internal)?)))
            }
        }
    }

    /// Keeps the response to a first call, or forgets the call if it failed.
    pub(super) async fn end_idempotent(
        &self,
        exchange: &Exchange<'_>,
        FirstCall { caller, key }: FirstCall,
        kept: Option<Kept>,
    ) -> Result<(), Error> {
        let now = to_stored_precision(exchange.record.time);
        self.store_job(move |store| {
            let kept = kept.as_ref().map(|kept| (kept.status, &kept.body[..]));
            store.write::<_, StoreError>(now, |write| write.end_idempotent(&caller, &key, kept)).map(drop)
        })
        .await
    }

    async fn store_job<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Error> {
        let store = self.store.get().ok_or_else(|| Error::internal("the store is not open yet"))?;
        store.run(work).await.map_err(store_error)
    }

    /// Tells one call from another, without keeping its content.
    fn fingerprint(&self, method: &Method, path: &str, content: &[u8]) -> [u8; 32] {
        let mut call = Vec::with_capacity(method.as_str().len() + path.len() + content.len() + 2);
        for part in [method.as_str().as_bytes(), path.as_bytes(), content] {
            call.extend_from_slice(part);
            call.push(b'\n');
        }
        self.secret.hash(&call).0
    }
}

/// The key, a structured String (RFC 9651 §3.3.3).
fn read(fields: &HeaderMap) -> Result<Option<&[u8]>, Error> {
    let mut values = fields.get_all(FIELD).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let inner = value.as_bytes().strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
    let is_plain = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
    match inner {
        Some(key)
            if values.next().is_none()
                && (1..=KEY_BYTES_MAX).contains(&key.len())
                && key.iter().all(is_plain) =>
        {
            Ok(Some(key))
        }
        _ => Err(Error::new(
            ErrorCode::MalformedRequest,
            "`Idempotency-Key` is one string of 1 to 255 printable ASCII characters in double quotes, such as \
             `\"8e03978e-40d5-43dd-bc93-6894a57f9324\"`.",
        )),
    }
}

/// A response without its secret, if it has one.
fn without_secret(body: &Bytes) -> Vec<u8> {
    match serde_json::from_slice(body) {
        Ok(serde_json::Value::Object(mut members)) => {
            for name in SECRETS {
                if let Some(secret) = members.get_mut(name) {
                    *secret = serde_json::Value::Null;
                }
            }
            serde_json::to_vec(&members).unwrap_or_default()
        }
        _ => body.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(values: &[&'static str]) -> Result<Option<Vec<u8>>, ErrorCode> {
        let mut fields = HeaderMap::new();
        for value in values {
            fields.append(FIELD, HeaderValue::from_static(value));
        }
        read(&fields).map(|key| key.map(<[u8]>::to_vec)).map_err(|error| error.code)
    }

    #[test]
    fn a_key_is_one_quoted_string() {
        assert_eq!(key(&[]), Ok(None));
        assert_eq!(key(&["\"a b-1\""]), Ok(Some(b"a b-1".to_vec())));
        for wrong in ["", "\"", "\"\"", "plain", "\"a", "\"a\\\"b\"", "\"a\";x=1", "\"a\tb\""] {
            assert_eq!(key(&[wrong]), Err(ErrorCode::MalformedRequest), "{wrong}");
        }
        assert_eq!(key(&["\"a\"", "\"a\""]), Err(ErrorCode::MalformedRequest));
    }

    #[test]
    fn a_kept_response_has_no_secret() {
        let kept = without_secret(&Bytes::from(r#"{"key":{"id":1},"secret":"pgw_stg_x","at":2}"#));
        assert_eq!(kept, br#"{"key":{"id":1},"secret":null,"at":2}"#);
        assert_eq!(without_secret(&Bytes::from("not JSON")), b"not JSON");
    }
}
