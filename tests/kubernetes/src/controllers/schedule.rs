//! Schedules of CronJobs: five fields, as cron has them, and the words for usual ones.

use time::OffsetDateTime;

/// A schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    minutes: Vec<u8>,
    hours: Vec<u8>,
    days: Vec<u8>,
    months: Vec<u8>,
    weekdays: Vec<u8>,
    any_day: bool,
    any_weekday: bool,
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

impl Schedule {
    /// Reads one.
    ///
    /// # Errors
    /// When it is none, in a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = match text.trim() {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            other => other,
        };
        let parts: Vec<&str> = text.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = parts.as_slice() else {
            return Err(format!(
                "expected exactly 5 fields, found {}: [{}]",
                parts.len(),
                parts.join(" ")
            ));
        };
        let mut weekday = field(weekdays, 0, 7, &WEEKDAYS, 0)?;
        if weekday.contains(&7) {
            weekday.push(0);
        }
        Ok(Self {
            minutes: field(minutes, 0, 59, &[], 0)?,
            hours: field(hours, 0, 23, &[], 0)?,
            days: field(days, 1, 31, &[], 0)?,
            months: field(months, 1, 12, &MONTHS, 1)?,
            weekdays: weekday,
            any_day: days.starts_with('*') || *days == "?",
            any_weekday: weekdays.starts_with('*') || *weekdays == "?",
        })
    }

    /// Whether the minute of that time is one of the schedule's.
    pub fn is_due(&self, time: OffsetDateTime) -> bool {
        let day = self.days.contains(&time.day());
        let weekday = self.weekdays.contains(&time.weekday().number_days_from_sunday());
        // Where both are given, either is enough.
        let right_day =
            if self.any_day || self.any_weekday { day && weekday } else { day || weekday };
        self.minutes.contains(&time.minute())
            && self.hours.contains(&time.hour())
            && self.months.contains(&u8::from(time.month()))
            && right_day
    }
}

fn field(text: &str, low: u8, high: u8, names: &[&str], first: u8) -> Result<Vec<u8>, String> {
    let number = |word: &str| -> Result<u8, String> {
        if let Some(at) = names.iter().position(|name| word.eq_ignore_ascii_case(name)) {
            return Ok(first + u8::try_from(at).unwrap_or(0));
        }
        let number: u8 = word.parse().map_err(|_| {
            format!(
                "failed to parse int from {word}: strconv.Atoi: parsing \"{word}\": invalid syntax"
            )
        })?;
        if number < low {
            return Err(format!("beginning of range ({number}) below minimum ({low}): {text}"));
        }
        if number > high {
            return Err(format!("end of range ({number}) above maximum ({high}): {text}"));
        }
        Ok(number)
    };
    let mut all = Vec::new();
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (part, None),
        };
        let (from, to) = match range {
            "*" | "?" => (low, high),
            _ => match range.split_once('-') {
                Some((from, to)) => (number(from)?, number(to)?),
                None if step.is_some() => (number(range)?, high),
                None => (number(range)?, number(range)?),
            },
        };
        if from > to {
            return Err(format!("beginning of range ({from}) beyond end of range ({to}): {part}"));
        }
        let step: usize = match step {
            None => 1,
            Some(step) => step
                .parse()
                .ok()
                .filter(|step| *step > 0)
                .ok_or_else(|| format!("step of range should be a positive number: {part}"))?,
        };
        all.extend((from..=to).step_by(step));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_are_due_when_they_say() {
        let at = |text: &str| crate::clock::parse(text).unwrap();
        let due = |schedule: &str, time: &str| Schedule::parse(schedule).unwrap().is_due(at(time));
        assert!(due("*/5 * * * *", "2026-01-01T10:35:20Z"));
        assert!(!due("*/5 * * * *", "2026-01-01T10:36:00Z"));
        assert!(due("0 9-17 * * mon-fri", "2026-01-02T09:00:00Z"));
        assert!(!due("0 9-17 * * mon-fri", "2026-01-03T09:00:00Z"));
        assert!(due("@daily", "2026-01-03T00:00:00Z"));
        for wrong in ["", "* * * *", "60 * * * *", "a * * * *", "*/0 * * * *"] {
            assert!(Schedule::parse(wrong).is_err(), "{wrong}");
        }
    }
}
