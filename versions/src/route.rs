//! An endpoint with its types erased: a row of data that every machine reads.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use http::Method;
use permissions::ApiAccessPermission;
use serde::Serialize;

use crate::{Context, Error, Handler};

/// The JSON body of a 200 answer, or the error, once it is known.
pub type Answer<'a> = Pin<Box<dyn Future<Output = Result<Bytes, Error>> + Send + 'a>>;

/// Who answers.
#[derive(Clone, Copy)]
pub enum Action {
    /// A handler of this process.
    Native(for<'a> fn(&'a Context<'a>) -> Answer<'a>),
}

/// One endpoint as a row. Each field is that of [`crate::Endpoint`].
#[derive(Clone)]
pub struct Route {
    /// Names the endpoint in metrics and logs.
    pub name: &'static str,
    /// The method it answers.
    pub method: Method,
    /// The path below the date.
    pub path: &'static str,
    /// The permission that a key must hold.
    pub permission: ApiAccessPermission,
    /// One sentence for a partner.
    pub summary: &'static str,
    /// Whether TLS early data is answered.
    pub early_data_safe: bool,
    /// Its example, as JSON.
    pub example: fn() -> Result<Vec<u8>, serde_json::Error>,
    /// Who answers.
    pub action: Action,
}

impl Route {
    /// The row of an endpoint that this process answers itself.
    ///
    /// A permission of none or several bits, a path without its `/` and a method other than those of
    /// plain requests are errors of compilation.
    #[must_use]
    pub const fn native<E: Handler>() -> Self {
        const {
            assert!(E::PERMISSION.is_single(), "an endpoint declares exactly one permission");
            assert!(
                matches!(E::PATH.as_bytes(), [b'/', _, ..]),
                "a path begins with `/` and names something"
            );
        }
        Self {
            name: E::NAME,
            method: E::METHOD,
            path: E::PATH,
            permission: E::PERMISSION,
            summary: E::SUMMARY,
            early_data_safe: E::EARLY_DATA_SAFE,
            example: || serde_json::to_vec(&E::example()),
            action: Action::Native(|context| Box::pin(async move { encode(&E::handle(context).await?) })),
        }
    }
}

thread_local! {
    /// Where a body is written before its length is known, so that it is allocated once and exactly.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The scratch is given back beyond this size, so that one large answer does not keep its memory.
const SCRATCH_BYTES_KEPT: usize = 64 * 1024;

fn encode(response: &impl Serialize) -> Result<Bytes, Error> {
    SCRATCH.with_borrow_mut(|scratch| {
        scratch.clear();
        serde_json::to_writer(&mut *scratch, response).map_err(Error::internal)?;
        let body = Bytes::copy_from_slice(scratch);
        scratch.shrink_to(SCRATCH_BYTES_KEPT);
        Ok(body)
    })
}
