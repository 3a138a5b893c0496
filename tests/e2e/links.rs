//! Private links between two real clients of one real server, on one machine.

use std::path::PathBuf;

use whoelse_tests::program::{Client, Server, password_of};

use super::{server, setup};

/// A machine of a person, on which what the client keeps stays from start to start.
fn machine(server: &Server, name: &str) -> PathBuf {
    server.folder().join(format!("{name}'s machine"))
}

/// A client that is logged in.
fn client(server: &Server, name: &str, flags: &[&str]) -> Client {
    let port = server.port().to_string();
    let words = [&["localhost", &port], flags].concat();
    let home = server.folder();
    let mut client = Client::start_with(server.program(), &words, home, &machine(server, name));
    client.say(name);
    client.say(&password_of(name));
    client.hear(&format!("logged in as {name}"));
    client
}

/// Two people who are about to be linked: hans asks, luke is asked.
fn two(server: &Server) -> (Client, Client) {
    let mut hans = client(server, "hans", &[]);
    let luke = client(server, "luke", &[]);
    hans.hear("luke logged in");
    (hans, luke)
}

/// The same, linked.
fn linked(server: &Server) -> (Client, Client) {
    let (mut hans, mut luke) = two(server);
    hans.say("startprivate luke");
    hans.hear("startprivate luke: asked");
    luke.hear("hans asks for a private talk");
    luke.say("accept hans");
    hans.hear("private link with luke: direct");
    luke.hear("private link with hans: direct");
    (hans, luke)
}

#[test]
fn two_people_talk_past_the_server() {
    let server = server(&["hans", "luke"]);
    let (mut hans, mut luke) = linked(&server);
    hans.say("private luke psst");
    luke.hear("hans (private): psst");
    hans.hear("private luke: sent");
    luke.say("private hans what?");
    hans.hear("luke (private): what?");
    luke.hear("private hans: sent");
    luke.say("stopprivate hans");
    luke.hear("private link with hans ended");
    hans.hear("private link with luke ended: luke closed it");
    hans.say("private luke too late");
    hans.hear("private luke: not sent; there is no private link with luke");
}
