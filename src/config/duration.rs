//! Durations as people write them: a whole number and a unit, `500ms 10s 5m 1h 7d`.

use std::time::Duration;

const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// The duration that `text` names; `None` when it names none.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (count, unit) = text.split_at(digits);
    let (_, unit_ms) = UNITS.iter().find(|(name, _)| *name == unit)?;
    Some(Duration::from_millis(count.parse::<u64>().ok()?.checked_mul(*unit_ms)?))
}

/// The text of `duration` in the largest unit that needs no fraction; below a millisecond it is lost.
pub(super) fn show(duration: Duration) -> String {
    let ms = duration.as_millis();
    let (name, unit_ms) = match UNITS.iter().find(|(_, unit_ms)| ms.is_multiple_of(u128::from(*unit_ms))) {
        Some((name, unit_ms)) if ms > 0 => (*name, *unit_ms),
        _ => ("s", 1_000),
    };
    format!("{}{name}", ms / u128::from(unit_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_read_back() {
        for text in ["500ms", "10s", "5m", "1h", "7d", "0s", "90s", "36h"] {
            assert_eq!(parse(text).map(show).as_deref(), Some(text));
        }
        assert_eq!(parse("120s").map(show).as_deref(), Some("2m"));
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in
            ["", "5", "s", "5 s", "-5s", "1.5h", "5S", "1h30m", "5µs", "999999999999999999d", "99999999999999999999s"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
