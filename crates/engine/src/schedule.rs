//! What every running sequence reads in a step: those that write come first, prompts share what is
//! left, so that a long prompt holds up neither the writers nor shorter prompts. Reads nothing itself.

use crate::sequence::Sequence;

/// Rows of one step, over all sequences.
pub const ROWS_OF_A_STEP: usize = 512;
/// Rows of prompts in a step in which somebody waits for his next token.
const ROWS_BESIDE_WRITERS: usize = 64;
/// Rows of a prompt whose log-probabilities are asked for: each needs logits.
const ROWS_WITH_LOGITS: usize = 128;

/// What one sequence has in a step.
#[derive(Debug, PartialEq, Eq)]
pub struct Part {
    /// Which of the running ones it is.
    pub sequence: usize,
    /// Tokens of it that are read.
    pub rows: usize,
    /// Whether they are all it has, so that it gets its next token.
    pub writes: bool,
}

/// The parts of a step.
pub fn share_out(running: &[Sequence<'_>]) -> Vec<Part> {
    let unread: Vec<Unread> = running.iter().map(Unread::of).collect();
    let rows = rows_of(&unread);
    let part = |(sequence, (unread, rows)): (usize, (&Unread, usize))| Part {
        sequence,
        rows,
        writes: rows == unread.rows,
    };
    unread.iter().zip(rows).enumerate().map(part).filter(|part| part.rows > 0).collect()
}

/// What a sequence could read.
struct Unread {
    rows: usize,
    most: usize,
}

impl Unread {
    fn of(sequence: &Sequence<'_>) -> Unread {
        let rows = sequence.tokens.len() - sequence.read;
        let most = if sequence.tells_prompt() { ROWS_WITH_LOGITS } else { ROWS_OF_A_STEP };
        let waits = sequence.follows.is_some();
        Unread { rows, most: if waits { 0 } else { rows.min(most) } }
    }
}

/// Rows of each: one for whoever has one, then equal shares, then what is left to the first.
fn rows_of(unread: &[Unread]) -> Vec<usize> {
    let mut budget = ROWS_OF_A_STEP;
    let mut rows = vec![0; unread.len()];
    let writers = unread.iter().filter(|unread| unread.most == 1).count();
    let readers = unread.iter().filter(|unread| unread.most > 1).count();
    for (rows, unread) in rows.iter_mut().zip(unread).filter(|(_, unread)| unread.most == 1) {
        *rows = unread.most.min(budget);
        budget -= *rows;
    }
    budget = if writers > 0 { budget.min(ROWS_BESIDE_WRITERS) } else { budget };
    let share = budget / readers.max(1);
    for limit in [share, usize::MAX] {
        for (rows, unread) in rows.iter_mut().zip(unread).filter(|(_, unread)| unread.most > 1) {
            let more = (unread.most - *rows).min(limit).min(budget);
            *rows += more;
            budget -= more;
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(unread: &[usize]) -> Vec<usize> {
        let unread: Vec<_> = unread.iter().map(|&rows| Unread { rows, most: rows }).collect();
        rows_of(&unread)
    }

    #[test]
    fn writers_come_first_and_prompts_share_the_rest() {
        assert_eq!(rows(&[2000, 1, 1]), [64, 1, 1]);
        assert_eq!(rows(&[2000, 10, 1]), [54, 10, 1]);
        assert_eq!(rows(&[2000, 2000]), [256, 256]);
        assert_eq!(rows(&[2000, 100]), [412, 100]);
        assert_eq!(rows(&[1; 600])[..513].iter().sum::<usize>(), 512);
    }

    #[test]
    fn more_prompts_than_rows_go_in_order() {
        let given = rows(&[vec![1], vec![50; 100]].concat());
        assert_eq!((given[1], given[2], given[3]), (50, 14, 0));
    }
}
