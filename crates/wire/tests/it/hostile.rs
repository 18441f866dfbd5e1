//! Bytes that nobody wrote: each is refused with its place, or is the one encoding of a value.

use std::collections::BTreeSet;

use lastword_types::{BookEpoch, Card, ChannelId, UpdateId};
use lastword_wire::{Frame, RecordKind, ValueFault, WireError, decode_card, decode_payment_record};

use crate::build::block;
use crate::samples;
use crate::tlv::{Tlv, assert_refused_or_canonical, bigsize, join, split};
use lastword_wire::AnyRecord as Any;

/// Integers and lengths that a careless reader believes.
const CLAIMS: [&[u8]; 6] = [
    &[0xFD, 0, 0, 0, 0, 0, 0, 0, 0x80],
    &[0xFD, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF],
    &[0xFD, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F],
    &[0xFC, 0xFF, 0xFF, 0xFF, 0xFF],
    &[0xFB, 0xFF, 0xFF],
    &[0xFE],
];

fn sample(name: &str) -> (Any, [u8; 4], Vec<Tlv>) {
    let (_, value) = samples::all().into_iter().find(|(known, _)| *known == name).expect(name);
    let (head, tlvs) = split(&value.encode());
    (value, head, tlvs)
}

/// Replaces the value of a sample's TLV and decodes.
fn with_value(name: &str, tlv_type: u64, value: &[u8]) -> Result<Any, WireError> {
    let (_, head, mut tlvs) = sample(name);
    let tlv = tlvs.iter_mut().find(|(known, _)| *known == tlv_type).expect("it is there");
    tlv.1 = value.to_vec();
    Any::decode(&join(head, &tlvs))
}

#[test]
fn a_record_cut_anywhere_is_refused_or_canonical() {
    for (_, value) in samples::all() {
        let bytes = value.encode();
        for length in 0..bytes.len() {
            let cut = &bytes[..length];
            assert_refused_or_canonical(cut);
            assert_ne!(Any::decode(cut), Ok(value.clone()));
        }
    }
}

#[test]
fn a_record_with_any_bit_flipped_is_refused_or_canonical() {
    let mut seen = BTreeSet::new();
    for (name, value) in samples::all() {
        let sound = value.encode();
        let frame = Frame::parse(&sound).expect(name);
        // Many samples share values; the same value of the same type says nothing new.
        let shared: Vec<_> = frame
            .records
            .iter()
            .filter(|tlv| !seen.insert((frame.kind, tlv.tlv_type, tlv.value.to_vec())))
            .map(|tlv| tlv.value_offset..tlv.value_offset + tlv.value.len())
            .collect();
        let mut bytes = sound.clone();
        for at in 0..bytes.len() {
            if shared.iter().any(|range| range.contains(&at)) {
                continue;
            }
            for bit in 0..8 {
                bytes[at] = sound[at] ^ (1 << bit);
                assert_refused_or_canonical(&bytes);
            }
            bytes[at] = sound[at];
        }
    }
}

#[test]
fn a_value_with_a_huge_claim_anywhere_is_refused_or_canonical() {
    for (_, value) in samples::all() {
        let (head, tlvs) = split(&value.encode());
        for place in 0..tlvs.len() {
            for at in 0..tlvs[place].1.len() {
                for claim in CLAIMS {
                    let mut damaged = tlvs.clone();
                    damaged[place].1.splice(at..=at, claim.iter().copied());
                    assert_refused_or_canonical(&join(head, &damaged));
                }
            }
        }
    }
}

#[test]
fn a_value_cut_or_lengthened_is_refused_with_its_type() {
    for (name, value) in samples::all() {
        let (head, tlvs) = split(&value.encode());
        for place in 0..tlvs.len() {
            let tlv_type = tlvs[place].0;
            let mut longer = tlvs.clone();
            longer[place].1.push(0);
            let offset = join(head, &longer[..=place]).len() - 1;
            let fault = ValueFault::Trailing { count: 1 };
            let refusal = Err(WireError::Value { offset, tlv_type, fault });
            assert_eq!(Any::decode(&join(head, &longer)), refusal, "{name}");
            let mut shorter = tlvs.clone();
            if shorter[place].1.pop().is_some() {
                let refusal = Any::decode(&join(head, &shorter)).expect_err(name);
                let WireError::Value { tlv_type: got, .. } = refusal else {
                    panic!("{name}: {refusal:?}");
                };
                assert_eq!(got, tlv_type, "{name}");
            }
        }
    }
}

#[test]
fn an_unknown_odd_type_is_skipped_wherever_it_stands() {
    for (name, value) in samples::all() {
        let (head, tlvs) = split(&value.encode());
        for place in 0..tlvs.len() {
            let mut more = tlvs.clone();
            more.insert(place + 1, (tlvs[place].0 + 1, b"later".to_vec()));
            more.push((u64::MAX, vec![0xFF; 300]));
            assert_eq!(Any::decode(&join(head, &more)), Ok(value.clone()), "{name}");
        }
    }
}

#[test]
fn an_unknown_even_type_is_refused_with_type_and_offset() {
    for (name, value) in samples::all() {
        let bytes = value.encode();
        for tlv_type in [252, 254, 0x1_0000, u64::MAX - 1] {
            let (head, mut tlvs) = split(&bytes);
            tlvs.push((tlv_type, Vec::new()));
            tlvs.push((u64::MAX, Vec::new()));
            let refusal = WireError::UnknownEven { offset: bytes.len(), tlv_type };
            assert_eq!(Any::decode(&join(head, &tlvs)), Err(refusal), "{name}");
        }
    }
}

#[test]
fn doubled_and_unordered_types_are_refused() {
    for (name, value) in samples::all() {
        let (head, tlvs) = split(&value.encode());
        for place in 0..tlvs.len() {
            let mut doubled = tlvs.clone();
            doubled.insert(place, tlvs[place].clone());
            let (previous, got) = (tlvs[place].0, tlvs[place].0);
            let offset = join(head, &tlvs[..=place]).len();
            let refusal = WireError::TypeOrder { offset, previous, got };
            assert_eq!(Any::decode(&join(head, &doubled)), Err(refusal), "{name}");
        }
        for place in 1..tlvs.len() {
            let mut swapped = tlvs.clone();
            swapped.swap(place - 1, place);
            let offset = join(head, &swapped[..place]).len();
            let (previous, got) = (tlvs[place].0, tlvs[place - 1].0);
            let refusal = WireError::TypeOrder { offset, previous, got };
            assert_eq!(Any::decode(&join(head, &swapped)), Err(refusal), "{name}");
        }
    }
}

#[test]
fn a_type_that_must_be_there_is_missed_by_name() {
    let (_, head, tlvs) = sample("payment_decided_sent");
    let bytes = join(head, &tlvs[..1]);
    let refusal = WireError::Missing { offset: bytes.len(), tlv_type: 2 };
    assert_eq!(Any::decode(&bytes), Err(refusal));
    let refusal = WireError::Missing { offset: 4, tlv_type: 0 };
    assert_eq!(Any::decode(&join(head, &tlvs[1..])), Err(refusal));
}

#[test]
fn a_length_of_two_to_the_63_is_refused() {
    let mut bytes = sample("card_quiet").0.encode();
    let offset = bytes.len();
    bytes.extend([101, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3]);
    let refusal = WireError::ValueTruncated { offset, tlv_type: 101, expected: 1 << 63, got: 3 };
    assert_eq!(Any::decode(&bytes), Err(refusal));
}

#[test]
fn types_and_lengths_in_a_longer_form_are_refused() {
    let (_, head, tlvs) = sample("chain_tip_alone");
    let with = |tlv_type: &[u8], length: &[u8]| {
        Any::decode(&[&head[..], tlv_type, length, &tlvs[0].1].concat())
    };
    let length = u8::try_from(tlvs[0].1.len()).expect("short");
    assert!(with(&bigsize(0), &bigsize(length.into())).is_ok());
    let refusal = WireError::BigSizeNotMinimal { offset: 4, value: 0 };
    assert_eq!(with(&[0xFD, 0, 0], &bigsize(length.into())), Err(refusal));
    let refusal = WireError::BigSizeNotMinimal { offset: 5, value: length.into() };
    assert_eq!(with(&bigsize(0), &[0xFE, 0, 0, 0, length]), Err(refusal));
    let refusal = WireError::BigSizeTruncated { offset: 5, expected: 3, got: 2 };
    assert_eq!(Any::decode(&[&head[..], &[0, 0xFD, 0]].concat()), Err(refusal));
}

#[test]
fn integers_in_a_longer_form_are_refused() {
    let offset = |name: &str, tlv_type| {
        let (_, head, mut tlvs) = sample(name);
        tlvs.retain(|(known, _)| *known < tlv_type);
        join(head, &tlvs).len() + 2
    };
    // The length before the value differs already.
    let not_canonical = |offset: usize| Err(WireError::NotCanonical { offset: offset - 1 });
    let at = offset("card_busy", 14);
    assert!(with_value("card_busy", 14, &[5]).is_ok());
    assert_eq!(with_value("card_busy", 14, &[0xFB, 5, 0]), not_canonical(at));
    assert_eq!(with_value("card_busy", 14, &[0xFB, 250, 0]), not_canonical(at));
    assert!(with_value("card_busy", 14, &[0xFB, 251, 0]).is_ok());
    assert_eq!(with_value("card_busy", 14, &[0xFC, 0xFF, 0xFF, 0, 0]), not_canonical(at));
    assert_eq!(with_value("card_busy", 14, &[0xFD, 5, 0, 0, 0, 0, 0, 0, 0]), not_canonical(at));
    // A variant index is an integer too.
    let at = offset("payment_decided_timed_out", 2);
    assert_eq!(with_value("payment_decided_timed_out", 2, &[1, 0xFB, 1, 0]), not_canonical(at));
}

#[test]
fn maps_and_sets_out_of_order_or_with_doubles_are_refused() {
    let set = |first, second| [&[2][..], &[first; 32], &[second; 32]].concat();
    let with = |first, second| with_value("monitor_state_busy", 18, &set(first, second));
    assert!(with(0xCC, 0xCD).is_ok());
    assert!(matches!(with(0xCD, 0xCC), Err(WireError::NotCanonical { .. })));
    assert!(matches!(with(0xCC, 0xCC), Err(WireError::NotCanonical { .. })));
    let map = |first, second| [&[2][..], &[first; 32], &[7; 32], &[second; 32], &[8; 32]].concat();
    let with = |first, second| with_value("monitor_state_busy", 16, &map(first, second));
    assert!(with(1, 2).is_ok());
    assert!(matches!(with(2, 1), Err(WireError::NotCanonical { .. })));
    assert!(matches!(with(1, 1), Err(WireError::NotCanonical { .. })));
}

#[test]
fn an_empty_list_that_needs_no_type_is_refused() {
    for (name, tlv_type) in [("card_quiet", 2), ("chain_tip", 2), ("monitor_state_busy", 14)] {
        let refusal = with_value(name, tlv_type, &[0]).expect_err(name);
        assert!(matches!(refusal, WireError::NotCanonical { .. }), "{refusal:?}");
    }
}

#[test]
fn what_is_wrong_with_a_value_is_said_with_its_place() {
    let fault = |name: &str, tlv_type: u64, at: usize, byte: u8| {
        let (_, head, mut tlvs) = sample(name);
        let place = tlvs.iter().position(|(known, _)| *known == tlv_type).expect("it is there");
        let value_offset = join(head, &tlvs[..=place]).len() - tlvs[place].1.len();
        tlvs[place].1[at] = byte;
        let refusal = Any::decode(&join(head, &tlvs)).expect_err(name);
        let WireError::Value { offset, tlv_type: got, fault } = refusal else {
            panic!("{refusal:?}");
        };
        assert_eq!(got, tlv_type);
        (offset - value_offset, fault)
    };
    // Behind the channel id, the outpoint, amount, format and opener stands our funding key.
    let key_at = 32 + 33 + 5 + 1 + 1;
    assert_eq!(
        fault("monitor_created_anchors", 0, key_at, 4),
        (key_at + 33, ValueFault::PublicKey)
    );
    // Behind number, point, fee rate, amounts and two empty lists stands the peer's signature.
    let signature_at = 1 + 33 + 3 + 5 + 5 + 1 + 1;
    let (_, _, tlvs) = sample("monitor_created_anchors");
    let mut value = tlvs[1].1.clone();
    value[signature_at..signature_at + 32].fill(0xFF);
    let refusal = with_value("monitor_created_anchors", 2, &value).expect_err("out of range");
    assert!(matches!(refusal, WireError::Value { fault: ValueFault::Signature, .. }));
    // The first of two transactions claims 255 inputs.
    let (_, inner) = fault("monitor_connected", 2, 1 + 1 + 4 + 2, 0xFC);
    assert_eq!(inner, ValueFault::Transaction);
    assert_eq!(fault("payment_decided_timed_out", 2, 1, 6), (2, ValueFault::Range));
    assert_eq!(fault("card_busy", 14, 0, 0xFE), (1, ValueFault::IntegerWidth));
    let (at, inner) = fault("monitor_update_empty", 0, 32, 0xFD);
    assert_eq!((at, inner), (33, ValueFault::Truncated { missing: 8 }));
}

#[test]
fn marks_and_booleans_other_than_0_and_1_are_refused() {
    let (_, _, tlvs) = sample("book_state");
    let value = &tlvs[1].1;
    // The first payment's mark of abandonment is its entry's last but one byte.
    let at = value
        .windows(33)
        .position(|window| window[0] == 0 && window[1..] == [2; 32])
        .expect("the second payment's id follows")
        - 1;
    assert_eq!(value[at], 1);
    let mut damaged = value.clone();
    damaged[at] = 2;
    let refusal = with_value("book_state", 2, &damaged).expect_err("a boolean of 2");
    assert!(
        matches!(refusal, WireError::Value { fault: ValueFault::Boolean { got: 2 }, .. }),
        "{refusal:?}"
    );
    // `until` of a spell is the last but five fields of the state of an HTLC that only lives.
    let (_, _, tlvs) = sample("monitor_state_busy");
    let value = &tlvs.iter().find(|(known, _)| *known == 14).expect("it is there").1;
    let at = value.windows(3).position(|window| window == [1, 40, 0]).expect("a spell");
    let mut damaged = value.clone();
    damaged[at] = 7;
    let refusal = with_value("monitor_state_busy", 14, &damaged).expect_err("a mark of 7");
    assert!(
        matches!(refusal, WireError::Value { fault: ValueFault::Option { got: 7 }, .. }),
        "{refusal:?}"
    );
}

#[test]
fn heads_are_refused_one_fault_at_a_time() {
    let bytes = sample("card_quiet").0.encode();
    let refused = |at: usize, byte: u8| {
        let mut bytes = bytes.clone();
        bytes[at] = byte;
        decode_card(&bytes).expect_err("a head that is no head")
    };
    let refusal = WireError::HeadTruncated { expected: 4, got: 3 };
    assert_eq!(decode_card(&bytes[..3]), Err(refusal));
    assert_eq!(refused(1, b'X'), WireError::Magic { expected: *b"LW", got: *b"LX" });
    assert_eq!(refused(2, 0x20), WireError::UnknownKind { got: 0x20 });
    let unknown = WireError::UnknownVersion { kind: RecordKind::Card, expected: 1, got: 2 };
    assert_eq!(refused(3, 2), unknown);
    let unexpected =
        WireError::UnexpectedKind { expected: "payment record", got: RecordKind::Card };
    assert_eq!(decode_payment_record(&bytes), Err(unexpected));
}

#[test]
fn a_rewrite_in_the_place_of_another_kind_is_refused() {
    let (card, _, _) = sample("card_quiet");
    let (tip, _, _) = sample("chain_tip");
    let refusal = card.encode_over(&tip.encode()).expect_err("a tip is no card");
    assert!(matches!(refusal, WireError::UnexpectedKind { got: RecordKind::ChainTip, .. }));
    // One kind of monitor record in the place of another, too: their types mean other things.
    let (claim, _, _) = sample("monitor_release_sent");
    let (update, _, _) = sample("monitor_update_empty");
    assert_eq!(claim.encode_over(&update.encode()).map_err(|error| error.offset()), Err(2));
    assert_eq!(card.encode_over(b"LW").map_err(|error| error.offset()), Err(2));
}

#[test]
fn every_refusal_names_an_offset() {
    let bytes = sample("card_quiet").0.encode();
    let offset = |bytes: &[u8]| Any::decode(bytes).expect_err("damaged").offset();
    let with = |at: usize, byte: u8| {
        let mut bytes = bytes.clone();
        bytes[at] = byte;
        offset(&bytes)
    };
    assert_eq!([0, 1, 2, 3].map(|length| offset(&bytes[..length])), [0, 1, 2, 3]);
    assert_eq!([with(0, 0), with(1, 0), with(2, 0xFF), with(3, 9)], [0, 0, 2, 3]);
    assert_eq!(with(4, 0xFD), 4, "a type that needs more bytes than one");
    assert_eq!(offset(&[&bytes[..], &[0xFD, 0]].concat()), bytes.len());
    assert_eq!(offset(&[&bytes[..], &[0xFE, 0, 1, 0, 0, 0]].concat()), bytes.len());
}

/// Every field but the one place in the log counts.
#[test]
fn a_card_that_is_made_anew_is_equivalent_but_for_where_it_stood() {
    let (Any::Card(card), _, _) = sample("card_busy") else { panic!("it is a card") };
    assert!(card.is_equivalent(&Card { covers: card.covers + 1, ..card.clone() }));
    let others = [
        Card { channel_id: ChannelId([0; 32]), ..card.clone() },
        Card { latest_update: UpdateId(card.latest_update.0 + 1), ..card.clone() },
        Card { watched: Vec::new(), ..card.clone() },
        Card { next_deadline: None, ..card.clone() },
        Card { has_undelivered: !card.has_undelivered, ..card.clone() },
        Card { is_closed: !card.is_closed, ..card.clone() },
        Card { has_claims: !card.has_claims, ..card.clone() },
        Card { synced_to: block(1), ..card.clone() },
        Card { pruned_behind: BookEpoch(card.pruned_behind.0 + 1), ..card.clone() },
        Card { is_archived: !card.is_archived, ..card.clone() },
    ];
    for other in others {
        assert!(!card.is_equivalent(&other), "{other:?}");
        assert_ne!(card, other);
    }
}
