//! An endpoint with its types erased: a row of data that every machine reads.

use std::any::TypeId;
use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use http::Method;
use permissions::ApiAccessPermission;
use schemars::{Schema, SchemaGenerator};
use serde::Serialize;

use crate::request::{Input, decode};
use crate::{Change, Context, Endpoint, Error, Handler};

/// The JSON body of a 200 answer, or the error, once it is known.
pub type Answer<'a> = Pin<Box<dyn Future<Output = Result<Bytes, Error>> + Send + 'a>>;

/// Who answers.
#[derive(Clone, Copy)]
pub enum Action {
    /// A handler of this process.
    Native(for<'a> fn(&'a Context<'a>, Input<'a>) -> Answer<'a>),
}

/// The endpoint of the date before that a row takes the place of.
#[derive(Clone, Copy)]
pub struct Replaced {
    pub(crate) endpoint: TypeId,
    /// Its name.
    pub name: &'static str,
    /// What changed, for partners.
    pub note: &'static str,
}

/// One endpoint as a row. Each field is that of [`Endpoint`].
#[derive(Clone)]
pub struct Route {
    pub(crate) endpoint: TypeId,
    /// Names the endpoint in metrics, logs and documents.
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
    /// Whether a call changes nothing.
    pub safe: bool,
    /// The JSON schema of what a call says.
    pub request_schema: fn(&mut SchemaGenerator) -> Schema,
    /// The JSON schema of the 200 answer.
    pub response_schema: fn(&mut SchemaGenerator) -> Schema,
    /// Its example, as JSON.
    pub example: fn() -> Result<Vec<u8>, serde_json::Error>,
    /// What it takes the place of, where it stands in [`crate::Release::changed`].
    pub replaced: Option<Replaced>,
    /// Who answers.
    pub action: Action,
}

impl Route {
    /// The row of an endpoint that this process answers itself.
    ///
    /// A permission of none or several bits and a path without its `/` are errors of compilation.
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
            endpoint: TypeId::of::<E>(),
            name: E::NAME,
            method: E::METHOD,
            path: E::PATH,
            permission: E::PERMISSION,
            summary: E::SUMMARY,
            early_data_safe: E::EARLY_DATA_SAFE,
            safe: E::SAFE,
            request_schema: |generator| generator.root_schema_for::<E::Request>(),
            response_schema: |generator| generator.root_schema_for::<E::Response>(),
            example: || serde_json::to_vec(&E::example()),
            replaced: None,
            action: Action::Native(|context, input| {
                Box::pin(async move {
                    let request = decode(&E::METHOD, &input)?;
                    encode(&E::handle(context, request).await?)
                })
            }),
        }
    }

    /// The row of an endpoint that takes the place of another one.
    ///
    /// Without a [`Change`], which says how callers of the date before keep working, it does not compile:
    ///
    /// ```compile_fail,E0277
    /// versions::Route::changed::<versions::v2026_02_01::ping::Ping>();
    /// ```
    #[must_use]
    pub const fn changed<E: Handler + Change>() -> Self {
        let mut route = Self::native::<E>();
        route.replaced = Some(Replaced {
            endpoint: TypeId::of::<E::Before>(),
            name: <E::Before as Endpoint>::NAME,
            note: E::NOTE,
        });
        route
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
