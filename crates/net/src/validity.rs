//! Beginning and end of a certificate's validity, which its bytes say and no library here tells.
//!
//! Invariant: nothing is read past the bytes, and bytes that are no certificate have no end.

/// Tag of the version, which the oldest certificates lack.
const VERSION: u8 = 0xa0;
/// Tag of a time with two digits for the year.
const SHORT_TIME: u8 = 0x17;
/// Tag of a time with four digits for the year.
const LONG_TIME: u8 = 0x18;

/// Element of DER: a tag, its contents, and what follows.
struct Element<'a> {
    tag: u8,
    contents: &'a [u8],
    rest: &'a [u8],
}

/// Returns the end of a certificate in seconds since the Unix epoch; `None` if it can't be read.
pub(crate) fn ends_s(certificate: &[u8]) -> Option<u64> {
    time_of(Element::first(validity(certificate)?)?.rest)
}

/// Returns the beginning of a certificate in seconds since the Unix epoch; `None` if it can't be read.
pub(crate) fn begins_s(certificate: &[u8]) -> Option<u64> {
    time_of(validity(certificate)?)
}

/// Returns the two times of a certificate, as they are encoded.
fn validity(certificate: &[u8]) -> Option<&[u8]> {
    let signed = Element::first(Element::first(certificate)?.contents)?;
    let mut rest = signed.contents;
    if let Some(Element { tag: VERSION, rest: behind, .. }) = Element::first(rest) {
        rest = behind;
    }
    // Serial number, kind of signature, issuer.
    for _ in 0..3 {
        rest = Element::first(rest)?.rest;
    }
    Some(Element::first(rest)?.contents)
}

/// Returns the first time of what is encoded.
fn time_of(encoded: &[u8]) -> Option<u64> {
    let Element { tag, contents, .. } = Element::first(encoded)?;
    time_s(tag, core::str::from_utf8(contents).ok()?)
}

impl<'a> Element<'a> {
    fn first(bytes: &'a [u8]) -> Option<Self> {
        let (&[tag, length], rest) = bytes.split_first_chunk()?;
        let (length, rest) = match length {
            0..=0x7f => (usize::from(length), rest),
            // The length itself has so many bytes.
            0x81..=0x84 => {
                let (digits, rest) = rest.split_at_checked(usize::from(length - 0x80))?;
                let length =
                    digits.iter().fold(0_u32, |length, digit| length << 8 | u32::from(*digit));
                (length as usize, rest)
            }
            _ => return None,
        };
        let (contents, rest) = rest.split_at_checked(length)?;
        Some(Self { tag, contents, rest })
    }
}

/// Returns a time such as `20260131235959Z` in seconds since the Unix epoch; 0 for one before it.
fn time_s(tag: u8, text: &str) -> Option<u64> {
    let (year, rest) = match tag {
        SHORT_TIME => {
            let (year, rest) = text.split_at_checked(2)?;
            let year: i64 = year.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        LONG_TIME => {
            let (year, rest) = text.split_at_checked(4)?;
            (year.parse().ok()?, rest)
        }
        _ => return None,
    };
    let digits = rest.strip_suffix('Z')?;
    let number = |from: usize| digits.get(from..from + 2)?.parse::<i64>().ok();
    let seconds = number(4)? * 3_600 + number(6)? * 60 + number(8)?;
    let since = days(year, number(0)?, number(2)?) * 86_400 + seconds;
    Some(u64::try_from(since).unwrap_or(0))
}

/// Returns the number of days from the Unix epoch to a date, by the calendar of which a year begins in March.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month > 2 { year } else { year - 1 };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use jedlik_hashing::NodeId;
    use jedlik_protocol::ClusterId;

    use super::{LONG_TIME, SHORT_TIME, ends_s, time_s};
    use crate::Credentials;
    use crate::authority::{Authority, Subject};

    #[test]
    fn times_are_read_in_both_forms() {
        for (tag, text, seconds) in [
            (SHORT_TIME, "700101000000Z", Some(0)),
            (SHORT_TIME, "260131235959Z", Some(1_769_903_999)),
            (LONG_TIME, "20260131235959Z", Some(1_769_903_999)),
            (LONG_TIME, "20240229120000Z", Some(1_709_208_000)),
            (LONG_TIME, "20510301000000Z", Some(2_561_241_600)),
            (LONG_TIME, "19691231235959Z", Some(0)),
            (LONG_TIME, "20260131", None),
            (LONG_TIME, "2026é131235959Z", None),
            (0x13, "20260131235959Z", None),
        ] {
            assert_eq!(time_s(tag, text), seconds, "{text}");
        }
    }

    #[test]
    fn a_certificate_ends_after_the_days_that_it_was_issued_for() {
        let authority = Authority::create(ClusterId(1)).unwrap();
        for valid_days in [1, 90, 20_000] {
            let subject = Subject { valid_days, ..Subject::node(NodeId(1), "n1") };
            let issued = authority.issue(&subject).unwrap();
            let pem = authority.certificate_pem();
            let credentials =
                Credentials::from_pem(pem, &issued.certificate_pem, &issued.key_pem).unwrap();
            let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
            let left_s = credentials.ends_s().unwrap() - now_s;
            let days_s = u64::from(valid_days) * 86_400;
            assert!(left_s <= days_s && left_s + 600 > days_s, "{left_s} of {days_s}");
        }
    }

    #[test]
    fn bytes_that_are_no_certificate_have_no_end() {
        for bytes in [&[][..], &[0x30], &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff], &[0x30, 0x80, 0, 0]]
        {
            assert_eq!(ends_s(bytes), None, "{bytes:?}");
        }
    }
}
