//! Work done by several threads whose results come out in the order in which the work went in.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// Threads that turn jobs into results, in order.
///
/// The caller bounds what is under way: it pushes as many jobs as it wants to be worked ahead, and pops a result
/// before it pushes the next.
pub(crate) struct Pipeline<J, R> {
    work: Arc<dyn Fn(J) -> R + Send + Sync>,
    threads: usize,
    jobs: Option<Sender<(u64, J)>>,
    shared: Arc<Mutex<Receiver<(u64, J)>>>,
    results: Receiver<(u64, R)>,
    done: Sender<(u64, R)>,
    workers: Vec<JoinHandle<()>>,
    /// Jobs that run on the caller's thread, when there are no others.
    inline: VecDeque<J>,
    pushed: u64,
    popped: u64,
    /// Results that came before their turn: the first of them is that of job `popped`.
    early: VecDeque<Option<R>>,
}

impl<J: Send + 'static, R: Send + 'static> Pipeline<J, R> {
    /// A pipeline of `threads` threads, each started when there is work for it; with 0, the work is done by the
    /// caller's thread when it pops.
    pub(crate) fn new(threads: usize, work: impl Fn(J) -> R + Send + Sync + 'static) -> Self {
        let (jobs, shared) = channel();
        let (done, results) = channel();
        Self {
            work: Arc::new(work),
            threads,
            jobs: Some(jobs),
            shared: Arc::new(Mutex::new(shared)),
            results,
            done,
            workers: Vec::new(),
            inline: VecDeque::new(),
            pushed: 0,
            popped: 0,
            early: VecDeque::new(),
        }
    }

    /// How many results are still to be popped.
    pub(crate) fn pending(&self) -> usize {
        (self.pushed - self.popped) as usize
    }

    /// Adds a job.
    pub(crate) fn push(&mut self, job: J) {
        let number = self.pushed;
        self.pushed += 1;
        if self.workers.len() < self.threads.min(self.pending()) {
            self.start_worker();
        }
        if self.threads == 0 {
            self.inline.push_back(job);
            return;
        }
        if let Some(jobs) = &self.jobs {
            // The receiver lives as long as `self`.
            let _ = jobs.send((number, job));
        }
    }

    /// Starts one more thread, or makes do with those that there are: with none, the caller's thread works.
    fn start_worker(&mut self) {
        let (work, jobs, done) = (self.work.clone(), self.shared.clone(), self.done.clone());
        let worker = std::thread::Builder::new().spawn(move || {
            loop {
                let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
                let Ok((number, job)) = job else { return };
                if done.send((number, work(job))).is_err() {
                    return;
                }
            }
        });
        match worker {
            Ok(worker) => self.workers.push(worker),
            Err(_) => self.threads = self.workers.len(),
        }
    }

    /// The result of the oldest job; `None` when there is none pending.
    pub(crate) fn pop(&mut self) -> Option<R> {
        if self.pending() == 0 {
            return None;
        }
        if self.threads == 0 {
            self.popped += 1;
            return self.inline.pop_front().map(|job| (self.work)(job));
        }
        loop {
            if let Some(Some(_)) = self.early.front() {
                self.popped += 1;
                return self.early.pop_front().flatten();
            }
            match self.results.recv_timeout(std::time::Duration::from_secs(1)) {
                Ok((number, result)) => {
                    let slot = (number - self.popped) as usize;
                    while self.early.len() <= slot {
                        self.early.push_back(None);
                    }
                    self.early[slot] = Some(result);
                }
                // A worker that panicked will never answer: its panic becomes ours.
                Err(_) => self.rethrow(),
            }
        }
    }

    fn rethrow(&mut self) {
        if let Some(at) = self.workers.iter().position(JoinHandle::is_finished)
            && let Err(panic) = self.workers.swap_remove(at).join()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

impl<J, R> Drop for Pipeline<J, R> {
    fn drop(&mut self) {
        // Workers end when no more jobs can come; what was pushed and not begun is dropped with the queue.
        self.jobs = None;
        let queue = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        while queue.try_recv().is_ok() {}
        drop(queue);
        for worker in self.workers.drain(..) {
            // A panic was either passed on already or belongs to a result that nobody asked for.
            let _ = worker.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Pipeline;
    use std::time::Duration;

    #[test]
    fn results_come_in_order() {
        for threads in [0, 1, 4] {
            let mut pipeline = Pipeline::new(threads, |n: u64| {
                std::thread::sleep(Duration::from_micros(n * 7919 % 300));
                n * n
            });
            let mut out = Vec::new();
            for n in 0..200 {
                pipeline.push(n);
                if pipeline.pending() > 8 {
                    out.extend(pipeline.pop());
                }
            }
            out.extend(std::iter::from_fn(|| pipeline.pop()));
            assert_eq!(out, (0..200).map(|n| n * n).collect::<Vec<_>>(), "{threads} threads");
        }
    }

    #[test]
    fn dropping_does_not_wait_for_the_queue() {
        let mut pipeline = Pipeline::new(1, |_: u64| std::thread::sleep(Duration::from_millis(20)));
        for n in 0..1000 {
            pipeline.push(n);
        }
        let begun = std::time::Instant::now();
        drop(pipeline);
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
}
