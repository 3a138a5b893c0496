//! Lines: bytes that take their time, and ends that come after any of them.

use std::collections::VecDeque;
use std::rc::Rc;

use rand::RngExt;
use whoelse_client::core::Link;
use whoelse_client::{Loss, Security, Trouble};
use whoelse_server::simulated::Pipe;

use super::machine::{HERE, KEY};
use super::{Event, Fallible, World};

/// A line between a client and the server.
pub(super) struct Line {
    pipe: Rc<Pipe>,
    who: usize,
    /// Of which data the server spoke.
    pub(super) epoch: usize,
    /// On its way to the server.
    up: VecDeque<u8>,
    has_up: bool,
    has_down: bool,
    /// The client still has it.
    has_client: bool,
    /// Nothing goes through any more.
    is_cut: bool,
    is_slow: bool,
}

impl World {
    /// A connection opens, or not.
    pub(super) fn open(&mut self, who: usize) -> Fallible {
        let now = self.now;
        let is_refused = self.chance.network.random_bool(self.rates.unreachable);
        let Some(client) = self.people[who].client.as_mut() else { return Ok(()) };
        if !std::mem::take(&mut client.is_opening) {
            return Ok(());
        }
        let pipe = Pipe::new(Some(KEY), self.rates.outbound_max);
        let server = self.server.as_mut().filter(|_| !is_refused);
        if server.and_then(|server| server.house.connect(&pipe, HERE)).is_none() {
            self.stats.unreachable += 1;
            client.core.handle_connect_failed(now, Trouble::Refused);
            return self.follow(who);
        }
        self.last_line += 1;
        client.line = Some(self.last_line);
        let line = Line {
            pipe,
            who,
            epoch: self.epoch,
            up: VecDeque::new(),
            has_up: false,
            has_down: false,
            has_client: true,
            is_cut: false,
            is_slow: self.rates.is_hit(&mut self.chance.network, 10, 100) && !self.is_healing,
        };
        self.stats.slow += u64::from(line.is_slow);
        self.lines.insert(self.last_line, line);
        let link = Link { security: Security::Known, key: Some(KEY), loopback: true };
        client.core.handle_connected(now, link);
        self.follow(who)
    }

    /// A client writes.
    pub(super) fn send(&mut self, who: usize, bytes: &[u8]) {
        let Some(id) = self.people[who].client.as_ref().and_then(|client| client.line) else {
            return;
        };
        if let Some(line) = self.lines.get_mut(&id) {
            line.up.extend(bytes);
            self.plan_up(id);
        }
    }

    fn plan_up(&mut self, id: u32) {
        let delay = self.delay();
        if let Some(line) = self.lines.get_mut(&id)
            && !std::mem::replace(&mut line.has_up, true)
        {
            self.after(delay, Event::Up(id));
        }
    }

    fn delay(&mut self) -> u64 {
        self.chance.network.random_range(0..=self.rates.delay_ms)
    }

    /// Bytes arrive at the server, all that are on their way or a piece.
    pub(super) fn up(&mut self, id: u32) {
        let Some(line) = self.lines.get_mut(&id) else { return };
        line.has_up = false;
        if line.is_cut {
            return;
        }
        let mut bytes = line.up.len();
        if bytes > 1 && self.chance.network.random_bool(self.rates.pieces) {
            bytes = self.chance.network.random_range(1..bytes);
        }
        let bytes: Vec<u8> = line.up.drain(..bytes).collect();
        line.pipe.arrive(&bytes);
        if !line.up.is_empty() {
            self.plan_up(id);
        } else if !line.has_client {
            line.pipe.end();
        }
    }

    /// Bytes arrive at a client.
    pub(super) fn down(&mut self, id: u32) -> Fallible {
        let Some(line) = self.lines.get_mut(&id) else { return Ok(()) };
        line.has_down = false;
        if line.is_cut {
            return Ok(());
        }
        let most = match line.is_slow {
            true => 50,
            false if self.chance.network.random_bool(self.rates.pieces) => {
                self.chance.network.random_range(1..200)
            }
            false => usize::MAX,
        };
        let bytes = line.pipe.take(most);
        let who = line.who;
        if line.has_client {
            self.receive(who, id, &bytes)?;
        }
        let Some(line) = self.lines.get_mut(&id) else { return Ok(()) };
        if line.pipe.waiting() == 0 && line.is_left_by_server() {
            let had_client = line.has_client;
            self.lines.remove(&id);
            if had_client {
                self.lose_line(who, id, Loss::Closed)?;
            }
        }
        Ok(())
    }

    /// What the server has written is on its way to the clients.
    pub(super) fn look_at_lines(&mut self) {
        let mut planned = Vec::new();
        for (id, line) in &mut self.lines {
            let has_more = line.pipe.waiting() > 0 || line.is_left_by_server();
            if has_more && !line.is_cut && !line.has_down {
                line.has_down = true;
                planned.push((*id, line.is_slow));
            }
        }
        for (id, is_slow) in planned {
            let delay = self.delay() + if is_slow { 200 } else { 0 };
            self.after(delay, Event::Down(id));
        }
    }

    /// A client closes its line in order.
    pub(super) fn close(&mut self, who: usize) {
        let Some(client) = self.people[who].client.as_mut() else { return };
        client.is_opening = false;
        let Some(id) = client.line.take() else { return };
        if let Some(line) = self.lines.get_mut(&id) {
            line.has_client = false;
            self.plan_up(id);
        }
    }

    /// A client is gone without a word.
    pub(super) fn abandon(&mut self, who: usize) {
        let Some(id) = self.people[who].client.as_mut().and_then(|it| it.line.take()) else {
            return;
        };
        let Some(line) = self.lines.get_mut(&id) else { return };
        line.has_client = false;
        let arrived = self.chance.network.random_range(0..=line.up.len());
        self.stats.mid_frame += u64::from(arrived < line.up.len());
        let bytes: Vec<u8> = line.up.drain(..arrived).collect();
        line.pipe.arrive(&bytes);
        line.is_cut = true;
        let delay = self.chance.network.random_range(0..2_000);
        self.after(delay, Event::ServerCut(id));
    }

    /// A line breaks: of what is under way, a part arrives. Both ends learn of it sooner or later.
    pub(super) fn cut(&mut self) -> Fallible {
        let whole: Vec<u32> = (self.lines.iter())
            .filter(|(_, line)| line.has_client && !line.is_cut)
            .map(|(id, _)| *id)
            .collect();
        if whole.is_empty() {
            return Ok(());
        }
        let id = whole[self.chance.network.random_range(0..whole.len())];
        self.stats.cuts += 1;
        self.break_line(id, false)?;
        let patience = [0, 10, 3_000, 40_000][self.chance.network.random_range(0..4)];
        let server = self.chance.network.random_range(0..=patience);
        let client = self.chance.network.random_range(0..=patience / 2);
        self.stats.half_open += u64::from(server > client);
        self.after(server, Event::ServerCut(id));
        self.after(client, Event::ClientCut(id));
        Ok(())
    }

    fn break_line(&mut self, id: u32, is_all_sent: bool) -> Fallible {
        let Some(line) = self.lines.get_mut(&id) else { return Ok(()) };
        let arrived = self.chance.network.random_range(0..=line.up.len());
        self.stats.mid_frame += u64::from(arrived < line.up.len());
        let bytes: Vec<u8> = line.up.drain(..arrived).collect();
        line.pipe.arrive(&bytes);
        let waiting = line.pipe.waiting();
        let most =
            if is_all_sent { waiting } else { self.chance.network.random_range(0..=waiting) };
        let bytes = line.pipe.take(most);
        line.is_cut = true;
        let (who, has_client) = (line.who, line.has_client);
        if has_client { self.receive(who, id, &bytes) } else { Ok(()) }
    }

    pub(super) fn client_cut(&mut self, id: u32) -> Fallible {
        let Some(line) = self.lines.get_mut(&id) else { return Ok(()) };
        let who = line.who;
        if std::mem::take(&mut line.has_client) {
            self.lose_line(who, id, Loss::Cut)?;
        }
        self.forget_line(id);
        Ok(())
    }

    pub(super) fn server_cut(&mut self, id: u32) {
        if let Some(line) = self.lines.get_mut(&id) {
            line.pipe.cut();
        }
        self.forget_line(id);
    }

    /// A line that neither end has.
    fn forget_line(&mut self, id: u32) {
        if self.lines.get(&id).is_some_and(|it| !it.has_client && Rc::strong_count(&it.pipe) == 1) {
            self.lines.remove(&id);
        }
    }

    /// Everybody reads as fast as it comes.
    pub(super) fn heal_lines(&mut self) {
        for line in self.lines.values_mut() {
            line.is_slow = false;
        }
    }

    /// The server has ended: what it had written is still delivered, or a part of it.
    pub(super) fn server_gone(&mut self, is_all_sent: bool) -> Fallible {
        let lines: Vec<u32> = self.lines.keys().copied().collect();
        for id in lines {
            let is_whole = self.lines.get(&id).is_some_and(|line| !line.is_cut);
            if is_whole {
                self.break_line(id, is_all_sent)?;
            }
            let delay = self.delay();
            self.after(delay, Event::ClientCut(id));
        }
        Ok(())
    }

    fn lose_line(&mut self, who: usize, id: u32, loss: Loss) -> Fallible {
        let now = self.now;
        let Some(client) = self.people[who].client.as_mut() else { return Ok(()) };
        if client.line == Some(id) {
            client.line = None;
            client.core.handle_disconnected(now, loss);
            self.follow(who)?;
        }
        Ok(())
    }
}

impl Line {
    /// The server will write no more: it has said so, or has let go of it.
    fn is_left_by_server(&self) -> bool {
        self.pipe.is_over() || Rc::strong_count(&self.pipe) == 1
    }
}
