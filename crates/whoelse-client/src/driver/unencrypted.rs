//! Carrying links that nobody encrypts.

use std::future::pending;
use std::net::SocketAddr;

use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::Driver;
use crate::unencrypted::{Event, LineId, LineOrder, Lines, Refused};

/// Reports that wait for the loop; then whoever talks on a line waits.
const EVENTS_MAX: usize = 64;

/// All lines, and what they report.
pub(super) struct Plain {
    lines: Lines,
    events: mpsc::Receiver<Event>,
}

/// Something about a line.
pub(super) enum Line {
    Arrived((TcpStream, SocketAddr)),
    Event(Event),
}

impl Plain {
    pub(super) fn new() -> Self {
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        Self { lines: Lines::new(sender), events }
    }

    /// What happens next.
    pub(super) async fn next(&mut self) -> Line {
        tokio::select! {
            arrival = self.lines.arrival() => Line::Arrived(arrival),
            event = self.events.recv() => match event {
                Some(event) => Line::Event(event),
                // It lasts as long as the lines.
                None => pending().await,
            }
        }
    }

    /// Lets what was said leave, and ends.
    pub(super) async fn end(&mut self) {
        // Nobody wants to hear more, and nothing is to wait for somebody to listen.
        self.events.close();
        self.lines.end().await;
    }
}

impl Driver {
    /// Lets others open lines, if they may.
    pub(super) async fn listen(&mut self) {
        if self.core.allows_unencrypted() {
            let port = self.plain.lines.listen().await;
            self.core.handle_listening(port.map_err(|error| error.to_string()));
        }
    }

    pub(super) fn handle_line(&mut self, now_ms: u64, line: Line) {
        let event = match line {
            Line::Event(event) => Some(event),
            Line::Arrived(arrival) => self.plain.lines.take_in(arrival),
        };
        if let Some(event) = event {
            self.core.handle_unencrypted(now_ms, event);
        }
    }

    /// Does what the core wants of lines.
    pub(super) fn carry_unencrypted(&mut self, order: LineOrder) {
        let lines = &mut self.plain.lines;
        let (line, said) = match order {
            LineOrder::Connect { line, to } => {
                lines.connect(line, to);
                return;
            }
            LineOrder::Close { line } => {
                lines.close(line);
                return;
            }
            LineOrder::Say { line, number, from, text } => {
                (line, lines.say(line, number, &from, &text))
            }
        };
        // How a line ended that is gone comes by itself.
        if let Err(Refused::Full | Refused::TooLong) = said {
            self.give_up_on_line(line);
        }
    }

    fn give_up_on_line(&mut self, line: LineId) {
        self.plain.lines.close(line);
        let trouble = Some("more was said than could leave".to_owned());
        let event = Event::Ended { line, trouble };
        self.core.handle_unencrypted(self.now_ms(), event);
    }
}
