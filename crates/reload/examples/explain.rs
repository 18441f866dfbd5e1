//! A node comes back from a crash with an old payment book, and with none; it prints its plans.

use std::io::{self, Write};

use lastword_ports::{
    ChannelBook, ChannelEntry, ForwardBook, InboundState, Ledger, LedgerHead, LedgerState, Ledgers,
    PaymentBook, PaymentView,
};
use lastword_reload::{Scope, View, plan};
use lastword_types::{
    AmountMsat, BlockHeight, BookEpoch, ChannelId, EventKey, FulfilledHow, Generation, Htlc,
    HtlcId, HtlcKey, Intent, IntentPart, LedgerEntry, Metadata, PartIndex, PaymentId,
    PaymentPreimage, PaymentState, Terms, Tombstone, UpdateId, Verdict,
};

/// A payment's HTLC in a channel's ledger, and a book that may know the payment.
struct Node {
    intent: Intent,
    htlc: Htlc,
    has_book: bool,
}

const CHANNEL: ChannelId = ChannelId([0xc1; 32]);
const PREIMAGE: PaymentPreimage = PaymentPreimage([7; 32]);

impl Node {
    fn entry(&self) -> LedgerEntry<'_> {
        let key = self.intent.parts[0].key();
        let verdict = Verdict::Fulfilled { preimage: PREIMAGE, how: FulfilledHow::Message };
        LedgerEntry::undelivered(key, &self.htlc, verdict)
    }
}

impl Ledger for Node {
    fn head(&self) -> LedgerHead {
        LedgerHead {
            channel_id: CHANNEL,
            latest_update: UpdateId(12),
            pruned_behind: BookEpoch::ZERO,
            is_archived: false,
        }
    }
    fn for_each_undelivered(&self, visit: &mut dyn FnMut(LedgerEntry<'_>)) {
        visit(self.entry());
    }
    fn entries_of<'a>(&'a self, _: PaymentId, visit: &mut dyn FnMut(LedgerEntry<'a>)) {
        visit(self.entry());
    }
    fn tombstones_of(&self, _: PaymentId, _: &mut dyn FnMut(Tombstone)) {}
}

impl Ledgers for Node {
    fn ledger(&self, _: ChannelId) -> LedgerState<'_> {
        LedgerState::Present(self)
    }
    fn for_each(&self, visit: &mut dyn FnMut(&dyn Ledger)) {
        visit(self);
    }
    fn pruned_behind(&self) -> BookEpoch {
        BookEpoch::ZERO
    }
}

impl PaymentBook for Node {
    fn epoch(&self) -> BookEpoch {
        BookEpoch::ZERO
    }
    fn payment(&self, _: PaymentId) -> Option<PaymentView<'_>> {
        let (intent, state) = (&self.intent, PaymentState::Pending);
        self.has_book.then_some(PaymentView { intent, state, is_abandoned: false })
    }
    fn for_each_pending(&self, visit: &mut dyn FnMut(PaymentView<'_>)) {
        self.payment(self.intent.payment_id).into_iter().for_each(visit);
    }
    fn is_handled(&self, _: EventKey) -> bool {
        false
    }
}

impl ForwardBook for Node {
    fn inbound_state(&self, _: HtlcKey) -> InboundState {
        InboundState::Unknown
    }
    fn for_each_pending(&self, _: &mut dyn FnMut(HtlcKey)) {}
}

impl ChannelBook for Node {
    fn for_each_channel(&self, visit: &mut dyn FnMut(ChannelEntry)) {
        visit(ChannelEntry { channel_id: CHANNEL, latest_update: UpdateId(10), is_open: true });
    }
}

fn main() -> io::Result<()> {
    let (channel_id, htlc_id, cltv_expiry) = (CHANNEL, HtlcId(3), BlockHeight(700_000));
    let [amount_msat, part_amount_msat, fee_msat] = [50_100, 50_000, 100].map(AmountMsat);
    let intent = Intent {
        payment_id: PaymentId([1; 32]),
        generation: Generation([2; 16]),
        attempt: 0,
        payment_hash: PREIMAGE.payment_hash(),
        total_msat: part_amount_msat,
        fee_msat,
        parts: vec![IntentPart { channel_id, htlc_id, amount_msat, part_amount_msat, cltv_expiry }],
        metadata: Metadata::Here(b"order 17".to_vec()),
        terms: Terms::default(),
    };
    for has_book in [true, false] {
        let htlc = intent.htlc(PartIndex(0)).expect("the intent has a first part");
        let node = Node { intent: intent.clone(), htlc, has_book };
        let view = View { ledgers: &node, payments: &node, forwards: &node, channels: &node };
        writeln!(io::stdout(), "With a book: {has_book}\n{}\n", plan(&Scope::All, &view))?;
    }
    Ok(())
}
