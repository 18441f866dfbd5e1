//! Received payments (rule R13) and the inbound halves of forwards (rule R12), on ledgers of
//! received HTLCs.

use std::collections::{BTreeMap, BTreeSet};

use lastword_ports::{
    ChannelBook, ChannelEntry, ForwardBook, InboundState, Ledger, LedgerHead, LedgerState, Ledgers,
    PaymentBook, PaymentView,
};
use lastword_reload::{Action, Planned, Reason, Scope, View, plan};
use lastword_types::{
    AmountMsat, BlockHeight, BookEpoch, ChannelId, EntryState, Event, EventKey, ForwardOrigin,
    FulfilledHow, Htlc, HtlcClaim, HtlcDirection, HtlcFailure, HtlcId, HtlcKey, HtlcOrigin,
    LedgerEntry, PaymentId, PaymentPreimage, PreimageSource, ReleasePaymentComplete, Told,
    Tombstone, UpdateId, Verdict,
};

const PREIMAGE: PaymentPreimage = PaymentPreimage([7; 32]);
const OTHER: PaymentPreimage = PaymentPreimage([8; 32]);
const PART_MSAT: u64 = 1_000;

/// One HTLC of a fake ledger.
#[derive(Debug, Clone)]
struct Row {
    htlc: Htlc,
    verdict: Verdict,
    claim: Option<PaymentPreimage>,
    source: Option<PreimageSource>,
    delivered: Option<Told>,
    is_removed: bool,
    is_claimable: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bytes {
    Present,
    Damaged,
    Archived,
}

#[derive(Debug, Clone)]
struct Sheet {
    channel_id: ChannelId,
    bytes: Bytes,
    rows: BTreeMap<(HtlcDirection, HtlcId), Row>,
    forgotten: BTreeSet<(HtlcDirection, HtlcId)>,
}

impl Sheet {
    fn read(&self, (direction, htlc_id): (HtlcDirection, HtlcId)) -> LedgerEntry<'_> {
        let row = &self.rows[&(direction, htlc_id)];
        let key = HtlcKey { channel_id: self.channel_id, direction, htlc_id };
        LedgerEntry {
            delivered: row.delivered,
            is_removed: row.is_removed,
            claim: row.claim.as_ref(),
            source: row.source.as_ref(),
            is_claimable: row.is_claimable,
            ..LedgerEntry::undelivered(key, &row.htlc, row.verdict)
        }
    }
}

impl Ledger for Sheet {
    fn head(&self) -> LedgerHead {
        LedgerHead {
            channel_id: self.channel_id,
            latest_update: UpdateId::ZERO,
            pruned_behind: BookEpoch::ZERO,
            is_archived: self.bytes == Bytes::Archived,
        }
    }

    fn for_each_undelivered(&self, visit: &mut dyn FnMut(LedgerEntry<'_>)) {
        self.rows.keys().for_each(|key| visit(self.read(*key)));
    }

    fn entries_of<'a>(&'a self, _: PaymentId, _: &mut dyn FnMut(LedgerEntry<'a>)) {}

    fn tombstones_of(&self, _: PaymentId, _: &mut dyn FnMut(Tombstone)) {}

    fn entry(&self, direction: HtlcDirection, htlc_id: HtlcId) -> EntryState<'_> {
        let key = (direction, htlc_id);
        if self.rows.contains_key(&key) {
            EntryState::Entry(self.read(key))
        } else if self.forgotten.contains(&key) {
            EntryState::Forgotten
        } else {
            EntryState::Unknown
        }
    }
}

/// The ledgers, in the order in which they are visited, and what the node believes.
#[derive(Debug, Clone)]
struct Node {
    books: Vec<Sheet>,
    closed: BTreeSet<ChannelId>,
    inbound: InboundState,
    handled: Option<EventKey>,
}

impl Ledgers for Node {
    fn ledger(&self, channel_id: ChannelId) -> LedgerState<'_> {
        match self.books.iter().find(|book| book.channel_id == channel_id) {
            Some(book) if book.bytes == Bytes::Damaged => LedgerState::Damaged,
            Some(book) => LedgerState::Present(book),
            None => LedgerState::Missing,
        }
    }

    fn for_each(&self, visit: &mut dyn FnMut(&dyn Ledger)) {
        let readable = self.books.iter().filter(|book| book.bytes != Bytes::Damaged);
        readable.for_each(|book| visit(book));
    }

    fn pruned_behind(&self) -> BookEpoch {
        BookEpoch::ZERO
    }

    fn is_closed(&self, channel_id: ChannelId) -> bool {
        self.closed.contains(&channel_id)
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

    fn is_handled(&self, key: EventKey) -> bool {
        self.handled == Some(key)
    }
}

impl ForwardBook for Node {
    fn inbound_state(&self, _: HtlcKey) -> InboundState {
        self.inbound
    }

    fn for_each_pending(&self, _: &mut dyn FnMut(HtlcKey)) {}
}

impl ChannelBook for Node {
    fn for_each_channel(&self, _: &mut dyn FnMut(ChannelEntry)) {}
}

fn channel(byte: u8) -> ChannelId {
    ChannelId([byte; 32])
}

fn received(byte: u8) -> HtlcKey {
    let (direction, htlc_id) = (HtlcDirection::Received, HtlcId(u64::from(byte)));
    HtlcKey { channel_id: channel(byte), direction, htlc_id }
}

fn offered(byte: u8) -> HtlcKey {
    HtlcKey { direction: HtlcDirection::Offered, ..received(byte) }
}

fn invoice(parts: &[HtlcKey]) -> PreimageSource {
    PreimageSource::Invoice {
        parts: parts.iter().copied().collect(),
        amount_msat: AmountMsat(PART_MSAT * u64::try_from(parts.len()).unwrap()),
    }
}

fn row(key: HtlcKey, origin: HtlcOrigin) -> Row {
    Row {
        htlc: Htlc {
            direction: key.direction,
            htlc_id: key.htlc_id,
            amount_msat: AmountMsat(PART_MSAT),
            payment_hash: PREIMAGE.payment_hash(),
            cltv_expiry: BlockHeight(500),
            origin,
        },
        verdict: Verdict::Live,
        claim: None,
        source: None,
        delivered: None,
        is_removed: false,
        is_claimable: key.direction == HtlcDirection::Received,
    }
}

/// The row of a part that is claimed with all of these.
fn claimed(key: HtlcKey, parts: &[HtlcKey]) -> Row {
    Row {
        claim: Some(PREIMAGE),
        source: Some(invoice(parts)),
        is_claimable: false,
        ..row(key, HtlcOrigin::Ours)
    }
}

fn book_of(key: HtlcKey, row: Option<Row>) -> Sheet {
    let name = (key.direction, key.htlc_id);
    Sheet {
        channel_id: key.channel_id,
        bytes: Bytes::Present,
        rows: row.into_iter().map(|row| (name, row)).collect(),
        forgotten: BTreeSet::new(),
    }
}

impl Node {
    fn of(books: Vec<Sheet>) -> Self {
        let (closed, inbound) = (BTreeSet::new(), InboundState::Open);
        Self { books, closed, inbound, handled: None }
    }

    fn plan(&self, scope: &Scope) -> Vec<(Action, Reason)> {
        let view = View { ledgers: self, payments: self, forwards: self, channels: self };
        let planned = plan(scope, &view).actions.into_iter();
        planned.map(|Planned { action, reason }| (action, reason)).collect()
    }

    fn plan_all(&self) -> Vec<(Action, Reason)> {
        self.plan(&Scope::All)
    }
}

fn claim_of(key: HtlcKey, source: PreimageSource) -> Action {
    let (channel_id, htlc_ids) = (key.channel_id, [key.htlc_id].into());
    Action::Claim(HtlcClaim { channel_id, htlc_ids, preimage: PREIMAGE, source })
}

fn fulfil(htlc: HtlcKey) -> (Action, Reason) {
    (Action::FulfillHtlc { htlc, preimage: PREIMAGE }, Reason::PartClaimed)
}

fn release(htlc: HtlcKey, reason: Reason) -> (Action, Reason) {
    (Action::Release(ReleasePaymentComplete { htlc, told: Told::Claimed }), reason)
}

fn event(parts: &[HtlcKey], lost: u64) -> Event {
    let count = u64::try_from(parts.len()).unwrap();
    Event::PaymentClaimed {
        payment_hash: PREIMAGE.payment_hash(),
        preimage: PREIMAGE,
        amount_msat: AmountMsat(PART_MSAT * (count - lost)),
        lost_msat: AmountMsat(PART_MSAT * lost),
        parts: parts.iter().copied().collect(),
    }
}

fn tells(parts: &[HtlcKey], lost: u64) -> (Action, Reason) {
    let event = event(parts, lost);
    let payment_id = event.key().unwrap().payment_id;
    (Action::Tell { payment_id, events: vec![event] }, Reason::AllPartsClaimed)
}

/// A payment in three parts of which the last is claimed.
fn one_of_three() -> ([HtlcKey; 3], Vec<Sheet>) {
    let parts = [1, 2, 3].map(received);
    let open = |key| book_of(key, Some(row(key, HtlcOrigin::Ours)));
    (
        parts,
        vec![open(parts[0]), open(parts[1]), book_of(parts[2], Some(claimed(parts[2], &parts)))],
    )
}

#[test]
fn museum_b039_a_part_that_misses_its_claim_gets_it_whatever_order_the_ledgers_come_in() {
    let (parts, books) = one_of_three();
    let expected = [
        (claim_of(parts[0], invoice(&parts)), Reason::PartClaimed),
        (claim_of(parts[1], invoice(&parts)), Reason::PartClaimed),
        fulfil(parts[2]),
    ];
    for turns in 0..3 {
        let mut turned = books.clone();
        turned.rotate_left(turns);
        let node = Node::of(turned);
        assert_eq!(node.plan_all(), expected);
        // Live, the one part that changed is enough.
        let (payments, forwards) = (BTreeSet::new(), BTreeSet::new());
        let received = [parts[2]].into();
        assert_eq!(node.plan(&Scope::Changed { payments, forwards, received }), expected);
    }
}

/// Every other standing of the second part, while the third is claimed.
#[test]
fn a_part_is_claimed_waited_for_or_lost() {
    let (parts, books) = one_of_three();
    let wait = |reason| {
        let (payment_hash, channel_id) = (PREIMAGE.payment_hash(), channel(2));
        (Action::WaitForPart { payment_hash, channel_id }, reason)
    };
    let first = || claimed(parts[0], &parts);
    let ours = || row(parts[1], HtlcOrigin::Ours);
    let passing = row(parts[1], HtlcOrigin::Forwarded { outbound: offered(9) });
    let other_hash =
        Row { htlc: Htlc { payment_hash: OTHER.payment_hash(), ..ours().htlc }, ..ours() };
    let over = Row {
        verdict: Verdict::Failed { reason: HtlcFailure::TimedOut },
        is_claimable: false,
        ..ours()
    };
    let elsewhere = claimed(parts[1], &parts[1..]);
    let table = [
        ("claimed", Some(claimed(parts[1], &parts)), tells(&parts, 0)),
        ("over", Some(over), tells(&parts, 1)),
        ("of another payment", Some(elsewhere), tells(&parts, 1)),
        ("passing through", Some(passing), tells(&parts, 1)),
        ("of another hash", Some(other_hash), tells(&parts, 1)),
        ("never there", None, wait(Reason::MonitorStale)),
    ];
    for (name, second, expected) in table {
        let mut books = books.clone();
        books[0] = book_of(parts[0], Some(first()));
        books[1] = book_of(parts[1], second);
        let planned = Node::of(books).plan_all();
        assert!(planned.contains(&expected), "{name}: {planned:?}");
        let is_claim = |(action, _): &(Action, Reason)| matches!(action, Action::Claim(_));
        // A claim of another payment has parts of its own to ask for.
        let claims = planned.iter().filter(|it| is_claim(it)).count();
        assert_eq!(claims, 0, "{name}: {planned:?}");
    }
    let mut node = Node::of(books);
    node.books[0] = book_of(parts[0], Some(first()));
    node.books[1].rows.clear();
    node.books[1].forgotten.insert((HtlcDirection::Received, parts[1].htlc_id));
    assert!(node.plan_all().contains(&tells(&parts, 1)), "forgotten before it was claimed");
    node.books[1].bytes = Bytes::Damaged;
    assert!(node.plan_all().contains(&wait(Reason::MonitorDamaged)));
    node.books.remove(1);
    assert!(node.plan_all().contains(&wait(Reason::MonitorMissing)));
}

#[test]
fn it_is_told_when_all_is_claimed_and_released_when_it_is_handled() {
    let parts = [1, 2].map(received);
    let books = parts.map(|part| book_of(part, Some(claimed(part, &parts))));
    let mut node = Node::of(books.into());
    let fulfils = parts.map(fulfil);
    assert_eq!(node.plan_all()[..2], fulfils);
    assert_eq!(node.plan_all()[2..], [tells(&parts, 0)]);
    // The chain hears of it in a closed channel, and a peer that has heard is not told again.
    node.closed.insert(channel(1));
    node.books[1].rows.values_mut().for_each(|row| row.is_removed = true);
    assert_eq!(node.plan_all(), [tells(&parts, 0)]);

    node.handled = event(&parts, 0).key();
    assert_eq!(node.plan_all(), parts.map(|part| release(part, Reason::Handled)));
    // One release is as good as a handled event: the rest follows in silence (as R6).
    node.handled = None;
    node.books[0].rows.values_mut().for_each(|row| row.delivered = Some(Told::Claimed));
    assert_eq!(node.plan_all(), [release(parts[1], Reason::Over)]);
    node.books[1].rows.values_mut().for_each(|row| row.delivered = Some(Told::Claimed));
    assert_eq!(node.plan_all(), []);
}

#[test]
fn two_payments_of_one_hash_have_names_of_their_own() {
    let [one, two] = [1, 2].map(|byte| event(&[received(byte)], 0).key().unwrap());
    assert_ne!(one.payment_id, two.payment_id);
    assert_eq!(event(&[received(1)], 1).key(), Some(one), "whatever is lost of it");
}

/// A forward from channel 1 to channel 2.
fn forward(inbound: Option<Row>, verdict: Verdict) -> Node {
    let origin = ForwardOrigin {
        inbound: received(1),
        inbound_amount_msat: AmountMsat(PART_MSAT),
        inbound_cltv_expiry: BlockHeight(500),
    };
    let out = Row { verdict, ..row(offered(2), HtlcOrigin::Forward(origin)) };
    Node::of(vec![book_of(received(1), inbound), book_of(offered(2), Some(out))])
}

fn half() -> Row {
    row(received(1), HtlcOrigin::Forwarded { outbound: offered(2) })
}

const FULFILLED: Verdict = Verdict::Fulfilled { preimage: PREIMAGE, how: FulfilledHow::Message };

fn claim_inbound() -> (Action, Reason) {
    let (inbound, outbound) = (received(1), offered(2));
    let action = Action::ClaimInbound { inbound, outbound, preimage: PREIMAGE };
    (action, Reason::OutboundFulfilled)
}

fn released(reason: Reason) -> (Action, Reason) {
    let release = ReleasePaymentComplete { htlc: offered(2), told: Told::Forward };
    (Action::Release(release), reason)
}

/// Where the inbound monitor is here, what it holds decides, whatever the book says.
#[test]
fn the_inbound_monitor_is_believed_and_not_the_book() {
    let downstream = PreimageSource::Downstream { outbound: offered(2) };
    let claim = (claim_of(received(1), downstream.clone()), Reason::OutboundFulfilled);
    let claimed = Row { claim: Some(PREIMAGE), source: Some(downstream), ..half() };
    let stray = Row { htlc: Htlc { payment_hash: OTHER.payment_hash(), ..half().htlc }, ..half() };
    let settled = [released(Reason::InboundResolved)];
    for state in [InboundState::Open, InboundState::Resolved, InboundState::Gone] {
        let plan = |inbound: Option<Row>, verdict| {
            let mut node = forward(inbound, verdict);
            node.inbound = state;
            node
        };
        assert_eq!(plan(Some(half()), FULFILLED).plan_all(), [claim.clone(), claim_inbound()]);
        // A preimage that does not open it claims nothing here.
        assert_eq!(plan(Some(stray.clone()), FULFILLED).plan_all(), [claim_inbound()]);
        // Its claim is durable: the outbound half has done its duty, and the peer has to hear of it.
        let node = plan(Some(claimed.clone()), FULFILLED);
        assert_eq!(node.plan_all(), [settled[0].clone(), claim_inbound()]);
        let removed = Row { is_removed: true, ..claimed.clone() };
        assert_eq!(plan(Some(removed), FULFILLED).plan_all(), settled);
        let failed = Verdict::Failed { reason: HtlcFailure::TimedOut };
        let fails = Action::FailInbound {
            inbound: received(1),
            outbound: offered(2),
            reason: HtlcFailure::TimedOut,
        };
        let planned = plan(Some(half()), failed).plan_all();
        assert_eq!(planned, [(fails, Reason::OutboundFailed)]);
        let removed = Row { is_removed: true, is_claimable: false, ..half() };
        assert_eq!(plan(Some(removed), failed).plan_all(), settled);
        let mut node = plan(None, failed);
        node.books[0].forgotten.insert((HtlcDirection::Received, received(1).htlc_id));
        assert_eq!(node.plan_all(), settled);
        node.books[0].bytes = Bytes::Archived;
        assert_eq!(node.plan_all(), [released(Reason::InboundGone)]);
    }
}

/// Contradictions that no honest node makes: two forwards of one inbound half, which is a part of two
/// payments besides. Its ledger takes one claim, and the plan asks for no more.
#[test]
fn no_htlc_is_claimed_twice_in_one_plan() {
    let mut node = forward(Some(row(received(1), HtlcOrigin::Ours)), FULFILLED);
    let mut second = node.books[1].clone();
    second.channel_id = channel(3);
    node.books.push(second);
    for byte in [4, 5] {
        let parts = [received(1), received(byte)];
        node.books.push(book_of(received(byte), Some(claimed(received(byte), &parts))));
    }
    let planned = node.plan_all();
    let claims = planned.iter().filter(|(action, _)| matches!(action, Action::Claim(_)));
    assert_eq!(claims.count(), 1, "{planned:?}");
}

/// An inbound half of which no outbound one ever left is the node's to decide, once the ledger that
/// would know can be read.
#[test]
fn an_inbound_half_without_an_outbound_one_is_decided_by_the_node() {
    let (inbound, outbound) = (received(1), offered(2));
    let decide = (Action::DecideInbound { inbound, outbound }, Reason::NeverForwarded);
    let mut node = forward(Some(half()), Verdict::Live);
    assert_eq!(node.plan_all(), [], "it was forwarded");
    node.books[1].rows.clear();
    assert_eq!(node.plan_all(), [decide]);
    let scope = Scope::Changed {
        payments: BTreeSet::new(),
        forwards: BTreeSet::new(),
        received: [inbound].into(),
    };
    assert_eq!(node.plan(&scope), [], "live, the node is about to decide");
    node.books[1].forgotten.insert((HtlcDirection::Offered, outbound.htlc_id));
    assert_eq!(node.plan_all(), []);
    node.books[1].bytes = Bytes::Damaged;
    assert_eq!(node.plan_all(), []);
    node.books.remove(1);
    assert_eq!(node.plan_all(), []);
}

#[test]
fn what_is_done_about_received_htlcs_is_said_in_words() {
    let (parts, books) = one_of_three();
    let mut node = Node::of(books);
    node.books.remove(0);
    let mut half = forward(Some(half()), FULFILLED);
    half.books[1].rows.clear();
    let view = |node: &Node| {
        let view = View { ledgers: node, payments: node, forwards: node, channels: node };
        let text = plan(&Scope::All, &view).to_string();
        [1_u8, 2, 3].iter().fold(text, |text, byte| {
            text.replace(&format!("{byte:02x}").repeat(32), &format!("<{byte}>"))
        })
    };
    let hash = PREIMAGE.payment_hash();
    assert_eq!(
        view(&node),
        format!(
            "claim received HTLC 2 of channel <2>: R13, a part of the received payment is claimed\n\
             fulfill received HTLC 3 of channel <3>: R13, a part of the received payment is claimed\n\
             received payment {hash} waits for channel <1>: R2, the monitor is missing"
        )
    );
    assert_eq!(
        view(&half),
        "fail received HTLC 1 of channel <1> back or forward it: there is no offered HTLC 2 of \
         channel <2>: R12, no outbound half of it ever left"
    );
    assert_eq!(parts.len(), 3);
}
