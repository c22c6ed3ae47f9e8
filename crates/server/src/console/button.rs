//! A button with what pressing it means, as every page shows it.

/// A button with what pressing it means.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Button {
    /// What it says.
    pub name: String,
    /// Where its form goes.
    pub action: String,
    /// What pressing it means, said before it is pressed.
    pub means: String,
    /// Why it cannot be pressed.
    pub refused: Option<String>,
    /// `back` where it takes something back, `risky` where it goes past the judge, else `plain`.
    pub kind: &'static str,
    /// Fields of its form.
    pub fields: Vec<(&'static str, String)>,
    /// What whoever presses it has to say.
    pub ask: Option<Ask>,
    /// What they have to choose.
    pub choice: Option<Choice>,
}

/// One of several that is chosen before a button is pressed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Choice {
    /// Name of the field.
    pub name: &'static str,
    /// The question.
    pub label: &'static str,
    /// What there is to choose.
    pub among: Vec<String>,
}

/// A whole number that is asked for before a button is pressed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ask {
    /// Name of the field.
    pub name: &'static str,
    /// The question.
    pub label: &'static str,
    /// What stands there at first.
    pub value: u32,
    /// The least that is taken.
    pub least: u32,
    /// The most.
    pub most: u32,
}

impl Button {
    /// Its name as part of an id.
    pub fn slug(&self) -> String {
        self.name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect()
    }
}
