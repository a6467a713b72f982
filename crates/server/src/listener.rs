//! The server from its first to its last second: opens models, accepts connections within limits,
//! and ends well when it is told to.

use crate::chat_prompt::ChatPrompt;
use crate::house::House;
use crate::metrics::ModelMetrics;
use crate::model::{Model, ServedModel};
use crate::router::router;
use crate::settings::{CONNECTIONS, Settings};
use crate::worker::{Client, Worker};
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use kollama_engine::Tokenizer;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_io_timeout::TimeoutStream;
use tower_http::add_extension::AddExtension;

/// Bytes of a head.
const HEAD_BYTES: usize = 64 << 10;
/// How long the step that runs at the end may take.
const LAST_STEP: Duration = Duration::from_secs(30);
/// How long connections without an answer to write are waited for at the end.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How often the end looks whether answers are still written.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long nothing is accepted when the system has no more file handles.
const PAUSE: Duration = Duration::from_millis(50);

/// Why a server did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}; choose another --port, or end what uses it")]
    Address {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// The system gave no threads, or no signals.
    #[error("the server cannot run: {0}")]
    System(#[from] std::io::Error),
    /// A model could not be opened.
    #[error("{0}")]
    Model(String),
}

/// Serves until the process is told to end (SIGTERM or Ctrl-C). `listening` is told the address once
/// connections are accepted; models are opened meanwhile.
///
/// # Errors
/// The address is taken, or a model cannot be opened.
pub fn serve(
    models: Vec<ServedModel>,
    tokenizers: Vec<(String, Tokenizer)>,
    settings: Settings,
    listening: impl FnOnce(SocketAddr),
) -> Result<(), ServeError> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build()?;
    let served = runtime.block_on(run(models, tokenizers, settings, listening));
    runtime.shutdown_timeout(LAST_WORDS);
    served
}

async fn run(
    models: Vec<ServedModel>,
    tokenizers: Vec<(String, Tokenizer)>,
    settings: Settings,
    listening: impl FnOnce(SocketAddr),
) -> Result<(), ServeError> {
    let address = settings.address;
    let bound = TcpListener::bind(address).await;
    let listener = bound.map_err(|source| ServeError::Address { address, source })?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (failed, mut failures) = mpsc::unbounded_channel();
    let house = Arc::new(House {
        models: models.into_iter().map(|model| Arc::new(start(model, failed.clone()))).collect(),
        tokenizers,
        places: Arc::new(Semaphore::new(settings.queue)),
        settings,
        is_ending: AtomicBool::new(false),
    });
    listening(listener.local_addr()?);
    let connections = GracefulShutdown::new();
    let result = tokio::select! {
        () = accept(&listener, &house, &connections) => Ok(()),
        Some(problem) = failures.recv() => Err(ServeError::Model(problem)),
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    };
    drop(listener);
    end(&house, connections).await;
    result
}

fn start(served: ServedModel, failed: mpsc::UnboundedSender<String>) -> Model {
    let ServedModel { name, tokenizer, config, parameters, opening } = served;
    let (loaded, metrics) = (Arc::new(OnceLock::new()), Arc::new(ModelMetrics::default()));
    let shared = (loaded.clone(), metrics.clone());
    let worker = Worker::start(tokenizer.clone(), opening, shared, move |problem| {
        let _ = failed.send(problem);
    });
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let chat = ChatPrompt::new(&tokenizer).map(|chat| chat.map(Arc::new));
    let created = since.as_secs();
    Model { name, tokenizer, config, parameters, created, chat, loaded, metrics, worker }
}

/// Accepts for ever; never more connections at once than the limit.
async fn accept(listener: &TcpListener, house: &Arc<House>, connections: &GracefulShutdown) {
    let routes = router(house.clone());
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, address)) => {
                let routes = AddExtension::new(routes.clone(), Client(address.ip()));
                connect(stream, routes, (house, connections), place);
            }
            // Most likely there are no more file handles; those in use will come back.
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// Serves one connection on a task of its own.
fn connect(
    stream: TcpStream,
    routes: AddExtension<Router, Client>,
    (house, connections): (&Arc<House>, &GracefulShutdown),
    place: OwnedSemaphorePermit,
) {
    let settings = &house.settings;
    let _ = stream.set_nodelay(true);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(settings.write_timeout));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(settings.read_timeout)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(Box::pin(stream)), TowerToHyperService::new(routes));
    let watched = connections.watch(connection);
    tokio::spawn(async move {
        // Whatever goes wrong with a connection is its client's affair.
        let _ = watched.await;
        drop(place);
    });
}

/// Lets answers be written to their end, for as long as the settings say; then ends them.
async fn end(house: &House, connections: GracefulShutdown) {
    house.is_ending.store(true, Ordering::Relaxed);
    let closed = connections.shutdown();
    tokio::pin!(closed);
    let all_are_closed = tokio::select! {
        () = &mut closed => true,
        _ = tokio::time::timeout(house.settings.shutdown_timeout, written(house)) => false,
    };
    house.models.iter().for_each(|model| model.worker.end());
    let _ = tokio::time::timeout(LAST_STEP, written(house)).await;
    if !all_are_closed {
        let _ = tokio::time::timeout(LAST_WORDS, closed).await;
    }
}

/// Waits until no answer is written or waits.
async fn written(house: &House) {
    while house.answers_in_flight() > 0 {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
