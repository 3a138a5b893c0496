//! Until when a certificate is valid.
//!
//! Only the way to that one field is walked (RFC 5280, section 4.1); whether the certificate is
//! sound is rustls's business.

use jiff::Timestamp;
use jiff::civil::date;
use jiff::tz::TimeZone;

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;

/// When a certificate ends; none if that cannot be read.
pub(crate) fn expiry(certificate: &[u8]) -> Option<Timestamp> {
    let (mut certificate, _) = take(certificate, SEQUENCE)?;
    let mut fields = next(&mut certificate, SEQUENCE)?;
    if fields.first() == Some(&VERSION) {
        next(&mut fields, VERSION)?;
    }
    next(&mut fields, INTEGER)?; // serial number
    next(&mut fields, SEQUENCE)?; // algorithm
    next(&mut fields, SEQUENCE)?; // issuer
    let mut validity = next(&mut fields, SEQUENCE)?;
    let (_, _, rest) = element(validity)?; // from when on
    validity = rest;
    let (tag, digits, _) = element(validity)?;
    time(tag, digits)
}

/// Reads an element: its tag, its contents, and what follows it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let length = digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit));
            (length, rest)
        }
        _ => return None,
    };
    let (contents, rest) = rest.split_at_checked(length)?;
    Some((*tag, contents, rest))
}

fn take(bytes: &[u8], wanted: u8) -> Option<(&[u8], &[u8])> {
    element(bytes).filter(|(tag, ..)| *tag == wanted).map(|(_, contents, rest)| (contents, rest))
}

fn next<'a>(bytes: &mut &'a [u8], wanted: u8) -> Option<&'a [u8]> {
    let (contents, rest) = take(bytes, wanted)?;
    *bytes = rest;
    Some(contents)
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`.
fn time(tag: u8, text: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (year, rest): (i16, _) = match tag {
        UTC_TIME => {
            let (year, rest) = text.split_at_checked(2)?;
            let year: i16 = year.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = text.split_at_checked(4)?;
            (year.parse().ok()?, rest)
        }
        _ => return None,
    };
    let number = |at: usize| rest.get(at..at + 2)?.parse::<i8>().ok();
    // Dates beyond what can be reckoned with are as good as never.
    let day = date(year.clamp(1900, 9990), 1, 1).with().month(number(0)?).day(number(2)?);
    let day = day.build().ok()?;
    let time = jiff::civil::Time::new(number(4)?, number(6)?, number(8)?, 0).ok()?;
    Some(day.to_datetime(time).to_zoned(TimeZone::UTC).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    #[test]
    fn the_end_is_read_in_both_forms() {
        let key = KeyPair::generate().unwrap();
        for (year, says) in [(2049, "2049-07-09T00:00:00Z"), (2050, "2050-07-09T00:00:00Z")] {
            let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
            params.not_before = date_time_ymd(2024, 1, 1);
            params.not_after = date_time_ymd(year, 7, 9);
            let certificate = params.self_signed(&key).unwrap();
            assert_eq!(expiry(certificate.der()).map(|at| at.to_string()).as_deref(), Some(says));
        }
    }

    #[test]
    fn anything_else_has_none() {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        for length in 0..certificate.der().len() {
            assert_eq!(expiry(&certificate.der()[..length]), None);
        }
        assert_eq!(expiry(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
        assert_eq!(expiry(&[0x30, 0x80]), None);
    }
}
