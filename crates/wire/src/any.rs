//! [`AnyRecord`]: every kind of record behind one pair of functions.

use alloc::boxed::Box;
use alloc::vec::Vec;

use lastword_types::{
    BookMark, BookState, Card, ChainTip, Event, MonitorRecord, MonitorState, PaymentRecord,
};

use crate::error::WireError;
use crate::frame::{Frame, RecordKind};
use crate::record;

/// A value that has a record of its own, for tools that take any of them.
///
/// # Shape
///
/// One variant for each pair of functions of this crate.
///
/// Source: `docs/WIRE.md`, "Record kinds".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnyRecord {
    /// A record that changes a monitor.
    Monitor(MonitorRecord),
    /// A record that changes the payment book.
    Payment(PaymentRecord),
    /// A monitor's snapshot.
    MonitorState(Box<MonitorState>),
    /// The payment book's snapshot.
    BookState(BookState),
    /// A channel's card.
    Card(Card),
    /// The tip of the chain.
    ChainTip(ChainTip),
    /// What a payment book knows of its monitors' log.
    BookMark(BookMark),
    /// An event.
    Event(Event),
}

impl AnyRecord {
    /// Encodes a record.
    ///
    /// # Panics
    ///
    /// If the record is longer than [`MAX_RECORD_BYTES`](crate::MAX_RECORD_BYTES).
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Monitor(record) => record::encode(record),
            Self::Payment(record) => record::encode(record),
            Self::MonitorState(state) => record::encode(&**state),
            Self::BookState(state) => record::encode(state),
            Self::Card(card) => record::encode(card),
            Self::ChainTip(tip) => record::encode(tip),
            Self::BookMark(mark) => record::encode(mark),
            Self::Event(event) => record::encode(event),
        }
    }

    /// Encodes a record in the place of one of its kind that a newer writer may have made: the odd
    /// types that this reader does not know are kept where they stood.
    ///
    /// For tools that change what they understand of a record.
    ///
    /// # Errors
    ///
    /// [`WireError`]: `original` is refused, or is of another kind.
    ///
    /// # Panics
    ///
    /// If the record is longer than [`MAX_RECORD_BYTES`](crate::MAX_RECORD_BYTES).
    ///
    /// # Examples
    ///
    /// ```
    /// use lastword_types::BookMark;
    /// use lastword_wire::AnyRecord;
    ///
    /// let mark = |position| AnyRecord::BookMark(BookMark { log: [7; 16], position });
    /// let later = [&mark(1).encode()[..], &[0x65, 1, 0xAA]].concat();
    /// let rewritten = mark(2).encode_over(&later)?;
    /// assert_eq!(rewritten, [&mark(2).encode()[..], &[0x65, 1, 0xAA]].concat());
    /// # Ok::<(), lastword_wire::WireError>(())
    /// ```
    ///
    /// Source: `docs/WIRE.md`, "Frame": unknown odd types.
    pub fn encode_over(&self, original: &[u8]) -> Result<Vec<u8>, WireError> {
        match self {
            Self::Monitor(record) => record::encode_over(record, original),
            Self::Payment(record) => record::encode_over(record, original),
            Self::MonitorState(state) => record::encode_over(&**state, original),
            Self::BookState(state) => record::encode_over(state, original),
            Self::Card(card) => record::encode_over(card, original),
            Self::ChainTip(tip) => record::encode_over(tip, original),
            Self::BookMark(mark) => record::encode_over(mark, original),
            Self::Event(event) => record::encode_over(event, original),
        }
    }

    /// Decodes a record as what its kind says it is.
    ///
    /// # Errors
    ///
    /// [`WireError`]: the bytes are not exactly what [`encode`](Self::encode) writes, unknown odd
    /// types apart.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        match Frame::parse(bytes)?.kind {
            RecordKind::Monitor(_) => record::decode(bytes).map(Self::Monitor),
            RecordKind::Payment(_) => record::decode(bytes).map(Self::Payment),
            RecordKind::MonitorState => {
                record::decode(bytes).map(|state| Self::MonitorState(Box::new(state)))
            }
            RecordKind::BookState => record::decode(bytes).map(Self::BookState),
            RecordKind::Card => record::decode(bytes).map(Self::Card),
            RecordKind::ChainTip => record::decode(bytes).map(Self::ChainTip),
            RecordKind::BookMark => record::decode(bytes).map(Self::BookMark),
            RecordKind::Event(_) => record::decode(bytes).map(Self::Event),
        }
    }
}
