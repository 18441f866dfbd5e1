//! Every closing on every funding that may be confirmed, and after a reorganisation every other
//! closing on every funding: generated. In every third case the monitor under test dies and comes
//! back after every record.

use bitcoin::Transaction;
use lastword_monitor::Monitor;
use lastword_types::{
    Alarm, Close, CommitmentFormat, CommitmentNumber, FundingKind, MonitorState, UpdateStep,
};

use super::SPLICED;
use crate::channel::{Channel, FORMATS, Node, PEER, US, offer};
use crate::museum::learn;
use crate::spend::spend;

/// The monitor of every third case dies and comes back after every record.
const STRIDE: usize = 3;

/// How many fundings there are in each case, and which of them is locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Situation {
    /// Two tries of a splice, none locked.
    Pending,
    /// Two tries of a splice, the second one locked.
    Locked,
    /// A first funding with two replacements, none locked.
    Replaceable,
    /// The same, the second replacement locked.
    Replaced,
}

const SITUATIONS: [Situation; 4] =
    [Situation::Pending, Situation::Locked, Situation::Replaceable, Situation::Replaced];

/// What spends a funding output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Closing {
    Ours,
    Theirs,
    TheirsPrevious,
    Revoked,
    Mutual,
    Unknown,
}

const CLOSINGS: [Closing; 6] = [
    Closing::Ours,
    Closing::Theirs,
    Closing::TheirsPrevious,
    Closing::Revoked,
    Closing::Mutual,
    Closing::Unknown,
];

/// A funding, with all that may confirm on it.
struct Funding {
    value: u64,
    /// The splice that must be confirmed before, if there is one.
    transaction: Option<Transaction>,
    closings: Vec<(Closing, Transaction, Close)>,
}

struct Play {
    channel: Channel,
    fundings: Vec<Funding>,
    branch: u8,
    cases: usize,
}

#[test]
fn every_closing_is_known_on_every_funding_and_after_every_reorg() {
    let mut all = 0;
    for format in FORMATS {
        for situation in SITUATIONS {
            let mut play = Play::new(format, situation);
            play.all();
            all += play.cases;
        }
    }
    println!("figure: splice matrix: {all} cases; a crash after every record of every third");
}

impl Play {
    fn new(format: CommitmentFormat, situation: Situation) -> Self {
        let (kind, change) = match situation {
            Situation::Pending | Situation::Locked => {
                (FundingKind::Splice, [[250_000, 0], [0, -300_000]])
            }
            Situation::Replaceable | Situation::Replaced => (FundingKind::Replacement, [[0, 0]; 2]),
        };
        let mut channel = Channel::new(format);
        if kind == FundingKind::Splice {
            channel.add(US, offer(1, 50_000));
        }
        let first = channel.fund(kind, change[0]);
        channel.add(PEER, offer(2, 60_000));
        let second = channel.fund(kind, change[1]);
        learn(&mut channel, US, 2);
        channel.add(US, offer(3, 40_000));
        match situation {
            Situation::Pending | Situation::Replaceable => {}
            Situation::Locked | Situation::Replaced => {
                channel.lock(second);
                channel.add(US, offer(4, 30_000));
            }
        }
        // The peer has a next commitment and has not revoked the one before it.
        let draft = channel.draft(US, offer(5, 20_000));
        channel.sign(PEER, &[draft], &[]);
        let mutuals: Vec<_> = [channel.locked(), channel.outpoint(first), channel.outpoint(second)]
            .map(|outpoint| spend(outpoint, 0, 0))
            .into();
        for mutual in &mutuals {
            let txid = mutual.compute_txid();
            channel.update(US, vec![UpdateStep::MutualClose { txid }]);
        }
        let fundings = (0..3).map(|place| funding(&channel, place, &mutuals[place])).collect();
        Self { channel, fundings, branch: 0, cases: 0 }
    }

    fn all(&mut self) {
        let base = self.channel.monitor().state().clone();
        let places = |play: &Self| -> Vec<(usize, usize)> {
            let of = |(at, funding): (usize, &Funding)| {
                (0..funding.closings.len()).map(move |which| (at, which)).collect::<Vec<_>>()
            };
            play.fundings.iter().enumerate().flat_map(of).collect()
        };
        for first in places(self) {
            for second in places(self) {
                self.cases += 1;
                self.branch = self.branch % 200 + 1;
                self.confirm(first);
                self.undo(&base);
                self.branch += 1;
                self.confirm(second);
                self.undo(&base);
            }
        }
    }

    /// A funding and a closing of it are confirmed.
    fn confirm(&mut self, (at, which): (usize, usize)) {
        let funding = &self.fundings[at];
        let (closing, transaction, expected) = funding.closings[which].clone();
        let value = funding.value;
        if let Some(splice) = funding.transaction.clone() {
            self.channel.connect_on(self.branch, SPLICED, &[&splice]);
            self.after_record();
            assert!(self.channel.is_open(), "a splice is no closing");
            assert_eq!(self.channel.monitor().alarms(), []);
            assert_eq!(self.channel.monitor().balances().total_msat().0, value * 1000);
        }
        self.channel.connect_on(self.branch, SPLICED + 1, &[&transaction]);
        self.after_record();
        assert_eq!(self.channel.close(), Some(expected), "{at} {closing:?}");
        let monitor = self.channel.monitor();
        let is_alarm = |alarm: &Alarm| match alarm {
            Alarm::UnknownFundingSpend { .. } => closing == Closing::Unknown,
            Alarm::RevokedCommitment { .. } => matches!(expected, Close::Revoked { .. }),
            Alarm::FinalityViolated { .. }
            | Alarm::FutureCommitment { .. }
            | Alarm::DataLoss { .. }
            | Alarm::GoingOnChain { .. }
            | Alarm::ForwardLost { .. } => false,
        };
        assert!(monitor.alarms().iter().all(is_alarm));
        let txid = transaction.compute_txid();
        let requests = monitor.claim_requests();
        assert!(requests.iter().all(|request| request.outpoint.txid == txid));
        let is_commitment = !matches!(closing, Closing::Mutual | Closing::Unknown);
        assert_eq!(!requests.is_empty(), is_commitment);
        if self.cases.is_multiple_of(19) {
            // Consensus is asked about some of them; the claims of the rest differ in nothing else.
            self.channel.look(value);
        } else {
            assert_eq!(monitor.balances().total_msat().0, value * 1000);
        }
    }

    /// The chain is as it was, and so is everything else.
    fn undo(&mut self, base: &MonitorState) {
        self.channel.disconnect(SPLICED - 1);
        self.after_record();
        let state = self.channel.monitor().state();
        assert_eq!(*state, MonitorState { best: state.best, ..base.clone() });
    }

    fn after_record(&mut self) {
        if self.cases.is_multiple_of(STRIDE) {
            let state = self.channel.monitor().state().clone();
            self.channel.nodes[US].monitor = Monitor::restore(state).unwrap();
        }
    }
}

/// What may confirm on a funding: 0 is the locked one.
fn funding(channel: &Channel, place: usize, mutual: &Transaction) -> Funding {
    let beside = place.checked_sub(1).map(|place| &channel.beside[place]);
    let parameters = beside.map_or(&channel.nodes[US].parameters, |beside| &beside.parameters[US]);
    let of = |owner: Node| {
        beside.map_or(&channel.nodes[owner].commitments, |beside| &beside.commitments[owner])
    };
    let state = channel.monitor().state();
    let oldest_valid = state.remote_previous.as_ref().unwrap().number;
    let theirs = |number: CommitmentNumber| {
        if number < oldest_valid {
            Close::Revoked { number }
        } else {
            Close::RemoteUnilateral { number }
        }
    };
    let mut closings = Vec::new();
    for closing in CLOSINGS {
        let (owner, back) = match closing {
            Closing::Mutual => {
                closings.push((closing, mutual.clone(), Close::Mutual));
                continue;
            }
            Closing::Unknown => {
                let unknown = spend(parameters.funding_outpoint, 7, 7);
                closings.push((closing, unknown, Close::Unknown));
                continue;
            }
            Closing::Ours => (US, 0),
            Closing::Theirs => (PEER, 0),
            Closing::TheirsPrevious => (PEER, 1),
            Closing::Revoked => (PEER, 2),
        };
        let Some(commitment) = of(owner).iter().rev().nth(back) else { continue };
        let number = commitment.unsigned.number;
        let expected = if owner == US { Close::LocalUnilateral { number } } else { theirs(number) };
        closings.push((closing, commitment.transaction.clone(), expected));
    }
    let txid = parameters.funding_outpoint.txid;
    let mut transactions = channel.beside.iter().map(|beside| &beside.transaction);
    let transaction = transactions.find(|it| it.compute_txid() == txid);
    // A replacement spends no funding, and nobody is told of its confirmation.
    let is_splice = |it: &&Transaction| it.input.len() == 2;
    Funding {
        value: parameters.funding_amount.to_sat(),
        transaction: transaction.filter(is_splice).cloned(),
        closings,
    }
}
