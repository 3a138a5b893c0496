//! Files that are shared, and fetched from all who have them, in words and bars.

use std::ops::RangeInclusive;

use whoelse_client::links::swarm::{
    FoundFile, GetLine, GetProgress, Given, Holder, Holders, NotShared, OfferFault, ShareLine,
    SwarmFile, SwarmNotice, SwarmWhy,
};
use whoelse_client::{Command, Refusal, Why};
use whoelse_proto::Scope;

use super::Render;
use super::files::{Bytes, COLUMNS, NAME_CHARS_MAX, say_cells_of, say_local};
use super::links::known;
use crate::compose::{Line, Spoken, Text};
use crate::shown::Shown;

/// Most names told of those with whom a file is shared.
const NAMES_MAX: usize = 8;

/// Most ranges of parts told of one person.
const RANGES_MAX: usize = 8;

impl Render {
    /// The lines for a notice about a shared file.
    pub(super) fn swarm(&self, notice: &SwarmNotice) -> Text {
        let line = Line::system();
        match notice {
            SwarmNotice::Reading { path, with } => {
                let line = line.say("share ").say(Shown::line(&path.to_string_lossy()));
                self.quiet(say_scope(line.say(": being read through; it is for "), with))
            }
            SwarmNotice::Shared { file, with } => {
                let line = line.say("share ").say(name(file)).say(": ").say(size(file));
                let line = say_scope(line.say(", can be fetched by "), with);
                self.quiet(line.say(" as long as this program runs"))
            }
            SwarmNotice::NotShared { what, why } => {
                let line = line.say("share ").say(Shown::line(what)).say(": not shared; ");
                self.alert(say_not_shared(line, why))
            }
            SwarmNotice::StillShared { count } => {
                let line = line.count(*count, "file");
                self.quiet(line.say(" of yours can be fetched again; shares lists them"))
            }
            SwarmNotice::Changed { path } => {
                let line = line.say(Shown::line(&path.to_string_lossy()));
                self.alert(line.say(
                    " is not what it was when it was shared, so it is shared no more; share it \
                     again if it is to be",
                ))
            }
            SwarmNotice::AskSeed { hidden } => {
                let line =
                    line.say("may others who want this file get from you what you have of it? ");
                let line = match hidden {
                    true => line,
                    false => line.say("They learn your address. "),
                };
                self.highlight(line.say("seed yes, or seed no (until then: no)"))
            }
            SwarmNotice::Banned { file, user, device } => {
                let line = get(line, file).say(Shown::name(user)).say(" (");
                let line = line.say(Shown::line(device)).say(") gave something that is not this ");
                self.alert(line.say("file: it was thrown away, and nothing more is asked there"))
            }
            SwarmNotice::SourceChanged { file, user, device } => {
                let line = get(line, file).say(Shown::name(user)).say(" (");
                let line = line.say(Shown::line(device)).say(") has another key than was known, ");
                let user = Shown::name(user);
                self.alert(line.say("and is not asked; safety ").say(user).say(" tells more"))
            }
            _ => self.get(notice),
        }
    }

    /// What is told of one get.
    fn get(&self, notice: &SwarmNotice) -> Text {
        let line = Line::system();
        match notice {
            SwarmNotice::Begun { file, from, trust, sources, .. } => {
                let line = get(line, file).say(size(file)).say(", signed by ");
                let line = line.say(Shown::name(from)).say(" (").say(known(*trust)).say(")");
                self.quiet(match sources {
                    Some(0) => {
                        line.say("; nobody who has it is here now, it begins when somebody is")
                    }
                    Some(1) => line.say("; 1 person has parts of it"),
                    Some(count) => {
                        line.say("; ").say(u64::from(*count)).say(" people have parts of it")
                    }
                    None => line,
                })
            }
            SwarmNotice::Kept { file, progress, .. } => {
                let line = line.say("unfinished: ").say(name(file)).say(", ").say(size(file));
                let line = line.say(", ").say(percent(progress)).say(" % are here; it goes on ");
                self.quiet(line.say("by itself, files lists it, cancel gives it up"))
            }
            SwarmNotice::NotKept { file, why } => {
                let line = get(line, file).say("does not go on; ");
                self.alert(self.say_fault(line, "", why))
            }
            SwarmNotice::Untrusted { name, from, why } => {
                let line = line.say("get ").say(Shown::line(name.as_str())).say(": not done; ");
                self.alert(self.say_fault(line, from, why))
            }
            SwarmNotice::Progress { file, progress, .. } => {
                self.quiet(say_progress(line.say(name(file)).say(": "), progress))
            }
            SwarmNotice::Starving { file, progress, .. } => {
                let line = line.say(name(file)).say(": ").say(percent(progress));
                self.alert(line.say(
                    " % are here; nobody who is here now has the rest, it goes on when somebody is",
                ))
            }
            SwarmNotice::Received { file, path, by, seeded, .. } => {
                let line = line.say("received ").say(name(file)).say(": ");
                let line = line.say(Shown::line(&path.to_string_lossy()));
                let line = say_givers(line, by);
                self.plain(match seeded {
                    true => line.say("; others can get it from you now"),
                    false => line,
                })
            }
            SwarmNotice::Failed { file, why } => {
                self.alert(say_local(get(line, file).say("not received; "), why))
            }
            _ => Text::default(),
        }
    }

    /// How far a get is, in one row of a terminal.
    pub(crate) fn get_bar(&self, file: &SwarmFile, progress: &GetProgress) -> Text {
        let columns = self.columns.map_or(COLUMNS, |columns| columns());
        let line = Line::new().say("  ").say(Shown::brief(file.name.as_str(), NAME_CHARS_MAX));
        let line = line.say(" ");
        let line = match columns < COLUMNS {
            true => line,
            false => say_cells_of(line, percent(progress)).say(" "),
        };
        say_progress(line, progress).cut(columns.saturating_sub(1), self.colour)
    }

    /// The lines of the list of files, as far as they come from all who have them.
    pub(super) fn gets(&self, gets: &[GetLine]) -> Text {
        gets.iter().fold(Text::default(), |lines, it| {
            let line = Line::new().say("  ").say(it.number).say(": ").say(name(&it.file));
            let line = say_progress(line.say(": "), &it.progress);
            lines
                + &self.plain(match it.starving {
                    true => line.say("; nobody who is here now has the rest"),
                    false => line,
                })
        })
    }

    /// The lines of the list of what is shared.
    pub(super) fn shares(&self, line: Line, shares: &[ShareLine]) -> Text {
        let line = match shares.len() {
            0 => line.say("nothing can be fetched from you; share lets others have a file"),
            count => line.count(count, "file"),
        };
        shares.iter().fold(self.quiet(line), |lines, it| {
            let line = Line::new().say("  ").say(it.number).say(": ").say(name(&it.file));
            let line = line.say(", ").say(size(&it.file));
            let line = match &it.with {
                Some(with) => say_scope(line.say(", for "), with),
                None => line.say(", fetched from others and passed on"),
            };
            let line = match it.sources {
                None | Some(0) => line,
                Some(1) => line.say(", 1 other has parts of it"),
                Some(count) => line.say(", ").say(count).say(" others have parts of it"),
            };
            let line = match it.given {
                0 => line,
                given => line.say(", ").say(Bytes(given).part()).say(" given"),
            };
            lines
                + &self.plain(match it.here {
                    true => line,
                    false => line.say(", on another device of yours"),
                })
        })
    }

    /// The lines for files that others share.
    pub(super) fn shared_files(&self, line: Line, files: &[FoundFile], more: bool) -> Text {
        let line = match files.len() {
            0 => line.say("nobody shares such a file with you now"),
            count => line.count(count, "file").say("; get and the number fetches one"),
        };
        let line = if more { line.say("; there are more, with more words fewer") } else { line };
        self.found_files(self.quiet(line), files)
    }

    /// The lines for files of which one was meant.
    pub(super) fn several_files(&self, line: Line, files: &[FoundFile]) -> Text {
        let line = line.say("several files are called so; say which by its number");
        self.found_files(self.alert(line), files)
    }

    fn found_files(&self, lines: Text, files: &[FoundFile]) -> Text {
        files.iter().enumerate().fold(lines, |lines, (at, it)| {
            let line = Line::new().say("  ").say(at + 1).say(": ").say(name(&it.file));
            let line = line.say(", ").say(size(&it.file)).say(", from ");
            let line = line.say(Shown::name(&it.from));
            lines
                + &self.plain(match it.sources {
                    0 => line.say(", nobody who has it is here now"),
                    1 => line.say(", 1 person has parts of it"),
                    count => line.say(", ").say(count).say(" people have parts of it"),
                })
        })
    }

    /// The lines for who has which parts.
    pub(super) fn holders(&self, line: Line, holders: &Holders) -> Text {
        let line = line.say(name(&holders.file)).say(": ");
        let line = line.say(u64::from(holders.parts)).say(" parts; ");
        let line = match holders.holders.len() {
            0 => line.say("nobody who is here now has any of those"),
            1 => line.say("1 person has some"),
            count => line.say(count).say(" people have some"),
        };
        holders.holders.iter().fold(self.quiet(line), |lines, holder| {
            let line = Line::new().say("  ").say(Shown::name(&holder.user)).say(" (");
            let line = line.say(Shown::line(&holder.device)).say("): ");
            lines + &self.plain(say_parts(line, holder, &holders.asked))
        })
    }

    /// What was decided about passing files on.
    pub(super) fn seed(&self, line: Line, yes: Option<bool>) -> Text {
        self.quiet(line.say(match yes {
            Some(true) => "others can get from you what you fetched; seed no ends that",
            Some(false) => "nobody gets from you what you fetched; seed yes allows it",
            None => "not decided yet; until then nobody gets from you what you fetched",
        }))
    }

    fn say_fault(&self, line: Line, from: &str, why: &OfferFault) -> Line {
        let from = Shown::name(from);
        match why {
            OfferFault::Unsigned => {
                let line = line.say("what the server says of it is not signed by the device of ");
                line.say(from).say(" that it names: it, or somebody before it, lies")
            }
            OfferFault::NotForUs => line.say("it is not shared with you"),
            OfferFault::Unreadable => line.say("what was noted of it cannot be read"),
            OfferFault::Changed { device, known } => {
                let line = line.say("STOP: the device of ").say(&from).say(" that has signed it (");
                let line = line.say(Shown::line(device)).say(") has another key than was known (");
                let line = self.say_known(line, known.as_ref()).say("). Compare with: safety ");
                let line = line.say(&from).say("; to take the new key: safety ").say(&from);
                line.say(" accept")
            }
        }
    }
}

/// Why something about shared files was not done.
pub(super) fn say_why(line: Line, why: SwarmWhy) -> Line {
    line.say(match why {
        SwarmWhy::NotFound => {
            "nobody shares such a file with you now; search-files lists what is shared"
        }
        SwarmWhy::NoNumber => {
            "there is no such number in what was found last; search-files lists again"
        }
        SwarmWhy::NotShared => "no such file is shared from here; shares lists them",
        SwarmWhy::SeveralShares => "several are called so; say which by its number in shares",
        SwarmWhy::BeingFetched => "it is being fetched already; files lists it",
        SwarmWhy::TooManyGets => "too many are being fetched already; files lists them",
        SwarmWhy::TooManyShares => "the server lists no more files; unshare one first",
        SwarmWhy::NoFolder => "there is no folder for files; use --downloads",
        SwarmWhy::Unwanted => {
            "this client takes no private links (--private never), and files need them"
        }
        SwarmWhy::NoParts => "the file has no such parts",
        SwarmWhy::TooManyNames => {
            "that is more people than can be named; share it with everyone, or with fewer"
        }
    })
}

fn name(file: &SwarmFile) -> Shown {
    Shown::line(file.name.as_str())
}

fn size(file: &SwarmFile) -> crate::compose::Part {
    Bytes(file.size).part()
}

fn get(line: Line, file: &SwarmFile) -> Line {
    line.say("get ").say(name(file)).say(": ")
}

fn percent(progress: &GetProgress) -> u64 {
    (progress.done.saturating_mul(100)).checked_div(progress.total).unwrap_or(100)
}

fn say_progress(line: Line, progress: &GetProgress) -> Line {
    let line = line.say(percent(progress)).say(" % of ").say(Bytes(progress.total).part());
    let line = line.say(", ").say(u64::from(progress.parts_done)).say("/");
    let line = line.say(u64::from(progress.parts)).say(" parts");
    let line = match progress.sources {
        0 => line,
        1 => line.say(" from 1 source"),
        count => line.say(" from ").say(u64::from(count)).say(" sources"),
    };
    if progress.bytes_per_second == 0 {
        return line; // it is not known yet
    }
    let line = line.say(", ").say(Bytes(progress.bytes_per_second).part()).say("/s");
    match progress.seconds_left() {
        Some(left_s) => {
            let ms = left_s.max(1).saturating_mul(1000);
            line.say(", ").say(Spoken { ms }).say(" left")
        }
        None => line,
    }
}

fn say_scope(line: Line, with: &Scope) -> Line {
    let Some(names) = with.names() else { return line.say("everyone whom you do not block") };
    let line = names.iter().take(NAMES_MAX).enumerate().fold(line, |line, (at, name)| {
        let line = if at == 0 { line } else { line.say(", ") };
        line.say(Shown::name(name.as_str()))
    });
    match names.len().saturating_sub(NAMES_MAX) {
        0 => line,
        others => line.say(" and ").say(others).say(" more"),
    }
}

fn say_givers(line: Line, by: &[Given]) -> Line {
    by.iter().enumerate().fold(line, |line, (at, given)| {
        let line = line.say(if at == 0 { " (" } else { ", " });
        let line = line.say(Bytes(given.bytes).part()).say(" from ").say(Shown::name(&given.user));
        if at + 1 == by.len() { line.say(")") } else { line }
    })
}

/// Which of the parts that were asked about somebody has, counted from 1.
fn say_parts(line: Line, holder: &Holder, asked: &[RangeInclusive<u32>]) -> Line {
    let is_asked =
        |part: &u32| asked.is_empty() || asked.iter().any(|range| range.contains(&(part + 1)));
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for part in holder.parts.iter().filter(is_asked).map(|part| part + 1) {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == part => *last = part,
            _ => ranges.push((part, part)),
        }
    }
    if asked.is_empty() && holder.parts.is_all() {
        return line.say("all");
    }
    let line =
        ranges.iter().take(RANGES_MAX).enumerate().fold(line, |line, (at, (first, last))| {
            let line = if at == 0 { line } else { line.say(",") }.say(u64::from(*first));
            if first == last { line } else { line.say("-").say(u64::from(*last)) }
        });
    if ranges.len() > RANGES_MAX { line.say(" and more") } else { line }
}

fn say_not_shared(line: Line, why: &NotShared) -> Line {
    match why {
        NotShared::File(why) => say_local(line, why),
        NotShared::Empty => line.say("there is nothing in it"),
        NotShared::NobodyLeft => line.say("everybody it was for is gone"),
        NotShared::Name => line.say("its name is too long, or has characters that none can have"),
        NotShared::Refused(Refusal { why: Why::UserNotExist, sentence: Some(words), .. }) => {
            line.say(Shown::sentence(words))
        }
        NotShared::Refused(Refusal { why: Why::Swarm(why), .. }) => say_why(line, *why),
        NotShared::Refused(Refusal { sentence: Some(words), .. }) => {
            super::say_server_says(line, words)
        }
        NotShared::Refused(Refusal { why: Why::Other(status), .. }) => {
            super::say_server_says(line, status)
        }
        NotShared::Refused(_) => line.say("the server does not list it"),
    }
}

/// What the answer to a command about shared files begins with.
pub(super) fn what(command: &Command) -> Option<&str> {
    match command {
        Command::Unshare { which }
        | Command::SearchParts { which, .. }
        | Command::Get { which } => Some(which),
        _ => None,
    }
}
