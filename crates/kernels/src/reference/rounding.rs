//! Outputs that are stored as bf16: the reference computes them as f32 and rounds them to nearest
//! even once, when it is done.

use crate::dtype::DType;
use crate::view::View;
use half::bf16;
use std::ops::{Deref, DerefMut};

/// An output as f32, whatever its matrix stores; what it holds is stored when this is dropped.
pub struct Output {
    view: View,
    /// What a bf16 matrix holds, widened.
    widened: Vec<f32>,
}

impl Output {
    /// What the output holds now.
    pub fn of(view: View) -> Output {
        let widened = match view.dtype {
            DType::F32 => Vec::new(),
            // SAFETY: an output of the running operation.
            _ => unsafe { view.bf16s() }.iter().map(|x| x.to_f32()).collect(),
        };
        Output { view, widened }
    }
}

impl Deref for Output {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match self.view.dtype {
            // SAFETY: an output of the running operation.
            DType::F32 => unsafe { self.view.f32s() },
            _ => &self.widened,
        }
    }
}

impl DerefMut for Output {
    fn deref_mut(&mut self) -> &mut [f32] {
        match self.view.dtype {
            // SAFETY: an output of the running operation, whose matrix is borrowed mutably.
            DType::F32 => unsafe { self.view.f32s_mut() },
            _ => &mut self.widened,
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if self.view.dtype == DType::Bf16 {
            // SAFETY: an output of the running operation, whose matrix is borrowed mutably.
            let stored = unsafe { self.view.bf16s_mut() };
            let values = stored.iter_mut().zip(&self.widened);
            values.for_each(|(stored, &x)| *stored = bf16::from_f32(x));
        }
    }
}
