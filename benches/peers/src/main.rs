//! Measures the cache beside its peers, in one run. Ratios count; single times move with the machine.

mod check;
mod growth;
mod instructions;
mod key;
mod library;
mod measure;
mod memory;
mod operations;
mod peers;
mod processors;
mod protocols;
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
use subjects::Kind;
use workload::Order;

const USAGE: &str =
    "usage: st-secrets-peers [--quick | --full] [--throughput] [--operations] [--instructions] [--growth]
                        [--protocols] [--stalls] [--memory] [--svg FILE] [--oversubscribe] [--library FILE]
--quick measures a part of everything, and is the default; --full all of it, in about ten minutes. One of the others
measures only that, thoroughly, unless with --quick.";

#[derive(Default)]
struct Options {
    quick: bool,
    throughput: bool,
    operations: bool,
    instructions: bool,
    growth: bool,
    protocols: bool,
    stalls: bool,
    memory: bool,
    svg: Option<String>,
    oversubscribe: bool,
    library: Option<String>,
}

impl Options {
    fn everything(&mut self) {
        (self.throughput, self.operations, self.instructions) = (true, true, true);
        (self.growth, self.protocols, self.stalls, self.memory) = (true, true, true, true);
    }

    fn chose_nothing(&self) -> bool {
        let timed = self.throughput || self.operations || self.stalls || self.svg.is_some();
        !(timed || self.instructions || self.growth || self.protocols || self.memory)
    }
}

fn options() -> Option<Options> {
    let (mut options, mut arguments, mut full) = (Options::default(), std::env::args().skip(1), false);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--quick" => options.quick = true,
            "--full" => full = true,
            "--throughput" => options.throughput = true,
            "--operations" => options.operations = true,
            "--instructions" => options.instructions = true,
            "--growth" => options.growth = true,
            "--protocols" => options.protocols = true,
            "--stalls" => options.stalls = true,
            "--memory" => options.memory = true,
            "--oversubscribe" => options.oversubscribe = true,
            "--svg" => options.svg = Some(arguments.next()?),
            "--library" => options.library = Some(arguments.next()?),
            _ => return None,
        }
    }
    if full || options.chose_nothing() {
        options.quick |= !full;
        options.everything();
    }
    Some(options)
}

fn main() {
    let Some(options) = options() else {
        eprintln!("{USAGE}");
        std::process::exit(2);
    };
    if growth::is_wanted_here() {
        growth::simulate_processors();
    }
    library::open(options.library.as_deref().unwrap_or("build/lib/libst_secrets.so"));
    let kinds = subjects::kinds();
    check::run(&kinds);
    let effort = match options.quick {
        true => Effort { slice: Duration::from_millis(8), rounds: 5 },
        false => Effort { slice: Duration::from_millis(10), rounds: 5 },
    };
    if growth::is_wanted_here() {
        return growth::run(effort, &kinds[0], options.quick);
    }
    measure(&options, effort, &kinds);
}

fn measure(options: &Options, effort: Effort, kinds: &[Kind]) {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let threads: Vec<usize> =
        [1, 2, 4, 16].into_iter().filter(|count| *count <= cores || options.oversubscribe).collect();
    let capacities: &[usize] = if options.quick { &[500, 100_000] } else { &[100, 500, 2048, 100_000, 1_000_000] };
    if options.throughput {
        throughput::run(&plan(effort, threads.clone(), options.quick), kinds);
    }
    if options.operations {
        operations::run(effort, kinds, capacities);
    }
    if options.instructions {
        instructions::run(kinds);
    }
    if options.growth {
        growth::run_in_a_process_of_its_own();
    }
    if options.protocols {
        protocols::run(effort, &threads);
    }
    if options.stalls {
        stalls::run(kinds, if options.quick { 100_000 } else { 1_000_000 });
    }
    if options.memory {
        memory::run(kinds);
    }
    if let Some(path) = &options.svg {
        let thorough = Effort { slice: Duration::from_millis(20), rounds: 15 };
        svg::run(thorough, kinds, &threads, path);
    }
}

fn plan(effort: Effort, threads: Vec<usize>, quick: bool) -> throughput::Plan {
    let every_order = vec![Order::Uniform, Order::Zipf];
    let series = |capacities: &[usize], orders: &[Order], value| throughput::Series {
        capacities: capacities.to_vec(),
        orders: orders.to_vec(),
        value,
    };
    let series = match quick {
        true => vec![series(&[500, 100_000], &every_order, 64)],
        false => vec![
            series(&[100, 500, 2048, 100_000, 1_000_000], &every_order, 64),
            series(&[500, 100_000], &[Order::ZipfEvicting], 64),
            series(&[500, 100_000], &[Order::Uniform], 1024),
        ],
    };
    throughput::Plan { effort, threads, series }
}
