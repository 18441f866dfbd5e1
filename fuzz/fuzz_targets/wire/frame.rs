//! Believes that what is taken apart lies in the record, in order and without gaps. A crash means
//! that bytes can stop every tool that looks at them.
#![no_main]

use lastword_wire::Frame;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(frame) = Frame::parse(bytes) else { return };
    assert_eq!(frame.length, bytes.len());
    let mut offset = 4;
    for record in &frame.records {
        assert_eq!(record.offset, offset);
        offset = record.value_offset + record.value.len();
        assert_eq!(record.value, &bytes[record.value_offset..offset]);
    }
    assert_eq!(offset, bytes.len());
});
