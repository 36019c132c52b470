//! The picture of the README: throughput by subject, a panel for each number of entries and of threads.

use std::fmt::Write;

use crate::measure::Effort;
use crate::report::count;
use crate::subjects::{Kind, Line};
use crate::throughput::{filled, mix};
use crate::workload::{Order, Sequences, keys};

const CAPACITIES: [usize; 2] = [500, 100_000];
const WRITES: f64 = 0.01;

const WIDTH: usize = 880;
const PANEL: usize = 420;
const LABELS: usize = 150;
const BARS: usize = 205;
const BAR: usize = 15;
const STEP: usize = 21;
const HEAD: usize = 84;
const TITLE: usize = 30;

/// Million operations a second of each subject.
struct Panel {
    capacity: usize,
    threads: usize,
    rates: Vec<f64>,
}

pub fn run(effort: Effort, kinds: &[Kind], threads: &[usize], path: &str) {
    let panels: Vec<Panel> = CAPACITIES.iter().flat_map(|capacity| panels(effort, kinds, threads, *capacity)).collect();
    std::fs::write(path, drawn(kinds, &panels)).unwrap_or_else(|error| panic!("cannot write {path}: {error}"));
    println!("\nwrote {path}");
}

fn panels(effort: Effort, kinds: &[Kind], threads: &[usize], capacity: usize) -> Vec<Panel> {
    let (keys, value) = (keys(capacity), [7; 64]);
    let subjects = filled(kinds, capacity, &keys, &value);
    let sequences = Sequences::new(Order::Uniform, capacity);
    let most = threads.iter().max().copied().unwrap_or(1);
    let sequences: Vec<Vec<u32>> = (0..most).map(|thread| sequences.make(WRITES, 11 + thread as u64)).collect();
    let panel = |threads: &usize| {
        let timings = mix(effort, *threads, &subjects, &keys, &sequences, &value);
        // A peer's rate follows from the median ratio, which the machine's other work moves less than the rate itself.
        let best = 1000.0 / timings[0].time;
        Panel { capacity, threads: *threads, rates: timings.iter().map(|timing| best / timing.ratio).collect() }
    };
    threads.iter().map(panel).collect()
}

fn drawn(kinds: &[Kind], panels: &[Panel]) -> String {
    let rows = panels.len() / CAPACITIES.len();
    let panel_height = TITLE + kinds.len() * STEP + 20;
    let height = HEAD + rows * panel_height + 30;
    let mut svg = String::new();
    svg += &head(height);
    for (at, panel) in panels.iter().enumerate() {
        let (column, row) = (at / rows, at % rows);
        let (left, top) = (10 + column * (PANEL + 20), HEAD + row * panel_height);
        svg += &one_panel(kinds, panel, left, top);
    }
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let machine = format!("{}, {processors} processors. Measured by benches/peers --svg.", processor());
    let _ = writeln!(svg, r#"<text class="small" x="10" y="{}">{}</text>"#, height - 14, escaped(&machine));
    svg + "</svg>\n"
}

fn head(height: usize) -> String {
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">
<title>Throughput of st_cache and of other caches</title>
<style>
  text {{ font: 12px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328; }}
  .title {{ font-size: 17px; font-weight: 600; }}
  .panel {{ font-size: 13px; font-weight: 600; }}
  .small {{ font-size: 12px; fill: #59636e; }}
  .name {{ text-anchor: end; }}
  .st-cache {{ fill: #0969da; }}
  .same {{ fill: #818b98; }}
  .own {{ fill: #c8d1da; }}
  .axis {{ stroke: #d1d9e0; }}
  @media (prefers-color-scheme: dark) {{
    text {{ fill: #f0f6fc; }}
    .small {{ fill: #9198a1; }}
    .st-cache {{ fill: #4493f8; }}
    .same {{ fill: #818b98; }}
    .own {{ fill: #4a525b; }}
    .axis {{ stroke: #3d444d; }}
  }}
</style>
<text class="title" x="10" y="24">Throughput beside other caches, million operations a second</text>
<text class="small" x="10" y="45">99 % hits, 1 % overwrites, keys of 32 bytes in uniform random order, values of 64 bytes. Longer is better.</text>
<rect class="st-cache" x="10" y="57" width="12" height="12" rx="2"/><text x="28" y="67">st_cache</text>
<rect class="same" x="110" y="57" width="12" height="12" rx="2"/><text x="128" y="67">with st_cache's hasher and clock</text>
<rect class="own" x="360" y="57" width="12" height="12" rx="2"/><text x="378" y="67">with its own defaults</text>
"##
    )
}

fn one_panel(kinds: &[Kind], panel: &Panel, left: usize, top: usize) -> String {
    let mut svg = String::new();
    let plural = if panel.threads == 1 { "" } else { "s" };
    let title = format!("{} entries, {} thread{plural}", count(panel.capacity), panel.threads);
    let _ = writeln!(svg, r#"<text class="panel" x="{}" y="{}">{title}</text>"#, left + LABELS, top + 18);
    let most = panel.rates.iter().copied().fold(0.0, f64::max);
    for (row, (kind, rate)) in kinds.iter().zip(&panel.rates).enumerate() {
        let (class, note) = match kind.line {
            Line::Library => ("st-cache", ""),
            Line::SameHasherAndClock => ("same", ", same"),
            Line::OwnDefaults => ("own", ", own"),
        };
        let (x, y) = (left + LABELS, top + TITLE + row * STEP);
        let (width, text) = ((rate / most * BARS as f64).max(1.0), y + BAR - 3);
        let name = escaped(&format!("{}{note}", kind.name));
        let _ = writeln!(svg, r#"<text class="name" x="{}" y="{text}">{name}</text>"#, x - 8);
        let _ = writeln!(svg, r#"<rect class="{class}" x="{x}" y="{y}" width="{width:.1}" height="{BAR}" rx="2"/>"#);
        let digits = if *rate < 10.0 { 2 } else { 1 };
        let _ =
            writeln!(svg, r#"<text class="small" x="{:.1}" y="{text}">{rate:.digits$}</text>"#, x as f64 + width + 6.0);
    }
    let (x, y) = (left + LABELS, top + TITLE - 4);
    let _ = writeln!(svg, r#"<line class="axis" x1="{x}" y1="{y}" x2="{x}" y2="{}"/>"#, y + kinds.len() * STEP + 2);
    svg
}

fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name"));
    model.map_or("unknown processor".into(), |model| model.trim_start_matches([' ', '\t', ':']).to_owned())
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
