//! The original's file of people: a name, a space and a password on each line.

use std::collections::BTreeMap;
use std::path::Path;

use whoelse_proto::limits::PASSWORD_BYTES_MAX;
use whoelse_proto::{Name, Password};

use crate::failure::{Failure, Kind};

/// Reads the file.
///
/// Empty lines are skipped. A password may hold spaces; it ends with its line.
///
/// # Errors
/// When the file cannot be read, or a line is not a name and a password: with its number.
pub(crate) fn read(path: &Path) -> Result<Vec<(Name, Password)>, Failure> {
    let shown = path.display();
    let bytes = std::fs::read(path).map_err(|error| {
        Failure::new(
            Kind::Configuration,
            format!("cannot read the credentials file {shown}: {error}"),
            "Check the path and its permissions, or leave --credentials away.",
        )
    })?;
    parse(&bytes).map_err(|(line, why)| {
        Failure::new(
            Kind::Configuration,
            format!("{shown}, line {line}: {why}"),
            "Each line is a name, a space and a password: hans falcon*solo",
        )
    })
}

/// Says whether others than the owner can read a file.
#[must_use]
pub(crate) fn is_open_to_others(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
}

fn parse(bytes: &[u8]) -> Result<Vec<(Name, Password)>, (usize, String)> {
    let mut people = Vec::new();
    let mut line_of_name: BTreeMap<Name, usize> = BTreeMap::new();
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let number = index + 1;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let line = std::str::from_utf8(line).map_err(|_| (number, "not UTF-8 text".to_owned()))?;
        let line = if index == 0 { line.trim_start_matches('\u{feff}') } else { line };
        if line.trim().is_empty() {
            continue;
        }
        let Some((name, password)) = line.split_once([' ', '\t']) else {
            return Err((number, "there is no password behind the name".into()));
        };
        let name = Name::new(name).map_err(|error| (number, error.to_string()))?;
        let password = password.trim_start_matches([' ', '\t']);
        if password.is_empty() {
            return Err((number, format!("there is no password behind the name '{name}'")));
        }
        if password.len() > PASSWORD_BYTES_MAX {
            return Err((number, format!("a password has at most {PASSWORD_BYTES_MAX} bytes")));
        }
        if let Some(first) = line_of_name.insert(name.clone(), number) {
            return Err((number, format!("'{name}' stands in line {first} already")));
        }
        people.push((name, Password::from(password)));
    }
    Ok(people)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<(String, String)> {
        let people = parse(text.as_bytes()).map_err(|(line, why)| format!("{line}: {why}"));
        let shown =
            |(name, password): (Name, Password)| (name.to_string(), password.expose().to_owned());
        people.unwrap().into_iter().map(shown).collect()
    }

    #[test]
    fn lines_are_names_and_passwords() {
        let hans = ("hans".to_owned(), "falcon*solo".to_owned());
        assert_eq!(names("hans falcon*solo"), std::slice::from_ref(&hans));
        assert_eq!(names("\u{feff}hans falcon*solo\r\n\n  \n"), [hans]);
        assert_eq!(names("a b c d\n"), [("a".to_owned(), "b c d".to_owned())]);
        assert_eq!(names("a\t  b \n"), [("a".to_owned(), "b ".to_owned())]);
        assert!(names("").is_empty());
    }

    #[test]
    fn a_bad_line_is_named() {
        for (text, line, why) in [
            ("hans x\nluke\n", 2, "no password"),
            ("hans x\nluke \n", 2, "no password"),
            ("hans x\n\nhans y\n", 3, "line 1"),
            (&format!("{} x", "n".repeat(33)), 1, "at most 32"),
            (&format!("hans {}", "n".repeat(600)), 1, "at most 512"),
            (" x y", 1, "at least one"),
            ("be\u{7}ll x", 1, "control"),
        ] {
            let (at, text) = parse(text.as_bytes()).err().unwrap();
            assert!(at == line && text.contains(why), "{at}: {text}");
        }
        assert!(parse(b"hans x\n\xff y").err().unwrap().1.contains("UTF-8"));
    }
}
