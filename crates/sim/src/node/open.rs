//! Opening a channel.

use bitcoin::secp256k1::PublicKey;
use bitcoin::secp256k1::ecdsa::Signature;
use lastword_engine::EngineError;
use lastword_ports::ChannelSigner as _;
use lastword_types::{
    ChannelParameters, CommitmentNumber, LocalCommitment, NewChannel, RemoteCommitment, Side,
    ToSelfDelay, UnsignedCommitment,
};

use super::{Node, Shell, node_keys};
use crate::channel::{COMMITMENT_FEERATE, NODE_DUST_LIMIT, Whole};
use crate::error::{SimError, Trying as _};
use crate::link::unexpected;
use crate::messages::{Answer, ChannelSpec, PeerReply, PeerRequest};

/// The first commitments of a channel.
struct Birth {
    parameters: ChannelParameters,
    local: UnsignedCommitment,
    remote: UnsignedCommitment,
    signature: Signature,
}

impl<S: Shell> Node<S> {
    /// Opens a channel: the monitor is durable before our signature lets the funding leave.
    pub(super) fn open(&mut self, channel: u16, spec: ChannelSpec) -> Result<Answer, SimError> {
        // A channel begins at the engine's tip.
        self.poll()?;
        let birth = self.greet(channel, spec)?;
        if self.state(channel)?.is_none() {
            self.create(&birth)?;
        }
        let whole = Whole {
            parameters: &birth.parameters,
            owner: Side::Remote,
            commitment: &birth.remote,
            htlcs: &[],
        };
        let (signature, _) = whole.sign(&mut self.signer)?;
        self.line.peer(PeerRequest::Funded { channel, signature })?;
        Ok(Answer::Done)
    }

    /// Exchanges halves and checks the peer's signature on our first commitment.
    fn greet(&mut self, channel: u16, spec: ChannelSpec) -> Result<Birth, SimError> {
        let channel_id = self.seed.channel_id(channel);
        let local =
            node_keys(self.seed, channel).side(NODE_DUST_LIMIT, ToSelfDelay(spec.to_self_delay));
        let own_point = self
            .signer
            .per_commitment_point(channel_id, CommitmentNumber::ZERO)
            .trying("derive a point")?;
        let local = Box::new(local);
        let request = PeerRequest::Open { channel, spec, local, first_point: own_point };
        let PeerReply::Opened { parameters, first_point, signature } = self.line.peer(request)?
        else {
            return Err(unexpected());
        };
        let commitment = |point: PublicKey, to_local_msat, to_remote_msat| UnsignedCommitment {
            number: CommitmentNumber::ZERO,
            per_commitment_point: point,
            feerate_per_kw: COMMITMENT_FEERATE,
            to_local_msat,
            to_remote_msat,
        };
        let birth = Birth {
            parameters: *parameters,
            local: commitment(own_point, spec.local_msat, spec.remote_msat),
            remote: commitment(first_point, spec.remote_msat, spec.local_msat),
            signature,
        };
        let whole = Whole {
            parameters: &birth.parameters,
            owner: Side::Local,
            commitment: &birth.local,
            htlcs: &[],
        };
        whole.verify(&signature, &[])?;
        Ok(birth)
    }

    fn create(&mut self, birth: &Birth) -> Result<(), SimError> {
        let Birth { parameters, local, remote, signature } = birth;
        let local = LocalCommitment {
            number: local.number,
            per_commitment_point: local.per_commitment_point,
            feerate_per_kw: local.feerate_per_kw,
            to_local_msat: local.to_local_msat,
            to_remote_msat: local.to_remote_msat,
            added: Vec::new(),
            removed: Vec::new(),
            signature: *signature,
            htlc_signatures: Vec::new(),
        };
        let remote = RemoteCommitment {
            number: remote.number,
            per_commitment_point: remote.per_commitment_point,
            feerate_per_kw: remote.feerate_per_kw,
            to_local_msat: remote.to_local_msat,
            to_remote_msat: remote.to_remote_msat,
            added: Vec::new(),
            removed: Vec::new(),
        };
        let parameters = parameters.clone();
        let opened: Result<(), EngineError> = self.shell.with(move |driver| {
            let birth = driver.tip();
            driver.open_channel(NewChannel { parameters, local, remote, birth })
        })?;
        opened.trying("open a channel")
    }
}
