//! Reuses one allocation of each thread for the futures of requests, because most of them complete at once.
//!
//! Such a future is large, because it may have to wait. One that waits keeps the allocation; all others leave it to
//! the next request. So no idle connection holds memory for a request, and no future is moved once it is polled.

use std::any::Any;
use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

type Place<F> = Pin<Box<Option<F>>>;

/// A future in a reused allocation.
pub(super) struct RecycledFuture<F: Future + 'static>(Option<Box<Place<F>>>);

thread_local! {
    /// The free allocations, at most one for each type of future.
    static FREE: RefCell<Vec<Box<dyn Any>>> = const { RefCell::new(Vec::new()) };
}

impl<F: Future + 'static> RecycledFuture<F> {
    /// Makes a future in the thread's free allocation, or in a new one if there is none.
    pub(super) fn new(make: impl FnOnce() -> F) -> Self {
        let free = FREE.with_borrow_mut(|free| {
            let found = free.iter().position(|place| place.is::<Place<F>>())?;
            free.swap_remove(found).downcast::<Place<F>>().ok()
        });
        // A free allocation is empty. Looking again lets the compiler write the future where it stays: nothing has to
        // be dropped before, so nothing can go wrong on the way.
        match free {
            Some(mut place) if place.is_none() => {
                place.set(Some(make()));
                Self(Some(place))
            }
            _ => Self(Some(Box::new(Box::pin(Some(make()))))),
        }
    }
}

impl<F: Future> Future for RecycledFuture<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        // The allocation is returned with the output, after which a future is not polled.
        let Some(place) = &mut self.0 else { return Poll::Pending };
        let Some(future) = (**place).as_mut().as_pin_mut() else { return Poll::Pending };
        let output = ready!(future.poll(context));
        place.set(None);
        if let Some(place) = self.0.take() {
            FREE.with_borrow_mut(|free| {
                if !free.iter().any(|place| place.is::<Place<F>>()) {
                    free.push(place);
                }
            });
        }
        Poll::Ready(output)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::sync::oneshot;

    use super::*;

    fn free() -> usize {
        FREE.with_borrow(Vec::len)
    }

    #[test]
    fn a_waiting_future_keeps_its_allocation() {
        let placed =
            |receiver: Option<oneshot::Receiver<u8>>| RecycledFuture::new(|| async { receiver?.await.ok() });
        assert_eq!(placed(None).now_or_never(), Some(None));
        assert_eq!(free(), 1);
        let (sender, receiver) = oneshot::channel();
        let mut waiting = placed(Some(receiver));
        assert_eq!((&mut waiting).now_or_never(), None);
        assert_eq!(free(), 0);
        assert_eq!(placed(None).now_or_never(), Some(None), "another one has a place nevertheless");
        sender.send(7).unwrap();
        assert_eq!(waiting.now_or_never(), Some(Some(7)));
        assert_eq!(free(), 1, "no more than one is kept");
    }

    #[test]
    fn futures_of_different_types_have_separate_allocations() {
        for number in 0..3 {
            assert_eq!(RecycledFuture::new(|| async move { number }).now_or_never(), Some(number));
            assert_eq!(RecycledFuture::new(|| std::future::ready(number)).now_or_never(), Some(number));
        }
        assert_eq!(free(), 2);
    }
}
