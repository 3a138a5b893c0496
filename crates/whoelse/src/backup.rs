//! `whoelse backup`, `whoelse restore` and `whoelse check`.

use std::path::Path;

use whoelse_server::{Checked, Header, check_backup, check_folder, wall_ms};
use whoelse_term::shown::Shown;

use crate::cli::{BackupArguments, CheckArguments, RestoreArguments};
use crate::operate::{Problem, say, spoken};

pub(crate) fn backup(arguments: BackupArguments) -> Result<(), Problem> {
    let backup = whoelse_server::backup(
        arguments.data.data,
        &arguments.file,
        arguments.encrypt_to.as_deref(),
    )?;
    let file = path(&arguments.file);
    say(&format!("{file} is made, read back and whole ({}).", size(backup.bytes)));
    say_header(&backup.header);
    say(match arguments.encrypt_to {
        Some(_) => "  Only the file of its key opens it: keep that, and keep it elsewhere.",
        None => {
            "  It holds everything that the server knows: keep it where nobody else can read it."
        }
    });
    if !backup.is_running {
        say("  No server uses the data now.");
    }
    Ok(())
}

pub(crate) fn restore(arguments: &RestoreArguments) -> Result<(), Problem> {
    let (header, folder) = {
        let folder = arguments.data.data.clone();
        whoelse_server::restore(&arguments.file, folder, arguments.identity.as_deref())?
    };
    let folder = path(&folder);
    say(&format!("{folder} holds what {} held.", path(&arguments.file)));
    say(&format!("  taken      {}", taken(header.taken_ms)));
    say_header(&header);
    say("  What was changed after that is undone: see who there is (whoelse user list) and which");
    say("  invites are open (whoelse invite list). The old data must not be used any more.");
    say(&format!("Start the server:  whoelse server --data {folder}"));
    Ok(())
}

pub(crate) fn check(arguments: CheckArguments) -> Result<(), Problem> {
    let checked = match &arguments.file {
        Some(file) => check_backup(file, arguments.identity.as_deref())?,
        None => check_folder(arguments.data.data)?,
    };
    for line in found(&checked) {
        say(&line);
    }
    Ok(())
}

fn found(checked: &Checked) -> Vec<String> {
    let contents = &checked.contents;
    let mut lines = vec![format!("{} is whole.", path(&checked.path))];
    if let Some(taken_ms) = checked.taken_ms {
        lines.push(format!("  taken      {}", taken(taken_ms)));
    }
    let removed = match contents.removed {
        0 => String::new(),
        number => format!("; {number} removed"),
    };
    lines.push(format!(
        "  people     {}, {}, {}, {}, {}{removed}",
        contents.people,
        counted(contents.devices, "device"),
        counted(contents.blocks, "block"),
        counted(contents.invites, "open invite"),
        counted(contents.shares, "shared file"),
    ));
    lines.push(format!(
        "  messages   {} waiting, {} of text",
        contents.messages,
        size(contents.message_bytes)
    ));
    lines.push(format!("  database   version {}", contents.version));
    if let Some(journal) = &checked.journal {
        lines.push(format!(
            "  journal    {}, {} of records; {} for the database to take over",
            counted(journal.segments, "segment"),
            counted(journal.batches, "batch"),
            counted(journal.records, "record"),
        ));
        if journal.torn_bytes > 0 {
            lines.push(format!(
                "             its last write was not finished ({} bytes); nobody was told it was done",
                journal.torn_bytes
            ));
        }
    }
    lines.push(format!("  key        {}", key(checked.key.as_deref())));
    lines
}

fn say_header(header: &Header) {
    let devices = counted(header.devices, "device");
    say(&format!("  people     {}, {devices}", header.people));
    say(&format!("  messages   {} waiting", header.messages));
    say(&format!("  key        {}", key(header.key.as_deref())));
}

fn key(key: Option<&str>) -> String {
    match key {
        Some(key) => Shown::line(key).to_string(),
        None => "none of the server's own".into(),
    }
}

fn path(path: &Path) -> Shown {
    Shown::line(&path.display().to_string())
}

/// When that was.
fn taken(taken_ms: u64) -> String {
    let date = whoelse_server::date(taken_ms);
    match wall_ms().checked_sub(taken_ms) {
        Some(ago_ms) => format!("{date} ({} ago)", spoken(ago_ms)),
        None => date,
    }
}

fn counted(number: u64, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        _ if what.ends_with("ch") => format!("{number} {what}es"),
        _ => format!("{number} {what}s"),
    }
}

/// So many bytes, in the largest unit that is not too coarse.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return counted(bytes, "byte");
    }
    // Tenths, so that no floating point is needed.
    let mut tenths = bytes.saturating_mul(10) / 1024;
    let mut unit = 0;
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

#[cfg(test)]
mod tests {
    use whoelse_server::{CheckedJournal, Contents};

    use super::*;

    #[test]
    fn what_was_found_is_said_with_its_numbers() {
        let contents = Contents {
            version: 2,
            people: 3,
            removed: 1,
            devices: 2,
            blocks: 1,
            invites: 0,
            shares: 1,
            messages: 14,
            message_bytes: 2_000,
        };
        let journal = CheckedJournal { segments: 1, batches: 1, records: 2, torn_bytes: 40 };
        let checked = Checked {
            path: "da\u{1b}ta".into(),
            contents,
            journal: Some(journal),
            key: None,
            taken_ms: None,
        };
        assert_eq!(
            found(&checked),
            [
                "da\\u{1b}ta is whole.",
                "  people     3, 2 devices, 1 block, 0 open invites, 1 shared file; 1 removed",
                "  messages   14 waiting, 1.9 KiB of text",
                "  database   version 2",
                "  journal    1 segment, 1 batch of records; 2 records for the database to take over",
                "             its last write was not finished (40 bytes); nobody was told it was done",
                "  key        none of the server's own",
            ]
        );
    }

    #[test]
    fn sizes_are_in_units_that_say_something() {
        for (bytes, words) in [
            (0, "0 bytes"),
            (1, "1 byte"),
            (1023, "1023 bytes"),
            (1024, "1.0 KiB"),
            (1_048_575, "1023.9 KiB"),
            (1_048_576, "1.0 MiB"),
            (5_368_709_120, "5.0 GiB"),
        ] {
            assert_eq!(size(bytes), words);
        }
    }
}
