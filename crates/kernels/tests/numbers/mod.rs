//! Matrices of fixed random values for the tests of this folder, and where to put them.

use kollama_kernels::{CpuPath, DType, Device, Matrix};

/// A matrix that is on no device yet.
#[derive(Clone)]
pub struct Values {
    pub rows: usize,
    pub columns: usize,
    pub values: Vec<f32>,
}

impl Values {
    /// Between -1 and 1, different for every seed and shape (the splitmix64 sequence).
    pub fn random(seed: u64, rows: usize, columns: usize) -> Values {
        let mut state = (seed << 48) ^ ((rows as u64) << 24) ^ columns as u64;
        let next = || {
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut bits = state;
            bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            ((bits ^ (bits >> 31)) >> 40) as f32 / (1u32 << 23) as f32 - 1.0
        };
        let values = std::iter::repeat_with(next).take(rows * columns).collect();
        Values { rows, columns, values }
    }

    pub fn map(&self, change: impl Fn(f32) -> f32) -> Values {
        let values = self.values.iter().map(|&value| change(value)).collect();
        Values { values, ..*self }
    }

    pub fn on(&self, device: &Device) -> Matrix {
        self.stored_as(DType::F32, device)
    }

    pub fn stored_as(&self, dtype: DType, device: &Device) -> Matrix {
        let mut matrix = Matrix::zeros(device, self.rows, self.columns, dtype)
            .expect("a small matrix fits into memory");
        matrix.write_rows(0, &self.values);
        matrix
    }
}

/// The turns of rope for random angles: half cosines, half sines in every row.
pub fn turns(seed: u64, rows: usize, size: usize) -> Values {
    let angles = Values::random(seed, rows, size / 2).map(|angle| angle * 4.0);
    let row = |angles: &[f32]| {
        let cosines = angles.iter().map(|angle| angle.cos());
        cosines.chain(angles.iter().map(|angle| angle.sin())).collect::<Vec<_>>()
    };
    let values = angles.values.chunks_exact(size / 2).flat_map(row).collect();
    Values { rows, columns: size, values }
}

/// For every path that this processor can run: the device with that number of threads.
pub fn cpu_devices(threads: usize) -> Vec<Device> {
    let on = |path| Device::cpu_on(threads, path).expect("an available path on one thread or more");
    CpuPath::available().into_iter().map(on).collect()
}
