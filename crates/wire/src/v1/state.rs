//! The snapshot of a monitor.

use alloc::collections::{BTreeMap, BTreeSet};

use bitcoin::Amount;
use lastword_types::{
    self as types, BookEpoch, Close, HtlcDirection, HtlcFailure, HtlcId, MonitorState, PaymentHash,
    PaymentPreimage, PerCommitmentSecret, PreimageSource, RemovalReason, SecretIndex, Side, Spell,
    Told,
};
use serde::{Deserialize, Serialize};

use super::chain::{BlockRef, OutPoint, WireTxid, epoch};
use super::channel::{ChannelParameters, Commitment, SignedCommitment};
use super::funding::Funding;
use super::htlc::Htlc;
use super::past::{self, PastHtlcs};
use super::prim::List;
use super::transaction::Consensus;
use crate::body::{Reader, Writer};
use crate::error::WireError;
use crate::frame::RecordKind;
use crate::record::Record;

type Htlcs = BTreeMap<(HtlcDirection, HtlcId), HtlcState>;
type Past = BTreeMap<(HtlcDirection, HtlcId), types::PastHtlc>;
type Claims = BTreeMap<HtlcId, PaymentPreimage>;
type Sources = BTreeMap<HtlcId, PreimageSource>;
type Names = BTreeSet<(HtlcDirection, HtlcId)>;
type Preimages = BTreeMap<PaymentHash, PaymentPreimage>;
type OutputSpends = BTreeMap<OutPoint, OutputSpend>;
type Secrets = List<(u8, SecretIndex, PerCommitmentSecret)>;

impl Record for MonitorState {
    fn kind(&self) -> RecordKind {
        RecordKind::MonitorState
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.put(0, &ChannelParameters::from(&self.parameters));
        writer.put(2, &self.latest_update);
        writer.put(4, &SignedCommitment::from(&self.local));
        writer.put_some(6, self.local_previous.as_ref().map(SignedCommitment::from).as_ref());
        writer.put(8, &Commitment::from(&self.remote));
        writer.put_some(10, self.remote_previous.as_ref().map(Commitment::from).as_ref());
        writer.put_some(12, List(self.remote_secrets.clone()).non_empty().as_ref());
        if !self.htlcs.is_empty() {
            let htlcs: Htlcs = self.htlcs.iter().map(|(id, state)| (*id, state.into())).collect();
            writer.put(14, &htlcs);
        }
        if !self.preimages.is_empty() {
            writer.put(16, &self.preimages);
        }
        if !self.closing_txids.is_empty() {
            let txids: BTreeSet<WireTxid> =
                self.closing_txids.iter().copied().map(WireTxid::from).collect();
            writer.put(18, &txids);
        }
        writer.put_flag(20, self.fail_channel);
        writer.put(22, &BlockRef::from(self.best));
        writer.put_some(24, self.funding_spend.as_ref().map(FundingSpend::from).as_ref());
        if !self.output_spends.is_empty() {
            let spends: OutputSpends = self
                .output_spends
                .iter()
                .map(|(outpoint, spend)| ((*outpoint).into(), spend.into()))
                .collect();
            writer.put(26, &spends);
        }
        writer.put_flag(28, self.data_loss);
        writer.put_some(30, past::list(&self.past, HtlcDirection::Offered).as_ref());
        writer.put_some(32, past::list(&self.past, HtlcDirection::Received).as_ref());
        if !self.tombstones.is_empty() {
            writer.put(34, &self.tombstones);
        }
        if !self.forgotten.is_empty() {
            writer.put(36, &self.forgotten);
        }
        writer.put_some(38, epoch(self.pruned_behind).as_ref());
        writer.put_flag(40, self.is_archived);
        let fundings: List<Funding> = self.fundings.iter().map(Funding::from).collect();
        writer.put_some(42, fundings.non_empty().as_ref());
        writer.put_some(44, self.funding_confirmed.map(BlockRef::from).as_ref());
        writer.put_some(50, names(self, |htlc| htlc.is_given_up).as_ref());
        let claims: Claims = self
            .htlcs
            .iter()
            .filter_map(|((_, htlc_id), htlc)| Some((*htlc_id, htlc.claim?)))
            .collect();
        writer.put_some(52, (!claims.is_empty()).then_some(&claims));
        writer.put_some(54, names(self, |htlc| htlc.is_inbound_on_chain).as_ref());
        let sources: Sources = self
            .htlcs
            .iter()
            .filter_map(|((_, htlc_id), htlc)| Some((*htlc_id, htlc.source.clone()?)))
            .collect();
        writer.put_some(56, (!sources.is_empty()).then_some(&sources));
        writer.put_some(58, (!self.told_unknown.is_empty()).then_some(&self.told_unknown));
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let RecordKind::MonitorState = reader.kind() else {
            return Err(reader.unexpected_kind("monitor state"));
        };
        let mut state = Self {
            parameters: reader.required::<ChannelParameters>(0)?.into(),
            latest_update: reader.required(2)?,
            local: reader.required::<SignedCommitment>(4)?.into(),
            local_previous: reader.optional::<SignedCommitment>(6)?.map(Into::into),
            remote: reader.required::<Commitment>(8)?.into(),
            remote_previous: reader.optional::<Commitment>(10)?.map(Into::into),
            remote_secrets: reader.optional::<Secrets>(12)?.unwrap_or_default().0,
            htlcs: reader
                .optional::<Htlcs>(14)?
                .unwrap_or_default()
                .into_iter()
                .map(|(id, state)| (id, state.into()))
                .collect(),
            preimages: reader.optional::<Preimages>(16)?.unwrap_or_default(),
            closing_txids: reader
                .optional::<BTreeSet<WireTxid>>(18)?
                .unwrap_or_default()
                .into_iter()
                .map(Into::into)
                .collect(),
            fail_channel: reader.flag(20)?,
            best: reader.required::<BlockRef>(22)?.into(),
            funding_spend: reader.optional::<FundingSpend>(24)?.map(Into::into),
            output_spends: reader
                .optional::<OutputSpends>(26)?
                .unwrap_or_default()
                .into_iter()
                .map(|(outpoint, spend)| (outpoint.into(), spend.into()))
                .collect(),
            data_loss: reader.flag(28)?,
            past: read_past(reader)?,
            tombstones: reader.optional(34)?.unwrap_or_default(),
            told_unknown: BTreeSet::new(),
            forgotten: reader.optional(36)?.unwrap_or_default(),
            pruned_behind: reader.optional(38)?.unwrap_or(BookEpoch::ZERO),
            is_archived: reader.flag(40)?,
            fundings: reader.optional::<List<Funding>>(42)?.unwrap_or_default().into_vec(),
            funding_confirmed: reader.optional::<BlockRef>(44)?.map(Into::into),
        };
        for id in reader.optional::<Names>(50)?.unwrap_or_default() {
            if let Some(htlc) = state.htlcs.get_mut(&id) {
                htlc.is_given_up = true;
            }
        }
        for (htlc_id, preimage) in reader.optional::<Claims>(52)?.unwrap_or_default() {
            if let Some(htlc) = state.htlcs.get_mut(&(HtlcDirection::Received, htlc_id)) {
                htlc.claim = Some(preimage);
            }
        }
        for id in reader.optional::<Names>(54)?.unwrap_or_default() {
            if let Some(htlc) = state.htlcs.get_mut(&id) {
                htlc.is_inbound_on_chain = true;
            }
        }
        for (htlc_id, source) in reader.optional::<Sources>(56)?.unwrap_or_default() {
            if let Some(htlc) = state.htlcs.get_mut(&(HtlcDirection::Received, htlc_id)) {
                htlc.source = Some(source);
            }
        }
        state.told_unknown = reader.optional(58)?.unwrap_or_default();
        Ok(state)
    }
}

/// Returns the names of the HTLCs of which something holds, if it holds of any.
fn names(state: &MonitorState, holds: impl Fn(&types::HtlcState) -> bool) -> Option<Names> {
    let held = state.htlcs.iter().filter(|(_, htlc)| holds(htlc));
    let names: Names = held.map(|(id, _)| *id).collect();
    (!names.is_empty()).then_some(names)
}

fn read_past(reader: &mut Reader<'_>) -> Result<Past, WireError> {
    let offered = reader.optional::<PastHtlcs>(30)?.unwrap_or_default();
    let received = reader.optional::<PastHtlcs>(32)?.unwrap_or_default();
    let offered = offered.named(HtlcDirection::Offered);
    Ok(offered.chain(received.named(HtlcDirection::Received)).collect())
}

/// What a monitor remembers of one HTLC.
#[derive(Serialize, Deserialize)]
struct HtlcState {
    htlc: Htlc,
    local: Option<Spell>,
    remote: Option<Spell>,
    removal: Option<RemovalReason>,
    fulfilled: Option<(PaymentPreimage, FulfilledHow)>,
    failed: Option<HtlcFailure>,
    late_preimage: Option<PaymentPreimage>,
    delivered: Option<Told>,
}

impl From<&types::HtlcState> for HtlcState {
    fn from(state: &types::HtlcState) -> Self {
        Self {
            htlc: (&state.htlc).into(),
            local: state.local,
            remote: state.remote,
            removal: state.removal,
            fulfilled: state.fulfilled.map(|(preimage, how)| (preimage, how.into())),
            failed: state.failed,
            late_preimage: state.late_preimage,
            delivered: state.delivered,
        }
    }
}

impl From<HtlcState> for types::HtlcState {
    fn from(state: HtlcState) -> Self {
        Self {
            htlc: state.htlc.into(),
            local: state.local,
            remote: state.remote,
            removal: state.removal,
            fulfilled: state.fulfilled.map(|(preimage, how)| (preimage, how.into())),
            failed: state.failed,
            late_preimage: state.late_preimage,
            delivered: state.delivered,
            is_given_up: false,
            claim: None,
            is_inbound_on_chain: false,
            source: None,
        }
    }
}

/// Where a preimage was shown.
#[derive(Serialize, Deserialize)]
enum FulfilledHow {
    Message,
    Chain { txid: WireTxid },
    Mempool { txid: WireTxid },
}

impl From<types::FulfilledHow> for FulfilledHow {
    fn from(how: types::FulfilledHow) -> Self {
        match how {
            types::FulfilledHow::Message => Self::Message,
            types::FulfilledHow::Chain { txid } => Self::Chain { txid: txid.into() },
            types::FulfilledHow::Mempool { txid } => Self::Mempool { txid: txid.into() },
        }
    }
}

impl From<FulfilledHow> for types::FulfilledHow {
    fn from(how: FulfilledHow) -> Self {
        match how {
            FulfilledHow::Message => Self::Message,
            FulfilledHow::Chain { txid } => Self::Chain { txid: txid.into() },
            FulfilledHow::Mempool { txid } => Self::Mempool { txid: txid.into() },
        }
    }
}

/// A confirmed spend of the funding output.
#[derive(Serialize, Deserialize)]
struct FundingSpend {
    transaction: Consensus,
    block: BlockRef,
    close: Close,
}

impl From<&types::FundingSpend> for FundingSpend {
    fn from(spend: &types::FundingSpend) -> Self {
        Self {
            transaction: (&spend.transaction).into(),
            block: spend.block.into(),
            close: spend.close,
        }
    }
}

impl From<FundingSpend> for types::FundingSpend {
    fn from(spend: FundingSpend) -> Self {
        Self {
            transaction: spend.transaction.into(),
            block: spend.block.into(),
            close: spend.close,
        }
    }
}

/// A confirmed spend of an output that came from the funding spend.
#[derive(Serialize, Deserialize)]
struct OutputSpend {
    txid: WireTxid,
    block: BlockRef,
    kind: OutputSpendKind,
}

impl From<&types::OutputSpend> for OutputSpend {
    fn from(spend: &types::OutputSpend) -> Self {
        Self { txid: spend.txid.into(), block: spend.block.into(), kind: (&spend.kind).into() }
    }
}

impl From<OutputSpend> for types::OutputSpend {
    fn from(spend: OutputSpend) -> Self {
        Self { txid: spend.txid.into(), block: spend.block.into(), kind: spend.kind.into() }
    }
}

/// What the spend of an output means.
#[derive(Serialize, Deserialize)]
enum OutputSpendKind {
    HtlcPreimage {
        direction: HtlcDirection,
        htlc_id: HtlcId,
        preimage: PaymentPreimage,
        second_stage: Option<OutPoint>,
    },
    HtlcTimeout {
        direction: HtlcDirection,
        htlc_id: HtlcId,
        second_stage: Option<OutPoint>,
    },
    HtlcOther {
        direction: HtlcDirection,
        htlc_id: HtlcId,
    },
    Swept {
        owner: Side,
    },
    PeerHtlcTransaction {
        direction: HtlcDirection,
        htlc_id: HtlcId,
        preimage: Option<PaymentPreimage>,
        output: OutPoint,
        amount_sat: u64,
    },
    HtlcPenalty {
        direction: HtlcDirection,
        htlc_id: HtlcId,
    },
}

impl From<&types::OutputSpendKind> for OutputSpendKind {
    fn from(kind: &types::OutputSpendKind) -> Self {
        match kind {
            types::OutputSpendKind::HtlcPreimage { direction, htlc_id, preimage, second_stage } => {
                Self::HtlcPreimage {
                    direction: *direction,
                    htlc_id: *htlc_id,
                    preimage: *preimage,
                    second_stage: second_stage.map(OutPoint::from),
                }
            }
            types::OutputSpendKind::HtlcTimeout { direction, htlc_id, second_stage } => {
                Self::HtlcTimeout {
                    direction: *direction,
                    htlc_id: *htlc_id,
                    second_stage: second_stage.map(OutPoint::from),
                }
            }
            types::OutputSpendKind::HtlcOther { direction, htlc_id } => {
                Self::HtlcOther { direction: *direction, htlc_id: *htlc_id }
            }
            types::OutputSpendKind::Swept { owner } => Self::Swept { owner: *owner },
            types::OutputSpendKind::PeerHtlcTransaction {
                direction,
                htlc_id,
                preimage,
                output,
                amount,
            } => Self::PeerHtlcTransaction {
                direction: *direction,
                htlc_id: *htlc_id,
                preimage: *preimage,
                output: (*output).into(),
                amount_sat: amount.to_sat(),
            },
            types::OutputSpendKind::HtlcPenalty { direction, htlc_id } => {
                Self::HtlcPenalty { direction: *direction, htlc_id: *htlc_id }
            }
        }
    }
}

impl From<OutputSpendKind> for types::OutputSpendKind {
    fn from(kind: OutputSpendKind) -> Self {
        match kind {
            OutputSpendKind::HtlcPreimage { direction, htlc_id, preimage, second_stage } => {
                let second_stage = second_stage.map(Into::into);
                Self::HtlcPreimage { direction, htlc_id, preimage, second_stage }
            }
            OutputSpendKind::HtlcTimeout { direction, htlc_id, second_stage } => {
                let second_stage = second_stage.map(Into::into);
                Self::HtlcTimeout { direction, htlc_id, second_stage }
            }
            OutputSpendKind::HtlcOther { direction, htlc_id } => {
                Self::HtlcOther { direction, htlc_id }
            }
            OutputSpendKind::Swept { owner } => Self::Swept { owner },
            OutputSpendKind::PeerHtlcTransaction {
                direction,
                htlc_id,
                preimage,
                output,
                amount_sat,
            } => Self::PeerHtlcTransaction {
                direction,
                htlc_id,
                preimage,
                output: output.into(),
                amount: Amount::from_sat(amount_sat),
            },
            OutputSpendKind::HtlcPenalty { direction, htlc_id } => {
                Self::HtlcPenalty { direction, htlc_id }
            }
        }
    }
}
