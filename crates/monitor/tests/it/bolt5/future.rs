//! A commitment from the future: we lost data, and must not broadcast what we have.

use bitcoin::OutPoint;
use lastword_bolt3::OutputKind;
use lastword_monitor::Monitor;
use lastword_types::{Alarm, Close, CommitmentFormat, Effect, UpdateStep, Verdict};

use super::{CLOSED, learn};
use crate::channel::{CHANNEL, Channel, PEER, US, offer};
use crate::theft::FORMATS;

// BOLT 5: Unilateral Close Handling: Remote Commitment Transaction
#[test]
fn a_commitment_from_the_future_pays_our_balance_and_silences_us_f4_p7_r5() {
    for format in FORMATS {
        let mut channel = Channel::new(format);
        let name = channel.add(US, offer(1, 50_000));
        let backup = channel.monitor().clone();
        channel.add(PEER, offer(2, 40_000));
        let closing = channel.newest(PEER).transaction.clone();
        let number = channel.newest(PEER).unsigned.number;
        channel.nodes[US].monitor = backup;
        channel.fail(US);
        assert!(channel.monitor().card().has_claims);

        let effects = channel.connect(CLOSED, &[&closing]);
        let spend = channel.monitor().state().funding_spend.clone().unwrap();
        assert_eq!(spend.close, Close::Future { number });
        let txid = closing.compute_txid();
        let alarms = [
            Alarm::FutureCommitment { channel_id: CHANNEL, txid, number },
            Alarm::DataLoss { channel_id: CHANNEL },
        ];
        assert_eq!(channel.monitor().alarms(), alarms);
        assert!(alarms.iter().all(|alarm| effects.contains(&Effect::Alarm(*alarm))));
        let to_remote = to_remote(&channel);
        let sweep = channel.claim(US, to_remote);
        channel.connect(CLOSED + 1, &[&sweep]);
        channel.connect(CLOSED + 1000, &[]);
        assert_eq!(channel.verdict(name), Verdict::Live);

        channel.disconnect(CLOSED - 1);
        assert!(channel.monitor().claim_requests().is_empty());
        assert!(!channel.monitor().card().has_claims);
        assert_eq!(channel.monitor().alarms(), [Alarm::DataLoss { channel_id: CHANNEL }]);
        let restored = Monitor::restore(channel.monitor().state().clone()).unwrap();
        assert!(restored.claim_requests().is_empty());
    }
}

// BOLT 2: Message Retransmission
#[test]
fn a_commitment_that_may_be_outdated_is_never_broadcast_f4_p7() {
    let mut channel = Channel::new(CommitmentFormat::AnchorsZeroFeeHtlc);
    channel.add(US, offer(1, 50_000));
    channel.fail(US);
    assert!(channel.monitor().card().has_claims);
    let effects = channel.update(US, vec![UpdateStep::DataLoss]);
    let alarm = Alarm::DataLoss { channel_id: CHANNEL };
    assert!(effects.contains(&Effect::Alarm(alarm)) && effects.contains(&Effect::ClaimsChanged));
    assert!(channel.monitor().claim_requests().is_empty());
    assert!(!channel.monitor().card().has_claims);
    let again = channel.update(US, vec![UpdateStep::DataLoss, UpdateStep::FailChannel]);
    assert!(!again.contains(&Effect::Alarm(alarm)));
    assert!(channel.monitor().claim_requests().is_empty());

    // The peer's commitments are known and claimed as before.
    let closing = channel.newest(PEER).transaction.clone();
    channel.connect(CLOSED, &[&closing]);
    assert!(channel.monitor().card().has_claims);
    learn(&mut channel, US, 4);
}

/// Our balance in the peer's newest commitment.
fn to_remote(channel: &Channel) -> OutPoint {
    let built = channel.built(PEER, channel.nodes[PEER].commitments.len() - 1);
    let vout = built.outputs.iter().position(|output| output.kind == OutputKind::ToRemote);
    OutPoint { txid: built.txid(), vout: u32::try_from(vout.unwrap()).unwrap() }
}
