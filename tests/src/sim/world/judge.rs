//! The end of a world: everything heals, and is judged.

use whoelse_engine::Order;

use super::{Event, Fallible, World};

/// So often the operator helps those who cannot come in.
const HELP_MS: u64 = 30_000;

/// After so long nothing may be left to do.
const HEALED_MS: u64 = 30 * 60_000;

impl World {
    /// No more faults: everybody comes back, says what was left to say, and reads everything.
    pub(super) fn heal(&mut self) -> Fallible {
        self.is_healing = true;
        self.rates.heal();
        self.heal_lines();
        self.disk.forget_faults();
        self.disk.limit_space(u64::MAX);
        self.after(0, Event::Start);
        while self.server.is_none() {
            self.step()?;
        }
        if let Some(server) = &self.server {
            server.house.disk_full(false);
            server.wishes.borrow_mut().is_full = false;
        }
        for who in 0..self.people.len() {
            let person = &self.people[who];
            // Whoever has no log does not know what is in it.
            if !person.is_member() || person.client.as_ref().is_some_and(|it| !it.run.has_log()) {
                self.crash_client(who);
            }
            self.people[who].keeping.log.disk.heal();
        }
        let until = self.now + HEALED_MS;
        let mut help_at = self.now;
        while let Some(what) = self.is_left_to_do() {
            if self.now > until {
                return Err(format!("after {HEALED_MS} ms of peace: {what}"));
            }
            if self.now >= help_at {
                help_at = self.now + HELP_MS;
                self.help();
            }
            self.step()?;
        }
        self.stats.healed += 1;
        Ok(())
    }

    /// Lets those in who are not. Whoever is in is left alone: what was begun must end by itself.
    fn help(&mut self) {
        for who in 0..self.people.len() {
            let name = self.people[who].name.clone();
            let book = self.book.borrow();
            let is_out = book.live.find(&name).is_some_and(|who| !book.live.is_online(who));
            drop(book);
            if is_out {
                self.set_password(who, "healed".into());
                self.order(Order::Unlock { name });
            }
        }
    }

    /// Somebody who has not learnt or read everything.
    fn is_left_to_do(&self) -> Option<String> {
        let book = self.book.borrow();
        for member in &book.live.people {
            let person = self.people.iter().find(|person| person.name == member.name)?;
            if member.acknowledged < member.last() {
                let (name, read, last) = (&member.name, member.acknowledged, member.last());
                return Some(format!("{name} has read {read} of {last}"));
            }
            match &person.client {
                Some(_) if person.unanswered.is_empty() => {}
                Some(_) => {
                    return Some(format!("{} waits for {:?}", person.name, person.unanswered));
                }
                None => return Some(format!("{} is not there", person.name)),
            }
        }
        (book.safe_records < book.records.len())
            .then(|| format!("{} of {} records are safe", book.safe_records, book.records.len()))
    }

    pub(super) fn judge(&mut self) -> Fallible {
        for (name, letters) in &self.book.borrow().letters {
            let is_lost = |letter: &&super::book::Letter| letter.told == 0;
            if let Some(lost) = letters.iter().find(is_lost) {
                return Err(format!("{} was kept for {name} and never told", lost.text));
            }
        }
        let book = self.book.borrow();
        for person in &mut self.people {
            person.keeping.log.check()?;
            // Who has come in after the backup that was restored is nobody there: without a session nothing is told,
            // and it is found in the history.
            if !book.live.people.iter().any(|member| member.name == person.name) {
                continue;
            }
            let mut mails = person.keeping.log.mails();
            if let Some(mail) = mails.find(|mail| !person.told_texts.contains(mail.text.as_str())) {
                return Err(format!("{} was in the log and never told", mail.text));
            }
        }
        drop(book);
        self.compare()
    }
}
