//! `etcdium-sim run`: the core in its virtual world, seed by seed.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use etcdium_sim::world::{
    Campaign, CampaignReport, Mix, RunOptions, Script, TraceMode, run as run_script, run_campaign, shrink,
};

pub(crate) const USAGE: &str = "etcdium-sim run [option...]: the core in its virtual world, seed by seed

  --mix M      what the seeds are about: unary (the default), or watch: watches and leases of a scripted client
  --seeds N    how many seeds to run (default 10,000, or 1 with --seed)
  --seed S     the first seed (default 0)
  --jobs J     threads (default: one per processor)
  --twice      run every seed twice and compare, not every 64th
  --trace      print all that happens (one seed)
  --steps A,B  of one seed's script only these steps, as shrunk scripts number them
  --planted    the bugs planted in the core, until each is caught (needs --cfg etcdium_planted)";

/// How many broken seeds are shrunk and printed before the run stops.
const ENOUGH: usize = 5;

type Error = Box<dyn std::error::Error>;

#[derive(Debug, Default)]
struct Args {
    mix: Mix,
    seeds: Option<u64>,
    seed: Option<u64>,
    jobs: Option<usize>,
    twice: bool,
    trace: bool,
    steps: Option<Vec<u32>>,
    planted: bool,
}

impl Args {
    fn parse(args: &[String]) -> Result<Self, Error> {
        let mut parsed = Self::default();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut value =
                || args.next().map(|value| value.replace(['_', ','], "")).ok_or("a value is missing");
            match arg.as_str() {
                "--seeds" => parsed.seeds = Some(value()?.parse()?),
                "--seed" => parsed.seed = Some(value()?.parse()?),
                "--jobs" => parsed.jobs = Some(value()?.parse()?),
                "--twice" => parsed.twice = true,
                "--trace" => parsed.trace = true,
                "--mix" => {
                    parsed.mix = match value()?.as_str() {
                        "unary" => Mix::Unary,
                        "watch" => Mix::Watch,
                        _ => return Err(USAGE.into()),
                    }
                }
                "--planted" => parsed.planted = true,
                "--steps" => {
                    let list = args.next().ok_or("a value is missing")?;
                    let steps = list.split(',').filter(|step| !step.is_empty()).map(str::parse);
                    parsed.steps = Some(steps.collect::<Result<_, _>>()?);
                }
                _ => return Err(USAGE.into()),
            }
        }
        Ok(parsed)
    }
}

/// Runs the command.
///
/// # Errors
/// A rule was broken, or a planted bug not found.
pub(crate) fn run(args: &[String]) -> Result<(), Error> {
    let args = Args::parse(args)?;
    let options = RunOptions::new(Instant::now());
    if args.planted {
        return planted(&args, &options);
    }
    if args.trace || args.steps.is_some() {
        return one(&args, options);
    }
    let campaign = Campaign {
        mix: args.mix,
        first: args.seed.unwrap_or(0),
        seeds: args.seeds.unwrap_or_else(|| if args.seed.is_some() { 1 } else { 10_000 }),
        jobs: args.jobs.unwrap_or_else(processors),
        twice_every: if args.twice { 1 } else { 64 },
        stop_after: ENOUGH,
        options,
    };
    let (report, time) = with_progress(&campaign);
    summary(&report, campaign.jobs, time);
    for (seed, violation) in report.broken.iter().take(ENOUGH) {
        println!("\nseed {seed}: {violation}");
        println!("replay: cargo xtask sim{} --seed {seed} --trace", flag(args.mix));
        explain(args.mix, *seed, &campaign.options);
    }
    if report.broken.is_empty() {
        Ok(())
    } else {
        Err(format!("{} of {} seeds broke a rule", report.broken.len(), report.seeds).into())
    }
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Runs a campaign with a line that tells how far it is.
fn with_progress(campaign: &Campaign) -> (CampaignReport, Duration) {
    let start = Instant::now();
    let shown = Mutex::new(start);
    let is_terminal = std::io::stderr().is_terminal();
    let report = run_campaign(campaign, |done, broken| {
        let Ok(mut shown) = shown.lock() else { return };
        if is_terminal && shown.elapsed() > Duration::from_millis(200) {
            *shown = Instant::now();
            let rate = done as f64 / start.elapsed().as_secs_f64();
            let width = 30;
            let filled = (done * width / campaign.seeds.max(1)) as usize;
            let bar = format!("{:<30}", "#".repeat(filled));
            eprint!("\r[{bar}] {done}/{} seeds, {rate:.0}/s, {broken} broken ", campaign.seeds);
            // A progress line that cannot be shown is not missed.
            let _ = std::io::stderr().flush();
        }
    });
    if is_terminal {
        eprint!("\r{:90}\r", "");
    }
    (report, start.elapsed())
}

fn summary(report: &CampaignReport, jobs: usize, time: Duration) {
    let seeds = report.seeds.max(1) as f64;
    println!(
        "{} seeds in {:.1} s on {jobs} threads: {:.0} seeds per second and thread; per seed {:.0} events, \
         {:.0} operations, {:.1} faults",
        report.seeds,
        time.as_secs_f64(),
        seeds / time.as_secs_f64() / jobs as f64,
        report.events as f64 / seeds,
        report.ops as f64 / seeds,
        report.faults as f64 / seeds,
    );
}

/// What replays a seed of this mix.
fn flag(mix: Mix) -> &'static str {
    match mix {
        Mix::Unary => "",
        Mix::Watch => " --mix watch",
    }
}

/// Prints the shrunk script of a seed that breaks a rule.
fn explain(mix: Mix, seed: u64, options: &RunOptions) {
    match shrink(&Script::of(mix, seed), options) {
        Some((script, violation)) => {
            println!("shrunk to:\n{script}{violation}");
            // The steps kept may break the rule only as they were simplified.
            let mut first = Script::of(mix, seed);
            first.steps.retain(|step| script.steps.iter().any(|kept| kept.id == step.id));
            if run_script(&first, options).violation.is_some_and(|found| found.rule == violation.rule) {
                let steps: Vec<String> = first.steps.iter().map(|step| step.id.to_string()).collect();
                let steps = steps.join(",");
                println!(
                    "the same steps as first made: cargo xtask sim{} --seed {seed} --steps {steps} --trace",
                    flag(mix)
                );
            }
        }
        None => println!("it breaks no rule when it runs once: two runs of it differ"),
    }
}

/// Runs one seed and prints its script and its trace.
fn one(args: &Args, mut options: RunOptions) -> Result<(), Error> {
    let mut script = Script::of(args.mix, args.seed.unwrap_or(0));
    if let Some(steps) = &args.steps {
        script.steps.retain(|step| steps.contains(&step.id));
    }
    options.trace = if args.trace { TraceMode::Text } else { TraceMode::Hash };
    let report = run_script(&script, &options);
    print!("{script}");
    if args.trace {
        print!("\n{}", report.trace);
    }
    println!("\n{} events, transcript {:016x}", report.events, report.hash);
    match report.violation {
        None => Ok(()),
        Some(violation) => Err(violation.to_string().into()),
    }
}

#[cfg(not(etcdium_planted))]
fn planted(_: &Args, _: &RunOptions) -> Result<(), Error> {
    Err("this build has no planted bugs: use cargo xtask sim --planted".into())
}

/// Runs each planted bug until it is caught.
#[cfg(etcdium_planted)]
fn planted(args: &Args, options: &RunOptions) -> Result<(), Error> {
    let mut missed = Vec::new();
    for planted in etcdium_core::Planted::ALL {
        let mut options = options.clone();
        options.planted = Some(*planted);
        let campaign = Campaign {
            mix: Mix::Unary,
            first: args.seed.unwrap_or(0),
            seeds: args.seeds.unwrap_or(20_000),
            jobs: 1,
            twice_every: 0,
            stop_after: 1,
            options,
        };
        let (report, time) = with_progress(&campaign);
        match report.broken.first() {
            Some((seed, violation)) => {
                let seeds = seed - campaign.first + 1;
                println!("{planted:?}: caught by seed {seed}, the {seeds}. ({:.1} s)", time.as_secs_f64());
                println!("    {violation}");
                if let Some((script, _)) = shrink(&Script::generate(*seed), &campaign.options) {
                    println!("    shrunk to {} steps", script.steps.len());
                }
            }
            None => {
                println!("{planted:?}: NOT caught by {} seeds", report.seeds);
                missed.push(format!("{planted:?}"));
            }
        }
    }
    if missed.is_empty() { Ok(()) } else { Err(format!("not caught: {}", missed.join(", ")).into()) }
}
