//! Thousands are logged in, a fifth of whom never reads and a tenth a byte a second, while somebody
//! broadcasts every second and mail goes to those who do not read.

use std::ops::Range;
use std::thread;
use std::time::{Duration, Instant};

use super::admission::Admission;
use super::chat::{Chat, Manner, Samples, Tally, UNMEASURED};
use super::cli::CrowdTerms;
use super::figures::mebibytes;
use super::post::Post;
use super::verdict::Verdict;
use super::wire::{News, Wire};
use super::words::{self, Word};
use super::{Field, progress};
use crate::dialect::append_acknowledgement;
use crate::failure::Failure;
use crate::process;
use crate::server::Server;

const PAIRS: usize = 50;
const CHAT_INTERVAL: Duration = Duration::from_millis(200);

/// Phases of the chat.
const BEFORE: usize = 1;
const DURING: usize = 2;

/// How many people are in from one note of progress to the next.
const NOTE_EVERY: usize = 500;

/// While people log in, everybody hears of everybody: reading it in larger pieces leaves the
/// machine to the server.
const LOGIN_TICK: Duration = Duration::from_millis(50);

/// How long the server may be busy with itself before it is measured.
const REST_PATIENCE: Duration = Duration::from_secs(60);

/// How long mail may take once its readers are back.
const MAIL_PATIENCE: Duration = Duration::from_secs(60);

/// How long to wait for what should not come: the same mail again.
const AFTERWARDS: Duration = Duration::from_secs(3);

const RESIDENT_MIB_MAX: f64 = 1024.0;
const IDLE_BYTES_MAX: f64 = 20.0 * 1024.0;
const DELIVERY_MS_MAX: f64 = 100.0;

/// Who is who, by number.
#[derive(Clone, Debug)]
struct Cast {
    broadcaster: usize,
    mailer: usize,
    deaf: Range<usize>,
    sippers: Range<usize>,
    everybody: usize,
}

impl Cast {
    fn of(everybody: usize) -> Self {
        let broadcaster = 2 * PAIRS;
        let mailer = broadcaster + 1;
        let deaf = mailer + 1..mailer + 1 + everybody / 5;
        let sippers = deaf.end..deaf.end + everybody / 10;
        Self { broadcaster, mailer, deaf, sippers, everybody }
    }

    /// Those who do not chat, and so are on our wire.
    fn ours(&self) -> Range<usize> {
        self.broadcaster..self.everybody
    }

    fn slow(&self) -> Range<usize> {
        self.deaf.start..self.sippers.end
    }
}

/// Logs everybody in, measures, besieges, and lets the slow ones come back.
pub(crate) fn attack(field: &Field, terms: &CrowdTerms) -> Result<Verdict, Failure> {
    let cast = Cast::of(terms.connections as usize);
    field.against(cast.everybody, &[], |server| {
        let mut siege = Siege::new(server, cast, terms.clone())?;
        // The server makes its memory for hashing at once, and no connection is to pay for it.
        thread::sleep(Duration::from_secs(1));
        siege.found.empty = server.resident_bytes()?;
        let chat = Chat::begin(server.address, Manner { pairs: PAIRS, interval: CHAT_INTERVAL })?;
        siege.log_everybody_in()?;
        siege.listen_quietly(&chat)?;
        siege.besiege(&chat)?;
        let tally = chat.end()?;
        siege.let_them_come_back()?;
        Ok(siege.judge(&tally))
    })
}

/// Sizes that were found.
#[derive(Debug, Default)]
struct Found {
    empty: u64,
    full: u64,
    peak: u64,
    tcp_before: u64,
    tcp_peak: u64,
    descriptors: usize,
    descriptors_least: usize,
    /// Seconds after which the first slow one was cut.
    first_cut: Option<u64>,
}

/// What is noted while listening.
#[derive(Debug, Default)]
struct Notes {
    admission: Option<Admission>,
    post: Post,
    broadcasts: u64,
    reached_first: u64,
    reached_last: u64,
    /// Ends of connections that read all that came.
    healthy_cut: u64,
    complaints: u64,
    failure: Option<Failure>,
}

#[derive(Debug)]
struct Siege<'a> {
    server: &'a Server,
    cast: Cast,
    terms: CrowdTerms,
    wire: Wire,
    notes: Notes,
    found: Found,
}

impl<'a> Siege<'a> {
    fn new(server: &'a Server, cast: Cast, terms: CrowdTerms) -> Result<Self, Failure> {
        let wire = Wire::new(server.address)?;
        let (notes, found) = (Notes::default(), Found::default());
        Ok(Self { server, cast, terms, wire, notes, found })
    }

    fn log_everybody_in(&mut self) -> Result<(), Failure> {
        self.admit(self.cast.ours())?;
        self.rest()?;
        self.found.full = self.server.resident_bytes()?;
        self.found.tcp_before = process::tcp_bytes()?;
        self.found.descriptors = self.server.descriptors()?;
        self.found.descriptors_least = self.found.descriptors;
        let full = mebibytes(self.found.full);
        progress(&format!("crowd: all are in, {full:.1} MiB resident"));
        Ok(())
    }

    /// Logs people in, telling how it goes.
    fn admit(&mut self, people: Range<usize>) -> Result<(), Failure> {
        let (count, begun) = (people.len(), Instant::now());
        let mut noted = 0;
        self.notes.admission = Some(Admission::of(people));
        while let Some(admission) = &mut self.notes.admission {
            let tick = Instant::now();
            if admission.is_over() {
                self.notes.admission = None;
                break;
            }
            admission.go_on(&mut self.wire)?;
            let done = admission.done();
            if done / NOTE_EVERY > noted {
                noted = done / NOTE_EVERY;
                let per_second = done as f64 / begun.elapsed().as_secs_f64();
                progress(&format!("crowd: {done} of {count} are in, {per_second:.0} per second"));
            }
            self.listen(LOGIN_TICK)?;
            thread::sleep(LOGIN_TICK.saturating_sub(tick.elapsed()));
        }
        Ok(())
    }

    /// Waits until the server has nothing left to do but the chat.
    fn rest(&mut self) -> Result<(), Failure> {
        let (wire, notes) = (&mut self.wire, &mut self.notes);
        let patience = REST_PATIENCE.min(Duration::from_secs(3));
        let cast = &self.cast;
        self.server.wait_until_at_rest(patience, |left| {
            wire.pump(left, |place, news, out| notes.heed(cast, place, news, out))
        })?;
        Ok(())
    }

    fn listen_quietly(&mut self, chat: &Chat) -> Result<(), Failure> {
        chat.enter(BEFORE);
        self.listen_for(Duration::from_secs(self.terms.before))?;
        chat.enter(UNMEASURED);
        Ok(())
    }

    fn besiege(&mut self, chat: &Chat) -> Result<(), Failure> {
        for person in self.cast.slow() {
            self.wire.deafen(person)?;
        }
        let broadcast = words::broadcast(&"b".repeat(self.terms.broadcast_bytes as usize));
        let mail = self.cast.deaf.len() as u64 * u64::from(self.terms.mail);
        let (begun, duration) = (Instant::now(), self.terms.duration());
        let (mut seconds, mut mailed) = (0, 0);
        chat.enter(DURING);
        while begun.elapsed() < duration {
            if begun.elapsed().as_secs() >= seconds {
                self.wire.say(self.cast.broadcaster, broadcast.as_bytes());
                for person in self.cast.sippers.clone() {
                    self.wire.sip(person);
                }
                self.look(seconds)?;
                seconds += 1;
            }
            let share = begun.elapsed().as_secs_f64() / duration.as_secs_f64();
            while mailed < mail && (mailed as f64) < mail as f64 * share {
                let to = self.cast.deaf.start
                    + usize::try_from(mailed).unwrap_or(0) % self.cast.deaf.len();
                let line = self.notes.post.next_line(to);
                self.wire.say(self.cast.mailer, line.as_bytes());
                mailed += 1;
            }
            self.listen(Duration::from_millis(5))?;
        }
        chat.enter(UNMEASURED);
        self.look(seconds)?;
        let deadline = Instant::now() + MAIL_PATIENCE;
        while !self.notes.post.is_answered() && Instant::now() < deadline {
            self.listen(Duration::from_millis(50))?;
        }
        Ok(())
    }

    /// Looks at the server's sizes.
    fn look(&mut self, second: u64) -> Result<(), Failure> {
        let found = &mut self.found;
        let resident = self.server.resident_bytes()?;
        let tcp = process::tcp_bytes()?;
        found.peak = found.peak.max(resident);
        found.tcp_peak = found.tcp_peak.max(tcp);
        found.descriptors_least = found.descriptors_least.min(self.server.descriptors()?);
        // A file may have been closed meanwhile; a few slow ones never are the only ones.
        if found.descriptors_least + 8 < found.descriptors {
            found.first_cut.get_or_insert(second);
        }
        if second.is_multiple_of(10) {
            let cut = found.descriptors - found.descriptors_least;
            let (resident, tcp) = (mebibytes(resident), mebibytes(tcp));
            progress(&format!(
                "crowd: {second} s, {resident:.0} MiB resident, {tcp:.0} MiB in sockets, {cut} cut"
            ));
        }
        Ok(())
    }

    fn let_them_come_back(&mut self) -> Result<(), Failure> {
        progress("crowd: the slow ones come back");
        for person in self.cast.slow() {
            self.wire.close(person);
        }
        self.admit(self.cast.slow())?;
        let deadline = Instant::now() + MAIL_PATIENCE;
        while self.notes.post.account().lost > 0 && Instant::now() < deadline {
            self.listen_for(Duration::from_millis(500))?;
        }
        self.listen_for(AFTERWARDS)
    }

    fn listen_for(&mut self, duration: Duration) -> Result<(), Failure> {
        let end = Instant::now() + duration;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            self.listen(left.min(LOGIN_TICK))?;
        }
        Ok(())
    }

    fn listen(&mut self, patience: Duration) -> Result<(), Failure> {
        let (notes, cast) = (&mut self.notes, &self.cast);
        self.wire.pump(patience, |place, news, out| notes.heed(cast, place, news, out))?;
        self.notes.failure.take().map_or(Ok(()), Err)
    }

    fn judge(&self, tally: &Tally) -> Verdict {
        let (found, notes) = (&self.found, &self.notes);
        let mut verdict = Verdict::on("crowd");
        verdict.note("connections", self.cast.everybody);
        verdict.note("seconds", self.terms.seconds);
        verdict.note("broadcast_bytes", self.terms.broadcast_bytes);
        verdict.note("rss_empty_mib", format_args!("{:.1}", mebibytes(found.empty)));
        verdict.note("rss_full_mib", format_args!("{:.1}", mebibytes(found.full)));
        verdict.at_most("rss_peak_mib", mebibytes(found.peak), RESIDENT_MIB_MAX);
        let idle = found.full.saturating_sub(found.empty) as f64 / self.cast.everybody as f64;
        verdict.at_most("idle_bytes", idle.round(), IDLE_BYTES_MAX);
        verdict.note("tcp_before_mib", format_args!("{:.0}", mebibytes(found.tcp_before)));
        verdict.note("tcp_peak_mib", format_args!("{:.0}", mebibytes(found.tcp_peak)));
        note_times(&mut verdict, "before", &tally.phase(BEFORE));
        let during = tally.phase(DURING);
        note_times(&mut verdict, "during", &during);
        verdict.at_most("p99_ms", during.deliveries.percentile_ms(99), DELIVERY_MS_MAX);
        verdict.none("chat_missing", tally.missing + tally.cut + tally.refused);
        verdict.none("healthy_cut", notes.healthy_cut);
        verdict.none("complaints", notes.complaints);
        verdict.note("broadcasts", notes.broadcasts);
        verdict.note("reached_first", notes.reached_first);
        verdict.note("reached_last", notes.reached_last);
        verdict.note("slow", self.cast.slow().len());
        verdict.note("slow_cut", found.descriptors - found.descriptors_least);
        let first_cut = found.first_cut.map_or_else(|| "-".into(), |second| second.to_string());
        verdict.note("first_cut_s", first_cut);
        let account = notes.post.account();
        verdict.note("mail", account.promised);
        verdict.note("mail_refused", notes.post.refused);
        verdict.none("lost", account.lost);
        verdict.note("dup", account.repeated);
        verdict.none("out_of_order", account.out_of_order);
        verdict
    }
}

impl Notes {
    fn heed(&mut self, cast: &Cast, person: usize, news: News<'_>, out: &mut Vec<u8>) {
        let noted = match news {
            News::Ended => {
                self.healthy_cut += u64::from(!cast.slow().contains(&person));
                self.admission.as_ref().map_or(Ok(()), |admission| admission.ended(person))
            }
            News::Line(line) => self.heed_line(person, Word::of(line), out),
        };
        if let Err(failure) = noted {
            self.failure.get_or_insert(failure);
        }
    }

    fn heed_line(
        &mut self,
        person: usize,
        word: Word<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        match word {
            Word::Login(status) => {
                if let Some(admission) = &mut self.admission {
                    admission.heard(person, status)?;
                }
            }
            Word::Message(status) => self.post.answered(status),
            Word::Mail(mail) => {
                self.post.arrived(person, mail.body);
                append_acknowledgement(mail.number, out);
            }
            Word::Broadcast("SUCCESS", reached) => {
                self.broadcasts += 1;
                self.reached_last = reached;
                if self.broadcasts == 1 {
                    self.reached_first = reached;
                }
            }
            Word::Broadcast(..) | Word::Complaint(_) => self.complaints += 1,
            Word::Other => {}
        }
        Ok(())
    }
}

fn note_times(verdict: &mut Verdict, when: &str, samples: &Samples) {
    let Samples { deliveries, confirmations } = samples;
    verdict.note(&format!("messages_{when}"), deliveries.len());
    for (name, percent) in [("p50", 50), ("p99", 99), ("max", 100)] {
        let figure = deliveries.percentile_ms(percent);
        verdict.note(&format!("{name}_{when}_ms"), format_args!("{figure:.2}"));
    }
    let confirmed = confirmations.percentile_ms(99);
    verdict.note(&format!("confirm_p99_{when}_ms"), format_args!("{confirmed:.2}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_has_one_part() {
        let cast = Cast::of(1000);
        assert_eq!((cast.broadcaster, cast.mailer, cast.deaf.clone()), (100, 101, 102..302));
        assert_eq!((cast.sippers.clone(), cast.slow()), (302..402, 102..402));
        assert_eq!(cast.ours(), 100..1000);
        assert!(Cast::of(200).slow().end <= 200, "the smallest crowd has room for all parts");
    }
}
