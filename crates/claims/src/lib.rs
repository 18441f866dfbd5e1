//! Builds, signs and repeats the transactions that end every output of a closed channel.
