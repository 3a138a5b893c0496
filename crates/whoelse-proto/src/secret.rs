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

/// Says whether a new password is fit for the person of this name.
///
/// Imported passwords and those of long ago face no such rule.
///
/// # Errors
/// Says which rule it breaks, in a sentence for a person.
pub fn check_new_password(name: &str, password: &str) -> Result<(), String> {
    if password.chars().count() < NEW_PASSWORD_CHARS_MIN {
        return Err(format!("A password needs at least {NEW_PASSWORD_CHARS_MIN} characters."));
    }
    if password.len() > PASSWORD_BYTES_MAX {
        return Err(format!("A password has at most {PASSWORD_BYTES_MAX} bytes."));
    }
    if password.to_lowercase() == name.to_lowercase() {
        return Err("The password must not be the name.".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_passwords_face_three_rules() {
        for (password, words) in [
            ("", "at least 8"),
            ("1234567", "at least 8"),
            ("Hans-Otto", "the name"),
            (&"x".repeat(513), "at most 512"),
        ] {
            let refused = check_new_password("hans-otto", password).unwrap_err();
            assert!(refused.contains(words), "{password}: {refused}");
        }
        for password in ["12345678", "ääääääää", &"x".repeat(512)] {
            assert_eq!(check_new_password("hans-otto", password), Ok(()));
        }
    }
}
