//! The sites that a listener serves: the API, its documentation, the operator's tools. One listener may serve
//! several, told apart by the host of a request.

mod documents;
mod operations;
mod page;
mod process;

use std::sync::Arc;

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

/// One site.
#[derive(Clone, Copy)]
pub enum Site {
    /// The API.
    Api(&'static Pipeline),
    /// Its documentation.
    Documents(&'static Documents),
    /// The operator's tools.
    Operations(&'static Operations),
}

/// The sites of one listener.
pub struct Sites {
    /// Serves every host that is no other site's.
    default: Site,
    /// The others, with their hosts in lower case.
    others: Vec<(Vec<String>, Site)>,
}

impl Sites {
    /// `default` serves every host that is not one of `others`.
    #[must_use]
    pub const fn new(default: Site, others: Vec<(Vec<String>, Site)>) -> Self {
        Self { default, others }
    }

    fn choose(&self, head: &Parts) -> Site {
        if self.others.is_empty() {
            return self.default;
        }
        let host = request_host(head).unwrap_or_default();
        let found =
            self.others.iter().find(|(hosts, _)| hosts.iter().any(|name| name.eq_ignore_ascii_case(host)));
        found.map_or(self.default, |(_, site)| *site)
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
                Either::Right(async move { serve_page(documents, &head, &peer).await }.boxed())
            }
            Site::Operations(operations) => {
                Either::Right(async move { serve_page(operations, &head, &peer).await }.boxed())
            }
        }
    }

    fn refuse(&'static self, status: StatusCode, version: Version, peer: &Arc<Peer>) -> Response<Bytes> {
        match self.default {
            Site::Api(pipeline) => pipeline.refuse(status, version, peer),
            Site::Documents(documents) => refuse_page(documents, status, version, peer),
            Site::Operations(operations) => refuse_page(operations, status, version, peer),
        }
    }
}
