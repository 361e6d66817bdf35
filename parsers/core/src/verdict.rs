//! Identification with reasons: what speaks for a layout, what against, and the bytes each rests on.

use crate::Extent;

/// One fact for or against a statement, with its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// True when the fact supports the statement, false when it speaks against it.
    pub supports: bool,
    /// The fact in one sentence.
    pub text: String,
    /// Where it was seen.
    pub at: Option<Extent>,
}

impl Reason {
    /// A fact that supports the statement.
    pub fn supporting(text: impl Into<String>, at: Extent) -> Self {
        Self { supports: true, text: text.into(), at: Some(at) }
    }

    /// A fact that speaks against the statement.
    pub fn against(text: impl Into<String>, at: Extent) -> Self {
        Self { supports: false, text: text.into(), at: Some(at) }
    }
}

/// What a family says about an input. A verdict names a layout, never a brand (I-1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The family's name in the list of families.
    pub family: &'static str,
    /// Layout and version, for example `DHFS 4.1`.
    pub layout: String,
    /// 0 to 100. Two layouts with scores above zero are two layers, or a tie to be reported.
    pub score: u8,
    /// The bytes this verdict speaks of.
    pub extent: Extent,
    /// Facts for and against.
    pub reasons: Vec<Reason>,
}

impl Verdict {
    /// A verdict without reasons yet; its score starts at 0.
    pub fn new(family: &'static str, layout: impl Into<String>, extent: Extent) -> Self {
        Self { family, layout: layout.into(), score: 0, extent, reasons: Vec::new() }
    }

    /// Adds a fact that supports the layout and raises the score by `weight` (at most to 100).
    pub fn supports(&mut self, weight: u8, at: Extent, text: impl Into<String>) {
        self.score = self.score.saturating_add(weight).min(100);
        self.reasons.push(Reason::supporting(text, at));
    }

    /// Adds a fact that speaks against the layout and lowers the score by `weight`.
    pub fn contradicts(&mut self, weight: u8, at: Extent, text: impl Into<String>) {
        self.score = self.score.saturating_sub(weight);
        self.reasons.push(Reason::against(text, at));
    }

    /// This verdict, if anything supports it.
    pub fn conclude(self) -> Option<Self> {
        (self.score > 0).then_some(self)
    }
}
