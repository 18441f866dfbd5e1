//! What holds of every value and of every sequence of bytes.

use std::sync::LazyLock;

use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, any, prop_assert_eq, proptest};
use proptest::sample::Index;
use proptest::test_runner::RngSeed;

use crate::samples;
use crate::strategies::{book_mark, card, chain_tip, monitor_record, monitor_state};
use crate::strategies_book::{book_state, event, payment_record};
use crate::tlv::assert_refused_or_canonical;
use lastword_wire::AnyRecord as Any;

/// The bytes of every sample.
static SAMPLES: LazyLock<Vec<Vec<u8>>> =
    LazyLock::new(|| samples::all().into_iter().map(|(_, value)| value.encode()).collect());

fn config(cases: u32) -> ProptestConfig {
    let failure_persistence = None;
    let rng_seed = RngSeed::Fixed(0x4C57);
    ProptestConfig { cases, failure_persistence, rng_seed, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(256))]

    #[test]
    fn monitor_records_come_back(value in monitor_record()) {
        prop_assert_eq!(Any::decode(&value.encode()), Ok(value));
    }

    #[test]
    fn monitor_states_come_back(value in monitor_state()) {
        prop_assert_eq!(Any::decode(&value.encode()), Ok(value));
    }

    #[test]
    fn payment_records_come_back(value in payment_record()) {
        prop_assert_eq!(Any::decode(&value.encode()), Ok(value));
    }

    #[test]
    fn book_states_come_back(value in book_state()) {
        prop_assert_eq!(Any::decode(&value.encode()), Ok(value));
    }

    #[test]
    fn cards_come_back(value in card()) {
        prop_assert_eq!(Any::decode(&value.encode()), Ok(value));
    }

    #[test]
    fn chain_tips_come_back(value in chain_tip()) {
        prop_assert_eq!(Any::decode(&value.encode()), Ok(value));
    }

    #[test]
    fn book_marks_come_back(value in book_mark()) {
        prop_assert_eq!(Any::decode(&value.encode()), Ok(value));
    }

    #[test]
    fn events_come_back(value in event()) {
        prop_assert_eq!(Any::decode(&value.encode()), Ok(value));
    }
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
