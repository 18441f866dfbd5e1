//! The measurements.

use std::collections::BTreeMap;

use criterion::{BenchmarkId, Throughput};
use lastword_ports::{
    ChannelBook, ChannelEntry, ForwardBook, InboundState, Ledger, LedgerHead, LedgerState, Ledgers,
    PaymentBook, PaymentView,
};
use lastword_reload::{Scope, View, plan};
use lastword_types::{
    AmountMsat, BlockHeight, BookEpoch, ChannelId, EventKey, FulfilledHow, Generation, Htlc,
    HtlcDirection, HtlcId, HtlcKey, HtlcOrigin, LedgerEntry, Metadata, PartIndex, PaymentId,
    PaymentOrigin, PaymentPreimage, Terms, Tombstone, UpdateId, Verdict,
};

use crate::shared::{self, CHANNELS};

/// The parts of a payment; no payment has more than the last.
const PARTS: [u32; 3] = [1, 10, 100];
const PREIMAGE: PaymentPreimage = PaymentPreimage([7; 32]);

/// Measures everything, as the arguments of the program say.
pub(crate) fn run() {
    let mut criterion = shared::criterion();
    let mut group = criterion.benchmark_group("plan");
    for channels in CHANNELS {
        let node = Node::new(channels, 1);
        group.throughput(Throughput::Elements(u64::from(channels)));
        group.bench_function(BenchmarkId::new("everything, one part each", channels), |bencher| {
            bencher.iter_with_large_drop(|| plan(&Scope::All, &node.view()));
        });
    }
    for parts in PARTS {
        let node = Node::new(1_000, parts);
        let scope = Scope::of_payment(payment_id(0));
        group.throughput(Throughput::Elements(u64::from(parts)));
        group.bench_function(BenchmarkId::new("one payment of 1,000 channels", parts), |bencher| {
            bencher.iter_with_large_drop(|| plan(&scope, &node.view()));
        });
    }
    group.finish();
    criterion.final_summary();
}

/// A channel with one HTLC that was fulfilled, of which nobody was told.
struct Sheet {
    channel_id: ChannelId,
    htlc: Htlc,
}

/// A node without any book.
struct Node(BTreeMap<ChannelId, Sheet>);

impl Node {
    /// So many channels, and payments over so many of them each.
    fn new(channels: u32, parts: u32) -> Self {
        let sheets = (0..channels).map(|number| {
            let first = number - number % parts;
            let origin = HtlcOrigin::Payment(PaymentOrigin {
                payment_id: payment_id(first),
                generation: Generation([2; 16]),
                attempt: 0,
                part: PartIndex(u16::try_from(number % parts).expect("there are few parts")),
                part_channels: (first..first + parts).map(channel_id).collect(),
                part_amount_msat: AmountMsat(50_000),
                total_msat: AmountMsat(50_000 * u64::from(parts)),
                fee_msat: AmountMsat(100),
                metadata: Metadata::Here(b"order 17".to_vec()),
                terms: Terms::default(),
            });
            let htlc = Htlc {
                direction: HtlcDirection::Offered,
                htlc_id: HtlcId(0),
                amount_msat: AmountMsat(50_100),
                payment_hash: PREIMAGE.payment_hash(),
                cltv_expiry: BlockHeight(700_000),
                origin,
            };
            (channel_id(number), Sheet { channel_id: channel_id(number), htlc })
        });
        Self(sheets.collect())
    }

    fn view(&self) -> View<'_> {
        View { ledgers: self, payments: self, forwards: self, channels: self }
    }
}

fn channel_id(number: u32) -> ChannelId {
    ChannelId(named(0x5A, number))
}

fn payment_id(number: u32) -> PaymentId {
    PaymentId(named(0xA5, number))
}

/// As ids are: two that are near each other have nothing in common.
fn named(kind: u8, number: u32) -> [u8; 32] {
    let mut id = [kind; 32];
    id[..4].copy_from_slice(&number.wrapping_mul(0x9E37_79B1).to_be_bytes());
    id[4..8].copy_from_slice(&number.to_be_bytes());
    id
}

impl Sheet {
    fn entry(&self) -> LedgerEntry<'_> {
        let Self { channel_id, htlc } = self;
        let key = HtlcKey {
            channel_id: *channel_id,
            direction: HtlcDirection::Offered,
            htlc_id: htlc.htlc_id,
        };
        let verdict = Verdict::Fulfilled { preimage: PREIMAGE, how: FulfilledHow::Message };
        LedgerEntry::undelivered(key, htlc, verdict)
    }
}

impl Ledger for Sheet {
    fn head(&self) -> LedgerHead {
        LedgerHead {
            channel_id: self.channel_id,
            latest_update: UpdateId(1),
            pruned_behind: BookEpoch::ZERO,
            is_archived: false,
        }
    }

    fn for_each_undelivered(&self, visit: &mut dyn FnMut(LedgerEntry<'_>)) {
        visit(self.entry());
    }

    fn entries_of<'a>(&'a self, payment_id: PaymentId, visit: &mut dyn FnMut(LedgerEntry<'a>)) {
        if let HtlcOrigin::Payment(origin) = &self.htlc.origin
            && origin.payment_id == payment_id
        {
            visit(self.entry());
        }
    }

    fn tombstones_of(&self, _: PaymentId, _: &mut dyn FnMut(Tombstone)) {}
}

impl Ledgers for Node {
    fn ledger(&self, channel_id: ChannelId) -> LedgerState<'_> {
        self.0.get(&channel_id).map_or(LedgerState::Missing, |sheet| LedgerState::Present(sheet))
    }

    fn for_each(&self, visit: &mut dyn FnMut(&dyn Ledger)) {
        self.0.values().for_each(|sheet| visit(sheet));
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
        None
    }

    fn for_each_pending(&self, _: &mut dyn FnMut(PaymentView<'_>)) {}

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
    fn for_each_channel(&self, _: &mut dyn FnMut(ChannelEntry)) {}
}
