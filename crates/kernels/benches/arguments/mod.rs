//! What every bench is told first: `[path [threads [more words]]]`.

use kollama_kernels::{CpuPath, Device};

/// The path, the threads and their device, and the words that follow.
pub fn read() -> (CpuPath, usize, Device, impl Iterator<Item = String>) {
    let mut words = std::env::args().skip(1).filter(|word| !word.starts_with("--"));
    let path = words.next().map_or(CpuPath::detected(), |name| {
        CpuPath::named(&name).expect("the first argument is a path")
    });
    let threads = words.next().map_or(2, |count| count.parse().expect("a number of threads"));
    let device = Device::cpu_on(threads, path).expect("a path of this processor");
    (path, threads, device, words)
}
