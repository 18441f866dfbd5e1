//! [`Marks`]: what may change about an HTLC.

use lastword_types::{
    Bug, FulfilledHow, Htlc, HtlcDirection, HtlcFailure, HtlcId, HtlcState, PaymentPreimage,
    RemovalReason, Side, Spell,
};

/// The name of an HTLC within its channel.
pub(crate) type HtlcRef = (HtlcDirection, HtlcId);

/// Everything about an HTLC that may change, apart from its delivery.
///
/// `check` works on copies of it and `commit` writes them back, so a refusal changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Marks {
    pub(crate) local: Option<Spell>,
    pub(crate) remote: Option<Spell>,
    pub(crate) removal: Option<RemovalReason>,
    pub(crate) fulfilled: Option<(PaymentPreimage, FulfilledHow)>,
    pub(crate) failed: Option<HtlcFailure>,
    pub(crate) late_preimage: Option<PaymentPreimage>,
    pub(crate) claim: Option<PaymentPreimage>,
}

impl Marks {
    /// The marks of an HTLC that stands nowhere yet.
    pub(crate) const NONE: Self = Self {
        local: None,
        remote: None,
        removal: None,
        fulfilled: None,
        failed: None,
        late_preimage: None,
        claim: None,
    };

    pub(crate) fn of(state: &HtlcState) -> Self {
        Self {
            local: state.local,
            remote: state.remote,
            removal: state.removal,
            fulfilled: state.fulfilled,
            failed: state.failed,
            late_preimage: state.late_preimage,
            claim: state.claim,
        }
    }

    /// Makes the state of an HTLC that is new.
    pub(crate) fn into_state(self, htlc: Htlc) -> HtlcState {
        HtlcState {
            htlc,
            local: self.local,
            remote: self.remote,
            removal: self.removal,
            fulfilled: self.fulfilled,
            failed: self.failed,
            late_preimage: self.late_preimage,
            delivered: None,
            is_given_up: false,
            claim: self.claim,
            is_inbound_on_chain: false,
            source: None,
        }
    }

    pub(crate) fn write_to(self, state: &mut HtlcState) {
        state.local = self.local;
        state.remote = self.remote;
        state.removal = self.removal;
        state.fulfilled = self.fulfilled;
        state.failed = self.failed;
        state.late_preimage = self.late_preimage;
        state.claim = self.claim;
    }

    pub(crate) fn spell_mut(&mut self, owner: Side) -> &mut Option<Spell> {
        match owner {
            Side::Local => &mut self.local,
            Side::Remote => &mut self.remote,
        }
    }

    /// Takes in the preimage that was shown for this very HTLC.
    ///
    /// It beats everything but a failure that is final: then it is only a fact, because the user
    /// may have been told already.
    pub(crate) fn show(&mut self, preimage: PaymentPreimage, how: FulfilledHow) {
        if Bug::LatePreimageWins.is_planted() {
            self.failed = None;
        }
        if self.failed.is_some() {
            self.late_preimage.get_or_insert(preimage);
        } else {
            self.fulfilled.get_or_insert((preimage, how));
        }
    }
}

/// Returns where an HTLC stands in the commitments of one side.
pub(crate) fn spell(state: &HtlcState, owner: Side) -> Option<Spell> {
    match owner {
        Side::Local => state.local,
        Side::Remote => state.remote,
    }
}
