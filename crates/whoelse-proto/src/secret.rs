//! Passwords: kept out of logs by having no `Debug`, and out of memory after use.

use zeroize::Zeroizing;

use crate::limits::{NEW_PASSWORD_CHARS_MIN, PASSWORD_BYTES_MAX};

/// A password as somebody typed it; wiped when dropped.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// Takes a password over.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// Shows the password to the code that needs it: a hash function or the wire.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Password {
    fn from(text: &str) -> Self {
        Self::new(text.to_owned())
    }
}

/// Says whether a password may be the new one of a person of this name.
///
/// Imported passwords face no such rule.
///
/// # Errors
/// A sentence for a person that says which rule it breaks.
pub fn check_new_password(name: &str, password: &str) -> Result<(), String> {
    if password.chars().count() < NEW_PASSWORD_CHARS_MIN {
        return Err(format!("A new password has at least {NEW_PASSWORD_CHARS_MIN} characters."));
    }
    if password.len() > PASSWORD_BYTES_MAX {
        return Err(format!("A password has at most {PASSWORD_BYTES_MAX} bytes."));
    }
    if password.to_lowercase() == name.to_lowercase() {
        return Err("A new password is not the name itself.".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_passwords_are_long_enough_and_not_the_name() {
        for (password, is_fit) in [
            ("", false),
            ("1234567", false),
            ("12345678", true),
            ("pässwört", true),
            ("ÄÖÜäöüß", false),
            ("ALEXANDRA", false),
            ("alexandra!", true),
        ] {
            assert_eq!(check_new_password("Alexandra", password).is_ok(), is_fit, "{password}");
        }
        assert!(check_new_password("x", &"a".repeat(PASSWORD_BYTES_MAX)).is_ok());
        assert!(check_new_password("x", &"a".repeat(PASSWORD_BYTES_MAX + 1)).is_err());
    }
}
