//! Means and deviations of plain numbers. What the numbers are is a matter of `metrics`.

/// The plain mean; not a number where there are no values.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// √(Σ(x − mean)² / (n − 1)); none below two values.
pub fn sample_deviation(values: &[f64]) -> Option<f64> {
    if values.len() < 2 {
        return None;
    }
    let mean = mean(values);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    Some((squares / (values.len() - 1) as f64).sqrt())
}

/// Sample deviation / √n; none below two values.
pub fn standard_error_of_the_mean(values: &[f64]) -> Option<f64> {
    Some(sample_deviation(values)? / (values.len() as f64).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deviations_divide_by_one_less_than_the_count() {
        // statistics.stdev([1, 2, 4, 9]) of CPython.
        let deviation = sample_deviation(&[1.0, 2.0, 4.0, 9.0]).unwrap();
        assert!((deviation - 3.559026084010437).abs() < 1e-15);
        let error = standard_error_of_the_mean(&[1.0, 2.0, 4.0, 9.0]).unwrap();
        assert!((error - 3.559026084010437 / 2.0).abs() < 1e-15);
    }

    #[test]
    fn one_value_deviates_from_nothing() {
        assert_eq!(sample_deviation(&[3.0]), None);
        assert_eq!(standard_error_of_the_mean(&[]), None);
    }
}
