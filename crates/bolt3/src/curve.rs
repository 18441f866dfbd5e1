//! The context of the curve's arithmetic, which is the same for everybody and never changes.

use alloc::boxed::Box;

use bitcoin::secp256k1::{All, Secp256k1};
use once_cell::race::OnceBox;

/// Returns the context; it is made at the first call.
///
/// It is not randomised: blinding it needs randomness, which this crate has not.
pub(crate) fn curve() -> &'static Secp256k1<All> {
    static CURVE: OnceBox<Secp256k1<All>> = OnceBox::new();
    CURVE.get_or_init(|| Box::new(Secp256k1::new()))
}
