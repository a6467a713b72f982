//! The judge: runs an operation on the reference and on every CPU path, and compares what comes
//! out.

use crate::numbers::{Values, cpu_devices};
use kollama_kernels::Device;

/// Numbers of threads that must give the same bits. Three is more than some ragged shapes have rows.
const THREADS: [usize; 3] = [1, 2, 3];

/// The devices, one operation's tolerance, and the largest error seen so far.
pub struct Agreement {
    operation: &'static str,
    tolerance: f64,
    worst: f64,
    reference: Device,
    /// One row per number of threads, one column per path.
    devices: Vec<Vec<Device>>,
}

impl Agreement {
    /// An element may be off by `tolerance` times its scale: the sum of the absolute values of the
    /// terms that it is made of. That is what a sum in `f32` can promise; where terms cancel, more
    /// than that is lost to nobody's fault.
    pub fn within(tolerance: f64, operation: &'static str) -> Agreement {
        let devices = THREADS.map(cpu_devices).into();
        Agreement { operation, tolerance, worst: 0.0, reference: Device::reference(), devices }
    }

    /// Runs on the reference, for expectations and scales.
    pub fn reference(&self) -> &Device {
        &self.reference
    }

    /// `run` gives the outputs of one case on a device; `scales` has one scale for every element.
    pub fn check(
        &mut self,
        case: &str,
        scales: &[Vec<f32>],
        run: impl Fn(&Device) -> Vec<Vec<f32>>,
    ) {
        let expected = run(&self.reference);
        let outputs: Vec<Vec<_>> =
            self.devices.iter().map(|row| row.iter().map(&run).collect()).collect();
        for (path, found) in outputs[0].iter().enumerate() {
            let name = format!("{} of {case} on {}", self.operation, self.devices[0][path].name());
            self.compare(&name, found, &expected, scales);
            for (row, threads) in outputs.iter().zip(THREADS) {
                assert!(same_bits(&row[path], found), "{name}: other bits with {threads} threads");
            }
        }
    }

    /// As [`Agreement::check`] where every output is a sum of products of the inputs: the scales are
    /// what the reference makes of the absolute values of all inputs.
    pub fn check_sums(
        &mut self,
        case: &str,
        inputs: &[&Values],
        run: impl Fn(&Device, &[&Values]) -> Vec<Vec<f32>>,
    ) {
        let absolute: Vec<Values> = inputs.iter().map(|input| input.map(f32::abs)).collect();
        let scales = run(&self.reference, &absolute.iter().collect::<Vec<_>>());
        self.check(case, &scales, |device| run(device, inputs));
    }

    fn compare(
        &mut self,
        name: &str,
        found: &[Vec<f32>],
        expected: &[Vec<f32>],
        scales: &[Vec<f32>],
    ) {
        assert_eq!(found.len(), scales.len(), "{name}: one vector of scales for every output");
        for (output, found) in found.iter().enumerate() {
            let (expected, scales) = (&expected[output], &scales[output]);
            assert_eq!(found.len(), scales.len(), "{name}: one scale for every element");
            for (i, &found) in found.iter().enumerate() {
                let error = error(found, expected[i], scales[i]);
                let place = format!("output {output}, element {i}: {found}, not {}", expected[i]);
                assert!(error <= self.tolerance, "{name}: {place}: {error:.1e} of its scale");
                self.worst = self.worst.max(error);
            }
        }
    }
}

impl Drop for Agreement {
    /// Says how close it was; seen with `--nocapture`.
    fn drop(&mut self) {
        let Agreement { operation, tolerance, worst, .. } = self;
        println!("{operation}: worst error {worst:.2e} of the scale, tolerance {tolerance:.0e}");
    }
}

/// Distance in units of the scale. Not a number agrees only with not a number.
fn error(found: f32, expected: f32, scale: f32) -> f64 {
    if found == expected || (found.is_nan() && expected.is_nan()) {
        return 0.0;
    }
    let error = (f64::from(found) - f64::from(expected)).abs() / f64::from(scale);
    if error.is_nan() { f64::INFINITY } else { error }
}

fn same_bits(x: &[Vec<f32>], y: &[Vec<f32>]) -> bool {
    let bits = |outputs: &[Vec<f32>]| -> Vec<u32> {
        outputs.iter().flatten().map(|x| x.to_bits()).collect()
    };
    bits(x) == bits(y)
}
