//! Measures the cache beside its peers, in one run. Ratios count; single times move with the machine.

mod check;
mod instructions;
mod key;
mod library;
mod measure;
mod memory;
mod operations;
mod peers;
mod report;
mod same;
mod stalls;
mod subjects;
mod svg;
mod throughput;
mod workload;

use std::thread;
use std::time::Duration;

use measure::Effort;
use workload::Order;

const USAGE: &str = "usage: st-secrets-peers [--quick | --full] [--instructions] [--stalls] [--memory] [--svg FILE]
                        [--oversubscribe] [--library FILE]";

#[derive(Default)]
struct Options {
    quick: bool,
    full: bool,
    instructions: bool,
    stalls: bool,
    memory: bool,
    svg: Option<String>,
    oversubscribe: bool,
    library: Option<String>,
}

fn options() -> Option<Options> {
    let (mut options, mut arguments) = (Options::default(), std::env::args().skip(1));
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--quick" => options.quick = true,
            "--full" => options.full = true,
            "--instructions" => options.instructions = true,
            "--stalls" => options.stalls = true,
            "--memory" => options.memory = true,
            "--oversubscribe" => options.oversubscribe = true,
            "--svg" => options.svg = Some(arguments.next()?),
            "--library" => options.library = Some(arguments.next()?),
            _ => return None,
        }
    }
    let chosen = options.full || options.instructions || options.stalls || options.memory || options.svg.is_some();
    options.quick |= !chosen;
    Some(options)
}

fn main() {
    let Some(options) = options() else {
        eprintln!("{USAGE}");
        std::process::exit(2);
    };
    library::open(options.library.as_deref().unwrap_or("build/lib/libst_secrets.so"));
    let kinds = subjects::kinds();
    check::run(&kinds);
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let threads: Vec<usize> =
        [1, 2, 4, 16].into_iter().filter(|count| *count <= cores || options.oversubscribe).collect();

    let quick = Effort { slice: Duration::from_millis(10), rounds: 7 };
    let thorough = Effort { slice: Duration::from_millis(20), rounds: 15 };
    if options.quick {
        let plan = throughput::Plan {
            effort: quick,
            threads: threads.clone(),
            orders: vec![Order::Uniform, Order::Zipf],
            capacities: vec![500, 100_000],
            large_values: vec![],
        };
        throughput::run(&plan, &kinds);
        operations::run(quick, &kinds, &[500, 100_000]);
    }
    if options.full {
        let plan = throughput::Plan {
            effort: thorough,
            threads: threads.clone(),
            orders: vec![Order::Uniform, Order::Zipf, Order::ZipfEvicting],
            capacities: vec![100, 500, 2048, 100_000, 1_000_000],
            large_values: vec![500, 100_000],
        };
        throughput::run(&plan, &kinds);
        operations::run(thorough, &kinds, &[100, 500, 100_000, 1_000_000]);
    }
    if options.instructions {
        instructions::run(&kinds);
    }
    if options.stalls {
        stalls::run(&kinds);
    }
    if options.memory {
        memory::run(&kinds);
    }
    if let Some(path) = &options.svg {
        svg::run(thorough, &kinds, &threads, path);
    }
}
