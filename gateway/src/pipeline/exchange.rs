//! The state of a request in progress: its head, its connection, and the results of the steps so far.

use std::sync::Arc;

use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use versions::{Entry, Error, ErrorCode, VersionTable};

use super::ConnectionCache;
use super::trail::{Owner, Trail};
use crate::callers::Caller;
use crate::http::{Frontend, Places, Record, field};
use crate::limits::{Policy, Spent};
use crate::snapshot::Snapshot;
use crate::transport::Peer;

/// A request in progress.
pub(super) struct Exchange<'a> {
    pub(super) head: &'a Parts,
    pub(super) peer: &'a Arc<Peer>,
    pub(super) cache: &'a ConnectionCache,
    pub(super) snapshot: &'a Snapshot,
    pub(super) record: Record,
    /// The slots that it has taken.
    pub(super) places: Places,
    /// Whether its content, if any, was read to the end, so that the connection can be reused.
    pub(super) is_read: bool,
    /// `RateLimit` and `RateLimit-Policy`, once the caller is known.
    pub(super) rate: Option<[HeaderValue; 2]>,
    /// The version that serves the request.
    pub(super) version: Option<&'a VersionTable>,
    /// The requested version, if another one serves the request.
    pub(super) forwarded_from: Option<&'a VersionTable>,
    /// The endpoint, or if the method has none, another one of the same path.
    pub(super) entry: Option<&'a Entry>,
    /// Whose call it is, once that is known.
    pub(super) owner: Option<Owner>,
    /// When each step was passed.
    pub(super) trail: Trail,
    /// The fields of a preview, if one was requested.
    pub(super) preview: Option<Box<HeaderMap>>,
}

impl<'a> Exchange<'a> {
    pub(super) fn open(
        frontend: &'static Frontend,
        head: &'a Parts,
        peer: &'a Arc<Peer>,
        cache: &'a ConnectionCache,
        snapshot: &'a Snapshot,
    ) -> Self {
        Self {
            head,
            peer,
            cache,
            snapshot,
            record: Record::open(frontend, head, peer),
            places: Places::default(),
            is_read: false,
            rate: None,
            version: None,
            forwarded_from: None,
            entry: None,
            owner: None,
            trail: Trail::default(),
            preview: None,
        }
    }

    /// Chooses the version that serves the requested one.
    ///
    /// # Errors
    /// [`ErrorCode::UnknownVersion`] or [`ErrorCode::RetiredVersion`].
    pub(super) fn choose_version(
        &mut self,
        requested: &'a VersionTable,
        caller: &Caller,
    ) -> Result<&'a VersionTable, Error> {
        let Snapshot { dates, catalog, .. } = self.snapshot;
        let chosen = dates.answering(requested, catalog, caller, self.record.time);
        self.version = match &chosen {
            Ok(table) => Some(table),
            // A preview is not mentioned to a caller that it is not open to.
            Err(error) => Some(requested).filter(|_| error.code == ErrorCode::RetiredVersion),
        };
        self.forwarded_from = chosen
            .as_ref()
            .ok()
            .and(Some(requested))
            .filter(|requested| self.version.is_some_and(|table| table.index != requested.index));
        chosen
    }

    /// Records the endpoint, if there is one.
    pub(super) fn found(&mut self, entry: Option<&'a Entry>) {
        if let Some(entry) = entry {
            self.entry = Some(entry);
            self.record.route = self.snapshot.durations(entry);
        }
    }
}

/// `RateLimit` and `RateLimit-Policy`.
pub(super) fn rate_fields(policy: &Policy, spent: Spent) -> [HeaderValue; 2] {
    let limit = policy.prepared_field(spent);
    let limit = limit.unwrap_or_else(|| crate::http::never_indexed(field(|block| spent.write_field(block))));
    [limit, policy.field()]
}
