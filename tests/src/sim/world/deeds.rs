//! What people do: they type commands, and seldom something that is not our client speaks.

use rand::RngExt;
use whoelse_client::command::{Command, Passwords};
use whoelse_proto::Role;

use super::{Event, Fallible, World};

/// A person waits for answers before it types on.
const UNANSWERED_MAX: usize = 60;

impl World {
    /// A person does something.
    pub(super) fn deed(&mut self, who: usize) -> Fallible {
        let mut pause = 1 + self.chance.people.random_range(0..=2 * self.rates.deed_ms);
        if self.people[who].client.as_ref().is_none_or(|client| client.line.is_none()) {
            pause += self.chance.people.random_range(0..1_000);
        }
        self.after(pause, Event::Deed(who));
        if self.is_healing && !self.people[who].is_member() {
            return Ok(()); // perhaps it is one by now and does not know; it is helped
        }
        if self.has_no_client(who) {
            let is_awake = self.is_healing || self.people[who].asleep_until <= self.now;
            return if is_awake { self.start_client(who) } else { Ok(()) };
        }
        if self.is_healing {
            return Ok(());
        }
        if self.chance.people.random_bool(self.rates.odd) {
            self.be_odd(who);
            return Ok(());
        }
        if self.chance.people.random_bool(self.rates.files) {
            self.about_files(who);
            return Ok(());
        }
        for _ in 0..self.chance.people.random_range(1..=self.rates.burst) {
            let Some(client) = &self.people[who].client else { return Ok(()) };
            let is_done = self.people[who].unanswered.len() >= UNANSWERED_MAX;
            if is_done || !client.core.wants_input() || !client.core.was_logged_in() {
                return Ok(());
            }
            let command = self.command(who);
            self.type_in(who, command)?;
        }
        Ok(())
    }

    fn type_in(&mut self, who: usize, command: Command) -> Fallible {
        let now = self.now;
        self.tell(|| format!("p{who} types {command:?}"));
        let person = &mut self.people[who];
        let Some(client) = person.client.as_mut() else { return Ok(()) };
        if let Command::Message { text, .. } = &command {
            person.unanswered.insert(text.clone());
        }
        client.core.handle_command(now, command);
        self.follow(who)
    }

    /// Asks who was here in so many last seconds.
    pub(super) fn ask_since(&mut self, who: usize, seconds: u64) -> Fallible {
        let can_ask = |client: &super::client::Client| {
            client.line.is_some() && client.core.was_logged_in() && client.core.wants_input()
        };
        if self.is_healing || !self.people[who].client.as_ref().is_some_and(can_ask) {
            return Ok(());
        }
        self.type_in(who, Command::WhoelseSince { seconds })
    }

    /// Plans to ask when somebody has been gone for whole seconds: borders are where rules go wrong.
    fn plan_to_ask(&mut self, who: usize) {
        let Some(server) = &self.server else { return };
        let time = server.house.time().0;
        let book = self.book.borrow();
        let ends: Vec<u64> = (0..book.live.people.len())
            .filter_map(|other| book.live.gone_since(other))
            .filter(|ended| time.saturating_sub(*ended) < 100_000)
            .collect();
        drop(book);
        if ends.is_empty() {
            return;
        }
        let ended = ends[self.chance.people.random_range(0..ends.len())];
        let seconds = (time - ended) / 1_000 + 1;
        self.after(ended + seconds * 1_000 - time, Event::AskSince(who, seconds));
    }

    fn command(&mut self, who: usize) -> Command {
        let mut other = self.chance.people.random_range(0..self.people.len());
        // Seldom oneself, or one who cannot be written to.
        for _ in 0..4 {
            if other != who && self.people[other].is_member() {
                break;
            }
            other = self.chance.people.random_range(0..self.people.len());
        }
        let user = self.people[other].name.clone();
        if self.chance.people.random_bool(self.rates.seldom) {
            return self.seldom(who, user);
        }
        if self.chance.people.random_bool(0.03) {
            self.plan_to_ask(who);
        }
        let random = &mut self.chance.people;
        match random.random_range(0..100) {
            0..3 => Command::Broadcast { text: "hello".into() },
            3..6 => Command::Whoelse,
            6..9 => Command::WhoelseSince { seconds: random.random_range(0..200) },
            9 if random.random_bool(0.7) => Command::StartPrivate { user, unencrypted: true },
            9 if random.random_bool(0.5) => Command::History { user, count: 20 },
            9 => Command::Search { words: format!("#{}", random.random_range(0..20)) },
            _ => {
                let person = &mut self.people[who];
                person.written += 1;
                let longest = match random.random_range(0..50) {
                    0 => self.rates.long_text,
                    _ => self.rates.text,
                };
                let padding = "x".repeat(random.random_range(0..=longest));
                let text = format!("{}>{user}#{} {padding}", person.name, person.written);
                Command::Message { user, text }
            }
        }
    }

    fn seldom(&mut self, who: usize, user: String) -> Command {
        let random = &mut self.chance.people;
        let is_right = random.random_bool(0.7);
        match random.random_range(0..24) {
            0..2 => Command::Block { user },
            2..9 => Command::Unblock { user },
            9..13 => {
                let role = if random.random_bool(0.3) { Role::Admin } else { Role::Member };
                Command::Invite { role }
            }
            13 => Command::Invites,
            14 => Command::RevokeInvite { number: random.random_range(0..20) },
            15 => Command::Devices,
            16 => Command::RevokeDevice { name: format!("d{}", random.random_range(0..3)) },
            17..20 => self.change_password(who, is_right),
            20 => Command::Lock { user },
            21 | 22 => Command::Unlock { user },
            _ => Command::Logout,
        }
    }

    fn change_password(&mut self, who: usize, is_right: bool) -> Command {
        let number: u32 = self.chance.people.random_range(0..100_000);
        let new = format!("password-{number}");
        let passwords = &mut self.people[who].passwords;
        let old = passwords.last().filter(|_| is_right).cloned();
        // Whether it was changed may never be known: both are remembered.
        passwords.insert(0, new.clone());
        let old = old.unwrap_or_else(|| "wrong".into());
        Command::Passwd(Passwords { old: old.as_str().into(), new: new.as_str().into() })
    }

    /// Something that is not our client speaks over the line of one.
    fn be_odd(&mut self, who: usize) {
        let has_line = self.people[who].client.as_ref().is_some_and(|it| it.line.is_some());
        if !has_line {
            return;
        }
        let is_quiet = self.people[who].unanswered.is_empty();
        let random = &mut self.chance.people;
        let frames = &self.people[who].frames;
        let old = (!frames.is_empty()).then(|| random.random_range(0..frames.len()));
        // What waits for its answer would be confirmed out of order by that of its repetition.
        let old = old.and_then(|at| frames.get(at)).filter(|frame| {
            let frame = String::from_utf8_lossy(frame);
            self.people[who].unanswered.iter().all(|text| !frame.contains(text.as_str()))
        });
        let old = old.cloned();
        let told = self.book.borrow().told.get(&self.people[who].name).copied().unwrap_or(0);
        let bytes = match (random.random_range(0..12), old) {
            // A repetition, as it was, of something sent lately or long ago.
            (0..5, Some(old)) => {
                self.stats.repeated += 1;
                old
            }
            (5, Some(old)) if is_quiet => {
                let text = String::from_utf8_lossy(&old).replace('#', "%");
                text.into_bytes()
            }
            (6, _) => b"{\"action\":\"ack\",\"number\":1000000}\n".to_vec(),
            // What was shown may be acknowledged at once on a line that brings a session back.
            (10 | 11, _) => format!("{{\"action\":\"ack\",\"number\":{told}}}\n").into_bytes(),
            (7, _) => b"{\"action\":\"message\",\"user\":7}\n".to_vec(),
            (8, _) => b"{\"action\":\"active\"}\n".to_vec(),
            (9, _) => b"not even an object\n".to_vec(),
            _ => {
                let name = ["p0", "p1", "nobody", "somebody"][random.random_range(0..4)];
                let words = format!(
                    "{{\"action\":\"login\",\"username\":\"{name}\",\"password\":\"guess\"}}\n"
                );
                words.into_bytes()
            }
        };
        self.tell(|| format!("p{who} is odd: {}", String::from_utf8_lossy(&bytes)));
        self.send(who, &bytes);
    }
}
