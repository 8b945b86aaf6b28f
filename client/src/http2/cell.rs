//! Boxes that are used again for one future after the other: no allocation per future once they are warm.

use core::any::Any;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

/// A box for futures of one type, which only who made it knows, with output `O`.
pub(crate) trait Cell<O>: Send {
    /// Polls the future; empties the cell when it is done. An empty cell is pending.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<O>;

    /// Drops the future.
    fn clear(&mut self);

    fn as_any(&mut self) -> &mut dyn Any;
}

struct Typed<F>(Pin<Box<Option<F>>>);

impl<F: Future + Send + 'static> Cell<F::Output> for Typed<F> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Some(future) = self.0.as_mut().as_pin_mut() else { return Poll::Pending };
        let output = ready!(future.poll(cx));
        self.0.set(None);
        Poll::Ready(output)
    }

    fn clear(&mut self) {
        self.0.set(None);
    }

    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}

/// Empty cells, kept for the next futures.
pub(crate) struct Spares<O>(Vec<Box<dyn Cell<O>>>);

/// The most cells kept: what a busy client needs all the time, not what a burst once needed.
const MOST: usize = 512;

impl<O> Default for Spares<O> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<O: 'static> Spares<O> {
    /// Puts a future into a cell.
    pub(crate) fn fill<F>(&mut self, future: F) -> Box<dyn Cell<O>>
    where
        F: Future<Output = O> + Send + 'static,
    {
        if let Some(mut cell) = self.0.pop() {
            if let Some(typed) = cell.as_any().downcast_mut::<Typed<F>>() {
                typed.0.set(Some(future));
                return cell;
            }
        }
        Box::new(Typed(Box::pin(Some(future))))
    }

    /// Takes an empty cell back.
    pub(crate) fn put(&mut self, cell: Box<dyn Cell<O>>) {
        if self.0.len() < MOST {
            self.0.push(cell);
        }
    }
}

#[cfg(test)]
mod tests {
    use core::task::Waker;
    use std::sync::Arc;

    use super::*;

    fn poll<O>(cell: &mut Box<dyn Cell<O>>) -> Poll<O> {
        cell.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_cell_is_used_again_for_the_same_type_and_drops_what_it_held() {
        let held = Arc::new(());
        let make = |n: u8| {
            let held = held.clone();
            async move {
                let _held = held;
                n
            }
        };
        let mut spares = Spares::default();
        let mut cell = spares.fill(make(1));
        assert_eq!((poll(&mut cell), poll(&mut cell)), (Poll::Ready(1), Poll::Pending));
        assert_eq!(Arc::strong_count(&held), 1);
        let place: *const () = (&raw const *cell).cast();
        spares.put(cell);
        let mut again = spares.fill(make(2));
        assert_eq!((&raw const *again).cast::<()>(), place);
        assert_eq!(Arc::strong_count(&held), 2);
        again.clear();
        assert_eq!((poll(&mut again), Arc::strong_count(&held)), (Poll::Pending, 1));
        spares.put(again);
        let mut other = spares.fill(async { 3 });
        assert_eq!(poll(&mut other), Poll::Ready(3));
    }
}
