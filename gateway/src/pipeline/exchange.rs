//! The request in hand: what came, by which connection, and what the steps have found so far.

use std::sync::Arc;

use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use versions::{Entry, Error, ErrorCode, VersionTable};

use super::ConnectionCache;
use crate::callers::Caller;
use crate::http::{Frontend, Places, Record, field};
use crate::limits::{Policy, Spent};
use crate::snapshot::Snapshot;
use crate::transport::Peer;

/// One request on its way through the steps.
pub(super) struct Exchange<'a> {
    pub(super) head: &'a Parts,
    pub(super) peer: &'a Arc<Peer>,
    pub(super) cache: &'a ConnectionCache,
    pub(super) snapshot: &'a Snapshot,
    pub(super) record: Record,
    /// The places that it has taken.
    pub(super) places: Places,
    /// Whether its content, if it has any, was read to the end: then the connection is in order.
    pub(super) is_read: bool,
    /// `RateLimit` and `RateLimit-Policy`, once the caller is known.
    pub(super) rate: Option<[HeaderValue; 2]>,
    /// The version that answers.
    pub(super) version: Option<&'a VersionTable>,
    /// The version that was requested, where another one answers.
    pub(super) forwarded_from: Option<&'a VersionTable>,
    /// The endpoint, or another one of the same path where the method has none.
    pub(super) entry: Option<&'a Entry>,
    /// The fields that report what a newer version would have answered, where that was asked for.
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
            preview: None,
        }
    }

    /// The version that answers for the one that was requested.
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

    /// Notes the endpoint, if there is one.
    pub(super) fn found(&mut self, entry: Option<&'a Entry>) {
        if let Some(entry) = entry {
            self.entry = Some(entry);
            self.record.route = self.snapshot.durations(entry);
        }
    }
}

/// `RateLimit` and `RateLimit-Policy`.
pub(super) fn rate_fields(policy: &Policy, spent: Spent) -> [HeaderValue; 2] {
    let limit = policy.written_field(spent);
    let limit = limit.unwrap_or_else(|| crate::http::never_indexed(field(|block| spent.write_field(block))));
    [limit, policy.field()]
}
