//! The sites that a listener serves: the API, its documentation, the operator's tools. One listener may serve
//! several, chosen by the host of a request.

mod documents;
mod form;
mod html;
mod operations;
mod page;
mod portal;
mod process;
mod settings;

use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::Either;
use http::request::Parts;
use http::{Response, StatusCode, Version};

use crate::http::{ReplyBody, request_host};
use crate::pipeline::{ConnectionCache, Pipeline};
use crate::transport::{Peer, RequestBody, Service};

pub use documents::Documents;
pub use operations::Operations;
use page::{refuse_page, serve_page};
pub use portal::Portal;
pub use settings::{Rotate, SettingsPage};

/// One site.
#[derive(Clone, Copy)]
pub enum Site {
    /// The API.
    Api(&'static Pipeline),
    /// Its documentation.
    Documents(&'static Documents),
    /// The operator's tools.
    Operations(&'static Operations),
    /// The settings page of the local profile.
    Settings(&'static SettingsPage),
    /// Sign-in of people and of their devices.
    Portal(&'static Portal),
}

/// The sites of one listener.
pub struct Sites {
    /// Each with its hosts, in lower case.
    by_host: Vec<(Vec<String>, Site)>,
    /// The first of them, which responds to whatever is for none of them: the checks of the head refuse it.
    first: Site,
}

impl Sites {
    /// Serves these sites, each at its hosts; a single one at whatever host the listener has.
    ///
    /// # Errors
    /// Where there is none.
    pub fn new(by_host: Vec<(Vec<String>, Site)>) -> anyhow::Result<Self> {
        let (_, first) = by_host.first().context("a listener serves nothing")?;
        Ok(Self { first: *first, by_host })
    }

    fn choose(&self, head: &Parts) -> Site {
        if self.by_host.len() == 1 {
            return self.first;
        }
        let host = request_host(head).unwrap_or_default();
        let is_host = |hosts: &[String]| hosts.iter().any(|name| name.as_bytes().eq_ignore_ascii_case(host));
        self.by_host.iter().find(|(hosts, _)| is_host(hosts)).map_or(self.first, |(_, site)| *site)
    }
}

impl Service for Sites {
    type ConnectionState = ConnectionCache;
    type Body = ReplyBody;

    /// No `async fn`: its future would have room for those of all sites, and for the head twice.
    fn serve(
        &'static self,
        head: Parts,
        body: RequestBody,
        peer: Arc<Peer>,
        cache: Arc<ConnectionCache>,
    ) -> impl Future<Output = Response<ReplyBody>> + Send + 'static {
        match self.choose(&head) {
            Site::Api(pipeline) => Either::Left(pipeline.serve(head, body, peer, cache)),
            Site::Documents(documents) => {
                Either::Right(async move { serve_page(documents, &head, body, &peer).await }.boxed())
            }
            Site::Operations(operations) => {
                Either::Right(async move { serve_page(operations, &head, body, &peer).await }.boxed())
            }
            Site::Settings(settings) => {
                Either::Right(async move { serve_page(settings, &head, body, &peer).await }.boxed())
            }
            Site::Portal(portal) => {
                Either::Right(async move { serve_page(portal, &head, body, &peer).await }.boxed())
            }
        }
    }

    fn refuse(&'static self, status: StatusCode, version: Version, peer: &Arc<Peer>) -> Response<Bytes> {
        match self.first {
            Site::Api(pipeline) => pipeline.refuse(status, version, peer),
            Site::Documents(documents) => refuse_page(documents, status, version, peer),
            Site::Operations(operations) => refuse_page(operations, status, version, peer),
            Site::Settings(settings) => refuse_page(settings, status, version, peer),
            Site::Portal(portal) => refuse_page(portal, status, version, peer),
        }
    }
}
