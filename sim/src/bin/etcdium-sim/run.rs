//! `etcdium-sim run`: the core in its virtual world, seed by seed.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use etcdium_sim::world::{
    Campaign, CampaignReport, Edit, Mix, RunOptions, Script, Shrunk, TraceMode, run as run_script,
    run_campaign, shrink,
};

pub(crate) const USAGE: &str = "etcdium-sim run [option...]: the core in its virtual world, seed by seed

  --mix M      what the seeds are about: unary (the default), watch: watches too, lease: leases too, or scripted: watches and
               leases of a scripted client, without the core
  --seeds N    how many seeds to run (default 10,000, or 1 with --seed)
  --seed S     the first seed (default 0)
  --jobs J     threads (default: one per processor)
  --twice      run every seed twice and compare, not every 64th
  --trace      print all that happens (one seed)
  --steps A,B  of one seed's script only these steps, as shrunk scripts number them
  --with E,F   and these simplifications of it, as shrunk scripts name them
  --planted    the bugs planted in the core, until each is caught (needs --cfg etcdium_planted)
  --planted P  this bug only; with --trace, --steps or --with it is switched on in that seed";

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
    with: Vec<Edit>,
    /// All bugs, if none is named.
    planted: Option<Option<String>>,
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
                        "scripted" => Mix::Scripted,
                        "lease" => Mix::Lease,
                        _ => return Err(USAGE.into()),
                    }
                }
                "--planted" => {
                    let mut rest = args.clone();
                    let name = rest.next().filter(|name| !name.starts_with("--"));
                    if name.is_some() {
                        args = rest;
                    }
                    parsed.planted = Some(name.cloned());
                }
                "--with" => {
                    let list = args.next().ok_or("a value is missing")?;
                    let edits = list.split(',').filter(|edit| !edit.is_empty()).map(str::parse);
                    parsed.with = edits.collect::<Result<_, _>>()?;
                }
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
    let is_one = args.trace || args.steps.is_some() || !args.with.is_empty();
    match &args.planted {
        Some(name) if !is_one => return planted(&args, name.as_deref(), &options),
        Some(name) => return one(&args, with_bug(options, name.as_deref())?),
        None if is_one => return one(&args, options),
        None => {}
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
        explain(args.mix, *seed, flag(args.mix), &campaign.options);
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
        Mix::Scripted => " --mix scripted",
        Mix::Lease => " --mix lease",
    }
}

/// Prints how to replay a seed that breaks a rule, and its shrunk script. `flag` names its mix or the planted bug.
fn explain(mix: Mix, seed: u64, flag: &str, options: &RunOptions) {
    let replay = format!("cargo xtask sim --seed {seed}{flag}");
    println!("replay: {replay} --trace");
    let Some(Shrunk { script, edits, violation }) = shrink(&Script::of(mix, seed), options) else {
        println!("it breaks no rule when it runs once: two runs of it differ");
        return;
    };
    println!("shrunk to:\n{script}{violation}");
    let steps = script.steps.iter().map(|step| step.id.to_string());
    let steps = steps.collect::<Vec<_>>().join(",");
    let edits = edits.iter().map(Edit::to_string).collect::<Vec<_>>().join(",");
    println!("replay it: {replay} --steps '{steps}' --with '{edits}' --trace");
}

/// Runs one seed and prints its script and its trace.
fn one(args: &Args, mut options: RunOptions) -> Result<(), Error> {
    let mut script = Script::of(args.mix, args.seed.unwrap_or(0));
    if let Some(steps) = &args.steps {
        script.steps.retain(|step| steps.contains(&step.id));
    }
    for edit in &args.with {
        script.simplify(*edit);
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
const NO_BUGS: &str = "this build has no planted bugs: use cargo xtask sim --planted";

#[cfg(not(etcdium_planted))]
fn with_bug(_: RunOptions, _: Option<&str>) -> Result<RunOptions, Error> {
    Err(NO_BUGS.into())
}

#[cfg(not(etcdium_planted))]
fn planted(_: &Args, _: Option<&str>, _: &RunOptions) -> Result<(), Error> {
    Err(NO_BUGS.into())
}

/// The planted bugs of this name, or all.
#[cfg(etcdium_planted)]
fn bugs(name: Option<&str>) -> Result<Vec<etcdium_core::Planted>, Error> {
    let all = etcdium_core::Planted::ALL.iter().copied();
    let bugs: Vec<_> = all.filter(|bug| name.is_none_or(|name| name == format!("{bug:?}"))).collect();
    if bugs.is_empty() {
        return Err(
            format!("no planted bug has this name; there are {:?}", etcdium_core::Planted::ALL).into()
        );
    }
    Ok(bugs)
}

#[cfg(etcdium_planted)]
fn with_bug(mut options: RunOptions, name: Option<&str>) -> Result<RunOptions, Error> {
    options.planted = bugs(Some(name.ok_or("which bug?")?))?.first().copied();
    Ok(options)
}

/// Runs each planted bug until it is caught.
#[cfg(etcdium_planted)]
fn planted(args: &Args, name: Option<&str>, options: &RunOptions) -> Result<(), Error> {
    let mut missed = Vec::new();
    for planted in bugs(name)? {
        let mut options = options.clone();
        options.planted = Some(planted);
        let mix = match planted {
            planted if planted.is_of_watches() => Mix::Watch,
            planted if planted.is_of_leases() => Mix::Lease,
            _ => Mix::Unary,
        };
        let campaign = Campaign {
            mix,
            first: args.seed.unwrap_or(0),
            seeds: args.seeds.unwrap_or(60_000),
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
                println!("{violation}");
                explain(mix, *seed, &format!("{} --planted {planted:?}", flag(mix)), &campaign.options);
                println!();
            }
            None => {
                println!("{planted:?}: NOT caught by {} seeds", report.seeds);
                missed.push(format!("{planted:?}"));
            }
        }
    }
    if missed.is_empty() { Ok(()) } else { Err(format!("not caught: {}", missed.join(", ")).into()) }
}
