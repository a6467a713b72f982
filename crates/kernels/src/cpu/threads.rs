//! One pool of threads that lives as long as its device. Work is a number of tasks; who does which
//! is left to chance, so a task must not care: results then do not depend on the number of threads.
//!
//! Workers that run out of tasks spin for some ten microseconds, the usual gap between two
//! operations of a model, and sleep after that. Nothing is allocated per call.

use std::any::Any;
use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// Rounds of waiting before a worker sleeps, and before a caller lets others run.
const SPINS: usize = 3000;

/// What a task is given: its number, and the number of the thread that runs it.
type Work = dyn Fn(usize, usize) + Sync;

/// A pool of threads, of which the caller of [`Pool::run`] is one.
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    callers: Mutex<()>,
}

struct Shared {
    unclaimed: Padded,
    finished: Padded,
    job: UnsafeCell<Job>,
    sleeping: AtomicUsize,
    bed: Mutex<()>,
    alarm: Condvar,
    closing: AtomicBool,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

/// A counter with a cache line of its own (two, since neighbours are fetched together).
#[repr(align(128))]
struct Padded(AtomicUsize);

#[derive(Clone, Copy)]
struct Job {
    work: *const Work,
    tasks: usize,
}

// SAFETY: `job` is written by the one caller that holds `Pool::callers`, only while no task is
// claimed or unclaimed, and read only by threads that have claimed a task of it; the claim's
// Acquire sees the caller's Release. The work it points to is `Sync`.
unsafe impl Sync for Shared {}
// SAFETY: as above; the pointer is not tied to a thread.
unsafe impl Send for Shared {}

impl Pool {
    /// A pool of `threads` threads, the caller's among them; an error if the system has not that
    /// many to give.
    pub fn new(threads: usize) -> std::io::Result<Pool> {
        let nothing: &Work = &|_, _| {};
        let shared = Arc::new(Shared {
            unclaimed: Padded(AtomicUsize::new(0)),
            finished: Padded(AtomicUsize::new(0)),
            job: UnsafeCell::new(Job { work: nothing, tasks: 0 }),
            sleeping: AtomicUsize::new(0),
            bed: Mutex::new(()),
            alarm: Condvar::new(),
            closing: AtomicBool::new(false),
            panic: Mutex::new(None),
        });
        let mut pool = Pool { shared, workers: Vec::new(), callers: Mutex::new(()) };
        for worker in 1..threads {
            let shared = Arc::clone(&pool.shared);
            let work = move || shared.serve(worker);
            pool.workers.push(std::thread::Builder::new().spawn(work)?);
        }
        Ok(pool)
    }

    /// Threads, the caller's among them.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `work(task, thread)` once for every task in `0..tasks` and returns when all are done.
    /// Callers from several threads take turns; a task must not call `run` again.
    ///
    /// # Panics
    /// With the panic of a task, once all others are done.
    pub fn run(&self, tasks: usize, work: &(dyn Fn(usize, usize) + Sync)) {
        let _turn = locked(&self.callers);
        if tasks <= 1 || self.workers.is_empty() {
            return (0..tasks).for_each(|task| work(task, 0));
        }
        self.shared.publish(work, tasks);
        while self.shared.do_one(0) {}
        self.shared.wait_for(tasks);
        let panic = locked(&self.shared.panic).take();
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }

    /// Cuts `0..length` into ranges of `grain` (the last may be shorter) and runs `work(range)` for
    /// each. Where the cuts lie does not depend on the number of threads.
    pub fn run_ranges(&self, length: usize, grain: usize, work: &(dyn Fn(Range<usize>) + Sync)) {
        self.run(length.div_ceil(grain), &|task, _| {
            work(task * grain..((task + 1) * grain).min(length));
        });
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::SeqCst);
        self.shared.wake();
        for worker in self.workers.drain(..) {
            // Panics of tasks are caught in the task, so a worker ends only here.
            let _ = worker.join();
        }
    }
}

impl Shared {
    fn publish<'a>(&self, work: &'a (dyn Fn(usize, usize) + Sync + 'a), tasks: usize) {
        type Borrowed<'a> = dyn Fn(usize, usize) + Sync + 'a;
        // SAFETY: only the lifetime changes; `Pool::run` returns after the last task has ended.
        let work = unsafe { std::mem::transmute::<*const Borrowed<'a>, *const Work>(work) };
        // SAFETY: the caller holds its turn and the previous job is finished; see `Shared`.
        unsafe { *self.job.get() = Job { work, tasks } };
        self.finished.0.store(0, Ordering::Relaxed);
        self.unclaimed.0.store(tasks, Ordering::SeqCst);
        if self.sleeping.load(Ordering::SeqCst) > 0 {
            self.wake();
        }
    }

    /// Claims a task and does it; false if none is left.
    fn do_one(&self, thread: usize) -> bool {
        let claim = |left: usize| left.checked_sub(1);
        let claimed = self.unclaimed.0.fetch_update(Ordering::Acquire, Ordering::Relaxed, claim);
        let Ok(left) = claimed else { return false };
        // SAFETY: a claimed task keeps the job alive and unchanged until it counts as finished.
        let (work, tasks) = unsafe { (&*(*self.job.get()).work, (*self.job.get()).tasks) };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| work(tasks - left, thread))) {
            locked(&self.panic).get_or_insert(panic);
        }
        self.finished.0.fetch_add(1, Ordering::Release);
        true
    }

    fn wait_for(&self, tasks: usize) {
        let mut spins = 0;
        while self.finished.0.load(Ordering::Acquire) < tasks {
            match spins < SPINS {
                true => std::hint::spin_loop(),
                false => std::thread::yield_now(),
            }
            spins += 1;
        }
    }

    fn serve(&self, thread: usize) {
        let mut spins = 0;
        while !self.closing.load(Ordering::Relaxed) {
            if self.do_one(thread) {
                spins = 0;
            } else if spins < SPINS {
                spins += 1;
                std::hint::spin_loop();
            } else {
                self.sleep();
                spins = 0;
            }
        }
    }

    /// Sequentially consistent on both sides: either the caller sees that somebody sleeps, or the
    /// sleeper sees that there is work.
    fn sleep(&self) {
        let mut bed = locked(&self.bed);
        self.sleeping.fetch_add(1, Ordering::SeqCst);
        while self.unclaimed.0.load(Ordering::SeqCst) == 0 && !self.closing.load(Ordering::SeqCst) {
            bed = self.alarm.wait(bed).unwrap_or_else(PoisonError::into_inner);
        }
        self.sleeping.fetch_sub(1, Ordering::SeqCst);
    }

    fn wake(&self) {
        let _bed = locked(&self.bed);
        self.alarm.notify_all();
    }
}

/// The data behind these locks is never left half-written, so a panic elsewhere does not spoil it.
pub fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A slice of which several tasks write different parts.
#[derive(Clone, Copy)]
pub struct SharedMut<'a, T> {
    start: *mut T,
    length: usize,
    borrow: PhantomData<&'a mut [T]>,
}

// SAFETY: it hands out parts only through `part`, whose callers promise that no two overlap.
unsafe impl<T: Send> Sync for SharedMut<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Send for SharedMut<'_, T> {}

impl<'a, T> SharedMut<'a, T> {
    /// All of `slice`, borrowed for as long as parts of it are written.
    pub fn new(slice: &'a mut [T]) -> SharedMut<'a, T> {
        SharedMut { start: slice.as_mut_ptr(), length: slice.len(), borrow: PhantomData }
    }

    /// Where a part starts, for rectangles, which are no slices.
    pub fn pointer(&self, range: Range<usize>) -> *mut T {
        assert!(
            range.start <= range.end && range.end <= self.length,
            "{range:?} of {}",
            self.length
        );
        self.start.wrapping_add(range.start)
    }

    /// One part.
    ///
    /// # Safety
    /// No part that overlaps it may be in use at the same time.
    #[allow(clippy::mut_from_ref, reason = "disjoint parts are the purpose; see Safety")]
    pub unsafe fn part(&self, range: Range<usize>) -> &'a mut [T] {
        let start = self.pointer(range.clone());
        // SAFETY: inside the slice as `pointer` asserts, not shared by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(start, range.len()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_exactly_once_on_any_number_of_threads() {
        for threads in 1..=4 {
            let pool = Pool::new(threads).unwrap();
            for tasks in [0, 1, 2, 7, 1000] {
                let runs: Vec<_> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
                pool.run(tasks, &|task, thread| {
                    assert!(thread < threads);
                    runs[task].fetch_add(1, Ordering::Relaxed);
                });
                assert!(runs.iter().all(|runs| runs.load(Ordering::Relaxed) == 1));
            }
        }
    }

    #[test]
    fn a_pool_whose_workers_fell_asleep_still_does_every_task() {
        let pool = Pool::new(3).unwrap();
        for pause in [0, 20, 20] {
            std::thread::sleep(std::time::Duration::from_millis(pause));
            let sum = AtomicUsize::new(0);
            pool.run(100, &|task, _| {
                sum.fetch_add(task, Ordering::Relaxed);
            });
            assert_eq!(sum.into_inner(), 4950);
        }
    }

    #[test]
    fn a_panic_in_a_task_reaches_the_caller_and_the_pool_goes_on() {
        let pool = Pool::new(2).unwrap();
        let run = || pool.run(50, &|task, _| assert_ne!(task, 31, "task thirty-one"));
        let panic = catch_unwind(AssertUnwindSafe(run)).unwrap_err();
        assert!(panic.downcast_ref::<String>().unwrap().contains("task thirty-one"));
        let done = AtomicUsize::new(0);
        pool.run(50, &|_, _| {
            done.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(done.into_inner(), 50);
    }

    #[test]
    fn callers_from_several_threads_take_turns() {
        let pool = Pool::new(3).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let mut out = [0; 37];
                        let parts = SharedMut::new(&mut out);
                        pool.run_ranges(37, 5, &|range| {
                            // SAFETY: ranges do not overlap.
                            let part = unsafe { parts.part(range.clone()) };
                            part.iter_mut().zip(range).for_each(|(out, at)| *out = at);
                        });
                        assert!(out.iter().enumerate().all(|(at, &out)| at == out));
                    }
                });
            }
        });
    }
}
