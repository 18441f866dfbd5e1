//! [`Account`]: where the value of a channel went, to the satoshi.
//!
//! Each satoshi of a funding output is followed through the confirmed transactions: the inputs of a
//! transaction fill its outputs in their order, and what is left over is its fee. So a transaction
//! that also spends coins of a wallet, or outputs of several channels, is split exactly.

use bitcoin::{Amount, OutPoint, Script, Transaction};
use lastword_bolt3::OutputKind;
use lastword_types::{AmountMsat, HtlcDirection};

use crate::error::SimError;
use crate::outside::Outside;
use crate::peer::shows_preimage;
use crate::seed::Wallet;
use crate::world::index::ChainIndex;

/// Fees of more than one part in so many of a channel's value are a loss and not a price.
const FEES_SHARE: u64 = 20;

/// Where the value of one channel went.
///
/// # Units
///
/// Satoshi, but for what each side may have at most, which is rounded up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account {
    /// Which channel.
    pub channel: u16,
    /// What the channel was worth.
    pub funding_sat: u64,
    /// What the node's wallet got, or the node's balance in a channel that is open.
    pub ours_sat: u64,
    /// What the peer's wallet got, or the rest in a channel that is open.
    pub theirs_sat: u64,
    /// What miners got.
    pub fees_sat: u64,
    /// What lies in anchors that nobody has spent.
    pub anchors_sat: u64,
    /// What is in none of these yet.
    pub unresolved_sat: u64,
    /// The most that the node may have got.
    pub ours_max_sat: u64,
    /// The most that the peer may have got.
    pub theirs_max_sat: u64,
    /// Whether a commitment closed it that the peer had revoked. Then all of it is the node's.
    pub is_breached: bool,
}

impl Account {
    /// Says whether every satoshi is where it may be.
    pub fn is_settled(&self) -> bool {
        let parts =
            [self.ours_sat, self.theirs_sat, self.fees_sat, self.anchors_sat, self.unresolved_sat];
        self.unresolved_sat == 0
            && self.fees_sat * FEES_SHARE <= self.funding_sat
            && parts.iter().sum::<u64>() == self.funding_sat
            && self.ours_sat <= self.ours_max_sat
            && self.theirs_sat <= self.theirs_max_sat
    }
}

/// Follows the value of a channel.
pub(crate) fn account(outside: &Outside, channel: u16) -> Result<Account, SimError> {
    let parameters = outside.peer.parameters_in_chain(channel, &outside.index)?;
    let funding_sat = parameters.funding_amount.to_sat();
    let mut account = Account { channel, funding_sat, ..Account::default() };
    let funding = parameters.funding_outpoint;
    let (node_msat, peer_msat) = outside.peer.balances(channel)?;
    if outside.index.spend(funding).is_none() {
        account.ours_sat = node_msat.0 / 1_000;
        account.ours_max_sat = account.ours_sat;
        account.theirs_sat = peer_msat.0.div_ceil(1_000);
        account.theirs_max_sat = account.theirs_sat;
        // HTLCs of an open channel belong to nobody yet.
        account.unresolved_sat = funding_sat - account.ours_sat - account.theirs_sat;
        return Ok(account);
    }
    let mut anchors = Vec::new();
    let (mut ours_max, mut theirs_max) = (node_msat.0, peer_msat.0);
    if let Some(confirmed) = outside.peer.confirmed(channel, &outside.index)? {
        ours_max = confirmed.node_msat.0;
        theirs_max = confirmed.peer_msat.0;
        for htlc in &confirmed.htlcs {
            let is_paid = was_claimed(outside, &confirmed.outputs, htlc);
            // From the peer's view: what it received goes to it when claimed.
            if (htlc.direction == HtlcDirection::Received) == is_paid {
                theirs_max += htlc.amount_msat.0;
            } else {
                ours_max += htlc.amount_msat.0;
            }
        }
        if confirmed.is_revoked {
            account.is_breached = true;
            (ours_max, theirs_max) = (funding_sat * 1_000, 0);
        }
        anchors = confirmed.outputs;
        anchors.retain(|(_, kind, _)| {
            matches!(kind, OutputKind::Anchor(_) | OutputKind::SharedAnchor)
        });
    }
    account.ours_max_sat = AmountMsat(ours_max + 999).to_sat_floor().to_sat();
    account.theirs_max_sat = AmountMsat(theirs_max + 999).to_sat_floor().to_sat();
    let anchors: Vec<OutPoint> = anchors.into_iter().map(|(outpoint, _, _)| outpoint).collect();
    let wallets = [Wallet::Node, Wallet::Peer].map(|owner| &*outside.bank.wallet(owner).script);
    let shares = follow(&outside.index, wallets, funding);
    account.ours_sat += shares.ours;
    account.theirs_sat += shares.theirs;
    account.fees_sat += shares.fees;
    for (outpoint, value) in shares.rest {
        if anchors.contains(&outpoint) {
            account.anchors_sat += value;
        } else {
            account.unresolved_sat += value;
        }
    }
    Ok(account)
}

/// Says whether the recipient of an HTLC has taken its output with the preimage.
fn was_claimed(
    outside: &Outside,
    outputs: &[(OutPoint, OutputKind, Amount)],
    htlc: &lastword_types::Htlc,
) -> bool {
    outputs.iter().any(|(outpoint, kind, _)| {
        let is_this = matches!(
            kind,
            OutputKind::Htlc { direction, htlc_id, .. }
                if *direction == htlc.direction && *htlc_id == htlc.htlc_id
        );
        is_this
            && outside
                .index
                .spend(*outpoint)
                .is_some_and(|spend| shows_preimage(&spend.transaction, htlc.payment_hash))
    })
}

/// Where the satoshi of an output ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Shares {
    /// In our wallet.
    pub(crate) ours: u64,
    /// In the peer's.
    pub(crate) theirs: u64,
    /// With miners.
    pub(crate) fees: u64,
    /// In outputs that nobody has spent, or in part of a foreign one of which nobody can say whose
    /// it is.
    pub(crate) rest: Vec<(OutPoint, u64)>,
    /// The outputs from which our wallet was paid, before the fee of that.
    pub(crate) paid_us: Vec<(OutPoint, u64)>,
}

/// Follows one whole output to where its satoshi end; `ours` and `theirs` are the wallets.
pub(crate) fn follow(
    index: &ChainIndex,
    [ours, theirs]: [&Script; 2],
    outpoint: OutPoint,
) -> Shares {
    let mut shares = Shares::default();
    let mut open = vec![outpoint];
    while let Some(outpoint) = open.pop() {
        let Some(spend) = index.spend(outpoint) else {
            let value = index.unspent(outpoint).map_or(0, |output| output.value.to_sat());
            shares.rest.push((outpoint, value));
            continue;
        };
        let transaction = &spend.transaction;
        let Some((mut from, to)) = span(index, transaction, outpoint) else {
            // An input whose value nobody knows cannot be: the chain has it.
            continue;
        };
        let (txid, whole) = (transaction.compute_txid(), to - from);
        let mut start = 0;
        for (output, vout) in transaction.output.iter().zip(0..) {
            let end = start + output.value.to_sat();
            let share = end.min(to).saturating_sub(start.max(from));
            if share > 0 {
                let next = OutPoint { txid, vout };
                if output.script_pubkey.as_script() == ours {
                    shares.ours += share;
                    shares.paid_us.push((outpoint, whole));
                } else if output.script_pubkey.as_script() == theirs {
                    shares.theirs += share;
                } else if share == output.value.to_sat() {
                    open.push(next);
                } else {
                    shares.rest.push((next, share));
                }
                from = end.min(to);
            }
            start = end;
        }
        shares.fees += to.saturating_sub(from.max(start));
    }
    shares
}

/// Returns where the satoshi of an input lie among all that a transaction spends.
fn span(index: &ChainIndex, transaction: &Transaction, outpoint: OutPoint) -> Option<(u64, u64)> {
    let mut start = 0;
    for input in &transaction.input {
        let parent = index.transaction(input.previous_output.txid)?;
        let vout = usize::try_from(input.previous_output.vout).ok()?;
        let value = parent.transaction.output.get(vout)?.value.to_sat();
        if input.previous_output == outpoint {
            return Some((start, start + value));
        }
        start += value;
    }
    None
}
