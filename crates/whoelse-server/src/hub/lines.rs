//! Connections: how they come, ask, fall silent and go.

use std::net::IpAddr;
use std::rc::Rc;

use ring::signature::{ED25519, UnparsedPublicKey};
use tracing::debug;
use whoelse_engine::{Aid, ConnectionId, Effect, Input, Time};
use whoelse_proto::codec::{self, Fault, Malformed};
use whoelse_proto::keys::resume_text;
use whoelse_proto::limits::{
    FRAME_BYTES_MAX, FRAME_BYTES_MAX_BEFORE_LOGIN, FRAME_MS_MAX, SILENT_MS_MAX, WRONG_PROOFS_MAX,
};
use whoelse_proto::{Command, Dialect, Event, Fingerprint, InviteSecret, Nonce, Resume, splitter};

use super::{Arrival, Hub, Timer};
use crate::line::{Line, Stage};
use crate::socket::Socket;

/// Whether a door may hand in the next frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    /// It may, of this length; with `lines` a frame must end on the line it began on.
    Open { bytes_max: usize, lines: bool },
    /// Not now; the door is woken when that may have changed.
    Shut,
    /// It reads and throws away.
    Deaf,
    /// The connection is no more.
    Gone,
}

impl Hub {
    /// A connection has made its way in: it may ask. Nothing happens if it was dropped meanwhile.
    pub(crate) fn connect(&mut self, arrival: &Arrival, socket: Rc<Socket>, address: IpAddr) {
        let connection = arrival.connection;
        if self.arrivals.remove(&connection).is_none() {
            return;
        }
        let is_secured = socket.is_secured();
        debug!(connection = connection.0, %address, is_secured, "connected");
        self.lines.insert(connection, Line::new(socket, arrival.source.get(), arrival.at));
        self.input(Input::Connected { connection, address });
    }

    /// A stranger has asked something: it goes to the end of the line of those to be dropped.
    fn has_asked(&mut self, connection: ConnectionId) {
        let now = self.clock.time();
        let Some(line) = self.lines.get_mut(&connection) else { return };
        if self.strangers.remove(&(line.asked_at, connection)) {
            line.asked_at = now;
            self.strangers.insert((now, connection));
        }
    }

    /// Strangers that have been silent for too long have to go.
    fn drop_silent(&mut self, now: Time) {
        while let Some((asked_at, connection)) = self.strangers.first().copied() {
            if asked_at.plus(SILENT_MS_MAX) > now {
                return;
            }
            if self.lines.get(&connection).is_some_and(|line| line.stage == Stage::LoggingIn) {
                self.has_asked(connection); // it is waiting for us
            } else {
                debug!(connection = connection.0, "dropped: silent before login");
                self.lost(connection);
            }
        }
    }

    /// Says whether the next frame of a connection may be handed in.
    pub(crate) fn gate(&mut self, connection: ConnectionId) -> Gate {
        let is_full = self.is_full();
        let Some(line) = self.lines.get_mut(&connection) else { return Gate::Gone };
        line.is_crowded_out = false;
        match line.stage {
            Stage::LoggingIn => Gate::Shut,
            Stage::Closing | Stage::Lingering => Gate::Deaf,
            Stage::Stranger | Stage::Member if line.outbox.is_crowded() => {
                line.is_crowded_out = true;
                line.midway_since = None; // the rest may have come; it is we who do not read
                Gate::Shut
            }
            Stage::Stranger | Stage::Member if is_full => {
                line.midway_since = None;
                self.held.push(connection);
                Gate::Shut
            }
            Stage::Stranger => Gate::Open { bytes_max: FRAME_BYTES_MAX_BEFORE_LOGIN, lines: false },
            Stage::Member => {
                let lines = line.outbox.dialect() == Dialect::Protocol;
                Gate::Open { bytes_max: FRAME_BYTES_MAX, lines }
            }
        }
    }

    /// A connection has sent an object.
    pub(crate) fn frame(&mut self, connection: ConnectionId, frame: &[u8]) {
        self.midway(connection, false);
        match codec::decode(frame) {
            Err(malformed) => self.complain(connection, malformed),
            Ok(request) => {
                let marked = self.lines.get(&connection).map(|line| line.marked);
                self.vouch(connection, marked);
                let Some(line) = self.lines.get_mut(&connection) else { return };
                if line.stage == Stage::Stranger {
                    if let Some(dialect) = wanted_dialect(&request.command) {
                        // Its answer, even a refusal, is in the dialect it asks for.
                        line.outbox.set_dialect(dialect);
                        line.stage = Stage::LoggingIn;
                    }
                    self.has_asked(connection);
                }
                let aid = self.aid(connection, &request.command);
                let is_wrong_proof = matches!(aid, Aid::Proof(false));
                self.input(Input::Request { connection, request, aid });
                if is_wrong_proof {
                    self.count_wrong_proof(connection);
                }
            }
        }
    }

    /// Checking proofs costs everybody; whoever has none does not try for ever.
    fn count_wrong_proof(&mut self, connection: ConnectionId) {
        let Some(line) = self.lines.get_mut(&connection) else { return };
        line.wrong_proofs += 1;
        if line.wrong_proofs >= WRONG_PROOFS_MAX {
            self.input(Input::Disconnected { connection });
            self.turn.effects.push(Effect::Close { connection });
        }
    }

    /// What a request needs that the engine cannot know.
    fn aid(&mut self, connection: ConnectionId, command: &Command<'_>) -> Aid {
        let Some(line) = self.lines.get_mut(&connection) else { return Aid::None };
        match command {
            Command::Challenge => {
                let nonce = Nonce(self.nature.random());
                line.nonce = Some(nonce);
                Aid::Challenge(nonce)
            }
            Command::Resume(resume) => {
                let nonce = line.nonce.take(); // good for one try
                // The key may have changed since; what counts is what the device was shown.
                let key = line.socket.key().unwrap_or(self.meeting.key);
                Aid::Proof(nonce.is_some_and(|nonce| is_proven(&key, &nonce, resume)))
            }
            Command::Invite { .. } => Aid::Invite {
                secret: InviteSecret::new(self.nature.random()),
                meeting: self.meeting.clone(),
            },
            _ => Aid::None,
        }
    }

    /// A connection has sent something that is not an object.
    pub(crate) fn fault(
        &mut self,
        connection: ConnectionId,
        fault: splitter::Fault,
        bytes: &[u8],
        bytes_max: usize,
    ) {
        self.midway(connection, false);
        let malformed = match fault {
            splitter::Fault::NotAnObject => Malformed {
                action: None,
                id: None,
                fault: Fault::Bad("A request is a JSON object: {\"action\":\"login\",…}.".into()),
            },
            splitter::Fault::Unfinished => {
                codec::salvage(bytes, "The line ended before the object did.")
            }
            splitter::Fault::TooLong => {
                let begin = &bytes[..bytes.len().min(bytes_max)];
                codec::salvage(begin, &format!("Longer than {bytes_max} bytes."))
            }
        };
        self.complain(connection, malformed);
    }

    /// Answers something that is not a request, in its turn among the answers before it.
    fn complain(&mut self, connection: ConnectionId, malformed: Malformed) {
        let event = Event::Malformed(malformed);
        self.turn.effects.push(Effect::Send { to: connection, event });
        self.ring();
    }

    /// Answers somebody who speaks something else, in its words, and ends the connection.
    pub(crate) fn turn_away(&mut self, connection: ConnectionId, answer: &[u8]) {
        let Some(line) = self.lines.get_mut(&connection) else { return };
        line.outbox.append(answer);
        self.input(Input::Disconnected { connection });
        self.close(connection);
    }

    /// Says whether a frame of a connection has begun and not ended.
    pub(crate) fn midway(&mut self, connection: ConnectionId, is_midway: bool) {
        let Some(line) = self.lines.get_mut(&connection) else { return };
        if !is_midway {
            line.midway_since = None;
        } else if line.midway_since.is_none() {
            let now = self.clock.time();
            line.midway_since = Some(now);
            if !line.is_midway_timed {
                line.is_midway_timed = true;
                self.timers.set(line, connection, now.plus(FRAME_MS_MAX), Timer::Midway);
            }
        }
    }

    /// The other side has ended its half, in order: what it asked before is still answered.
    pub(crate) fn ended(&mut self, connection: ConnectionId) {
        if self.lines.get(&connection).is_some_and(|line| line.socket.is_whole()) {
            self.vouch(connection, None);
        }
        let Some(line) = self.lines.get_mut(&connection) else { return };
        line.has_ended = true;
        match line.stage {
            Stage::Lingering => self.forget(connection),
            Stage::Closing => self.mark_dirty(connection),
            Stage::Stranger | Stage::LoggingIn | Stage::Member => {
                debug!(connection = connection.0, "ended");
                self.input(Input::Disconnected { connection });
                self.turn.effects.push(Effect::Close { connection });
            }
        }
    }

    /// The line has broken, or is broken because it harms others.
    pub(crate) fn lost(&mut self, connection: ConnectionId) {
        if self.lines.contains_key(&connection) {
            debug!(connection = connection.0, "lost");
            self.forget(connection);
        } else {
            self.forget_arrival(connection);
        }
    }

    pub(super) fn forget(&mut self, connection: ConnectionId) {
        let Some(line) = self.lines.remove(&connection) else { return };
        self.timers.forget(&line, connection);
        self.is_no_stranger(line.asked_at, connection, line.source);
        self.sources.leave(line.source);
        self.output_bytes -= line.counted;
        // Also where the engine ended it: it still has to forget the connection.
        self.input(Input::Disconnected { connection });
        line.socket.gone.set();
        line.socket.wake.notify_one();
    }

    /// Doors that were held back because the hub was full may go on when it no longer is.
    pub(super) fn let_doors_go_on(&mut self) {
        if self.held.is_empty() || self.is_full() {
            return;
        }
        for connection in std::mem::take(&mut self.held) {
            if let Some(line) = self.lines.get(&connection) {
                line.socket.wake.notify_one();
            }
        }
    }

    pub(super) fn fire_timers(&mut self) {
        let now = self.clock.time();
        if self.engine.deadline().is_some_and(|due| due <= now) {
            self.input(Input::Tick);
        }
        self.drop_silent(now);
        while let Some((at, connection, timer)) = self.timers.take_due(now) {
            if let Some(line) = self.lines.get_mut(&connection) {
                line.timed.retain(|timed| *timed != (at, timer));
            }
            self.fire(now, connection, timer);
        }
    }

    fn fire(&mut self, now: Time, connection: ConnectionId, timer: Timer) {
        let Some(line) = self.lines.get_mut(&connection) else { return };
        match timer {
            Timer::Pace => {
                line.is_pace_timed = false;
                self.mark_dirty(connection);
            }
            Timer::Midway => {
                line.is_midway_timed = false;
                let Some(since) = line.midway_since else { return };
                let due = since.plus(FRAME_MS_MAX);
                if due > now {
                    line.is_midway_timed = true;
                    self.timers.set(line, connection, due, Timer::Midway);
                } else {
                    self.too_slow(connection);
                }
            }
            Timer::Vouch(number) => {
                line.is_vouch_timed = false;
                self.vouch(connection, Some(number));
                self.time_vouching(connection);
            }
            Timer::Linger => self.forget(connection),
        }
    }

    /// A frame took longer than allowed: says so and ends the connection.
    fn too_slow(&mut self, connection: ConnectionId) {
        let seconds = FRAME_MS_MAX / 1000;
        let sentence = format!("A request must be complete within {seconds} seconds.");
        let malformed = Malformed { action: None, id: None, fault: Fault::Bad(sentence) };
        self.complain(connection, malformed);
        self.input(Input::Disconnected { connection });
        self.turn.effects.push(Effect::Close { connection });
    }
}

/// The dialect of the session that a request is to begin, if it is to begin one.
fn wanted_dialect(command: &Command<'_>) -> Option<Dialect> {
    match command {
        Command::Login(login) => Some(Dialect::of_login(login.protocol, login.private_port)),
        Command::Resume(_) | Command::Join(_) => Some(Dialect::Protocol),
        _ => None,
    }
}

/// Whether a device has signed what it was given, for this server and this name.
fn is_proven(server: &Fingerprint, nonce: &Nonce, resume: &Resume<'_>) -> bool {
    let text = resume_text(server, nonce, &resume.username);
    UnparsedPublicKey::new(&ED25519, &resume.key.0).verify(&text, &resume.signature.0).is_ok()
}
