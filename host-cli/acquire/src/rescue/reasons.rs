//! Why reads failed: the texts that the system gave, with how often, for the map's comment lines.

/// Different texts kept; a disk gives a handful. The texts come from drivers, so their number is bounded.
const TEXTS_LIMIT: usize = 32;
/// Characters kept of one text.
const TEXT_LIMIT: usize = 200;
/// What a comment line with a reason begins with.
const PREFIX: &str = "# reads failed:";

/// Texts of failed reads in the order in which they were first met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reasons(Vec<(String, u64)>);

impl Reasons {
    /// Counts one failed read.
    pub fn add(&mut self, text: &str) {
        let cleaned: String =
            text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(TEXT_LIMIT).collect();
        self.add_many(cleaned.trim(), 1);
    }

    fn add_many(&mut self, text: &str, count: u64) {
        if let Some((_, so_far)) = self.0.iter_mut().find(|(known, _)| known == text) {
            *so_far = so_far.saturating_add(count);
        } else if self.0.len() < TEXTS_LIMIT {
            self.0.push((text.to_owned(), count));
        } else if let Some((other, so_far)) = self.0.last_mut() {
            *other = "other reasons".to_owned();
            *so_far = so_far.saturating_add(count);
        }
    }

    /// Texts and how many reads failed with each.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(text, count)| (text.as_str(), *count))
    }

    /// The comment lines of a map.
    pub(super) fn lines(&self) -> impl Iterator<Item = String> + '_ {
        self.iter().map(|(text, count)| format!("{PREFIX} {count} times: {text}"))
    }

    /// Takes up a comment line of a map that [`Reasons::lines`] made; others are passed over.
    pub(super) fn take_line(&mut self, line: &str) {
        let fields = line.strip_prefix(PREFIX).and_then(|rest| rest.split_once(" times: "));
        if let Some((count, text)) = fields
            && let Ok(count) = count.trim().parse()
        {
            let text: String = text.chars().take(TEXT_LIMIT).collect();
            self.add_many(text.trim(), count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_counted_bounded_and_read_back() {
        let mut reasons = Reasons::default();
        reasons.add("Input/output error\n(os error 5)");
        reasons.add("Input/output error (os error 5)");
        for number in 0..100 {
            reasons.add(&format!("reason {number}"));
        }
        assert_eq!(reasons.iter().next(), Some(("Input/output error (os error 5)", 2)));
        assert_eq!(reasons.iter().count(), TEXTS_LIMIT);
        assert_eq!(reasons.iter().map(|(_, count)| count).sum::<u64>(), 102);
        let mut again = Reasons::default();
        reasons.lines().for_each(|line| again.take_line(&line));
        again.take_line("# reads failed: many times: x");
        again.take_line("# Mapfile.");
        assert_eq!(again, reasons);
    }
}
