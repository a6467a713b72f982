//! Numbers that are none: a weight, a loss or a gradient that is NaN or infinite stops a run at
//! once, before it can spoil a weight or a checkpoint.

use kollama_kernels::{Matrix, ops};
use kollama_llama::{LlamaError, Master};

/// The first matrix that holds such a number: its name and its row.
pub fn first_not_finite<'a>(
    matrices: impl IntoIterator<Item = (String, &'a Matrix)>,
) -> Option<(String, usize)> {
    matrices.into_iter().find_map(|(name, matrix)| Some((name, row_not_finite(matrix)?)))
}

/// The first master that holds such a number: its name and its row.
pub fn weight_not_finite(master: &Master) -> Result<Option<(String, usize)>, LlamaError> {
    for (name, weight) in master.weights() {
        let mut row = None;
        weight.for_each_part(|first, rows| {
            row = row.or_else(|| Some(first + row_not_finite(rows)?));
            Ok(())
        })?;
        if let Some(row) = row {
            return Ok(Some((name, row)));
        }
    }
    Ok(None)
}

fn row_not_finite(matrix: &Matrix) -> Option<usize> {
    let finite = |first: usize, last: usize| ops::square_sum(matrix, first..last).is_finite();
    if finite(0, matrix.rows()) {
        return None;
    }
    (0..matrix.rows()).find(|&row| !finite(row, row + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kollama_kernels::Device;

    #[test]
    fn the_first_matrix_in_question_is_named() {
        let (good, bad) = (matrix(&[1.0, 2.0]), matrix(&[1.0, f32::NAN]));
        let named = [("good".to_owned(), &good), ("bad".to_owned(), &bad)];
        assert_eq!(first_not_finite(named), Some(("bad".to_owned(), 0)));
    }

    fn matrix(values: &[f32]) -> Matrix {
        Matrix::from_values(&Device::reference(), values.len() / 2, 2, values).unwrap()
    }

    #[test]
    fn the_row_of_a_nan_or_an_infinity_is_found() {
        assert_eq!(row_not_finite(&matrix(&[1.0, 2.0, 3.0, f32::NAN])), Some(1));
        assert_eq!(row_not_finite(&matrix(&[f32::NEG_INFINITY, 2.0])), Some(0));
    }

    #[test]
    fn the_largest_finite_weights_are_fine() {
        assert_eq!(row_not_finite(&matrix(&[f32::MAX, f32::MIN, f32::MAX, -0.0])), None);
    }
}
