//! Bytes that claim to be records of the journal.

use whoelse_engine::Record;

/// Decodes one record after another. Whatever is decoded is the same once written and read again.
pub fn run(data: &[u8]) {
    let mut rest = data;
    while !rest.is_empty() {
        let Ok((record, behind)) = postcard::take_from_bytes::<Record>(rest) else { return };
        assert!(behind.len() < rest.len(), "it goes on");
        rest = behind;
        let written = postcard::to_extend(&record, Vec::new()).expect("a vector takes all bytes");
        let again = postcard::from_bytes::<Record>(&written);
        assert_eq!(again.as_ref(), Ok(&record));
        assert!(!(record.is_lazy() && matches!(record, Record::Message(_))), "mail is promised");
    }
}
