//! A link whose both ends are known: reaches, talks, falls silent, reaches again, until either side ends it.
//!
//! While the caller does not take what is told, nothing is read of the connection. So whatever a peer sends, no more
//! is held than the windows of the connection, one frame, and what that frame says.

use std::collections::VecDeque;
use std::future::pending;
use std::time::Duration;

use iroh::Watcher;
use iroh::endpoint::VarInt;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::{Ending, Link, Order, Target};
use crate::TEXT_BYTES_MAX;
use crate::api::{Event, Failure, Relay, Route, Unreached};
use crate::endpoint::{End, code};
use crate::files::{FRAMES_MAX, News};
use crate::reach::{Broken, Reach, Reached, Reader, Talk, Writer};
use crate::relay;
use crate::texts::Impossible;
use crate::wire::{FileFrame, Frame};

/// Whoever says nothing else says this often that it is there.
const PING: Duration = Duration::from_secs(1);

/// Nothing was heard for this long: silent.
const SILENCE: Duration = Duration::from_secs(4);

/// How often it is looked which way a link takes.
const ROUTE_LOOK: Duration = Duration::from_millis(250);

/// How long what was sent has to leave when the link ends.
const FLUSH: Duration = Duration::from_secs(1);

/// How long after their good-bye we may still say what was shown.
const LAST_ACK: Duration = Duration::from_millis(500);

/// How long iroh has to find the relay again by itself. Its pauses grow to 16 s, and nothing shortens them; so after this our end is
/// made anew, with the same key.
const RELAY_GRACE: Duration = Duration::from_millis(750);

/// From this many things to tell on, no other connection is made.
const UNTOLD_MAX: usize = 16;

/// See above.
pub(super) struct Standing<'l> {
    link: &'l mut Link,
    end: End,
    target: Target,
    /// The relay our end was told of.
    relay: Option<Relay>,
    reach: Option<Reach>,
    talk: Option<Talk>,
    /// What is to be told, in order. Nothing is read while there is anything.
    untold: VecDeque<Untold>,
    /// What is to be said about files.
    frames: Option<mpsc::Receiver<FileFrame<'static>>>,
    unreached: Option<Unreached>,
    up: bool,
    silent: bool,
    route: Option<Route>,
    /// When the connection was made that stands.
    met: Instant,
    heard: Instant,
    said: Instant,
    looked: Instant,
    /// When to see whether iroh has found the relay again.
    relay_due: Option<Instant>,
    leaving: Option<Leaving>,
}

/// What is to be told, and to whom.
enum Untold {
    Caller(Event),
    Files(News),
}

/// A link that is about to end.
struct Leaving {
    /// When what comes next comes, whatever is left: our answer to their good-bye, else the end.
    until: Instant,
    /// They began; we only say what was shown.
    theirs: bool,
    /// That has had its time.
    late: bool,
    /// Our good-bye is among what is written.
    said: bool,
}

/// What happened.
enum Happened {
    Order(Option<Order>),
    Woken,
    Told,
    Unheard,
    Frame(FileFrame<'static>),
    Read(Result<(), Broken>),
    Written(Result<(), Broken>),
    Reached(Option<Reached>),
    Relay,
    Time,
}

impl<'l> Standing<'l> {
    pub(super) fn new(link: &'l mut Link, end: End, target: Target) -> Self {
        let now = Instant::now();
        let relay = *link.plan.place.borrow_and_update();
        Self {
            link,
            end,
            target,
            relay,
            reach: None,
            talk: None,
            untold: VecDeque::new(),
            frames: None,
            unreached: None,
            up: false,
            silent: false,
            route: None,
            met: now,
            heard: now,
            said: now,
            looked: now,
            relay_due: None,
            leaving: None,
        }
    }

    /// Runs to the end; what was not told yet comes with it.
    pub(super) async fn live(mut self) -> (VecDeque<Event>, Ending) {
        self.reach();
        let ending = loop {
            if let Err(ending) = self.speak() {
                break ending;
            }
            let happened = self.happens().await;
            if let Err(ending) = self.take(happened).await {
                break ending;
            }
        };
        let untold = std::mem::take(&mut self.untold).into_iter();
        let untold = untold.filter_map(|untold| match untold {
            Untold::Caller(event) => Some(event),
            // Files hear that the link is over.
            Untold::Files(_) => None,
        });
        let untold = untold.collect();
        self.close(&ending).await;
        (untold, ending)
    }

    async fn close(self, ending: &Ending) {
        let code = match ending {
            Ending::Failed(_) => code::PROTOCOL,
            Ending::Closed | Ending::Told => code::DONE,
        };
        drop(self.reach);
        if let Some(talk) = self.talk {
            talk.connection.close(VarInt::from_u32(code), b"");
        }
        self.end.close().await;
    }

    async fn happens(&mut self) -> Happened {
        let deadline = self.deadline();
        let (reader, writer) = match &mut self.talk {
            Some(talk) => (Some(&mut talk.reader), Some(&mut talk.writer)),
            None => (None, None),
        };
        let untold = !self.untold.is_empty();
        let few = self.untold.len() < UNTOLD_MAX;
        let writes = writer.as_ref().is_some_and(|writer| !writer.is_empty());
        tokio::select! {
            order = self.link.orders.recv() => Happened::Order(order),
            told = tell(&mut self.untold, &self.link.events, &self.link.files), if untold => {
                if told.is_some() { Happened::Told } else { Happened::Unheard }
            }
            frame = said(&mut self.frames), if !writes => Happened::Frame(frame),
            result = write(writer) => Happened::Written(result),
            result = read(reader), if !untold => Happened::Read(result),
            () = self.link.shared.wake.notified() => Happened::Woken,
            reached = reached(&mut self.reach), if few => Happened::Reached(reached),
            Ok(()) = self.link.plan.place.changed() => Happened::Relay,
            () = sleep_until(deadline) => Happened::Time,
        }
    }

    async fn take(&mut self, happened: Happened) -> Result<(), Ending> {
        match happened {
            Happened::Order(Some(Order::Close) | None) => self.leave(false),
            Happened::Order(Some(_)) | Happened::Woken | Happened::Written(Ok(())) => Ok(()),
            Happened::Unheard => Err(Ending::Told),
            Happened::Frame(frame) => {
                if let Some(talk) = &mut self.talk {
                    talk.writer.push(&Frame::File(frame));
                    self.said = Instant::now();
                }
                Ok(())
            }
            Happened::Told | Happened::Read(Ok(())) => self.listen(),
            Happened::Read(Err(broken)) | Happened::Written(Err(broken)) => self.broken(broken),
            Happened::Reached(reached) => self.reached(reached),
            Happened::Relay => {
                self.relay_moved().await;
                Ok(())
            }
            Happened::Time => self.tick().await,
        }
    }

    /// Gives the writer what there is to say, as far as it has room.
    fn speak(&mut self) -> Result<(), Ending> {
        let now = Instant::now();
        let Some(talk) = &mut self.talk else {
            return if self.leaving.is_some() { Err(self.left()) } else { Ok(()) };
        };
        let writer = &mut talk.writer;
        if !writer.is_empty() {
            return Ok(());
        }
        let mut texts = self.link.shared.lock();
        if let Some(number) = texts.acknowledge() {
            writer.push(&Frame::Ack { number });
        }
        let leaving = self.leaving.as_mut();
        let theirs = leaving.as_ref().is_some_and(|leaving| leaving.theirs);
        while !theirs && !writer.is_full() {
            let Some((number, text)) = texts.write() else { break };
            writer.push(&Frame::Text { number, text: text.into() });
        }
        if let Some(leaving) = leaving.filter(|leaving| !leaving.said && !writer.is_full()) {
            // Their good-bye is answered when all they said was shown, or has had its time.
            if !leaving.theirs || texts.is_settled() || leaving.late {
                writer.push(&Frame::Bye);
                leaving.said = true;
                leaving.until = now + FLUSH;
            }
        }
        if writer.is_empty() && now >= self.said + PING {
            writer.push(&Frame::Ping);
        }
        if !writer.is_empty() {
            self.said = now;
        }
        Ok(())
    }

    /// Hears what has come, until something of it has to be told first.
    fn listen(&mut self) -> Result<(), Ending> {
        while self.untold.is_empty() {
            let Some(talk) = &mut self.talk else { return Ok(()) };
            let shared = &self.link.shared;
            let link = self.link.id;
            let untold = match talk.reader.decoder.next() {
                Ok(None) => break,
                Err(error) => return nonsense(error.text()),
                Ok(Some(Frame::Hello { .. })) => return nonsense("it says hello twice"),
                Ok(Some(Frame::Ping)) => None,
                Ok(Some(Frame::Bye)) => return self.leave(true),
                Ok(Some(Frame::Ack { number })) => {
                    let news = shared.lock().acknowledged(number)?;
                    news.then_some(Untold::Caller(Event::Acknowledged { link, number }))
                }
                Ok(Some(Frame::File(frame))) => {
                    let frame = frame.into_owned();
                    Some(Untold::Files(News::Said { link, frame }))
                }
                Ok(Some(Frame::Text { number, text })) => {
                    if text.len() > TEXT_BYTES_MAX {
                        return nonsense("a text is longer than allowed");
                    }
                    let news = shared.lock().came(number)?;
                    let text = text.into_owned();
                    news.then_some(Untold::Caller(Event::Text { link, number, text }))
                }
            };
            self.hears();
            // After a good-bye nothing more is told.
            if !self.leaving.as_ref().is_some_and(|leaving| leaving.theirs) {
                self.untold.extend(untold);
            }
        }
        Ok(())
    }

    fn hears(&mut self) {
        self.heard = Instant::now();
        if self.silent {
            self.silent = false;
            let link = self.link.id;
            self.untold.push_back(Untold::Caller(Event::Heard { link }));
            self.untold.push_back(Untold::Files(News::Heard { link }));
            if self.target.dials {
                self.reach = None;
            }
        }
    }

    /// Begins to end the link.
    fn leave(&mut self, theirs: bool) -> Result<(), Ending> {
        if theirs {
            if self.leaving.is_some() {
                // Ours is answered: they have all we said, and we what they had to say of it.
                return Err(self.left());
            }
            self.untold.push_back(Untold::Caller(Event::Bye { link: self.link.id }));
        } else if self.leaving.is_some() {
            // It ends already.
            return Ok(());
        }
        let until = Instant::now() + if theirs { LAST_ACK } else { FLUSH };
        self.reach = None;
        self.leaving = Some(Leaving { until, theirs, late: false, said: false });
        Ok(())
    }

    /// How the link ends, once it is about to.
    fn left(&self) -> Ending {
        match &self.leaving {
            Some(Leaving { theirs: true, .. }) => Ending::Told,
            _ => Ending::Closed,
        }
    }

    fn broken(&mut self, broken: Broken) -> Result<(), Ending> {
        if let Broken::Nonsense(what) = broken {
            return nonsense(what);
        }
        self.hangs_up();
        if self.leaving.is_some() {
            return Err(self.left());
        }
        self.falls_silent();
        Ok(())
    }

    /// The connection is over, and nothing more goes over it.
    fn hangs_up(&mut self) -> bool {
        let stood = self.talk.take().is_some();
        self.frames = None;
        if stood {
            self.untold.push_back(Untold::Files(News::Down { link: self.link.id }));
        }
        stood
    }

    fn falls_silent(&mut self) {
        if !self.silent {
            self.silent = true;
            let link = self.link.id;
            self.untold.push_back(Untold::Caller(Event::Silent { link }));
            self.untold.push_back(Untold::Files(News::Silent { link }));
        }
        if self.target.dials {
            self.reach();
        }
    }

    /// Reaches for the other end, unless that is under way.
    fn reach(&mut self) {
        if self.reach.is_some() {
            return;
        }
        let (end, texts) = (self.end.clone(), self.link.shared.clone());
        self.reach = Some(if self.target.dials {
            let to = self.end.target(self.target.id, &self.target.peer, self.relay.as_ref());
            Reach::dial(end, to, texts)
        } else {
            Reach::expect(end, self.target.id, texts)
        });
    }

    fn reached(&mut self, reached: Option<Reached>) -> Result<(), Ending> {
        match reached {
            Some(Reached::Talk(talk)) => return self.meets(*talk),
            Some(Reached::Nonsense(what)) => return nonsense(what),
            Some(Reached::Not(why)) => {
                if !self.up && self.unreached.as_ref() != Some(&why) {
                    self.unreached = Some(why.clone());
                    let link = self.link.id;
                    self.untold.push_back(Untold::Caller(Event::Unreached { link, why }));
                }
            }
            None => {
                // It stops only after success, or when the end does, which only we do.
                self.reach = None;
            }
        }
        Ok(())
    }

    /// A connection stands; the one before, if any, is over.
    fn meets(&mut self, talk: Talk) -> Result<(), Ending> {
        let link = self.link.id;
        self.link.shared.lock().resume(talk.received)?;
        if self.target.dials {
            self.reach = None;
        }
        let (route, rtt) = way(&talk).unwrap_or((Route::Direct, Duration::ZERO));
        if let Some(before) = self.talk.replace(talk) {
            before.connection.close(VarInt::from_u32(code::REPLACED), b"");
        }
        self.files_may_go();
        let now = Instant::now();
        (self.met, self.said, self.looked) = (now, now, now);
        if !self.up {
            self.up = true;
            self.heard = now;
            self.route = Some(route);
            self.untold.push_back(Untold::Caller(Event::Up { link, route, rtt }));
        } else {
            self.hears();
        }
        self.listen()
    }

    /// Files may go over the connection that stands now.
    fn files_may_go(&mut self) {
        let Some(talk) = &self.talk else { return };
        let (frames, said) = mpsc::channel(FRAMES_MAX);
        self.frames = Some(said);
        self.untold.push_back(Untold::Files(News::Up {
            link: self.link.id,
            device: self.target.peer.device.clone(),
            connection: talk.connection.clone(),
            frames,
        }));
    }

    /// Does what is due.
    async fn tick(&mut self) -> Result<(), Ending> {
        let now = Instant::now();
        if let Some(leaving) = self.leaving.as_mut().filter(|leaving| now >= leaving.until) {
            if !leaving.theirs || leaving.late || leaving.said {
                return Err(self.left());
            }
            // What is written already goes before our answer, and may not leave at all.
            leaving.late = true;
            leaving.until = now + FLUSH;
        }
        if self.relay_due.is_some_and(|due| now >= due) {
            self.relay_due = None;
            self.remake_if_lost().await?;
        }
        if self.talk.is_none() {
            return Ok(());
        }
        if now >= self.looks_at() {
            self.looked = now;
            self.look();
        }
        if self.listens() && now >= self.heard + SILENCE {
            self.falls_silent();
        }
        Ok(())
    }

    /// Whether hearing nothing means something: while nothing is read, nothing can be heard.
    fn listens(&self) -> bool {
        !self.silent && self.untold.is_empty() && self.leaving.is_none()
    }

    /// When to look which way the link takes: less often when it has taken it for a while.
    fn looks_at(&self) -> Instant {
        let often = self.met.elapsed() < 10 * PING;
        self.looked + if often { ROUTE_LOOK } else { PING }
    }

    fn look(&mut self) {
        let Some((route, _)) = self.talk.as_ref().and_then(way) else { return };
        if self.untold.len() >= UNTOLD_MAX {
            return;
        }
        if self.route != Some(route) && self.leaving.is_none() {
            self.route = Some(route);
            self.untold.push_back(Untold::Caller(Event::Route { link: self.link.id, route }));
        }
    }

    /// The caller says where the relay is, or that it lets us in again.
    async fn relay_moved(&mut self) {
        let place = *self.link.plan.place.borrow_and_update();
        if !self.link.plan.with_relay {
            return;
        }
        let before = self.relay.as_ref().and_then(relay::url);
        let after = place.as_ref().and_then(relay::url);
        self.relay = place;
        if before != after {
            if let Some(before) = before {
                self.end.endpoint.remove_relay(&before).await;
            }
            if let Some(after) = after
                && let Some(config) =
                    place.and_then(|relay| relay::config(&relay, &self.link.plan.ticket))
            {
                self.end.endpoint.insert_relay(after, config.into()).await;
            }
        }
        self.relay_due = place.map(|_| Instant::now() + RELAY_GRACE);
    }

    /// If we are not with the relay and nothing is heard, our end is made anew.
    async fn remake_if_lost(&mut self) -> Result<(), Ending> {
        let relays = self.end.endpoint.home_relay_status().get();
        let with_relay = relays.iter().any(iroh::endpoint::RelayStatus::is_connected);
        let hears = self.talk.is_some() && !self.silent && self.heard.elapsed() < 2 * PING;
        if with_relay || hears || self.leaving.is_some() {
            return Ok(());
        }
        let end = match self.link.plan.bind().await {
            Ok(end) => end,
            Err(error) => return Err(Ending::Failed(Failure::Socket(error))),
        };
        self.reach = None;
        let before = std::mem::replace(&mut self.end, end);
        // Nobody waits for it.
        drop(tokio::spawn(before.close()));
        if self.hangs_up() {
            self.falls_silent();
        }
        self.reach();
        Ok(())
    }

    fn deadline(&self) -> Instant {
        let mut first = Instant::now() + Duration::from_secs(3600);
        let mut at = |due: Option<Instant>| first = due.map_or(first, |due| first.min(due));
        at(self.leaving.as_ref().map(|leaving| leaving.until));
        at(self.relay_due);
        if let Some(talk) = &self.talk {
            at(Some(self.looks_at()));
            at(self.listens().then_some(self.heard + SILENCE));
            at(talk.writer.is_empty().then_some(self.said + PING));
        }
        first
    }
}

impl From<Impossible> for Ending {
    fn from(Impossible(what): Impossible) -> Self {
        Self::Failed(Failure::Protocol(what))
    }
}

fn nonsense<T>(what: &'static str) -> Result<T, Ending> {
    Err(Ending::Failed(Failure::Protocol(what)))
}

/// The way a connection takes now, and how long an answer takes on it.
fn way(talk: &Talk) -> Option<(Route, Duration)> {
    let paths = talk.connection.paths();
    let path = paths.iter().find(iroh::endpoint::Path::is_selected)?;
    let route = if path.is_relay() { Route::Relayed } else { Route::Direct };
    Some((route, path.rtt()))
}

async fn read(reader: Option<&mut Reader>) -> Result<(), Broken> {
    match reader {
        Some(reader) => reader.read().await,
        None => pending().await,
    }
}

async fn write(writer: Option<&mut Writer>) -> Result<(), Broken> {
    match writer {
        Some(writer) if !writer.is_empty() => writer.write().await,
        _ => pending().await,
    }
}

/// Tells what is to be told first, when there is room for it. None if nobody listens.
async fn tell(
    untold: &mut VecDeque<Untold>,
    events: &mpsc::Sender<Event>,
    files: &mpsc::Sender<News>,
) -> Option<()> {
    // It is taken out only when it can be told, for this may be given up at any time.
    match untold.front()? {
        Untold::Caller(_) => {
            let permit = events.reserve().await.ok()?;
            if let Some(Untold::Caller(event)) = untold.pop_front() {
                permit.send(event);
            }
        }
        Untold::Files(_) => {
            let permit = files.reserve().await.ok()?;
            if let Some(Untold::Files(news)) = untold.pop_front() {
                permit.send(news);
            }
        }
    }
    Some(())
}

/// What is to be said about files.
async fn said(frames: &mut Option<mpsc::Receiver<FileFrame<'static>>>) -> FileFrame<'static> {
    match frames {
        Some(said) => match said.recv().await {
            Some(frame) => frame,
            None => pending().await,
        },
        None => pending().await,
    }
}

async fn reached(reach: &mut Option<Reach>) -> Option<Reached> {
    match reach {
        Some(reach) => reach.reached.recv().await,
        None => pending().await,
    }
}
