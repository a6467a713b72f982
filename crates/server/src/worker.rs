//! The thread that owns an engine: takes requests between two steps, hands out what each step wrote,
//! ends what nobody waits for. The only place where the async side and the engine meet.

use crate::api_error::ApiError;
use crate::metrics::ModelMetrics;
use axum::http::StatusCode;
use kollama_engine::{Details, Emission, Engine, EngineError, Request, RequestId, Tokenizer};
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Instant;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

/// Makes the engine; called on the thread that will run it.
pub type Opening = Box<dyn for<'t> FnOnce(&'t Tokenizer) -> Result<Engine<'t>, String> + Send>;

/// What is known of a model once its weights are there.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// Tokens of prompt and answer together at most.
    pub context: usize,
    /// How weights are held.
    pub weights: String,
    /// How keys and values are kept.
    pub cache: String,
    /// Tokens whose keys and values there is room for.
    pub cache_rows: usize,
    /// Bytes of the weights.
    pub weight_bytes: usize,
    /// Bytes of keys, values and working memory.
    pub cache_bytes: usize,
}

/// What a request's client gets to know.
#[derive(Debug)]
pub enum Event {
    /// A piece of answer number `choice`.
    Piece {
        /// Which answer.
        choice: usize,
        /// What the engine emitted.
        emission: Emission,
    },
    /// Answer number `choice` ended before its time.
    Aborted {
        /// Which answer.
        choice: usize,
        /// Why.
        reason: Abort,
    },
    /// The engine failed.
    Failed(String),
}

/// Why an answer ended before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abort {
    /// It took too long.
    TimeUp,
    /// The server ended.
    ServerEnds,
}

/// Who asks, as far as taking turns goes: an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client(pub IpAddr);

/// Answers that belong to one request of a client.
pub struct Asked {
    /// One for each answer.
    pub requests: Vec<(Request, Details)>,
    /// When they must have ended.
    pub deadline: Instant,
    /// Their places in the queue, given back with the last of them.
    pub places: OwnedSemaphorePermit,
    /// Who asked.
    pub client: Client,
}

/// The way to the thread.
pub struct Worker {
    orders: Sender<Order>,
    thread: JoinHandle<()>,
}

enum Order {
    Write(Asked, UnboundedSender<Event>, oneshot::Sender<Result<(), EngineError>>),
    End,
}

/// An answer that is written or waits.
struct Job {
    choice: usize,
    deadline: Instant,
    events: UnboundedSender<Event>,
    party: Arc<Party>,
}

/// What the answers to one request of a client have in common.
struct Party {
    client: Client,
    _places: OwnedSemaphorePermit,
}

impl Worker {
    /// Starts the thread, which first opens the model; `failed` is told if it cannot.
    pub fn start(
        tokenizer: Tokenizer,
        opening: Opening,
        (loaded, metrics): (Arc<OnceLock<Loaded>>, Arc<ModelMetrics>),
        failed: impl FnOnce(String) + Send + 'static,
    ) -> Worker {
        let (orders, taken) = channel();
        let thread = std::thread::spawn(move || match opening(&tokenizer) {
            Ok(engine) => {
                metrics.idle(engine.status());
                let _ = loaded.set(describe(&engine));
                Shift { engine, jobs: HashMap::new(), metrics }.run(&taken);
            }
            Err(problem) => failed(problem),
        });
        Worker { orders, thread }
    }

    /// Puts answers in the engine's queue. Whoever drops the receiver ends them.
    pub async fn write(&self, asked: Asked) -> Result<UnboundedReceiver<Event>, ApiError> {
        let (events, receiver) = unbounded_channel();
        let (answer, answered) = oneshot::channel();
        let gone = || ApiError::unavailable("the model's thread has ended");
        self.orders.send(Order::Write(asked, events, answer)).map_err(|_| gone())?;
        answered.await.map_err(|_| gone())??;
        Ok(receiver)
    }

    /// Whether the thread is gone.
    pub fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Ends every answer, then the thread.
    pub fn end(&self) {
        let _ = self.orders.send(Order::End);
    }
}

/// An engine at work.
struct Shift<'t> {
    engine: Engine<'t>,
    jobs: HashMap<RequestId, Job>,
    metrics: Arc<ModelMetrics>,
}

impl Shift<'_> {
    fn run(mut self, orders: &Receiver<Order>) {
        while self.take_orders(orders) {
            self.abort_what_nobody_waits_for();
            let began = Instant::now();
            let stepped = self.engine.step();
            self.metrics.step(self.engine.status(), began.elapsed());
            match stepped {
                Ok(emissions) => emissions.into_iter().for_each(|emission| self.deliver(emission)),
                Err(error) => self.fail(&error.to_string()),
            }
        }
        let all: Vec<RequestId> = self.jobs.keys().copied().collect();
        all.into_iter().for_each(|id| self.abort(id, Abort::ServerEnds));
    }

    /// Waits for an order where there is nothing to do. False when the thread is to end.
    fn take_orders(&mut self, orders: &Receiver<Order>) -> bool {
        loop {
            let order = match self.jobs.is_empty() {
                true => orders.recv().ok(),
                false => match orders.try_recv() {
                    Err(TryRecvError::Empty) => return true,
                    other => other.ok(),
                },
            };
            match order {
                Some(Order::Write(asked, events, answer)) => {
                    let _ = answer.send(self.submit(asked, &events));
                }
                Some(Order::End) | None => return false,
            }
        }
    }

    /// All answers or none.
    fn submit(&mut self, asked: Asked, events: &UnboundedSender<Event>) -> Result<(), EngineError> {
        let first = self.first_turn(asked.client);
        let party = Arc::new(Party { client: asked.client, _places: asked.places });
        let mut ids = Vec::with_capacity(asked.requests.len());
        for (turn, (request, details)) in (first..).zip(asked.requests) {
            let details = Details { turn, ..details };
            match self.engine.submit_with(request, details) {
                Ok(id) => ids.push(id),
                Err(error) => {
                    ids.into_iter().for_each(|id| self.engine.cancel(id));
                    return Err(error);
                }
            }
        }
        let job = |choice| Job {
            choice,
            deadline: asked.deadline,
            events: events.clone(),
            party: party.clone(),
        };
        self.jobs.extend(ids.into_iter().enumerate().map(|(choice, id)| (id, job(choice))));
        self.metrics.requests.fetch_add(1, Relaxed);
        Ok(())
    }

    /// The turn of a new request's first answer; each further one comes a turn later. So answers of several
    /// requests take turns, and a client waits one turn longer for each request of his that is not
    /// done. A turn that has come is never given out again, so nobody waits for ever.
    fn first_turn(&self, client: Client) -> u64 {
        let parties = self.jobs.values().map(|job| &job.party).filter(|p| p.client == client);
        let parties: HashSet<*const Party> = parties.map(Arc::as_ptr).collect();
        self.engine.turn() + 1 + parties.len() as u64
    }

    fn deliver(&mut self, emission: Emission) {
        let (id, ended) = (emission.request, emission.finish.is_some());
        if let Some(job) = self.jobs.get(&id) {
            // Nobody there: the job is ended before the next step.
            let _ = job.events.send(Event::Piece { choice: job.choice, emission });
        }
        if ended {
            self.jobs.remove(&id);
        }
    }

    fn abort_what_nobody_waits_for(&mut self) {
        let now = Instant::now();
        let done = |job: &Job| job.events.is_closed() || job.deadline <= now;
        let over = self.jobs.iter().filter(|(_, job)| done(job)).map(|(&id, _)| id);
        let over: Vec<RequestId> = over.collect();
        over.into_iter().for_each(|id| self.abort(id, Abort::TimeUp));
    }

    fn abort(&mut self, id: RequestId, reason: Abort) {
        self.engine.cancel(id);
        if let Some(job) = self.jobs.remove(&id) {
            self.metrics.aborted.fetch_add(1, Relaxed);
            let _ = job.events.send(Event::Aborted { choice: job.choice, reason });
        }
    }

    fn fail(&mut self, problem: &str) {
        for (id, job) in std::mem::take(&mut self.jobs) {
            self.engine.cancel(id);
            let _ = job.events.send(Event::Failed(problem.to_owned()));
        }
    }
}

fn describe(engine: &Engine<'_>) -> Loaded {
    Loaded {
        context: engine.longest(),
        weights: engine.weights().to_owned(),
        cache: engine.kept_as().to_owned(),
        cache_rows: engine.status().rows,
        weight_bytes: engine.weight_bytes(),
        cache_bytes: engine.cache().bytes(),
    }
}

/// 500 with what the engine said.
pub fn engine_failed(problem: &str) -> ApiError {
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, problem)
}
