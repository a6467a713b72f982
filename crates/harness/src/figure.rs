//! One number of a table or a chart, ours or published. Knows nothing of where it came from.

/// What a model reached on a task.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// The model as readers know it.
    pub model: String,
    /// Whether it was measured here; else it is a published one.
    pub is_ours: bool,
    /// Name of the task.
    pub task: String,
    /// Whether its task is one of so many that only their group is shown by itself.
    pub is_part: bool,
    /// Name of the metric, as in `Metric::name`.
    pub metric: String,
    /// Solved examples before each question.
    pub shots: usize,
    /// The value, 0 to 1.
    pub value: f64,
    /// Its standard error, where there is one.
    pub standard_error: Option<f64>,
    /// What the window of the model cut off.
    pub cut: Cut,
}

/// How much of the prompts a model did not see.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cut {
    /// Documents scored.
    pub documents: usize,
    /// Those whose prompt lost its beginning.
    pub cut_documents: usize,
    /// Whole examples that a document had left, on the average of all documents.
    pub shots_left: f64,
}

/// The distinct values that `key` takes, in the order of their first figure.
pub fn distinct<'a, T: PartialEq>(
    figures: impl IntoIterator<Item = &'a Figure>,
    key: impl Fn(&'a Figure) -> T,
) -> Vec<T> {
    let mut found = Vec::new();
    for value in figures.into_iter().map(key) {
        if !found.contains(&value) {
            found.push(value);
        }
    }
    found
}
