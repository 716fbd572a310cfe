//! HTTP/2's requests that have been read and not yet answered, of one connection.
//!
//! Most are answered without waiting, and a task for each would cost more than its answer; what waits becomes
//! a task. They are not answered where hyper hands them over either: it would write each answer by itself.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt as _;
use hyper::rt::Executor;

type Request = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The requests, for hyper to put in and for the connection's task to answer. Their number is bounded by that of the
/// connection's streams.
#[derive(Clone, Default)]
pub(super) struct Unanswered(Arc<Mutex<Vec<Request>>>);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Unanswered {
    fn execute(&self, request: F) {
        self.lock().push(Box::pin(request));
    }
}

impl Unanswered {
    /// Nobody waits for it: all of it happens in the connection's task.
    fn lock(&self) -> MutexGuard<'_, Vec<Request>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers them; whether there was one.
    pub(super) fn answer(&self) -> bool {
        let mut requests = std::mem::take(&mut *self.lock());
        let any = !requests.is_empty();
        for mut request in requests.drain(..) {
            // Its task polls it again, and is woken by what it waits for.
            if request.as_mut().now_or_never().is_none() {
                tokio::spawn(request);
            }
        }
        // Its memory is kept. Nothing has come meanwhile: hyper was not asked.
        *self.lock() = requests;
        any
    }
}
