//! Two homes behind routers, and a server, in network namespaces of this machine.
//!
//! ```text
//! home a ── router a ──┐
//!                      ├── street ── server
//! home b ── router b ──┘
//! ```
//!
//! The addresses of the street are those for documentation (RFC 5737): nothing leaves the machine.
//! No namespace has another way out, so whoever asks anybody else asks in vain, and is counted.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::soak::{Outcome, Trouble};

/// Where the server is.
pub(super) const SERVER: &str = "203.0.113.1";

/// How a router treats what leaves the home.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Router {
    /// Keeps the port of a sender, and lets in what answers (RFC 4787: endpoint-independent mapping
    /// as far as Linux goes, address and port-dependent filtering).
    Ordinary,
    /// Takes another port for every receiver.
    Symmetric,
    /// Ordinary, but lets no UDP pass.
    NoUdp,
}

/// The namespaces; they go when this is dropped.
pub struct Town {
    prefix: String,
    routers: [Router; 2],
}

/// Which of the two homes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// The first.
    A,
    /// The second.
    B,
}

impl Home {
    fn letter(self) -> char {
        match self {
            Self::A => 'a',
            Self::B => 'b',
        }
    }

    /// What the street sees.
    #[must_use]
    pub fn public_address(self) -> &'static str {
        match self {
            Self::A => "203.0.113.10",
            Self::B => "203.0.113.20",
        }
    }

    fn lan(self) -> &'static str {
        match self {
            Self::A => "192.168.1",
            Self::B => "192.168.2",
        }
    }
}

/// Names of several towns of one process differ.
static TOWNS: AtomicU32 = AtomicU32::new(0);

impl Town {
    /// Builds one.
    ///
    /// # Errors
    /// If the system lacks `ip` or `nft`, or we lack the rights.
    pub fn build(a: Router, b: Router) -> Outcome<Self> {
        let number = TOWNS.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("we{}x{number}", std::process::id());
        let town = Self { prefix, routers: [a, b] };
        for place in ["street", "server", "ra", "rb", "a", "b"] {
            ip(&["netns", "add", &town.namespace(place)])?;
            town.ip(place, &["link", "set", "lo", "up"])?;
        }
        town.ip("street", &["link", "add", "bridge0", "type", "bridge"])?;
        town.ip("street", &["link", "set", "bridge0", "up"])?;
        town.plug("server", "wan", &format!("{SERVER}/24"))?;
        for home in [Home::A, Home::B] {
            town.settle(home)?;
        }
        Ok(town)
    }

    /// The namespace of a place, for `ip netns exec`.
    #[must_use]
    pub fn namespace(&self, place: &str) -> String {
        format!("{}{place}", self.prefix)
    }

    /// Connects a place to the street.
    fn plug(&self, place: &str, device: &str, address: &str) -> Outcome<()> {
        let (street, there) = (self.namespace("street"), self.namespace(place));
        let port = format!("to{place}");
        let peer = ["peer", "name", device, "netns", &there];
        ip(&[&["link", "add", &port, "netns", &street, "type", "veth"][..], &peer[..]].concat())?;
        self.ip("street", &["link", "set", &port, "master", "bridge0", "up"])?;
        self.ip(place, &["address", "add", address, "dev", device])?;
        self.ip(place, &["link", "set", device, "up"])
    }

    /// A home, its router, and the wires between.
    fn settle(&self, home: Home) -> Outcome<()> {
        let inside = home.letter().to_string();
        let router = format!("r{inside}");
        self.plug(&router, "wan", &format!("{}/24", home.public_address()))?;
        let (there, here) = (self.namespace(&router), self.namespace(&inside));
        let peer = ["peer", "name", "lan", "netns", &here];
        ip(&[&["link", "add", "lan", "netns", &there, "type", "veth"][..], &peer[..]].concat())?;
        let (gateway, own) = (format!("{}.1", home.lan()), format!("{}.2", home.lan()));
        self.ip(&router, &["address", "add", &format!("{gateway}/24"), "dev", "lan"])?;
        self.ip(&router, &["link", "set", "lan", "up"])?;
        self.ip(&inside, &["address", "add", &format!("{own}/24"), "dev", "lan"])?;
        self.ip(&inside, &["link", "set", "lan", "up"])?;
        self.ip(&inside, &["route", "add", "default", "via", &gateway])?;
        self.run(&router, "sh", &["-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"])?;
        self.nft(&router, &self.rules(home))
    }

    /// What a router does. Whatever goes neither to the server nor to the other home is counted: there
    /// is nobody else.
    fn rules(&self, home: Home) -> String {
        let kind = self.routers[home as usize];
        let masquerade = match kind {
            Router::Symmetric => "masquerade random,fully-random",
            Router::Ordinary | Router::NoUdp => "masquerade",
        };
        let udp = match kind {
            Router::NoUdp => "meta l4proto udp drop",
            Router::Ordinary | Router::Symmetric => "",
        };
        let other = match home {
            Home::A => Home::B.public_address(),
            Home::B => Home::A.public_address(),
        };
        format!(
            "table ip nat {{
               chain leaving {{
                 type nat hook postrouting priority 100;
                 oifname \"wan\" {masquerade}
               }}
             }}
             table ip filter {{
               counter strangers {{ }}
               counter neighbours {{ }}
               chain passing {{
                 type filter hook forward priority 0; policy drop;
                 iifname \"lan\" ip daddr != {{ {SERVER}, {other}, 192.168.0.0/16, 224.0.0.0/4, 255.255.255.255 }} counter name strangers
                 iifname \"lan\" ip daddr {other} counter name neighbours
                 {udp}
                 iifname \"lan\" accept
                 ct state established,related accept
               }}
               chain arriving {{
                 type filter hook input priority 0; policy accept;
                 iifname \"wan\" ct state new drop
                 iifname \"lan\" udp dport 53 counter name strangers
               }}
             }}"
        )
    }

    /// From now on no UDP passes a home's router.
    ///
    /// # Errors
    /// If the rule cannot be made.
    pub fn stop_udp(&self, home: Home) -> Outcome<()> {
        let router = format!("r{}", home.letter());
        self.nft(&router, "insert rule ip filter passing meta l4proto udp drop")
    }

    /// How many packets a home sent to others than the server and the other home.
    ///
    /// # Errors
    /// If the counter cannot be read.
    pub fn to_strangers(&self, home: Home) -> Outcome<u64> {
        self.count(home, "strangers")
    }

    /// How many packets a home sent to the other home.
    ///
    /// # Errors
    /// If the counter cannot be read.
    pub fn to_neighbours(&self, home: Home) -> Outcome<u64> {
        self.count(home, "neighbours")
    }

    fn count(&self, home: Home, counter: &str) -> Outcome<u64> {
        let router = format!("r{}", home.letter());
        let said = self.run(&router, "nft", &["list", "counter", "ip", "filter", counter])?;
        let mut words = said.split_whitespace().skip_while(|word| *word != "packets").skip(1);
        let count = words.next().and_then(|word| word.parse().ok());
        count.ok_or_else(|| Trouble(format!("no count in: {said}")))
    }

    fn ip(&self, place: &str, words: &[&str]) -> Outcome<()> {
        let namespace = self.namespace(place);
        ip(&[&["-n", &namespace][..], words].concat())
    }

    fn nft(&self, place: &str, rules: &str) -> Outcome<()> {
        let file = tempfile::NamedTempFile::new().map_err(|error| Trouble(error.to_string()))?;
        std::fs::write(file.path(), rules).map_err(|error| Trouble(error.to_string()))?;
        self.run(place, "nft", &["-f", &file.path().to_string_lossy()]).map(drop)
    }

    /// Runs something in a place to its end; what it wrote.
    fn run(&self, place: &str, program: &str, words: &[&str]) -> Outcome<String> {
        let namespace = self.namespace(place);
        let mut command = Command::new(tool("ip"));
        command.args(["netns", "exec", &namespace]).arg(tool(program)).args(words);
        done(&mut command)
    }

    /// The words that run a program in a place.
    #[must_use]
    pub fn within(&self, place: &str, program: &Path, words: &[&str]) -> (PathBuf, Vec<String>) {
        let namespace = self.namespace(place);
        let mut all = vec!["netns".to_owned(), "exec".to_owned(), namespace];
        all.push(program.to_string_lossy().into_owned());
        all.extend(words.iter().map(|word| (*word).to_owned()));
        (tool("ip"), all)
    }

    /// Gives the server a name in a place, as a line of `/etc/hosts` would.
    ///
    /// # Errors
    /// If the file cannot be made.
    pub fn name_server(&self, place: &str, name: &str) -> Outcome<()> {
        let folder = Path::new("/etc/netns").join(self.namespace(place));
        let text = format!("127.0.0.1 localhost\n{SERVER} {name}\n");
        std::fs::create_dir_all(&folder)
            .and_then(|()| std::fs::write(folder.join("hosts"), text))
            .map_err(|error| Trouble(format!("{}: {error}", folder.display())))
    }
}

impl Drop for Town {
    fn drop(&mut self) {
        for place in ["a", "b", "ra", "rb", "server", "street"] {
            let namespace = self.namespace(place);
            // What was never made cannot be taken down.
            ip(&["netns", "delete", &namespace]).unwrap_or_default();
            std::fs::remove_dir_all(Path::new("/etc/netns").join(namespace)).unwrap_or_default();
        }
    }
}

fn ip(words: &[&str]) -> Outcome<()> {
    done(Command::new(tool("ip")).args(words)).map(drop)
}

fn done(command: &mut Command) -> Outcome<String> {
    let shown = format!("{command:?}");
    let output = command.output().map_err(|error| Trouble(format!("{shown}: {error}")))?;
    let Output { status, stdout, stderr } = output;
    if status.success() {
        return Ok(String::from_utf8_lossy(&stdout).into_owned());
    }
    Err(Trouble(format!("{shown}: {status}: {}", String::from_utf8_lossy(&stderr).trim())))
}

/// Where a tool of the system is: not everybody has the administrator's folders in the search path.
fn tool(name: &str) -> PathBuf {
    let folders = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];
    let mut places = folders.iter().map(|folder| Path::new(folder).join(name));
    places.find(|place| place.exists()).unwrap_or_else(|| name.into())
}
