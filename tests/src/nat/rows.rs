//! The rows of the table: which routers, what happens, what has to be true.

use std::path::Path;
use std::time::{Duration, Instant};

use super::Figures;
use super::cast::{PATIENCE, Person, Server};
use super::town::{Home, Router, SERVER, Town};
use crate::soak::{Outcome, Trouble};

/// How soon a link through two ordinary routers has to be direct.
const DIRECT: Duration = Duration::from_secs(5);

/// How soon a link has to go on when its path dies.
const RECOVERY: Duration = Duration::from_secs(6);

/// How soon a link whose other end has died has to end.
const END: Duration = Duration::from_secs(10);

/// A row of the table.
pub struct Row {
    /// What it is called.
    pub name: &'static str,
    /// Runs it with this program.
    pub run: fn(&Path) -> Outcome<Figures>,
}

/// All rows.
pub const ROWS: [Row; 11] = [
    Row { name: "ordinary-ordinary", run: ordinary },
    Row { name: "symmetric-symmetric", run: |program| relayed(program, both(Router::Symmetric)) },
    Row {
        name: "ordinary-symmetric",
        run: |program| relayed(program, [Router::Ordinary, Router::Symmetric]),
    },
    Row { name: "udp-blocked", run: |program| relayed(program, [Router::Ordinary, Router::NoUdp]) },
    Row { name: "udp-dies", run: udp_dies },
    Row { name: "server-killed-direct", run: server_killed_direct },
    Row { name: "server-killed-relayed", run: server_killed_relayed },
    Row { name: "peer-killed", run: peer_killed },
    Row { name: "addresses-hidden", run: addresses_hidden },
    Row { name: "three-names", run: three_names },
    Row { name: "both-ask", run: both_ask },
];

fn both(router: Router) -> [Router; 2] {
    [router, router]
}

/// A town in which two people are logged in.
struct Scene {
    hans: Person,
    luke: Person,
    server: Server,
    town: Town,
}

impl Scene {
    fn begin(program: &Path, routers: [Router; 2], flags: &[&str]) -> Outcome<Self> {
        let town = Town::build(routers[0], routers[1])?;
        let server = Server::start(&town, program)?;
        let flags = [&["--private", "always", "--fingerprint", server.key()][..], flags].concat();
        let luke = Person::start(&town, "b", program, "luke", SERVER, &flags)?;
        let hans = Person::start(&town, "a", program, "hans", SERVER, &flags)?;
        Ok(Self { hans, luke, server, town })
    }

    /// Makes a link; how long until it stood on both sides.
    fn link(&mut self) -> Outcome<Duration> {
        let began = Instant::now();
        self.hans.say("startprivate luke");
        self.hans.hear(&["luke", "private link"])?;
        let took = began.elapsed();
        self.luke.hear(&["hans", "private link"])?;
        Ok(took)
    }

    /// Makes a link, and waits until both know that it is direct.
    fn link_directly(&mut self) -> Outcome<(Duration, Duration)> {
        let began = Instant::now();
        let took = self.link()?;
        self.hans.until_direct(DIRECT)?;
        self.luke.until_direct(DIRECT)?;
        Ok((took, began.elapsed()))
    }

    /// One text each way; how long both took until they were confirmed.
    fn talk(&mut self, word: &str) -> Outcome<Duration> {
        let began = Instant::now();
        let (there, back) = (format!("{word} there"), format!("{word} back"));
        self.hans.say(&format!("private luke {there}"));
        self.luke.hear(&["hans", &there])?;
        self.luke.say(&format!("private hans {back}"));
        self.hans.hear(&["luke", &back])?;
        Ok(began.elapsed())
    }

    /// Nobody was asked but the server and each other, and nothing came twice.
    fn close(self) -> Outcome<()> {
        for home in [Home::A, Home::B] {
            let strangers = self.town.to_strangers(home)?;
            if strangers > 0 {
                return Err(Trouble(format!("{strangers} packets of {home:?} went elsewhere")));
            }
        }
        Ok(())
    }
}

fn figure(key: &'static str, time: Duration) -> (&'static str, String) {
    (key, format!("{}", time.as_millis()))
}

fn check(is_so: bool, else_what: impl FnOnce() -> String) -> Outcome<()> {
    if is_so { Ok(()) } else { Err(Trouble(else_what())) }
}

fn ordinary(program: &Path) -> Outcome<Figures> {
    let mut scene = Scene::begin(program, both(Router::Ordinary), &[])?;
    let (link, direct) = scene.link_directly()?;
    let talk = scene.talk("one")?;
    check(scene.town.to_neighbours(Home::A)? > 0, || "nothing went directly".into())?;
    scene.close()?;
    Ok(vec![figure("link_ms", link), figure("direct_ms", direct), figure("talk_ms", talk)])
}

fn relayed(program: &Path, routers: [Router; 2]) -> Outcome<Figures> {
    let mut scene = Scene::begin(program, routers, &[])?;
    let link = scene.link()?;
    let talk = scene.talk("one")?;
    scene.hans.must_be("relayed")?;
    scene.luke.must_be("relayed")?;
    scene.close()?;
    Ok(vec![figure("link_ms", link), figure("talk_ms", talk)])
}

fn udp_dies(program: &Path) -> Outcome<Figures> {
    let mut scene = Scene::begin(program, both(Router::Ordinary), &[])?;
    scene.link_directly()?;
    scene.talk("before")?;
    scene.town.stop_udp(Home::B)?;
    let began = Instant::now();
    for number in 0..10 {
        scene.hans.say(&format!("private luke after {number}."));
    }
    for number in 0..10 {
        scene.luke.hear_within(&["hans", &format!("after {number}.")], RECOVERY)?;
    }
    let stalled = began.elapsed();
    check(stalled <= RECOVERY, || format!("it stalled for {stalled:?}"))?;
    scene.hans.must_be("relayed")?;
    scene.talk("later")?;
    for number in 0..10 {
        let count = scene.luke.count(&format!("after {number}."));
        check(count == 1, || format!("text {number} was shown {count} times"))?;
    }
    scene.close()?;
    Ok(vec![figure("stall_ms", stalled)])
}

fn server_killed_direct(program: &Path) -> Outcome<Figures> {
    let mut scene = Scene::begin(program, both(Router::Ordinary), &[])?;
    scene.link_directly()?;
    scene.server.kill9();
    scene.hans.hear(&["connection"])?;
    let first = scene.talk("without")?;
    // Longer than anything that could give up on a server.
    let until = Instant::now() + Duration::from_secs(20);
    let mut worst = first;
    let mut round = 0;
    while Instant::now() < until {
        round += 1;
        worst = worst.max(scene.talk(&format!("round {round}."))?);
    }
    scene.server.restart(&scene.town)?;
    scene.hans.hear_within(&["back"], Duration::from_secs(60))?;
    scene.talk("with")?;
    scene.close()?;
    Ok(vec![("rounds", round.to_string()), figure("worst_ms", worst)])
}

fn server_killed_relayed(program: &Path) -> Outcome<Figures> {
    let mut scene = Scene::begin(program, both(Router::Symmetric), &[])?;
    scene.link()?;
    scene.talk("before")?;
    scene.server.kill9();
    scene.hans.hear(&["luke", "interrupted"])?;
    scene.luke.hear(&["hans", "interrupted"])?;
    for number in 0..5 {
        scene.hans.say(&format!("private luke meanwhile {number}."));
    }
    scene.server.restart(&scene.town)?;
    let began = Instant::now();
    for number in 0..5 {
        let texts = ["hans", &format!("meanwhile {number}.")];
        scene.luke.hear_within(&texts, Duration::from_secs(60))?;
    }
    let resumed = began.elapsed();
    scene.talk("after")?;
    for number in 0..5 {
        let count = scene.luke.count(&format!("meanwhile {number}."));
        check(count == 1, || format!("text {number} was shown {count} times"))?;
    }
    scene.close()?;
    Ok(vec![figure("resumed_ms", resumed)])
}

fn peer_killed(program: &Path) -> Outcome<Figures> {
    let mut scene = Scene::begin(program, both(Router::Ordinary), &[])?;
    scene.link_directly()?;
    scene.luke.kill9();
    let began = Instant::now();
    scene.hans.say("private luke are you there?");
    scene.hans.hear_within(&["luke", "private link", "ended"], END)?;
    let took = began.elapsed();
    scene.hans.hear_within(&["are you there?"], END)?;
    scene.close()?;
    Ok(vec![figure("end_ms", took)])
}

fn addresses_hidden(program: &Path) -> Outcome<Figures> {
    let mut scene = Scene::begin(program, both(Router::Ordinary), &["--hide-address"])?;
    let link = scene.link()?;
    scene.talk("one")?;
    scene.hans.must_be("relayed")?;
    let direct = scene.town.to_neighbours(Home::A)? + scene.town.to_neighbours(Home::B)?;
    check(direct == 0, || format!("{direct} packets went directly"))?;
    scene.close()?;
    Ok(vec![figure("link_ms", link)])
}

/// One on the server's own machine, one by its address, one by a name.
fn three_names(program: &Path) -> Outcome<Figures> {
    let town = Town::build(Router::Symmetric, Router::Symmetric)?;
    town.name_server("a", "chat.example")?;
    let server = Server::start(&town, program)?;
    let flags = ["--private", "always", "--fingerprint", server.key()];
    let mut luke = Person::start(&town, "server", program, "luke", "localhost", &flags)?;
    let mut hans = Person::start(&town, "a", program, "hans", "chat.example", &flags)?;
    let by_name = meet(&mut hans, &mut luke)?;
    hans.kill9();
    let flags = [&flags[..], &["--takeover"]].concat();
    let mut hans = Person::start(&town, "b", program, "hans", SERVER, &flags)?;
    let by_address = meet(&mut hans, &mut luke)?;
    Ok(vec![figure("name_to_localhost_ms", by_name), figure("address_to_localhost_ms", by_address)])
}

fn meet(hans: &mut Person, luke: &mut Person) -> Outcome<Duration> {
    let began = Instant::now();
    hans.say("startprivate luke");
    hans.hear(&["luke", "private link"])?;
    let took = began.elapsed();
    hans.say("private luke it is me");
    luke.hear(&["hans", "it is me"])?;
    Ok(took)
}

fn both_ask(program: &Path) -> Outcome<Figures> {
    let mut scene = Scene::begin(program, both(Router::Ordinary), &[])?;
    scene.hans.say("startprivate luke");
    scene.luke.say("startprivate hans");
    scene.hans.hear(&["luke", "private link"])?;
    scene.luke.hear(&["hans", "private link"])?;
    scene.talk("one")?;
    scene.hans.say("stopprivate luke");
    scene.luke.hear_within(&["hans", "private link", "ended"], PATIENCE)?;
    scene.hans.hear(&["luke", "private link", "ended"])?;
    scene.close()?;
    Ok(Vec::new())
}
