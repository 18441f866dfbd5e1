//! The bytes of Lastword: framed, versioned, canonical records.
