//! The axes of the matrix, which combinations of them cannot be, and the channel of each.

use bitcoin::{Amount, OutPoint, ScriptBuf, Transaction, TxOut};
use lastword_bolt3::OutputKind;
use lastword_types::{CommitmentFormat, HtlcId, RemovalReason, UpdateStep};

use crate::channel::{
    Channel, EXPIRY, FAILED, Name, Node, PEER, US, fulfilled, offer, preimage, seen,
};
use crate::spend::spend;

/// The inbound half of every forward expires here.
const INBOUND_EXPIRY: u32 = EXPIRY + 40;
/// How many states a commitment is old that was revoked long ago.
const LONG_AGO: usize = 5;
/// The rule that only the built channel can tell.
pub(super) const NO_OUTPUT: &str = "without an output that we know no preimage is shown";

/// Declares an axis with all its values.
macro_rules! axis {
    ($(#[$doc:meta])* $name:ident { $($value:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum $name { $($value),+ }

        impl $name {
            const ALL: &[Self] = &[$(Self::$value),+];
        }
    };
}

axis!(
    /// What spends the funding output.
    Closing {
        Mutual,
        OursCurrent,
        OursPrevious,
        TheirsCurrent,
        TheirsPrevious,
        TheirsNext,
        JustRevoked,
        LongRevoked,
        Future,
        Unknown,
    }
);
axis!(
    /// Whose HTLC it is.
    Kind { Payment, Forward, Received }
);
axis!(
    /// Where the HTLC stands in the newest commitments; what enters or leaves stands on one side
    /// only.
    Stand { Both, Trimmed, Entering, Leaving, Gone }
);
axis!(
    /// When the preimage is known, and for what we offered, how it is shown.
    Known { Never, Before, ByMessage, ByChain }
);
axis!(
    /// What leaves the chain: nothing, every block once, or the closing, which is then followed by
    /// the same or by another.
    Reorg { None, LastBlock, SameAgain, Another }
);

/// One cell of the matrix.
#[derive(Debug, Clone, Copy)]
pub(super) struct Case {
    pub(super) format: CommitmentFormat,
    pub(super) closing: Closing,
    pub(super) kind: Kind,
    pub(super) stand: Stand,
    pub(super) known: Known,
    pub(super) reorg: Reorg,
}

impl Case {
    /// Every combination of one format, possible or not.
    pub(super) fn all(format: CommitmentFormat) -> Vec<Self> {
        let mut all = Vec::new();
        for &closing in Closing::ALL {
            for &kind in Kind::ALL {
                for &stand in Stand::ALL {
                    for &known in Known::ALL {
                        let of = |reorg| Self { format, closing, kind, stand, known, reorg };
                        all.extend(Reorg::ALL.iter().copied().map(of));
                    }
                }
            }
        }
        all
    }

    /// The rule by which a combination cannot be.
    pub(super) fn cannot_be(self) -> Option<&'static str> {
        let is_offered = self.kind != Kind::Received;
        let is_removed = matches!(self.stand, Stand::Leaving | Stand::Gone);
        let is_blind = matches!(self.closing, Closing::Mutual | Closing::Unknown | Closing::Future);
        let is_told = matches!(self.known, Known::Before | Known::ByMessage);
        let rules = [
            (
                self.closing == Closing::Mutual && self.stand != Stand::Gone,
                "a closing by agreement needs a channel without HTLCs",
            ),
            (
                self.known == Known::ByChain && !is_offered,
                "the peer does not show the preimage of what it offered",
            ),
            (self.known == Known::ByChain && (is_blind || self.stand == Stand::Trimmed), NO_OUTPUT),
            (
                is_offered && is_told && self.stand == Stand::Entering,
                "nobody fulfils what is not irrevocably committed",
            ),
            (
                is_offered && is_removed && self.known == Known::ByMessage,
                "what was removed is not fulfilled by a message any more",
            ),
            (
                self.closing == Closing::Future && self.reorg == Reorg::Another,
                "of a node that lost data only commitments from the future may confirm",
            ),
        ];
        rules.into_iter().find_map(|(applies, rule)| applies.then_some(rule))
    }

    pub(super) fn is_revoked(self) -> bool {
        matches!(self.closing, Closing::JustRevoked | Closing::LongRevoked)
    }
}

/// A transaction that spends the funding output, and which commitment it is.
#[derive(Clone)]
pub(super) struct Spender {
    pub(super) transaction: Transaction,
    pub(super) commitment: Option<(Node, usize)>,
}

/// The channel of a case, just before it is closed.
pub(super) struct Built {
    pub(super) channel: Channel,
    pub(super) name: Name,
    pub(super) closing: Spender,
    /// What confirms after a reorg to another commitment.
    pub(super) another: Spender,
    /// Every commitment that its owner may broadcast without penalty.
    pub(super) valid: Vec<(Node, usize)>,
}

impl Built {
    pub(super) fn new(case: Case) -> Self {
        let mut channel = Channel::new(case.format);
        let offerer = if case.kind == Kind::Received { PEER } else { US };
        let sat = if case.stand == Stand::Trimmed { 300 } else { 50_000 };
        let name = channel.draft(offerer, offer(1, sat));
        if case.kind == Kind::Forward {
            channel.forwards.insert(name, INBOUND_EXPIRY);
        }
        let holding = live(&mut channel, case, name);
        let newest = [US, PEER].map(|node| channel.nodes[node].commitments.len() - 1);
        let mut valid: Vec<_> = [US, PEER].map(|node| (node, newest[node])).into();
        let spender = |channel: &Channel, owner: Node, number: usize| Spender {
            transaction: channel.nodes[owner].commitments[number].transaction.clone(),
            commitment: Some((owner, number)),
        };
        let [ours, theirs] = [US, PEER].map(|node| spender(&channel, node, newest[node]));
        let (closing, another) = match case.closing {
            Closing::Mutual => (mutual(&mut channel), ours),
            Closing::Unknown => (unknown(&channel), ours),
            Closing::OursCurrent => (ours, theirs),
            Closing::TheirsCurrent => (theirs, ours),
            Closing::OursPrevious => {
                valid.push((US, newest[US] - 1));
                (spender(&channel, US, newest[US] - 1), ours)
            }
            Closing::TheirsPrevious | Closing::TheirsNext => {
                valid.push((PEER, newest[PEER] - 1));
                let previous = spender(&channel, PEER, newest[PEER] - 1);
                let is_next = case.closing == Closing::TheirsNext;
                if is_next { (theirs, previous) } else { (previous, theirs) }
            }
            Closing::JustRevoked => (spender(&channel, PEER, holding), theirs),
            Closing::LongRevoked => (spender(&channel, PEER, holding), ours),
            Closing::Future => (theirs.clone(), theirs),
        };
        Self { channel, name, closing, another, valid }
    }
}

/// The life of the channel; returns the newest of the peer's commitments with the HTLC in it, or
/// the newest at that time.
fn live(channel: &mut Channel, case: Case, name: Name) -> usize {
    let (offerer, receiver) = (name.0, 1 - name.0);
    let reason = if case.known == Known::Before { fulfilled(1) } else { FAILED };
    if case.stand != Stand::Entering {
        channel.sign(receiver, &[name], &[]);
        channel.revoke(receiver);
        channel.sign(offerer, &[name], &[]);
        channel.revoke(offerer);
    }
    let mut holding = channel.nodes[PEER].commitments.len() - 1;
    if case.known == Known::Before {
        let is_removed = matches!(case.stand, Stand::Leaving | Stand::Gone);
        learn(channel, name, !is_removed);
    }
    let is_unrevoked = matches!(case.closing, Closing::TheirsPrevious | Closing::TheirsNext);
    let is_leaving_last = case.stand == Stand::Gone && offerer == US && is_unrevoked;
    if is_leaving_last {
        channel.sign(US, &[], &[(name, reason)]);
        channel.revoke(US);
    } else if case.stand == Stand::Gone {
        channel.remove(name, reason);
    }
    if case.closing == Closing::OursPrevious {
        channel.fail(US);
    }
    let pending = match case.stand {
        Stand::Entering => Some((receiver, vec![name], vec![])),
        Stand::Leaving => Some((offerer, vec![], vec![(name, reason)])),
        // Gone from the peer's newest only: the one before is not revoked.
        Stand::Gone if is_leaving_last => Some((PEER, vec![], vec![(name, reason)])),
        Stand::Both | Stand::Trimmed | Stand::Gone => None,
    };
    if let Some((owner, added, removed)) = &pending {
        channel.sign(*owner, added, removed);
    }
    if case.stand == Stand::Entering {
        holding = channel.nodes[PEER].commitments.len() - 1;
    }
    close_in(channel, case.closing, pending.map(|(owner, ..)| owner));
    holding
}

/// Has the commitments made that the closing needs; `pending` has not revoked yet.
fn close_in(channel: &mut Channel, closing: Closing, pending: Option<Node>) {
    let two = match closing {
        Closing::OursPrevious => Some(US),
        Closing::TheirsPrevious | Closing::TheirsNext => Some(PEER),
        Closing::Mutual
        | Closing::OursCurrent
        | Closing::TheirsCurrent
        | Closing::JustRevoked
        | Closing::LongRevoked
        | Closing::Future
        | Closing::Unknown => None,
    };
    if let Some(owner) = pending.filter(|owner| Some(*owner) != two) {
        channel.revoke(owner);
    }
    if let Some(owner) = two.filter(|owner| pending != Some(*owner)) {
        channel.sign(owner, &[], &[]);
    }
    let backup = (channel.monitor().clone(), channel.records.len());
    let states = match closing {
        Closing::JustRevoked => 1,
        Closing::LongRevoked => LONG_AGO,
        Closing::Future => 2,
        Closing::Mutual
        | Closing::OursCurrent
        | Closing::OursPrevious
        | Closing::TheirsCurrent
        | Closing::TheirsPrevious
        | Closing::TheirsNext
        | Closing::Unknown => 0,
    };
    for _ in 0..states {
        channel.sign(PEER, &[], &[]);
        channel.revoke(PEER);
    }
    if closing == Closing::Future {
        channel.nodes[US].monitor = backup.0;
        channel.records.truncate(backup.1);
    }
}

/// The receiver's preimage reaches the node under test, for what it offered by the peer's message.
pub(super) fn learn(channel: &mut Channel, name: Name, by_message: bool) {
    let known = preimage(1);
    channel.update(1 - name.0, vec![UpdateStep::Preimage { preimage: known }]);
    if name.0 == US && by_message {
        let fulfill = UpdateStep::Fulfill { htlc_id: HtlcId(name.1), preimage: known };
        channel.update(US, vec![fulfill]);
    }
}

/// Both sides agree on a closing transaction, for which the opener pays.
fn mutual(channel: &mut Channel) -> Spender {
    let newest = channel.newest(US).unsigned.clone();
    let mut transaction = spend(channel.nodes[US].parameters.funding_outpoint, 0, 0);
    let fees = [Amount::from_sat(500), Amount::ZERO];
    let balances = [newest.to_local_msat, newest.to_remote_msat];
    let outputs = balances.into_iter().zip(fees).zip([0x51, 0x52]);
    transaction.output = outputs
        .map(|((balance, fee), script)| TxOut {
            value: balance.to_sat_floor() - fee,
            script_pubkey: ScriptBuf::from_bytes(vec![script]),
        })
        .collect();
    let txid = transaction.compute_txid();
    channel.update(US, vec![UpdateStep::MutualClose { txid }]);
    Spender { transaction, commitment: None }
}

fn unknown(channel: &Channel) -> Spender {
    let transaction = spend(channel.nodes[US].parameters.funding_outpoint, 7, 7);
    Spender { transaction, commitment: None }
}

/// The output of an HTLC in any commitment.
pub(super) fn output_in(
    channel: &Channel,
    (owner, number): (Node, usize),
    name: Name,
) -> Option<OutPoint> {
    let built = channel.built(owner, number);
    let wanted = seen(US, name);
    let vout = (0u32..).zip(&built.outputs).find_map(|(vout, output)| match output.kind {
        OutputKind::Htlc { direction, htlc_id, .. } => {
            ((direction, htlc_id) == wanted).then_some(vout)
        }
        OutputKind::ToLocal
        | OutputKind::ToRemote
        | OutputKind::Anchor(_)
        | OutputKind::SharedAnchor => None,
    })?;
    Some(OutPoint { txid: built.txid(), vout })
}

/// Says whether an HTLC was removed as failed.
pub(super) fn is_failed(case: Case) -> bool {
    let is_removed = matches!(case.stand, Stand::Leaving | Stand::Gone);
    let reason = if case.known == Known::Before { fulfilled(1) } else { FAILED };
    is_removed && matches!(reason, RemovalReason::Failed { .. })
}
