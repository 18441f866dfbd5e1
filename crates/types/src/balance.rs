//! Whose the value of a channel is: every part of it, said once.

use alloc::vec::Vec;

use bitcoin::OutPoint;

use crate::amount::AmountMsat;
use crate::block::BlockHeight;
use crate::htlc::HtlcKey;
use crate::id::CommitmentNumber;
use crate::state::Close;

/// The value of a channel, part by part.
///
/// # Shape
///
/// Each part at least a millisatoshi; main outputs and HTLCs in output order, what has no output
/// after them, fees last.
///
/// # Units
///
/// Millisatoshi. The parts sum to the funding output's value to the millisatoshi. Once a spend of it
/// is confirmed every part is a whole number of satoshi. Amounts are those of outputs of the channel:
/// what a transaction pays that sweeps them, together with others, is not taken off.
///
/// Source: rust-lightning's `ChannelMonitor::get_claimable_balances`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Balances {
    /// What the parts are parts of.
    pub view: BalanceView,
    /// The parts.
    pub parts: Vec<Balance>,
}

/// Which transaction divides the value of a channel.
///
/// Source: BOLT 5.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BalanceView {
    /// No spend of the funding output is confirmed: as our newest commitment divides it, which is
    /// what we get if it is confirmed now. HTLCs that only the peer's commitment holds are not in
    /// it.
    Open {
        /// Its number.
        number: CommitmentNumber,
    },
    /// As the confirmed spend of the funding output divides it.
    Closed(Close),
}

/// One part of a channel's value.
///
/// Source: BOLT 3, "Commitment Transaction Outputs".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Balance {
    /// What it is worth.
    pub amount_msat: AmountMsat,
    /// Whose it is.
    pub kind: BalanceKind,
    /// The output that holds or held it: of the commitment, of the HTLC transaction that spent it, or
    /// of the closing. `None` while no spend of the funding output is confirmed, and for fees.
    pub outpoint: Option<OutPoint>,
    /// The HTLC that it belongs to.
    pub htlc: Option<HtlcKey>,
}

/// Whose a part of a channel's value is.
///
/// # Units
///
/// A height is that of the first block that may hold a spend.
///
/// Source: BOLT 5.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BalanceKind {
    /// Ours, and nobody can take it: our balance in an open channel; on chain, what may be spent now
    /// and rests on a transaction that is final, or was spent by us.
    Ours,
    /// Ours, once the transaction that brings it is final and its relative lock is over.
    Awaiting {
        /// From here on it is [`Ours`](Self::Ours).
        from: BlockHeight,
    },
    /// Whoever confirms first gets it: we may take it, and the peer may if it knows what it takes.
    Contended {
        /// From here on the peer may; before, only we may.
        peer_from: BlockHeight,
    },
    /// An HTLC that we offered: ours from a height on, unless the peer shows the preimage before.
    ByTimeout {
        /// From here on we may take it back.
        from: BlockHeight,
    },
    /// An HTLC that we received and whose preimage we know: ours if we take it in time.
    ByPreimage {
        /// From here on the peer may take it back.
        until: BlockHeight,
    },
    /// An HTLC that we received and whose preimage we do not know: the peer's, unless we learn it.
    WaitingForPreimage {
        /// From here on the peer may take it back.
        until: BlockHeight,
    },
    /// The peer took what should have been ours: an HTLC whose preimage we knew, one that had
    /// finally failed, what a revoked commitment held.
    Lost,
    /// The peer's.
    Peers,
    /// In an output of which nobody here can say whose it is.
    Unknown,
    /// In an anchor, whoever spends it: it is there to pay for a commitment.
    Anchor,
    /// In an open channel: an HTLC too small for an output, which would be a fee on chain.
    Trimmed,
    /// In an open channel: what is left of amounts that are no whole satoshi, a fee on chain.
    Rounding,
    /// Paid to miners by the closing or by an HTLC transaction; in an open channel, what the
    /// commitment would pay besides what is trimmed and rounded.
    Fees,
}

/// The sums of all parts, by kind; heights are left out.
///
/// # Units
///
/// Millisatoshi; together the value of the funding output.
///
/// Source: rust-lightning's `ChannelMonitor::get_claimable_balances`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BalanceTotals {
    /// [`BalanceKind::Ours`].
    pub ours: AmountMsat,
    /// [`BalanceKind::Awaiting`].
    pub awaiting: AmountMsat,
    /// [`BalanceKind::Contended`].
    pub contended: AmountMsat,
    /// [`BalanceKind::ByTimeout`].
    pub by_timeout: AmountMsat,
    /// [`BalanceKind::ByPreimage`].
    pub by_preimage: AmountMsat,
    /// [`BalanceKind::WaitingForPreimage`].
    pub waiting_for_preimage: AmountMsat,
    /// [`BalanceKind::Lost`].
    pub lost: AmountMsat,
    /// [`BalanceKind::Peers`].
    pub peers: AmountMsat,
    /// [`BalanceKind::Unknown`].
    pub unknown: AmountMsat,
    /// [`BalanceKind::Anchor`].
    pub anchors: AmountMsat,
    /// [`BalanceKind::Trimmed`].
    pub trimmed: AmountMsat,
    /// [`BalanceKind::Rounding`].
    pub rounding: AmountMsat,
    /// [`BalanceKind::Fees`].
    pub fees: AmountMsat,
}

impl Balances {
    /// Returns the sum of all parts: the value of the funding output.
    pub fn total_msat(&self) -> AmountMsat {
        let sum = self.parts.iter().map(|part| part.amount_msat.0).fold(0, u64::saturating_add);
        AmountMsat(sum)
    }

    /// Returns the sums by kind.
    pub fn totals(&self) -> BalanceTotals {
        let mut totals = BalanceTotals::default();
        for part in &self.parts {
            let sum = totals.of_mut(part.kind);
            *sum = AmountMsat(sum.0.saturating_add(part.amount_msat.0));
        }
        totals
    }
}

impl BalanceTotals {
    fn of_mut(&mut self, kind: BalanceKind) -> &mut AmountMsat {
        match kind {
            BalanceKind::Ours => &mut self.ours,
            BalanceKind::Awaiting { .. } => &mut self.awaiting,
            BalanceKind::Contended { .. } => &mut self.contended,
            BalanceKind::ByTimeout { .. } => &mut self.by_timeout,
            BalanceKind::ByPreimage { .. } => &mut self.by_preimage,
            BalanceKind::WaitingForPreimage { .. } => &mut self.waiting_for_preimage,
            BalanceKind::Lost => &mut self.lost,
            BalanceKind::Peers => &mut self.peers,
            BalanceKind::Unknown => &mut self.unknown,
            BalanceKind::Anchor => &mut self.anchors,
            BalanceKind::Trimmed => &mut self.trimmed,
            BalanceKind::Rounding => &mut self.rounding,
            BalanceKind::Fees => &mut self.fees,
        }
    }
}
