//! One test for each requirement of BOLT 5, under the heading of the
//! section that makes it. A name's ending counts the requirements of that section: `ll2` is the
//! second of "Local Commitment, Local Offers".

mod future;
mod general;
mod local;
mod remote;
mod revoked;
mod zero_fee;

use bitcoin::OutPoint;
use lastword_types::{CommitmentFormat, FailingUntil, HtlcFailure, UpdateStep, Verdict};

use crate::channel::{Channel, Name, Node, block, offer, preimage};

const CLOSED: u32 = 200;
/// The height at which the closing is final.
const DEEP: u32 = CLOSED + 5;

fn failing(reason: HtlcFailure, height: u32) -> Verdict {
    let until = FailingUntil::Depth(block(height, 0).height);
    Verdict::Failing { reason, until }
}

const fn failed(reason: HtlcFailure) -> Verdict {
    Verdict::Failed { reason }
}

/// A channel with one HTLC, closed by the newest commitment of `owner`, and the HTLC's output.
fn closed(format: CommitmentFormat, owner: Node, offerer: Node) -> (Channel, Name, OutPoint) {
    let mut channel = Channel::new(format);
    let name = channel.add(offerer, offer(1, 50_000));
    close(&mut channel, owner);
    let output = channel.output_of(owner, name).expect("it is not trimmed");
    (channel, name, output)
}

fn close(channel: &mut Channel, owner: Node) {
    let transaction = channel.newest(owner).transaction.clone();
    channel.connect(CLOSED, &[&transaction]);
}

fn learn(channel: &mut Channel, node: Node, n: u8) {
    channel.update(node, vec![UpdateStep::Preimage { preimage: preimage(n) }]);
}
