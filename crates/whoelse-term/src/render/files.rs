//! Files from device to device, in words and bars.

use whoelse_client::links::files::{
    FileFailure, FileLine, FileNotice, FileOf, FileState, Progress,
};

use super::Render;
use crate::compose::{Line, Part, Spoken, Text};
use crate::shown::Shown;

/// Most characters of a name in a bar.
pub(super) const NAME_CHARS_MAX: usize = 24;

/// Cells of a bar, where there is room.
const CELLS: u64 = 20;

/// Columns without which there is no room for the cells.
pub(super) const COLUMNS: usize = 90;

impl Render {
    /// The lines for a notice about a file.
    pub(super) fn file(&self, notice: &FileNotice) -> Text {
        let line = Line::system();
        match notice {
            FileNotice::Wanted { file, size } => {
                let user = Shown::name(&file.user);
                let line = line.say(&user).say(" offers you a file: ").say(name(file)).say(", ");
                let line = line.say(Bytes(*size).part()).say(": accept ").say(&user);
                self.plain(line.say(", or decline ").say(user))
            }
            FileNotice::Waits { file } => {
                let line = say_sendfile(line, file).say("offered as soon as there is a link with ");
                self.quiet(line.say(Shown::name(&file.user)))
            }
            FileNotice::Asked { file, size } => {
                let line = say_sendfile(line, file).say("offered, ").say(Bytes(*size).part());
                let line = line.say("; waiting for ").say(Shown::name(&file.user));
                self.quiet(line.say(" to accept"))
            }
            FileNotice::Started { file, again } => self.quiet(match (file.sending, again) {
                (true, false) => say_sendfile(line, file).say("accepted; it is on its way"),
                (false, false) => {
                    let line = line.say("receiving ").say(name(file)).say(" from ");
                    line.say(Shown::name(&file.user))
                }
                (_, true) => say_way(line, file).say(": goes on"),
            }),
            FileNotice::Progress { file, progress, .. } => {
                self.quiet(say_progress(say_way(line, file).say(": "), *progress))
            }
            FileNotice::Waiting { file, progress } => {
                let line = say_way(line, file).say(": interrupted at ").say(percent(*progress));
                let line = line.say(" %; it goes on as soon as there is a link with ");
                self.alert(line.say(Shown::name(&file.user)))
            }
            FileNotice::Kept { file, size } => {
                let user = Shown::name(&file.user);
                let line = line.say("unfinished: ").say(name(file)).say(way(file)).say(&user);
                let line =
                    line.say(", ").say(Bytes(*size).part()).say("; it goes on with the next ");
                let line =
                    line.say("private link with ").say(&user).say("; files lists it, cancel ");
                self.quiet(line.say("gives it up"))
            }
            FileNotice::Received { file, path } => {
                let line = line.say("received ").say(name(file)).say(" from ");
                let line = line.say(Shown::name(&file.user)).say(": ");
                self.plain(line.say(Shown::line(&path.to_string_lossy())))
            }
            FileNotice::Sent { file } => {
                let line = say_sendfile(line, file).say("sent; ").say(Shown::name(&file.user));
                self.quiet(line.say(" has all of it"))
            }
            FileNotice::Failed { file, why } => {
                let line = match file.sending {
                    true => say_sendfile(line, file).say("not sent; "),
                    false => say_way(line, file).say(": not received; "),
                };
                self.alert(say_failure(line, file, why))
            }
        }
    }

    /// How far a file is, in one row of a terminal.
    pub(crate) fn bar(&self, file: &FileOf, progress: Progress) -> Text {
        let columns = self.columns.map_or(COLUMNS, |columns| columns());
        let line = Line::new().say("  ").say(short_name(file)).say(way(file));
        let line = line.say(Shown::brief(&file.user, NAME_CHARS_MAX)).say(" ");
        let line = if columns < COLUMNS { line } else { say_cells(line, progress).say(" ") };
        say_progress(line, progress).cut(columns.saturating_sub(1), self.colour)
    }

    /// The lines of the list of files.
    pub(super) fn files(&self, line: Line, files: &[FileLine], others: usize) -> Text {
        let line = match files.len() + others {
            0 => line.say("none under way"),
            1 => line.say("1 under way"),
            count => line.say(count).say(" under way"),
        };
        files.iter().fold(self.quiet(line), |lines, it| {
            let line = Line::new().say("  ").say(it.number).say(": ");
            let line = line.say(name(&it.file)).say(way(&it.file));
            let line = line.say(Shown::name(&it.file.user)).say(": ");
            lines
                + &self.plain(match it.state {
                    FileState::Waits => line.say("waits for a link"),
                    FileState::Reading => line.say("being read"),
                    FileState::Asked { size } => {
                        line.say(Bytes(size).part()).say(", not answered yet")
                    }
                    FileState::Going(progress) => say_progress(line, progress),
                    FileState::Interrupted(progress) => {
                        let line = say_so_far(line.say("interrupted, "), progress);
                        line.say("; goes on with the next link")
                    }
                })
        })
    }
}

fn name(file: &FileOf) -> Shown {
    Shown::line(file.name.as_str())
}

fn short_name(file: &FileOf) -> Shown {
    Shown::brief(file.name.as_str(), NAME_CHARS_MAX)
}

fn way(file: &FileOf) -> &'static str {
    if file.sending { " to " } else { " from " }
}

/// The beginning of what is said of a file in both directions.
fn say_way(line: Line, file: &FileOf) -> Line {
    line.say(name(file)).say(way(file)).say(Shown::name(&file.user))
}

/// The beginning of what became of a command.
fn say_sendfile(line: Line, file: &FileOf) -> Line {
    line.say("sendfile ").say(Shown::name(&file.user)).say(" ").say(name(file)).say(": ")
}

fn percent(progress: Progress) -> u64 {
    // An empty file is there as soon as it is wanted.
    (progress.done * 100).checked_div(progress.total).unwrap_or(100)
}

fn say_so_far(line: Line, progress: Progress) -> Line {
    let Progress { done, total, .. } = progress;
    let line = line.say(percent(progress)).say(" % of ");
    let line = line.say(Bytes(total).part());
    if done == 0 { line } else { line.say(" (").say(Bytes(done).part()).say(")") }
}

fn say_progress(line: Line, progress: Progress) -> Line {
    let Progress { done, total, bytes_per_second } = progress;
    let line = line.say(percent(progress)).say(" % of ").say(Bytes(total).part());
    if bytes_per_second == 0 {
        return line; // it is not known yet
    }
    let line = line.say(", ").say(Bytes(bytes_per_second).part()).say("/s");
    let left_s = total.saturating_sub(done).div_ceil(bytes_per_second).max(1);
    line.say(", ").say(Spoken { ms: left_s.saturating_mul(1000) }).say(" left")
}

fn say_cells(line: Line, progress: Progress) -> Line {
    say_cells_of(line, percent(progress))
}

pub(super) fn say_cells_of(line: Line, percent: u64) -> Line {
    let full = percent * CELLS / 100;
    let line =
        (0..CELLS).fold(line.say("["), |line, cell| line.say(if cell < full { "#" } else { "." }));
    line.say("]")
}

fn say_failure(line: Line, file: &FileOf, why: &FileFailure) -> Line {
    let user = Shown::name(&file.user);
    match why {
        FileFailure::NoLink => line.say("there is no link with ").say(user).say(" any more"),
        FileFailure::Declined => line.say(user).say(" does not want it"),
        FileFailure::CancelledByPeer => line.say(user).say(" cancelled it"),
        FileFailure::NotAsOffered if file.sending => {
            line.say("what came there is not what was offered")
        }
        FileFailure::NotAsOffered => {
            line.say("what ").say(user).say(" sent is not what was offered; nothing of it is kept")
        }
        why => say_local(line, why),
    }
}

/// Why a file did not arrive, or was not given, as far as that is a matter of this machine.
pub(super) fn say_local(line: Line, why: &FileFailure) -> Line {
    match why {
        FileFailure::NoFolder => line.say("there is no folder for files; use --downloads"),
        FileFailure::Folder(words)
        | FileFailure::Unreadable(words)
        | FileFailure::Unwritable(words) => line.say(Shown::line(words)),
        FileFailure::NotThere => line.say("there is no such file"),
        FileFailure::NotAFile => line.say("that is no file; folders have to be packed first"),
        FileFailure::TooLarge => line.say("it is too large"),
        FileFailure::TooMany => line.say("there are too many under way; files lists them"),
        FileFailure::Cancelled => line.say("cancelled"),
        FileFailure::Changed => line.say("it was changed since it was offered"),
        FileFailure::DiskFull { needed, free } => {
            let line = line.say("there is no room for it: ").say(Bytes(*needed).part());
            line.say(" needed, ").say(Bytes(*free).part()).say(" free")
        }
        FileFailure::NotAsOffered => line.say("what came is not what was offered"),
        FileFailure::NoLink => line.say("there is no link any more"),
        FileFailure::Declined => line.say("it was declined"),
        FileFailure::CancelledByPeer => line.say("it was cancelled there"),
    }
}

/// A number of bytes as people read it, in units of 1000.
pub(super) struct Bytes(pub(super) u64);

impl Bytes {
    pub(super) fn part(&self) -> Part {
        let (mut unit, mut whole, mut rest) = (0, self.0, 0);
        while whole >= 1000 {
            (unit, whole, rest) = (unit + 1, whole / 1000, whole % 1000);
        }
        let line = Line::new().say(whole);
        // 9.8 MB, but 12 MB.
        let line = if unit > 0 && whole < 10 { line.say(".").say(rest / 100) } else { line };
        line.say([" bytes", " kB", " MB", " GB", " TB", " PB", " EB"][unit]).part()
    }
}
