//! Hashing and checking passwords, on a thread of its own.
//!
//! argon2id with 19 MiB, two passes and one lane (the OWASP minimum, and the crate's default)
//! takes 10 to 30 ms, which must not hold up anybody who only talks. Logins go before people the
//! operator adds, and those before an import, whose passwords are kept in memory until each is
//! hashed. The engine bounds how many logins wait.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash as PhcHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use whoelse_engine::{AccountId, PasswordHash, Ticket};
use whoelse_proto::Password;

/// What the thread has found out.
pub(crate) enum PasswordEvent {
    /// A login's password was checked.
    Checked {
        /// Which check.
        ticket: Ticket,
        /// Whether it is the right one.
        matches: bool,
    },
    /// An imported password was hashed.
    Imported {
        /// Whose.
        account: AccountId,
        /// The hash.
        hash: PasswordHash,
    },
    /// A new password that the engine wants was hashed.
    HashedForEngine {
        /// As it was asked for.
        ticket: Ticket,
        /// The hash.
        hash: PasswordHash,
    },
    /// A password of somebody the operator adds was hashed.
    Hashed {
        /// As it was asked for.
        ticket: u64,
        /// The hash.
        hash: PasswordHash,
    },
}

/// A login's password to be checked.
pub(crate) struct Check {
    /// To be returned.
    pub ticket: Ticket,
    /// Whose it claims to be; none if there is no such account.
    pub account: Option<AccountId>,
    /// What to check against; none if it is not hashed yet or there is no account.
    pub hash: Option<PasswordHash>,
    /// What was typed.
    pub password: Password,
}

/// The thread that hashes. It ends when this is dropped.
pub(crate) struct Passwords {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    work: Mutex<Work>,
    more: Condvar,
}

#[derive(Default)]
struct Work {
    checks: VecDeque<Check>,
    /// New passwords of people who are there and wait; the engine bounds how many.
    changes: VecDeque<(Ticket, Password)>,
    additions: VecDeque<(u64, Password)>,
    imports: BTreeMap<AccountId, Password>,
    /// What this run has hashed: a check may have been asked for before the engine learnt of it.
    imported: BTreeMap<AccountId, PasswordHash>,
    ended: bool,
    /// Checks since something else had its turn.
    checks_in_a_row: u32,
}

/// After so many checks of logins it is the turn of a new password, if one waits: otherwise somebody
/// who logs in over and over would keep everybody else from changing theirs.
const CHECKS_IN_A_ROW_MAX: u32 = 3;

enum Job {
    Check(Check),
    /// A login of somebody whose imported password is not hashed yet.
    CheckImport(Check, AccountId, Password),
    Change(Ticket, Password),
    Addition(u64, Password),
    Import(AccountId, Password),
}

impl Passwords {
    /// Starts the thread; what it finds out goes to `notify`.
    ///
    /// # Errors
    /// When the system has no more threads.
    pub(crate) fn start(notify: impl Fn(PasswordEvent) + Send + 'static) -> std::io::Result<Self> {
        let shared = Arc::new(Shared { work: Mutex::default(), more: Condvar::new() });
        let work = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("passwords".into())
            .spawn(move || run(&work, &notify))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Passwords without a thread: somebody calls [`Self::do_one`].
    pub(crate) fn by_hand() -> Self {
        Self {
            shared: Arc::new(Shared { work: Mutex::default(), more: Condvar::new() }),
            thread: None,
        }
    }

    /// Does the next of what waits; false if nothing does.
    pub(crate) fn do_one(&self, hasher: &mut impl Hash, notify: &impl Fn(PasswordEvent)) -> bool {
        let job = self.shared.lock().next();
        let is_any = job.is_some();
        if let Some(job) = job {
            self.shared.do_job(job, hasher, notify);
        }
        is_any
    }

    /// Has a login checked. The answer takes as long whether or not there is such an account.
    pub(crate) fn check(&self, check: Check) {
        self.add(|work| work.checks.push_back(check));
    }

    /// Has a new password hashed for the engine.
    pub(crate) fn hash_for_engine(&self, ticket: Ticket, password: Password) {
        self.add(|work| work.changes.push_back((ticket, password)));
    }

    /// Has the password of somebody new hashed.
    pub(crate) fn hash(&self, ticket: u64, password: Password) {
        self.add(|work| work.additions.push_back((ticket, password)));
    }

    /// Has imported passwords hashed, when nothing else is to be done.
    pub(crate) fn import(&self, people: Vec<(AccountId, Password)>) {
        self.add(|work| work.imports.extend(people));
    }

    fn add(&self, change: impl FnOnce(&mut Work)) {
        change(&mut self.shared.lock());
        self.shared.more.notify_one();
    }
}

impl Drop for Passwords {
    fn drop(&mut self) {
        self.add(|work| work.ended = true);
        if let Some(thread) = self.thread.take() {
            // A panic there was reported by the thread itself.
            thread.join().unwrap_or_default();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Work> {
        // The queues hold whole jobs whatever another holder of the lock did.
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Option<Job> {
        let mut work = self.lock();
        loop {
            if work.ended {
                return None;
            }
            if let Some(job) = work.next() {
                return Some(job);
            }
            work = self.more.wait(work).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Work {
    fn next(&mut self) -> Option<Job> {
        if self.checks_in_a_row >= CHECKS_IN_A_ROW_MAX || self.checks.is_empty() {
            self.checks_in_a_row = 0;
            if let Some(job) = self.next_new_password() {
                return Some(job);
            }
        }
        if let Some(mut check) = self.checks.pop_front() {
            self.checks_in_a_row += 1;
            if let (Some(account), None) = (check.account, &check.hash) {
                if let Some(password) = self.imports.remove(&account) {
                    return Some(Job::CheckImport(check, account, password));
                }
                check.hash = self.imported.get(&account).cloned();
            }
            return Some(Job::Check(check));
        }
        self.imports.pop_first().map(|(account, password)| Job::Import(account, password))
    }

    fn next_new_password(&mut self) -> Option<Job> {
        if let Some((ticket, password)) = self.changes.pop_front() {
            return Some(Job::Change(ticket, password));
        }
        let (ticket, password) = self.additions.pop_front()?;
        Some(Job::Addition(ticket, password))
    }
}

fn run(shared: &Shared, notify: &impl Fn(PasswordEvent)) {
    let mut hasher = Hasher::default();
    hasher.nobody = Some(hasher.hash(&Password::from("a password that nobody has")));
    while let Some(job) = shared.next() {
        shared.do_job(job, &mut hasher, notify);
    }
}

/// How passwords become hashes.
pub(crate) trait Hash {
    /// Hashes a password with a fresh salt.
    fn hash(&mut self, password: &Password) -> PasswordHash;

    /// Says whether a password belongs to a hash; without one none does, and it takes as long.
    fn matches(&mut self, password: &Password, hash: Option<&PasswordHash>) -> bool;
}

impl Shared {
    fn do_job(&self, job: Job, hasher: &mut impl Hash, notify: &impl Fn(PasswordEvent)) {
        match job {
            Job::Check(check) => {
                let matches = hasher.matches(&check.password, check.hash.as_ref());
                notify(PasswordEvent::Checked { ticket: check.ticket, matches });
            }
            Job::CheckImport(check, account, password) => {
                let hash = hasher.hash(&password);
                let matches = same(check.password.expose(), password.expose());
                self.lock().imported.insert(account, hash.clone());
                notify(PasswordEvent::Imported { account, hash });
                notify(PasswordEvent::Checked { ticket: check.ticket, matches });
            }
            Job::Change(ticket, password) => {
                let hash = hasher.hash(&password);
                notify(PasswordEvent::HashedForEngine { ticket, hash });
            }
            Job::Addition(ticket, password) => {
                notify(PasswordEvent::Hashed { ticket, hash: hasher.hash(&password) });
            }
            Job::Import(account, password) => {
                let hash = hasher.hash(&password);
                self.lock().imported.insert(account, hash.clone());
                notify(PasswordEvent::Imported { account, hash });
            }
        }
    }
}

/// Hashes and checks, always in the same memory: taking and giving back 19 MiB for each password
/// would leave the process several times as large.
#[derive(Default)]
pub(crate) struct Hasher {
    memory: Vec<Block>,
    /// What the passwords of those are checked against who are not there.
    nobody: Option<PasswordHash>,
}

impl Hash for Hasher {
    fn hash(&mut self, password: &Password) -> PasswordHash {
        Self::hash(self, password)
    }

    fn matches(&mut self, password: &Password, hash: Option<&PasswordHash>) -> bool {
        let nobody = self.nobody.clone();
        let is_right = hash.or(nobody.as_ref()).is_some_and(|hash| self.verify(password, hash));
        is_right && hash.is_some()
    }
}

impl Hasher {
    /// Hashes a password with a fresh salt.
    pub(crate) fn hash(&mut self, password: &Password) -> PasswordHash {
        const SOUND: &str = "passwords are short, and the parameters are the crate's own";
        let mut salt = [0; Salt::RECOMMENDED_LENGTH];
        getrandom::fill(&mut salt).expect("the system has random bytes");
        let params = Params::DEFAULT;
        let mut output = [0; Params::DEFAULT_OUTPUT_LEN];
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
        self.fill(&argon2, &params, password, &salt, &mut output).expect(SOUND);
        let hash = PhcHash {
            algorithm: Algorithm::Argon2id.ident(),
            version: Some(Version::V0x13.into()),
            params: ParamsString::try_from(&params).expect(SOUND),
            salt: Some(Salt::new(&salt).expect(SOUND)),
            hash: Some(Output::new(&output).expect(SOUND)),
        };
        PasswordHash(hash.to_string().into())
    }

    /// Says whether a password belongs to a hash; a hash of an unknown kind belongs to none.
    pub(crate) fn verify(&mut self, password: &Password, hash: &PasswordHash) -> bool {
        self.try_verify(password, hash).unwrap_or(false)
    }

    fn try_verify(&mut self, password: &Password, hash: &PasswordHash) -> Option<bool> {
        let parsed = PhcHash::new(&hash.0).ok()?;
        let params = Params::try_from(&parsed).ok()?;
        let algorithm = Algorithm::new(parsed.algorithm.as_str()).ok()?;
        let version = Version::try_from(parsed.version?).ok()?;
        let (salt, expected) = (parsed.salt?, parsed.hash?);
        let mut output = vec![0; expected.len()];
        let argon2 = Argon2::new(algorithm, version, params.clone());
        self.fill(&argon2, &params, password, &salt, &mut output).ok()?;
        // Compares in constant time.
        Some(Output::new(&output).ok()? == expected)
    }

    fn fill(
        &mut self,
        argon2: &Argon2<'_>,
        params: &Params,
        password: &Password,
        salt: &[u8],
        output: &mut [u8],
    ) -> argon2::Result<()> {
        self.memory.resize(params.block_count(), Block::default());
        let password = password.expose().as_bytes();
        argon2.hash_password_into_with_memory(password, salt, output, &mut self.memory)
    }
}

/// Compares without telling by its duration how much was right.
fn same(one: &str, other: &str) -> bool {
    let differences = one
        .bytes()
        .zip(other.bytes())
        .fold(0, |differences, (one, other)| differences | (one ^ other));
    std::hint::black_box(differences) == 0 && one.len() == other.len()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use argon2::password_hash::PasswordVerifier;

    use super::*;

    fn started() -> (Passwords, mpsc::Receiver<PasswordEvent>) {
        let (sender, receiver) = mpsc::channel();
        (Passwords::start(move |event| sender.send(event).unwrap()).unwrap(), receiver)
    }

    fn check(ticket: u64, account: Option<u32>, hash: Option<&PasswordHash>, text: &str) -> Check {
        Check {
            ticket: Ticket(ticket),
            account: account.map(AccountId),
            hash: hash.cloned(),
            password: text.into(),
        }
    }

    fn next(events: &mpsc::Receiver<PasswordEvent>) -> String {
        match events.recv_timeout(Duration::from_secs(20)).unwrap() {
            PasswordEvent::Checked { ticket, matches } => format!("checked {} {matches}", ticket.0),
            PasswordEvent::Imported { account, .. } => format!("imported {}", account.0),
            PasswordEvent::Hashed { ticket, .. } => format!("hashed {ticket}"),
            PasswordEvent::HashedForEngine { ticket, .. } => format!("changed {}", ticket.0),
        }
    }

    #[test]
    fn right_wrong_unknown_and_unreadable() {
        let (passwords, events) = started();
        let stored = Hasher::default().hash(&"right".into());
        assert!(stored.0.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        // The crate's own way of checking agrees.
        let parsed = PhcHash::new(&stored.0).unwrap();
        assert!(Argon2::default().verify_password(b"right", &parsed).is_ok());
        passwords.check(check(1, Some(0), Some(&stored), "right"));
        passwords.check(check(2, Some(0), Some(&stored), "wrong"));
        passwords.check(check(3, None, None, "a password that nobody has"));
        passwords.check(check(4, Some(0), Some(&PasswordHash("odd".into())), "odd"));
        let results = ["checked 1 true", "checked 2 false", "checked 3 false", "checked 4 false"];
        for expected in results {
            assert_eq!(next(&events), expected);
        }
    }

    #[test]
    fn whoever_logs_in_is_imported_first() {
        let work = &mut Work::default();
        work.imports.extend((0..3).map(|number| (AccountId(number), Password::from("p"))));
        work.additions.push_back((7, "x".into()));
        work.checks.push_back(check(1, Some(2), None, "p"));
        assert!(matches!(work.next(), Some(Job::CheckImport(_, AccountId(2), _))));
        work.imported.insert(AccountId(2), PasswordHash("done".into()));
        work.checks.push_back(check(2, Some(2), None, "p"));
        assert!(matches!(work.next(), Some(Job::Check(Check { hash: Some(_), .. }))));
        assert!(matches!(work.next(), Some(Job::Addition(7, _))));
        assert!(matches!(work.next(), Some(Job::Import(AccountId(0), _))));
    }

    #[test]
    fn whoever_keeps_logging_in_does_not_keep_others_from_a_new_password() {
        let work = &mut Work::default();
        work.checks.extend((0..20).map(|ticket| check(ticket, None, None, "p")));
        work.changes.push_back((Ticket(100), "new".into()));
        work.additions.push_back((7, "x".into()));
        let jobs: Vec<char> = (0..9)
            .map(|_| match work.next() {
                Some(Job::Check(_)) => 'c',
                Some(Job::Change(..)) => 'n',
                Some(Job::Addition(..)) => 'a',
                _ => '?',
            })
            .collect();
        assert_eq!(jobs, ['c', 'c', 'c', 'n', 'c', 'c', 'c', 'a', 'c']);
    }

    #[test]
    fn an_import_can_be_logged_in_to_before_it_is_hashed() {
        let (passwords, events) = started();
        passwords.import(vec![(AccountId(0), "a".into()), (AccountId(1), "b".into())]);
        passwords.check(check(1, Some(1), None, "b"));
        passwords.check(check(2, Some(1), None, "c"));
        let mut seen: Vec<String> = (0..4).map(|_| next(&events)).collect();
        seen.sort();
        assert_eq!(seen, ["checked 1 true", "checked 2 false", "imported 0", "imported 1"]);
    }
}
