//! [`WithHandled`]: the payment book as it will be once an event is recorded as handled.

use lastword_ports::{PaymentBook, PaymentView};
use lastword_types::{BookEpoch, EventKey, PaymentId, PaymentState};

/// A payment book in which one more event counts as handled, so that the releases which follow from
/// it can go into the same batch.
pub(crate) struct WithHandled<'a> {
    pub(crate) book: &'a dyn PaymentBook,
    pub(crate) key: EventKey,
}

impl WithHandled<'_> {
    fn see<'v>(&self, view: PaymentView<'v>) -> PaymentView<'v> {
        let is_meant = view.intent.payment_id == self.key.payment_id
            && view.intent.generation == self.key.generation;
        match view.state {
            PaymentState::Decided(outcome) if is_meant && self.key.kind.is_terminal() => {
                PaymentView { state: PaymentState::Handled(outcome), ..view }
            }
            PaymentState::Pending | PaymentState::Decided(_) | PaymentState::Handled(_) => view,
        }
    }
}

impl PaymentBook for WithHandled<'_> {
    fn epoch(&self) -> BookEpoch {
        self.book.epoch()
    }

    fn payment(&self, payment_id: PaymentId) -> Option<PaymentView<'_>> {
        self.book.payment(payment_id).map(|view| self.see(view))
    }

    fn for_each_pending(&self, visit: &mut dyn FnMut(PaymentView<'_>)) {
        self.book.for_each_pending(&mut |view| {
            let view = self.see(view);
            if !matches!(view.state, PaymentState::Handled(_)) {
                visit(view);
            }
        });
    }

    fn is_handled(&self, key: EventKey) -> bool {
        key == self.key || self.book.is_handled(key)
    }
}
