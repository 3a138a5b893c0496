//! Getting many people logged in, no faster than the server checks passwords.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use super::wire::Wire;
use super::words;
use crate::dialect::{name_of, password_of};
use crate::failure::Failure;

/// Fewer than the server's queue of password checks, so that `BUSY` stays the exception.
const AT_ONCE: usize = 32;

/// How long to wait after `BUSY`.
const BUSY_PAUSE: Duration = Duration::from_millis(200);

/// How long nobody may get in before the server is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// People on their way in. Each is connected at the place of their own number.
#[derive(Debug)]
pub(crate) struct Admission {
    waiting: VecDeque<usize>,
    asked: BTreeSet<usize>,
    again: VecDeque<(Instant, usize)>,
    done: usize,
    last_progress: Instant,
}

impl Admission {
    /// Begins with nobody in.
    pub(crate) fn of(people: impl IntoIterator<Item = usize>) -> Self {
        Self {
            waiting: people.into_iter().collect(),
            asked: BTreeSet::new(),
            again: VecDeque::new(),
            done: 0,
            last_progress: Instant::now(),
        }
    }

    /// Counts those who are in.
    pub(crate) fn done(&self) -> usize {
        self.done
    }

    /// Says whether everybody is in.
    pub(crate) fn is_over(&self) -> bool {
        self.waiting.is_empty() && self.asked.is_empty() && self.again.is_empty()
    }

    /// Asks for as many as the server may be asked for now.
    pub(crate) fn go_on(&mut self, wire: &mut Wire) -> Result<(), Failure> {
        let now = Instant::now();
        while self.again.front().is_some_and(|(when, _)| *when <= now) {
            let person = self.again.pop_front().map(|(_, person)| person);
            self.waiting.extend(person);
        }
        while self.asked.len() < AT_ONCE
            && let Some(person) = self.waiting.pop_front()
        {
            if !wire.is_open(person) {
                wire.connect_at(person)?;
            }
            wire.say(person, words::login(&name_of(person), &password_of(person)).as_bytes());
            self.asked.insert(person);
        }
        if self.last_progress.elapsed() > PATIENCE {
            let (done, seconds) = (self.done, PATIENCE.as_secs());
            return Err(Failure::new(format!(
                "nobody could log in for {seconds} s ({done} are in)"
            )));
        }
        Ok(())
    }

    /// Takes note of an answer to a login; says whether somebody got in.
    pub(crate) fn heard(&mut self, person: usize, status: &str) -> Result<bool, Failure> {
        if !self.asked.remove(&person) {
            return Ok(false);
        }
        match status {
            "SUCCESS" => {
                self.done += 1;
                self.last_progress = Instant::now();
                Ok(true)
            }
            "BUSY" => {
                self.again.push_back((Instant::now() + BUSY_PAUSE, person));
                Ok(false)
            }
            _ => {
                let name = name_of(person);
                Err(Failure::new(format!("the login of {name} was refused: {status}")))
            }
        }
    }

    /// Takes note that a connection has ended, which is a failure if it was on its way in.
    pub(crate) fn ended(&self, person: usize) -> Result<(), Failure> {
        if !self.asked.contains(&person) {
            return Ok(());
        }
        let name = name_of(person);
        Err(Failure::new(format!("the connection of {name} was ended during the login")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_people_ask_again_and_refusals_say_who() {
        let mut admission = Admission::of([]);
        admission.asked.extend([0, 1, 2]);
        assert!(admission.heard(0, "SUCCESS").unwrap());
        assert!(!admission.heard(0, "SUCCESS").unwrap(), "once is enough");
        assert!(!admission.heard(1, "BUSY").unwrap());
        assert_eq!((admission.done(), admission.again.len(), admission.is_over()), (1, 1, false));
        let refusal = admission.heard(2, "BLOCKED").unwrap_err();
        assert_eq!(refusal.to_string(), "the login of u0002 was refused: BLOCKED");
    }

    #[test]
    fn an_end_matters_only_on_the_way_in() {
        let mut admission = Admission::of([]);
        admission.asked.insert(4);
        assert!(admission.ended(3).is_ok() && admission.ended(4).is_err());
    }
}
