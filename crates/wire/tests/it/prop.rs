//! What holds of every value and of every sequence of bytes.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::LazyLock;

use lastword_wire::{Frame, RecordKind};
use proptest::collection::vec;
use proptest::prelude::{
    BoxedStrategy, ProptestConfig, Strategy as _, any, prop_assert, prop_assert_eq, proptest,
};
use proptest::sample::Index;
use proptest::test_runner::{RngSeed, TestCaseError, TestRunner};

use crate::samples;
use crate::strategies::{book_mark, card, chain_tip, monitor_record, monitor_state};
use crate::strategies_book::{book_state, event, payment_record};
use crate::tlv::{assert_refused_or_canonical, join, split};
use lastword_wire::AnyRecord as Any;

/// The bytes of every sample.
static SAMPLES: LazyLock<Vec<Vec<u8>>> =
    LazyLock::new(|| samples::all().into_iter().map(|(_, value)| value.encode()).collect());

fn config(cases: u32) -> ProptestConfig {
    let failure_persistence = None;
    let rng_seed = RngSeed::Fixed(0x4C57);
    ProptestConfig { cases, failure_persistence, rng_seed, ..ProptestConfig::default() }
}

/// Every value of every kind: what the properties are about.
fn every_record() -> [(&'static str, BoxedStrategy<Any>); 8] {
    [
        ("monitor records", monitor_record().boxed()),
        ("monitor states", monitor_state().boxed()),
        ("payment records", payment_record().boxed()),
        ("book states", book_state().boxed()),
        ("cards", card().boxed()),
        ("chain tips", chain_tip().boxed()),
        ("book marks", book_mark().boxed()),
        ("events", event().boxed()),
    ]
}

/// Draws values of every kind and holds a property against each; says which kinds there were.
fn for_every_record(
    cases: u32,
    property: fn(&Any, &[u8]) -> Result<(), TestCaseError>,
) -> BTreeSet<RecordKind> {
    let seen = RefCell::new(BTreeSet::new());
    for (name, strategy) in every_record() {
        let result = TestRunner::new(config(cases)).run(&strategy, |value| {
            let bytes = value.encode();
            seen.borrow_mut().insert(Frame::parse(&bytes).expect("it is framed").kind);
            property(&value, &bytes)
        });
        assert_eq!(result, Ok(()), "{name}");
    }
    seen.into_inner()
}

fn every_kind() -> BTreeSet<RecordKind> {
    RecordKind::ALL.into_iter().map(|(_, kind)| kind).collect()
}

/// A kind that is added without a strategy makes this fail, and so every property here.
#[test]
fn a_record_of_every_kind_comes_back_from_its_bytes_exactly() {
    let seen = for_every_record(256, |value, bytes| {
        prop_assert_eq!(Any::decode(bytes), Ok(value.clone()));
        Ok(())
    });
    assert_eq!(seen, every_kind());
}

/// Behind a sound record there is nothing, before its end it is none, and with any TLV of it doubled,
/// swapped or dropped it is refused or says something else.
#[test]
fn a_record_of_every_kind_has_one_encoding() {
    let seen = for_every_record(96, |value, bytes| {
        prop_assert_eq!(Any::decode(bytes).map(|value| value.encode()), Ok(bytes.to_vec()));
        prop_assert!(Any::decode(&bytes[..bytes.len() - 1]) != Ok(value.clone()));
        let (head, tlvs) = split(bytes);
        for place in 0..tlvs.len() {
            let mut without = tlvs.clone();
            let tlv = without.remove(place);
            prop_assert!(Any::decode(&join(head, &without)) != Ok(value.clone()));
            let mut longer = tlvs.clone();
            longer[place].1.push(0);
            prop_assert!(Any::decode(&join(head, &longer)).is_err());
            let mut doubled = tlvs.clone();
            doubled.insert(place, tlv);
            prop_assert!(Any::decode(&join(head, &doubled)).is_err());
        }
        Ok(())
    });
    assert_eq!(seen, every_kind());
}

/// One that an older reader rewrites keeps what it did not know.
#[test]
fn unknown_odd_types_in_a_record_of_every_kind_survive_a_rewrite() {
    let seen = for_every_record(96, |value, bytes| {
        let (head, mut tlvs) = split(bytes);
        for place in (0..tlvs.len()).rev() {
            let tlv_type = tlvs[place].0 + 1;
            tlvs.insert(place + 1, (tlv_type, vec![0xA5; place * 7]));
        }
        tlvs.push((u64::MAX, b"much later".to_vec()));
        let newer = join(head, &tlvs);
        prop_assert_eq!(Any::decode(&newer), Ok(value.clone()));
        prop_assert_eq!(value.encode_over(&newer), Ok(newer));
        Ok(())
    });
    assert_eq!(seen, every_kind());
}

proptest! {
    #![proptest_config(config(4096))]

    #[test]
    fn bytes_behind_a_sound_head_are_refused_or_canonical(
        kind in any::<u8>(),
        body in vec(any::<u8>(), 0..200),
    ) {
        let mut bytes = vec![b'L', b'W', kind % 0x40, 1];
        bytes.extend(body);
        assert_refused_or_canonical(&bytes);
    }

    #[test]
    fn damaged_records_are_refused_or_canonical(
        which in any::<Index>(),
        places in vec((any::<Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = which.get(&SAMPLES).clone();
        for (place, byte) in places {
            let at = place.index(bytes.len());
            bytes[at] = byte;
        }
        assert_refused_or_canonical(&bytes);
    }
}
