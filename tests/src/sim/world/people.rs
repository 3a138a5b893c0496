//! What people do, and what the model says must come of it.

use std::net::{IpAddr, Ipv4Addr};

use rand::RngExt;
use whoelse_engine::{ConnectionId, Effect, Input, Number};
use whoelse_proto::{Answer, Event, Name, Outcome};

use super::{Fallible, Lane, World};
use crate::sim::client::Unconfirmed;
use crate::sim::model::{Ask, Expected, welcome};
use crate::sim::world::words::{aid, request};

impl World {
    pub(super) fn act(&mut self, who: usize) -> Fallible {
        if self.clients[who].connection.is_none() {
            return self.come(who);
        }
        if !self.clients[who].is_in {
            // A login that was refused, or whose answer has not come.
            return if self.random.random_bool(0.3) { self.drop_line(who) } else { Ok(()) };
        }
        if self.random.random_bool(self.rates.drop) {
            return self.drop_line(who);
        }
        let most = self.random.random_range(0..20);
        self.deliver(who, most)?;
        if self.resend(who)? {
            return Ok(());
        }
        let other = self.random.random_range(0..self.clients.len());
        match self.random.random_range(0..106) {
            0..60 => self.write(who, other),
            60..75 => self.acknowledge(who),
            75..80 => self.ask(who, Ask::Broadcast),
            80..84 => self.ask(who, Ask::Whoelse),
            84..88 => {
                let ms = self.random.random_range(0..200_000);
                self.ask(who, Ask::WhoelseSince { ms })
            }
            88..91 => self.ask(who, Ask::Block { who: other, begins: true }),
            91..96 => self.ask(who, Ask::Block { who: other, begins: false }),
            96 => {
                let forget = self.random.random_bool(0.5);
                self.ask(who, Ask::Logout { forget })
            }
            97..99 => self.intrude(who),
            _ => self.manage(who, other),
        }
    }

    pub(super) fn connect(&mut self, who: usize) -> Fallible {
        self.connections += 1;
        let connection = ConnectionId(self.connections);
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        self.input(Input::Connected { connection, address })?;
        self.clients[who].connection = Some(connection);
        if let Some(running) = &mut self.running {
            running.lanes.insert(connection, Lane { who, is_protocol: true, mail: None });
        }
        Ok(())
    }

    pub(super) fn lane(&mut self, who: usize) -> Option<&mut Lane> {
        let connection = self.clients[who].connection?;
        self.running.as_mut()?.lanes.get_mut(&connection)
    }

    pub(super) fn drop_line(&mut self, who: usize) -> Fallible {
        let Some(connection) = self.clients[who].connection else { return Ok(()) };
        self.clients[who].lose_line();
        self.line_ends(connection)
    }

    pub(super) fn line_ends(&mut self, connection: ConnectionId) -> Fallible {
        let expected = self.model.dropped(self.now, connection);
        if let Some(running) = &mut self.running {
            running.lanes.remove(&connection);
        }
        let observed = self.input(Input::Disconnected { connection })?;
        self.remember();
        compare("a line ended", &expected, &observe(&observed, None))
    }

    /// Sends what is not confirmed once more over a new line. Returns whether there was anything.
    pub(super) fn resend(&mut self, who: usize) -> Result<bool, String> {
        let client = &mut self.clients[who];
        let Some(message) = client.outbox.get(client.sent).cloned() else { return Ok(false) };
        client.sent += 1;
        self.stats.resent += 1;
        self.send(who, &message)?;
        Ok(true)
    }

    pub(super) fn write(&mut self, who: usize, to: usize) -> Fallible {
        self.ids += 1;
        let client = &mut self.clients[who];
        let written = client.written.entry(to).or_default();
        *written += 1;
        let text = format!("{who}>{to}#{written}");
        let message = Unconfirmed { to, id: format!("id{}", self.ids), text };
        client.outbox.push_back(message.clone());
        client.sent += 1;
        self.send(who, &message)
    }

    pub(super) fn send(&mut self, who: usize, message: &Unconfirmed) -> Fallible {
        let Unconfirmed { to, id, text } = message.clone();
        self.ask(who, Ask::Message { to, id, text })
    }

    pub(super) fn acknowledge(&mut self, who: usize) -> Fallible {
        let is_protocol = self.lane(who).is_some_and(|lane| lane.is_protocol);
        let shown = self.clients[who].shown;
        if is_protocol {
            let number = if self.random.random_bool(0.05) { shown + 1 } else { shown };
            return self.ask(who, Ask::Ack { number });
        }
        // The door vouches for what was written; here, for what was read.
        let Some(connection) = self.clients[who].connection else { return Ok(()) };
        if self.model.speaker(connection).is_some() {
            self.model.delivered(who, shown);
        }
        self.input(Input::Delivered { connection, number: Number(shown) })?;
        self.remember();
        Ok(())
    }

    pub(super) fn ask(&mut self, who: usize, ask: Ask) -> Fallible {
        let Some(connection) = self.clients[who].connection else { return Ok(()) };
        let expected = self.model.ask(self.now, connection, &ask);
        if expected.answer.as_deref() == Some("BLOCKED") {
            self.stats.locked += 1;
        }
        if let (Ask::Message { text, .. }, Some(answer)) = (&ask, &expected.answer)
            && answer != "SUCCESS"
        {
            self.refused[who].insert(text.clone());
        }
        self.count(&ask, &expected);
        let (request, aid) = (request(&ask), aid(&ask));
        let observed = self.input(Input::Request { connection, request, aid })?;
        let described = format!("p{who} asks {ask:?}");
        self.remember();
        compare(&described, &expected, &observe(&observed, Some(connection)))
    }

    pub(super) fn pass_time(&mut self) -> Fallible {
        let ms = match self.random.random_range(0..10) {
            0..6 => self.random.random_range(1..1_000),
            6..9 => self.random.random_range(1_000..25_000),
            _ => self.random.random_range(25_000..600_000),
        };
        let end = self.now + ms;
        loop {
            let due = self.running.as_ref().and_then(|running| running.engine.deadline());
            let model = self.model.due();
            let next = due.map(|due| due.0).into_iter().chain(model).min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            let told = self.model.tick(self.now);
            let observed = self.input(Input::Tick)?;
            self.remember();
            compare("time passes", &Expected { answer: None, told }, &observe(&observed, None))?;
        }
        self.now = end;
        Ok(())
    }
}

pub(super) fn compare(what: &str, expected: &Expected, observed: &Expected) -> Fallible {
    let told = expected.told.iter().filter(|(_, connections)| !connections.is_empty());
    if expected.answer == observed.answer && told.eq(&observed.told) {
        return Ok(());
    }
    Err(format!("{what}\n    expected {expected:?}\n    found    {observed:?}"))
}

/// What effects say, in the model's words.
pub(super) fn observe(effects: &[Effect], asker: Option<ConnectionId>) -> Expected {
    let mut observed = Expected::default();
    for effect in effects {
        match effect {
            Effect::Send { to, event: Event::Answer(answer) } if Some(*to) == asker => {
                observed.answer = Some(words(answer));
            }
            Effect::SendMany { to, event } => {
                let what = match event {
                    Event::LoggedIn { name } => format!("{} came", &name.as_str()[1..]),
                    Event::LoggedOut { name } => format!("{} left", &name.as_str()[1..]),
                    _ => continue,
                };
                observed.told.push((what, to.iter().copied().collect()));
            }
            _ => {}
        }
    }
    observed
}

fn words(answer: &Answer) -> String {
    match &answer.outcome {
        Outcome::Refused(refusal) => refusal.status(answer.action).to_owned(),
        Outcome::Counted { n_sent, n_blocked } => format!("{n_sent} sent, {n_blocked} blocked"),
        Outcome::Names(names) => names.iter().map(Name::as_str).collect::<Vec<&str>>().join(" "),
        Outcome::Welcome { failed_logins, role, device, .. } => {
            welcome(*failed_logins, *role, device.as_deref().unwrap_or("none"))
        }
        Outcome::Devices(devices) => {
            let mark = |is_this| if is_this { "*" } else { "" };
            let names = devices.iter().map(|it| format!("{}{}", it.name, mark(it.is_this)));
            names.collect::<Vec<String>>().join(" ")
        }
        _ => "SUCCESS".into(),
    }
}
