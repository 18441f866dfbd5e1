//! [`Scene`]: the channel of a case, up to its closing and beyond.

use std::collections::BTreeSet;

use bitcoin::absolute::LockTime;
use bitcoin::transaction::Version;
use bitcoin::{Amount, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness};
use lastword_types::{
    AmountMsat, BlockHeight, BlockRef, Generation, HtlcId, Intent, IntentPart, Metadata,
    MonitorUpdate, NewChannel, PaymentId, PaymentPreimage, RemovalReason, Side, Terms, UpdateStep,
};

use super::case::{Case, Closing, Known};
use super::channel::{Channel, FUNDING, Name, Offer, Which};
use crate::error::SimError;

/// How many states come after a commitment that was revoked long ago.
const LONG_AGO: usize = 5;
/// How many of its newest states a node forgets that loses data.
const FORGOTTEN: usize = 2;
/// What an HTLC is worth that has an output, and one that has none.
const AMOUNTS: [Amount; 2] = [Amount::from_sat(50_000), Amount::from_sat(300)];
/// What a spend pays that both sides sign.
const FEE: Amount = Amount::from_sat(1_000);

const FAILED: RemovalReason = RemovalReason::Failed { code: 0x400f };

/// What an HTLC of a case is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    /// Its preimage becomes known as the case says.
    Main,
    /// It has the same hash, amount, expiry and offerer, and is never paid.
    Twin,
    /// It has the same hash, amount and expiry, comes from the other side, and is never paid.
    Mirror,
    /// It is too small for an output.
    Trimmed,
    /// It was failed long before the closing.
    Failed,
    /// It was fulfilled long before the closing.
    Fulfilled,
    /// It stands in the newest commitment of one side only.
    Entering,
    /// It was failed, and stands no more in the newest commitment of that side.
    Leaving,
}

/// An HTLC of a case.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deal {
    pub(super) role: Role,
    pub(super) name: Name,
}

/// Something that the node's caller does.
#[derive(Debug, Clone)]
pub(super) enum Act {
    Pay(Box<Intent>, MonitorUpdate),
    Update(MonitorUpdate),
}

/// A transaction that spends the funding output, and which commitment it is.
#[derive(Debug, Clone)]
pub(super) struct Spender {
    pub(super) transaction: Transaction,
    pub(super) which: Option<Which>,
}

/// The channel of a case, what its caller does, and how it is closed.
#[derive(Debug, Clone)]
pub(super) struct Scene {
    pub(super) case: Case,
    pub(super) channel: Channel,
    pub(super) deals: Vec<Deal>,
    /// What the node does before anything is looked at.
    pub(super) before: Vec<Act>,
    /// What it does while everything is looked at, before the closing.
    pub(super) last: Vec<Act>,
    /// What it does after the closing.
    pub(super) after: Vec<Act>,
    pub(super) closing: Spender,
    /// What confirms after a reorg to another commitment.
    pub(super) another: Spender,
    /// Every commitment that its owner may broadcast without penalty.
    pub(super) valid: BTreeSet<Which>,
}

/// Where a case takes place.
pub(super) struct Setting<'a> {
    /// Makes ids differ between channels.
    pub(super) index: u16,
    pub(super) funding: OutPoint,
    pub(super) birth: BlockRef,
    /// When every HTLC expires.
    pub(super) expiry: u32,
    /// Where the node and the peer want their money.
    pub(super) wallets: [&'a ScriptBuf; 2],
}

impl Setting<'_> {
    /// Returns the id of the channel.
    pub(super) fn channel_id(index: u16) -> lastword_types::ChannelId {
        let mut id = [0xc1; 32];
        id[..2].copy_from_slice(&index.to_be_bytes());
        lastword_types::ChannelId(id)
    }
}

/// Writes a scene.
struct Writer<'a> {
    case: Case,
    setting: &'a Setting<'a>,
    channel: Channel,
    deals: Vec<Deal>,
    acts: Vec<Act>,
}

impl Scene {
    /// Writes the scene of a case, and what the node's channel begins with.
    pub(super) fn write(case: Case, setting: &Setting<'_>) -> Result<(Self, NewChannel), SimError> {
        let channel_id = Setting::channel_id(setting.index);
        let (channel, new) = Channel::new(channel_id, case.format, setting.funding, setting.birth)?;
        let mut writer = Writer { case, setting, channel, deals: Vec::new(), acts: Vec::new() };
        writer.add_all()?;
        let full = writer.channel.newest_number(Side::Remote);
        writer.remove_what_is_gone()?;
        if case.ahead == Side::Remote {
            writer.move_ahead()?;
        }
        let before = core::mem::take(&mut writer.acts);
        writer.approach()?;
        let (closing, another, valid) = writer.spenders(full)?;
        let last = core::mem::take(&mut writer.acts);
        if case.known == Known::After {
            writer.learn()?;
        }
        let Writer { channel, deals, acts: after, .. } = writer;
        Ok((Self { case, channel, deals, before, last, after, closing, another, valid }, new))
    }
}

impl Writer<'_> {
    /// Adds every HTLC that both sides commit to.
    fn add_all(&mut self) -> Result<(), SimError> {
        let (offerer, other) = (self.case.offerer, self.case.offerer.other());
        let mut roles = vec![(Role::Failed, offerer), (Role::Fulfilled, offerer)];
        if self.case.closing == Closing::Mutual {
            roles.extend([(Role::Failed, other), (Role::Fulfilled, other)]);
        } else {
            roles.extend([(Role::Main, offerer), (Role::Twin, offerer), (Role::Mirror, other)]);
            roles.extend([(Role::Trimmed, offerer), (Role::Leaving, self.case.ahead)]);
        }
        let mut received = Vec::new();
        let mut sent = Vec::new();
        for (role, offerer) in roles {
            let name = self.draft(role, offerer);
            match offerer {
                Side::Local => {
                    self.pay(name)?;
                    self.revoke()?;
                    sent.push(name);
                }
                Side::Remote => received.push(name),
            }
        }
        let all = [&sent[..], &received[..]].concat();
        self.sign(Side::Local, &all, &[])?;
        if !received.is_empty() {
            self.sign(Side::Remote, &received, &[])?;
            self.revoke()?;
        }
        Ok(())
    }

    fn draft(&mut self, role: Role, offerer: Side) -> Name {
        let of_side = match offerer {
            Side::Local => 0,
            Side::Remote => 0x40,
        };
        let secret = match role {
            Role::Main | Role::Twin | Role::Mirror => 1,
            Role::Trimmed => 2,
            Role::Failed => 3 + of_side,
            Role::Fulfilled => 4 + of_side,
            Role::Entering => 5 + of_side,
            Role::Leaving => 6 + of_side,
        };
        let mut preimage = [secret; 32];
        preimage[..2].copy_from_slice(&self.setting.index.to_be_bytes());
        let amount = AMOUNTS[usize::from(role == Role::Trimmed)];
        let mut offer = Offer {
            preimage: PaymentPreimage(preimage),
            amount,
            expiry: self.setting.expiry,
            intent: None,
        };
        if offerer == Side::Local {
            offer.intent = Some(self.intent(role, &offer));
        }
        let name = self.channel.draft(offerer, offer);
        self.deals.push(Deal { role, name });
        name
    }

    fn intent(&self, role: Role, offer: &Offer) -> Intent {
        let mut payment_id = [0xb0; 32];
        payment_id[..2].copy_from_slice(&self.setting.index.to_be_bytes());
        payment_id[2] = role as u8;
        let mut generation = [0; 16];
        generation.copy_from_slice(&payment_id[..16]);
        let amount = AmountMsat(offer.amount.to_sat() * 1_000);
        Intent {
            payment_id: PaymentId(payment_id),
            generation: Generation(generation),
            attempt: 0,
            payment_hash: offer.preimage.payment_hash(),
            total_msat: amount,
            fee_msat: AmountMsat(0),
            parts: vec![IntentPart {
                channel_id: self.channel.parameters.channel_id,
                htlc_id: self.channel.next_id(Side::Local),
                amount_msat: amount,
                part_amount_msat: amount,
                cltv_expiry: BlockHeight(offer.expiry),
            }],
            metadata: Metadata::Here(vec![role as u8]),
            terms: Terms::default(),
        }
    }

    /// Removes what is gone long before the closing, on both sides.
    fn remove_what_is_gone(&mut self) -> Result<(), SimError> {
        for offerer in [Side::Local, Side::Remote] {
            let gone = self.deals.iter().filter(|deal| deal.name.0 == offerer);
            let gone = gone.filter_map(|deal| match deal.role {
                Role::Failed => Some((deal.name, FAILED)),
                Role::Fulfilled => {
                    let preimage = self.channel.offers.get(&deal.name)?.preimage;
                    Some((deal.name, RemovalReason::Fulfilled { preimage }))
                }
                Role::Main
                | Role::Twin
                | Role::Mirror
                | Role::Trimmed
                | Role::Entering
                | Role::Leaving => None,
            });
            let gone: Vec<_> = gone.collect();
            if gone.is_empty() {
                continue;
            }
            for owner in [offerer, offerer.other()] {
                self.sign(owner, &[], &gone)?;
                if owner == Side::Remote {
                    self.revoke()?;
                }
            }
        }
        Ok(())
    }

    /// What happens while the closing comes nearer.
    fn approach(&mut self) -> Result<(), SimError> {
        if self.case.known == Known::Before {
            self.learn()?;
        }
        if self.case.closing == Closing::OursPrevious {
            self.update(UpdateStep::FailChannel)?;
        }
        if self.case.ahead == Side::Local && self.case.closing != Closing::Mutual {
            self.move_ahead()?;
        }
        match (self.case.unrevoked(), self.case.ahead) {
            (Some(Side::Remote), Side::Local) => self.sign(Side::Remote, &[], &[])?,
            (Some(Side::Local), Side::Remote) => {
                self.revoke()?;
                self.sign(Side::Local, &[], &[])?;
            }
            // The caller does not know yet that the channel fails, and takes the last messages in.
            (Some(Side::Local), Side::Local) => {
                let leaving = self.named(Role::Leaving);
                let leaving: Vec<_> = leaving.into_iter().map(|name| (name, FAILED)).collect();
                self.sign(Side::Remote, &[], &leaving)?;
                self.revoke()?;
            }
            (None, Side::Remote) => self.revoke()?,
            // It is this one that is not revoked, or nothing is to be revoked.
            (Some(Side::Remote), Side::Remote) | (None, Side::Local) => {}
        }
        let states = match self.case.closing {
            Closing::JustRevoked => 1,
            Closing::LongRevoked => LONG_AGO,
            Closing::Future => FORGOTTEN,
            Closing::Mutual
            | Closing::OursCurrent
            | Closing::OursPrevious
            | Closing::TheirsCurrent
            | Closing::TheirsPrevious
            | Closing::TheirsNext
            | Closing::Unknown => 0,
        };
        let known = (self.acts.len(), self.channel.latest());
        for _ in 0..states {
            self.sign(Side::Remote, &[], &[])?;
            self.revoke()?;
        }
        match self.case.closing {
            Closing::Future => {
                self.acts.truncate(known.0);
                self.channel.forget_after(known.1);
                Ok(())
            }
            Closing::OursCurrent => self.update(UpdateStep::FailChannel),
            Closing::Mutual
            | Closing::OursPrevious
            | Closing::TheirsCurrent
            | Closing::TheirsPrevious
            | Closing::TheirsNext
            | Closing::JustRevoked
            | Closing::LongRevoked
            | Closing::Unknown => Ok(()),
        }
    }

    /// Has one side's next commitment gain an HTLC and lose one.
    fn move_ahead(&mut self) -> Result<(), SimError> {
        let owner = self.case.ahead;
        let leaving: Vec<_> =
            self.named(Role::Leaving).into_iter().map(|name| (name, FAILED)).collect();
        let entering = self.draft(Role::Entering, owner.other());
        let update = self.channel.sign(owner, &[entering], &leaving)?;
        let intent = self.channel.offers.get(&entering).and_then(|offer| offer.intent.clone());
        self.acts.push(match intent {
            Some(intent) => Act::Pay(Box::new(intent), update),
            None => Act::Update(update),
        });
        Ok(())
    }

    /// The preimage of what the case looks at reaches the node.
    fn learn(&mut self) -> Result<(), SimError> {
        let Some(name) = self.named(Role::Main) else { return Ok(()) };
        let Some(offer) = self.channel.offers.get(&name) else { return Ok(()) };
        let preimage = offer.preimage;
        self.update(match name.0 {
            Side::Local => UpdateStep::Fulfill { htlc_id: HtlcId(name.1), preimage },
            Side::Remote => UpdateStep::Preimage { preimage },
        })
    }

    fn named(&self, role: Role) -> Option<Name> {
        self.deals.iter().find(|deal| deal.role == role).map(|deal| deal.name)
    }

    fn pay(&mut self, name: Name) -> Result<(), SimError> {
        let update = self.channel.sign(Side::Remote, &[name], &[])?;
        let intent = self.channel.offers.get(&name).and_then(|offer| offer.intent.clone());
        let intent = intent.ok_or(SimError::new("a payment of the matrix has no intent"))?;
        self.acts.push(Act::Pay(Box::new(intent), update));
        Ok(())
    }

    fn sign(
        &mut self,
        owner: Side,
        added: &[Name],
        removed: &[(Name, RemovalReason)],
    ) -> Result<(), SimError> {
        let update = self.channel.sign(owner, added, removed)?;
        self.acts.push(Act::Update(update));
        Ok(())
    }

    fn revoke(&mut self) -> Result<(), SimError> {
        let update = self.channel.revoke()?;
        self.acts.push(Act::Update(update));
        Ok(())
    }

    fn update(&mut self, step: UpdateStep) -> Result<(), SimError> {
        let update = self.channel.update(step)?;
        self.acts.push(Act::Update(update));
        Ok(())
    }

    /// What closes the channel, what does so after a reorg, and all that may.
    fn spenders(&mut self, full: usize) -> Result<(Spender, Spender, BTreeSet<Which>), SimError> {
        let newest =
            [Side::Local, Side::Remote].map(|side| (side, self.channel.newest_number(side)));
        let [ours, theirs] = newest;
        let previous = |(side, number): Which| (side, number.saturating_sub(1));
        let mut valid = BTreeSet::from(newest);
        match self.case.unrevoked() {
            Some(Side::Local) => valid.insert(previous(ours)),
            Some(Side::Remote) => valid.insert(previous(theirs)),
            None => false,
        };
        let (closing, another) = match self.case.closing {
            Closing::Mutual => return Ok((self.mutual()?, self.spender(ours)?, valid)),
            Closing::Unknown => return Ok((self.unknown()?, self.spender(ours)?, valid)),
            Closing::OursCurrent => (ours, theirs),
            Closing::OursPrevious => (previous(ours), ours),
            Closing::TheirsCurrent => (theirs, ours),
            Closing::TheirsPrevious | Closing::JustRevoked => (previous(theirs), theirs),
            Closing::TheirsNext => (theirs, previous(theirs)),
            Closing::LongRevoked => ((Side::Remote, full), ours),
            Closing::Future => (theirs, theirs),
        };
        Ok((self.spender(closing)?, self.spender(another)?, valid))
    }

    fn spender(&self, which: Which) -> Result<Spender, SimError> {
        let transaction = self.channel.commitment(which)?.transaction.clone();
        Ok(Spender { transaction, which: Some(which) })
    }

    /// Both sides agree on a closing transaction, for which the opener pays.
    fn mutual(&mut self) -> Result<Spender, SimError> {
        let mut output = Vec::new();
        for (side, fee) in [(Side::Local, FEE), (Side::Remote, Amount::ZERO)] {
            let balance = self.channel.balance(side)?.to_sat_floor();
            let value = balance
                .checked_sub(fee)
                .ok_or(SimError::new("the opener cannot pay the closing fee"))?;
            let script_pubkey = self.setting.wallets[usize::from(side == Side::Remote)].clone();
            output.push(TxOut { value, script_pubkey });
        }
        let mut transaction = self.spend(output);
        self.channel.sign_funding(&mut transaction)?;
        let txid = transaction.compute_txid();
        self.update(UpdateStep::MutualClose { txid })?;
        Ok(Spender { transaction, which: None })
    }

    fn unknown(&mut self) -> Result<Spender, SimError> {
        let script_pubkey = self.setting.wallets[1].clone();
        let mut transaction = self.spend(vec![TxOut { value: FUNDING - FEE, script_pubkey }]);
        self.channel.sign_funding(&mut transaction)?;
        Ok(Spender { transaction, which: None })
    }

    fn spend(&self, output: Vec<TxOut>) -> Transaction {
        Transaction {
            version: Version::TWO,
            lock_time: LockTime::ZERO,
            input: vec![TxIn {
                previous_output: self.channel.parameters.funding_outpoint,
                script_sig: ScriptBuf::new(),
                sequence: Sequence::MAX,
                witness: Witness::new(),
            }],
            output,
        }
    }
}
