//! The simulated world: some seeds, and that runs repeat and shrink.

mod lease;
mod scripted;
mod watch;

use std::time::{Duration, Instant};

use etcdium_sim::check::{Check, Fact, View};
use etcdium_sim::world::{
    Action, Asked, Campaign, CampaignReport, Fault, Mix, Options, Request, RunOptions, Script, Step,
    TraceMode, differ, run, run_campaign, shrink,
};

/// Some seeds of a mix break no rule, and every one of them runs twice alike.
fn break_no_rule_and_repeat(mix: Mix) -> CampaignReport {
    let campaign = Campaign {
        mix,
        first: 1_000_000,
        seeds: 200,
        jobs: 2,
        twice_every: 1,
        stop_after: 1,
        options: RunOptions::new(Instant::now()),
    };
    let report = run_campaign(&campaign, |_, _| {});
    assert_eq!(report.broken, []);
    assert_eq!(report.seeds, 200);
    report
}

/// Each of these is in the trace of some seed of a mix.
fn happen(mix: Mix, texts: &[&str]) {
    let mut options = RunOptions::new(Instant::now());
    options.trace = TraceMode::Text;
    let traces: String = (0..400).map(|seed| run(&Script::of(mix, seed), &options).trace).collect();
    for text in texts {
        assert!(traces.contains(text), "nothing shows {text:?}");
    }
}

#[test]
fn seeds_break_no_rule_and_repeat() {
    let report = break_no_rule_and_repeat(Mix::Unary);
    assert!(report.events / report.seeds > 200, "{report:?}");
    assert!(report.faults / report.seeds >= 3, "{report:?}");
}

/// The instant that stands for zero makes no difference, the seed does.
#[test]
fn transcripts_depend_on_the_seed_alone() {
    let hash = |seed, start| {
        let mut options = RunOptions::new(start);
        options.trace = TraceMode::Hash;
        run(&Script::generate(seed), &options).hash
    };
    let start = Instant::now();
    assert_eq!(hash(1, start), hash(1, start + Duration::from_secs(1_000)));
    assert_ne!(hash(1, start), hash(2, start));
}

/// A script whose steps are few is carried out as it says, and what breaks no rule is not shrunk.
#[test]
fn scripts_can_be_written_by_hand() {
    let mut script = Script::generate(3);
    let start = Action::Start(Request::Put(0, None), Options::default());
    script.steps = vec![Step { id: 0, at: Duration::from_millis(5), action: start }];
    let mut options = RunOptions::new(Instant::now());
    options.trace = TraceMode::Text;
    let report = run(&script, &options);
    assert_eq!(report.violation, None);
    assert!(report.trace.contains("\"start\", 0, Put(PutRequest"), "{}", report.trace);
    assert!(shrink(&script, &options).is_none());
}

/// The made-up rule that no key is deleted while a fault, which only member 0 can have, is under way.
#[derive(Debug)]
struct NothingDeleted;

impl Check for NothingDeleted {
    fn name(&self) -> &'static str {
        "nothing is deleted"
    }

    fn see(&mut self, view: &View<'_>, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Started(op)
                if matches!(view.ops[*op].asked, Asked::Delete(_)) && !view.cluster.is_up(0) =>
            {
                Err(format!("step {} deletes", view.ops[*op].id))
            }
            _ => Ok(()),
        }
    }
}

fn nothing_deleted() -> Box<dyn Check> {
    Box::new(NothingDeleted)
}

/// What breaks a rule is shrunk to the steps that matter, in the simplest world; and the shrunk script can be made again
/// from the seed, its steps and its edits.
#[test]
fn what_breaks_a_rule_is_shrunk_and_can_be_made_again() {
    let mut options = RunOptions::new(Instant::now());
    options.extra = Some(nothing_deleted);
    let broken = |seed: &u64| run(&Script::generate(*seed), &options).violation.is_some();
    let seed = (0..1_000).find(broken).expect("some seed deletes while a member is down");
    let script = Script::generate(seed);
    let shrunk = shrink(&script, &options).expect("it breaks the rule");
    assert_eq!(shrunk.violation.rule, "nothing is deleted");
    let [kill, delete] = &shrunk.script.steps[..] else { panic!("{}", shrunk.script) };
    assert!(matches!(kill.action, Action::Fault(Fault::Kill, 0, _)), "{kill}");
    assert!(
        matches!(&delete.action, Action::Start(Request::Delete(_), options) if *options == Options::default())
    );
    assert_eq!((shrunk.script.setup.members, shrunk.script.setup.turn), (1, Duration::ZERO));
    let mut again = script;
    again.steps.retain(|step| [kill.id, delete.id].contains(&step.id));
    for edit in &shrunk.edits {
        again.simplify(edit.to_string().parse().unwrap());
    }
    assert_eq!(again, shrunk.script);
}

#[test]
fn transcripts_that_differ_are_told() {
    let mut options = RunOptions::new(Instant::now());
    options.trace = TraceMode::Hash;
    let reports = [1, 1, 2].map(|seed| run(&Script::generate(seed), &options));
    assert_eq!(differ(&reports[0], &reports[1]), None);
    let violation = differ(&reports[0], &reports[2]).expect("two seeds have two transcripts");
    assert_eq!(violation.rule, "equal seeds and inputs give equal outputs");
}

/// The mix meets what servers refuse for want of room, members too far behind and requests too large.
#[test]
fn limits_of_the_cluster_are_met() {
    let mut options = RunOptions::new(Instant::now());
    options.trace = TraceMode::Text;
    let traces: String = (0..600).map(|seed| run(&Script::generate(seed), &options).trace).collect();
    for text in ["too many requests", "database space exceeded", "request is too large"] {
        assert!(traces.contains(text), "no server said {text:?}");
    }
}
