//! [`Mark`]: what a run may do and meet, each with a counter.

use core::fmt;

macro_rules! marks {
    ($($group:ident { $($mark:ident $name:literal $doc:literal,)* })*) => {
        /// Something that a run may do or meet. A run of many seeds that never meets one of them
        /// has not tested it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Mark {
            $($(#[doc = $doc] $mark,)*)*
        }

        impl Mark {
            /// All of them.
            pub const ALL: &'static [Self] = &[$($(Self::$mark,)*)*];

            /// Returns its name in the output.
            pub fn name(self) -> &'static str {
                match self { $($(Self::$mark => $name,)*)* }
            }

            /// Says whether it is a fault, and not a deed.
            pub fn is_fault(self) -> bool {
                match self { $($(Self::$mark => marks!(@ $group),)*)* }
            }
        }
    };
    (@ Fault) => { true };
    (@ Deed) => { false };
}

marks! {
    Fault {
        Crash "crash" "A node died at a boundary.",
        CrashInRecovery "crash_in_recovery" "It died again while it came back.",
        CrashTwice "crash_twice_in_recovery" "Twice.",
        CrashThrice "crash_thrice_in_recovery" "Three times.",
        BlockWhileDown "block_while_down" "A block came while a node was down.",
        WritesLost "writes_lost" "A crash lost writes that no sync had followed.",
        SyncFailed "sync_failed" "A sync failed and wrote nothing.",
        SyncFailedWritten "sync_failed_but_wrote" "A sync failed and wrote all the same.",
        AppendFailed "append_failed" "An append failed once.",
        DiskFull "disk_full" "Appends failed until the node was started again.",
        SnapshotFailed "snapshot_failed" "A snapshot could not be written.",
        BookOlder "book_older" "The payment book came back older.",
        BookAbsent "book_absent" "The payment book came back empty.",
        BookFork "book_of_a_fork" "The payment book came back from a life that was taken back.",
        ForwardsOlder "forward_book_older" "The forward book came back older.",
        ChannelsOlder "channel_book_older" "The channel book came back older.",
        InFlight "update_in_flight" "An update that was in flight was handed over at the start.",
        ReorgShallow "reorg_1_2" "A reorg of one or two blocks.",
        ReorgDeep "reorg_3_5" "A reorg of three to five blocks.",
        Swap "commitment_swap" "A reorg confirmed another commitment.",
        Evicted "transaction_evicted" "A reorg left a transaction out.",
        BlockRepeated "block_repeated" "A source went back and gave blocks twice.",
        BlockBurst "block_burst" "A node saw three blocks or more at once.",
        TipVanished "tip_vanished" "A source named a tip that is not there.",
        SourceError "source_error" "A source failed.",
        SourceNonsense "source_nonsense" "A source said what cannot be true.",
        FeeSpike "fee_spike" "Fees rose.",
        BroadcastRefused "broadcast_refused" "A transaction was refused without a reason.",
        BroadcastLost "broadcast_lost" "A transaction was taken and never seen again.",
        BroadcastAway "broadcast_away" "The broadcaster was away.",
        Revoked "revoked_commitment" "The peer confirmed a commitment that it had revoked.",
        Previous "previous_commitment" "The peer confirmed its commitment before the last.",
        Latest "latest_commitment" "The peer confirmed its last commitment.",
        LastBlock "preimage_at_the_last_block" "The peer showed a preimage around the expiry.",
        Batched "claims_batched" "The peer claimed several HTLCs with one transaction.",
        Silence "peer_silent" "The peer did not answer.",
        Refusal "peer_keeps_htlc" "The peer neither fulfilled nor failed an HTLC.",
        HandlerFails "handler_fails" "The user's handler failed.",
        HandlerPanics "handler_panics" "The user's handler panicked.",
        HandlerHangs "handler_hangs" "The user's handler did not return for a while.",
        WrongAcknowledgement "wrong_acknowledgement" "The user acknowledged what was never told.",
        TombstonesDropped "tombstones_dropped" "Tombstones were dropped.",
        FinishedDropped "finished_dropped" "Finished payments left the book.",
    }
    Deed {
        Payment "payments" "A payment was sent.",
        Multipart "payments_in_parts" "A payment was sent in several parts.",
        EqualParts "equal_parts" "Two parts of one payment were alike in one channel.",
        Dust "dust" "A payment was too small for an output.",
        Reused "ids_reused" "The id of a finished payment was used again.",
        Probe "probes" "A probe was sent.",
        Retry "retries" "A payment was tried again.",
        Abandoned "abandoned" "A payment was given up.",
        Forward "forwards" "An HTLC was forwarded.",
        ForwardClaimed "forwards_claimed" "The inbound half of a forward was claimed.",
        ForwardFailed "forwards_failed" "The inbound half of a forward was failed.",
        Received "received" "A payment was claimed by its recipient.",
        ReceivedParts "received_in_parts" "One in several parts.",
        Claimed "told_as_claimed" "A recipient was told that it was paid.",
        FromPeer "from_peer" "A payment of the peer that is not ours.",
        ToPeer "to_peer" "A payment to the peer that is not ours.",
        Sent "sent" "A payment was told as sent.",
        Failed "failed" "A payment was told as failed.",
        ForceClose "force_closed" "One of our nodes failed a channel.",
        MutualClose "mutually_closed" "A channel was closed by both.",
        Reader "readers" "A node read events after a cursor.",
        Query "queries" "Somebody asked what became of a payment.",
        OneLog "one_log" "A node kept its book in the log of its monitors.",
        TwoLogs "two_logs" "A node kept its book in a log of its own.",
        Archived "archived" "A channel was archived.",
    }
}

/// How often each mark was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marks([u64; Mark::ALL.len()]);

impl Default for Marks {
    fn default() -> Self {
        Self([0; Mark::ALL.len()])
    }
}

impl Marks {
    /// Counts one.
    pub(crate) fn hit(&mut self, mark: Mark) {
        self.0[mark as usize] += 1;
    }

    /// Returns how often a mark was met.
    pub fn count(&self, mark: Mark) -> u64 {
        self.0[mark as usize]
    }

    /// Adds those of another run.
    pub fn add(&mut self, other: &Self) {
        for (mine, more) in self.0.iter_mut().zip(other.0) {
            *mine += more;
        }
    }

    /// Returns the marks that were never met.
    pub fn missing(&self) -> impl Iterator<Item = Mark> + '_ {
        Mark::ALL.iter().copied().filter(|mark| self.count(*mark) == 0)
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
