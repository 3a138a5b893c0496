//! Whatever happens to shared files in whatever order: no more links than may be, none that nobody
//! uses, and nothing is due at once for ever.

use std::path::PathBuf;

use whoelse_proto::{Layout, PartMap};

use super::links_world::{SILENCE, World, accept, start, stop};
use super::swarm::{SIZE, film, offer, share, world};
use super::*;
use crate::links::swarm::GetProgress;
use crate::links::{
    FETCHING_MAX, FileFailure, LinkId, PeerEvent, PeerFailure, SERVING_MAX, SwarmEvent, SwarmFile,
    SwarmOrder,
};

const PEOPLE: [&str; 4] = ["luke", "yoda", "ben", "leia"];

impl World {
    fn some_parts(&mut self) -> PartMap {
        let bits = self.below(16);
        let mut parts = PartMap::none(Layout::of(SIZE).parts());
        (0..4).filter(|part| bits & 1 << part != 0).for_each(|part| parts.insert(part));
        parts
    }

    /// A link of hans, or none.
    fn some_link(&mut self) -> LinkId {
        let links = self.fetch_links();
        let at = usize::try_from(self.below(9)).unwrap();
        links.get(at).copied().unwrap_or(LinkId(77))
    }

    fn some_event(&mut self) -> SwarmEvent {
        match self.below(9) {
            0 => SwarmEvent::Starving,
            1 => SwarmEvent::Spare { link: self.some_link() },
            2 => SwarmEvent::Banned { link: self.some_link() },
            3 => SwarmEvent::Parts { parts: self.some_parts() },
            4 => SwarmEvent::Progress(GetProgress { done: self.below(SIZE), ..Default::default() }),
            5 => {
                let by = vec![(self.some_link(), 5, 1)];
                SwarmEvent::Received { path: PathBuf::from("/downloads/film.mkv"), by }
            }
            6 => SwarmEvent::NotReceived { why: FileFailure::NoFolder },
            7 => SwarmEvent::Kept {
                size: SIZE,
                note: offer("luke", 2, &[]).written(),
                done: self.some_parts(),
            },
            _ => SwarmEvent::Served { link: self.some_link(), bytes: self.below(100) },
        }
    }

    /// Something happens at hans's, or at luke's, or to the server.
    fn something_happens(&mut self) {
        match self.below(20) {
            0..=3 => self.gets("film.mkv"),
            4..=7 => {
                let event = self.some_event();
                self.swarm(0, event);
            }
            8 => {
                let (link, why) = (self.some_link(), PeerFailure::NoRoute);
                self.ends[0].core.handle_peer(self.now_ms, PeerEvent::Failed { link, why });
            }
            9 => {
                let link = self.some_link();
                self.ends[0].core.handle_peer(self.now_ms, PeerEvent::Bye { link });
            }
            10 => {
                let ms = self.below(30_000);
                self.wait(ms);
            }
            11 => {
                let who = usize::try_from(self.below(2)).unwrap();
                self.hang_up(who);
            }
            12 => {
                let user = PEOPLE[usize::try_from(self.below(4)).unwrap()].to_owned();
                let block = self.below(2) == 0;
                let command =
                    if block { Command::Block { user } } else { Command::Unblock { user } };
                self.wants(0, command);
            }
            13 => {
                let yes = Some(self.below(2) == 0);
                self.wants(0, Command::Seed { yes });
            }
            14 => self.wants(0, Command::Unshare { which: "film.mkv".into() }),
            15 => {
                let number = self.ends[0].core.list_gets().first().map_or(7, |line| line.number);
                self.wants(0, Command::Cancel { which: number.to_string() });
            }
            16 => {
                let silent = self.below(2) == 0;
                let answer = if silent { SILENCE } else { "USER_OFFLINE" };
                match self.below(3) {
                    0 => drop(self.answers.remove(&(0, "startprivate"))),
                    _ => drop(self.answers.insert((0, "startprivate"), answer.into())),
                }
            }
            17 => {
                let sources: Vec<_> = PEOPLE
                    .iter()
                    .map(|name| {
                        (*name, 2 + u8::try_from(self.below(2)).unwrap(), self.some_parts())
                    })
                    .collect();
                self.sources_with(&sources);
            }
            18 => match self.below(3) {
                0 => self.wants(0, start("luke")),
                1 => self.wants(1, accept("hans")),
                _ => self.wants(0, stop("luke")),
            },
            _ => {
                self.wants(1, share(&[]));
                self.settle();
                self.answer_reading();
            }
        }
        self.settle();
    }

    /// What luke wants to share is read through.
    fn answer_reading(&mut self) {
        for order in self.orders(1) {
            if let SwarmOrder::Share { number, path } = order {
                let SwarmFile { name, size, .. } = film();
                let (number, note) = (Some(number), String::new());
                self.swarm(1, SwarmEvent::Shared { number, path, name, size, note });
            }
        }
    }

    fn check(&mut self) {
        for end in &mut self.ends {
            end.core.tick(self.now_ms);
            let links = &end.core.links;
            assert!(links.fetching().len() <= FETCHING_MAX);
            assert!(links.serving_now() <= SERVING_MAX);
            links.check_sources();
            let deadline = end.core.deadline();
            assert!(deadline.is_none_or(|at_ms| at_ms > self.now_ms), "it is due for ever");
        }
        self.settle();
    }
}

#[test]
fn links_for_files_are_neither_lost_nor_too_many() {
    for seed in 0..300 {
        let mut world = world();
        for _ in 0..=seed {
            world.below(2);
        }
        world.found(&offer("luke", 2, &[]));
        world.source(&PEOPLE.map(|name| (name, 2)));
        for _ in 0..60 {
            world.something_happens();
            world.check();
        }
    }
}
