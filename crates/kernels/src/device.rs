//! Where numbers live: the reference, or this machine's CPU. A value, not a type parameter.

use crate::backend::Backend;
use crate::cpu::{Cpu, path::CpuPath};
use crate::error::KernelError;
use crate::reference::Reference;
use std::sync::Arc;

/// A device; cheap to clone, all clones are the same device.
#[derive(Clone)]
pub struct Device(Arc<dyn Backend>);

impl Device {
    /// Slow and right: plain loops that define every result.
    pub fn reference() -> Device {
        Device(Arc::new(Reference))
    }

    /// This machine's processor with `threads` threads, on the path of [`Device::chosen_path`].
    pub fn cpu(threads: usize) -> Result<Device, KernelError> {
        Device::cpu_on(threads, Device::chosen_path()?)
    }

    /// The fastest path this processor can run, unless the environment variable `KOLLAMA_CPU`
    /// (`portable`, `avx2`, `avx512`, `amx`) names another.
    pub fn chosen_path() -> Result<CpuPath, KernelError> {
        match std::env::var("KOLLAMA_CPU") {
            Ok(name) => CpuPath::named(&name),
            Err(_) => Ok(CpuPath::detected()),
        }
    }

    /// This machine's processor on a given path.
    pub fn cpu_on(threads: usize, path: CpuPath) -> Result<Device, KernelError> {
        Ok(Device(Arc::new(Cpu::new(threads, path)?)))
    }

    /// What it is, for people: `cpu (avx512, 2 threads)`.
    pub fn name(&self) -> String {
        self.0.name()
    }

    /// Waits for everything asked for; the one place where a device reports a fault of its own.
    pub fn finish(&self) -> Result<(), KernelError> {
        self.0.finish()
    }

    pub(crate) fn backend(&self) -> &dyn Backend {
        &*self.0
    }
}

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name())
    }
}
