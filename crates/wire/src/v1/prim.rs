//! The smallest values: byte arrays, byte strings, lists, keys and signatures.

use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;

use bitcoin::secp256k1::PublicKey;
use bitcoin::secp256k1::ecdsa::Signature;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::ser::SerializeTuple as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The text by which the refusal of a key comes back through bincode.
pub(crate) const NOT_A_POINT: &str = "not a public key";
/// The text by which the refusal of a signature comes back through bincode.
pub(crate) const NOT_A_SIGNATURE: &str = "not a signature";
/// The text by which the refusal of a transaction comes back through bincode.
pub(crate) const NOT_A_TRANSACTION: &str = "not a transaction";

/// The bytes of a compact signature.
const SIGNATURE_BYTES: usize = 64;

/// Bytes of a fixed number, without a length before them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Bytes<const N: usize>(pub(crate) [u8; N]);

impl<const N: usize> Serialize for Bytes<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut tuple = serializer.serialize_tuple(N)?;
        self.0.iter().try_for_each(|byte| tuple.serialize_element(byte))?;
        tuple.end()
    }
}

impl<'de, const N: usize> Deserialize<'de> for Bytes<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_tuple(N, BytesVisitor::<N>)
    }
}

struct BytesVisitor<const N: usize>;

impl<'de, const N: usize> Visitor<'de> for BytesVisitor<N> {
    type Value = Bytes<N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{N} bytes")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
        let mut bytes = [0; N];
        for (read, byte) in bytes.iter_mut().enumerate() {
            *byte =
                sequence.next_element()?.ok_or_else(|| A::Error::invalid_length(read, &self))?;
        }
        Ok(Bytes(bytes))
    }
}

/// Bytes of any number, with their length before them.
///
/// The reader borrows them from the record, so a claimed length allocates nothing.
#[derive(Default)]
pub(crate) struct Blob(pub(crate) Vec<u8>);

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&[u8]>::deserialize(deserializer).map(|bytes| Self(bytes.to_vec()))
    }
}

/// Elements of any number, with their count before them.
///
/// serde's own `Vec` reserves by the claimed count, up to a megabyte; this one grows only with
/// elements that are really there.
pub(crate) struct List<T>(pub(crate) Vec<T>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> FromIterator<T> for List<T> {
    fn from_iter<I: IntoIterator<Item = T>>(elements: I) -> Self {
        Self(elements.into_iter().collect())
    }
}

impl<T> List<T> {
    /// Returns the list, or nothing for an empty one, which has no TLV.
    pub(crate) fn non_empty(self) -> Option<Self> {
        (!self.0.is_empty()).then_some(self)
    }

    /// Turns each element into its domain value.
    pub(crate) fn into_vec<U: From<T>>(self) -> Vec<U> {
        self.0.into_iter().map(U::from).collect()
    }
}

impl<T: Serialize> Serialize for List<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(&self.0)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ListVisitor(PhantomData))
    }
}

struct ListVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
    type Value = List<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = sequence.next_element()? {
            elements.push(element);
        }
        Ok(List(elements))
    }
}

/// A public key in its compressed form: 33 bytes.
pub(crate) struct Point(pub(crate) PublicKey);

impl Serialize for Point {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Bytes(self.0.serialize()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Point {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Bytes::<33>(bytes) = Bytes::deserialize(deserializer)?;
        PublicKey::from_slice(&bytes).map(Self).map_err(|_| D::Error::custom(NOT_A_POINT))
    }
}

/// A signature in its compact form: 64 bytes.
pub(crate) struct CompactSignature(pub(crate) Signature);

impl Serialize for CompactSignature {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Bytes(self.0.serialize_compact()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for CompactSignature {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Bytes::<SIGNATURE_BYTES>(bytes) = Bytes::deserialize(deserializer)?;
        Signature::from_compact(&bytes).map(Self).map_err(|_| D::Error::custom(NOT_A_SIGNATURE))
    }
}

/// Signatures, one after the other in one byte string.
pub(crate) struct Signatures(pub(crate) Vec<Signature>);

impl Serialize for Signatures {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::with_capacity(self.0.len() * SIGNATURE_BYTES);
        for signature in &self.0 {
            bytes.extend_from_slice(&signature.serialize_compact());
        }
        serializer.serialize_bytes(&bytes)
    }
}

impl<'de> Deserialize<'de> for Signatures {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&[u8]>::deserialize(deserializer)?
            .chunks(SIGNATURE_BYTES)
            .map(|bytes| {
                Signature::from_compact(bytes).map_err(|_| D::Error::custom(NOT_A_SIGNATURE))
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }
}
