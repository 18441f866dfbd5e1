//! Claim requests: what should be done on chain, as a pure function of the state.

use alloc::vec::Vec;

use bitcoin::secp256k1::PublicKey;
use bitcoin::{OutPoint, ScriptBuf};
use lastword_bolt3::{CommitmentOutput, FormatRules, OutputKind, funding_script, rules};
use lastword_types::{
    ANTI_REORG_DELAY, BlockHeight, ChannelParameters, ClaimKind, ClaimRequest, HtlcDirection,
    HtlcState, MonitorState, OutputSpend, PaymentPreimage, RemovalReason, Side, SignedCommitment,
    SweepWitness, UnsignedCommitment,
};

use crate::closing::Closing;
use crate::deadline;
use crate::funding::{self, Scope};
use crate::index::{self, Index};
use crate::revoked;

/// Says whether there is any request; builds none.
pub(crate) fn any(state: &MonitorState, index: &Index) -> bool {
    match (&state.funding_spend, &index.closing) {
        (None, _) => may_broadcast(state) && !funding::to_broadcast(state).is_empty(),
        (Some(_), None) => false,
        (Some(spend), Some(closing)) => {
            let claims = Claims::new(state, closing, spend.block.height);
            claims.wanted().next().is_some()
        }
    }
}

/// Returns an output of a confirmed closing that should be ours and that nobody spent. An anchor is
/// no such output: the transaction that it was to bring in is confirmed.
pub(crate) fn wanted(state: &MonitorState, index: &Index) -> Option<OutPoint> {
    let (spend, closing) = (state.funding_spend.as_ref()?, index.closing.as_ref()?);
    let claims = Claims::new(state, closing, spend.block.height);
    claims.wanted().find_map(|wanted| match wanted {
        Wanted::First(_, _, How::Anchor) => None,
        Wanted::First(outpoint, ..)
        | Wanted::Second(outpoint, ..)
        | Wanted::Stolen(outpoint, _) => Some(outpoint),
    })
}

/// Returns every request, by outpoint.
pub(crate) fn of(state: &MonitorState, index: &Index) -> Vec<ClaimRequest> {
    if state.is_archived {
        return Vec::new();
    }
    let mut requests: Vec<_> = match (&state.funding_spend, &index.closing) {
        (None, _) if may_broadcast(state) => {
            let scopes = funding::to_broadcast(state);
            scopes.iter().filter_map(|scope| commitment(scope, index)).collect()
        }
        (Some(spend), Some(closing)) => {
            let claims = Claims::new(state, closing, spend.block.height);
            claims.wanted().filter_map(|wanted| claims.request(&wanted)).collect()
        }
        (None | Some(_), _) => Vec::new(),
    };
    requests.sort_by_key(|request| request.outpoint);
    requests
}

/// Says whether our newest commitment is to be broadcast: never if the peer is ahead of us, because
/// it may then have the secret of what we think is newest.
///
/// Source: BOLT 5, "Failing a Channel"; BOLT 2, "Message Retransmission".
fn may_broadcast(state: &MonitorState) -> bool {
    state.fail_channel && !state.data_loss
}

/// Our newest commitment on a funding, to be broadcast until a closing is confirmed.
///
/// Source: BOLT 5, "Failing a Channel".
fn commitment(scope: &Scope<'_>, index: &Index) -> Option<ClaimRequest> {
    let SignedCommitment { commitment, signature, .. } = scope.local();
    let closing = Closing::build(scope, &index.standing, Side::Local, commitment).ok()?;
    let parameters = scope.parameters();
    let ChannelParameters { channel_id, funding_outpoint, funding_amount, local, remote, .. } =
        &*parameters;
    let pressed = closing.outputs().filter_map(|(_, output)| {
        Some((how(scope.state, &closing, output)?.deadline()?, output.amount))
    });
    let (deadlines, amounts): (Vec<_>, Vec<_>) = pressed.unzip();
    Some(ClaimRequest {
        channel_id: *channel_id,
        outpoint: *funding_outpoint,
        amount: *funding_amount,
        script: funding_script(&local.funding_pubkey, &remote.funding_pubkey),
        earliest_height: BlockHeight(0),
        // Its HTLC outputs can be claimed only once it is in.
        deadline: deadlines.into_iter().min(),
        kind: ClaimKind::Commitment {
            transaction: closing.built()?.transaction.clone(),
            remote_signature: *signature,
            remote_funding_pubkey: remote.funding_pubkey,
            local_funding_pubkey: local.funding_pubkey,
            format: parameters.format,
            at_stake: amounts.into_iter().sum(),
        },
    })
}

/// The preimage with which a received HTLC may be claimed.
///
/// Nothing is claimed that we failed back: a preimage that opens it is then another HTLC's, which
/// has the same hash.
pub(crate) fn preimage_for(state: &MonitorState, htlc: &HtlcState) -> Option<PaymentPreimage> {
    match htlc.removal {
        Some(RemovalReason::Failed { .. }) => None,
        // It was we who showed it.
        Some(RemovalReason::Fulfilled { preimage }) => Some(preimage),
        None => {
            let of_its_hash = || state.preimages.get(&htlc.htlc.payment_hash).copied();
            htlc.claim.or_else(of_its_hash)
        }
    }
}

/// Says whether the peer can no longer get rid of an HTLC that it offered: it signed it for our
/// commitment and revoked every commitment of its own that is without it.
///
/// Source: BOLT 2, "Forwarding HTLCs" (irrevocably committed).
fn is_bound(state: &MonitorState, htlc: &HtlcState) -> bool {
    let oldest_valid = funding::oldest_valid(state);
    htlc.local.is_some() && htlc.remote.is_some_and(|spell| spell.from <= oldest_valid)
}

/// Requests for the outputs of a confirmed commitment.
struct Claims<'s> {
    state: &'s MonitorState,
    closing: &'s Closing,
    confirmed: BlockHeight,
    rules: &'static FormatRules,
}

/// One output that should be ours.
enum Wanted<'s> {
    /// An output of the commitment.
    First(OutPoint, &'s CommitmentOutput, How),
    /// The output of our HTLC transaction, confirmed at a height, that spent `vout`.
    Second(OutPoint, BlockHeight, u32),
    /// The output of the peer's HTLC transaction that spent a revoked commitment.
    Stolen(OutPoint, &'s OutputSpend),
}

/// How an output of the commitment is to be claimed.
#[derive(Clone, Copy)]
pub(crate) enum How {
    Delayed,
    ToRemote,
    Anchor,
    /// After the expiry; the outbound half of a forward before its inbound half is failed back.
    Timeout {
        expiry: BlockHeight,
        deadline: Option<BlockHeight>,
    },
    Preimage {
        preimage: PaymentPreimage,
        expiry: BlockHeight,
        is_bound: bool,
    },
    /// With the revocation key, before somebody else can take it.
    Penalty {
        deadline: BlockHeight,
    },
}

impl How {
    /// The height from which it is lost if the peer takes the output.
    fn deadline(self) -> Option<BlockHeight> {
        match self {
            Self::Preimage { expiry, .. } => Some(expiry),
            Self::Penalty { deadline } => Some(deadline),
            Self::Timeout { deadline, .. } => deadline,
            Self::Delayed | Self::ToRemote | Self::Anchor => None,
        }
    }
}

impl<'s> Claims<'s> {
    fn new(state: &'s MonitorState, closing: &'s Closing, confirmed: BlockHeight) -> Self {
        Self { state, closing, confirmed, rules: rules(state.parameters.format) }
    }

    /// Visits the outputs that should be ours and that nobody spent.
    fn wanted(&self) -> impl Iterator<Item = Wanted<'s>> {
        let (state, closing) = (self.state, self.closing);
        closing.outputs().filter_map(move |(outpoint, output)| {
            match state.output_spends.get(&outpoint) {
                None => {
                    let how = match closing.revoked() {
                        None => how(state, closing, output)?,
                        Some(_) => revoked::how(state, self.confirmed, output)?,
                    };
                    Some(Wanted::First(outpoint, output, how))
                }
                Some(spend) => {
                    let is_revoked = closing.revoked().is_some();
                    let second = index::second_stage(spend, is_revoked)?;
                    let is_unspent = !state.output_spends.contains_key(&second);
                    is_unspent.then_some(if is_revoked {
                        Wanted::Stolen(second, spend)
                    } else {
                        Wanted::Second(second, spend.block.height, outpoint.vout)
                    })
                }
            }
        })
    }

    fn request(&self, wanted: &Wanted<'s>) -> Option<ClaimRequest> {
        match wanted {
            Wanted::First(outpoint, output, how) => self.first(*outpoint, output, *how),
            Wanted::Second(outpoint, confirmed, vout) => self.second(*outpoint, *confirmed, *vout),
            Wanted::Stolen(outpoint, spend) => {
                revoked::second_stage(self.state, self.closing, *outpoint, spend)
            }
        }
    }

    fn first(
        &self,
        outpoint: OutPoint,
        output: &CommitmentOutput,
        how: How,
    ) -> Option<ClaimRequest> {
        let csv_blocks = self.rules.csv_blocks;
        let is_ours = self.closing.owner == Side::Local;
        let anytime = BlockHeight(0);
        let (kind, csv_blocks, not_before) = match how {
            How::Delayed => {
                let delay = self.state.parameters.local.to_self_delay.0;
                let per_commitment_point = self.point()?;
                (sweep(SweepWitness::Delayed { per_commitment_point }, delay), delay, anytime)
            }
            How::Penalty { .. } => {
                (sweep(self.closing.revoked()?.witness(output.kind), 0), 0, anytime)
            }
            How::ToRemote => (sweep(self.to_remote(output), csv_blocks), csv_blocks, anytime),
            How::Anchor => (sweep(SweepWitness::Anchor, 0), 0, anytime),
            How::Timeout { expiry, .. } if is_ours => {
                (self.second_stage(outpoint, output, None)?, csv_blocks, expiry.plus(1))
            }
            How::Timeout { expiry, .. } => {
                let per_commitment_point = self.point()?;
                let witness = SweepWitness::HtlcTimeout { per_commitment_point };
                let kind = ClaimKind::Sweep { witness, csv_blocks, lock_time: expiry };
                (kind, csv_blocks, expiry.plus(1))
            }
            How::Preimage { preimage, is_bound, .. } => {
                let kind = if is_ours {
                    self.second_stage(outpoint, output, Some(preimage))?
                } else {
                    let per_commitment_point = self.point()?;
                    let witness = SweepWitness::HtlcPreimage { preimage, per_commitment_point };
                    sweep(witness, csv_blocks)
                };
                // What binds the peer is then this confirmation alone (BOLT 5, LR-4 and RR-2).
                let deep = self.confirmed.plus(ANTI_REORG_DELAY);
                (kind, csv_blocks, if is_bound { anytime } else { deep })
            }
        };
        // An output confirmed at `h` with a relative lock of `n` may be spent in block `h + n`
        // (BIP 68); a transaction with lock time `l` may be in a block above `l`.
        let unlocked = self.confirmed.plus(u32::from(csv_blocks));
        Some(ClaimRequest {
            channel_id: self.state.parameters.channel_id,
            outpoint,
            amount: output.amount,
            script: output.script.clone(),
            earliest_height: unlocked.max(not_before),
            deadline: how.deadline(),
            kind,
        })
    }

    /// Our HTLC transaction. Without the peer's signature there is none.
    fn second_stage(
        &self,
        outpoint: OutPoint,
        output: &CommitmentOutput,
        preimage: Option<PaymentPreimage>,
    ) -> Option<ClaimKind> {
        let OutputKind::Htlc { signature_index, .. } = output.kind else { return None };
        let signed = funding::at(self.state, self.closing.funding)?.signed(self.closing.number)?;
        let remote_signature = *signed.htlc_signatures.get(signature_index)?;
        let built = self.closing.built()?;
        let transaction = built.htlc_transaction(outpoint.vout).ok()?.transaction;
        let UnsignedCommitment { per_commitment_point, .. } = signed.commitment;
        Some(ClaimKind::SecondStage {
            transaction,
            remote_signature,
            remote_sighash: self.rules.remote_htlc_sighash,
            preimage,
            per_commitment_point,
            format: self.state.parameters.format,
        })
    }

    /// The output of our HTLC transaction, which spent output `vout` of the commitment.
    fn second(
        &self,
        outpoint: OutPoint,
        confirmed: BlockHeight,
        vout: u32,
    ) -> Option<ClaimRequest> {
        let htlc = self.closing.built()?.htlc_transaction(vout).ok()?;
        let amount = htlc.transaction.output.first()?.value;
        let script: ScriptBuf = htlc.output_script;
        let csv_blocks = self.state.parameters.local.to_self_delay.0;
        let per_commitment_point = self.point()?;
        Some(ClaimRequest {
            channel_id: self.state.parameters.channel_id,
            outpoint,
            amount,
            script,
            earliest_height: confirmed.plus(u32::from(csv_blocks)),
            deadline: None,
            kind: sweep(SweepWitness::Delayed { per_commitment_point }, csv_blocks),
        })
    }

    /// The point of the commitment, if it is one that may stand.
    fn point(&self) -> Option<PublicKey> {
        self.closing.built().map(|built| built.keys.per_commitment_point)
    }

    fn to_remote(&self, output: &CommitmentOutput) -> SweepWitness {
        if output.script.is_p2wpkh() {
            let payment_basepoint = self.state.parameters.local.payment_basepoint;
            SweepWitness::PaymentKeyHash { payment_basepoint }
        } else {
            SweepWitness::PaymentKey
        }
    }
}

/// Says how an output of the confirmed commitment should be claimed, if it is for us to claim.
///
/// What we offered is taken back whatever its verdict: where the recipient was paid and the peer
/// leaves the output, it is nobody else's.
fn how(state: &MonitorState, closing: &Closing, output: &CommitmentOutput) -> Option<How> {
    let is_ours = closing.owner == Side::Local;
    match output.kind {
        OutputKind::ToLocal => is_ours.then_some(How::Delayed),
        OutputKind::ToRemote => (!is_ours).then_some(How::ToRemote),
        OutputKind::Anchor(owner) => (owner == Side::Local).then_some(How::Anchor),
        // Once the commitment is confirmed, what it holds is worth less than the fee of its spend.
        OutputKind::SharedAnchor => None,
        OutputKind::Htlc { direction, htlc_id, .. } => {
            let htlc = state.htlcs.get(&(direction, htlc_id))?;
            let expiry = htlc.htlc.cltv_expiry;
            match direction {
                HtlcDirection::Offered => {
                    let deadline = deadline::fail_back_height(&htlc.htlc);
                    Some(How::Timeout { expiry, deadline })
                }
                HtlcDirection::Received => {
                    let preimage = preimage_for(state, htlc)?;
                    Some(How::Preimage { preimage, expiry, is_bound: is_bound(state, htlc) })
                }
            }
        }
    }
}

/// A transaction of our own without a lock time.
pub(crate) fn sweep(witness: SweepWitness, csv_blocks: u16) -> ClaimKind {
    ClaimKind::Sweep { witness, csv_blocks, lock_time: BlockHeight(0) }
}
