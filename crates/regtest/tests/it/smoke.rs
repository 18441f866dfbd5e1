//! First light.
use bitcoin::ScriptBuf;
use lastword_regtest::Chain;

#[test]
fn blocks_can_be_mined() {
    let mut chain = Chain::new();
    for _ in 0..120 {
        chain.mine(&ScriptBuf::new());
    }
    assert_eq!(chain.height().0, 120);
}
