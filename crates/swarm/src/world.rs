//! [`World`]: the network of one seed, and how an update goes into it.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use lastword_engine::{Driver, EngineError};
use lastword_ports::{ChannelEntry, InboundState};
use lastword_regtest::{Replacement, SharedChain};
use lastword_types::{
    BlockHeight, CommitmentFormat, HtlcDirection, HtlcKey, MonitorUpdate, UpdateStep,
};

use crate::channel::Channel;
use crate::deal::Deal;
use crate::dice::Dice;
use crate::ground::{Ground, channel_id};
use crate::htlc::Name;
use crate::knobs::Knobs;
use crate::marks::{Mark, Marks};
use crate::node::{Node, Rise, Tried, What};

/// A rule that was broken, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) rule: &'static str,
    pub(crate) what: String,
}

impl Broken {
    pub(crate) fn new(rule: &'static str, what: impl Into<String>) -> Self {
        Self { rule, what: what.into() }
    }
}

/// How a step ends.
pub(crate) type Done = Result<(), Broken>;

/// What became of a call.
#[derive(Debug)]
pub(crate) enum Called {
    /// It is durable.
    Durable,
    /// The store failed or the node died.
    Unsure,
    Refused(EngineError),
}

/// The network of one seed.
pub(crate) struct World {
    pub(crate) knobs: Knobs,
    pub(crate) chain: SharedChain,
    pub(crate) channels: Vec<Channel>,
    /// Ours; the one that is not ours has the next number.
    pub(crate) nodes: Vec<Node>,
    pub(crate) deals: Vec<Deal>,
    pub(crate) marks: Marks,
    /// What happened, in words, if somebody wants to read it.
    pub(crate) story: Option<Vec<String>>,
    trace: DefaultHasher,
    pub(crate) steps: u64,
    /// Of the peer that is not ours: what it does with each HTLC offered to it.
    pub(crate) whims: BTreeMap<(usize, Name), crate::wild::Whim>,
    /// Channels in which it does not answer.
    pub(crate) silent: Vec<bool>,
    /// Channels in which it confirmed what it had revoked.
    pub(crate) breached: Vec<bool>,
}

impl World {
    pub(crate) fn new(seed: u64, wants_story: bool) -> Result<Self, Broken> {
        let mut dice = Dice::new(seed, u64::MAX);
        let knobs = Knobs::draw(&mut dice);
        let ground = Ground::get();
        let mut chain = ground.chain.clone();
        chain.set_replacement(Replacement::ByFee);
        let chain = SharedChain::new(chain);
        let own = knobs.own;
        let mut nodes: Vec<Node> =
            (0..own).map(|index| Node::new(index, dice.percent(40), dice.percent(30))).collect();
        let mut channels = Vec::new();
        for (index, ends) in layout(&mut dice, own).into_iter().enumerate() {
            let format = match dice.below(4) {
                0 => CommitmentFormat::StaticRemoteKey,
                1 => CommitmentFormat::ZeroFee,
                _ => CommitmentFormat::AnchorsZeroFeeHtlc,
            };
            channels.push(Channel::new(index, ends, format, ground.fundings[index]));
            for (end, node) in ends.into_iter().enumerate() {
                if let Some(node) = nodes.get_mut(node) {
                    node.add_keys(index, end);
                }
            }
        }
        let count = channels.len();
        let mut world = Self {
            knobs,
            chain,
            channels,
            nodes,
            deals: Vec::new(),
            marks: Marks::default(),
            story: wants_story.then(Vec::new),
            trace: DefaultHasher::new(),
            steps: 0,
            whims: BTreeMap::new(),
            silent: vec![false; count],
            breached: vec![false; count],
        };
        world.open(&mut dice)?;
        Ok(world)
    }

    /// Starts every node and opens its channels.
    fn open(&mut self, dice: &mut Dice) -> Done {
        for node in 0..self.nodes.len() {
            let (mark, reader) = {
                let node = &self.nodes[node];
                (if node.books.is_some() { Mark::TwoLogs } else { Mark::OneLog }, node.is_reader)
            };
            self.marks.hit(mark);
            if reader {
                self.marks.hit(Mark::Reader);
            }
            self.rise(node, dice)?;
            for index in 0..self.channels.len() {
                let Some(end) = self.channels[index].end_of(node) else { continue };
                let channel = &self.channels[index];
                let opened = self.nodes[node].call(|driver| {
                    let born = channel.born(end, driver.tip());
                    driver.open_channel(born)
                });
                if let Some(Err(error)) = opened {
                    return Err(Broken::new("open", why(&error)));
                }
                self.note_stand(index, end);
            }
        }
        Ok(())
    }

    /// Returns the number of the node that is not ours.
    pub(crate) fn peer(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn is_own(&self, node: usize) -> bool {
        node < self.nodes.len()
    }

    pub(crate) fn height(&self) -> BlockHeight {
        crate::ports::height(&self.chain)
    }

    /// Tells the story, and lets the trace hear of it.
    pub(crate) fn say(&mut self, line: impl FnOnce() -> String) {
        if let Some(story) = &mut self.story {
            story.push(line());
        }
    }

    /// Adds something to the trace.
    pub(crate) fn note(&mut self, what: &impl fmt::Debug) {
        format!("{what:?}").hash(&mut self.trace);
    }

    /// Returns a number that two runs of one seed must share.
    pub(crate) fn trace(&self) -> u64 {
        self.trace.finish()
    }

    /// Starts a node that is down; whether it is up then.
    pub(crate) fn rise(&mut self, node: usize, dice: &mut Dice) -> Result<bool, Broken> {
        let rise = self.nodes[node].rise(dice, &self.chain);
        for channel in &self.channels {
            if let Some(end) = channel.end_of(node) {
                let entry = ChannelEntry {
                    channel_id: channel_id(channel.index),
                    latest_update: channel.latest[end],
                    is_open: !channel.is_frozen,
                };
                self.nodes[node].channels.lock().entries.insert(entry.channel_id, entry);
            }
        }
        self.look_at_panics()?;
        match rise {
            Rise::Up => {
                self.say(|| format!("node {node} starts"));
                self.settle_tried(node)?;
                // What is advised now is true now.
                self.take_advice(node, dice)?;
                Ok(self.nodes[node].is_up())
            }
            Rise::Died => {
                self.say(|| format!("node {node} dies while it starts"));
                Ok(false)
            }
            Rise::Failed(EngineError::Store(error)) => {
                self.say(|| format!("node {node} cannot start: {error}"));
                Ok(false)
            }
            Rise::Failed(EngineError::Chain(_) | EngineError::Track(_)) => Ok(false),
            Rise::Failed(error) => {
                Err(Broken::new("start", format!("node {node}: {}", why(&error))))
            }
        }
    }

    pub(crate) fn look_at_panics(&self) -> Done {
        for node in &self.nodes {
            if let Some(panic) = &node.panic {
                return Err(Broken::new("I17 total", format!("node {}: {panic}", node.index)));
            }
        }
        Ok(())
    }

    /// Makes an update of one end that is not a stage.
    pub(crate) fn plain(
        &self,
        channel: usize,
        end: usize,
        what: What,
        steps: Vec<UpdateStep>,
    ) -> Tried {
        let update = self.channels[channel].update(end, steps);
        Tried { channel, end, what, update }
    }

    /// Hands updates over to a node.
    pub(crate) fn update(&mut self, node: usize, tried: Vec<Tried>) -> Done {
        let updates = tried.iter().map(|tried| tried.update.clone()).collect();
        match self.submit(node, tried, |driver| driver.update(updates))? {
            Called::Durable | Called::Unsure => Ok(()),
            Called::Refused(error) => {
                Err(Broken::new("refusal", format!("node {node}, an update: {}", why(&error))))
            }
        }
    }

    /// Hands updates over to a node by some call, and takes in what became of them; the refusal of a
    /// call that was not for its updates comes back.
    pub(crate) fn submit(
        &mut self,
        node: usize,
        tried: Vec<Tried>,
        call: impl FnOnce(&mut Driver) -> Result<(), EngineError>,
    ) -> Result<Called, Broken> {
        self.nodes[node].tried = tried;
        let result = self.nodes[node].call(call);
        self.look_at_panics()?;
        match result {
            Some(Ok(())) => {
                let tried = std::mem::take(&mut self.nodes[node].tried);
                self.decide_attempt(node, true);
                for tried in tried {
                    self.applied(node, &tried);
                }
                Ok(Called::Durable)
            }
            Some(Err(EngineError::Store(error))) => {
                self.say(|| format!("node {node}: the store fails: {error}"));
                if self.nodes[node].is_up() {
                    self.settle_tried(node)?;
                }
                Ok(Called::Unsure)
            }
            None => {
                self.say(|| format!("node {node} dies"));
                self.note(&("died", node));
                Ok(Called::Unsure)
            }
            Some(Err(error)) => {
                self.decide_attempt(node, false);
                for tried in std::mem::take(&mut self.nodes[node].tried) {
                    self.lost(&tried);
                }
                Ok(Called::Refused(error))
            }
        }
    }

    /// Finds out from the monitors which updates became durable: what a node tells its peers when
    /// it comes back.
    fn settle_tried(&mut self, node: usize) -> Done {
        let tried = std::mem::take(&mut self.nodes[node].tried);
        let mut there = Vec::new();
        for tried in &tried {
            let stand = self.nodes[node].stand(channel_id(tried.channel));
            let Some((latest, _)) = stand else {
                // It died of the question.
                break;
            };
            there.push(latest >= tried.update.update_id);
        }
        if there.len() < tried.len() {
            self.nodes[node].tried = tried;
            return Ok(());
        }
        if self.nodes[node].tried_attempt.is_some() {
            if there.iter().any(|is| *is) != there.iter().all(|is| *is) {
                return Err(Broken::new(
                    "R1 intent",
                    "a part of an attempt survived without another",
                ));
            }
            self.decide_attempt(node, there.first().copied().unwrap_or(false));
        }
        for (tried, is_there) in tried.iter().zip(there) {
            if is_there {
                self.applied(node, tried);
            } else {
                self.lost(tried);
            }
        }
        Ok(())
    }

    fn decide_attempt(&mut self, node: usize, exists: bool) {
        let Some((deal, attempt)) = self.nodes[node].tried_attempt.take() else { return };
        self.say(|| format!("payment {deal}, attempt {attempt}: its HTLCs exist: {exists}"));
        self.deals[deal].attempts[attempt].exists = Some(exists);
    }

    /// An update is durable: what it allows to be said is said.
    fn applied(&mut self, node: usize, tried: &Tried) {
        let Tried { channel: index, end, what, update } = tried;
        let channel = &mut self.channels[*index];
        channel.latest[*end] = update.update_id;
        let mut bound = Vec::new();
        match what {
            What::Stage => bound = channel.stage_done(),
            What::Fail => channel.is_frozen = true,
            What::Mutual => {
                channel.is_frozen = true;
                channel.knows_mutual[*end] = true;
            }
            What::Claim(names) => {
                for name in names {
                    if let Some(fact) = channel.htlcs.get_mut(name) {
                        fact.is_claimed = true;
                    }
                }
            }
        }
        self.note(&("durable", node, update.update_id.0));
        self.note_stand(*index, *end);
        self.follow_forwards(*index);
        self.bind(*index, &bound);
    }

    /// An update is not there, and nothing was said.
    fn lost(&mut self, tried: &Tried) {
        let channel = &mut self.channels[tried.channel];
        let is_offer =
            |change: &crate::channel::Change| change.stage == 0 && !change.added.is_empty();
        if matches!(tried.what, What::Stage) && channel.change.as_ref().is_some_and(is_offer) {
            self.unlink(tried.channel);
            self.channels[tried.channel].cancel();
        }
    }

    /// Forgets the outbound halves of a change that never was.
    fn unlink(&mut self, index: usize) {
        let Some(change) = &self.channels[index].change else { return };
        let added = change.added.clone();
        for name in added {
            let inbound = self.channels[index].htlcs.get(&name).and_then(|fact| fact.leg.inbound);
            if let Some((inbound_channel, inbound)) = inbound
                && let Some(fact) = self.channels[inbound_channel].htlcs.get_mut(&inbound)
            {
                fact.leg.outbound = None;
            }
        }
    }

    /// Brings the node's own book of channels up to date.
    fn note_stand(&mut self, index: usize, end: usize) {
        let channel = &self.channels[index];
        if let Some(node) = self.nodes.get(channel.ends[end]) {
            let channel_id = channel_id(index);
            let entry = ChannelEntry {
                channel_id,
                latest_update: channel.latest[end],
                is_open: !channel.is_frozen,
            };
            node.channels.lock().entries.insert(channel_id, entry);
        }
    }

    /// Both ends are bound to new HTLCs.
    pub(crate) fn bind(&mut self, index: usize, bound: &[Name]) {
        for name in bound {
            let channel = &self.channels[index];
            let receiver = channel.ends[name.receiver()];
            let Some(fact) = channel.htlcs.get(name) else { continue };
            let is_last = fact.leg.hop + 1 == fact.leg.route.len();
            if !is_last && let Some(node) = self.nodes.get(receiver) {
                let key = channel.key(*name, name.receiver());
                node.forwards.lock().0.insert(key, InboundState::Open);
            }
        }
    }

    /// Brings the forward books up to date with what is durable in a channel.
    pub(crate) fn follow_forwards(&mut self, index: usize) {
        let channel = &self.channels[index];
        for (name, fact) in &channel.htlcs {
            if fact.removal.is_none() && !fact.is_claimed {
                continue;
            }
            self.resolve_inbound(
                channel.key(*name, name.receiver()),
                channel.ends[name.receiver()],
            );
        }
    }

    /// The inbound half of a forward is durably settled.
    pub(crate) fn resolve_inbound(&self, key: HtlcKey, node: usize) {
        debug_assert_eq!(key.direction, HtlcDirection::Received);
        if let Some(node) = self.nodes.get(node)
            && let Some(state) = node.forwards.lock().0.get_mut(&key)
        {
            *state = InboundState::Resolved;
        }
    }

    /// Returns the updates of an attempt.
    pub(crate) fn updates_of(tried: &[Tried]) -> Vec<MonitorUpdate> {
        tried.iter().map(|tried| tried.update.clone()).collect()
    }
}

/// Draws who has channels with whom: ours in a ring, and one that is not ours beside them.
fn layout(dice: &mut Dice, own: usize) -> Vec<[usize; 2]> {
    let peer = own;
    let mut layout = vec![[0, 1], [1, 2], [peer, 0], [own - 1, peer]];
    if own > 3 {
        layout.push([2, 3]);
    }
    for more in [[0, 1], [2, 0], [1, peer]] {
        if dice.percent(50) {
            layout.push(more);
        }
    }
    layout
}

/// Returns an error and everything beneath it on one line.
pub(crate) fn why(error: &dyn core::error::Error) -> String {
    let mut line = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        line.push_str(": ");
        line.push_str(&error.to_string());
        next = error.source();
    }
    line
}
