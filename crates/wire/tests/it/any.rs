//! Every kind of record behind one pair of functions.

use lastword_types::{
    BookState, Card, ChainTip, Event, MonitorRecord, MonitorState, PaymentRecord,
};
use lastword_wire as wire;
use lastword_wire::{Frame, RecordKind, WireError};

/// A value that has a record of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Any {
    Monitor(MonitorRecord),
    Payment(PaymentRecord),
    MonitorState(Box<MonitorState>),
    BookState(BookState),
    Card(Card),
    ChainTip(ChainTip),
    Event(Event),
}

impl Any {
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Monitor(record) => wire::encode_monitor_record(record),
            Self::Payment(record) => wire::encode_payment_record(record),
            Self::MonitorState(state) => wire::encode_monitor_state(state),
            Self::BookState(state) => wire::encode_book_state(state),
            Self::Card(card) => wire::encode_card(card),
            Self::ChainTip(tip) => wire::encode_chain_tip(tip),
            Self::Event(event) => wire::encode_event(event),
        }
    }

    /// Decodes with the function that the record's kind asks for.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        match Frame::parse(bytes)?.kind {
            RecordKind::Monitor(_) => wire::decode_monitor_record(bytes).map(Self::Monitor),
            RecordKind::Payment(_) => wire::decode_payment_record(bytes).map(Self::Payment),
            RecordKind::MonitorState => {
                wire::decode_monitor_state(bytes).map(|state| Self::MonitorState(Box::new(state)))
            }
            RecordKind::BookState => wire::decode_book_state(bytes).map(Self::BookState),
            RecordKind::Card => wire::decode_card(bytes).map(Self::Card),
            RecordKind::ChainTip => wire::decode_chain_tip(bytes).map(Self::ChainTip),
            RecordKind::Event(_) => wire::decode_event(bytes).map(Self::Event),
        }
    }
}
