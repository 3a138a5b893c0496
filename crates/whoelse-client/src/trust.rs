//! Whether to speak to whoever answers: a decision as a value, before anything is sent.
//!
//! A server is known by its key. The first contact decides how: by a key that was passed on
//! (an invite, `--fingerprint`), by a certificate that the machine's roots vouch for, on the same
//! machine without a question, or by a person who compares. After that a surprise is a stop.

use whoelse_proto::Fingerprint;

/// How a server came to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// By this key alone.
    Pinned,
    /// By a certificate that was valid for its name; the key may change with the certificate.
    Certificate,
}

/// What is remembered of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// How it came to be known.
    pub kind: Kind,
    /// The key it had then.
    pub key: Fingerprint,
    /// When that was, in seconds since the Unix epoch.
    pub since_s: u64,
}

/// What is known before a server has said anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Situation {
    /// The address that was reached is the machine's own.
    pub loopback: bool,
    /// What is remembered of this host and port.
    pub known: Option<Known>,
    /// The key it must have, as an invite or the person says.
    pub expected: Option<Fingerprint>,
    /// Somebody is there to be asked.
    pub interactive: bool,
}

/// What a server has shown of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Its key; that it holds it, the handshake has proven.
    pub key: Fingerprint,
    /// The machine's roots vouch that the key belongs to this name, now.
    pub chain_valid: bool,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Go on.
    Accept {
        /// What to remember from now on, if that is new.
        remember: Option<Kind>,
    },
    /// Ask the person, and remember the key if it agrees.
    Ask,
    /// Go no further.
    Stop(Distrust),
}

/// Why nothing was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Distrust {
    /// It has another key than it must have.
    Unexpected {
        /// The key it must have.
        expected: Fingerprint,
        /// The key it has.
        offered: Fingerprint,
    },
    /// It has another key than before.
    Changed {
        /// The key it had.
        pinned: Fingerprint,
        /// When it was first seen, in seconds since the Unix epoch.
        since_s: u64,
        /// The key it has now.
        offered: Fingerprint,
    },
    /// Its certificate was valid before, and is not now.
    CertificateInvalid {
        /// When it was first seen, in seconds since the Unix epoch.
        since_s: u64,
        /// The key it has now.
        offered: Fingerprint,
    },
    /// It is not known, and nobody can be asked.
    Unknown {
        /// The key it has.
        offered: Fingerprint,
    },
    /// It is not known, and the person did not say yes.
    Declined,
    /// It does not speak TLS, although it did before or has to.
    NoEncryption,
    /// What is remembered of servers cannot be read, so nobody can say whether this is the one.
    NoMemory {
        /// Which file, and what is wrong with it.
        words: String,
    },
}

impl Situation {
    /// Decides about a server that speaks TLS.
    #[must_use]
    pub fn decide(&self, offer: &Offer) -> Decision {
        if let Some(expected) = self.expected
            && expected != offer.key
        {
            return Decision::Stop(Distrust::Unexpected { expected, offered: offer.key });
        }
        match (self.known, self.expected) {
            (Some(known), _) => self.decide_known(&known, offer),
            (None, Some(_)) => Decision::Accept { remember: Some(Kind::Pinned) },
            (None, None) if offer.chain_valid => {
                Decision::Accept { remember: Some(Kind::Certificate) }
            }
            // Whoever could answer in its place owns this machine anyway.
            (None, None) if self.loopback => Decision::Accept { remember: Some(Kind::Pinned) },
            (None, None) if self.interactive => Decision::Ask,
            (None, None) => Decision::Stop(Distrust::Unknown { offered: offer.key }),
        }
    }

    fn decide_known(&self, known: &Known, offer: &Offer) -> Decision {
        let (since_s, offered) = (known.since_s, offer.key);
        match known.kind {
            Kind::Pinned if known.key == offer.key => Decision::Accept { remember: None },
            Kind::Pinned => {
                Decision::Stop(Distrust::Changed { pinned: known.key, since_s, offered })
            }
            // A key that was passed on says more than any certificate.
            Kind::Certificate if offer.chain_valid || self.expected.is_some() => {
                Decision::Accept { remember: None }
            }
            Kind::Certificate => Decision::Stop(Distrust::CertificateInvalid { since_s, offered }),
        }
    }

    /// Whether the certificate's chain matters; if not, it need not be looked at.
    #[must_use]
    pub fn wants_chain(&self) -> bool {
        self.expected.is_none() && self.known.is_none_or(|known| known.kind == Kind::Certificate)
    }

    /// Whether a server that does not speak TLS may be spoken to: on the same machine, if it never
    /// spoke TLS and nobody said what its key is.
    #[must_use]
    pub fn allows_plain(&self) -> bool {
        self.loopback && self.known.is_none() && self.expected.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: Fingerprint = Fingerprint([1; 32]);
    const THEIRS: Fingerprint = Fingerprint([2; 32]);
    const SINCE_S: u64 = 1_700_000_000;

    /// The rules once more, in the order in which a person would tell them; every case is
    /// compared with it.
    fn told(situation: &Situation, offer: &Offer) -> Decision {
        let same = situation.known.is_some_and(|known| known.key == offer.key);
        let kind = situation.known.map(|known| known.kind);
        let fits = situation.expected.map(|expected| expected == offer.key);
        match (fits, kind, same, offer.chain_valid) {
            (Some(false), ..) => {
                let expected = situation.expected.unwrap();
                Decision::Stop(Distrust::Unexpected { expected, offered: offer.key })
            }
            (_, Some(Kind::Pinned), true, _) => Decision::Accept { remember: None },
            (_, Some(Kind::Pinned), false, _) => {
                let pinned = situation.known.unwrap().key;
                let offered = offer.key;
                Decision::Stop(Distrust::Changed { pinned, since_s: SINCE_S, offered })
            }
            (Some(true), Some(Kind::Certificate), ..)
            | (None, Some(Kind::Certificate), _, true) => Decision::Accept { remember: None },
            (None, Some(Kind::Certificate), _, false) => {
                let offered = offer.key;
                Decision::Stop(Distrust::CertificateInvalid { since_s: SINCE_S, offered })
            }
            (Some(true), None, ..) => Decision::Accept { remember: Some(Kind::Pinned) },
            (None, None, _, true) => Decision::Accept { remember: Some(Kind::Certificate) },
            (None, None, _, false) => match (situation.loopback, situation.interactive) {
                (true, _) => Decision::Accept { remember: Some(Kind::Pinned) },
                (false, true) => Decision::Ask,
                (false, false) => Decision::Stop(Distrust::Unknown { offered: offer.key }),
            },
        }
    }

    fn known(kind: Kind, key: Fingerprint) -> Option<Known> {
        Some(Known { kind, key, since_s: SINCE_S })
    }

    #[test]
    fn every_case_is_decided_as_the_rules_say() {
        let both = [false, true];
        let all_known = [
            None,
            known(Kind::Pinned, OURS),
            known(Kind::Pinned, THEIRS),
            known(Kind::Certificate, OURS),
            known(Kind::Certificate, THEIRS),
        ];
        let mut cases = 0;
        for loopback in both {
            for interactive in both {
                for known in all_known {
                    for expected in [None, Some(OURS), Some(THEIRS)] {
                        let situation = Situation { loopback, known, expected, interactive };
                        for chain_valid in both {
                            let offer = Offer { key: OURS, chain_valid };
                            let decision = situation.decide(&offer);
                            assert_eq!(decision, told(&situation, &offer), "{situation:?}");
                            cases += 1;
                        }
                        // Whether the chain is looked at never matters where it need not be.
                        if !situation.wants_chain() {
                            let [one, other] = both.map(|chain_valid| {
                                situation.decide(&Offer { key: OURS, chain_valid })
                            });
                            assert_eq!(one, other, "{situation:?}");
                        }
                    }
                }
            }
        }
        assert_eq!(cases, 120);
    }

    #[test]
    fn the_cases_people_meet() {
        let far = Situation { loopback: false, known: None, expected: None, interactive: true };
        let script = Situation { interactive: false, ..far };
        let here = Situation { loopback: true, ..script };
        let self_signed = Offer { key: OURS, chain_valid: false };
        let real = Offer { key: OURS, chain_valid: true };
        let pin = |key| Situation { known: known(Kind::Pinned, key), ..far };
        let checked = |key| Situation { known: known(Kind::Certificate, key), ..far };
        let invited = |expected| Situation { expected: Some(expected), ..script };
        let remember = |kind| Decision::Accept { remember: Some(kind) };
        let go_on = Decision::Accept { remember: None };
        let stop = Decision::Stop;
        let changed = Distrust::Changed { pinned: THEIRS, since_s: SINCE_S, offered: OURS };
        let unexpected = Distrust::Unexpected { expected: THEIRS, offered: OURS };
        let invalid = Distrust::CertificateInvalid { since_s: SINCE_S, offered: OURS };
        for (what, situation, offer, decision) in [
            ("first contact", far, self_signed, Decision::Ask),
            ("a script", script, self_signed, stop(Distrust::Unknown { offered: OURS })),
            ("this machine", here, self_signed, remember(Kind::Pinned)),
            ("a real certificate", script, real, remember(Kind::Certificate)),
            ("again", pin(OURS), self_signed, go_on.clone()),
            ("somebody in between", pin(THEIRS), self_signed, stop(changed.clone())),
            ("in between, certified", pin(THEIRS), real, stop(changed)),
            ("a renewed certificate", checked(THEIRS), real, go_on),
            ("an expired certificate", checked(OURS), self_signed, stop(invalid)),
            ("an invite", invited(OURS), self_signed, remember(Kind::Pinned)),
            ("an invite to another", invited(THEIRS), real, stop(unexpected)),
        ] {
            assert_eq!(situation.decide(&offer), decision, "{what}");
        }
    }

    #[test]
    fn plain_text_is_for_this_machine_and_strangers_to_tls_only() {
        let here = Situation { loopback: true, known: None, expected: None, interactive: true };
        assert!(here.allows_plain());
        for situation in [
            Situation { loopback: false, ..here },
            Situation { known: known(Kind::Pinned, OURS), ..here },
            Situation { known: known(Kind::Certificate, OURS), ..here },
            Situation { expected: Some(OURS), ..here },
        ] {
            assert!(!situation.allows_plain(), "{situation:?}");
        }
    }
}
