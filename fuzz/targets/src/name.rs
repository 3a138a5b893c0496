//! Texts that claim to be names.

use whoelse_proto::Name;
use whoelse_proto::limits::NAME_CHARS_MAX;
use whoelse_proto::secret::check_new_password;
use whoelse_term::shown::Shown;

/// Takes the bytes as one name, and its halves as two.
pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    whole(&text);
    let middle = text.floor_char_boundary(text.len() / 2);
    let (one, other) = text.split_at(middle);
    check_new_password(one, other).unwrap_or_default();
    if let (Ok(one), Ok(other)) = (Name::new(one), Name::new(other)) {
        assert_eq!(one.looks_like(&other), other.looks_like(&one), "{one:?} {other:?}");
    }
}

fn whole(text: &str) {
    let Ok(name) = Name::new(text) else {
        assert!(Name::new_account(text).is_err(), "a new name is a name");
        return;
    };
    assert!((1..=NAME_CHARS_MAX).contains(&text.chars().count()));
    assert!(!text.chars().any(|character| character.is_control() || character.is_whitespace()));
    assert_eq!(name.as_str(), text);
    assert!(name.looks_like(&name));
    if Name::new_account(text).is_ok() {
        assert!(Shown::is_plain_name(text), "a new name is shown as it is: {text:?}");
    }
}
