//! One or more scenes from before their closing to their end, with a look at everything after every
//! step.

use lastword_engine::{Driver, EngineError};
use lastword_types::{AmountMsat, Event, Side};

use super::case::{Case, Closing, Known, Reorg};
use super::life::Life;
use super::peer;
use super::scene::{Act, Role, Scene, Setting};
use super::stage::Stage;
use super::tally::Tally;
use super::truth::{Truth, confirmed, is_reported};
use crate::error::{SimError, Trying as _};

/// Blocks from the opening to the closing.
const TO_CLOSING: u32 = 2;
/// Blocks from the closing to the expiry of every HTLC: more than a node waits for with a preimage
/// before it closes a channel by itself.
const TO_EXPIRY: u32 = 24;
/// Blocks from the closing to a reorg of it: before it is final.
const TO_REORG: u32 = 4;
/// Blocks from the expiry to the end: a claim, its delay, a sweep, and all of it final.
const TO_END: u32 = 26;

/// What the play of some cases came to.
#[derive(Debug, Clone, Default)]
pub struct Played {
    /// Steps after which everything was looked at.
    pub steps: usize,
    /// Last words that came again, the same.
    pub told_again: usize,
    /// How each case ended, in words.
    pub shapes: Vec<String>,
    /// What the node's transactions spent, by kind.
    pub tally: Tally,
}

/// Where a play ended.
#[derive(Debug)]
pub struct End {
    stage: Stage,
    scenes: Vec<Scene>,
    truths: Vec<Truth>,
}

impl End {
    /// Returns how many transactions of the node the chain took, and how many it holds.
    pub fn transactions(&self) -> (usize, usize) {
        let open = self.stage.books.lock();
        let mined =
            open.accepted.keys().filter(|txid| self.stage.index.transaction(**txid).is_some());
        (open.accepted.len(), mined.count())
    }

    /// Takes the stage back for other cases.
    pub fn into_stage(self) -> Stage {
        self.stage
    }
}

/// Scenes just before their closing, with their node; to be played once, or more often on copies.
#[derive(Debug)]
pub struct Template<L> {
    stage: Stage,
    scenes: Vec<Scene>,
    truths: Vec<Truth>,
    life: L,
}

impl<L: Life> Template<L> {
    /// Opens a channel for each case and lives through its past.
    ///
    /// # Errors
    ///
    /// [`SimError`] with every violation, or if something is broken.
    pub fn new(mut stage: Stage, cases: &[Case], mut life: L) -> Result<Self, SimError> {
        let count = u16::try_from(cases.len()).trying("count channels")?;
        let (funding, outpoints) = stage.fund(0, count)?;
        life.start(&stage)?;
        let birth = life.with(&stage, |driver| Ok(driver.tip()))?;
        let wallets = [Side::Local, Side::Remote].map(|side| stage.script(side).clone());
        let mut scenes = Vec::new();
        for ((case, funding), index) in cases.iter().zip(outpoints).zip(0..) {
            let expiry = birth.height.0 + 1 + TO_CLOSING + TO_EXPIRY;
            let wallets = [&wallets[0], &wallets[1]];
            let setting = Setting { index, funding, birth, expiry, wallets };
            let (scene, new) = Scene::write(*case, &setting)?;
            life.with(&stage, |driver| driver.open_channel(new.clone()).trying("open a channel"))?;
            scenes.push(scene);
        }
        stage.mine_with(&[funding])?;
        let truths = vec![Truth::default(); scenes.len()];
        let mut template = Self { stage, scenes, truths, life };
        for index in 0..template.scenes.len() {
            let before = core::mem::take(&mut template.scenes[index].before);
            template.truths[index].was_fulfilled(&template.scenes[index], Role::Fulfilled);
            for act in &before {
                template.act(act)?;
            }
        }
        template.follow()?;
        Ok(template)
    }

    /// Returns the life of its node.
    pub fn life(&self) -> &L {
        &self.life
    }

    /// Makes a copy with another reorg and another life, which holds what the life of this one does.
    ///
    /// # Errors
    ///
    /// [`SimError`] if the chain is not in this process.
    pub fn fork<M: Life>(&self, reorg: Reorg, life: M) -> Result<Template<M>, SimError> {
        let mut scenes = self.scenes.clone();
        for scene in &mut scenes {
            scene.case.reorg = reorg;
        }
        let stage = self.stage.fork()?;
        Ok(Template { stage, scenes, truths: self.truths.clone(), life })
    }

    /// Checks that a node which sees only the final chain, all at once, says the same (M5).
    ///
    /// `life` holds what the life of this template does. What was shown in a block that left the
    /// chain stays true only for who has seen it.
    ///
    /// # Errors
    ///
    /// [`SimError`] with every difference, or if something is broken.
    pub fn check_replay<M: Life>(&self, end: &End, life: M) -> Result<(), SimError> {
        let (stage, scenes) = (end.stage.fork()?, end.scenes.clone());
        let mut again = Template { stage, scenes, truths: end.truths.clone(), life };
        for (index, scene) in self.scenes.iter().enumerate() {
            let before = &self.truths[index];
            again.truths[index] = end.truths[index].of_final_chain(before, &again.stage, scene);
            for act in scene.last.iter().chain(&scene.after) {
                again.act(act)?;
            }
        }
        again.follow()?;
        let Template { stage, scenes, truths, life } = &mut again;
        for ((scene, truth), live) in scenes.iter().zip(truths.iter_mut()).zip(&end.truths) {
            truth.check_same(scene, live);
            let channel_id = scene.channel.parameters.channel_id;
            let totals = life.with(stage, |driver: &mut Driver| {
                Ok(driver.balances(channel_id).trying("read the balances")?.totals())
            })?;
            if live.totals() != totals {
                let before = live.totals();
                truth.violations.push(format!("M5: {totals:?} from scratch, {before:?} live"));
            }
            if !truth.violations.is_empty() {
                return Err(failed(scene, &truth.violations));
            }
        }
        Ok(())
    }

    /// Does one thing that the caller wants, to its end.
    fn act(&mut self, act: &Act) -> Result<(), SimError> {
        self.life.with(&self.stage, |driver| match act {
            Act::Pay(intent, update) => {
                match driver.send_payment((**intent).clone(), vec![update.clone()]) {
                    // It was sent before the node died.
                    Ok(()) | Err(EngineError::PaymentIdBusy(_)) => Ok(()),
                    Err(error) => Err(error).trying("send a payment"),
                }
            }
            Act::Update(update) => driver.update(vec![update.clone()]).trying("apply an update"),
        })
    }

    /// The node follows the chain and tells its user everything.
    fn follow(&mut self) -> Result<(), SimError> {
        let Self { stage, scenes, truths, life } = self;
        let mut tell = |stage: &Stage, event: &Event| {
            for (scene, truth) in scenes.iter().zip(truths.iter_mut()) {
                if scenes_own(scene, event) {
                    truth.hear(stage, scene, event);
                }
            }
        };
        life.with(stage, |driver| {
            driver.poll_chain().trying("follow the chain")?;
            while let Some(event) = driver.next_event() {
                tell(stage, &event);
                driver.event_returned(&event, true).trying("record a handled event")?;
            }
            Ok(())
        })
    }
}

/// Says whether an event is about a payment of a scene.
fn scenes_own(scene: &Scene, event: &Event) -> bool {
    event.key().is_some_and(|key| {
        let intents = scene.channel.offers.values().filter_map(|offer| offer.intent.as_ref());
        intents.into_iter().any(|intent| intent.payment_id == key.payment_id)
    })
}

/// A template that is being played.
struct Play<L> {
    at: Template<L>,
    played: Played,
    closed: u32,
}

impl<L: Life> Template<L> {
    /// Plays all scenes to their end.
    ///
    /// # Errors
    ///
    /// [`SimError`] with every violation, or if something is broken.
    pub fn play(self) -> Result<(Played, End), SimError> {
        let mut play = Play { at: self, played: Played::default(), closed: 0 };
        play.approach()?;
        play.close()?;
        play.learn()?;
        let expiry = play.closed + TO_EXPIRY;
        play.until(play.closed + TO_REORG)?;
        play.reorganise()?;
        play.until(expiry + TO_END)?;
        play.finish()
    }
}

impl<L: Life> Play<L> {
    /// What happens before the closing.
    fn approach(&mut self) -> Result<(), SimError> {
        for index in 0..self.at.scenes.len() {
            let last = core::mem::take(&mut self.at.scenes[index].last);
            if self.at.scenes[index].case.known == Known::Before {
                self.was_fulfilled(index);
            }
            for act in &last {
                self.at.act(act)?;
                self.step()?;
            }
        }
        self.step()
    }

    /// The closing confirms: by the node's own hand, or in a block that somebody else made.
    fn close(&mut self) -> Result<(), SimError> {
        let others = self.at.scenes.iter().filter(|it| it.case.closing != Closing::OursCurrent);
        let others: Vec<_> = others.map(|scene| scene.closing.transaction.clone()).collect();
        if !others.is_empty() {
            self.at.stage.mine_with(&others)?;
            self.mined()?;
        }
        if others.len() < self.at.scenes.len() {
            self.mine()?;
        }
        self.closed = self.at.stage.height();
        for scene in &self.at.scenes {
            let funding = scene.channel.parameters.funding_outpoint;
            let spend = self.at.stage.index.spend(funding);
            let txid = spend.map(|spend| spend.transaction.compute_txid());
            if txid != Some(scene.closing.transaction.compute_txid()) {
                return Err(failed(
                    scene,
                    &["the closing of the case is not confirmed".to_owned()],
                ));
            }
        }
        Ok(())
    }

    /// What becomes known after the closing.
    fn learn(&mut self) -> Result<(), SimError> {
        self.steal()?;
        self.step()?;
        for index in 0..self.at.scenes.len() {
            let after = core::mem::take(&mut self.at.scenes[index].after);
            if !after.is_empty() {
                self.was_fulfilled(index);
            }
            for act in &after {
                self.at.act(act)?;
                self.look()?;
            }
        }
        Ok(())
    }

    /// A thief has a block to itself.
    fn steal(&mut self) -> Result<(), SimError> {
        let Template { stage, scenes, .. } = &mut self.at;
        let mut thieves =
            scenes.iter_mut().filter(|scene| scene.case.closing == Closing::LongRevoked).peekable();
        if thieves.peek().is_none() {
            return Ok(());
        }
        thieves.try_for_each(|thief| peer::act(stage, thief))?;
        self.mine()
    }

    fn was_fulfilled(&mut self, index: usize) {
        let (scene, truth) = (&self.at.scenes[index], &mut self.at.truths[index]);
        truth.was_fulfilled(scene, Role::Main);
    }

    /// Blocks come, and everybody does what is theirs.
    fn until(&mut self, height: u32) -> Result<(), SimError> {
        while self.at.stage.height() < height {
            self.step()?;
            self.peer()?;
            self.mine()?;
        }
        self.step()
    }

    /// The closing leaves the chain, and comes again or another does.
    fn reorganise(&mut self) -> Result<(), SimError> {
        let Some(scene) = self.at.scenes.first() else { return Ok(()) };
        let next = match scene.case.reorg {
            Reorg::None | Reorg::EachBlock => return Ok(()),
            Reorg::SameAgain => scene.closing.transaction.clone(),
            Reorg::Another => scene.another.transaction.clone(),
        };
        let Some(spend) = self.at.stage.index.spend(scene.channel.parameters.funding_outpoint)
        else {
            return Ok(());
        };
        let depth = self.at.stage.height() + 1 - spend.height;
        self.at.stage.disconnect(depth)?;
        // Sometimes the node looks before the new branch is there.
        if scene.case.ahead == Side::Local {
            self.step()?;
        }
        self.at.stage.mine_with(&[next])?;
        self.mined()
    }

    fn peer(&mut self) -> Result<(), SimError> {
        for scene in &mut self.at.scenes {
            peer::act(&mut self.at.stage, scene)?;
        }
        Ok(())
    }

    fn mine(&mut self) -> Result<(), SimError> {
        self.at.stage.mine()?;
        self.mined()
    }

    /// A block came; where every block comes twice, it goes and comes again.
    fn mined(&mut self) -> Result<(), SimError> {
        self.look_at_chain();
        let comes_twice = self.at.scenes.iter().any(|it| it.case.reorg == Reorg::EachBlock);
        if comes_twice && self.at.stage.tip_holds_something()? {
            self.step()?;
            self.at.stage.disconnect(1)?;
            if self.at.stage.height().is_multiple_of(2) {
                self.step()?;
            }
            self.at.stage.mine()?;
            self.look_at_chain();
        }
        Ok(())
    }

    fn look_at_chain(&mut self) {
        for (scene, truth) in self.at.scenes.iter().zip(&mut self.at.truths) {
            truth.look_at_chain(&self.at.stage, scene);
        }
    }

    fn step(&mut self) -> Result<(), SimError> {
        self.at.follow()?;
        self.look()
    }

    /// What holds after every step (M1, M2, M4, M7).
    fn look(&mut self) -> Result<(), SimError> {
        self.played.steps += 1;
        let Template { stage, scenes, truths, life } = &mut self.at;
        for (scene, truth) in scenes.iter().zip(truths.iter_mut()) {
            let channel_id = scene.channel.parameters.channel_id;
            let balances = life.with(stage, |driver: &mut Driver| {
                driver.balances(channel_id).trying("read the balances")
            })?;
            let funding = AmountMsat(super::channel::FUNDING.to_sat() * 1_000);
            if balances.total_msat() != funding {
                truth.violations.push(format!("M7: the balances do not add up: {balances:?}"));
            }
            truth.violations.append(&mut stage.books.lock().invalid);
            if !truth.violations.is_empty() {
                return Err(failed(scene, &truth.violations));
            }
        }
        Ok(())
    }

    /// What holds at the end (M1, M3, M5, M7, M8).
    fn finish(mut self) -> Result<(Played, End), SimError> {
        let offered = self.at.stage.books.lock().offered;
        self.mine()?;
        self.step()?;
        let is_quiet = self.at.stage.books.lock().offered == offered;
        let Template { stage, scenes, truths, life } = &mut self.at;
        for (scene, truth) in scenes.iter().zip(truths.iter_mut()) {
            if !is_quiet {
                truth.violations.push("M8: the node still offers transactions".to_owned());
            }
            truth.check_words(stage, scene);
            let ours = truth.check_outputs(stage, scene);
            let channel_id = scene.channel.parameters.channel_id;
            let paid = truth.words().keys().copied().collect::<Vec<_>>();
            let (totals, owed) = life.with(stage, |driver: &mut Driver| {
                let totals = driver.balances(channel_id).trying("read the balances")?.totals();
                Ok((totals, paid.iter().filter(|id| driver.owes(**id)).count()))
            })?;
            if owed > 0 {
                truth.violations.push(format!("M8: {owed} payments are told and not released"));
            }
            let reported = totals.ours.0 / 1_000;
            if let Some(ours) = ours.filter(|it| is_reported(stage, scene) && *it != reported) {
                truth.violations.push(format!("M7: got {ours} sat, reports {totals:?}"));
            }
            if !truth.violations.is_empty() {
                return Err(failed(scene, &truth.violations));
            }
            truth.set_totals(totals);
            self.played.told_again += truth.again;
            self.played.shapes.push(truth.shape(stage, scene, totals));
            self.played.tally.count(stage, scene, confirmed(stage, scene).map(|it| it.0));
        }
        self.say_nothing_more()?;
        let Template { stage, scenes, truths, .. } = self.at;
        Ok((self.played, End { stage, scenes, truths }))
    }

    /// A node without its book has nothing to say of what is released.
    fn say_nothing_more(&mut self) -> Result<(), SimError> {
        let again: usize = self.at.truths.iter().map(|truth| truth.again).sum();
        self.at.life.lose_book(&self.at.stage)?;
        self.at.follow()?;
        let now: usize = self.at.truths.iter().map(|truth| truth.again).sum();
        match (self.at.scenes.first(), now == again) {
            (Some(scene), false) => {
                Err(failed(scene, &["M1: told again after the release".to_owned()]))
            }
            (Some(_) | None, _) => Ok(()),
        }
    }
}

/// Says which case it was.
fn failed(scene: &Scene, violations: &[String]) -> SimError {
    SimError::with("a case of the matrix", format!("{:?}: {}", scene.case, violations.join("; ")))
}
